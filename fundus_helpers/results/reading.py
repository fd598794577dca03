"""Read the outcomes that the notebooks have saved for every eye."""

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
    """Read the outcomes that every notebook has saved for every eye.

    The outcomes of an eye are compared with the notebook that ran last. Outcomes that a notebook
    computed from other photographs are left out, because photographs have since been added, removed
    or changed.

    Parameters
    ----------
    results : path
        The folder of all results.
    eyes : sequence of str, optional
        Names like ``007_L``. None means every eye that has results, except the demo eyes: they are
        painted and prove nothing about a cohort.
    data : path, optional
        If `eyes` is None, read only the eyes of this data folder.
    notebooks : path
        Folder of the notebooks. An error message lists the notebooks that register visits.

    Returns
    -------
    DataFrame
        One row per notebook, method and visit. The columns are ``patient``, ``laterality``,
        ``notebook`` and those of `series.outcome_records`. Numbers that are not known are NaN.
        Notebooks that register no visits have no rows.

    Raises
    ------
    FileNotFoundError
        If there are no outcomes, or if one of `eyes` has none. The message says what to run.
    ValueError
        If a file is damaged, or was written by another version of this project. The message says
        what to do.
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
    return f"no outcomes of {what}: run a notebook that registers visits{named}"
