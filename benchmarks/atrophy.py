"""How exactly atrophy is found, how fast it is said to grow, and whether the intervals hold.

``make benchmark-atrophy`` paints demo eyes, registers them by keypoints, follows their atrophy with
and without hints, and compares outlines, areas, growth, onset and border expansion with what was
painted. It also spoils photographs, registers badly, and measures time and memory. Each part prints
one table. ``ARGS="--parts found"`` runs one part only.
"""

import argparse
import resource
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import joblib
import numpy as np
import pandas as pd
from scipy import stats

from fundus_helpers import transforms
from fundus_helpers.atrophy.border import border_distances
from fundus_helpers.atrophy.eye import Atrophy, follow_atrophy
from fundus_helpers.atrophy.finding.find import find_atrophy
from fundus_helpers.atrophy.finding.hints import Hints
from fundus_helpers.atrophy.growth import growth_rates
from fundus_helpers.atrophy.registered import RegisteredVisits, registered_visits
from fundus_helpers.loading.demo_eye import make_demo_eye, read_truth, true_fovea, true_onset
from fundus_helpers.loading.eye import load_eye
from fundus_helpers.loading.photographs import read_photograph, save_photograph
from fundus_helpers.metrics.verdict import ACCEPTED, FAILED, Verdict
from fundus_helpers.series.assessed_eye import AssessedEye

EASY = ("demo_autofluorescence", "demo_colour")
HARD = ("demo_atrophy", "demo_atrophy_colour")
SEEDS = (0, 1, 2, 3, 4)
# The spread of the outlines (atrophy/intervals.py) was measured on the seeds 10 to 14.
INTERVAL_SEEDS = (20, 21, 22, 23, 24)
SPOILED = ("noise 25", "contrast x 0.4", "blur 4 px")
BAD = ("rigid", "none")
RATES = ("area_growth", "square_root_growth", "border_expansion")


@dataclass(frozen=True)
class DemoEye:
    """One demo eye: its truth, and its visits after registration."""

    name: str
    folder: Path
    truth: dict
    study: AssessedEye

    @property
    def template_file(self) -> str:
        """File of the template."""
        return self.study.eye.used["file"][self.study.template]

    def fovea(self) -> tuple[float, float]:
        """Return the fovea in pixels of the template."""
        return tuple(true_fovea(self.truth, self.template_file))

    def follow(self, label: str = "keypoints", hints: Hints | None = None) -> Atrophy:
        """Follow its atrophy after a registration."""
        return follow_atrophy(registered_visits(self.study, label), hints=hints)

    def hints(self) -> Hints:
        """Return what a person would tell: ellipse, fovea, and that the first visit is free."""
        lesion = np.isfinite(true_onset(self.truth, self.template_file))
        rows, columns = np.nonzero(lesion)
        middle = (columns.min() + columns.max()) / 2, (rows.min() + rows.max()) / 2
        half = 0.75 * np.ptp(columns) + 20, 0.75 * np.ptp(rows) + 20
        return Hints(ellipse=(*middle, *half, 0.0), fovea=self.fovea(), first_free=True)


def open_eye(data: Path, patient: str, seed: int, size: int, method: str = "keypoints") -> DemoEye:
    """Paint a demo eye, unless it is there, and register it to its first visit."""
    folder = make_demo_eye(data / str(seed), patient, size=size, seed=seed)
    return _registered(folder, f"{patient} {seed}", method)


def _registered(folder: Path, name: str, method: str = "keypoints") -> DemoEye:
    eye = load_eye(folder.parent, folder.name, "L", shown=False)
    study = AssessedEye(eye, 0, jobs=1)
    if method == "none":
        still = transforms.identity()
        study.add(method, [still if v in _usable(folder) else None for v in eye.used["file"]])
    else:
        study.add(method, [study.register_visit(method, i) for i in range(len(eye.names))])
    return DemoEye(name, folder, read_truth(folder), study)


def _usable(folder: Path) -> set[str]:
    return {visit["file"] for visit in read_truth(folder)["visits"] if visit["usable"]}


