"""Where a part of the retina was moved: vessels that lie beside each other after the homography.

Surgery, or a membrane on the retina, shifts a part of it by more than the dense step (`following`)
can follow. The directions of the vessels around each place are compared with those around every
near place of the other image. A displacement is certain where the vessels agree much better with it
than without it, where no vessels stand still, and where its neighbours tell the same. Only dark
lines count, not the borders of lesions.

`moved_by` tells such parts. `follow_moved` follows them, if the photographs themselves then agree
better: beside a lesion that has grown, vessels may seem to be moved, but the photographs differ
with every displacement.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.sparse.csgraph import connected_components
from skimage.graph import pixel_graph

from fundus_helpers.loading.light import erode, gaussian
from fundus_helpers.methods.keypoints.vessels import HALF_WIDTHS, vessel_strength, vessel_weight
from fundus_helpers.methods.lines import line_directions
from fundus_helpers.methods.pair import local_correlation
from fundus_helpers.transforms import fields
from fundus_helpers.transforms.warping import follow, remap

# A function that finds the displacement field of two roughly registered images in a mask.
Dense = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

# Longer side of the maps of directions in pixels, and how many of them are the side of a cell.
SIZE, CELL = 256, 4
# Standard deviation of the window in which vessels are compared, as a share of the longer side: 15
# px of 728. Stronger vessels than the second share of all pixels count no more, and windows with
# less than the third share of the mean content hardly count.
WINDOW, STRONGEST, LEAST_CONTENT = 0.02, 0.95, 0.1
# Of displacements that agree nearly as well as the best, the shortest is taken.
NEARLY = 0.02
# Neighbours tell the same if they differ from their mean by less than this share of it. The other
# value is the standard deviation of their window, in cells.
TOLERANCE, NEIGHBOURS = 0.5, 1.5
# Shares of the longer side: the largest displacement that is searched, and the largest that the
# dense step follows, 29 and 3 px of 728. At a certain displacement, the directions agree (-1 to 1)
# by at least the third value, and by the fourth more than at every near one. So many cells together
# must tell the same.
REACH, NEAR, LEAST_AGREEMENT, LEAST_GAIN, LEAST_CELLS = 0.04, 0.004, 0.5, 0.15, 8
# A retina that is moved stays smooth: the displacements of two neighbours differ by at most this
# share of the side of a cell, and the displacement of a part is at most this share of its radius.
STEEPEST = 0.8
# How many cells around certain ones may have been moved, too.
AROUND = 2
# Vessels stand still where no displacement agrees better than a near one by more than this.
STANDING = 0.1

# A part is followed if the local correlation of the photographs is at least the first value there,
# and if what is missing to 1 is at most the second share of what was missing before.
LEAST_CORRELATION, LEFT = 0.58, 0.9
# How often moved parts are searched, and how often the dense step follows each time.
ROUNDS, STEPS = 3, 4
# Around a part, as a share of the longer side, and where at least the second share of the largest
# displacement is left, the field is found anew.
MARGIN, FADED = 0.03, 0.25


@dataclass(frozen=True)
class MovedParts:
    """Parts of the retina that were moved, on a grid of cells.

    Attributes
    ----------
    parts : list of bool ndarray, shape (rows, columns)
        The cells of each part.
    shift : float32 ndarray, shape (rows, columns, 2)
        Displacements (dx, dy) in pixels of the images; valid in the parts.
    standing : bool ndarray, shape (rows, columns)
        Cells in which the vessels stand still.
    """

    parts: list[np.ndarray]
    shift: np.ndarray
    standing: np.ndarray


def moved_by(fixed: np.ndarray, warped: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Measure how far vessels lie from where they should be, beyond what the dense step follows.

    Parameters
    ----------
    fixed, warped : float32 ndarray in [0, 1], shape (height, width)
        Images with even illumination, or pictures of vessels. `warped` is the moving image on the
        fixed grid.
    mask : bool ndarray, shape (height, width)
        The overlap of both fields of view.

    Returns
    -------
    float32 ndarray, shape (height, width)
        Lengths of the displacements in pixels; 0 where none is certain.
    """
    found = find_moved(fixed, warped, mask)
    if not found.parts:
        return np.zeros(mask.shape, np.float32)
    length = np.linalg.norm(found.shift, axis=2) * np.any(found.parts, axis=0)
    length = gaussian(_widened(length, AROUND), 1.0)
    return cv2.resize(length, mask.shape[::-1])


