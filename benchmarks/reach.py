"""How far a photograph may be turned, magnified and cropped and is still registered.

``make benchmark-reach FIRE=folder`` turns photographs of FIRE and one of a demo eye by 0 to 360
degrees, magnifies them by 0.4 to 2.5 and crops them, in all directions, to as little as half. Each
copy is registered to its original by keypoints, so that the true transform is known.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import cv2
import joblib
import numpy as np
import pandas as pd

from fundus_helpers import transforms
from fundus_helpers.loading.demo_eye import make_demo_eye, read_truth
from fundus_helpers.loading.fire import group_by_eye, read_pairs
from fundus_helpers.loading.light import field_of_view
from fundus_helpers.loading.photographs import read_photograph
from fundus_helpers.loading.values import resize, single_channel
from fundus_helpers.methods import METHODS
from fundus_helpers.metrics.verdict import judge
from fundus_helpers.progress import progress
from fundus_helpers.series.registering import register_visit

SIZE = 768  # longer side in pixels
TURN, MAGNIFICATION, LEAST_SHOWN = 360.0, (0.4, 2.5), 0.5
LARGEST_ERROR = 0.01  # a median error of more than this share of the width is wrong


def draw_case(rng: np.random.Generator) -> dict[str, float]:
    """Draw how a photograph is changed: degrees, magnification, share shown, and its place."""
    low, high = np.log(MAGNIFICATION)
    return {
        "degrees": rng.uniform(0, TURN),
        "magnification": np.exp(rng.uniform(low, high)),
        "shown": rng.uniform(LEAST_SHOWN, 1),
        "x": rng.uniform(-1, 1),
        "y": rng.uniform(-1, 1),
    }


def spoil(image: np.ndarray, case: dict[str, float], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a changed copy of a photograph, (h, w), and the matrix from its pixels to the copy's.

    The frame has the size of the photograph, so a magnified copy is cropped by it, too. The copy
    has another brightness, another contrast and noise of its own.
    """
    height, width = image.shape
    centre = (width - 1) / 2, (height - 1) / 2
    # Of what the frame can show, another part lies in its middle.
    room = max(case["magnification"] - 1, 0) * np.array([width, height]) / 8
    matrix = cv2.getRotationMatrix2D(centre, case["degrees"], case["magnification"])
    matrix[:, 2] += room * [case["x"], case["y"]]
    if case["magnification"] < 1:  # without a blur, fine vessels would become grain
        image = cv2.GaussianBlur(image, (0, 0), 0.5 / case["magnification"])
    copy = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR)
    share = np.sqrt(case["shown"])
    spare = (1 - share) * np.array([width, height]) / 2
    left, top = np.round(spare * (1 + np.array([case["x"], case["y"]]))).astype(int)
    copy = copy[top : top + round(share * height), left : left + round(share * width)]
    matrix[:, 2] -= left, top
    noise = np.random.default_rng(seed).normal(0, 0.01, copy.shape)
    return np.clip(0.9 * copy + 0.02 * (copy > 0.02) + noise, 0, 1).astype(np.float32), matrix


def examine(name: str, image: np.ndarray, seed: int) -> dict[str, object]:
    """Register one changed copy of a photograph and judge the result."""
    case = draw_case(np.random.default_rng(seed))
    copy, matrix = spoil(image, case, seed)
    masks = {"fixed_mask": field_of_view(image), "moving_mask": field_of_view(copy)}
    row = {"photograph": name, "seed": seed} | case
    sides = {"template_mask": masks["fixed_mask"], "mask": masks["moving_mask"]}
    found = register_visit(METHODS["keypoints"], image, copy, name, **sides)
    transform = found.transform
    verdict = judge(transform, image, copy, **masks, failure=found.reason)
    row |= {"verdict": verdict.status, "error_px": np.nan, "reasons": "; ".join(verdict.reasons)}
    if transform is not None:
        true = transforms.from_matrix(matrix)
        common = transforms.overlap(masks["fixed_mask"], masks["moving_mask"], true)
        points = np.argwhere(common)[::499, ::-1].astype(float)
        off = transforms.map_points(transform, points) - transforms.map_points(true, points)
        # In pixels of the original, whatever the magnification of the copy.
        row["error_px"] = np.median(np.linalg.norm(off, axis=1)) / case["magnification"]
    return row


def photographs(fire: Path, count: int) -> dict[str, np.ndarray]:
    """Return one photograph of a demo eye and of several eyes of FIRE, by name."""
    pairs = read_pairs(fire)
    eye_of = group_by_eye(pairs)
    paths = {eye_of[pair.name]: pair.fixed_path for pair in reversed(pairs)}
    chosen = [paths[eye] for eye in sorted(paths)][:count]
    with tempfile.TemporaryDirectory() as folder:
        eye = make_demo_eye(folder, size=SIZE)
        chosen.insert(0, eye / read_truth(eye)["visits"][0]["file"])
        return {path.stem: resize(single_channel(read_photograph(path)), SIZE) for path in chosen}


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fire", type=Path, help="folder of FIRE")
    parser.add_argument("--photographs", type=int, default=10, help="photographs of FIRE")
    parser.add_argument("--copies", type=int, default=6, help="copies of each photograph")
    parser.add_argument("--seed", type=int, default=0, help="of the first copy")
    parser.add_argument("--jobs", type=int, default=-1, help="processes; -1: one per core")
    options = parser.parse_args()
    originals = photographs(options.fire, options.photographs)
    tasks = [
        joblib.delayed(examine)(name, image, options.seed + options.copies * i + copy)
        for i, (name, image) in enumerate(originals.items())
        for copy in range(options.copies)
    ]
    done = joblib.Parallel(n_jobs=options.jobs, return_as="generator_unordered")(tasks)
    table = pd.DataFrame(progress(done, "copies", len(tasks))).sort_values("seed")
    accepted = table["verdict"] == "accepted"
    wrong = accepted & (table["error_px"] > LARGEST_ERROR * SIZE)
    if (~accepted | wrong).any():
        bad = table[~accepted | wrong]
        sys.stdout.write(bad.to_string(index=False, float_format="{:.2f}".format) + "\n\n")
    errors = table.loc[accepted, "error_px"]
    sys.stdout.write(
        f"{len(table)} copies: {accepted.mean():.1%} accepted, {wrong.sum()} of them wrong; "
        f"median error {errors.median():.2f} px of {SIZE}, largest {errors.max():.2f} px\n"
    )


if __name__ == "__main__":
    main()
