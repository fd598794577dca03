"""What was atrophic at the first visit already: it never changes, so only its looks can tell.

How atrophy looks is learned from what changed: the same places before and after. But the dark
pigment of the macula, the optic disc and shadows look alike. What tells atrophy from them is its
surroundings: atrophy grows, so the retina around it dies, and then its border is gone. The border
of the pigment was never there, and a spared fovea has a border at the last visit.
"""

import cv2
import numpy as np
from scipy import ndimage
from skimage.filters import threshold_multiotsu, threshold_otsu
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from fundus_helpers.atrophy.finding.change import Change
from fundus_helpers.atrophy.finding.windows import window_mean

# Distances in pixels of an image of 768.
BLURS, WIDE = (1.0, 3.0, 6.0), 40.0  # standard deviations
SURE = 3  # from the border of what changed: there it is known which pixels were dead
ZONE = 1.5, 7.0  # on both sides of a border, where its contrast is measured
LEAST_AREA = 60

SAMPLES, FEWEST_SAMPLES = 4000, 50
CERTAIN = 4.0  # log odds
DIED = 0.3  # of the surroundings, the share that dies around atrophy
BORDER = 0.4  # least contrast of the border, as a share of the usual step
GONE = 0.8  # the border has lost this share of its contrast when the surroundings are dead
FEWEST_INSIDE = 30  # pixels of an image of 768 from which the contrast of a border is measured
SHARP = 0.5  # the same as `BORDER`, for what a person has circled
MOVED = 0.1  # of the surroundings, the share that dies around what a person has circled
NEARLY_ALL = 0.9  # of the retina outside a circled region; it is healthy
NO_VESSEL = 0.5  # the share of a place that is no vessel
PIGMENT_RADIUS = 0.065  # of the macular pigment, as a share of the longer side


def find_first(
    levels: np.ndarray,
    seen: np.ndarray,
    change: Change,
    weight: np.ndarray,
    *,
    region: np.ndarray | None = None,
    fovea: tuple[float, float] | None = None,
    unit: float = 1.0,
) -> np.ndarray:
    """Find what was atrophic at the first visit already.

    Parameters
    ----------
    levels, seen
        See `finding.even_levels`.
    change : Change
        See `finding.find_change`.
    weight : float32 ndarray, shape (height, width)
        See `finding.weigh_vessels`.
    region : bool ndarray, shape (height, width), optional
        What a person has circled. Inside of it, a sharp border is proof enough, if the retina next
        to it died during the series, or if nothing changed at all.
    fovea : (x, y), optional
        Its dark pigment is no atrophy. In pixels of the levels.
    unit : float
        Pixels of the images per pixel of an image of 768.

    Returns
    -------
    bool ndarray, shape (height, width)
    """
    looks = _looks_dead(levels, seen, change, weight, unit)
    count, least = len(levels), LEAST_AREA * unit**2
    if looks is None:
        if region is None:
            return np.zeros(levels.shape[1:], bool)
        looks = _darkest(levels, seen, change, weight, region, unit)
    new = (change.onset > 0) & (change.onset < count)
    candidates = looks & seen.all(axis=0) & ~(new & (change.step > 0.6 * change.usual_step))
    candidates = ndimage.binary_opening(candidates, iterations=max(round(2 * unit), 1))
    if region is not None:
        candidates &= region
    labels, _ = ndimage.label(candidates)
    found = np.zeros(candidates.shape, bool)
    margin = int(2 * ZONE[1] * unit)
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        rows, columns = (slice(max(s.start - margin, 0), s.stop + margin) for s in place)
        part = np.s_[rows, columns]
        lesion = labels[part] == number
        if lesion.sum() < least:
            continue
        borders = _Border(lesion, candidates[part], levels[:, *part], weight[part], change, unit)
        if borders.of_atrophy(new[part], change.onset[part]) or (
            region is not None
            and borders.sharp()
            and borders.moved(new[part])
            and weight[part][lesion].mean() > NO_VESSEL
            and not _pigment(lesion, part, fovea, max(labels.shape))
        ):
            found[part] |= lesion
    return found


def _looks_dead(
    levels: np.ndarray, seen: np.ndarray, change: Change, weight: np.ndarray, unit: float
) -> np.ndarray | None:
    """Return what looks at the first visit as what changed looked later; None if unknown."""
    count = len(levels)
    side = 2 * max(round(SURE * unit), 1) + 1
    known = (weight > 0) & seen.all(axis=0)
    places = (
        (change.onset > 0) & (change.onset < count - 1),
        (change.onset > 1) & (change.onset < count),
    )
    dead, alive = (
        (cv2.erode(place.astype(np.uint8), np.ones((side, side), np.uint8)) > 0) & known
        for place in places
    )
    fewer = min(dead.sum(), alive.sum(), SAMPLES)
    if fewer < FEWEST_SAMPLES:
        return None
    first, last = (_features(level, weight, unit) for level in (levels[0], levels[-1]))
    rng = np.random.default_rng(0)
    samples = [
        rng.choice(features[place], fewer, replace=False)
        for features, place in ((first, alive), (last, dead))
    ]
    model: Pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    model.fit(np.concatenate(samples), np.repeat([0, 1], fewer))
    odds = model.decision_function(first.reshape(-1, first.shape[-1])).reshape(weight.shape)
    odds = np.clip(odds, -CERTAIN, CERTAIN).astype(np.float32)
    return window_mean(odds, weight, 1.5 * unit)[0] > 0


