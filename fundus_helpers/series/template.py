"""Which visit the others are registered to. Arrays in, arrays out.

The article's criterion is the total RMSE of a visit to all others. Its double loop over pairs is
one matrix product here: ``|a - b|^2 = |a|^2 + |b|^2 - 2 a.b``.
"""

import cv2
import numpy as np

# Pixels multiplied at a time: keeps the float64 copies of a hundred images small.
BLOCK = 1 << 14


def inner_products(images: np.ndarray, *, centred: bool = False) -> np.ndarray:
    """Compute the inner products (Gram matrix) of all images, summed over the pixels.

    Parameters
    ----------
    images : float ndarray, shape (n, height, width)
    centred : bool
        Subtract the mean image first.

    Returns
    -------
    float64 ndarray, shape (n, n)
    """
    flat = images.reshape(len(images), -1)
    products = np.zeros((len(flat), len(flat)))
    for start in range(0, flat.shape[1], BLOCK):
        block = flat[:, start : start + BLOCK]
        # Without centring, distances are small differences of large sums: float64 is needed.
        block = block - block.mean(axis=0) if centred else block.astype(np.float64, copy=False)
        products += block @ block.T
    return products


def rmse_matrix(images: np.ndarray) -> np.ndarray:
    """Root mean squared difference of every image to every other.

    Parameters
    ----------
    images : float ndarray, shape (n, height, width)

    Returns
    -------
    float64 ndarray, shape (n, n)
        Symmetric, zero on the diagonal; equal to the double loop to 1e-7 and better.
    """
    gram = inner_products(images) / images[0].size
    squares = np.diag(gram)[:, None] + np.diag(gram) - 2 * gram
    np.fill_diagonal(squares, 0)
    return np.sqrt(np.maximum(squares, 0))


def masked_rmse_matrix(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Root mean squared difference of every two images inside both their masks.

    Parameters
    ----------
    images : float ndarray, shape (n, height, width)
    masks : bool ndarray, shape (n, height, width)

    Returns
    -------
    float64 ndarray, shape (n, n)
        NaN where two masks do not meet.
    """
    n = len(images)
    flat, inside = images.reshape(n, -1), masks.reshape(n, -1)
    products, squares, counts = (np.zeros((n, n)) for _ in range(3))
    for start in range(0, flat.shape[1], BLOCK):
        weight = inside[:, start : start + BLOCK].astype(np.float64)
        block = flat[:, start : start + BLOCK] * weight
        products += block @ block.T
        squares += (block**2) @ weight.T
        counts += weight @ weight.T
    with np.errstate(invalid="ignore", divide="ignore"):
        matrix = np.sqrt(np.maximum(squares + squares.T - 2 * products, 0) / counts)
    np.fill_diagonal(matrix, 0)
    return matrix


def best_visits(matrix: np.ndarray) -> np.ndarray:
    """Order the visits by their total difference to all others, the smallest first.

    Parameters
    ----------
    matrix : ndarray, shape (n, n)
        As `rmse_matrix` gives it.
    """
    return np.argsort(np.nansum(matrix, axis=1), kind="stable")


def mean_of_best(images: np.ndarray, order: np.ndarray, k: int) -> np.ndarray:
    """Average the `k` first images of an order; float32, shape (height, width)."""
    if not 1 <= k <= len(images):
        raise ValueError(f"k = {k}: it must lie between 1 and the {len(images)} images")
    return images[order[:k]].mean(axis=0, dtype=np.float64).astype(np.float32)


def total_rmse_of_means(images: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Total RMSE to all images of the mean of the best k, for k = 1 ... n.

    Exact, from the inner products alone: no mean image is made.

    Parameters
    ----------
    images : float ndarray, shape (n, height, width)
    order : int ndarray, shape (n,)
        As `best_visits` gives it.

    Returns
    -------
    float64 ndarray, shape (n,)
    """
    gram = inner_products(images) / images[0].size
    n = len(gram)
    weights = np.zeros((n, n))
    for k in range(1, n + 1):
        weights[k - 1, order[:k]] = 1 / k
    products = weights @ gram
    squares = np.sum(products * weights, axis=1)[:, None] + np.diag(gram) - 2 * products
    return np.sqrt(np.maximum(squares, 0)).sum(axis=1)


def sharpness(image: np.ndarray, mask: np.ndarray) -> float:
    """Contrast of thin vessels inside a mask, as a share of the mean brightness.

    Of structures between 0.3 % and 1 % of the image's size: what is finer is grain, and would make
    the darkest photograph the sharpest.

    Parameters
    ----------
    image : float ndarray in [0, 1], shape (height, width)
    mask : bool ndarray, shape (height, width)
    """
    size = max(image.shape)
    fine, coarse = (cv2.GaussianBlur(image, (0, 0), share * size) for share in (0.003, 0.01))
    # Away from the rim: the step there is the sharpest thing in every photograph.
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3)), iterations=size // 50)
    inside = inner.astype(bool)
    return float((fine - coarse)[inside].std() / image[inside].mean())
