"""What changed between the visits for good: atrophy that came during the series."""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

SMOOTH = 1.2  # standard deviation of the blur before levels are compared, in pixels of 768
TALL = 6.0  # a step of the level is certain above so many standard deviations of the noise
# The usual step of atrophy that is seen whole is at least this multiple of the least certain step:
# 1.6 in noisy photographs of painted eyes, and 1.2 where most of the atrophy was missed.
CLEAR = 1.3
USUAL_STEP = 0.3  # of the level where atrophy begins in colour; in autofluorescence it is larger
LEAST_STEP = 0.1  # a change of brightness by less than 10 % is no atrophy
LOW, HIGH = 0.25, 0.6  # shares of the usual step: what belongs to a change, and what proves it
PROOF = 0.3  # share of a changed place that must be proven
LEAST_AREA = 40  # of a changed place, in pixels of an image of 768
# Of all pixels, the share whose step goes in the usual direction by chance or by misregistration.
BY_CHANCE = 0.0005
TONES = 20  # the noise is measured in so many classes of brightness


@dataclass(frozen=True)
class Change:
    """Where the level of the retina changed for good, and when.

    Attributes
    ----------
    onset : int16 ndarray, shape (height, width)
        Position of the first visit after the change; the number of visits where nothing changed.
    step : float32 ndarray, shape (height, width)
        By how much the level changed in the usual direction.
    direction : {-1, 1}
        -1 if atrophy is darker than healthy retina, as in autofluorescence; 1 if it is brighter.
    noise : float
        Standard deviation of the blurred level where nothing changes.
    usual_step : float
        Median step where a step is certain; 0 if nothing changed.
    """

    onset: np.ndarray
    step: np.ndarray
    direction: int
    noise: float
    usual_step: float

    @property
    def too_noisy(self) -> bool:
        """Whether only the strongest changes stand out of the noise, so that most are missed."""
        return (self.usual_step or CLEAR * USUAL_STEP) < CLEAR * TALL * self.noise


def find_change(
    levels: np.ndarray,
    seen: np.ndarray,
    *,
    region: np.ndarray | None = None,
    direction: int | None = None,
    unit: float = 1.0,
) -> Change:
    """Find where the level changed for good between two visits, and between which.

    Parameters
    ----------
    levels, seen
        See `finding.even_levels`.
    region : bool ndarray, shape (height, width), optional
        Where changes are looked for. The noise is measured everywhere, because most of a region
        around atrophy may have changed.
    direction : {-1, 1}, optional
        Known from the modality; None: the direction in which most of the retina changed. For one
        visit alone it is -1, as in autofluorescence.
    unit : float
        Pixels of the images per pixel of an image of 768.

    Returns
    -------
    Change

    Examples
    --------
    >>> import numpy as np
    >>> levels = np.random.default_rng(0).normal(0, 0.02, (4, 64, 64)).astype(np.float32)
    >>> levels[2:, 20:40, 20:40] -= 0.6
    >>> change = find_change(levels, np.ones(levels.shape, bool))
    >>> change.direction, int(change.onset[30, 30]), int(change.onset[5, 5])
    (-1, 2, 4)
    """
    smooth = np.stack([cv2.GaussianBlur(level, (0, 0), SMOOTH * unit) for level in levels])
    everywhere = seen.all(axis=0)
    looked_at = everywhere if region is None else everywhere & region
    count = len(levels)
    nothing = np.full(levels.shape[1:], count, np.int16)
    if count < 2 or not looked_at.any():
        return Change(nothing, np.zeros(nothing.shape, np.float32), direction or -1, 0.0, 0.0)
    noises = _noise_of_tones(smooth, everywhere)
    noise = float(np.median(noises[everywhere]))
    least = np.maximum(TALL * noises, LEAST_STEP)
    direction = direction or _usual_direction(smooth, looked_at, least)
    smooth *= np.float32(direction)
    onset, step = _steps(smooth, seen)
    certain = (step > least) & looked_at
    if certain.sum() < max(BY_CHANCE * looked_at.sum(), LEAST_AREA * unit**2):
        return Change(nothing, step, direction, noise, 0.0)
    usual = float(np.median(step[certain]))
    place = seen.any(axis=0) if region is None else seen.any(axis=0) & region
    changed = _proven(step, usual, noises, place, LEAST_AREA * unit**2)
    onset = np.where(changed, onset, count).astype(np.int16)
    return Change(onset, step, direction, noise, usual if changed.any() else 0.0)


def _noise_of_tones(smooth: np.ndarray, everywhere: np.ndarray) -> np.ndarray:
    """Return the standard deviation of the noise of every pixel, by its brightness (height, width).

    The logarithm makes the noise of dark places large.
    """
    level = smooth[0]
    limits = np.quantile(level[everywhere], np.linspace(0, 1, TONES + 1))
    classes = np.clip(np.searchsorted(limits, level) - 1, 0, TONES - 1)
    differences = np.diff(smooth, axis=0)
    np.abs(differences, out=differences)
    noise = np.zeros(TONES, np.float32)
    for tone in range(TONES):
        part = differences[:, (classes == tone) & everywhere]
        noise[tone] = 1.4826 * np.median(part) / np.sqrt(2) if part.size else 0
    return noise[classes]


def _usual_direction(smooth: np.ndarray, everywhere: np.ndarray, least: np.ndarray) -> int:
    """Return whether more of the retina became darker (-1) or brighter (1)."""
    several = max(len(smooth) // 3, 1)
    difference = smooth[-several:].mean(axis=0) - smooth[:several].mean(axis=0)
    changes, least = difference[everywhere], least[everywhere]
    return -1 if (changes < -least).sum() >= (changes > least).sum() else 1


def _steps(smooth: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit one step up to the levels of every pixel; return its position and its height.

    The position is that of least squares: the largest variance between the visits before and after.
    """
    count, shape = len(smooth), smooth.shape[1:]
    known = seen.astype(np.float32)
    total, visits = np.einsum("ijk,ijk->jk", smooth, known), known.sum(axis=0)
    onset, step = np.full(shape, count, np.int16), np.zeros(shape, np.float32)
    best, before, visits_before = (np.zeros(shape, np.float32) for _ in range(3))
    for position in range(1, count):
        before += smooth[position - 1] * known[position - 1]
        visits_before += known[position - 1]
        visits_after = visits - visits_before
        height = (total - before) / np.maximum(visits_after, 1)
        height -= before / np.maximum(visits_before, 1)
        between = np.maximum(height, 0) ** 2 * visits_before * visits_after
        better = between > best
        best[better], step[better], onset[better] = between[better], height[better], position
    return onset, step


def _proven(
    step: np.ndarray, usual: float, noises: np.ndarray, seen: np.ndarray, least_area: float
) -> np.ndarray:
    """Return the places whose step is tall enough, and large in a good part of the place."""
    changed = (step > np.maximum(TALL * noises, LOW * usual)) & seen
    labels, count = ndimage.label(changed)
    numbers = np.arange(count + 1)
    high = step > np.maximum(TALL * noises, HIGH * usual)
    share = ndimage.mean(high, labels, numbers)
    kept = (share > PROOF) & (np.bincount(labels.ravel(), minlength=count + 1) >= least_area)
    kept[0] = False
    return kept[labels]
