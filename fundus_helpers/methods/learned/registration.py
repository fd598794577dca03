"""Two methods that have learned once and register any eye: no training, no start is needed.

A wide network finds where one photograph lies in the other. A near network then compares the
nearly registered photographs on finer and finer canvases. Its votes give a homography in the
radially corrected plane (the spatial transformer), and a smooth field (VoxelMorph).

PyTorch is loaded by the first call, not by the import of this file.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import SimpleITK as sitk
from annotated_types import Interval

from fundus_helpers import transforms
from fundus_helpers.methods import learned, networks
from fundus_helpers.methods.cache import remembered
from fundus_helpers.methods.homography.matches import Matches
from fundus_helpers.methods.homography.radial import RadialHomography, fit_homography
from fundus_helpers.methods.knobs import checked
from fundus_helpers.methods.pair import Pair, check_result, prepare_pair
from fundus_helpers.methods.start import coarse_alignment
from fundus_helpers.transforms.transform import RegistrationError

if TYPE_CHECKING:
    from fundus_helpers.methods.learned.canvas import Canvas
    from fundus_helpers.methods.learned.field import Bent
    from fundus_helpers.methods.learned.weights import Trained

# The canvases on which the near network looks, in pixels.
COARSE, FINE, FINEST = (256, 256), 384, 768

Begin = Literal["anywhere", "cross_correlation", "identity"]


@checked
def spatial_transformer(
    fixed: np.ndarray,
    moving: np.ndarray,
    *,
    fixed_mask: np.ndarray | None = None,
    moving_mask: np.ndarray | None = None,
    start: Begin | sitk.Transform = "anywhere",
    look_at: Literal["either", "images", "vessels"] = "either",
    looks: Annotated[int, Interval(ge=0, le=5)] = 1,
    trained: object | None = None,
) -> sitk.Transform:
    """Register two photographs by a homography that trained networks find.

    The radial constant of the camera is fitted with it (`homography.fit_homography`).

    Jaderberg et al., *Spatial transformer networks*, NeurIPS 2015, arXiv:1506.02025. The networks
    have learned from painted retinas only (`learned.train_wide`, `learned.train_near`).

    Parameters
    ----------
    fixed, moving : float ndarray in [0, 1], shape (height, width)
    fixed_mask, moving_mask : bool ndarray, optional
        True inside the field of view; None: found by `loading.field_of_view`.
    start : {"anywhere", "cross_correlation", "identity"}
        Start of the registration. ``anywhere``: the wide network compares every place with every
        other, for shifts of half the width, rotations of up to 35 degrees and magnifications of
        0.55 to 1.8. ``cross_correlation`` tries all shifts and some rotations. From the
        ``identity``, shifts of 1 % of the width are found. A transform that is nearly right is
        accepted, too, for example from points placed by hand (`methods.points.from_points`).
    look_at : {"either", "images", "vessels"}
        What is registered: the photographs, or pictures of their vessels, bright or dark.
        ``either``: the photographs; their vessels if that fails, or if vessels are dark in one
        photograph and bright in the other.
    looks : int in [0, 5]
        How often the near network looks at half the resolution. Each time it corrects what is left.
        0: it ends at a third of the resolution, faster and less accurately.
    trained : learned.Trained, optional
        None: those of the package. `learned.fine_tune` makes others, for one eye.

    Returns
    -------
    sitk.Transform
        Maps points (x, y) of the fixed image, in pixels, to points of the moving image.

    Raises
    ------
    ValueError
        For images, masks or knobs that are not as described.
    RegistrationError
        If an image shows nothing, if too few places agree, or if the result is not plausible.

    Examples
    --------
    >>> import numpy as np
    >>> from skimage.data import retina
    >>> import fundus_helpers as fh
    >>> image = fh.loading.single_channel(retina()[::2, ::2])
    >>> transform = fh.METHODS["spatial_transformer"](image, image)
    >>> bool(np.abs(fh.map_points(transform, [[300, 300]]) - 300).max() < 0.1)
    True
    """

    def register(pair: Pair) -> tuple[sitk.Transform, bool]:
        canvas, model = _homography(pair, start, looks, trained)
        return finish(model, canvas, pair), canvas.alike

    return _looking_at(look_at, prepare_pair(fixed, moving, fixed_mask, moving_mask), register)


@checked
def voxelmorph(
    fixed: np.ndarray,
    moving: np.ndarray,
    *,
    fixed_mask: np.ndarray | None = None,
    moving_mask: np.ndarray | None = None,
    start: Begin | sitk.Transform = "anywhere",
    look_at: Literal["either", "images", "vessels"] = "either",
    looks: Annotated[int, Interval(ge=0, le=5)] = 1,
    smoothness: Annotated[float, Interval(ge=0.25, le=8)] = 1.0,
    trained: object | None = None,
) -> sitk.Transform:
    """Register two photographs by a homography and a smooth field that trained networks find.

    Balakrishnan et al., *VoxelMorph: a learning framework for deformable medical image
    registration*, IEEE TMI 2019, doi:10.1109/TMI.2019.2897538. Here, the field is the mean of the
    votes of the near network on the vessels, weighted by their precision. Elsewhere they
    hardly count: the border of a lesion moves as the lesion grows.

    Parameters
    ----------
    fixed, moving, fixed_mask, moving_mask, start, look_at
        See `spatial_transformer`.
    looks : int in [0, 5]
        How often the near network looks at the full resolution, after one look at half of it. Each
        time it corrects what is left. 0: the homography alone.
    smoothness : float in [0.25, 8]
        Factor of the widths over which votes are averaged; the narrowest is 1/64 of the image.
        Smaller follows finer deformations, and more noise.
    trained : learned.Trained, optional
        See `spatial_transformer`.

    Returns
    -------
    sitk.Transform
        Maps points (x, y) of the fixed image, in pixels, to points of the moving image.

    Raises
    ------
    ValueError, RegistrationError
        See `spatial_transformer`.
    """

    def register(pair: Pair) -> tuple[sitk.Transform, bool]:
        canvas, model = _homography(pair, start, 1, trained)
        if looks > 0:
            model = find_field(canvas, _networks(trained), model, looks, smoothness)
        return finish(model, canvas, pair), canvas.alike

    return _looking_at(look_at, prepare_pair(fixed, moving, fixed_mask, moving_mask), register)


def _looking_at(
    look_at: str, pair: Pair, register: Callable[[Pair], tuple[sitk.Transform, bool]]
) -> sitk.Transform:
    """Register the photographs or their vessels; `register` tells if they look alike."""
    with networks.one_thread():
        if look_at == "vessels":
            return register(pair.vessels())[0]
        failure, transform = None, None
        try:
            transform, alike = register(pair)
            if look_at == "images" or alike:
                return transform
        except RegistrationError as error:
            if look_at == "images":
                raise
            failure = error
        try:
            return register(pair.vessels())[0]
        except RegistrationError:
            if failure is None:
                return transform
            raise failure from None  # what is said about the photographs says more


def _networks(trained: "Trained | None") -> "Trained":
    if trained is None:
        return learned.trained()
    if not isinstance(trained, learned.Trained):
        raise ValueError(
            f"trained={trained!r} is no networks; read a file with learned.load_trained first"
        )
    return trained


@remembered
def _homography(
    pair: Pair, start: Begin | sitk.Transform, looks: int, trained: "Trained | None"
) -> tuple["Canvas", RadialHomography]:
    canvas, model = learned.put_on_canvas(pair), None
    if start != "anywhere":
        given = {"cross_correlation": coarse_alignment, "identity": lambda _: transforms.identity()}
        transform = start if isinstance(start, sitk.Transform) else given[start](pair)
        model = _as_homography(transform, canvas)
    return find_homography(canvas, _networks(trained), model, looks)


def find_homography(
    canvas: "Canvas", found: "Trained", model: RadialHomography | None = None, looks: int = 1
) -> tuple["Canvas", RadialHomography]:
    """Find the homography of two photographs on the canvas.

    Parameters
    ----------
    canvas : Canvas
    found : Trained
        The networks.
    model : RadialHomography, optional
        One that is nearly right, in pixels of the canvas. None: it is found from anywhere.
    looks : int
        See `spatial_transformer`.

    Returns
    -------
    canvas : Canvas
        The same, or with the negative of the moving photograph if that looks more like the fixed
        one.
    model : RadialHomography

    Raises
    ------
    RegistrationError
        If too few places agree.
    """
    if model is None:
        start = learned.find_start(found.wide, canvas)
        canvas, model = start.canvas, start.model
    for size in (*COARSE, *(FINE,) * looks):
        model = learned.refit(learned.look(found.near, canvas, model, size), model, size)
    return canvas, model


def find_field(
    canvas: "Canvas",
    found: "Trained",
    model: RadialHomography,
    looks: int = 1,
    smoothness: float = 1.0,
) -> "Bent":
    """Find the smooth field that a homography leaves on the vessels.

    Parameters
    ----------
    canvas : Canvas
    found : Trained
        The networks.
    model : RadialHomography
        In pixels of the canvas.
    looks : int
        Looks at the full resolution, after one at half of it.
    smoothness : float
        See `voxelmorph`.

    Returns
    -------
    Bent
        Maps points of the fixed photograph to the moving one, in pixels of the canvas.
    """
    vessels, bent = learned.Vessels.of(canvas), model
    for size in (FINE, *(FINEST,) * looks):
        votes = learned.look(found.near, canvas, bent, size, both_ways=True)
        bent = learned.Bent(bent, vessels.weighted(votes, bent), smoothness)
    return bent


def _as_homography(transform: sitk.Transform, canvas: "Canvas") -> RadialHomography:
    """Fit a homography in pixels of the canvas to a transform in pixels of the photographs."""
    transform = transforms.rescale(transform, *(1 / factor for factor in canvas.factors))
    height, width = canvas.fixed_shape
    x, y = np.meshgrid(np.linspace(0, width, 9), np.linspace(0, height, 9))
    points = np.column_stack([x.ravel(), y.ravel()])
    mapped = transforms.map_points(transform, points)
    return fit_homography(Matches(points, mapped, canvas.fixed_shape, canvas.moving_shape))


def finish(
    model: Callable[[np.ndarray], np.ndarray], canvas: "Canvas", pair: Pair
) -> sitk.Transform:
    """Make the transform between the photographs, and refuse what is not plausible.

    Parameters
    ----------
    model : callable
        Maps points of the fixed photograph to the moving one, in pixels of the canvas.
    canvas : Canvas
    pair : Pair
        What lies on the canvas.

    Returns
    -------
    sitk.Transform
        Maps points (x, y) of the fixed photograph, in pixels, to points of the moving one.

    Raises
    ------
    RegistrationError
        See `methods.pair.check_result`.
    """
    transform = transforms.from_function(model, canvas.fixed_shape, spacing=8)
    transform = transforms.rescale(transform, *canvas.factors)
    check_result(transform, pair, modalities=True)
    return transform
