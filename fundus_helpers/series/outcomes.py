"""What became of every visit under every method, in one shape for all notebooks and eyes."""

from collections.abc import Mapping, Sequence

import joblib
import pandas as pd

from fundus_helpers.loading.eye import Eye
from fundus_helpers.metrics.verdict import ACCEPTED, DOUBTFUL, FAILED, Verdict, judge_all
from fundus_helpers.progress import progress
from fundus_helpers.series.registering import Registration

# Column of an outcome, and what `series.measure_visits` calls it.
MEASURES = {
    "landmark_error_px": ("landmark error", "full-size px"),
    "ncc": ("NCC", "overlap"),
    "ssim": ("SSIM", "overlap"),
    "l1": ("L1", "overlap"),
    "overlap": ("overlap", "share of fixed view"),
    "folding": ("folding", "share of overlap"),
}


NUMBERS = ["predicted_error_px", "error_before_px", *MEASURES, "seconds"]


NOTHING = "nothing done"


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
        As `series.measure_visits` gives it without registrations.
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


def count_verdicts(outcomes: pd.DataFrame | Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """Count the visits that were accepted, doubted, and failed: a row a method, in their order."""
    table = pd.DataFrame(outcomes)
    counts = table.groupby(["method", "verdict"], sort=False).size().unstack(fill_value=0)
    return counts.reindex(columns=[ACCEPTED, DOUBTFUL, FAILED], fill_value=0)


def method_table(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Lay the methods below each other: their verdicts, errors, likeness, folding, time.

    Returns
    -------
    DataFrame
        A row a method: visits by verdict (`series.count_verdicts`), ``landmark error`` and
        ``predicted error`` in full-size pixels (`error_table`), ``NCC``, ``SSIM``, ``folding`` and
        ``seconds``. Numbers are means over an eye's visits, and medians of these over eyes.
    """
    eye = [outcomes["patient"], outcomes["laterality"]]
    shown = {"ncc": "NCC", "ssim": "SSIM", "folding": "folding", "seconds": "seconds"}
    means = outcomes.groupby([*eye, "method"])[[*shown]].mean()
    table = count_verdicts(outcomes)
    for name in ("landmark_error_px", "predicted_error_px"):
        errors = error_table(outcomes, name).groupby("eye").mean().median()
        table[f"{name.removesuffix('_error_px')} error"] = errors
    return table.join(means.groupby("method").median().rename(columns=shown))


def best_method(outcomes: pd.DataFrame) -> str:
    """Name the method to take without landmarks: most accepted, then the least error predicted."""
    table = method_table(outcomes)
    return table.sort_values(["accepted", "predicted error"], ascending=[False, True]).index[0]


def error_table(
    outcomes: pd.DataFrame, column: str = "landmark_error_px", *, registered: bool = False
) -> pd.DataFrame:
    """Lay the errors of all methods side by side, visit by visit.

    Parameters
    ----------
    outcomes : DataFrame
        As `results.read_outcomes` gives it.
    column : {"landmark_error_px", "predicted_error_px"}
        Of landmarks: only visits that have some. A visit that a method refused, or tore a landmark
        of away, counts as it was photographed: with its error before, which is what remains to its
        user. So no method gains by refusing what is hard. Predicted: NaN where it failed, for
        which nothing is predicted.
    registered : bool
        Count no visit as it was photographed: NaN where a method refused it.

    Returns
    -------
    DataFrame
        A row an ``eye`` (``007_L``), ``template`` and ``visit``, a column a method, in the order
        of `outcomes`; NaN where a method was not tried. By landmarks, the first column is
        `NOTHING`, the error before.
    """
    table = outcomes.assign(eye=outcomes["patient"] + "_" + outcomes["laterality"])
    if column == "landmark_error_px":
        table = table[table["error_before_px"].notna()]
        if not registered:
            table = table.assign(**{column: table[column].fillna(table["error_before_px"])})
    keys = ["eye", "template", "visit"]
    errors = table.set_index([*keys, "method"])[column].unstack(sort=False).dropna(how="all")
    if column == "landmark_error_px":
        before = table.groupby(keys, sort=False)["error_before_px"].first()
        errors.insert(0, NOTHING, before)
    return errors
