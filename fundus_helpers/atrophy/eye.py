"""The atrophy of one eye: onset map, outlines, areas and growth, with what they rest on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from fundus_helpers import transforms
from fundus_helpers.atrophy.border import border_distances
from fundus_helpers.atrophy.finding.find import SIZE, Found, find_atrophy
from fundus_helpers.atrophy.finding.hints import Hints
from fundus_helpers.atrophy.growth import RATES, Growth, growth_rates
from fundus_helpers.atrophy.intervals import BORDER, Draws, draw_areas, interval, rate_interval
from fundus_helpers.atrophy.onset import OnsetMap
from fundus_helpers.atrophy.outlines import Outline
from fundus_helpers.atrophy.registered import RegisteredVisits
from fundus_helpers.atrophy.scale import Scale, best_scale, scale_from_header, scale_given
from fundus_helpers.atrophy.shapes import LEAST_FOCUS_PX, SMOOTHING_PX, Shape, measure_shape
from fundus_helpers.atrophy.verdict import doubts_of, is_outline, verdict_of
from fundus_helpers.atrophy.zones import central_residual_radius, fovea_distance
from fundus_helpers.loading.eye import Eye
from fundus_helpers.loading.visits.headers import header_of
from fundus_helpers.metrics.verdict import FAILED

TABLE = "table of visits"  # where a scale comes from that is not that of the header


@dataclass(frozen=True)
class Atrophy:
    """The atrophy of one eye over all registered visits.

    Attributes
    ----------
    visits : RegisteredVisits
    onset : OnsetMap
    scale : Scale or None
        Of the template's photograph on disk; None if it is not known.
    hints : Hints
        In pixels of the grid (`loading.Eye.images`).
    found_by : tuple of str
        How the outline of each visit was found.
    remarks : tuple of str
        What is to be told about the series as a whole.
    """

    visits: RegisteredVisits
    onset: OnsetMap
    scale: Scale | None
    hints: Hints
    found_by: tuple[str, ...]
    remarks: tuple[str, ...] = ()

    @property
    def none(self) -> bool:
        """Whether no atrophy was found at any visit, although it could have been."""
        return not self.onset.last.any() and self.verdict[0] != FAILED

    @property
    def verdict(self) -> tuple[str, tuple[str, ...]]:
        """``accepted``, ``doubtful`` or ``failed``, with the reasons in plain words."""
        return verdict_of(self.onset, self.visits, self.hints, self.found_by)

    @property
    def mm_per_pixel(self) -> float | None:
        """Millimetres per pixel of the grid; None if the scale is not known."""
        return self.scale and self.scale.mm_per_pixel * self.visits.template_factor

    @property
    def unit(self) -> str:
        """``mm``, or ``px`` (of the template's photograph on disk) without a scale."""
        return "px" if self.scale is None else "mm"

    @property
    def length_unit(self) -> float:
        """What a length of one pixel of the grid is in `unit`."""
        return self.mm_per_pixel or self.visits.template_factor

    @cached_property
    def shapes(self) -> list[Shape]:
        """The shape of the outline of every visit, on the grid, in `unit`."""
        unit, limits = self.length_unit, {}
        if self.scale is None:
            size_ratio = max(self.visits.shape) / SIZE
            limits = {"smoothing": SMOOTHING_PX * unit}
            limits["least_focus"] = LEAST_FOCUS_PX * (size_ratio * unit) ** 2
        shapes = (measure_shape(mask, unit, **limits) for mask in self.onset.masks)
        return [replace(shape, unit=self.unit) for shape in shapes]

    @cached_property
    def draws(self) -> Draws:
        """Areas as they might be; see `draw_areas`."""
        drawn = {i for i, how in enumerate(self.found_by) if is_outline(how)}
        return draw_areas(
            self.onset,
            self.visits.area_factors,
            self.visits.errors,
            template_factor=self.visits.template_factor,
            scale=self.scale,
            drawn=frozenset(drawn),
        )

    @cached_property
    def drawn_areas(self) -> np.ndarray:
        """Areas as they might be, in the unit of `areas`: float64, shape (draws, visits)."""
        pixel = self.length_unit / self.visits.template_factor
        return self.draws.areas * pixel**2 * self.draws.lengths[:, None] ** 2

    @cached_property
    def borders(self) -> np.ndarray:
        """How far the border has moved by each visit, in `unit`; see `border_distances`."""
        return border_distances(self.onset.masks, self.length_unit, seen=self.onset.seen)

    @cached_property
    def areas(self) -> np.ndarray:
        """Area at every visit in mm2, or in pixels of the template without a scale (float64)."""
        pixels = self.onset.masks.sum(axis=(1, 2))
        return pixels * self.length_unit**2

    @cached_property
    def growth(self) -> Growth:
        """All rates of growth; see `growth_rates`."""
        perimeters = [shape.perimeter for shape in self.shapes]
        return growth_rates(self.visits.dates, self.areas, perimeters, self.borders, unit=self.unit)

    def table(self) -> pd.DataFrame:
        """Return the numbers of every visit, used or left out: one row per visit.

        Returns
        -------
        DataFrame
            The columns of ``atrophy.csv`` (docs/results.md). Areas in ``area_px`` are in pixels of
            the visit's own photograph on disk; columns in mm are empty without a scale.
        """
        status, reasons = self.verdict
        refused = {"reason": "; ".join(reasons)}
        rows = [
            self._visit(i) | (refused if status == FAILED else self._numbers(i))
            for i in range(len(self.visits.names))
        ]
        rows += [
            {"visit": name, "date": self.visits.dates_left_out.get(name), "reason": why}
            for name, why in self.visits.left_out.items()
        ]
        return pd.DataFrame(rows, columns=COLUMNS)

    def _visit(self, i: int) -> dict[str, object]:
        """Return what is known of a visit before anything is measured."""
        return {
            "visit": self.visits.names[i],
            "file": self.visits.files[i],
            "date": self.visits.dates[i].isoformat(),
            "years": round(float(self.onset.years[i]), 4),
            "modality": self.visits.modality,
            "scale": "" if self.scale is None else str(self.scale),
            "verdict": self.verdict[0],
        }

    def _numbers(self, i: int) -> dict[str, object]:
        """Return what is measured at a visit."""
        mask, shape = self.onset.mask(i), self.shapes[i]
        low, high = interval(self.draws.areas_of_visits[:, i])
        row = {
            "area_px": float((self.visits.area_factors[i] * mask).sum()),
            "area_low_px": low,
            "area_high_px": high,
            "foci": len(shape.foci),
            "perimeter_px": self._perimeter_px(i),
            "found_by": self.found_by[i],
            "reason": "",
        }
        if self.scale is not None:
            row["area_mm2"] = float(self.areas[i])
            row["area_low_mm2"], row["area_high_mm2"] = interval(self.drawn_areas[:, i])
            row["square_root_area_mm"] = float(np.sqrt(self.areas[i]))
            row["perimeter_mm"] = shape.perimeter
        row["effective_radius"] = shape.effective_radius
        row["circularity"] = shape.circularity
        if self.hints.fovea is not None:
            row["distance_to_fovea_mm"] = self._in_mm(fovea_distance(mask, self.hints.fovea))
            row["central_residual_radius_mm"] = central_residual_radius(
                mask, self.hints.fovea, self.mm_per_pixel, seen=self.onset.seen
            )
        return row

    def _in_mm(self, pixels: float) -> float | None:
        return None if self.mm_per_pixel is None else pixels * self.mm_per_pixel

    def _perimeter_px(self, i: int) -> float:
        factor = self.visits.template_factor * self.visits.magnification(i)
        return self.shapes[i].perimeter / self.length_unit * factor

    def rates(self) -> list[dict[str, object]]:
        """Return every rate with its interval: a list of plain values for ``growth.json``.

        Returns
        -------
        list of dict
            ``name``, ``value``, ``low`` and ``high`` of the 95 % interval, ``unit``,
            ``standard_error`` of the regression alone, ``formula``, ``typical``, ``source``,
            ``first``, ``last`` and ``visits``.
        """
        rows = []
        for key, rate in self.growth.overall.items():
            low, high = self._rate_interval(key)
            kind = RATES[key]
            rows.append(
                {
                    "key": key,
                    "name": kind.name,
                    "value": rate.value,
                    "low": low,
                    "high": high,
                    "unit": rate.unit,
                    "standard_error": rate.standard_error,
                    "formula": kind.formula,
                    "typical": kind.typical,
                    "source": kind.source,
                    "first": rate.first.isoformat(),
                    "last": rate.last.isoformat(),
                    "visits": rate.visits,
                }
            )
        return rows

    def _rate_interval(self, key: str) -> tuple[float, float]:
        """Return the 95 % interval of a rate, from draws of areas, borders and the scale."""
        counted = [i for i, area in enumerate(self.areas) if area > 0]
        years = self.onset.years[counted]
        pixel = self.length_unit / self.visits.template_factor
        lengths = self.draws.lengths[:, None]
        areas = self.drawn_areas[:, counted]
        if key == "border_expansion":
            moved = self.draws.moved[:, counted] * pixel
            outline = np.random.default_rng(1).normal(1, BORDER, lengths.shape)
            series = (self.borders[counted] + moved) * lengths * outline
        elif key == "area_growth":
            series = areas
        elif key == "perimeter_adjusted_growth":
            perimeters = np.array([self.shapes[i].perimeter for i in counted])
            series = areas / (perimeters.mean() * lengths)
        else:
            series = np.sqrt(areas / (np.pi if key == "radius_growth" else 1.0))
        return rate_interval(years, series)

    def mask_of(self, i: int, shape: tuple[int, int]) -> np.ndarray:
        """Return the outline of a visit on the grid of its own photograph on disk.

        Parameters
        ----------
        i : int
            Position of the visit.
        shape : (height, width)
            Shape of that photograph.

        Returns
        -------
        bool ndarray of that shape
        """
        back = transforms.invert_smooth(self.visits.transforms[i], self.visits.shape)
        full = transforms.rescale(back, self.visits.factors[i], 1.0)
        return transforms.warp_mask(self.onset.mask(i), full, shape)


COLUMNS = (
    *("visit", "file", "date", "years", "area_px", "area_low_px", "area_high_px"),
    *("area_mm2", "area_low_mm2", "area_high_mm2", "square_root_area_mm", "foci"),
    *("perimeter_mm", "perimeter_px", "effective_radius", "circularity"),
    *("distance_to_fovea_mm", "central_residual_radius_mm"),
    *("modality", "found_by", "scale", "verdict", "reason"),
)


def follow_atrophy(
    visits: RegisteredVisits,
    *,
    scale: Scale | None = None,
    hints: Hints | None = None,
    outlines: Mapping[str, Outline] | None = None,
    remarks: Iterable[str] = (),
) -> Atrophy:
    """Follow the atrophy of an eye over its registered visits.

    Parameters
    ----------
    visits : RegisteredVisits
    scale : Scale, optional
        Of the template's photograph on disk; see `scale_of`.
    hints : Hints, optional
        What a person knows, in pixels of the grid.
    outlines : mapping of str to Outline, optional
        Outlines that were drawn, by name of the photograph; see `read_outlines`.
    remarks : iterable of str
        What is to be told beside the results, for example of outlines that cannot be used.

    Returns
    -------
    Atrophy

    Raises
    ------
    EyeError
        If a hint lies outside the image.
    """
    hints, outlines = hints or Hints(), outlines or {}
    drawn = visits.outlines_on_grid(outlines)
    found = find_atrophy(
        visits.images, visits.masks, hints=hints, outlines=drawn, modality=visits.modality
    )
    onset = onset_of(found, visits)
    by = tuple(_found_by(i, outlines.get(file), hints) for i, file in enumerate(visits.files))
    return Atrophy(visits, onset, scale, hints, by, (*remarks, *doubts_of(found, visits, by)))


def onset_of(found: Found, visits: RegisteredVisits) -> OnsetMap:
    """Return the onset map of what was found on registered visits."""
    healed = found.healed, found.healed_places
    return OnsetMap(found.onset, visits.years, found.seen, *healed, found.too_noisy)


def _found_by(i: int, outline: Outline | None, hints: Hints) -> str:
    if outline is not None:
        return f"outline ({outline.source})"
    words = {"ellipse": hints.ellipse, "fovea": hints.fovea, "first visit free": hints.first_free}
    given = [name for name, value in words.items() if value]
    if i in hints.strokes:
        given.append("corrected by hand")
    return "found" + (f" ({', '.join(given)})" if given else "")


def scale_of(eye: Eye, visits: RegisteredVisits, given: Scale | None = None) -> Scale | None:
    """Choose the scale of the template from what was given, the table of visits and the headers.

    Parameters
    ----------
    eye : Eye
    visits : RegisteredVisits
        Their magnification converts the scale of a visit into that of the template.
    given : Scale, optional
        Of the template's photograph on disk.

    Returns
    -------
    Scale or None
        None if nothing is known.

    Raises
    ------
    ValueError
        If two scales contradict each other.
    """
    candidates = [given]
    for i, position in enumerate(visits.positions):
        known = eye.used["mm_per_pixel"][position]
        if known is not None and known == known:
            header = header_of(eye.folder / visits.files[i])
            of_header = header is not None and header.mm_per_pixel == known
            scale = scale_from_header(known) if of_header else scale_given(known, source=TABLE)
            candidates.append(scale.scaled(visits.magnification(i)))
    return best_scale(candidates)
