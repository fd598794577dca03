"""Rates of growth over the visits of an eye."""

import datetime
from math import isnan, pi, sqrt

import numpy as np
import pytest

from fundus_helpers.atrophy.growth import RATES, growth_rates, slope, years_since_first

# Every four years have the same length, so that nothing is rounded.
DATES = [datetime.date(2008 + 4 * i, 1, 1) for i in range(4)]
TIMES = np.array([0.0, 4, 8, 12])


def test_a_disc_that_grows_steadily_has_every_rate_that_is_computed_by_hand():
    radius = 1 + 0.1 * TIMES
    found = growth_rates(DATES, pi * radius**2, 2 * pi * radius, radius - 1)
    for rates in (found.overall, found.first_to_last, *found.steps):
        assert list(rates) == list(RATES)
        assert rates["radius_growth"].value == pytest.approx(0.1)
        assert rates["square_root_growth"].value == pytest.approx(0.1 * sqrt(pi))
        assert rates["perimeter_adjusted_growth"].value == pytest.approx(0.1)
        assert rates["border_expansion"].value == pytest.approx(0.1)
    last = found.steps[-1]["area_growth"]
    assert last.value == pytest.approx(pi * (2.2**2 - 1.8**2) / 4)
    assert (last.first, last.last, last.visits) == (DATES[2], DATES[3], 2)
    assert len(found.steps) == 3 and found.notes == ()


def test_every_rate_says_unit_formula_typical_value_and_source():
    found = growth_rates(DATES, [1, 2, 3, 4], [4, 5, 6, 7], [0, 1, 2, 3]).overall
    units = {key: rate.unit for key, rate in found.items()}
    assert units == {key: "mm2/year" if key == "area_growth" else "mm/year" for key in RATES}
    for rate in found.values():
        assert rate.kind.formula and "mm" in rate.kind.typical
        assert rate.kind.source.startswith(("doi:10.", "PMID "))
        assert rate.kind.name in str(rate) and rate.unit in str(rate)


def test_without_a_scale_rates_are_in_pixels():
    found = growth_rates(DATES, [100, 200, 300, 400], unit="px").overall
    assert {rate.unit for rate in found.values()} == {"px2/year", "px/year"}
    with pytest.raises(ValueError, match="must be mm or px, not 'um'"):
        growth_rates(DATES, [1, 2, 3, 4], unit="um")


def test_what_was_not_given_has_no_rate():
    found = growth_rates(DATES, [1, 2, 3, 4])
    assert list(found.overall) == ["area_growth", "square_root_growth", "radius_growth"]


def test_the_line_and_its_error_are_those_of_numpy():
    values = np.array([4.0, 5.1, 5.8, 7.3])
    weights = np.array([1.0, 4, 2, 0.5])
    (expected, _), covariance = np.polyfit(TIMES, values, 1, w=np.sqrt(weights), cov=True)
    rate, error = slope(TIMES, values, weights)
    assert rate == pytest.approx(expected) and error == pytest.approx(sqrt(covariance[0, 0]))
    overall = growth_rates(DATES, values, weights=weights).overall["area_growth"]
    assert (overall.value, overall.standard_error) == pytest.approx((rate, error))


def test_many_series_are_fitted_at_once():
    series = np.random.default_rng(0).normal(size=(5, 3, 4))
    rates, errors = slope(TIMES, series)
    assert rates.shape == errors.shape == (5, 3)
    assert (rates[2, 1], errors[2, 1]) == pytest.approx(slope(TIMES, series[2, 1]))


def test_the_standard_error_is_right_where_the_errors_of_visits_are_independent():
    noise = np.random.default_rng(0).normal(0, 0.2, (4000, 4))
    rates, errors = slope(TIMES, 5 + 0.3 * TIMES + noise)
    assert rates.mean() == pytest.approx(0.3, abs=0.001)
    assert np.sqrt((errors**2).mean()) == pytest.approx(rates.std(), rel=0.05)


def test_one_visit_has_an_area_and_no_growth_and_says_so():
    found = growth_rates(DATES[:1], [4.0])
    assert found.areas == (4.0,) and not found.overall and not found.steps
    assert "a second visit is needed" in found.notes[0]


def test_two_visits_have_a_growth_whose_error_is_unknown():
    found = growth_rates(DATES[:2], [4.0, 6.0])
    rate = found.overall["area_growth"]
    assert rate.value == pytest.approx(0.5) and isnan(rate.standard_error)
    assert "two visits: the regression cannot know its own error" in found.notes[0]
    assert "standard error" not in str(rate)


