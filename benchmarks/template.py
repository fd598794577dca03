"""Compare the time of template selection by a matrix product and by a double loop."""

import sys
import time

import numpy as np

from fundus_helpers.series import template


def double_loop(images: np.ndarray) -> np.ndarray:
    """Compute the RMSE between every two images, pair by pair, as the article does."""
    matrix = np.zeros((len(images), len(images)))
    for i, first in enumerate(images):
        for j, second in enumerate(images):
            matrix[i, j] = np.sqrt(np.mean((first - second) ** 2))
    return matrix


def main(count: int = 100, size: int = 768) -> None:
    """Print the seconds, their ratio and the largest difference of the two results."""
    images = np.random.default_rng(0).random((count, size, size))  # float64, as in the article
    template.rmse_matrix(images[:2])  # warm up: the library starts its threads
    seconds = []
    for method in (template.rmse_matrix, double_loop, template.rmse_matrix):
        start = time.perf_counter()
        matrix = method(images)
        seconds.append(time.perf_counter() - start)
        if method is double_loop:
            expected = matrix
    product, loop = (seconds[0] + seconds[2]) / 2, seconds[1]
    sys.stdout.write(
        f"{count} images of {size} x {size}: matrix product {product:.2f} s, double loop "
        f"{loop:.2f} s, {loop / product:.0f} times faster, largest difference "
        f"{np.abs(matrix - expected).max():.1e}\n"
    )


if __name__ == "__main__":
    main()
