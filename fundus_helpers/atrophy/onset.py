"""The onset map: when each point of the retina became atrophic."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

LARGEST_STEP = 3.0  # a border moves between two visits by at most so many times the median
AT_FIRST = 0.0  # the onset, in years, of what was atrophic at the first visit


@dataclass(frozen=True)
class OnsetMap:
    """When each point of the retina became atrophic, on the grid of the template.

    Attributes
    ----------
    position : int16 ndarray, shape (height, width)
        Position of the first visit at which a point is atrophic; the number of visits where it
        never is.
    years : float64 ndarray, shape (visits,)
        Years of the visits since the first one.
    seen : bool ndarray, shape (height, width)
        Where the retina was seen at any visit.
    healed : float
        Healed share: of the atrophy at the last visit, the share that one visit alone shows as
        atrophic and a later one as healthy.
    healed_places : bool ndarray, shape (height, width)
    too_noisy : bool
        Whether most of the atrophy may be missed in the noise of the photographs.
    """

    position: np.ndarray
    years: np.ndarray
    seen: np.ndarray
    healed: float
    healed_places: np.ndarray
    too_noisy: bool = False

    def mask(self, i: int) -> np.ndarray:
        """Return the atrophy at a visit: bool, shape (height, width). It contains those before."""
        return self.position <= i

    @property
    def last(self) -> np.ndarray:
        """The atrophy at the last visit: bool, shape (height, width)."""
        return self.mask(len(self.years) - 1)

    @property
    def masks(self) -> np.ndarray:
        """The atrophy at all visits: bool, shape (visits, height, width)."""
        return np.stack([self.mask(i) for i in range(len(self.years))])

    def onset(self) -> np.ndarray:
        """Return when each point became atrophic, in years since the first visit.

        Between two visits, the border is taken to move evenly: a point half way between both
        borders became atrophic half way between both dates.

        Returns
        -------
        float32 ndarray, shape (height, width)
            0 where it was atrophic at the first visit already, infinite where it never is, NaN
            where the retina was never seen.
        """
        onset = np.where(self.seen, np.float32(np.inf), np.float32(np.nan))
        onset[self.position <= 0] = AT_FIRST
        for i in range(1, len(self.years)):
            new = self.position == i
            if not new.any():
                continue
            depth = ndimage.distance_transform_edt(self.position <= i)[new] - 0.5
            before = self.position <= i - 1
            away = np.full(depth.shape, np.inf)
            if before.any():
                away = ndimage.distance_transform_edt(~before)[new] - 0.5
            both = depth + away
            usual = np.median(both[np.isfinite(both)]) if np.isfinite(both).any() else depth.max()
            away = np.minimum(away, LARGEST_STEP * usual)
            step = self.years[i] - self.years[i - 1]
            onset[new] = self.years[i] - step * depth / np.maximum(depth + away, 1e-6)
        return onset
