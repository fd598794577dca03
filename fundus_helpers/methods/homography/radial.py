"""Homographies of a curved retina, corrected by one radial constant per camera.

A homography relates two photographs of a plane. The retina is curved, and is seen through the
optics of the eye and of the camera. To first order this is a radial distortion that is the same for
all images of a camera. In the corrected plane ``u = p (1 + k r^2)``, where p is the position
relative to the centre in half widths and r its length, a homography fits much better, without any
additional parameter per pair.

The constant k refers to half the longer side of the image and to its centre. A cropped image has
another centre and another size: estimate k again, or register the whole photographs.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar

from fundus_helpers.files import written_beside
from fundus_helpers.methods.homography.matches import Matches

# For the camera of FIRE (Nidek AFC-210, 45 degrees), estimated from the matches of 72 pairs. The
# misfit hardly changes near this value.
RADIAL_CONSTANT = 0.12
# The ranges of constants that `estimate_radial_constant` searches and `fit_homography` fits. Below
# 0, points far from the centre have no place in the image.
SEARCHED, FITTED = (-0.1, 0.5), (0.0, 0.5)
# Standard deviation of the constants of other cameras around this one. Infrared photographs of
# macula and disc (a scanning laser) have about 0.03.
CAMERAS = 0.05

# What a homography between two photographs of one eye is, if few points cannot tell. The eye has
# turned before the camera, so the perspective is the shift times the squared tangent of half the
# field of view, with the opposite sign: 0.17 for 45 degrees; for FIRE 0.15 to 0.19 were found. The
# standard deviations around it, of the stretch and of the perspective, are a little wider than
# those of 72 pairs of FIRE.
TURN = 0.17
STRETCH, PERSPECTIVE = 0.005, 0.01


def _centre_and_unit(shape: tuple[int, int]) -> tuple[np.ndarray, float]:
    """Return the centre of an image and half its longer side, in pixels."""
    height, width = shape
    return np.array([(width - 1) / 2, (height - 1) / 2]), max(shape) / 2


def to_plane(
    points: np.ndarray, shape: tuple[int, int], constant: float = RADIAL_CONSTANT
) -> np.ndarray:
    """Map points of an image to the plane in which photographs differ by a homography.

    Parameters
    ----------
    points : ndarray, shape (..., 2)
        (x, y) in pixels.
    shape : (height, width)
        Shape of the image; half the longer side is the unit of the plane.
    constant : float
        The constant k in ``u = p (1 + k r^2)``. 0 applies no correction.

    Returns
    -------
    float64 ndarray, shape (..., 2)
        Coordinates of order one.
    """
    centre, half = _centre_and_unit(shape)
    p = (np.asarray(points, float) - centre) / half
    return p * (1 + constant * np.sum(p**2, axis=-1, keepdims=True))


def from_plane(
    plane_points: np.ndarray, shape: tuple[int, int], constant: float = RADIAL_CONSTANT
) -> np.ndarray:
    """Map points of the plane back to pixels of an image: the inverse of `to_plane`.

    Newton's method finds the radius with full precision in a few steps. With a negative constant,
    the image reaches out to a largest radius only; points beyond it are put there.

    Parameters
    ----------
    plane_points : ndarray, shape (..., 2)
    shape, constant
        See `to_plane`.

    Returns
    -------
    float64 ndarray, shape (..., 2)
        (x, y) in pixels.
    """
    largest = np.inf if constant >= 0 else 1 / np.sqrt(-3 * constant)
    centre, half = _centre_and_unit(shape)
    wanted = np.linalg.norm(plane_points, axis=-1, keepdims=True)
    radius = wanted / (1 + constant * np.minimum(wanted, 1) ** 2)
    for _ in range(6):
        squared = constant * radius**2
        step = (radius * (1 + squared) - wanted) / np.maximum(1 + 3 * squared, 0.1)
        radius = np.minimum(radius - step, largest)
        if np.abs(step).max(initial=0) < 1e-9:  # the next step would be smaller than 1e-16
            break
    share = np.divide(radius, wanted, out=np.ones_like(wanted), where=wanted > 0)
    return plane_points * share * half + centre


@dataclass(frozen=True)
class RadialHomography:
    """A homography between the planes of two images; called, it maps fixed to moving points.

    Attributes
    ----------
    matrix : ndarray, shape (3, 3)
        Maps points of the fixed plane to points of the moving plane (`to_plane`).
    fixed_shape, moving_shape : (height, width)
        Shapes of the images.
    constant : float
        See `to_plane`.
    """

    matrix: np.ndarray
    fixed_shape: tuple[int, int]
    moving_shape: tuple[int, int]
    constant: float = RADIAL_CONSTANT

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Map points (x, y) of the fixed image, shape (..., 2), to points of the moving image."""
        plane = to_plane(points, self.fixed_shape, self.constant)
        mapped = plane @ self.matrix[:, :2].T + self.matrix[:, 2]
        return from_plane(mapped[..., :2] / mapped[..., 2:], self.moving_shape, self.constant)

    def residuals(self, matches: Matches) -> np.ndarray:
        """Return the errors of the matches, shape (n,), in pixels of the moving image."""
        return np.linalg.norm(self(matches.fixed_points) - matches.moving_points, axis=1)


