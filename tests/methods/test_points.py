"""Points placed by hand give a transform, and every method starts from one."""

import inspect
from functools import partial

import numpy as np
import pytest
from known_transforms import about_the_middle

from fundus_helpers import transforms
from fundus_helpers.methods import METHODS
from fundus_helpers.methods.keypoints.radial import RadialHomography
from fundus_helpers.methods.points import fit_points, from_points
from fundus_helpers.methods.start import nearest_linear
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
def test_the_nearest_linear_transform_of_a_model_is_itself(model):
    matrix = {
        "translation": [[1, 0, 7], [0, 1, -4]],
        "rigid": [[0.8, -0.6, 7], [0.6, 0.8, -4]],
        "similarity": [[0.88, -0.66, 7], [0.66, 0.88, -4]],
        "affine": [[1.1, -0.2, 7], [0.3, 0.9, -4]],
    }[model]
    found = nearest_linear(transforms.from_matrix(matrix), (100, 140), model)
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
