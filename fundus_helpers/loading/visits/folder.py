"""The data folder: its patients, and every file in it, looked at by name only."""

import errno
import os
import re
import stat
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fundus_helpers.files import SUFFIXES, UNREADABLE_SUFFIXES
from fundus_helpers.loading.eye_error import EyeError
from fundus_helpers.loading.formats.kinds import looks_like_photograph

# The patients of `make demo` and the modality of their photographs; a cohort leaves them out.
DEMO_PATIENTS = {
    "demo_colour": "colour",
    "demo_autofluorescence": "autofluorescence",
    "demo_atrophy": "autofluorescence",
    "demo_atrophy_colour": "colour",
}
DEMO_TRUTH = "truth"  # the folder of the demo's masks
PHOTOGRAPH, OTHER_FILE, FOLDER, TABLE_ROW = "photograph", "other file", "folder", "row of a table"
OUTLINE_MARK = "_atrophy"  # ends the name of a file with the outline of atrophy
COCO_FILE = "atrophy_coco.json"  # the outlines of all photographs of a folder
_OUTLINE_SUFFIXES = {*SUFFIXES, ".gif", ".pbm", ".roi", ".zip", ".json"} - {
    *(".dcm", ".dicom", ".dic", ".ima")
}

# Folders that programs make beside photographs. Hidden folders (.thumbnails) are of this kind, too.
_OF_PROGRAMS = re.compile(
    r"@.*|__MACOSX|#recycle|\$RECYCLE\.BIN|System Volume Information|lost\+found|thumbnails?|thumbs"
    r"|\..*",
    re.IGNORECASE,
)
_NOT_SHOWN = ("Cc", "Zl", "Zp")  # control characters and line breaks
_COPIES = (
    r"(?:copy|kopie|copie|copia)(?: \(\d+\))?[ _-](?:of|von|de|di)[ _-](?P<of>.+)",
    r"(?P<of>.+?)[ _-]+(?:copy|kopie|copie|copia)(?: ?\(?\d+\)?)?",
    r"(?P<of>.+?) ?\(\d+\)",
    r"(?P<of>.+?) \(.*conflicted copy.*\)",
    r"(?P<of>.+?)\.sync-conflict-[\w-]+",
    r"(?P<of>.+?)~+",
)
_COPY = [re.compile(form, re.IGNORECASE | re.DOTALL) for form in _COPIES]


@dataclass
class FoundFile:
    """A file below the data folder.

    Attributes
    ----------
    path : Path
    folders : tuple of str
        The folders between the patient's folder and the file, the outer one first.
    kind : str
        `PHOTOGRAPH`, `OTHER_FILE`, or `FOLDER` for a folder that cannot be looked into.
    reason : str
        Why the file is not used, as far as its name and its kind tell it.
    note : str
    stem : str
        The name to read: without its ending, and without the mark of a copy whose original is not
        there.
    """

    path: Path
    folders: tuple[str, ...]
    kind: str = PHOTOGRAPH
    reason: str = ""
    note: str = ""
    stem: str = field(default="", kw_only=True)

    @property
    def relative(self) -> str:
        """Path from the patient's folder."""
        return "/".join([*self.folders, self.path.name])


def data_folder(data: Path | str) -> Path:
    """Return the data folder after checking that it exists.

    Raises
    ------
    EyeError
        If it does not exist.
    """
    data = Path(data)
    if not os.path.isdir(data):
        raise EyeError(
            f"data folder {data.name!r} does not exist; it must hold one folder per patient (see "
            "data/README.md). Check the name, or run `make demo`, which needs no data"
        )
    if not os.access(data, os.R_OK | os.X_OK):
        raise EyeError(f"data folder {data.name!r} may not be read; ask its owner for permission")
    return data


def refuse_patient(patient: str) -> str:
    """Say why a text cannot be the name of a patient's folder; empty if it can."""
    if not patient or patient.startswith(".") or Path(patient).name != patient:
        return (
            f"patient {patient!r} is not the plain name of a folder in the data folder; give a "
            "name without a path, for example 007"
        )
    reason = odd_patient(patient)
    return reason and f"patient {printable(patient)!r}: {reason}"


def patient_folder(data: Path | str, patient: str) -> Path:
    """Return the folder of a patient, which must lie inside the data folder.

    Raises
    ------
    EyeError
        If a folder is missing or may not be read, if the patient's name is a path (``..``,
        absolute) or cannot be used, or if the folder is a link.
    """
    folder = data_folder(data) / patient
    if reason := refuse_patient(patient):
        raise EyeError(reason)
    if reason := unusable_folder(folder):
        raise EyeError(f"patient {patient!r} {reason}")
    if not os.path.isdir(folder):
        raise EyeError(
            f"no patient {patient!r} in the data folder; check the name (007 is not the same as 7)"
        )
    return folder


