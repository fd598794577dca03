"""Whether verdicts hold when the same thing is burned into both photographs of a pair.

``make benchmark-overlays FIRE=folder`` draws text, watermarks, scan lines, rulers, captions and
dust on pairs of one eye and on pairs of different eyes, opaque and half transparent. It also
compresses both photographs to blocks. It registers them by keypoints and prints one row per kind.
"""

import argparse
import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import joblib
import numpy as np
import pandas as pd

from fundus_helpers import metrics, transforms
from fundus_helpers.loading.fire import group_by_eye, read_pairs
from fundus_helpers.loading.light import field_of_view
from fundus_helpers.loading.photographs import read_photograph
from fundus_helpers.loading.values import resize, single_channel
from fundus_helpers.methods import METHODS
from fundus_helpers.metrics.verdict import judge
from fundus_helpers.progress import progress
from fundus_helpers.transforms.transform import RegistrationError

DRAWN_SIZE, SIZE = 1456, 768  # px; drawings are made on larger photographs than are registered
FONT = cv2.FONT_HERSHEY_SIMPLEX
LINES = ("PATIENT 0815 OD 2019-05-28", "Exam: fundus colour", "Operator: A. B.", "CLINIC", "H35.3")
Draw = Callable[[np.ndarray], None]


def text(layer: np.ndarray) -> None:
    """Write lines of text."""
    for row, line in enumerate(LINES):
        cv2.putText(layer, line, (260, 330 + 190 * row), FONT, 1.6, 255, 3, cv2.LINE_AA)


