"""Two photographs in, one call: the transform, whether to believe it, and the registered image."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from fundus_helpers import transforms
from fundus_helpers.files import written_beside
from fundus_helpers.loading.light import field_of_view
from fundus_helpers.loading.photographs import (
    read_photograph,
    resize,
    save_photograph,
    single_channel,
)
from fundus_helpers.methods import METHODS
from fundus_helpers.methods.knobs import check_choice
from fundus_helpers.metrics.verdict import FAILED, Verdict, judge
from fundus_helpers.series.registering import Registration, register_visit

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RegisteredPhotographs:
    """What became of two photographs.

    Attributes
    ----------
    transform : sitk.Transform or None
        Maps points (x, y) of the fixed photograph, in its own full-size pixels, to points of the
        moving one; None where the verdict is ``failed``.
    verdict : Verdict
        Its predicted error is in pixels of the fixed photograph as it was registered; `factor`
        times that in its full-size pixels.
    image : ndarray or None
        The moving photograph on the pixel grid of the fixed one, in its own channels and dtype.
    factor : float
        Full-size pixels of the fixed photograph per pixel that was registered.
    """

    transform: sitk.Transform | None
    verdict: Verdict
    image: np.ndarray | None
    factor: float

    def save(self, folder: Path | str) -> None:
        """Write ``verdict.json`` and, unless registration failed, transform and photograph.

        ``transform.tfm`` (``.h5`` if it is not linear), ``registered.png`` (``.tif`` for floats).
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if self.transform is not None:
            transforms.save_by_kind(self.transform, folder / "transform")
            save_photograph(self.image, folder / "registered")
        with written_beside(folder / "verdict.json") as part:
            part.write_text(json.dumps(self.verdict.summary(self.factor), indent=1) + "\n")


def register_photographs(
    fixed: Path | str,
    moving: Path | str,
    method: str = "keypoints",
    *,
    size: int = 768,
    channel: str = "green",
    both_ways: bool = True,
    interpolation: str = "cubic",
    **knobs: object,
) -> RegisteredPhotographs:
    """Register two photographs of an eye, of any size, and say whether to believe it.

    Parameters
    ----------
    fixed, moving : path
        See `loading.read_photograph` for what files are read. They may differ in size.
    method : str
        A name in `fundus_helpers.METHODS`.
    size : int
        Longer side in pixels that both photographs are brought to for registration; less if both
        are smaller.
    channel : {"green", "grey"}
        See `loading.single_channel`.
    both_ways : bool
        Register backwards too, and compare: twice the time, one more reason for or against.
    interpolation : {"nearest", "linear", "cubic"}
        See `transforms.warp`.
    **knobs
        Of the method.

    Returns
    -------
    RegisteredPhotographs
        Also where registration fails: then the verdict says why.

    Raises
    ------
    UnusableImageError
        If a file is no photograph; names it.
    ValueError
        For an unknown method or channel.

    Examples
    --------
    ``register_photographs("2019.jpg", "2024.jpg").save("registered")``
    """
    check_choice("method", method, METHODS)
    photographs = [read_photograph(path) for path in (fixed, moving)]
    images = [single_channel(photograph, channel) for photograph in photographs]
    # Both to one size: methods that compare pixels take that for granted.
    size = min(size, max(max(image.shape) for image in images))
    factors = [max(image.shape) / size for image in images]
    images = [resize(image, size) for image in images]
    masks = [field_of_view(image) for image in images]
    forwards = _register(method, images, masks, knobs)
    backward, doubts = None, []
    if both_ways and forwards.transform is not None:
        backwards = _register(method, images[::-1], masks[::-1], knobs)
        backward = backwards.transform
        doubts = [f"the other way round: {backwards.reason}"] if backwards.reason else []
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
    image = transforms.warp(photographs[1], transform, shape, interpolation=interpolation)
    return RegisteredPhotographs(transform, verdict, image, factors[0])


def _register(
    method: str, images: list[np.ndarray], masks: list[np.ndarray], knobs: dict[str, object]
) -> Registration:
    return register_visit(
        METHODS[method], *images, "moving", template_mask=masks[0], mask=masks[1], **knobs
    )
