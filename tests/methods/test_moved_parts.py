"""A part of the retina that was moved is seen and followed, and nothing is followed beside it."""

import cv2
import numpy as np
import pytest

from fundus_helpers import loading, metrics, transforms
from fundus_helpers.loading.demo_eye import make_demo_eye, read_truth
from fundus_helpers.methods.keypoints import (
    find_moved,
    follow_moved,
    follow_vessels,
    moved_by,
    register,
)
from fundus_helpers.methods.pair import prepare_pair

WIDTH = 256
RADIUS = 28.0  # px; half of the displacement is left at half of it
MIDDLES = [(150, 90), (110, 170)]
AMOUNTS = [(3.5, 0), (0, -7)]  # px, as 40 and 80 px of 2912: beyond the reach of the dense step


def displaced(points, amount, middle):
    """Move points against the amount, by a smooth bump: not at all beyond its radius."""
    far = np.minimum(np.linalg.norm(points - middle, axis=-1, keepdims=True) / RADIUS, 1)
    return points - (1 + np.cos(np.pi * far)) / 2 * amount


@pytest.fixture(params=AMOUNTS)
def amount(request):
    return np.array(request.param)


@pytest.fixture(params=MIDDLES)
def middle(request):
    return np.array(request.param)


@pytest.fixture
def places():
    """Return the (x, y) of every pixel."""
    return np.stack(np.meshgrid(np.arange(WIDTH), np.arange(WIDTH)), 2).astype(float)


@pytest.fixture
def fixed(retina, places, amount, middle):
    """Return the retina with a part moved, under another light."""
    x, y = np.moveaxis(displaced(places, amount, middle).astype(np.float32), 2, 0)
    seen = cv2.remap(retina, x, y, cv2.INTER_CUBIC)
    return np.clip(seen * np.linspace(0.6, 1, WIDTH, dtype=np.float32), 0, 1)


@pytest.fixture
def far(places, middle):
    """Return the distance of every pixel from the middle of the part, in radii."""
    return np.linalg.norm(places - middle, axis=2) / RADIUS


def test_a_part_of_the_retina_that_was_moved_is_followed(
    retina, aperture, fixed, places, far, amount, middle
):
    found = register(fixed, retina)
    off = places + transforms.displacement(found, retina.shape) - displaced(places, amount, middle)
    off = np.linalg.norm(off, axis=2)
    assert off[far < 0.5].mean() < 0.44  # 5 px of 2912
    inside = loading.erode(aperture, 0.03)
    assert off[inside & (far > 2)].max() < 0.5
    verdict = metrics.judge(found, fixed, retina)
    assert verdict.status == "accepted"
    assert np.nanmean(verdict.predicted_error[far < 0.5]) < 0.6


def test_the_predicted_error_sees_where_a_part_was_not_followed(
    retina, fixed, places, far, amount, middle
):
    predicted = metrics.judge(transforms.identity(), fixed, retina).predicted_error
    true = np.linalg.norm(displaced(places, amount, middle) - places, axis=2)
    assert 0.5 < predicted[far < 0.5].mean() / true[far < 0.5].mean() < 2
    assert np.nanmedian(predicted[far > 2]) < 0.5


def test_a_part_where_the_retina_may_have_changed_is_not_followed(
    retina, fixed, far, amount, middle
):
    found = register(fixed, retina, changing=far < 1.5)
    at_middle = transforms.displacement(found, retina.shape)[middle[1], middle[0]]
    assert np.linalg.norm(at_middle) < 0.3 * np.linalg.norm(amount)


def test_a_retina_that_stands_still_is_not_followed_anywhere(retina, retina_again):
    pair = prepare_pair(retina, retina_again([[1, 0, 0], [0, 1, 0]]))
    images = pair.fixed, pair.moving, pair.fixed_mask & pair.moving_mask
    field = follow_vessels(*images)
    assert not find_moved(*images).parts
    np.testing.assert_array_equal(follow_moved(*images, field, follow_vessels), field)


@pytest.mark.parametrize("shape", [(256, 256), (171, 256), (256, 129)])
@pytest.mark.parametrize("every", [0, 5])
def test_a_mask_that_shows_hardly_anything_has_no_moved_parts(retina, fixed, shape, every):
    height, width = shape
    mask = np.zeros(shape, bool)
    if every:
        mask[::every] = True
    images = fixed[:height, :width], retina[:height, :width], mask
    assert not find_moved(*images).parts
    assert not moved_by(*images).any()


def test_nothing_is_followed_where_everything_may_have_changed(retina):
    everywhere = np.ones(retina.shape, bool)
    plain = register(retina, retina, changing=everywhere)
    assert np.abs(transforms.displacement(plain, retina.shape)).max() < 0.1


def test_a_lesion_that_has_grown_is_not_followed(tmp_path):
    """Its border and the vessels inside of it look like vessels that were moved."""
    folder = make_demo_eye(tmp_path, "demo_atrophy_colour", seed=11)
    usable = [visit["file"] for visit in read_truth(folder)["visits"] if visit["usable"]]
    first, *later = (
        np.clip(loading.single_channel(loading.read_photograph(folder / name)), 0, 1)
        for name in (usable[0], *usable[-2:])
    )
    seemed = 0
    for name, visit in zip(usable[-2:], later, strict=True):
        plain = register(first, visit, follow_vessels=False)
        seen = transforms.warp_mask(loading.field_of_view(visit), plain, first.shape)
        pair = prepare_pair(first, transforms.warp(visit, plain, first.shape), None, seen)
        images = pair.fixed, pair.moving, pair.fixed_mask & pair.moving_mask
        lesion = loading.read_photograph(folder / "truth" / f"lesion_{name}") > 0
        lesion = transforms.warp_mask(lesion, plain, first.shape)
        cells = [cv2.resize(part * 1.0, lesion.shape[::-1]) for part in find_moved(*images).parts]
        seemed += sum(((cell > 0.5) & lesion).any() for cell in cells)
        field = follow_vessels(*images)
        np.testing.assert_array_equal(follow_moved(*images, field, follow_vessels), field)
    assert seemed  # so that something was refused
