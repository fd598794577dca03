"""How closely growth goes with size: of the area itself, and of its square root."""

from dataclasses import dataclass
from math import isfinite, sqrt

import numpy as np
import pandas as pd
from scipy import stats

from fundus_helpers.atrophy.cohort.areas import eye_rates, one_modality
from fundus_helpers.atrophy.cohort.estimate import CohortEstimate
from fundus_helpers.atrophy.cohort.model import LEAST_PATIENTS, too_few
from fundus_helpers.metrics.statistics import CONFIDENCE

OF = {"area_growth": "growth of the area", "square_root_growth": "square-root growth"}


@dataclass(frozen=True)
class SizeCorrelation(CohortEstimate):
    """Rank correlation over eyes of growth with the area at the first visit with atrophy.

    Attributes
    ----------
    of : {"area_growth", "square_root_growth"}
    value, low, high, eyes, patients, notes
        Spearman's correlation, from -1 to 1. See `CohortEstimate`.
    """

    of: str

    def __str__(self) -> str:
        """Say the correlation in one line."""
        name = f"rank correlation of the {OF[self.of]} with the size"
        if not self.known:
            return f"{name}: {'; '.join(self.notes)}"
        ends = f"{self.low:+.2f} to {self.high:+.2f}" if isfinite(self.low) else "not known"
        return f"{name}: {self.value:+.2f} (95 % interval {ends})"


def size_correlation(table: pd.DataFrame, of: str, modality: str | None = None) -> SizeCorrelation:
    """Estimate how closely growth goes with the size at the first visit.

    Spearman's rank correlation r over eyes. Its interval is that of Fisher's z = arctanh(r), with
    the standard error sqrt((1 + r^2 / 2) / (n - 3)) (Bonett and Wright, Psychometrika 2000;65:23).
    The two eyes of a patient may be alike, so n is the number of patients, not of eyes: with many
    pairs, the interval is a little too wide.

    Parameters
    ----------
    table : DataFrame
        See `read_areas`.
    of : {"area_growth", "square_root_growth"}
        The column of `eye_rates`. Ranks have no unit, so that both can be compared.
    modality : str, optional
        See `one_modality`.

    Returns
    -------
    SizeCorrelation
        Not known, with the reason, where there are fewer than six patients, or where nothing
        varies.

    Raises
    ------
    ValueError
        If `of` is another word; see also `one_modality`.

    Examples
    --------
    >>> from fundus_helpers.atrophy.cohort import simulate_cohort, size_correlation
    >>> table = simulate_cohort(60, seed=1)
    >>> for of in ("area_growth", "square_root_growth"):
    ...     print(size_correlation(table, of))
    rank correlation of the growth of the area with the size: +0.37 (95 % interval +0.11 to +0.57)
    rank correlation of the square-root growth with the size: +0.01 (95 % interval -0.25 to +0.26)
    """
    if of not in OF:
        raise ValueError(f"of={of!r}: give one of {', '.join(OF)}")
    table, _ = one_modality(table, modality)
    rates = eye_rates(table).dropna(subset=of)
    counts = {"eyes": len(rates), "patients": rates["patient"].nunique()}
    n = counts["patients"]
    if n < LEAST_PATIENTS:
        return SizeCorrelation(of, **counts, notes=(too_few(n),))
    if rates["baseline_mm2"].nunique() == 1 or rates[of].nunique() == 1:
        return SizeCorrelation(of, **counts, notes=("all eyes have one size or one growth",))
    value = float(stats.spearmanr(rates["baseline_mm2"], rates[of]).statistic)
    if abs(value) > 1 - 1e-12:
        return SizeCorrelation(of, value=value, **counts, notes=("all ranks agree",))
    half = stats.norm.ppf((1 + CONFIDENCE) / 2) * sqrt((1 + value**2 / 2) / (n - 3))
    low, high = np.tanh(np.arctanh(value) + np.array([-half, half]))
    return SizeCorrelation(of, value=value, low=float(low), high=float(high), **counts)
