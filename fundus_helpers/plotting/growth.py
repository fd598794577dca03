"""Figures of the growth of atrophy over many eyes. Areas are shown by their square root, in mm."""

from collections.abc import Collection, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fundus_helpers.atrophy.cohort.areas import eye_rates
from fundus_helpers.atrophy.cohort.correlation import SizeCorrelation
from fundus_helpers.atrophy.cohort.differences import GrowthDifference
from fundus_helpers.atrophy.cohort.model import GrowthModel
from fundus_helpers.atrophy.cohort.repeatability import Agreement
from fundus_helpers.atrophy.cohort.trial import PatientsNeeded
from fundus_helpers.plotting.comparisons import plain_ticks
from fundus_helpers.plotting.figures import with_caption

BLUE, ORANGE, GREEN = sns.color_palette("colorblind")[:3]
GROWTH, AREA_GROWTH = "square-root growth (mm/year)", "growth of the area (mm2/year)"
ROOT = "square root of the area (mm)"
SIDES = {"L": "o", "R": "s"}  # the marks of left and right eyes


def spaghetti(
    table: pd.DataFrame,
    model: GrowthModel,
    *,
    caption: str,
    marked: Collection[tuple[str, str]] = (),
) -> Figure:
    """Draw the square root of the area of every eye over the years, and the mean growth.

    Parameters
    ----------
    table : DataFrame
        See `atrophy.cohort.read_areas`.
    model : GrowthModel
        Its mean growth, and the band of its interval, start at the mean of all first visits.
    caption : str
    marked : collection of (patient, laterality)
        Eyes to draw in colour over the others.
    """
    figure, ax = plt.subplots(figsize=(9, 5.5))
    many = len(table[["patient", "laterality"]].drop_duplicates()) > 40
    for who, eye in table.groupby(["patient", "laterality"]):
        style = {"color": "0.6", "linewidth": 0.8, "alpha": 0.6 if many else 0.9, "markersize": 2.5}
        if who in marked:
            style = {"color": ORANGE, "linewidth": 2, "markersize": 6, "zorder": 3}
            style |= {"label": " ".join(who), "linestyle": "-" if who[1] == "L" else "--"}
        ax.plot(eye["years"], eye["square_root_area_mm"], marker=SIDES.get(who[1], "o"), **style)
    if model.known and len(table):
        first = table.groupby(["patient", "laterality"])["square_root_area_mm"].first().mean()
        years = np.array([0, table["years"].max()])
        band = first + model.low * years, first + model.high * years
        ax.fill_between(years, *band, color=BLUE, alpha=0.25, linewidth=0, zorder=2)
        ax.plot(years, first + model.growth * years, color=BLUE, linewidth=2, label="mean growth")
    ax.set(xlabel="years since the first visit with atrophy", ylabel=ROOT)
    ax.set_ylim(0, 1.15 * ax.dataLim.y1 if len(table) else None)
    _legend(ax)
    return with_caption(figure, caption)


def growth_by_size(
    table: pd.DataFrame,
    difference: GrowthDifference,
    correlations: Sequence[SizeCorrelation] = (),
    *,
    caption: str,
    marked: Collection[tuple[str, str]] = (),
) -> Figure:
    """Draw the growth of every eye by its size at the first visit: of the area, and of its root.

    Parameters
    ----------
    table
        See `spaghetti`.
    difference : GrowthDifference
        By ``size``; the line in the right panel.
    correlations : sequence of SizeCorrelation
        Of the growth of the area, of the square-root growth, or of both: the titles of the panels.
    caption, marked
        See `spaghetti`.
    """
    rates = eye_rates(table)
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.8))
    titles = {found.of: _correlation_words(found) for found in correlations}
    panels = {
        "area_growth": (rates["baseline_mm2"], "area at the first visit (mm2)", AREA_GROWTH),
        "square_root_growth": (np.sqrt(rates["baseline_mm2"]), f"{ROOT}, first visit", GROWTH),
    }
    for ax, (of, (sizes, size_words, growth_words)) in zip(axes, panels.items(), strict=True):
        _marks(ax, rates, sizes, marked, of)
        ax.axhline(0, color="0.7", linewidth=1)
        ax.set(xlabel=size_words, ylabel=growth_words)
        ax.set_title(titles.get(of, ""), fontsize=10)
    sizes = np.sqrt(rates.dropna(subset="square_root_growth")["baseline_mm2"])
    if difference.known and len(sizes):
        along = np.linspace(sizes.min(), sizes.max(), 40)
        growth, low, high = np.array([difference.at(size) for size in along]).T
        axes[1].fill_between(along, low, high, color=BLUE, alpha=0.25, linewidth=0)
        axes[1].plot(along, growth, color=BLUE, linewidth=3, label="mean by size")
    _legend(axes[1])
    return with_caption(figure, caption)


