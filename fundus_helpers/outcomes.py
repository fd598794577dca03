"""What became of every visit under every method, in one shape for all notebooks and eyes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import joblib
import pandas as pd

from fundus_helpers.eye import Eye
from fundus_helpers.notebooks import REGISTERING as NOTEBOOKS
from fundus_helpers.progress import progress
from fundus_helpers.results import METRICS_FILE, read_json
from fundus_helpers.series import Registration
from fundus_helpers.verdict import ACCEPTED, DOUBTFUL, FAILED, Verdict, judge_all
from fundus_helpers.visits import DEMO_PATIENTS, cohort_eyes

# Column of an outcome, and what `assessment.measure_visits` calls it.
MEASURES = {
    "landmark_error_px": ("landmark error", "full-size px"),
    "ncc": ("NCC", "overlap"),
    "ssim": ("SSIM", "overlap"),
    "l1": ("L1", "overlap"),
    "overlap": ("overlap", "share of fixed view"),
    "folding": ("folding", "share of overlap"),
}
NUMBERS = ["predicted_error_px", "error_before_px", *MEASURES, "seconds"]


def outcome_records(
    eye: Eye,
    template: int,
    found: Mapping[str, Sequence[Registration | None]],
    before: pd.DataFrame,
    after: Mapping[str, pd.DataFrame],
    *,
    verdicts: Mapping[str, Sequence[Verdict]] | None = None,
    jobs: int = -1,
) -> list[dict[str, object]]:
    """Tell what became of every visit under every method; the template itself is none.

    Parameters
    ----------
    eye : Eye
    template : int
        Position of the template among the visits.
    found : mapping of str to sequence of Registration or None
        By method, in the order of the visits; None for a visit that was not tried.
    before : DataFrame
        As `assessment.measure_visits` gives it without registrations.
    after : mapping of str to DataFrame
        The same of what each method found.
    verdicts : mapping of str to sequence of Verdict, optional
        Of methods that have been judged already, in the order of the visits.
    jobs : int
        Processes; -1: one for each core.

    Returns
    -------
    list of dict
        One a method and visit. ``method``, ``visit``, ``template``; ``verdict`` (accepted,
        doubtful or failed) and its ``reasons``; ``predicted_error_px``, ``landmark_error_px`` and
        ``error_before_px`` (of landmarks, nothing done) in pixels of the photographs on disk;
        ``ncc``, ``ssim`` and ``l1`` inside the overlap; ``overlap`` and ``folding`` as shares;
        ``seconds`` of the method alone, on one thread; ``failure``: why it gave no transform.
        What is not known is NaN: no landmarks, or no transform, or a landmark torn away.
    """
    factor, name_of_template = eye.full_factor, eye.names[template]
    judged = _judge(
        eye, template, {m: f for m, f in found.items() if m not in (verdicts or {})}, jobs
    )
    judged |= {(m, i): v for m, each in (verdicts or {}).items() for i, v in enumerate(each)}
    records = []
    for method, registrations in found.items():
        for i, (visit, registration) in enumerate(zip(eye.names, registrations, strict=True)):
            if i == template or registration is None:
                continue
            verdict, measured = judged[method, i].summary(factor), after[method].loc[visit]
            records.append(
                {
                    "method": method,
                    "visit": visit,
                    "template": name_of_template,
                    "verdict": verdict["verdict"],
                    "reasons": verdict["reasons"],
                    "predicted_error_px": verdict["predicted error, px"],
                    "error_before_px": before.loc[visit, MEASURES["landmark_error_px"]],
                    **{name: measured[column] for name, column in MEASURES.items()},
                    "seconds": registration.seconds,
                    "failure": registration.reason,
                }
            )
    return records


def _judge(
    eye: Eye, template: int, found: Mapping[str, Sequence[Registration | None]], jobs: int
) -> dict[tuple[str, int], Verdict]:
    """Judge by visit, so that its photographs are looked at once for all methods."""
    tried = {
        i: {method: each[i] for method, each in found.items() if each[i] is not None}
        for i in range(len(eye.names))
        if i != template
    }
    tasks = [
        joblib.delayed(judge_all)(
            [registration.transform for registration in here.values()],
            eye.images[template],
            eye.images[i],
            fixed_mask=eye.masks[template],
            moving_mask=eye.masks[i],
            failures=[registration.reason for registration in here.values()],
        )
        for i, here in tried.items()
    ]
    done = joblib.Parallel(n_jobs=jobs, return_as="generator")(tasks)
    verdicts = progress(done, "visits judged", len(tasks))
    return {
        (method, i): verdict
        for (i, here), each in zip(tried.items(), verdicts, strict=True)
        for method, verdict in zip(here, each, strict=True)
    }


def read_outcomes(
    results: Path | str, eyes: Sequence[str] | None = None, *, data: Path | str | None = None
) -> pd.DataFrame:
    """Read what every notebook has left of every eye.

    What a notebook made of other photographs than the one that ran last is left out: some have
    come, gone or changed since.

    Parameters
    ----------
    results : path
        The folder of all results.
    eyes : sequence of str, optional
        Names like ``007_L``; None: every eye there are results of but the demo eyes, which are
        painted, and no witnesses for a cohort.
    data : path, optional
        Of these, only the eyes of this data folder.

    Returns
    -------
    DataFrame
        ``patient``, ``laterality``, ``notebook``, and the columns of `outcome_records`; numbers
        are NaN where nothing is known. Notebooks that register nothing have no rows.

    Raises
    ------
    FileNotFoundError
        If there are no outcomes at all, or none of one of `eyes`; says what to run.
    ValueError
        If a notebook that registers has left numbers without outcomes.
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
            raise FileNotFoundError(_nothing_of(folder.name))
        rows += found
    if not rows:
        raise FileNotFoundError(_nothing_of("any eye"))
    table = pd.DataFrame(rows)
    return table.astype(dict.fromkeys(NUMBERS, float))


def _read_eye(folder: Path) -> list[dict[str, object]]:
    paths = sorted(folder.glob(f"*/{METRICS_FILE}"), key=lambda path: path.stat().st_mtime_ns)
    metrics = {path: read_json(path) for path in paths}
    photographs = {path: each.get("provenance", {}).get("sha256") for path, each in metrics.items()}
    current = [path for path in sorted(paths) if photographs[path] == photographs[paths[-1]]]
    return [row for path in current for row in _rows(path, metrics[path])]


def _rows(path: Path, metrics: Mapping) -> list[dict[str, object]]:
    notebook = path.parent.name
    if notebook in NOTEBOOKS and "outcomes" not in metrics:
        whose = path.parent.parent.name
        raise ValueError(f"{notebook} of {whose}: from an earlier version; run it again")
    where = {key: metrics.get(key) for key in ("patient", "laterality")} | {"notebook": notebook}
    return [where | row for row in metrics.get("outcomes", [])]


def _nothing_of(what: str) -> str:
    return f"no outcomes of {what}: run one of the notebooks that register ({', '.join(NOTEBOOKS)})"


def count_verdicts(outcomes: pd.DataFrame | Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """Count the visits that were accepted, doubted, and failed: a row a method, in their order."""
    table = pd.DataFrame(outcomes)
    counts = table.groupby(["method", "verdict"], sort=False).size().unstack(fill_value=0)
    return counts.reindex(columns=[ACCEPTED, DOUBTFUL, FAILED], fill_value=0)
