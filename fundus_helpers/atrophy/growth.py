"""Growth of the atrophy: rates over the visits of an eye, each with its formula and source.

Rates are computed in three ways: by least squares over all visits, between the first and the last
visit, and between neighbouring visits. The standard errors are those of the regression. They are
too small: errors that all visits share, of scale, outline and registration, do not show in them.
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, nan, pi, sqrt

import numpy as np

DAYS_PER_YEAR = 365.25


@dataclass(frozen=True)
class RateKind:
    """One of the rates that are in use.

    Attributes
    ----------
    name : str
    power : int
        1: in mm/year; 2: in mm2/year.
    formula : str
        In words.
    typical, source : str
        A published value, and where its definition is found.
    """

    name: str
    power: int
    formula: str
    typical: str
    source: str


RATES: dict[str, RateKind] = {  # every rate of growth by its name in growth.json
    "area_growth": RateKind(
        "area growth",
        2,
        "change of the area per year",
        "1.86 (SD 1.12) mm2/year",
        "doi:10.1167/tvst.7.6.40",
    ),
    "square_root_growth": RateKind(
        "square-root growth",
        1,
        "change of the square root of the area per year",
        "0.33 (SD 0.21) mm/year",
        "doi:10.1167/tvst.7.6.40",
    ),
    "radius_growth": RateKind(
        "growth of the effective radius",
        1,
        "change of the square root of (area / pi) per year",
        "0.163 mm/year (95 % interval 0.158 to 0.167)",
        "doi:10.1016/j.oret.2018.01.019",
    ),
    "perimeter_adjusted_growth": RateKind(
        "perimeter-adjusted growth",
        1,
        "change of the area per year, divided by the mean perimeter",
        "0.098 (SD 0.062) mm/year",
        "PMID 33307218",
    ),
    "border_expansion": RateKind(
        "border expansion",
        1,
        "mean distance of the new border to the border before it, per year",
        "0.13 (SD 0.11) mm/year",
        "doi:10.1167/iovs.62.13.28",
    ),
}


@dataclass(frozen=True)
class Rate:
    """One rate of growth.

    Attributes
    ----------
    key : str
        Key in `RATES`.
    value : float
        In `unit`; NaN where it is not known.
    unit : str
        ``mm/year`` or ``mm2/year``; ``px/year`` or ``px2/year`` without a scale.
    standard_error : float
        Of the regression over all visits, in `unit`. NaN with fewer than three visits, and between
        two visits: a line through two points has no error that could be seen.
    first, last : datetime.date
        The visits from which to which it was measured.
    visits : int
        How many visits it was computed from.
    """

    key: str
    value: float
    unit: str
    standard_error: float
    first: datetime.date
    last: datetime.date
    visits: int

    @property
    def kind(self) -> RateKind:
        """The name, the formula, a typical value and the source of this rate."""
        return RATES[self.key]

    def __str__(self) -> str:
        """Say the rate in one line."""
        error = self.standard_error
        known = f", standard error {error:.2g}" if isfinite(error) else ""
        return (
            f"{self.kind.name}: {self.value:.3g} {self.unit} "
            f"({self.first} to {self.last}, {self.visits} visits{known})"
        )


@dataclass(frozen=True)
class Growth:
    """All rates of an eye. A rate is left out where what it is computed from was not given.

    Attributes
    ----------
    overall : dict of str to Rate
        By key of `RATES`: least squares over all visits. Empty without growth.
    first_to_last : dict of str to Rate
        Between the first and the last visit, as many studies report it.
    steps : tuple of dict of str to Rate
        Between neighbouring visits, one dict per step.
    dates : tuple of datetime.date
        The days that count: not left out, with atrophy, each once.
    areas : tuple of float
        The area at each of them.
    notes : tuple of str
        What was left out or joined, and what is not known, in plain words.
    """

    overall: dict[str, Rate]
    first_to_last: dict[str, Rate]
    steps: tuple[dict[str, Rate], ...]
    dates: tuple[datetime.date, ...]
    areas: tuple[float, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Visits:
    """What was measured at the days that count; one row per day."""

    dates: list[datetime.date]
    values: dict[str, np.ndarray]  # area, weight, and perimeter and border if they were given
    unit: str

    def __getitem__(self, rows: slice | list[int]) -> "_Visits":
        dates = np.array(self.dates, object)[rows].tolist()
        return _Visits(dates, {name: array[rows] for name, array in self.values.items()}, self.unit)


def growth_rates(
    dates: Sequence[datetime.date],
    areas: Sequence[float],
    perimeters: Sequence[float] | None = None,
    borders: Sequence[float] | None = None,
    *,
    unit: str = "mm",
    used: Sequence[bool] | None = None,
    weights: Sequence[float] | None = None,
) -> Growth:
    """Compute every rate of growth of an eye.

    Parameters
    ----------
    dates : sequence of datetime.date
        One per visit, in order.
    areas : sequence of float
        Atrophic area of each visit, in mm2, or in pixels if `unit` is ``px``. All of one modality:
        autofluorescence shows 0.18 mm2 more than colour (see `cohort.one_modality`).
    perimeters : sequence of float, optional
        See `measure_shape`.
    borders : sequence of float, optional
        How far the border has moved by each visit: see `border_distances`.
    unit : {"mm", "px"}
        Unit of lengths. All visits of a series in pixels must have one magnification.
    used : sequence of bool, optional
        False for visits to leave out. None: all are used.
    weights : sequence of float, optional
        Weights of the visits in the least squares, above 0: 1 / variance. None: all alike.

    Returns
    -------
    Growth
        With one visit, it has no rates, and says so. With two, no standard error.

    Raises
    ------
    ValueError
        If the numbers do not belong together, dates are out of order, an area is not a number or
        negative, or there is no atrophy at a visit after one with atrophy.

    Notes
    -----
    Visits of one day are joined: they count as one, with their (weighted) means, because no growth
    lies between them. Visits before the first atrophy are left out of all rates, as reading
    centres do: the atrophy began at an unknown time after them, and a line that starts at 0 at the
    last of them would make the growth too slow.

    Examples
    --------
    >>> from datetime import date
    >>> from fundus_helpers.atrophy.growth import growth_rates
    >>> dates = date(2018, 3, 1), date(2019, 3, 1), date(2020, 2, 29)
    >>> found = growth_rates(dates, [4.0, 6.3, 9.0])
    >>> print(found.overall["square_root_growth"])
    square-root growth: 0.5 mm/year (2018-03-01 to 2020-02-29, 3 visits, standard error 0.0058)
    >>> growth_rates(dates[:1], [4.0]).notes
    ('one visit: its area is known, but no growth; a second visit is needed',)
    """
    if unit not in ("mm", "px"):
        raise ValueError(f"the unit of lengths must be mm or px, not {unit!r}")
    given = {"area": areas, "weight": weights, "perimeter": perimeters, "border": borders}
    columns = {
        name: np.asarray(column, float) for name, column in given.items() if column is not None
    }
    columns.setdefault("weight", np.ones(len(dates)))
    keep = np.ones(len(dates), bool) if used is None else np.asarray(used, bool)
    _refuse_wrong(list(dates), columns, keep)
    visits = _Visits(list(dates), columns, unit)[np.flatnonzero(keep).tolist()]
    notes = [] if keep.all() else [f"{_count((~keep).sum())} left out"]
    visits, told = _since_first_atrophy(visits)
    visits, joined = _days(visits)
    notes += told + joined + _what_is_not_known(visits)
    few = len(visits.dates) < 2
    return Growth(
        {} if few else _rates(visits),
        {} if few else _rates(visits[[0, -1]]),
        tuple(_rates(visits[[i, i + 1]]) for i in range(len(visits.dates) - 1)),
        tuple(visits.dates),
        tuple(visits.values["area"].tolist()),
        tuple(notes),
    )


def years_since_first(dates: Sequence[datetime.date]) -> np.ndarray:
    """Convert dates to years since the first of them: days / 365.25.

    Parameters
    ----------
    dates : sequence of datetime.date

    Returns
    -------
    float ndarray
        One per date.

    Examples
    --------
    >>> from datetime import date
    >>> from fundus_helpers.atrophy.growth import years_since_first
    >>> years_since_first([date(2018, 1, 1), date(2022, 1, 1)])
    array([0., 4.])
    """
    return np.array([(date - dates[0]).days / DAYS_PER_YEAR for date in dates])


def slope(
    times: Sequence[float], values: np.ndarray, weights: Sequence[float] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a line by (weighted) least squares, and return how steep it is.

    Parameters
    ----------
    times : sequence of float, length n
        At least two different times.
    values : array_like, shape (..., n)
        One series, or many at once.
    weights : sequence of float, length n, optional
        1 / variance, up to one common factor. None: all alike.

    Returns
    -------
    slope : float ndarray, shape (...)
    standard_error : float ndarray, shape (...)
        The ordinary standard error of the regression, from the scatter around the line; NaN with
        fewer than three values.

    Examples
    --------
    >>> from fundus_helpers.atrophy.growth import slope
    >>> rate, error = slope([0, 1, 2], [1.0, 2.0, 3.0])
    >>> float(rate), float(error)
    (1.0, 0.0)
    """
    times, values = np.asarray(times, float), np.asarray(values, float)
    weights = np.ones(len(times)) if weights is None else np.asarray(weights, float)
    centred = times - np.average(times, weights=weights)
    spread = (weights * centred**2).sum()
    if not spread > 0:
        raise ValueError("a line needs two different times; give visits of at least two days")
    rate = (weights * centred * values).sum(axis=-1) / spread
    if len(times) < 3:
        return rate, np.full_like(rate, nan)
    middle = np.average(values, weights=weights, axis=-1)
    rest = values - middle[..., None] - rate[..., None] * centred
    return rate, np.sqrt((weights * rest**2).sum(axis=-1) / (len(times) - 2) / spread)


