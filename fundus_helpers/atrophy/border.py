"""How far the border of the atrophy moved between two visits, as a mean and place by place.

Both masks lie in one frame: the visits are registered. Several definitions are in use. Here it is
that of Shen et al. (doi:10.1167/iovs.62.13.28): the distance of every point of the new border to
the border at baseline, and the mean of these. It is right wherever a border moves by the same
distance everywhere, whatever the shape: also where two foci merge, and where a spared island
closes. The distance of every point of the old border to the new one is not: between foci that have
merged, no new border is left nearby. The change of the area divided by the mean perimeter (see
`growth_rates`) needs no registration, but counts the gap between merging foci as growth of the
border, and new foci too.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite, nan

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from fundus_helpers.atrophy.shapes import (
    border_lines,
    checked_mask,
    label_foci,
    least_area_of_a_focus,
    smoothing_in_pixels,
)

_STEP = 0.25  # px between points of the baseline border
_MARGIN = 2  # px; nearer to the edge of the field of view, a border is that of the field


@dataclass(frozen=True)
class BorderExpansion:
    """How far the border moved between two visits.

    Attributes
    ----------
    distance : float
        Mean over the new border of its distance to the border at baseline, in `unit`; NaN where
        `note` says why.
    years : float
        Time between the two visits.
    points : float ndarray, shape (n, 2)
        Points (x, y) of the new border, in pixels.
    distances : float ndarray, shape (n,)
        How far the border moved to each of them, in `unit`; negative where it withdrew.
    lengths : float ndarray, shape (n,)
        Length of the border that each point stands for, in `unit`: the weights of a mean.
    new_foci : int
        Foci of the later visit that are not connected with the baseline. Their borders are left
        out, as they have come from nowhere.
    new_area : float
        Area of all of them, also of those too small to be counted, in `unit` squared.
    unit : {"mm", "px"}
    note : str
        Why there is no distance, or empty.
    """

    distance: float
    years: float
    points: np.ndarray
    distances: np.ndarray
    lengths: np.ndarray
    new_foci: int
    new_area: float
    unit: str
    note: str = ""

    @property
    def rate(self) -> float:
        """Mean border expansion per year; 0.13 (SD 0.11) mm/year (doi:10.1167/iovs.62.13.28)."""
        return self.distance / self.years

    @property
    def rates(self) -> np.ndarray:
        """Local border expansion per year: 0.10 mm/year at the fovea, 0.24 at 3.5 mm from it."""
        return self.distances / self.years


def border_expansion(
    baseline: np.ndarray,
    later: np.ndarray,
    years: float,
    mm_per_pixel: float | None = None,
    *,
    seen: np.ndarray | None = None,
    smoothing: float | None = None,
    least_focus: float | None = None,
) -> BorderExpansion:
    """Measure how far the border of the atrophy moved between two visits.

    Parameters
    ----------
    baseline, later : bool ndarray, shape (height, width)
        Masks of two visits in one frame, True where the retina is atrophic.
    years : float
        Time between the visits.
    mm_per_pixel : float, optional
        Scale of the frame. None: everything in pixels.
    seen : bool ndarray, shape (height, width), optional
        True where both visits see the retina. None: the whole image. A border within 2 pixels of
        its edge is left out, as the atrophy may go on beyond.
    smoothing, least_focus : float, optional
        See `measure_shape`.

    Returns
    -------
    BorderExpansion
        Without a distance, and with a note, if there is no atrophy at baseline.

    Raises
    ------
    ValueError
        If the masks have different shapes, or no time lies between the visits.

    Notes
    -----
    The distance is Euclidean, between lines that run between the pixels, which is a distance map
    without the error of its grid. Between visits years apart, a focus that appeared later and has
    merged by now looks like a border that moved far: `border_distances` goes from visit to visit.

    References
    ----------
    Shen et al. 2021, doi:10.1167/iovs.62.13.28.

    Examples
    --------
    >>> import numpy as np
    >>> from fundus_helpers.atrophy.border import border_expansion
    >>> y, x = np.mgrid[:200, :200]
    >>> distance = np.hypot(x - 100, y - 100)
    >>> expansion = border_expansion(distance < 40, distance < 60, years=2, mm_per_pixel=0.01)
    >>> round(expansion.rate, 3), expansion.unit, expansion.new_foci
    (0.1, 'mm', 0)
    """
    if not (isfinite(years) and years > 0):
        raise ValueError(
            f"{years!r} years lie between the two visits; give the later visit second, and no two "
            "visits of one day"
        )
    baseline, later = checked_mask(baseline), checked_mask(later)
    field = _inner_field(seen, baseline, later)
    grown, new = _connected(baseline, later)
    pixel = 1.0 if mm_per_pixel is None else mm_per_pixel
    smoothing_px = smoothing_in_pixels(smoothing, mm_per_pixel)
    points, distances, lengths = _moved(baseline, grown, field, smoothing_px)
    least_px = least_area_of_a_focus(least_focus, mm_per_pixel) / pixel**2
    new_areas = np.bincount(label_foci(new).ravel())[1:]
    return BorderExpansion(
        distance=float(np.average(distances, weights=lengths)) * pixel if len(points) else nan,
        years=years,
        points=points,
        distances=distances * pixel,
        lengths=lengths * pixel,
        new_foci=int((new_areas >= least_px).sum()),
        new_area=float(new.sum()) * pixel**2,
        unit="px" if mm_per_pixel is None else "mm",
        note="" if len(points) else _why_none(baseline, grown),
    )


def border_distances(
    masks: Iterable[np.ndarray],
    mm_per_pixel: float | None = None,
    *,
    seen: np.ndarray | None = None,
    smoothing: float | None = None,
) -> np.ndarray:
    """Measure how far the border has moved by each visit, added up from visit to visit.

    Parameters
    ----------
    masks : iterable of bool ndarray, shape (height, width)
        One per visit, in the order of the dates, in one frame.
    mm_per_pixel, seen, smoothing
        See `border_expansion`.

    Returns
    -------
    float ndarray, shape (visits,)
        In mm, or in pixels without a scale: 0 at the first visit with atrophy, NaN before it, and
        from a visit on at which no border could be followed. `growth_rates` makes rates of it. New
        foci count from the visit after their first.

    Examples
    --------
    >>> import numpy as np
    >>> from fundus_helpers.atrophy.border import border_distances
    >>> y, x = np.mgrid[:100, :100]
    >>> border_distances(np.hypot(x - 50, y - 50) < radius for radius in (0, 20, 30)).round(1)
    array([nan,  0., 10.])
    """
    travelled: list[float] = []
    before = None
    for mask in masks:
        if before is None or not before.any():
            travelled.append(0.0 if checked_mask(mask).any() else nan)
        else:
            options = {"seen": seen, "smoothing": smoothing}
            step = border_expansion(before, mask, 1.0, mm_per_pixel, **options)
            travelled.append(travelled[-1] + step.distance)
        before = mask
    return np.array(travelled)


def _connected(baseline: np.ndarray, later: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split the later mask into what is connected with the baseline, and new foci."""
    labels = label_foci(later)
    old = np.zeros(labels.max() + 1, bool)
    old[labels[baseline]] = True
    old[0] = False
    return old[labels], later & ~old[labels]


