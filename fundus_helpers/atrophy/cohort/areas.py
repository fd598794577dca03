"""The areas of all eyes in one table, read from what notebook 12 left of every eye."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from fundus_helpers.atrophy.growth import DAYS_PER_YEAR, slope
from fundus_helpers.loading.visits import DEMO_PATIENTS, cohort_eyes

AREAS_FILE = Path("12_atrophy", "atrophy.csv")
NEEDED = ("visit", "date", "area_mm2", "modality", "reason")
NUMBERS = (
    *("area_mm2", "area_low_mm2", "area_high_mm2"),
    *("perimeter_mm", "circularity", "foci", "distance_to_fovea_mm"),
)
# Columns of all tables of a cohort, with their units, in words.
AREA_COLUMNS: Mapping[str, str] = {
    "patient": "name of the patient's folder",
    "laterality": "L (left) or R (right)",
    "visit": "name of the visit",
    "date": "day of the visit",
    "years": "years since the first visit of this eye with atrophy (days / 365.25)",
    "area_mm2": "area of the atrophy in mm2",
    "area_low_mm2": "low end of the 95 % interval of the area in mm2",
    "area_high_mm2": "high end of the 95 % interval of the area in mm2",
    "square_root_area_mm": "square root of the area in mm",
    "perimeter_mm": "perimeter of the atrophy in mm",
    "circularity": "4 pi area / perimeter squared: 1 for a disc, without a unit",
    "foci": "number of separate areas",
    "distance_to_fovea_mm": "least distance of the atrophy to the fovea in mm; 0: involved",
    "modality": "kind of photograph, for example autofluorescence or colour",
    "scale": "how the millimetres per pixel are known",
    "found_by": "how the outline was found",
    "verdict": "on the onset map of the eye: accepted, or doubtful (then look at its report)",
}


def read_areas(
    results: Path | str, *, data: Path | str | None = None, patient: str = ""
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Read the areas of all eyes that notebook 12 has measured.

    Parameters
    ----------
    results : path
        The folder of all results. ``<patient>_<laterality>/12_atrophy/atrophy.csv`` is read.
    data : path, optional
        Read only the eyes of this data folder. None: every eye that has results.
    patient : str
        If this is a demo patient, read only its eyes. Otherwise read all eyes except those of demo
        patients.

    Returns
    -------
    table : DataFrame
        One row per visit with atrophy and with an area in mm2. The columns are those of
        `AREA_COLUMNS`; numbers that are not known are NaN, dates are of type datetime64.
    left_out : list of dict of str to str
        Every visit, or whole eye (then ``visit`` is empty), that is not in the table:
        ``patient``, ``laterality``, ``visit`` and ``reason``.

    Notes
    -----
    Areas in pixels are never mixed with those in mm2: without a scale an eye is left out. A file
    that cannot be read leaves out its own eye, no other. Visits before the first atrophy are left
    out, as for the rates of one eye (`growth_rates`).

    Examples
    --------
    >>> import tempfile
    >>> from fundus_helpers.atrophy.cohort import read_areas
    >>> table, left_out = read_areas(tempfile.mkdtemp())
    >>> len(table), left_out
    (0, [])
    """
    known = None if data is None else {f"{who}_{side}" for who, side in cohort_eyes(data)}
    frames, left_out, painted = [], [], patient in DEMO_PATIENTS
    for path in sorted(Path(results).glob(f"*_[LR]/{AREAS_FILE}")):
        who, _, laterality = path.parents[1].name.rpartition("_")
        other = known is not None and path.parents[1].name not in known
        if who != patient if painted else other or who in DEMO_PATIENTS:
            continue
        eye = {"patient": who, "laterality": laterality}
        try:
            rows, reasons = _read_eye(path)
        except (OSError, ValueError) as error:
            # The message of a library may hold a cell of the table: it is not told.
            rows, reasons = None, {"": _damaged(error)}
        left_out += [eye | {"visit": visit, "reason": why} for visit, why in reasons.items()]
        if rows is not None and len(rows):
            frames.append(rows.assign(**eye))
    empty = pd.DataFrame(columns=list(AREA_COLUMNS))
    table = pd.concat(frames, ignore_index=True) if frames else empty
    return table.reindex(columns=list(AREA_COLUMNS)), left_out


class _Unusable(ValueError):
    """A table of areas that can be read, but not used; the message is for the user."""


def _damaged(error: Exception) -> str:
    why = str(error) if isinstance(error, _Unusable) else "it cannot be read"
    return f"{AREAS_FILE.as_posix()}: {why}; delete it and run notebook 12 again"


