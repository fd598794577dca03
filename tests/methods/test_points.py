"""Points placed by hand give a transform, and every method starts from one."""

import inspect
from functools import partial

import numpy as np
import pytest
from known_transforms import about_the_middle

from fundus_helpers import transforms
from fundus_helpers.methods import METHODS
from fundus_helpers.methods.homography.matches import Matches
from fundus_helpers.methods.homography.radial import TURN, RadialHomography, fit_homography
from fundus_helpers.methods.points import fit_points, from_points
from fundus_helpers.metrics.verdict import BY_HAND, judge
from fundus_helpers.transforms.transform import RegistrationError

SHAPE = (768, 768)
SPREAD = np.array([[150, 200], [600, 180], [400, 620], [200, 560], [610, 540], [380, 330.0]])


def errors(transform, model):
    grid = np.stack(np.meshgrid(*[np.linspace(100, 668, 7)] * 2), axis=2).reshape(-1, 2)
    return np.linalg.norm(transforms.map_points(transform, grid) - model(grid), axis=1)


def turned(points):
    matrix = np.array([[1.02, -0.06], [0.06, 1.02]])
    return np.asarray(points) @ matrix.T + (12, -30)


@pytest.mark.parametrize("count, model", [(2, "similarity"), (3, "affine"), (6, "homography")])
def test_exact_points_give_the_exact_similarity(count, model):
    fit = fit_points(SPREAD[:count], turned(SPREAD[:count]), SHAPE, SHAPE, radial_constant=0)
    assert fit.model == model
    assert errors(fit.transform, turned).max() < 0.05
    assert fit.residuals.max() < 0.05


def test_six_exact_points_give_the_homography_of_a_curved_retina():
    matrix = np.array([[1.01, 0.03, 0.05], [-0.03, 1.0, -0.02], [0.02, -0.015, 1]])
    model = RadialHomography(matrix, SHAPE, SHAPE)
    fit = fit_points(SPREAD, model(SPREAD), SHAPE, SHAPE)
    assert errors(fit.transform, model).max() < 0.1


