"""The knobs of a registration method, read from its signature and its docstring.

A knob is an argument that a user may set: a number, a choice or a switch. The annotation of the
argument says which values are accepted, and the docstring explains them::

    normalise: bool = True
    metric: Literal["correlation", "mean_squares"] = "correlation"
    smoothness: Annotated[float, Interval(ge=0, le=50)] = 6.0
    radius: Annotated[int, Interval(ge=1, le=60), ImageUnit("px")] = 12
    grid_spacing: Annotated[float, Interval(ge=4, le=768), ActsIf("stages", holds="bspline")] = 48.0

`read_knobs` reads the knobs of a method; sliders are made from them. `checked` makes a method
refuse all values that its annotations do not accept.
"""

import inspect
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache, partial, wraps
from numbers import Integral, Real
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
from annotated_types import Interval
from docstring_parser import DocstringStyle, parse

UNITS = ("px", "points", "levels")
REFERENCE = re.compile(r"See `(\w+)`")

# A slider offers about this many numbers. If the largest number is more than WIDE times the
# smallest, neighbouring numbers have a constant ratio instead of a constant difference.
STOPS, WIDE = 60, 30

Value = bool | int | float | str


@dataclass(frozen=True)
class ImageUnit:
    """The unit of a number that depends on the size of the images.

    A preview registers smaller images. `Knob.at_scale` converts the number for them.

    Attributes
    ----------
    name : {"px", "points", "levels"}
        ``px``: a length in pixels of the images that the method is given. ``points``: a number of
        points or keypoints; it grows in proportion to the sides of the images. ``levels``: how
        often the images are halved; images of half the size are halved once less.

    Raises
    ------
    ValueError
        For any other name.
    """

    name: str

    def __post_init__(self) -> None:
        """Refuse an unknown name."""
        check_choice("unit", self.name, UNITS)


@dataclass(frozen=True)
class ActsIf:
    """The condition under which a knob has an effect: the value of another argument.

    Attributes
    ----------
    argument : str
        Name of the other argument.
    holds : str
        Word that the other argument must contain; empty: the other argument must be true.
    """

    argument: str
    holds: str = ""

    def is_met(self, value: Any) -> bool:
        """Whether the other argument has a value that lets the knob act."""
        return self.holds in value if self.holds else bool(value)


