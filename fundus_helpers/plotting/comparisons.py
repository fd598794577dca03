"""Figures that compare methods: over pairs, over visits, over eyes."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from fundus_helpers.loading.fire import LARGEST_THRESHOLD
from fundus_helpers.metrics.measures import MEASURES
from fundus_helpers.plotting.figures import with_caption

ROW = 0.26  # inches, height of the row of one method


def plain_ticks(axis: Axis) -> None:
    """Write plain numbers on a logarithmic axis that is already drawn: 0.5, 1, 2, 5.

    Parameters
    ----------
    axis : Axis
    """
    low, high = axis.get_view_interval()
    steps = (1, 2, 5) if high > 10 * low else (1, 1.2, 1.5, *range(2, 10))
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def success_curves(ax: Axes, errors: Mapping[str, pd.Series]) -> Axes:
    """Draw the share of pairs whose mean landmark error is below each threshold.

    Parameters
    ----------
    ax : Axes
    errors : mapping of str to Series
        Mean landmark error of every pair, in full-size pixels, by method; inf where it failed.
    """
    thresholds = np.arange(0, LARGEST_THRESHOLD + 1)
    order = sorted(errors, key=lambda name: -np.mean(_shares(errors[name], thresholds)))
    colours = sns.color_palette("colorblind", 10)
    for i, name in enumerate(order):
        style = ("-", "--", ":")[i // len(colours) % 3]
        shares = _shares(errors[name], thresholds)
        ax.plot(thresholds, shares, style, color=colours[i % len(colours)], label=name)
    ax.set(xlabel="mean landmark error below (px)", ylabel="share of pairs", ylim=(-0.02, 1.02))
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax


def _shares(errors: pd.Series, thresholds: np.ndarray) -> list[float]:
    return [float(np.mean(errors < threshold)) for threshold in thresholds]


def time_against_accuracy(ax: Axes, table: pd.DataFrame) -> Axes:
    """Draw the median error of each method against its time per pair.

    The best methods are at the bottom left.

    Parameters
    ----------
    ax : Axes
    table : DataFrame
        Rows of a benchmark.
    """
    for name, rows in table.groupby("method"):
        error = np.median(rows["landmark_error_px"])
        if np.isfinite(error):
            place = rows["seconds"].median(), error
            ax.scatter(*place, color="C0")
            ax.annotate(name, place, xytext=(4, 3), textcoords="offset points", fontsize=8)
    ax.set(xscale="log", yscale="log", xlabel="seconds per pair", ylabel="median error (px)")
    ax.margins(x=0.25)
    return ax


def predicted_against_found(ax: Axes, table: pd.DataFrame) -> Axes:
    """Draw the error that `metrics.judge` predicts without landmarks against the landmark error.

    Parameters
    ----------
    ax : Axes
    table : DataFrame
        Rows of a benchmark. Those that were not judged, or that failed, are left out.
    """
    judged = table[table["predicted_error_px"].notna() & np.isfinite(table["landmark_error_px"])]
    markers = {"accepted": "o", "accepted, by hand": "s", "doubtful": "X", "failed": "v"}
    for name, rows in judged.groupby("verdict"):
        errors = rows["landmark_error_px"], rows["predicted_error_px"]
        ax.scatter(*errors, s=18, alpha=0.6, marker=markers[name], label=name)
    ends = np.array([judged["landmark_error_px"].min(), judged["landmark_error_px"].max()])
    ax.plot(ends, ends, color="grey", linewidth=1)
    ax.set(xscale="log", yscale="log", xlabel=MEASURES["landmark_error_px"].title)
    ax.set(ylabel=MEASURES["predicted_error_px"].title)
    for axis in (ax.xaxis, ax.yaxis):
        plain_ticks(axis)
    ax.legend(title="verdict", fontsize=8)
    return ax


def errors_by_method(
    outcomes: pd.DataFrame, errors: Mapping[str, pd.DataFrame], *, caption: str
) -> Figure:
    """Draw the errors of every method, and beside them its number of visits by verdict.

    Parameters
    ----------
    outcomes : DataFrame
        As `series.count_verdicts` gives it: one row per method, one column per verdict.
    errors : mapping of str to DataFrame
        At most three kinds of errors, by their names. Each table has one column per method, and
        each of its values is a mark. The kinds differ by colour, by shape and by a small shift.
    caption : str
    """
    order = outcomes.index[::-1]
    figure, (ax, counts) = plt.subplots(
        1, 2, figsize=(13, 1.2 + ROW * len(order)), sharey=True, width_ratios=(4, 1)
    )
    places, colours = np.arange(len(order)), sns.color_palette("colorblind")
    for i, (kind, table) in enumerate(errors.items()):
        style = {"marker": "oD^"[i], "facecolor": "none" if i else colours[0], "alpha": 0.75}
        style |= {"edgecolor": colours[i], "s": 22}
        for place, method in zip(places, order, strict=True):
            values = table[method].dropna() if method in table else []
            ax.scatter(values, np.full(len(values), place + 0.15 - 0.3 * i), **style)
        ax.scatter([], [], label=kind, **style)
    ax.set(xscale="log", xlabel="pixels of the photographs on disk", yticks=places)
    ax.set_yticklabels(order)
    ax.set_ylim(-0.7, len(order) - 0.3)
    plain_ticks(ax.xaxis)
    ax.grid(axis="x", color="0.9")
    if errors:
        ax.legend(fontsize=8)
    left = np.zeros(len(order))
    for verdict, shade, hatch in zip(outcomes, (0, 1, 7), ("", "//", "xx"), strict=True):
        widths = outcomes.loc[order, verdict].to_numpy(float)
        style = {"color": colours[shade], "edgecolor": "white", "hatch": hatch, "label": verdict}
        counts.barh(places, widths, left=left, **style)
        left += widths
    counts.set(xlabel="visits")
    counts.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    counts.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return with_caption(figure, caption)


def forest(table: pd.DataFrame, *, caption: str, unit: str = "px") -> Figure:
    """Draw the median error of every method with its interval, the best method on top.

    Parameters
    ----------
    table : DataFrame
        As `metrics.median_errors` gives it.
    caption : str
    unit : str
        Unit of the errors.
    """
    table = table.sort_values("median", ascending=False)
    words = [f"{row['median']:.2f} ({row['eyes']:.0f})" for _, row in table.iterrows()]
    figure, ax = _rows(table, "median", "low", "high", table.index, words)
    ax.set(xlabel=f"median over eyes of the mean error ({unit}), 95 % interval; (eyes)")
    return with_caption(figure, caption)


def ratios(comparison: pd.DataFrame, *, caption: str) -> Figure:
    """Draw the ratio of the errors of two methods with its interval, one row per comparison.

    Parameters
    ----------
    comparison : DataFrame
        As `metrics.compare` gives it.
    caption : str
    """
    comparison = comparison[::-1]
    labels = [f"{method} / {other}" for method, other in comparison.index]
    words = [f"{row['better on']:.0f} of {row['eyes']:.0f}" for _, row in comparison.iterrows()]
    figure, ax = _rows(comparison, "ratio", "ratio low", "ratio high", labels, words)
    ax.axvline(1, color="0.4", linestyle="--")
    ax.set(xlabel="ratio of errors, median over eyes; left of the line the first is better")
    return with_caption(figure, caption)


def _rows(
    table: pd.DataFrame, middle: str, low: str, high: str, labels: list[str], words: list[str]
) -> tuple[Figure, Axes]:
    """Draw rows on a logarithmic axis: a dot, a bar for the interval, and words at the end."""
    figure, ax = plt.subplots(figsize=(13, 1.2 + ROW * len(table)))
    places = np.arange(len(table))
    ax.hlines(places, table[low], table[high], color=sns.color_palette("colorblind")[0], lw=2)
    ax.plot(table[middle], places, "o", color="black", markersize=5)
    for place, word in zip(places, words, strict=True):
        style = {"xycoords": ("axes fraction", "data"), "fontsize": 8, "va": "center"}
        ax.annotate(word, (1.01, place), **style)
    ax.set(xscale="log", yticks=places)
    ax.set_yticklabels(labels)
    ax.set_ylim(-0.7, len(table) - 0.3)
    plain_ticks(ax.xaxis)
    ax.grid(axis="x", color="0.9")
    return figure, ax