def _rates(visits: _Visits) -> dict[str, Rate]:
    """Compute each rate for which the numbers were given."""
    times, values, weights = years_since_first(visits.dates), visits.values, visits.values["weight"]
    root = np.sqrt(values["area"])
    series = {
        "area_growth": values["area"],
        "square_root_growth": root,
        "radius_growth": root / sqrt(pi),
    }
    if "perimeter" in values:
        mean = values["perimeter"].mean()
        series["perimeter_adjusted_growth"] = values["area"] / (mean or nan)
    if "border" in values:
        series["border_expansion"] = values["border"]
    rates = {}
    for key, column in series.items():
        value, error = map(float, slope(times, column, weights))
        unit = f"{visits.unit}{'2' if RATES[key].power == 2 else ''}/year"
        ends = visits.dates[0], visits.dates[-1]
        rates[key] = Rate(key, value, unit, error, *ends, len(visits.dates))
    return rates


def _since_first_atrophy(visits: _Visits) -> tuple[_Visits, list[str]]:
    areas = visits.values["area"]
    if not areas.any():
        return visits[[]], ["no atrophy at any visit, so that nothing grows"] if len(areas) else []
    first = int(np.flatnonzero(areas)[0])
    if gone := [date for date, area in zip(visits.dates, areas, strict=True) if not area][first:]:
        raise ValueError(
            f"no atrophy at {gone[0]}, but at {visits.dates[first]} before it: atrophy does not "
            "heal; correct one of the two outlines, or leave the visit out"
        )
    note = f"{_count(first)} without atrophy left out: growth is that since {visits.dates[first]}"
    return visits[slice(first, None)], [note] if first else []


