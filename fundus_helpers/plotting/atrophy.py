"""Figures of the atrophy of one eye: where and when it grew, and how sure that is."""

import datetime
from collections.abc import Iterable, Mapping

import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch

from fundus_helpers.atrophy.border import border_expansion
from fundus_helpers.atrophy.eye import Atrophy
from fundus_helpers.atrophy.growth import DAYS_PER_YEAR
from fundus_helpers.atrophy.intervals import interval
from fundus_helpers.atrophy.shapes import border_lines
from fundus_helpers.atrophy.zones import zone_shares
from fundus_helpers.plotting.figures import show, with_caption
from fundus_helpers.plotting.pictures import brightened

# The dark end of viridis cannot be seen on dark atrophy. White is not in viridis at all.
LATER = ListedColormap(plt.get_cmap("viridis")(np.linspace(0.2, 1, 256)), "later")
AT_FIRST = "white"
HEALED = "#D55E00"  # vermilion, which people who cannot tell red from green see as well
BLUE, GREY = "#0072B2", "0.45"
MARGIN = 0.15  # of the atrophy's size, around it
NOTHING = "No atrophy was found at any visit."


def onset_map(atrophy: Atrophy) -> Figure:
    """Draw when each point of the retina became atrophic, over the last photograph.

    Parameters
    ----------
    atrophy : Atrophy

    Returns
    -------
    Figure
        What was atrophic at the first visit already is white.
    """
    figure, ax = _over_last(atrophy)
    onset, first = atrophy.onset.onset(), atrophy.onset.mask(0)
    later = np.isfinite(onset) & ~first
    days, norm = _days_since(atrophy, onset), _norm(atrophy)
    shown = ax.imshow(np.where(later, days, np.nan), cmap=LATER, norm=norm, alpha=0.85)
    if first.any():
        white = np.zeros((*first.shape, 4))
        white[first] = 1, 1, 1, 0.85
        ax.imshow(white)
        _legend(ax, [Patch(facecolor=AT_FIRST, edgecolor="black", label=_at_first(atrophy))])
    if later.any():
        _date_bar(figure, ax, shown, "became atrophic")
    words = f"When each point of the retina became atrophic, over {_last_name(atrophy)}."
    if atrophy.none:
        words = f"{_last_name(atrophy)}. {NOTHING}"
    return with_caption(figure, words)


def isochrones(atrophy: Atrophy) -> Figure:
    """Draw the outlines of all visits over the last photograph.

    Parameters
    ----------
    atrophy : Atrophy
    """
    figure, ax = _over_last(atrophy)
    norm, dates = _norm(atrophy), atrophy.visits.dates
    for i, date in enumerate(dates):
        colour = AT_FIRST if i == 0 else LATER(norm(mdates.date2num(date)))
        ax.add_collection(
            LineCollection(border_lines(atrophy.onset.mask(i)), colors=[colour], linewidths=1.3)
        )
    if atrophy.onset.mask(0).any():
        _legend(ax, [Line2D([], [], color=AT_FIRST, label=_at_first(atrophy))], "0.3", "white")
    if len(dates) > 1 and not atrophy.none:
        _date_bar(figure, ax, ScalarMappable(norm, LATER), "outline at")
    words = f"The outlines of all visits over {_last_name(atrophy)}: one line per visit."
    return with_caption(figure, NOTHING if atrophy.none else words)


