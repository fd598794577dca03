"""Parts of the retina that were moved: vessels that lie beside each other after the homography.

Surgery, or a membrane on the retina, shifts a part of it by more than the dense step (`following`)
can follow. The directions of the vessels around each place are compared with those around every
near place of the other image. A displacement is certain if the vessels agree much better with it
than without it, if it does not lead to vessels that stand still, and if neighbouring cells have
nearly the same displacement. Only dark lines count, not the borders of lesions.

`moved_by` measures how far such parts were moved. `follow_moved` follows them, if the photographs
then agree better. Beside a lesion that has grown, vessels may only seem to be moved. Then no
displacement makes the photographs alike, and nothing is followed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy.sparse.csgraph import connected_components
from skimage.graph import pixel_graph

from fundus_helpers.loading.light import erode, gaussian
from fundus_helpers.methods.keypoints.following import limit_area_change
from fundus_helpers.methods.keypoints.vessels import HALF_WIDTHS, vessel_strength, vessel_weight
from fundus_helpers.methods.lines import RIM, STRONGEST, line_directions
from fundus_helpers.methods.pair import local_correlation
from fundus_helpers.transforms import fields
from fundus_helpers.transforms.warping import follow, remap

# A function that finds the displacement field of two roughly registered images in a mask.
Dense = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

# Sizes and lengths are shares of the longer side of the image, unless a unit is given.
SIZE = 256  # pixels: longer side of the maps of directions
CELL = 4  # pixels of these maps: side of a cell
WINDOW = 0.02  # standard deviation of the window in which vessels are compared: 15 px of 728
LEAST_CONTENT = 0.1  # of the mean; windows with fewer vessels hardly count
REACH = 0.04  # largest displacement that is searched: 29 px of 728
NEAR = 0.004  # largest displacement that the dense step follows: 3 px of 728
NEARLY = 0.02  # of displacements that agree nearly as well as the best, the shortest is taken

# A cell is certain.
LEAST_AGREEMENT = 0.5  # of the directions at the best displacement, from -1 to 1
LEAST_GAIN = 0.15  # best agreement minus best agreement at a near displacement
NEIGHBOURS = 1.5  # cells: standard deviation of the window of the neighbours
TOLERANCE = 0.5  # largest difference from the mean of the neighbours, as a share of this mean
# Certain cells are a part. A retina that is moved stays smooth.
LEAST_CELLS = 8  # in a part
STEEPEST = 0.8  # difference of neighbours per cell, and displacement of a part per radius
# Around certain cells.
AROUND = 2  # cells around certain ones may have been moved, too
STANDING = 0.1  # vessels stand still where the best agreement is larger than a near one by less
MARGIN = 4  # cells around a part may be changed; what is farther away stands still

# A part is followed.
LEAST_LOCAL_CORRELATION = 0.58  # of the photographs in the part
REMAINING = 0.9  # 1 minus this correlation must fall to this share of its value before
SEARCHES, DENSE_STEPS = 3, 4
LARGEST_AREA_CHANGE = 3.0  # more is smoothed, so that nothing folds


@dataclass(frozen=True)
class MovedParts:
    """Parts of the retina that were moved, on a grid of cells, each 1/64 of the longer side.

    Attributes
    ----------
    parts : list of bool ndarray, shape (rows, columns)
        The cells of each part.
    shift : float32 ndarray, shape (rows, columns, 2)
        Displacements (dx, dy) in pixels of the images, from fixed to warped points; valid in the
        parts.
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

    Examples
    --------
    >>> import numpy as np
    >>> from fundus_helpers.methods.keypoints import moved_by
    >>> image = np.full((96, 128), 0.5, np.float32)
    >>> float(moved_by(image, image, np.ones((96, 128), bool)).max())
    0.0
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
        Displacements like `field`. They differ from `field` only in moved parts and around them.

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
            tried = replace(found, parts=parts)
            candidate = _followed(fixed, warped, mask, start, field, tried, dense)
            after = local_correlation(fixed, *_warped_by(warped, mask, candidate))
            folds = fields.area(candidate) < fields.LEAST_AREA
            wrong = [part for part in parts if not _agrees(part, before, after, folds)]
            refused |= np.any([refused, *wrong], axis=0)
            parts = [part for part in parts if not (part & refused).any()]
            better = None if wrong else candidate
        if better is None:
            return field
        start = field = better
    return field


def _followed(
    fixed: np.ndarray,
    warped: np.ndarray,
    mask: np.ndarray,
    start: np.ndarray,
    field: np.ndarray,
    found: MovedParts,
    dense: Dense,
) -> np.ndarray:
    """Return a field that follows the parts found after a start field; elsewhere it is `field`."""
    moved = np.any(found.parts, axis=0)
    around = _widened(moved.astype(np.float32), MARGIN)
    weight = cv2.resize(gaussian(around, MARGIN / 4), mask.shape[::-1])[..., None]
    shift = _spread(found, moved, around > 0, max(mask.shape))
    better = _composed(start, cv2.resize(shift, mask.shape[::-1], interpolation=cv2.INTER_CUBIC))
    for _ in range(DENSE_STEPS):
        step = dense(fixed, *_warped_by(warped, mask, better))
        better = _composed(better, step * weight)
    better = field + weight * (better - field)
    return limit_area_change(better, np.ones(mask.shape, bool), largest=LARGEST_AREA_CHANGE)


