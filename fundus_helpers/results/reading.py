"""Outcomes read back: what every notebook has left of every eye."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from fundus_helpers.loading.visits import DEMO_PATIENTS, cohort_eyes
from fundus_helpers.metrics.measures import MEASURES
from fundus_helpers.results.metrics_file import METRICS_FILE, read_metrics_file
from fundus_helpers.results.notebooks import registering_notebooks


def read_outcomes(
    results: Path | str,
    eyes: Sequence[str] | None = None,
    *,
    data: Path | str | None = None,
    notebooks: Path | str = ".",
) -> pd.DataFrame:
    """Read what every notebook has left of every eye.

    What a notebook made of other photographs than the one that ran last is left out: some have
    come, gone or changed since.

    Parameters
    ----------
    results : path
        The folder of all results.
    eyes : sequence of str, optional
        Names like ``007_L``; None: every eye that has results, without the demo eyes, which are
        painted and prove nothing about a cohort.
    data : path, optional
        Of these, only the eyes of this data folder.
    notebooks : path
        Folder of the notebooks, to name in an error those that register.

    Returns
    -------
    DataFrame
        ``patient``, ``laterality``, ``notebook``, and the columns of `series.outcome_records`;
        numbers are NaN where nothing is known. Notebooks that register nothing have no rows.

    Raises
    ------
    FileNotFoundError
        If there are no outcomes at all, or none of one of `eyes`; says what to run.
    ValueError
        If a file is damaged, or another version of this project wrote it; says what to do.
    """
    results, rows = Path(results), []
    if eyes is None:
        found = {path.parent.parent for path in results.glob(f"*/*/{METRICS_FILE}")}
        folders = sorted(f for f in found if f.name.rpartition("_")[0] not in DEMO_PATIENTS)
        if data is not None:
            known = {f"{patient}_{laterality}" for patient, laterality in cohort_eyes(data)}
            folders = [folder for folder in folders if folder.name in known]
    else:
        folders = [results / eye for eye in eyes]
    for folder in folders:
        found = _read_eye(folder)
        if not found and eyes is not None:
            raise FileNotFoundError(_nothing_of(folder.name, notebooks))
        rows += found
    if not rows:
        raise FileNotFoundError(_nothing_of("any eye", notebooks))
    table = pd.DataFrame(rows)
    return table.astype({key: float for key in table if key in MEASURES})


def _read_eye(folder: Path) -> list[dict[str, object]]:
    paths = sorted(folder.glob(f"*/{METRICS_FILE}"), key=lambda path: path.stat().st_mtime_ns)
    metrics = {path: read_metrics_file(path) for path in paths}
    photographs = {path: each["provenance"]["sha256"] for path, each in metrics.items()}
    current = [path for path in sorted(paths) if photographs[path] == photographs[paths[-1]]]
    return [row for path in current for row in _rows(metrics[path])]


def _rows(metrics: Mapping) -> list[dict[str, object]]:
    where = {key: metrics[key] for key in ("patient", "laterality", "notebook")}
    return [where | row for row in metrics["outcomes"]]


def _nothing_of(what: str, notebooks: Path | str) -> str:
    names = registering_notebooks(notebooks)
    named = f" ({', '.join(names)})" if names else ""
    return f"no outcomes of {what}: run one of the notebooks that register{named}"