def _read_eye(path: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """Read the visits of one eye, and why others are left out, by visit."""
    told = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    if missing := [name for name in NEEDED if name not in told]:
        raise _Unusable(f"the column {missing[0]} is missing")
    table = told.copy()
    for name in NUMBERS:
        words = told.get(name, pd.Series("", told.index)).str.strip()
        table[name] = pd.to_numeric(words, errors="coerce")
        wrong = (words != "") & ~np.isfinite(table[name])
        if wrong.any() or (table[name] < 0).any():
            raise _Unusable(f"{name} is not a number of 0 or more in a row")
    table["date"] = pd.to_datetime(told["date"], format="%Y-%m-%d", errors="coerce")
    reasons = dict(told.loc[told["reason"] != "", ["visit", "reason"]].to_numpy().tolist())
    rows = table[told["reason"] == ""].sort_values("date", kind="stable")
    if len(rows) == 0:
        return rows, reasons or {"": "no visit in the table"}
    if rows["date"].isna().any():
        raise _Unusable("a visit has no date like 2020-01-31")
    if rows["area_mm2"].isna().all():
        return rows[:0], reasons | {"": "no scale is known, so that the areas are in pixels only"}
    for name in rows.loc[rows["area_mm2"].isna(), "visit"]:
        reasons[name] = "no area in mm2"
    rows = rows[rows["area_mm2"].notna()]
    grown = rows["area_mm2"].gt(0).cummax()
    if not grown.any():
        return rows[:0], reasons | {"": "no atrophy at any visit"}
    reasons |= dict.fromkeys(rows.loc[~grown, "visit"], "before the first atrophy")
    rows = rows[grown].copy()
    rows["years"] = (rows["date"] - rows["date"].iloc[0]).dt.days / DAYS_PER_YEAR
    rows["square_root_area_mm"] = np.sqrt(rows["area_mm2"])
    rows["modality"] = rows["modality"].replace("", "not known")
    return rows, reasons


def one_modality(
    table: pd.DataFrame, modality: str | None = None, *, eye: tuple[str, str] | None = None
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Keep the eyes of one modality, because a model must never mix them.

    Autofluorescence shows 0.18 (SD 0.45) mm2 more than colour (Wong et al., Invest Ophthalmol Vis
    Sci 2010;51).

    Parameters
    ----------
    table : DataFrame
        See `read_areas`.
    modality : str, optional
        The modality to keep. None: that of `eye`, or else that of most eyes; of two with equally
        many, the first of the alphabet.
    eye : (patient, laterality), optional
        The eye whose modality is kept if none is given. If the table does not have this eye, that
        of most eyes is kept.

    Returns
    -------
    table : DataFrame
        The rows of this modality.
    left_out : list of dict of str to str
        The eyes of other modalities, as `read_areas` tells them.

    Raises
    ------
    ValueError
        If no eye has this modality. The message lists those that there are.

    Examples
    --------
    >>> from fundus_helpers.atrophy.cohort import one_modality, simulate_cohort
    >>> table = simulate_cohort(3, seed=1)
    >>> colour = table["patient"] == "made-up 001"
    >>> kept, left_out = one_modality(table.assign(modality=colour.map({True: "c", False: "a"})))
    >>> kept["modality"].unique().tolist(), left_out[0]["patient"]
    (['a'], 'made-up 001')
    >>> mixed = table.assign(modality=colour.map({True: "c", False: "a"}))
    >>> kept, left_out = one_modality(mixed, eye=("made-up 001", "L"))
    >>> kept["modality"].unique().tolist()
    ['c']
    """
    eyes = table[["patient", "laterality", "modality"]].drop_duplicates()
    counts = eyes["modality"].value_counts().sort_index()
    if modality is None and eye is not None:
        own = eyes[(eyes["patient"] == eye[0]) & (eyes["laterality"] == eye[1])]
        modality = own["modality"].iloc[0] if len(own) else None
    if modality is None:
        modality = counts.idxmax() if len(counts) else ""
    elif modality not in counts:
        raise ValueError(
            f"no eye has the modality {modality!r}; there are {', '.join(counts.index) or 'none'}"
        )
    others = eyes[eyes["modality"] != modality]
    left_out = [
        {
            "patient": row.patient,
            "laterality": row.laterality,
            "visit": "",
            "reason": f"{row.modality}, not {modality}: never mixed in one model",
        }
        for row in others.itertuples()
    ]
    return table[table["modality"] == modality].reset_index(drop=True), left_out


def eye_rates(table: pd.DataFrame) -> pd.DataFrame:
    """Compute the growth of every eye by itself, by least squares over its visits.

    Formula: slope on time of the square root of the area, and of the area
    (doi:10.1167/tvst.7.6.40).

    Parameters
    ----------
    table : DataFrame
        See `read_areas`.

    Returns
    -------
    DataFrame
        One row per eye: ``patient``, ``laterality``, ``visits``, ``years`` (from the first to the
        last visit), ``verdict`` (on the onset map of the eye), ``baseline_mm2`` (area at the first
        visit with atrophy),
        ``square_root_growth`` in mm/year, its ``standard_error`` (of the regression alone, so too
        small), and ``area_growth`` in mm2/year. Growth is NaN with visits of one day only, the
        error with fewer than three.
        ``involved`` says whether the atrophy reached the fovea at the first visit: True, False,
        or missing where the fovea is not known.

    Examples
    --------
    >>> from fundus_helpers.atrophy.cohort import eye_rates, simulate_cohort
    >>> rates = eye_rates(simulate_cohort(1, eyes_per_patient=1, visits=3))
    >>> rates[["patient", "visits"]].values.tolist()
    [['made-up 001', 3]]
    """
    rows = []
    for (patient, laterality), eye in table.groupby(["patient", "laterality"], sort=True):
        rate = error = of_area = np.nan
        if eye["years"].nunique() > 1:
            rate, error = map(float, slope(eye["years"], eye["square_root_area_mm"]))
            of_area = float(slope(eye["years"], eye["area_mm2"])[0])
        first = eye.iloc[0]
        distance = first["distance_to_fovea_mm"]
        rows.append(
            {
                "patient": patient,
                "laterality": laterality,
                "visits": len(eye),
                "years": float(np.ptp(eye["years"])),
                "verdict": first["verdict"],
                "baseline_mm2": float(first["area_mm2"]),
                "square_root_growth": rate,
                "standard_error": error,
                "area_growth": of_area,
                "involved": pd.NA if pd.isna(distance) else bool(distance == 0),
            }
        )
    columns = (
        *("patient", "laterality", "visits", "years", "verdict", "baseline_mm2"),
        *("square_root_growth", "standard_error", "area_growth", "involved"),
    )
    found = pd.DataFrame(rows, columns=columns)
    return found.astype({"involved": "boolean"})
