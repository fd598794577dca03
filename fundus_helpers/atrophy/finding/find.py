"""Atrophy found on the registered visits of one eye, with no click or with a few hints."""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from skimage.morphology import remove_small_holes, remove_small_objects

from fundus_helpers.atrophy.finding.change import find_change
from fundus_helpers.atrophy.finding.enclosed import join_enclosed
from fundus_helpers.atrophy.finding.first_visit import find_first
from fundus_helpers.atrophy.finding.halfway import follow_borders, join, weigh_vessels
from fundus_helpers.atrophy.finding.hints import Hints, Strokes
from fundus_helpers.atrophy.finding.levels import even_levels

SIZE = 768  # of the images for which distances are given in pixels
LEAST_PIECE, LARGEST_HOLE = 40, 60  # pixels of an image of 768
# Which sign the change of brightness has where the retina becomes atrophic.
DIRECTIONS = {"autofluorescence": -1, "colour": 1, "infrared": 1, "red-free": 1}


@dataclass(frozen=True)
class Found:
    """Where and when the retina became atrophic.

    Attributes
    ----------
    onset : int16 ndarray, shape (height, width)
        Position of the first visit at which a pixel is atrophic; the number of visits where it
        never is.
    healed : float
        Healed share: of the atrophy at the last visit, the share that one visit alone shows as
        atrophic and a later one as healthy. It is a check of the registration, because atrophy does
        not heal.
    healed_places : bool ndarray, shape (height, width)
        Where that is.
    direction : {-1, 1}
        Whether atrophy is darker (-1) or brighter (1) than healthy retina.
    seen : bool ndarray, shape (height, width)
        Where atrophy could be found: in the field of view of the first visit, without its rim, and
        of any later one; and what is inside an outline.
    too_noisy : bool
        Whether only the strongest changes stand out of the noise of the photographs.
    """

    onset: np.ndarray
    healed: float
    healed_places: np.ndarray
    direction: int
    seen: np.ndarray
    too_noisy: bool = False


@dataclass(frozen=True)
class SeriesEvidence:
    """What the visits of a series say, before strokes are joined with it: `gather_evidence`.

    Attributes
    ----------
    says : float32 ndarray, shape (visits, height, width)
        See `Evidence`.
    onset : int16 ndarray, shape (height, width)
        The onset without outlines and strokes; see `Found`.
    near : bool ndarray, shape (height, width)
        Where the visits are used; everywhere else is healthy unless it was drawn.
    outlines : mapping of int to bool ndarray, shape (height, width)
        What was drawn, by position of the visit.
    direction, seen, healed_places, healed, too_noisy
        See `Found`.
    """

    says: np.ndarray
    onset: np.ndarray
    near: np.ndarray
    outlines: Mapping[int, np.ndarray]
    direction: int
    seen: np.ndarray
    healed_places: np.ndarray
    healed: float
    too_noisy: bool = False

    def found(self, strokes: Mapping[int, Strokes] | None = None) -> Found:
        """Join the visits with outlines and strokes. It takes milliseconds per visit."""
        onset, strokes = self.onset, strokes or {}
        if self.outlines or strokes:
            says = np.where(self.near, self.says, -1).astype(np.float32)
            joined = join(_with_strokes(says, self.outlines, strokes))
            touched = np.full(onset.shape, bool(self.outlines))
            for each in strokes.values():
                touched |= each.atrophic | each.healthy
            onset = np.where(touched, joined, onset).astype(np.int16)
        seen = self.seen | (onset < len(self.says))
        healed = self.healed, self.healed_places
        return Found(onset, *healed, self.direction, seen, self.too_noisy)


def find_atrophy(
    images: np.ndarray,
    masks: np.ndarray,
    *,
    hints: Hints | None = None,
    outlines: Mapping[int, np.ndarray] | None = None,
    modality: str = "",
) -> Found:
    """Find where and when the retina became atrophic.

    Parameters
    ----------
    images : float32 ndarray in [0, 1], shape (visits, height, width)
        Registered photographs of one modality in the order of their dates, on one pixel grid.
    masks : bool ndarray, shape (visits, height, width)
        True inside the field of view.
    hints : Hints, optional
        What a person knows.
    outlines : mapping of int to bool ndarray, shape (height, width), optional
        Outlines that were drawn, by position of the visit. They are used without change.
    modality : str
        As in `loading.Eye.visits`. It decides whether atrophy is darker or brighter than healthy
        retina; if it is unknown, the direction in which most of the retina changed decides.

    Returns
    -------
    Found

    Raises
    ------
    EyeError
        If a hint lies outside the image.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> images = rng.normal(0.6, 0.01, (4, 128, 128)).astype(np.float32)
    >>> images[2:, 40:80, 40:80] *= 0.5
    >>> found = find_atrophy(images, np.ones(images.shape, bool))
    >>> int(found.onset[60, 60]), int(found.onset[10, 10])
    (2, 4)
    """
    hints = hints or Hints()
    evidence = gather_evidence(images, masks, hints=hints, outlines=outlines, modality=modality)
    return evidence.found(hints.strokes)


