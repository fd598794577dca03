"""Gaussian means, broad ones as fast as narrow ones."""

import cv2
import numpy as np

# A Gaussian this many pixels wide loses nothing on a grid of every second pixel, and so on.
FINE = 3.0


def gaussian(array: np.ndarray, sigma: float) -> np.ndarray:
    """Blur with a Gaussian; beyond the edge of the array there is zero.

    A broad Gaussian is taken on a coarser grid, averaged down and interpolated up again, which
    differs from the full sum by less than a percent and takes time that does not grow with `sigma`.
    Dividing the mean of values inside a mask by the mean of the mask leaves out what lies beyond.

    Parameters
    ----------
    array : float32 ndarray, shape (height, width) or (height, width, channels)
    sigma : float
        Standard deviation in pixels. More is smoother; 0 leaves the array as it is.

    Returns
    -------
    float32 ndarray of the shape of `array`
    """
    if sigma <= 0:
        return array
    factor = int(sigma / FINE)
    if factor < 2:
        return cv2.GaussianBlur(array, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    if array.ndim == 3:
        return np.dstack([gaussian(channel, sigma) for channel in cv2.split(array)])
    height, width = array.shape
    # A margin of zeros, so that the coarse grid knows what lies beyond the edge.
    rows, columns = (-n % factor + factor for n in array.shape)
    padded = cv2.copyMakeBorder(array, factor, rows, factor, columns, cv2.BORDER_CONSTANT)
    shape = padded.shape[1] // factor, padded.shape[0] // factor
    coarse = cv2.resize(padded, shape, interpolation=cv2.INTER_AREA)
    coarse = cv2.GaussianBlur(coarse, (0, 0), sigma / factor, borderType=cv2.BORDER_CONSTANT)
    fine = cv2.resize(coarse, padded.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return fine[factor : factor + height, factor : factor + width]
