"""Comparisons hold what they promise on made-up eyes whose truth is known."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fundus_helpers.metrics.statistics import LEAST_EYES, compare, in_words, interval, median_errors


def made_up(seed, eyes=12, visits=3, difference=0.5):
    """Return errors of two methods on eyes of very unequal difficulty.

    The median over eyes of first minus second is `difference`, negative where first is better.
    """
    rng = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product([range(eyes), range(visits)], names=["eye", "visit"])
    difficulty = 4 + rng.lognormal(2, 1, eyes).repeat(visits)
    own = rng.normal(difference, 0.4, eyes).repeat(visits)
    grain = rng.normal(0, 0.05, (2, len(index)))
    return pd.DataFrame(
        {"first": difficulty + own + grain[0], "second": difficulty + grain[1]}, index
    )


def test_the_interval_holds_the_true_difference_as_often_as_it_says():
    rows = [
        compare(made_up(seed), [("first", "second")], bootstrap=500).iloc[0] for seed in range(300)
    ]
    held = np.mean([row["low"] <= 0.5 <= row["high"] for row in rows])
    # 300 cohorts tell a share of 0.95 to within 0.04, and few eyes make it a little less.
    assert 0.89 < held < 0.99


def test_methods_that_differ_by_nothing_are_seldom_called_better():
    said = [
        in_words(compare(made_up(seed, difference=0.0), [("first", "second")], bootstrap=500))[0]
        for seed in range(200)
    ]
    assert 0.88 < np.mean(["nobody is called better" in sentence for sentence in said]) < 1


def test_the_same_seed_gives_the_same_bounds():
    errors, pairs = made_up(0), [("first", "second")]
    one, same, other = (compare(errors, pairs, seed=seed) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(one, same)
    assert not one.equals(other)
    pd.testing.assert_frame_equal(median_errors(errors, seed=3), median_errors(errors, seed=3))


def test_pairing_by_eye_is_what_shows_a_small_difference():
    errors = made_up(1, difference=0.5)
    row = compare(errors, [("first", "second")]).iloc[0]
    means = errors.groupby("eye").mean()
    unpaired = stats.bootstrap(
        (means["first"], means["second"]),
        lambda a, b, axis: np.median(a, axis=axis) - np.median(b, axis=axis),
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert unpaired.low < 0 < unpaired.high
    assert row["low"] > 0
    assert row["high"] - row["low"] < (unpaired.high - unpaired.low) / 5


def test_visits_of_one_eye_are_no_more_eyes():
    few = made_up(2, eyes=8, visits=1)
    many = pd.concat([few.rename(index={0: i}, level="visit") for i in range(10)])
    one, ten = (compare(errors, [("first", "second")]).iloc[0] for errors in (few, many))
    assert ten["visits"] == 10 * one["visits"]
    assert np.allclose(
        ten.drop("visits").to_numpy(float), one.drop("visits").to_numpy(float), rtol=1e-9
    )


def test_only_visits_that_both_were_tried_on_count():
    errors = made_up(3, eyes=8)
    errors.loc[(slice(None), 1), "first"] = 1e-6  # easy visits that second was not tried on
    errors.loc[(slice(None), 1), "second"] = np.nan
    row = compare(errors, [("first", "second")]).iloc[0]
    kept = compare(errors.drop(1, level="visit"), [("first", "second")]).iloc[0]
    assert row.equals(kept) and row["visits"] == 16


def test_too_few_eyes_get_no_interval_and_are_told_so():
    with pytest.raises(ValueError, match="2 eyes: 6 are needed for an interval of 95%"):
        interval([1.0, 2.0])
    for eyes in (1, 2, LEAST_EYES - 1):
        errors = made_up(4, eyes=eyes)
        row = compare(errors, [("first", "second")])
        assert row[["low", "high", "ratio low", "ratio high", "probability"]].isna().all(axis=None)
        assert row["difference"].notna().all() and row["better on"].iloc[0] <= eyes
        assert "nobody is called better" in in_words(row)[0]
        table = median_errors(errors)
        assert table[["low", "high"]].isna().all(axis=None) and table["median"].notna().all()
    assert median_errors(made_up(4, eyes=LEAST_EYES))["low"].notna().all()


def test_a_method_s_median_lies_between_its_bounds_and_is_over_eyes():
    errors = made_up(5)
    errors.loc[(0, slice(None)), "second"] = np.nan  # not tried on one eye
    table = median_errors(errors)
    assert table.loc["first", ["eyes", "visits"]].tolist() == [12, 36]
    assert table.loc["second", ["eyes", "visits"]].tolist() == [11, 33]
    assert (table["low"] <= table["median"]).all() and (table["median"] <= table["high"]).all()
    by_hand = np.median([errors["first"][eye].mean() for eye in range(12)])
    assert table.loc["first", "median"] == pytest.approx(by_hand)


def test_words_name_the_better_one_whichever_way_round_they_are_asked():
    errors = made_up(6, difference=-2.0)
    there, back = in_words(compare(errors, [("first", "second"), ("second", "first")]))
    assert there.startswith("first is better than second by ") and there == back
    assert there.endswith("12 of 12 eyes.") and " times, on " in there
    nowhere = errors.assign(third=np.nan)
    (said,) = in_words(compare(nowhere, [("first", "third")]))
    assert said == "first and third: no visit on which both were tried."


def test_a_clear_difference_is_certain_and_none_is_a_coin():
    far, near = (
        compare(made_up(7, eyes=40, difference=value), [("first", "second")]).iloc[0]
        for value in (-2.0, 0.0)
    )
    assert far["probability"] == 1 and far["ratio high"] < 1
    assert 0.02 < near["probability"] < 0.98
