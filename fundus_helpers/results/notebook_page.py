"""The page of an executed notebook: prose, figures and tables, without code."""

import re
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter

from fundus_helpers.files import written_beside

# A link in the prose of a notebook, no picture.
LINK = re.compile(r"(?<!!)\[(?P<words>[^\]]+)\]\((?P<target>[^)\s]+)\)")
# A cell of a table with a date, or with a name that holds one. Its hyphens are no places to break.
DATED = re.compile(r"(<t[dh][^>]*>)\s*([^\s<>]*\d{4}-\d\d-\d\d[^\s<>]*)\s*(?=</t[dh]>)")
CAPTION = "Figure: "  # begins what `plotting.with_caption` says of a figure in words
TEMPLATES = Path(__file__).with_name("templates") / "nbconvert"


def is_executed(notebook: Path) -> bool:
    """Tell whether a run has left an executed notebook. There is none if it was run by hand.

    Parameters
    ----------
    notebook : Path
        Where a run without a screen puts it: ``<results>/<eye>/<name>/<name>.ipynb``.
    """
    # Snakemake makes an empty file where a run was killed before it wrote one.
    return notebook.exists() and notebook.stat().st_size > 0


def write_notebook_page(notebook: Path) -> Path | None:
    """Write the page of an executed notebook beside it.

    Parameters
    ----------
    notebook : Path
        See `is_executed`.

    Returns
    -------
    Path or None
        The page, ``<name>.html``; None if the notebook was run by hand, or its file is damaged.
    """
    if not is_executed(notebook):
        return None
    page = notebook.with_suffix(".html")
    try:
        text = page_without_code(notebook)
    except nbformat.reader.NotJSONError:  # damaged: its numbers are there, its page is not
        page.unlink(missing_ok=True)
        return None
    with written_beside(page) as part:
        part.write_text(text, encoding="utf-8")
    return page


def page_without_code(notebook: Path) -> str:
    """Make a page of an executed notebook: prose, figures and tables, no code, no script.

    The page fetches nothing when it is opened. Its title names the eye. The alternative text of a
    figure is its caption; without one, it names the section that the figure belongs to. A link to
    another notebook leads to its page if it was run, too, and is plain text otherwise. The first
    link leads back to the report.

    Parameters
    ----------
    notebook : Path
        See `is_executed`.
    """
    executed, section = nbformat.read(notebook, as_version=4), notebook.stem
    for cell in executed.cells:
        if cell.cell_type == "markdown":
            headings = [line for line in cell.source.splitlines() if line.startswith("#")]
            section = headings[-1].strip("# ") if headings else section
            cell.source = LINK.sub(lambda found: _link(found, notebook), cell.source)
        for output in cell.get("outputs", []):
            words = "".join(output.get("data", {}).get("text/plain", ""))
            if table := "".join(output.get("data", {}).get("text/html", "")):
                whole = r'\1<span style="white-space: nowrap">\2</span>'
                output.data["text/html"] = DATED.sub(whole, table)
            told = words.startswith(CAPTION)
            alternative = words.removeprefix(CAPTION) if told else f"Figure of section: {section}"
            if "metadata" in output:
                output.metadata["alt"] = " ".join(alternative.split())
    executed.metadata["title"] = f"{notebook.parent.parent.name}: {notebook.stem}"
    executed.metadata["back"] = _back(notebook)
    exporter = HTMLExporter(
        template_name="fundus",
        extra_template_basedirs=[str(TEMPLATES)],
        exclude_input=True,
        exclude_output_prompt=True,
    )
    return exporter.from_notebook_node(executed)[0]


def _link(found: re.Match, notebook: Path) -> str:
    """Return a link of the prose as it leads from the page, or its words if it leads nowhere."""
    words, target = found["words"], found["target"]
    if "://" in target or target.startswith("#"):
        return found[0]
    name = Path(target.partition("#")[0]).stem
    if target.partition("#")[0] == f"{name}.ipynb":
        if is_executed(notebook.parents[1] / name / f"{name}.ipynb"):
            return f"[{words}](../{name}/{name}.html)"
    return words


def _back(notebook: Path) -> dict[str, str]:
    """Return where the report lies that links to a page, and its name."""
    if notebook.parents[1].name == "cohort":
        return {"href": "../../cohort.html", "text": "Back to the cohort"}
    return {"href": "../report.html", "text": "Back to the report of the eye"}
