"""Figures of a cohort show every eye, mark those asked for, and draw what is known only."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from fundus_helpers import plotting
from fundus_helpers.atrophy.cohort import (
    PUBLISHED,
    GrowthDifference,
    GrowthModel,
    agreement,
    eye_rates,
    growth_difference,
    patients_needed,
    simulate_cohort,
    size_correlation,
)

TABLE = simulate_cohort(12, visits=3, seed=3)
MARKED = [("made-up 002", "L"), ("made-up 002", "R")]


@pytest.fixture(autouse=True)
def nothing_is_left_open():
    yield
    left = plt.get_fignums()
    plt.close("all")
    assert left == []


def words_of(ax):
    legend = ax.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


def test_the_spaghetti_plot_has_one_line_per_eye_and_the_mean():
    model = GrowthModel(growth=0.3, low=0.2, high=0.4)
    figure = plotting.spaghetti(TABLE, model, caption="c", marked=MARKED)
    (ax,) = figure.axes
    assert len(ax.lines) == 18 + 1 and figure.get_supxlabel() == "c"
    assert words_of(ax) == ["made-up 002 L", "made-up 002 R", "mean growth"]
    assert ax.get_ylim()[0] == 0 and ax.get_ylim()[1] > 1.1 * TABLE["square_root_area_mm"].max()
    start, end = ax.lines[-1].get_ydata()
    assert (end - start) / TABLE["years"].max() == pytest.approx(0.3)


def test_growth_that_is_not_known_is_not_drawn():
    (ax,) = plotting.spaghetti(TABLE, GrowthModel(), caption="c").axes
    assert len(ax.lines) == 18 and words_of(ax) == []
    for draw, by in ((plotting.growth_by_size, "size"), (plotting.growth_by_fovea, "fovea")):
        for ax in draw(TABLE, GrowthDifference(by), caption="c").axes:
            assert words_of(ax) == []


def test_no_eye_at_all_makes_an_empty_figure_and_no_error():
    none = TABLE[:0]
    plotting.spaghetti(none, GrowthModel(), caption="c")
    plotting.growth_by_size(none, GrowthDifference("size"), caption="c")
    plotting.growth_by_fovea(none, GrowthDifference("fovea"), caption="c")


def test_the_line_by_size_is_that_of_the_model():
    found = growth_difference(TABLE, "size")
    _, ax = plotting.growth_by_size(TABLE, found, caption="c", marked=MARKED).axes
    line = next(line for line in ax.lines if line.get_label() == "mean by size")
    x, y = line.get_data()
    assert (y[-1] - y[0]) / (x[-1] - x[0]) == pytest.approx(found.value)
    assert words_of(ax)[0] == "mean by size" and "made-up 002 R" in words_of(ax)


def test_growth_of_the_area_and_of_its_root_lie_beside_each_other_with_their_correlations():
    both = [size_correlation(TABLE, of) for of in ("area_growth", "square_root_growth")]
    figure = plotting.growth_by_size(TABLE, GrowthDifference("size"), both, caption="c")
    rates = eye_rates(TABLE)
    for ax, found in zip(figure.axes, both, strict=True):
        drawn = [line.get_ydata()[0] for line in ax.lines if len(line.get_ydata()) == 1]
        assert drawn == pytest.approx(rates[found.of].tolist())
        assert f"{found.value:+.2f}" in ax.get_title() and f"{found.low:+.2f}" in ax.get_title()
    assert [ax.get_ylabel()[-9:] for ax in figure.axes] == ["mm2/year)", "(mm/year)"]


def test_bland_altman_names_bias_and_limits():
    areas = TABLE["area_mm2"].to_numpy()
    found = agreement(areas, (np.sqrt(areas) + 0.1) ** 2 + np.tile([0, 0.1], len(areas) // 2))
    (ax,) = plotting.bland_altman(found, caption="c").axes
    texts = [text.get_text() for text in ax.texts]
    assert texts[0] == f" bias {found.bias:+.3f}" and len(texts) == 3
    assert len(ax.collections[0].get_offsets()) == len(areas)


def test_patients_needed_fall_with_the_slowing():
    plans = [patients_needed(slowing, PUBLISHED) for slowing in (0.1, 0.2, 0.4)]
    (ax,) = plotting.patients_by_slowing({"published": plans}, caption="c").axes
    x, y = ax.lines[0].get_data()
    assert list(x) == [10, 20, 40] and list(y) == sorted(y, reverse=True)
    assert words_of(ax) == ["published"]
    unknown = [patients_needed(0.2, GrowthModel())]
    plotting.patients_by_slowing({"unknown": unknown}, caption="c")
