"""Points in the wrong order: with those of another row, or fixed and moving point exchanged."""

from itertools import combinations

import numpy as np

from fundus_helpers.transforms.linear import nearest_matrix

LEAST_POINTS = 4  # fewer points of two photographs do not tell which of them is wrong
# Points are examined if a similarity misses them by more than the first value, a share of their
# spread. An exchange is told if the points fit so many times better without it.
MISSED, BETTER = 0.05, 4.0


def exchanged_points(fixed: np.ndarray, moving: np.ndarray) -> tuple[int, ...]:
    """Find one exchange among the points of two photographs, from the points alone.

    Parameters
    ----------
    fixed, moving : float64 ndarray, shape (n, 2)
        Points with the same index should show the same place.

    Returns
    -------
    tuple of int
        Position of a row whose fixed and moving point are exchanged, or positions of two rows
        whose moving points are exchanged with each other. Empty: the order is right, or nothing
        can be told.

    Examples
    --------
    >>> fixed = np.array([[0.0, 0], [100, 0], [0, 100], [100, 90], [50, 30]])
    >>> moving = fixed + (30, 10)
    >>> exchanged_points(fixed, moving)
    ()
    >>> exchanged_points(fixed, moving[[0, 3, 2, 1, 4]])
    (1, 3)
    """
    if len(fixed) < LEAST_POINTS:
        return ()
    before = _missed(fixed, moving)
    if before <= MISSED:
        return ()
    rows = range(len(fixed))
    trials = {}
    for i in rows:
        sides = fixed.copy(), moving.copy()
        sides[0][i], sides[1][i] = moving[i], fixed[i]
        trials[(i,)] = _missed(*sides)
    for i, j in combinations(rows, 2):
        order = [*rows]
        order[i], order[j] = j, i
        trials[i, j] = _missed(fixed, moving[order])
    best = min(trials, key=trials.get)
    return best if BETTER * trials[best] < before else ()


def _missed(fixed: np.ndarray, moving: np.ndarray) -> float:
    """Return by how much the best similarity misses the points, as a share of their spread."""
    matrix = nearest_matrix(fixed, moving, "similarity")
    missed = fixed @ matrix[:, :2].T + matrix[:, 2] - moving
    spread = np.sqrt(np.sum((moving - moving.mean(axis=0)) ** 2))
    return float(np.sqrt(np.sum(missed**2)) / max(spread, 1e-9))
