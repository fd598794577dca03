"""What a person draws over the visits of an eye: marks, and strokes in and out."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from fundus_helpers.atrophy.finding.hints import Hints, Strokes
from fundus_helpers.atrophy.finding.saved_hints import (
    resized_ellipse,
    resized_points,
    resized_strokes,
)

CHANGES = "stroke", "ellipse", "turn", "fovea", "disc", "first_free", "remove"
FINER = 4  # strokes are drawn with so many times as many pixels, and then averaged
_SUBPIXEL = 4  # bits of a pixel, in which OpenCV takes coordinates


@dataclass(frozen=True, eq=False)
class Stroke:
    """One stroke of the brush.

    Attributes
    ----------
    visit : int
        Position of the visit.
    atrophic : bool
        True: painted in as atrophic; False: painted out as healthy.
    points : float64 ndarray, shape (n, 2)
        Where the brush went: (x, y) in pixels of the template's grid.
    radius : float
        Of the brush, in the same pixels.
    """

    visit: int
    atrophic: bool
    points: np.ndarray
    radius: float

    def mask(self, shape: tuple[int, int], factor: float) -> np.ndarray:
        """Return the painted pixels of a grid that is `factor` times as large: bool."""
        points = (np.reshape(self.points, (-1, 2)) + 0.5) * factor - 0.5
        radius, most = self.radius * factor, np.array(shape[::-1])
        low = np.clip(np.floor(points.min(axis=0) - radius), 0, most).astype(int)
        high = np.clip(np.ceil(points.max(axis=0) + radius) + 1, 0, most).astype(int)
        painted = np.zeros(shape, bool)
        if (high > low).all():
            part = np.s_[low[1] : high[1], low[0] : high[0]]
            painted[part] = _band(points - low, radius, tuple((high - low)[::-1].tolist()))
        return painted


def _band(points: np.ndarray, radius: float, shape: tuple[int, int]) -> np.ndarray:
    """Return the pixels of which at least half is no farther from a line than the radius."""
    finer = np.zeros(tuple(FINER * n for n in shape), np.uint8)
    line = np.round(((points + 0.5) * FINER - 0.5) * 2**_SUBPIXEL).astype(np.int32)
    thickness = max(round(2 * radius * FINER) - 1, 1)  # OpenCV draws a pixel too many
    if len(line) > 1:
        cv2.polylines(finer, [line], False, 255, thickness, shift=_SUBPIXEL)
    for end in line[[0, -1]].tolist():
        wide = max(round((radius * FINER - 0.5) * 2**_SUBPIXEL), 1)
        cv2.circle(finer, end, wide, 255, cv2.FILLED, shift=_SUBPIXEL)
    return cv2.resize(finer, shape[::-1], interpolation=cv2.INTER_AREA) >= 128


@dataclass(frozen=True, eq=False)
class Drawing:
    """All that is drawn, in pixels of the template's grid. Each change makes a new one.

    Attributes
    ----------
    ellipse, fovea, first_free
        See `Hints`.
    disc : (x, y, x, y), optional
        Both ends of a diameter of the optic disc.
    strokes : tuple of Stroke
        In the order in which they were painted.
    earlier : mapping of int to Strokes
        What was painted before and read from a file, by position of the visit.
    """

    ellipse: tuple[float, float, float, float, float] | None = None
    fovea: tuple[float, float] | None = None
    first_free: bool = False
    disc: tuple[float, float, float, float] | None = None
    strokes: tuple[Stroke, ...] = ()
    earlier: Mapping[int, Strokes] = field(default_factory=dict)

    def painted(self, shape: tuple[int, int], factor: float = 1.0) -> dict[int, Strokes]:
        """Return what is painted at each visit on a grid that is `factor` times as large.

        The last stroke is right. So a stroke in takes back what was painted out there at this and
        at later visits, and a stroke out what was painted in at this and at earlier visits.

        Parameters
        ----------
        shape : (height, width)
        factor : float
            Pixels of this grid per pixel of the drawing.

        Returns
        -------
        dict of int to Strokes
            By position of the visit.
        """
        masks = {
            visit: Strokes(*(m.copy() for m in vars(resized_strokes(each, shape)).values()))
            for visit, each in self.earlier.items()
        }
        for stroke in self.strokes:
            mask = stroke.mask(shape, factor)
            for visit, other in masks.items():
                if stroke.atrophic and visit >= stroke.visit:
                    other.healthy[mask] = False
                elif not stroke.atrophic and visit <= stroke.visit:
                    other.atrophic[mask] = False
            if stroke.visit not in masks:
                masks[stroke.visit] = Strokes(np.zeros(shape, bool), np.zeros(shape, bool))
            here = masks[stroke.visit]
            (here.atrophic if stroke.atrophic else here.healthy)[mask] = True
        return {
            visit: each
            for visit, each in sorted(masks.items())
            if each.atrophic.any() or each.healthy.any()
        }

    def hints(self, shape: tuple[int, int], factor: float = 1.0) -> Hints:
        """Return the drawing as hints on a grid that is `factor` times as large."""
        return Hints(
            self.ellipse and resized_ellipse(self.ellipse, factor),
            self.fovea and resized_points(self.fovea, factor),
            self.first_free,
            self.painted(shape, factor),
        )

    def marks(self, factor: float) -> dict[str, object]:
        """Return ellipse, fovea, disc and `first_free` in pixels of pictures, as plain values."""
        return {
            "ellipse": self.ellipse and [*resized_ellipse(self.ellipse, factor)],
            "fovea": self.fovea and [*resized_points(self.fovea, factor)],
            "disc": self.disc and [*resized_points(self.disc, factor)],
            "first_free": self.first_free,
        }

    def changed(
        self, message: Mapping[str, object], factor: float, shape: tuple[int, int]
    ) -> "Drawing":
        """Return the drawing after a change.

        Parameters
        ----------
        message : mapping
            From the widget. ``kind`` is one of

            - "stroke": with ``visit``, ``tool`` ("in" or "out"), ``points`` and ``radius``,
            - "ellipse": with ``ellipse`` (x, y, a, b, angle),
            - "turn": with ``degrees``, by which the ellipse is turned,
            - "fovea": with one point in ``points``,
            - "disc": with both ends of a diameter in ``points``,
            - "first_free": with ``value``, true or false,
            - "remove": with ``tool`` and ``visit``: the mark of a tool; with a brush, all that was
              painted at that visit.

            All lengths are in pixels of the pictures.
        factor : float
            Pixels of the grid per pixel of the pictures.
        shape : (height, width)
            Of the grid.

        Raises
        ------
        ValueError
            For any other kind.
        """
        kind = message["kind"]
        if kind == "remove":
            return self._without(message["tool"], int(message["visit"]))
        if kind == "stroke":
            points = np.reshape(resized_points(np.ravel(message["points"]), factor), (-1, 2))
            radius = float(message["radius"]) * factor
            stroke = Stroke(int(message["visit"]), message["tool"] == "in", points, radius)
            return replace(self, strokes=(*self.strokes, stroke))
        if kind == "ellipse":
            return replace(self, ellipse=resized_ellipse(message["ellipse"], factor))
        if kind == "turn":
            return self._turned(float(message["degrees"]))
        if kind == "fovea":
            point = resized_points(np.ravel(message["points"]), factor)
            most = shape[1] - 1, shape[0] - 1
            return replace(self, fovea=tuple(np.clip(point, 0, most).tolist()))
        if kind == "disc":
            return replace(self, disc=resized_points(np.ravel(message["points"]), factor))
        if kind == "first_free":
            return replace(self, first_free=bool(message["value"]))
        raise ValueError(f"a drawing is not changed by {kind!r}; there are {CHANGES}")

    def _turned(self, degrees: float) -> "Drawing":
        if self.ellipse is None:
            return self
        *rest, angle = self.ellipse
        return replace(self, ellipse=(*rest, (angle + degrees) % 180))

    def _without(self, tool: str, visit: int) -> "Drawing":
        if tool in ("ellipse", "fovea", "disc"):
            return replace(self, **{tool: None})
        return replace(
            self,
            strokes=tuple(stroke for stroke in self.strokes if stroke.visit != visit),
            earlier={i: each for i, each in self.earlier.items() if i != visit},
        )
