"""Where the atrophy lies around the fovea: its distance, and its share of rings and zones.

A mask is a bool array [row, column], True where the retina is atrophic. What lies outside the field
of view was not seen: it counts neither as healthy nor as atrophic.
"""

from dataclasses import dataclass
from math import isfinite, nan, sqrt

import numpy as np

from fundus_helpers.atrophy.shapes import checked_mask

RING_MM, RINGS = 0.5, 7
# A central disc of which less was seen has no residual radius.
LEAST_SEEN = 0.95

# Early Treatment Diabetic Retinopathy Study: circles of 1, 3 and 6 mm in diameter.
_ETDRS_RADII = 0.5, 1.5, 3.0


@dataclass(frozen=True)
class Region:
    """How much of a region around the fovea is atrophic.

    Attributes
    ----------
    name : str
        For example ``inner nasal``, or ``0.5 to 1 mm``.
    share : float
        Share of what was seen of the region that is atrophic, 0 to 1; NaN if nothing was seen.
    seen : float
        Share of the region that lies in the field of view, 0 to 1.
    area : float
        Of the whole region, in mm2.
    """

    name: str
    share: float
    seen: float
    area: float


def fovea_distance(
    mask: np.ndarray, fovea: tuple[float, float], mm_per_pixel: float | None = None
) -> float:
    """Measure the least distance from the fovea to the border of the atrophy.

    Parameters
    ----------
    mask : bool ndarray, shape (height, width)
    fovea : (float, float)
        Its place (x, y) in pixels.
    mm_per_pixel : float, optional
        Scale of this photograph. None: in pixels.

    Returns
    -------
    float
        In mm, or in pixels without a scale. 0 where the fovea itself is atrophic, as reading
        centres report it; never negative. NaN without atrophy. The median of eyes whose fovea is
        spared is 0.46 mm (Heyang et al., Invest Ophthalmol Vis Sci 2024;65:1356).

    Examples
    --------
    >>> import numpy as np
    >>> from fundus_helpers.atrophy.zones import fovea_distance
    >>> mask = np.zeros((50, 50), bool)
    >>> mask[:, 30:] = True
    >>> fovea_distance(mask, (10, 25)), fovea_distance(mask, (40, 25))
    (19.5, 0.0)
    """
    mask = checked_mask(mask)
    x, y = _checked_fovea(fovea)
    if not mask.any():
        return nan
    rows, columns = np.nonzero(mask)
    nearest = np.hypot(rows - y, columns - x).min()
    # The border runs half a pixel before the centre of the nearest atrophic pixel.
    return float(max(nearest - 0.5, 0) * (mm_per_pixel or 1.0))


def central_residual_radius(
    mask: np.ndarray,
    fovea: tuple[float, float],
    mm_per_pixel: float | None,
    *,
    seen: np.ndarray | None = None,
) -> float | None:
    """Measure what is left of the central disc, 1 mm in diameter: sqrt(residual area / pi).

    Parameters
    ----------
    mask, fovea, mm_per_pixel
        See `ring_shares`.
    seen : bool ndarray, shape (height, width), optional
        See `ring_shares`.

    Returns
    -------
    float or None
        In mm, from 0.5 where nothing is atrophic to 0. It falls by 0.038 mm/year
        (doi:10.1136/bjophthalmol-2020-317636). NaN where less than 95 % of the disc was seen;
        None without a scale.

    Examples
    --------
    >>> import numpy as np
    >>> from fundus_helpers.atrophy.zones import central_residual_radius
    >>> mask = np.zeros((200, 200), bool)
    >>> mask[:, 100:] = True
    >>> round(central_residual_radius(mask, (99.5, 100), 0.01), 3)
    0.354
    """
    rings = ring_shares(mask, fovea, mm_per_pixel, seen=seen, rings=1)
    if not rings:
        return None
    return nan if rings[0].seen < LEAST_SEEN else RING_MM * sqrt(1 - rings[0].share)


def ring_shares(
    mask: np.ndarray,
    fovea: tuple[float, float],
    mm_per_pixel: float | None,
    *,
    seen: np.ndarray | None = None,
    rings: int = RINGS,
) -> tuple[Region, ...]:
    """Measure which share of each ring of 0.5 mm around the fovea is atrophic.

    Parameters
    ----------
    mask : bool ndarray, shape (height, width)
    fovea : (float, float)
        Its place (x, y) in pixels.
    mm_per_pixel : float or None
        Scale of this photograph.
    seen : bool ndarray, shape (height, width), optional
        True inside the field of view. None: the whole image. What lies outside counts as not seen,
        neither as healthy nor as atrophic.
    rings : int
        How many rings; 7 reach to 3.5 mm.

    Returns
    -------
    tuple of Region
        From the inside outwards; empty without a scale. Typical shares fall from 49 % in the
        centre to 2 % at 3.5 mm (doi:10.1167/iovs.62.13.28).

    Examples
    --------
    >>> import numpy as np
    >>> from fundus_helpers.atrophy.zones import ring_shares
    >>> y, x = np.mgrid[:300, :300]
    >>> first, second = ring_shares(np.hypot(x - 150, y - 150) < 50, (150, 150), 0.01, rings=2)
    >>> second.name, round(first.share, 2), second.share, second.seen
    ('0.5 to 1 mm', 1.0, 0.0, 1.0)
    """
    if mm_per_pixel is None:
        return ()
    edges = RING_MM * np.arange(rings + 1)
    around = _Around.of(mask, fovea, mm_per_pixel, seen, edges[-1])
    return tuple(
        around.region(
            f"{low:g} to {high:g} mm", (around.distance >= low) & (around.distance < high)
        )
        for low, high in zip(edges[:-1], edges[1:], strict=True)
    )


