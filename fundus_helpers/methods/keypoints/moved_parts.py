"""Parts of the retina that were moved: vessels that lie beside each other after the homography.

Surgery, or a membrane on the retina, shifts a part of it by more than the dense step (`following`)
can follow. The directions of the vessels around each place are compared with those around every
near place of the other image. A displacement is certain if the vessels agree much better with it
than without it, if it does not lead to vessels that stand still, and if neighbouring cells have
nearly the same displacement. Only dark lines count, not the borders of lesions.

`moved_by` measures how far such parts were moved; `moved_field` follows them.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.sparse.csgraph import connected_components
from skimage.graph import pixel_graph

from fundus_helpers.loading.light import erode, gaussian
from fundus_helpers.methods.keypoints.vessels import HALF_WIDTHS, vessel_strength, vessel_weight
from fundus_helpers.methods.lines import RIM, STRONGEST, line_directions
from fundus_helpers.transforms import fields
from fundus_helpers.transforms.warping import remap

# Sizes and lengths are shares of the longer side of the image, unless a unit is given.
SIZE = 256  # pixels: longer side of the maps of directions
CELL = 4  # pixels of these maps: side of a cell
WINDOW = 0.02  # standard deviation of the window in which vessels are compared: 15 px of 728
LEAST_CONTENT = 0.1  # of the mean; windows with fewer vessels hardly count
REACH = 0.043  # largest displacement that is searched: 31 px of 728
NEAR = 0.004  # largest displacement that the dense step follows: 3 px of 728
NEARLY = 0.02  # of displacements that agree nearly as well as the best, the shortest is taken

# A cell is certain.
LEAST_AGREEMENT = 0.5  # of the directions at the best displacement, from -1 to 1
LEAST_GAIN = 0.15  # best agreement minus the best one of vessels that stand still
NEIGHBOURS = 1.5  # cells: standard deviation of the window of the neighbours
TOLERANCE = 0.5  # largest difference from the mean of the neighbours, as a share of this mean
# Certain cells are a part. A retina that is moved stays smooth.
LEAST_CELLS = 8  # in a part
STEEPEST = 0.8  # difference of neighbours per cell, and displacement of a part per radius
# Around certain cells.
AROUND = 2  # cells around certain ones may have been moved, too
STANDING = 0.1  # vessels stand still where the best agreement is larger than a near one by less


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
    length = gaussian(widened(length, AROUND), 1.0)
    return cv2.resize(length, mask.shape[::-1])


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
    cells = _cells(mask)
    if not mask.any():
        return MovedParts([], np.zeros((*cells[::-1], 2), np.float32), np.zeros(cells[::-1], bool))
    inside = erode(mask, RIM).astype(np.float32)
    inside = cv2.resize(inside, cells, interpolation=cv2.INTER_AREA) > 0.5
    shifts = _displacements()
    length = np.linalg.norm(shifts, axis=1) / SIZE
    agreement = _agreement(fixed, warped, mask, shifts)
    near, best = agreement[length <= NEAR].max(axis=0), agreement.max(axis=0)
    among = np.where(agreement >= best - NEARLY, length[:, None, None], np.inf)
    shift = (shifts[among.argmin(axis=0)] * side / SIZE).astype(np.float32)
    # If the vessels at the target stand still, they are not the vessels of this cell.
    targets = fields.pixel_grid(best.shape, np.float32) + shift * np.float32(SIZE / CELL / side)
    occupied = np.maximum(near, remap(near, targets, fill=None))
    certain = inside & (best >= LEAST_AGREEMENT) & (best - occupied >= LEAST_GAIN)
    uncertain = widened(certain.astype(np.float32), AROUND) == 0
    standing = uncertain & (near >= LEAST_AGREEMENT) & (best - near <= STANDING)
    return MovedParts(_plausible_parts(certain, shift, side / max(best.shape)), shift, standing)


def widened(cells: np.ndarray, by: int) -> np.ndarray:
    """Return the largest value of the cells that are at most `by` rows and columns away."""
    return cv2.dilate(cells, np.ones((2 * by + 1,) * 2))


def _half(array: np.ndarray) -> np.ndarray:
    return cv2.resize(array, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def _cells(mask: np.ndarray) -> tuple[int, int]:
    """Return the number of cells in x and y."""
    factor = SIZE / CELL / max(mask.shape)
    columns, rows = (max(round(factor * n), 1) for n in mask.shape[::-1])
    return columns, rows


def _displacements() -> np.ndarray:
    """Return all displacements (dx, dy) that are searched, in pixels of the maps of directions."""
    radius = int(REACH * SIZE)
    shifts = np.mgrid[-radius : radius + 1, -radius : radius + 1].reshape(2, -1).T[:, ::-1]
    return shifts[np.linalg.norm(shifts, axis=1) <= radius]


def _agreement(
    fixed: np.ndarray, warped: np.ndarray, mask: np.ndarray, shifts: np.ndarray
) -> np.ndarray:
    """Return how well cells agree at displacements (n, 2), shape (n, rows, columns).

    The directions of vessels are vectors at twice the angle. The agreement is the correlation of
    these vectors in a window.
    """
    first, second = (_directions(image, mask) for image in (fixed, warped))
    rows, columns = first.shape[:2]
    cells = columns // CELL, rows // CELL
    radius = np.abs(shifts).max()
    second = cv2.copyMakeBorder(second, *[int(radius)] * 4, cv2.BORDER_CONSTANT)
    content = cv2.resize(np.sum(first**2, axis=2), cells, interpolation=cv2.INTER_AREA)
    content = gaussian(content, WINDOW * SIZE / CELL)
    moving_content = gaussian(np.sum(second**2, axis=2), WINDOW * SIZE)
    first, second = cv2.split(first), cv2.split(second)
    least = LEAST_CONTENT * float(content.mean()) + 1e-6
    found = np.empty((len(shifts), *cells[::-1]), np.float32)
    for agreement, (left, top) in zip(found, shifts + radius, strict=True):
        there = np.s_[top : top + rows, left : left + columns]
        products = first[0] * second[0][there] + first[1] * second[1][there]
        products = cv2.resize(products, cells, interpolation=cv2.INTER_AREA)
        content_there = moving_content[there][CELL // 2 :: CELL, CELL // 2 :: CELL]
        agreement[:] = gaussian(products, WINDOW * SIZE / CELL)
        agreement /= np.sqrt(content * content_there) + least
    return found


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
    parts = []
    for group in _groups(certain, shift, STEEPEST * cell):
        weight = group.astype(np.float32)
        known = np.maximum(gaussian(weight, NEIGHBOURS), 1e-6)[..., None]
        mean = gaussian(shift * weight[..., None], NEIGHBOURS) / known
        apart = np.linalg.norm(shift - mean, axis=2)
        part = group & (apart <= TOLERANCE * np.linalg.norm(mean, axis=2))
        if part.sum() < LEAST_CELLS:
            continue
        length = np.linalg.norm(shift[part].mean(axis=0))
        radius = cell * math.sqrt(part.sum() / math.pi)
        if length <= STEEPEST * radius:
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