def growth_by_fovea(
    table: pd.DataFrame,
    difference: GrowthDifference,
    *,
    caption: str,
    marked: Collection[tuple[str, str]] = (),
) -> Figure:
    """Draw the growth of every eye where the fovea is involved at the first visit, and where not.

    Parameters
    ----------
    table
        See `spaghetti`.
    difference : GrowthDifference
        By ``fovea``.
    caption, marked
        See `spaghetti`.
    """
    rates = eye_rates(table).dropna(subset=["square_root_growth", "involved"])
    side = rates["involved"].astype(float)
    # Marks of one group lie beside each other, in the order of the table, so that all are seen.
    rank = side.groupby(side).cumcount() / side.groupby(side).transform("size")
    figure, ax = plt.subplots(figsize=(7, 5))
    _marks(ax, rates, side + 0.4 * (rank - 0.5), marked)
    if difference.known:
        for value in (0, 1):
            growth, low, high = difference.at(value)
            bar = [[growth - low], [high - growth]]
            style = {"color": BLUE, "markersize": 9, "linewidth": 3, "capsize": 6}
            label = "mixed model" if value else None
            ax.errorbar(value + 0.3, growth, bar, marker="D", linestyle="", label=label, **style)
    counts = [int((side == value).sum()) for value in (0, 1)]
    words = [f"{w}\n({n} eyes)" for w, n in zip(("not involved", "involved"), counts, strict=True)]
    ax.axhline(0, color="0.7", linewidth=1)
    ax.set_xticks([0, 1], words)
    ax.set(xlabel="fovea at the first visit", ylabel=GROWTH, xlim=(-0.5, 1.6))
    _legend(ax)
    return with_caption(figure, caption)


def bland_altman(found: Agreement, *, caption: str) -> Figure:
    """Draw the differences of two series of outlines against their means, with the limits.

    Parameters
    ----------
    found : Agreement
        See `atrophy.cohort.agreement`.
    caption : str
    """
    figure, ax = plt.subplots(figsize=(9, 5))
    ax.scatter(found.means, found.differences, s=22, color="0.35", alpha=0.8, zorder=3)
    lines = (
        ("bias", found.bias, found.bias_interval, BLUE, "-"),
        ("lower limit", found.limits[0], found.lower_interval, ORANGE, "--"),
        ("upper limit", found.limits[1], found.upper_interval, ORANGE, "--"),
    )
    for name, value, (low, high), colour, style in lines:
        ax.axhspan(low, high, color=colour, alpha=0.2, linewidth=0)
        ax.axhline(value, color=colour, linestyle=style, linewidth=2)
        place = {"xycoords": ("axes fraction", "data"), "fontsize": 9, "va": "center"}
        ax.annotate(f" {name} {value:+.3f}", (1.0, value), **place)
    ax.set(xlabel=f"mean of both: {ROOT}", ylabel="second minus first (mm)")
    return with_caption(figure, caption)


def patients_by_slowing(plans: Mapping[str, Sequence[PatientsNeeded]], *, caption: str) -> Figure:
    """Draw the patients that each arm of a trial needs against the slowing that is to be seen.

    Parameters
    ----------
    plans : mapping of str to sequence of PatientsNeeded
        At most three series, by their names; the bands are their intervals.
    caption : str
    """
    figure, ax = plt.subplots(figsize=(9, 5))
    drawn = [plan.per_arm for series in plans.values() for plan in series]
    styles = ((BLUE, "o", "-"), (ORANGE, "s", "--"), (GREEN, "^", ":"))
    for (name, series), (colour, marker, line) in zip(plans.items(), styles, strict=False):
        slowing = [100 * plan.slowing for plan in series]
        needed = [plan.per_arm for plan in series]
        ax.plot(slowing, needed, color=colour, marker=marker, linestyle=line, label=name)
        low, high = ([getattr(plan, end) for plan in series] for end in ("low", "high"))
        if np.isfinite(low).all():
            top = np.where(np.isfinite(high), high, 10 * np.nanmax(drawn))
            ax.fill_between(slowing, low, top, color=colour, alpha=0.15, linewidth=0)
    ax.set(xlabel="slowing of the mean growth (%)", ylabel="patients per arm", yscale="log")
    if np.isfinite(drawn).any():
        ax.set_ylim(0.5 * np.nanmin(drawn), 3 * np.nanmax(drawn))
    ax.set_xticks(sorted({round(100 * plan.slowing, 1) for s in plans.values() for plan in s}))
    ax.xaxis.set_major_formatter("{x:g}")
    plain_ticks(ax.yaxis)
    ax.grid(color="0.9")
    _legend(ax)
    return with_caption(figure, caption)


def _marks(
    ax: Axes,
    rates: pd.DataFrame,
    places: pd.Series,
    marked: Collection[tuple[str, str]],
    of: str = "square_root_growth",
) -> None:
    """Draw one mark per eye; a square-root growth with the standard error of its regression."""
    for place, row in zip(places, rates.itertuples(), strict=True):
        who = row.patient, row.laterality
        style = {"color": "0.5", "markersize": 4, "alpha": 0.8, "linewidth": 0.8}
        if who in marked:
            style = {"color": ORANGE, "markersize": 9, "zorder": 4, "label": " ".join(who)}
        has_error = of == "square_root_growth" and np.isfinite(row.standard_error)
        error = row.standard_error if has_error else None
        marker = SIDES.get(row.laterality, "o")
        ax.errorbar(place, getattr(row, of), error, marker=marker, linestyle="", **style)


def _correlation_words(found: SizeCorrelation) -> str:
    if not found.known:
        return ""
    return f"rank correlation {found.value:+.2f} ({found.low:+.2f} to {found.high:+.2f})"


def _legend(ax: Axes) -> None:
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=9)