def _days(visits: _Visits) -> tuple[_Visits, list[str]]:
    """Join visits of one day into one, with their means."""
    days = sorted(set(visits.dates))
    if len(days) == len(visits.dates):
        return visits, []
    rows = [[i for i, date in enumerate(visits.dates) if date == day] for day in days]
    weights = visits.values["weight"]
    joined = {
        name: np.array([np.average(array[row], weights=weights[row]) for row in rows])
        for name, array in visits.values.items()
    }
    joined["weight"] = np.array([weights[row].sum() for row in rows])
    several = ", ".join(str(day) for day, row in zip(days, rows, strict=True) if len(row) > 1)
    return _Visits(days, joined, visits.unit), [f"visits of one day joined: {several}"]


def _what_is_not_known(visits: _Visits) -> list[str]:
    number = len(visits.dates)
    if number == 1:
        return ["one visit: its area is known, but no growth; a second visit is needed"]
    notes = []
    if number == 2:
        notes.append("two visits: the regression cannot know its own error; three are needed")
    if "border" in visits.values and np.isnan(visits.values["border"]).any():
        notes.append("the border could not be followed through all visits")
    return notes


def _refuse_wrong(
    dates: list[datetime.date], columns: dict[str, np.ndarray], used: np.ndarray
) -> None:
    for name, column in {**columns, "used": used}.items():
        if column.shape != (len(dates),):
            raise ValueError(
                f"{len(dates)} dates, but {name} has the shape {column.shape}; give one for each "
                "visit"
            )
    for before, after in zip(dates[:-1], dates[1:], strict=True):
        if after < before:
            raise ValueError(f"the visit of {after} comes after that of {before}; sort the visits")
    for name, least in (("area", 0), ("perimeter", 0), ("weight", np.nextafter(0, 1))):
        values = columns.get(name, np.ones(len(dates)))
        for date, value, counts in zip(dates, values, used, strict=True):
            if counts and not (isfinite(value) and value >= least):
                raise ValueError(
                    f"the {name} of the visit of {date} is {value:g}; give a number "
                    f"{'above 0' if least else 'of 0 or more'}, or leave the visit out"
                )


def _count(visits: int) -> str:
    return f"{visits} visit{'' if visits == 1 else 's'}"
