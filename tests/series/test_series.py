"""All visits are registered, and one that fails does not stop the others."""

import time
from functools import partial

import numpy as np
import pytest

from fundus_helpers import transforms
from fundus_helpers.methods import METHODS
from fundus_helpers.methods.cache import remembered, remembering
from fundus_helpers.series.registering import (
    Registration,
    by_way_of_frame,
    register_eye,
    register_series,
    register_visit,
    registrations,
)

CORNERS = [[0, 0], [191, 0], [0, 191], [191, 191]]


def shift_by_brightness(fixed, moving, *, fixed_mask=None, moving_mask=None, factor=1.0):
    """Return a shift that tells the images apart; refuse a black one as some library might."""
    if moving.max() == 0:
        raise KeyError("no such thing")
    return transforms.from_matrix([[1, 0, factor * moving.max()], [0, 1, 0]])


def shift_of(registration):
    """Return the shift that `shift_by_brightness` gave."""
    return transforms.map_points(registration.transform, [[0, 0]])[0, 0]


def test_results_come_in_the_order_of_the_visits():
    images = [np.full((8, 8), value, np.float32) for value in (0.5, 0.25, 1.0)]
    found = register_series(
        shift_by_brightness, images[0], images, ["b", "c", "a"], jobs=1, shown=False, factor=4
    )
    assert [registration.visit for registration in found] == ["b", "c", "a"]
    assert [shift_of(registration) for registration in found] == [2, 1, 4]
    assert all(not registration.reason for registration in found)


def test_a_visit_that_fails_has_a_reason_and_the_others_are_done():
    images = [np.full((8, 8), value, np.float32) for value in (0.5, 0.0, 1.0)]
    found = register_series(shift_by_brightness, images[0], images, "abc", jobs=1, shown=False)
    assert [registration.transform is None for registration in found] == [False, True, False]
    assert found[1].reason == "KeyError: 'no such thing'"
    assert shift_of(found[2]) == 1


@remembered
def slow_step(image):
    time.sleep(0.2)
    return float(image.max())


def test_the_time_of_a_method_counts_what_was_remembered_from_before():
    def method(fixed, moving, *, fixed_mask=None, moving_mask=None):
        return transforms.from_matrix([[1, 0, slow_step(moving)], [0, 1, 0]])

    image, answers, took = np.full((8, 8), 0.5, np.float32), {}, []
    with remembering(answers):
        for _ in range(2):
            begin = time.perf_counter()
            found = register_visit(method, image, image, "visit")
            took.append(time.perf_counter() - begin)
            assert shift_of(found) == 0.5 and found.seconds >= 0.2
    assert took[0] >= 0.2 > took[1] and len(answers) == 1


def test_what_is_found_in_the_template_is_found_once_for_a_series():
    seen = []

    @remembered
    def step(image):
        seen.append(float(image.max()))
        return seen[-1]

    def method(fixed, moving, *, fixed_mask=None, moving_mask=None):
        return transforms.from_matrix([[1, 0, step(fixed) + step(moving)], [0, 1, 0]])

    images = [np.full((8, 8), value, np.float32) for value in np.linspace(0.1, 0.9, 20)]
    template = np.full((8, 8), 1.5, np.float32)
    found = register_series(method, template, images, "abcdefghijklmnopqrst", jobs=1, shown=False)
    assert seen.count(1.5) == 1 and len(seen) == 21
    assert shift_of(found[-1]) == pytest.approx(2.4)


def test_every_visit_needs_a_name_and_a_mask():
    image = np.full((8, 8), 0.5, np.float32)
    for names, masks in ((["a"], None), (["a", "b"], [image > 0])):
        with pytest.raises(ValueError, match="zip"):
            register_series(
                shift_by_brightness, image, [image] * 2, names, masks=masks, jobs=1, shown=False
            )


def test_masks_reach_the_method_each_with_its_image():
    def mean_in_view(fixed, moving, *, fixed_mask, moving_mask):
        shift = moving[moving_mask].mean(), fixed[fixed_mask].mean()
        return transforms.from_matrix([[1, 0, shift[0]], [0, 1, shift[1]]])

    image = np.arange(16, dtype=np.float32).reshape(4, 4)
    masks = [image == 3, image == 7]
    found = register_series(
        mean_in_view,
        image,
        [image, image],
        "ab",
        template_mask=image == 5,
        masks=masks,
        jobs=1,
        shown=False,
    )
    shifts = [transforms.map_points(each.transform, [[0, 0]])[0].tolist() for each in found]
    assert shifts == [[3, 5], [7, 5]]


