"""Optical flow finds a bent retina, and is not led astray by what one image alone shows."""

import cv2
import numpy as np
import pytest
from known_transforms import about_the_middle, errors_in

from fundus_helpers import metrics, transforms
from fundus_helpers.loading.light import erode
from fundus_helpers.methods import METHODS
from fundus_helpers.methods.optical_flow import ARTICLE_SETTINGS, dis, tvl1
from fundus_helpers.transforms import fields

FLOWS = [name for name in METHODS if name.startswith("optical_flow")]


def roughness(transform, mask):
    """Return the mean second difference of a transform inside a mask, in pixels."""
    field = transforms.displacement(transform, mask.shape)
    second = [np.gradient(np.gradient(field, axis=axis), axis=axis) for axis in (0, 1)]
    return np.abs(second)[:, mask].mean()


@pytest.fixture(scope="module", params=FLOWS)
def flow(request, retina, bent):
    """Return (name, transform found for the bent retina) of each kind of flow."""
    return request.param, METHODS[request.param](retina, bent[1])


def test_a_bent_retina_is_found_under_another_light(flow, bent, aperture):
    found, true = flow[1], bent[0]
    common = transforms.overlap(aperture, aperture, true)
    before = errors_in(transforms.from_matrix(about_the_middle(5, shift=(9, -6))), true, common)
    errors = errors_in(found, true, common)
    assert before.mean() > 0.75 and before.max() > 1.9
    assert errors.mean() < 0.2 and errors.max() < 1.0
    assert errors_in(found, true, erode(common, 0.05)).max() < 0.7


def test_nothing_folds_inside_the_frame(flow, aperture):
    assert transforms.folding(flow[1], np.ones_like(aperture)) == 0


def test_more_smoothness_makes_a_smoother_field(flow, retina, bent, aperture):
    name, usual = flow
    rough, smooth = (METHODS[name](retina, bent[1], smoothness=value) for value in (0, 40))
    roughnesses = [roughness(found, aperture) for found in (smooth, usual, rough)]
    assert 0 < 2 * roughnesses[0] < roughnesses[1] and 1.2 * roughnesses[1] < roughnesses[2]


@pytest.mark.parametrize("name", FLOWS)
def test_the_flow_itself_goes_from_fixed_to_moving(retina, retina_again, aperture, name):
    matrix = about_the_middle(shift=(3, -2))
    found = METHODS[name](retina, retina_again(matrix), initialisation="identity")
    middle = transforms.displacement(found, aperture.shape)[erode(aperture, 0.05)]
    assert np.abs(middle - [3, -2]).mean() < 0.1


def with_lesion(image, seed):
    """Return (image with a textured disc painted over it, mask of the disc)."""
    rows, columns = np.indices(image.shape)
    disc = np.hypot(rows - 120, columns - 140) < 20
    texture = cv2.GaussianBlur(np.random.default_rng(seed).random(image.shape), (0, 0), 3)
    painted = np.where(disc, 0.4 + 3 * (texture - 0.5), image)
    return painted.clip(0, 1).astype(np.float32), disc


def test_a_new_lesion_does_not_drag_the_field(retina, bent, monkeypatch):
    true, before = bent
    lesions = [with_lesion(before, seed) for seed in range(3)]

    def mean_error():
        errors = [
            errors_in(dis(retina, moving), true, transforms.warp_mask(disc, true))
            for moving, disc in lesions
        ]
        return np.mean(np.concatenate(errors))

    doubted = mean_error()
    smooth = fields.smooth_without_folds
    monkeypatch.setattr(
        fields,
        "smooth_without_folds",
        lambda field, known, sigma: smooth(field, np.ones_like(known), sigma),
    )
    believed = mean_error()
    assert doubted < 1.2 and believed > 2 * doubted


@pytest.mark.parametrize("visit", [4, 8])
def test_the_article_s_settings_look_better_and_are_worse(eye, visit):
    fixed, moving = eye.images[0], eye.images[visit]
    landmarks = eye.landmarks_between(0, visit)
    everything = np.ones_like(eye.masks[0])
    article = tvl1(fixed, moving, fixed_mask=everything, moving_mask=everything, **ARTICLE_SETTINGS)
    ours = tvl1(fixed, moving, fixed_mask=eye.masks[0], moving_mask=eye.masks[visit])
    correlations, errors = [], []
    for transform in (transforms.identity(), article, ours):
        warped = transforms.warp(moving, transform)
        correlations.append(metrics.similarity(fixed, warped)["ncc"])
        errors.append(metrics.landmark_errors(transform, *landmarks).mean())
    assert correlations[1] > correlations[0] + 0.01
    assert errors[2] < 0.5 and errors[1] > 4 * errors[2]


@pytest.mark.parametrize("name", FLOWS)
def test_the_demo_eye_is_registered(eye, name):
    usable = [i for i in range(len(eye.names)) if len(eye.landmarks_between(0, i)[0])][::4]
    for visit in usable:
        found = METHODS[name](
            eye.images[0],
            eye.images[visit],
            fixed_mask=eye.masks[0],
            moving_mask=eye.masks[visit],
        )
        errors = metrics.landmark_errors(found, *eye.landmarks_between(0, visit))
        assert errors.mean() < 0.4 and errors.max() < 1.5


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_smoothness_below_none_is_refused(retina, name, value):
    with pytest.raises(ValueError, match=f"smoothness {value} is not in the range 0 to 50"):
        METHODS[name](retina, retina, smoothness=value)


@pytest.mark.parametrize("name", FLOWS)
def test_an_unknown_initialisation_is_named(retina, name):
    with pytest.raises(ValueError, match="initialisation 'magic' is not one of"):
        METHODS[name](retina, retina, initialisation="magic")


@pytest.mark.parametrize(
    "name, knob, value, accepted",
    [
        ("tvl1", "attachment", 0, "0.1 to 1000"),
        ("tvl1", "tightness", 0, "0.01 to 10"),
        ("tvl1", "warps", 0, "1 to 40"),
        ("tvl1", "iterations", 0, "1 to 100"),
        ("ilk", "radius", 0, "1 to 60"),
        ("ilk", "warps", 0, "1 to 40"),
        ("dis", "patch_size", 3, "4 to 48"),
        ("dis", "patch_size", 49, "4 to 48"),
        ("dis", "finest_scale", -1, "0 to 2"),
        ("dis", "finest_scale", 3, "0 to 2"),
    ],
)
def test_a_knob_out_of_range_is_named_with_what_is_accepted(retina, name, knob, value, accepted):
    with pytest.raises(ValueError, match=f"^{knob} {value} is not in the range {accepted}$"):
        METHODS[f"optical_flow_{name}"](retina, retina, **{knob: value})


@pytest.mark.parametrize(
    "knobs", [{"patch_size": 4}, {"patch_size": 24}, {"finest_scale": 1}, {"finest_scale": 2}]
)
def test_the_bent_retina_is_found_with_other_knobs_of_dis_too(retina, bent, aperture, knobs):
    common = transforms.overlap(aperture, aperture, bent[0])
    assert errors_in(dis(retina, bent[1], **knobs), bent[0], common).mean() < 0.4
