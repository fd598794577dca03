"""Optical flow: every pixel its own displacement. TV-L1, iterative Lucas-Kanade, and DIS.

Flow believes that a point keeps its brightness. Photographs of a retina keep no such promise, so
the flow is taken on evenly lit images, from a rough alignment on, only where both fields of view
show the retina, and is then smoothed, as a retina has no freedom of its own at every pixel.
"""

import math
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import SimpleITK as sitk
from skimage.registration import optical_flow_ilk, optical_flow_tvl1

from fundus_helpers import transforms
from fundus_helpers.methods.knobs import check_range, checked
from fundus_helpers.methods.pair import check_result, prepare_pair
from fundus_helpers.methods.start import find_start
from fundus_helpers.transforms import fields
from fundus_helpers.transforms.transform import RegistrationError

# A free field makes any two retinas correlate somewhat, two photographs of one by 0.5 and more.
LEAST_CORRELATION = 0.45


# What the article does: raw grey images, black border and all, from the identity, nothing smoothed.
# Give it masks that are True everywhere. It is here to be looked at, not to be used.
ARTICLE_SETTINGS = {
    "normalise": False,
    "initialisation": "identity",
    "warps": 5,
    "smoothness": 0.0,
}


@checked
def tvl1(
    fixed: np.ndarray,
    moving: np.ndarray,
    *,
    fixed_mask: np.ndarray | None = None,
    moving_mask: np.ndarray | None = None,
    normalise: bool = True,
    initialisation: str = "cross_correlation",
    attachment: float = 15.0,
    tightness: float = 0.3,
    warps: int = 3,
    iterations: int = 10,
    smoothness: float = 6.0,
) -> sitk.Transform:
    """Register two photographs by TV-L1 optical flow (scikit-image).

    Zach et al., DAGM 2007, doi:10.1007/978-3-540-74936-3_22. Robust to what is in one image only,
    at the price of a flow in flat pieces, which the smoothing rounds off.

    Parameters
    ----------
    fixed, moving : float ndarray in [0, 1], shape (height, width)
    fixed_mask, moving_mask : bool ndarray, optional
        True inside the field of view; None: found by `loading.field_of_view`.
    normalise : bool
        Even out the illumination first. False: the flow follows the light, not the retina.
    initialisation : {"cross_correlation", "geometry", "moments", "identity"}
        Where it starts: at the best of all shifts and some rotations, with the centres or the
        centres of brightness on each other, or as the images lie (`methods.find_start`),
        which is for pairs that are registered already.
    attachment : float in [0.1, 1000]
        Weight of the images against the smoothness of the flow. Larger follows every grain.
    tightness : float in [0.01, 10]
        Of the coupling between the two steps of the solver; lower converges more slowly.
    warps : int in [1, 40]
        Times the moving image is warped on each level. More is slower and follows larger shifts.
    iterations : int in [1, 100]
        Of the solver between two warps.
    smoothness : float in [0, 50]
        Standard deviation, in pixels of an image of 768, of the blur of the flow. Larger is stiffer
        and safer, smaller follows, and imagines, more. Doubled until nothing folds; 0: left as is.

    Returns
    -------
    sitk.Transform
        Maps points (x, y) of the fixed image, in pixels, to points of the moving image: the rough
        alignment and a displacement field. Beyond the overlap the field is carried on smoothly.

    Raises
    ------
    ValueError
        For images, masks or knobs that are not as described.
    RegistrationError
        If an image shows nothing or the result cannot be true (`methods.check_result`).
    """
    flow = partial(
        optical_flow_tvl1,
        attachment=attachment,
        tightness=tightness,
        num_warp=warps,
        num_iter=iterations,
    )
    images = (fixed, moving, fixed_mask, moving_mask)
    return _register(_in_columns_and_rows(flow), *images, normalise, initialisation, smoothness)


