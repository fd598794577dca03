"""A smooth displacement field that follows the vessels only.

The method is the least squares of Lucas and Kanade (IJCAI 1981; with windows as weights, Simoncelli
et al., CVPR 1991, doi:10.1109/CVPR.1991.139707). It uses windows from a tenth of the image down to
the surroundings of a vessel. Every pixel has a weight: it is high on vessels, and low where there
are no vessels or where the images differ. In a window without vessels, the displacement of the
wider window is kept. Where a window holds only one vessel, it determines only the displacement
across that vessel.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from fundus_helpers.loading.light import gaussian
from fundus_helpers.methods.keypoints.vessels import vessel_weight
from fundus_helpers.transforms.fields import area_change, pixel_grid
from fundus_helpers.transforms.warping import remap

# Standard deviations of the windows, as shares of the longer side: 64, 32, 16, 12 and 8 px of 728.
WINDOWS = (0.088, 0.044, 0.022, 0.016, 0.011)
# Windows wider than this use blurred images of half the size, which allows larger displacements.
COARSE_WINDOW = 0.03
COARSE_BLUR = 2.0  # standard deviation in pixels
STEPS = 2  # in each window
NODE_SPACING = 4  # pixels between the nodes of the displacement field

# A difference of brightness that is wider than this share of the longer side is a change: 6 px of
# 728.
CHANGE_WIDTH = 0.0082

# The change of area is limited to this factor by at most this number of smoothing rounds.
LARGEST_AREA_CHANGE, ROUNDS = 1.22, 20


def follow_vessels(
    fixed: np.ndarray,
    warped: np.ndarray,
    mask: np.ndarray,
    *,
    changing: np.ndarray | None = None,
    protect: bool = True,
    stiffness: float = 0.25,
    change_level: float = 0.04,
    windows: Sequence[float] = WINDOWS,
) -> np.ndarray:
    """Find the displacement field that aligns the vessels of two roughly registered images.

    Parameters
    ----------
    fixed, warped : float32 ndarray in [0, 1], shape (height, width)
        Images with even illumination. `warped` is the moving image on the fixed grid.
    mask : bool ndarray, shape (height, width)
        The overlap of both fields of view.
    changing : bool ndarray, shape (height, width), optional
        True where the retina may have changed. These pixels are ignored; the field is interpolated
        smoothly from around them.
    protect : bool
        Follow vessels only, and ignore differences of brightness that are wider than a vessel.
        False follows everything, including the border of a growing lesion; it exists only to show
        why this is wrong.
    stiffness : float
        Weight of the displacement of the wider window, relative to a window of average content.
        Larger gives a smoother field that follows the vessels less closely.
    change_level : float
        Difference of brightness, in grey values of the images, at which the weight of a pixel falls
        to one quarter. Smaller protects fainter changes, but loses vessels beside them.
    windows : sequence of float
        Standard deviations from wide to narrow, as shares of the longer side.

    Returns
    -------
    float32 ndarray, shape (height, width, 2)
        Displacements d = (dx, dy) in pixels: `fixed` at x shows what `warped` shows at x + d.
    """
    inside = mask.astype(np.float32)
    weight = inside
    if protect:
        weight = weight * np.sqrt(vessel_weight(fixed, mask) * vessel_weight(warped, mask))
    if changing is not None:
        weight = weight * ~changing
    full = fixed, warped, weight, inside
    half = tuple(_shrink(gaussian(array, COARSE_BLUR), 2) for array in full)
    full, half = ((*level, _share_inside(level[3])) for level in (full, half))
    displacement = np.zeros((*_shrink(fixed, NODE_SPACING).shape, 2), np.float32)
    for window in windows:
        level = half if window > COARSE_WINDOW else full
        prior = displacement
        for _ in range(STEPS):
            equations = _equations(*level, displacement, change_level if protect else None)
            displacement = _solve(equations, window * max(prior.shape), prior, stiffness)
    displacement = displacement * np.float32(max(fixed.shape))
    # On every second pixel, as in the transform that is made of it.
    shape = half[0].shape[::-1]
    displacement = cv2.resize(displacement, shape, interpolation=cv2.INTER_CUBIC)
    if protect:
        everywhere = np.ones(displacement.shape[:2], bool)
        displacement = limit_area_change(displacement, everywhere, spacing=2)
    return cv2.resize(displacement, fixed.shape[::-1])


def _shrink(array: np.ndarray, factor: int) -> np.ndarray:
    shape = tuple(round(n / factor) for n in array.shape[::-1])
    return cv2.resize(array, shape, interpolation=cv2.INTER_AREA)


def _equations(
    fixed: np.ndarray,
    warped: np.ndarray,
    weight: np.ndarray,
    inside: np.ndarray,
    share_inside: np.ndarray,
    displacement: np.ndarray,
    change_level: float | None,
) -> np.ndarray:
    """Return the weighted normal equations of the brightness difference, shape (h, w, 5).

    Displacements are relative to the longer side of the image, so that they are valid at every
    image size.
    """
    size = np.float32(max(fixed.shape))
    places = cv2.resize(size * displacement, fixed.shape[::-1])
    places += pixel_grid(fixed.shape, np.float32)
    moved = remap(warped, places, interpolation="cubic", fill=None)
    difference = fixed - moved
    if change_level is not None:
        weight = weight * _unchanged(difference * inside, share_inside, change_level)
    # The gradient of the mean of both images: the noise of a single one would bias the result.
    total = np.add(fixed, moved, out=moved)
    x, y = (cv2.Scharr(total, -1, *order, scale=size / 64) for order in ((1, 0), (0, 1)))
    across, along = weight * x, weight * y
    factors = (across, x), (across, y), (along, y), (across, difference), (along, difference)
    nodes = displacement.shape[1::-1]
    products = (
        cv2.resize(np.multiply(*each), nodes, interpolation=cv2.INTER_AREA) for each in factors
    )
    xx, xy, yy, ahead_x, ahead_y = products
    # The displacement so far is smooth: around a node it is nearly constant.
    dx, dy = cv2.split(displacement)
    return np.dstack([xx, xy, yy, ahead_x + xx * dx + xy * dy, ahead_y + xy * dx + yy * dy])


def _unchanged(difference: np.ndarray, share_inside: np.ndarray, level: float) -> np.ndarray:
    """Return a weight that is low where brightness differs over more than the width of a vessel.

    A vessel that is not yet aligned leaves a dark and a bright stripe, whose mean is zero. A lesion
    that has grown leaves a patch, whose mean is not. `difference` is zero outside the mask.
    """
    mean = gaussian(difference, CHANGE_WIDTH * max(difference.shape)) / share_inside
    return 1 / (1 + (mean / np.float32(level)) ** 2) ** 2


def _share_inside(inside: np.ndarray) -> np.ndarray:
    """Return the share of the surroundings of each pixel that lies inside the mask."""
    return gaussian(inside, CHANGE_WIDTH * max(inside.shape)) + np.float32(0.01)


def _solve(equations: np.ndarray, window: float, prior: np.ndarray, stiffness: float) -> np.ndarray:
    """Return the displacements at the nodes: least squares in each window, with a prior."""
    content = float(np.mean(equations[..., 0] + equations[..., 2])) / 2
    hold = np.float32(stiffness * content + 1e-12)
    xx, xy, yy, x, y = cv2.split(gaussian(equations, window))
    xx, yy = xx + hold, yy + hold
    x, y = x + hold * prior[..., 0], y + hold * prior[..., 1]
    determinant = xx * yy - xy**2
    return np.dstack([(yy * x - xy * y) / determinant, (xx * y - xy * x) / determinant])


def limit_area_change(
    displacement: np.ndarray,
    mask: np.ndarray,
    *,
    largest: float = LARGEST_AREA_CHANGE,
    spacing: int = 1,
) -> np.ndarray:
    """Smooth a displacement field where it changes the area more than is plausible.

    Parameters
    ----------
    displacement : float32 ndarray, shape (height, width, 2)
        (dx, dy) in pixels.
    mask : bool ndarray, shape (height, width)
        Where the limit applies.
    largest : float
        The area may grow or shrink by this factor. A value nearer to 1 gives a smoother field.
    spacing : int
        Distance between neighbouring nodes of the field in pixels.

    Returns
    -------
    float32 ndarray, shape (height, width, 2)
    """
    sigma = 0.01 * max(mask.shape)
    whole = np.ones(mask.shape, np.float32)
    for _ in range(ROUNDS):
        area = area_change(displacement, spacing)
        bad = ((area > largest) | (area < 1 / largest)) & mask[:-1, :-1]
        if not bad.any():
            return displacement
        width = 2 * round(sigma) + 1
        around = cv2.dilate(np.pad(bad, ((0, 1), (0, 1))).astype(np.float32), np.ones((width,) * 2))
        around = gaussian(around, sigma / 2)[..., None]
        smooth = gaussian(displacement, sigma) / gaussian(whole, sigma)[..., None]
        displacement = displacement + around * (smooth - displacement)
        sigma *= 1.3
    # If smoothing was not sufficient, reduce the displacements everywhere.
    steepest = max(np.abs(np.diff(displacement, axis=axis)).max() for axis in (0, 1)) / spacing
    return displacement * np.float32(min(1, (largest**0.5 - 1) / (2 * steepest)))
