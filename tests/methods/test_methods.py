"""Every method keeps the contract, whatever it is made of."""

import pickle
import pydoc
from functools import partial

import numpy as np
import pytest
import SimpleITK as sitk
from known_transforms import about_the_middle, landmark_error, largest_error

from fundus_helpers import methods, transforms
from fundus_helpers.methods import METHODS
from fundus_helpers.methods.knobs import read_knobs
from fundus_helpers.transforms.transform import RegistrationError

# Methods that try the negative of a photograph by themselves.
EITHER_WAY = ["spatial_transformer", "voxelmorph"]
# Methods so flexible that they could make any two images similar.
FREE = [name for name in METHODS if name.startswith("optical_flow") or name.endswith("bspline")]


@pytest.mark.parametrize("name", METHODS)
def test_help_explains_the_method_and_not_how_it_is_made(name):
    method = METHODS[name]
    function = method.func if isinstance(method, partial) else method
    text = pydoc.plain(pydoc.render_doc(method))
    assert function.__doc__.splitlines()[0] in text and "partial application" not in text
    copy = pickle.loads(pickle.dumps(method))
    assert copy.__doc__ == function.__doc__ and read_knobs(copy) == read_knobs(method)


def test_the_room_of_the_methods_lists_only_what_is_meant_for_users():
    rooms = ["elastix", "homography", "keypoints", "learned", "networks", "optical_flow", "rigid"]
    assert dir(methods) == ["METHODS", "Method", *rooms]
    assert all(getattr(methods, name) for name in dir(methods))
    with pytest.raises(AttributeError, match="magic"):
        methods.magic  # noqa: B018


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
@pytest.mark.parametrize("shape", [(1, 1), (8, 400), (300, 47)])
def test_an_image_that_is_too_small_to_show_vessels_is_named(retina, name, shape):
    small = np.resize(retina, shape)
    size = f"{shape[1]} x {shape[0]} px: too small to show vessels; give 48 px or more"
    for fixed, moving, side in ((small, retina, "fixed"), (retina, small, "moving")):
        with pytest.raises(RegistrationError, match=f"{side} image has {size}"):
            METHODS[name](fixed, moving)


@pytest.mark.parametrize("name", METHODS)
def test_grain_without_vessels_is_refused(retina, aperture, name):
    grain = np.random.default_rng(0).random(retina.shape, dtype=np.float32) * aperture
    with pytest.raises(RegistrationError, match="correlat|keypoints agree|places look alike"):
        METHODS[name](retina, grain)


@pytest.mark.parametrize("name", FREE)
def test_the_retina_of_another_eye_is_refused(eye, retina, aperture, name):
    # The same retina in a mirror and on its side has all that a retina has, nowhere in its place.
    another = np.ascontiguousarray(np.rot90(retina[:, ::-1]))
    with pytest.raises(RegistrationError, match=r"another eye.*\(correlation"):
        METHODS[name](retina, another)
    with pytest.raises(RegistrationError, match=r"another eye.*\(correlation"):
        METHODS[name](eye.images[0], another)


@pytest.mark.parametrize(
    "name, most",
    [
        ("optical_flow_dis", 1.0),
        ("optical_flow_tvl1", 1.3),
        ("elastix_affine", 1.4),
        ("elastix_bspline", 1.1),
    ],
)
def test_real_photographs_are_registered_and_nothing_folds(fire_eye, name, most):
    folds = []

    def method(*images, fixed_mask, moving_mask):
        found = METHODS[name](*images, fixed_mask=fixed_mask, moving_mask=moving_mask)
        common = transforms.overlap(fixed_mask, moving_mask, found)
        folds.append(transforms.folding(found, common))
        return found

    error = landmark_error(fire_eye, method, fire_eye.masks, visits=[2, 4, 6, 8])
    assert error <= most  # pixels of 2912
    assert folds == [0, 0, 0, 0]


@pytest.mark.parametrize("name", METHODS)
def test_vessels_that_are_bright_in_one_and_dark_in_the_other_are_registered(
    retina, retina_again, aperture, name
):
    matrix = about_the_middle(shift=(12, -7))
    negative = np.where(aperture, 1 - retina_again(matrix), 0).astype(np.float32)
    found = METHODS[name](retina, negative, look_at="vessels")
    assert largest_error(found, matrix, aperture) < (1.5 if name not in FREE else 4)
    try:
        off = largest_error(METHODS[name](retina, negative, look_at="images"), matrix, aperture)
    except RegistrationError:
        off = np.inf
    assert (off < 1.5) if name in EITHER_WAY else (off > 10)  # what the vessels add
    with pytest.raises(ValueError, match="look_at 'lines' is not one of"):
        METHODS[name](retina, negative, look_at="lines")
