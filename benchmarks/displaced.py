"""How closely a part of the retina that was moved is followed, and whether it is seen if it is not.

``make benchmark-displaced FIRE=folder`` displaces a region of the moving photograph of pairs of
FIRE smoothly, by 20, 40 and 80 px of 2912. Half of the displacement is left at a distance of 150 px
from its middle. Each pair is registered by keypoints. The landmarks in the region tell how closely
the displacement is followed. Then the displacement is left in place, as if nothing had been
followed, and the predicted error is compared with the true one.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import SimpleITK as sitk

from fundus_helpers import transforms
from fundus_helpers.loading.fire import FirePair, load_pair, read_pairs
from fundus_helpers.methods import METHODS
from fundus_helpers.metrics import landmark_errors
from fundus_helpers.metrics.verdict import judge
from fundus_helpers.progress import progress
from fundus_helpers.transforms.fields import pixel_grid

SIZE = 1456  # longer side of the photographs that are registered, half of that of FIRE
AMOUNTS = (20, 40, 80)  # px of 2912
RADIUS = 300  # px of 2912; nothing is displaced beyond it
CLOSE = 5.0  # px of 2912


def bump(points: np.ndarray, middle: np.ndarray, shift: np.ndarray, radius: float) -> np.ndarray:
    """Return displacements at points (x, y): `shift` in the middle, zero beyond the radius."""
    far = np.minimum(np.linalg.norm(points - middle, axis=-1, keepdims=True) / radius, 1)
    return (1 + np.cos(np.pi * far)) / 2 * shift


def displace(image: np.ndarray, moved_by: partial) -> np.ndarray:
    """Return an image that shows at x what was at x - moved_by(x)."""
    places = pixel_grid(image.shape) - moved_by(pixel_grid(image.shape))
    return np.clip(transforms.remap(image, places, interpolation="cubic"), 0, 1)


def displaced_points(points: np.ndarray, moved_by: partial) -> np.ndarray:
    """Return where points (x, y) of an image lie after `displace`."""
    moved = points
    for _ in range(200):  # neighbouring points are displaced almost alike, so this converges
        moved = points + moved_by(moved)
    return moved


def measure(pair: FirePair, seed: int) -> list[dict[str, object]]:
    """Displace a region of one pair by every amount, register it, and judge what is left."""
    (fixed, moving), _, (points, targets), factor = load_pair(pair, SIZE)
    rng = np.random.default_rng(seed)
    middle, angle = well_inside(points, targets, rng), rng.uniform(0, 2 * np.pi)
    still = METHODS["keypoints"](fixed, moving)
    plain = factor * landmark_errors(still, points, targets)
    rows = []
    for amount in AMOUNTS:
        shift = amount / factor * np.array([np.cos(angle), np.sin(angle)])
        moved_by = partial(bump, middle=middle, shift=shift, radius=RADIUS / factor)
        displaced, places = displace(moving, moved_by), displaced_points(targets, moved_by)
        inside = np.linalg.norm(moved_by(places), axis=1) >= amount / factor / 2
        found = METHODS["keypoints"](fixed, displaced)
        error = factor * landmark_errors(found, points, places)
        left = left_in_place(still, fixed, displaced, moved_by)
        predicted, true = (factor * each for each in left)
        rows.append(
            {
                "pair": pair.name,
                "amount_px": amount,
                "landmarks": int(inside.sum()),
                "plain_px": plain[inside].mean(),
                "inside_px": error[inside].mean(),
                "close": (error[inside] <= CLOSE).mean(),
                "elsewhere_plain_px": plain[~inside].mean(),
                "elsewhere_px": error[~inside].mean(),
                "verdict": judge(found, fixed, displaced).status,
                "left_predicted_px": predicted,
                "left_true_px": true,
            }
        )
    return rows


def well_inside(points: np.ndarray, targets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw one of the three landmarks that lie farthest inside both photographs."""
    centre = (SIZE - 1) / 2
    far = [np.linalg.norm(each - centre, axis=1) for each in (points, targets)]
    return targets[np.argsort(np.maximum(*far))[rng.integers(0, 3)]]


def left_in_place(
    still: sitk.Transform, fixed: np.ndarray, displaced: np.ndarray, moved_by: partial
) -> tuple[float, float]:
    """Return the mean predicted and true error in the region, in pixels, if it is not followed.

    The region is where at least half of the displacement is left.
    """
    predicted = judge(still, fixed, displaced).predicted_error
    mapped = pixel_grid(fixed.shape) + transforms.displacement(still, fixed.shape)
    true = np.linalg.norm(moved_by(mapped), axis=2)
    inside = true >= true.max() / 2
    return float(np.nanmean(predicted[inside])), float(true[inside].mean())


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fire", type=Path, help="folder of FIRE")
    parser.add_argument("--pairs", type=int, default=24, help="pairs of FIRE, of all classes")
    parser.add_argument("--jobs", type=int, default=-1, help="processes; -1: one per core")
    options = parser.parse_args()
    pairs = read_pairs(options.fire)
    chosen = np.unique(np.linspace(0, len(pairs) - 1, options.pairs).round().astype(int))
    tasks = [joblib.delayed(measure)(pairs[i], int(i)) for i in chosen]
    done = joblib.Parallel(n_jobs=options.jobs, return_as="generator_unordered")(tasks)
    table = pd.DataFrame([row for rows in progress(done, "pairs", len(tasks)) for row in rows])
    table = table.sort_values(["amount_px", "pair"])
    seen = table["left_predicted_px"] >= table["left_true_px"] / 2
    summary = table.assign(
        accepted=table["verdict"] == "accepted",
        within=table["inside_px"] <= CLOSE,
        seen_if_left=seen,
    )
    sys.stdout.write(table.to_string(index=False, float_format="{:.1f}".format) + "\n\n")
    groups = summary.drop(columns=["pair", "verdict"]).groupby("amount_px")
    for name, each in (("Means", groups.mean()), ("Medians", groups.median(numeric_only=True))):
        sys.stdout.write(f"{name}\n{each.to_string(float_format='{:.2f}'.format)}\n")


if __name__ == "__main__":
    main()
