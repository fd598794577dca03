"""What is burned into both photographs is found, and does not decide a registration."""

import cv2
import numpy as np
import pytest
from skimage.data import retina

from fundus_helpers import transforms
from fundus_helpers.loading.light import field_of_view
from fundus_helpers.loading.values import single_channel
from fundus_helpers.methods import METHODS
from fundus_helpers.methods.burned_in import BLOCKY, VISIBLE_BLOCKS, find_burned_in
from fundus_helpers.metrics.measures import end_point_error
from fundus_helpers.metrics.verdict import judge
from fundus_helpers.transforms.transform import RegistrationError

SIZE = 706
SHIFT = transforms.from_matrix([[0.995, 0.03, 14.0], [-0.03, 0.995, -9.0]])


def text(layer):
    for row in range(5):
        where = (int(0.2 * SIZE), int((0.25 + 0.12 * row) * SIZE))
        cv2.putText(layer, "OD 2019-05-28 flash 36", where, cv2.FONT_HERSHEY_SIMPLEX, 1, 255, 2)


def watermark(layer):
    for x, y in ((0.1, 0.4), (0.15, 0.6), (0.2, 0.8)):
        where = int(x * SIZE), int(y * SIZE)
        cv2.putText(layer, "SAMPLE", where, cv2.FONT_HERSHEY_DUPLEX, 3, 255, 6)


def scan_lines(layer):
    first, last = int(0.2 * SIZE), int(0.8 * SIZE)
    for row in np.linspace(first, last, 25).astype(int):
        cv2.line(layer, (first, row), (last, row), 255, 1)
    cv2.rectangle(layer, (first, first), (last, last), 255, 2)


def ruler(layer):
    middle = SIZE // 2
    cv2.line(layer, (50, middle), (SIZE - 50, middle), 255, 2)
    for x in range(50, SIZE - 50, 6):
        cv2.line(layer, (x, middle - 10), (x, middle + 10), 255, 1)


def dust(layer):
    rng = np.random.default_rng(5)
    for x, y, radius in rng.uniform((60, 60, 2), (SIZE - 60, SIZE - 60, 7), (60, 3)):
        cv2.circle(layer, (int(x), int(y)), int(radius), 255, -1)
    layer[:] = cv2.GaussianBlur(layer, (0, 0), 2)


def burn_in(image, draw, opacity):
    """Draw white lines, or black dust, on an image."""
    layer = np.zeros(image.shape, np.uint8)
    draw(layer)
    layer = layer / np.float32(255)
    colour = 0.0 if draw is dust else 1.0
    return (image + opacity * layer * (colour - image)).astype(np.float32)


@pytest.fixture(scope="module")
def eye():
    """Return a photograph of a retina, of (706, 706) pixels, inside its field of view."""
    return single_channel(cv2.resize(retina(), (SIZE, SIZE), interpolation=cv2.INTER_AREA))


def taken_again(image, seed=1):
    """Return the photograph of the same retina after a movement, with noise of its own."""
    moved = transforms.warp(image, transforms.invert(SHIFT, image.shape))
    noise = np.random.default_rng(seed).normal(0, 0.008, image.shape)
    return np.clip(0.93 * moved + noise, 0, 1).astype(np.float32)


DRAWINGS = [text, watermark, scan_lines, ruler, dust]


@pytest.mark.parametrize("opacity", [1.0, 0.5])
@pytest.mark.parametrize("draw", DRAWINGS)
def test_the_moved_retina_is_registered_behind_what_is_burned_in(eye, draw, opacity):
    again = taken_again(eye)
    fixed, moving = (burn_in(image, draw, opacity) for image in (eye, again))
    found = METHODS["keypoints"](fixed, moving)
    assert end_point_error(found, SHIFT, field_of_view(eye)) < 0.8  # pixels; 0.2 plain
    assert judge(found, fixed, moving).status == "accepted"


@pytest.mark.parametrize("draw", DRAWINGS)
def test_two_eyes_with_the_same_drawing_are_not_one(eye, draw):
    other = np.ascontiguousarray(np.rot90(eye[:, ::-1]))  # a mirrored retina is another one
    fixed, moving = (burn_in(image, draw, 1.0) for image in (eye, other))
    try:
        found = METHODS["keypoints"](fixed, moving)
    except RegistrationError:
        found = None
    assert judge(found, fixed, moving).status == "failed"
    assert judge(transforms.identity(), fixed, moving).status == "failed"


