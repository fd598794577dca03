"""Figures to judge a registration by. The functions draw into an Axes or return a Figure."""

import sys
from collections.abc import Mapping, Sequence
from functools import partial

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fundus_helpers.plotting.pictures import OVERLAY_CAPTION, checkerboard, overlay


def forget_matplotlibrc() -> None:
    """Give every setting that comes from the user's ``matplotlibrc`` its default value.

    Such a file may need programs that are missing, for example LaTeX (``text.usetex``). In a
    notebook this is done once, when this file is imported. A style that was chosen in the notebook
    itself stays.
    """
    default, given, now = (
        {key: value for key, value in settings.items() if key != "backend"}
        for settings in (
            matplotlib.rcParamsDefault,
            matplotlib.rcParamsOrig,
            matplotlib.rcParams,
        )
    )
    from_file = [key for key in given if given[key] != default[key] and now[key] == given[key]]
    matplotlib.rcParams.update({key: default[key] for key in from_file})


if "ipykernel" in sys.modules:
    forget_matplotlibrc()


def show(ax: Axes, image: np.ndarray, title: str = "") -> Axes:
    """Draw an image without axes.

    Parameters
    ----------
    ax : Axes
    image : ndarray
        Grey in [0, 1], or in colour.
    title : str
    """
    ax.imshow(
        np.clip(image, 0, 1) if image.dtype.kind == "f" else image, cmap="gray", vmin=0, vmax=1
    )
    ax.set_title(title, fontsize=9)
    ax.axis("off")
    return ax


def gallery(
    images: Sequence[np.ndarray], titles: Sequence[str], *, caption: str = "", columns: int = 4
) -> Figure:
    """Draw images in rows, each with its title, and a caption below.

    Parameters
    ----------
    images : sequence of ndarray
        Grey in [0, 1], or in colour.
    titles : sequence of str
    caption : str
        What to look for, and what the colours mean.
    columns : int
        Largest number of images in a row.
    """
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height, width = images[0].shape[:2]
    side = 13 / max(columns, 2)  # inches; a single image need not fill the page
    size = columns * side, rows * (side * height / width + 0.3) + 0.3
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, image, title in zip(axes.flat, images, titles, strict=False):
        show(ax, image, title)
    return with_caption(figure, caption)


def with_caption(figure: Figure, caption: str) -> Figure:
    """Write a caption under a figure, and keep the notebook from drawing the figure twice.

    The caption is also what a notebook shows in place of the picture, for example to a screen
    reader.
    """
    figure.set_layout_engine("constrained")
    if caption:
        figure.supxlabel(caption, fontsize=9, wrap=True)
        figure._repr_mimebundle_ = partial(_in_words, caption)  # IPython asks for it
    plt.close(figure)
    return figure


def _in_words(caption: str, **_: object) -> dict[str, str]:
    return {"text/plain": f"Figure: {caption}"}


