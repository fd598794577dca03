"""The eyes of a cohort and what became of each, in one table, the worst first."""

from pathlib import Path

import pandas as pd

from fundus_helpers.outcome_tables import best_method
from fundus_helpers.outcomes import count_verdicts, read_outcomes
from fundus_helpers.progress import progress
from fundus_helpers.report import summarise
from fundus_helpers.results import METRICS_FILE, read_json
from fundus_helpers.visits import cohort_eyes, data_folder

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
        See `visits.cohort_eyes`.
    shown : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        A row an eye. ``patient``, ``laterality``; ``state`` (``FAILED``, ``unfinished``: killed,
        or not begun, ``done``) and the ``reason``; ``notebook`` and ``method`` of the registration
        to take (`outcome_tables.best_method`); of that, ``visits`` that were tried,
        ``accepted``, ``doubtful``, ``failed``, mean and worst predicted error, mean landmark error
        and that before (pixels of the photographs on disk, NaN where nothing is known);
        ``left_out``: photographs; ``code``: version that made it.

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
    whole = sorted((results / eye).glob(f"*/{METRICS_FILE}"))
    if whole:  # every notebook says the same of the eye
        metrics = read_json(whole[0])
        row |= {"left_out": len(metrics["left_out"]), "code": metrics["provenance"]["code"]}
    try:
        return row | _numbers(read_outcomes(results, [eye]))
    except FileNotFoundError:  # nothing was registered
        return row | {"visits": 0, "accepted": 0, "worst_predicted_error_px": float("nan")}


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
        "mean_error_before_px": taken["error_before_px"].mean(),
        "mean_landmark_error_px": taken["landmark_error_px"].mean(),
    }
