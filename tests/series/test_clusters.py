"""k-means on the directions that images span is k-means on their pixels."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from fundus_helpers.series import clusters


@pytest.fixture(scope="module")
def images():
    """Return 40 noisy images of three kinds, in turn."""
    random = np.random.default_rng(0)
    kinds = random.random((3, 32, 40), dtype=np.float32)
    noise = random.random((40, 32, 40), dtype=np.float32)
    return kinds[np.arange(40) % 3] + 0.6 * noise


def test_labels_and_inertia_are_those_of_the_raw_pixels(images):
    flat, found = images.reshape(len(images), -1), clusters.cluster_images(images, range(1, 11))
    for k, cluster in found.items():
        raw = KMeans(k, n_init=1, random_state=0).fit(flat)
        assert np.array_equal(cluster.labels, raw.labels_)
        assert cluster.inertia == pytest.approx(raw.inertia_, rel=1e-5)
        assert np.allclose(cluster.distances, raw.transform(flat), rtol=1e-4, atol=0.02)


def test_distances_stay_as_they_are(images):
    points, flat = clusters.coordinates(images), images.reshape(len(images), -1)
    assert points.shape == (40, 40)
    for i, j in ((0, 1), (3, 30), (12, 39)):
        assert np.linalg.norm(points[i] - points[j]) == pytest.approx(
            np.linalg.norm(flat[i] - flat[j]), rel=1e-5
        )


def test_kinds_are_told_apart_and_three_clusters_have_the_best_silhouette(images):
    found = clusters.cluster_images(images, range(1, 7), restarts=5)
    assert all(len(set(found[3].labels[i::3])) == 1 for i in range(3))
    silhouettes = {k: cluster.silhouette for k, cluster in found.items()}
    assert np.isnan(silhouettes.pop(1)) and max(silhouettes, key=silhouettes.get) == 3
    flat = images.reshape(len(images), -1)
    assert silhouettes[3] == pytest.approx(silhouette_score(flat, found[3].labels), rel=1e-4)
    assert found[3].sizes.tolist() in ([14, 13, 13], [13, 14, 13], [13, 13, 14])


def test_the_nearest_images_are_members_in_the_order_of_their_distance(images):
    found = clusters.cluster_images(images, [3])[3]
    nearest = found.nearest(1, 4)
    centroid = images[found.labels == 1].mean(axis=0)
    distances = np.linalg.norm((images - centroid).reshape(40, -1), axis=1)
    assert np.array_equal(found.labels[nearest], [1] * 4)
    members = np.flatnonzero(found.labels == 1)
    assert np.array_equal(nearest, members[np.argsort(distances[members])][:4])


def test_more_restarts_never_leave_more_inertia(images):
    one, many = (clusters.cluster_images(images, [6], restarts=n)[6].inertia for n in (1, 10))
    assert many <= one


def test_images_and_numbers_that_make_no_sense_are_refused(images):
    with pytest.raises(ValueError, match=r"\[0, 41\] clusters: .* between 1 and the 40 images"):
        clusters.cluster_images(images, [0, 3, 41])
    broken = images.copy()
    broken[3, 2, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        clusters.cluster_images(broken, [2])


def test_as_many_clusters_as_images_leave_nothing(images):
    found = clusters.cluster_images(images[:4], [1, 4])
    assert found[4].inertia == pytest.approx(0, abs=1e-3)
    assert found[4].sizes.tolist() == [1] * 4 and np.isnan(found[4].silhouette)
