"""The table of visits, ``visits.csv``: which file is which visit of which eye."""

import datetime
import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath

import pandas as pd

from fundus_helpers.files import state_of
from fundus_helpers.loading.eye_error import EyeError
from fundus_helpers.loading.tables.matching import normal_path, without_suffix
from fundus_helpers.loading.tables.sheets import read_numbers, read_sheet
from fundus_helpers.loading.visits.dates import (
    find_dates,
    look_at_date,
    order_of_dates,
    read_time,
)
from fundus_helpers.loading.visits.folder import refuse_patient
from fundus_helpers.loading.visits.names import read_laterality, says_both_eyes
from fundus_helpers.loading.visits.settings import KNOWN, NEEDED, NameSettings

# Names that exports give to the needed columns; an error message proposes them.
_USUAL = {
    "file": "filepath filename image imagepath imagefile path photo photograph name imagename",
    "patient": "pid patientid subject subjectid mrn id patientnumber patid person case",
    "eye": "laterality side eyeside lateralityeye imagelaterality auge",
    "date": "examdate visitdate acquisitiondate studydate day visit imagedate datum examdatetime",
}


@dataclass(frozen=True)
class TableRow:
    """A row of the table of visits.

    Attributes
    ----------
    number : int
        Number of the row in the file.
    file : str
        Path of the photograph as the table gives it.
    path : str
        The same as a path below the data folder, as `normal_path` writes it; empty if it lies
        elsewhere.
    patient, laterality : str
    date : date or None
    time : time or None
    modality, camera : str
    mm_per_pixel : float or None
    comment : str
    problem : str
        Why the visit is left out.
    note : str
        What a person should look at.
    more : mapping of str to str
        The cells of all other columns.
    """

    number: int
    file: str
    path: str
    patient: str
    laterality: str
    date: datetime.date | None
    time: datetime.time | None
    modality: str
    camera: str
    mm_per_pixel: float | None
    comment: str
    problem: str
    note: str
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class VisitTable:
    """The rows of the table of visits, and where they are found.

    Attributes
    ----------
    name : str
        Name of the file.
    by_patient : mapping of str to tuple of TableRow
    by_path : mapping of str to TableRow
        From paths below the data folder (`normal_path`), with and without ending.
    """

    name: str
    by_patient: Mapping[str, tuple[TableRow, ...]]
    by_path: Mapping[str, TableRow]

    def find(self, path: str) -> TableRow | None:
        """Return the row about a file, given by its path below the data folder."""
        key = normal_path(path)
        return self.by_path.get(key) or self.by_path.get(without_suffix(key))


def read_visit_table(data: Path | str, settings: NameSettings) -> VisitTable | None:
    """Read the table of visits of a data folder; None if there is none.

    The table is read again only after it has changed.

    Raises
    ------
    EyeError
        If it cannot be read or lacks a column; the message proposes ``VISITS_COLUMNS``.
    """
    if settings.table is None:
        return None
    state = state_of(settings.table)
    return _read(os.path.abspath(data), settings.table, settings.columns, state)


@lru_cache(maxsize=4)
def _read(
    data: str, path: Path, columns: tuple[tuple[str, str], ...], state: tuple[int, ...]
) -> VisitTable:
    sheet = read_sheet(path)
    cells = _rename(sheet.table, dict(columns), path.name)
    order = order_of_dates(cells["date"].tolist())
    more = tuple(name for name in cells if name not in (*NEEDED, *KNOWN))
    scale = cells.get("mm_per_pixel", pd.Series("", cells.index, dtype=str))
    scales = read_numbers(scale.to_frame("scale"), sheet.delimiter)["scale"]
    rows = [
        _row(data, number, row, order, scales[number], more)
        for number, row in zip(cells.index, cells.to_dict("records"), strict=True)
    ]
    rows += [_crowded(number) for number in sheet.crowded]
    rows = _told_once(rows)
    by_patient: dict[str, list[TableRow]] = {}
    by_path: dict[str, TableRow] = {}
    for row in rows:
        by_patient.setdefault(row.patient, []).append(row)
        for key in _paths(row):
            by_path.setdefault(key, row)
    return VisitTable(path.name, {p: tuple(r) for p, r in by_patient.items()}, by_path)


def _paths(row: TableRow) -> list[str]:
    """Return where the file may lie: below the data folder, or below the patient's folder."""
    return [row.path, normal_path(f"{row.patient}/{row.file}")] if row.path else []


def _rename(table: pd.DataFrame, columns: dict[str, str], name: str) -> pd.DataFrame:
    """Give the columns the names that they have here."""
    plain = {_plain(column): column for column in reversed(table.columns)}
    found = {key: plain.get(_plain(columns.get(key, key))) for key in (*NEEDED, *KNOWN)}
    missing = [key for key in NEEDED if found[key] is None]
    wrong = [key for key in columns if found[key] is None]
    if missing or wrong:
        raise EyeError(_missing(name, [*table.columns], [*dict.fromkeys(missing + wrong)], columns))
    named = {column: key for key, column in found.items() if column is not None}
    unused = [c for c in table if c in found and c not in named]  # another column has this part
    return table.rename(columns=named | {column: f"{column} (not used)" for column in unused})


