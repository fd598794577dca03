"""Means in a Gaussian window that count only what has weight."""

import cv2
import numpy as np


def window_mean(
    values: np.ndarray, weight: np.ndarray, sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted mean in a Gaussian window, and the weight in it.

    Parameters
    ----------
    values : float32 ndarray, shape (height, width)
    weight : ndarray, shape (height, width)
        0 for what does not count.
    sigma : float
        Standard deviation of the window in pixels.

    Returns
    -------
    mean : float32 ndarray, shape (height, width)
        Goes to 0 where there is hardly any weight.
    amount : float32 ndarray, shape (height, width)
    """
    weight = weight.astype(np.float32)
    amount = cv2.GaussianBlur(weight, (0, 0), sigma)
    total = cv2.GaussianBlur((values * weight).astype(np.float32), (0, 0), sigma)
    return total / (amount + np.float32(1e-4)), amount
