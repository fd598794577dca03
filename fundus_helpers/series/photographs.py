"""Registration of two photographs in one call: transform, verdict and registered photograph."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import SimpleITK as sitk

from fundus_helpers import transforms
from fundus_helpers.files import written_beside
from fundus_helpers.loading.light import field_of_view
from fundus_helpers.loading.photographs import (
    UnusableImageError,
    read_photograph,
    save_photograph,
)
from fundus_helpers.loading.values import ValueRanges, resize, single_channel
from fundus_helpers.methods import METHODS
from fundus_helpers.methods.knobs import check_choice
from fundus_helpers.metrics.verdict import FAILED, Verdict, judge
from fundus_helpers.progress import progress
from fundus_helpers.series.registering import Registration, register_visit

# What `RegisteredPhotographs.save` writes, with every ending that it may have.
SAVED = (
    *("verdict.json", "transform.tfm", "transform.h5"),
    *("registered.png", "registered.tif"),
)


@dataclass(frozen=True)
class RegisteredPhotographs:
    """The result of the registration of two photographs.

    Attributes
    ----------
    transform : sitk.Transform or None
        Maps points (x, y) of the fixed photograph to points of the moving one, both in pixels of
        the files; None if the verdict is ``failed``.
    verdict : Verdict
        Its predicted error is in pixels of the resized fixed photograph. Multiplied by `factor` it
        is in pixels of the file.
    image : ndarray or None
        The moving photograph warped onto the pixel grid of the fixed one, with its own channels and
        dtype; None if the verdict is ``failed``.
    factor : float
        Pixels of the file of the fixed photograph per pixel of the resized photograph.
    """

    transform: sitk.Transform | None
    verdict: Verdict
    image: np.ndarray | None
    factor: float

    def save(self, folder: Path | str) -> None:
        """Write the verdict and, unless the registration failed, transform and photograph.

        The files are ``verdict.json``, ``transform.tfm`` (``.h5`` if it is not linear) and
        ``registered.png`` (``.tif`` for floats). Those of an earlier pair are deleted first.

        Parameters
        ----------
        folder : path
            It is made if it is missing.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        clear_saved(folder)
        if self.transform is not None:
            transforms.save_by_kind(self.transform, folder / "transform")
            save_photograph(self.image, folder / "registered")
        with written_beside(folder / "verdict.json") as part:
            part.write_text(json.dumps(self.verdict.summary(self.factor), indent=1) + "\n")


def clear_saved(folder: Path | str, *, inputs: Sequence[Path | str] = ()) -> None:
    """Delete what `RegisteredPhotographs.save` has written into a folder for an earlier pair.

    Call it before a registration, so that nothing of another pair is left if this one fails.

    Parameters
    ----------
    folder : path
        Nothing happens if it does not exist.
    inputs : sequence of path
        The photographs to register.

    Raises
    ------
    ValueError
        If one of `inputs` is such a file. Nothing is deleted.
    """
    saved = [Path(folder, name) for name in SAVED]
    for path in map(Path, inputs):
        if path.resolve() in [each.resolve() for each in saved]:
            raise ValueError(
                f"{path.name} lies in the folder of the results, which would replace it; choose "
                "another folder"
            )
    for path in saved:
        path.unlink(missing_ok=True)