def _missing(name: str, found: list[str], missing: list[str], columns: Mapping[str, str]) -> str:
    free = {_plain(column): column for column in found}
    guessed = {}
    for key in NEEDED:
        words = [key, *_USUAL[key].split()]
        guess = next((free[word] for word in words if word in free), None)
        if guess is None:
            guess = next((c for p, c in free.items() if any(w in p for w in words[:4])), "?")
        guessed[key] = columns[key] if key in columns and key not in missing else guess
    fitting = " ".join(f"{key}={_quoted(column)}" for key, column in guessed.items())
    wanted = ", ".join(columns.get(key, key) for key in missing)
    return (
        f"{name}: has no column {wanted}; its columns are {', '.join(found) or 'none'}. Name the "
        f'columns in its first line {", ".join(NEEDED)}, or give VISITS_COLUMNS="{fitting}"'
    )


def _quoted(column: str) -> str:
    return f"'{column}'" if " " in column else column


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _row(
    data: str, number: int, cells: Mapping[str, str], order: str, scale: float, more: tuple
) -> TableRow:
    doubtful = [key for key in NEEDED if "?" in cells[key]]
    empty = [key for key in NEEDED if not cells[key]]
    path, outside = _below(data, cells["file"])
    patient = unicodedata.normalize("NFC", cells["patient"])
    laterality = read_laterality(cells["eye"])
    look = look_at_date(cells["date"], order)
    time, note = _time(cells, look)
    problems = [
        f"a question mark is left in {' and '.join(doubtful)}" if doubtful else "",
        f"no {' and no '.join(empty)} given" if empty else "",
        f"{cells['file']!r} lies outside the data folder" if outside else "",
        "" if doubtful or empty else refuse_patient(patient),
        "" if doubtful or empty or laterality else _bad_eye(cells["eye"]),
        "" if doubtful or empty or (look and look.date) else _bad_date(cells["date"], look),
    ]
    if cells.get("mm_per_pixel") and not scale > 0:
        note = "; ".join(filter(None, [note, f"mm_per_pixel {cells['mm_per_pixel']!r} not used"]))
    problem = next((f"row {number}: {each}" for each in problems if each), "")
    return TableRow(
        number,
        cells["file"],
        path,
        patient,
        laterality,
        look and look.date,
        time,
        *(cells.get(key, "") for key in ("modality", "camera")),
        float(scale) if scale > 0 else None,
        cells.get("comment", ""),
        problem,
        note,
        {key: cells[key] for key in more},
    )


def _below(data: str, file: str) -> tuple[str, bool]:
    """Return a path below the data folder as `normal_path` writes it; True if it lies outside."""
    file = file.replace("\\", "/")
    if not file:
        return "", False
    if os.path.isabs(file) or (PurePosixPath(file).parts[:1] or [""])[0].endswith(":"):
        inside = os.path.relpath(file, data) if os.path.isabs(file) else ".."
    else:
        inside = os.path.normpath(file)
    if inside.split("/")[0] == "..":
        return "", True
    return normal_path(inside), False


def _time(cells: Mapping[str, str], look: object) -> tuple[datetime.time | None, str]:
    of_date = getattr(look, "time", None)
    given = cells.get("time", "")
    if not given:
        return of_date, ""
    dated = find_dates(given)  # spreadsheets write a time with a date before it
    time = dated[0].time if dated else read_time(given)
    return (time, "") if time else (of_date, f"time {given!r} not used")


def _bad_eye(eye: str) -> str:
    if says_both_eyes(eye):
        return f"{eye!r} means both eyes; an eye is L or R"
    return f"{eye!r} is no eye; write L or R"


def _bad_date(date: str, look: object) -> str:
    problem = getattr(look, "problem", "") or f"{date!r} is not a date"
    return f"{problem}; write it like 2019-05-28"


def _told_once(rows: list[TableRow]) -> list[TableRow]:
    """Mark files that several rows name: one row is enough if they agree, none if they do not."""
    first: dict[str, TableRow] = {}
    contradicted = set()
    for row in rows:
        known = first.setdefault(row.path, row) if row.path else row
        if known is not row and _visit(known) != _visit(row):
            contradicted.add(row.path)
    return [
        replace(row, problem=f"row {row.number}: {_twice(row, first, contradicted)}")
        if row.path and (row.path in contradicted or first[row.path] is not row)
        else row
        for row in rows
    ]


def _visit(row: TableRow) -> tuple[object, ...]:
    return row.patient, row.laterality, row.date, row.problem.partition(": ")[2]


def _twice(row: TableRow, first: Mapping[str, TableRow], contradicted: set[str]) -> str:
    if row.path in contradicted:
        return f"several rows name {row.file!r}, and contradict each other"
    return f"{row.file!r} is named already in row {first[row.path].number}"


def _crowded(number: int) -> TableRow:
    problem = f"row {number}: more cells than columns; put quotation marks around cells with commas"
    return TableRow(number, "", "", "", "", None, None, "", "", None, "", problem, "")