def zone_shares(
    mask: np.ndarray,
    fovea: tuple[float, float],
    laterality: str,
    mm_per_pixel: float | None,
    *,
    seen: np.ndarray | None = None,
) -> tuple[Region, ...]:
    """Measure which share of each of the nine zones of the ETDRS grid is atrophic.

    Parameters
    ----------
    mask, fovea
        See `ring_shares`.
    laterality : {"L", "R"}
        The left or the right eye. In an upright photograph of a right eye, nasal is on the right.
    mm_per_pixel : float or None
        Scale of this photograph.
    seen : bool ndarray, shape (height, width), optional
        See `ring_shares`.

    Returns
    -------
    tuple of Region
        ``centre`` (1 mm in diameter), then ``inner`` (to 3 mm) and ``outer`` (to 6 mm) in the order
        ``superior``, ``nasal``, ``inferior``, ``temporal``; empty without a scale.

    Examples
    --------
    >>> import numpy as np
    >>> from fundus_helpers.atrophy.zones import zone_shares
    >>> mask = np.zeros((300, 300), bool)
    >>> mask[:, 200:] = True
    >>> zones = zone_shares(mask, (150, 150), "R", 0.02)
    >>> [zone.name for zone in zones if zone.share > 0.6]
    ['outer nasal']
    """
    if laterality not in ("L", "R"):
        raise ValueError(f"the eye must be L (left, OS) or R (right, OD), not {laterality!r}")
    if mm_per_pixel is None:
        return ()
    centre, inner, outer = _ETDRS_RADII
    around = _Around.of(mask, fovea, mm_per_pixel, seen, outer)
    nasal = around.x if laterality == "R" else -around.x
    upright = np.abs(around.y) >= np.abs(nasal)
    quarters = {
        "superior": upright & (around.y < 0),
        "nasal": ~upright & (nasal > 0),
        "inferior": upright & (around.y >= 0),
        "temporal": ~upright & (nasal < 0),
    }
    zones = [around.region("centre", around.distance < centre)]
    for name, low, high in (("inner", centre, inner), ("outer", inner, outer)):
        ring = (around.distance >= low) & (around.distance < high)
        zones += [around.region(f"{name} {side}", ring & here) for side, here in quarters.items()]
    return tuple(zones)


@dataclass(frozen=True)
class _Around:
    """The square around the fovea, also where it reaches beyond the image; lengths in mm."""

    x: np.ndarray
    y: np.ndarray
    atrophic: np.ndarray
    seen: np.ndarray
    pixel_area: float

    @classmethod
    def of(
        cls,
        mask: np.ndarray,
        fovea: tuple[float, float],
        mm_per_pixel: float,
        seen: np.ndarray | None,
        radius: float,
    ) -> "_Around":
        mask = checked_mask(mask)
        seen = np.ones_like(mask) if seen is None else checked_mask(seen)
        if seen.shape != mask.shape:
            raise ValueError(
                f"the field of view has the shape {seen.shape}, the mask {mask.shape}; give both "
                "of one photograph"
            )
        centre, reach = np.array(_checked_fovea(fovea)), radius / mm_per_pixel
        low, high = np.floor(centre - reach).astype(int), np.ceil(centre + reach).astype(int)
        columns, rows = (np.arange(*ends) for ends in zip(low, high + 1, strict=True))
        height, width = mask.shape
        inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
        place = np.ix_(rows.clip(0, height - 1), columns.clip(0, width - 1))
        y, x = np.meshgrid(
            (rows - centre[1]) * mm_per_pixel, (columns - centre[0]) * mm_per_pixel, indexing="ij"
        )
        seen = seen[place] & inside
        return cls(x, y, mask[place] & seen, seen, mm_per_pixel**2)

    @property
    def distance(self) -> np.ndarray:
        return np.hypot(self.x, self.y)

    def region(self, name: str, here: np.ndarray) -> Region:
        pixels, seen = int(here.sum()), int((here & self.seen).sum())
        share = (here & self.atrophic).sum() / seen if seen else nan
        return Region(
            name, float(share), seen / pixels if pixels else 0.0, pixels * self.pixel_area
        )


def _checked_fovea(fovea: tuple[float, float]) -> tuple[float, float]:
    x, y = map(float, fovea)
    if not (isfinite(x) and isfinite(y)):
        raise ValueError(f"the fovea must be a place (x, y) in pixels, not {(x, y)}")
    return x, y
