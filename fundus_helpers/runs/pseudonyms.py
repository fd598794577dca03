"""Pseudonyms: a folder of links shows the photographs without the names of the patients.

``fundus pseudonyms view DATA VIEW RESULTS`` makes this folder. ``fundus pseudonyms name PATIENT
DATA RESULTS`` prints the pseudonym of a patient. ``fundus pseudonyms plain RESULTS`` is called
before a run without pseudonyms. It fails if the results folder holds results under pseudonyms.
"""

import csv
import hashlib
import hmac
import io
import os
import re
import secrets
import shutil
from pathlib import Path

from fundus_helpers.files import written_beside
from fundus_helpers.loading.eye_error import EyeError
from fundus_helpers.loading.tables.exclusions import EXCLUDED_FILE
from fundus_helpers.loading.tables.landmarks import (
    LANDMARK_COLUMNS,
    LANDMARKS_FILE,
    SECOND_FILE,
    SNAPPED,
    USE,
)
from fundus_helpers.loading.tables.matching import FileMatcher
from fundus_helpers.loading.tables.sheets import read_sheet
from fundus_helpers.loading.visits.folder import DEMO_PATIENTS, PHOTOGRAPH
from fundus_helpers.loading.visits.listing import DataListing
from fundus_helpers.loading.visits.rows import VisitRow
from fundus_helpers.loading.visits.settings import NEEDED, SELF_CONTAINED, TABLE_FILE
from fundus_helpers.runs.shown_outlines import shown_outlines

KEY_VARIABLE = "FUNDUS_PSEUDONYM_KEY"
PSEUDONYM = re.compile(r"P[0-9a-f]{12}")
SHOWN = ("time", "modality", "camera", "mm_per_pixel")  # what the table of the links says, too


class PseudonymError(ValueError):
    """A pseudonym cannot be made, or would not be safe. The message says what to do."""


def key_path() -> Path:
    """Return the path of the key: ``FUNDUS_PSEUDONYM_KEY``, or a file in the user's settings."""
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return Path(os.environ.get(KEY_VARIABLE) or settings / "fundus_helpers" / "pseudonym.key")


def read_key(path: Path | str, *, away_from: tuple[Path | str, ...] = ()) -> bytes:
    """Read the secret key of the pseudonyms. If it does not exist, make one for this user only.

    The same key always gives the same pseudonyms, on every machine. A person who has the key can
    compute the pseudonym of a patient. Without the key nobody can do so, not even by trying every
    name.

    Parameters
    ----------
    path : path
    away_from : tuple of path
        Folders that must not contain the key, because data and results may be passed on.

    Raises
    ------
    PseudonymError
        If the key lies in such a folder, can be read by other users, or is shorter than 32
        characters.
    """
    path = Path(path)
    for folder in away_from:
        if path.resolve().is_relative_to(Path(folder).resolve()):
            raise PseudonymError(
                f"key {path.name!r} lies in folder {Path(folder).name!r}, which may be passed on; "
                f"keep it elsewhere ({KEY_VARIABLE}=file)"
            )
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_beside(path) as part:
            part.touch(mode=0o600)
            part.write_text(secrets.token_hex(32))
    if path.stat().st_mode & 0o077:
        raise PseudonymError(f"key {path.name!r} can be read by other users; run chmod 600 on it")
    key = path.read_bytes().strip()
    if len(key) < 32:
        raise PseudonymError(f"key {path.name!r} has {len(key)} characters, at least 32 are needed")
    return key


def pseudonym(key: bytes, name: str) -> str:
    """Return the pseudonym of a patient: P and 12 hexadecimal digits of HMAC-SHA256 (RFC 2104).

    The painted patients of the demo are not persons. They keep their names, by which cohorts
    recognise them and leave them out.
    """
    if name in DEMO_PATIENTS:
        return name
    return "P" + hmac.new(key, os.fsencode(name), hashlib.sha256).hexdigest()[:12]


def make_view(data: Path | str, view: Path | str, key: bytes) -> list[str]:
    """Make a folder of links to the photographs, named by pseudonym and date.

    Dates and lateralities stay, because they are needed to follow an eye over time. Everything else
    in the name of a file is dropped, even if the name contains no date. Outlines of atrophy follow
    their photographs (`runs.shown_outlines`). Names of files within reasons are replaced. The
    reasons that a person wrote into ``excluded.csv``, and comments, may hold names; they are not
    passed on.

    Parameters
    ----------
    data : path
        Folder with one folder per patient.
    view : path
        The folder of the links. Everything else in it is removed. Links that have not changed are
        not made again, so that no notebook runs again because of them.
    key : bytes
        See `read_key`.

    Returns
    -------
    list of str
        The pseudonyms in alphabetical order.

    Raises
    ------
    PseudonymError
        If two patients get the same pseudonym. For 10,000 patients the chance is less than one in
        five million.
    """
    listing, view = DataListing(Path(data).resolve()), Path(view)
    patients = listing.patients()
    named = {pseudonym(key, patient): patient for patient in patients}
    if len(named) < len(patients):
        raise PseudonymError("two patients get the same pseudonym; use another key")
    view.mkdir(parents=True, exist_ok=True)
    table: list[list[object]] = []
    for name, patient in named.items():
        table += _show_patient(listing, patient, view / name, key)
    _write_if_changed(view / SELF_CONTAINED, "The links here are made by make PSEUDONYM=1.\n")
    kept = {*named, SELF_CONTAINED}
    # Without these columns, the names of the links say everything.
    if any(cell for row in table for cell in row[len(NEEDED) :]):
        kept.add(TABLE_FILE)
        _write_if_changed(view / TABLE_FILE, _as_text([[*NEEDED, *SHOWN], *table]))
    _remove_others(view, kept)
    return sorted(named)


