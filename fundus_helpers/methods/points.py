"""A transform from points that show the same places in two photographs, however few there are.

Two points give a similarity, three to five an affine transform, six and more a homography in the
radially corrected plane (`methods.homography.radial`). Few points never bend more than they can
bear. Two photographs of one eye differ by a similarity and little more, and a hand errs by some
pixels. What goes beyond a similarity is therefore fitted with a prior (ridge regression): the
stretch, and the perspective that a turn of the eye does not explain. A homography is fitted only if
the points are spread so far that their errors stay small at the corners.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from fundus_helpers import transforms
from fundus_helpers.methods.homography.matches import Matches
from fundus_helpers.methods.homography.radial import RADIAL_CONSTANT, STRETCH, fit_homography
from fundus_helpers.transforms.transform import RegistrationError

# The smallest number of points of each model, the simplest model first.
LEAST_POINTS = {"similarity": 2, "affine": 3, "homography": 6}
DETERMINED = {"similarity": 2, "affine": 3, "homography": 4}  # so many points fix it exactly
# Points that hands place are this far off, as a share of the longer side: 3 px of 768. Residuals
# that are much larger than the second value hardly count.
PLACING_ERROR, WRONG = 0.004, 0.012
# A homography is used only if an error of one pixel in every point would move no corner by more if
# the homography were not held.
LARGEST_AMPLIFICATION = 30.0
MOST_TRIALS = 200  # of minimal sets of points, for robust fitting
ROUNDS = 10  # of robust fitting

Mapping = Callable[[np.ndarray], np.ndarray]
Fit = Callable[[np.ndarray], Mapping]  # weights of the points to the mapping that fits best


@dataclass(frozen=True)
class PointFit:
    """A transform that was fitted to points.

    Attributes
    ----------
    transform : sitk.Transform
        Maps points (x, y) of the fixed image, in pixels, to points of the moving image.
    model : {"similarity", "affine", "homography"}
        What the points can bear.
    residuals : float64 ndarray, shape (n,)
        Distance of every point from where the transform maps its partner, in pixels of the moving
        image. Two points have none.
    """

    transform: sitk.Transform
    model: str
    residuals: np.ndarray


def from_points(
    fixed_points: np.ndarray,
    moving_points: np.ndarray,
    fixed_shape: tuple[int, int],
    moving_shape: tuple[int, int],
    *,
    radial_constant: float = RADIAL_CONSTANT,
) -> sitk.Transform:
    """Return the transform that fits points best: the start of a registration by every method.

    Parameters
    ----------
    fixed_points, moving_points, fixed_shape, moving_shape, radial_constant
        See `fit_points`.

    Returns
    -------
    sitk.Transform
        Maps points (x, y) of the fixed image, in pixels, to points of the moving image.

    Raises
    ------
    RegistrationError
        See `fit_points`.

    Examples
    --------
    >>> from fundus_helpers.transforms.transform import map_points
    >>> start = from_points([[10, 10], [90, 50]], [[14, 8], [94, 48]], (100, 100), (100, 100))
    >>> map_points(start, [[50, 50]]).round(6)
    array([[54., 48.]])
    """
    shapes = fixed_shape, moving_shape
    return fit_points(
        fixed_points, moving_points, *shapes, radial_constant=radial_constant
    ).transform


def fit_points(
    fixed_points: np.ndarray,
    moving_points: np.ndarray,
    fixed_shape: tuple[int, int],
    moving_shape: tuple[int, int],
    *,
    radial_constant: float = RADIAL_CONSTANT,
) -> PointFit:
    """Fit the richest model that points can bear, so that single wrong points hardly count.

    Weighted least squares are repeated with the weights of Geman and McClure. They start at the
    minimal set of points with which most of the others agree, as in RANSAC (Fischler and Bolles,
    CACM 1981, doi:10.1145/358669.358692).

    Parameters
    ----------
    fixed_points, moving_points : array_like, shape (n, 2)
        (x, y) in pixels of each image; points with the same index show the same place.
    fixed_shape, moving_shape : (height, width)
    radial_constant : float
        See `homography.to_plane`. Used for a homography only.

    Returns
    -------
    PointFit

    Raises
    ------
    ValueError
        If the points are not finite, or if the two arrays differ in shape.
    RegistrationError
        If fewer than two points lie apart.
    """
    fixed, moving = (np.asarray(p, float).reshape(-1, 2) for p in (fixed_points, moving_points))
    if fixed.shape != moving.shape or not np.isfinite([fixed, moving]).all():
        raise ValueError(
            f"points of the shapes {fixed.shape} and {moving.shape}; give pairs (x, y)"
        )
    model = _model_for(fixed, fixed_shape)
    matches = Matches(fixed, moving, fixed_shape, moving_shape)
    mapping = _robust(_fit_of(model, matches, radial_constant), matches, DETERMINED[model])
    residuals = np.linalg.norm(mapping(fixed) - moving, axis=1)
    if model == "homography":
        return PointFit(transforms.from_function(mapping, fixed_shape), model, residuals)
    origin, x, y = mapping(np.array([[0.0, 0], [1, 0], [0, 1]]))
    matrix = np.column_stack([x - origin, y - origin, origin])
    return PointFit(transforms.from_matrix(matrix), model, residuals)


def _model_for(points: np.ndarray, shape: tuple[int, int]) -> str:
    """Return the richest model with which errors of the points stay small at the corners."""
    apart = len(np.unique(points.round(), axis=0))
    if apart < 2:
        raise RegistrationError(
            f"{apart} point is not enough: place two or more, far from each other"
            if apart
            else "no points are placed: place two or more, far from each other"
        )
    if apart >= LEAST_POINTS["homography"] and _amplification(points, shape) < (
        LARGEST_AMPLIFICATION
    ):
        return "homography"
    return "affine" if apart >= LEAST_POINTS["affine"] else "similarity"


def _amplification(points: np.ndarray, shape: tuple[int, int]) -> float:
    """Return by how much a corner moves if every point of a homography is off by one pixel."""
    height, width = shape
    middle, half = np.array([(width - 1) / 2, (height - 1) / 2]), max(shape) / 2
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (width, height) / max(shape)

    def terms(p: np.ndarray) -> np.ndarray:
        x, y = p.T
        return np.column_stack([np.ones(len(p)), x, y, x**2, x * y, y**2])

    known = terms((points - middle) / half)
    if np.linalg.matrix_rank(known, tol=1e-6) < known.shape[1]:
        return np.inf
    spread = terms(corners) @ np.linalg.pinv(known)
    return float(np.sqrt((spread**2).sum(axis=1)).max())


def _fit_of(model: str, matches: Matches, constant: float) -> Fit:
    fixed, moving = matches.fixed_points, matches.moving_points
    hold = (PLACING_ERROR * max(matches.moving_shape) / STRETCH) ** 2
    if model == "homography":
        return lambda weights: _held_homography(matches, weights, constant)

    def fit(weights: np.ndarray) -> Mapping:
        total = weights.sum()
        middle, target = (weights @ points / total for points in (fixed, moving))
        (px, py), (qx, qy) = (fixed - middle).T, (moving - target).T
        size = max(weights @ (px**2 + py**2), 1e-12)
        # Turned and magnified, and then stretched: a similarity, and what an affine adds to it.
        a, b = weights @ (px * qx + py * qy) / size, weights @ (px * qy - py * qx) / size
        linear = np.array([[a, b], [-b, a]])
        if model == "affine":
            linear = linear + _stretched(linear, fixed - middle, moving - target, weights, hold)
        return lambda points: (np.asarray(points, float) - middle) @ linear + target

    return fit


def _held_homography(matches: Matches, weights: np.ndarray, constant: float) -> Mapping:
    """Fit a homography, held as firmly as its residuals ask: exact points are met exactly."""
    free = fit_homography(matches, weights, constant)
    surplus = max(2 * weights.sum() / weights.max() - 8, 1)
    squares = weights / weights.max() @ free.residuals(matches) ** 2
    error = min(math.sqrt(squares / surplus), PLACING_ERROR * max(matches.moving_shape))
    return fit_homography(matches, weights, constant, error=error)


def _stretched(
    linear: np.ndarray, p: np.ndarray, q: np.ndarray, weights: np.ndarray, hold: float
) -> np.ndarray:
    """Return what is added to a similarity, (2, 2): least squares of the rest with a prior."""
    root = np.sqrt(weights)[:, None]
    # The similarity is fitted again with the stretch, so that both together fit best.
    x, y = p.T
    rows = [np.column_stack(each) for each in ([x, -y, x, y], [y, x, -y, x])]
    rest = q - p @ linear
    system = np.vstack([root * rows[0], root * rows[1], np.sqrt(hold) * np.diag([0, 0, 1, 1])])
    a, b, c, d = np.linalg.lstsq(
        system, np.concatenate([*(root * rest).T, np.zeros(4)]), rcond=None
    )[0]
    return np.array([[a + c, b + d], [d - b, a - c]])


def _robust(fit: Fit, matches: Matches, least: int) -> Mapping:
    count, scale = len(matches), WRONG * max(matches.moving_shape)

    def squared(mapping: Mapping) -> np.ndarray:
        distances = mapping(matches.fixed_points) - matches.moving_points
        return np.sum(distances**2, axis=1) / scale**2

    weights = np.ones(count)
    if count >= least + 2:  # with fewer, nobody can know which point is wrong
        trials = [np.isin(range(count), each) + 1e-9 for each in _minimal_sets(count, least)]
        costs = [np.sum(s / (1 + s)) for s in (squared(fit(trial)) for trial in trials)]
        weights = 1 / (1 + squared(fit(trials[int(np.argmin(costs))]))) ** 2 + 1e-9
        for _ in range(ROUNDS):
            weights = 1 / (1 + squared(fit(weights))) ** 2 + 1e-9
    return fit(weights)


def _minimal_sets(count: int, least: int) -> list[tuple[int, ...]]:
    """Return sets of as many points as a model needs: all of them, or many at random."""
    if math.comb(count, least) <= MOST_TRIALS:
        return [*itertools.combinations(range(count), least)]
    rng = np.random.default_rng(0)
    return [tuple(rng.choice(count, least, replace=False)) for _ in range(MOST_TRIALS)]
