"""What became of every visit under every method, in one shape for all notebooks and eyes."""

from collections.abc import Mapping, Sequence

import joblib
import pandas as pd

from fundus_helpers.loading.eye import Eye
from fundus_helpers.metrics.verdict import ACCEPTED, DOUBTFUL, FAILED, Verdict, judge_all
from fundus_helpers.progress import progress
from fundus_helpers.series.registering import Registration

# What is told of a visit before registration.
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
        One per method and visit: ``method``, ``visit``, ``template``; ``verdict`` (accepted,
        doubtful or failed) and its ``reasons``; ``predicted_error_px``; all that
        `metrics.measure` measures, and ``landmark_error_before_px``, the landmark error before
        registration; ``seconds`` of the method alone, on one thread; ``failure``: why it gave no
        transform. What is not known is NaN: there are no landmarks, or no transform.
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
                    "predicted_error_px": verdict["predicted_error_px"],
                    "landmark_error_before_px": before.loc[visit, "landmark_error_px"],
                    **measured.to_dict(),
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
    """Count the visits that were accepted, doubted and failed: one row per method, in their order.

    Parameters
    ----------
    outcomes : DataFrame or sequence of mapping
        As `outcome_records` or `results.read_outcomes` give them.
    """
    table = pd.DataFrame(outcomes)
    counts = table.groupby(["method", "verdict"], sort=False).size().unstack(fill_value=0)
    return counts.reindex(columns=[ACCEPTED, DOUBTFUL, FAILED], fill_value=0)


def method_table(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Lay the methods below each other: their verdicts, errors, similarity, folding and time.

    Parameters
    ----------
    outcomes : DataFrame
        As `results.read_outcomes` gives it.

    Returns
    -------
    DataFrame
        One row per method: the visits by verdict (`count_verdicts`), ``landmark_error_px`` and
        ``predicted_error_px`` (see `error_table`), ``ncc``, ``ssim``, ``folding`` and ``seconds``.
        Numbers are means over the visits of an eye, and medians of these over eyes.
    """
    eye = [outcomes["patient"], outcomes["laterality"]]
    means = outcomes.groupby([*eye, "method"])[["ncc", "ssim", "folding", "seconds"]].mean()
    table = count_verdicts(outcomes)
    for key in ("landmark_error_px", "predicted_error_px"):
        table[key] = error_table(outcomes, key).groupby("eye").mean().median()
    return table.join(means.groupby("method").median())


def best_method(outcomes: pd.DataFrame) -> str:
    """Name the method to take: the most visits accepted, then the smallest predicted error.

    No landmarks are needed for that.

    Parameters
    ----------
    outcomes : DataFrame
        As `results.read_outcomes` gives it.
    """
    table = method_table(outcomes)
    order = ["accepted", "predicted_error_px"]
    return table.sort_values(order, ascending=[False, True]).index[0]


def error_table(
    outcomes: pd.DataFrame, key: str = "landmark_error_px", *, registered: bool = False
) -> pd.DataFrame:
    """Lay the errors of all methods side by side, visit by visit.

    Parameters
    ----------
    outcomes : DataFrame
        As `results.read_outcomes` gives it.
    key : {"landmark_error_px", "predicted_error_px"}
        The landmark error is known only of visits that have landmarks. A visit that a method
        refused, or of which it lost a landmark, counts with its landmark error before
        registration, since that is what its user is left with. So no method gains by refusing
        what is hard. Nothing is predicted for a visit that failed: NaN.
    registered : bool
        True: a visit that a method refused is NaN instead.

    Returns
    -------
    DataFrame
        One row per ``eye`` (``007_L``), ``template`` and ``visit``, one column per method, in the
        order of `outcomes`; NaN where a method was not tried. For the landmark error the first
        column is `NOTHING`, the error before registration.
    """
    before = "landmark_error_before_px"
    table = outcomes.assign(eye=outcomes["patient"] + "_" + outcomes["laterality"])
    if key == "landmark_error_px":
        table = table[table[before].notna()]
        if not registered:
            table = table.assign(**{key: table[key].fillna(table[before])})
    keys = ["eye", "template", "visit"]
    errors = table.set_index([*keys, "method"])[key].unstack(sort=False).dropna(how="all")
    if key == "landmark_error_px":
        errors.insert(0, NOTHING, table.groupby(keys, sort=False)[before].first())
    return errors