def _moved(
    baseline: np.ndarray, grown: np.ndarray, field: np.ndarray, smoothing: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points of the new border, their distances to the old one, and lengths, in pixels."""
    old, outwards = _dense([*border_lines(baseline, smoothing=smoothing)])
    points, lengths = _weighted(border_lines(grown, smoothing=smoothing))
    column, row = np.rint(points).astype(int).T
    height, width = field.shape
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    inside[inside] = field[row[inside], column[inside]]
    points, lengths = points[inside], lengths[inside]
    if not len(old) or not len(points):
        return np.empty((0, 2)), np.empty(0), np.empty(0)
    distances, nearest = cKDTree(old).query(points)
    side = ((points - old[nearest]) * outwards[nearest]).sum(axis=1)
    return points, np.copysign(distances, side), lengths


def _dense(lines: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return many points of lines, and for each the direction out of the atrophy."""
    starts = np.concatenate([np.empty((0, 2)), *(line[:-1] for line in lines)])
    steps = np.concatenate([np.empty((0, 2)), *(np.diff(line, axis=0) for line in lines)])
    copies = np.ceil(np.hypot(*steps.T) / _STEP).astype(int)
    part = np.arange(copies.sum()) - np.repeat(np.cumsum(copies) - copies, copies)
    share = (part / np.repeat(copies, copies))[:, None]
    steps = np.repeat(steps, copies, axis=0)
    # `find_contours` has the atrophy on one side of every line, around islands too.
    return np.repeat(starts, copies, axis=0) + share * steps, steps[:, ::-1] * (1, -1)


def _weighted(lines: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the points of closed lines, and the length of line that each stands for."""
    points, lengths = [np.empty((0, 2))], [np.empty(0)]
    for line in lines:
        segments = np.hypot(*np.diff(line, axis=0).T)
        points.append(line[:-1])
        lengths.append((segments + np.roll(segments, 1)) / 2)
    return np.concatenate(points), np.concatenate(lengths)


def _inner_field(seen: np.ndarray | None, baseline: np.ndarray, later: np.ndarray) -> np.ndarray:
    seen = np.ones_like(baseline) if seen is None else checked_mask(seen)
    if not seen.shape == baseline.shape == later.shape:
        raise ValueError(
            f"the masks have different shapes: {baseline.shape} at baseline, {later.shape} later, "
            f"{seen.shape} of the field of view; give all in the frame of the template"
        )
    return ndimage.binary_erosion(seen, np.ones((3, 3)), iterations=_MARGIN)


def _why_none(baseline: np.ndarray, grown: np.ndarray) -> str:
    if not baseline.any():
        return "no atrophy at baseline, so that there is no border to expand"
    if not grown.any():
        return "nothing of the atrophy at baseline is atrophic at the later visit; check both"
    return "the border lies at the edge of the field of view"