def follow_moved(
    fixed: np.ndarray, warped: np.ndarray, mask: np.ndarray, field: np.ndarray, dense: Dense
) -> np.ndarray:
    """Follow parts of the retina that were moved by more than the dense step can follow.

    Parameters
    ----------
    fixed, warped, mask
        See `moved_by`.
    field : float32 ndarray, shape (height, width, 2)
        Displacements (dx, dy) in pixels that the dense step has found.
    dense : callable
        The dense step: ``dense(fixed, warped, mask)`` returns displacements like `field`, as
        `following.follow_vessels` does.

    Returns
    -------
    float32 ndarray, shape (height, width, 2)
        `fixed` at x shows what `warped` shows at x + d. It differs from `field` only in moved parts
        and around them.
    """
    start = np.zeros_like(field)
    for _ in range(ROUNDS):
        better = _follow_once(fixed, warped, mask, start, field, dense)
        if better is None:
            break
        start = field = better
    return field


def _follow_once(
    fixed: np.ndarray,
    warped: np.ndarray,
    mask: np.ndarray,
    start: np.ndarray,
    field: np.ndarray,
    dense: Dense,
) -> np.ndarray | None:
    """Search moved parts after a start field, and follow them; None if there are none."""
    found = find_moved(fixed, *_moved(warped, mask, start))
    parts = found.parts
    if not parts:
        return None
    before = local_correlation(fixed, *_moved(warped, mask, field))
    while parts:
        shift = _spread(found, np.any(parts, axis=0), mask.shape)
        around = _surroundings(shift)
        better = _joined(start, shift)
        for _ in range(STEPS):
            step = dense(fixed, *_moved(warped, mask, better))
            better = _joined(better, step * around)
        better = field + around * (better - field)
        after = local_correlation(fixed, *_moved(warped, mask, better))
        agreeing = [part for part in parts if _agrees(part, before, after)]
        if len(agreeing) == len(parts):
            return better
        parts = agreeing
    return None


def _agrees(part: np.ndarray, before: np.ndarray, after: np.ndarray) -> bool:
    """Return whether the photographs agree in a part, and better than before."""
    inside = cv2.resize(part.astype(np.float32), before.shape[::-1]) > 0.5
    left = 1 - float(after[inside].mean())
    return left <= min(1 - LEAST_CORRELATION, LEFT * (1 - float(before[inside].mean())))