@checked
def ilk(
    fixed: np.ndarray,
    moving: np.ndarray,
    *,
    fixed_mask: np.ndarray | None = None,
    moving_mask: np.ndarray | None = None,
    normalise: bool = True,
    initialisation: str = "cross_correlation",
    radius: int = 12,
    warps: int = 10,
    smoothness: float = 6.0,
) -> sitk.Transform:
    """Register two photographs by iterative Lucas-Kanade optical flow (scikit-image).

    Le Besnerais and Champagnat, ICIP 2005, doi:10.1109/ICIP.2005.1529706. All pixels of a window
    move alike, so it needs no other smoothness, but a window without vessels goes astray.

    Parameters
    ----------
    fixed, moving, fixed_mask, moving_mask, normalise, initialisation, warps, smoothness
        See `tvl1`.
    radius : int in [1, 60] px
        Of the window, in pixels, with Gaussian weights. Larger is smoother and slower.

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
    images = (fixed, moving, fixed_mask, moving_mask)
    return _register(_in_columns_and_rows(flow), *images, normalise, initialisation, smoothness)


@checked
def dis(
    fixed: np.ndarray,
    moving: np.ndarray,
    *,
    fixed_mask: np.ndarray | None = None,
    moving_mask: np.ndarray | None = None,
    normalise: bool = True,
    initialisation: str = "cross_correlation",
    patch_size: int = 12,
    finest_scale: int = 0,
    smoothness: float = 6.0,
) -> sitk.Transform:
    """Register two photographs by dense inverse search, the fast optical flow (OpenCV).

    Kroeger et al., ECCV 2016, doi:10.1007/978-3-319-46493-0_29: patches find their partners from
    coarse to fine, a variational step joins them.

    Parameters
    ----------
    fixed, moving, fixed_mask, moving_mask, normalise, initialisation, smoothness
        See `tvl1`.
    patch_size : int in [4, 48] px
        Side of a patch in pixels. Larger is surer where vessels are few, and coarser.
    finest_scale : int in [0, 2] levels
        Level at which the search ends: 0 is full size, each further one half of it, and faster; at
        most 4 for patches of 12 pixels in an image of 768.

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
        # Out of these bounds DIS takes knobs of its own, or the whole process down.
        check_range("patch_size", patch_size, 1, min(fixed.shape) // 2)
        coarsest = int(math.log2(max(fixed.shape) / patch_size) - 1.5)
        check_range("finest_scale", finest_scale, 0, coarsest)
        search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        search.setPatchSize(patch_size)
        search.setPatchStride(max(patch_size // 3, 1))
        search.setFinestScale(finest_scale)
        eight_bit = [np.uint8(np.round(image * 255)) for image in (fixed, moving)]
        return search.calc(*eight_bit, None)

    images = (fixed, moving, fixed_mask, moving_mask)
    return _register(flow, *images, normalise, initialisation, smoothness)


def _in_columns_and_rows(flow: Callable) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Turn scikit-image's flow, (rows, columns) first, into (height, width, 2), (dx, dy)."""
    return lambda fixed, moving: np.stack(flow(fixed, moving)[::-1], axis=-1)


def _register(
    flow: Callable[[np.ndarray, np.ndarray], np.ndarray],
    fixed: np.ndarray,
    moving: np.ndarray,
    fixed_mask: np.ndarray | None,
    moving_mask: np.ndarray | None,
    normalise: bool,
    initialisation: str,
    smoothness: float,
) -> sitk.Transform:
    """Register by any flow of two float images of one shape, fixed to moving, (dx, dy)."""
    pair = prepare_pair(fixed, moving, fixed_mask, moving_mask, normalise=normalise)
    start = find_start(pair, initialisation)
    warped = transforms.warp(pair.moving, start, pair.fixed.shape)
    common = transforms.overlap(pair.fixed_mask, pair.moving_mask, start)
    # What one image alone shows must not pull: it becomes plain background in both.
    images = [np.where(common, image, np.float32(0.5)) for image in (pair.fixed, warped)]
    field = flow(*images)
    if smoothness:
        followed = transforms.warp(images[1], transforms.from_displacement(field), fill=0.5)
        known = fields.support(images[0], followed, common)
        known = known * fields.plausible(field, known)
        sigma = smoothness * max(common.shape) / 768
        field = fields.smooth_without_folds(field, known, sigma)
        if fields.area(field)[common].min() <= 0:
            raise RegistrationError("the flow folds, however much it is smoothed")
        bent = transforms.from_displacement(fields.every_second(field), spacing=2)
    else:
        bent = transforms.from_displacement(fields.smooth(field, common, 0))
    transform = transforms.compose(bent, start)
    if normalise:
        check_result(transform, pair, least_correlation=LEAST_CORRELATION)
    return transform
