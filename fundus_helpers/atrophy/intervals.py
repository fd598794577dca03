"""Intervals of areas and rates: what outline, registration and scale leave uncertain.

A regression over visits sees only what differs from visit to visit. If all outlines are half a
pixel too wide, it does not notice. Therefore the outlines are moved along their normals many times:
by an error that all visits share, by one of each visit, by the predicted error of the registration,
and by a larger one for young foci, which are hardly darker than their surroundings. Areas and rates
are computed anew each time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from fundus_helpers.atrophy.finding.find import SIZE
from fundus_helpers.atrophy.growth import slope
from fundus_helpers.atrophy.onset import OnsetMap
from fundus_helpers.atrophy.scale import Scale
from fundus_helpers.atrophy.shapes import measure_shape

# Standard deviations of the distance between the outline and the true border, in pixels of an image
# of 768. Measured on demo eyes with the seeds 10 to 14; `make benchmark-atrophy` uses others.
SHARED, OF_VISIT = 0.35, 0.25
YOUNG = 1.3, 0.65  # more for foci at their first and their second visit
BORDER = 0.03  # relative error of border expansion: outlines are smoother than borders
CORRELATED = 0.1  # registration errors are alike within this share of the longer side
FARTHEST = 8.0  # pixels by which an outline is moved at most
DRAWS = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Draws:
    """Areas as they might be, many times.

    Attributes
    ----------
    areas : float64 ndarray, shape (draws, visits)
        In pixels of the template's photograph on disk.
    areas_of_visits : float64 ndarray, shape (draws, visits)
        In pixels of each visit's own photograph on disk.
    moved : float64 ndarray, shape (draws, visits)
        How far the border was moved, in pixels of the template's photograph on disk, without what
        all visits share.
    lengths : float64 ndarray, shape (draws,)
        Factors by which a length in mm would change if the scale were another; 1 without a scale.
    """

    areas: np.ndarray
    areas_of_visits: np.ndarray
    moved: np.ndarray
    lengths: np.ndarray


def draw_areas(
    onset: OnsetMap,
    area_factors: list[np.ndarray],
    errors: np.ndarray,
    *,
    template_factor: float = 1.0,
    scale: Scale | None = None,
    drawn: frozenset[int] = frozenset(),
    draws: int = DRAWS,
    seed: int = 0,
) -> Draws:
    """Move the outlines of all visits many times, and measure their areas.

    Parameters
    ----------
    onset : OnsetMap
    area_factors : list of ndarray, shape (height, width)
        See `RegisteredVisits.area_factors`.
    errors : float32 ndarray, shape (visits, height, width)
        Predicted errors of the registration in pixels of the grid.
    template_factor : float
        Pixels of the template's photograph on disk per pixel of the grid.
    scale : Scale, optional
        Its uncertainty is shared by all visits.
    drawn : set of int
        Positions of the visits whose outline was drawn by a person.
    draws : int
        More are smoother and slower.
    seed : int
        The same seed gives the same numbers.

    Returns
    -------
    Draws
    """
    rng = np.random.default_rng(seed)
    visits, unit = len(onset.years), max(onset.position.shape) / SIZE
    shared = rng.normal(0, SHARED * unit, draws)
    areas, own, moved = (np.empty((draws, visits)) for _ in range(3))
    for i in range(visits):
        lesion = onset.mask(i)
        matching = _registration_error(lesion, errors[i])
        move = shared + rng.normal(0, np.hypot(OF_VISIT * unit, matching), draws)
        parts = _by_age(onset.position, i) if i not in drawn else [(lesion, 0.0)]
        moves = [move + rng.normal(0, extra * unit, draws) for _, extra in parts]
        flat = np.full(lesion.shape, template_factor**2)
        areas[:, i], own[:, i] = sum(
            _areas(part, (flat, area_factors[i]), each)
            for (part, _), each in zip(parts, moves, strict=True)
        )
        moved[:, i] = (move - shared) * template_factor
    lengths = np.exp(rng.normal(0, scale.uncertainty, draws)) if scale else np.ones(draws)
    return Draws(areas, own, moved, lengths)


def interval(values: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Return the range that holds the middle of the values.

    Parameters
    ----------
    values : float ndarray, shape (draws,)
    level : float
        Share of the values inside, for example 0.95.
    """
    if not np.isfinite(values).any():
        return np.nan, np.nan
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def rate_interval(
    years: np.ndarray, series: np.ndarray, level: float = LEVEL, *, seed: int = 0
) -> tuple[float, float]:
    """Return the interval of a rate of growth.

    Parameters
    ----------
    years : float ndarray, shape (visits,)
    series : float ndarray, shape (draws, visits)
        What grows, as it might be: one series per draw.
    level : float
        See `interval`.
    seed : int
        See `draw_areas`.

    Returns
    -------
    low : float
    high : float
        In the unit of `series` per year. The scatter of the series around its line is part of it.
        NaN with fewer than two visits.
    """
    if len(years) < 2 or not np.ptp(years) > 0:
        return np.nan, np.nan
    rates, _ = slope(years, series)
    _, scatter = slope(years, np.median(series, axis=0))
    if np.isfinite(scatter):
        free = len(years) - 2  # Student's t: the scatter itself is known from few visits only
        rates = rates + scatter * np.random.default_rng(seed).standard_t(free, len(rates))
    return interval(rates, level)


