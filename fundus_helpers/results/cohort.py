"""The table of a cohort: what became of every eye, for a page, a CSV and a Parquet file.

``fundus cohort DATA RESULTS [--part 3/100]``
"""

from pathlib import Path

import pandas as pd

from fundus_helpers.files import written_beside
from fundus_helpers.loading.visits import cohort_eyes, data_folder
from fundus_helpers.progress import progress
from fundus_helpers.results.cohort_page import cohort_page, save_sheet
from fundus_helpers.results.metrics_file import read_eye_metrics
from fundus_helpers.results.reading import read_outcomes
from fundus_helpers.results.report import summarise
from fundus_helpers.series.outcomes import best_method, count_verdicts

STATES = ("FAILED", "unfinished", "done")  # the worst first


def cohort_table(
    data: Path | str, results: Path | str, part: str = "1/1", *, shown: bool = True
) -> pd.DataFrame:
    """Tell what became of every eye of a cohort, the worst first.

    Parameters
    ----------
    data, results : path
        The eyes are those of the data folder, without the demo patients.
    part : str
        See `loading.cohort_eyes`.
    shown : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        One row per eye, with these columns. ``patient`` and ``laterality``. ``state`` is
        ``FAILED``, ``unfinished`` (not begun, or killed) or ``done``; ``reason`` says why.
        ``notebook`` and ``method`` name the registration to take (`series.best_method`). Of this
        registration: ``visits`` that were tried; how many of them were ``accepted``, ``doubtful``
        and ``failed``; the mean and the worst predicted error; the mean landmark error, and the
        same before registration (pixels of the photographs on disk, NaN where it is not known).
        ``left_out`` counts the photographs left out; ``code`` is the version that made the
        results.

    Raises
    ------
    EyeError
        If there is no such data folder.
    """
    results, eyes = Path(results), cohort_eyes(data_folder(data), part)
    rows = [_row(results, *eye) for eye in progress(eyes, "eyes", shown=shown)]
    table = pd.DataFrame(rows)
    if table.empty:
        return table.reindex(columns=["patient", "laterality", "state", "reason"])
    table["state"] = pd.Categorical(table["state"], STATES, ordered=True)
    table["share accepted"] = table["accepted"] / table["visits"]
    order = ["state", "share accepted", "worst_predicted_error_px", "patient", "laterality"]
    table = table.sort_values(order, ascending=[True, True, False, True, True])
    return table.drop(columns="share accepted").reset_index(drop=True)


def _row(results: Path, patient: str, laterality: str) -> dict[str, object]:
    eye = f"{patient}_{laterality}"
    row = {"patient": patient, "laterality": laterality, "state": "unfinished"}
    row["reason"] = "not run" if not (results / eye).is_dir() else "not every notebook has ended"
    summary = summarise(results, [eye])
    failed = summary[summary["state"] == "FAILED"]
    if len(failed):
        reasons = failed["notebook"] + ": " + failed["in numbers"]
        row |= {"state": "FAILED", "reason": "; ".join(reasons)}
    elif (results / eye / "report.html").exists():
        row |= {"state": "done", "reason": ""}
    row |= {"visits": 0, "accepted": 0, "worst_predicted_error_px": float("nan")}
    metrics, _ = read_eye_metrics(results / eye)  # `summarise` gives the reasons of the others
    if not metrics:
        return row
    one = metrics[min(metrics)]  # every notebook says the same of the eye
    row |= {"left_out": len(one["left_out"]), "code": one["provenance"]["code"]}
    try:
        return row | _numbers(read_outcomes(results, [eye], skip_unreadable=True))
    except FileNotFoundError:  # nothing was registered
        return row
    except ValueError as error:
        return row | {"state": "FAILED", "reason": str(error)}


def _numbers(outcomes: pd.DataFrame) -> dict[str, object]:
    method = best_method(outcomes)
    taken = outcomes[outcomes["method"] == method]
    predicted = taken["predicted_error_px"]
    return {
        "notebook": taken["notebook"].iloc[0],
        "method": method,
        "visits": len(taken),
        **count_verdicts(taken).loc[method].to_dict(),
        "mean_predicted_error_px": predicted.mean(),
        "worst_predicted_error_px": predicted.max(),
        "landmark_error_before_px": taken["landmark_error_before_px"].mean(),
        "landmark_error_px": taken["landmark_error_px"].mean(),
    }


def report_name(part: str) -> str:
    """Name the files of a report: ``cohort``, or for a part of a cohort ``cohort-3-of-100``."""
    return "cohort" if part == "1/1" else f"cohort-{part.replace('/', '-of-')}"


def write_cohort_report(data: Path | str, results: Path | str, part: str = "1/1") -> pd.DataFrame:
    """Write ``cohort.html``, ``cohort.csv`` and ``cohort.parquet`` into the results folder.

    The page opens from disk, sorts and filters, and fetches nothing from anywhere.

    Parameters
    ----------
    data, results, part
        See `cohort_table`. For the names of the files of a part, see `report_name`.

    Returns
    -------
    DataFrame
        The table that was written.
    """
    results, name = Path(results), report_name(part)
    table = cohort_table(data, results, part)
    with written_beside(results / f"{name}.csv") as beside:
        table.to_csv(beside, index=False)
    with written_beside(results / f"{name}.parquet") as beside:
        table.to_parquet(beside, index=False)
    for row in table[table["state"] != "done"].itertuples():
        save_sheet(Path(data), results, row.patient, row.laterality)
    title = "Cohort" if part == "1/1" else f"Cohort, part {part}"
    page = cohort_page(table, results, f"{title}: registration report", _count_states(table))
    with written_beside(results / f"{name}.html") as beside:
        beside.write_text(page, encoding="utf-8")
    return table


def _count_states(table: pd.DataFrame) -> str:
    counts = table["state"].value_counts() if len(table) else {}
    words = ", ".join(f"{counts.get(state, 0)} {state}" for state in reversed(STATES))
    return f"{len(table)} eyes: {words}."


def tell_unfinished(table: pd.DataFrame) -> str:
    """Name the eyes that failed or are unfinished, one line per eye, and count all eyes."""
    bad = table[table["state"] != "done"] if len(table) else table
    lines = []
    for row in bad.itertuples():
        reason = " ".join(row.reason.split())
        lines.append(f"{row.patient}_{row.laterality}  {row.state}  {reason}")
    return "\n".join([*lines, f"{len(table)} eyes, {len(table) - len(bad)} done"])