def _spread(found: MovedParts, moved: np.ndarray, around: np.ndarray, side: int) -> np.ndarray:
    """Return a smooth field in pixels, on the cells: moved cells move and standing cells stand."""
    cell = side / max(moved.shape)
    known = (moved | found.standing | ~around).astype(np.float32)
    shift = found.shift * moved[..., None] / np.float32(cell)
    return (cell * fields.smooth_without_folds(shift, known, 1.0)).astype(np.float32)


def _agrees(part: np.ndarray, before: np.ndarray, after: np.ndarray, folds: np.ndarray) -> bool:
    """Return whether the photographs agree in a part, better than before, and not worse around."""
    part = part.astype(np.float32)
    inside, around = (
        cv2.resize(cells, before.shape[::-1]) > 0.5 for cells in (part, _widened(part, MARGIN))
    )
    left = 1 - float(after[inside].mean())
    alike = left <= min(1 - LEAST_LOCAL_CORRELATION, REMAINING * (1 - float(before[inside].mean())))
    return alike and after[around].mean() >= before[around].mean() and not folds[around].any()


def _warped_by(
    image: np.ndarray, mask: np.ndarray, field: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return an image and its mask, warped by a displacement field."""
    places = fields.pixel_grid(mask.shape, np.float32) + field
    seen = follow(mask.astype(np.float32), field) >= 0.5
    return remap(image, places, interpolation="cubic", fill=None), mask & seen


def _composed(first: np.ndarray, then: np.ndarray) -> np.ndarray:
    """Return the displacement field of warping an image by one field, then by another."""
    places = fields.pixel_grid(then.shape[:2], np.float32) + then
    return then + remap(first, places, fill=None)


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
        Without parts where nothing was moved, or where the mask is empty.

    Examples
    --------
    >>> import numpy as np
    >>> from fundus_helpers.methods.keypoints import find_moved
    >>> image = np.full((96, 128), 0.5, np.float32)
    >>> find_moved(image, image, np.ones((96, 128), bool)).parts
    []
    """
    side = max(mask.shape)
    fixed, warped, mask = (_half(array.astype(np.float32)) for array in (fixed, warped, mask))
    mask = mask >= 0.5
    if not mask.any():
        cells = _cells(mask)[::-1]
        return MovedParts([], np.zeros((*cells, 2), np.float32), np.zeros(cells, bool))
    shifts, agreement = _agreement(fixed, warped, mask, REACH)
    length = np.linalg.norm(shifts, axis=1)
    near, best = agreement[length <= NEAR].max(axis=0), agreement.max(axis=0)
    among = np.where(agreement >= best - NEARLY, length[:, None, None], np.inf)
    shift = (shifts[among.argmin(axis=0)] * side).astype(np.float32)
    inside = erode(mask, RIM).astype(np.float32)
    inside = cv2.resize(inside, best.shape[::-1], interpolation=cv2.INTER_AREA) > 0.5
    # If the vessels at the target stand still, they are not the vessels of this cell.
    targets = fields.pixel_grid(best.shape, np.float32) + shift * np.float32(SIZE / CELL / side)
    occupied = np.maximum(near, remap(near, targets, fill=None))
    certain = inside & (best >= LEAST_AGREEMENT) & (best - occupied >= LEAST_GAIN)
    uncertain = _widened(certain.astype(np.float32), AROUND) == 0
    standing = uncertain & (near >= LEAST_AGREEMENT) & (best - near <= STANDING)
    return MovedParts(_plausible_parts(certain, shift, side / max(best.shape)), shift, standing)


def _half(array: np.ndarray) -> np.ndarray:
    return cv2.resize(array, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def _cells(mask: np.ndarray) -> tuple[int, int]:
    """Return the number of cells in x and y."""
    factor = SIZE / CELL / max(mask.shape)
    columns, rows = (max(round(factor * n), 1) for n in mask.shape[::-1])
    return columns, rows


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
    steps = np.mgrid[-radius : radius + 1, -radius : radius + 1].reshape(2, -1).T[:, ::-1]
    steps = steps[np.linalg.norm(steps, axis=1) <= radius]
    found = np.empty((len(steps), *cells[::-1]), np.float32)
    for agreement, (dx, dy) in zip(found, steps, strict=True):
        top, left = radius + dy, radius + dx
        shifted = (each[top : top + rows, left : left + columns] for each in second)
        across, along = map(np.multiply, first, shifted)
        products = np.add(across, along, out=across)
        products = cv2.resize(products, cells, interpolation=cv2.INTER_AREA)
        there = other[top : top + rows, left : left + columns][CELL // 2 :: CELL, CELL // 2 :: CELL]
        agreement[:] = gaussian(products, WINDOW * SIZE / CELL)
        agreement /= np.sqrt(content * there) + least
    return steps / SIZE, found


def _directions(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return vectors at twice the angle of dark vessels, as long as they are strong (0 to 1)."""
    directions = line_directions(image, mask, HALF_WIDTHS[-1])
    strength = vessel_strength(image, mask, edge_penalty=1.0) * vessel_weight(image, mask)
    strongest = max(float(np.quantile(strength[mask], STRONGEST)), 1e-6)
    length = np.maximum(cv2.magnitude(*cv2.split(directions)), 1e-3)
    directions = directions * (np.minimum(strength / strongest, 1) / length)[..., None]
    shape = tuple(CELL * count for count in _cells(mask))
    return cv2.resize(directions, shape, interpolation=cv2.INTER_AREA)


def _plausible_parts(certain: np.ndarray, shift: np.ndarray, cell: float) -> list[np.ndarray]:
    """Return the groups of cells with nearly the same displacement that a smooth retina can have.

    `cell` is the side of a cell in pixels.
    """
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
    """Return the groups of neighbouring cells whose displacements differ by at most `largest`."""
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
