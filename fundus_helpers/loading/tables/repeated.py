"""Landmarks that were placed twice: how many there are, by whom, and how well they repeat."""

from pathlib import Path

import numpy as np
import pandas as pd

from fundus_helpers.loading.tables.landmarks import (
    JUDGING,
    LANDMARK_COLUMNS,
    LANDMARKS_FILE,
    PLACED_BY,
    REGISTERING,
    SECOND_FILE,
    points_for,
    read_landmarks,
)

# Two points of the fixed photograph that are nearer than so many pixels are the same landmark.
SAME = 30.0


def repeated_distances(first: pd.DataFrame, second: pd.DataFrame) -> np.ndarray:
    """Return how far landmarks are apart that were placed twice, in pixels of the moving image.

    A landmark of the second table belongs to the nearest one of the first table in the fixed
    photograph. If it was placed elsewhere there, the same shift is expected in the moving one.

    Parameters
    ----------
    first, second : DataFrame
        From `read_landmarks`.

    Returns
    -------
    float64 ndarray, shape (n,)
        One distance per landmark that is in both tables.

    Examples
    --------
    >>> row = ["a.png", "b.png", 10.0, 10.0, 12.0, 12.0]
    >>> first = pd.DataFrame([row], columns=LANDMARK_COLUMNS)
    >>> repeated_distances(first, first.assign(moving_x=15.0)).tolist()
    [3.0]
    """
    distances = []
    numbers = LANDMARK_COLUMNS[2:]
    groups = dict(iter(first.groupby(LANDMARK_COLUMNS[:2])))
    for pair, rows in second.groupby(LANDMARK_COLUMNS[:2]):
        if pair not in groups:
            continue
        known = groups[pair][numbers].to_numpy(float)
        for again in rows[numbers].to_numpy(float):
            apart = again - known
            nearest = np.argmin(np.linalg.norm(apart[:, :2], axis=1))
            if np.linalg.norm(apart[nearest, :2]) < SAME:
                distances.append(np.linalg.norm(apart[nearest, 2:] - apart[nearest, :2]))
    return np.array(distances, float)


def tell_landmarks(folder: Path | str, files: list[str], landmarks: pd.DataFrame) -> str:
    """Say how many points judge the visits, who placed them, and how well they repeat.

    Parameters
    ----------
    folder : path
        Of the photographs, where ``landmarks_2.csv`` may lie.
    files : list of str
        Names of the photographs.
    landmarks : DataFrame
        From `read_landmarks`.

    Returns
    -------
    str
        One sentence; empty if there are no landmarks, or if they neither tell who placed them nor
        were placed twice.

    Raises
    ------
    EyeError
        If ``landmarks_2.csv`` cannot be read.
    """
    judging = points_for(landmarks, JUDGING)
    told = PLACED_BY in judging or (Path(folder) / SECOND_FILE).exists()
    if judging.empty or not told:
        return ""
    placed_by = judging.get(PLACED_BY, pd.Series(dtype=str)).fillna("").astype(str)
    counts = placed_by[placed_by != ""].value_counts(sort=False).sort_index()
    words = f"{LANDMARKS_FILE}: {_points(len(judging))} for judging"
    if counts.sum() == len(judging):
        words += f", placed by {', '.join(counts.index)}"
    elif len(counts):  # nobody knows who placed the others
        words += ", of which " + ", ".join(f"{n} placed by {who}" for who, n in counts.items())
    if registering := len(points_for(landmarks, REGISTERING)):
        words += f"; {_points(registering)} for registering"
    second, _ = read_landmarks(Path(folder) / SECOND_FILE, files)
    found = repeated_distances(judging, points_for(second, JUDGING))
    if len(found):
        words += f"; {len(found)} were placed twice and differ by {found.mean():.1f} px on average"
    return words


def _points(count: int) -> str:
    return f"{count} point" if count == 1 else f"{count} points"
