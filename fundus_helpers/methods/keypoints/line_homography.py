"""The homography of two photographs whose vessels are lines, bright in one and dark in the other.

Keypoints are found in pictures of the lines. If too few agree, the directions of the lines give a
coarse alignment, the lines as a whole a better one, and keypoints near it the homography.
"""

from functools import partial

import cv2
import numpy as np
import SimpleITK as sitk

from fundus_helpers import transforms
from fundus_helpers.methods.cache import remembered
from fundus_helpers.methods.homography.matches import Matches
from fundus_helpers.methods.homography.radial import RADIAL_CONSTANT, RadialHomography
from fundus_helpers.methods.keypoints import matching
from fundus_helpers.methods.keypoints.features import Keypoints, find_keypoints
from fundus_helpers.methods.lines import line_picture
from fundus_helpers.methods.pair import Pair, small_overlap_factor, vessel_correlation
from fundus_helpers.methods.start import align_directions
from fundus_helpers.transforms.transform import RegistrationError

# Half widths of the lines of a second pair of pictures, as shares of the longer side: 4 and 8 px of
# 728. Angiograms show the wide vessels best, and are often blurred.
WIDE_LINES = (0.0055, 0.011)
# Magnifications that the coarse alignment tries, for images with the same longer side.
SCALES = (0.89, 1.0, 1.12)
# Blurs of the pictures of lines, as shares of the longer side, when they are aligned as a whole.
BLURS = (0.0055, 0.0027)
STEPS, SMALLEST_STEP = 60, 1e-5
# Least correlation of the pictures of lines after the homography, if no keypoints agree by
# themselves: of two eyes at most 0.15, of one eye at least 0.27.
LEAST_LINE_CORRELATION = 0.2


@remembered
def find_line_homography(
    pair: Pair,
    *,
    radial_constant: float = RADIAL_CONSTANT,
    fit_constant: bool = True,
    count: int = 2000,
) -> tuple[RadialHomography, Matches]:
    """Find the homography of two evenly lit images from their vessels, bright or dark.

    Parameters
    ----------
    pair : Pair
        Looks at images; about 728 px wide.
    radial_constant, fit_constant
        See `keypoints.register`.
    count : int
        Number of keypoints in each picture.

    Returns
    -------
    model : RadialHomography
        In pixels of the pair.
    matches : Matches
        Matches of the pictures that are close to the model.

    Raises
    ------
    RegistrationError
        If neither the keypoints agree nor the vessels as a whole.
    """
    vessels, sides = pair.vessels(), line_keypoints(pair, count)
    camera = {"radial_constant": radial_constant, "fit_constant": fit_constant}
    found, agreeing = matching.match(*sides, **camera)
    if found is not None:
        return found
    start = fit_lines(vessels, align_directions(vessels, scales=SCALES))
    model, matches = matching.refine(partial(transforms.map_points, start), *sides, **camera)
    seen = line_agreement(model, vessels) if matching.is_plausible(model) else 0.0
    if seen < LEAST_LINE_CORRELATION:
        raise RegistrationError(
            "no common vessels were found, bright or dark: another eye, too small an overlap, or a "
            f"mirrored image ({agreeing} keypoints of the vessels agree, {matching.ENOUGH_MATCHES} "
            f"are needed; the vessels as a whole have a correlation of {seen:.2f}, "
            f"{LEAST_LINE_CORRELATION} is needed)"
        )
    return model, matches


def line_keypoints(pair: Pair, count: int) -> tuple[list[Keypoints], list[Keypoints]]:
    """Find keypoints in the pictures of the narrow and of the wide lines of both images.

    Parameters
    ----------
    pair : Pair
        Looks at images.
    count : int
        Number of keypoints in each picture.

    Returns
    -------
    fixed : list of Keypoints
        Those of the narrow lines, then those of the wide ones.
    moving : list of Keypoints
    """
    vessels, sides = pair.vessels(), []
    for image, picture, mask in (
        (pair.fixed, vessels.fixed, pair.fixed_mask),
        (pair.moving, vessels.moving, pair.moving_mask),
    ):
        wide = line_picture(image, mask, half_widths=WIDE_LINES)
        sides.append([find_keypoints(each, mask, count=count) for each in (picture, wide)])
    return sides[0], sides[1]


def fit_lines(pair: Pair, start: sitk.Transform) -> sitk.Transform:
    """Find the affine transform near a start that brings two pictures of lines onto each other.

    It maximises the enhanced correlation coefficient (Evangelidis and Psarakis, IEEE TPAMI 2008,
    doi:10.1109/TPAMI.2008.113), from blurred to sharper pictures.

    Parameters
    ----------
    pair : Pair
        Looks at vessels.
    start : sitk.Transform
        Linear. Maps fixed to moving points with an error of a few percent of the width.

    Returns
    -------
    sitk.Transform
        The start itself if no alignment is better.
    """
    criteria = cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, STEPS, SMALLEST_STEP
    best, inside = start, pair.moving_mask.astype(np.uint8)
    for blur in BLURS:
        pictures = [
            cv2.GaussianBlur(picture, (0, 0), blur * max(picture.shape))
            for picture in (pair.fixed, pair.moving)
        ]
        matrix = transforms.to_matrix(best).astype(np.float32)
        try:
            _, matrix = cv2.findTransformECC(
                *pictures, matrix, cv2.MOTION_AFFINE, criteria, inside, 1
            )
        except cv2.error:  # it does not converge: the next, sharper pictures may
            continue
        found = transforms.from_matrix(matrix.astype(float))
        if vessel_correlation(found, pair) > vessel_correlation(best, pair):
            best = found
    return best


def line_agreement(model: RadialHomography, pair: Pair) -> float:
    """Return the correlation of the pictures after a homography, less in a small overlap.

    Parameters
    ----------
    model : RadialHomography
    pair : Pair
        Looks at vessels.
    """
    transform = transforms.from_function(model, pair.fixed.shape)
    common = transforms.overlap(pair.fixed_mask, pair.moving_mask, transform)
    share = common.sum() / pair.fixed_mask.sum()
    if not share:
        return 0.0
    return vessel_correlation(transform, pair) / small_overlap_factor(share)
