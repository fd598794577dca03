"""Selection of the template: the visit to which the others are registered.

The article's criterion is the total RMSE of a visit to all others. The double loop over pairs is
replaced by one matrix product: ``|a - b|^2 = |a|^2 + |b|^2 - 2 a.b``.
"""

import cv2
import numpy as np

# Number of pixels that are multiplied at a time, so that the float64 copies of a hundred images
# stay small. scikit-learn's `euclidean_distances` needs four times as long for float32 images and
# rounds to float32, and its `nan_euclidean_distances` needs seven times as long.
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
    """Compute the root mean squared difference (RMSE) of every image to every other.

    Parameters
    ----------
    images : float ndarray, shape (n, height, width)

    Returns
    -------
    float64 ndarray, shape (n, n)
        Symmetric, with zeros on the diagonal. Equal to the double loop within 1e-7.
    """
    gram = inner_products(images) / images[0].size
    squares = np.diag(gram)[:, None] + np.diag(gram) - 2 * gram
    np.fill_diagonal(squares, 0)
    return np.sqrt(np.maximum(squares, 0))


def masked_rmse_matrix(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Compute the RMSE of every two images inside both of their masks.

    Parameters
    ----------
    images : float ndarray, shape (n, height, width)
    masks : bool ndarray, shape (n, height, width)

    Returns
    -------
    float64 ndarray, shape (n, n)
        NaN where two masks do not overlap.
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
    """Sort the visits by their total difference to all others, the smallest first.

    Parameters
    ----------
    matrix : ndarray, shape (n, n)
        As `rmse_matrix` returns it.

    Returns
    -------
    int ndarray, shape (n,)
        Positions of the visits.
    """
    return np.argsort(np.nansum(matrix, axis=1), kind="stable")


def mean_of_best(images: np.ndarray, order: np.ndarray, k: int) -> np.ndarray:
    """Compute the mean of the best images.

    Parameters
    ----------
    images : float ndarray, shape (n, height, width)
    order : int ndarray, shape (n,)
        As `best_visits` returns it.
    k : int
        Number of images, from 1 to n.

    Returns
    -------
    float32 ndarray, shape (height, width)
    """
    if not 1 <= k <= len(images):
        raise ValueError(f"k = {k}: give a number between 1 and the {len(images)} images")
    return images[order[:k]].mean(axis=0, dtype=np.float64).astype(np.float32)


def total_rmse_of_means(images: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Compute the total RMSE between the mean of the best k images and all images, for every k.

    The result is exact, and is computed from the inner products without making the mean images.

    Parameters
    ----------
    images : float ndarray, shape (n, height, width)
    order : int ndarray, shape (n,)
        As `best_visits` returns it.

    Returns
    -------
    float64 ndarray, shape (n,)
        For k = 1 ... n.
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
    """Measure the contrast of thin vessels inside a mask, as a share of the mean brightness.

    Only structures between 0.3 % and 1 % of the size of the image count. Finer ones are noise,
    with which the darkest photograph would be the sharpest.

    Parameters
    ----------
    image : float ndarray in [0, 1], shape (height, width)
    mask : bool ndarray, shape (height, width)
    """
    size = max(image.shape)
    fine, coarse = (cv2.GaussianBlur(image, (0, 0), share * size) for share in (0.003, 0.01))
    # The rim is excluded, because its step is the sharpest structure of every photograph.
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3)), iterations=size // 50)
    inside = inner.astype(bool)
    return float((fine - coarse)[inside].std() / image[inside].mean())
