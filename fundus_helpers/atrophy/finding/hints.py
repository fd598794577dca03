"""Hints: the little that a person tells where the photographs alone do not show the atrophy.

`Hints` are in pixels of the grid, that is of the images as they were loaded, whose longer side has
for example 768 pixels. On the command line and in the notebooks, ``ELLIPSE=`` and ``FOVEA=`` are in
pixels of the template's photograph on disk. `files.read_told` converts them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fundus_helpers.loading.eye_error import EyeError
from fundus_helpers.transforms.fields import pixel_grid


@dataclass(frozen=True)
class Strokes:
    """What was painted by hand at one visit, on the grid of the registered visits.

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
    """What a person knows about the atrophy of an eye, in pixels of the grid. All is optional.

    Attributes
    ----------
    ellipse : (x, y, a, b, angle), optional
        An ellipse that contains all the atrophy: its middle and its half axes in pixels of the
        grid (`loading.Eye.images` of the template), and the angle of the first half axis in
        degrees, from the x axis towards the y axis. Nothing outside is taken for atrophy.
    fovea : (x, y), optional
        Middle of the fovea in pixels of the grid. Its dark pigment is no atrophy.
    first_free : bool
        Whether the first visit is known to be free of atrophy.
    strokes : mapping of int to Strokes
        By position of the visit. A point that is painted in stays atrophic at all later visits, and
        a point that is painted out was healthy at all earlier ones.

    Examples
    --------
    A point of a photograph that is 2912 pixels wide on disk, on a grid that is 768 pixels wide:

    >>> import numpy as np
    >>> from fundus_helpers import transforms
    >>> from fundus_helpers.atrophy.finding import Hints
    >>> x, y = transforms.rescale_points(np.array([1456.0, 1200.0]), 768 / 2912).round(2).tolist()
    >>> x, y
    (383.63, 316.12)
    >>> hints = Hints(fovea=(x, y))
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
        self.check(shape)
        if self.ellipse is None:
            return np.ones(shape, bool)
        x, y, a, b, angle = self.ellipse
        across, down = np.moveaxis(pixel_grid(shape) - np.array([x, y]), 2, 0)
        cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        along, aside = across * cos + down * sin, down * cos - across * sin
        return (along / a) ** 2 + (aside / b) ** 2 <= 1

    def of_visits(self, kept: Sequence[int]) -> "Hints":
        """Return the hints for some of the visits.

        Parameters
        ----------
        kept : sequence of int
            Positions of these visits among those that the hints are for, in order.

        Returns
        -------
        Hints
            Without the strokes of all other visits, and with `first_free` only if the first visit
            is kept.

        Examples
        --------
        >>> import numpy as np
        >>> from fundus_helpers.atrophy.finding import Hints, Strokes
        >>> nothing = np.zeros((4, 4), bool)
        >>> hints = Hints(first_free=True, strokes={3: Strokes(nothing, nothing)})
        >>> [*hints.of_visits([0, 1, 3]).strokes], hints.of_visits([1, 2]).first_free
        ([2], False)
        """
        strokes = {new: self.strokes[i] for new, i in enumerate(kept) if i in self.strokes}
        return replace(self, first_free=self.first_free and 0 in kept, strokes=strokes)

    def check(self, shape: tuple[int, int], image: str = "the grid of the template") -> None:
        """Refuse an ellipse or a fovea that cannot be in an image.

        Parameters
        ----------
        shape : (height, width)
            Shape of the image in whose pixels the ellipse and the fovea are.
        image : str
            What the message calls this image.

        Raises
        ------
        EyeError
            If the fovea or the middle of the ellipse lies outside the image, or if a half axis is
            not larger than 0.

        Examples
        --------
        >>> from fundus_helpers.atrophy.finding import Hints
        >>> Hints(fovea=(3000, 10)).check((1944, 2912))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        fundus_helpers.loading.eye_error.EyeError: the fovea (3000, 10) lies outside the grid ...
        """
        for name, (x, y) in self.outside(shape).items():
            raise EyeError(
                f"the {name} ({x:g}, {y:g}) lies outside {image} of {shape[1]} x {shape[0]} px; "
                "give x and y in pixels of this image"
            )
        if self.ellipse is not None and not min(self.ellipse[2:4]) > 0:
            raise EyeError(
                f"the half axes of the ellipse are {self.ellipse[2]:g} and {self.ellipse[3]:g}; "
                "both must be larger than 0 px"
            )

    def outside(self, shape: tuple[int, int]) -> dict[str, tuple[float, float]]:
        """Return the points that lie outside an image of a shape (height, width), by their names.

        Examples
        --------
        >>> from fundus_helpers.atrophy.finding import Hints
        >>> Hints(fovea=(99.0, 3.0)).outside((64, 64))
        {'fovea': (99.0, 3.0)}
        """
        height, width = shape
        ellipse = self.ellipse and self.ellipse[:2]
        points = {"fovea": self.fovea, "middle of the ellipse": ellipse}
        return {
            name: point
            for name, point in points.items()
            if point is not None
            and not (-0.5 <= point[0] <= width - 0.5 and -0.5 <= point[1] <= height - 0.5)
        }


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