def gather_evidence(
    images: np.ndarray,
    masks: np.ndarray,
    *,
    hints: Hints | None = None,
    outlines: Mapping[int, np.ndarray] | None = None,
    modality: str = "",
    threads: int = 1,
) -> SeriesEvidence:
    """Do all of `find_atrophy` that does not depend on strokes; it is what takes the time.

    Parameters
    ----------
    images, masks, hints, outlines, modality
        See `find_atrophy`. The strokes of the hints are not looked at.
    threads : int
        See `follow_borders`.

    Returns
    -------
    SeriesEvidence

    Raises
    ------
    EyeError
        If a hint lies outside the image.
    """
    hints, outlines = hints or Hints(), dict(outlines or {})
    count, shape = len(images), images.shape[1:]
    unit = max(shape) / SIZE
    region = hints.region(shape)
    if set(outlines) == set(range(count)):
        says = np.stack([np.where(outlines[i], 1, -1) for i in range(count)]).astype(np.float32)
        onset = join(says)
        healed = _healed(says, masks, onset, unit)
        direction = DIRECTIONS.get(modality, -1)
        seen = masks.any(axis=0)
        return SeriesEvidence(says, onset, np.ones(shape, bool), {}, direction, seen, *healed)
    circled = None if hints.ellipse is None else region
    levels, seen = even_levels(images, masks, circled)
    change = find_change(
        levels, seen, region=circled, direction=DIRECTIONS.get(modality), unit=unit
    )
    weight = weigh_vessels(levels, seen, change.noise)
    onset = change.onset
    if not hints.first_free:
        first = find_first(
            levels, seen, change, weight, region=circled, fovea=hints.fovea, unit=unit
        )
        onset = np.where(first & region, 0, onset).astype(np.int16)
    onset = tidied(onset, count, unit)
    how = {"first_free": hints.first_free, "unit": unit, "threads": threads}
    evidence = follow_borders(levels, seen, onset, change.direction, weight, **how)
    onset, says = tidied(np.where(region, evidence.onset, count), count, unit), evidence.says
    if change.direction > 0:  # in autofluorescence, a spared fovea is as dark as atrophy
        joined = join_enclosed(onset, levels, seen, unit=unit)
        joined = np.where(onset < count, onset, np.maximum(joined, int(hints.first_free)))
        new = (joined < onset) & (np.arange(count)[:, None, None] >= joined)
        says[new], onset = 1, joined
    healed = _healed(says, seen, onset, unit)
    known = outlines, change.direction, seen.any(axis=0)
    return SeriesEvidence(says, onset, onset < count, *known, *healed, change.too_noisy)


def tidied(onset: np.ndarray, count: int, unit: float = 1.0) -> np.ndarray:
    """Remove small pieces from the outlines of all visits, and fill small holes.

    Parameters
    ----------
    onset : int ndarray, shape (height, width)
        See `Found`.
    count : int
        Number of visits.
    unit : float
        Pixels of the images per pixel of an image of 768.

    Returns
    -------
    int16 ndarray, shape (height, width)
        The outline of each visit still contains those of the visits before.
    """
    piece, hole = (max(round(area * unit**2), 1) for area in (LEAST_PIECE, LARGEST_HOLE))
    tidy = np.full(onset.shape, count, np.int16)
    for i in reversed(range(count)):
        lesion = remove_small_objects(onset <= i, max_size=piece)
        lesion = remove_small_holes(lesion, max_size=hole)
        if i + 1 < count:
            lesion &= tidy <= i + 1
        tidy[lesion] = i
    return tidy


def _with_strokes(
    says: np.ndarray, outlines: Mapping[int, np.ndarray], strokes: Mapping[int, Strokes]
) -> np.ndarray:
    """Put what a person has drawn above what the visits say."""
    certain = np.float32(2 * len(says))
    says = says.copy()
    for i, mask in outlines.items():
        says[i] = np.where(mask, certain, -certain)
    for i, painted in strokes.items():
        says[i][painted.healthy] = -certain * 2
        says[i][painted.atrophic] = certain * 2
    return says


def _healed(
    says: np.ndarray, seen: np.ndarray, onset: np.ndarray, unit: float
) -> tuple[np.ndarray, float]:
    """Return where a later visit shows atrophy as healthy, and its share of the last lesion."""
    side = 2 * max(round(unit), 1) + 1
    kernel = np.ones((side, side), np.uint8)
    lesion = onset < len(says)
    dead, places = np.zeros(onset.shape, bool), np.zeros(onset.shape, bool)
    for visit, view in zip(says, seen, strict=True):
        here = (visit > 0) & lesion & view
        healed = (dead & ~here & view).astype(np.uint8)
        places |= cv2.morphologyEx(healed, cv2.MORPH_OPEN, kernel) > 0
        dead |= here
    return places, float(places.sum() / max(lesion.sum(), 1))
