"""Measure the registration from three points placed by hand on spoiled photographs.

Photographs of demo eyes, and of FIRE if its folder is given, are blurred, darkened or over-exposed
until `keypoints` gives up. Then three landmarks far apart are each moved by up to 3 px of 768 at
random, several times. One row per photograph tells the error of the points alone, the error of
the registration, the verdict, and how often the error is below the bound that was predicted.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from fundus_helpers import transforms
from fundus_helpers.loading.demo_eye import make_demo_eye
from fundus_helpers.loading.eye import load_eye
from fundus_helpers.loading.fire import load_pair, read_pairs
from fundus_helpers.methods.keypoints import register
from fundus_helpers.methods.points import from_points
from fundus_helpers.metrics.verdict import BY_HAND, judge
from fundus_helpers.progress import progress
from fundus_helpers.transforms.transform import RegistrationError

SIZE, OFF = 768, 3.0
LEAST_SPREAD = 55.0  # px: of three points across the line along which they lie best


def spoiled(image: np.ndarray, kind: str, strength: int, rng: np.random.Generator) -> np.ndarray:
    """Spoil an image more and more; the strength is 0, 1, 2, ..."""
    if kind == "blur":
        noise = rng.normal(0, 0.02, image.shape)
        return cv2.GaussianBlur(image, (0, 0), 6 + 2 * strength) + noise
    if kind == "darkness":
        dark = 0.08 * 0.8**strength * image + rng.normal(0, 0.01, image.shape)
        return np.round(255 * dark) / 255
    y, x = np.indices(image.shape) / max(image.shape) - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    far = (x - 0.15 * np.cos(angle)) ** 2 + (y - 0.15 * np.sin(angle)) ** 2
    glare = 0.9 * np.exp(-far / 0.4)
    noise = rng.normal(0, 0.03 + 0.01 * strength, image.shape)
    return cv2.GaussianBlur(image, (0, 0), 4 + strength) * (1 - glare) + 1.05 * glare + noise


Case = tuple[str, tuple, tuple, tuple]


def demo_cases(seeds: list[int], visits: list[int]) -> Iterator[Case]:
    """Yield the name, the images, the masks and the landmarks of visits of demo eyes."""
    for patient in ("demo_colour", "demo_autofluorescence"):
        for seed in seeds:
            with tempfile.TemporaryDirectory() as data:
                make_demo_eye(data, patient, seed=seed)
                eye = load_eye(data, patient, "L", shown=False)
            for i in (i for i in visits if len(eye.landmarks_between(0, i)[0]) > 2):
                name = f"{patient.removeprefix('demo_')} {seed}, visit {i + 1}"
                images, masks = (eye.images[0], eye.images[i]), (eye.masks[0], eye.masks[i])
                yield name, images, masks, eye.landmarks_between(0, i)


def fire_cases(folder: Path, names: list[str]) -> Iterator[Case]:
    """Yield the same for pairs of FIRE."""
    for pair in read_pairs(folder):
        if pair.name in names:
            images, masks, points, _ = load_pair(pair, SIZE)
            yield f"FIRE {pair.name}", images, masks, points


def until_it_fails(images: tuple, masks: tuple, kind: str) -> tuple[np.ndarray, int] | None:
    """Return the least spoiled image that `keypoints` refuses, and its strength."""
    for strength in range(10):
        image = spoiled(images[1], kind, strength, np.random.default_rng(strength))
        image = np.clip(np.where(masks[1], image, 0), 0, 1).astype(np.float32)
        try:
            register(images[0], image, fixed_mask=masks[0], moving_mask=masks[1])
        except RegistrationError:
            return image, strength
    return None


def by_hand(known: tuple, rng: np.random.Generator, exact: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return three landmarks far apart, each off by up to `OFF` (or by just as much)."""
    spread, chosen = 0.0, None
    for _ in range(200):
        trial = rng.choice(len(known[0]), 3, replace=False)
        points = known[0][trial]
        width = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)[1] / np.sqrt(3)
        if width > spread:
            spread, chosen = width, trial
        if spread > LEAST_SPREAD:
            break
    angle, share = rng.uniform(0, 2 * np.pi, 3), 1.0 if exact else np.sqrt(rng.uniform(0, 1, 3))
    off = (OFF * share * np.array([np.cos(angle), np.sin(angle)])).T
    return known[0][chosen], known[1][chosen] + off


def measured(case: Case, kind: str, draws: int, exact: bool) -> dict[str, object] | None:
    """Measure one spoiled photograph."""
    name, images, masks, known = case
    found = until_it_fails(images, masks, kind)
    if found is None:
        return None
    image, strength = found
    sides, rows = {"fixed_mask": masks[0], "moving_mask": masks[1]}, []
    for draw in range(draws):
        hand = by_hand(known, np.random.default_rng(draw), exact)
        start = from_points(*hand, images[0].shape, image.shape)
        transform = register(images[0], image, **sides, start=start)
        errors, before = (
            np.linalg.norm(transforms.map_points(each, known[0]) - known[1], axis=1)
            for each in (transform, start)
        )
        verdict = judge(transform, images[0], image, **sides, by_hand=hand)
        column, row = known[0].round().astype(int).T.clip(0, SIZE - 1)
        bound = verdict.bound[row, column]
        known_bound = ~np.isnan(bound)
        rows.append(
            {
                "vessels seen": float(abs(errors.mean() - before.mean()) > 0.01),
                "points alone": before.mean(),
                "mean": errors.mean(),
                "worst": errors.mean(),
                "below bound": np.mean(errors[known_bound] <= bound[known_bound]),
                "by hand": float(verdict.status == BY_HAND),
            }
        )
    told = pd.DataFrame(rows)
    summary = {**told.mean(), "worst": told["worst"].max()}
    return {"photograph": name, "spoiled by": kind, "strength": strength, **summary}


def main() -> int:
    """Print one row per photograph, and write the table if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fire", type=Path, help="folder of FIRE")
    parser.add_argument("--pairs", nargs="+", default=["S12", "S20", "S47", "A03", "A13"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--visits", nargs="+", type=int, default=[4, 10])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--exact", action="store_true", help="each point off by 3 px exactly")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    cases = [*demo_cases(given.seeds, given.visits)]
    cases += [*fire_cases(given.fire, given.pairs)] if given.fire else []
    tasks = [(case, kind) for case in cases for kind in ("blur", "darkness", "glare")]
    rows = [
        measured(*task, given.draws, given.exact)
        for task in progress(tasks, "photographs", len(tasks))
    ]
    table = pd.DataFrame([row for row in rows if row is not None])
    if given.out:
        table.to_csv(given.out, index=False)
    sys.stdout.write(table.to_string(index=False, float_format="%.2f") + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
