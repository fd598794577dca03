"""The page of one eye: what became of every visit, a viewer, the atrophy, all methods."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from fundus_helpers.files import written_beside
from fundus_helpers.metrics.measures import MEASURES
from fundus_helpers.metrics.verdict import DOUBTFUL, FAILED, USABLE
from fundus_helpers.plotting.pictures import overlay_caption
from fundus_helpers.results.metrics_file import read_eye_metrics
from fundus_helpers.results.notebook_page import write_notebook_page
from fundus_helpers.results.notebooks import ATROPHY_NOTEBOOK
from fundus_helpers.results.page import (
    TEMPLATES,
    Cell,
    Link,
    Picture,
    Section,
    clear_report,
    render_page,
)
from fundus_helpers.results.reading import read_outcomes
from fundus_helpers.results.report.atrophy import atrophy_sections, growth_sentence
from fundus_helpers.results.report.sheet import SHEET, write_sheet
from fundus_helpers.results.report.summary import in_numbers
from fundus_helpers.results.report.visits import (
    TakenMethod,
    frames,
    method_in_words,
    plain_reason,
    taken_method,
    thumbnails,
    verdict_sentences,
)
from fundus_helpers.series.outcomes import method_table

# The report leaves these measures of `method_table` out, so that its table fits on a page.
NOT_IN_REPORT = ("l1", "rmse", "mutual_information", "normalised_mutual_information", "overlap")
# Heads of columns whose numbers have no unit.
HEADS = {
    **{verdict: f"{verdict} (visits)" for verdict in (*USABLE, DOUBTFUL, FAILED)},
    "ncc": "NCC (-1 to 1)",
    "ssim": "SSIM (-1 to 1)",
}
# The errors of a visit in its row, and the heads of their columns.
ERRORS_OF_A_VISIT = {
    "predicted_error_px": "predicted error (px)",
    "landmark_error_before_px": "landmark error, before (px)",
    "landmark_error_px": "landmark error, after (px)",
}
COLOURS = f"Overlays: {overlay_caption('the template', 'the visit')}."
ERRORS = "Errors are in pixels (px) of the photographs on disk."
GROWTH = (
    "To measure the growth of a lesion, use affine or keypoints: B-splines and VoxelMorph can "
    "move the border of a lesion, and the verdict does not notice it."
)


def write_eye_report(path: Path | str) -> Path:
    """Write the page of one eye, and beside it the same numbers as ``report.xlsx``.

    At the top are the verdict and the growth in sentences. One row per visit follows, a viewer
    through all registered visits, the atrophy, and, folded, all methods. The page opens from disk
    and fetches nothing from anywhere. A PDF and a stack of an earlier report are deleted. A
    notebook that was run by hand, in JupyterLab, has left its numbers but no executed notebook. The
    page says so, and has no link to it.

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
    try:
        outcomes = read_outcomes(folder.parent, [folder.name], skip_unreadable=True)
    except FileNotFoundError:  # nothing was registered
        outcomes = None
    taken = None if outcomes is None else taken_method(metrics, outcomes)
    sections = [
        _verdict(taken, folder, metrics),
        *([] if taken is None else [_visits(taken, folder), _viewer(taken, folder)]),
        *atrophy_sections(folder / ATROPHY_NOTEBOOK),
        *_landmarks(metrics),
        _left_out(metrics),
        *([] if outcomes is None else [_methods(outcomes)]),
        _notebooks(folder, metrics, unreadable),
    ]
    clear_report(folder)
    if outcomes is not None and taken is not None:
        write_sheet(path.with_name(SHEET), taken, outcomes)
    with written_beside(path) as part:
        title = f"{folder.name}: registration report"
        part.write_text(render_page("eye.html.j2", title, sections), encoding="utf-8")
    return path


def _verdict(taken: TakenMethod | None, folder: Path, metrics: Mapping[str, dict]) -> Section:
    """Tell in sentences what became of the visits, how the atrophy grew, and what was left out."""
    told = ["Nothing was registered."] if taken is None else verdict_sentences(taken)
    left_out = len(_left_out_rows(metrics))
    if left_out:
        be = "1 photograph was" if left_out == 1 else f"{left_out} photographs were"
        told.append(f"{be} left out before; the reasons are below.")
    return Section(
        paragraphs=[*told, *filter(None, [growth_sentence(folder / ATROPHY_NOTEBOOK)])],
        kind="verdict",
    )


