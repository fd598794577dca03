"""Keypoints of two images matched with each other, and the homography that fits the matches."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from scipy.spatial import cKDTree

from fundus_helpers.methods.homography.matches import Matches
from fundus_helpers.methods.homography.radial import (
    RADIAL_CONSTANT,
    RadialHomography,
    fit_homography,
    to_plane,
)
from fundus_helpers.methods.keypoints.features import Keypoints
from fundus_helpers.methods.pair import SCALE_LIMIT
from fundus_helpers.transforms.transform import RegistrationError

# Largest rotation in degrees, and largest ratio of sizes, of two photographs of one eye.
LARGEST_ROTATION, LARGEST_SCALE = 30.0, 1.7
# Search radii of guided matching, as shares of the longer side: 20, 10, 5 and 5 px of 728.
RADII = (0.0275, 0.0137, 0.0069, 0.0069)
# Least inner product of the descriptors of a guided match.
LEAST_SIMILARITY = 0.6
# A match agrees with a homography if it is nearer than this share of the longer side: 3.75 px of
# 728.
AGREEMENT = 0.00515
# Number of matches that must agree on a homography. Between unrelated eyes up to 9 matches agree,
# between the true pairs of FIRE at least 25.
ENOUGH_MATCHES = 15
# Radial constants of other cameras. One is used if so many more matches agree, as a factor and as a
# number, than with the constant that is expected: on the pairs of FIRE at most 1.04 and 14.
OTHER_CONSTANTS, MORE_AGREE = (0.06, 0.0), (1.1, 15)
# Then the constant is fitted near it. Error that all matches may have in common (see
# `homography.fit_homography`), as a share of the longer side: 1.5 px of 768.
SHARED_ERROR = 0.002


def mutual_matches(fixed: Keypoints, moving: Keypoints, *, ratio: float = 0.93) -> Matches:
    """Match keypoints whose descriptors are mutual nearest neighbours, at any position.

    Parameters
    ----------
    fixed, moving : Keypoints
    ratio : float
        Largest ratio of the distances to the most similar and to the second most similar
        descriptor. Smaller keeps fewer, more reliable matches.

    Returns
    -------
    Matches
    """
    i, j = mutual_neighbours(fixed, moving, ratio=ratio)
    alike = _alike(fixed, moving, i, j)
    return _matches(fixed, moving, i[alike], j[alike])


def mutual_neighbours(
    fixed: Keypoints, moving: Keypoints, *, ratio: float = 0.93
) -> tuple[np.ndarray, np.ndarray]:
    """Match keypoints as `mutual_matches` does, whatever their directions and sizes are.

    Parameters
    ----------
    fixed, moving, ratio
        See `mutual_matches`.

    Returns
    -------
    fixed_index : int ndarray, shape (n,)
        Indices of the keypoints of the fixed image.
    moving_index : int ndarray, shape (n,)
        Indices of the keypoints of the moving image that belong to them.
    """
    if min(len(fixed.points), len(moving.points)) < 2:
        return np.zeros(0, int), np.zeros(0, int)
    similarity = fixed.descriptors @ moving.descriptors.T
    i, j = np.arange(len(similarity)), similarity.argmax(axis=1)
    mutual = similarity.argmax(axis=0)[j] == i
    best = similarity[i, j]
    similarity[i, j] = -1
    distances = np.sqrt(np.maximum(2 - 2 * np.stack([best, similarity.max(axis=1)]), 0))
    good = mutual & (distances[0] < ratio * distances[1])
    return i[good], j[good]


def guided_matches(
    fixed: Keypoints,
    moving: Keypoints,
    model: Callable[[np.ndarray], np.ndarray],
    radius: float,
) -> Matches:
    """Match keypoints whose descriptors are mutual nearest neighbours, near expected positions.

    Parameters
    ----------
    fixed, moving : Keypoints
    model : callable
        Maps fixed points, shape (n, 2), to the expected moving points.
    radius : float
        Largest distance from the expected point, in pixels of the moving image.
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
    order = np.lexsort((j[good], i[good]))  # so that sums do not depend on the order in the tree
    return _matches(fixed, moving, i[good][order], j[good][order])


