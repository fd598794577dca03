"""Compare the time of k-means on the directions that images span and on raw pixels."""

import sys
import time

import numpy as np
from sklearn.cluster import KMeans

from fundus_helpers.series import clusters


def raw_pixels(images: np.ndarray, counts: range) -> dict[int, KMeans]:
    """Cluster the raw pixels with scikit-learn, as the article does."""
    flat = images.reshape(len(images), -1)
    return {k: KMeans(k, n_init=1, random_state=0).fit(flat) for k in counts}


def main(count: int = 101, size: int = 768) -> None:
    """Print the seconds, their ratio, and whether labels and inertia are the same."""
    random, counts = np.random.default_rng(0), range(1, 11)
    groups = random.random((4, size, size), dtype=np.float32)
    images = 0.3 * groups[random.integers(4, size=count)]
    images += random.random((count, size, size), dtype=np.float32)
    clusters.cluster_images(images[:3], [1, 2])  # warm up: the libraries start their threads
    seconds = []
    for method in (clusters.cluster_images, raw_pixels, clusters.cluster_images):
        start = time.perf_counter()
        found = method(images, counts)
        seconds.append(time.perf_counter() - start)
        if method is raw_pixels:
            raw = found
    fast, fast_seconds, raw_seconds = found, (seconds[0] + seconds[2]) / 2, seconds[1]
    labels = all(np.array_equal(fast[k].labels, raw[k].labels_) for k in counts)
    inertia = max(abs(fast[k].inertia / raw[k].inertia_ - 1) for k in counts)
    sys.stdout.write(
        f"{count} images of {size} x {size}, k = 1..10: directions {fast_seconds:.2f} s, raw "
        f"pixels {raw_seconds:.2f} s, {raw_seconds / fast_seconds:.0f} times faster, labels "
        f"{'the same' if labels else 'DIFFERENT'}, inertia differs by {inertia:.1e} at most\n"
    )


if __name__ == "__main__":
    main()
