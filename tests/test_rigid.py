"""Rotation, shift, scale and shear are found again where they are known."""

import math

import numpy as np
import pytest
import SimpleITK as sitk

from fundus_helpers import METHODS, metrics, transforms
from fundus_helpers.coarse_alignment import coarse_alignment
from fundus_helpers.eye import load_eye
from fundus_helpers.methods.rigid import ARTICLE_SETTINGS, register
from fundus_helpers.pair import check_result, prepare_pair
from fundus_helpers.transforms import RegistrationError

MODELS = ["translation", "rigid", "similarity", "affine"]
WIDTH = 256


def about_the_middle(degrees=0.0, scale=1.0, shift=(0, 0), shear=0.0):
    """Return a matrix that turns, scales and shears about the middle of the frame, then shifts."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    linear = scale * np.array([[cosine, -sine + shear], [sine, cosine]])
    middle = np.full(2, (WIDTH - 1) / 2)
    return np.column_stack([linear, middle + shift - linear @ middle])


def largest_error(transform, matrix, mask):
    """Return how far a transform is off its true matrix in a field of view, in pixels, at most."""
    points = np.argwhere(mask)[::29, ::-1]
    true = transforms.map_points(transforms.from_matrix(matrix), points)
    return np.linalg.norm(transforms.map_points(transform, points) - true, axis=1).max()


def landmark_error(eye, method, masks, **knobs):
    """Return the mean landmark error of an eye's visits registered to the first."""
    errors = []
    for i in range(1, len(eye.names)):
        landmarks = eye.landmarks_between(0, i)
        if len(landmarks[0]):
            found = method(
                eye.images[0],
                eye.images[i],
                fixed_mask=masks[0],
                moving_mask=masks[i],
                **knobs,
            )
            errors.append(metrics.landmark_errors(found, *landmarks).mean() * eye.full_factor)
    return np.mean(errors)


@pytest.mark.parametrize(
    "model, matrix",
    [
        ("translation", about_the_middle(shift=(10.3, -6.8))),
        ("translation", about_the_middle(shift=(-0.15 * WIDTH, 0))),
        ("translation", about_the_middle(shift=(0, 0.15 * WIDTH))),
        ("rigid", about_the_middle(4, shift=(10.3, -6.8))),
        ("rigid", about_the_middle(-10, shift=(0.15 * WIDTH, 0))),
        ("rigid", about_the_middle(16, shift=(-0.1 * WIDTH, 0))),
        ("similarity", about_the_middle(4, 1.05, (10.3, -6.8))),
        ("similarity", about_the_middle(10, 0.95, (0, -0.15 * WIDTH))),
        ("affine", about_the_middle(4, 1.05, (10.3, -6.8), 0.03)),
        ("affine", about_the_middle(10, 0.97, (5, 3), -0.03)),
        ("affine", about_the_middle(2, 1.0, (0.15 * WIDTH, 0), 0.02)),
    ],
)
def test_a_known_transform_is_found_under_another_light(
    retina, retina_again, aperture, model, matrix
):
    found = METHODS[model](retina, retina_again(matrix))
    assert largest_error(transforms.identity(), matrix, aperture) > 8
    assert largest_error(found, matrix, aperture) < 0.5


@pytest.mark.parametrize("name", METHODS)
def test_the_same_image_twice_needs_no_transform(retina, aperture, name):
    found = METHODS[name](retina, retina)
    assert largest_error(found, np.eye(2, 3), aperture) < 0.1


