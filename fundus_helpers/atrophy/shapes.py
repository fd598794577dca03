"""Numbers of one outline: its area, perimeter, circularity and foci.

A mask is a bool array [row, column], True where the retina is atrophic. With the scale of the
photograph, `mm_per_pixel`, numbers are in mm and mm2; without one (None), in pixels.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isfinite, nan, pi, sqrt

import numpy as np
from scipy import ndimage
from skimage.measure import find_contours

# Perimeters depend on how much of the fine structure of a border is followed, so it is the same
# for all photographs: 0.02 mm, unless pixels are so large that their grid would show.
SMOOTHING_MM, SMOOTHING_PX = 0.02, 1.5
# Foci of 0.02 mm2 are real; half of that is seldom more than the noise of an outline.
LEAST_FOCUS_MM2, LEAST_FOCUS_PX = 0.01, 75.0

_TOUCHING = np.ones((3, 3), bool)  # pixels that touch with a corner belong together


@dataclass(frozen=True)
class Shape:
    """Numbers of one outline.

    Attributes
    ----------
    area : float
        All that is atrophic, in mm2 or px2. At baseline of studies: 7.3 (SD 6.6) mm2
        (doi:10.1167/tvst.7.6.40).
    perimeter : float
        Length of all borders, those of spared islands too, in `unit`; see `measure_shape`.
    foci : tuple of float
        Areas of the foci (parts that do not touch) of at least `least_focus`, largest first.
    smoothing : float
        Standard deviation of the smoothing before the perimeter is measured, in `unit`.
    least_focus : float
        Area from which a focus is counted, in the unit of the area.
    unit : {"mm", "px"}
        Of lengths; areas are in its square.
    """

    area: float
    perimeter: float
    foci: tuple[float, ...]
    smoothing: float
    least_focus: float
    unit: str

    @property
    def effective_radius(self) -> float:
        """Radius of the disc of this area, sqrt(area / pi); grows 0.163 mm/year (PMID 31047226)."""
        return sqrt(self.area / pi)

    @property
    def circularity(self) -> float:
        """Circularity, 4 pi area / perimeter squared: 1 for a disc, less for anything else.

        This is the index of doi:10.1016/j.ophtha.2013.07.047: eyes below 0.25, from there to 0.75
        and above grow by 0.40, 0.36 and 0.21 mm/year. NaN without atrophy.
        """
        return 4 * pi * self.area / self.perimeter**2 if self.perimeter else nan

    @property
    def circularity_root(self) -> float:
        """Square root of `circularity`, which some papers call circularity."""
        return sqrt(self.circularity)


@dataclass(frozen=True)
class FociCount:
    """Foci of one visit, compared with the visit before.

    Attributes
    ----------
    number : int
        Foci of this visit: those of the visit before, plus `new`, minus `merged`.
    new : int
        Foci in which no focus of the visit before lies; 0 at the first visit.
    merged : int
        By how many foci there are fewer because they have merged: 2 where three became one.
    """

    number: int
    new: int
    merged: int


def measure_shape(
    mask: np.ndarray,
    mm_per_pixel: float | None = None,
    *,
    smoothing: float | None = None,
    least_focus: float | None = None,
) -> Shape:
    """Measure the area, the perimeter and the foci of an outline.

    Parameters
    ----------
    mask : bool ndarray, shape (height, width)
        True where the retina is atrophic.
    mm_per_pixel : float, optional
        Scale of this photograph. None: everything in pixels.
    smoothing : float, optional
        Standard deviation, in mm (in pixels without a scale), of the Gaussian that smooths the
        mask before its perimeter is measured, see `border_lines`. None: 0.02 mm, and at least 1.5
        pixels.
    least_focus : float, optional
        Area from which a focus is counted, in mm2 (in pixels without a scale). None: 0.01 mm2 or
        75 pixels. Smaller ones still belong to the area and the perimeter.

    Returns
    -------
    Shape
        The perimeter is the length of `border_lines`, right within 1 % for discs with a radius of
        6 pixels or more. Where an outline touches the edge of the image, it is closed along it.

    Examples
    --------
    >>> import numpy as np
    >>> from fundus_helpers.atrophy.shapes import measure_shape
    >>> y, x = np.mgrid[:100, :100]
    >>> shape = measure_shape(np.hypot(x - 50, y - 50) < 30, 0.0116)
    >>> round(shape.area, 2), round(shape.perimeter, 2), round(shape.circularity, 2), shape.unit
    (0.38, 2.18, 1.0, 'mm')
    """
    mask = checked_mask(mask)
    pixel = 1.0 if mm_per_pixel is None else mm_per_pixel
    smoothing_px = smoothing_in_pixels(smoothing, mm_per_pixel)
    least = least_area_of_a_focus(least_focus, mm_per_pixel)
    areas = np.bincount(label_foci(mask).ravel())[1:] * pixel**2
    return Shape(
        area=float(mask.sum() * pixel**2),
        perimeter=_perimeter(mask, smoothing_px) * pixel,
        foci=tuple(sorted(map(float, areas[areas >= least]), reverse=True)),
        smoothing=smoothing_px * pixel,
        least_focus=least,
        unit="px" if mm_per_pixel is None else "mm",
    )


def border_lines(mask: np.ndarray, *, smoothing: float = SMOOTHING_PX) -> list[np.ndarray]:
    """Trace the border of the atrophy between the pixels.

    Parameters
    ----------
    mask : bool ndarray, shape (height, width)
    smoothing : float
        Standard deviation s of the Gaussian that smooths the mask first, in pixels.

    Returns
    -------
    list of float ndarray, shape (n, 2)
        Closed lines of points (x, y), the first repeated at the end, around foci and around spared
        islands, where the smoothed mask is one half. Each focus is smoothed by itself. A Gaussian
        alone draws a border of the radius r towards its centre, by about s squared / 2 r. So twice
        the mask smoothed by s is taken, less the mask smoothed by 2 s, which does not: areas are
        kept within 0.1 % for discs from 4 s on. A focus too small or too thin for the smoothing has
        the circle of its area.

    Examples
    --------
    >>> import numpy as np
    >>> from fundus_helpers.atrophy.shapes import border_lines
    >>> y, x = np.mgrid[:40, :40]
    >>> line, = border_lines(np.hypot(x - 20, y - 20) < 10)
    >>> line.mean(axis=0).round()
    array([20., 20.])
    """
    return [line for _, lines in _lines_of_foci(checked_mask(mask), smoothing) for line in lines]


def _lines_of_foci(mask: np.ndarray, smoothing: float) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Yield the number of pixels and the border lines of every focus."""
    labels = label_foci(mask)
    margin = int(np.ceil(8 * smoothing)) + 2
    for label, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
        focus = labels[rows, columns] == label
        whole = np.pad(focus, margin).astype(np.float32)
        narrow, wide = (ndimage.gaussian_filter(whole, smoothing * times) for times in (1, 2))
        corner = np.array([columns.start, rows.start])
        lines = [line[:, ::-1] - margin for line in find_contours(2 * narrow - wide, 0.5)]
        pixels = int(focus.sum())
        if _enclosed(lines) < pixels / 2:
            lines = [_circle(focus)]
        yield pixels, [line + corner for line in lines]


