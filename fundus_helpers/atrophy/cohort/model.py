"""The growth over all eyes: a linear mixed model of the square root of the area on time."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, isnan, nan, sqrt

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM, MixedLMResults

from fundus_helpers.atrophy.cohort.areas import eye_rates, one_modality
from fundus_helpers.metrics.statistics import CONFIDENCE, LEAST_EYES
from fundus_helpers.metrics.verdict import DOUBTFUL

LEAST_PATIENTS = LEAST_EYES
LEAST_PAIRS = 3  # patients with two eyes, without whom eyes and patients cannot be told apart
BY_PATIENT = "intercept and slope by patient"
BY_EYE = f"{BY_PATIENT}, intercept and slope by eye within patient"
BY_EYE_LEVEL = f"{BY_PATIENT}, intercept by eye within patient"
BY_MEANS = "no model: mean over patients of the growth of their eyes"
_OF_EYES = {
    BY_EYE: {"level": "0 + C(laterality)", "growth": "0 + C(laterality):years"},
    BY_EYE_LEVEL: {"level": "0 + C(laterality)"},
    BY_PATIENT: None,
}


@dataclass(frozen=True)
class GrowthModel:
    """Growth over many eyes, in mm/year of the square root of the area.

    Attributes
    ----------
    growth, low, high : float
        Mean growth and its 95 % interval in mm/year; NaN where it is not known.
    sd_growth_patients, sd_growth_eyes : float
        Standard deviation of the growth between patients, and between the eyes of a patient, in
        mm/year. NaN where they cannot be told apart; then the first holds both.
    sd_low, sd_high : float
        95 % interval of `sd_growth`, by the jackknife over patients (Miller, Annals of
        Mathematical Statistics 1968;39:567). It is too narrow where growth is skewed: in cohorts
        of `simulate_cohort` it contains the truth in 83 to 85 %.
    sd_level_patients, sd_level_eyes : float
        The same as of growth, of the square root of the area at the first visit, in mm.
    residual : float
        Standard deviation of the visits around the line of their eye, in mm.
    patients, eyes, visits : int
        How many it rests on.
    modality : str
    structure : str
        The random part of the model in words.
    notes : tuple of str
        What is missing, was left out or made simpler, in plain words.
    """

    growth: float = nan
    low: float = nan
    high: float = nan
    sd_growth_patients: float = nan
    sd_growth_eyes: float = nan
    sd_low: float = nan
    sd_high: float = nan
    sd_level_patients: float = nan
    sd_level_eyes: float = nan
    residual: float = nan
    patients: int = 0
    eyes: int = 0
    visits: int = 0
    modality: str = ""
    structure: str = ""
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether the mean growth is known."""
        return isfinite(self.growth)

    @property
    def sd_growth(self) -> float:
        """Standard deviation of the growth between eyes of different patients, in mm/year."""
        return sqrt(self.sd_growth_patients**2 + np.nan_to_num(self.sd_growth_eyes) ** 2)

    @property
    def spread(self) -> str:
        """How much eyes differ, in one line."""
        if not self.known:
            return "how much eyes differ is not known"
        ends = "not known" if isnan(self.sd_low) else f"{self.sd_low:.3f} to {self.sd_high:.3f}"
        around = "not known" if isnan(self.residual) else f"{self.residual:.3f} mm"
        return (
            f"standard deviation of the growth between eyes {self.sd_growth:.3f} mm/year (95 % "
            f"interval {ends}); of a visit around the line of its eye: {around}; {self.structure}"
        )

    def __str__(self) -> str:
        """Say the growth in one line."""
        if not self.known:
            return "".join(self.notes[:1])
        bounds = "" if isnan(self.low) else f" (95 % interval {self.low:.3f} to {self.high:.3f})"
        return (
            f"{self.growth:.3f} mm/year{bounds}; {self.eyes} eyes of {self.patients} patients, "
            f"{self.visits} visits"
        )


# Mean and SD: doi:10.1167/tvst.7.6.40. How the SD divides between patients and eyes (correlation
# 0.6) and the residual are assumptions, those of `simulate_cohort`.
PUBLISHED = GrowthModel(
    growth=0.33,
    sd_growth_patients=0.21 * sqrt(0.6),
    sd_growth_eyes=0.21 * sqrt(0.4),
    residual=0.05,
    structure="published numbers",
    notes=("growth 0.33 (SD 0.21) mm/year: doi:10.1167/tvst.7.6.40; residual 0.05 mm: assumed",),
)