def before_after(
    fixed: np.ndarray, moving: np.ndarray, warped: np.ndarray, *, caption: str = ""
) -> Figure:
    """Draw the overlay and the checkerboard of a pair before and after its registration.

    Parameters
    ----------
    fixed, moving, warped : float ndarray in [0, 1], all of one shape (height, width)
        `warped` is the moving image on the pixel grid of the fixed image.
    caption : str
        Written below the figure, before the meaning of the colours.
    """
    height, width = fixed.shape
    centre = slice(height // 4, height * 3 // 4), slice(width // 4, width * 3 // 4)
    panels, titles = [], []
    for when, image in (("before", moving), ("after", warped)):
        panels += [overlay(fixed, image), overlay(fixed, image)[centre], checkerboard(fixed, image)]
        titles += [f"{when}: overlay", f"{when}: overlay, middle", f"{when}: checkerboard"]
    panels = [_as_large_as(panel, fixed.shape) for panel in panels]
    return gallery(panels, titles, caption=f"{caption} ({OVERLAY_CAPTION})".strip(), columns=3)


def _as_large_as(panel: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    factors = [round(want / have) for want, have in zip(shape, panel.shape, strict=False)]
    return panel.repeat(factors[0], axis=0).repeat(factors[1], axis=1)


def best_and_worst(
    fixed: np.ndarray,
    warped: np.ndarray,
    names: Sequence[str],
    errors: Sequence[float],
    *,
    count: int = 3,
    unit: str = "px",
) -> Figure:
    """Draw the overlays of the registrations with the smallest and the largest errors.

    Parameters
    ----------
    fixed : float ndarray in [0, 1], shape (height, width)
    warped : float ndarray in [0, 1], shape (n, height, width)
        The moving images on the pixel grid of the fixed image.
    names, errors : sequences of length n
        An error is any number that is smaller for a better result. NaN is left out.
    count : int
        How many of the best are drawn, and how many of the worst.
    unit : str
        Unit of the errors, for the titles.
    """
    order = [int(i) for i in np.argsort(errors) if np.isfinite(errors[i])]
    if not order:
        return with_caption(plt.figure(figsize=(13, 0.5)), "No visit has been registered.")
    count = min(count, len(order) // 2 or 1)
    chosen = order[:count] + order[-count:]
    words = ["best"] * count + ["worst"] * count
    titles = [
        f"{word}: {names[i]}\n{errors[i]:.2f} {unit}" for word, i in zip(words, chosen, strict=True)
    ]
    return gallery(
        [overlay(fixed, warped[i]) for i in chosen],
        titles,
        caption=f"Best (top) and worst (bottom) registered visits ({OVERLAY_CAPTION}).",
        columns=count,
    )


def flows(
    fields: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    titles: Sequence[str],
    *,
    caption: str,
    step: int = 24,
) -> Figure:
    """Draw displacement fields side by side: arrows over their lengths in one colour scale.

    Parameters
    ----------
    fields : sequence of float ndarray, shape (height, width, 2)
        Displacements (dx, dy) in pixels, from the fixed to the moving image.
    masks : sequence of bool ndarray, shape (height, width)
        Where to draw them.
    titles : sequence of str
    caption : str
    step : int
        Number of arrows along the longer side.
    """
    sizes = [
        np.where(m, np.linalg.norm(f, axis=2), np.nan) for f, m in zip(fields, masks, strict=True)
    ]
    largest = max(np.nanpercentile(size, 99) for size in sizes)
    figure, axes = plt.subplots(1, len(fields), figsize=(13, 13 / len(fields)), squeeze=False)
    for ax, field, mask, size, title in zip(axes[0], fields, masks, sizes, titles, strict=True):
        shown = ax.imshow(size, cmap="viridis", vmin=0, vmax=largest)
        every = max(max(mask.shape) // step, 1)
        rows, columns = (index[::every, ::every] for index in np.indices(mask.shape))
        inside = mask[::every, ::every]
        arrows = field[::every, ::every][inside].T
        # Arrows point to where the retina has moved, in one scale in all panels. y points down.
        scale = {"angles": "xy", "scale_units": "xy", "scale": largest / (1.5 * every)}
        ax.quiver(columns[inside], rows[inside], *arrows, color="white", width=0.004, **scale)
        ax.set_title(title, fontsize=9)
        ax.axis("off")
    bar = {"shrink": 0.7, "aspect": 30, "location": "right", "label": "displacement (px)"}
    figure.colorbar(shown, ax=axes, **bar)
    return with_caption(figure, caption)


def error_bars(ax: Axes, errors: Mapping[str, Sequence[float]], *, unit: str = "px") -> Axes:
    """Draw the errors of several methods on a logarithmic axis, with their means.

    There is one dot per visit, and a bar at the mean of each method, whose value is on the right.

    Parameters
    ----------
    ax : Axes
    errors : mapping of str to sequence of float
        The errors of all visits, by method. NaN is left out.
    unit : str
        Unit of the errors.
    """
    beside = ax.get_yaxis_transform()  # x in shares of the width, y in rows
    for row, values in enumerate(errors.values()):
        values = np.asarray(values, float)
        jitter = np.linspace(-0.15, 0.15, len(values)) if len(values) > 1 else 0
        ax.plot(values, row + jitter, "o", color="0.55", markersize=4)
        mean = np.nanmean(values)
        ax.plot([mean] * 2, [row - 0.3, row + 0.3], color="tab:blue", linewidth=3)
        ax.text(1.01, row, f"{mean:.2f}", transform=beside, va="center", fontsize=9)
    ax.set_yticks(range(len(errors)), list(errors))
    ax.invert_yaxis()
    ax.set_xscale("log")
    ax.set_xlabel(f"landmark error ({unit}); one dot per visit, bar and number: mean")
    return ax


def draw_errors(errors: Mapping[str, Sequence[float]], *, caption: str, unit: str = "px") -> Figure:
    """Draw `error_bars` as a figure of its own, with a caption.

    Parameters
    ----------
    errors
        See `error_bars`.
    caption : str
    unit
        See `error_bars`.
    """
    figure, ax = plt.subplots(figsize=(13, 1 + 0.4 * len(errors)))
    error_bars(ax, errors, unit=unit)
    return with_caption(figure, caption)
