"""Run methods and peers (other programs) on the pairs of FIRE, in several processes."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from fundus_helpers import metrics
from fundus_helpers.files import written_beside
from fundus_helpers.loading.fire import WRONG_LANDMARKS, FirePair, load_pair, summarise
from fundus_helpers.methods import METHODS
from fundus_helpers.metrics.verdict import judge
from fundus_helpers.progress import progress
from fundus_helpers.runs import peers
from fundus_helpers.series.registering import register_visit
from fundus_helpers.transforms.transform import RegistrationError

COLUMNS = [
    "method",
    "pair",
    "category",
    "landmark_error_px",
    "worst_landmark_error_px",
    "seconds",
    "verdict",
    "predicted_error_px",
]
NOT_JUDGED = "not judged"  # a peer gives points, not a transform

log = logging.getLogger(__name__)


def run_benchmark(
    pairs: Sequence[FirePair],
    methods: Sequence[str],
    out: Path | str,
    *,
    size: int = 768,
    jobs: int = -1,
) -> pd.DataFrame:
    """Register every pair with every method. Results that `out` already holds are kept.

    Parameters
    ----------
    pairs : sequence of FirePair
        From `loading.read_pairs`, which reads FIRE's folder, from `loading.read_any_pairs`, or from
        `loading.pairs_of_eye`.
    methods : sequence of str
        Names in `METHODS`, or names of installed peers (`runs.installed`).
    out : path
        CSV file with the columns `COLUMNS`. It is replaced as a whole after every pair.
    size : int
        Photographs are shrunk to this longer side in pixels. Errors are in full-size pixels.
    jobs : int
        Number of processes, with one thread each; -1 for one per core.

    Returns
    -------
    DataFrame
        The rows of `out` for these pairs and methods. ``landmark_error_px`` and
        ``worst_landmark_error_px`` are the mean and the largest landmark error of the pair (inf for
        a pair that was refused, NaN for one without landmarks). ``seconds`` is the time of the
        method alone, on one thread, without reading the files. ``verdict`` and
        ``predicted_error_px`` (the mean over the overlap) come from `metrics.judge`, which does
        not use landmarks.

    Raises
    ------
    ValueError
        If a method is unknown, or if `out` has other columns.
    """
    accepted = [*METHODS, *peers.installed()]
    if unknown := [name for name in methods if name not in accepted]:
        raise ValueError(f"unknown methods {unknown}; known are {accepted}")
    out = Path(out)
    table = _read(out)
    done = set(zip(table["method"], table["pair"], strict=True))
    missing = {p.name: [m for m in methods if (m, p.name) not in done] for p in pairs}
    tasks = [joblib.delayed(_run_pair)(p, missing[p.name], size) for p in pairs if missing[p.name]]
    found: Iterator = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(tasks)
    for rows in progress(found, "pairs", len(tasks)):
        table = pd.DataFrame([*table.to_dict("records"), *rows], columns=COLUMNS)
        with written_beside(out) as part:
            table.to_csv(part, index=False)
    here = table["method"].isin(methods) & table["pair"].isin([p.name for p in pairs])
    return table[here].sort_values(["method", "pair"], ignore_index=True)


def _read(out: Path) -> pd.DataFrame:
    if not out.exists():
        return pd.DataFrame(columns=COLUMNS)
    table = pd.read_csv(out)
    if list(table.columns) != COLUMNS:
        raise ValueError(f"{out.name}: columns are {[*table.columns]}, not {COLUMNS}; delete it")
    return table


def _run_pair(pair: FirePair, methods: Sequence[str], size: int) -> list[dict[str, object]]:
    own = [name for name in methods if name in METHODS]
    rows = _run_methods(pair, own, size) if own else []
    return rows + [_run_peer(pair, name, size) for name in methods if name not in own]


def _run_methods(pair: FirePair, methods: Sequence[str], size: int) -> list[dict[str, object]]:
    images, masks, points, factor = load_pair(pair, size)
    rows = []
    for name in methods:
        found = register_visit(
            METHODS[name], *images, pair.name, template_mask=masks[0], mask=masks[1]
        )
        sides = {"fixed_mask": masks[0], "moving_mask": masks[1]}
        verdict = judge(found.transform, *images, **sides, failure=found.reason)
        errors = np.array([np.inf if len(points[0]) else np.nan])
        if found.transform is not None and len(points[0]):
            errors = metrics.landmark_errors(found.transform, *points) * factor
        judged = verdict.status, verdict.mean_error * factor
        rows.append(_row(name, pair, errors, found.seconds, *judged))
    return rows


def _run_peer(pair: FirePair, name: str, size: int) -> dict[str, object]:
    # Fixed and moving photograph are exchanged, because FIRE measures errors in the fixed one.
    photographs = pair.moving_path, pair.fixed_path
    try:
        mapped, seconds = peers.map_landmarks(name, *photographs, pair.moving_points, size=size)
    except RegistrationError as error:
        log.warning("%s: %s", pair.name, error)
        return _row(name, pair, np.array([np.inf]), np.nan, NOT_JUDGED, np.nan)
    errors = np.linalg.norm(mapped - pair.fixed_points, axis=1)
    errors = errors if len(errors) else np.array([np.nan])
    return _row(name, pair, errors, seconds, NOT_JUDGED, np.nan)


def _row(name: str, pair: FirePair, errors: np.ndarray, *rest: object) -> dict[str, object]:
    values = [name, pair.name, pair.category, errors.mean(), errors.max(), *rest]
    return dict(zip(COLUMNS, values, strict=True))


def tabulate(table: pd.DataFrame) -> pd.DataFrame:
    """Summarise the rows of a benchmark like the published tables (`loading.summarise`).

    Errors are of the pairs with landmarks; verdicts and times are of all pairs. P37 of FIRE, whose
    landmarks are wrong, counts only in the columns that are named after it.

    Parameters
    ----------
    table : DataFrame
        From `run_benchmark`.

    Returns
    -------
    DataFrame
        One row per method, with the best mAUC first. The columns are those of `loading.summarise`;
        ``worst_pair_error_px``, the landmark error of the worst pair with a result; the mean
        ``seconds``; the number of ``accepted`` pairs; where there are any, the number of pairs
        ``without_landmarks``; and, where P37 is among the pairs, ``mean_with_P37_px`` and
        ``failed_with_P37``: the mean landmark error and the number of pairs without a result of all
        pairs with it.
    """
    rows = {}
    for name, everything in table.groupby("method"):
        results = everything[~everything["pair"].isin(WRONG_LANDMARKS)]
        known = results[results["landmark_error_px"].notna()]
        finite = known["landmark_error_px"][np.isfinite(known["landmark_error_px"])]
        more = {"worst_pair_error_px": finite.max(), "seconds": results["seconds"].mean()}
        more |= {"accepted": (results["verdict"] == "accepted").sum()}
        without = len(results) - len(known)
        if without:
            more |= {"without_landmarks": without}
        if len(everything) > len(results):
            whole = summarise(everything)
            more |= {"mean_with_P37_px": whole["mean_landmark_error_px"]}
            more |= {"failed_with_P37": whole["failed"]}
        rows[name] = pd.concat([summarise(known), pd.Series(more)])
    return pd.DataFrame(rows).T.sort_values(["mAUC", "pooled"], ascending=False)
