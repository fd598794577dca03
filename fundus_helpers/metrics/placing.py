"""The error of a transform that was found from points placed by hand."""

import numpy as np

from fundus_helpers import transforms
from fundus_helpers.methods.homography.radial import STRETCH
from fundus_helpers.methods.points import PLACING_ERROR
from fundus_helpers.transforms import fields

# How far the perspective of two photographs is from the transform of few points: the root mean
# square of painted eyes; that of 72 pairs of FIRE is 0.04, and less than 0.01 where the fields of
# view overlap by more than half.
PERSPECTIVE = 0.02
# What no smooth transform of few points follows, as a share of the longer side: 1.2 px of 768 in x
# and in y. It is what remains of the landmarks of FIRE (class A) and of painted eyes.
REST = 0.0015
# How many residuals, each an x or a y, the usual error of a hand is worth beside those of the
# points at hand.
USUAL = 4
SPACING = 8  # pixels between the places for which the error is computed


def error_by_hand(
    fixed_points: np.ndarray, misses: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Predict the error of a transform that follows from points placed by hand alone.

    The points are fitted by a similarity, by some stretch and by some perspective, all linear. The
    covariance of such a fit (Bishop, Pattern Recognition and Machine Learning, 2006, section 3.3)
    gives the error of every place: it is small among many points, and grows away from them.

    Parameters
    ----------
    fixed_points : array_like, shape (n, 2)
        (x, y) in pixels of the fixed image; two points or more.
    misses : array_like, shape (n,)
        Distance of every point from where the transform maps its partner, in pixels.
    shape : (height, width)
        Of the fixed image.

    Returns
    -------
    float32 ndarray, shape (height, width)
        Expected distance from the true point, in pixels.

    Examples
    --------
    >>> error = error_by_hand([[40, 40], [60, 40], [50, 60]], [0.1, 0.1, 0.1], (101, 101))
    >>> bool(error[46, 50] < error[0, 0])
    True
    """
    half = max(shape) / 2
    points = np.asarray(fixed_points, float)
    middle = points.mean(axis=0)
    usual = PLACING_ERROR * max(shape) / np.sqrt(2)
    surplus = max(2 * len(points) - 4, 0)
    variance = (USUAL * usual**2 + np.sum(np.square(misses))) / (USUAL + surplus)
    known = _terms((points - middle) / half).reshape(-1, 8)
    likely = half * np.repeat([np.inf, STRETCH, PERSPECTIVE], [4, 2, 2])
    covariance = np.linalg.inv(known.T @ known / variance + np.diag(likely**-2.0))
    height, width = shape
    small = (height - 1) // SPACING + 2, (width - 1) // SPACING + 2
    terms = _terms((SPACING * fields.pixel_grid(small) - middle) / half)
    spread = np.einsum("...ci,ij,...cj->...", terms, covariance, terms)
    spread += 2 * (REST * max(shape)) ** 2
    error = np.sqrt(np.pi / 4 * spread).astype(np.float32)  # the mean of Rayleigh's distribution
    return transforms.remap(error, fields.pixel_grid(shape) / SPACING)


def _terms(points: np.ndarray) -> np.ndarray:
    """Return how each coefficient moves points (..., 2), in half widths: (..., 2, 8)."""
    x, y = np.moveaxis(points, -1, 0)
    one, zero = np.ones_like(x), np.zeros_like(x)
    to_x = [one, zero, x, -y, x, y, x**2, x * y]
    to_y = [zero, one, y, x, -y, x, x * y, y**2]
    return np.stack([np.stack(to_x, axis=-1), np.stack(to_y, axis=-1)], axis=-2)