def test_two_processes_give_the_same_transforms_as_one(eye):
    images, names = [*eye.images[:3], 0 * eye.images[0]], [*eye.names[:3], "black"]
    one, two = (
        register_series(METHODS["similarity"], eye.images[0], images, names, jobs=jobs, shown=False)
        for jobs in (1, 2)
    )
    for first, second in zip(one[:3], two[:3], strict=True):
        assert first.visit == second.visit and first.transform is not None
        points = [transforms.map_points(each.transform, CORNERS) for each in (first, second)]
        assert np.array_equal(*points)
    assert one[3].transform is two[3].transform is None
    assert one[3].reason == two[3].reason
    assert one[3].reason.startswith("RegistrationError: moving image is black")


def test_an_eye_is_registered_to_the_visit_that_is_named(eye):
    found = register_eye(eye, 2, "similarity", jobs=1)
    assert [registration.visit for registration in found] == eye.names
    to_itself = transforms.map_points(found[2].transform, CORNERS)
    assert np.abs(to_itself - CORNERS).max() < 0.1
    alone = register_visit(
        METHODS["similarity"],
        eye.images[2],
        eye.images[6],
        "alone",
        template_mask=eye.masks[2],
        mask=eye.masks[6],
    )
    points = [transforms.map_points(each.transform, CORNERS) for each in (found[6], alone)]
    assert np.array_equal(*points)
    # The photograph that a blink spoilt is refused, and only that one.
    failed = [registration.visit for registration in found if registration.transform is None]
    assert failed == ["demo_colour_2018-07-12_L"]


def test_a_function_does_for_a_method(eye):
    found = register_eye(eye, 0, shift_by_brightness, jobs=1, factor=2.0)
    assert shift_of(found[1]) == pytest.approx(2 * eye.images[1].max())


def test_an_unknown_method_is_named(eye):
    with pytest.raises(ValueError, match="no method 'magic'; there are .*'rigid'"):
        register_eye(eye, 0, "magic", jobs=1)


def test_a_mistyped_knob_stops_before_the_first_visit(eye):
    seen = []

    def method(fixed, moving, *, fixed_mask=None, moving_mask=None, smoothness=1.0):
        seen.append(smoothness)
        return transforms.identity()

    message = r"no knob 'smoothnes'; there are \['smoothness'\]"
    images, names = [*eye.images[:2]], [*eye.names[:2]]
    with pytest.raises(ValueError, match=message):
        register_eye(eye, 0, method, jobs=1, smoothnes=3)
    with pytest.raises(ValueError, match=message):
        register_series(method, images[0], images, names, jobs=1, shown=False, smoothnes=3)
    with pytest.raises(ValueError, match=message):
        registrations(method, images[0], images, names, jobs=1, smoothnes=3)
    assert seen == []
    for name, knob in (("affine", "iteration"), ("keypoints", "model"), ("optical_flow_dis", "x")):
        with pytest.raises(ValueError, match=f"no knob '{knob}'; there are"):
            register_eye(eye, 0, name, jobs=1, **{knob: 3})
    # Alone, a visit says what is wrong, as it does for every error.
    alone = register_visit(method, images[0], images[1], names[1], smoothnes=3)
    assert alone.transform is None and alone.reason.startswith("TypeError")
    (found,) = register_series(
        partial(method, smoothness=2), images[0], images[:1], "a", jobs=1, smoothness=3
    )
    assert found.reason == "" and seen == [3]


def test_the_way_through_a_frame_leads_from_one_visit_to_the_others():
    grid = np.stack(np.indices((40, 50))[::-1], axis=2)
    wave = 0.5 * np.sin(grid[..., ::-1] / 8.0)
    ways = [
        transforms.from_displacement(wave + shift)
        for shift in ([0.0, 0.0], [3.0, 1.0], [-2.0, 4.0])
    ]
    found = [Registration(name, way, "", 0.5) for name, way in zip("abc", ways, strict=True)]
    found.append(Registration("d", None, "too dark", 0.1))
    start = np.array([[20.0, 15.0], [30.0, 25.0]])  # in the frame
    through = by_way_of_frame(found, 1, (40, 50))
    assert [each.visit for each in through] == [*"abcd"] and through[0].seconds == 0.5
    for way, each in zip(ways, through, strict=False):
        there = transforms.map_points(each.transform, transforms.map_points(ways[1], start))
        assert np.allclose(there, transforms.map_points(way, start), atol=0.02)
    assert through[3] == found[3]
    lost = by_way_of_frame(found, 3, (40, 50))
    assert all(each.transform is None for each in lost)
    assert lost[0].reason == "d, where the way starts, is not in the frame: too dark"
