"""How far the border of the atrophy moved between two visits."""

from math import isnan

import numpy as np
import pytest
from scipy.spatial import cKDTree

from fundus_helpers.atrophy.border import border_distances, border_expansion
from fundus_helpers.atrophy.shapes import measure_shape

Y, X = np.mgrid[:260, :320]


def disc(x: float, y: float, radius: float) -> np.ndarray:
    """A mask of a disc."""
    return np.hypot(X - x, Y - y) <= radius


def ellipse(x: float, y: float, a: float, b: float) -> np.ndarray:
    """A mask of an ellipse with the half axes a and b."""
    return ((X - x) / a) ** 2 + ((Y - y) / b) ** 2 <= 1


@pytest.mark.parametrize(("radius", "step"), [(6, 6), (12, 4), (20, 10), (40, 12), (80, 5)])
def test_a_disc_that_grows_by_a_known_radius(radius, step):
    places = np.random.default_rng(radius).uniform(125, 135, (8, 2))
    found = [
        border_expansion(disc(x, y, radius), disc(x, y, radius + step), 2, 0.0116)
        for x, y in places
    ]
    assert np.mean([each.rate for each in found]) == pytest.approx(step * 0.0116 / 2, rel=0.02)
    for each in found:
        assert each.distances == pytest.approx(step * 0.0116, abs=0.0116)
        assert each.rates == pytest.approx(each.distances / 2)
        assert (each.unit, each.new_foci, each.new_area, each.note) == ("mm", 0, 0, "")


@pytest.mark.parametrize(("radius", "step"), [(0, 6), (1, 5), (2, 8)])
def test_a_focus_of_a_few_pixels_expands_outwards(radius, step):
    found = border_expansion(disc(130, 130, radius), disc(130, 130, radius + step), 1)
    assert found.distance == pytest.approx(step, abs=0.6)


def test_an_ellipse_that_grows_and_shifts_moves_as_computed_by_hand():
    """The truth: distances between 20,000 points of either ellipse, along the later one."""
    angle = np.linspace(0, 2 * np.pi, 20_000, endpoint=False)
    old, new = (
        np.stack([x + a * np.cos(angle), y + b * np.sin(angle)], axis=1)
        for x, y, a, b in ((150, 130, 60, 40), (156, 127, 75, 52))
    )
    distances = cKDTree(old).query(new)[0]
    lengths = np.hypot(*(new - np.roll(new, 1, axis=0)).T)
    truth = np.average(distances, weights=lengths)
    found = border_expansion(ellipse(150, 130, 60, 40), ellipse(156, 127, 75, 52), 1)
    assert found.distance == pytest.approx(truth, rel=0.02)
    # It moved most on the side to which it shifted.
    right, left = found.points[:, 0].argmax(), found.points[:, 0].argmin()
    assert found.rates[right] == pytest.approx(21, abs=0.7)
    assert found.rates[left] == pytest.approx(9, abs=0.7)


def test_an_ellipse_that_only_shifts_withdraws_where_it_left():
    found = border_expansion(ellipse(150, 130, 60, 40), ellipse(154, 130, 60, 40), 1)
    right, left = found.points[:, 0].argmax(), found.points[:, 0].argmin()
    assert found.rates[right] == pytest.approx(4, abs=0.5)
    assert found.rates[left] == pytest.approx(-4, abs=0.5)
    assert found.distance == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("step", [8, 12, 20])
def test_two_foci_that_merge_move_by_the_step_of_each(step):
    before = disc(110, 130, 30) | disc(185, 130, 30)
    after = disc(110, 130, 30 + step) | disc(185, 130, 30 + step)
    found = border_expansion(before, after, 1)
    assert found.distance == pytest.approx(step, rel=0.02)
    assert len(measure_shape(before).foci) == 2 and len(measure_shape(after).foci) == 1
    # The change of the area divided by the mean perimeter counts the gap between them.
    shapes = [measure_shape(mask) for mask in (before, after)]
    adjusted = 2 * (shapes[1].area - shapes[0].area) / sum(s.perimeter for s in shapes)
    assert abs(adjusted / step - 1) > 2 * abs(found.distance / step - 1)


