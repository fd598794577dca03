"""Homographies of a curved retina: one radial constant undoes the bulge shared by all images.

A homography relates two photographs of a plane. The retina is a bowl seen through an eye and a
camera; to first order that is a radial distortion, the same for every image of a camera. In the
plane ``u = p (1 + k r^2)``, where p is the distance from the centre in half widths and r its
length, a homography fits far better, with no parameter more per pair.

The constant k refers to half the longer side of the image and to its centre. In a cropped image
both are those of the crop, so estimate k anew, or register the whole photographs.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar

from fundus_helpers.files import written_beside
from fundus_helpers.methods.keypoints.matches import Matches

# Of FIRE's camera (Nidek AFC-210, 45 degrees), from the matches of 72 pairs; flat around there.
RADIAL_CONSTANT = 0.12


SEARCHED = (-0.1, 0.5)


def _frame(shape: tuple[int, int], centre: Sequence[float] | None) -> tuple[np.ndarray, float]:
    height, width = shape
    middle = ((width - 1) / 2, (height - 1) / 2) if centre is None else centre
    return np.asarray(middle, float), max(shape) / 2


def to_plane(
    points: np.ndarray,
    shape: tuple[int, int],
    constant: float = RADIAL_CONSTANT,
    centre: Sequence[float] | None = None,
) -> np.ndarray:
    """Carry points of an image into the plane where photographs differ by a homography.

    Parameters
    ----------
    points : ndarray, shape (..., 2)
        (x, y) in pixels.
    shape : (height, width)
        Of the image; half the longer side is the unit of the plane.
    constant : float
        k in ``u = p (1 + k r^2)``. 0 leaves a plain homography.
    centre : (x, y), optional
        Of the distortion, in pixels; None: the centre of the image.

    Returns
    -------
    float64 ndarray, shape (..., 2)
        Of order one.
    """
    middle, half = _frame(shape, centre)
    p = (np.asarray(points, float) - middle) / half
    return p * (1 + constant * np.sum(p**2, axis=-1, keepdims=True))


def from_plane(
    plane_points: np.ndarray,
    shape: tuple[int, int],
    constant: float = RADIAL_CONSTANT,
    centre: Sequence[float] | None = None,
) -> np.ndarray:
    """Carry points of the plane back to pixels of an image: the inverse of `to_plane`.

    Newton's method on the radius, which finds it to the last digits in a few steps.

    Parameters
    ----------
    plane_points : ndarray, shape (..., 2)
    shape, constant, centre
        See `to_plane`.
    """
    middle, half = _frame(shape, centre)
    wanted = np.linalg.norm(plane_points, axis=-1, keepdims=True)
    radius = wanted / (1 + constant * np.minimum(wanted, 1) ** 2)
    for _ in range(6):
        slope = np.maximum(1 + 3 * constant * radius**2, 0.1)
        radius = radius - (radius * (1 + constant * radius**2) - wanted) / slope
    share = np.divide(radius, wanted, out=np.ones_like(wanted), where=wanted > 0)
    return plane_points * share * half + middle


@dataclass(frozen=True)
class RadialHomography:
    """A homography between the planes of two images; called, it maps fixed to moving points.

    Attributes
    ----------
    matrix : ndarray, shape (3, 3)
        Between points of the planes (`to_plane`).
    fixed_shape, moving_shape : (height, width)
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
        """Distances in pixels of the moving image, shape (n,), that the matches are off."""
        return np.linalg.norm(self(matches.fixed_points) - matches.moving_points, axis=1)


def fit_homography(
    matches: Matches, weights: np.ndarray | None = None, constant: float = RADIAL_CONSTANT
) -> RadialHomography:
    """Fit a homography in the radially corrected plane by weighted least squares.

    Parameters
    ----------
    matches : Matches
        Four or more.
    weights : ndarray, shape (n,), optional
        None: all alike.
    constant : float
        See `to_plane`.

    Raises
    ------
    ValueError
        If there are fewer than four matches.
    """
    if len(matches) < 4:
        raise ValueError(f"{len(matches)} matches; a homography needs four or more")
    x, y = to_plane(matches.fixed_points, matches.fixed_shape, constant).T
    target = to_plane(matches.moving_points, matches.moving_shape, constant).T
    root, depth = np.sqrt(np.ones_like(x) if weights is None else weights), np.ones_like(x)
    one, zero = np.ones_like(x), np.zeros_like(x)
    for _ in range(3):  # divided by the depth, the linear equations measure true distances
        rows = [
            [x, y, one, zero, zero, zero, -target[0] * x, -target[0] * y],
            [zero, zero, zero, x, y, one, -target[1] * x, -target[1] * y],
        ]
        scale = root / depth
        system = np.concatenate([np.column_stack(row) * scale[:, None] for row in rows])
        solution = np.linalg.lstsq(system, (target * scale).ravel(), rcond=None)[0]
        depth = np.maximum(solution[6] * x + solution[7] * y + 1, 0.1)
    matrix = np.append(solution, 1).reshape(3, 3)
    return RadialHomography(matrix, matches.fixed_shape, matches.moving_shape, constant)


def radial_misfit(series: Sequence[Matches], constant: float, *, scale: float = 0.003) -> float:
    """Measure what homographies, one a pair, leave in all pairs together with a radial constant.

    Parameters
    ----------
    series : sequence of Matches
    constant : float
        See `to_plane`.
    scale : float
        Residual, as a share of the longer side, at which a match counts half; beyond, less and
        less (Geman and McClure). Smaller trusts the matches to be more exact.

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
    """Estimate a camera's radial constant, that of least `radial_misfit`; no landmarks are needed.

    Parameters
    ----------
    series : sequence of Matches
        Of the pairs of a series or a data set; pairs of fewer than 12 matches say too little and
        are left out. Pairs whose views are shifted tell most.
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
        raise ValueError("no pair with 12 matches or more to estimate the radial constant from")
    found = minimize_scalar(
        lambda constant: radial_misfit(series, constant, scale=scale),
        bounds=SEARCHED,
        method="bounded",
    )
    return float(found.x)


def save_radial_constant(constant: float, path: Path | str) -> Path:
    """Write a radial constant as JSON, one number with its name."""
    with written_beside(Path(path)) as part:
        part.write_text(json.dumps({"radial_constant": constant}) + "\n", encoding="utf-8")
    return Path(path)


def load_radial_constant(path: Path | str) -> float:
    """Read what `save_radial_constant` wrote; ValueError if the file holds something else."""
    try:
        return float(json.loads(Path(path).read_text(encoding="utf-8"))["radial_constant"])
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{Path(path).name}: no JSON with a number 'radial_constant'") from error