def growth_model(table: pd.DataFrame, modality: str | None = None) -> GrowthModel:
    """Fit a linear mixed model of the square root of the area on time.

    ``sqrt(area) = level + growth * years + error``, where level and growth of an eye are those of
    all eyes, plus what its patient has more, plus what the eye has more (Lancet 2023;402:1434).
    Fitted by restricted maximum likelihood.

    Parameters
    ----------
    table : DataFrame
        See `read_areas`.
    modality : str, optional
        See `one_modality`.

    Returns
    -------
    GrowthModel
        The interval is that of Student's t with one degree of freedom less than patients. With
        fewer than six patients, nothing is known, and ``notes`` say what is needed. If the model
        does not converge, a simpler one is taken, and ``notes`` say which. An error that all eyes
        share, for example of one camera's scale, is not in the interval.

    Raises
    ------
    ValueError
        See `one_modality`.

    Notes
    -----
    In 400 cohorts each of `simulate_cohort` with 6, 10, 20 and 40 patients, the interval of the
    mean growth contains the truth in 96, 95, 93 and 92 %. The growth of these eyes is skewed: a
    few grow very fast, and a cohort that has none of them looks too sure.

    Examples
    --------
    >>> from fundus_helpers.atrophy.cohort import growth_model, simulate_cohort
    >>> print(growth_model(simulate_cohort(3)))
    3 patients with visits on two days or more: 6 are needed for the growth over all eyes
    """
    table, others = one_modality(table, modality)
    usable, notes = usable_eyes(table)
    notes += (*_doubtful(usable), *_count_of_others(others))
    counts = {
        "patients": usable["patient"].nunique(),
        "eyes": len(usable[["patient", "laterality"]].drop_duplicates()),
        "visits": len(usable),
        "modality": table["modality"].iloc[0] if len(table) else "",
    }
    if counts["patients"] < LEAST_PATIENTS:
        return GrowthModel(**counts, notes=(too_few(counts["patients"]), *notes))
    fit, structure, told = fit_mixed(usable, "square_root_area_mm ~ years")
    notes = (*told, *notes)
    if fit is None:
        return _by_means(usable, counts, notes)
    growth = float(fit.fe_params["years"])
    error = sqrt(fixed_covariance(fit).at["years", "years"])
    half = error * student(counts["patients"] - 1)
    (level, slope), spread = np.sqrt(np.diag(fit.cov_re)), _spread_of_eyes(fit)
    return GrowthModel(
        growth,
        growth - half,
        growth + half,
        float(slope),
        spread.get("growth", nan),
        *_spread_interval(usable),
        float(level),
        spread.get("level", nan),
        sqrt(fit.scale),
        **counts,
        structure=structure,
        notes=notes,
    )


def too_few(patients: int) -> str:
    """Return the message that there are too few patients for a model."""
    word = "patient" if patients == 1 else "patients"
    return (
        f"{patients} {word} with visits on two days or more: {LEAST_PATIENTS} are needed for the "
        "growth over all eyes"
    )


def student(degrees: int) -> float:
    """Return the quantile of Student's t for a two-sided interval of 95 %."""
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, degrees))


