"""A demo eye: twelve visits over six years with a known lesion and a known geometry.

There are two kinds of eyes. `demo_colour` and `demo_autofluorescence` have one large lesion that is
easy to see from the first visit on. `demo_atrophy` (autofluorescence) and `demo_atrophy_colour`
have none at the first visit; ten to twenty foci appear later, as faint as in real photographs, and
the camera is replaced in the middle.

Every visit i has a map G_i from its pixels to the retina (called anatomy here, in pixels of an
undistorted frame): a projective map plus nine smooth bumps. Pixel x of the photograph has the
colour of the retina at G_i(x). The exact transform from visit f (fixed) to visit m (moving) is
therefore G_f followed by the inverse of G_m. Points are (x, y) in pixels with pixel centres at
integers; arrays are [row, column].
"""

import json
import tempfile
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk
import skimage.data
import tifffile
from skimage.io import imsave

from fundus_helpers.loading.painted.atrophy import (
    AtrophicRetina,
    draw_spread,
    onset_at,
    paint_atrophic_retina,
)
from fundus_helpers.loading.painted.geometry import (
    draw_geometry,
    frame_points,
    from_anatomy,
    source_points,
    to_anatomy,
    to_source,
)
from fundus_helpers.loading.painted.retina import (
    FIELD_MM,
    FOVEA,
    Retina,
    onset_of_level,
    paint_level,
    paint_retina,
    sample,
    spline,
)
from fundus_helpers.loading.tables.exclusions import EXCLUDED_FILE
from fundus_helpers.loading.tables.landmarks import LANDMARK_COLUMNS
from fundus_helpers.loading.visits import DEMO_PATIENTS as PATIENTS
from fundus_helpers.transforms.transform import from_displacement

VERSION = 4

DATES = (
    "2016-03-14 2016-08-29 2017-03-06 2017-09-18 2018-02-26 2018-07-12 2018-10-15 "
    "2019-04-08 2019-11-21 2020-02-03 2020-07-20 2021-01-11 2021-08-16 2022-03-21"
).split()
BLINK = "hopeless: blink, no vessel to be seen"
OTHER_CAMERA = "another camera, three quarters of the size"  # the reason in excluded.csv
WHY_NOT = {"2018-07-12": BLINK, "2020-02-03": OTHER_CAMERA}  # the other visits are usable

ATROPHIC = ("demo_atrophy", "demo_atrophy_colour")  # the patients with hard atrophy
CAMERA_CHANGES = slice(4, 8)  # the usable visits one of which is the first of another camera
LANDMARKS_PER_PAIR = 20


