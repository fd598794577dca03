"""The table of a cohort: what became of every eye, for a page, a CSV and a Parquet file.

``fundus cohort DATA RESULTS [--part 3/100]``
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from fundus_helpers.files import written_beside
from fundus_helpers.loading.visits.eyes import in_words, list_files
from fundus_helpers.loading.visits.folder import OTHER_FILE, PHOTOGRAPH
from fundus_helpers.metrics.verdict import BY_HAND
from fundus_helpers.progress import progress
from fundus_helpers.results.cohort_page import cohort_page, save_sheet
from fundus_helpers.results.metrics_file import read_eye_metrics
from fundus_helpers.results.reading import read_outcomes
from fundus_helpers.results.report import summarise
from fundus_helpers.results.report.visits import taken_method
from fundus_helpers.series.outcomes import count_verdicts

STATES = ("FAILED", "unfinished", "left out", "done")  # the worst first
COUNTED = ("photographs", "used", "left_out", "why_left_out", "notes")
LONGEST_LINE = 600  # letters of a reason on the screen; the tables have the whole


def cohort_table(
    data: Path | str, results: Path | str, part: str = "1/1", *, shown: bool = True
) -> pd.DataFrame:
    """Tell what became of every eye and every file of a cohort, the worst first.

    Parameters
    ----------
    data, results : path
        The files are those of the data folder, without the demo patients.
    part : str
        See `loading.cohort_eyes`.
    shown : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        One row per eye, with these columns. ``patient`` and ``laterality``. ``state`` is
        ``FAILED``, ``unfinished`` (not begun, or killed) or ``done``; ``reason`` says why. What is
        known of no eye, for example a patient without a readable name, has a row, too: its
        ``laterality`` is empty, and its state is ``left out``.
        ``notebook`` and ``method`` name the registration to take, as the eye's report does. Of this
        registration: ``visits`` that were tried; how many of them were ``accepted``, ``doubtful``
        and ``failed``, and ``accepted, by hand`` if there are any; the mean and the worst predicted
        error; the mean landmark error, and the same before registration (pixels of the photographs
        on disk, NaN where it is not known).
        ``photographs`` counts those that lie in the folder, ``used`` and ``left_out`` add up to
        it; ``why_left_out`` names each with its reason, and ``notes`` what to look at. Every
        photograph is counted in one row. ``code`` is the version that made the results. The
        attribute ``attrs["other_files"]`` of the table counts the files that are no photographs.

    Raises
    ------
    EyeError
        If there is no such data folder.
    """
    results, files = Path(results), list_files(data, part)
    groups = files[files["kind"] != OTHER_FILE].groupby(["patient", "laterality"])
    rows = [
        _row(results, *eye, found) if eye[1] else _row_without_eye(eye[0], found)
        for eye, found in progress(groups, "eyes", groups.ngroups, shown=shown)
    ]
    table = pd.DataFrame(rows)
    table.attrs["other_files"] = int((files["kind"] == OTHER_FILE).sum())
    if table.empty:
        return table.reindex(columns=["patient", "laterality", "state", "reason", *COUNTED])
    if "accepted" not in table:
        table[["visits", "accepted", "worst_predicted_error_px"]] = float("nan")
    table["state"] = pd.Categorical(table["state"], STATES, ordered=True)
    by_hand = table[BY_HAND].fillna(0) if BY_HAND in table else 0
    table["share accepted"] = (table["accepted"] + by_hand) / table["visits"]
    order = ["state", "share accepted", "worst_predicted_error_px", "patient", "laterality"]
    table = table.sort_values(order, ascending=[True, True, False, True, True])
    return table.drop(columns="share accepted").reset_index(drop=True)


def _row_without_eye(patient: str, files: pd.DataFrame) -> dict[str, object]:
    """Make the row of files of which no eye is known: of a patient, or outside every folder."""
    apart = [row.reason for row in files.itertuples() if row.kind != PHOTOGRAPH]
    row = {"patient": patient, "laterality": "", "state": "left out"}
    counted = _counted(files, {})
    row["reason"] = "; ".join(apart) or counted["why_left_out"]
    return row | counted


def _counted(files: pd.DataFrame, since: dict[str, str]) -> dict[str, object]:
    """Count the photographs of an eye, used and left out; `since` is what the run has left out."""
    photographs = files[files["kind"] == PHOTOGRAPH]
    left = photographs[~photographs["used"]]
    reasons = dict(zip(left["file"], left["reason"], strict=True))
    known = {*photographs["file"]}
    reasons |= {file: reason for file, reason in since.items() if file in known}
    rows = files[(files["kind"] != PHOTOGRAPH) & (files["laterality"] != "")]
    told = [f"{file}: {reason}" for file, reason in reasons.items()]
    notes = [f"{row.file}: {row.note}" for row in files.itertuples() if row.note]
    return {
        "photographs": len(photographs),
        "used": len(photographs) - len(reasons),
        "left_out": len(reasons),
        "why_left_out": "; ".join([*told, *rows["reason"]]),
        "notes": "; ".join(notes),
    }


def _row(results: Path, patient: str, laterality: str, files: pd.DataFrame) -> dict[str, object]:
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
    row |= _counted(files, {})
    row |= {"visits": 0, "accepted": 0, "worst_predicted_error_px": float("nan")}
    metrics, _ = read_eye_metrics(results / eye)  # `summarise` gives the reasons of the others
    if not metrics:
        return row
    one = metrics[min(metrics)]  # every notebook says the same of the eye
    since = {left["file"]: left["reason"] for left in one["left_out"]}
    row |= _counted(files, since) | {"code": one["provenance"]["code"]}
    try:
        return row | _numbers(metrics, read_outcomes(results, [eye], skip_unreadable=True))
    except FileNotFoundError:  # nothing was registered
        return row
    except ValueError as error:
        return row | {"state": "FAILED", "reason": str(error)}


def _numbers(metrics: Mapping[str, Mapping], outcomes: pd.DataFrame) -> dict[str, object]:
    method = taken_method(metrics, outcomes).method
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
    for row in table[~table["state"].isin(["done", "left out"])].itertuples():
        save_sheet(Path(data), results, row.patient, row.laterality)
    title = "Cohort" if part == "1/1" else f"Cohort, part {part}"
    title = f"{title}: registration report"
    page = cohort_page(table, results, title, _count_states(table), name)
    with written_beside(results / f"{name}.html") as beside:
        beside.write_text(page, encoding="utf-8")
    return table


def _count_states(table: pd.DataFrame) -> str:
    eyes = table[table["laterality"] != ""]
    counts = eyes["state"].value_counts() if len(eyes) else {}
    shown = [state for state in reversed(STATES) if state != "left out"]
    words = ", ".join(f"{counts.get(state, 0)} {state}" for state in shown)
    return f"{len(eyes)} eyes: {words}. {_count_files(table)}."


def _count_files(table: pd.DataFrame) -> str:
    return in_words(
        int((table["laterality"] != "").sum()),
        len({*table["patient"]} - {""}),
        int(table["used"].sum()),
        int(table["left_out"].sum()),
        table.attrs.get("other_files", 0),
    )


def tell_unfinished(table: pd.DataFrame) -> str:
    """Name what is left out and the eyes that are not done, one per line, and count all."""
    lines = []
    for row in table.itertuples():
        eye = "_".join(filter(None, [row.patient or "(no patient)", row.laterality]))
        if row.state == "done" and row.left_out:
            lines.append(f"{eye}  {row.left_out} left out  {_on_one_line(row.why_left_out)}")
        elif row.state != "done":
            lines.append(f"{eye}  {row.state}  {_on_one_line(row.reason)}")
    eyes = table[table["laterality"] != ""]
    done = int((eyes["state"] == "done").sum())
    return "\n".join([*reversed(lines), _count_files(table), f"{len(eyes)} eyes, {done} done"])


def _on_one_line(reason: str) -> str:
    words = " ".join(str(reason).split())
    return words if len(words) <= LONGEST_LINE else f"{words[:LONGEST_LINE]} ..."