@dataclass(frozen=True)
class Knob:
    """One argument of a method that a user may set.

    Attributes
    ----------
    name : str
    default : bool, int, float or str
    least, most : int, float or None
        Range of a number, both ends included; None for a choice or a switch.
    choices : tuple of str
        Accepted words; empty for a number or a switch.
    unit : {"", "px", "points", "levels"}
        See `ImageUnit`; empty: the number does not depend on the size of the images.
    explanation : str
        What the docstring says about the argument.
    condition : ActsIf or None
        When the knob has an effect; None: always.
    others : tuple of type
        Types that the argument accepts beside the words of a choice.
    """

    name: str
    default: Value
    least: float | None
    most: float | None
    choices: tuple[str, ...]
    unit: str
    explanation: str
    condition: ActsIf | None = None
    others: tuple[type, ...] = ()

    def acts(self, given: Mapping[str, object]) -> bool:
        """Whether the knob has an effect, given the values of other arguments by name."""
        if self.condition is None or self.condition.argument not in given:
            return True
        return self.condition.is_met(given[self.condition.argument])

    def check(self, value: Value) -> None:
        """Raise ValueError for a value of the wrong type or outside the range or the choices.

        A switch accepts True and False, a choice only its words, an integer knob only integers, and
        a float knob any real number. The message says what is accepted.
        """
        if self.others and isinstance(value, self.others):
            return
        if self.choices:
            check_choice(self.name, value, self.choices)
        elif self.least is not None:
            self._check_number(value)
        elif not isinstance(value, (bool, np.bool_)):
            raise ValueError(f"{self.name} {value!r} is not True or False")

    def _check_number(self, value: Value) -> None:
        whole = isinstance(self.default, int)
        kind = f"{'a whole' if whole else 'a'} number from {self.least} to {self.most:g}"
        if isinstance(value, bool) or not isinstance(value, Real):
            raise ValueError(f"{self.name} {value!r} is not {kind}")
        check_range(self.name, value, self.least, self.most)
        if whole and not isinstance(value, Integral):
            raise ValueError(f"{self.name} {value!r} is not {kind}")

    def stops(self, *others: float) -> list[float]:
        """List the numbers that a slider offers, in ascending order.

        The numbers have a constant difference, or a constant ratio if the range is wide.

        Parameters
        ----------
        *others : float
            Accepted values that the list must contain. It always contains the default.
        """
        whole, span = isinstance(self.default, int), self.most - self.least
        low = self.least or self.default or self.most
        if low > 0 and self.most / low > WIDE and not (whole and span < 100):
            low = self.least or self.default / WIDE
            numbers = [float(f"{n:.2g}") for n in np.geomspace(low, self.most, STOPS)]
        else:
            step = 1 if whole and span < 100 else _nice(span / STOPS)
            first, last = math.ceil(self.least / step), math.floor(self.most / step)
            numbers = [round(step * k, 9) for k in range(first, last + 1)]
        numbers += [self.least, self.most, self.default, *others]
        if whole:
            numbers = [round(number) for number in numbers]
        return sorted({number for number in numbers if self.least <= number <= self.most})

    def at_scale(self, value: Value, factor: float) -> Value:
        """Convert a value to one with the same meaning in images `factor` times as large."""
        if self.unit in ("px", "points"):
            value = value * factor
        elif self.unit == "levels":
            value = value + math.log2(factor)
        else:
            return value
        value = min(max(value, self.least), self.most)
        return round(value) if isinstance(self.default, int) else value


