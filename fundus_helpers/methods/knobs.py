"""The knobs of a registration method, read from its signature and its docstring.

The docstring is where a range or a choice is said, once: people read it, sliders are made from it,
and `checked` holds the method to it. A line of its ``Parameters`` says what is accepted::

    smoothness : float in [0, 48]
    learning_rate : float in [0.05, 20] px
    metric : {"correlation", "mean_squares"}

``px`` means pixels of the images given, so that a preview on smaller images takes fewer of them;
``levels`` are halvings of these images; ``points`` are as many as suit the length of their sides.
A knob that acts only if another argument allows it says so::

    grid_spacing : float in [4, 768], if "bspline" in stages
    stiffness : float in [0.001, 100], if follow_vessels
"""

import ast
import inspect
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache, partial, wraps

import numpy as np
from docstring_parser import DocstringStyle, parse

RANGE = re.compile(r"(?:int|float) in \[(\S+), (\S+)\](?: (px|points|levels))?")


CONDITION = re.compile(r', if (?:"(\w+)" in )?(\w+)$')


REFERENCE = re.compile(r"See `(\w+)`")


# Numbers that a slider offers, about. Ranges wider than this ratio are laid out in ratios.
STOPS, WIDE = 60, 30


Value = bool | int | float | str


@dataclass(frozen=True)
class Knob:
    """One argument of a method that may be turned.

    Attributes
    ----------
    name : str
    default : bool, int, float or str
    least, most : int, float or None
        What a number may be, both included.
    choices : tuple of str
        What a word may be.
    unit : {"", "px", "points", "levels"}
        Of the images given.
    explanation : str
        From the docstring.
    condition : (str, str) or None
        A word and the argument that must hold it, or an empty word and the argument that must be
        true, for the knob to act; None: it always does.
    """

    name: str
    default: Value
    least: float | None
    most: float | None
    choices: tuple[str, ...]
    unit: str
    explanation: str
    condition: tuple[str, str] | None = None

    def acts(self, given: Mapping[str, object]) -> bool:
        """Whether the knob does anything beside the other arguments given."""
        word, argument = self.condition or ("", "")
        if argument not in given:
            return True
        return word in given[argument] if word else bool(given[argument])

    def check(self, value: Value) -> None:
        """Raise ValueError for a value that is not accepted; it names what is."""
        if self.choices:
            check_choice(self.name, value, self.choices)
        elif self.least is not None:
            check_range(self.name, value, self.least, self.most)

    def stops(self, *others: float) -> list[float]:
        """List the numbers that a slider offers, ascending: evenly, or evenly in their ratios.

        Parameters
        ----------
        *others : float
            Accepted values that must be among them, besides the default.
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
        """Give the value that means the same in images `factor` times as large."""
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
    """Read the knobs of a method: its arguments that are a bool, a number or a word.

    Parameters
    ----------
    method : callable
        A function with a numpydoc docstring; an object that is called like one; or a
        `functools.partial`, whose arguments given already are no knobs, nor are those that do
        nothing beside them. ``See `other`.`` in the docstring leaves an argument to a function of
        the same file.

    Raises
    ------
    ValueError
        For a number without a range, a word without choices, or a knob without explanation.
    """
    given = method.keywords if isinstance(method, partial) else {}
    function = method.func if isinstance(method, partial) else method
    if not inspect.isroutine(function):
        function = type(function).__call__
    knobs = _knobs_of(inspect.unwrap(function)).items()
    return {name: knob for name, knob in knobs if name not in given and knob.acts(given)}


@cache
def _knobs_of(function: Callable) -> Mapping[str, Knob]:
    knobs, described = {}, _described(function)
    for name, argument in inspect.signature(function).parameters.items():
        if argument.annotation not in (bool, int, float, str):
            continue
        kind, explanation = described.get(name, ("", ""))
        condition = CONDITION.search(kind)
        kind = CONDITION.sub("", kind)
        found = RANGE.fullmatch(kind)
        bounds = [ast.literal_eval(bound) for bound in found.groups()[:2]] if found else [None] * 2
        choices = tuple(ast.literal_eval(f"[{kind[1:-1]}]")) if kind.startswith("{") else ()
        unit = (found[3] or "") if found else ""
        if not explanation or not (found or choices or argument.annotation is bool):
            raise ValueError(
                f"{function.__qualname__}: knob {name!r} is described as {kind!r}: "
                f'{explanation!r}; a range ("float in [0, 48]"), or choices, and an explanation '
                "are needed"
            )
        needed = (condition[1] or "", condition[2]) if condition else None
        knobs[name] = Knob(name, argument.default, *bounds, choices, unit, explanation, needed)
    return knobs


def _described(function: Callable) -> dict[str, tuple[str, str]]:
    """Type and explanation of every argument in a docstring, references followed."""
    described = {}
    for entry in parse(function.__doc__ or "", style=DocstringStyle.NUMPYDOC).params:
        kind, text = entry.type_name or "", " ".join((entry.description or "").split())
        reference = REFERENCE.match(text) if not kind else None
        other = function.__globals__.get(reference[1]) if reference else None
        elsewhere = _described(inspect.unwrap(other)) if other else {}
        for name in entry.arg_name.split(", "):
            described[name] = elsewhere.get(name, (kind, text))
    return described


def checked(method: Callable) -> Callable:
    """Hold a method to its docstring: a knob that it does not accept is refused, by name.

    Parameters
    ----------
    method : callable
        With a docstring that `read_knobs` can read.
    """

    @wraps(method)
    def with_checked_knobs(*images: object, **given: object) -> object:
        for name, knob in _knobs_of(method).items():
            if name in given:
                knob.check(given[name])
        return method(*images, **given)

    return with_checked_knobs


def check_choice(knob: str, value: str, accepted: Collection[str]) -> None:
    """Raise ValueError for a knob whose value is none of those accepted."""
    if value not in accepted:
        raise ValueError(f"{knob} {value!r} is not one of {[*accepted]}")


def check_range(knob: str, value: float, least: float, most: float = math.inf) -> None:
    """Raise ValueError for a knob that is not from `least` to `most`, or NaN."""
    if not least <= value <= most:
        raise ValueError(f"{knob} {value} is not in the range {least} to {most:g}")
