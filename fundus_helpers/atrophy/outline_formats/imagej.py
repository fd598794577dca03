"""Regions of interest (ROI) of ImageJ and Fiji: one as ``.roi``, several as ``.zip``."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from roifile import ROI_OPTIONS, ROI_SUBTYPE, ROI_TYPE, ImagejRoi

from fundus_helpers.atrophy.outline_formats.canvas import Canvas, clock_points
from fundus_helpers.atrophy.outline_formats.pieces import Piece, find_pieces
from fundus_helpers.loading.eye_error import EyeError

_MOST_BYTES = 100_000_000  # of all regions, unpacked
_BEGINS = b"Iout"
_POLYGONS = (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED)
_PATH = {0: 2, 1: 2, 2: 4, 3: 6, 4: 0}  # commands of a path, and how many numbers follow
_CURVE = 64  # points on a curved part of a path


def read_imagej(path: Path, size: tuple[int, int]) -> tuple[np.ndarray, list[str]]:
    """Read the regions of a ``.roi`` file or of a ``.zip`` file, as one mask.

    Polygons, freehand and traced outlines, rectangles, ovals, and composites with holes enclose an
    area; lines, points and texts do not. A ``.zip`` file that is empty says: no atrophy.

    Parameters
    ----------
    path : Path
    size : (width, height)
        Of the photograph, in pixels.

    Returns
    -------
    mask : ndarray of bool, shape (height, width)
    notes : list of str
        What a person should know.

    Raises
    ------
    EyeError
        If a region cannot be used; without the name of the file.
    """
    canvas, areas, others = Canvas(size), 0, 0
    for data in _regions(path):
        if not data.startswith(_BEGINS):
            raise EyeError("does not begin like a region of ImageJ; save it with the ROI Manager")
        region = ImagejRoi.frombytes(data)
        shape = _shape_of(region)
        if shape is None:
            others += 1
            continue
        areas += 1
        rings, even_odd = shape
        canvas.fill(*rings, even_odd=even_odd)
    if others and not areas:
        raise EyeError("holds lines, points or texts only; draw an outline that encloses an area")
    if others:
        canvas.tell(f"{others} of its regions are lines, points or texts and enclose nothing")
    return canvas.finished(), canvas.notes


def _regions(path: Path) -> Iterator[bytes]:
    if path.suffix.lower() != ".zip":
        if path.stat().st_size > _MOST_BYTES:
            raise EyeError("is too large for outlines; save the region alone")
        yield path.read_bytes()
        return
    with zipfile.ZipFile(path) as packed:
        entries = [entry for entry in packed.infolist() if not entry.is_dir()]
        regions = [entry for entry in entries if entry.filename.lower().endswith(".roi")]
        if entries and not regions:
            raise EyeError("holds no region of ImageJ; save the regions with the ROI Manager")
        if sum(entry.file_size for entry in regions) > _MOST_BYTES:
            raise EyeError("is too large for outlines; save the regions alone")
        for entry in regions:
            yield packed.read(entry)


def _shape_of(region: ImagejRoi) -> tuple[list[np.ndarray], bool] | None:
    """Return the rings of a region and how they are filled; None if it encloses nothing."""
    if region.subtype in (ROI_SUBTYPE.TEXT, ROI_SUBTYPE.IMAGE, ROI_SUBTYPE.ARROW):
        return None
    if region.options & ROI_OPTIONS.SPLINE_FIT:
        raise EyeError(
            "is drawn as a spline, of which the corners only are stored; choose Edit > Selection > "
            "Interpolate in ImageJ and save it again"
        )
    if region.composite:
        return _rings_of_path(region.multi_coordinates), True
    if region.roitype in _POLYGONS:
        return [region.coordinates()], False
    if region.roitype not in (ROI_TYPE.RECT, ROI_TYPE.OVAL):
        return None
    left, top, width, height = _box(region)
    radii = np.array([width, height]) / 2
    if region.roitype == ROI_TYPE.OVAL:
        return [clock_points((left, top) + radii, radii)], False
    arc = np.minimum(region.rounded_rect_arc_size / 2, radii)
    middles = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)]) * (radii - arc) + (left, top) + radii
    corners = [
        clock_points(middle, arc, (quarter / 4, (quarter + 1) / 4))
        for quarter, middle in enumerate(middles)
    ]
    return [np.concatenate(corners)], False


def _box(region: ImagejRoi) -> tuple[float, float, float, float]:
    if region.subpixelrect and region.widthd > 0 and region.heightd > 0:
        return region.xd, region.yd, region.widthd, region.heightd
    width, height = region.right - region.left, region.bottom - region.top
    return region.left, region.top, width, height


def _rings_of_path(path: np.ndarray) -> list[np.ndarray]:
    """Return the rings of a composite; its curves, of ovals, become many short lines."""
    rings: list[list[np.ndarray]] = []
    at = 0
    while at < len(path):
        command = int(path[at])
        count = _PATH[command]
        points = np.asarray(path[at + 1 : at + 1 + count], float).reshape(-1, 2)
        if 2 * len(points) != count:
            raise EyeError("ends in the middle of an outline; save it again")
        if command == 0:
            rings.append([points])
        elif command != 4:
            rings[-1].append(_curve(rings[-1][-1][-1], points))
        at += 1 + count
    return [ring for ring in map(np.concatenate, rings) if len(ring) > 2]


def _curve(start: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return points on a line, or on a Bezier curve of degree two or three."""
    controls = np.concatenate([start[None], points])
    steps = np.linspace(0, 1, _CURVE + 1 if len(points) > 1 else 2)[1:, None, None]
    levels = np.repeat(controls[None], len(steps), axis=0)
    while levels.shape[1] > 1:
        levels = levels[:, :-1] + steps * np.diff(levels, axis=1)
    return levels[:, 0]


def write_imagej(mask: np.ndarray, path: Path) -> None:
    """Write a mask as a ``.zip`` file with one region for each connected piece.

    Parameters
    ----------
    mask : ndarray of bool, shape (height, width)
    path : Path
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for number, piece in enumerate(find_pieces(mask), start=1):
            name = f"atrophy_{number:03}"
            region = _region(piece)
            region.name = name
            # The same date in every file: the same mask gives the same bytes.
            packed.writestr(zipfile.ZipInfo(f"{name}.roi"), region.tobytes())


def _region(piece: Piece) -> ImagejRoi:
    (left, top), (right, bottom) = piece.outer.min(axis=0), piece.outer.max(axis=0)
    region = ImagejRoi(left=int(left), top=int(top), right=int(right), bottom=int(bottom))
    if piece.holes:
        rings = [piece.outer, *piece.holes]
        path = [n for ring in rings for n in (0.0, *_lines(ring)[1:], 4.0)]
        region.roitype = ROI_TYPE.RECT
        region.multi_coordinates = np.array(path, np.float32)
        region.shape_roi_size = len(path)
    else:
        region.roitype = ROI_TYPE.TRACED
        region.integer_coordinates = (piece.outer - (left, top)).astype(np.int32)
        region.n_coordinates = len(piece.outer)
    return region


def _lines(ring: np.ndarray) -> list[float]:
    """Return a ring as commands of a path, which draws a line to every point."""
    return np.column_stack([np.ones(len(ring)), ring]).ravel().tolist()