def _visits(taken: TakenMethod, folder: Path) -> Section:
    """Make the table with one row per visit."""
    known = taken.outcomes.get("landmark_error_before_px", pd.Series(dtype=float)).notna().any()
    errors = [*ERRORS_OF_A_VISIT] if known else ["predicted_error_px"]
    by_visit = {row["visit"]: row for row in taken.outcomes.to_dict("records")}
    rows = [_row(taken, folder, visit, by_visit.get(visit), errors) for visit in taken.visits]
    header = ["visit", "before", "after", "verdict", "reason"]
    header += [ERRORS_OF_A_VISIT[name] for name in errors]
    paragraphs = [
        f"Method to take: {method_in_words(taken.method)} ({taken.notebook}).",
        f"{COLOURS} {ERRORS} The predicted error needs no landmarks.",
        Link(f"All numbers as a spreadsheet: {SHEET}", SHEET),
    ]
    return Section("Visits", paragraphs, header=[*header, "files"], rows=rows)


def _row(
    taken: TakenMethod,
    folder: Path,
    visit: str,
    outcome: Mapping[str, object] | None,
    errors: list[str],
) -> list[Cell]:
    """Return the cells of a visit; the template has no outcome.

    A picture or file that is not there leaves its cell empty.
    """
    named = taken.named(visit)
    kinds = {"registered": "photograph", "transforms": "transform"}
    found = {words: taken.file(folder, kind, visit) for kind, words in kinds.items()}
    links = [Link(words, path) for words, path in found.items() if path]
    if outcome is None:
        return [named, "", "", "template", "", *("" for _ in errors), links]
    when = ("as photographed", "registered")
    pictures = [
        Picture(path, f"{named}, {words}, over the template") if path else ""
        for path, words in zip(thumbnails(taken, folder, outcome), when, strict=True)
    ]
    numbers = [MEASURES[name].write(outcome.get(name)) for name in errors]
    return [named, *pictures, str(outcome["verdict"]), plain_reason(outcome), *numbers, links]


def _viewer(taken: TakenMethod, folder: Path) -> Section:
    """Make the viewer through all registered visits; if there are no pictures, say what to do."""
    found = frames(taken, folder)
    if not found:
        words = "No pictures of registered visits are here; run the notebook again to see them."
        return Section("Registered visits", [words])
    html = TEMPLATES.get_template("viewer.html.j2").render(frames=found)
    return Section("Registered visits", html=html)


def _methods(outcomes: pd.DataFrame) -> Section:
    """Compare all methods: the number of visits by verdict, then means over the visits."""
    table = method_table(outcomes).drop(columns=[*NOT_IN_REPORT], errors="ignore")
    table = table.rename_axis("method").reset_index()
    words = (
        f"Number of visits by verdict, then means over the visits. {ERRORS} NCC and SSIM compare "
        "the pixels inside the overlap; 1 is best. The method to take is, of the methods whose "
        "photographs are saved, the one with the most accepted visits and, among methods with as "
        f"many, the smallest predicted error. {GROWTH}"
    )
    header = [HEADS.get(n, MEASURES[n].title if n in MEASURES else n) for n in table]
    write = {name: MEASURES[name].write if name in MEASURES else method_in_words for name in table}
    rows = [[write[name](row[name]) for name in table] for row in table.to_dict("records")]
    return Section("All methods compared", [words], header=header, rows=rows, folded=True)


def _notebooks(folder: Path, metrics: Mapping[str, dict], unreadable: Mapping[str, str]) -> Section:
    rows = []
    for name in sorted({*metrics, *unreadable}):
        if name in unreadable:
            rows.append([name, unreadable[name]])
            continue
        page = write_notebook_page(folder / name / f"{name}.ipynb")
        words = [in_numbers(metrics[name]), "" if page else "run by hand"]
        link = Link(name, f"{name}/{page.name}") if page else name
        rows.append([link, "; ".join(filter(None, words))])
    return Section("Notebooks", header=["notebook", "in numbers"], rows=rows)


def _landmarks(metrics: Mapping[str, dict]) -> list[Section]:
    """Tell by how many landmarks the visits are judged, who placed them, and how they repeat."""
    told = [one["findings"].get("landmarks") for one in metrics.values()]
    told = [*dict.fromkeys(filter(None, told))]
    return [Section("Landmarks", [f"{words}." for words in told])] if told else []


def _left_out_rows(metrics: Mapping[str, dict]) -> list[dict]:
    return next(iter(metrics.values()))["left_out"]  # all notebooks say the same of an eye


def _left_out(metrics: Mapping[str, dict]) -> Section:
    items = [f"{row['file']}: {row['reason']}" for row in _left_out_rows(metrics)]
    return Section("Photographs left out", items=items or ["none"])