def _moved(
    warped: np.ndarray, mask: np.ndarray, field: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return an image and its mask, moved by a displacement field."""
    places = fields.pixel_grid(mask.shape, np.float32) + field
    seen = follow(mask.astype(np.float32), field) >= 0.5
    return remap(warped, places, interpolation="cubic", fill=None), mask & seen


def _joined(first: np.ndarray, then: np.ndarray) -> np.ndarray:
    """Return the displacement field of moving an image by one field, then by another."""
    places = fields.pixel_grid(then.shape[:2], np.float32) + then
    return then + remap(first, places, fill=None)


def _spread(found: MovedParts, moved: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return a smooth field, in which moved cells move and standing cells stand."""
    known = (moved | found.standing).astype(np.float32)
    shift = fields.smooth(found.shift * moved[..., None], known, 1.0)
    return cv2.resize(shift.astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)


def _surroundings(shift: np.ndarray) -> np.ndarray:
    """Return a weight, shape (height, width, 1): 1 where a field moves, and around, fading to 0."""
    length = np.linalg.norm(shift, axis=2)
    margin = round(MARGIN * max(length.shape))
    near = _widened((length >= FADED * length.max()).astype(np.float32), margin)
    return gaussian(near, margin / 2)[..., None]


def _widened(array: np.ndarray, by: int) -> np.ndarray:
    return cv2.dilate(array, np.ones((2 * by + 1,) * 2))


def find_moved(fixed: np.ndarray, warped: np.ndarray, mask: np.ndarray) -> MovedParts:
    """Find the parts of the retina that certainly were moved, and by how much.

    Parameters
    ----------
    fixed, warped, mask
        See `moved_by`.

    Returns
    -------
    MovedParts
    """
    side = max(mask.shape)
    small = [_half(array.astype(np.float32)) for array in (fixed, warped, mask)]
    fixed, warped, mask = *small[:2], small[2] >= 0.5
    shifts, agreement = _agreement(fixed, warped, mask, REACH)
    length = np.linalg.norm(shifts, axis=1)
    near, best = agreement[length <= NEAR].max(axis=0), agreement.max(axis=0)
    among = np.where(agreement >= best - NEARLY, length[:, None, None], np.inf)
    shift = (shifts[among.argmin(axis=0)] * side).astype(np.float32)
    inside = erode(mask, 0.01).astype(np.float32)
    inside = cv2.resize(inside, best.shape[::-1], interpolation=cv2.INTER_AREA) > 0.5
    # Vessels that stand still are not those that were moved there.
    there = fields.pixel_grid(best.shape, np.float32) + shift * np.float32(SIZE / CELL / side)
    occupied = np.maximum(near, remap(near, there, fill=None))
    certain = inside & (best >= LEAST_AGREEMENT) & (best - occupied >= LEAST_GAIN)
    parts = _together(certain, shift, side / max(best.shape))
    moved = _widened(certain.astype(np.float32), AROUND) > 0
    standing = (near >= LEAST_AGREEMENT) & (near >= best - STANDING) & ~moved
    return MovedParts(parts, shift, standing)


def _half(array: np.ndarray) -> np.ndarray:
    return cv2.resize(array, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def _agreement(
    fixed: np.ndarray, warped: np.ndarray, mask: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return all displacements (n, 2), shares, and how well cells agree at each (n, rows, columns).

    The directions of vessels are vectors at twice the angle; their correlation in the windows.
    """
    first, second = (_directions(image, mask) for image in (fixed, warped))
    rows, columns = first.shape[:2]
    cells = columns // CELL, rows // CELL
    radius = math.ceil(reach * SIZE)
    second = cv2.copyMakeBorder(second, *[radius] * 4, cv2.BORDER_CONSTANT)
    content = cv2.resize(np.sum(first**2, axis=2), cells, interpolation=cv2.INTER_AREA)
    content = gaussian(content, WINDOW * SIZE / CELL)
    other = gaussian(np.sum(second**2, axis=2), WINDOW * SIZE)
    first, second = cv2.split(first), cv2.split(second)
    least = LEAST_CONTENT * float(content.mean()) + 1e-6
    grid = np.mgrid[-radius : radius + 1, -radius : radius + 1].reshape(2, -1).T[:, ::-1]
    grid = grid[np.linalg.norm(grid, axis=1) <= radius]
    found = np.empty((len(grid), *cells[::-1]), np.float32)
    for agreement, (dx, dy) in zip(found, grid, strict=True):
        top, left = radius + dy, radius + dx
        shifted = (each[top : top + rows, left : left + columns] for each in second)
        across, along = map(np.multiply, first, shifted)
        products = np.add(across, along, out=across)
        products = cv2.resize(products, cells, interpolation=cv2.INTER_AREA)
        there = other[top : top + rows, left : left + columns][CELL // 2 :: CELL, CELL // 2 :: CELL]
        agreement[:] = gaussian(products, WINDOW * SIZE / CELL)
        agreement /= np.sqrt(content * there) + least
    return grid / SIZE, found


def _directions(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the directions of dark vessels, as long as the vessels are strong, on a small map."""
    directions = line_directions(image, mask, HALF_WIDTHS[-1])
    strength = vessel_strength(image, mask, edge_penalty=1.0) * vessel_weight(image, mask)
    strongest = max(float(np.quantile(strength[mask], STRONGEST)), 1e-6)
    length = np.maximum(cv2.magnitude(*cv2.split(directions)), 1e-3)
    directions = directions * (np.minimum(strength / strongest, 1) / length)[..., None]
    factor = SIZE / CELL / max(mask.shape)
    shape = tuple(CELL * max(round(factor * n), 1) for n in mask.shape[::-1])
    return cv2.resize(directions, shape, interpolation=cv2.INTER_AREA)


def _together(certain: np.ndarray, shift: np.ndarray, cell: float) -> list[np.ndarray]:
    """Return the groups of cells that tell the same and that a smooth retina can show."""
    weight = certain.astype(np.float32)
    known = np.maximum(gaussian(weight, NEIGHBOURS), 1e-6)[..., None]
    mean = gaussian(shift * weight[..., None], NEIGHBOURS) / known
    apart = np.linalg.norm(shift - mean, axis=2)
    certain = certain & (apart <= TOLERANCE * np.linalg.norm(mean, axis=2))
    parts = []
    for part in _groups(certain, shift, STEEPEST * cell):
        length = np.linalg.norm(shift[part].mean(axis=0))
        radius = cell * math.sqrt(part.sum() / math.pi)
        if part.sum() >= LEAST_CELLS and length <= STEEPEST * radius:
            parts.append(part)
    return parts


def _groups(certain: np.ndarray, shift: np.ndarray, largest: float) -> list[np.ndarray]:
    """Return the groups of neighbouring cells whose displacements differ by at most so many px."""
    if not certain.any():
        return []
    graph, cells = pixel_graph(
        shift[..., 0] + 1j * shift[..., 1],
        mask=certain,
        connectivity=2,
        edge_function=lambda one, other, _: np.abs(one - other) <= largest,
    )
    graph.eliminate_zeros()
    count, groups = connected_components(graph, directed=False)
    parts = np.zeros((count, certain.size), bool)
    parts[groups, cells] = True
    return [*parts.reshape(count, *certain.shape)]
