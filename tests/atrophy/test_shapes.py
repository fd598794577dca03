"""Area, perimeter, circularity and foci of an outline."""

from math import isnan, pi, sqrt

import numpy as np
import pytest
from scipy.special import ellipe

from fundus_helpers.atrophy.shapes import border_lines, foci_history, measure_shape

Y, X = np.mgrid[:240, :260]


def disc(x: float, y: float, radius: float) -> np.ndarray:
    """A mask of a disc."""
    return np.hypot(X - x, Y - y) <= radius


@pytest.mark.parametrize("radius", [6, 8, 12, 20, 50, 100])
@pytest.mark.parametrize("mm_per_pixel", [None, 0.0116])
def test_the_perimeter_of_a_disc_is_right_within_one_percent(radius, mm_per_pixel):
    pixel = mm_per_pixel or 1
    places = np.random.default_rng(radius).uniform(115, 125, (12, 2))
    shapes = [measure_shape(disc(x, y, radius), mm_per_pixel) for x, y in places]
    ratios = [shape.perimeter / (2 * pi * radius * pixel) for shape in shapes]
    assert np.mean(ratios) == pytest.approx(1, abs=0.01)
    # Compared with a disc of the very area of the mask, so that the grid's own rounding is out.
    for shape in shapes:
        assert shape.perimeter == pytest.approx(2 * sqrt(pi * shape.area), rel=0.01)
        assert shape.effective_radius == pytest.approx(radius * pixel, rel=0.025)
        assert 0.98 < shape.circularity <= 1
    assert {shape.unit for shape in shapes} == {"mm" if mm_per_pixel else "px"}


@pytest.mark.parametrize("angle", [0, 10, 30, 45, 70])
def test_the_perimeter_does_not_depend_on_how_a_shape_lies_on_the_grid(angle):
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    u, v = c * (X - 130) + s * (Y - 120), c * (Y - 120) - s * (X - 130)
    ellipse = measure_shape((u / 80) ** 2 + (v / 30) ** 2 <= 1)
    assert ellipse.perimeter == pytest.approx(4 * 80 * ellipe(1 - (30 / 80) ** 2), rel=0.01)
    square = measure_shape((abs(u) <= 60) & (abs(v) <= 60))
    assert square.perimeter == pytest.approx(480, rel=0.02)
    assert square.circularity == pytest.approx(pi / 4, abs=0.03)


def test_circularity_and_its_root_are_both_given_by_name():
    long = measure_shape((abs(X - 130) <= 100) & (abs(Y - 120) <= 4))
    assert long.circularity == pytest.approx(4 * pi * long.area / long.perimeter**2)
    assert long.circularity_root == pytest.approx(sqrt(long.circularity))
    assert long.circularity < 0.2


def test_the_border_of_a_spared_island_belongs_to_the_perimeter():
    ring = measure_shape(disc(120, 120, 60) & ~disc(120, 120, 20))
    assert ring.perimeter == pytest.approx(2 * pi * 80, rel=0.01)
    assert ring.area == pytest.approx(pi * (60**2 - 20**2), rel=0.01)
    assert len(ring.foci) == 1


@pytest.mark.parametrize("smoothing", [0.02, 0.05, 0.1])
def test_smoothing_neither_shrinks_nor_loses_a_small_focus(smoothing):
    large, small = disc(80, 120, 50), disc(200, 120, 7)
    both = measure_shape(large | small, 0.0116, smoothing=smoothing)
    assert both.perimeter == pytest.approx(2 * pi * 57 * 0.0116, rel=0.01)
    assert both.smoothing == pytest.approx(smoothing)


def test_more_smoothing_follows_less_of_a_rough_border():
    angle = np.arctan2(Y - 120, X - 130)
    rough = np.hypot(X - 130, Y - 120) < 60 + 3 * np.sin(30 * angle)
    perimeters = [measure_shape(rough, smoothing=s).perimeter for s in (1.5, 3, 6)]
    assert perimeters[0] > 1.1 * perimeters[1] and perimeters[1] > 1.05 * perimeters[2]
    assert perimeters[2] == pytest.approx(2 * pi * 60, rel=0.02)


def test_two_cameras_give_one_shape_of_one_retina():
    angle = np.arctan2(Y - 120, X - 130)
    lesion = np.hypot(X - 130, Y - 120) < 60 + 8 * np.sin(5 * angle)
    coarse, fine = (
        measure_shape(lesion, 0.012),
        measure_shape(lesion.repeat(2, 0).repeat(2, 1), 6e-3),
    )
    assert coarse.area == pytest.approx(fine.area)
    assert coarse.perimeter == pytest.approx(fine.perimeter, rel=0.01)
    assert coarse.foci == pytest.approx(fine.foci)


