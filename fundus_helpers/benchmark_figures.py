"""Pictures of a benchmark: who is right how often, how fast, and whether anybody knew."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator, NullFormatter

from fundus_helpers.fire import LARGEST_THRESHOLD

# AUC of each class, their mean, over all pairs, and where it was reported (NaN: it was not).
PUBLISHED = pd.DataFrame(
    [
        ("retinalysis-registration 1.0.0", 0.948, 0.894, 0.783, 0.875, 0.911, "its makers, PyPI"),
        ("RetinaRegNet", 0.952, 0.859, 0.806, 0.872, 0.902, "arXiv:2404.16017"),
        ("HybridRetina", 0.940, 0.659, 0.806, 0.802, np.nan, "arXiv:2409.01068"),
        ("SuperRetina", 0.950, 0.554, 0.783, 0.762, np.nan, "Liu et al., ECCV 2022"),
        ("GeoFormer", 0.925, 0.578, 0.754, 0.752, 0.782, "Liu and Li, ICCV 2023"),
        ("REMPE", 0.958, 0.542, 0.660, 0.720, 0.773, "Hernandez-Matas et al., JBHI 2020"),
    ],
    columns=["method", "S", "P", "A", "mAUC", "pooled", "source"],
).set_index("method")


def plain_ticks(axis: Axis) -> None:
    """Write the numbers of a drawn logarithmic axis as people do: 0.5, 1, 2, 5."""
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
    """Draw each method's median error against its seconds a pair; below and to the left is better.

    Parameters
    ----------
    ax : Axes
    table : DataFrame
        Rows of a benchmark.
    """
    for name, rows in table.groupby("method"):
        error = np.median(rows["error_px"])
        if np.isfinite(error):
            place = rows["seconds"].median(), error
            ax.scatter(*place, color="C0")
            ax.annotate(name, place, xytext=(4, 3), textcoords="offset points", fontsize=8)
    ax.set(xscale="log", yscale="log", xlabel="seconds a pair", ylabel="median error (px)")
    ax.margins(x=0.25)
    return ax


def predicted_against_found(ax: Axes, table: pd.DataFrame) -> Axes:
    """Draw what `verdict.judge` predicted, without landmarks, against what the landmarks say.

    Parameters
    ----------
    ax : Axes
    table : DataFrame
        Rows of a benchmark; those that were not judged, or failed, are left out.
    """
    judged = table[table["predicted_error_px"].notna() & np.isfinite(table["error_px"])]
    markers = {"accepted": "o", "doubtful": "X", "failed": "v"}
    for name, rows in judged.groupby("verdict"):
        ax.scatter(
            rows["error_px"], rows["predicted_error_px"], s=18, alpha=0.6, marker=markers[name],
            label=name,
        )  # fmt: skip
    ends = np.array([judged["error_px"].min(), judged["error_px"].max()])
    ax.plot(ends, ends, color="grey", linewidth=1)
    ax.set(xscale="log", yscale="log", xlabel="mean landmark error (px)")
    ax.set(ylabel="predicted mean error (px)")
    for axis in (ax.xaxis, ax.yaxis):
        plain_ticks(axis)
    ax.legend(title="verdict", fontsize=8)
    return ax
