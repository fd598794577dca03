"""A demo eye: twelve visits over six years with a known lesion and a known geometry.

Every visit i has a map G_i from its pixels to the retina (called anatomy here, in pixels of an
undistorted frame): a projective map plus nine smooth bumps. Pixel x of the photograph has the
colour of the retina at G_i(x). The exact transform from visit f (fixed) to visit m (moving) is
therefore G_f followed by the inverse of G_m. Points are (x, y) in pixels with pixel centres at
integers; arrays are [row, column].
"""

import json
import tempfile
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk
from skimage.io import imsave

from fundus_helpers.loading._painted_retina import (
    FIELD_MM,
    FRAME_CENTRE,
    FRAME_WIDTH,
    Retina,
    paint_retina,
)
from fundus_helpers.loading.tables.exclusions import EXCLUDED_FILE
from fundus_helpers.loading.tables.landmarks import LANDMARK_COLUMNS
from fundus_helpers.loading.visits import DEMO_PATIENTS as PATIENTS
from fundus_helpers.transforms.fields import pixel_grid
from fundus_helpers.transforms.transform import from_displacement

VERSION = 3

DATES = (
    "2016-03-14 2016-08-29 2017-03-06 2017-09-18 2018-02-26 2018-07-12 2018-10-15 "
    "2019-04-08 2019-11-21 2020-02-03 2020-07-20 2021-01-11 2021-08-16 2022-03-21"
).split()
BLINK = "hopeless: blink, no vessel to be seen"
OTHER_CAMERA = "another camera, three quarters of the size"  # the reason in excluded.csv
WHY_NOT = {"2018-07-12": BLINK, "2020-02-03": OTHER_CAMERA}  # the other visits are usable

AREAS_MM2 = (4.0, 12.0)  # of the lesion, at the first and at the last visit
LANDMARKS_PER_PAIR = 20
BUMP_NODES, BUMP_WIDTH = np.array([-0.7, 0.0, 0.7]), 0.45  # in half frames from the centre


def make_demo_eye(
    data: Path | str, patient: str = "demo_colour", *, size: int = 768, seed: int = 0
) -> Path:
    """Write a demo eye as ordinary files, unless it already exists.

    The photographs are `<patient>_<YYYY-MM-DD>_L.png` (8-bit, RGB or grey): twelve usable ones, one
    spoilt by a blink and one of another size, which `excluded.csv` leaves out. The folder also
    holds `truth.json`, `landmarks.csv` (20 points for every pair of usable visits) and
    `truth/lesion_<file stem>.png` (0 or 255).

    Parameters
    ----------
    data : path
        Folder with one folder per patient; it is made if it is missing.
    patient : {"demo_colour", "demo_autofluorescence"}
        Name of the patient's folder, which also chooses the modality.
    size : int
        Width and height of the photographs in pixels. They show 8.7 mm of the retina at any size.
    seed : int
        The same settings give identical files.

    Returns
    -------
    Path
        The patient's folder, `data/<patient>`.

    Raises
    ------
    ValueError
        If the patient is unknown, or the folder exists with other settings.

    Examples
    --------
    >>> import tempfile
    >>> import fundus_helpers as fh
    >>> with tempfile.TemporaryDirectory() as data:
    ...     folder = fh.make_demo_eye(data, size=64)
    ...     len(list(folder.glob("*.png")))
    14
    """
    if patient not in PATIENTS:
        raise ValueError(f"no demo patient {patient!r}; give one of {', '.join(PATIENTS)}")
    wanted = {"version": VERSION, "look": PATIENTS[patient], "size": size, "seed": seed}
    folder = Path(data) / patient
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Renamed when complete, so that a killed program leaves no half eye, and so that two
        # processes do not disturb each other.
        with tempfile.TemporaryDirectory(prefix=".making_", dir=folder.parent) as temporary:
            made = _write_eye(Path(temporary) / patient, wanted)
            try:
                made.rename(folder)
            except OSError:
                if not folder.exists():  # otherwise another process was first
                    raise
    truth = read_truth(folder) if (folder / "truth.json").is_file() else {}
    if (found := {key: truth.get(key) for key in wanted}) != wanted:
        raise ValueError(f"{folder} holds {found}, not {wanted}: delete it to make it again")
    return folder