def _circle(focus: np.ndarray) -> np.ndarray:
    """Return the circle around the middle of a focus that has its area, the way of the lines."""
    rows, columns = np.nonzero(focus)
    angle = np.linspace(0, 2 * pi, 33)
    middle = columns.mean(), rows.mean()
    return middle + sqrt(len(rows) / pi) * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _perimeter(mask: np.ndarray, smoothing: float) -> float:
    total = 0.0
    for pixels, lines in _lines_of_foci(mask, smoothing):
        length = sum(np.hypot(*np.diff(line, axis=0).T).sum() for line in lines)
        # The lines enclose nearly as many pixels. With this, no circularity exceeds 1.
        total += length * sqrt(pixels / _enclosed(lines))
    return float(total)


def _enclosed(lines: list[np.ndarray]) -> float:
    """Return the area that lines enclose, in pixels; those of spared islands run the other way."""
    area = 0.0
    for line in lines:
        x, y = (line - line[0]).T
        area += float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2)
    return area


def foci_history(
    masks: Iterable[np.ndarray],
    mm_per_pixel: float | None = None,
    *,
    least_focus: float | None = None,
) -> tuple[FociCount, ...]:
    """Count over the visits how foci appear and merge.

    Parameters
    ----------
    masks : iterable of bool ndarray, shape (height, width)
        One per visit, in the order of the dates, in one frame. Each contains the one before, as
        atrophy does not heal.
    mm_per_pixel, least_focus
        See `measure_shape`.

    Returns
    -------
    tuple of FociCount
        One per visit.

    Raises
    ------
    ValueError
        If a mask does not contain the one before, or has another shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fundus_helpers.atrophy.shapes import foci_history
    >>> first = np.zeros((40, 60), bool)
    >>> first[10:20, 10:20] = first[10:20, 25:35] = True
    >>> last = first.copy()
    >>> last[10:20, 10:35] = last[25:38, 40:50] = True
    >>> foci_history([first, last])[1]
    FociCount(number=2, new=1, merged=1)
    """
    least = least_area_of_a_focus(least_focus, mm_per_pixel) / (mm_per_pixel or 1.0) ** 2
    counts: list[FociCount] = []
    before = None
    for visit, mask in enumerate(masks, 1):
        foci = _counted_foci(checked_mask(mask), least)
        if before is None:
            counts.append(FociCount(int(foci.max()), 0, 0))
        else:
            _refuse_healed(before, mask, visit)
            inside = _foci_inside(before, foci, least)
            counts.append(FociCount(len(inside), inside.count(0), sum(n - 1 for n in inside if n)))
        before = mask
    return tuple(counts)