def test_a_spared_island_closes_by_the_distance_of_its_border():
    before, after = (
        disc(150, 130, outer) & ~disc(150, 130, inner) for outer, inner in ((80, 30), (88, 22))
    )
    assert border_expansion(before, after, 1).distance == pytest.approx(8, rel=0.02)
    closed = border_expansion(before, disc(150, 130, 88), 1)
    assert closed.distance == pytest.approx(8, rel=0.02)


def test_the_mean_weighs_all_of_the_border_alike():
    """A large focus that rests and a small one that grows: the mean is that over their lengths."""
    before = disc(90, 130, 60) | disc(240, 130, 10)
    found = border_expansion(before, disc(90, 130, 60) | disc(240, 130, 20), 1)
    assert found.distance == pytest.approx(10 * 20 / 80, rel=0.02)
    assert found.lengths.sum() == pytest.approx(2 * np.pi * 80, rel=0.01)


def test_new_foci_are_left_out_and_counted():
    before, grown = disc(90, 130, 30), disc(90, 130, 36)
    new = disc(220, 60, 12) | disc(220, 180, 9) | disc(280, 130, 2)
    found = border_expansion(before, grown | new, 1, 0.01)
    assert found.distance == pytest.approx(0.06, rel=0.02)
    assert found.new_foci == 2  # the third is too small to count
    assert found.new_area == pytest.approx(new.sum() * 0.01**2)
    assert np.array_equal(found.points, border_expansion(before, grown, 1, 0.01).points)


def test_where_the_atrophy_leaves_the_field_of_view_nothing_is_measured():
    seen = X < 170
    before, after = (disc(150, 130, radius) & seen for radius in (40, 50))
    found = border_expansion(before, after, 1, seen=seen)
    assert found.distance == pytest.approx(10, rel=0.02)
    assert found.points[:, 0].max() < 169
    edge = border_expansion(*(disc(0, 130, radius) for radius in (40, 50)), 1)
    assert edge.distance == pytest.approx(10, rel=0.02)
    hidden = border_expansion(before, after, 1, seen=np.zeros_like(seen))
    assert isnan(hidden.distance) and "edge of the field of view" in hidden.note


def test_where_nothing_can_expand_it_says_why():
    nothing, lesion = np.zeros_like(X, bool), disc(90, 130, 30)
    for before, after, why in (
        (nothing, lesion, "no atrophy at baseline"),
        (nothing, nothing, "no atrophy at baseline"),
        (lesion, nothing, "nothing of the atrophy at baseline is atrophic"),
        (lesion, disc(250, 130, 30), "nothing of the atrophy at baseline is atrophic"),
    ):
        found = border_expansion(before, after, 1)
        assert isnan(found.distance) and isnan(found.rate) and why in found.note
        assert len(found.points) == len(found.rates) == len(found.lengths) == 0
    assert border_expansion(nothing, lesion, 1).new_foci == 1


def test_from_visit_to_visit_a_focus_that_appears_and_merges_is_no_leap():
    """Between the first and the last visit, it looks like a border that moved far."""
    main = [disc(100, 130, 40 + 4 * visit) for visit in range(5)]
    late = [disc(172, 130, radius) for radius in (0, 12, 16, 20, 24)]
    visits = [main[0], *(a | b for a, b in zip(main[1:], late[1:], strict=True))]
    travelled = border_distances(visits)
    assert travelled == pytest.approx([0, 4, 8, 12, 16], rel=0.03)
    assert border_expansion(visits[0], visits[-1], 4).distance > 20


def test_distances_begin_with_the_first_atrophy_and_end_where_it_is_lost():
    nothing = np.zeros_like(X, bool)
    found = border_distances([nothing, nothing, disc(90, 130, 20), disc(90, 130, 25)], 0.01)
    assert np.isnan(found[:2]).all()
    assert found[2:] == pytest.approx([0, 0.05], abs=0.002)
    lost = border_distances([disc(90, 130, 20), disc(250, 130, 20), disc(250, 130, 25)])
    assert lost[0] == 0 and np.isnan(lost[1:]).all()


@pytest.mark.parametrize("years", [0, -1, np.nan])
def test_visits_without_time_between_them_are_refused(years):
    with pytest.raises(ValueError, match="give the later visit second"):
        border_expansion(disc(90, 130, 20), disc(90, 130, 25), years)


def test_masks_of_different_frames_are_refused():
    with pytest.raises(ValueError, match="in the frame of the template"):
        border_expansion(disc(90, 130, 20), disc(90, 130, 25)[:200], 1)