def test_growth_begins_with_the_first_visit_with_atrophy():
    found = growth_rates(DATES, [0, 0, 4.0, 6.0], borders=[np.nan, np.nan, 0, 0.4])
    assert found.dates == tuple(DATES[2:])
    assert found.overall["area_growth"].value == pytest.approx(0.5)
    assert found.overall["border_expansion"].value == pytest.approx(0.1)
    assert found.notes[0] == "2 visits without atrophy left out: growth is that since 2016-01-01"


def test_an_eye_without_atrophy_does_not_grow():
    found = growth_rates(DATES, [0, 0, 0, 0])
    assert not found.overall and found.areas == ()
    assert found.notes == ("no atrophy at any visit, so that nothing grows",)


def test_atrophy_that_is_gone_at_a_later_visit_is_refused():
    with pytest.raises(ValueError, match="no atrophy at 2016-01-01, but at 2012-01-01 before it"):
        growth_rates(DATES, [0, 3.0, 0, 4.0])
    kept = growth_rates(DATES, [0, 3.0, 0, 4.0], used=[True, True, False, True])
    assert kept.dates == (DATES[1], DATES[3])


def test_visits_of_one_day_count_as_one():
    dates = [DATES[0], DATES[1], DATES[1], DATES[2]]
    found = growth_rates(dates, [4.0, 5.0, 7.0, 8.0], [7, 8, 10, 11])
    assert found.dates == tuple(DATES[:3]) and found.areas == (4.0, 6.0, 8.0)
    assert found.overall["area_growth"].value == pytest.approx(0.5)
    assert found.notes == ("visits of one day joined: 2012-01-01",)
    weighted = growth_rates(dates, [4.0, 5.0, 7.0, 8.0], weights=[1, 3, 1, 1])
    assert weighted.areas[1] == pytest.approx(5.5)
    same = growth_rates([DATES[0]] * 2, [4.0, 5.0])
    assert same.areas == (4.5,) and not same.overall and "a second visit" in same.notes[-1]


def test_a_visit_that_is_left_out_changes_nothing():
    areas = [4.0, 6.0, 8.0]
    expected = growth_rates(DATES[:3], areas)
    # Also one of the same day as a visit that is used, and one without an area.
    dates = [DATES[0], DATES[1], DATES[1], DATES[2], DATES[3]]
    kept = [True, False, True, True, False]
    found = growth_rates(dates, [4.0, 99, 6.0, 8.0, np.nan], used=kept)
    assert str((found.overall, found.steps)) == str((expected.overall, expected.steps))
    assert found.notes == ("2 visits left out",)


def test_a_border_that_was_lost_on_the_way_has_no_rate_and_says_so():
    found = growth_rates(DATES, [1, 2, 3, 4], borders=[0, 0.1, np.nan, np.nan])
    assert isnan(found.overall["border_expansion"].value)
    assert found.steps[0]["border_expansion"].value == pytest.approx(0.025)
    assert "the border could not be followed through all visits" in found.notes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"areas": [1, 2, 3]}, r"4 dates, but area has the shape \(3,\)"),
        ({"areas": [1, 2, -3, 4]}, "the area of the visit of 2016-01-01 is -3"),
        ({"areas": [1, 2, np.nan, 4]}, "give a number of 0 or more, or leave the visit out"),
        ({"areas": [1, 2, 3, 4], "weights": [1, 1, 0, 1]}, "the weight .* above 0"),
        ({"areas": [1, 2, 3, 4], "perimeters": [1, 2, np.inf, 4]}, "the perimeter of the visit"),
        ({"areas": [1, 2, 3, 4], "used": [True]}, "but used has the shape"),
    ],
)
def test_numbers_that_do_not_belong_together_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        growth_rates(DATES, **arguments)


def test_visits_out_of_order_are_refused():
    with pytest.raises(ValueError, match="visit of 2008-01-01 comes after that of 2012-01-01"):
        growth_rates(DATES[1::-1], [1, 2])
    with pytest.raises(ValueError, match="at least two days"):
        slope([1, 1], [2, 3])


def test_times_are_days_over_the_mean_length_of_a_year():
    assert years_since_first(DATES) == pytest.approx(TIMES)
    days = [datetime.date(2020, 1, 1), datetime.date(2020, 1, 31)]
    assert years_since_first(days)[1] == pytest.approx(30 / 365.25)
