"""Test the verdict and the predicted error on pairs of FIRE and on pairs of different eyes.

The weights of the predicted error are fitted again and tested on eyes that were left out. Then the
verdicts are counted for true pairs and for photographs of two different eyes.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from scipy.optimize import nnls

from fundus_helpers import metrics, transforms
from fundus_helpers.loading.fire import FirePair, group_by_eye, load_pair, read_pairs
from fundus_helpers.methods import METHODS
from fundus_helpers.methods.pair import prepare_pair
from fundus_helpers.metrics import evidence
from fundus_helpers.metrics.verdict import judge
from fundus_helpers.progress import progress
from fundus_helpers.series.registering import register_visit

SIZE = 768
FITTED = ["keypoints", "rigid", "affine", "elastix_affine", "elastix_bspline"]
FITTED += ["optical_flow_dis", "optical_flow_ilk", "optical_flow_tvl1"]
UNRELATED = ["keypoints", "affine", "optical_flow_dis", "elastix_bspline"]
ROUNDS = 30


def judged(images: list, masks: list, method: str, name: str) -> tuple[object, dict[str, object]]:
    """Register two images and judge the result."""
    found = register_visit(METHODS[method], *images, name, template_mask=masks[0], mask=masks[1])
    sides = {"fixed_mask": masks[0], "moving_mask": masks[1]}
    verdict = judge(found.transform, *images, **sides, failure=found.reason)
    reasons = "; ".join(verdict.reasons)
    return found.transform, {"method": method, "verdict": verdict.status, "reasons": reasons}


def true_pair(pair: FirePair, eye: int) -> tuple[list[dict], list[pd.DataFrame]]:
    """Return the verdict of every method, and the evidence and the error at every landmark."""
    images, masks, points, factor = load_pair(pair, SIZE)
    ready = prepare_pair(*images, *masks)
    verdicts, landmarks = [], []
    for method in FITTED:
        transform, row = judged(images, masks, method, pair.name)
        verdicts.append(row | {"pair": pair.name})
        if transform is None:
            continue
        errors = metrics.landmark_errors(transform, *points)
        verdicts[-1]["landmark_error_px"] = errors.mean() * factor
        warped = transforms.warp(ready.moving, transform, interpolation="cubic")
        common = transforms.overlap(ready.fixed_mask, ready.moving_mask, transform)
        signs = evidence.error_signs(ready.fixed, warped, common)
        column, row = np.round(points[0]).astype(int).T.clip(0, SIZE - 1)
        asked, unlike = (sign[row, column] for sign in signs)
        columns = {"error": errors / SIZE, "asked": asked / SIZE, "unlike": unlike}
        landmarks.append(pd.DataFrame(columns).assign(method=method, eye=eye))
    return verdicts, landmarks


def unrelated_pair(pair: FirePair) -> list[dict]:
    """Return the verdict of every method for two photographs of different eyes."""
    images, masks, *_ = load_pair(pair, SIZE)
    return [judged(images, masks, method, "unrelated")[1] for method in UNRELATED]


def fit(signs: np.ndarray, error: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit non-negative weights; return them and the bound below which nine of ten errors lie."""
    weights = np.full(signs.shape[1], 0.001)
    for _ in range(ROUNDS):
        scale = np.sqrt(weight) / np.maximum(signs @ weights, 1e-5)
        weights = nnls(signs * scale[:, None], error * scale)[0]
    ratio = error / (signs @ weights)
    order = np.argsort(ratio)
    share = np.cumsum(weight[order]) / weight.sum()
    return weights, float(ratio[order][np.searchsorted(share, 0.9)])


def cross_validate(table: pd.DataFrame) -> tuple[np.ndarray, float, pd.Series]:
    """Fit to all eyes; test for each landmark whether a fit to the other eyes bounds its error."""
    signs = np.column_stack([np.ones(len(table)), table["asked"], table["unlike"]])
    error = table["error"].to_numpy()
    weight = 1 / table.groupby("eye")["error"].transform("count").to_numpy()
    held = pd.Series(False, index=table.index)
    for eye in table["eye"].unique():
        out = (table["eye"] == eye).to_numpy()
        weights, bound = fit(signs[~out], error[~out], weight[~out])
        held[out] = error[out] <= bound * (signs[out] @ weights)
    return *fit(signs, error, weight), held


def main() -> None:
    """Print the weights, how often the bound holds, and the counts of the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of FIRE, with Images and Ground Truth")
    parser.add_argument(
        "--unrelated", type=int, default=300, help="number of pairs of different eyes"
    )
    options = parser.parse_args()
    pairs = read_pairs(options.folder)
    eyes = group_by_eye(pairs)
    parallel = joblib.Parallel(n_jobs=-1, return_as="generator_unordered")
    tasks = [joblib.delayed(true_pair)(pair, eyes[pair.name]) for pair in pairs]
    done = list(progress(parallel(tasks), "true pairs", len(tasks)))
    table = pd.concat([rows for _, found in done for rows in found], ignore_index=True)
    table = table[np.isfinite(table["error"])].reset_index(drop=True)
    weights, bound, held = cross_validate(table)
    names = ("LEAST", "ASKED", "UNLIKE", "BOUND")
    found = (f"{name} {value:.5f}" for name, value in zip(names, (*weights, bound), strict=True))
    sys.stdout.write(", ".join(found) + "\n")
    sys.stdout.write(
        f"the bound of 90 % holds for {held.mean():.1%} of the landmarks of left-out eyes\n"
    )
    for name in ("method", "eye"):
        sys.stdout.write(
            held.groupby(table[name]).mean().to_string(float_format="{:.2f}".format) + "\n"
        )
    rng = np.random.default_rng(0)
    chosen = []
    while len(chosen) < options.unrelated:
        a, b = (pairs[i] for i in rng.choice(len(pairs), 2, replace=False))
        if eyes[a.name] != eyes[b.name]:
            chosen.append(replace(a, moving_path=b.moving_path))
    tasks = [joblib.delayed(unrelated_pair)(pair) for pair in chosen]
    unrelated = list(progress(parallel(tasks), "unrelated pairs", len(tasks)))
    for title, groups in (("true", [rows for rows, _ in done]), ("unrelated", unrelated)):
        if not groups:
            continue
        rows = pd.DataFrame([row for group in groups for row in group])
        counts = rows.groupby(["method", "verdict"]).size().unstack(fill_value=0)
        sys.stdout.write(f"\n{title} pairs\n{counts.to_string()}\n")


if __name__ == "__main__":
    main()