@pytest.mark.parametrize("draw", [text, scan_lines])
def test_the_verdict_on_any_method_says_that_something_is_burned_in(eye, draw):
    fixed, moving = (burn_in(image, draw, 1.0) for image in (eye, taken_again(eye)))
    verdict = judge(transforms.identity(), fixed, moving)
    assert verdict.status != "accepted"
    assert any("burned in" in reason for reason in verdict.reasons)


def test_plain_photographs_have_nothing_burned_in(eye):
    assert not find_burned_in(eye, taken_again(eye)).places.any()
    assert not find_burned_in(eye, np.ascontiguousarray(np.rot90(eye[:, ::-1]))).places.any()


def test_the_rim_of_the_field_of_view_is_not_burned_in_even_without_masks(eye):
    from_middle = np.hypot(*(np.indices(eye.shape) - (SIZE - 1) / 2))
    camera, everywhere = from_middle < 0.42 * SIZE, np.ones(eye.shape, bool)
    fixed, moving = eye * camera, taken_again(eye) * camera
    assert not find_burned_in(fixed, moving, everywhere, everywhere).places.any()


@pytest.mark.parametrize("draw", [None, text])
def test_a_retina_that_does_not_move_is_accepted(eye, draw):
    noise = np.random.default_rng(0).normal(0, 0.008, (2, *eye.shape))
    fixed, moving = np.clip(np.stack([eye, 0.9 * eye]) + noise, 0, 1).astype(np.float32)
    if draw:
        fixed, moving = (burn_in(image, draw, 1.0) for image in (fixed, moving))
    assert not find_burned_in(fixed, moving).places.any()
    found = METHODS["keypoints"](fixed, moving)
    assert judge(found, fixed, moving).status == "accepted"
    assert end_point_error(found, transforms.identity(), field_of_view(eye)) < 0.3


def compressed(image, quality):
    stored = cv2.imencode(".jpg", np.uint8(image * 255), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255


def test_photographs_whose_blocks_hide_the_retina_are_doubtful(eye):
    fixed, moving = eye, taken_again(eye)
    assert find_burned_in(fixed, moving).blocks < 0.3
    assert find_burned_in(compressed(fixed, 5), moving).blocks < 0.3  # one alone can be registered
    fixed, moving = compressed(fixed, 5), compressed(moving, 5)
    found = find_burned_in(fixed, moving)
    assert found.blocks > BLOCKY
    assert found.block_size * SIZE == pytest.approx(8, rel=0.02)
    verdict = judge(SHIFT, fixed, moving)
    assert verdict.status != "accepted" and any("JPEG" in reason for reason in verdict.reasons)


@pytest.mark.parametrize("shift", [(0, 0), (16, 0), (-8, 24)])
def test_photographs_that_may_be_registered_by_their_blocks_are_doubtful(eye, shift):
    on_blocks = transforms.from_matrix([[1, 0, shift[0]], [0, 1, shift[1]]])
    moved = transforms.warp(eye, transforms.invert(on_blocks, eye.shape))
    fixed, moving = compressed(eye, 20), compressed(np.clip(0.93 * moved, 0, 1), 20)
    assert VISIBLE_BLOCKS < find_burned_in(fixed, moving).blocks < BLOCKY
    verdict = judge(on_blocks, fixed, moving)
    assert verdict.status == "doubtful" and "by their blocks" in verdict.reasons[0]


def test_photographs_whose_blocks_do_not_lie_on_each_other_are_accepted(eye):
    fixed, moving = compressed(eye, 20), compressed(taken_again(eye), 20)
    assert VISIBLE_BLOCKS < find_burned_in(fixed, moving).blocks < BLOCKY
    assert judge(SHIFT, fixed, moving).status == "accepted"


@pytest.mark.parametrize("name", ["similarity", "elastix_affine", "dis"])
def test_other_methods_see_the_retina_too(eye, name):
    fixed, moving = (burn_in(image, text, 1.0) for image in (eye, taken_again(eye)))
    key = next(key for key in METHODS if key.replace(" ", "_").lower().endswith(name))
    found = METHODS[key](fixed, moving)
    assert end_point_error(found, SHIFT, field_of_view(eye)) < 3  # some 17 before registration
