"""The report of a cohort: a page to sort and filter, a CSV and a Parquet file.

``fundus cohort DATA RESULTS [--part 3/100]``
"""

import html
from pathlib import Path
from urllib.parse import quote

import itables.options
import pandas as pd
from itables import to_html_datatable
from itables.javascript import generate_init_offline_itables_html
from PIL import Image

from fundus_helpers.files import written_beside
from fundus_helpers.loading.photographs import UnusableImageError, read_photograph, single_channel
from fundus_helpers.loading.visits import EyeError, cohort_eyes, data_folder, list_visits
from fundus_helpers.plotting.pictures import OVERLAY_CAPTION
from fundus_helpers.progress import progress
from fundus_helpers.results.folder import METRICS_FILE, read_json
from fundus_helpers.results.notebooks import COMPARISON
from fundus_helpers.results.reading import read_outcomes
from fundus_helpers.results.report import PAGE, page_without_code, summarise
from fundus_helpers.series.outcomes import best_method, count_verdicts

STATES = ("FAILED", "unfinished", "done")  # the worst first


SHEET = "photographs.jpg"


PICTURE_WIDTH = 150  # pixels, on the page


STYLE = """<style>
tfoot input { width: 4rem } th, td { white-space: normal !important; max-width: 16rem }
table.dataTable { font-size: .9rem }
table.dataTable th, table.dataTable td { padding: .2rem .4rem !important }
</style>"""


# Columns of the page that are numbers or plain words, and what they are called there.
COLUMNS = {
    "method": "method",
    "visits": "visits",
    "accepted": "accepted",
    "doubtful": "doubtful",
    "failed": "failed",
    "mean_predicted_error_px": "predicted error",
    "worst_predicted_error_px": "worst predicted",
    "mean_landmark_error_px": "landmark error",
    "mean_error_before_px": "error before",
    "left_out": "left out",
}


COUNTS = ("visits", "accepted", "doubtful", "failed", "left_out")


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
        A row an eye. ``patient``, ``laterality``; ``state`` (``FAILED``, ``unfinished``: killed,
        or not begun, ``done``) and the ``reason``; ``notebook`` and ``method`` of the registration
        to take (`series.best_method`); of that, ``visits`` that were tried,
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


def report_name(part: str) -> str:
    """Name of the files of a report: ``cohort``, or of a part ``cohort-3-of-100``."""
    return "cohort" if part == "1/1" else f"cohort-{part.replace('/', '-of-')}"


