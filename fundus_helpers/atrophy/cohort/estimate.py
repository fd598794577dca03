"""A number over many eyes, with its interval: what all estimates of a cohort have in common."""

from dataclasses import dataclass
from math import isfinite, nan


@dataclass(frozen=True, kw_only=True)
class CohortEstimate:
    """A number over many eyes, with its 95 % interval.

    Attributes
    ----------
    value, low, high : float
        The number and its 95 % interval; NaN where it is not known.
    eyes : int
    patients : int
    notes : tuple of str
        What is missing, was left out or made simpler, in plain words.
    """

    value: float = nan
    low: float = nan
    high: float = nan
    eyes: int = 0
    patients: int = 0
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether the number is known."""
        return isfinite(self.value)
