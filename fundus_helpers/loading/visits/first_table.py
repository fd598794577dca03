"""A first table of visits, written from names, folders and headers, for a person to correct."""

import csv
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fundus_helpers.loading.eye_error import EyeError
from fundus_helpers.loading.visits.dates import find_dates
from fundus_helpers.loading.visits.folder import DEMO_PATIENTS, PHOTOGRAPH, look_at_file
from fundus_helpers.loading.visits.listing import DataListing
from fundus_helpers.loading.visits.names import PATTERN, is_no_patient
from fundus_helpers.loading.visits.rows import MAKE_VISITS, VisitRow, row_by_name
from fundus_helpers.loading.visits.settings import KNOWN, NEEDED, table_path

_NO_PATIENTS = {"all", "data", "export", "fundus", "images", "photographs", "photos", "pictures"}


def write_visit_table(data: Path | str, path: Path | str | None = None) -> tuple[Path, int, int]:
    """Write a first table of visits, which wins over names as soon as it lies in the data folder.

    A question mark stands where something is guessed or not known. A row with a question mark is
    left out until a person has corrected it.

    Parameters
    ----------
    data : path
    path : path, optional
        Where to write the table; the default is ``VISITS``, or ``visits.csv`` in the data folder.

    Returns
    -------
    path : Path
    rows : int
        Number of photographs in the table.
    doubtful : int
        Number of rows with a question mark.

    Raises
    ------
    EyeError
        If there is such a table already; it is never overwritten.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as data:
    ...     Path(data, "007").mkdir()
    ...     Path(data, "007", "Roe_OS_20190528.jpg").touch()
    ...     path, rows, doubtful = write_visit_table(data)
    ...     print(path.read_text(encoding="utf-8-sig"), rows, doubtful)
    file,patient,eye,date,time,modality,camera,mm_per_pixel,comment
    007/Roe_OS_20190528.jpg,007,L,2019-05-28,,,,,
     1 0
    """
    path = Path(path or table_path(data))
    if path.exists():
        raise EyeError(
            f"{path.name} exists already and is not overwritten; correct it, or rename it first"
        )
    rows = [*_rows(DataListing(data, by_table=False))]
    # The mark at the beginning tells spreadsheets that the text is UTF-8.
    if not path.parent.is_dir():
        raise EyeError(
            f"VISITS={path.name}: its folder does not exist; make the folder, or give another path"
        )
    with path.open("x", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([[*NEEDED, *KNOWN], *rows])
    return path, len(rows), sum(any("?" in cell for cell in row[: len(NEEDED)]) for row in rows)


def _rows(listing: DataListing) -> Iterator[list[str]]:
    for row in listing.everything():
        named = row.path is not None and os.path.isfile(row.path)
        if row.kind != PHOTOGRAPH or not named or row.patient in DEMO_PATIENTS:
            continue
        if not (row.date and row.laterality) and MAKE_VISITS not in row.reason:
            continue  # a copy, a backup or another file that no table makes a visit
        if not row.patient:
            row = replace(row_by_name(look_at_file(row.path, ()), "", PATTERN), reason=row.reason)
        date = row.date.isoformat() if row.date else _guess(row)
        side = row.laterality or "?"
        if row.reason and row.date and row.laterality:  # left out by its name or folder
            date, side = (date, f"{side}?") if " eye" in row.reason else (f"{date}?", side)
        reason = row.reason.partition(";")[0]  # what to do, the person does now
        comment = "; ".join(filter(None, [row.note, reason]))
        yield [
            os.path.relpath(row.path, listing.data).replace(os.sep, "/"),
            _patient(row),
            side,
            date,
            row.time.isoformat() if row.time else "",
            row.modality,
            row.camera,
            f"{row.mm_per_pixel:.6g}" if row.mm_per_pixel else "",
            comment,
        ]


def _guess(row: VisitRow) -> str:
    """Guess the day first in a date that is not clear, with a question mark."""
    found = [one.date for one in find_dates(os.path.basename(row.file), "day") if one.date]
    return f"{found[0]}?" if len(found) == 1 else "?"


def _patient(row: VisitRow) -> str:
    """Return the name of the patient's folder; a guess if it is hardly a patient's."""
    if row.patient:
        doubtful = is_no_patient(row.patient) or row.patient.lower() in _NO_PATIENTS
        return f"{row.patient}?" if doubtful else row.patient
    first = re.split(r"[_ ]", os.path.splitext(row.file)[0])[0]
    return f"{first}?" if first and not find_dates(first) else "?"