@pytest.mark.parametrize("name", METHODS)
def test_the_same_input_gives_the_same_transform_to_the_last_digit(retina, retina_again, name):
    moving = retina_again(about_the_middle(3, 1.02, (9, 5)))
    corners = [[0, 0], [255, 0], [0, 255], [255, 255], [100, 120]]
    first, second = (
        transforms.map_points(METHODS[name](retina, moving), corners) for _ in range(2)
    )
    assert np.array_equal(first, second)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_keeps_the_contract(retina, retina_again, aperture, name):
    matrix = about_the_middle(shift=(12, -7))
    moving, method = retina_again(matrix), METHODS[name]
    inputs = retina.copy(), moving.copy(), aperture.copy()
    for masks in ({}, {"fixed_mask": aperture, "moving_mask": aperture}):
        found = method(retina, moving, **masks)
        assert isinstance(found, sitk.Transform) and found.GetDimension() == 2
        points = [[90.0, 100.0], [150.0, 140.0]]
        assert np.abs(transforms.map_points(found, points) - points - [12, -7]).max() < 2
    for before, after in zip(inputs, (retina, moving, aperture), strict=True):
        assert np.array_equal(before, after)
    with pytest.raises(TypeError, match="positional"):
        method(retina, moving, aperture, aperture)


@pytest.mark.parametrize("name", METHODS)
def test_fixed_and_moving_image_may_differ_in_shape(retina, retina_again, name):
    moving = retina_again(about_the_middle(shift=(12, -7)))[30:, :240]
    found = METHODS[name](retina[:, 16:], moving)
    points = np.array([[80.0, 100.0], [150.0, 140.0]])
    expected = points + [16 + 12, -7 - 30]
    assert np.abs(transforms.map_points(found, points) - expected).max() < 2


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("side", ["fixed", "moving"])
def test_images_and_masks_that_do_not_fit_are_refused(retina, aperture, name, side):
    def register_with(image, mask=None):
        images = [image, retina] if side == "fixed" else [retina, image]
        METHODS[name](*images, **{f"{side}_mask": mask})

    with_nan = retina.copy()
    with_nan[3, 4] = np.nan
    with pytest.raises(ValueError, match=f"{side} image has NaN"):
        register_with(with_nan)
    for outside in (retina - 0.1, retina * 255):
        with pytest.raises(ValueError, match=rf"{side} image has .*outside \[0, 1\]"):
            register_with(outside)
    with pytest.raises(ValueError, match=rf"{side} image has shape \(256, 256, 3\)"):
        register_with(np.dstack([retina] * 3))
    with pytest.raises(ValueError, match=f"{side} image is uint8"):
        register_with((retina * 255).astype(np.uint8))
    with pytest.raises(ValueError, match=rf"{side} mask has shape \(200, 256\)"):
        register_with(retina, aperture[:200])


@pytest.mark.parametrize("name", METHODS)
def test_where_nothing_is_to_be_seen_nothing_is_registered(retina, name):
    nothing = np.zeros_like(retina)
    for fixed, moving, side in ((nothing, retina, "fixed"), (retina, nothing, "moving")):
        with pytest.raises(RegistrationError, match=f"{side} image is black"):
            METHODS[name](fixed, moving)
    with pytest.raises(RegistrationError, match="moving image is black, uniform"):
        METHODS[name](retina, np.full_like(retina, 0.5))
    with pytest.raises(RegistrationError, match="fixed image is .*masked out"):
        METHODS[name](retina, retina, fixed_mask=nothing.astype(bool))


@pytest.mark.parametrize("name", METHODS)
def test_grain_without_vessels_is_refused(retina, aperture, name):
    grain = np.random.default_rng(0).random(retina.shape, dtype=np.float32) * aperture
    with pytest.raises(RegistrationError, match="correlat|keypoints agree"):
        METHODS[name](retina, grain)


@pytest.mark.parametrize(
    "matrix, reason",
    [
        (about_the_middle(shift=(0.9 * WIDTH, 0)), "overlap by"),
        (about_the_middle(scale=2.0), "magnified by 2.00 to 2.00"),
        (about_the_middle(scale=0.6), "magnified by 0.60 to 0.60"),
        (about_the_middle(shear=1.0), "magnified by 0.6"),
        (about_the_middle(shift=(15, 0)), "correlation"),
    ],
)
def test_a_result_that_cannot_be_true_is_refused(retina, retina_again, matrix, reason):
    pair = prepare_pair(retina, retina_again(np.eye(2, 3)))
    check_result(transforms.identity(), pair)
    with pytest.raises(RegistrationError, match=reason):
        check_result(transforms.from_matrix(matrix), pair)


