"""A made-up cohort with published numbers, to test the model and to plan with."""

import numpy as np
import pandas as pd

from fundus_helpers.atrophy.cohort.areas import AREA_COLUMNS
from fundus_helpers.atrophy.growth import DAYS_PER_YEAR
from fundus_helpers.metrics.verdict import ACCEPTED

MADE_UP = "made up, not measured"


def simulate_cohort(
    patients: int = 30,
    *,
    growth: float = 0.33,
    sd_growth: float = 0.21,
    baseline: float = 7.3,
    sd_baseline: float = 6.6,
    correlation: float = 0.6,
    error: float = 0.05,
    visits: int = 5,
    years: float = 2.0,
    eyes_per_patient: float = 1.5,
    involved: float = 0.4,
    involved_growth: float = 0.0,
    size_growth: float = 0.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Make up the areas of a cohort with known growth. No eye of it exists.

    The square root of the area of every eye grows along a straight line. Growth and baseline area
    are log-normal, so that both are above 0, with exactly the means, the standard deviations and
    the correlation between the two eyes of a patient that are given.

    Parameters
    ----------
    patients : int
    growth, sd_growth : float
        Mean and standard deviation over eyes of the square-root growth in mm/year: 0.33 (0.21),
        doi:10.1167/tvst.7.6.40.
    baseline, sd_baseline : float
        Of the area at the first visit in mm2: 7.3 (6.6), same source.
    correlation : float from 0 to below 1
        Between the two eyes of a patient, of the growth and of the baseline area. 0.6 is an
        assumption.
    error : float
        Standard deviation of the error of measurement of the square root of the area in mm. 0.05
        is an assumption.
    visits : int
        Visits of each eye, evenly spaced.
    years : float
        From the first to the last visit.
    eyes_per_patient : float from 1 to 2
        1.5: every second patient has two eyes.
    involved : float from 0 to 1
        Share of eyes whose atrophy reaches the fovea. The other distances are log-normal with the
        median 0.46 mm (Heyang et al., Invest Ophthalmol Vis Sci 2024;65:1356).
    involved_growth : float
        What is added to the growth of eyes whose fovea is involved, in mm/year.
    size_growth : float
        What is added to the growth for each mm of the square root of the baseline area, above
        the square root of `baseline`, in mm/year.
    seed : int
        The same seed gives the same cohort.

    Returns
    -------
    DataFrame
        With the columns of `read_areas`. Patients are called ``made-up 001`` and so on.

    Raises
    ------
    ValueError
        If a number is outside its range.

    Examples
    --------
    >>> from fundus_helpers.atrophy.cohort import simulate_cohort
    >>> table = simulate_cohort(20, visits=3)
    >>> table["patient"].nunique(), len(table)
    (20, 90)
    """
    _refuse_wrong(patients, visits, years, correlation, eyes_per_patient)
    rng = np.random.default_rng(seed)
    two = np.floor(np.arange(1, patients + 1) * (eyes_per_patient - 1) + 1e-9)
    eyes = 1 + np.diff(two, prepend=0).astype(int)
    patient = np.repeat(np.arange(patients), eyes)
    number = np.arange(len(patient)) - np.repeat(np.cumsum(eyes) - eyes, eyes)
    areas = _log_normal(rng, patient, baseline, sd_baseline, correlation)
    rates = _log_normal(rng, patient, growth, sd_growth, correlation)
    at_fovea = rng.random(len(patient)) < involved
    distances = np.where(at_fovea, 0.0, 0.46 * np.exp(0.8 * rng.standard_normal(len(patient))))
    rates += involved_growth * at_fovea + size_growth * (np.sqrt(areas) - np.sqrt(baseline))
    times = np.linspace(0, years, visits)
    roots = np.sqrt(areas)[:, None] + rates[:, None] * times
    roots = np.maximum(roots + error * rng.standard_normal(roots.shape), 0.02)
    dates = pd.Timestamp(2015, 1, 1) + pd.to_timedelta(np.round(times * DAYS_PER_YEAR), "D")
    each = np.repeat(np.arange(len(patient)), visits)
    half = 1.96 * error
    nearer = distances[:, None] - 0.1 * times  # the atrophy comes nearer to the fovea
    root = roots.ravel()
    table = pd.DataFrame(
        {
            "patient": [f"made-up {i + 1:03d}" for i in patient[each]],
            "laterality": np.where(number[each] == 0, "L", "R"),
            "visit": np.tile(dates.strftime("%Y-%m-%d"), len(patient)),
            "date": np.tile(dates, len(patient)),
            "years": np.tile((dates - dates[0]).days / DAYS_PER_YEAR, len(patient)),
            "area_mm2": root**2,
            "area_low_mm2": np.maximum(root - half, 0) ** 2,
            "area_high_mm2": (root + half) ** 2,
            "square_root_area_mm": root,
            "distance_to_fovea_mm": np.maximum(nearer, 0).ravel(),
            "modality": "autofluorescence",
            "scale": MADE_UP,
            "found_by": MADE_UP,
            "verdict": ACCEPTED,
        }
    )
    return table.reindex(columns=list(AREA_COLUMNS))


def _log_normal(
    rng: np.random.Generator, patient: np.ndarray, mean: float, sd: float, correlation: float
) -> np.ndarray:
    """Draw one number per eye with this mean, spread, and correlation within patients."""
    variance = np.log1p((sd / mean) ** 2)
    shared = np.log1p(correlation * np.expm1(variance))
    of_patient = rng.standard_normal(patient.max() + 1)[patient] * np.sqrt(shared)
    of_eye = rng.standard_normal(len(patient)) * np.sqrt(variance - shared)
    return mean * np.exp(of_patient + of_eye - variance / 2)


def _refuse_wrong(
    patients: int, visits: int, years: float, correlation: float, eyes_per_patient: float
) -> None:
    if patients < 1 or visits < 1 or not years > 0:
        raise ValueError("a cohort needs at least one patient, one visit, and years above 0")
    if not 0 <= correlation < 1:
        raise ValueError(f"correlation={correlation:g}: give a number from 0 to below 1")
    if not 1 <= eyes_per_patient <= 2:
        raise ValueError(f"eyes_per_patient={eyes_per_patient:g}: give a number from 1 to 2")
