"""The page of a cohort: a table of all eyes to sort and to filter, with pictures and links."""

from collections.abc import Mapping
from pathlib import Path

import itables.options
import pandas as pd
from itables import to_html_datatable
from itables.javascript import generate_init_offline_itables_html
from PIL import Image

from fundus_helpers.files import written_beside
from fundus_helpers.loading.eye_error import EyeError
from fundus_helpers.loading.photographs import UnusableImageError, read_photograph
from fundus_helpers.loading.values import single_channel
from fundus_helpers.loading.visits.eyes import list_eye
from fundus_helpers.metrics.measures import MEASURES
from fundus_helpers.plotting.pictures import overlay_caption
from fundus_helpers.results.metrics_file import METRICS_FILE
from fundus_helpers.results.notebook_page import write_notebook_page
from fundus_helpers.results.notebooks import GROWTH_NOTEBOOK
from fundus_helpers.results.page import TEMPLATES, Link, Section, render_page
from fundus_helpers.results.report.visits import method_in_words

SHEET = "photographs.jpg"  # the first photographs of an eye that is not done
PHOTOGRAPHS = 3  # at most, on a sheet
PICTURE_WIDTH = 150  # pixels, on the page

# Numbers of `cohort.cohort_table` on the page, in this order. The CSV file has the others.
COUNTS = ("accepted", "accepted, by hand", "doubtful", "failed")
ERRORS = ("worst_predicted_error_px", "landmark_error_px")
FILES = ("left_out",)
NUMBERS = (*COUNTS, *ERRORS, *FILES)
# Columns with sentences, and what they begin with where they are shown together.
SENTENCES = {"reason": "", "why_left_out": "left out: ", "notes": "to look at: "}

EXPLANATION = (
    "Errors are in pixels (px) of the photographs on disk. The predicted error needs no "
    "landmarks; the landmark error is a mean over the visits, where landmarks are known. The "
    "method is, of those whose photographs are saved, the one with the most accepted visits and, "
    "among methods with as many, the smallest predicted error. The pictures show the visit that "
    "was farthest from the template, before and after registration "
    f"({overlay_caption('template', 'visit')})."
)

CELLS = TEMPLATES.get_template("cells.html.j2").module


def cohort_page(
    table: pd.DataFrame, results: Path, title: str, counts: str, name: str = "cohort"
) -> str:
    """Make the page of a cohort, and the pages of notebooks that compare methods over it.

    Parameters
    ----------
    table : DataFrame
        As `cohort.cohort_table` gives it.
    results : Path
        The folder of all results, where the page will lie.
    title : str
    counts : str
        A sentence that counts the eyes.
    name : str
        Name of the page and of its tables, without an ending (`cohort.report_name`). The reports of
        the eyes lead back to it.
    """
    whole = Link(f"All columns as a table: {name}.csv", f"{name}.csv")
    paragraphs = [counts, *_comparison(results), EXPLANATION, whole]
    html = ""
    if len(table):
        scripts = generate_init_offline_itables_html(Path(itables.options.dt_bundle))
        html = f"{scripts}\n{_sortable(_shown(table, results, name))}"
    return render_page("cohort.html.j2", title, [Section(paragraphs=paragraphs, html=html)])


def _comparison(results: Path) -> list[str | Link]:
    """Link to the notebooks that compare methods, and growth, if they were run for the cohort."""
    links = []
    for metrics in sorted((results / "cohort").glob(f"*/{METRICS_FILE}")):
        name = metrics.parent.name
        page = write_notebook_page(metrics.with_name(f"{name}.ipynb"))
        what = "Growth of atrophy" if name == GROWTH_NOTEBOOK else "Methods compared"
        words = f"{what} over all eyes: {name}"
        href = page and page.relative_to(results).as_posix()
        links.append(Link(words, href) if page else f"{words}, run by hand")
    return links