def watermark(layer: np.ndarray) -> None:
    """Write large words across the photograph."""
    for x, y in ((170, 650), (290, 900), (220, 1160)):
        cv2.putText(layer, "SAMPLE", (x, y), cv2.FONT_HERSHEY_DUPLEX, 6, 255, 11, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((DRAWN_SIZE / 2, DRAWN_SIZE / 2), 30, 1)
    layer[:] = cv2.warpAffine(layer, turn, layer.shape[::-1])


def scan_lines(layer: np.ndarray) -> None:
    """Draw the 25 scan lines and the frame of an OCT program."""
    first, last = 290, 1165
    for row in np.linspace(first, last, 25).astype(int):
        cv2.line(layer, (first, row), (last, row), 255, 2, cv2.LINE_AA)
    cv2.rectangle(layer, (first, first), (last, last), 255, 3)


def ruler(layer: np.ndarray) -> None:
    """Draw a cross with marks."""
    cv2.line(layer, (150, 870), (1310, 870), 255, 3)
    cv2.line(layer, (655, 150), (655, 1310), 255, 3)
    for number, at in enumerate(range(150, 1311, 15)):
        length = 40 if number % 10 == 0 else 14
        cv2.line(layer, (at, 870 - length), (at, 870 + length), 255, 2)
        cv2.line(layer, (655 - length, at), (655 + length, at), 255, 2)


def caption(layer: np.ndarray) -> None:
    """Write two captions above and below."""
    for row in (80, 150, 1270, 1340):
        cv2.putText(layer, "OD 45deg 2019-05-28 10:15 ID 12345", (175, row), FONT, 1.4, 255, 3)


def dust(layer: np.ndarray) -> None:
    """Draw blurred spots; they are dark in the photograph."""
    rng = np.random.default_rng(5)
    for x, y, radius in rng.uniform((75, 75, 5), (1380, 1380, 20), (60, 3)):
        cv2.circle(layer, (int(x), int(y)), int(radius), 255, -1)
    layer[:] = cv2.GaussianBlur(layer, (0, 0), 5)


DRAWINGS: tuple[Draw, ...] = (text, watermark, scan_lines, ruler, caption, dust)


def kinds() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Return what is done to both photographs of a pair, by name."""
    made: dict[str, Callable] = {"plain": lambda image: image}
    for draw in DRAWINGS:
        for opacity, words in ((1.0, "opaque"), (0.5, "half")):
            made[f"{draw.__name__}, {words}"] = lambda image, d=draw, o=opacity: burn_in(
                image, d, o
            )
    for quality in (5, 10):
        made[f"JPEG of quality {quality}"] = lambda image, q=quality: compress(image, q)
    return made


def burn_in(image: np.ndarray, draw: Draw, opacity: float) -> np.ndarray:
    """Draw in white, dust in black, on a grey image in [0, 1]."""
    layer = np.zeros((DRAWN_SIZE, DRAWN_SIZE), np.uint8)
    draw(layer)
    layer = layer[: image.shape[0], : image.shape[1]] / np.float32(255) * opacity
    return image * (1 - layer) + (0 if draw is dust else 1) * layer


def compress(image: np.ndarray, quality: int) -> np.ndarray:
    """Store an image as JPEG at the size at which it is registered."""
    small = np.uint8(np.clip(resize(image, SIZE), 0, 1) * 255)
    stored = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE) / np.float32(255)


def examine(name: str, paths: tuple[Path, Path], points: tuple | None) -> list[dict[str, object]]:
    """Register and judge one pair with everything that is burned in."""
    cv2.setNumThreads(1)
    photographs = [single_channel(read_photograph(path)) for path in paths]
    full = max(photographs[0].shape)
    photographs = [resize(each, DRAWN_SIZE) for each in photographs]
    shape = np.max([each.shape for each in photographs], axis=0)
    photographs = [
        np.pad(each, [(0, whole - own) for whole, own in zip(shape, each.shape, strict=True)])
        for each in photographs
    ]
    rows = []
    for kind, change in kinds().items():
        images = [resize(change(each).astype(np.float32), SIZE) for each in photographs]
        images = [np.clip(image, 0, 1) for image in images]
        masks = {"fixed_mask": field_of_view(images[0]), "moving_mask": field_of_view(images[1])}
        transform, failure = None, ""
        try:
            transform = METHODS["keypoints"](*images, **masks)
        except RegistrationError as error:
            failure = str(error)
        verdict = judge(transform, *images, **masks, failure=failure)
        error = np.nan
        if transform is not None and points is not None:
            here = (transforms.rescale_points(each, SIZE / full) for each in points)
            error = metrics.landmark_errors(transform, *here).mean() * full / SIZE
        predicted = verdict.mean_error * full / SIZE
        rows.append({"pair": name, "kind": kind, "verdict": verdict.status})
        rows[-1] |= {"error_px": error, "predicted_px": predicted}
    return rows


def tabulate(one_eye: pd.DataFrame, two_eyes: pd.DataFrame) -> pd.DataFrame:
    """Count verdicts: one row per kind."""
    plain = one_eye[one_eye["kind"] == "plain"].set_index("pair")["error_px"]
    accepted = one_eye[one_eye["verdict"] == "accepted"]
    as_good = accepted["error_px"] <= 1.5 * accepted["pair"].map(plain)
    beyond = accepted["error_px"] > 3 * accepted["predicted_px"]
    table = pd.DataFrame({"one eye": one_eye.groupby("kind", sort=False).size()})
    table["accepted"] = accepted.groupby("kind").size()
    table["median error_px"] = accepted.groupby("kind")["error_px"].median()
    table["within 1.5 times plain"] = as_good.groupby(accepted["kind"]).sum()
    table["beyond 3 times predicted"] = beyond.groupby(accepted["kind"]).sum()
    others = two_eyes.groupby("kind")["verdict"]
    table["two eyes"] = others.size()
    for status in ("accepted", "doubtful"):
        table[f"two eyes, {status}"] = others.apply(lambda found, s=status: (found == s).sum())
    counts = table.columns.drop("median error_px")
    return table.fillna(dict.fromkeys(counts, 0)).astype(dict.fromkeys(counts, int))


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fire", type=Path, help="folder of FIRE")
    parser.add_argument("--pairs", type=int, default=20, help="pairs of one eye")
    parser.add_argument("--strangers", type=int, default=100, help="pairs of two different eyes")
    parser.add_argument(
        "--others", type=Path, nargs="*", default=[], help="photographs of other eyes, one per eye"
    )
    options = parser.parse_args()
    pairs = read_pairs(options.fire)
    eye_of = group_by_eye(pairs)
    one_per_eye = {eye_of[pair.name]: pair.fixed_path for pair in pairs}
    eyes = [*one_per_eye.values(), *options.others]
    rng = np.random.default_rng(0)
    strangers = rng.permutation([*itertools.combinations(range(len(eyes)), 2)])[: options.strangers]
    chosen = rng.permutation(len(pairs))[: options.pairs]
    tasks = [
        (p.name, (p.fixed_path, p.moving_path), (p.fixed_points, p.moving_points))
        for p in (pairs[i] for i in chosen)
    ]
    tasks += [(f"{i} and {j}", (eyes[i], eyes[j]), None) for i, j in strangers.tolist()]
    parallel = joblib.Parallel(n_jobs=-1, return_as="generator")
    found = parallel(joblib.delayed(examine)(*task) for task in tasks)
    rows = [pd.DataFrame(each) for each in progress(found, "pairs", len(tasks))]
    table = tabulate(pd.concat(rows[: len(chosen)]), pd.concat(rows[len(chosen) :]))
    sys.stdout.write(table.to_string(float_format="{:.1f}".format) + "\n")


if __name__ == "__main__":
    main()
