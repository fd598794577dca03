"""An alignment of the vessels of two photographs as a whole, from a start that is nearly right.

In a blurred, dark or over-exposed photograph too few keypoints can be recognised. But its widest
vessels, taken together, still show where it lies if the start is a few pixels off.
"""

import cv2
import numpy as np
import SimpleITK as sitk

from fundus_helpers import transforms
from fundus_helpers.methods.keypoints.vessels import vessel_strength
from fundus_helpers.methods.pair import Pair

# Half widths of the vessels, and the blur of the maps, as shares of the longer side: 4 and 8 px,
# 2 px of 728. Narrower vessels cannot be seen in photographs that need this.
WIDE_VESSELS, BLUR = (0.0055, 0.011), 0.0027
# The alignment is used only if the maps of the vessels correlate by at least the first value, and
# if it moves the points of the overlap by at most the second, a mean share of the longer side; a
# hand is never so wrong. The maps of spoiled photographs of one eye correlated by 0.4 or more,
# those of two eyes and those without vessels by 0.15 at most.
LEAST_CORRELATION, LARGEST_MOVE = 0.25, 0.05
STEPS, SMALLEST_STEP = 60, 1e-5


def align_vessels(pair: Pair, start: sitk.Transform) -> sitk.Transform | None:
    """Find the affine transform near a start that brings the vessels onto each other best.

    It maximises the enhanced correlation coefficient (Evangelidis and Psarakis, IEEE TPAMI 2008,
    doi:10.1109/TPAMI.2008.113) of two maps of vessels. So a lesion that has grown counts little.

    Parameters
    ----------
    pair : Pair
        Evenly lit images and their masks.
    start : sitk.Transform
        Linear. Maps fixed to moving points with an error of about ten pixels or less.

    Returns
    -------
    sitk.Transform or None
        None if no common vessels are seen near the start.
    """
    common = transforms.overlap(pair.fixed_mask, pair.moving_mask, start)
    back = transforms.invert(start, pair.moving.shape)
    seen = transforms.overlap(pair.moving_mask, pair.fixed_mask, back)  # on the moving image
    maps = [
        _vessel_map(image, mask)
        for image, mask in ((pair.fixed, pair.fixed_mask), (pair.moving, pair.moving_mask))
    ]
    criteria = cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, STEPS, SMALLEST_STEP
    matrix = transforms.to_matrix(start).astype(np.float32)
    try:
        correlation, matrix = cv2.findTransformECC(
            *maps, matrix, cv2.MOTION_AFFINE, criteria, seen.astype(np.uint8), 1
        )
    except cv2.error:  # it does not converge: the images have nothing in common
        return None
    found = transforms.from_matrix(matrix.astype(float))
    near = _moved(start, found, common) <= LARGEST_MOVE
    return found if near and correlation >= LEAST_CORRELATION else None


def _vessel_map(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    strength = vessel_strength(image, mask, half_widths=WIDE_VESSELS, edge_penalty=1.0)
    return cv2.GaussianBlur(strength, (0, 0), BLUR * max(image.shape))


def _moved(start: sitk.Transform, found: sitk.Transform, common: np.ndarray) -> float:
    rows, columns = np.nonzero(common)
    step = max(len(rows) // 500, 1)
    points = np.column_stack([columns, rows])[::step]
    apart = transforms.map_points(start, points) - transforms.map_points(found, points)
    return float(np.linalg.norm(apart, axis=1).mean() / max(common.shape))
