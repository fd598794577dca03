"""Read the outcomes that the notebooks have saved for every eye."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from fundus_helpers.loading.visits import DEMO_PATIENTS, cohort_eyes
from fundus_helpers.metrics.measures import MEASURES
from fundus_helpers.results.metrics_file import METRICS_FILE, read_eye_metrics
from fundus_helpers.results.notebooks import registering_notebooks


def read_outcomes(
    results: Path | str,
    eyes: Sequence[str] | None = None,
    *,
    data: Path | str | None = None,
    notebooks: Path | str = ".",
    skip_unreadable: bool = False,
) -> pd.DataFrame:
    """Read the outcomes that every notebook has saved for every eye.

    The outcomes of an eye are compared with the notebook that ran last. Outcomes that a notebook
    computed from other photographs are left out, because photographs have since been added, removed
    or changed.

    Only folders named like numbered notebooks (``03_rigid``) are read. The results of a `Study`
    that was saved from Python in another folder, for example ``study``, are left out.

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
    skip_unreadable : bool
        Leave out the files that cannot be read, so that one of them does not stop a cohort; the
        report of the eye names them.

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
        If a file is damaged, or was written by another version of this project; or if two notebooks
        call a method by the same name. The message says what to do.
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
        found = _read_eye(folder, skip_unreadable)
        if not found and eyes is not None:
            raise FileNotFoundError(_nothing_of(folder.name, notebooks))
        rows += found
    if not rows:
        raise FileNotFoundError(_nothing_of("any eye", notebooks))
    table = pd.DataFrame(rows)
    return table.astype({key: float for key in table if key in MEASURES})


def _read_eye(folder: Path, skip_unreadable: bool) -> list[dict[str, object]]:
    metrics, unreadable = read_eye_metrics(folder)
    if unreadable and not skip_unreadable:
        raise ValueError(next(iter(unreadable.values())))
    photographs = [each["provenance"]["sha256"] for each in metrics.values()]
    current = [n for n in sorted(metrics) if metrics[n]["provenance"]["sha256"] == photographs[-1]]
    rows = [row for name in current for row in _rows(metrics[name])]
    owners: dict[object, str] = {}
    for row in rows:
        owner = owners.setdefault((row["method"], row["template"], row["visit"]), row["notebook"])
        if owner != row["notebook"]:
            raise ValueError(
                f"{folder.name}: {owner} and {row['notebook']} both call a method "
                f"{row['method']!r}; give the method of one of them a label of its own"
            )
    return rows


def _rows(metrics: Mapping) -> list[dict[str, object]]:
    where = {key: metrics[key] for key in ("patient", "laterality", "notebook")}
    return [where | row for row in metrics["outcomes"]]


def _nothing_of(what: str, notebooks: Path | str) -> str:
    names = registering_notebooks(notebooks)
    named = f" ({', '.join(names)})" if names else ""
    return f"no outcomes of {what}: run a notebook that registers visits{named}"
