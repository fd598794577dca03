"""Tables of the results of all methods and visits, in one form for all notebooks and eyes."""

from collections.abc import Mapping, Sequence

import joblib
import numpy as np
import pandas as pd
import SimpleITK as sitk

from fundus_helpers import transforms
from fundus_helpers.loading.eye import Eye
from fundus_helpers.metrics.measures import MEASURES
from fundus_helpers.metrics.verdict import (
    ACCEPTED,
    BY_HAND,
    DOUBTFUL,
    FAILED,
    Verdict,
    judge_all,
)
from fundus_helpers.progress import progress
from fundus_helpers.series.registering import Registration

# Name of the row or column that describes visits before registration.
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
    """Return the result of every method for every visit except the template.

    Parameters
    ----------
    eye : Eye
    template : int
        Position of the template among the visits.
    found : mapping of str to sequence of Registration or None
        Registrations by name of the method, in the order of the visits. None for a visit that the
        method was not run on.
    before : DataFrame
        The result of `series.measure_visits` before registration.
    after : mapping of str to DataFrame
        The results of `series.measure_visits` after registration, by name of the method.
    verdicts : mapping of str to sequence of Verdict, optional
        Verdicts of methods that have been judged already, in the order of the visits.
    jobs : int
        Number of processes; -1 for one per core.

    Returns
    -------
    list of dict
        One record per method and visit, with the keys ``method``, ``visit`` and ``template``;
        ``verdict`` (accepted; accepted, by hand; doubtful; or failed) and its ``reasons``;
        ``predicted_error_px``;
        ``magnification``, the number of pixels of the visit's photograph that show what one pixel
        of the template's shows, in the middle of the image; ``landmark_error_before_px``,
        the landmark error before registration; all measures of
        `metrics.measure`; ``seconds``, the time of the method alone on one thread; and ``failure``,
        the reason why the method gave no transform. A measure is NaN if there are no landmarks or
        no transform for it. The predicted error of a failed visit is None.
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
                    "magnification": _magnification(eye, template, i, registration.transform),
                    "landmark_error_before_px": before.loc[visit, "landmark_error_px"],
                    **measured.to_dict(),
                    "seconds": registration.seconds,
                    "failure": registration.reason,
                }
            )
    return records


def _magnification(
    eye: Eye, template: int, visit: int, transform: sitk.Transform | None
) -> float | None:
    """Return how many pixels of the visit's photograph show what one of the template's shows."""
    if transform is None:
        return None
    height, width = eye.images.shape[1:]
    square = np.array([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]]) * (width, height)
    x, y = transforms.map_points(transform, square).T
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2  # the shoelace formula
    scale = np.sqrt(area / (0.25 * width * height))
    return round(float(scale * eye.factors[visit] / eye.factors[template]), 3)


def _judge(
    eye: Eye, template: int, found: Mapping[str, Sequence[Registration | None]], jobs: int
) -> dict[tuple[str, int], Verdict]:
    """Judge all methods visit by visit, so that the images of a visit are examined only once."""
    tried = {
        i: {method: each[i] for method, each in found.items() if each[i] is not None}
        for i in range(len(eye.names))
        if i != template
    }
    tried = {i: here for i, here in tried.items() if here}
    tasks = [
        joblib.delayed(judge_all)(
            [registration.transform for registration in here.values()],
            eye.images[template],
            eye.images[i],
            fixed_mask=eye.masks[template],
            moving_mask=eye.masks[i],
            failures=[registration.reason for registration in here.values()],
            by_hand=[registration.points for registration in here.values()],
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
    """Count the accepted, doubtful and failed visits: one row per method, in their order.

    Visits that were accepted by hand have a column of their own, if there are any.

    Parameters
    ----------
    outcomes : DataFrame or sequence of mapping
        From `outcome_records` or `results.read_outcomes`.
    """
    table = pd.DataFrame(outcomes)
    counts = table.groupby(["method", "verdict"], sort=False).size().unstack(fill_value=0)
    by_hand = [BY_HAND] if BY_HAND in counts else []
    return counts.reindex(columns=[ACCEPTED, *by_hand, DOUBTFUL, FAILED], fill_value=0)


def method_table(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Compare the methods by verdicts, errors, all other measures and time: one row per method.

    Parameters
    ----------
    outcomes : DataFrame
        From `results.read_outcomes`.

    Returns
    -------
    DataFrame
        One row per method: the number of visits by verdict (`count_verdicts`),
        ``landmark_error_px`` and ``predicted_error_px`` (see `error_table`), all measures inside
        the overlap that the outcomes have, in the order of `metrics.MEASURES`, and ``seconds``.
        Except for the counts, the mean over the visits of each eye is taken first, and then the
        median over the eyes.
    """
    table = count_verdicts(outcomes)
    for key in ("landmark_error_px", "predicted_error_px"):
        table[key] = error_table(outcomes, key).groupby("eye").mean().median()
    computed = [key for key, measure in MEASURES.items() if measure.function and key in outcomes]
    others = [k for k in computed if k not in table and not k.endswith("_whole_image")]
    eye = [outcomes["patient"], outcomes["laterality"]]
    means = outcomes.groupby([*eye, "method"])[[*others, "seconds"]].mean()
    return table.join(means.groupby("method").median())


def best_method(outcomes: pd.DataFrame) -> str:
    """Return the name of the best method.

    It is the method with the most accepted visits, by hand or not. If several methods have equally
    many, it is the one with the smallest predicted error. No landmarks are needed.

    Parameters
    ----------
    outcomes : DataFrame
        From `results.read_outcomes`.
    """
    table = method_table(outcomes)
    if BY_HAND in table:
        table["accepted"] += table[BY_HAND]
    order = ["accepted", "predicted_error_px"]
    return table.sort_values(order, ascending=[False, True]).index[0]


def error_table(
    outcomes: pd.DataFrame, key: str = "landmark_error_px", *, registered: bool = False
) -> pd.DataFrame:
    """Return the errors of all methods side by side: one row per visit, one column per method.

    Parameters
    ----------
    outcomes : DataFrame
        From `results.read_outcomes`.
    key : {"landmark_error_px", "predicted_error_px"}
        The landmark error is known only for visits that have landmarks. If a method refused a
        visit, or if no point maps to one of its landmarks, the visit counts with its landmark error
        before registration, because the user is left with the unregistered photograph. So a method
        has no advantage if it refuses difficult visits. The predicted error of a failed visit is
        NaN.
    registered : bool
        If True, the landmark error of a visit that a method refused is NaN instead.

    Returns
    -------
    DataFrame
        One row per ``eye`` (``007_L``), ``template`` and ``visit``, one column per method, in the
        order of `outcomes`; NaN if a method was not run on a visit. For the landmark error, the
        first column is `NOTHING`, the error before registration.
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
