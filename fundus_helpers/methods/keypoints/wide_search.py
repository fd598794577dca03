"""Any rotation, and magnifications from 0.4 to 2.5: found when the ordinary search has failed.

Keypoints are matched without regard to their directions and sizes. The matches of one retina agree
in how far they are turned and magnified, so that those around the commonest turn are tried.
"""

import math

import numpy as np
import SimpleITK as sitk

from fundus_helpers import transforms
from fundus_helpers.methods.homography.matches import Matches
from fundus_helpers.methods.keypoints import matching
from fundus_helpers.methods.keypoints.features import Keypoints, find_keypoints
from fundus_helpers.methods.pair import Pair
from fundus_helpers.methods.start import LARGEST_TURNED_SCALE
from fundus_helpers.transforms.transform import RegistrationError

SIZE = 512  # see `keypoints.find_keypoints`
# Distances in degrees and ratios of sizes between neighbouring turns, and within one.
TURN_STEP, SCALE_STEP = 15.0, 1.25
TURN_WIDTH, SCALE_WIDTH = 25.0, 1.45
TRIED = 4  # turns with the most matches


def find_turn(pair: Pair, *, count: int = 2000) -> sitk.AffineTransform:
    """Find how far one photograph is turned and magnified against the other one.

    Parameters
    ----------
    pair : Pair
        Evenly lit images and their masks.
    count : int
        Number of keypoints in each image.

    Returns
    -------
    sitk.AffineTransform
        A similarity that maps fixed points to moving points, accurate to a few pixels.

    Raises
    ------
    RegistrationError
        If too few keypoints agree on any turn.
    """
    parts = [_matched(pair, count), _matched(pair.vessels(), count)]
    points, turns = (np.vstack(each) for each in zip(*parts, strict=True))
    best, most = None, 0
    for near in _commonest(turns):
        matches = Matches(points[near, :2], points[near, 2:], pair.fixed.shape, pair.moving.shape)
        model, agreeing = matching.robust_homography(matches)
        if agreeing > most:
            close = model.residuals(matches) < 2 * matching.AGREEMENT * max(pair.moving.shape)
            if close.sum() >= matching.ENOUGH_MATCHES:
                best, most = points[near][close], agreeing
    if most < matching.ENOUGH_MATCHES:
        raise RegistrationError(
            f"no common vessels were found at any rotation ({most} keypoints agree, "
            f"{matching.ENOUGH_MATCHES} are needed)"
        )
    found = transforms.from_matrix(
        transforms.nearest_matrix(best[:, :2], best[:, 2:], "similarity")
    )
    unit = max(pair.moving.shape) / max(pair.fixed.shape)
    scale = math.sqrt(np.linalg.det(transforms.to_matrix(found)[:, :2])) / unit
    if not 1 / LARGEST_TURNED_SCALE < scale < LARGEST_TURNED_SCALE:
        raise RegistrationError(f"not the same retina: magnified by {scale:.2f}")
    return found


def _matched(pair: Pair, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return matched points (x, y, x, y), and their turns: degrees, and logarithm of the ratio."""
    sides = (pair.fixed, pair.fixed_mask), (pair.moving, pair.moving_mask)
    fixed, moving = (find_keypoints(*side, count=count, size=SIZE) for side in sides)
    i, j = matching.mutual_neighbours(fixed, moving)
    return np.column_stack([fixed.points[i], moving.points[j]]), _turns(fixed, moving, i, j)


def _turns(fixed: Keypoints, moving: Keypoints, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    unit = max(fixed.shape) / max(moving.shape)
    ratios = moving.sizes[j] * unit / fixed.sizes[i]
    return np.column_stack([moving.angles[j] - fixed.angles[i], np.log(ratios)])


def _commonest(turns: np.ndarray) -> list[np.ndarray]:
    """Return which matches are near each of the commonest turns, bool, the commonest turn first."""
    steps = math.ceil(math.log(LARGEST_TURNED_SCALE) / math.log(SCALE_STEP))
    scales = math.log(SCALE_STEP) * np.arange(-steps, steps + 1)
    groups = []
    for angle in np.arange(0, 360, TURN_STEP):
        turned = np.abs((turns[:, 0] - angle + 180) % 360 - 180) < TURN_WIDTH
        for scale in scales:
            groups.append(turned & (np.abs(turns[:, 1] - scale) < math.log(SCALE_WIDTH)))
    return sorted(groups, key=np.sum, reverse=True)[:TRIED]
