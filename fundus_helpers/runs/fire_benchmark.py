"""Methods and peers over the pairs of FIRE: in processes, resumable, one row for each."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from fundus_helpers import metrics
from fundus_helpers.files import written_beside
from fundus_helpers.loading.fire import FirePair, load_pair, summarise
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
    """Register every pair with every method; what `out` holds already is not done again.

    Parameters
    ----------
    pairs : sequence of FirePair
        As `loading.read_pairs` reads them from FIRE's folder, or `pairs_of_eye` makes them.
    methods : sequence of str
        Names in `METHODS`, or of peers that are installed (`runs.installed`).
    out : path
        CSV file with `COLUMNS`, written anew, beside and renamed, after every pair.
    size : int
        Longer side in pixels that photographs are shrunk to. Errors are in full-size pixels.
    jobs : int
        Processes, with one thread each; -1: one for each core.

    Returns
    -------
    DataFrame
        The rows of `out`: ``landmark_error_px`` and ``worst_landmark_error_px`` are the mean and
        the largest landmark error of the pair (inf for a pair that was refused), ``seconds`` the
        method alone, on one thread, without decoding; ``verdict`` and ``predicted_error_px``, the
        mean over the overlap, are those of `metrics.judge`, which knows no landmarks.

    Raises
    ------
    ValueError
        For an unknown method, or if `out` is no such file.
    """
    accepted = [*METHODS, *peers.installed()]
    if unknown := [name for name in methods if name not in accepted]:
        raise ValueError(f"no method {unknown}; there are {accepted}")
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
        raise ValueError(f"{out.name}: columns are {[*table.columns]}, not {COLUMNS}: remove it")
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
        verdict = judge(
            found.transform,
            *images,
            fixed_mask=masks[0],
            moving_mask=masks[1],
            failure=found.reason,
        )
        errors = np.array([np.inf])
        if found.transform is not None:
            errors = metrics.landmark_errors(found.transform, *points) * factor
        judged = verdict.status, verdict.mean_error * factor
        rows.append(_row(name, pair, errors, found.seconds, *judged))
    return rows


def _run_peer(pair: FirePair, name: str, size: int) -> dict[str, object]:
    # Registered the other way round, so that it maps points to where FIRE measures.
    photographs = pair.moving_path, pair.fixed_path
    try:
        mapped, seconds = peers.map_landmarks(name, *photographs, pair.moving_points, size=size)
    except RegistrationError as error:
        log.warning("%s: %s", pair.name, error)
        return _row(name, pair, np.array([np.inf]), np.nan, NOT_JUDGED, np.nan)
    errors = np.linalg.norm(mapped - pair.fixed_points, axis=1)
    return _row(name, pair, errors, seconds, NOT_JUDGED, np.nan)


def _row(name: str, pair: FirePair, errors: np.ndarray, *rest: object) -> dict[str, object]:
    values = [name, pair.name, pair.category, errors.mean(), errors.max(), *rest]
    return dict(zip(COLUMNS, values, strict=True))


def tabulate(table: pd.DataFrame) -> pd.DataFrame:
    """Condense the rows of a benchmark as the published tables do (`loading.summarise`).

    Parameters
    ----------
    table : DataFrame
        As `run_benchmark` gives it.

    Returns
    -------
    DataFrame
        One row per method, the best mAUC first: the columns of `loading.summarise`;
        ``worst_pair_error_px``, that of the worst pair with a result; mean ``seconds``; and
        how many pairs were ``accepted``.
    """
    rows = {}
    for name, results in table.groupby("method"):
        finite = results["landmark_error_px"][np.isfinite(results["landmark_error_px"])]
        more = {"worst_pair_error_px": finite.max(), "seconds": results["seconds"].mean()}
        more |= {"accepted": (results["verdict"] == "accepted").sum()}
        rows[name] = pd.concat([summarise(results), pd.Series(more)])
    return pd.DataFrame(rows).T.sort_values(["mAUC", "pooled"], ascending=False)
