"""The linear map that carries points to others best."""

from typing import Literal

import numpy as np

LinearModel = Literal["translation", "rigid", "similarity", "affine"]


def nearest_matrix(
    points: np.ndarray, targets: np.ndarray, model: LinearModel = "affine"
) -> np.ndarray:
    """Return the linear map of points to targets with the least squared distances.

    Parameters
    ----------
    points, targets : ndarray, shape (..., 2)
    model : {"translation", "rigid", "similarity", "affine"}
        How many parameters the map may have.

    Returns
    -------
    float64 ndarray, shape (2, 3)
        A linear part and a shift.

    Examples
    --------
    >>> nearest_matrix([[0, 0], [2, 0], [0, 2]], [[1, 1], [3, 1], [1, 3]]).round(6) + 0.0
    array([[1., 0., 1.],
           [0., 1., 1.]])
    """
    points, targets = (np.asarray(each).reshape(-1, 2) for each in (points, targets))
    if model == "affine":
        rows = np.insert(points.astype(np.result_type(points, 1.0)), 2, 1.0, axis=1)
        return np.linalg.lstsq(rows, targets, rcond=None)[0].T
    middle, target = points.mean(axis=0), targets.mean(axis=0)
    linear = np.eye(2)
    if model != "translation":
        p, q = points - middle, targets - target
        a, b = np.sum(p * q), np.sum(p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0])
        scale = np.hypot(a, b) if model == "rigid" else np.sum(p**2)
        linear = np.array([[a, -b], [b, a]]) / scale
    return np.column_stack([linear, target - linear @ middle])


def turn_of(matrix: np.ndarray) -> float:
    """Return the angle, in degrees, by which a linear map turns the x axis towards the y axis."""
    return float(np.degrees(np.arctan2(matrix[1, 0] - matrix[0, 1], matrix[0, 0] + matrix[1, 1])))
