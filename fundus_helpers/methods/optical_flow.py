"""Optical flow, a displacement for every pixel: TV-L1, iterative Lucas-Kanade, and DIS.

Optical flow assumes that a point of the retina has the same brightness in both photographs. This
is not true for photographs of different visits. Therefore the flow is computed on evenly lit
images, after a rough alignment, and only in the overlap of the fields of view. It is smoothed
afterwards, because neighbouring points of a retina move together.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Annotated

import cv2
import numpy as np
import SimpleITK as sitk
from annotated_types import Interval
from skimage.registration import optical_flow_ilk, optical_flow_tvl1

from fundus_helpers import transforms
from fundus_helpers.methods.knobs import ImageUnit, check_range, checked
from fundus_helpers.methods.lines import LookAt
from fundus_helpers.methods.pair import LEAST_FLEXIBLE_CORRELATION, check_result, prepare_pair
from fundus_helpers.methods.start import Initialisation, find_start
from fundus_helpers.transforms import fields
from fundus_helpers.transforms.transform import RegistrationError

# The settings of the article: raw grey images with their black border, from the identity, without
# smoothing. Use them with masks that are True everywhere, and only for a comparison.
ARTICLE_SETTINGS = {
    "normalise": False,
    "initialisation": "identity",
    "warps": 5,
    "smoothness": 0.0,
}

# Knobs of several methods.
Warps = Annotated[int, Interval(ge=1, le=40)]
Smoothness = Annotated[float, Interval(ge=0, le=50)]


@checked
def tvl1(
    fixed: np.ndarray,
    moving: np.ndarray,
    *,
    fixed_mask: np.ndarray | None = None,
    moving_mask: np.ndarray | None = None,
    start: sitk.Transform | None = None,
    look_at: LookAt = "images",
    normalise: bool = True,
    initialisation: Initialisation = "cross_correlation",
    attachment: Annotated[float, Interval(ge=0.1, le=1000)] = 15.0,
    tightness: Annotated[float, Interval(ge=0.01, le=10)] = 0.3,
    warps: Warps = 3,
    iterations: Annotated[int, Interval(ge=1, le=100)] = 10,
    smoothness: Smoothness = 6.0,
) -> sitk.Transform:
    """Register two photographs by TV-L1 optical flow (scikit-image).

    Zach et al., DAGM 2007, doi:10.1007/978-3-540-74936-3_22. The method is robust to structures
    that only one image shows. Its flow is piecewise constant, and the smoothing removes the steps.

    Parameters
    ----------
    fixed, moving : float ndarray in [0, 1], shape (height, width)
    fixed_mask, moving_mask : bool ndarray, optional
        True inside the field of view; None: found by `loading.field_of_view`.
    start : sitk.Transform, optional
        A transform that is nearly right, for example from points placed by hand
        (`methods.points.from_points`). It replaces the `initialisation`.
    look_at : {"images", "vessels"}
        What is registered: the photographs, or pictures of their vessels, bright or dark.
        ``vessels`` is for photographs of two modalities.
    normalise : bool
        Even out the illumination first. False: the flow follows the illumination, not the retina.
    initialisation : {"cross_correlation", "geometry", "moments", "identity"}
        Start of the registration: the best of all shifts and some rotations, the centres of the
        images aligned, their centres of brightness aligned, or the images not moved at all
        (`methods.start.find_start`). The identity is for pairs that are already registered.
    attachment : float in [0.1, 1000]
        Weight of the similarity of the images against the smoothness of the flow. With a large
        weight the flow follows noise.
    tightness : float in [0.01, 10]
        Strength of the coupling between the two steps of the solver. With a smaller value it
        converges more slowly.
    warps : int in [1, 40]
        How often the moving image is warped on each level. More warps are slower and follow larger
        displacements.
    iterations : int in [1, 100]
        Number of iterations of the solver between two warps.
    smoothness : float in [0, 50]
        Standard deviation of the blur of the flow, in pixels of an image whose longer side is
        768. A larger value is stiffer and safer. A smaller value follows smaller deformations, true
        and false ones. It is doubled until the field does not fold; 0: no blur.

    Returns
    -------
    sitk.Transform
        Maps points (x, y) of the fixed image, in pixels, to points of the moving image. It consists
        of the rough alignment and a displacement field, which continues smoothly outside of the
        overlap.

    Raises
    ------
    ValueError
        For images, masks or knobs that are not as described.
    RegistrationError
        If an image shows nothing, or if the result is not plausible (`methods.pair.check_result`).
    """
    flow = partial(
        optical_flow_tvl1,
        attachment=attachment,
        tightness=tightness,
        num_warp=warps,
        num_iter=iterations,
    )
    images = (fixed, moving, fixed_mask, moving_mask, start)
    how = {"look_at": look_at, "normalise": normalise}
    return _register(_in_columns_and_rows(flow), *images, initialisation, smoothness, **how)


@checked
def ilk(
    fixed: np.ndarray,
    moving: np.ndarray,
    *,
    fixed_mask: np.ndarray | None = None,
    moving_mask: np.ndarray | None = None,
    start: sitk.Transform | None = None,
    look_at: LookAt = "images",
    normalise: bool = True,
    initialisation: Initialisation = "cross_correlation",
    radius: Annotated[int, Interval(ge=1, le=60), ImageUnit("px")] = 12,
    warps: Warps = 10,
    smoothness: Smoothness = 6.0,
) -> sitk.Transform:
    """Register two photographs by iterative Lucas-Kanade optical flow (scikit-image).

    Le Besnerais and Champagnat, ICIP 2005, doi:10.1109/ICIP.2005.1529706. The method assumes that
    all pixels of a window have the same displacement. It finds wrong displacements in windows
    without vessels.

    Parameters
    ----------
    fixed, moving, fixed_mask, moving_mask, start, look_at, normalise, initialisation
        See `tvl1`.
    radius : int in [1, 60] px
        Radius of the window in pixels; its weights are Gaussian. A larger window gives a smoother
        flow and is slower.
    warps, smoothness
        See `tvl1`.

    Returns
    -------
    sitk.Transform
        See `tvl1`.

    Raises
    ------
    ValueError, RegistrationError
        See `tvl1`.
    """
    flow = partial(optical_flow_ilk, radius=radius, num_warp=warps, gaussian=True)
    images = (fixed, moving, fixed_mask, moving_mask, start)
    how = {"look_at": look_at, "normalise": normalise}
    return _register(_in_columns_and_rows(flow), *images, initialisation, smoothness, **how)


@checked
def dis(
    fixed: np.ndarray,
    moving: np.ndarray,
    *,
    fixed_mask: np.ndarray | None = None,
    moving_mask: np.ndarray | None = None,
    start: sitk.Transform | None = None,
    look_at: LookAt = "images",
    normalise: bool = True,
    initialisation: Initialisation = "cross_correlation",
    patch_size: Annotated[int, Interval(ge=4, le=48), ImageUnit("px")] = 12,
    finest_scale: Annotated[int, Interval(ge=0, le=2), ImageUnit("levels")] = 0,
    smoothness: Smoothness = 6.0,
) -> sitk.Transform:
    """Register two photographs by dense inverse search, the fast optical flow (OpenCV).

    Kroeger et al., ECCV 2016, doi:10.1007/978-3-319-46493-0_29. The method matches patches from
    coarse to fine, and refines the flow by a variational step.

    Parameters
    ----------
    fixed, moving, fixed_mask, moving_mask, start, look_at, normalise, initialisation
        See `tvl1`.
    patch_size : int in [4, 48] px
        Side of a patch in pixels. Larger patches are more reliable where there are few vessels,
        but the flow is coarser.
    finest_scale : int in [0, 2] levels
        Level on which the search ends: 0 is the full size, 1 is half of it, 2 is a quarter. A
        higher level is faster and coarser.
    smoothness
        See `tvl1`.

    Returns
    -------
    sitk.Transform
        See `tvl1`.

    Raises
    ------
    ValueError, RegistrationError
        See `tvl1`.
    """

    def flow(fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
        # Outside of these bounds DIS uses other values, or it crashes the whole process.
        check_range("patch_size", patch_size, 1, min(fixed.shape) // 2)
        coarsest = int(math.log2(max(fixed.shape) / patch_size) - 1.5)
        check_range("finest_scale", finest_scale, 0, coarsest)
        search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        search.setPatchSize(patch_size)
        search.setPatchStride(max(patch_size // 3, 1))
        search.setFinestScale(finest_scale)
        eight_bit = [np.uint8(np.round(image * 255)) for image in (fixed, moving)]
        return search.calc(*eight_bit, None)

    images = (fixed, moving, fixed_mask, moving_mask, start)
    how = {"look_at": look_at, "normalise": normalise}
    return _register(flow, *images, initialisation, smoothness, **how)


def _in_columns_and_rows(flow: Callable) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Convert the flow of scikit-image, (rows, columns), to (dx, dy) of (height, width, 2)."""
    return lambda fixed, moving: np.stack(flow(fixed, moving)[::-1], axis=-1)


