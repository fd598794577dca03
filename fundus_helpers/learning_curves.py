"""Pictures of how a training went."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

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
    figure, axes = plt.subplots(1, 2, figsize=(13, 3.5), width_ratios=(1.4, 1))
    for name, stage in history.groupby("stage", sort=False):
        axes[0].plot(stage.index + 1, stage[LOSS], ".-", label=name)
    axes[0].set(xlabel="epoch, over all stages", ylabel=LOSS, ylim=(0, None))
    if history["stage"].nunique() > 1:
        axes[0].legend(fontsize=8, ncols=2)
    if ERROR in history and history[ERROR].notna().any():
        known = history[ERROR].dropna()
        axes[1].plot(known.index + 1, known, "o-", color="0.3")
        axes[1].set(xlabel="epoch, over all stages", ylabel=ERROR, ylim=(0, None))
    else:
        axes[1].axis("off")
    return with_caption(figure, caption)
