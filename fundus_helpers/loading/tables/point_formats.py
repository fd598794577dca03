r"""Points of other programs: 3D Slicer (``.fcsv``, ``.mrk.json``) and Fiji's BigWarp (``.csv``).

3D Slicer has one file per photograph. A photograph that is loaded into it is a slice with spacing
1, so its points are in pixels. The axes x and y of Slicer (RAS) point against those of an image
(LPS), and each file says which of them it uses. BigWarp has one file with the points of both.
"""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fundus_helpers.files import written_beside
from fundus_helpers.loading.eye_error import EyeError

POINT_FORMATS = (".fcsv", ".mrk.json", ".csv")  # 3D Slicer, 3D Slicer, Fiji's BigWarp
_SIGNS = {"RAS": (-1.0, -1.0), "0": (-1.0, -1.0), "LPS": (1.0, 1.0), "1": (1.0, 1.0)}
_IJK = {"IJK": (1.0, 1.0), "2": (1.0, 1.0)}
_MOST_BYTES = 20_000_000


def read_points(path: Path | str) -> tuple[list[str], np.ndarray, np.ndarray | None]:
    r"""Read points that another program has saved.

    Parameters
    ----------
    path : path
        A file of one of `POINT_FORMATS`.

    Returns
    -------
    names : list of str
        Of the points.
    points : float64 ndarray, shape (n, 2)
        (x, y) in pixels: of the photograph that the file is of; with BigWarp, of the moving one.
    others : float64 ndarray, shape (n, 2), or None
        With BigWarp, the same points in the fixed photograph. Otherwise None.

    Raises
    ------
    EyeError
        If the file cannot be read, is of another kind, or has a point without a number or twice.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_points(Path(folder, "a.fcsv"), [[1, 2], [3, 4]])
    ...     read_points(path)[1].tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """
    path = Path(path)
    kind = _kind(path)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise EyeError(f"{path.name}: is too large for a file of points")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise EyeError(f"{path.name}: cannot be read as text; export the points again") from error
    try:
        read = {".fcsv": _of_fcsv, ".mrk.json": _of_markups, ".csv": _of_bigwarp}[kind]
        names, points, others = read(text)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise EyeError(
            f"{path.name}: holds no points of {_PROGRAMS[kind]}; export them again ({error})"
        ) from error
    everything = [points] if others is None else [points, others]
    if not all(np.isfinite(each).all() for each in everything):
        raise EyeError(f"{path.name}: a point has no number; place it again in {_PROGRAMS[kind]}")
    rows = np.hstack(everything)
    if len(np.unique(rows, axis=0)) < len(rows):
        raise EyeError(f"{path.name}: the same point is there twice; delete one of them")
    return names, points, others


_PROGRAMS = {".fcsv": "3D Slicer", ".mrk.json": "3D Slicer", ".csv": "Fiji's BigWarp"}


def pair_points(fixed: Path | str, moving: Path | str | None = None) -> np.ndarray:
    """Read the points of two photographs: from two files of 3D Slicer, or one of BigWarp.

    Points with the same name belong together. If the names of both files differ, their order does.

    Parameters
    ----------
    fixed : path
        Points of the fixed photograph, or of both (BigWarp).
    moving : path, optional
        Points of the moving photograph.

    Returns
    -------
    float64 ndarray, shape (n, 4)
        ``fixed_x``, ``fixed_y``, ``moving_x``, ``moving_y`` in pixels.

    Raises
    ------
    EyeError
        See `read_points`; and if the files have different numbers of points, or the same names in
        another order than their numbers.
    """
    names, points, others = read_points(fixed)
    if moving is None:
        if others is None:
            raise EyeError(f"{Path(fixed).name}: is of one photograph; give the other file, too")
        return np.hstack([others, points])
    names_too, points_too, _ = read_points(moving)
    both = f"{Path(fixed).name} and {Path(moving).name}"
    if len(points) != len(points_too):
        raise EyeError(f"{both}: {len(points)} and {len(points_too)} points; give as many in both")
    unique = len({*names}) == len(names)
    if unique and names != names_too and {*names} == {*names_too}:
        order = [names_too.index(name) for name in names]
        points_too = points_too[order]
    elif names != names_too and unique and {*names} & {*names_too}:
        odd = next(a for a, b in zip(names, names_too, strict=True) if a != b)
        raise EyeError(f"{both}: only one of them has a point {odd!r}; name them alike in both")
    return np.hstack([points, points_too])


