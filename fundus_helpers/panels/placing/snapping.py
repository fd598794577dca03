"""Where a small window of one photograph is found again near a place in another one."""

import cv2
import numpy as np

from fundus_helpers.transforms.warping import remap

# Shares of the longer side: half the side of the window, and how far it is searched. 24 and 12 px
# of 768.
WINDOW, REACH = 0.031, 0.0157
LEAST_LIKENESS = 0.5  # correlation of two windows that show the same place


def snap(
    fixed: np.ndarray,
    moving: np.ndarray,
    fixed_point: np.ndarray,
    moving_point: np.ndarray,
    linear: np.ndarray,
) -> tuple[np.ndarray, float]:
    """Move a point to the place near it that looks most like the place in the fixed image.

    Parameters
    ----------
    fixed, moving : float32 ndarray in [0, 1], shape (height, width)
        Evenly lit images.
    fixed_point, moving_point : array_like, shape (2,)
        (x, y) in pixels of each image.
    linear : float ndarray, shape (2, 2)
        How the moving image is turned and magnified against the fixed one.

    Returns
    -------
    point : float64 ndarray, shape (2,)
        The best place in the moving image.
    likeness : float
        Correlation of the two windows, from -1 to 1. Less than `LEAST_LIKENESS` is no match.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> image = cv2.GaussianBlur(rng.random((256, 256), np.float32), (0, 0), 3)
    >>> point, likeness = snap(image, image, [100, 90], [102, 89], np.eye(2))
    >>> point.round(1).tolist(), round(likeness, 2)
    ([100.0, 90.0], 1.0)
    """
    half, reach = (round(share * max(fixed.shape)) for share in (WINDOW, REACH))
    reach = max(reach, 2)
    offsets = _square(half)
    window = remap(fixed, offsets + np.asarray(fixed_point, float), fill=None)
    wide = _square(half + reach) @ np.asarray(linear, float).T + np.asarray(moving_point, float)
    searched = remap(moving, wide, fill=None)
    alike = cv2.matchTemplate(searched, window, cv2.TM_CCOEFF_NORMED)
    alike = np.where(np.isfinite(alike), alike, -1)
    row, column = np.unravel_index(np.argmax(alike), alike.shape)
    shift = np.array([_peak(alike[row], column), _peak(alike[:, column], row)]) - reach
    return np.asarray(linear, float) @ shift + moving_point, float(alike[row, column])


def _square(half: int) -> np.ndarray:
    side = np.arange(-half, half + 1, dtype=float)
    return np.stack(np.meshgrid(side, side), axis=2)


def _peak(values: np.ndarray, place: int) -> float:
    """Return the place of a maximum between the samples, from the parabola through three."""
    if not 0 < place < len(values) - 1:
        return float(place)
    before, here, after = (float(values[place + step]) for step in (-1, 0, 1))
    bend = before - 2 * here + after
    return place + (0.5 * (before - after) / bend if bend < 0 else 0.0)
