"""The report of one eye: a page for people, and a table of all notebooks for the terminal."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import nbformat
import pandas as pd

from fundus_helpers.atrophy.files.saving import AREAS_FILE, GROWTH_FILE
from fundus_helpers.files import written_beside
from fundus_helpers.metrics.measures import MEASURES
from fundus_helpers.plotting.atrophy_turns import ATROPHY_PICTURES
from fundus_helpers.plotting.pictures import TURN_CAPTION, overlay_caption
from fundus_helpers.results.metrics_file import METRICS_FILE, read_eye_metrics, read_metrics_file
from fundus_helpers.results.notebook_page import is_executed, write_notebook_page
from fundus_helpers.results.notebooks import ATROPHY_NOTEBOOK
from fundus_helpers.results.page import Link, Picture, Section, render_page
from fundus_helpers.results.reading import read_outcomes
from fundus_helpers.series.outcomes import best_method, method_table

# The report leaves these measures of `method_table` out, so that its table fits on a page.
NOT_IN_REPORT = ("l1", "rmse", "mutual_information", "normalised_mutual_information", "overlap")
NO_SCALE = "No scale is known, so areas are in pixels of each visit's own photograph (px)."
NOT_FOLLOWED = "The atrophy could not be followed; the table says why."
# The pictures of a registration, and their captions.
PICTURES = {
    "before.jpg": f"As photographed ({overlay_caption('template', 'visit')}).",
    "after.jpg": "Registered, in the same colours.",
    "flicker.gif": f"Registered, template and visit in turn: {TURN_CAPTION}.",
}


def write_eye_report(path: Path | str) -> Path:
    """Write the page of one eye: verdicts, pictures, numbers, every notebook without its code.

    A notebook that was run by hand, in JupyterLab, has left its numbers but no executed notebook.
    The page says so, and has no link to it.

    Parameters
    ----------
    path : path
        ``<results>/<patient>_<L|R>/report.html``; the results of the notebooks lie beside it.

    Raises
    ------
    FileNotFoundError
        If no notebook has left numbers of this eye that can be read.
    """
    path = Path(path)
    folder = path.parent
    metrics, unreadable = read_eye_metrics(folder)
    if not metrics:
        reasons = "; ".join(unreadable.values()) or "run a notebook for this eye first"
        raise FileNotFoundError(f"no results of {folder.name}: {reasons}")
    sections = [
        *_verdicts(folder),
        *_atrophy(folder / ATROPHY_NOTEBOOK),
        _notebooks(folder, metrics, unreadable),
        *_landmarks(metrics),
        _left_out(metrics),
    ]
    with written_beside(path) as part:
        title = f"{folder.name}: registration report"
        part.write_text(render_page("eye.html.j2", title, sections), encoding="utf-8")
    return path


def _verdicts(folder: Path) -> list[Section]:
    """Tell which method to take, show it, and count the visits by verdict for every method."""
    try:
        outcomes = read_outcomes(folder.parent, [folder.name], skip_unreadable=True)
    except FileNotFoundError:
        return [Section(paragraphs=["Nothing was registered."])]
    method = best_method(outcomes)
    notebook = outcomes.loc[outcomes["method"] == method, "notebook"].iloc[0]
    pictures = [
        Picture(f"{notebook}/{name}", caption)
        for name, caption in PICTURES.items()
        if (folder / notebook / name).exists()
    ]
    why = (
        "This method has the most accepted visits and, among methods with as many, the smallest "
        "predicted error."
    )
    growth = (
        "To measure the growth of a lesion, use affine or keypoints: B-splines and VoxelMorph "
        "can move the border of a lesion, and the verdict does not notice it."
    )
    shown = "The pictures show the visit that was farthest from the template." if pictures else ""
    table = method_table(outcomes).drop(columns=[*NOT_IN_REPORT], errors="ignore")
    table = table.rename_axis("method").reset_index()
    units = (
        "Number of visits by verdict, then means over the visits. Errors are in pixels (px) of "
        "the photographs on disk."
    )
    header = [MEASURES[name].title if name in MEASURES else name for name in table]
    return [
        Section(f"Method to take: {method} ({notebook})", [f"{why} {growth} {shown}"], pictures),
        Section("Verdicts", [units], header=header, rows=_cells(table)),
    ]


def _cells(table: pd.DataFrame) -> list[list[str]]:
    write = {name: MEASURES[name].write if name in MEASURES else str for name in table}
    return [[write[name](row[name]) for name in table] for row in table.to_dict("records")]


def _atrophy(folder: Path) -> list[Section]:
    """Tell how the atrophy grew. What cannot be read is named, and the rest is shown."""
    if not (folder / AREAS_FILE).exists():
        return []
    try:
        table = pd.read_csv(folder / AREAS_FILE, keep_default_na=False, dtype=str)
        rows = [_visit_cells(row) for row in table.to_dict("records")]
        areas = [float(area) for area in table["area_px"] if area]
        scales = [*dict.fromkeys(filter(None, table["scale"]))]
    except (ValueError, KeyError, OSError) as error:
        return [Section("Atrophy", [_damaged(folder / AREAS_FILE, error)])]
    words = [f"Scale: {'; '.join(scales)}." if scales else NO_SCALE]
    if not any(areas):
        words = ["No atrophy was found at any visit." if areas else NOT_FOLLOWED]
    pictures = [
        Picture(f"{folder.name}/{name}", caption, wide=True)
        for name, caption in ATROPHY_PICTURES.items()
        if (folder / name).exists()
    ]
    header = ["date", "area", "95 % interval", "foci", "how it was found", "reason if left out"]
    return [
        Section("Atrophy", words, pictures, header=header, rows=rows),
        *_rates(folder / GROWTH_FILE),
    ]


def _visit_cells(row: Mapping[str, str]) -> list[str]:
    """Return the cells of a visit; its area is in mm2 if the scale is known, otherwise in px."""
    unit, write = ("mm2", "{:.2f}") if row["area_mm2"] else ("px", "{:.0f}")
    names = (f"area_{unit}", f"area_low_{unit}", f"area_high_{unit}")
    area, low, high = (write.format(float(row[name])) if row[name] else "" for name in names)
    interval = f"{low} to {high}" if low and high else ""
    foci = f"{float(row['foci']):.0f}" if row["foci"] else ""
    date = row["date"] or row["visit"]
    return [date, f"{area} {unit}" if area else "", interval, foci, row["found_by"], row["reason"]]


def _rates(path: Path) -> list[Section]:
    if not path.exists():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = content["rates"] if isinstance(content, dict) else content
        rows = [
            [rate["name"], *(_three(rate[key]) for key in ("value", "low", "high")), rate["unit"]]
            for rate in found
        ]
    except (ValueError, KeyError, TypeError, OSError) as error:
        return [Section("Growth of the atrophy", [_damaged(path, error)])]
    words = (
        "Low and high are the ends of the 95 % interval, which carries the outline, the predicted "
        "error of the registration, errors that all visits share, and the scale."
    )
    header = ["rate", "value", "low", "high", "unit"]
    return [Section("Growth of the atrophy", [words], header=header, rows=rows)] if rows else []


def _three(value: float | None) -> str:
    return "" if value is None or value != value else f"{value:.3g}"


def _damaged(path: Path, error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) else "damaged"
    return f"{path.name} of {path.parent.name}: {reason}; delete it and run the notebook again"


def _notebooks(folder: Path, metrics: Mapping[str, dict], unreadable: Mapping[str, str]) -> Section:
    rows = []
    for name in sorted({*metrics, *unreadable}):
        if name in unreadable:
            rows.append([name, unreadable[name]])
            continue
        page = write_notebook_page(folder / name / f"{name}.ipynb")
        words = [_in_numbers(metrics[name]), "" if page else "run by hand"]
        link = Link(name, f"{name}/{page.name}") if page else name
        rows.append([link, "; ".join(filter(None, words))])
    return Section("Notebooks", rows=rows)


def _landmarks(metrics: Mapping[str, dict]) -> list[Section]:
    """Tell by how many landmarks the visits are judged, who placed them, and how they repeat."""
    told = [one["findings"].get("landmarks") for one in metrics.values()]
    told = [*dict.fromkeys(filter(None, told))]
    return [Section("Landmarks", [f"{words}." for words in told])] if told else []


def _left_out(metrics: Mapping[str, dict]) -> Section:
    left_out = next(iter(metrics.values()))["left_out"]  # all notebooks say the same of an eye
    items = [f"{row['file']}: {row['reason']}" for row in left_out]
    return Section("Photographs left out", items=items or ["none"])


def _in_numbers(metrics: Mapping) -> str:
    words = []
    if metrics["photographs"] is not None:
        words.append(f"{metrics['photographs']} usable visits")
    if metrics["template"] is not None:
        words.append(f"template {metrics['template']}")
    before, after = (_mean_error(metrics[key]) for key in ("before", "after"))
    if before is not None and after is not None:
        words.append(f"landmark error {before:.2f} px before, {after:.2f} px after (full size)")
    if metrics["failed"]:
        words.append(f"failed visits: {len(metrics['failed'])}")
    return "; ".join(words)


def _mean_error(visits: Mapping[str, dict]) -> float | None:
    errors = [row.get("landmark_error_px") for row in visits.values()]
    errors = [error for error in errors if error is not None]
    return sum(errors) / len(errors) if errors else None


def summarise(results: Path | str, eyes: Sequence[str] = ()) -> pd.DataFrame:
    """Make a table of what every notebook left for every eye.

    A notebook whose ``metrics.json`` cannot be read counts as failed.

    Parameters
    ----------
    results : path
    eyes : sequence of str
        Names like ``007_L``; none: every eye that has results.

    Returns
    -------
    DataFrame
        ``eye``, ``notebook``, ``state`` (done or FAILED), ``in numbers`` (or the reason).
    """
    results = Path(results)
    eyes = eyes or sorted(path.name for path in results.iterdir() if path.is_dir())
    rows = []
    for eye in eyes:
        for folder in sorted(path for path in (results / eye).glob("[0-9]*_*") if path.is_dir()):
            rows.append((eye, folder.name, *_state(folder)))
    return pd.DataFrame(rows, columns=["eye", "notebook", "state", "in numbers"])


def _state(folder: Path) -> tuple[str, str]:
    """Return the state of a notebook, and its numbers or the reason why it failed."""
    metrics = folder / METRICS_FILE
    if not metrics.exists():
        return "FAILED", _reason(folder / f"{folder.name}.ipynb")
    try:
        return "done", _in_numbers(read_metrics_file(metrics))
    except (ValueError, OSError) as error:
        return "FAILED", str(error)


def _reason(notebook: Path) -> str:
    if not is_executed(notebook):
        return "killed: cancelled, out of memory, out of time, or the disk was full"
    try:
        cells = nbformat.read(notebook, as_version=4).cells
    except (ValueError, OSError):
        return f"{notebook.name} is damaged: run the notebook again"
    for cell in cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                return f"{output.ename}: {output.evalue}"
    return "killed, or asked to end, before its last cell"