def read_truth(folder: Path | str) -> dict[str, Any]:
    """Read `truth.json` from the folder of a demo patient.

    Parameters
    ----------
    folder : path
        The patient's folder.

    Returns
    -------
    dict
        `version`, `look` (the modality), `size` (pixels), `seed`, `mm_per_pixel` (of the anatomy)
        and `visits`: a list of dictionaries with `file`, `date`, `usable`, `why_not`,
        `lesion_area_mm2` (in the anatomy) and `geometry` (a `homography` (3, 3) and `bump_vectors`
        (node in y, node in x, (x, y)), in half frames from the centre of the frame).

    Raises
    ------
    FileNotFoundError
        If the folder has no `truth.json`.
    """
    path = Path(folder) / "truth.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"no {path}: the truth is known for demo eyes only; `make demo` makes them"
        )
    return json.loads(path.read_text(encoding="utf-8"))


def true_points(truth: dict[str, Any], fixed: str, moving: str, points: np.ndarray) -> np.ndarray:
    """Map points exactly from one visit to another.

    Parameters
    ----------
    truth : dict
        As read by `read_truth`.
    fixed, moving : str
        File names of the visits.
    points : ndarray, (n, 2)
        (x, y) in pixels of the fixed photograph.

    Returns
    -------
    ndarray, (n, 2), float64
        (x, y) in pixels of the moving photograph.

    Raises
    ------
    ValueError
        If a file is not a usable visit of this eye.
    """
    geometries = {v["file"]: v["geometry"] for v in truth["visits"] if v["usable"]}
    if not {fixed, moving} <= geometries.keys():
        raise ValueError(
            f"{fixed!r}, {moving!r}: not both usable; the usable visits are {', '.join(geometries)}"
        )
    anatomy = _to_anatomy(geometries[fixed], truth["size"], points)
    return _from_anatomy(geometries[moving], truth["size"], anatomy)


def true_transform(truth: dict[str, Any], fixed: str, moving: str) -> sitk.Transform:
    """Return the exact transform from one visit to another as a displacement field.

    The field is linear between the pixels of the fixed photograph and zero outside of it.

    Parameters
    ----------
    truth, fixed, moving
        See `true_points`.
    """
    size = truth["size"]
    grid = _pixel_grid(size)
    field = (true_points(truth, fixed, moving, grid) - grid).reshape(size, size, 2)
    return from_displacement(field)


def _pixel_grid(size: int) -> np.ndarray:
    """Return the (x, y) of all pixels, row after row (size ** 2, 2)."""
    return pixel_grid((size, size)).reshape(-1, 2)


def _to_anatomy(geometry: dict[str, Any], size: int, points: np.ndarray) -> np.ndarray:
    """Map points (n, 2) of one visit to the retina: G_i."""
    normal = (np.asarray(points, dtype=np.float64) - (size - 1) / 2) / (size / 2)
    mapped = _project(geometry["homography"], normal) + _bumps(geometry["bump_vectors"], normal)
    return mapped * (size / 2) + (size - 1) / 2


def _from_anatomy(geometry: dict[str, Any], size: int, points: np.ndarray) -> np.ndarray:
    """Map points (n, 2) of the retina to one visit: the inverse of G_i."""
    target = normal = (np.asarray(points, dtype=np.float64) - (size - 1) / 2) / (size / 2)
    inverse = np.linalg.inv(geometry["homography"])
    for _ in range(8):  # the bumps are shallow: each round reduces the error at least tenfold
        normal = _project(inverse, target - _bumps(geometry["bump_vectors"], normal))
    return normal * (size / 2) + (size - 1) / 2


def _project(homography: Any, points: np.ndarray) -> np.ndarray:
    """Apply a homography (3, 3) to points (n, 2)."""
    mapped = points @ np.asarray(homography)[:, :2].T + np.asarray(homography)[:, 2]
    return mapped[:, :2] / mapped[:, 2:]


def _bumps(vectors: Any, points: np.ndarray) -> np.ndarray:
    """Sum the displacements of the Gaussian bumps (node in y, node in x, (x, y)) at points."""
    near_x, near_y = np.exp(-((points.T[..., np.newaxis] - BUMP_NODES) ** 2) / 2 / BUMP_WIDTH**2)
    near = near_y[:, :, np.newaxis] * near_x[:, np.newaxis, :]
    return near.reshape(-1, near[0].size) @ np.reshape(vectors, (-1, 2))


def _draw_geometry(rng: np.random.Generator) -> dict[str, Any]:
    """Draw the random geometry of one visit (see `read_truth`); pixels are those of a 768 frame."""
    angle, direction = np.radians(rng.uniform(-4, 4)), rng.uniform(0, 2 * np.pi)
    scale, shift, height = rng.uniform((0.97, 8, 1.5), (1.03, 40, 3)) / (1, 384, 384)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    shifted = shift * np.array([np.cos(direction), np.sin(direction)])
    last_row = np.append(rng.uniform(-0.01, 0.01, 2), 1)
    vectors = rng.standard_normal((3, 3, 2))
    highest = np.linalg.norm(_bumps(vectors, _pixel_grid(41) / 20 - 1), axis=1).max()
    homography = np.vstack([np.column_stack([[[cos, -sin], [sin, cos]], shifted]), last_row])
    vectors *= height / highest
    return {"homography": homography.tolist(), "bump_vectors": vectors.tolist()}


