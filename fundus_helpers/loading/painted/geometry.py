"""The geometry of the visits of a painted eye: a projective map and nine smooth bumps.

It carries points (x, y) of a photograph to the anatomy: the pixels of an undistorted frame of the
same retina. The source is the photograph that the retina is painted from.
"""

from typing import Any

import numpy as np

from fundus_helpers.loading.painted.retina import FRAME_CENTRE, FRAME_WIDTH
from fundus_helpers.transforms.fields import pixel_grid

BUMP_NODES, BUMP_WIDTH = np.array([-0.7, 0.0, 0.7]), 0.45  # in half frames from the centre


def frame_points(size: int) -> np.ndarray:
    """Return the (x, y) of all pixels, row after row (size ** 2, 2)."""
    return pixel_grid((size, size)).reshape(-1, 2)


def to_anatomy(geometry: dict[str, Any], size: int, points: np.ndarray) -> np.ndarray:
    """Map points (n, 2) of one visit to the retina: G_i."""
    normal = (np.asarray(points, dtype=np.float64) - (size - 1) / 2) / (size / 2)
    mapped = _project(geometry["homography"], normal) + _bumps(geometry["bump_vectors"], normal)
    return mapped * (size / 2) + (size - 1) / 2


def from_anatomy(geometry: dict[str, Any], size: int, points: np.ndarray) -> np.ndarray:
    """Map points (n, 2) of the retina to one visit: the inverse of G_i."""
    target = normal = (np.asarray(points, dtype=np.float64) - (size - 1) / 2) / (size / 2)
    inverse = np.linalg.inv(geometry["homography"])
    for _ in range(8):  # the bumps are shallow: each round reduces the error at least tenfold
        normal = _project(inverse, target - _bumps(geometry["bump_vectors"], normal))
    return normal * (size / 2) + (size - 1) / 2


def _project(homography: Any, points: np.ndarray) -> np.ndarray:
    """Apply a homography (3, 3) to points (n, 2)."""
    mapped = points @ np.asarray(homography)[:, :2].T + np.asarray(homography)[:, 2]
    return mapped[:, :2] / mapped[:, 2:]


def _bumps(vectors: Any, points: np.ndarray) -> np.ndarray:
    """Sum the displacements of the Gaussian bumps (node in y, node in x, (x, y)) at points."""
    near_x, near_y = np.exp(-((points.T[..., np.newaxis] - BUMP_NODES) ** 2) / 2 / BUMP_WIDTH**2)
    near = near_y[:, :, np.newaxis] * near_x[:, np.newaxis, :]
    return near.reshape(-1, near[0].size) @ np.reshape(vectors, (-1, 2))


def draw_geometry(rng: np.random.Generator, magnification: float) -> dict[str, Any]:
    """Draw the random geometry of one visit (see `read_truth`); pixels are those of a 768 frame."""
    angle, direction = np.radians(rng.uniform(-4, 4)), rng.uniform(0, 2 * np.pi)
    scale, shift, height = rng.uniform((0.97, 8, 1.5), (1.03, 40, 3)) / (1, 384, 384)
    scale /= magnification
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    shifted = shift * np.array([np.cos(direction), np.sin(direction)])
    last_row = np.append(rng.uniform(-0.01, 0.01, 2), 1)
    vectors = rng.standard_normal((3, 3, 2))
    highest = np.linalg.norm(_bumps(vectors, frame_points(41) / 20 - 1), axis=1).max()
    homography = np.vstack([np.column_stack([[[cos, -sin], [sin, cos]], shifted]), last_row])
    vectors *= height / highest
    return {"homography": homography.tolist(), "bump_vectors": vectors.tolist()}


def to_source(patient: str, size: int) -> tuple[float, np.ndarray]:
    """Return the factor and the offset (2,) from anatomy to source pixels."""
    factor = FRAME_WIDTH / size
    return factor, FRAME_CENTRE[patient] - factor * (size - 1) / 2


def source_points(geometry: dict[str, Any], patient: str, size: int) -> np.ndarray:
    """Return the points of the source that the pixels of a visit show, row after row."""
    factor, offset = to_source(patient, size)
    return factor * to_anatomy(geometry, size, frame_points(size)) + offset