def usable_eyes(table: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Keep the eyes with visits on two days or more, and one eye each where pairs are too few.

    Parameters
    ----------
    table : DataFrame
        See `one_modality`.

    Returns
    -------
    table : DataFrame
    notes : tuple of str
        What was left out, in words.
    """
    notes = []
    days = table.groupby(["patient", "laterality"])["years"].transform("nunique")
    rows = table[days > 1]
    single = len(table[days <= 1][["patient", "laterality"]].drop_duplicates())
    if single:
        eyes = "1 eye" if single == 1 else f"{single} eyes"
        notes.append(f"{eyes} with visits on one day only left out")
    sizes = rows.groupby(["patient", "laterality"]).size()
    pairs = int((sizes.groupby("patient").size() == 2).sum())
    if 0 < pairs < LEAST_PAIRS:
        # Of two eyes the one with more visits; of two alike the left one.
        best = sizes.reset_index(name="n").sort_values(["n", "laterality"], ascending=[False, True])
        kept = best.drop_duplicates("patient")[["patient", "laterality"]]
        rows = rows.merge(kept, on=["patient", "laterality"])
        notes.append(
            f"{pairs} patient{'s' if pairs > 1 else ''} with two eyes: {LEAST_PAIRS} are needed to "
            "tell patients and eyes apart, so that one eye of each patient was used"
        )
    return rows.reset_index(drop=True), tuple(notes)


def fit_mixed(
    table: pd.DataFrame, formula: str
) -> tuple[MixedLMResults | None, str, tuple[str, ...]]:
    """Fit the mixed model with the richest random part that converges.

    Parameters
    ----------
    table : DataFrame
        See `usable_eyes`.
    formula : str
        The fixed part.

    Returns
    -------
    fit : MixedLMResults or None
        None if no random part converges.
    structure : str
        The random part in words.
    notes : tuple of str
        Which random parts were tried in vain, and what lies at the edge.
    """
    pairs = table.groupby("patient")["laterality"].nunique().gt(1).any()
    tried = [name for name in _OF_EYES if pairs == (name != BY_PATIENT)]
    if table.groupby(["patient", "laterality"])["years"].nunique().max() < 3:
        return None, BY_MEANS, ("no eye has three visits: without them the residual is not known",)
    notes: list[str] = []
    for name in tried:
        fit, problem = _fit(
            lambda parts=_OF_EYES[name]: MixedLM.from_formula(
                formula, table, groups="patient", re_formula="~years", vc_formula=parts
            ).fit(method=["lbfgs", "bfgs"])
        )
        if fit is not None:
            return fit, name, tuple(notes)
        notes.append(f"no fit with {name} ({problem}), so that a simpler model was tried")
    return None, BY_MEANS, tuple(notes)


def _fit(make: Callable[[], MixedLMResults]) -> tuple[MixedLMResults | None, str]:
    """Fit; return None and the reason if the numbers cannot be trusted."""
    with warnings.catch_warnings():
        # What they say is checked below; a variance of 0 is a finding and no failure.
        warnings.simplefilter("ignore")
        try:
            fit = make()
        except np.linalg.LinAlgError:
            return None, "a matrix is singular"
    if not fit.converged:
        return None, "no best numbers were found"
    if not (np.isfinite(fit.fe_params).all() and fit.scale > 0):
        return None, "the numbers are not finite"
    return fit, ""


def fixed_covariance(fit: MixedLMResults) -> pd.DataFrame:
    """Return the covariance of the fixed effects: the inverse of the sum of X' V^-1 X.

    That of statsmodels is computed together with that of the variances, and is not known where
    one of these is 0.

    Parameters
    ----------
    fit : MixedLMResults
        See `fit_mixed`.

    Returns
    -------
    DataFrame
        One row and one column per fixed effect.
    """
    model, of_patients = fit.model, np.asarray(fit.cov_re)
    names = model.exog_names
    information = np.zeros((len(names), len(names)))
    for i, (fixed, random) in enumerate(zip(model.exog_li, model.exog_re_li, strict=True)):
        variance = fit.scale * np.eye(len(fixed)) + random @ of_patients @ random.T
        for value, parts in zip(fit.vcomp, model.exog_vc.mats, strict=True):
            variance += value * parts[i] @ parts[i].T
        information += fixed.T @ np.linalg.solve(variance, fixed)
    return pd.DataFrame(np.linalg.inv(information), names, names)


def _spread_of_eyes(fit: MixedLMResults) -> dict[str, float]:
    names = fit.model.exog_vc.names
    return {name: sqrt(max(value, 0)) for name, value in zip(names, fit.vcomp, strict=True)}


def _spread_interval(table: pd.DataFrame) -> tuple[float, float]:
    """Return the interval of the standard deviation of the growth between eyes.

    The variance is that of the eyes' own growth less that of its error. Each patient is left out
    in turn. The interval is computed of the logarithm.
    """
    rates = eye_rates(table).dropna(subset=["square_root_growth", "standard_error"])
    patients = rates["patient"].unique()
    if len(patients) < LEAST_PATIENTS:
        return nan, nan

    def log_spread(rows: pd.DataFrame) -> float:
        noise = (rows["standard_error"] ** 2).mean()
        variance = rows["square_root_growth"].var() - noise
        return np.log(variance) / 2 if variance > 0 else nan

    n, all_of_them = len(patients), log_spread(rates)
    without = np.array([log_spread(rates[rates["patient"] != who]) for who in patients])
    pseudo = n * all_of_them - (n - 1) * without
    half = pseudo.std(ddof=1) / sqrt(n) * student(n - 1)
    return float(np.exp(pseudo.mean() - half)), float(np.exp(pseudo.mean() + half))


def _by_means(table: pd.DataFrame, counts: dict, notes: tuple[str, ...]) -> GrowthModel:
    """Average the growth over the eyes of a patient, then over patients."""
    growths = eye_rates(table).groupby("patient")["square_root_growth"].mean()
    mean, sd = float(growths.mean()), float(growths.std())
    half = sd / sqrt(len(growths)) * student(len(growths) - 1)
    return GrowthModel(
        mean,
        mean - half,
        mean + half,
        sd_growth_patients=sd,
        **counts,
        structure=BY_MEANS,
        notes=(*notes, "the spread between patients holds that between eyes, and the residual"),
    )


def _doubtful(table: pd.DataFrame) -> list[str]:
    """Say how many eyes are counted although the verdict on their onset map is doubtful."""
    doubtful = table.loc[table["verdict"] == DOUBTFUL, ["patient", "laterality"]].drop_duplicates()
    if not len(doubtful):
        return []
    eyes = ", ".join(f"{row.patient} {row.laterality}" for row in doubtful.itertuples())
    return [f"counted although the onset map is doubtful (look at the reports): {eyes}"]


def _count_of_others(left_out: list[dict[str, str]]) -> list[str]:
    reasons = pd.Series([each["reason"] for each in left_out], dtype=str).value_counts()
    return [f"{n} eye{'s' if n > 1 else ''} left out: {reason}" for reason, n in reasons.items()]