def _to_source(look: str, size: int) -> tuple[float, np.ndarray]:
    """Return the factor and the offset (2,) from anatomy to source pixels."""
    factor = FRAME_WIDTH / size
    return factor, FRAME_CENTRE[look] - factor * (size - 1) / 2


def _landmarks(retina: Retina, visits: list[dict[str, Any]], size: int) -> np.ndarray:
    """Choose points of the anatomy (20, 2) on vessels, far apart and visible at every visit."""
    factor, offset = _to_source(retina.look, size)
    points = (retina.landmark_candidates(AREAS_MM2[1]) - offset) / factor
    norm = 2 if retina.look == "colour" else np.inf  # the field of view is a circle or a square
    for visit in visits:
        from_middle = _from_anatomy(visit["geometry"], size, points) - (size - 1) / 2
        points = points[np.linalg.norm(from_middle, norm, axis=1) < 0.92 * size / 2]
    spacing, chosen = 0.3 * size, []
    while len(chosen) < LANDMARKS_PER_PAIR:  # the widest spacing that leaves enough points
        spacing, chosen, left = 0.96 * spacing, [], points
        while len(left) and len(chosen) < LANDMARKS_PER_PAIR:
            chosen.append(left[0])
            left = left[np.linalg.norm(left - left[0], axis=1) > spacing]
    return np.array(chosen)


def _write_eye(folder: Path, settings: dict[str, Any]) -> Path:
    """Write all files of one demo eye into a new folder."""
    (folder / "truth").mkdir(parents=True)
    look, size, seed = settings["look"], settings["size"], settings["seed"]
    retina = paint_retina(look, np.random.default_rng([seed, len(DATES)]))
    days = np.array(DATES, dtype="datetime64[D]").astype(int)
    # The square root of the area grows linearly (doi:10.1186/s12874-021-01356-0).
    areas = np.interp(days, days[[0, -1]], np.sqrt(AREAS_MM2)) ** 2
    splines = {pixels: retina.splines(pixels) for pixels in (size, size * 3 // 4)}
    visits = []
    for number, (date, area) in enumerate(zip(DATES, areas.tolist(), strict=True)):
        rng, why_not = np.random.default_rng([seed, number]), WHY_NOT.get(date, "")
        pixels = size * 3 // 4 if why_not == OTHER_CAMERA else size
        geometry, file = _draw_geometry(rng), f"{folder.name}_{date}_L.png"
        factor, offset = _to_source(look, pixels)
        source = factor * _to_anatomy(geometry, pixels, _pixel_grid(pixels)) + offset
        threshold, blink = retina.threshold_of_area(area), why_not == BLINK
        photograph, lesion = splines[pixels].photograph(source, threshold, rng, blink)
        imsave(folder / file, photograph, check_contrast=False)
        if not why_not:
            imsave(folder / "truth" / f"lesion_{file}", lesion, check_contrast=False)
        visit = {"file": file, "date": date, "usable": not why_not, "why_not": why_not}
        visits.append({**visit, "lesion_area_mm2": area, "geometry": geometry})
    truth = settings | {"mm_per_pixel": FIELD_MM / size, "visits": visits}
    (folder / "truth.json").write_text(json.dumps(truth, indent=1), encoding="utf-8")
    excluded = [(v["file"], v["why_not"]) for v in visits if v["why_not"] == OTHER_CAMERA]
    table = pd.DataFrame(excluded, columns=["file", "reason"])
    table.to_csv(folder / EXCLUDED_FILE, index=False)
    usable = [visit for visit in visits if visit["usable"]]
    _write_landmarks(folder / "landmarks.csv", usable, size, _landmarks(retina, usable, size))
    return folder


def _write_landmarks(path: Path, visits: list[dict[str, Any]], size: int, points: Any) -> None:
    """Write the coordinates of points of the anatomy in every pair of visits, in order of date."""
    seen = {v["file"]: _from_anatomy(v["geometry"], size, points) for v in visits}
    rows = [
        (fixed, moving, *fixed_point, *moving_point)
        for fixed, moving in combinations(seen, 2)
        for fixed_point, moving_point in zip(seen[fixed], seen[moving], strict=True)
    ]
    pd.DataFrame(rows, columns=LANDMARK_COLUMNS).to_csv(path, index=False, float_format="%.3f")
