"""Hints: the little that a person tells where the photographs alone do not show the atrophy."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from fundus_helpers.loading.eye_error import EyeError
from fundus_helpers.transforms.fields import pixel_grid


@dataclass(frozen=True)
class Strokes:
    """What was painted by hand at one visit, on the pixel grid of the template.

    Attributes
    ----------
    atrophic, healthy : bool ndarray, shape (height, width)
        True where the retina was painted in as atrophic, and out as healthy. Where both are True,
        it is atrophic.
    """

    atrophic: np.ndarray
    healthy: np.ndarray


@dataclass(frozen=True)
class Hints:
    """What a person knows about the atrophy of an eye. All is optional.

    Attributes
    ----------
    ellipse : (x, y, a, b, angle), optional
        An ellipse that contains all the atrophy: its middle and its half axes in pixels of the
        template, and the angle of the first half axis in degrees, from the x axis towards the
        y axis. Nothing outside is taken for atrophy.
    fovea : (x, y), optional
        Middle of the fovea in pixels of the template. Its dark pigment is no atrophy.
    first_free : bool
        Whether the first visit is known to be free of atrophy.
    strokes : mapping of int to Strokes
        By position of the visit. A point that is painted in stays atrophic at all later visits, and
        a point that is painted out was healthy at all earlier ones.
    """

    ellipse: tuple[float, float, float, float, float] | None = None
    fovea: tuple[float, float] | None = None
    first_free: bool = False
    strokes: Mapping[int, Strokes] = field(default_factory=dict)

    def region(self, shape: tuple[int, int]) -> np.ndarray:
        """Return where atrophy is looked for: bool, shape (height, width).

        Raises
        ------
        EyeError
            If the ellipse or the fovea does not lie in the image.
        """
        self._check(shape)
        if self.ellipse is None:
            return np.ones(shape, bool)
        x, y, a, b, angle = self.ellipse
        across, down = np.moveaxis(pixel_grid(shape) - np.array([x, y]), 2, 0)
        cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        along, aside = across * cos + down * sin, down * cos - across * sin
        return (along / a) ** 2 + (aside / b) ** 2 <= 1

    def _check(self, shape: tuple[int, int]) -> None:
        height, width = shape
        points = {"fovea": self.fovea, "middle of the ellipse": (self.ellipse or (None,))[:2]}
        for name, point in points.items():
            if point is None or point[0] is None:
                continue
            if not (0 <= point[0] <= width - 1 and 0 <= point[1] <= height - 1):
                raise EyeError(
                    f"the {name} ({point[0]:g}, {point[1]:g}) lies outside the template of "
                    f"{width} x {height} px; give x and y in pixels of the template"
                )
        if self.ellipse is not None and not min(self.ellipse[2:4]) > 0:
            raise EyeError(
                f"the half axes of the ellipse are {self.ellipse[2]:g} and {self.ellipse[3]:g}; "
                "both must be larger than 0 px"
            )


def read_numbers(text: str, names: str) -> tuple[float, ...] | None:
    """Read numbers that are separated by spaces or commas; None for an empty text.

    Parameters
    ----------
    text : str
        For example ``"380 402"``.
    names : str
        Names of the numbers that are expected, for example ``"x y"``.

    Raises
    ------
    EyeError
        If there are more or fewer numbers, or if one is no number.

    Examples
    --------
    >>> read_numbers("380, 402", "x y")
    (380.0, 402.0)
    """
    parts = text.replace(",", " ").split()
    if not parts:
        return None
    try:
        numbers = tuple(map(float, parts))
    except ValueError:
        numbers = ()
    if len(numbers) != len(names.split()) or not np.isfinite(numbers).all():
        raise EyeError(f'{text!r} is not "{names}": give {len(names.split())} numbers')
    return numbers
