"""The pieces of a mask as polygons, which give back the same mask when they are filled."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, spatial

_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))  # right, down, left, up


@dataclass(frozen=True, eq=False)
class Piece:
    """A connected piece of a mask; pixels that touch at a corner only are not connected.

    Points are corners of pixels; see `canvas`.

    Attributes
    ----------
    outer : ndarray of int, shape (count, 2)
        The points (x, y) around the piece, clockwise as one sees it.
    holes : list of ndarray
        The points around each hole, the other way round.
    area : int
        Number of pixels.
    """

    outer: np.ndarray
    holes: list[np.ndarray]
    area: int

    @property
    def keyhole(self) -> np.ndarray:
        """The piece as one ring, which runs to each hole and back on the same line.

        Formats without holes can hold it, and every program fills it with its holes.
        """
        ring = self.outer
        for hole in self.holes:
            distances, nearest = spatial.KDTree(ring).query(hole)
            start = int(distances.argmin())
            at = int(nearest[start])
            around = np.roll(hole, -start, axis=0)
            ring = np.concatenate([ring[: at + 1], around, around[:1], ring[at:]])
        return ring


def find_pieces(mask: np.ndarray) -> list[Piece]:
    """Find the connected pieces of a mask, from the top to the bottom.

    Parameters
    ----------
    mask : ndarray of bool, shape (height, width)

    Examples
    --------
    >>> import numpy as np
    >>> mask = np.zeros((4, 6), bool)
    >>> mask[1:3, 2:5] = True
    >>> (piece,) = find_pieces(mask)
    >>> piece.outer.tolist(), piece.area
    ([[5, 1], [5, 3], [2, 3], [2, 1]], 6)
    """
    labels, _ = ndimage.label(mask)
    pieces = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        inside = labels[rows, columns] == number
        corner = (columns.start, rows.start)
        rings = [ring + corner for ring in _rings(inside)]
        areas = [_signed_area(ring) for ring in rings]
        (outer,) = (ring for ring, area in zip(rings, areas, strict=True) if area > 0)
        holes = [ring for ring, area in zip(rings, areas, strict=True) if area < 0]
        pieces.append(Piece(outer, holes, int(inside.sum())))
    return pieces


def _rings(mask: np.ndarray) -> Iterator[np.ndarray]:
    """Follow the edges between pixels, with the mask to the right of the way."""
    padded = np.pad(mask, 1)
    stride = padded.shape[1]
    middle = padded[1:-1, 1:-1]
    neighbours = (padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2])
    # The edge above a pixel begins at its upper left corner, and so on around the pixel.
    offsets = (0, 1, stride + 1, stride)
    edges: list[set[int]] = []
    for neighbour, offset in zip(neighbours, offsets, strict=True):
        rows, columns = np.nonzero(middle & ~neighbour)
        edges.append({*(rows * stride + columns + offset).tolist()})
    moves = [dx + dy * stride for dx, dy in _STEPS]
    for first in sorted(edges[0]):
        if first in edges[0]:
            corners = _followed(first, edges, moves)
            yield np.column_stack([np.mod(corners, stride), np.floor_divide(corners, stride)])


def _followed(first: int, edges: list[set[int]], moves: list[int]) -> list[int]:
    """Follow one ring, remove its edges, and return its corners."""
    place, direction, corners = first, 0, []
    while True:
        edges[direction].remove(place)
        place += moves[direction]
        # To the right first, so that pixels which touch at a corner only stay apart.
        for turn in (1, 0, 3):
            following = (direction + turn) % 4
            if place in edges[following] or (place, following) == (first, 0):
                break
        if following != direction:
            corners.append(place)
        direction = following
        if (place, direction) == (first, 0):
            return corners


def _signed_area(ring: np.ndarray) -> int:
    (x, y), (to_x, to_y) = ring.T, np.roll(ring, -1, axis=0).T
    return int((x * to_y - to_x * y).sum())
