"""Pseudonyms: a folder of links shows the photographs without the names of the patients.

``fundus pseudonyms view DATA VIEW RESULTS`` makes this folder. ``fundus pseudonyms name PATIENT
DATA RESULTS`` prints the pseudonym of a patient. ``fundus pseudonyms plain RESULTS`` is called
before a run without pseudonyms. It fails if the results folder holds results under pseudonyms.
"""

import hashlib
import hmac
import os
import re
import secrets
import shutil
from pathlib import Path

import pandas as pd

from fundus_helpers.files import SUFFIXES, written_beside
from fundus_helpers.loading.visits import DEMO_PATIENTS, PATTERN, read_date

KEY_VARIABLE = "FUNDUS_PSEUDONYM_KEY"
PSEUDONYM = re.compile(r"P[0-9a-f]{12}")


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
    return "P" + hmac.new(key, name.encode(), hashlib.sha256).hexdigest()[:12]


def make_view(data: Path | str, view: Path | str, key: bytes) -> list[str]:
    """Make a folder of links to the photographs, named by pseudonym and date.

    Dates and lateralities stay, because they are needed to follow an eye over time. Everything else
    in the name of a file is dropped, even if the name contains no date.

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
    data, view = Path(data).resolve(), Path(view)
    patients = sorted(p for p in data.iterdir() if p.is_dir() and not p.name.startswith("."))
    named = {pseudonym(key, path.name): path for path in patients}
    if len(named) < len(patients):
        raise PseudonymError("two patients get the same pseudonym; use another key")
    view.mkdir(parents=True, exist_ok=True)
    for left in view.iterdir():
        if left.name not in named:
            shutil.rmtree(left)
    for name, folder in named.items():
        _show_patient(folder, view / name, key)
    return sorted(named)


def _show_patient(folder: Path, shown: Path, key: bytes) -> None:
    shown.mkdir(exist_ok=True)
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    names = _names([path for path in files if not path.name.startswith(".")], shown.name, key)
    kept = set(names.values())
    for file, name in names.items():
        link = shown / name
        if not (link.is_symlink() and link.readlink() == folder / file):
            link.unlink(missing_ok=True)
            link.symlink_to(folder / file)
    if (folder / "landmarks.csv").exists():
        kept.add("landmarks.csv")
        _rename_landmarks(folder / "landmarks.csv", shown / "landmarks.csv", names)
    for left in shown.iterdir():
        if left.name not in kept:
            left.unlink()


def _names(files: list[Path], patient: str, key: bytes) -> dict[str, str]:
    """Return the new name of each file. A number keeps the order of the files of a day."""
    names: dict[str, str] = {}
    days: dict[str, list[str]] = {}
    for file in files:
        found = re.fullmatch(PATTERN, file.stem)
        if found and (date := _date(found["date"])):
            day = f"{date}_{found['laterality']}"
            stems = days.setdefault(day, [])
            stems += [file.stem] if file.stem not in stems else []  # a.png and a.tif share a number
            number = stems.index(file.stem) + 1
            names[file.name] = f"{patient}_{number:02d}_{day}{file.suffix.lower()}"
        else:
            names[file.name] = f"unnamed-{pseudonym(key, file.name)}{file.suffix.lower()}"
    return names


def _date(text: str) -> str:
    """Return a date for the new name of a file; empty if the text could be a part of a name."""
    if date := read_date(text):
        return date.isoformat()
    return text if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) else ""


def _rename_landmarks(source: Path, target: Path, names: dict[str, str]) -> None:
    table = pd.read_csv(source)
    for column in ("fixed_file", "moving_file"):
        if column in table:
            table[column] = table[column].map(lambda file: names.get(file, "unknown"))
    text = table.to_csv(index=False)
    if not target.exists() or target.read_text() != text:
        with written_beside(target) as part:
            part.write_text(text)


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
