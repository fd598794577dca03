"""A table of what every notebook left for every eye, and what to tell at the end of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import nbformat
import pandas as pd

from fundus_helpers.metrics.verdict import DOUBTFUL, FAILED, USABLE
from fundus_helpers.results.metrics_file import METRICS_FILE, read_eye_metrics, read_metrics_file
from fundus_helpers.results.notebook_page import is_executed
from fundus_helpers.results.reading import read_outcomes
from fundus_helpers.results.report.visits import plain_reason, taken_method


def in_numbers(metrics: Mapping) -> str:
    """Tell the main numbers of a notebook in words.

    Parameters
    ----------
    metrics : mapping
        The fields of `results.Metrics`.
    """
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
        return "done", in_numbers(read_metrics_file(metrics))
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


def tell_results(results: Path | str, eyes: Sequence[str] = ()) -> str:
    """Tell at the end of a run what became of every notebook and visit, and which page to open.

    Parameters
    ----------
    results, eyes
        See `summarise`.

    Returns
    -------
    str
        One line per eye and notebook, then, per eye, the verdicts and the path of its report.
        Nothing is cut off.
    """
    table = summarise(results, eyes)
    table["in numbers"] = table["in numbers"].map(lambda words: " ".join(words.split()))
    columns = ("eye", "notebook", "state")
    widths = [max(map(len, table[name]), default=0) for name in columns]
    lines = [
        "  ".join([*map(str.ljust, row[:3], widths), row[3]])
        for row in table.itertuples(index=False, name=None)
    ]
    failed = {*table.loc[table["state"] == "FAILED", "eye"]}
    for eye in dict.fromkeys(table["eye"]):
        page = Path(results) / eye / "report.html"
        whole = page.exists() and eye not in failed
        if told := tell_eye(results, eye):
            lines.append(f"{eye}  {told}")
        lines.append(
            f"{eye}  {f'report: {page}' if whole else 'no report: not every notebook is done'}"
        )
    return "\n".join(lines)


def tell_eye(results: Path | str, eye: str) -> str:
    """Tell in one line what became of the visits of an eye, by the method to take.

    Parameters
    ----------
    results : path
    eye : str
        A name like ``007_L``.

    Returns
    -------
    str
        For example ``keypoints: 11 accepted, 1 failed: 2018-07-12 (too dark)``; empty if nothing
        was registered.
    """
    metrics, _ = read_eye_metrics(Path(results) / eye)
    try:
        outcomes = read_outcomes(results, [eye], skip_unreadable=True)
    except (FileNotFoundError, ValueError):  # told with the notebooks
        return ""
    taken = taken_method(metrics, outcomes)
    words = []
    for verdict in (*USABLE, DOUBTFUL, FAILED):
        rows = [row for row in taken.outcomes.to_dict("records") if row["verdict"] == verdict]
        which = "; ".join(f"{taken.named(row['visit'])} ({plain_reason(row)})" for row in rows)
        if rows:
            count = f"{len(rows)} {verdict}"
            words.append(count if verdict in USABLE else f"{count}: {which}")
    return f"{taken.method}: {', '.join(words)}"
