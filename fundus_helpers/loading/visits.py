"""The visits of an eye: its files in the data folder, with date and side read from their names."""

import datetime
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from fundus_helpers.files import SUFFIXES

# The patients of `make demo` and the modality of their photographs; a cohort leaves them out.
DEMO_PATIENTS = {"demo_colour": "colour", "demo_autofluorescence": "autofluorescence"}
# The name of a visit's file without its ending, for example: anything_2019-05-28_L
PATTERN = r".+_(?P<date>[^_]+)_(?P<laterality>[LR])"


class EyeError(ValueError):
    """An eye that cannot be loaded; the message says what was given and what to do."""


def data_folder(data: Path | str) -> Path:
    """Return the data folder after checking that it exists.

    Raises
    ------
    EyeError
        If it does not exist.
    """
    data = Path(data)
    if not data.is_dir():
        raise EyeError(
            f"data folder {data.name!r} does not exist; it must hold one folder per patient (see "
            "data/README.md). Check the name, or run `make demo`, which needs no data"
        )
    return data


def patient_folder(data: Path | str, patient: str) -> Path:
    """Return the folder of a patient, which must lie inside the data folder.

    Raises
    ------
    EyeError
        If a folder is missing, if the patient's name is a path (``..``, absolute), or if the folder
        is a link.
    """
    folder = data_folder(data) / patient
    if not patient or patient.startswith(".") or Path(patient).name != patient:
        raise EyeError(
            f"patient {patient!r} is not the plain name of a folder in the data folder; give a "
            "name without a path, for example 007"
        )
    if folder.is_symlink():
        raise EyeError(
            f"patient {patient!r} is a link, not a folder; move the folder into the data folder"
        )
    if not folder.is_dir():
        raise EyeError(
            f"no patient {patient!r} in the data folder; check the name (007 is not the same as 7)"
        )
    return folder


def find_eyes(data: Path | str, *, pattern: str = PATTERN) -> list[tuple[str, str]]:
    """List the eyes in a data folder as (patient, laterality), sorted.

    Parameters
    ----------
    data, pattern
        See `list_visits`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import fundus_helpers as fh
    >>> with tempfile.TemporaryDirectory() as data:
    ...     Path(data, "007").mkdir()
    ...     Path(data, "007", "eye_2019-05-28_L.png").touch()
    ...     Path(data, "007", "eye_2019-05-28_R.png").touch()
    ...     fh.find_eyes(data)
    [('007', 'L'), ('007', 'R')]
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
    """Read a date like 2019-05-28; None if the text is not such a date."""
    try:
        return datetime.datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        return None


def cohort_eyes(data: Path | str, part: str = "1/1") -> list[tuple[str, str]]:
    """List the eyes of a cohort as (patient, laterality): all eyes except those of the demo.

    Parameters
    ----------
    data : path
        Folder with one folder per patient.
    part : str
        ``3/100`` selects every hundredth eye, beginning with the third, so that a cohort can be
        run in 100 separate parts. ``1/1`` selects all eyes.

    Raises
    ------
    EyeError
        If `part` is not of this form.
    """
    number, _, parts = part.partition("/")
    if not (number.isdigit() and parts.isdigit() and 1 <= int(number) <= int(parts)):
        raise EyeError(f"part {part!r} of a cohort is not like '3/100' (the third of 100 parts)")
    eyes = [eye for eye in find_eyes(data) if eye[0] not in DEMO_PATIENTS]
    return eyes[int(number) - 1 :: int(parts)]


def list_visits(
    data: Path | str, patient: str, laterality: str, *, pattern: str = PATTERN
) -> pd.DataFrame:
    """List the files of one eye, without opening them.

    Parameters
    ----------
    data : path
        Folder with one folder per patient.
    patient : str
        Name of the patient's folder.
    laterality : {"L", "R"}
    pattern : str
        Regular expression with the groups ``date`` (YYYY-MM-DD) and ``laterality``. The whole name
        of a file, without its ending, must match it.

    Returns
    -------
    DataFrame
        One row per file: ``patient``, ``laterality``, ``visit``, ``date``, ``file``, ``used``, and
        the ``reason`` why a file is not used. Sorted by date, then by name.

    Raises
    ------
    EyeError
        If the laterality is not L or R, or the patient has no folder.
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
            reason = "" if date else f"{found['date']!r} in the name is not a date (YYYY-MM-DD)"
        rows.append((patient, laterality, path.stem, date, path.name, not reason, reason))
    rows.sort(key=lambda row: (row[3] or datetime.date.max, row[4]))
    columns = ["patient", "laterality", "visit", "date", "file", "used", "reason"]
    visits = pd.DataFrame(rows, columns=columns)
    twins = visits["visit"].duplicated() & visits["used"]  # results are stored under this name
    visits.loc[twins, ["used", "reason"]] = False, "another file has this name, with another ending"
    return visits


def keep_commonest_size(
    visits: pd.DataFrame, sizes: Mapping[int, tuple[int, int]]
) -> tuple[int, int] | None:
    """Leave out, in place, the photographs that do not have the commonest size, with the reason.

    Parameters
    ----------
    visits : DataFrame
        As `list_visits` gives it; its columns ``used`` and ``reason`` are changed.
    sizes : mapping of int to (width, height)
        From the rows of `visits` to the sizes of their photographs.

    Returns
    -------
    (width, height) or None
        The commonest size, the first one of several; None if there are no sizes.
    """
    if not sizes:
        return None
    commonest = Counter(sizes.values()).most_common(1)[0][0]
    for row, size in sizes.items():
        if size != commonest:
            reason = "{} x {} px, most visits are {} x {}".format(*size, *commonest)
            visits.loc[row, ["used", "reason"]] = False, reason
    return commonest


def too_few(visits: pd.DataFrame, patient: str, laterality: str) -> str:
    """Return the message that an eye has too few visits, with the reason for each unused file."""
    reasons = [f"{row.file}: {row.reason}" for row in visits[~visits["used"]].itertuples()]
    found = f"eye {patient} {laterality}: {visits['used'].sum()} usable photographs, 2 are needed"
    return "\n  ".join([found, *reasons])