def _show_patient(
    listing: DataListing, patient: str, shown: Path, key: bytes
) -> list[list[object]]:
    """Make the links to the photographs of a patient; return the rows of the table of visits."""
    source = listing.data / patient
    if source.is_symlink():  # refused under this name, too
        if not shown.is_symlink():
            _remove(shown)
            shown.symlink_to(source)
        return []
    if shown.is_symlink():
        shown.unlink()
    shown.mkdir(exist_ok=True)
    found = listing.of_patient(patient)
    rows = [row for row in found if row.kind == PHOTOGRAPH and row.path is not None]
    names = _names(rows, shown.name, key)
    links, texts = shown_outlines(found, names)
    links |= {names[row.file]: row.path for row in rows}
    for name, path in links.items():
        link = shown / name
        if not (link.is_symlink() and link.readlink() == path):
            _remove(link)
            link.symlink_to(path)
    texts[EXCLUDED_FILE] = _excluded(rows, names)
    texts |= {
        file: _landmarks(listing.folder_of(patient) / file, names)
        for file in (LANDMARKS_FILE, SECOND_FILE)
    }
    for file, text in texts.items():
        if text:
            _write_if_changed(shown / file, text)
    _remove_others(shown, {*links, *(file for file, text in texts.items() if text)})
    return [
        [f"{shown.name}/{names[r.file]}", shown.name, r.laterality, r.date, *_known(r)]
        for r in rows
        if r.date and r.laterality
    ]


def _known(row: VisitRow) -> list[object]:
    return [getattr(row, name) or "" for name in SHOWN]


def _names(rows: list[VisitRow], patient: str, key: bytes) -> dict[str, str]:
    """Return the new name of each file. A number keeps the order of the files of a day."""
    names: dict[str, str] = {}
    days: dict[str, list[str]] = {}
    for row in rows:
        suffix = Path(row.file).suffix.lower()
        suffix = suffix if re.fullmatch(r"\.[a-z][a-z0-9]{1,5}", suffix) else ""
        if row.date and row.laterality:
            day = f"{row.date}_{row.laterality}"
            stems = days.setdefault(day, [])
            stem = os.path.splitext(row.file)[0]
            stems += [stem] if stem not in stems else []  # a.png and a.tif share a number
            names[row.file] = f"{patient}_{stems.index(stem) + 1:02d}_{day}{suffix}"
        else:
            names[row.file] = f"unnamed-{pseudonym(key, row.file)}{suffix}"
    return names


def _excluded(rows: list[VisitRow], names: dict[str, str]) -> str:
    """Write why files are left out, without the words of a person and without names of files."""
    table = [[names[row.file], _without_names(row.reason, names)] for row in rows if not row.used]
    return _as_text([["file", "reason"], *table]) if table else ""


def _without_names(reason: str, names: dict[str, str]) -> str:
    if reason.startswith("excluded: "):
        return f"excluded: the reason is in {EXCLUDED_FILE}, which is not passed on"

    def replaced(quoted: re.Match[str]) -> str:
        return repr(names.get(quoted[0][1:-1], "..."))

    return re.sub(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", replaced, reason)


def _landmarks(source: Path, names: dict[str, str]) -> str:
    """Write the landmarks under the new names; columns that have no meaning here are dropped."""
    if not source.is_file():
        return ""
    try:
        table = read_sheet(source).table
    except EyeError:
        return "unreadable\n"  # so that loading this eye says so, too
    matcher = FileMatcher(names)
    for column in LANDMARK_COLUMNS[:2]:
        if column in table:
            table[column] = [names.get(matcher.find(file), "unknown") for file in table[column]]
    kept = [column for column in (*LANDMARK_COLUMNS, USE, SNAPPED) if column in table]
    return _as_text([kept or ["unreadable"], *table[kept].to_numpy().tolist()])


def _as_text(rows: list[list[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _write_if_changed(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        with written_beside(path) as part:
            part.write_text(text, encoding="utf-8")


def _remove_others(folder: Path, kept: set[str]) -> None:
    for left in folder.iterdir():
        if left.name not in kept:
            _remove(left)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def check_results(results: Path | str, *, pseudonymous: bool = True) -> None:
    """Refuse a results folder of the other kind, where reports would show names and pseudonyms.

    Parameters
    ----------
    results : path
    pseudonymous : bool
        Whether the next run writes pseudonyms.

    Raises
    ------
    PseudonymError
        If the folder holds results of the other kind. The message says what to do.
    """
    results = Path(results)
    patients = {path.name[:-2] for path in results.glob("*_[LR]") if path.is_dir()}
    kinds = {bool(PSEUDONYM.fullmatch(name)) for name in patients - {*DEMO_PATIENTS}}
    if pseudonymous and False in kinds:
        held, remedy = "without pseudonyms", "choose another one (RESULTS=...)"
    elif not pseudonymous and True in kinds:
        held, remedy = "under pseudonyms", "add PSEUDONYM=1, or choose another one (RESULTS=...)"
    else:
        return
    raise PseudonymError(f"results folder {results.name!r} holds results {held}; {remedy}")
