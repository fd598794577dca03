"""Where the atrophy lies around the fovea."""

from math import isnan, pi, sqrt

import numpy as np
import pytest

from fundus_helpers.atrophy.zones import (
    central_residual_radius,
    fovea_distance,
    ring_shares,
    zone_shares,
)

MM = 0.01
Y, X = np.mgrid[:700, :800]
FOVEA = 400.0, 350.0
DISTANCE = np.hypot(X - FOVEA[0], Y - FOVEA[1]) * MM
NOTHING = np.zeros(X.shape, bool)


def test_the_distance_is_that_from_the_fovea_to_the_nearest_border():
    mask = np.hypot(X - 600, Y - 350) <= 80
    assert fovea_distance(mask, FOVEA, MM) == pytest.approx(1.2, abs=0.01)
    assert fovea_distance(mask, FOVEA) == pytest.approx(120, abs=1)
    assert fovea_distance(mask | (DISTANCE > 0.6), FOVEA, MM) == pytest.approx(0.6, abs=0.01)


def test_an_atrophic_fovea_has_the_distance_0_and_no_atrophy_has_none():
    assert fovea_distance(DISTANCE < 1, FOVEA, MM) == 0
    assert fovea_distance(X > 399, FOVEA, MM) == 0
    assert isnan(fovea_distance(NOTHING, FOVEA, MM))


def test_a_fovea_outside_the_photograph_has_a_distance_too():
    assert fovea_distance(X < 100, (-20, 350), MM) == pytest.approx(0.2, abs=0.01)


def test_what_is_left_of_the_central_disc_is_told_as_a_radius():
    assert central_residual_radius(NOTHING, FOVEA, MM) == 0.5
    assert central_residual_radius(DISTANCE < 2, FOVEA, MM) == 0
    spared = central_residual_radius(DISTANCE > 0.3, FOVEA, MM)
    assert spared == pytest.approx(0.3, rel=0.01)
    assert central_residual_radius(X > FOVEA[0], FOVEA, MM) == pytest.approx(
        sqrt(0.5) / 2, rel=0.01
    )


def test_a_central_disc_that_was_not_seen_has_no_residual():
    assert isnan(central_residual_radius(NOTHING, (10, 350), MM))
    assert central_residual_radius(NOTHING, FOVEA, None) is None


def test_rings_have_the_shares_computed_by_hand():
    rings = ring_shares(DISTANCE < 1.25, FOVEA, MM)
    assert [ring.name for ring in rings[:3]] == ["0 to 0.5 mm", "0.5 to 1 mm", "1 to 1.5 mm"]
    shares = [ring.share for ring in rings]
    assert shares[:2] == [1, 1] and shares[3:] == [0] * 4
    assert shares[2] == pytest.approx((1.25**2 - 1) / (1.5**2 - 1), rel=0.01)
    assert [ring.seen for ring in rings[:6]] == [1] * 6
    for i, ring in enumerate(rings):
        assert ring.area == pytest.approx(pi * 0.25 * ((i + 1) ** 2 - i**2), rel=0.01)


@pytest.mark.parametrize("laterality", ["L", "R"])
def test_nasal_is_on_the_right_of_a_right_eye_and_on_the_left_of_a_left_eye(laterality):
    nasal = FOVEA[0] < X if laterality == "R" else FOVEA[0] > X
    zones = {z.name: z for z in zone_shares(nasal, FOVEA, laterality, MM)}
    assert len(zones) == 9
    for ring in ("inner", "outer"):
        assert zones[f"{ring} nasal"].share == 1
        assert zones[f"{ring} temporal"].share == 0
        assert zones[f"{ring} superior"].share == pytest.approx(0.5, abs=0.01)
    above = {z.name: z.share for z in zone_shares(FOVEA[1] > Y, FOVEA, laterality, MM)}
    assert above["outer superior"] == 1 and above["outer inferior"] == 0
    assert above["centre"] == pytest.approx(0.5, abs=0.01)


def test_zones_have_the_areas_of_the_grid_and_leave_no_gap():
    zones = zone_shares(NOTHING, (400.3, 349.6), "L", MM)
    areas = [zone.area for zone in zones]
    assert areas[0] == pytest.approx(pi * 0.25, rel=0.01)
    assert areas[1:5] == pytest.approx([pi * (1.5**2 - 0.5**2) / 4] * 4, rel=0.01)
    assert areas[5:] == pytest.approx([pi * (3**2 - 1.5**2) / 4] * 4, rel=0.01)
    assert sum(areas) == pytest.approx(pi * 9, rel=0.001)
    assert all(zone.seen == 1 for zone in zones)


def test_what_was_not_seen_is_neither_healthy_nor_atrophic():
    seen = FOVEA[0] < X  # half of the retina
    atrophic = (FOVEA[0] + 150 < X) | (FOVEA[0] > X)  # what lies outside the field does not count
    zones = {z.name: z for z in zone_shares(atrophic, FOVEA, "R", MM, seen=seen)}
    assert zones["outer temporal"].seen == 0 and isnan(zones["outer temporal"].share)
    assert zones["centre"].seen == pytest.approx(0.5, abs=0.01)
    assert zones["centre"].share == 0
    first = ring_shares(DISTANCE < 1, FOVEA, MM, seen=seen)[0]
    assert first.share == 1 and first.seen == pytest.approx(0.5, abs=0.01)


def test_regions_beyond_the_edge_of_the_photograph_were_not_seen():
    zones = {z.name: z for z in zone_shares(~NOTHING, (799, 350), "R", MM)}
    assert zones["outer nasal"].seen == 0
    assert zones["outer temporal"].seen == 1 and zones["outer temporal"].share == 1
    beyond = ring_shares(~NOTHING, (-5000, -5000), MM)
    assert all(ring.seen == 0 and isnan(ring.share) for ring in beyond)


def test_without_a_scale_there_are_no_regions():
    assert ring_shares(NOTHING, FOVEA, None) == ()
    assert zone_shares(NOTHING, FOVEA, "L", None) == ()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: zone_shares(NOTHING, FOVEA, "left", MM), "must be L .* or R .*, not 'left'"),
        (lambda: fovea_distance(NOTHING, (np.nan, 3)), "the fovea must be a place"),
        (
            lambda: ring_shares(NOTHING, FOVEA, MM, seen=NOTHING[:50]),
            r"the field of view has the shape \(50, 800\), the mask \(700, 800\)",
        ),
    ],
)
def test_wrong_eyes_places_and_fields_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