def fit_homography(
    matches: Matches,
    weights: np.ndarray | None = None,
    constant: float = RADIAL_CONSTANT,
    *,
    error: float = 0.0,
    shared_error: float = 0.0,
) -> RadialHomography:
    """Fit a homography in the radially corrected plane by weighted least squares.

    Parameters
    ----------
    matches : Matches
        Four matches or more.
    weights : ndarray, shape (n,), optional
        None: all weights are equal.
    constant : float
        See `to_plane`. If the constant is fitted, it stays near this one.
    error : float
        Error of the matches, in pixels of the moving image (standard deviation in x and in y). The
        larger it is, the nearer the homography is held to what a turn of the eye gives (`TURN`).
        0: it is not held.
    shared_error : float
        Error that all matches may have in common, in pixels of the moving image. If it is above 0,
        the radial constant is fitted, too: it moves away from `constant` as far as the matches
        tell that the camera is another one. A larger error keeps it nearer. 0: it is not fitted.

    Raises
    ------
    ValueError
        If there are fewer than four matches.
    """
    if len(matches) < 4:
        raise ValueError(f"{len(matches)} matches are too few; a homography needs four or more")
    half, linear, depth = max(matches.moving_shape) / 2, np.eye(2), np.ones(len(matches))
    root = np.sqrt(depth if weights is None else weights)
    fitted, held = constant, shared_error / half * np.linalg.norm(root) / CAMERAS
    bends = _bends(matches)
    for _ in range(3):  # divided by the depth, the residuals of the equations are distances
        fixed = to_plane(matches.fixed_points, matches.fixed_shape, fitted)
        moving = to_plane(matches.moving_points, matches.moving_shape, fitted)
        system, right = _homography_equations(fixed, moving, root / depth)
        if error:
            system = np.vstack([system, error / half * _turned_eye(linear)])
            right = np.append(right, np.zeros(4))
        if shared_error:
            system = np.pad(system, ((0, 1), (0, 1)))  # one more unknown: the step of the constant
            system[: 2 * len(matches), 8] = (root * (bends[0] @ linear.T - bends[1]).T).ravel()
            system[-1, 8], right = held, np.append(right, held * (constant - fitted))
        solution = np.linalg.lstsq(system, right, rcond=None)[0]
        linear = solution[[0, 1, 3, 4]].reshape(2, 2)
        depth = np.maximum(fixed @ solution[6:8] + 1, 0.1)
        if shared_error:
            fitted = float(np.clip(fitted + solution[8], *FITTED))
    matrix = np.append(solution[:8], 1).reshape(3, 3)
    return RadialHomography(matrix, matches.fixed_shape, matches.moving_shape, fitted)