@pytest.mark.parametrize("knob", ["model", "metric", "optimiser", "initialisation"])
def test_an_unknown_value_of_a_knob_is_named(retina, knob):
    with pytest.raises(ValueError, match=f"{knob} 'magic' is not one of"):
        register(retina, retina, **{knob: "magic"})


@pytest.mark.parametrize(
    "knobs",
    [
        {"metric": "mean_squares"},
        {"metric": "mutual_information"},
        {"optimiser": "conjugate_gradient"},
        {"initialisation": "geometry"},
        {"initialisation": "moments"},
        {"initialisation": "identity"},
        {"samples": 0},
    ],
)
def test_other_knobs_find_a_small_rotation_and_shift_too(retina, retina_again, aperture, knobs):
    matrix = about_the_middle(1.5, shift=(3, -2))
    found = register(retina, retina_again(matrix), **knobs)
    assert largest_error(found, matrix, aperture) < 0.5


@pytest.mark.parametrize("side", ["fixed", "moving"])
def test_what_one_mask_hides_is_not_looked_at(retina, retina_again, aperture, side):
    matrix, hidden = about_the_middle(shift=(3, -2)), np.zeros_like(aperture)
    hidden[88:168, 88:168] = True
    dirt = np.random.default_rng(0).random(retina.shape, dtype=np.float32)  # on the lens: stays
    masks = {"fixed_mask": aperture, "moving_mask": aperture}
    masks[f"{side}_mask"] = aperture & ~hidden
    images = [np.where(hidden, dirt, image) for image in (retina, retina_again(matrix))]
    knobs = {"model": "translation", "normalise": False, "initialisation": "identity"}
    assert largest_error(register(*images, **masks, **knobs), matrix, aperture) < 1  # px of 3.6


@pytest.mark.parametrize("initialisation", ["geometry", "moments"])
def test_centres_are_laid_on_each_other_to_start(retina, aperture, initialisation):
    # The whole view lies elsewhere: in the middle of a larger frame, its centre 40 px farther.
    moving, moving_mask = np.pad(retina, 40), np.pad(aperture, 40)
    found = register(
        retina,
        moving,
        fixed_mask=aperture,
        moving_mask=moving_mask,
        initialisation=initialisation,
        shrink_factors=(2, 1),
    )
    assert largest_error(found, [[1, 0, 40], [0, 1, 40]], aperture) < 0.5


@pytest.mark.parametrize("degrees", [0, 10, -10])
@pytest.mark.parametrize("shift", [(0.2 * WIDTH, 0), (0, -0.2 * WIDTH), (-0.14 * WIDTH,) * 2])
def test_the_coarse_alignment_finds_a_large_shift(retina, retina_again, degrees, shift):
    matrix = about_the_middle(degrees, shift=shift)
    found = coarse_alignment(prepare_pair(retina, retina_again(matrix)))
    middle = np.zeros((WIDTH, WIDTH), bool)
    middle[64:192, 64:192] = True
    assert largest_error(found, matrix, middle) < 0.04 * WIDTH


def test_the_articles_settings_are_far_worse(eye):
    everything = np.ones_like(eye.masks)
    article = landmark_error(eye, METHODS["rigid"], everything, **ARTICLE_SETTINGS)
    ours = landmark_error(eye, METHODS["similarity"], eye.masks)
    assert ours < 1 and article > 3 * ours


def test_real_photographs_are_registered(fire_data):
    eye = load_eye(fire_data, "fire", "L", size=768)
    before = landmark_error(eye, lambda *_, **__: transforms.identity(), eye.masks)
    after = landmark_error(eye, METHODS["affine"], eye.masks)
    assert before > 20 and after <= 2.5
