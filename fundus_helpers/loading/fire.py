"""FIRE, the Fundus Image Registration dataset: its pairs, its landmarks, its protocol.

Hernandez-Matas et al., *FIRE: Fundus Image Registration Dataset*, Journal for Modeling in
Ophthalmology 2017, doi:10.35119/maio.v1i4.42. `data/README.md` explains where to get it.
"""

import datetime
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fundus_helpers.files import sha256_of
from fundus_helpers.loading.eye import LANDMARK_COLUMNS, Eye
from fundus_helpers.loading.light import field_of_view
from fundus_helpers.loading.photographs import read_photograph
from fundus_helpers.loading.values import resize, single_channel
from fundus_helpers.transforms.transform import rescale_points

CATEGORIES = {"S": "large overlap", "P": "small overlap", "A": "the retina changed"}
LARGEST_THRESHOLD = 25  # in pixels of the full-size image, as in every published result
WRONG_LANDMARKS = ("P37",)  # known errors of the dataset, left out in published results too
_POINTS_NAME = re.compile(r"control_points_(([SPA])\d+)_1_2\.txt")

# Area under the success curve (AUC) for each class, the mean of the three, the AUC over all pairs,
# and the source. NaN: not reported.
PUBLISHED = pd.DataFrame(
    [
        ("retinalysis-registration 1.0.0", 0.948, 0.894, 0.783, 0.875, 0.911, "its makers, PyPI"),
        ("RetinaRegNet", 0.952, 0.859, 0.806, 0.872, 0.902, "arXiv:2404.16017"),
        ("HybridRetina", 0.940, 0.659, 0.806, 0.802, np.nan, "arXiv:2409.01068"),
        ("SuperRetina", 0.950, 0.554, 0.783, 0.762, np.nan, "Liu et al., ECCV 2022"),
        ("GeoFormer", 0.925, 0.578, 0.754, 0.752, 0.782, "Liu and Li, ICCV 2023"),
        ("REMPE", 0.958, 0.542, 0.660, 0.720, 0.773, "Hernandez-Matas et al., JBHI 2020"),
    ],
    columns=["method", "S", "P", "A", "mAUC", "pooled", "source"],
).set_index("method")


@dataclass(frozen=True)
class FirePair:
    """Two photographs of one eye with their landmarks.

    Attributes
    ----------
    name : str
        For example ``S01``.
    category : {"S", "P", "A", ""}
        See `CATEGORIES`; empty for a pair that is not from FIRE.
    fixed_path, moving_path : Path
    fixed_points, moving_points : float ndarray, shape (n, 2)
        The same n landmarks (x, y), in pixels of the full-size images.
    """

    name: str
    category: str
    fixed_path: Path
    moving_path: Path
    fixed_points: np.ndarray
    moving_points: np.ndarray


def read_pairs(folder: Path | str, *, with_wrong: bool = False) -> list[FirePair]:
    """List the pairs in a FIRE folder, which may hold only a part of the dataset.

    Parameters
    ----------
    folder : path
        Holds ``Images/S01_1.jpg`` (fixed), ``Images/S01_2.jpg`` (moving) and
        ``Ground Truth/control_points_S01_1_2.txt`` (lines ``x1 y1 x2 y2``).
    with_wrong : bool
        List P37 too, whose landmarks are wrong. Some published results include it.

    Returns
    -------
    list of FirePair
        In the order of their names.

    Raises
    ------
    FileNotFoundError
        If the folder does not have these files, or an image of a pair is missing.
    ValueError
        If a file of landmarks has another content.
    """
    folder = Path(folder)
    truth = folder / "Ground Truth"
    if not truth.is_dir():
        raise FileNotFoundError(
            f"{folder}: no folder 'Ground Truth' in it; a FIRE folder holds 'Images' and "
            "'Ground Truth' (data/README.md explains where to get it)"
        )
    pairs = []
    for path in sorted(truth.iterdir()):
        found = _POINTS_NAME.fullmatch(path.name)
        if not found or (found[1] in WRONG_LANDMARKS and not with_wrong):
            continue
        name, category = found[1], found[2]
        images = [folder / "Images" / f"{name}_{side}.jpg" for side in (1, 2)]
        for image in images:
            if not image.is_file():
                raise FileNotFoundError(
                    f"Images/{image.name}: missing, but {path.name} has its landmarks; copy the "
                    "image, or delete the landmarks"
                )
        points = _read_points(path)
        pairs.append(FirePair(name, category, *images, points[:, :2], points[:, 2:]))
    if not pairs:
        raise FileNotFoundError(
            f"{truth}: no file like control_points_S01_1_2.txt in it (see data/README.md)"
        )
    return pairs