def unusable_folder(folder: Path) -> str:
    """Say why a patient's folder cannot be looked into; empty if it can, or is not there."""
    if os.path.islink(folder):
        if not os.path.exists(folder):
            return "is a link that leads nowhere; move the folder into the data folder"
        return "is a link, not a folder; move the folder into the data folder"
    if os.path.exists(folder) and not os.path.isdir(folder):
        return "is a file, a device or a pipe; remove it"
    if os.path.isdir(folder) and not os.access(folder, os.R_OK | os.X_OK):
        return "may not be read; ask the owner of the folder for permission"
    return ""


def odd_name(name: str) -> str:
    """Say why a name stops the programs that run the notebooks; empty if it does not."""
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        return "the name is not UTF-8; rename it"
    if any(unicodedata.category(letter) in _NOT_SHOWN for letter in name):
        return "the name has a tab, a line break or another control character; rename it"
    if {"{", "}"} & {*name}:
        return "the name has { or }; rename it"
    if len(name.encode()) > 250:
        return "the name is longer than 250 bytes; rename it"
    return ""


def odd_patient(name: str) -> str:
    """Say why a folder's name cannot be that of a patient, whose results have it in their paths."""
    if {"<", ">"} & {*name}:
        return "the name has < or >; rename it"
    if re.search(r"(.+)\1{19}$", name):  # Snakemake takes it for a rule that feeds itself
        return "the name repeats its end twenty times; rename it"
    return odd_name(name)


def printable(name: str) -> str:
    r"""Return a name, with escapes for what cannot be shown, like \t or \xff."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in _NOT_SHOWN else c
        for c in text
    )


def is_of_program(name: str) -> bool:
    """Whether a folder is made by a program beside photographs: hidden, @eaDir, __MACOSX."""
    return bool(_OF_PROGRAMS.fullmatch(name))


def is_own_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, and no link to one; what cannot be looked at is none."""
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def is_outline(name: str) -> bool:
    """Whether a file holds an outline of atrophy, by its name: ``<photograph>_atrophy.png``.

    Examples
    --------
    >>> is_outline("eye_2019-05-28_L_atrophy.png"), is_outline("eye_2019-05-28_L.png")
    (True, False)
    """
    stem, suffix = os.path.splitext(name.rstrip(" ."))
    stem = _original(stem) or stem
    marked = stem.casefold().endswith(OUTLINE_MARK) and suffix.lower() in _OUTLINE_SUFFIXES
    return marked or name.casefold() == COCO_FILE


def may_hold_outlines(name: str) -> bool:
    """Whether a file may hold outlines of atrophy: by its mark, or JSON of LabelMe or COCO."""
    return is_outline(name) or name.lower().endswith(".json")


def photograph_of_outline(name: str) -> str:
    """Return what an outline is named after: its photograph, with or without its ending.

    Examples
    --------
    >>> photograph_of_outline("eye_2019-05-28_L_atrophy.png")
    'eye_2019-05-28_L'
    """
    stem = os.path.splitext(name)[0]
    return stem[: -len(OUTLINE_MARK)] if stem.casefold().endswith(OUTLINE_MARK) else stem


def stem_of(name: str) -> str:
    """Return the name of a file without its ending; the parts of a DICOM number are no ending."""
    suffix = _suffix(name)
    known = suffix in (*SUFFIXES, *UNREADABLE_SUFFIXES)
    return name.rstrip(" .")[: -len(suffix)] if known else name


def find_files(folder: Path, *, masks: str = "", deep: bool = True) -> Iterator[FoundFile]:
    """Find every file below a folder, with the reason why it is not used where its name tells it.

    No file is opened. Links to files are followed, links to folders are not.

    Parameters
    ----------
    folder : Path
    masks : str
        Name of a folder whose files are no photographs.
    deep : bool
        Look into the folders below, too.
    """
    yield from _find(folder, (), "", masks if deep else None)


