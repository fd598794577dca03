"""Figures of single methods: matched keypoints, predicted errors, learning curves."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fundus_helpers.methods.homography.matches import Matches
from fundus_helpers.methods.networks.training import ERROR, LOSS
from fundus_helpers.metrics.measures import MEASURES
from fundus_helpers.plotting.figures import show, with_caption

DRAWN = 200  # at most so many matches in a panel


def draw_matches(
    images: tuple[np.ndarray, np.ndarray],
    series: Sequence[Matches],
    titles: Sequence[str],
    *,
    caption: str,
) -> Figure:
    """Draw two images side by side, with lines between matched places; one panel per set.

    Parameters
    ----------
    images : (fixed, moving)
        Grey in [0, 1], shape (height, width) each.
    series : sequence of Matches
        Of many matches only every n-th is drawn.
    titles : sequence of str
    caption : str
    """
    height = max(image.shape[0] for image in images)
    padded = [np.pad(image, ((0, height - image.shape[0]), (0, 0))) for image in images]
    figure, axes = plt.subplots(len(series), 1, figsize=(10, 5.2 * len(series)), squeeze=False)
    for ax, matches, title in zip(axes[:, 0], series, titles, strict=True):
        show(ax, np.hstack(padded), title)
        every = slice(None, None, max(-(-len(matches) // DRAWN), 1))
        beside = matches.moving_points[every] + [images[0].shape[1], 0]
        lines = np.stack([matches.fixed_points[every], beside], axis=1)
        ax.add_collection(LineCollection(lines, colors="#ffb000", linewidths=0.5, alpha=0.8))
    return with_caption(figure, caption)


def draw_error(
    image: np.ndarray,
    error: np.ndarray,
    *,
    caption: str,
    points: np.ndarray | None = None,
    found: np.ndarray | None = None,
    unit: str = "px",
) -> Figure:
    """Draw the predicted error over an image, and the errors at landmarks as discs on top.

    Parameters
    ----------
    image : float ndarray in [0, 1], shape (height, width)
    error : float ndarray, shape (height, width)
        NaN where no error is predicted.
    caption : str
    points : ndarray, shape (n, 2), optional
        Landmarks (x, y).
    found : ndarray, shape (n,), optional
        The errors at these landmarks, in the unit of `error` and in the same colours.
    unit : str
        Unit of the errors, for the colour bar.
    """
    largest = np.nanquantile(error, 0.99)
    if found is not None and np.isfinite(found).any():
        largest = max(largest, found[np.isfinite(found)].max())
    figure, axes = plt.subplots(1, 2, figsize=(11, 5))
    show(axes[0], image, "fixed image")
    show(axes[1], image, "predicted error")
    colours = {"cmap": "viridis", "vmin": 0, "vmax": largest}
    shown = axes[1].imshow(error, alpha=0.85, **colours)
    if points is not None and found is not None:
        axes[1].scatter(*points.T, c=found, s=70, edgecolors="white", linewidths=1.2, **colours)
    figure.colorbar(shown, ax=axes, shrink=0.8, label=unit)
    return with_caption(figure, caption)


def learning_curves(history: pd.DataFrame, *, caption: str) -> Figure:
    """Draw the loss of every epoch, and the landmark error where it was measured.

    Parameters
    ----------
    history : DataFrame
        As `networks.train` gives it. Each stage has a loss of its own, and so a line of its own.
    caption : str
    """
    known = history[ERROR].dropna() if ERROR in history else []
    columns = 2 if len(known) else 1
    figure, axes = plt.subplots(1, columns, figsize=(6.5 * columns, 3.5), squeeze=False)
    ax = axes[0, 0]
    for name, stage in history.groupby("stage", sort=False):
        ax.plot(stage.index + 1, stage[LOSS], ".-", label=name)
    ax.set(xlabel="epoch, over all stages", ylabel=LOSS)
    if history["stage"].nunique() > 1:
        ax.legend(fontsize=8, ncols=2)
    if len(known):
        axes[0, 1].plot(known.index + 1, known, "o-", color="0.3")
        axes[0, 1].set(xlabel="epoch, over all stages", ylabel=MEASURES[ERROR].title)
    for ax in axes.flat:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_ylim(0, 1.1 * ax.dataLim.ymax)
    return with_caption(figure, caption)