def test_six_points_of_a_hand_are_as_good_as_a_similarity_of_them():
    """An eye that has turned. The points lie in a half of it, and are off by up to 3 px."""
    points = SPREAD * 0.5 + 190
    shift = np.array([0.1, -0.05])
    matrix = np.array([[0.999, -0.035, 0], [0.035, 0.999, 0], [*-TURN * shift, 1]])
    matrix[:2, 2] = shift
    model, held, free = RadialHomography(matrix, SHAPE, SHAPE), [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        angle, length = rng.uniform(0, 2 * np.pi, 6), 3 * np.sqrt(rng.uniform(0, 1, 6))
        placed = model(points) + np.column_stack([np.cos(angle), np.sin(angle)]) * length[:, None]
        held.append(errors(from_points(points, placed, SHAPE, SHAPE), model).mean())
        matches = Matches(points, placed, SHAPE, SHAPE)
        grid = np.stack(np.meshgrid(*[np.linspace(100, 668, 7)] * 2), axis=2).reshape(-1, 2)
        apart = fit_homography(matches)(grid) - model(grid)
        free.append(np.linalg.norm(apart, axis=1).mean())
    assert np.mean(held) < 2.1 < 2.4 < np.mean(free)


def test_errors_of_a_hand_are_not_multiplied_by_points_on_one_line():
    line = np.array([[300, 300], [340, 341], [460, 459.0]])
    off = np.array([[2, -2], [-2, 2], [2, -2.0]])
    fit = fit_points(line, turned(line) + off, SHAPE, SHAPE)
    assert errors(fit.transform, turned).max() < 15  # an affine transform through them: 150 px
    near = SPREAD * 0.1 + 350
    assert fit_points(near, turned(near), SHAPE, SHAPE).model == "affine"


def test_one_wrong_point_of_six_hardly_counts_and_has_the_largest_residual():
    moved = turned(SPREAD)
    moved[3] += (60, -40)
    fit = fit_points(SPREAD, moved, SHAPE, SHAPE, radial_constant=0)
    assert np.argmax(fit.residuals) == 3 and fit.residuals[3] > 60
    five = fit_points(SPREAD[:5], moved[:5], SHAPE, SHAPE)
    assert errors(five.transform, turned).max() < 1 and np.argmax(five.residuals) == 3


def test_too_few_points_are_told_with_what_to_do():
    with pytest.raises(RegistrationError, match="1 point is not enough: place two or more"):
        from_points([[5, 5], [5, 5]], [[5, 5], [6, 6]], SHAPE, SHAPE)
    with pytest.raises(RegistrationError, match="no points are placed"):
        from_points([], [], SHAPE, SHAPE)
    with pytest.raises(ValueError, match="give pairs"):
        from_points([[5, 5]], [[5, np.nan]], SHAPE, SHAPE)


@pytest.mark.parametrize("model", ["translation", "rigid", "similarity", "affine"])
def test_the_linear_part_of_a_linear_transform_of_a_model_is_itself(model):
    matrix = {
        "translation": [[1, 0, 7], [0, 1, -4]],
        "rigid": [[0.8, -0.6, 7], [0.6, 0.8, -4]],
        "similarity": [[0.88, -0.66, 7], [0.66, 0.88, -4]],
        "affine": [[1.1, -0.2, 7], [0.3, 0.9, -4]],
    }[model]
    found = transforms.linear_part(transforms.from_matrix(matrix), (100, 140), model)
    assert np.allclose(transforms.to_matrix(found), matrix, atol=1e-9)


def test_every_method_has_a_start():
    for method in METHODS.values():
        function = method.func if isinstance(method, partial) else method
        assert "start" in inspect.signature(function).parameters


STARTED = {
    "translation": {"model": "translation"},
    "rigid": {},
    "affine": {},
    "optical_flow_dis": {},
    "elastix_affine": {},
    "keypoints": {},
}


@pytest.mark.parametrize("name", STARTED)
def test_a_method_finds_from_a_start_what_it_cannot_find_alone(name, retina, retina_again):
    """Turned by 40 degrees: more than the rotations that are tried without a start."""
    angle = 0 if name == "translation" else 40
    matrix = about_the_middle(angle)
    moving = retina_again(matrix)
    near = about_the_middle(angle and angle + 1, shift=(3, -2))
    found = METHODS[name](retina, moving, start=transforms.from_matrix(near))
    points = np.array([[100, 100], [150, 100], [128, 160], [90, 140.0]])
    true = points @ np.asarray(matrix)[:, :2].T + np.asarray(matrix)[:, 2]
    missed = np.linalg.norm(transforms.map_points(found, points) - true, axis=1)
    assert missed.mean() < 1.5


@pytest.mark.parametrize("angle", [40, 90, 180])
def test_keypoints_match_near_a_start_that_is_turned_however_far(angle, retina, retina_again):
    moving = retina_again(about_the_middle(angle))
    start = transforms.from_matrix(about_the_middle(angle + 1, shift=(3, -2)))
    found = METHODS["keypoints"](retina, moving, start=start)
    hand = np.array([[90, 90], [160, 100], [120, 160.0]])
    true = transforms.map_points(transforms.from_matrix(about_the_middle(angle)), hand)
    verdict = judge(found, retina, moving, by_hand=(hand, true))
    assert verdict.status == BY_HAND and len(verdict.reasons) == 1, verdict.reasons
    assert verdict.evidence.agreeing > 40
    assert np.linalg.norm(transforms.map_points(found, hand) - true, axis=1).max() < 1


def test_keypoints_refine_a_start_by_the_vessels_of_another_modality(
    retina, retina_again, aperture
):
    matrix = about_the_middle(40)
    negative = np.where(aperture, 1 - retina_again(matrix), 0).astype(np.float32)
    start = transforms.from_matrix(about_the_middle(41, shift=(3, -2)))
    points = np.array([[100, 100], [150, 100], [128, 160], [90, 140.0]])
    true = transforms.map_points(transforms.from_matrix(matrix), points)

    def missed(look_at):
        found = METHODS["keypoints"](retina, negative, start=start, look_at=look_at)
        return np.linalg.norm(transforms.map_points(found, points) - true, axis=1).max()

    assert missed("vessels") < 0.5 and missed("either") < 0.5
    assert missed("images") > 3  # what the vessels add
