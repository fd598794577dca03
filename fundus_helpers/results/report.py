"""What came of a run, for people: a page for each eye, a table for the terminal."""

import html
import re
from collections.abc import Sequence
from pathlib import Path

import nbformat
import pandas as pd
from nbconvert import HTMLExporter

from fundus_helpers.files import written_beside
from fundus_helpers.plotting.pictures import OVERLAY_CAPTION
from fundus_helpers.results.folder import METRICS_FILE, read_json
from fundus_helpers.results.reading import read_outcomes
from fundus_helpers.series.outcomes import best_method, method_table

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Registration report</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: {width}; margin: 2rem auto }}
table {{ border-collapse: collapse }} th, td {{ padding: .2rem .8rem; text-align: left }}
tr {{ border-bottom: 1px solid #ddd }}
figure {{ display: inline-block; width: 18rem; margin: 0 1rem 1rem 0; vertical-align: top }}
figure img {{ max-width: 100% }} figcaption {{ font-size: .85rem }}
</style>
<h1>{title}</h1>
{body}
</html>
"""


def write_eye_report(path: Path | str) -> Path:
    """Write the page of one eye: verdicts, pictures, numbers, every notebook without its code.

    Parameters
    ----------
    path : path
        ``<results>/<patient>_<L|R>/report.html``; the notebooks' results lie beside it.
    """
    path = Path(path)
    metrics = {file.parent.name: read_json(file) for file in path.parent.glob(f"*/{METRICS_FILE}")}
    body = [_verdicts(path.parent), "<h2>Notebooks</h2>", _notebooks(path.parent, metrics)]
    left_out = next(iter(metrics.values()))["left_out"]
    items = [f"<li>{html.escape(row['file'])}: {html.escape(row['reason'])}" for row in left_out]
    body.append(f"<h2>Photographs left out</h2><ul>{''.join(items) or '<li>none'}</ul>")
    with written_beside(path) as part:
        part.write_text(
            PAGE.format(width="60rem", title=html.escape(path.parent.name), body="\n".join(body))
        )
    return path


def _notebooks(folder: Path, metrics: dict[str, dict]) -> str:
    rows = {}
    for name in sorted(metrics):
        page = folder / name / f"{name}.html"
        with written_beside(page) as part:
            part.write_text(page_without_code(page.with_suffix(".ipynb")))
        link = f'<a href="{name}/{page.name}">{name}</a>'
        rows[link] = {"in numbers": html.escape(_in_numbers(metrics[name]))}
    return pd.DataFrame(rows).T.to_html(escape=False, header=False, border=0)


def _verdicts(folder: Path) -> str:
    """Tell which method to take, show it, and count what became of the visits under each."""
    try:
        outcomes = read_outcomes(folder.parent, [folder.name])
    except FileNotFoundError:
        return "<p>Nothing was registered.</p>"
    method = best_method(outcomes)
    notebook = outcomes.loc[outcomes["method"] == method, "notebook"].iloc[0]
    captions = {
        "before.jpg": f"As photographed. {OVERLAY_CAPTION}.",
        "after.jpg": "Registered.",
        "flicker.gif": "Registered, in turn: what moves is not aligned, or has changed.",
    }
    pictures = "".join(
        f'<figure><img src="{notebook}/{name}" alt="{words}"><figcaption>{words}</figcaption>'
        "</figure>"
        for name, words in captions.items()
        if (folder / notebook / name).exists()
    )
    table = method_table(outcomes).round(2).rename_axis("method")
    taken = html.escape(f"{method} ({notebook})")
    return (
        f"<p>Take <strong>{taken}</strong>: most visits accepted, then the smallest predicted "
        f"error. Its visit that was farthest off:</p>{pictures}"
        f"<h2>Verdicts</h2>{table.reset_index().to_html(index=False, border=0, na_rep='-')}"
        "<p>Visits by verdict, then means: errors in pixels of the photographs on disk.</p>"
    )


def page_without_code(notebook: Path) -> str:
    """Make a page of an executed notebook: prose, figures and tables, no code, no script."""
    executed, section = nbformat.read(notebook, as_version=4), notebook.stem
    for cell in executed.cells:
        if cell.cell_type == "markdown" and "#" in cell.source:
            section = cell.source[cell.source.index("#") :].splitlines()[0].strip("# ")
        cell.metadata["alt"] = f"Figure of section: {section}"  # read aloud in place of it
    exporter = HTMLExporter(exclude_input=True, exclude_output_prompt=True)
    page = exporter.from_notebook_node(executed)[0]
    # The page needs no script, and so nothing is fetched from anywhere when it is opened.
    return re.sub(r"<script\b.*?</script>", "", page, flags=re.DOTALL)


def _in_numbers(metrics: dict) -> str:
    words = []
    if "visits" in metrics:
        words.append(f"{metrics['visits']} usable visits")
    if "template" in metrics:
        words.append(f"template {metrics['template']}")
    before, after = (_mean_error(metrics.get(key, {})) for key in ("before", "after"))
    if before is not None and after is not None:
        words.append(f"landmark error {before:.2f} px, after {after:.2f} px (full size)")
    if metrics.get("failed"):
        words.append(f"{len(metrics['failed'])} visits failed")
    return "; ".join(words)


def _mean_error(visits: dict) -> float | None:
    errors = [row["landmark error, full-size px"] for row in visits.values()]
    errors = [error for error in errors if error is not None]
    return sum(errors) / len(errors) if errors else None


def summarise(results: Path | str, eyes: Sequence[str] = ()) -> pd.DataFrame:
    """Tabulate what every notebook left for every eye.

    Parameters
    ----------
    results : path
    eyes : sequence of str
        Names like ``007_L``; none: every eye there are results of.

    Returns
    -------
    DataFrame
        ``eye``, ``notebook``, ``state`` (done or failed), ``in numbers`` (or the reason).
    """
    results = Path(results)
    eyes = eyes or sorted(path.name for path in results.iterdir() if path.is_dir())
    rows = []
    for eye in eyes:
        for folder in sorted(path for path in (results / eye).glob("[0-9]*_*") if path.is_dir()):
            notebook = folder / f"{folder.name}.ipynb"
            if (folder / METRICS_FILE).exists():
                rows.append(
                    (eye, folder.name, "done", _in_numbers(read_json(folder / METRICS_FILE)))
                )
            else:
                rows.append((eye, folder.name, "FAILED", _reason(notebook)))
    return pd.DataFrame(rows, columns=["eye", "notebook", "state", "in numbers"])


def _reason(notebook: Path) -> str:
    # Where a run left nothing, Snakemake leaves an empty file.
    if not notebook.exists() or not notebook.stat().st_size:
        return "killed: cancelled, out of memory, out of time, or the disk was full"
    for cell in nbformat.read(notebook, as_version=4).cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                return f"{output.ename}: {output.evalue}"
    return "killed, or asked to end, before its last cell"
