"""Methods and peers over the pairs of FIRE: in processes, resumable, a row a method and pair."""

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from fundus_helpers import metrics, peers
from fundus_helpers.eye import LANDMARK_COLUMNS, Eye
from fundus_helpers.files import written_beside
from fundus_helpers.fire import FirePair, read_pairs, summarise
from fundus_helpers.images import field_of_view, read_image, resize, single_channel
from fundus_helpers.methods import METHODS
from fundus_helpers.progress import progress
from fundus_helpers.series import register_visit
from fundus_helpers.transforms import RegistrationError, rescale_points
from fundus_helpers.verdict import judge

COLUMNS = ["method", "pair", "category", "error_px", "max_error_px", "seconds"]
COLUMNS += ["verdict", "predicted_error_px"]
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
        As `fire.read_pairs` reads them from FIRE's folder, or `pairs_of_eye` makes them.
    methods : sequence of str
        Names in `METHODS`, or of peers that are installed (`peers.installed`).
    out : path
        CSV file with `COLUMNS`, written anew, beside and renamed, after every pair.
    size : int
        Longer side in pixels that photographs are shrunk to. Errors are in full-size pixels.
    jobs : int
        Processes, with one thread each; -1: one for each core.

    Returns
    -------
    DataFrame
        The rows of `out`: ``error_px`` and ``max_error_px`` are the mean and the largest landmark
        error (inf for a pair that was refused), ``seconds`` the method alone, on one thread,
        without decoding; ``verdict`` and ``predicted_error_px``, the mean over the overlap, are
        those of `verdict.judge`, which knows no landmarks.

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


def load_pair(
    pair: FirePair, size: int
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray], float]:
    """Read the photographs of a pair as every method gets them.

    Parameters
    ----------
    pair : FirePair
    size : int
        Longer side in pixels.

    Returns
    -------
    images, masks, points : lists of ndarray
        Of the fixed and of the moving photograph; points (x, y) in pixels of `images`.
    factor : float
        Full-size pixels of the fixed photograph per pixel.
    """
    photographs = [single_channel(read_image(p)) for p in (pair.fixed_path, pair.moving_path)]
    images = [resize(photograph, size) for photograph in photographs]
    factors = [max(photograph.shape) / size for photograph in photographs]
    known = zip((pair.fixed_points, pair.moving_points), factors, strict=True)
    points = [rescale_points(full, 1 / factor) for full, factor in known]
    return images, [field_of_view(image) for image in images], points, factors[0]


def pairs_of_eye(eye: Eye, count: int | None = None) -> list[FirePair]:
    """Make pairs of an eye's own landmarks, to measure methods where FIRE says nothing.

    Parameters
    ----------
    eye : Eye
    count : int, optional
        So many pairs at most, spread over all; None: all.

    Returns
    -------
    list of FirePair
        Without a category; none if no landmarks are known.
    """
    visits = dict(zip(eye.used["file"], eye.names, strict=True))
    pairs = []
    for (fixed, moving), rows in eye.landmarks.groupby(["fixed_file", "moving_file"]):
        if fixed in visits and moving in visits:
            points = rows[LANDMARK_COLUMNS[2:]].to_numpy(float)
            name = f"{visits[fixed]} to {visits[moving]}"
            paths = eye.folder / fixed, eye.folder / moving
            pairs.append(FirePair(name, "", *paths, points[:, :2], points[:, 2:]))
    chosen = np.linspace(0, len(pairs) - 1, min(count or len(pairs), len(pairs)))
    return [pairs[i] for i in np.unique(chosen.round().astype(int))] if pairs else []


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
    """Condense the rows of a benchmark as the published tables do (`fire.summarise`).

    Parameters
    ----------
    table : DataFrame
        As `run_benchmark` gives it.

    Returns
    -------
    DataFrame
        A row a method, the best mAUC first; ``worst_px`` of the pairs with a result, mean
        ``seconds``, and how many pairs were ``accepted``.
    """
    rows = {}
    for name, results in table.groupby("method"):
        finite = results["error_px"][np.isfinite(results["error_px"])]
        more = {"worst_px": finite.max(), "seconds": results["seconds"].mean()}
        more |= {"accepted": (results["verdict"] == "accepted").sum()}
        rows[name] = pd.concat([summarise(results), pd.Series(more)])
    return pd.DataFrame(rows).T.sort_values(["mAUC", "pooled"], ascending=False)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of FIRE, with Images and Ground Truth")
    parser.add_argument("out", type=Path, help="CSV file; what it holds is not done again")
    parser.add_argument("methods", nargs="*", help="none: every method, and every peer installed")
    parser.add_argument("--jobs", type=int, default=-1, help="processes; -1: one for each core")
    options = parser.parse_intermixed_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        pairs = read_pairs(options.folder)
        methods = options.methods or [*METHODS, *peers.installed()]
        table = run_benchmark(pairs, methods, options.out, jobs=options.jobs)
    except (ValueError, FileNotFoundError) as error:
        log.error("%s", error)
        return 1
    formatted = tabulate(table).to_string(float_format="{:.3f}".format)
    sys.stdout.write(formatted + f"\n\nrows: {options.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