def test_foci_are_counted_from_a_least_area_and_all_belong_to_the_area():
    mask = disc(60, 60, 30) | disc(150, 60, 6) | disc(200, 200, 3)
    shape = measure_shape(mask)
    assert [round(sqrt(area / pi)) for area in shape.foci] == [30, 6]
    assert shape.area == mask.sum() and shape.least_focus == 75
    assert len(measure_shape(mask, least_focus=1).foci) == 3
    scaled = measure_shape(mask, 0.0116)
    assert scaled.least_focus == 0.01 and len(scaled.foci) == 2
    assert scaled.foci[0] == pytest.approx(pi * (30 * 0.0116) ** 2, rel=0.01)


def test_an_eye_without_atrophy_has_no_shape():
    shape = measure_shape(np.zeros((50, 60), bool), 0.01)
    assert shape.area == shape.perimeter == shape.effective_radius == 0
    assert shape.foci == () and isnan(shape.circularity) and isnan(shape.circularity_root)
    assert border_lines(np.zeros((50, 60), bool)) == []


@pytest.mark.parametrize("pixels", [[(0, 0)], [(5, 5), (6, 6)], [(9, 9), (9, 8), (9, 7)]])
def test_the_smallest_foci_have_a_border_too(pixels):
    mask = np.zeros((10, 10), bool)
    mask[tuple(zip(*pixels, strict=True))] = True
    shape = measure_shape(mask)
    assert shape.perimeter > 3 and shape.circularity <= 1


def test_a_mask_that_fills_the_image_is_closed_along_its_edge():
    shape = measure_shape(np.ones((100, 100), bool))
    assert shape.perimeter == pytest.approx(400, rel=0.02)


def test_border_lines_lie_on_the_border():
    lines = border_lines(disc(100, 110, 40) | disc(200, 40, 10))
    assert len(lines) == 2
    for line, x, y, radius in zip(
        sorted(lines, key=len), (200, 100), (40, 110), (10, 40), strict=True
    ):
        assert np.array_equal(line[0], line[-1])
        assert np.hypot(line[:, 0] - x, line[:, 1] - y) == pytest.approx(radius, abs=0.6)


def test_the_history_tells_new_foci_from_merged_ones():
    first = disc(60, 60, 20) | disc(120, 60, 20) | disc(60, 180, 15)
    second = first | disc(90, 60, 20)  # two merge
    third = second | disc(200, 120, 10) | disc(60, 120, 50)  # one appears, two merge
    counts = foci_history([first, second, third, third])
    assert [(c.number, c.new, c.merged) for c in counts] == [
        (3, 0, 0),
        (2, 0, 1),
        (2, 1, 1),
        (2, 0, 0),
    ]


def test_the_number_of_foci_follows_from_those_new_and_merged():
    rng = np.random.default_rng(3)
    foci = [(*rng.uniform(20, 220, 2), rng.uniform(-8, 8), rng.uniform(2, 5)) for _ in range(25)]
    grown = [
        np.any([disc(x, y, start + speed * t) for x, y, start, speed in foci], axis=0)
        for t in range(8)
    ]
    counts = foci_history(grown)
    for before, after in zip(counts[:-1], counts[1:], strict=True):
        assert after.number == before.number + after.new - after.merged
    assert sum(count.new for count in counts) > 3 and sum(count.merged for count in counts) > 3
    assert [count.number for count in counts] == [len(measure_shape(m).foci) for m in grown]


def test_a_focus_is_new_when_it_becomes_large_enough_to_count():
    counts = foci_history(
        [disc(60, 60, 30) | disc(150, 60, 3), disc(60, 60, 30) | disc(150, 60, 8)]
    )
    assert (counts[1].number, counts[1].new) == (2, 1)
    empty = np.zeros_like(X, bool)
    assert [count.new for count in foci_history([empty, disc(60, 60, 30)])] == [0, 1]


def test_a_history_that_heals_or_changes_its_frame_is_refused():
    with pytest.raises(ValueError, match="of visit 1 are healthy at visit 2; join the"):
        foci_history([disc(60, 60, 30), disc(62, 60, 30)])
    with pytest.raises(ValueError, match="in the frame of the template"):
        foci_history([disc(60, 60, 30), disc(60, 60, 30)[:100]])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: measure_shape(np.zeros((5, 5))), "a mask must be a bool array"),
        (lambda: measure_shape(np.zeros((5, 5, 3), bool)), r"bool of shape \(5, 5, 3\)"),
        (lambda: measure_shape(disc(50, 50, 9), smoothing=-1), "smoothing of a border must be 0"),
        (lambda: measure_shape(disc(50, 50, 9), least_focus=np.nan), "least area of a focus"),
    ],
)
def test_what_is_no_mask_and_no_number_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
