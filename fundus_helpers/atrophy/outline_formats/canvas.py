"""A mask onto which the shapes of a file are filled.

A point (x, y) here is a corner of pixels: (0, 0) is the upper left corner of the first pixel, and
its middle is (0.5, 0.5), as in ImageJ, LabelMe and COCO. A pixel belongs to a shape if its middle
lies inside, so that the area is right on the average, and a rectangle from corner to corner covers
the whole photograph.
"""

from collections.abc import Sequence

import numpy as np

from fundus_helpers.loading.eye_error import EyeError

_TOLERANCE = 0.01  # pixels; programs round points on the border of a photograph
# As in ImageJ, a middle on the left border of a shape is outside, one on the right border inside.
_NUDGE = 1e-8
_CROSSINGS = 2_000_000  # of edges and rows that are looked at together
_CURVE = 1024  # points on a whole circle, whose area is then right to 1 in 100000


def fill_rings(
    rings: Sequence[np.ndarray], size: tuple[int, int], *, even_odd: bool = False
) -> np.ndarray:
    """Fill closed rings of straight edges; what lies outside the photograph is cut off.

    Parameters
    ----------
    rings : sequence of ndarray, shape (count, 2)
        Points (x, y); the last is joined to the first.
    size : (width, height)
        In pixels.
    even_odd : bool
        Fill what is enclosed an odd number of times, so that a ring inside another one is a hole,
        whatever its direction. By default, everything that a ring goes around is filled.

    Returns
    -------
    ndarray of bool, shape (height, width)

    Examples
    --------
    >>> import numpy as np
    >>> square = np.array([(0, 0), (4, 0), (4, 4), (0, 4)])
    >>> fill_rings([square, square / 2], (4, 4), even_odd=True).sum()
    np.int64(12)
    """
    mask = np.zeros(size[::-1], bool)
    together = np.concatenate([np.asarray(ring, float) for ring in rings])
    left, top = np.clip(np.floor(together.min(axis=0)), 0, size).astype(int)
    right, bottom = np.clip(np.ceil(together.max(axis=0)), 0, size).astype(int)
    if right <= left or bottom <= top:
        return mask
    turns = np.zeros((bottom - top, right - left + 1), np.int32)
    for ring in rings:
        ring = np.asarray(ring, float) - (left, top)
        _add_turns(turns, ring, np.roll(ring, -1, axis=0), even_odd)
    turns = turns.cumsum(axis=1)[:, :-1]
    mask[top:bottom, left:right] = turns % 2 == 1 if even_odd else turns != 0
    return mask