def _read_points(path: Path) -> np.ndarray:
    try:
        points = np.loadtxt(path, ndmin=2)
    except ValueError as error:
        message = f"{path.name}: cannot be read; lines of four numbers x1 y1 x2 y2 are needed"
        raise ValueError(message) from error
    if points.size == 0 or points.shape[1] != 4:
        raise ValueError(f"{path.name}: shape {points.shape}; lines of x1 y1 x2 y2 are needed")
    return points


def area_under_curve(errors: Iterable[float]) -> float:
    """Compute the area under the success curve, in [0, 1].

    This is the share of pairs whose error is smaller than a threshold, averaged over the thresholds
    1, 2, ... 25 px.

    Parameters
    ----------
    errors : iterable of float
        Mean landmark error of each pair, in pixels of the full-size image; inf or NaN if the
        registration failed.

    Examples
    --------
    >>> area_under_curve([0.5, float("inf")])
    0.5
    """
    errors = np.fromiter(errors, float)
    if errors.size == 0:
        return float("nan")
    return float(np.mean([np.mean(errors < i) for i in range(1, LARGEST_THRESHOLD + 1)]))


def summarise(results: pd.DataFrame) -> pd.Series:
    """Summarise the errors of one method on FIRE as in published tables.

    Parameters
    ----------
    results : DataFrame
        One row per pair with ``category`` (S, P or A) and ``landmark_error_px``.

    Returns
    -------
    Series
        ``S``, ``P``, ``A``: area under the success curve for each class; ``mAUC``: the mean of
        the three; ``pooled``: the area over all pairs; ``mean_landmark_error_px``: over the pairs
        with a result; ``failed``: number of pairs without a result; ``pairs``: number of pairs.
    """
    error = results["landmark_error_px"]
    curves = {
        category: area_under_curve(error[results["category"] == category])
        for category in CATEGORIES
    }
    return pd.Series(
        curves
        | {
            "mAUC": float(np.mean(list(curves.values()))),
            "pooled": area_under_curve(error),
            "mean_landmark_error_px": error[np.isfinite(error)].mean(),
            "failed": int((~np.isfinite(error)).sum()),
            "pairs": len(error),
        }
    )


def group_by_eye(pairs: Iterable[FirePair]) -> dict[str, int]:
    """Group pairs by eye: pairs that share a photograph show the same eye.

    Parameters
    ----------
    pairs : iterable of FirePair

    Returns
    -------
    dict
        From the name of each pair to the number of its eye. Photographs are compared by their
        content. In a part of FIRE, pairs that connect others may be missing; one eye may then
        get two numbers.
    """
    pairs = list(pairs)
    photographs: dict[str, int] = {}
    ends = [
        [photographs.setdefault(sha256_of(path), len(photographs)) for path in paths]
        for paths in ((pair.fixed_path, pair.moving_path) for pair in pairs)
    ]
    fixed, moving = np.array(ends).T
    shared = coo_array((np.ones(len(pairs)), (fixed, moving)), shape=(len(photographs),) * 2)
    eyes = connected_components(shared, directed=False)[1]
    return {pair.name: int(eyes[i]) for pair, i in zip(pairs, fixed, strict=True)}


