"""Outlines of atrophy in the folder of links, under the pseudonyms of their photographs."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fundus_helpers.atrophy.outline_formats.coco import is_coco
from fundus_helpers.loading.tables.matching import FileMatcher, normal_path
from fundus_helpers.loading.visits.folder import (
    COCO_FILE,
    OTHER_FILE,
    OUTLINE_MARK,
    is_outline,
    may_hold_outlines,
    photograph_of_outline,
    stem_of,
)
from fundus_helpers.loading.visits.rows import VisitRow

# What is kept of a COCO file: other fields are free text, and may hold names.
_KEPT = {
    "images": ("id", "width", "height"),
    "annotations": ("id", "image_id", "category_id", "segmentation", "bbox", "area", "iscrowd"),
    "categories": ("id", "name"),
}
UNREADABLE = "unreadable"  # is shown instead of a damaged file, so that whoever reads it says so


def shown_outlines(
    rows: Iterable[VisitRow], names: Mapping[str, str]
) -> tuple[dict[str, Path], dict[str, str]]:
    """Choose the outlines of a patient that are shown under pseudonyms.

    Parameters
    ----------
    rows : iterable of VisitRow
        Of all files of the patient.
    names : mapping of str to str
        The new name of each photograph.

    Returns
    -------
    links : dict of str to Path
        Files of one photograph each: the new name, and the file to link to. An outline without its
        photograph is not shown, because its own name may be that of the patient.
    texts : dict of str to str
        Files of COCO, which name their photographs: the new name, and the content under the new
        names of the photographs. A damaged file is shown as one that cannot be read.
    """
    links, texts = {}, {}
    matcher, by_stem = FileMatcher(names), _new_stems(names)
    for row in rows:
        if row.kind != OTHER_FILE or row.path is None or not may_hold_outlines(row.path.name):
            continue
        document = _document(row.path)
        new = by_stem.get(normal_path(photograph_of_outline(row.file)))
        if is_coco(document) or (document == UNREADABLE and not new):
            number = f"-{len(texts) + 1}" if texts else ""
            stem, suffix = os.path.splitext(COCO_FILE)
            texts[f"{stem}{number}{suffix}"] = _renamed(document, matcher, names)
        elif new:
            mark = OUTLINE_MARK if is_outline(row.path.name) else ""
            links[f"{new}{mark}{row.path.suffix.lower()}"] = row.path
    return links, texts


def _new_stems(names: Mapping[str, str]) -> dict[str, str]:
    """Return what outlines of the new names begin with, by what those of the old begin with."""
    stems = {}
    for old, new in names.items():
        stems[normal_path(stem_of(old))] = os.path.splitext(new)[0]
    return stems | {normal_path(old): new for old, new in names.items()}


def _document(path: Path) -> Any:
    if path.suffix.lower() != ".json":
        return None
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return UNREADABLE


def _renamed(document: Any, matcher: FileMatcher, names: Mapping[str, str]) -> str:
    """Write a COCO file under the new names, with the photographs that are there alone."""
    try:
        kept = {
            part: [{k: each[k] for k in fields if k in each} for each in document.get(part, ())]
            for part, fields in _KEPT.items()
        }
        found = [matcher.find(str(image["file_name"])) for image in document["images"]]
        for image, old in zip(kept["images"], found, strict=True):
            image["file_name"] = names.get(old, "")
        kept["images"] = [image for image in kept["images"] if image["file_name"]]
        known = {image["id"] for image in kept["images"]}
        kept["annotations"] = [one for one in kept["annotations"] if one["image_id"] in known]
        return json.dumps(kept) + "\n"
    except (AttributeError, KeyError, TypeError):
        return f"{UNREADABLE}\n"