def _homography_equations(
    fixed: np.ndarray, moving: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return two equations per match, (2 n, 8) and (2 n,), first those of x, then those of y."""
    (x, y), target = fixed.T, moving.T
    one, zero = np.ones_like(x), np.zeros_like(x)
    rows = [
        [x, y, one, zero, zero, zero, -target[0] * x, -target[0] * y],
        [zero, zero, zero, x, y, one, -target[1] * x, -target[1] * y],
    ]
    system = np.concatenate([np.column_stack(row) * scale[:, None] for row in rows])
    return system, (target * scale).ravel()


def _bends(matches: Matches) -> list[np.ndarray]:
    """Return how fixed and moving points, (n, 2) each, in the planes change with the constant."""
    sides = (
        (matches.fixed_points, matches.fixed_shape),
        (matches.moving_points, matches.moving_shape),
    )
    return [to_plane(*side, 1) - to_plane(*side, 0) for side in sides]


def _turned_eye(linear: np.ndarray) -> np.ndarray:
    """Return four equations, (4, 8), of a turn of the eye: no stretch, and its perspective."""
    equations = np.zeros((4, 8))
    equations[0, [0, 4]] = np.array([1, -1]) / (2 * STRETCH)
    equations[1, [1, 3]] = 1 / (2 * STRETCH)
    turn = TURN * linear / np.sqrt(abs(np.linalg.det(linear)))  # the shift in the fixed plane
    equations[2:, 6:] = np.eye(2) / PERSPECTIVE
    equations[2:, [2, 5]] = turn.T / PERSPECTIVE
    return equations


def radial_misfit(series: Sequence[Matches], constant: float, *, scale: float = 0.003) -> float:
    """Measure how badly homographies, one per pair, fit the matches with a radial constant.

    Parameters
    ----------
    series : sequence of Matches
        One per pair.
    constant : float
        See `to_plane`.
    scale : float
        Residual, as a share of the longer side, at which the misfit of a match is one half. The
        misfit of larger residuals is limited to 1 (Geman and McClure). Smaller assumes that the
        matches are more accurate.

    Returns
    -------
    float
        Mean over the matches, from 0 (exact) to 1.
    """
    total = 0.0
    for matches in series:
        length, weights = scale * max(matches.moving_shape), None
        for _ in range(4):
            model = fit_homography(matches, weights, constant)
            squared = (model.residuals(matches) / length) ** 2
            weights = 1 / (1 + squared) ** 2
        total += float(np.sum(squared / (1 + squared)))
    return total / sum(len(matches) for matches in series)


def estimate_radial_constant(series: Sequence[Matches], *, scale: float = 0.003) -> float:
    """Estimate the radial constant of a camera: the one with the least `radial_misfit`.

    No landmarks are needed.

    Parameters
    ----------
    series : sequence of Matches
        One per pair of a series or a dataset. Pairs with fewer than 12 matches are ignored. Pairs
        with a large shift between the fields of view contribute most.
    scale : float
        See `radial_misfit`.

    Returns
    -------
    float
        Between -0.1 and 0.5.

    Raises
    ------
    ValueError
        If no pair has 12 matches.
    """
    series = [matches for matches in series if len(matches) >= 12]
    if not series:
        raise ValueError(
            "no pair with 12 matches or more to estimate the radial constant from; give more pairs"
        )
    found = minimize_scalar(
        lambda constant: radial_misfit(series, constant, scale=scale),
        bounds=SEARCHED,
        method="bounded",
    )
    return float(found.x)


def save_radial_constant(constant: float, path: Path | str) -> Path:
    """Write a radial constant to a JSON file, to be read by `load_radial_constant`."""
    with written_beside(Path(path)) as part:
        part.write_text(json.dumps({"radial_constant": float(constant)}) + "\n", encoding="utf-8")
    return Path(path)


def load_radial_constant(path: Path | str) -> float:
    """Read a radial constant that `save_radial_constant` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file has another content.
    """
    try:
        constant = float(json.loads(Path(path).read_text(encoding="utf-8"))["radial_constant"])
    except (ValueError, KeyError, TypeError) as error:  # no JSON and no text are ValueErrors, too
        raise ValueError(f"{Path(path).name}: no JSON with a number 'radial_constant'") from error
    if not np.isfinite(constant):
        raise ValueError(f"{Path(path).name}: 'radial_constant' is {constant}; give a number")
    return constant