def lay_out_eye(
    pairs: Iterable[FirePair], data: Path | str, patient: str, *, laterality: str = "L"
) -> Path:
    """Make a patient's folder with the photographs and landmarks of one eye of FIRE.

    FIRE stores a photograph once for every pair that it belongs to; copies with the same content
    become one visit. FIRE has no dates, so the visits get invented ones: the first of January of
    consecutive years.

    Parameters
    ----------
    pairs : iterable of FirePair
        All pairs of one eye, for example S07 to S42.
    data : path
        Folder with one folder per patient.
    patient : str
        Name of the folder to make. A second call changes nothing.
    laterality : {"L", "R"}
        Written into the names of the files; FIRE does not say which eye it is.

    Returns
    -------
    Path
        ``data/<patient>`` with ``fire_<date>_<L|R>.jpg`` and ``landmarks.csv``.
    """
    folder = Path(data) / patient
    folder.mkdir(parents=True, exist_ok=True)
    names: dict[str, str] = {}
    rows = []

    def visit(path: Path) -> str:
        content = sha256_of(path)
        if content not in names:
            date = datetime.date(2001 + len(names), 1, 1)
            names[content] = f"fire_{date}_{laterality}{path.suffix}"
            _place(path, folder / names[content])
        return names[content]

    for pair in pairs:
        fixed, moving = visit(pair.fixed_path), visit(pair.moving_path)
        points = np.hstack([pair.fixed_points, pair.moving_points])
        rows += [(fixed, moving, *point) for point in points.tolist()]
    pd.DataFrame(rows, columns=LANDMARK_COLUMNS).to_csv(folder / "landmarks.csv", index=False)
    return folder


def lay_out_cohort(pairs: Iterable[FirePair], data: Path | str) -> list[Path]:
    """Make a patient's folder for every eye of FIRE, named after its first pair: ``fire_S07``.

    Parameters
    ----------
    pairs : iterable of FirePair
        Grouped by `group_by_eye`.
    data : path
        Folder with one folder per patient.

    Returns
    -------
    list of Path
        The folders; see `lay_out_eye`.
    """
    pairs = list(pairs)
    eye_of, eyes = group_by_eye(pairs), {}
    for pair in pairs:
        eyes.setdefault(eye_of[pair.name], []).append(pair)
    return [lay_out_eye(each, data, f"fire_{each[0].name}") for each in eyes.values()]


def _place(source: Path, target: Path) -> None:
    """Link a file, or copy it where a link is not possible, unless it is there already."""
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:  # another disk
        shutil.copyfile(source, target)


def load_pair(
    pair: FirePair, size: int
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray], float]:
    """Read a pair in the form that all registration methods take.

    Parameters
    ----------
    pair : FirePair
    size : int
        Longer side of the images in pixels.

    Returns
    -------
    images, masks, points : lists of ndarray
        One for the fixed and one for the moving photograph; points (x, y) in pixels of `images`.
    factor : float
        Full-size pixels of the fixed photograph per pixel of its image.
    """
    photographs = [single_channel(read_photograph(p)) for p in (pair.fixed_path, pair.moving_path)]
    images = [resize(photograph, size) for photograph in photographs]
    factors = [max(photograph.shape) / size for photograph in photographs]
    known = zip((pair.fixed_points, pair.moving_points), factors, strict=True)
    points = [rescale_points(full, 1 / factor) for full, factor in known]
    return images, [field_of_view(image) for image in images], points, factors[0]


def pairs_of_eye(eye: Eye, count: int | None = None) -> list[FirePair]:
    """Make pairs from the landmarks of an eye, to measure methods on photographs other than FIRE.

    Parameters
    ----------
    eye : Eye
    count : int, optional
        Largest number of pairs, spread evenly over all. None: all pairs.

    Returns
    -------
    list of FirePair
        Without a category; empty if no landmarks are known.
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