def _by_age(position: np.ndarray, i: int) -> list[tuple[np.ndarray, float]]:
    """Return the foci of a visit in groups, and the additional spread of the border of each."""
    labels, count = ndimage.label(position <= i)
    foci = np.arange(1, count + 1)
    begun = np.asarray(ndimage.minimum(position, labels, foci), int) if count else foci
    age = np.where(begun > 0, i - begun, len(YOUNG))  # those of the first visit may be old
    age = np.concatenate([[-1], np.minimum(age, len(YOUNG))])  # -1: no focus
    return [(age[labels] == number, spread) for number, spread in enumerate((*YOUNG, 0.0))]


def _areas(lesion: np.ndarray, factors: Sequence[np.ndarray], moves: np.ndarray) -> np.ndarray:
    """Return areas of a lesion whose border is moved outwards: (factors, moves in pixels)."""
    if not lesion.any():
        return np.zeros((len(factors), len(moves)))
    outside = ndimage.distance_transform_edt(~lesion)
    distance = np.where(lesion, 0.5 - ndimage.distance_transform_edt(lesion), outside - 0.5)
    near = distance <= FARTHEST
    order = np.argsort(distance[near])
    places = distance[near][order]
    # A pixel counts with the share of it that the border has passed.
    ends = [
        (border, np.searchsorted(places, border, side="right"))
        for border in (moves + 0.5, moves - 0.5)
    ]
    areas = []
    for factor in factors:
        weights = factor[near][order]
        total = np.concatenate([[0.0], np.cumsum(weights)])
        moment = np.concatenate([[0.0], np.cumsum(weights * places)])
        after, before = (border * total[number] - moment[number] for border, number in ends)
        areas.append(after - before)
    return np.array(areas)


def _registration_error(lesion: np.ndarray, error: np.ndarray) -> float:
    """Return the mean error along the normals of the border, over the whole border.

    Where it is not known on the border, that of the whole visit is taken. NaN where there is none:
    then no interval can be given.
    """
    if not lesion.any():
        return 0.0
    inner, known = lesion & ~ndimage.binary_erosion(lesion), np.isfinite(error)
    if not known.any():
        return np.nan
    known = known & inner if (known & inner).any() else known
    across = float(np.sqrt((error[known] ** 2).mean() / 2))  # one of two directions
    independent = measure_shape(lesion).perimeter / (CORRELATED * max(lesion.shape))
    return across / np.sqrt(max(independent, 1.0))