def _register(
    flow: Callable[[np.ndarray, np.ndarray], np.ndarray],
    fixed: np.ndarray,
    moving: np.ndarray,
    fixed_mask: np.ndarray | None,
    moving_mask: np.ndarray | None,
    start: sitk.Transform | None,
    initialisation: str,
    smoothness: float,
    *,
    look_at: LookAt,
    normalise: bool,
) -> sitk.Transform:
    """Register by a function that gives the flow (dx, dy) from the fixed to the moving image."""
    how = {"normalise": normalise, "look_at": look_at}
    pair = prepare_pair(fixed, moving, fixed_mask, moving_mask, **how)
    start = find_start(pair, initialisation, start=start)
    warped = transforms.warp(pair.moving, start, pair.fixed.shape)
    common = transforms.overlap(pair.fixed_mask, pair.moving_mask, start)
    # Structures that only one image shows must have no influence: they become background in both.
    images = [np.where(common, image, np.float32(0.5)) for image in (pair.fixed, warped)]
    field = flow(*images)
    if smoothness:
        followed = transforms.warp(images[1], transforms.from_displacement(field), fill=0.5)
        known = fields.support(images[0], followed, common)
        known = known * fields.plausible(field, known)
        sigma = smoothness * max(common.shape) / 768
        field = fields.smooth_without_folds(field, known, sigma)
        if fields.area(field)[common].min() <= 0:
            raise RegistrationError("the flow folds, even with the strongest smoothing")
        bent = transforms.from_displacement(fields.every_second(field), spacing=2)
    else:
        bent = transforms.from_displacement(fields.smooth(field, common, 0))
    transform = transforms.compose(bent, start)
    if normalise:
        check_result(transform, pair, least_correlation=LEAST_FLEXIBLE_CORRELATION)
    return transform
