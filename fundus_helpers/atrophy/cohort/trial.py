"""How many patients a trial needs to see that a treatment slows the growth."""

from dataclasses import dataclass
from math import ceil, inf, nan

import numpy as np
from scipy import stats

from fundus_helpers.atrophy.cohort.model import GrowthModel


@dataclass(frozen=True)
class PatientsNeeded:
    """Patients that each of two arms of a trial needs.

    Attributes
    ----------
    slowing : float
        Share by which the mean growth is slowed.
    per_arm : float
        Patients to enrol in each arm; NaN where the model is not known.
    low, high : float
        The same if the mean growth is at the high and the low end of its interval; `high` is
        infinite if the growth may be 0. NaN without an interval.
    assumptions : tuple of str
        What the number rests on, in words.
    """

    slowing: float
    per_arm: float
    low: float
    high: float
    assumptions: tuple[str, ...]

    def __str__(self) -> str:
        """Say the number in one line."""
        if np.isnan(self.per_arm):
            return f"{self.slowing:.0%} slower: not known, because the growth is not known"
        between = "" if np.isnan(self.low) else f" ({_word(self.low)} to {_word(self.high)})"
        return f"{self.slowing:.0%} slower: {_word(self.per_arm)} patients per arm{between}"


def _word(number: float) -> str:
    return f"{number:.0f}" if np.isfinite(number) else "no number is enough"


def patients_needed(
    slowing: float,
    model: GrowthModel,
    *,
    power: float = 0.8,
    significance: float = 0.05,
    years: float = 2.0,
    visits: int = 5,
    dropout: float = 0.15,
) -> PatientsNeeded:
    """Compute the patients per arm that show a slowing of the mean square-root growth.

    The variance of the growth measured in one eye is V = SD^2 + residual^2 / S, where SD is that
    of growth between eyes, and S is the sum of the squared distances of the visits from their
    mean time. For a difference D = slowing * mean growth, each arm needs
    2 (z(1 - significance / 2) + z(power))^2 V / D^2 patients, and 1 / (1 - dropout) times as many
    must be enrolled (Zhao and Edland, International Journal of Biostatistics 2021, for complete
    visits in arms of one size).

    Parameters
    ----------
    slowing : float above 0, at most 1
        0.2: growth in the treated arm is 20 % slower.
    model : GrowthModel
        Of `growth_model`, or `PUBLISHED`.
    power, significance : float between 0 and 1
        Of a two-sided test.
    years : float
        Duration.
    visits : int
        Per patient, evenly spaced, the first at the start; at least 2.
    dropout : float from 0 to below 1
        Share of patients who leave, and count as nothing.

    Returns
    -------
    PatientsNeeded

    Raises
    ------
    ValueError
        If a number is outside its range.

    Examples
    --------
    >>> from fundus_helpers.atrophy.cohort import PUBLISHED, patients_needed
    >>> print(patients_needed(0.25, PUBLISHED))
    25% slower: 123 patients per arm
    """
    _refuse_wrong(slowing, power, significance, years, visits, dropout)
    times = np.linspace(0, years, visits)
    residual = np.nan_to_num(model.residual)
    variance = model.sd_growth**2 + residual**2 / ((times - times.mean()) ** 2).sum()
    z = stats.norm.ppf(1 - significance / 2) + stats.norm.ppf(power)

    def enrolled(growth: float) -> float:
        if np.isnan(growth) or np.isnan(variance):
            return nan
        if growth <= 0:
            return inf
        return float(ceil(2 * z**2 * variance / (slowing * growth) ** 2 / (1 - dropout)))

    assumptions = (
        f"two arms of one size, one study eye per patient, {visits} evenly spaced visits in "
        f"{years:g} years, {dropout:.0%} of the patients leave and count as nothing",
        f"two-sided test at {significance:g} with a power of {power:.0%}",
        f"mean growth {model.growth:.3f} mm/year, SD between eyes {model.sd_growth:.3f} mm/year, "
        f"residual {residual:.3f} mm; the same spread in both arms, growth along straight lines",
        "the interval is that of the mean growth alone, not that of its spread",
    )
    return PatientsNeeded(
        slowing, enrolled(model.growth), enrolled(model.high), enrolled(model.low), assumptions
    )


def _refuse_wrong(
    slowing: float, power: float, significance: float, years: float, visits: int, dropout: float
) -> None:
    if not 0 < slowing <= 1:
        raise ValueError(f"slowing={slowing:g}: give a share above 0 and at most 1, as 0.2")
    for name, value in (("power", power), ("significance", significance)):
        if not 0 < value < 1:
            raise ValueError(f"{name}={value:g}: give a number between 0 and 1")
    if not years > 0 or visits < 2:
        raise ValueError(f"{visits} visits in {years:g} years: give two or more, in years above 0")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout={dropout:g}: give a share from 0 to below 1")
