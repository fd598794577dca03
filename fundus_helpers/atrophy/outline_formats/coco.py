"""COCO JSON: the outlines of many photographs in one file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fundus_helpers.atrophy.outline_formats.canvas import Canvas
from fundus_helpers.atrophy.outline_formats.labels import choose_labels
from fundus_helpers.atrophy.outline_formats.mask_images import size_problem
from fundus_helpers.atrophy.outline_formats.pieces import find_pieces
from fundus_helpers.loading.eye_error import EyeError


@dataclass(frozen=True)
class CocoImage:
    """A photograph of a COCO file, with its annotations of atrophy.

    Attributes
    ----------
    file : str
        Its name, as the file gives it.
    size : (width, height)
        In pixels.
    annotations : list
    """

    file: str
    size: tuple[int, int]
    annotations: list[Mapping[str, Any]]

    def mask(self, size: tuple[int, int]) -> tuple[np.ndarray, list[str]]:
        """Return the mask of the photograph, and what a person should know of it.

        Parameters
        ----------
        size : (width, height)
            Of the photograph itself, in pixels.

        Raises
        ------
        EyeError
            If it has another size, or an annotation cannot be used.
        """
        if problem := size_problem(self.size, size):
            raise EyeError(problem)
        canvas = Canvas(size)
        for annotation in self.annotations:
            _draw(canvas, annotation.get("segmentation"))
        return canvas.finished(), canvas.notes


def is_coco(document: object) -> bool:
    """Whether a document, read from JSON, is of COCO.

    Examples
    --------
    >>> is_coco({"images": [], "annotations": []})
    True
    """
    keys = ("images", "annotations")
    return isinstance(document, Mapping) and all(isinstance(document.get(k), list) for k in keys)


def read_coco(document: Mapping[str, Any]) -> tuple[list[CocoImage], list[str]]:
    """Read the photographs of a COCO file, with the annotations whose category says atrophy.

    Parameters
    ----------
    document : mapping
        Read from JSON.

    Returns
    -------
    images : list of CocoImage
    notes : list of str
        What a person should know of the whole file.

    Raises
    ------
    EyeError
        If no category says atrophy; see `choose_labels`.
    """
    names = {c["id"]: str(c["name"]) for c in document.get("categories") or []}
    labels = [names.get(a.get("category_id"), "no category") for a in document["annotations"]]
    chosen, note = choose_labels(labels) if labels else (set(), "")
    by_image: dict[Any, list[Mapping[str, Any]]] = {}
    for label, annotation in zip(labels, document["annotations"], strict=True):
        if label in chosen:
            by_image.setdefault(annotation["image_id"], []).append(annotation)
    images = [
        CocoImage(
            str(image["file_name"]),
            (int(image["width"]), int(image["height"])),
            by_image.get(image["id"], []),
        )
        for image in document["images"]
    ]
    return images, [note] if note else []


def _draw(canvas: Canvas, segmentation: object) -> None:
    """Draw polygons, or a mask as lengths of runs, which go down the columns."""
    if isinstance(segmentation, list) and segmentation:
        for polygon in segmentation:
            if len(polygon) % 2:
                raise EyeError("has a polygon with an odd number of coordinates; export it again")
            canvas.fill(polygon)
    elif isinstance(segmentation, Mapping):
        height, width = map(int, segmentation["size"])
        if problem := size_problem((width, height), canvas.size):
            raise EyeError(problem)
        runs = segmentation["counts"]
        lengths = np.array([*_unpacked(runs)] if isinstance(runs, str | bytes) else runs, int)
        if (lengths < 0).any() or lengths.sum() != width * height:
            raise EyeError("has runs that do not fill the photograph; export it again")
        values = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
        canvas.add(values.reshape(width, height).T)
    else:
        raise EyeError("has a box without an outline; export it with segmentations")


def _unpacked(text: str | bytes) -> Iterator[int]:
    """Yield the lengths that a text of COCO packs: from the fourth on as differences."""
    lengths, value, shift = [], 0, 0
    for letter in text.encode("ascii") if isinstance(text, str) else text:
        bits = letter - 48
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        if len(lengths) > 2:
            value += lengths[-2]
        lengths.append(value)
        value = shift = 0
    yield from lengths


def coco_document(masks: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return masks as a document of COCO: one annotation for each connected piece.

    An empty mask has one annotation without a pixel, which says: no atrophy.

    Parameters
    ----------
    masks : mapping of str to ndarray of bool, shape (height, width)
        By the names of the photographs.

    Examples
    --------
    >>> import numpy as np
    >>> document = coco_document({"eye.png": np.ones((2, 3), bool)})
    >>> document["annotations"][0]["segmentation"], document["annotations"][0]["area"]
    ([[3, 0, 3, 2, 0, 2, 0, 0]], 6)
    """
    images, annotations = [], []
    for number, (file, mask) in enumerate(masks.items(), start=1):
        height, width = mask.shape
        images.append({"id": number, "file_name": file, "width": width, "height": height})
        found = [_annotation(piece) for piece in find_pieces(mask)]
        for annotation in found or [_nothing(width, height)]:
            numbers = {"id": len(annotations) + 1, "image_id": number, "category_id": 1}
            annotations.append(numbers | annotation)
    categories = [{"id": 1, "name": "atrophy", "supercategory": "lesion"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def _annotation(piece: Any) -> dict[str, Any]:
    (left, top), (right, bottom) = piece.outer.min(axis=0), piece.outer.max(axis=0)
    return {
        "segmentation": [piece.keyhole.ravel().tolist()],
        "area": piece.area,
        "bbox": [int(n) for n in (left, top, right - left, bottom - top)],
        "iscrowd": 0,
    }


def _nothing(width: int, height: int) -> dict[str, Any]:
    runs = {"counts": [width * height], "size": [height, width]}
    return {"segmentation": runs, "area": 0, "bbox": [0, 0, 0, 0], "iscrowd": 1}
