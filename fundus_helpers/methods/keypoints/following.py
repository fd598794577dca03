"""A smooth displacement that follows the vessels, and nothing else.

Lucas and Kanade's least squares (IJCAI 1981; the windows as weights, Simoncelli et al., CVPR 1991,
doi:10.1109/CVPR.1991.139707) from windows of a sixth of the image to windows as wide as a vessel's
surroundings. Every pixel has a weight: vessels count, what changed and what has no vessels does
not. Where a window holds nothing to follow, the displacement of the wider window around it stays;
where one vessel is all there is, only the displacement across it is taken from it.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from fundus_helpers.loading.light import gaussian
from fundus_helpers.methods.keypoints.vessels import vessel_weight
from fundus_helpers.transforms.fields import area_change, pixel_grid
from fundus_helpers.transforms.warping import remap

# Standard deviations of the windows, as shares of the longer side: 128, 64, ... 8 px of 728.
WINDOWS = (0.176, 0.088, 0.044, 0.022, 0.011)


# The displacement is found on nodes so many pixels apart.
NODE_SPACING = 4


# Wide windows look at images of half the size, blurred, which forgives a larger displacement.
COARSE_WINDOW = 0.03


COARSE_BLUR = 2.0


STEPS = 2  # in each window


# What differs over more than this share of the longer side is a change: 6 px of 728.
CHANGE_WIDTH = 0.0082


LARGEST_AREA_CHANGE, ROUNDS = 1.22, 20


def follow_vessels(
    fixed: np.ndarray,
    warped: np.ndarray,
    mask: np.ndarray,
    *,
    changing: np.ndarray | None = None,
    protect: bool = True,
    stiffness: float = 0.1,
    change_level: float = 0.04,
    windows: Sequence[float] = WINDOWS,
) -> np.ndarray:
    """Find the displacement that lays the vessels of two roughly aligned images on each other.

    Parameters
    ----------
    fixed, warped : float32 ndarray in [0, 1], shape (height, width)
        Evenly lit; the moving image on the grid of the fixed one.
    mask : bool ndarray, shape (height, width)
        The overlap of both fields of view.
    changing : bool ndarray, shape (height, width), optional
        True where the retina may have changed: left out, and filled smoothly from around.
    protect : bool
        Follow vessels only, and leave out what differs in brightness over more than a vessel's
        width. False follows everything, the border of a growing lesion too: a warning, not a
        setting to use.
    stiffness : float
        Weight of the wider window's displacement against a window of average content. More is
        smoother, and follows less.
    change_level : float
        Difference of brightness, in grey values of the evenly lit images, that halves a weight
        and more. Less protects fainter changes, and loses vessels beside them.
    windows : sequence of float
        Standard deviations, wide to narrow, as shares of the longer side.

    Returns
    -------
    float32 ndarray, shape (height, width, 2)
        (dx, dy) in pixels: pixel x of `fixed` shows what `warped` shows at x + d.
    """
    inside = mask.astype(np.float32)
    weight = inside
    if protect:
        weight = weight * np.sqrt(vessel_weight(fixed, mask) * vessel_weight(warped, mask))
    if changing is not None:
        weight = weight * ~changing
    full = fixed, warped, weight, inside
    half = tuple(_shrink(gaussian(array, COARSE_BLUR), 2) for array in full)
    displacement = np.zeros((*_shrink(fixed, NODE_SPACING).shape, 2), np.float32)
    for window in windows:
        level = half if window > COARSE_WINDOW else full
        prior = displacement
        for _ in range(STEPS):
            equations = _equations(*level, displacement, change_level if protect else None)
            displacement = _solve(equations, window * max(prior.shape), prior, stiffness)
    displacement = displacement * np.float32(max(fixed.shape))
    # On every second pixel, which is what a transform keeps of it.
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
    displacement: np.ndarray,
    change_level: float | None,
) -> np.ndarray:
    """Weighted normal equations of the brightness difference on the nodes, shape (h, w, 5).

    Displacements are in longer sides of the image, so that they hold at every level.
    """
    height, width = fixed.shape
    size = np.float32(max(fixed.shape))
    field = cv2.resize(displacement, (width, height))
    places = pixel_grid(fixed.shape, np.float32) + size * field
    moved = remap(warped, places, interpolation="cubic", fill=None)
    dx, dy = cv2.split(field)
    difference = fixed - moved
    if change_level is not None:
        weight = weight * _unchanged(difference, inside, change_level)
    # The gradient of the mean of both images: of one alone, its grain would pull.
    mean = (fixed + moved) / 2
    x, y = (cv2.Scharr(mean, -1, *order, scale=size / 32) for order in ((1, 0), (0, 1)))
    ahead = weight * (difference + x * dx + y * dy)
    weighted_x = weight * x
    products = weighted_x * x, weighted_x * y, weight * y * y, ahead * x, ahead * y
    nodes = displacement.shape[1::-1]
    return np.dstack([cv2.resize(p, nodes, interpolation=cv2.INTER_AREA) for p in products])


def _unchanged(difference: np.ndarray, inside: np.ndarray, level: float) -> np.ndarray:
    """Weight that falls where brightness differs over more than a vessel's width.

    A vessel that is not yet in place leaves a dark and a bright stripe, which cancel; a lesion
    that has grown leaves a patch, which does not.
    """
    sigma = CHANGE_WIDTH * max(difference.shape)
    mean = gaussian(difference * inside, sigma) / (gaussian(inside, sigma) + np.float32(0.01))
    return 1 / (1 + (mean / np.float32(level)) ** 2) ** 2


def _solve(equations: np.ndarray, window: float, prior: np.ndarray, stiffness: float) -> np.ndarray:
    """Displacement on the nodes: least squares in each window, held to the prior."""
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
    """Smooth a displacement where it swells or shrinks the retina more than is plausible.

    Parameters
    ----------
    displacement : float32 ndarray, shape (height, width, 2)
        (dx, dy) in pixels.
    mask : bool ndarray, shape (height, width)
        Where the limit must hold.
    largest : float
        Area may grow by this factor, or shrink by it. Nearer to 1 is smoother.
    spacing : int
        Pixels from one entry of the displacement to the next.

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
    # Nothing left but to follow less everywhere.
    steepest = max(np.abs(np.diff(displacement, axis=axis)).max() for axis in (0, 1)) / spacing
    return displacement * np.float32(min(1, (largest**0.5 - 1) / (2 * steepest)))
