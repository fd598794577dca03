"""How growth differs with the size at the first visit, and where the fovea is involved."""

from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
import pandas as pd
from statsmodels.regression.linear_model import OLS

from fundus_helpers.atrophy.cohort.areas import eye_rates, one_modality
from fundus_helpers.atrophy.cohort.estimate import CohortEstimate
from fundus_helpers.atrophy.cohort.model import (
    LEAST_PATIENTS,
    fit_mixed,
    fixed_covariance,
    student,
    too_few,
    usable_eyes,
)

BY = {
    "size": ("square root of the area at the first visit", "mm/year per mm"),
    "fovea": ("fovea involved at the first visit, minus not involved", "mm/year"),
}
LEAST_OF_EACH = 3  # patients on each side of a comparison


@dataclass(frozen=True)
class GrowthDifference(CohortEstimate):
    """By how much growth differs between eyes.

    Attributes
    ----------
    by : {"size", "fovea"}
    value, low, high, eyes, patients, notes
        The difference, in `unit`. See `CohortEstimate`.
    coefficients : tuple of float
        Growth at 0 (size: at no atrophy; fovea: not involved) in mm/year, and `value`.
    covariance : tuple of tuple of float
        Of the coefficients, shape (2, 2).
    """

    by: str
    coefficients: tuple[float, ...] = (nan, nan)
    covariance: tuple[tuple[float, ...], ...] = ((nan, nan), (nan, nan))

    @property
    def unit(self) -> str:
        """Unit of the difference."""
        return BY[self.by][1]

    def at(self, value: float) -> tuple[float, float, float]:
        """Return the mean growth of eyes with a size or involvement, in mm/year.

        Parameters
        ----------
        value : float
            Square root of the area at the first visit in mm; or 1 with the fovea involved, else 0.

        Returns
        -------
        growth : float
        low, high : float
            Its 95 % interval.
        """
        row = np.array([1.0, value])
        growth = float(row @ self.coefficients)
        half = student(max(self.patients - 1, 1)) * sqrt(row @ np.array(self.covariance) @ row)
        return growth, growth - half, growth + half

    def __str__(self) -> str:
        """Say the difference in one line."""
        if not self.known:
            return f"{BY[self.by][0]}: {'; '.join(self.notes)}"
        shown = "no difference is shown" if self.low <= 0 <= self.high else "a difference is shown"
        return (
            f"{BY[self.by][0]}: {self.value:+.3f} {self.unit} (95 % interval {self.low:+.3f} to "
            f"{self.high:+.3f}; {self.eyes} eyes of {self.patients} patients): {shown}"
        )


def growth_difference(
    table: pd.DataFrame, by: str, modality: str | None = None
) -> GrowthDifference:
    """Estimate how growth differs with the size at the first visit, or with the fovea involved.

    By the fovea: the mixed model of `growth_model`, with the involvement, and its product with
    time, as fixed effects; the coefficient of the product is the difference. By the size: the
    growth of every eye by itself (`eye_rates`) is regressed on the size, by least squares, with
    standard errors that let the eyes of a patient depend on each other (Liang and Zeger,
    Biometrika 1986;73:13). In a mixed model, the size would be explained by itself.

    Parameters
    ----------
    table : DataFrame
        See `read_areas`.
    by : {"size", "fovea"}
        ``size``: the square root of the area at the first visit with atrophy, in mm. ``fovea``:
        whether ``distance_to_fovea_mm`` is 0 at that visit; eyes whose fovea is not known are left
        out.
    modality : str, optional
        See `one_modality`.

    Returns
    -------
    GrowthDifference
        Not known, with the reason, where there are fewer than six patients, or, by the fovea,
        fewer than three on one of both sides.

    Raises
    ------
    ValueError
        If `by` is another word; see also `one_modality`.

    Notes
    -----
    The size at the first visit is measured with an error, which is in the growth, too, with the
    opposite sign. With an error of 0.05 mm, and sizes that differ by more than 1 mm, this changes
    the difference by less than 0.001 mm/year per mm.

    Examples
    --------
    >>> from fundus_helpers.atrophy.cohort import growth_difference, simulate_cohort
    >>> growth_difference(simulate_cohort(2), "size").known
    False
    """
    if by not in BY:
        raise ValueError(f"by={by!r}: give one of {', '.join(BY)}")
    table, _ = one_modality(table, modality)
    eye = ["patient", "laterality"]
    start = table.drop_duplicates(eye)[[*eye, "square_root_area_mm", "distance_to_fovea_mm"]]
    first = table[eye].merge(start, on=eye, how="left")
    known = first["distance_to_fovea_mm"].notna() if by == "fovea" else first.notna().any(axis=1)
    involved = (first["distance_to_fovea_mm"] == 0).astype(float)
    group = involved if by == "fovea" else first["square_root_area_mm"]
    usable, notes = usable_eyes(table.assign(group=group)[known])
    eyes = usable.drop_duplicates(["patient", "laterality"])
    counts = {"eyes": len(eyes), "patients": eyes["patient"].nunique()}
    if problem := _missing(eyes, counts["patients"], by):
        return GrowthDifference(by, **counts, notes=(problem, *notes))
    told = ()
    if by == "fovea":
        fit, _, told = fit_mixed(usable, "square_root_area_mm ~ years * group")
    names = ["years", "years:group"]
    if by == "fovea" and fit is not None:
        found = fit.fe_params[names].to_numpy(float)
        covariance = fixed_covariance(fit).loc[names, names].to_numpy(float)
    else:
        found, covariance = _by_slopes(usable, eyes)
    half = student(counts["patients"] - 1) * sqrt(covariance[1, 1])
    return GrowthDifference(
        by,
        value=float(found[1]),
        low=float(found[1] - half),
        high=float(found[1] + half),
        **counts,
        notes=(*told, *notes),
        coefficients=tuple(found.tolist()),
        covariance=tuple(map(tuple, covariance.tolist())),
    )


def _by_slopes(table: pd.DataFrame, eyes: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Regress the growth of every eye on its group; patients are the clusters of the errors."""
    keys = ["patient", "laterality"]
    rates = eye_rates(table).merge(eyes[[*keys, "group"]], on=keys)
    patients = pd.factorize(rates["patient"])[0]
    design = np.column_stack([np.ones(len(rates)), rates["group"].astype(float)])
    fit = OLS(rates["square_root_growth"].to_numpy(float), design).fit(
        cov_type="cluster", cov_kwds={"groups": patients}
    )
    return np.asarray(fit.params), np.asarray(fit.cov_params())


def _missing(eyes: pd.DataFrame, patients: int, by: str) -> str:
    """Return what is missing for an estimate, in words; empty if nothing is."""
    if patients < LEAST_PATIENTS:
        where = " whose fovea is known" if by == "fovea" else ""
        return too_few(patients).replace(" with visits", f"{where} with visits")
    if by == "fovea":
        sides = [eyes.loc[eyes["group"] == side, "patient"].nunique() for side in (1, 0)]
        if min(sides) < LEAST_OF_EACH:
            return (
                f"the fovea is involved in {sides[0]} patients and not in {sides[1]}: "
                f"{LEAST_OF_EACH} of each are needed"
            )
    elif eyes["group"].std() == 0:
        return "all eyes have one size"
    return ""
