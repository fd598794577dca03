"""Pictures of how a training went."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fundus_helpers.figures import with_caption
from fundus_helpers.training import ERROR, LOSS


def learning_curves(history: pd.DataFrame, *, caption: str) -> Figure:
    """Draw the loss of every epoch, and the landmark error where it was asked for.

    Parameters
    ----------
    history : DataFrame
        As `training.train` gives it. Each stage has a loss of its own, so each has its own line.
    caption : str
        Written below.
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
        axes[0, 1].set(xlabel="epoch, over all stages", ylabel=ERROR)
    for ax in axes.flat:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_ylim(0, 1.1 * ax.dataLim.ymax)
    return with_caption(figure, caption)
