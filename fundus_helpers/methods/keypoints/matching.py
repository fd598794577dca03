"""Which keypoints of two images are the same place."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from scipy.spatial import cKDTree

from fundus_helpers.methods.keypoints.features import Keypoints
from fundus_helpers.methods.keypoints.matches import Matches
from fundus_helpers.methods.keypoints.radial import (
    RADIAL_CONSTANT,
    RadialHomography,
    fit_homography,
    to_plane,
)
from fundus_helpers.transforms.transform import RegistrationError

# Two photographs of one eye are turned and magnified against each other by no more than this.
LARGEST_ROTATION, LARGEST_SCALE = 30.0, 1.7


# Of guided matches, as shares of the longer side: 20, 10, 5 and 5 px of 728.
RADII = (0.0275, 0.0137, 0.0069, 0.0069)


# A match this near to the model agrees with it: 3.75 px of 728.
AGREEMENT = 0.00515


LEAST_SIMILARITY = 0.6


def mutual_matches(fixed: Keypoints, moving: Keypoints, *, ratio: float = 0.93) -> Matches:
    """Match keypoints that are each other's most similar, wherever they lie.

    Parameters
    ----------
    fixed, moving : Keypoints
    ratio : float
        Largest ratio of the distances to the most and to the second most similar descriptor.
        Smaller keeps fewer and surer matches.
    """
    if min(len(fixed.points), len(moving.points)) < 2:
        return _matches(fixed, moving, np.zeros(0, int), np.zeros(0, int))
    similarity = fixed.descriptors @ moving.descriptors.T
    i, j = np.arange(len(similarity)), similarity.argmax(axis=1)
    mutual = similarity.argmax(axis=0)[j] == i
    best = similarity[i, j]
    similarity[i, j] = -1
    distances = np.sqrt(np.maximum(2 - 2 * np.stack([best, similarity.max(axis=1)]), 0))
    good = mutual & (distances[0] < ratio * distances[1]) & _alike(fixed, moving, i, j)
    return _matches(fixed, moving, i[good], j[good])


def guided_matches(
    fixed: Keypoints,
    moving: Keypoints,
    model: Callable[[np.ndarray], np.ndarray],
    radius: float,
) -> Matches:
    """Match keypoints that are each other's most similar near where a model expects them.

    Parameters
    ----------
    fixed, moving : Keypoints
    model : callable
        Maps fixed points, shape (n, 2), to moving points.
    radius : float
        Largest distance from the expected place, in pixels of the moving image.
    """
    if min(len(fixed.points), len(moving.points)) < 1:
        return _matches(fixed, moving, np.zeros(0, int), np.zeros(0, int))
    expected, found = cKDTree(model(fixed.points)), cKDTree(moving.points)
    near = expected.sparse_distance_matrix(found, radius, output_type="coo_matrix")
    alike = _alike(fixed, moving, near.row, near.col)
    i, j = near.row[alike], near.col[alike]
    similarity = np.einsum("nd,nd->n", fixed.descriptors[i], moving.descriptors[j])
    best_fixed = np.zeros(len(fixed.points), np.float32)
    best_moving = np.zeros(len(moving.points), np.float32)
    np.maximum.at(best_fixed, i, similarity)
    np.maximum.at(best_moving, j, similarity)
    good = (similarity >= np.maximum(best_fixed[i], best_moving[j])) & (
        similarity > LEAST_SIMILARITY
    )
    order = np.lexsort((j[good], i[good]))  # sums in the same order, whatever the tree's
    return _matches(fixed, moving, i[good][order], j[good][order])


def _alike(fixed: Keypoints, moving: Keypoints, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    turned = (fixed.angles[i] - moving.angles[j] + 180) % 360 - 180
    magnified = np.abs(np.log(fixed.sizes[i] / moving.sizes[j]))
    return (np.abs(turned) < LARGEST_ROTATION) & (magnified < np.log(LARGEST_SCALE))


def _matches(fixed: Keypoints, moving: Keypoints, i: np.ndarray, j: np.ndarray) -> Matches:
    return Matches(fixed.points[i], moving.points[j], fixed.shape, moving.shape)


def join(parts: Sequence[Matches]) -> Matches:
    """Put the matches of several maps of the same two images together."""
    fixed, moving = (
        [getattr(part, n) for part in parts] for n in ("fixed_points", "moving_points")
    )
    return Matches(np.vstack(fixed), np.vstack(moving), parts[0].fixed_shape, parts[0].moving_shape)


def robust_homography(
    matches: Matches, constant: float = RADIAL_CONSTANT
) -> tuple[RadialHomography, int]:
    """Find the homography that most matches agree with, however many are wrong.

    MAGSAC++ (Barath et al., CVPR 2020, doi:10.1109/CVPR42600.2020.00138) in the radially corrected
    plane; OpenCV's sampling starts from the same seed every time.

    Parameters
    ----------
    matches : Matches
    constant : float
        See `keypoints.to_plane`.

    Returns
    -------
    model : RadialHomography
    agreeing : int
        How many matches agree; 0, with a model that maps planes to themselves, if none is found.
    """
    # The estimator takes pixels for granted; with coordinates of order one it fails.
    unit = np.array([max(matches.fixed_shape), max(matches.moving_shape)]) / 2
    source = unit[0] * to_plane(matches.fixed_points, matches.fixed_shape, constant)
    target = unit[1] * to_plane(matches.moving_points, matches.moving_shape, constant)
    matrix = None
    if len(matches) >= 4:
        threshold = AGREEMENT * max(matches.moving_shape)
        matrix, agreeing = cv2.findHomography(
            source, target, cv2.USAC_MAGSAC, threshold, maxIters=5000, confidence=0.9999
        )
    if matrix is None:
        matrix, agreeing = np.eye(3), np.zeros(0)
    else:
        matrix = np.diag([1, 1, unit[1]]) @ matrix @ np.diag([unit[0], unit[0], 1])
    model = RadialHomography(matrix, matches.fixed_shape, matches.moving_shape, constant)
    return model, int(agreeing.sum())


def refine(
    model: Callable[[np.ndarray], np.ndarray],
    fixed: Sequence[Keypoints],
    moving: Sequence[Keypoints],
    constant: float = RADIAL_CONSTANT,
    radii: Sequence[float] = RADII,
) -> tuple[RadialHomography, Matches]:
    """Match again near where a model expects the keypoints, fit again, in shrinking radii.

    Parameters
    ----------
    model : callable
        Maps fixed points to moving points, to within the first radius.
    fixed, moving : sequence of Keypoints
        Of the same maps of both images; each is matched with its like.
    constant : float
        See `keypoints.to_plane`.
    radii : sequence of float
        Shares of the longer side of the image. A larger first radius forgives a worse model.

    Returns
    -------
    (RadialHomography, Matches)
        With the matches of the last round.

    Raises
    ------
    RegistrationError
        If fewer than four are left.
    """
    for share in radii:
        radius = share * max(moving[0].shape)
        matches = _guided(model, fixed, moving, radius)
        if len(matches) < 4:
            raise RegistrationError(f"{len(matches)} keypoints agree: too little in common")
        distance = np.linalg.norm(model(matches.fixed_points) - matches.moving_points, axis=1)
        for width in np.linspace(radius / 2, radius / 4, 3):
            weights = np.exp(-((distance / width) ** 2) / 2) + 1e-9
            model = fit_homography(matches, weights, constant)
            distance = model.residuals(matches)
    return model, matches


def chance_matches(
    model: RadialHomography, fixed: Sequence[Keypoints], moving: Sequence[Keypoints]
) -> float:
    """Count the matches of `refine`'s last round if the model were beside the truth.

    The mean over eight shifts by four radii: what guided matching finds where nothing matches.
    """
    radius = RADII[-1] * max(moving[0].shape)
    angles = np.arange(8) * np.pi / 4
    shifts = 4 * radius * np.column_stack([np.cos(angles), np.sin(angles)])
    counts = [len(_guided(lambda p, s=s: model(p) + s, fixed, moving, radius)) for s in shifts]
    return float(np.mean(counts))


def _guided(
    model: Callable[[np.ndarray], np.ndarray],
    fixed: Sequence[Keypoints],
    moving: Sequence[Keypoints],
    radius: float,
) -> Matches:
    maps = zip(fixed, moving, strict=True)
    return join([guided_matches(*both, model, radius) for both in maps])