def register_photographs(
    fixed: Path | str,
    moving: Path | str,
    method: str = "keypoints",
    *,
    size: int = 768,
    channel: str = "green",
    both_ways: bool = True,
    start: sitk.Transform | None = None,
    interpolation: str = "cubic",
    **knobs: object,
) -> RegisteredPhotographs:
    """Register two photographs of an eye, of any size, and judge the result.

    Parameters
    ----------
    fixed, moving : path
        Files that `loading.read_photograph` accepts. They may differ in size.
    method : str
        A name in `fundus_helpers.METHODS`.
    size : int
        Both photographs are resized to this longer side in pixels for the registration; to that of
        the larger one if both are smaller.
    channel : {"green", "grey"}
        See `loading.single_channel`.
    both_ways : bool
        Also register with the photographs exchanged, and compare. This takes twice the time and
        makes the verdict more reliable.
    start : sitk.Transform, optional
        A transform that is nearly right, for example from points placed by hand
        (`methods.points.from_points`). It maps points of the fixed to points of the moving
        photograph, in pixels of the files.
    interpolation : {"nearest", "linear", "cubic"}
        See `transforms.warp`.
    **knobs
        Parameters of the method.

    Returns
    -------
    RegisteredPhotographs
        If the registration fails, the verdict says why.

    Raises
    ------
    UnusableImageError
        If a file is not a photograph; the message names the file.
    ValueError
        For an unknown method or channel.

    Examples
    --------
    With your own files: ``register_photographs("2019.jpg", "2024.jpg").save("registered")``. Here
    the second file is a shifted copy of the first one:

    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import fundus_helpers as fh
    >>> from skimage import data, io
    >>> retina = data.retina()[::4, ::4]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first, second = Path(folder, "2019.png"), Path(folder, "2024.png")
    ...     io.imsave(first, retina)
    ...     io.imsave(second, np.roll(retina, (5, 8), axis=(0, 1)))
    ...     done = fh.register_photographs(first, second)
    >>> done.verdict.status
    'accepted'
    >>> fh.map_points(done.transform, [[100, 100]]).round()
    array([[108., 105.]])
    """
    check_choice("method", method, METHODS)
    photographs = [read_photograph(path) for path in (fixed, moving)]
    ranges = ValueRanges()
    for photograph in photographs:
        ranges.add(photograph)
    images = [single_channel(each, channel, ranges.of(each.dtype)) for each in photographs]
    # Methods that compare pixels need both photographs at the same size.
    size = min(size, max(max(image.shape) for image in images))
    factors = [max(image.shape) / size for image in images]
    images = [resize(image, size) for image in images]
    masks = [field_of_view(image) for image in images]
    begin, end = {}, {}
    if start is not None:
        start = transforms.rescale(start, *(1 / factor for factor in factors))
        begin, end = {"start": start}, {"start": transforms.invert(start, images[1].shape)}
    forwards = _register(method, images, masks, knobs | begin)
    backward, doubts = None, []
    if both_ways and forwards.transform is not None:
        backwards = _register(method, images[::-1], masks[::-1], knobs | end)
        backward = backwards.transform
        doubts = [f"with the images exchanged: {backwards.reason}"] if backwards.reason else []
    verdict = judge(
        forwards.transform,
        *images,
        fixed_mask=masks[0],
        moving_mask=masks[1],
        backward=backward,
        failure=forwards.reason,
        doubts=doubts,
    )
    if verdict.status == FAILED:
        return RegisteredPhotographs(None, verdict, None, factors[0])
    transform = transforms.rescale(forwards.transform, *factors)
    shape = photographs[0].shape[:2]
    image = transforms.warp_photograph(
        photographs[1], transform, shape, interpolation=interpolation
    )
    return RegisteredPhotographs(transform, verdict, image, factors[0])


def register_pairs(
    pairs: Sequence[tuple[Path | str, Path | str]],
    method: str = "keypoints",
    *,
    jobs: int = -1,
    shown: bool = True,
    **knobs: object,
) -> Iterator[RegisteredPhotographs]:
    """Register many pairs of photographs, several at a time.

    Parameters
    ----------
    pairs : sequence of (fixed, moving)
        Files that `loading.read_photograph` accepts.
    method : str
        A name in `fundus_helpers.METHODS`.
    jobs : int
        Number of processes; -1: one per core. The results are the same for every number.
    shown : bool
        Show a progress bar.
    **knobs
        Parameters of `register_photographs` and of the method.

    Returns
    -------
    iterator of RegisteredPhotographs
        One per pair, in the order of the pairs. The registration begins when it is iterated over. A
        pair that cannot be registered, or a file that is not a photograph, gets the verdict
        ``failed`` with the reason; the others go on.

    Raises
    ------
    ValueError
        For an unknown method.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import fundus_helpers as fh
    >>> from skimage import data, io
    >>> retina = data.retina()[::4, ::4]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first, second, missing = (Path(folder, name) for name in ("1.png", "2.png", "3.png"))
    ...     io.imsave(first, retina)
    ...     io.imsave(second, np.roll(retina, (5, 8), axis=(0, 1)))
    ...     pairs = [(first, missing), (first, second)]
    ...     done = list(fh.register_pairs(pairs, "voxelmorph", jobs=1, shown=False))
    >>> [each.verdict.status for each in done]
    ['failed', 'accepted']
    """
    check_choice("method", method, METHODS)
    tasks = [joblib.delayed(_register_or_fail)(*pair, method, knobs) for pair in pairs]

    def registered() -> Iterator[RegisteredPhotographs]:
        done = joblib.Parallel(n_jobs=jobs, return_as="generator")(tasks)
        yield from progress(done, "pairs", len(tasks), shown=shown)

    return registered()


def _register_or_fail(
    fixed: Path | str, moving: Path | str, method: str, knobs: dict[str, object]
) -> RegisteredPhotographs:
    try:
        return register_photographs(fixed, moving, method, **knobs)
    except UnusableImageError as error:
        reason = str(error)
    except Exception as error:  # any error: one pair must not stop the others
        reason = f"{type(error).__name__}: {error}"
    return RegisteredPhotographs(None, Verdict(FAILED, (reason,)), None, 1.0)


def _register(
    method: str, images: list[np.ndarray], masks: list[np.ndarray], knobs: dict[str, object]
) -> Registration:
    return register_visit(
        METHODS[method], *images, "moving", template_mask=masks[0], mask=masks[1], **knobs
    )
