"""The field that follows parts of the retina that were moved.

Beside a lesion that has grown, vessels may only seem to be moved. Therefore a part is followed only
if the photographs then agree in it, better than before, and not worse around it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import cv2
import numpy as np

from fundus_helpers.loading.light import gaussian
from fundus_helpers.methods.keypoints.following import limit_area_change
from fundus_helpers.methods.keypoints.moved_parts import MovedParts, find_moved, widened
from fundus_helpers.methods.pair import local_correlation
from fundus_helpers.transforms import fields
from fundus_helpers.transforms.warping import remap, remap_mask

# A function that finds the displacement field of two roughly registered images in a mask.
Dense = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

MARGIN = 4  # cells around a part may be changed; two cells farther, hardly anything is
LEAST_LOCAL_CORRELATION = 0.58  # of the photographs in the part
REMAINING = 0.9  # 1 minus this correlation must fall to this share of its value before
PROGRESS = 0.05  # by which this correlation may still rise after the first dense step
SEARCHES, DENSE_STEPS = 3, 8
SMALLEST_STEP = 0.0004  # a smaller dense step is the last: 0.3 px of 728
LARGEST_AREA_CHANGE = 3.0  # more is smoothed, so that nothing folds


def follow_moved(
    fixed: np.ndarray, warped: np.ndarray, mask: np.ndarray, field: np.ndarray, dense: Dense
) -> np.ndarray:
    """Follow parts of the retina that were moved by more than the dense step can follow.

    Parameters
    ----------
    fixed, warped : float32 ndarray in [0, 1], shape (height, width)
        Photographs with even illumination. `warped` is the moving one on the fixed grid. Pictures
        of vessels are too little alike to prove a displacement.
    mask : bool ndarray, shape (height, width)
        The overlap of both fields of view, without what may have changed.
    field : float32 ndarray, shape (height, width, 2)
        Displacements d = (dx, dy) in pixels that the dense step has found: `fixed` at x shows what
        `warped` shows at x + d.
    dense : callable
        The dense step: ``dense(fixed, warped, mask)`` returns displacements like `field`, as
        `following.follow_vessels` does.

    Returns
    -------
    float32 ndarray, shape (height, width, 2)
        Displacements like `field`. They differ from `field` in moved parts and around them, and
        where the area would change more than threefold.

    Examples
    --------
    >>> import numpy as np
    >>> from fundus_helpers.methods.keypoints import follow_moved, follow_vessels
    >>> image, mask = np.full((96, 128), 0.5, np.float32), np.ones((96, 128), bool)
    >>> field = follow_vessels(image, image, mask)
    >>> bool((follow_moved(image, image, mask, field, follow_vessels) == field).all())
    True
    """
    found = find_moved(fixed, warped, mask)
    refused = np.zeros(found.standing.shape, bool)
    start = np.zeros_like(field)
    for search in range(SEARCHES):
        if search:
            found = find_moved(fixed, *_warped_by(warped, mask, start))
        parts = [part for part in found.parts if not (part & refused).any()]
        if not parts:
            return field
        before = local_correlation(fixed, *_warped_by(warped, mask, field))
        better = None
        while parts and better is None:
            some = replace(found, parts=parts)
            steps = _followed(fixed, warped, mask, start, field, some, dense)
            better, wrong = _judged(fixed, warped, mask, steps, parts, before)
            refused = np.any([refused, *wrong], axis=0)
            parts = [part for part in parts if not (part & refused).any()]
        if better is None:
            return field
        start = field = better
    return field


def _judged(
    fixed: np.ndarray,
    warped: np.ndarray,
    mask: np.ndarray,
    steps: Iterator[np.ndarray],
    parts: list[np.ndarray],
    before: np.ndarray,
) -> tuple[np.ndarray | None, list[np.ndarray]]:
    """Return the last field of some steps, None if it is wrong, and the parts in which it is.

    If a part is hopeless after the first step, no other step is made.
    """
    field = next(steps)
    after = local_correlation(fixed, *_warped_by(warped, mask, field))
    if wrong := [part for part in parts if _is_hopeless(part, after)]:
        return None, wrong
    *_, field = field, *steps
    field = limit_area_change(field, np.ones(mask.shape, bool), largest=LARGEST_AREA_CHANGE)
    after = local_correlation(fixed, *_warped_by(warped, mask, field))
    folds = fields.area(field) < fields.LEAST_AREA
    wrong = [part for part in parts if not _agrees(part, before, after, folds)]
    return None if wrong else field, wrong


def _followed(
    fixed: np.ndarray,
    warped: np.ndarray,
    mask: np.ndarray,
    start: np.ndarray,
    field: np.ndarray,
    found: MovedParts,
    dense: Dense,
) -> Iterator[np.ndarray]:
    """Yield fields that follow the parts found after a start field; elsewhere they are `field`.

    Each is one dense step nearer than the one before.
    """
    moved = np.any(found.parts, axis=0)
    around = widened(moved.astype(np.float32), MARGIN)
    weight = cv2.resize(gaussian(around, MARGIN / 4), mask.shape[::-1])[..., None]
    shift = _spread(found, moved, around > 0, max(mask.shape))
    better = _composed(start, cv2.resize(shift, mask.shape[::-1], interpolation=cv2.INTER_CUBIC))
    for _ in range(DENSE_STEPS):
        step = weight * dense(fixed, *_warped_by(warped, mask, better))
        better = _composed(better, step)
        yield field + weight * (better - field)
        if np.abs(step).max() < SMALLEST_STEP * max(mask.shape):
            return


def _spread(found: MovedParts, moved: np.ndarray, around: np.ndarray, side: int) -> np.ndarray:
    """Return a smooth field in pixels, on the cells: moved cells move and standing cells stand."""
    cell = side / max(moved.shape)
    known = (moved | found.standing | ~around).astype(np.float32)
    shift = found.shift * moved[..., None] / np.float32(cell)
    return (cell * fields.smooth_without_folds(shift, known, 1.0)).astype(np.float32)


def _is_hopeless(part: np.ndarray, after: np.ndarray) -> bool:
    """Return whether more dense steps cannot make the photographs agree in a part."""
    inside = cv2.resize(part.astype(np.float32), after.shape[::-1]) > 0.5
    if not inside.any():  # an image with fewer pixels than cells
        return True
    return bool(after[inside].mean() < LEAST_LOCAL_CORRELATION - PROGRESS)


def _agrees(part: np.ndarray, before: np.ndarray, after: np.ndarray, folds: np.ndarray) -> bool:
    """Return whether the photographs agree in a part, better than before, and not worse around."""
    part = part.astype(np.float32)
    inside, around = (
        cv2.resize(cells, before.shape[::-1]) > 0.5 for cells in (part, widened(part, MARGIN))
    )
    left = 1 - float(after[inside].mean())
    alike = left <= min(1 - LEAST_LOCAL_CORRELATION, REMAINING * (1 - float(before[inside].mean())))
    return alike and after[around].mean() >= before[around].mean() and not folds[around].any()


def _warped_by(
    image: np.ndarray, mask: np.ndarray, field: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return an image and its mask, warped by a displacement field."""
    places = fields.pixel_grid(mask.shape, np.float32) + field
    warped = remap(image, places, interpolation="cubic", fill=None)
    return warped, mask & remap_mask(mask, places)


def _composed(first: np.ndarray, then: np.ndarray) -> np.ndarray:
    """Return the displacement field of warping an image by one field, then by another."""
    places = fields.pixel_grid(then.shape[:2], np.float32) + then
    return then + remap(first, places, fill=None)
