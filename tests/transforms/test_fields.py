"""A field is believed where the images support it, and carried on smoothly beyond."""

import cv2
import numpy as np
import pytest
from known_transforms import WIDTH, bumps

from fundus_helpers import transforms
from fundus_helpers.loading.light import erode, normalise_illumination
from fundus_helpers.transforms import fields

ROWS, COLUMNS = np.indices((WIDTH, WIDTH), dtype=np.float32)
LINEAR = np.array([[0.03, -0.02, 5.0], [0.04, -0.01, -3.0]])


def linear_field(matrix=LINEAR):
    """Return the displacements ``matrix @ (x, y, 1)`` of every pixel."""
    return np.dstack([COLUMNS, ROWS, np.ones_like(ROWS)]) @ np.asarray(matrix).T


def hole(mask):
    """Return a mask without a square of 31 pixels in its middle."""
    holed = mask.copy()
    holed[112:143, 112:143] = False
    return holed


@pytest.mark.parametrize("sigma", [0, 2.0, 20.0])
@pytest.mark.parametrize("matrix", [[[0, 0, 4], [0, 0, -7]], LINEAR])
def test_a_linear_field_stays_as_it_is_and_goes_on_as_it_is(aperture, sigma, matrix):
    field, known = linear_field(matrix), hole(aperture)
    spoilt = np.where(known[..., None], field, 1000)
    assert np.abs(fields.smooth(spoilt, known, sigma) - field).max() < 2e-3


@pytest.mark.parametrize("sigma", [0, 2.0])
def test_a_hole_is_filled_from_its_surroundings(aperture, sigma):
    field, known = bumps(1, 6.0), hole(aperture)
    filled = fields.smooth(field, known, sigma)
    wrong = np.linalg.norm(filled - field, axis=2)[aperture & ~known]
    across = np.linalg.norm(np.ptp(field[112:143, 112:143], axis=(0, 1)))
    assert across > 2 and wrong.max() < 0.25 * across
    # What is written into the hole is not looked at.
    other = fields.smooth(np.where(known[..., None], field, -500), known, sigma)
    assert np.array_equal(filled, other)


def test_no_blur_leaves_what_is_known_to_the_last_digit(aperture):
    field, known = bumps(1, 6.0), hole(aperture)
    assert np.array_equal(fields.smooth(field, known, 0)[known], field[known])


def test_a_blur_takes_noise_away_and_leaves_the_field(aperture):
    field = bumps(1, 6.0)
    noise = np.random.default_rng(0).standard_normal(field.shape)
    smoothed = fields.smooth(field + noise, aperture, 4.0)
    inside = erode(aperture, 0.03)
    assert np.sqrt(np.mean((smoothed - field)[inside] ** 2)) < 0.15  # of 1


def test_a_field_goes_on_beyond_what_is_known_without_a_jump(aperture):
    field = np.where(aperture[..., None], bumps(1, 6.0) + 30.0, 0)
    smoothed = fields.smooth(field, aperture, 2.0)
    assert np.abs(smoothed - 30)[~aperture].max() < 8
    for axis in (0, 1):
        assert np.abs(np.diff(smoothed, axis=axis)).max() < 0.5


def test_where_little_is_believed_the_surroundings_decide(aperture):
    field = bumps(1, 6.0)
    weight = np.where(aperture, np.where(hole(aperture), 1, 0.01), 0).astype(np.float32)
    spoilt = field + np.where(hole(aperture), 0, 10)[..., None]
    wrong = [
        np.linalg.norm(fields.smooth(spoilt, known, 6.0) - field, axis=2)[112:143, 112:143].mean()
        for known in (weight, aperture)
    ]
    assert wrong[1] > 8 and wrong[0] < 0.5 * wrong[1]


def test_where_nothing_is_known_nothing_moves():
    field = np.full((40, 50, 2), 9.0)
    assert np.array_equal(fields.smooth(field, np.zeros((40, 50), bool), 3.0), 0 * field)


