"""The page of a cohort: a table of all eyes to sort and to filter, with pictures and links."""

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

SHEET = "photographs.jpg"  # the first photographs of an eye that is not done
PHOTOGRAPHS = 3  # at most, on a sheet
PICTURE_WIDTH = 150  # pixels, on the page

# Numbers of `cohort.cohort_table` on the page, in this order.
COUNTS = ("visits", "accepted", "accepted, by hand", "doubtful", "failed")
ERRORS = (
    "mean_predicted_error_px",
    "worst_predicted_error_px",
    "landmark_error_px",
    "landmark_error_before_px",
)
FILES = ("photographs", "used", "left_out")
NUMBERS = (*COUNTS, *ERRORS, *FILES)

EXPLANATION = (
    "Errors are in pixels (px) of the photographs on disk. The predicted error needs no "
    "landmarks; the landmark errors are means over the visits, after and before registration, "
    "where landmarks are known. The method is the one with the most accepted visits and, among "
    "methods with as many, the smallest predicted error. The pictures show the visit that was "
    "farthest from the template, before and after registration "
    f"({overlay_caption('template', 'visit')})."
)

CELLS = TEMPLATES.get_template("cells.html.j2").module


def cohort_page(table: pd.DataFrame, results: Path, title: str, counts: str) -> str:
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
    """
    paragraphs = [counts, *_comparison(results), EXPLANATION]
    html = ""
    if len(table):
        scripts = generate_init_offline_itables_html(Path(itables.options.dt_bundle))
        html = f"{scripts}\n{_sortable(_shown(table, results))}"
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


def _shown(table: pd.DataFrame, results: Path) -> pd.DataFrame:
    """Make the columns of the page: links, pictures, and everything else as escaped text."""
    page = pd.DataFrame(index=table.index)
    patients = table["patient"].replace("", "(no patient)")
    names = (patients + "_" + table["laterality"]).where(table["laterality"] != "", patients)
    page["state"] = table["state"].astype(str)
    page.insert(0, "eye", names.map(CELLS.words))
    # The report of an eye that has failed since then is of an earlier run: it is not linked.
    done = page["state"] == "done"
    page.loc[done, "eye"] = [CELLS.link(f"{name}/report.html", name) for name in names[done]]
    notebooks = table.get("notebook", pd.Series("", table.index)).fillna("")
    for when in ("before", "after"):
        page[when] = [
            _picture(results, f"{name}/{notebook}/{when}.jpg", f"{name}, {when}")
            for name, notebook in zip(names, notebooks, strict=True)
        ]
    sheets = [_picture(results, f"{name}/{SHEET}", f"{name}, as photographed") for name in names]
    page["before"] = page["before"].where(page["before"] != "", sheets)
    page["reason"] = table["reason"].map(CELLS.words)
    if "method" in table:
        page["method"] = table["method"].fillna("").map(CELLS.words)
    for name in NUMBERS:
        if name in table and table[name].notna().any():
            shown = table[name].round(2) if name in ERRORS else table[name].astype("Int64")
            title = MEASURES[name].title if name in MEASURES else name
            page[title] = shown.astype(object).where(shown.notna(), "")
    for name, title in (("why_left_out", "why left out"), ("notes", "to look at")):
        if name in table and (table[name] != "").any():
            page[title] = table[name].map(CELLS.words)
    return page


def _picture(results: Path, path: str, words: str) -> str:
    return CELLS.picture(path, words) if (results / path).exists() else ""


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
