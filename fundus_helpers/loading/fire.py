"""FIRE, the Fundus Image Registration dataset: its pairs, its landmarks, its protocol.

Hernandez-Matas et al., *FIRE: Fundus Image Registration Dataset*, Journal for Modeling in
Ophthalmology 2017, doi:10.35119/maio.v1i4.42. `data/README.md` says where to get it.
"""

import datetime
import hashlib
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

from fundus_helpers.loading.eye import LANDMARK_COLUMNS, Eye
from fundus_helpers.loading.light import field_of_view
from fundus_helpers.loading.photographs import read_photograph, resize, single_channel
from fundus_helpers.transforms.transform import rescale_points

CATEGORIES = {"S": "large overlap", "P": "small overlap", "A": "the retina changed"}


LARGEST_THRESHOLD = 25  # pixels of the full-size image, as every published result has it


WRONG_LANDMARKS = ("P37",)  # known to be wrong in the dataset, left out by everyone


_POINTS_NAME = re.compile(r"control_points_(([SPA])\d+)_1_2\.txt")


# AUC of each class, their mean, over all pairs, and where it was reported (NaN: it was not).
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
    """Two photographs of one eye with landmarks, in pixels (x, y) of the full-size images."""

    name: str
    category: str
    fixed_path: Path
    moving_path: Path
    fixed_points: np.ndarray
    moving_points: np.ndarray


def read_pairs(folder: Path | str) -> list[FirePair]:
    """List the pairs of a FIRE folder, all of the dataset or a part, in the order of their names.

    Parameters
    ----------
    folder : path
        With ``Images/S01_1.jpg`` (fixed), ``Images/S01_2.jpg`` (moving) and
        ``Ground Truth/control_points_S01_1_2.txt`` (lines ``x1 y1 x2 y2``).

    Returns
    -------
    list of FirePair
        Without P37, whose landmarks are wrong.

    Raises
    ------
    FileNotFoundError
        If the folder is not laid out so, or an image of a pair is missing.
    """
    folder = Path(folder)
    truth = folder / "Ground Truth"
    if not truth.is_dir():
        raise FileNotFoundError(
            f"{folder}: no folder 'Ground Truth' in it; a FIRE folder holds 'Images' and "
            "'Ground Truth' (data/README.md says where to get it)"
        )
    pairs = []
    for path in sorted(truth.iterdir()):
        found = _POINTS_NAME.fullmatch(path.name)
        if not found or found[1] in WRONG_LANDMARKS:
            continue
        name, category = found[1], found[2]
        images = [folder / "Images" / f"{name}_{side}.jpg" for side in (1, 2)]
        for image in images:
            if not image.is_file():
                raise FileNotFoundError(f"Images/{image.name}: missing, but has landmarks")
        points = _read_points(path)
        pairs.append(FirePair(name, category, *images, points[:, :2], points[:, 2:]))
    if not pairs:
        raise FileNotFoundError(f"{truth}: no file like control_points_S01_1_2.txt in it")
    return pairs


def _read_points(path: Path) -> np.ndarray:
    try:
        points = np.loadtxt(path, ndmin=2)
    except ValueError as error:
        raise ValueError(f"{path.name}: not lines of four numbers x1 y1 x2 y2") from error
    if points.size == 0 or points.shape[1] != 4:
        raise ValueError(f"{path.name}: shape {points.shape}; lines of x1 y1 x2 y2 are needed")
    return points


def area_under_curve(errors: Iterable[float]) -> float:
    """Area under the success curve, in [0, 1].

    The mean, over the thresholds 1, 2, ... 25 px, of the share of pairs whose error is smaller.

    Parameters
    ----------
    errors : iterable of float
        Mean landmark error of each pair in pixels of the full-size image; inf or NaN: no result.

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
    """Condense the errors of one method on FIRE as the published tables do.

    Parameters
    ----------
    results : DataFrame
        One row a pair with ``category`` (S, P or A) and ``error_px``.

    Returns
    -------
    Series
        ``S``, ``P``, ``A``: area under the success curve of the class; ``mAUC``: their mean;
        ``pooled``: over all pairs; ``mean_error_px``: over the pairs with a result; ``failed``:
        pairs without a result; ``pairs``.
    """
    error = results["error_px"]
    curves = {
        category: area_under_curve(error[results["category"] == category])
        for category in CATEGORIES
    }
    return pd.Series(
        curves
        | {
            "mAUC": float(np.mean(list(curves.values()))),
            "pooled": area_under_curve(error),
            "mean_error_px": error[np.isfinite(error)].mean(),
            "failed": int((~np.isfinite(error)).sum()),
            "pairs": len(error),
        }
    )


def group_by_eye(pairs: Iterable[FirePair]) -> dict[str, int]:
    """Tell which pairs show the same eye, as far as shared photographs tell.

    Parameters
    ----------
    pairs : iterable of FirePair

    Returns
    -------
    dict
        The name of each pair, and a number for its eye. Pairs that share a photograph, told by
        its content, are of one eye. In a part of FIRE the pairs that join two others may be
        missing, and one eye count as two.
    """
    pairs = list(pairs)
    photographs: dict[str, int] = {}
    ends = [
        [photographs.setdefault(_content(path), len(photographs)) for path in paths]
        for paths in ((pair.fixed_path, pair.moving_path) for pair in pairs)
    ]
    fixed, moving = np.array(ends).T
    shared = coo_array((np.ones(len(pairs)), (fixed, moving)), shape=(len(photographs),) * 2)
    eyes = connected_components(shared, directed=False)[1]
    return {pair.name: int(eyes[i]) for pair, i in zip(pairs, fixed, strict=True)}


def _content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lay_out_eye(
    pairs: Iterable[FirePair], data: Path | str, patient: str, *, laterality: str = "L"
) -> Path:
    """Lay out the photographs of one eye of FIRE as a patient's folder, with their landmarks.

    FIRE stores a photograph once for every pair it is in; here the copies, told by their content,
    become one visit. FIRE gives no dates: the visits get the first of January of made-up years.

    Parameters
    ----------
    pairs : iterable of FirePair
        All of one eye, for example those named S07 to S42.
    data : path
        The folder of patients.
    patient : str
        Name of the folder to make in it; running again changes nothing.
    laterality : {"L", "R"}

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
        content = _content(path)
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
    """Lay out every eye of FIRE as a patient's folder, named after its first pair: ``fire_S07``.

    Eyes are told apart by `group_by_eye`, laid out by `lay_out_eye`: see there.
    """
    pairs = list(pairs)
    eye_of, eyes = group_by_eye(pairs), {}
    for pair in pairs:
        eyes.setdefault(eye_of[pair.name], []).append(pair)
    return [lay_out_eye(each, data, f"fire_{each[0].name}") for each in eyes.values()]


def _place(source: Path, target: Path) -> None:
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:  # another disk
        shutil.copyfile(source, target)


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
    photographs = [single_channel(read_photograph(p)) for p in (pair.fixed_path, pair.moving_path)]
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