def compare(eye: DemoEye, atrophy: Atrophy) -> dict[str, object]:
    """Compare outlines, areas, growth, onset and border with what was painted."""
    visits, table = atrophy.visits, atrophy.table()
    status, reasons = atrophy.verdict
    if status == FAILED:
        return {"eye": eye.name, "verdict": "refused", "why": reasons[0]}
    dice, errors, held = [], [], []
    for i, file in enumerate(visits.files):
        true = read_outline(eye.folder / "truth" / f"lesion_{file}")
        row = table.loc[i]
        if true.any():
            found = atrophy.mask_of(i, true.shape)
            dice.append(2 * (found & true).sum() / (found.sum() + true.sum()))
            errors.append(row["area_px"] / true.sum() - 1)
            held.append(row["area_low_px"] <= true.sum() <= row["area_high_px"])
    return {
        "eye": eye.name,
        "verdict": status,
        "visits": len(visits.names),
        "first": int(atrophy.onset.mask(0).sum()),
        "dice": np.mean(dice),
        "worst dice": np.min(dice),
        "area error": np.mean(np.abs(errors)),
        "intervals held": np.mean(held),
        "healed": atrophy.onset.healed,
        **_growth_errors(eye, atrophy),
        **_onset_errors(eye, atrophy),
    }


def read_outline(path: Path) -> np.ndarray:
    """Read a painted outline."""
    return read_photograph(path) > 0


def _growth_errors(eye: DemoEye, atrophy: Atrophy) -> dict[str, object]:
    """Compare rates with those of the painted lesion on the grid of the template."""
    visits, onset = atrophy.visits, true_onset(eye.truth, eye.template_file)
    factor = visits.template_factor
    true = [onset <= years + 1e-6 for years in visits.years]
    borders = border_distances(true, factor)
    truth = growth_rates(
        visits.dates,
        [mask.sum() * factor**2 for mask in true],
        None,
        borders,
        unit="px",
    )
    rates = {row["key"]: row for row in atrophy.rates()}
    found = {}
    for key in RATES:
        value = truth.overall[key].value
        found[key] = rates[key]["value"] / value - 1
        found[f"{key} held"] = rates[key]["low"] <= value <= rates[key]["high"]
        alone = stats.t.ppf(0.975, rates[key]["visits"] - 2) * rates[key]["standard_error"]
        found[f"{key} held by regression"] = abs(rates[key]["value"] - value) <= alone
    return found


def _onset_errors(eye: DemoEye, atrophy: Atrophy) -> dict[str, float]:
    """Compare the onset of every point that dies during the series."""
    visits, true = atrophy.visits, true_onset(eye.truth, eye.template_file)
    count, onset = len(visits.years), atrophy.onset.onset()
    position = np.searchsorted(visits.years, true - 1e-6)
    dies = (true > 0) & np.isfinite(true) & (true <= visits.years[-1])
    both = dies & np.isfinite(onset) & (atrophy.onset.position > 0)
    return {
        "onset, months": 12 * np.median(np.abs(onset - true)[both]),
        "right visit": np.mean(
            atrophy.onset.position[dies & (position < count)] == position[dies & (position < count)]
        ),
    }


def found(data: Path, size: int, seeds: tuple[int, ...], jobs: int) -> pd.DataFrame:
    """Follow every demo eye, without hints and, where the first visit is free, with hints."""

    def one(patient: str, seed: int) -> list[dict[str, object]]:
        eye = open_eye(data, patient, seed, size)
        rows = [{"patient": patient, "hints": "", **compare(eye, eye.follow())}]
        if patient in HARD:
            rows.append(
                {"patient": patient, "hints": "all", **compare(eye, eye.follow(hints=eye.hints()))}
            )
        return rows

    each = [(patient, seed) for patient in (*EASY, *HARD) for seed in seeds]
    rows = joblib.Parallel(jobs)(joblib.delayed(one)(*arguments) for arguments in each)
    return pd.DataFrame([row for part in rows for row in part])


def spoil(folder: Path, into: Path, kind: str) -> Path:
    """Write an eye whose photographs have more noise, less contrast or less sharpness."""
    target = into / folder.name
    target.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for path in sorted(folder.iterdir()):
        if path.suffix != ".png":
            if path.is_file():
                (target / path.name).write_bytes(path.read_bytes())
            continue
        image = read_photograph(path).astype(np.float32)
        if kind == SPOILED[0]:
            image = image + rng.normal(0, 25, image.shape)
        elif kind == SPOILED[1]:
            image = image.mean() + 0.4 * (image - image.mean())
        else:
            image = cv2.GaussianBlur(image, (0, 0), 4 * max(image.shape) / 768)
        save_photograph(np.clip(image, 0, 255).astype(np.uint8), target / path.stem)
    (target / "truth").symlink_to((folder / "truth").resolve())
    return target