def _alike(fixed: Keypoints, moving: Keypoints, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Return which of the paired keypoints have a plausible rotation and ratio of sizes."""
    turned = (fixed.angles[i] - moving.angles[j] + 180) % 360 - 180
    magnified = np.abs(np.log(fixed.sizes[i] / moving.sizes[j]))
    return (np.abs(turned) < LARGEST_ROTATION) & (magnified < np.log(LARGEST_SCALE))


def _matches(fixed: Keypoints, moving: Keypoints, i: np.ndarray, j: np.ndarray) -> Matches:
    return Matches(fixed.points[i], moving.points[j], fixed.shape, moving.shape)


def join(parts: Sequence[Matches]) -> Matches:
    """Join the matches found in several versions of the same two images."""
    fixed, moving = (
        [getattr(part, n) for part in parts] for n in ("fixed_points", "moving_points")
    )
    return Matches(np.vstack(fixed), np.vstack(moving), parts[0].fixed_shape, parts[0].moving_shape)


def robust_homography(
    matches: Matches, radial_constant: float = RADIAL_CONSTANT
) -> tuple[RadialHomography, int]:
    """Find the homography that most matches agree with, even if many matches are wrong.

    The estimator is MAGSAC++ (Barath et al., CVPR 2020, doi:10.1109/CVPR42600.2020.00138) in the
    radially corrected plane. OpenCV uses a fixed seed, so the result is reproducible.

    Parameters
    ----------
    matches : Matches
    radial_constant : float
        See `homography.to_plane`.

    Returns
    -------
    model : RadialHomography
    agreeing : int
        Number of matches that agree. If no homography is found, 0, and the model is the identity
        of the plane.
    """
    # The estimator expects coordinates in pixels and fails with coordinates of order one.
    unit = np.array([max(matches.fixed_shape), max(matches.moving_shape)]) / 2
    source = unit[0] * to_plane(matches.fixed_points, matches.fixed_shape, radial_constant)
    target = unit[1] * to_plane(matches.moving_points, matches.moving_shape, radial_constant)
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
    model = RadialHomography(matrix, matches.fixed_shape, matches.moving_shape, radial_constant)
    return model, int(agreeing.sum())


def homography_of_any_camera(
    matches: Matches, radial_constant: float = RADIAL_CONSTANT
) -> tuple[RadialHomography, int]:
    """Find the homography that most matches agree with, of this camera or of another one.

    Parameters
    ----------
    matches : Matches
    radial_constant : float
        The radial constant that is expected. Another one is used only if clearly more matches
        agree; the fewer the fields of view are shifted, the less they tell about it.

    Returns
    -------
    model, agreeing
        See `robust_homography`.
    """
    model, agreeing = robust_homography(matches, radial_constant)
    enough = max(MORE_AGREE[0] * agreeing, MORE_AGREE[1] + agreeing)
    others = [robust_homography(matches, other) for other in OTHER_CONSTANTS]
    best = max(others, key=lambda found: found[1])
    return best if best[1] >= enough else (model, agreeing)


def match(
    fixed: Sequence[Keypoints],
    moving: Sequence[Keypoints],
    enough: int = ENOUGH_MATCHES,
    *,
    radial_constant: float = RADIAL_CONSTANT,
    fit_constant: bool = True,
) -> tuple[tuple[RadialHomography, Matches] | None, int]:
    """Match keypoints at any position, and refine the homography that most matches agree with.

    Parameters
    ----------
    fixed, moving
        See `refine`.
    enough : int
        Number of matches that must agree.
    radial_constant, fit_constant
        See `refine`.

    Returns
    -------
    found : (RadialHomography, Matches) or None
        See `refine`. None if too few matches agree, or if the homography is not plausible.
    agreeing : int
        Number of matches that agree.

    Raises
    ------
    RegistrationError
        See `refine`.
    """
    matches = join([mutual_matches(*each) for each in zip(fixed, moving, strict=True)])
    find = homography_of_any_camera if fit_constant else robust_homography
    model, agreeing = find(matches, radial_constant)
    if agreeing < enough or not is_plausible(model):
        return None, agreeing
    found = refine(model, fixed, moving, model.constant, fit_constant=fit_constant)
    return (found if is_plausible(found[0]) else None), agreeing


def refine(
    model: Callable[[np.ndarray], np.ndarray],
    fixed: Sequence[Keypoints],
    moving: Sequence[Keypoints],
    radial_constant: float = RADIAL_CONSTANT,
    radii: Sequence[float] = RADII,
    *,
    fit_constant: bool = True,
) -> tuple[RadialHomography, Matches]:
    """Repeat guided matching and fitting with smaller and smaller search radii.

    Parameters
    ----------
    model : callable
        Maps fixed points to moving points with an error smaller than the first radius.
    fixed, moving : sequence of Keypoints
        Keypoints of several versions of both images (for example the image and its vessels);
        each version is matched separately.
    radial_constant : float
        See `homography.to_plane`.
    radii : sequence of float
        Shares of the longer side of the image. A larger first radius allows a less accurate model.
    fit_constant : bool
        Fit the constant to the matches, near `radial_constant`. False: use it as it is.

    Returns
    -------
    model : RadialHomography
    matches : Matches
        The matches of the last round.

    Raises
    ------
    RegistrationError
        If fewer than four matches are left.
    """
    shared_error = SHARED_ERROR * max(moving[0].shape) if fit_constant else 0.0
    for share in radii:
        radius = share * max(moving[0].shape)
        matches = _guided(model, fixed, moving, radius)
        if len(matches) < 4:
            raise RegistrationError(
                f"no common vessels were found: only {len(matches)} keypoints agree, 4 are needed; "
                "it may be another eye, or the overlap is too small"
            )
        distance = np.linalg.norm(model(matches.fixed_points) - matches.moving_points, axis=1)
        for width in np.linspace(radius / 2, radius / 4, 3):
            weights = np.exp(-((distance / width) ** 2) / 2) + 1e-9
            model = fit_homography(matches, weights, radial_constant, shared_error=shared_error)
            distance = model.residuals(matches)
    return model, matches


def is_plausible(model: RadialHomography) -> bool:
    """Whether no part of the image is mirrored, or scaled more than `pair.SCALE_LIMIT` allows.

    Parameters
    ----------
    model : RadialHomography
    """
    height, width = model.fixed_shape
    step = max(height, width) / 8
    rows, columns = (np.linspace(step, n - step, 5) for n in (height, width))
    places = np.stack(np.meshgrid(columns, rows), axis=2).reshape(-1, 1, 2)
    origin, x, y = np.moveaxis(model(places + step / 2 * np.array([[0, 0], [1, 0], [0, 1]])), 1, 0)
    # The scale is that of images with the same longer side.
    unit = max(model.fixed_shape) / max(model.moving_shape) / (step / 2)
    jacobians = np.stack([x - origin, y - origin], axis=2) * unit
    scales = np.linalg.svd(jacobians, compute_uv=False)
    within = scales.max() < SCALE_LIMIT and scales.min() > 1 / SCALE_LIMIT
    return bool(within and np.linalg.det(jacobians).min() > 0)


def chance_matches(
    model: RadialHomography, fixed: Sequence[Keypoints], moving: Sequence[Keypoints]
) -> float:
    """Estimate how many matches the last round of `refine` finds by chance.

    The model is shifted by four radii in eight directions, so that no match can be right. The
    result is the mean number of matches.

    Parameters
    ----------
    model : callable
        Maps fixed points to moving points.
    fixed, moving : sequence of Keypoints
        See `refine`.
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