def _nice(step: float) -> float:
    """Round a step up to 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * digit for digit in (1, 2, 5, 10) if power * digit >= step * 0.999)


def read_knobs(method: Callable) -> dict[str, Knob]:
    """Read the knobs of a method: its arguments that are a switch, a number or a choice.

    Parameters
    ----------
    method : callable
        A function with annotations and a numpydoc docstring, an object with such a ``__call__``,
        or a `functools.partial`. Arguments that the partial sets are not knobs. Arguments that
        have no effect with these values are not knobs either. If the docstring explains an argument
        by ``See `other`.``, the explanation is read from the function ``other`` of the same file.

    Raises
    ------
    ValueError
        For a number without a range, a word without choices, a knob without an explanation, or a
        condition on an argument that does not exist.
    """
    given = method.keywords if isinstance(method, partial) else {}
    function = method.func if isinstance(method, partial) else method
    if not inspect.isroutine(function):
        function = type(function).__call__
    knobs = _knobs_of(inspect.unwrap(function)).items()
    return {name: knob for name, knob in knobs if name not in given and knob.acts(given)}


@cache
def _knobs_of(function: Callable) -> Mapping[str, Knob]:
    knobs, explanations = {}, _explanations(function)
    hints = get_type_hints(function, include_extras=True)
    arguments = inspect.signature(function).parameters
    for name, argument in arguments.items():
        kind, added = _divided(hints.get(name))
        kind, others = _choice_and_others(kind)
        choices = get_args(kind) if get_origin(kind) is Literal else ()
        if not choices and kind not in (bool, int, float, str):
            continue
        interval, condition = added.get(Interval, Interval()), added.get(ActsIf)
        limits, explanation = (interval.ge, interval.le), explanations.get(name, "")
        accepts = choices or kind is bool or (kind is not str and None not in limits)
        if not accepts or not explanation:
            raise ValueError(
                f"{function.__qualname__}: knob {name!r} is annotated as "
                f"{inspect.formatannotation(hints[name])} and explained as {explanation!r}; a "
                "range (Annotated[float, Interval(ge=0, le=48)]) or choices (Literal), and an "
                "explanation in the docstring are needed"
            )
        if condition and condition.argument not in arguments:
            raise ValueError(f"{function.__qualname__}: knob {name!r}: no argument for {condition}")
        unit = added[ImageUnit].name if ImageUnit in added else ""
        default = argument.default
        if kind is float and isinstance(default, int):
            default = float(default)  # the type of the default is that of the knob
        knobs[name] = Knob(name, default, *limits, choices, unit, explanation, condition, others)
    return knobs


def _divided(hint: object) -> tuple[object, dict[type, Any]]:
    """Divide an annotation into its type and what `Annotated` adds to the type, by class."""
    if get_origin(hint) is not Annotated:
        return hint, {}
    kind, *added = get_args(hint)
    return kind, {type(part): part for part in added}


def _choice_and_others(kind: object) -> tuple[object, tuple[type, ...]]:
    """Divide "words or a value of another type" into the words and the other types."""
    parts = get_args(kind) if get_origin(kind) in (Union, UnionType) else ()
    words = [part for part in parts if get_origin(part) is Literal]
    if len(words) != 1:
        return kind, ()
    return words[0], tuple(part for part in parts if part is not words[0])


def _explanations(function: Callable) -> dict[str, str]:
    """Read what a docstring says about each argument, and follow its references."""
    explanations = {}
    for entry in parse(function.__doc__ or "", style=DocstringStyle.NUMPYDOC).params:
        text = " ".join((entry.description or "").split())
        reference = REFERENCE.match(text)
        other = function.__globals__.get(reference[1]) if reference else None
        elsewhere = _explanations(inspect.unwrap(other)) if other else {}
        for name in entry.arg_name.split(", "):
            explanations[name] = elsewhere.get(name, text)
    return explanations


def checked(method: Callable) -> Callable:
    """Make a method refuse every value that the annotation of a knob does not accept.

    Parameters
    ----------
    method : callable
        One that `read_knobs` can read. Arguments are checked if they are given by name.
    """

    @wraps(method)
    def with_checked_knobs(*images: object, **given: object) -> object:
        for name, knob in _knobs_of(inspect.unwrap(method)).items():
            if name in given:
                knob.check(given[name])
        return method(*images, **given)

    return with_checked_knobs


def check_names(method: Callable, knobs: Collection[str]) -> None:
    """Raise ValueError for a knob that is not an argument of the method.

    Parameters
    ----------
    method : callable
        One of `fundus_helpers.METHODS`, or any function with the same parameters and result. A
        method with ``**`` arguments accepts all names.
    knobs : collection of str
        Names of the knobs that are to be given to the method.
    """
    try:
        arguments = inspect.signature(method).parameters.values()
    except (TypeError, ValueError):  # a function that is not written in Python
        return
    if any(argument.kind is argument.VAR_KEYWORD for argument in arguments):
        return
    images = [each.name for each in arguments if each.kind is each.POSITIONAL_OR_KEYWORD][:2]
    accepted = [
        each.name
        for each in arguments
        if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
        and each.name not in (*images, "fixed_mask", "moving_mask")
    ]
    unknown = [name for name in knobs if name not in accepted]
    if unknown:
        raise ValueError(f"the method has no knob {unknown[0]!r}; there are {accepted}")


def check_choice(knob: str, value: str, accepted: Collection[str]) -> None:
    """Raise ValueError for a knob whose value is not among those accepted."""
    if value not in accepted:
        raise ValueError(f"{knob} {value!r} is not one of {[*accepted]}")


def check_range(knob: str, value: float, least: float, most: float = math.inf) -> None:
    """Raise ValueError for a knob whose value is below `least`, above `most`, or NaN."""
    if not least <= value <= most:
        raise ValueError(f"{knob} {value} is not in the range {least} to {most:g}")
