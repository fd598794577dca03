"""The plan of a cohort before it runs: eyes, photographs, those left out, and the time needed.

``snakemake --summary ... | fundus plan DATA RESULTS --jobs 2`` shows the plan.
"""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

from fundus_helpers.loading.formats.kinds import UnusableImageError, without_name
from fundus_helpers.loading.photographs import photograph_size
from fundus_helpers.loading.visits.eyes import (
    count_files,
    list_files,
    photograph_folder,
)
from fundus_helpers.loading.visits.folder import FOLDER, PHOTOGRAPH, TABLE_ROW
from fundus_helpers.loading.visits.headers import compare_headers
from fundus_helpers.progress import progress

SHOWN = 20  # largest number of lines of each kind; a cohort may have thousands
BENCHMARK_FILE = "benchmark.tsv"


def plan_eyes(data: Path | str, part: str = "1/1", *, shown: bool = True) -> pd.DataFrame:
    """List all files of every eye, and the reasons why some will be left out.

    Only names and headers are read. A photograph that is black, or cut short after its header, is
    found only by the run.

    Parameters
    ----------
    data : path
        Folder with one folder per patient. Demo patients are not included.
    part : str
        See `loading.cohort_eyes`.
    shown : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        As `loading.list_files` gives it: one row per file, and one for each patient or row of a
        table that is left out.

    Raises
    ------
    EyeError
        If the data folder, the table of visits or the pattern cannot be used.
    """
    files = list_files(data, part)
    rows = files.to_dict("records")  # writing into the cells of a table takes milliseconds each
    eyes: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        if row["used"]:
            eyes.setdefault((row["patient"], row["laterality"]), []).append(row)
    for (patient, _), visits in progress(eyes.items(), "eyes", len(eyes), shown=shown):
        folder = photograph_folder(data, patient)
        for row in visits:
            _check_size(row, folder)
        compare_headers([row for row in visits if row["used"]], folder)
    return pd.DataFrame(rows, files.index, files.columns).astype(files.dtypes)


def _check_size(row: dict[str, Any], folder: Path) -> None:
    try:
        photograph_size(folder / row["file"])
    except UnusableImageError as error:
        row["used"], row["reason"] = False, without_name(error, Path(row["file"]))


def stated_seconds(notebook: Path | str) -> float:
    """Read the time that a notebook states in the table under its title, in seconds.

    Raises
    ------
    ValueError
        If there is no such table.
    """
    for cell in nbformat.read(notebook, as_version=4).cells:
        lines = [line.strip("| ").split("|") for line in cell.source.splitlines() if "|" in line]
        if len(lines) >= 3 and "minutes" in map(str.strip, lines[0]):
            stated = lines[2][[*map(str.strip, lines[0])].index("minutes")]
            return 60 * float(re.search(r"[\d.]+", stated)[0])
    raise ValueError(f"{Path(notebook).name}: no table with a column 'minutes' under its title")


def seconds_of(
    notebooks: Path | str, results: Path | str, names: Iterable[str]
) -> tuple[dict[str, float], int]:
    """Estimate how long each notebook takes for an eye.

    Parameters
    ----------
    notebooks, results : path
        Folder of the notebooks, and folder of the results of earlier runs, which contain the time
        that they took.
    names : iterable of str
        Names of the notebooks without their ending.

    Returns
    -------
    seconds : dict of str to float
        Median of the earlier runs; if there are none, the time that the notebook states.
    runs : int
        Number of earlier runs.
    """
    found, runs = {}, 0
    for name in names:
        files = [*Path(results).glob(f"*/{name}/{BENCHMARK_FILE}")]
        runs += len(files)
        if files:
            found[name] = pd.concat(pd.read_csv(f, sep="\t") for f in files)["s"].median()
        else:
            found[name] = stated_seconds(Path(notebooks, f"{name}.ipynb"))
    return found, runs


def tell(visits: pd.DataFrame, to_run: Counter, seconds: dict[str, float], jobs: int) -> str:
    """Describe a cohort, and what would be run, as text.

    Parameters
    ----------
    visits : DataFrame
        See `plan_eyes`.
    to_run : Counter
        From the name of a notebook to the number of eyes for which it would be run.
    seconds : dict of str to float
        See `seconds_of`.
    jobs : int
        Number of notebooks that run at the same time.
    """
    photographs = visits[visits["kind"] == PHOTOGRAPH]
    known = visits[visits["laterality"] != ""]
    eyes = known.groupby(["patient", "laterality"])["used"].sum()
    poor = [
        f"{patient} {side}: {used} usable" for (patient, side), used in eyes.items() if used < 2
    ]
    out = [_line(row, row.reason) for row in photographs[~photographs["used"]].itertuples()]
    apart = visits[visits["kind"].isin([FOLDER, TABLE_ROW])]
    others = [_line(row, row.reason) for row in apart.itertuples()]
    notes = [_line(row, row.note) for row in visits[visits["note"] != ""].itertuples()]
    lines = [
        count_files(visits),
        f"{len(out)} photographs left out by name or header (the run also leaves out black ones)",
        *_first(out),
        f"{len(others)} patients, folders and rows of tables left out",
        *_first(others),
        f"{len(notes)} notes to look at",
        *_first(notes),
        f"{len(poor)} eyes will fail because they have fewer than two usable photographs",
        *_first(poor),
        f"{sum(to_run.values())} notebooks to run",
    ]
    for name, count in sorted(to_run.items()):
        lines.append(f"  {name:26}{count:6} x {seconds[name]:6.0f} s")
    total = sum(seconds[name] * count for name, count in to_run.items())
    return "\n".join([*lines, f"about {_duration(total / jobs)} with {jobs} at a time"])


def _line(row: tuple, words: str) -> str:
    """Write what is told of a file of an eye, or of a patient."""
    eye = " ".join(filter(None, [row.patient, row.laterality]))
    return f"{'  '.join(filter(None, [eye, row.file]))}: {words}"


def _first(lines: list[str]) -> list[str]:
    more = [f"  ... and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return [f"  {line}" for line in lines[:SHOWN]] + more


def _duration(seconds: float) -> str:
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"


def pending(summary: Iterable[str]) -> Counter:
    """Count the eyes for which each notebook would run, from Snakemake's ``--summary``.

    Parameters
    ----------
    summary : iterable of str
        Lines of the output.
    """
    metrics = [
        Path(line.split("\t")[0]).parent.name
        for line in summary
        if line.rstrip().endswith("update pending") and "metrics.json" in line
    ]
    return Counter(metrics)