def _add_turns(turns: np.ndarray, begins: np.ndarray, ends: np.ndarray, even_odd: bool) -> None:
    """Add to each row where the edges cross the line through the middles of its pixels."""
    height, width = turns.shape[0], turns.shape[1] - 1
    downward = np.where(begins[:, 1] < ends[:, 1], 1, -1)
    swapped = (downward < 0)[:, None]  # both ways along an edge give the same crossings
    upper, lower = np.where(swapped, ends, begins), np.where(swapped, begins, ends)
    first, last = (
        np.ceil(np.clip(points[:, 1] - 0.5, 0, height)).astype(int) for points in (upper, lower)
    )
    block = max(1, _CROSSINGS // height)
    for start in range(0, len(begins), block):
        chosen = slice(start, start + block)
        counts = (last - first)[chosen]
        edges = np.repeat(np.arange(len(begins))[chosen], counts)
        rows = first[edges] + np.arange(len(edges)) - np.repeat(counts.cumsum() - counts, counts)
        (x, y), (to_x, to_y) = upper[edges].T, lower[edges].T
        crossed = x + (to_x - x) * ((rows + 0.5 - y) / (to_y - y))
        columns = np.floor(np.clip(crossed + 0.5 + _NUDGE, 0, width)).astype(int)
        np.add.at(turns, (rows, columns), 1 if even_odd else downward[edges])


def clock_points(
    middle: tuple[float, float], radii: tuple[float, float], turns: tuple[float, float] = (0, 1)
) -> np.ndarray:
    """Return points on an ellipse, whose axes lie along x and y, or on a part of it.

    Parameters
    ----------
    middle, radii : (x, y)
        In pixels.
    turns : (begin, end)
        Parts of a whole turn, clockwise from 3 o'clock.

    Returns
    -------
    ndarray, shape (count, 2)

    Examples
    --------
    >>> clock_points((0, 0), (2, 1), (0, 0.25)).round(6)[[0, -1]].tolist()
    [[2.0, 0.0], [0.0, 1.0]]
    """
    begin, end = turns
    angles = 2 * np.pi * np.linspace(begin, end, max(2, round(abs(end - begin) * _CURVE) + 1))
    return np.asarray(middle) + np.asarray(radii) * np.column_stack(
        [np.cos(angles), np.sin(angles)]
    )


class Canvas:
    """The mask of one photograph while the shapes of a file are filled.

    Parameters
    ----------
    size : (width, height)
        Of the photograph, in pixels.

    Attributes
    ----------
    mask : ndarray of bool, shape (height, width)
        What any of the shapes covers.
    notes : list of str
        What a person should know, each once.

    Examples
    --------
    >>> canvas = Canvas((6, 4))
    >>> canvas.fill([(2, 1), (8, 1), (8, 3), (2, 3)])
    >>> canvas.finished().sum(), canvas.notes
    (np.int64(8), ['a part lies outside the photograph and is cut off'])
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.mask = np.zeros((size[1], size[0]), bool)
        self.notes: list[str] = []
        self._empty: list[str] = []

    def tell(self, note: str) -> None:
        """Add a note, once."""
        if note not in self.notes:
            self.notes.append(note)

    def fill(self, *rings: Sequence, even_odd: bool = False) -> None:
        """Fill a shape of one or more rings. See `fill_rings` for `even_odd`.

        Raises
        ------
        EyeError
            If a ring has fewer than three points, or a coordinate is no number.
        """
        points = [np.asarray(ring, float).reshape(-1, 2) for ring in rings]
        if not points or any(len(ring) < 3 for ring in points):
            raise EyeError("a shape has fewer than three points; delete it, or draw it again")
        together = np.concatenate(points)
        if not (np.isfinite(together).all() and np.abs(together).max() < 1e9):
            raise EyeError("a coordinate is not a number of pixels; draw the outline again")
        filled = fill_rings(points, self.size, even_odd=even_odd)
        if not even_odd and (fill_rings(points, self.size, even_odd=True) != filled).any():
            self.tell("an outline crosses itself; everything that it goes around is counted")
        low, high = together.min(axis=0), together.max(axis=0)
        outside = (low < -_TOLERANCE) | (high > np.add(self.size, _TOLERANCE))
        if filled.any():
            self.mask |= filled
        if filled.any() and outside.any():
            self.tell("a part lies outside the photograph and is cut off")
        elif not filled.any():
            self._empty.append("lies outside the photograph" if outside.any() else "")

    def add(self, mask: np.ndarray) -> None:
        """Add a mask of the same size."""
        self.mask |= mask

    def finished(self) -> np.ndarray:
        """Return the mask.

        Raises
        ------
        EyeError
            If there were shapes and none of them covers a pixel: nobody draws to say that there is
            no atrophy.
        """
        width, height = self.size
        if self._empty and not self.mask.any():
            if any(self._empty):
                raise EyeError(
                    f"lies outside the photograph ({width} x {height} px); draw it on this "
                    "photograph at its full size"
                )
            raise EyeError(
                "encloses no pixel; draw it again, or delete what was clicked by mistake"
            )
        if self._empty:
            self.tell(f"{len(self._empty)} of its shapes cover no pixel of the photograph")
        return self.mask
