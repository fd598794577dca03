"""Where a part of the retina was moved: vessels that lie beside each other after the homography.

Surgery, or a membrane on the retina, shifts a part of it by more than the dense step (`following`)
can follow. The directions of the vessels around each place are compared with those around every
near place of the other image. A displacement is certain where the vessels agree much better with it
than without it, where no vessels stand still, and where its neighbours tell the same. Only dark
lines count, not the borders of lesions. The result is told, not followed: single lesions that grow
still look like moved vessels, and their growth must not be hidden.
"""

import math

import cv2
import numpy as np
from scipy import ndimage

from fundus_helpers.loading.light import erode, gaussian
from fundus_helpers.methods.keypoints.vessels import HALF_WIDTHS, vessel_strength, vessel_weight
from fundus_helpers.methods.lines import line_directions
from fundus_helpers.transforms.fields import pixel_grid
from fundus_helpers.transforms.warping import remap

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
# must tell the same. On 72 true pairs of FIRE, none was certain.
REACH, NEAR, LEAST_AGREEMENT, LEAST_GAIN, LEAST_CELLS = 0.04, 0.004, 0.5, 0.15, 8
# How many cells around certain ones may have been moved, too.
AROUND = 2


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
    if not mask.any():
        return np.zeros(mask.shape, np.float32)
    certain, shift = _certain_shifts(fixed, warped, mask)
    if not certain.any():
        return np.zeros(mask.shape, np.float32)
    length = np.linalg.norm(shift, axis=2) * certain
    length = gaussian(cv2.dilate(length, np.ones((2 * AROUND + 1,) * 2)), 1.0)
    return cv2.resize(length, mask.shape[::-1])


def _certain_shifts(
    fixed: np.ndarray, warped: np.ndarray, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return which cells certainly show moved vessels, and the displacements in pixels."""
    shifts, agreement = _agreement(fixed, warped, mask, REACH)
    length = np.linalg.norm(shifts, axis=1)
    near, best = agreement[length <= NEAR].max(axis=0), agreement.max(axis=0)
    among = np.where(agreement >= best - NEARLY, length[:, None, None], np.inf)
    shift = (shifts[among.argmin(axis=0)] * max(mask.shape)).astype(np.float32)
    inside = erode(mask, 0.01).astype(np.float32)
    inside = cv2.resize(inside, best.shape[::-1], interpolation=cv2.INTER_AREA) > 0.5
    # Vessels that stand still are not those that were moved there.
    there = pixel_grid(best.shape, np.float32) + shift * np.float32(SIZE / CELL / max(mask.shape))
    standing = np.maximum(near, remap(near, there, fill=None))
    certain = inside & (best >= LEAST_AGREEMENT) & (best - standing >= LEAST_GAIN)
    return _together(certain, shift), shift


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


def _together(certain: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Keep the cells whose neighbours tell the same, and of which there are enough together."""
    weight = certain.astype(np.float32)
    known = np.maximum(gaussian(weight, NEIGHBOURS), 1e-6)[..., None]
    mean = gaussian(shift * weight[..., None], NEIGHBOURS) / known
    apart = np.linalg.norm(shift - mean, axis=2)
    certain = certain & (apart <= TOLERANCE * np.linalg.norm(mean, axis=2))
    groups, _ = ndimage.label(certain, np.ones((3, 3)))
    sizes = np.bincount(groups.ravel())
    sizes[0] = 0
    return (sizes >= LEAST_CELLS)[groups]