def _find(
    folder: Path, folders: tuple[str, ...], why: str, masks: str | None
) -> Iterator[FoundFile]:
    try:
        with os.scandir(folder) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
    except OSError:
        reason = "the folder may not be read; ask its owner for permission"
        yield FoundFile(folder, folders[:-1], FOLDER, reason)
        return
    names = [entry.name for entry in entries]
    spelled = _spellings(names)
    known = {_key(name) for name in names}
    beside = known | {_key(stem_of(name)) for name in names}
    for entry in entries:
        path = folder / entry.name
        if masks is None and os.path.isdir(path):
            continue
        if is_own_folder(entry):
            inner = why
            if not inner and is_of_program(entry.name):
                inner = f"in {printable(entry.name)!r}, a folder that a program made"
            if not inner and entry.name == masks:
                inner = f"in {masks!r}, the folder of masks"
            if not inner and _suffix(entry.name) in SUFFIXES:
                yield FoundFile(path, folders, FOLDER, f"{entry.name!r} is a folder, not a file")
            yield from _find(path, (*folders, entry.name), inner, masks)
        elif os.path.isdir(path):
            yield FoundFile(path, folders, FOLDER, "a link to a folder; move the folder here")
        elif why or is_outline(entry.name) or _is_other(entry.name, path):
            reason = why or _other_reason(entry.name, beside)
            yield FoundFile(path, folders, OTHER_FILE, reason)
        else:
            yield _photograph(path, folders, known, spelled)


def _other_reason(name: str, beside: set[str]) -> str:
    """Say why a file is no photograph, given the names of its folder with and without ending."""
    if name.startswith("."):
        return "hidden"
    if not is_outline(name):
        return "no photograph"
    stem = os.path.splitext(name)[0]
    stem = (_original(stem) or stem)[: -len(OUTLINE_MARK)]
    if name.casefold() == COCO_FILE or _key(stem) in beside:
        return "an outline of atrophy"
    return (
        f"an outline of atrophy, by its name, but no photograph {stem!r} is beside it; rename it "
        "if it is a photograph itself"
    )


def _is_other(name: str, path: Path) -> bool:
    suffix = _suffix(name)
    if name.startswith(".") or name.lower() == "dicomdir":
        return True
    if suffix in SUFFIXES or suffix in UNREADABLE_SUFFIXES or _is_backup(name):
        return False
    # DICOM files often have no ending, or end in a part of their number; others may have lost it.
    plain = not re.search(r"\.(?=[^.]*[a-z])[^.]{1,10}$", name, re.IGNORECASE)
    if not plain or not os.path.isfile(path):
        return True
    return os.access(path, os.R_OK) and not looks_like_photograph(path)


def look_at_file(path: Path, folders: tuple[str, ...]) -> FoundFile:
    """Look at one file without its neighbours: may it be read, and is it of a readable kind.

    Parameters
    ----------
    path : Path
    folders : tuple of str
        See `FoundFile`.
    """
    suffix = _suffix(path.name)
    found = FoundFile(path, folders, stem=stem_of(path.name))
    found.reason = _unusable(path) or next(filter(None, map(odd_name, folders)), "")
    if not found.reason and suffix in UNREADABLE_SUFFIXES:
        found.reason = f"{suffix[1:].upper()} cannot be read; {UNREADABLE_SUFFIXES[suffix]}"
    return found


def _photograph(
    path: Path, folders: tuple[str, ...], known: set[str], spelled: Mapping[str, str]
) -> FoundFile:
    found = look_at_file(path, folders)
    if found.reason:
        return found
    if path.name in spelled:
        found.reason = (
            "the same name as another file, in another spelling of its letters (Unicode NFC, NFD)"
        )
    elif _is_backup(path.name):
        found.reason = "a backup copy, by its name"
    elif original := _original(found.stem):
        if _key(original + path.suffix) in known:
            found.reason = (
                f"by its name a copy of {original + path.suffix!r}; rename it if it is not one"
            )
        else:
            found.stem, found.note = original, "by its name a copy; the original is not here"
    return found


def _unusable(path: Path) -> str:
    if reason := odd_name(path.name):
        return reason
    try:
        status = path.stat()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            return "a link that leads nowhere"
        return "the file may not be read; ask its owner for permission"
    if stat.S_ISDIR(status.st_mode):
        return "a folder"
    if not stat.S_ISREG(status.st_mode):
        return "not a file, but a device or a pipe"
    if not os.access(path, os.R_OK):
        return "the file may not be read; ask its owner for permission"
    return ""


def _original(stem: str) -> str:
    """Return the name that the mark of a copy was added to; empty if there is no such mark."""
    for form in _COPY:
        if found := form.fullmatch(stem):
            return found["of"]
    return ""


def _is_backup(name: str) -> bool:
    return name.endswith("~") and _suffix(name.rstrip("~")) in SUFFIXES


def _spellings(names: list[str]) -> dict[str, str]:
    """Return the names that another one repeats in other code points, with the one that is kept."""
    kept: dict[str, str] = {}
    for name in sorted(names, key=lambda name: (not unicodedata.is_normalized("NFC", name), name)):
        kept.setdefault(unicodedata.normalize("NFC", name), name)
    return {n: k for n in names if (k := kept[unicodedata.normalize("NFC", n)]) != n}


def _suffix(name: str) -> str:
    return os.path.splitext(name.rstrip(" ."))[1].lower()


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
