"""The template is chosen by sums that equal the article's double loop."""

import numpy as np
import pytest

from fundus_helpers.series import template

RNG = np.random.default_rng(0)
COMMON = RNG.random((40, 50))
IMAGES = (0.8 * COMMON + 0.2 * RNG.random((6, 40, 50))).astype(np.float32)
IMAGES[2] = 0.8 * COMMON + 0.1  # the most like all others
MASKS = RNG.random((6, 40, 50)) > 0.3


def rmse(a, b):
    """Return the root mean squared difference in double precision."""
    return np.sqrt(np.mean((a.astype(float) - b.astype(float)) ** 2))


@pytest.mark.parametrize("offset", [0.0, 0.7])
def test_the_matrix_product_equals_the_double_loop(offset):
    images = IMAGES + np.float32(offset)
    loop = [[rmse(a, b) for b in images] for a in images]
    assert np.abs(template.rmse_matrix(images) - loop).max() < 1e-6


def test_more_pixels_than_one_block_are_all_counted(monkeypatch):
    whole, masked = template.rmse_matrix(IMAGES), template.masked_rmse_matrix(IMAGES, MASKS)
    monkeypatch.setattr(template, "BLOCK", 77)
    assert np.allclose(template.rmse_matrix(IMAGES), whole)
    assert np.allclose(template.masked_rmse_matrix(IMAGES, MASKS), masked)


def test_an_image_does_not_differ_from_itself():
    matrix = template.rmse_matrix(IMAGES[[0, 0, 1]])
    assert matrix[0, 1] < 1e-7 and (np.diag(matrix) == 0).all()


def test_the_masked_matrix_equals_a_loop_over_common_pixels():
    matrix = template.masked_rmse_matrix(IMAGES, MASKS)
    for i, j in np.ndindex(6, 6):
        common = MASKS[i] & MASKS[j]
        assert matrix[i, j] == pytest.approx(rmse(IMAGES[i][common], IMAGES[j][common]), abs=1e-6)
    assert np.allclose(
        template.masked_rmse_matrix(IMAGES, np.ones_like(MASKS)), template.rmse_matrix(IMAGES)
    )


def test_masks_that_do_not_meet_have_no_difference():
    masks = np.zeros((2, 40, 50), bool)
    masks[0, :, :20] = masks[1, :, 30:] = True
    assert np.isnan(template.masked_rmse_matrix(IMAGES[:2], masks)[0, 1])


def test_the_visit_most_like_all_others_comes_first():
    order = template.best_visits(template.rmse_matrix(IMAGES))
    assert order[0] == 2 and sorted(order) == list(range(6))
    assert template.best_visits(np.array([[0, 5, 1], [5, 0, 3], [1, 3, 0]])).tolist() == [2, 0, 1]


def test_the_error_of_every_mean_is_that_of_the_mean_image():
    order = template.best_visits(template.rmse_matrix(IMAGES))
    totals = template.total_rmse_of_means(IMAGES, order)
    for k in range(1, 7):
        mean = IMAGES[order[:k]].astype(float).mean(axis=0)
        assert totals[k - 1] == pytest.approx(sum(rmse(mean, image) for image in IMAGES), abs=1e-6)


def test_the_mean_of_the_best_is_the_mean_of_the_first_of_the_order():
    mean = template.mean_of_best(IMAGES, np.array([4, 1, 0, 2, 3, 5]), 2)
    assert mean.dtype == np.float32
    assert np.allclose(mean, (IMAGES[4] + IMAGES[1]) / 2)


@pytest.mark.parametrize("k", [0, 7, -1])
def test_a_mean_of_none_or_too_many_is_refused(k):
    with pytest.raises(ValueError, match=f"k = {k}: .* 1 and the 6"):
        template.mean_of_best(IMAGES, np.arange(6), k)


def test_a_blurred_mean_is_less_sharp(retina, aperture):
    shifted = np.roll(retina, 3, axis=1)
    assert template.sharpness(retina, aperture) > 1.1 * template.sharpness(
        (retina + shifted) / 2, aperture
    )
    assert template.sharpness(retina / 2, aperture) == pytest.approx(
        template.sharpness(retina, aperture), rel=1e-3
    )