def spoiled(data: Path, size: int, jobs: int) -> pd.DataFrame:
    """Follow eyes whose photographs are spoiled."""

    def one(patient: str, kind: str) -> dict[str, object]:
        folder = make_demo_eye(data / "0", patient, size=size, seed=0)
        with tempfile.TemporaryDirectory() as into:
            eye = _registered(spoil(folder, Path(into), kind), f"{patient}, {kind}")
            return {"patient": patient, "kind": kind, **compare(eye, eye.follow())}

    each = [(patient, kind) for patient in (*EASY, HARD[0]) for kind in SPOILED]
    return pd.DataFrame(joblib.Parallel(jobs)(joblib.delayed(one)(*a) for a in each))


def badly(data: Path, size: int, jobs: int) -> pd.DataFrame:
    """Follow eyes after a bad registration, which the check for healing must notice."""

    def one(patient: str, method: str) -> dict[str, object]:
        eye = open_eye(data, patient, 0, size, method)
        visits = _all_visits(eye, method)
        atrophy = follow_atrophy(visits)
        return {
            "patient": patient,
            "registration": method,
            "verdict": atrophy.verdict[0],
            "healed": atrophy.onset.healed,
        }

    each = [(patient, method) for patient in (*EASY, HARD[0]) for method in BAD]
    return pd.DataFrame(joblib.Parallel(jobs)(joblib.delayed(one)(*a) for a in each))


def _all_visits(eye: DemoEye, method: str) -> RegisteredVisits:
    """Return all usable visits as if every verdict were accepted, so that only healing can tell."""
    study, usable = eye.study, _usable(eye.folder)
    accepted = Verdict(ACCEPTED, predicted_error=np.zeros(study.fixed.shape, np.float32))
    verdicts = [
        accepted if found and found.transform is not None and file in usable else None
        for found, file in zip(study.registrations[method], study.eye.used["file"], strict=True)
    ]
    return registered_visits(study, method, verdicts=verdicts)


def cost(data: Path, size: int) -> pd.DataFrame:
    """Measure time and memory of one eye on one core, and memory of 100 visits."""
    cv2.setNumThreads(1)
    rows = []
    for patient in (EASY[0], HARD[0]):
        eye = open_eye(data, patient, 0, size)
        start = time.perf_counter()
        atrophy = eye.follow()
        atrophy.table()
        atrophy.rates()
        for i in range(len(atrophy.visits.names)):
            atrophy.mask_of(i, atrophy.visits.shape)
        seconds = (time.perf_counter() - start) / len(atrophy.visits.names)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rows.append({"what": patient, "seconds per visit": seconds, "peak MB": peak})
    images, masks = atrophy.visits.images, atrophy.visits.masks
    many = np.arange(100) * len(images) // 100
    start = time.perf_counter()
    find_atrophy(images[many], masks[many])
    seconds = (time.perf_counter() - start) / 100
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows.append({"what": "100 visits, found", "seconds per visit": seconds, "peak MB": peak})
    return pd.DataFrame(rows)


def show(title: str, table: pd.DataFrame) -> None:
    """Print one table."""
    print(f"\n## {title}\n\n{table.round(4).to_string(index=False)}", flush=True)


def main() -> None:
    """Read the options, run the parts, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = ("found", "intervals", "spoiled", "bad", "cost")
    parser.add_argument("--parts", nargs="*", default=parts, choices=parts)
    parser.add_argument("--size", type=int, default=768)
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    parser.add_argument("--jobs", type=int, default=-1)
    parser.add_argument("--data", type=Path, help="folder of the demo eyes; default: temporary")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    pd.set_option("display.width", 250)
    with tempfile.TemporaryDirectory() as temporary:
        data = options.data or Path(temporary)
        run(options, data)


def run(options: argparse.Namespace, data: Path) -> None:
    """Run the chosen parts."""
    size, jobs = options.size, options.jobs
    if "cost" in options.parts:  # first, because the peak memory never falls
        show("Time and memory, one core", cost(data, size))
    if "found" in options.parts:
        show_found("Found", found(data, size, tuple(options.seeds), jobs))
    if "intervals" in options.parts:
        show_found("Intervals, seeds that set nothing", found(data, size, INTERVAL_SEEDS, jobs))
    if "spoiled" in options.parts:
        show("Spoiled photographs", spoiled(data, size, jobs))
    if "bad" in options.parts:
        show("Bad registration", badly(data, size, jobs))


def show_found(title: str, table: pd.DataFrame) -> None:
    """Print every eye, and the means over the seeds."""
    show(title, table)
    numbers = table.select_dtypes("number").columns.tolist()
    held = [name for name in table if "held" in name]
    whole = table.astype({name: float for name in held})
    means = whole.groupby(["patient", "hints"], sort=False)[[*dict.fromkeys(numbers + held)]].mean()
    show(f"{title}: means over the seeds", means.reset_index())


if __name__ == "__main__":
    main()
