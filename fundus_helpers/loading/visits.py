"""The visits of an eye: files found in the data folder and told apart by their names."""

import datetime
import re
from pathlib import Path

import pandas as pd

from fundus_helpers.files import SUFFIXES

# The painted eyes of `make demo`, and how they look; no part of a cohort.
DEMO_PATIENTS = {"demo_colour": "colour", "demo_autofluorescence": "autofluorescence"}


# What the name of a visit's file, without its ending, looks like: anything_2019-05-28_L
PATTERN = r".+_(?P<date>[^_]+)_(?P<laterality>[LR])"


class EyeError(ValueError):
    """An eye that cannot be loaded; the message names what was given and what to do."""


def data_folder(data: Path | str) -> Path:
    """Return the data folder.

    Raises
    ------
    EyeError
        If there is none.
    """
    data = Path(data)
    if not data.is_dir():
        raise EyeError(
            f"data folder {data.name!r} does not exist; it should hold a folder for each patient "
            "(data/README.md); `make demo` runs without any"
        )
    return data


def patient_folder(data: Path | str, patient: str) -> Path:
    """Find the folder of a patient, refusing any that leaves the data folder.

    Raises
    ------
    EyeError
        If a folder is missing, or the patient's name is a path (``..``, absolute) or a link.
    """
    folder = data_folder(data) / patient
    if not patient or patient.startswith(".") or Path(patient).name != patient:
        raise EyeError(f"patient {patient!r} is not the plain name of a folder in the data folder")
    if folder.is_symlink():
        raise EyeError(
            f"patient {patient!r} is a link; move the folder itself into the data folder"
        )
    if not folder.is_dir():
        raise EyeError(f"no patient {patient!r} in the data folder; check the name, 007 is not 7")
    return folder


def find_eyes(data: Path | str, *, pattern: str = PATTERN) -> list[tuple[str, str]]:
    """List the eyes in a data folder as (patient, laterality), sorted.

    Parameters
    ----------
    data, pattern
        See `list_visits`.
    """
    data = Path(data)
    eyes = set()
    for path in data.glob("*/*"):
        found = re.fullmatch(pattern, path.stem)
        hidden = path.name.startswith(".") or path.parent.name.startswith(".")
        if found and path.suffix.lower() in SUFFIXES and not hidden:
            eyes.add((path.parent.name, found["laterality"]))
    return sorted(eyes)


def read_date(text: str) -> datetime.date | None:
    """Read the date in a file's name; None if it is none."""
    try:
        return datetime.datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        return None


def cohort_eyes(data: Path | str, part: str = "1/1") -> list[tuple[str, str]]:
    """List the eyes of a cohort as (patient, laterality): all there are but the painted demo's.

    Parameters
    ----------
    data : path
        Holds a folder for each patient.
    part : str
        ``3/100``: every hundredth eye, from the third on; a cohort in runs of their own.

    Raises
    ------
    EyeError
        For a part that is not like ``3/100``.
    """
    number, _, parts = part.partition("/")
    if not (number.isdigit() and parts.isdigit() and 1 <= int(number) <= int(parts)):
        raise EyeError(f"part {part!r} of a cohort is not like '3/100'")
    eyes = [eye for eye in find_eyes(data) if eye[0] not in DEMO_PATIENTS]
    return eyes[int(number) - 1 :: int(parts)]


def list_visits(
    data: Path | str, patient: str, laterality: str, *, pattern: str = PATTERN
) -> pd.DataFrame:
    """List the files of one eye without opening them; what the name rules out has its reason.

    Parameters
    ----------
    data : path
        Holds a folder for each patient.
    patient : str
        Name of the patient's folder.
    laterality : {"L", "R"}
    pattern : str
        Regular expression with the groups ``date`` (YYYY-MM-DD) and ``laterality``, which the
        whole name of a file, without its ending, must match.

    Returns
    -------
    DataFrame
        ``patient``, ``laterality``, ``visit``, ``date``, ``file``, ``used``, ``reason``; sorted by
        date, then by name, the same on every machine.
    """
    if laterality not in ("L", "R"):
        raise EyeError(f"laterality {laterality!r} is neither 'L' (left) nor 'R' (right)")
    rows = []
    for path in patient_folder(data, patient).iterdir():
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        found = re.fullmatch(pattern, path.stem)
        if found and found["laterality"] != laterality:
            continue
        date, reason = (None, "") if found else (None, "name does not end in _YYYY-MM-DD_L or _R")
        if found:
            date = read_date(found["date"])
            reason = "" if date else f"{found['date']!r} in its name is no date (YYYY-MM-DD)"
        rows.append((patient, laterality, path.stem, date, path.name, not reason, reason))
    rows.sort(key=lambda row: (row[3] or datetime.date.max, row[4]))
    columns = ["patient", "laterality", "visit", "date", "file", "used", "reason"]
    visits = pd.DataFrame(rows, columns=columns)
    twins = visits["visit"].duplicated() & visits["used"]  # results are filed by this name
    visits.loc[twins, ["used", "reason"]] = False, "another file has this name, with another ending"
    return visits


def too_few(visits: pd.DataFrame, patient: str, laterality: str) -> str:
    """Say that an eye has not enough visits, and why each file was left out."""
    reasons = [f"{row.file}: {row.reason}" for row in visits[~visits["used"]].itertuples()]
    found = f"eye {patient} {laterality}: {visits['used'].sum()} usable photographs, 2 are needed"
    return "\n  ".join([found, *reasons])