def _counted_foci(mask: np.ndarray, least_px: float) -> np.ndarray:
    """Label the foci that are large enough 1, 2, ...; everything else is 0."""
    labels = label_foci(mask)
    large = np.bincount(labels.ravel()) >= least_px
    large[0] = False
    return np.where(large, np.cumsum(large), 0)[labels]


def _foci_inside(before: np.ndarray, foci: np.ndarray, least_px: float) -> list[int]:
    """Count the foci of the visit before that lie inside each focus."""
    earlier = _counted_foci(before, least_px)
    pairs = np.unique(np.stack([earlier[earlier > 0], foci[earlier > 0]]), axis=1)
    return np.bincount(pairs[1], minlength=foci.max() + 1)[1:].tolist()


def _refuse_healed(before: np.ndarray, mask: np.ndarray, visit: int) -> None:
    if before.shape != mask.shape:
        raise ValueError(
            f"the masks of visits {visit - 1} and {visit} have different shapes, {before.shape} "
            f"and {mask.shape}; give all masks in the frame of the template"
        )
    if healed := int((before & ~mask).sum()):
        raise ValueError(
            f"atrophy does not heal, but {healed} pixels of visit {visit - 1} are healthy at visit "
            f"{visit}; join the visits first, so that each mask contains the one before"
        )


def label_foci(mask: np.ndarray) -> np.ndarray:
    """Label the foci 1, 2, ...; pixels that touch with a side or a corner are of one focus.

    Examples
    --------
    >>> import numpy as np
    >>> from fundus_helpers.atrophy.shapes import label_foci
    >>> label_foci(np.array([[True, False, False], [False, True, False], [False, False, False]]))
    array([[1, 0, 0],
           [0, 1, 0],
           [0, 0, 0]], dtype=int32)
    """
    return ndimage.label(mask, _TOUCHING)[0]


def smoothing_in_pixels(smoothing: float | None, mm_per_pixel: float | None) -> float:
    """Return the standard deviation of the smoothing of a border in pixels.

    Parameters
    ----------
    smoothing, mm_per_pixel
        See `measure_shape`.

    Examples
    --------
    >>> from fundus_helpers.atrophy.shapes import smoothing_in_pixels
    >>> smoothing_in_pixels(None, 0.005), smoothing_in_pixels(None, None)
    (4.0, 1.5)
    """
    pixel = 1.0 if mm_per_pixel is None else mm_per_pixel
    if smoothing is None:
        return SMOOTHING_PX if mm_per_pixel is None else max(SMOOTHING_MM / pixel, SMOOTHING_PX)
    if not (isfinite(smoothing) and smoothing >= 0):
        raise ValueError(f"the smoothing of a border must be 0 or more, not {smoothing!r}")
    return smoothing / pixel


def least_area_of_a_focus(least_focus: float | None, mm_per_pixel: float | None) -> float:
    """Return the area from which a focus is counted, in mm2, or in pixels without a scale.

    Parameters
    ----------
    least_focus, mm_per_pixel
        See `measure_shape`.

    Examples
    --------
    >>> from fundus_helpers.atrophy.shapes import least_area_of_a_focus
    >>> least_area_of_a_focus(None, 0.01), least_area_of_a_focus(None, None)
    (0.01, 75.0)
    """
    if least_focus is None:
        return LEAST_FOCUS_PX if mm_per_pixel is None else LEAST_FOCUS_MM2
    if not (isfinite(least_focus) and least_focus >= 0):
        raise ValueError(f"the least area of a focus must be 0 or more, not {least_focus!r}")
    return least_focus


def checked_mask(mask: np.ndarray) -> np.ndarray:
    """Return a mask unchanged, after checking that it is a bool array with rows and columns.

    Raises
    ------
    ValueError
        If it is anything else.

    Examples
    --------
    >>> import numpy as np
    >>> from fundus_helpers.atrophy.shapes import checked_mask
    >>> checked_mask(np.zeros((2, 3)))
    Traceback (most recent call last):
    ValueError: a mask must be a bool array of rows and columns, not float64 of shape (2, 3); ...
    """
    if np.ndim(mask) != 2 or np.asarray(mask).dtype != bool:
        mask = np.asarray(mask)
        raise ValueError(
            f"a mask must be a bool array of rows and columns, not {mask.dtype} of shape "
            f"{mask.shape}; give image > 0, for example"
        )
    return np.asarray(mask)
