"""The page of an executed notebook: prose, figures and tables, without code."""

from pathlib import Path

import nbformat
from nbconvert import HTMLExporter

from fundus_helpers.files import written_beside

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

    The page fetches nothing when it is opened. Its title names the eye, and the alternative text
    of a figure names the section it belongs to.

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
        cell.metadata["alt"] = f"Figure of section: {section}"
    executed.metadata["title"] = f"{notebook.parent.parent.name}: {notebook.stem}"
    exporter = HTMLExporter(
        template_name="fundus",
        extra_template_basedirs=[str(TEMPLATES)],
        exclude_input=True,
        exclude_output_prompt=True,
    )
    return exporter.from_notebook_node(executed)[0]
