"""The error predicted for points placed by hand holds for eyes and hands drawn at random."""

import numpy as np
import pytest

from fundus_helpers import transforms
from fundus_helpers.loading.painted.geometry import draw_geometry, from_anatomy, to_anatomy
from fundus_helpers.methods.points import from_points
from fundus_helpers.metrics.evidence import BOUND
from fundus_helpers.metrics.placing import error_by_hand

SHAPE = (768, 768)
SPREAD = np.array([[150, 200], [600, 180], [400, 620], [200, 560], [610, 540], [380, 330.0]])
GRID = np.stack(np.meshgrid(*[np.arange(150, 640, 60)] * 2), axis=2).reshape(-1, 2)


def drawn(seed, count):
    """Return the errors of one eye and one hand on a grid, and what was predicted there."""
    rng = np.random.default_rng(seed)
    first, second = (draw_geometry(rng, 1.0) for _ in range(2))
    points = rng.permutation(SPREAD)[:count]

    def model(places):
        return from_anatomy(second, SHAPE[0], to_anatomy(first, SHAPE[0], places))

    angle, length = rng.uniform(0, 2 * np.pi, count), 3 * np.sqrt(rng.uniform(0, 1, count))
    hand = model(points) + (length * np.array([np.cos(angle), np.sin(angle)])).T
    found = from_points(points, hand, SHAPE, SHAPE)
    errors = np.linalg.norm(transforms.map_points(found, GRID) - model(GRID), axis=1)
    misses = np.linalg.norm(transforms.map_points(found, points) - hand, axis=1)
    column, row = GRID.T
    return errors, error_by_hand(points, misses, SHAPE)[row, column]


@pytest.mark.parametrize("count", [2, 3, 4, 6])
def test_the_bound_holds_for_nine_of_ten_places_and_is_not_far_too_wide(count):
    draws = [drawn(seed, count) for seed in range(40)]
    held = np.array([np.mean(errors <= BOUND * predicted) for errors, predicted in draws])
    assert held.mean() > 0.9 and np.mean(held > 0.9) > 0.7  # of the places, and of the draws
    errors, predicted = np.mean(draws, axis=(0, 2))
    assert errors < predicted < 2.5 * errors, (errors, predicted)


def test_the_error_is_small_among_many_points_and_grows_with_their_residuals():
    three, six = (error_by_hand(SPREAD[:n], np.zeros(n), SHAPE) for n in (3, 6))
    assert three.shape == SHAPE and np.isfinite(three).all()
    assert six.mean() < three.mean()
    assert three[333, 383] < three[0, 0]
    assert error_by_hand(SPREAD[:4], [9, 9, 9, 9], SHAPE).mean() > 1.5 * three.mean()
