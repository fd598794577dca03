"""Outlines of atrophy in the files beside photographs: read from any usual kind, and written."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from fundus_helpers.atrophy.outline_formats.beside import Beside, place_of
from fundus_helpers.atrophy.outline_formats.coco import coco_document, is_coco, read_coco
from fundus_helpers.atrophy.outline_formats.imagej import read_imagej, write_imagej
from fundus_helpers.atrophy.outline_formats.labelme import (
    is_labelme,
    labelme_document,
    read_labelme,
)
from fundus_helpers.atrophy.outline_formats.mask_images import MASK_SUFFIXES, read_mask_image
from fundus_helpers.files import written_beside
from fundus_helpers.loading.eye_error import EyeError
from fundus_helpers.loading.photographs import save_photograph
from fundus_helpers.loading.tables.matching import normal_path
from fundus_helpers.loading.visits.folder import (
    COCO_FILE,
    OUTLINE_MARK,
    is_outline,
    printable,
)
from fundus_helpers.loading.visits.rows import visit_name

MASK_IMAGE, IMAGEJ, LABELME, COCO = OUTLINE_FORMATS = (
    "mask image",
    "ImageJ ROI",
    "LabelMe",
    "COCO",
)
_ENDINGS = {MASK_IMAGE: ".png", IMAGEJ: ".zip", LABELME: ".json"}
_LEAST_DICE = 0.99  # of two outlines that say the same
_MOST_JSON = 200_000_000  # bytes

_Found = tuple[np.ndarray, list[str]]


@dataclass(frozen=True, eq=False)
class Outline:
    """The atrophy in one photograph, as someone has outlined it.

    Attributes
    ----------
    file : str
        Name of the photograph.
    mask : ndarray of bool, shape (height, width)
        True where the retina is atrophic, in the frame of the photograph as it is shown. An outline
        without a pixel says that there is no atrophy.
    source : str
        One of `OUTLINE_FORMATS`: "mask image", "ImageJ ROI", "LabelMe" or "COCO".
    """

    file: str
    mask: np.ndarray
    source: str


def read_outlines(
    folder: Path | str, sizes: Mapping[str, tuple[int, int]]
) -> tuple[dict[str, Outline], list[str]]:
    """Read the outlines that lie beside photographs. One bad file never stops the others.

    Beside ``eye_2019-05-28_L.tif``, an outline is the mask image ``eye_2019-05-28_L_atrophy.png``
    (or ``.tif``, ``.bmp``; or ``eye_2019-05-28_L.tif_atrophy.png``), the regions of ImageJ
    ``eye_2019-05-28_L_atrophy.roi`` or ``.zip``, or the JSON file of LabelMe
    ``eye_2019-05-28_L_atrophy.json`` or ``eye_2019-05-28_L.json``. A COCO file of any name that
    ends in ``.json`` holds the outlines of many photographs.

    Parameters
    ----------
    folder : path
        The folder that the names of the photographs are relative to.
    sizes : mapping of str to (width, height)
        The photographs whose outlines are wanted, by name, with their sizes in pixels as they are
        shown: `loading.photograph_size`. Outlines of other photographs of the folder are left
        aside.

    Returns
    -------
    outlines : dict of str to Outline
        By the names of the photographs, in the order of `sizes`.
    remarks : list of str
        One sentence for each file that cannot be used, with the reason and what to do, and for what
        a person should look at.

    Raises
    ------
    EyeError
        If the folder does not exist or may not be read.

    Notes
    -----
    A pixel belongs to a polygon if its middle lies inside; (0, 0) is the corner of the first pixel,
    as in ImageJ, LabelMe and COCO. Where a polygon crosses itself, everything that it goes around
    is counted (the non-zero rule), and a remark says so. Only in a composite of ImageJ is a ring
    inside another one a hole (the even-odd rule). Where a photograph has two outlines, the first of
    `OUTLINE_FORMATS` is taken if they agree (Dice coefficient of at least 0.99), otherwise none.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> disc = np.hypot(*np.mgrid[-20:20, -30:30]) < 10
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = write_outlines(folder, {"eye_2019-05-28_L.tif": disc}, ["ImageJ ROI"])
    ...     outlines, remarks = read_outlines(folder, {"eye_2019-05-28_L.tif": (60, 40)})
    >>> outlines["eye_2019-05-28_L.tif"].source, remarks
    ('ImageJ ROI', [])
    >>> bool((outlines["eye_2019-05-28_L.tif"].mask == disc).all())
    True
    """
    reading = _Reading(sizes)
    for place in sorted({"", *(place_of(file) for file in sizes)}):
        reading.read_folder(Path(folder), place)
    return reading.chosen(), reading.remarks


class _Reading:
    """What is found while the outlines of a folder are read."""

    def __init__(self, sizes: Mapping[str, tuple[int, int]]) -> None:
        self.sizes = sizes
        self.remarks: list[str] = []
        self.found: dict[str, list[tuple[str, Outline]]] = {file: [] for file in sizes}

    def read_folder(self, folder: Path, place: str) -> None:
        """Read the outlines in one folder of photographs."""
        beside = Beside(self.sizes, place, _names_in(folder / place))
        for name in beside.names:
            if name.startswith(".") or name in beside.photographs:
                continue
            shown = "/".join(filter(None, [place, printable(name)]))
            suffix = os.path.splitext(name)[1].lower()
            path = folder / place / name
            if suffix == ".json":
                self._try(shown, lambda s=shown, p=path, b=beside: self._read_json(s, p, b))
            elif is_outline(name) and suffix in (".roi", ".zip"):
                self._read_one(shown, path, beside, IMAGEJ, read_imagej)
            elif is_outline(name):
                self._read_one(shown, path, beside, MASK_IMAGE, read_mask_image)

    def _read_one(
        self, shown: str, path: Path, beside: Beside, source: str, read: Callable[..., _Found]
    ) -> None:
        """Read a file that belongs to one photograph by its name."""

        def work() -> None:
            if source == MASK_IMAGE and path.suffix.lower() not in MASK_SUFFIXES:
                raise EyeError("holds no exact mask; save it as PNG or TIFF")
            if file := beside.photograph_of(path.name):
                self._keep(shown, file, source, lambda: read(path, self.sizes[file]))

        self._try(shown, work)

    def _read_json(self, shown: str, path: Path, beside: Beside) -> None:
        named = is_outline(path.name)
        if path.stat().st_size > _MOST_JSON:
            raise EyeError(f"is too large; accepted are {_MOST_JSON // 10**6} MB")
        try:
            document = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise EyeError("is no JSON file (damaged or cut short); export it again") from error
        if is_coco(document):
            self._read_coco(shown, document, beside)
        elif is_labelme(document):
            if file := beside.photograph_of(path.name):
                self._read_labelme(shown, document, beside, file, named=named)
        elif named or (isinstance(document, dict) and {"shapes", "annotations"} & {*document}):
            raise EyeError(
                "is neither LabelMe (with shapes) nor COCO (with images and annotations); export "
                "it as one of them, or as a mask image"
            )

    def _read_labelme(
        self, shown: str, document: Any, beside: Beside, file: str, *, named: bool
    ) -> None:
        drawn_on = beside.find(os.path.basename(str(document.get("imagePath") or "")))
        if drawn_on not in (None, file):
            raise EyeError(
                f"is of {file!r} by its name, but was drawn on {drawn_on!r}; rename it, or correct "
                "its imagePath"
            )
        if not named and not document["shapes"]:
            raise EyeError(
                "holds no shape, so nothing is known; to say that there is no atrophy, end its "
                f"name in {OUTLINE_MARK}.json"
            )
        self._keep(shown, file, LABELME, lambda: read_labelme(document, self.sizes[file]))

    def _read_coco(self, shown: str, document: Any, beside: Beside) -> None:
        images, notes = read_coco(document)
        if not images:
            raise EyeError("names no photograph; export it again")
        files = [beside.find(image.file.replace("\\", "/")) for image in images]
        unknown = [i.file for i, f in zip(images, files, strict=True) if not beside.knows(i.file)]
        blank = [f for i, f in zip(images, files, strict=True) if f and not i.annotations]
        for file in sorted({file for file in files if file and files.count(file) > 1}):
            self.remarks.append(f"{shown}: names {file!r} several times, which is not used")
            files = [None if each == file else each for each in files]
        if unknown:
            self.remarks.append(f"{shown}: no photograph {_several(unknown)} lies here; rename it")
        if blank:
            self.remarks.append(
                f"{shown}: has no annotation of atrophy in {_several(blank)}, so nothing is known; "
                "to say that there is none, add an empty mask image"
            )
        used = [(f, i) for f, i in zip(files, images, strict=True) if f and i.annotations]
        for file, image in used:
            where = f"{shown} ({printable(file)})"
            self._try(
                where,
                lambda w=where, f=file, i=image: self._keep(
                    w, f, COCO, lambda: i.mask(self.sizes[f])
                ),
            )
        if used:
            self.remarks += [f"{shown}: {note}" for note in notes]

    def _keep(self, shown: str, file: str, source: str, read: Callable[[], _Found]) -> None:
        mask, notes = read()
        if not mask.any():
            notes = [*notes, f"is empty: no atrophy in {file!r}"]
        self.remarks += [f"{shown}: {note}" for note in notes]
        self.found[file].append((shown, Outline(file, mask, source)))

    def _try(self, shown: str, work: Callable[[], None]) -> None:
        """Do some work; whatever goes wrong becomes a remark."""
        try:
            work()
        except EyeError as error:
            self.remarks.append(f"{shown}: {error}")
        except MemoryError:
            self.remarks.append(f"{shown}: not enough free memory to read it")
        except PermissionError:
            self.remarks.append(f"{shown}: may not be read; ask its owner for permission")
        except Exception:  # libraries raise anything for damaged files
            self.remarks.append(
                f"{shown}: cannot be read as an outline (damaged or cut short); export it again"
            )

    def chosen(self) -> dict[str, Outline]:
        """Return one outline for each photograph; none where two of them contradict each other."""
        outlines = {}
        for file, found in self.found.items():
            found = sorted(found, key=lambda one: OUTLINE_FORMATS.index(one[1].source))
            if not found:
                continue
            first = found[0][1].mask
            dice = min(_dice(first, outline.mask) for _, outline in found)
            names = " and ".join(shown for shown, _ in found)
            if dice >= _LEAST_DICE:
                outlines[file] = found[0][1]
            else:
                self.remarks.append(
                    f"{names}: contradict each other about {file!r} (Dice coefficient {dice:.3f}, "
                    f"{_LEAST_DICE} or more is needed), so none is used; remove all but one"
                )
            if _LEAST_DICE <= dice < 1:
                self.remarks.append(
                    f"{names}: are nearly the same (Dice coefficient {dice:.3f}); the first is used"
                )
        return outlines


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder) if not entry.is_dir())
    except OSError as error:
        raise EyeError(
            f"folder {folder.name!r} does not exist or may not be read; check its name"
        ) from error


def _several(names: list[str]) -> str:
    shown = ", ".join(repr(printable(name)) for name in names[:3])
    return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _dice(first: np.ndarray, second: np.ndarray) -> float:
    """Return the Dice coefficient of two masks; two empty ones agree."""
    total = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / total if total else 1.0


def write_outlines(
    folder: Path | str,
    masks: Mapping[str, np.ndarray],
    formats: Iterable[str] = (MASK_IMAGE,),
) -> list[Path]:
    """Write outlines into files that `read_outlines` reads, with exactly the same masks.

    Nobody sees half a file, and files of the same names are replaced.

    Parameters
    ----------
    folder : path
        It is made if it does not exist.
    masks : mapping of str to ndarray of bool, shape (height, width)
        By the names of the photographs. A mask without a pixel says that there is no atrophy.
    formats : iterable of str
        Of `OUTLINE_FORMATS`: "mask image" writes ``<visit>_atrophy.png`` (0 and 255), "ImageJ ROI"
        ``<visit>_atrophy.zip``, "LabelMe" ``<visit>_atrophy.json`` (without the photograph itself),
        and "COCO" one file ``atrophy_coco.json`` for all. ``<visit>`` is the name of the photograph
        without its ending; with it where two photographs differ in nothing else.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    EyeError
        If a format is not one of `OUTLINE_FORMATS`, or a mask is not a bool array.
    OSError
        If the folder cannot be written; the message names the file.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = write_outlines(folder, {"eye.tif": np.eye(9, dtype=bool)}, OUTLINE_FORMATS)
    >>> [file.name for file in files]
    ['eye_atrophy.png', 'eye_atrophy.zip', 'eye_atrophy.json', 'atrophy_coco.json']
    """
    folder, formats = Path(folder), [*formats]
    for kind in formats:
        if kind not in OUTLINE_FORMATS:
            raise EyeError(f"format {kind!r} is not one of {', '.join(OUTLINE_FORMATS)}")
    for file, mask in masks.items():
        if np.ndim(mask) != 2 or np.asarray(mask).dtype != bool:
            raise EyeError(
                f"the mask of {file!r} has shape {np.shape(mask)} and type "
                f"{np.asarray(mask).dtype}; give a bool array of rows and columns, like mask > 0"
            )
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, (file, mask) in zip(_visits(masks), masks.items(), strict=True):
        for kind in formats:
            if kind in _ENDINGS:
                path = folder / f"{name}{OUTLINE_MARK}{_ENDINGS[kind]}"
                _write(path, kind, file, mask)
                written.append(path)
    if COCO in formats:
        written.append(folder / COCO_FILE)
        _write_json(coco_document(masks), written[-1])
    return written


def _visits(files: Iterable[str]) -> Iterator[str]:
    names = {file: visit_name(file) for file in files}
    keys = [normal_path(name) for name in names.values()]
    for (file, name), key in zip(names.items(), keys, strict=True):
        yield name if keys.count(key) == 1 else file.replace("/", "_")


def _write(path: Path, kind: str, file: str, mask: np.ndarray) -> None:
    if kind == MASK_IMAGE:
        save_photograph(mask.astype(np.uint8) * 255, path.with_suffix(""))
    elif kind == IMAGEJ:
        with written_beside(path) as part:
            write_imagej(mask, part)
    else:
        _write_json(labelme_document(mask, PurePosixPath(file).name), path)


def _write_json(document: Mapping[str, Any], path: Path) -> None:
    with written_beside(path) as part:
        part.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
