"""Images grouped by k-means, exactly and fast.

n images of p pixels span at most n - 1 directions around their mean. In these directions their
distances to each other and to every centroid are the same as in pixels. k-means therefore takes
the same steps, but with n numbers per image instead of p.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from threadpoolctl import threadpool_limits

from fundus_helpers.series.template import inner_products


@dataclass(frozen=True)
class Clusters:
    """Images grouped around k centroids.

    Attributes
    ----------
    labels : int ndarray, shape (n,)
        Cluster of each image, 0 to k - 1.
    inertia : float
        Sum over the images of the squared distance to their centroid.
    silhouette : float
        Mean silhouette of the images, from -1 to 1: how much nearer its own cluster is than the
        next one (Rousseeuw 1987, doi:10.1016/0377-0427(87)90125-7). NaN for one cluster, and for
        as many clusters as images.
    distances : float ndarray, shape (n, k)
        Distance of every image to every centroid.
    """

    labels: np.ndarray
    inertia: float
    silhouette: float
    distances: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """Number of images in each cluster."""
        return np.bincount(self.labels, minlength=self.distances.shape[1])

    def nearest(self, cluster: int, count: int = 5) -> np.ndarray:
        """Return the positions of the `count` images of a cluster nearest to its centroid."""
        members = np.flatnonzero(self.labels == cluster)
        return members[np.argsort(self.distances[members, cluster], kind="stable")][:count]


def coordinates(images: np.ndarray) -> np.ndarray:
    """Compute coordinates of images in the few directions that they span; distances are kept.

    Parameters
    ----------
    images : float ndarray, shape (n, height, width)

    Returns
    -------
    float64 ndarray, shape (n, n)
        Principal coordinates around the mean image, the largest first. They are computed from the
        inner products, so that no direction is needed as an image.

    Raises
    ------
    ValueError
        If an image has NaN or infinite pixels.
    """
    products = inner_products(images, centred=True)
    if not np.isfinite(products).all():
        raise ValueError("images have NaN or infinite pixels; replace or leave them out")
    values, directions = np.linalg.eigh(products)
    return (directions * np.sqrt(np.maximum(values, 0)))[:, ::-1]


def cluster_images(
    images: np.ndarray, counts: Sequence[int], *, seed: int = 0, restarts: int = 1
) -> dict[int, Clusters]:
    """Group images by k-means, for several numbers of clusters.

    Labels and inertia are those of scikit-learn's ``KMeans(k, n_init=restarts,
    random_state=seed)`` on the raw pixels.

    Parameters
    ----------
    images : float ndarray, shape (n, height, width)
    counts : sequence of int
        Numbers of clusters, each between 1 and n.
    seed : int
        Seed for the choice of the initial centroids (k-means++).
    restarts : int
        Number of choices of initial centroids, of which the best result is kept. More make it more
        likely to find the best grouping.

    Returns
    -------
    dict
        From the number of clusters to the result.

    Raises
    ------
    ValueError
        If images have NaN, or a number of clusters is not between 1 and n.
    """
    wrong = [k for k in counts if not 1 <= k <= len(images)]
    if wrong:
        raise ValueError(f"{wrong} clusters: give numbers between 1 and the {len(images)} images")
    with threadpool_limits(1):  # for such small sums several threads take longer than one
        points = coordinates(images)
        return {k: _cluster(points, k, seed, restarts) for k in counts}


def _cluster(points: np.ndarray, k: int, seed: int, restarts: int) -> Clusters:
    fit = KMeans(k, n_init=restarts, random_state=seed).fit(points)
    proper = 1 < len(set(fit.labels_)) < len(points)
    silhouette = silhouette_score(points, fit.labels_) if proper else float("nan")
    return Clusters(fit.labels_, float(fit.inertia_), float(silhouette), fit.transform(points))
