"""The border of atrophy: where the brightness is half way between inside and outside.

The change of brightness of every pixel is compared with half the contrast of atrophy around it. On
a straight border, blur does not move this place. Around a small focus, blur takes more from the
inside than from the outside, so the border lies where less than half of the contrast is left.
What all visits say is joined by one rule: atrophy does not heal. So every pixel has one onset, the
position that agrees best with all visits.
"""

from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from fundus_helpers.atrophy.finding.change import SMOOTH
from fundus_helpers.atrophy.finding.windows import window_mean

# Distances in pixels of an image of 768.
NEAR_FIRST = 4.0  # around the first lesion the healthy level is not known from the pixel itself
CONTINUED = 6.0  # standard deviation of the blur that continues the healthy level into it
# The inside of a lesion is measured between these distances to its border, where it is fresh.
GAP, DEPTH = 2.0, 4.5
AROUND = 12.0  # standard deviation of the window in which inside and outside are compared
REACH = 3  # how far a border may move in one round
# Standard deviations of the blur of a sharp border, which weakens the contrast beside it, and of a
# border that fades away, where half the contrast lies inwards if the border is bent.
SHARP, FADING = 1.6, 4.0
LEAST_LEFT = 0.6  # what blur leaves of the contrast beside the border, at the least
# Of the contrast, the least and the largest share at the border. The second one is small: where
# healthy retina is enclosed, as a spared fovea is, the border is often sharp.
SHARES = 0.3, 0.52
CORE = 2.0, 7.0  # blur, and radius of the search, for the darkest place of a new focus
VESSEL = 0.012  # width of the widest vessel, as a share of the longer side

OWN_VISITS = 2  # a pixel's own contrast is measured at so many visits from its onset on
TRUST_AROUND = 4.0  # how many visits of its own the contrast around counts for
EARLY = 0.65  # fresh atrophy has less contrast than the median of the first visits after the onset
FRESH_ROUNDS, ROUNDS = 2, 3
LEAST_CONTRAST = 0.03  # of the brightness; less than that cannot be halved
LEAST_CORE = 0.06  # a focus with less contrast is not seen as one
VESSEL_SHARE = 0.15  # of the retina that is taken for vessels


@dataclass(frozen=True)
class Evidence:
    """What every visit says about every pixel, by itself.

    Attributes
    ----------
    says : float32 ndarray in [-1, 1], shape (visits, height, width)
        1: certainly atrophic; -1: certainly healthy; 0: on the border, or not seen.
    onset : int16 ndarray, shape (height, width)
        Position of the first visit at which a pixel is atrophic, by all visits together; the number
        of visits where it never is.
    """

    says: np.ndarray
    onset: np.ndarray


def weigh_vessels(levels: np.ndarray, seen: np.ndarray, noise: float) -> np.ndarray:
    """Return 0 on vessels, which look the same over healthy and over dead retina, and else 1.

    Parameters
    ----------
    levels, seen
        See `finding.even_levels`.
    noise : float
        Standard deviation of the levels.
    """
    mean = cv2.GaussianBlur(levels.mean(axis=0), (0, 0), 1.0)
    side = round(VESSEL * max(mean.shape)) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    darkness = cv2.morphologyEx(mean, cv2.MORPH_CLOSE, kernel) - mean
    everywhere = seen.all(axis=0)
    if not everywhere.any():
        return np.ones(mean.shape, np.float32)
    limit = max(np.quantile(darkness[everywhere], 1 - VESSEL_SHARE), 3 * noise)
    return (darkness < limit).astype(np.float32)


def join(says: np.ndarray) -> np.ndarray:
    """Return the onset that agrees best with all visits, if nothing heals.

    Parameters
    ----------
    says : float32 ndarray, shape (visits, height, width)
        Positive where a visit shows atrophy, negative where it shows healthy retina.

    Returns
    -------
    int16 ndarray, shape (height, width)
        The position p for which the sum of `says` from p on, minus the sum before p, is largest;
        the number of visits where no position is better.

    Examples
    --------
    >>> import numpy as np
    >>> one_pixel = np.float32([-1, 1, -0.5, 1, 1]).reshape(5, 1, 1)
    >>> int(join(one_pixel)[0, 0])
    1
    """
    total, least = np.zeros(says.shape[1:], np.float32), np.zeros(says.shape[1:], np.float32)
    onset = np.zeros(says.shape[1:], np.int16)
    for position, visit in enumerate(says, start=1):
        total += visit
        better = total < least
        least[better], onset[better] = total[better], position
    return onset