def _kind(path: Path) -> str:
    for kind in POINT_FORMATS:
        if path.name.lower().endswith(kind):
            return kind
    raise EyeError(f"{path.name}: ends with none of {', '.join(POINT_FORMATS)}")


def _of_fcsv(text: str) -> tuple[list[str], np.ndarray, None]:
    lines = text.splitlines()
    header = {
        key.strip(): value.strip()
        for key, _, value in (line[1:].partition("=") for line in lines if line.startswith("#"))
    }
    columns = [name.strip() for name in header["columns"].split(",")]
    signs = (_SIGNS | _IJK)[header.get("CoordinateSystem", "RAS")]
    rows = [*csv.reader(line for line in lines if line.strip() and not line.startswith("#"))]
    x, y = columns.index("x"), columns.index("y")
    label = columns.index("label") if "label" in columns else 0
    points = [[float(row[x]) * signs[0], float(row[y]) * signs[1]] for row in rows]
    return [row[label] for row in rows], np.reshape(points, (-1, 2)), None


def _of_markups(text: str) -> tuple[list[str], np.ndarray, None]:
    (markup,) = json.loads(text)["markups"]
    signs = _SIGNS[markup.get("coordinateSystem", "LPS")]
    placed = [
        point
        for point in markup["controlPoints"]
        if point.get("positionStatus", "defined") == "defined"
    ]
    points = [
        [float(p["position"][0]) * signs[0], float(p["position"][1]) * signs[1]] for p in placed
    ]
    return [str(p.get("label", "")) for p in placed], np.reshape(points, (-1, 2)), None


def _of_bigwarp(text: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    rows = [row for row in csv.reader(io.StringIO(text)) if any(row)]
    # name, active, then moving (x, y or x, y, z) and fixed (x, y or x, y, z)
    wide = {6: 2, 8: 3}[min(len(row) for row in rows)]
    active = [row for row in rows if row[1].strip().lower() == "true"]
    numbers = np.array([[float(cell) for cell in row[2 : 2 + 2 * wide]] for row in active])
    numbers = numbers.reshape(-1, 2 * wide)
    return [row[0] for row in active], numbers[:, :2], numbers[:, wide : wide + 2]


def write_points(
    path: Path | str, points: Sequence[Sequence[float]], others: np.ndarray | None = None
) -> Path:
    """Write points for another program.

    Parameters
    ----------
    path : path
        Its ending is one of `POINT_FORMATS`.
    points : array_like, shape (n, 2)
        (x, y) in pixels: of one photograph; with BigWarp, of the moving one.
    others : array_like, shape (n, 2), optional
        With BigWarp, the same points in the fixed photograph.

    Raises
    ------
    ValueError
        If BigWarp gets no `others`.
    EyeError
        For another ending.
    """
    path, points = Path(path), np.asarray(points, float).reshape(-1, 2)
    kind = _kind(path)
    if kind == ".csv":
        if others is None:
            raise ValueError("BigWarp needs the points of both photographs; give others, too")
        rows = [
            ",".join([f'"Pt-{i}"', '"true"', *(f'"{n:.3f}"' for n in (*m, *f))])
            for i, (m, f) in enumerate(zip(points, np.asarray(others, float), strict=True))
        ]
        text = "\n".join(rows)
    elif kind == ".fcsv":
        header = "# Markups fiducial file version = 4.11\n# CoordinateSystem = LPS\n"
        header += "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
        text = header + "\n".join(
            f"{i},{x:.3f},{y:.3f},0,0,0,0,1,1,1,0,P-{i},," for i, (x, y) in enumerate(points, 1)
        )
    else:
        text = json.dumps(_markups(points), indent=1)
    with written_beside(path) as part:
        part.write_text(text + "\n", encoding="utf-8")
    return path


def _markups(points: np.ndarray) -> dict[str, object]:
    placed = [
        {"id": str(i), "label": f"P-{i}", "position": [x, y, 0.0], "positionStatus": "defined"}
        for i, (x, y) in enumerate(points.tolist(), 1)
    ]
    markup = {
        "type": "Fiducial",
        "coordinateSystem": "LPS",
        "coordinateUnits": "px",
        "controlPoints": placed,
    }
    return {"markups": [markup]}
