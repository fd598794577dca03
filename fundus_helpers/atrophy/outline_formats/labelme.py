"""JSON files of LabelMe, of one photograph each."""

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import PngImagePlugin

from fundus_helpers.atrophy.outline_formats.canvas import Canvas, clock_points
from fundus_helpers.atrophy.outline_formats.labels import choose_labels
from fundus_helpers.atrophy.outline_formats.mask_images import size_problem
from fundus_helpers.atrophy.outline_formats.pieces import find_pieces
from fundus_helpers.loading.eye_error import EyeError

_NO_AREA = ("line", "linestrip", "point", "points")


def is_labelme(document: object) -> bool:
    """Whether a document, read from JSON, is of LabelMe.

    Examples
    --------
    >>> is_labelme({"shapes": []}), is_labelme({"images": [], "annotations": []})
    (True, False)
    """
    return isinstance(document, Mapping) and isinstance(document.get("shapes"), list)


def read_labelme(
    document: Mapping[str, Any], size: tuple[int, int]
) -> tuple[np.ndarray, list[str]]:
    """Read the shapes of LabelMe that are labelled as atrophy, as one mask.

    Parameters
    ----------
    document : mapping
        Read from JSON. Polygons, rectangles, circles and masks enclose an area; lines and points do
        not. Without any shape it says: no atrophy.
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
        If it is for a photograph of another size, or a shape cannot be used; without the name of
        the file. See also `choose_labels`.

    Examples
    --------
    >>> shape = {"label": "atrophy", "shape_type": "rectangle", "points": [[1, 1], [4, 2]]}
    >>> mask, notes = read_labelme({"shapes": [shape]}, (6, 4))
    >>> mask.sum(), notes
    (np.int64(3), [])
    """
    width, height = document.get("imageWidth"), document.get("imageHeight")
    if width is not None and height is not None:
        if problem := size_problem((int(width), int(height)), size):
            raise EyeError(problem)
    canvas, shapes = Canvas(size), document["shapes"]
    if not shapes:
        return canvas.mask, []
    chosen, note = choose_labels(str(shape["label"]) for shape in shapes)
    if note:
        canvas.tell(note)
    used = [shape for shape in shapes if str(shape["label"]) in chosen]
    areas = [shape for shape in used if shape.get("shape_type") not in _NO_AREA]
    if not areas:
        raise EyeError("holds lines or points only; draw an outline that encloses an area")
    if len(areas) < len(used):
        canvas.tell(f"{len(used) - len(areas)} of its shapes are lines or points: enclose nothing")
    for shape in areas:
        _draw(canvas, shape)
    return canvas.finished(), canvas.notes


def _draw(canvas: Canvas, shape: Mapping[str, Any]) -> None:
    kind = shape.get("shape_type") or "polygon"
    points = np.asarray(shape["points"], float).reshape(-1, 2)
    if kind in ("polygon", "rotation") or (kind == "rectangle" and len(points) > 2):
        canvas.fill(points)
    elif kind == "rectangle" and len(points) == 2:
        # LabelMe lets nobody draw beyond the width - 1: it means the border of the photograph.
        points = np.where(points == np.subtract(canvas.size, 1), canvas.size, points)
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        canvas.fill([(left, top), (right, top), (right, bottom), (left, bottom)])
    elif kind == "circle" and len(points) == 2:
        radius = np.hypot(*(points[1] - points[0]))
        canvas.fill(clock_points(points[0], (radius, radius)))
    elif kind == "mask" and len(points) == 2:
        canvas.add(_mask_of(shape["mask"], points, canvas.size))
    else:
        raise EyeError(
            f"has a shape of type {kind!r} with {len(points)} points; accepted are polygon, "
            "rectangle, circle and mask: draw it as a polygon"
        )


def _mask_of(encoded: str, points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Decode the mask of a shape: a PNG file in base64, which fills the box of two points."""
    mask = np.zeros(size[::-1], bool)
    left, top = map(int, points[0])
    right, bottom = (int(end) + 1 for end in points[1])
    if left < 0 or top < 0 or right > size[0] or bottom > size[1]:
        raise EyeError("has a mask that reaches out of the photograph; export it again")
    with PngImagePlugin.PngImageFile(io.BytesIO(base64.b64decode(encoded, validate=True))) as image:
        if image.size != (right - left, bottom - top):
            raise EyeError("has a mask of another size than its box; export it again")
        mask[top:bottom, left:right] = np.asarray(image.convert("L")) > 0
    return mask


def labelme_document(mask: np.ndarray, file: str) -> dict[str, Any]:
    """Return a mask as a document of LabelMe: one polygon for each connected piece.

    Parameters
    ----------
    mask : ndarray of bool, shape (height, width)
    file : str
        Name of the photograph. Its pixels are not in the document.

    Examples
    --------
    >>> import numpy as np
    >>> labelme_document(np.eye(2, dtype=bool), "eye.png")["shapes"][0]["points"]
    [[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 0.0]]
    """
    shapes = [
        {
            "label": "atrophy",
            "points": piece.keyhole.astype(float).tolist(),
            "group_id": None,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
            "mask": None,
        }
        for piece in find_pieces(mask)
    ]
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": file,
        "imageData": None,
        "imageHeight": mask.shape[0],
        "imageWidth": mask.shape[1],
    }