def _shown(table: pd.DataFrame, results: Path, name: str) -> pd.DataFrame:
    """Make the columns of the page: links, pictures, and everything else as escaped text."""
    page = pd.DataFrame(index=table.index)
    patients = table["patient"].replace("", "(no patient)")
    eyes = (patients + "_" + table["laterality"]).where(table["laterality"] != "", patients)
    # The report of an eye that has failed since then is of an earlier run: it is not linked.
    done = table["state"] == "done"
    reports = [f"{eye}/report.html" if ready else "" for eye, ready in zip(eyes, done, strict=True)]
    failed = table["state"] == "FAILED"
    page["eye"] = [
        CELLS.eye(eye, report, name, _pages(results, eye) if broken else [])
        for eye, report, broken in zip(eyes, reports, failed, strict=True)
    ]
    page["state"] = table["state"].astype(str)
    notebooks = table.get("notebook", pd.Series("", table.index)).fillna("")
    page["before, after"] = [
        _pictures(results, eye, notebook, report, name)
        for eye, notebook, report in zip(eyes, notebooks, reports, strict=True)
    ]
    if "method" in table:
        page["method"] = table["method"].fillna("").map(method_in_words).map(CELLS.words)
    for key in NUMBERS:
        if key in table and table[key].notna().any():
            shown = table[key].round(2) if key in ERRORS else table[key].astype("Int64")
            page[MEASURES[key].title] = shown.astype(object).where(shown.notna(), "")
    page["remarks"] = [CELLS.remarks(_remarks(row)) for row in table.to_dict("records")]
    return page.loc[:, (page != "").any()]


def _remarks(row: Mapping[str, object]) -> str:
    """Return all sentences about an eye, on one line."""
    said = {key: " ".join(str(row.get(key) or "").split()) for key in SENTENCES}
    return "; ".join(f"{SENTENCES[key]}{words}" for key, words in said.items() if words)


def _pages(results: Path, eye: str) -> list[Link]:
    """Write the pages of the notebooks of an eye that failed, and link to them."""
    notebooks = sorted((results / eye).glob("[0-9][0-9]_*/*.ipynb"))
    pages = [write_notebook_page(path) for path in notebooks if path.stem == path.parent.name]
    return [Link(page.stem, page.relative_to(results).as_posix()) for page in pages if page]


def _pictures(results: Path, eye: str, notebook: str, report: str, name: str) -> str:
    """Return the pictures of an eye before and after; without them, its first photographs."""
    words = {f"{eye}/{notebook}/{when}.jpg": f"{eye}, {when}" for when in ("before", "after")}
    found = {path: said for path, said in words.items() if (results / path).exists()}
    if not any(path.endswith("/before.jpg") for path in found):
        sheet = f"{eye}/{SHEET}"
        found |= {sheet: f"{eye}, as photographed"} if (results / sheet).exists() else {}
    return "".join(CELLS.picture(path, said, report, name) for path, said in found.items())


def _sortable(table: pd.DataFrame) -> str:
    return to_html_datatable(
        table,
        connected=False,
        allow_html=True,
        showIndex=False,
        column_filters="footer",
        order=[],  # as given: the worst first
        lengthMenu=[50, 100, 1000],
        autoWidth=False,
        maxBytes=0,
    )


def save_sheet(data: Path, results: Path, patient: str, laterality: str) -> None:
    """Save the first photographs of an eye as they are, side by side; none if none can be read.

    Parameters
    ----------
    data, results : Path
        The folder of the photographs, and the folder of all results.
    patient, laterality : str
    """
    pictures = []
    try:
        eye = list_eye(data, patient, laterality)
    except EyeError:
        return
    for file in eye.visits.sort_values("used", ascending=False, kind="stable")["file"]:
        try:
            image = single_channel(read_photograph(eye.folder / file))
        except UnusableImageError:
            continue
        picture = Image.fromarray((image * 255).astype("uint8"))
        picture.thumbnail((PICTURE_WIDTH, PICTURE_WIDTH))
        pictures.append(picture)
        if len(pictures) == PHOTOGRAPHS:
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
