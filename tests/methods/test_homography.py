"""The homography of a curved retina: the plane, the fit, and the radial constant of the camera."""

import numpy as np
import pytest

from fundus_helpers import transforms
from fundus_helpers.methods.homography import radial
from fundus_helpers.methods.homography.matches import Matches

SHAPE = (768, 768)
GRID = np.stack(np.meshgrid(*[np.arange(20.0, 768, 16)] * 2), axis=-1).reshape(-1, 2)


def shifted(constant, shift):
    """Return a homography of an eye that has turned, by a shift in half widths."""
    matrix = np.array(
        [[1.0, 0.02, shift], [-0.02, 1.0, 0.1 * shift], [radial.TURN * shift, 0.0, 1.0]]
    )
    return radial.RadialHomography(matrix, SHAPE, SHAPE, constant)


def seen_in_both(model, noise):
    """Return matches where both photographs show the retina, with an error in pixels."""
    moving = model(GRID)
    both = ((moving > 0) & (moving < 768)).all(axis=1)
    errors = noise * np.random.default_rng(3).standard_normal(moving.shape)
    return Matches(GRID[both], (moving + errors)[both], SHAPE, SHAPE)


@pytest.mark.parametrize("shape", [(300, 300), (240, 400)])
@pytest.mark.parametrize("constant", [-0.1, 0.0, 0.12, 0.4])
def test_the_plane_and_back_is_where_one_was(shape, constant):
    points = transforms.pixel_grid(shape)
    back = radial.from_plane(radial.to_plane(points, shape, constant), shape, constant)
    assert np.abs(back - points).max() < 1e-6


@pytest.mark.parametrize("constant", [-0.1, 0.0, 0.4])
def test_points_far_out_in_the_plane_stay_finite(constant):
    far = np.array([[0.0, 0.0], [3.0, 4.0], [1e6, -1e6]])
    points = radial.from_plane(far, (300, 300), constant)
    assert np.isfinite(points).all() and np.abs(points).max() < 1e9


@pytest.mark.parametrize("constant", [0.05, 0.12, 0.25])
def test_the_radial_constant_of_a_series_is_found_among_wrong_matches(constant):
    rng, shape, series = np.random.default_rng(1), (728, 728), []
    for _ in range(6):
        matrix = np.eye(3) + rng.uniform(-0.05, 0.05, (3, 3)) * [[1, 1, 8], [1, 1, 8], [1, 1, 0]]
        fixed = rng.uniform(60, 660, (150, 2))
        moving = radial.RadialHomography(matrix, shape, shape, constant)(fixed)
        moving += 0.5 * rng.standard_normal(moving.shape)
        moving[:15] += rng.uniform(-20, 20, (15, 2))
        series.append(Matches(fixed, moving, shape, shape))
    assert radial.estimate_radial_constant(series) == pytest.approx(constant, abs=0.01)


def test_nothing_to_estimate_a_radial_constant_from_is_an_error():
    with pytest.raises(ValueError, match="no pair with 12 matches"):
        radial.estimate_radial_constant([])


def test_a_radial_constant_is_saved_and_read_again(tmp_path):
    path = radial.save_radial_constant(0.1275, tmp_path / "camera.json")
    assert radial.load_radial_constant(path) == 0.1275
    assert radial.load_radial_constant(radial.save_radial_constant(np.float32(0.5), path)) == 0.5
    for wrong in (b"[]", b"\xff\x00", b'{"radial_constant": "wide"}', b'{"radial_constant": NaN}'):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match="camera.json"):
            radial.load_radial_constant(path)


@pytest.mark.parametrize("constant", [0.0, 0.03, 0.12, 0.2])
def test_the_constant_of_another_camera_is_fitted_to_one_pair_with_a_large_shift(constant):
    model = shifted(constant, 0.8)
    matches = seen_in_both(model, noise=0.5)
    found = radial.fit_homography(matches, error=0.1, shared_error=0.75)
    assert found.constant == pytest.approx(constant, abs=0.02)
    left = np.linalg.norm(found(matches.fixed_points) - model(matches.fixed_points), axis=1)
    assert left.max() < 2
    if abs(constant - radial.RADIAL_CONSTANT) > 0.05:  # without the fit, the pair is wrong
        fixed = radial.fit_homography(matches, error=0.1)
        wrong = np.linalg.norm(fixed(matches.fixed_points) - model(matches.fixed_points), axis=1)
        assert fixed.constant == radial.RADIAL_CONSTANT
        assert wrong.max() > 5 * left.max()


def test_a_pair_that_tells_nothing_about_the_constant_leaves_it_as_it_is():
    matches = seen_in_both(shifted(0.0, 0.0), noise=0.5)
    found = radial.fit_homography(matches, error=0.1, shared_error=0.75)
    assert found.constant == pytest.approx(radial.RADIAL_CONSTANT, abs=0.01)


def test_a_fitted_constant_does_not_leave_the_range_that_cameras_have():
    matches = seen_in_both(shifted(0.9, 0.8), noise=0.0)
    found = radial.fit_homography(matches, shared_error=0.01)
    assert found.constant == radial.FITTED[1]