def follow_borders(
    levels: np.ndarray,
    seen: np.ndarray,
    onset: np.ndarray,
    direction: int,
    weight: np.ndarray,
    *,
    first_free: bool = False,
    unit: float = 1.0,
    threads: int = 1,
) -> Evidence:
    """Move the borders of every visit to where the brightness is half way.

    Parameters
    ----------
    levels, seen
        See `finding.even_levels`.
    onset : int16 ndarray, shape (height, width)
        A first estimate; see `Evidence`.
    direction : {-1, 1}
        See `finding.Change`.
    weight : float32 ndarray, shape (height, width)
        See `weigh_vessels`.
    first_free : bool
        Whether the first visit is free of atrophy.
    unit : float
        Pixels of the images per pixel of an image of 768.
    threads : int
        Visits that are looked at together. The result does not depend on it.

    Returns
    -------
    Evidence
    """
    follower = _Follower(levels, seen, direction, weight, first_free, unit)
    onset = follower.where_fresh(onset)
    says = np.zeros(levels.shape, np.float32)
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(ROUNDS):
            onset = follower.round(onset, says, pool)
    return Evidence(says, onset)


@dataclass(frozen=True)
class _Follower:
    """The arguments of `follow_borders`."""

    levels: np.ndarray
    seen: np.ndarray
    direction: int
    weight: np.ndarray
    first_free: bool
    unit: float

    def where_fresh(self, onset: np.ndarray) -> np.ndarray:
        """Return the onset at which half the contrast of fresh atrophy is crossed.

        Atrophy goes on to change for years. So the largest step of a pixel comes after its onset.
        """
        count, first = len(self.levels), onset <= 0
        for _ in range(FRESH_ROUNDS):
            change = self._change(onset)
            fresh = _median_after_onset(change, self.seen, onset, self.weight)
            if fresh is None:
                return onset
            own = _mean_after_onset(change, self.seen, onset, count)[0]
            own = self._mean(own, (onset < count) + np.float32(1e-6), 1.5)
            half = np.clip(own, 0.25 * fresh, EARLY * fresh) / 2
            for i in range(count):
                change[i] = self._against(change[i], half, half) * self.seen[i]
            joined = np.maximum(join(change), 1)
            onset = np.where(first, 0, np.where(onset < count, joined, count)).astype(np.int16)
        return onset

    def round(self, onset: np.ndarray, says: np.ndarray, pool: Executor) -> np.ndarray:
        """Compare every visit with its own contrast; write what visits say; return the onset."""
        count = len(self.levels)
        change = self._change(onset)
        own, visits = _mean_after_onset(change, self.seen, onset, OWN_VISITS)
        own = self._mean(own, (visits > 0) * self.weight + np.float32(1e-6), 1.0)
        visits = np.where(onset > 0, visits, 0)

        def compare(i: int) -> None:
            outside, contrast = self._contrast(i, change[i], onset, own, visits)
            share = self._share_at_border(onset <= i)
            half = np.maximum(contrast * share, np.float32(LEAST_CONTRAST / 2))
            says[i] = self._against(change[i], outside + half, half) * self.seen[i]

        list(pool.map(compare, range(count)))  # the list raises what a visit has raised
        if self.first_free:
            says[0] = -count
        return self._limited(join(says), onset)

    def _change(self, onset: np.ndarray) -> np.ndarray:
        """Return the change of brightness from healthy retina: 0, or more where it is atrophic."""
        change = self.levels - self._healthy(onset)
        np.minimum(change, 3, out=change)  # in place: these arrays are the largest
        np.expm1(change, out=change)
        change *= np.float32(self.direction)
        return change

    def _healthy(self, onset: np.ndarray) -> np.ndarray:
        """Return the level of the healthy retina: the mean before the onset, else continued."""
        total, visits = np.zeros(onset.shape, np.float32), np.zeros(onset.shape, np.float32)
        for i, level in enumerate(self.levels):
            alive = (onset > i) & self.seen[i]
            total[alive] += level[alive]
            visits += alive
        healthy = total / np.maximum(visits, 1)
        first = onset <= 0
        if not first.any():
            return healthy
        far = _distance(~first) > NEAR_FIRST * self.unit
        known = far & (visits > 0)
        continued = _continued(healthy, known * self.weight, CONTINUED * self.unit)
        return np.where(far, healthy, continued)

    def _contrast(
        self, i: int, change: np.ndarray, onset: np.ndarray, own: np.ndarray, visits: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the change outside the border, and the contrast of atrophy to it, at a visit."""
        unit, lesion, known = self.unit, onset <= i, self.weight * self.seen[i]
        depth, away = _distance(lesion), _distance(~lesion)
        inner = known * ((depth > GAP * unit) & (depth < DEPTH * unit))
        inside, amount = window_mean(change, inner, AROUND * unit)
        outside, _ = window_mean(change, known * (away > GAP * unit), AROUND * unit)
        left, _ = window_mean(_blurred(lesion, SHARP * unit), inner, AROUND * unit)
        left = np.clip(np.where(amount > 1e-3, left, 1), LEAST_LEFT, 1)
        if inner.any():
            usual = float((change * inner).sum() / inner.sum())
        else:
            usual = float(own[visits > 0].mean()) if (visits > 0).any() else LEAST_CONTRAST
        # Where a focus begins, there is no inside yet: its darkest place is taken.
        core = self._mean(change, known + np.float32(1e-4), CORE[0])
        core = np.where(onset <= min(i + 1, len(self.levels) - 1), core, 0).astype(np.float32)
        side = 2 * round(CORE[1] * unit) + 1
        core = cv2.dilate(core, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
        elsewhere = np.where(core > LEAST_CORE, np.minimum(core, usual), usual)
        near = amount / (amount + np.float32(0.02))
        around = near * (inside - outside) / left + (1 - near) * (elsewhere - outside)
        contrast = (visits * own + TRUST_AROUND * around) / (visits + TRUST_AROUND)
        alone = np.minimum(contrast, np.maximum(around, LEAST_CONTRAST))
        return outside, np.maximum(np.where(near < 0.5, alone, contrast), 0.35 * around)

    def _share_at_border(self, lesion: np.ndarray) -> np.ndarray:
        """Return the share of the contrast at the border: 0.5 where it is straight."""
        side, mask = np.ones((3, 3), np.uint8), lesion.astype(np.uint8)
        border = cv2.dilate(mask, side) > cv2.erode(mask, side)
        sigma = FADING * self.unit
        share, amount = window_mean(_blurred(lesion, sigma), border, 1.5 * sigma)
        return np.where(amount > 0.01, np.clip(share, *SHARES), 0.5).astype(np.float32)

    def _against(self, change: np.ndarray, middle: np.ndarray, half: np.ndarray) -> np.ndarray:
        """Return 0 where the change is half way, 1 where it is that of atrophy, -1 outside."""
        smooth = self._mean(change, self.weight + np.float32(1e-4), SMOOTH)
        return np.clip((smooth - middle) / half, -1, 1).astype(np.float32)

    def _limited(self, joined: np.ndarray, onset: np.ndarray) -> np.ndarray:
        """Let a border move by no more than `REACH` pixels, and a focus begin one visit earlier.

        A focus of its own never begins at the first visit: there, nothing has changed yet.
        """
        side = 2 * max(round(REACH * self.unit), 1) + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        values, count = onset.astype(np.float32), len(self.levels)
        earliest, latest = cv2.erode(values, kernel), cv2.dilate(values, kernel)
        soonest = np.where(earliest <= 0, 0, np.maximum(earliest - 1, 1))
        limited = np.clip(joined, soonest, latest)
        near = (earliest < count) & self.seen.any(axis=0)
        return np.where(near, limited, count).astype(np.int16)

    def _mean(self, values: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
        return window_mean(values, weight, sigma * self.unit)[0]


def _continued(values: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    """Continue values smoothly to where their weight is 0, in wider and wider windows."""
    found, amount = window_mean(values, weight, sigma)
    for factor in (2, 4, 8, 16):
        empty = amount < 0.02
        if not empty.any():
            break
        wider, more = window_mean(values, weight, sigma * factor)
        found, amount = np.where(empty, wider, found), np.where(empty, more, amount)
    return found


def _blurred(mask: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), sigma)


def _distance(mask: np.ndarray) -> np.ndarray:
    """Return the distance of every True pixel to the nearest False one, in pixels."""
    return cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)


def _mean_after_onset(
    change: np.ndarray, seen: np.ndarray, onset: np.ndarray, visits: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean change over the first visits from the onset on, and how many were seen."""
    total, number = np.zeros(onset.shape, np.float32), np.zeros(onset.shape, np.float32)
    for i, each in enumerate(change):
        after = (onset <= i) & (i < onset + visits) & seen[i]
        total[after] += each[after]
        number += after
    return total / np.maximum(number, 1), number


def _median_after_onset(
    change: np.ndarray, seen: np.ndarray, onset: np.ndarray, weight: np.ndarray
) -> float | None:
    """Return the median change at the visit of the onset and at the next one; None if unknown."""
    values = []
    for i, each in enumerate(change):
        fresh = ((onset == i) | ((onset == i - 1) & (i > 1))) & (weight > 0) & seen[i]
        values.append(each[fresh] if i else each[:0].ravel())
    values = np.concatenate(values)
    return float(np.median(values)) if len(values) else None
