"""Rotation, shift, scale and shear are found again where they are known."""

import numpy as np
import pytest
from known_transforms import WIDTH, about_the_middle, landmark_error, largest_error

from fundus_helpers import transforms
from fundus_helpers.methods import METHODS
from fundus_helpers.methods.pair import check_result, prepare_pair
from fundus_helpers.methods.rigid import ARTICLE_SETTINGS, register
from fundus_helpers.methods.start import coarse_alignment
from fundus_helpers.transforms.transform import RegistrationError


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


def test_real_photographs_are_registered(fire_eye):
    before = landmark_error(fire_eye, lambda *_, **__: transforms.identity(), fire_eye.masks)
    after = landmark_error(fire_eye, METHODS["affine"], fire_eye.masks)
    assert before > 20 and after <= 2.5