def _features(level: np.ndarray, weight: np.ndarray, unit: float) -> np.ndarray:
    """Return brightness at several scales, texture, and difference to the surroundings."""
    blurred = [cv2.GaussianBlur(level, (0, 0), sigma * unit) for sigma in BLURS]
    squared, middle = (cv2.GaussianBlur(each, (0, 0), 4 * unit) for each in (level**2, level))
    texture = np.sqrt(np.maximum(squared - middle**2, 0))
    around, _ = window_mean(level, weight, WIDE * unit)
    return np.stack([*blurred, blurred[1] - around, np.log(texture + 0.01)], axis=-1)


def _darkest(
    levels: np.ndarray,
    seen: np.ndarray,
    change: Change,
    weight: np.ndarray,
    region: np.ndarray,
    unit: float,
) -> np.ndarray:
    """Return what is darker (or brighter) than the rest of a region, with the sharpest border."""
    inside = region & seen[0]
    known = inside & (weight > 0)
    if known.sum() < FEWEST_SAMPLES:
        return np.zeros(region.shape, bool)
    level = levels[0] if change.usual_step else levels.mean(axis=0)
    level = window_mean(level, weight, BLURS[1] * unit)[0] * change.direction
    around = seen[0] & (weight > 0) & ~region
    around = around if around.any() else known
    limits = _limits(level[known], level[around])
    if not limits:
        return np.zeros(region.shape, bool)
    slope = np.hypot(*np.gradient(level))
    return inside & (level > max(limits, key=lambda limit: _sharpness(level > limit, slope, known)))


def _limits(values: np.ndarray, around: np.ndarray) -> list[float]:
    """Return limits between two or three classes of levels, by Otsu's method.

    A spared fovea is darker than healthy retina where atrophy is brighter. So a limit that leaves
    nearly all of the retina around above it is none, and what is darker than the retina around is
    then taken for one class with it.
    """
    for each in (values, np.maximum(values, np.median(around))):
        if len(np.unique(each)) > 3:
            limits = [threshold_otsu(each), *threshold_multiotsu(each)]
            limits = [limit for limit in limits if np.mean(around > limit) < NEARLY_ALL]
            if limits:
                return limits
    return []


def _sharpness(lesion: np.ndarray, slope: np.ndarray, known: np.ndarray) -> float:
    """Return the mean slope of the level along the border of a lesion."""
    border = known & (cv2.dilate(lesion.astype(np.uint8), np.ones((3, 3), np.uint8)) > lesion)
    return float(slope[border].mean()) if border.any() else 0.0


def _pigment(
    lesion: np.ndarray,
    part: tuple[slice, slice],
    fovea: tuple[float, float] | None,
    size: int,
) -> bool:
    """Return whether a place is the dark pigment around the fovea."""
    if fovea is None:
        return False
    rows, columns = np.nonzero(lesion)
    x, y = columns + part[1].start, rows + part[0].start
    return np.mean(np.hypot(x - fovea[0], y - fovea[1]) < PIGMENT_RADIUS * size) > 0.5


class _Border:
    """The border of one place: its contrast at the first and at the last visit."""

    def __init__(
        self,
        lesion: np.ndarray,
        candidates: np.ndarray,
        levels: np.ndarray,
        weight: np.ndarray,
        change: Change,
        unit: float,
    ) -> None:
        depth, away = (
            cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, 5)
            for part in (lesion, ~lesion)
        )
        near, far = (each * unit for each in ZONE)
        self.known = weight > 0
        self.inner = (depth > near) & (depth <= far) & self.known
        self.outer = (away > near) & (away <= far) & ~candidates
        self.levels, self.change, self.fewest = levels, change, FEWEST_INSIDE * unit**2

    def of_atrophy(self, new: np.ndarray, onset: np.ndarray) -> bool:
        """Return whether the border has the contrast of atrophy, until its surroundings die."""
        died = self.outer & new & (onset < len(self.levels) - 1)
        if died.sum() <= DIED * max(self.outer.sum(), 1):
            return False
        first, last = (self._contrast(i, died) for i in (0, -1))
        return first > BORDER * self.change.usual_step and abs(last) < (1 - GONE) * first

    def sharp(self) -> bool:
        """Return whether the border has a clear contrast at the first visit."""
        least = SHARP * self.change.usual_step or 5 * self.change.noise or 0.1
        return self._contrast(0, self.outer) > least

    def moved(self, new: np.ndarray) -> bool:
        """Return whether retina died next to the border; True if nothing changed anywhere."""
        died = (self.outer & new).sum()
        return not self.change.usual_step or died > MOVED * max(self.outer.sum(), 1)

    def _contrast(self, visit: int, outer: np.ndarray) -> float:
        outer = outer & self.known
        if self.inner.sum() < self.fewest or not outer.any():
            return 0.0
        level = self.levels[visit] * self.change.direction
        return float(level[self.inner].mean() - level[outer].mean())
