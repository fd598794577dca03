"""The points that a person places in two photographs. Each change makes a new state."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from fundus_helpers.loading.tables.placed_points import USES, PlacedPoint
from fundus_helpers.methods.points import LEAST_POINTS, PointFit, fit_points
from fundus_helpers.transforms.linear import nearest_matrix
from fundus_helpers.transforms.transform import RegistrationError, rescale_points, to_matrix

CHANGES = "add", "move", "confirm", "snapped", "use", "remove"
# How far the partner of a point has come: proposed by the transform so far, moved by the computer,
# or placed by a person. Only placed points count.
PROPOSED, SNAPPED, PLACED = "proposed", "snapped", "placed"


@dataclass(frozen=True)
class Spot:
    """One place of the retina in two photographs.

    Attributes
    ----------
    fixed, moving : (x, y)
        In pixels of the images of the eye.
    state : {"proposed", "snapped", "placed"}
    use : {"registering", "judging"}
    placed_by : str
    """

    fixed: tuple[float, float]
    moving: tuple[float, float]
    state: str = PLACED
    use: str = USES[0]
    placed_by: str = ""


@dataclass(frozen=True)
class Placements:
    """All points of two photographs.

    Attributes
    ----------
    spots : tuple of Spot
    fixed_shape, moving_shape : (height, width)
        Of the images.
    """

    spots: tuple[Spot, ...]
    fixed_shape: tuple[int, int]
    moving_shape: tuple[int, int]

    @property
    def counting(self) -> list[int]:
        """Positions of the points from which the transform is fitted."""
        return [
            i for i, each in enumerate(self.spots) if each.state == PLACED and each.use == USES[0]
        ]

    def fit(self) -> PointFit | None:
        """Return the transform so far; None if fewer than two points are placed apart."""
        spots = [self.spots[i] for i in self.counting]
        if len(spots) < min(LEAST_POINTS.values()):
            return None
        points = [each.fixed for each in spots], [each.moving for each in spots]
        try:
            return fit_points(*points, self.fixed_shape, self.moving_shape)
        except RegistrationError:  # the points lie on each other
            return None

    def matrix(self) -> np.ndarray:
        """Return the linear transform so far, (2, 3): that of the points, or the shift of one."""
        fit = self.fit()
        if fit is not None and fit.transform.IsLinear():
            return to_matrix(fit.transform)
        placed = [each for each in self.spots if each.state != PROPOSED]
        if fit is None:
            shift = np.subtract(placed[0].moving, placed[0].fixed) if placed else np.zeros(2)
            return np.column_stack([np.eye(2), shift])
        fixed, moving = (
            np.array([getattr(self.spots[i], side) for i in self.counting])
            for side in ("fixed", "moving")
        )
        return nearest_matrix(fixed, moving)

    def partner(self, point: tuple[float, float], side: str) -> tuple[float, float]:
        """Return where the transform so far puts a point of one side in the other photograph."""
        matrix = self.matrix()
        if side == "moving":
            linear = np.linalg.inv(matrix[:, :2])
            x, y = linear @ (np.asarray(point) - matrix[:, 2])
        else:
            x, y = matrix[:, :2] @ point + matrix[:, 2]
        other = self.moving_shape if side == "fixed" else self.fixed_shape
        return _inside((x, y), other)

    def changed(self, message: Mapping[str, object]) -> "Placements":
        """Return the points after a change.

        Parameters
        ----------
        message : mapping
            ``kind`` is one of

            - "add": with ``side`` ("fixed" or "moving"), ``point`` (x, y) and ``placed_by``; the
              partner is proposed. If the last point has a proposed partner on that side, the point
              becomes this partner,
            - "move": with ``index``, ``side`` and ``point``,
            - "confirm": with ``index``: the partner is right as it is,
            - "snapped": with ``index`` and ``point`` in the moving photograph,
            - "use": with ``index``: for registering or for judging, in turn,
            - "remove": with ``index``.

        Raises
        ------
        ValueError
            For any other kind.
        """
        kind, spots = message["kind"], [*self.spots]
        if kind not in CHANGES:
            raise ValueError(f"points are not changed by {kind!r}; there are {CHANGES}")
        if kind == "add":
            return replace(self, spots=self._added(message))
        index = int(message["index"])
        if not 0 <= index < len(spots):  # it was removed meanwhile
            return self
        spot = spots[index]
        if kind == "move":
            side = str(message["side"])
            shape = self.fixed_shape if side == "fixed" else self.moving_shape
            moved = {side: _inside(message["point"], shape)}
            if spot.state == PROPOSED and side == "fixed":
                moved["moving"] = self.partner(moved["fixed"], side)
            state = PROPOSED if spot.state == PROPOSED and side == "fixed" else PLACED
            spots[index] = replace(spot, state=state, **moved)
        elif kind == "confirm":
            spots[index] = replace(spot, state=PLACED)
        elif kind == "snapped":
            point = _inside(message["point"], self.moving_shape)
            spots[index] = replace(spot, moving=point, state=SNAPPED)
        elif kind == "use":
            spots[index] = replace(spot, use=USES[1 - USES.index(spot.use)])
        else:
            del spots[index]
        return replace(self, spots=tuple(spots))

    def _added(self, message: Mapping[str, object]) -> tuple[Spot, ...]:
        side = str(message["side"])
        shape = self.fixed_shape if side == "fixed" else self.moving_shape
        point, last = _inside(message["point"], shape), self.spots[-1] if self.spots else None
        if last is not None and last.state == PROPOSED:
            # The pending point is finished, or taken to another place.
            state = PLACED if side == "moving" else PROPOSED
            moved = {side: point}
            if state == PROPOSED:
                moved["moving"] = self.partner(point, side)
            return (*self.spots[:-1], replace(last, state=state, **moved))
        other = "moving" if side == "fixed" else "fixed"
        both = {side: point, other: self.partner(point, side)}
        return (*self.spots, Spot(**both, state=PROPOSED, placed_by=str(message["placed_by"])))

    def saved(self, factors: tuple[float, float]) -> list[PlacedPoint]:
        """Return the points in pixels of the photographs on disk; proposals are no points yet.

        Parameters
        ----------
        factors : (float, float)
            Pixels on disk per pixel of the fixed and of the moving image.
        """
        return [
            PlacedPoint(
                *rescale_points(spot.fixed, factors[0]).tolist(),
                *rescale_points(spot.moving, factors[1]).tolist(),
                spot.use,
                spot.placed_by,
                spot.state == SNAPPED,
            )
            for spot in self.spots
            if spot.state != PROPOSED
        ]


def spots_of(points: list[PlacedPoint], factors: tuple[float, float]) -> tuple[Spot, ...]:
    """Return the points that were read from a table, in pixels of the images."""
    return tuple(
        Spot(
            tuple(rescale_points((p.fixed_x, p.fixed_y), 1 / factors[0]).tolist()),
            tuple(rescale_points((p.moving_x, p.moving_y), 1 / factors[1]).tolist()),
            SNAPPED if p.snapped else PLACED,
            p.use,
            p.placed_by,
        )
        for p in points
    )


def _inside(point: object, shape: tuple[int, int]) -> tuple[float, float]:
    x, y = (float(each) for each in point)
    return min(max(x, 0.0), shape[1] - 1.0), min(max(y, 0.0), shape[0] - 1.0)
