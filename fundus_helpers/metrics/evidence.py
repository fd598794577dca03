"""Evidence for and against a transform between two photographs, found by any method."""

from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk

from fundus_helpers import transforms
from fundus_helpers.methods.keypoints import following, matching
from fundus_helpers.methods.keypoints.features import Keypoints, find_keypoints
from fundus_helpers.methods.keypoints.moved_parts import moved_by
from fundus_helpers.methods.lines import direction_correlation
from fundus_helpers.methods.pair import (
    Pair,
    correlation_inside,
    local_correlation,
    vessel_correlation,
)
from fundus_helpers.transforms import fields
from fundus_helpers.transforms.warping import remap, remap_mask

# The predicted error is LEAST + ASKED * (remaining displacement of the vessels) + UNLIKE * (1 - the
# local correlation). LEAST and UNLIKE are shares of the longer side.
LEAST, ASKED, UNLIKE = 0.00019, 0.92, 0.0019
BOUND = 1.65  # the error of nine of ten landmarks is below this multiple of the prediction

SIZE = 728  # longer side of the images that are examined
KEYPOINTS = 2000  # in each image, as in a registration, so that they can be remembered
LEAST_PIXELS = 100  # of an overlap that can be examined


def predict_error(fixed: np.ndarray, warped: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Predict the error of a registration from the two registered images.

    Parameters
    ----------
    fixed, warped : float32 ndarray in [0, 1], shape (height, width)
        Images with even illumination. `warped` is the moving image on the fixed grid.
    mask : bool ndarray, shape (height, width)
        The overlap of both fields of view.

    Returns
    -------
    float32 ndarray, shape (height, width)
        Expected distance from the true point, in pixels; NaN outside the mask.
    """
    return _predicted(*error_signs(fixed, warped, mask), mask)


def _predicted(asked: np.ndarray, unlike: np.ndarray, mask: np.ndarray) -> np.ndarray:
    size = max(mask.shape)
    return np.where(mask, LEAST * size + ASKED * asked + UNLIKE * size * unlike, np.nan)


def error_signs(
    fixed: np.ndarray, warped: np.ndarray, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Measure the two quantities from which `predict_error` computes its result.

    Parameters
    ----------
    fixed, warped, mask
        See `predict_error`.

    Returns
    -------
    asked : float32 ndarray, shape (height, width)
        Length, in pixels, of the displacement that remains between the vessels of both images.
        Where a part of the retina was moved, it may be farther than the dense step reaches
        (`methods.keypoints.moved_parts`).
    unlike : float32 ndarray, shape (height, width)
        1 minus the local correlation of the images: 0 where they are alike, 1 where they are not.
    """
    asked = np.linalg.norm(following.follow_vessels(fixed, warped, mask), axis=2)
    asked = np.maximum(asked, moved_by(fixed, warped, mask))
    return asked, 1 - np.clip(local_correlation(fixed, warped, mask), 0, 1)


@dataclass(frozen=True)
class Evidence:
    """Quantities that distinguish a correct registration from a wrong one.

    Attributes
    ----------
    keypoints : (int, int)
        Number of keypoints in the fixed and in the moving image. Blurred or dark images have few.
    agreeing : int
        Number of keypoints with similar descriptors whose distance is less than 0.7 % of the width
        after registration.
    by_chance : float
        Mean of the same number if the transform is shifted by four times that distance.
    correlation : float
        Correlation of the registered images, with even illumination, inside the overlap.
    overlap : float
        Overlap as a share of the smaller field of view.
    scales : (float, float)
        Smallest and largest magnification of the linear transform that fits best, for images of
        the same size.
    mirrored : bool
        Whether that linear transform mirrors the retina.
    folding : float
        Share of the overlap where the transform folds.
    disagreement : float
        Median distance, as a share of the width, between points and the same points mapped forth
        and back; NaN without a backward transform.
    predicted_error : float32 ndarray, shape (height, width)
        See `metrics.predict_error`; in pixels of the fixed image of the pair.
    unlike : float32 ndarray, shape (height, width)
        1 minus the local correlation of the registered images.
    look_at : {"images", "vessels"}
        ``vessels``: correlation and predicted error are those of pictures of the vessels.
    directions : float
        Correlation of the directions of the vessels (`methods.lines.direction_correlation`); NaN
        where the evidence looks at images.
    """

    keypoints: tuple[int, int]
    agreeing: int
    by_chance: float
    correlation: float
    overlap: float
    scales: tuple[float, float]
    mirrored: bool
    folding: float
    disagreement: float
    predicted_error: np.ndarray
    unlike: np.ndarray
    look_at: str = "images"
    directions: float = np.nan


def keypoints_of(pair: Pair) -> tuple[Keypoints, Keypoints]:
    """Find the keypoints of both images of a pair, the slowest step; needs no transform."""
    sides = (pair.fixed, pair.fixed_mask), (pair.moving, pair.moving_mask)
    fixed, moving = (find_keypoints(*side, count=KEYPOINTS) for side in sides)
    return fixed, moving


def gather(
    transform: sitk.Transform,
    pair: Pair,
    backward: sitk.Transform | None = None,
    *,
    keypoints: tuple[Keypoints, Keypoints] | None = None,
) -> Evidence | None:
    """Compute the evidence for and against a transform.

    Parameters
    ----------
    transform : sitk.Transform
        Maps points of the pair's fixed image to points of its moving image.
    pair : Pair
        Images with even illumination, about `SIZE` pixels wide.
    backward : sitk.Transform, optional
        Result of a registration with the images exchanged; maps moving to fixed points.
    keypoints : (Keypoints, Keypoints), optional
        Result of `keypoints_of`, for a pair that is examined more than once.

    Returns
    -------
    Evidence or None
        None if the fields of view do not overlap.
    """
    shape = pair.fixed.shape
    field = transforms.displacement(transform, shape)
    places = field + fields.pixel_grid(shape)
    warped = remap(pair.moving, places, interpolation="cubic", fill=None)
    common = pair.fixed_mask & remap_mask(pair.moving_mask, places)
    if common.sum() < LEAST_PIXELS:
        return None
    found = keypoints_of(pair) if keypoints is None else keypoints
    coordinates = places.astype(np.float32)

    def model(points: np.ndarray) -> np.ndarray:
        return remap(coordinates, np.reshape(points, (-1, 1, 2)), fill=None)[:, 0]

    radius = matching.RADII[-1] * max(pair.moving.shape)
    linear = _linear_part(places, common) * (max(shape) / max(pair.moving.shape))
    scales = np.linalg.svd(linear, compute_uv=False)
    asked, unlike = error_signs(pair.fixed, warped, common)
    return Evidence(
        keypoints=(len(found[0].points), len(found[1].points)),
        agreeing=len(matching.guided_matches(*found, model, radius)),
        by_chance=matching.chance_matches(model, [found[0]], [found[1]]),
        correlation=correlation_inside(pair.fixed, remap(pair.moving, places), common),
        overlap=common.sum() / min(pair.fixed_mask.sum(), pair.moving_mask.sum()),
        scales=(scales.min(), scales.max()),
        mirrored=bool(np.linalg.det(linear) < 0),
        folding=fields.folded_share(field, common),
        disagreement=np.nan if backward is None else _disagreement(places, common, backward),
        predicted_error=_predicted(asked, unlike, common),
        unlike=unlike,
    )


def look_at_vessels(evidence: Evidence, transform: sitk.Transform, pair: Pair) -> Evidence:
    """Compute the evidence of the vessels, bright or dark, in place of that of the images.

    Photographs of two modalities, and of a retina that has changed, have only their vessels in
    common.

    Parameters
    ----------
    evidence : Evidence
        Result of `gather` for this transform and pair.
    transform, pair
        See `gather`; the pair looks at images.

    Returns
    -------
    Evidence
        With another correlation and predicted error, and with the correlation of the directions.
    """
    vessels, common = pair.vessels(), np.isfinite(evidence.predicted_error)
    image, picture = (
        transforms.warp(each, transform, common.shape, interpolation="cubic")
        for each in (pair.moving, vessels.moving)
    )
    return replace(
        evidence,
        correlation=vessel_correlation(transform, vessels),
        directions=direction_correlation(pair.fixed, image, common),
        predicted_error=predict_error(vessels.fixed, picture, common),
        look_at="vessels",
    )


def _linear_part(places: np.ndarray, mask: np.ndarray) -> np.ndarray:
    points = np.argwhere(mask)
    some = points[:: max(len(points) // 10_000, 1)]  # so many pixels are enough
    return transforms.nearest_matrix(some[:, ::-1], places[tuple(some.T)])[:, :2]


def _disagreement(places: np.ndarray, mask: np.ndarray, backward: sitk.Transform) -> float:
    rows, columns = np.nonzero(mask)
    chosen = slice(None, None, max(len(rows) // 1000, 1))
    back = transforms.map_points(backward, places[mask][chosen])
    missed = np.linalg.norm(back - np.column_stack([columns, rows])[chosen], axis=1)
    return float(np.median(missed) / max(mask.shape))