def make_demo_eye(
    data: Path | str, patient: str = "demo_colour", *, size: int = 768, seed: int = 0
) -> Path:
    """Write a demo eye as ordinary files, unless it already exists.

    The photographs are `<patient>_<YYYY-MM-DD>_L.png` (8-bit, RGB or grey): twelve usable ones, one
    spoilt by a blink and one of another size, which `excluded.csv` leaves out. The folder also
    holds `truth.json`, `landmarks.csv` (20 points for every pair of usable visits) and
    `truth/lesion_<file stem>.png` (0 or 255). `demo_atrophy` and `demo_atrophy_colour` also have
    `truth/onset_<file stem>.tif`: see `true_onset`.

    Parameters
    ----------
    data : path
        Folder with one folder per patient; it is made if it is missing.
    patient : {"demo_colour", "demo_autofluorescence", "demo_atrophy", "demo_atrophy_colour"}
        Name of the patient's folder, which also chooses the modality and the lesion.
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
    wanted = {"version": VERSION, "patient": patient, "look": PATIENTS[patient]}
    wanted |= {"size": size, "seed": seed}
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
        `version`, `patient`, `look` (the modality), `size` (pixels), `seed`, `mm_per_pixel` (of
        the anatomy), `fovea` (x, y in pixels of the anatomy) and `visits`: a list of dictionaries
        with `file`, `date`, `usable`, `why_not`, `lesion_area_mm2` (in the anatomy) and `geometry`
        (a `homography` (3, 3) and `bump_vectors` (node in y, node in x, (x, y)), in half frames
        from the centre of the frame). Eyes with hard atrophy also have `foci` (x and y in pixels of
        the anatomy, and the years at which each appears) and `new_camera` (the date from which
        there is another camera).

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
    there, here = _geometry(truth, moving), _geometry(truth, fixed)
    return from_anatomy(there, truth["size"], to_anatomy(here, truth["size"], points))


def true_transform(truth: dict[str, Any], fixed: str, moving: str) -> sitk.Transform:
    """Return the exact transform from one visit to another as a displacement field.

    The field is linear between the pixels of the fixed photograph and zero outside of it.

    Parameters
    ----------
    truth, fixed, moving
        See `true_points`.
    """
    size = truth["size"]
    grid = frame_points(size)
    field = (true_points(truth, fixed, moving, grid) - grid).reshape(size, size, 2)
    return from_displacement(field)


def true_fovea(truth: dict[str, Any], file: str) -> np.ndarray:
    """Return where a visit shows the fovea.

    Parameters
    ----------
    truth : dict
        As read by `read_truth`.
    file : str
        File name of the visit.

    Returns
    -------
    ndarray, (2,), float64
        (x, y) in pixels of the photograph.

    Raises
    ------
    ValueError
        If the file is not a usable visit of this eye.
    """
    fovea = np.array([truth["fovea"]])
    return from_anatomy(_geometry(truth, file), truth["size"], fovea)[0]


def true_onset(truth: dict[str, Any], file: str) -> np.ndarray:
    """Return when each point of the retina becomes atrophic, on the grid of one visit.

    The lesion at the time of a visit is exactly where the onset is at most that time. The onset is
    painted once more; the first visit of an eye takes about a second, the others less.

    Parameters
    ----------
    truth : dict
        As read by `read_truth`.
    file : str
        File name of the visit.

    Returns
    -------
    ndarray, (size, size), float32
        Years (of 365.25 days) since the first visit: 0 where there is atrophy already at the first
        visit, infinite where there is none at the last one.

    Raises
    ------
    ValueError
        If the file is not a usable visit of this eye.
    """
    size, patient = truth["size"], truth["patient"]
    source = source_points(_geometry(truth, file), patient, size)
    return _onset(patient, truth["seed"], source).reshape(size, size)


def _onset(patient: str, seed: int, source: np.ndarray) -> np.ndarray:
    """Return the onset in years (n,) at points (n, 2) of the source."""
    level = _painted_level(patient, seed)
    if patient in ATROPHIC:
        return onset_at(level, source, _years())
    days = _days()
    between = np.union1d(days, np.linspace(days[0], days[-1], 400))
    values, years = onset_of_level(level, between)
    seen = sample(spline(level), source.T[::-1])
    return np.where(seen > values[0], np.interp(seen, values, years), np.inf).astype(np.float32)


@lru_cache(maxsize=2)
def _painted_level(patient: str, seed: int) -> np.ndarray:
    """Return the level of the lesion on the grid of the source (see `Retina`)."""
    shape, rng = skimage.data.retina().shape[:2], _painter(seed)
    return draw_spread(rng).level(shape) if patient in ATROPHIC else paint_level(shape, rng)


def _painter(seed: int) -> np.random.Generator:
    """Return what draws the retina, and before all else the level of its lesion."""
    return np.random.default_rng([seed, len(DATES)])


def _days() -> np.ndarray:
    """Return the days of all visits (int)."""
    return np.array(DATES, dtype="datetime64[D]").astype(int)


def _years() -> float:
    """Return the years from the first to the last visit."""
    days = _days()
    return float(days[-1] - days[0]) / 365.25


def _geometry(truth: dict[str, Any], file: str) -> dict[str, Any]:
    """Return the geometry of a usable visit."""
    geometries = {v["file"]: v["geometry"] for v in truth["visits"] if v["usable"]}
    if file not in geometries:
        raise ValueError(f"{file!r} is not usable; the usable visits are {', '.join(geometries)}")
    return geometries[file]


def _landmarks(retina: Retina, patient: str, visits: list[dict[str, Any]], size: int) -> np.ndarray:
    """Choose points of the anatomy (20, 2) on vessels, far apart and visible at every visit."""
    factor, offset = to_source(patient, size)
    largest = visits[-1]["lesion_area_mm2"]
    points = (retina.landmark_candidates(largest) - offset) / factor
    norm = 2 if retina.look == "colour" else np.inf  # the field of view is a circle or a square
    for visit in visits:
        from_middle = from_anatomy(visit["geometry"], size, points) - (size - 1) / 2
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
    patient, size, days = settings["patient"], settings["size"], _days()
    retina = _paint(settings)
    splines = {pixels: retina.splines(pixels) for pixels in (size, size * 3 // 4)}
    visits = []
    moments = zip(DATES, retina.growth(days), strict=True)
    for number, (date, (threshold, area)) in enumerate(moments):
        rng, why_not = np.random.default_rng([settings["seed"], number]), WHY_NOT.get(date, "")
        pixels = size * 3 // 4 if why_not == OTHER_CAMERA else size
        geometry = draw_geometry(rng, retina.magnification(threshold))
        source, file = source_points(geometry, patient, pixels), f"{patient}_{date}_L.png"
        blink = why_not == BLINK
        photograph, lesion = splines[pixels].photograph(source, threshold, rng, blink)
        imsave(folder / file, photograph, check_contrast=False)
        if not why_not:
            imsave(folder / "truth" / f"lesion_{file}", lesion, check_contrast=False)
            if isinstance(retina, AtrophicRetina):
                onset = onset_at(retina.level, source, _years()).reshape(size, size)
                path = folder / "truth" / f"onset_{Path(file).stem}.tif"
                tifffile.imwrite(path, onset, compression="zlib")
        visit = {"file": file, "date": date, "usable": not why_not, "why_not": why_not}
        visits.append({**visit, "lesion_area_mm2": area, "geometry": geometry})
    excluded = [(v["file"], v["why_not"]) for v in visits if v["why_not"] == OTHER_CAMERA]
    table = pd.DataFrame(excluded, columns=["file", "reason"])
    table.to_csv(folder / EXCLUDED_FILE, index=False)
    truth = settings | _truth(retina, patient, size) | {"visits": visits}
    (folder / "truth.json").write_text(json.dumps(truth, indent=1), encoding="utf-8")
    usable = [visit for visit in visits if visit["usable"]]
    points = _landmarks(retina, patient, usable, size)
    _write_landmarks(folder / "landmarks.csv", usable, size, points)
    return folder


def _paint(settings: dict[str, Any]) -> Retina:
    """Paint the retina of one demo eye."""
    look, rng = settings["look"], _painter(settings["seed"])
    if settings["patient"] not in ATROPHIC:
        return paint_retina(look, rng)
    changes = [date for date in DATES if date not in WHY_NOT][CAMERA_CHANGES]
    days = np.array(changes, dtype="datetime64[D]").astype(int) - _days()[0]
    return paint_atrophic_retina(look, rng, days / 365.25)


def _truth(retina: Retina, patient: str, size: int) -> dict[str, Any]:
    """Return what `truth.json` says of the whole eye."""
    factor, offset = to_source(patient, size)
    known = {"mm_per_pixel": FIELD_MM / size, "fovea": ((FOVEA - offset) / factor).tolist()}
    if isinstance(retina, AtrophicRetina):
        foci = [
            {"point": ((point - offset) / factor).tolist(), "years": years}
            for point, years in retina.spread.places()
        ]
        days = round(365.25 * retina.new_camera)
        known |= {"foci": foci, "new_camera": str(np.datetime64(DATES[0]) + days)}
    return known


def _write_landmarks(path: Path, visits: list[dict[str, Any]], size: int, points: Any) -> None:
    """Write the coordinates of points of the anatomy in every pair of visits, in order of date."""
    seen = {v["file"]: from_anatomy(v["geometry"], size, points) for v in visits}
    rows = [
        (fixed, moving, *fixed_point, *moving_point)
        for fixed, moving in combinations(seen, 2)
        for fixed_point, moving_point in zip(seen[fixed], seen[moving], strict=True)
    ]
    pd.DataFrame(rows, columns=LANDMARK_COLUMNS).to_csv(path, index=False, float_format="%.3f")