def test_a_folded_field_is_unfolded(aperture):
    field = bumps(1, 2.0)
    field[..., 0] -= 12 * np.exp(-((COLUMNS - 128) ** 2) / 2 / 5**2)
    assert fields.area(fields.smooth(field, aperture, 1.0)).min() < 0
    unfolded = fields.smooth_without_folds(field, aperture, 1.0)
    assert fields.area(unfolded).min() > 0
    assert transforms.folding(transforms.from_displacement(unfolded), aperture) == 0
    far = aperture & (np.abs(COLUMNS - 128) > 60)
    assert np.linalg.norm(unfolded - bumps(1, 2.0), axis=2)[far].max() < 2


def test_a_field_that_does_not_fold_is_blurred_no_more_than_asked(aperture):
    field = bumps(1, 6.0)
    once = fields.smooth(field, aperture, 3.0)
    assert np.array_equal(fields.smooth_without_folds(field, aperture, 3.0), once)


def test_area_is_the_determinant_of_a_linear_field():
    area = fields.area(linear_field())
    assert area == pytest.approx(1.03 * 0.99 + 0.02 * 0.04, abs=1e-4)
    assert (fields.area(linear_field([[-2, 0, 9], [0, 0, 0]])) < 0).all()  # a mirror


def test_area_between_nodes_is_that_of_a_linear_field_at_any_spacing():
    field = linear_field()
    expected = pytest.approx(1.03 * 0.99 + 0.02 * 0.04, abs=1e-4)
    assert fields.area_change(field) == expected
    assert fields.area_change(field).shape == (WIDTH - 1, WIDTH - 1)
    assert fields.area_change(field[::4, ::4], spacing=4) == expected


def test_the_folded_share_counts_pixels_inside_the_mask_only():
    mirror = linear_field([[-2, 0, 9], [0, 0, 0]])
    half = np.where(COLUMNS[..., None] < 128, mirror, 0)
    assert fields.folded_share(half, COLUMNS < 100) == 1
    assert fields.folded_share(half, COLUMNS > 140) == 0
    assert fields.folded_share(mirror, ROWS < 100) == 1


def test_the_pixel_grid_holds_x_then_y():
    grid = fields.pixel_grid((3, 5))
    assert grid.shape == (3, 5, 2) and grid[2, 4].tolist() == [4, 2]
    assert fields.pixel_grid((3, 5), np.float32).dtype == np.float32


def test_what_one_image_alone_shows_supports_nothing(retina, retina_again, aperture):
    other = retina_again(np.eye(2, 3))
    spot = np.hypot(ROWS - 128, COLUMNS - 100) < 24
    texture = cv2.GaussianBlur(np.random.default_rng(0).random(spot.shape), (0, 0), 3)
    lesion = np.where(spot, 0.4 + 3 * (texture - 0.5), other).clip(0, 1).astype(np.float32)
    even = [normalise_illumination(image, aperture) for image in (retina, other, lesion)]
    mask = erode(aperture, 0.01)
    healthy, changed = (fields.support(even[0], image, mask) for image in even[1:])
    inside = np.hypot(ROWS - 128, COLUMNS - 100) < 18
    assert changed[inside].mean() < 0.15 * healthy[inside].mean()
    away = mask & (np.hypot(ROWS - 128, COLUMNS - 100) > 40)
    assert changed[away].mean() == pytest.approx(healthy[away].mean(), rel=0.05)
    assert healthy[away].mean() > 0.3
    for support in (healthy, changed):
        assert support.min() >= 0 and support.max() <= 1 and not support[~mask].any()


def test_plain_background_supports_nothing(retina, aperture):
    even = normalise_illumination(retina, aperture)
    plain = np.where(COLUMNS < 128, even, np.float32(0.5))
    support = fields.support(plain, plain, aperture)
    assert support[:, 150:].max() < 0.05 and support[:, :110][aperture[:, :110]].mean() > 0.3