def growth_curve(
    atrophy: Atrophy,
    left_out: Mapping[datetime.date, str] | Iterable[datetime.date] = (),
    *,
    truth: np.ndarray | None = None,
) -> Figure:
    """Draw the area and its square root against the date, with intervals and fitted lines.

    Parameters
    ----------
    atrophy : Atrophy
    left_out : dates
        Dates of the visits that are left out. They are marked on the axis.
    truth : float ndarray, shape (visits,), optional
        True areas, in the unit of `atrophy`, if they are known.

    Returns
    -------
    Figure
        Two panels. The band holds the true value of each visit with a probability of 95 %.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.6), layout="constrained")
    for ax, key, power in zip(axes, ("area_growth", "square_root_growth"), (1.0, 0.5), strict=True):
        _draw_measured(ax, atrophy, power)
        if truth is not None:
            ax.plot(atrophy.visits.dates, truth**power, "x", color="black", label="true")
        _draw_fit(ax, atrophy, key, power)
        for place, date in enumerate(sorted(left_out)):
            ax.axvline(date, color=GREY, linestyle=":", label="" if place else "left out")
        ax.set_ylim(bottom=0)
        locator = mdates.AutoDateLocator(minticks=3)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator))
        ax.legend(fontsize=9, loc="upper left", framealpha=0.9)
    axes[0].set_ylabel(f"area ({atrophy.unit}²)")
    axes[1].set_ylabel(f"square root of the area ({atrophy.unit})")
    words = "Growth. The band is the 95 % interval of each visit: outline, registration and scale."
    return with_caption(figure, NOTHING if atrophy.none else words)


def expansion_map(atrophy: Atrophy, *, least_years: float = 0.9) -> Figure:
    """Draw how fast the border moved, along the border.

    Parameters
    ----------
    atrophy : Atrophy
    least_years : float
        Borders at least so many years apart are compared: over a shorter time, the error of an
        outline is as large as its growth.
    """
    figure, ax = _over_last(atrophy)
    years = atrophy.onset.years
    chain = [len(years) - 1]
    while earlier := [i for i in range(chain[-1]) if years[chain[-1]] - years[i] >= least_years]:
        chain.append(earlier[-1])
    moved = [
        border_expansion(
            atrophy.onset.mask(before),
            atrophy.onset.mask(after),
            years[after] - years[before],
            atrophy.length_unit,
            seen=atrophy.onset.seen,
        )
        for after, before in zip(chain[:-1], chain[1:], strict=True)
    ]
    rates = np.concatenate([np.empty(0), *(each.rates for each in moved)])
    if not len(rates):
        return with_caption(figure, f"No border can be followed over {least_years:g} years.")
    points = np.concatenate([each.points for each in moved])
    norm = Normalize(0, max(float(np.percentile(rates, 95)), 1e-6))
    shown = ax.scatter(*points.T, c=rates, s=4, cmap="cividis", norm=norm, linewidths=0)
    bar = {"shrink": 0.8, "extend": "both", "label": f"border expansion ({atrophy.unit}/year)"}
    figure.colorbar(shown, ax=ax, **bar)
    dates = ", ".join(atrophy.visits.dates[i].isoformat() for i in reversed(chain[:-1]))
    words = (
        f"How fast the border moved to where it was at {dates}: each border against the one drawn "
        f"before it (the first against {atrophy.visits.dates[chain[-1]]}). New foci are left out."
    )
    return with_caption(figure, words)


def healed_map(atrophy: Atrophy) -> Figure:
    """Draw the points that one visit shows as atrophic and a later visit as healthy.

    Parameters
    ----------
    atrophy : Atrophy
    """
    figure, ax = _over_last(atrophy)
    places = atrophy.onset.healed_places
    colour = np.zeros((*places.shape, 4))
    colour[places] = (*(int(HEALED[i : i + 2], 16) / 255 for i in (1, 3, 5)), 0.9)
    ax.imshow(colour)
    last = border_lines(atrophy.onset.last)
    ax.add_collection(LineCollection(last, colors=["white"], linewidths=1))
    share = f"{atrophy.onset.healed:.1%}".replace("%", " %")
    words = (
        "Red: points that one visit shows as atrophic and a later visit as healthy (healed share: "
        f"{share} of the last lesion). White: the last outline. Atrophy does not heal, so red is "
        "an error of a visit."
    )
    return with_caption(figure, NOTHING if atrophy.none else words)


def zone_map(atrophy: Atrophy, laterality: str) -> Figure:
    """Draw the share of each zone of the ETDRS grid that is atrophic, at every visit.

    Parameters
    ----------
    atrophy : Atrophy
        With the fovea among its hints, and with a scale.
    laterality : {"L", "R"}

    Raises
    ------
    ValueError
        If the fovea or the scale is not known.
    """
    fovea, pixel = atrophy.hints.fovea, atrophy.mm_per_pixel
    if fovea is None or pixel is None:
        raise ValueError("zones need the fovea and a scale; give fovea and mm_per_pixel")
    figure, (ax, table) = plt.subplots(
        1, 2, figsize=(11, 5), width_ratios=(1, 1.2), layout="constrained"
    )
    _draw_grid(ax, atrophy, fovea, pixel)
    seen = atrophy.onset.seen
    zones = [zone_shares(mask, fovea, laterality, pixel, seen=seen) for mask in atrophy.onset.masks]
    shares = np.array([[100 * zone.share for zone in visit] for visit in zones]).T
    shown = table.imshow(shares, cmap="cividis", vmin=0, vmax=100, aspect="auto")
    for row, column in zip(*np.isfinite(shares).nonzero(), strict=True):
        share = shares[row, column]
        colour = "black" if share > 50 else "white"
        table.text(column, row, f"{share:.0f}", ha="center", va="center", color=colour, size=8)
    table.set_yticks(range(len(shares)), [zone.name for zone in zones[0]])
    dates = [date.isoformat()[:7] for date in atrophy.visits.dates]
    table.set_xticks(range(len(dates)), dates, rotation=60, ha="right", fontsize=8)
    figure.colorbar(shown, ax=table, label="atrophic (% of what was seen of the zone)")
    words = "Left: last outline and ETDRS grid (1, 3 and 6 mm). Right: share of each zone in %."
    return with_caption(figure, words)


def _draw_grid(ax: Axes, atrophy: Atrophy, fovea: tuple[float, float], pixel: float) -> None:
    """Draw the ETDRS grid and the last outline over the last photograph."""
    show(ax, brightened(atrophy.visits.images[-1])[0])
    ax.set_autoscale_on(False)
    last = border_lines(atrophy.onset.last)
    ax.add_collection(LineCollection(last, colors=["#F0E442"], linewidths=1.2))
    for diameter in (1, 3, 6):
        radius = diameter / 2 / pixel
        ax.add_patch(Circle(fovea, radius, fill=False, edgecolor="white", linewidth=1))
    ends = np.array([0.5, 3.0]) / pixel  # of the lines between the quarters
    for angle in np.radians((45, 135, 225, 315)):
        ax.plot(fovea[0] + ends * np.cos(angle), fovea[1] + ends * np.sin(angle), "w-", lw=1)


def _over_last(atrophy: Atrophy) -> tuple[Figure, Axes]:
    """Draw the last photograph, cut out around the atrophy and what contradicts it."""
    image = brightened(atrophy.visits.images[-1])[0]
    height, width = image.shape
    figure, ax = plt.subplots(figsize=(9, 6.5), layout="constrained")
    show(ax, image)
    drawn = atrophy.onset.last | atrophy.onset.healed_places
    if drawn.any():
        rows, columns = (np.flatnonzero(drawn.any(axis=axis)) for axis in (1, 0))
        margin = MARGIN * max(np.ptp(rows), np.ptp(columns), 0.2 * max(image.shape))
        ax.set_xlim(max(columns[0] - margin, -0.5), min(columns[-1] + margin, width - 0.5))
        ax.set_ylim(min(rows[-1] + margin, height - 0.5), max(rows[0] - margin, -0.5))
    ax.set_autoscale_on(False)
    return figure, ax


def _draw_measured(ax: Axes, atrophy: Atrophy, power: float) -> None:
    dates, values = atrophy.visits.dates, atrophy.areas**power
    low, high = np.array([interval(areas) for areas in atrophy.drawn_areas.T]).T ** power
    if len(dates) > 1:
        ax.fill_between(dates, low, high, color=BLUE, alpha=0.25, label="95 % interval")
    else:  # a band needs two visits
        ax.vlines(dates, low, high, color=BLUE, alpha=0.5, linewidth=4, label="95 % interval")
    ax.plot(dates, values, "o", color=BLUE, label="measured")


def _draw_fit(ax: Axes, atrophy: Atrophy, key: str, power: float) -> None:
    rate = atrophy.growth.overall.get(key)
    if rate is None or not np.isfinite(rate.value):
        return
    days = mdates.date2num(atrophy.growth.dates)
    middle = np.mean(np.asarray(atrophy.growth.areas) ** power)
    ends = days[[0, -1]]
    line = middle + rate.value * (ends - days.mean()) / DAYS_PER_YEAR
    label = f"fitted: {rate.value:.3g} {rate.unit.replace('2', '²')}"
    ax.plot(mdates.num2date(ends), line, "--", color="black", linewidth=1, label=label)


def _days_since(atrophy: Atrophy, years: np.ndarray) -> np.ndarray:
    return mdates.date2num(atrophy.visits.dates[0]) + years * DAYS_PER_YEAR


def _norm(atrophy: Atrophy) -> Normalize:
    first, last = mdates.date2num([atrophy.visits.dates[0], atrophy.visits.dates[-1]])
    return Normalize(first, max(last, first + 1))


def _date_bar(figure: Figure, ax: Axes, shown: ScalarMappable, label: str) -> None:
    locator = mdates.AutoDateLocator()
    form = mdates.AutoDateFormatter(locator)
    form.scaled[365.0] = "%Y"
    form.scaled[30.0] = "%Y-%m"
    figure.colorbar(shown, ax=ax, shrink=0.8, ticks=locator, format=form, label=label)


def _legend(
    ax: Axes, handles: list[Patch | Line2D], background: str = "white", words: str = "black"
) -> None:
    box = {"loc": "lower right", "fontsize": 9, "framealpha": 0.9}
    ax.legend(handles=handles, facecolor=background, labelcolor=words, **box)


def _at_first(atrophy: Atrophy) -> str:
    return f"at the first visit ({atrophy.visits.dates[0]})"


def _last_name(atrophy: Atrophy) -> str:
    return f"the photograph of {atrophy.visits.dates[-1]}"