def write_cohort_report(data: Path | str, results: Path | str, part: str = "1/1") -> pd.DataFrame:
    """Write ``cohort.html``, ``cohort.csv`` and ``cohort.parquet`` into the results folder.

    The page opens from disk, sorts and filters, and fetches nothing from anywhere.

    Parameters
    ----------
    data, results, part
        See `cohort_table`; for the names of a part's files, `report_name`.

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
        _save_sheet(Path(data), results, row.patient, row.laterality)
    with written_beside(results / f"{name}.html") as beside:
        beside.write_text(PAGE.format(width="96%", title="Cohort", body=_body(table, results)))
    return table


def _save_sheet(data: Path, results: Path, patient: str, laterality: str) -> None:
    """Save the first photographs of an eye as they are, side by side; none if none can be read."""
    pictures = []
    try:
        files = list_visits(data, patient, laterality)["file"]
    except EyeError:
        return
    for file in files:
        try:
            image = single_channel(read_photograph(data / patient / file))
        except UnusableImageError:
            continue
        picture = Image.fromarray((image * 255).astype("uint8"))
        picture.thumbnail((PICTURE_WIDTH, PICTURE_WIDTH))
        pictures.append(picture)
        if len(pictures) == 3:
            break
    if not pictures:
        return
    sheet = Image.new("L", (sum(p.width for p in pictures), max(p.height for p in pictures)))
    left = 0
    for picture in pictures:
        sheet.paste(picture, (left, 0))
        left += picture.width
    folder = results / f"{patient}_{laterality}"
    folder.mkdir(parents=True, exist_ok=True)
    with written_beside(folder / SHEET) as part:
        sheet.save(part, "JPEG", quality=85)


def _body(table: pd.DataFrame, results: Path) -> str:
    counts = table["state"].value_counts() if len(table) else {}
    words = ", ".join(f"{counts.get(state, 0)} {state}" for state in reversed(STATES))
    parts = [f"<p>{len(table)} eyes: {words}.</p>"]
    comparison = results / "cohort" / COMPARISON / f"{COMPARISON}.ipynb"
    if comparison.with_name(METRICS_FILE).exists():
        page = comparison.with_suffix(".html")
        with written_beside(page) as part:
            part.write_text(page_without_code(comparison))
        link = page.relative_to(results).as_posix()
        parts.append(f'<p><a href="{link}">Methods compared over all eyes</a></p>')
    parts.append(
        "<p>Errors in pixels of the photographs on disk: predicted, without landmarks, and found "
        "at landmarks where there are some. Method: the one with most visits accepted, then the "
        f"smallest predicted error. Before and after: {OVERLAY_CAPTION}, of the visit farthest "
        "off.</p>"
    )
    if len(table):
        parts += [STYLE]
        parts += [generate_init_offline_itables_html(Path(itables.options.dt_bundle))]
        parts += [_sortable(_shown(table, results))]
    return "\n".join(parts)


def _shown(table: pd.DataFrame, results: Path) -> pd.DataFrame:
    """Make the columns of the page: links, pictures, and everything else as safe text."""
    page = pd.DataFrame(index=table.index)
    names = table["patient"] + "_" + table["laterality"]
    page["state"] = table["state"].astype(str)
    # The report of an eye that failed since is not of this run.
    page.insert(0, "eye", names.map(html.escape))
    done = page["state"] == "done"
    page.loc[done, "eye"] = [_link(f"{name}/report.html", name) for name in names[done]]
    notebooks = table.get("notebook", pd.Series("", table.index)).fillna("")
    for when in ("before", "after"):
        page[when] = [
            _picture(results, f"{name}/{notebook}/{when}.jpg", f"{name}, {when}")
            for name, notebook in zip(names, notebooks, strict=True)
        ]
    sheets = [_picture(results, f"{name}/{SHEET}", f"{name}, as photographed") for name in names]
    page["before"] = page["before"].where(page["before"] != "", sheets)
    page["reason"] = table["reason"].map(html.escape)
    for column, words in COLUMNS.items():
        if column in table and table[column].notna().any():
            number = pd.api.types.is_numeric_dtype(table[column])
            shown = table[column].round(2) if number else table[column]
            shown = shown.astype("Int64") if column in COUNTS else shown
            page[words] = shown.astype(object).where(shown.notna(), "")
    return page


def _link(path: str, words: str) -> str:
    return f'<a href="{quote(path)}">{html.escape(words)}</a>'


def _picture(results: Path, path: str, words: str) -> str:
    if not (results / path).exists():
        return ""
    return f'<img src="{quote(path)}" alt="{html.escape(words)}" height="100" loading="lazy">'


def _sortable(table: pd.DataFrame) -> str:
    return to_html_datatable(
        table,
        connected=False,
        allow_html=True,
        showIndex=False,
        column_filters="footer",
        order=[],  # as given: the worst first
        lengthMenu=[25, 100, 1000],
        maxBytes=0,
    )


def tell_unfinished(table: pd.DataFrame) -> str:
    """Name the eyes that failed or are unfinished, a line each, and count all."""
    bad = table[table["state"] != "done"] if len(table) else table
    lines = []
    for row in bad.itertuples():
        reason = " ".join(row.reason.split())
        lines.append(f"{row.patient}_{row.laterality}  {row.state}  {reason}")
    return "\n".join([*lines, f"{len(table)} eyes, {len(table) - len(bad)} done"])
