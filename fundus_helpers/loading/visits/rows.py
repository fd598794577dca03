"""The rows of the table of visits: one per file, each used or left out with the reason."""

import datetime
import hashlib
import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fundus_helpers.loading.visits.contents import same_contents
from fundus_helpers.loading.visits.dates import doubt_of_date
from fundus_helpers.loading.visits.folder import (
    OTHER_FILE,
    PHOTOGRAPH,
    TABLE_ROW,
    FoundFile,
    printable,
    stem_of,
)
from fundus_helpers.loading.visits.headers import header_of
from fundus_helpers.loading.visits.names import (
    is_folder_of_photographs,
    is_no_patient,
    laterality_of_patient_folder,
    read_modality,
    read_name,
)
from fundus_helpers.loading.visits.table import TableRow

# The columns of `list_visits`, in this order.
COLUMNS = (
    *("patient", "laterality", "visit", "date", "time", "modality", "camera", "mm_per_pixel"),
    *("file", "used", "reason", "note"),
)
MAKE_VISITS = "in visits.csv (`make visits`)"
WAY_OUT = f"rename it like eye_YYYY-MM-DD_L, or name it {MAKE_VISITS}"
_LONGEST_NAME = 200  # bytes, so that results of a visit can add words to its name


@dataclass
class VisitRow:
    """A row of the table of visits, and the file that it is about.

    Attributes
    ----------
    patient, laterality, visit, date, time, modality, camera, mm_per_pixel, file, used, reason, note
        See `loading.list_visits`.
    kind : str
        `PHOTOGRAPH`, `OTHER_FILE`, `FOLDER` or `TABLE_ROW`.
    path : Path or None
        The file; None if there is none.
    more : mapping of str to str
        Further columns of the table of visits.
    """

    patient: str
    laterality: str = ""
    visit: str = ""
    date: datetime.date | None = None
    time: datetime.time | None = None
    modality: str = ""
    camera: str = ""
    mm_per_pixel: float | None = None
    file: str = ""
    used: bool = True
    reason: str = ""
    note: str = ""
    kind: str = PHOTOGRAPH
    path: Path | None = None
    more: Mapping[str, str] = field(default_factory=dict)

    def leave_out(self, reason: str) -> None:
        """Leave the file out, with the first reason that was found."""
        if self.used:
            self.used, self.reason = False, reason

    def tell(self, note: str) -> None:
        """Add a note for a person to look at."""
        self.note = "; ".join(filter(None, [self.note, note]))


def row_by_name(found: FoundFile, patient: str, pattern: str) -> VisitRow:
    """Make the row of a file from its name, its folders, and its header if those do not suffice.

    Parameters
    ----------
    found : FoundFile
    patient : str
    pattern : str
        See `names.read_name`.
    """
    row = _row_of_file(found, patient)
    if not row.used:
        return row
    strange = [folder for folder in found.folders if not is_folder_of_photographs(folder)]
    if strange:
        row.leave_out(
            f"in the subfolder {printable(strange[0])!r}, whose name says no date, eye or visit; "
            f"move it up, or name it {MAKE_VISITS}"
        )
    name = read_name(found.stem, found.folders, pattern=pattern)
    row.date, row.time, row.laterality = name.date, name.time, name.laterality
    row.modality = read_modality(found.stem, found.folders)
    row.tell(name.note)
    if name.problem:
        row.leave_out(f"{name.problem}; {WAY_OUT}")
    if row.used and not (row.date and row.laterality):
        _complete(row, patient)
    return row


def row_by_table(told: TableRow, found: FoundFile | None, table: str) -> VisitRow:
    """Make a row from the table of visits.

    Parameters
    ----------
    told : TableRow
    found : FoundFile or None
        The file that it names; None if there is no such file.
    table : str
        Name of the table.
    """
    patient = printable(told.patient)
    row = _row_of_file(found, patient) if found else VisitRow(patient, kind=TABLE_ROW)
    row.file = row.file or printable(told.file)
    row.laterality, row.date, row.time = told.laterality, told.date, told.time
    row.modality, row.camera, row.mm_per_pixel = told.modality, told.camera, told.mm_per_pixel
    row.more = {"comment": told.comment, **told.more}
    if row.kind == OTHER_FILE and row.path is not None:  # its content tells what it is
        row.kind, row.used, row.reason = PHOTOGRAPH, True, ""
    row.tell(told.note)
    if told.problem:
        row.leave_out(f"{table}, {told.problem}")
    if found and os.path.isdir(found.path):
        row.kind, row.visit = TABLE_ROW, ""
    if found is None:
        row.leave_out(f"{table}, row {told.number}: there is no such file")
        row.used, row.visit = False, ""
    return row


def _row_of_file(found: FoundFile, patient: str) -> VisitRow:
    row = VisitRow(patient, file=printable(found.relative), kind=found.kind, note=found.note)
    row.path = found.path
    row.visit = visit_name(found.relative)
    if found.reason:
        row.leave_out(found.reason)
    return row


def visit_name(file: str) -> str:
    """Return the name under which the results of a file are stored, safe as the name of a file.

    It is the name of the file without its ending. Folders above it are written before it.
    """
    stem = stem_of(file).replace("/", "_")
    name = printable(stem)
    if len(name.encode()) > _LONGEST_NAME:
        mark = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = name.encode()[: _LONGEST_NAME - 9].decode(errors="ignore") + f"-{mark}"
    return name


def _complete(row: VisitRow, patient: str) -> None:
    """Take the date and the eye from the header, or the eye from the patient's folder."""
    header = header_of(row.path) if row.path else None
    if header and not row.date and header.date:
        row.date, row.time = header.date, header.time
        row.tell("date from the header of the file")
    if header and not row.laterality and header.laterality:
        row.laterality = header.laterality
        row.tell("eye from the header of the file")
    if not row.laterality and not is_no_patient(patient):
        row.laterality = laterality_of_patient_folder(patient)
        row.tell("eye from the name of the patient's folder" if row.laterality else "")
    if header:
        row.modality = row.modality or header.modality or ""
        row.camera, row.mm_per_pixel = header.camera or "", header.mm_per_pixel
    missing = [w for w, known in (("date", row.date), ("eye", row.laterality)) if not known]
    if missing:
        where = "in its name, its folder or its header"
        row.leave_out(f"no {' and no '.join(missing)} {where}; {WAY_OUT}")


def finish(rows: list[VisitRow]) -> list[VisitRow]:
    """Sort the rows of a patient, and leave out what is there twice.

    Photographs come in the order of date, time and name.
    """
    rows.sort(key=_order)
    names: dict[tuple[str, str], VisitRow] = {}
    for row in rows:
        if not row.visit or row.kind != PHOTOGRAPH:
            continue
        key = row.laterality, unicodedata.normalize("NFC", row.visit)
        twin = names.setdefault(key, row)
        if twin is row:
            continue
        if twin.date == row.date and stem_of(twin.file) == stem_of(row.file):
            if row.used and twin.used:
                row.leave_out("another file has this name, with another ending")
        else:
            mark = hashlib.sha256(row.file.encode()).hexdigest()[:8]
            row.visit = f"{row.visit[: _LONGEST_NAME - 9]}-{mark}"
        if row.used and not twin.used:
            names[key] = row
    _use_contents_once([row for row in rows if row.used and row.path is not None])
    for row in rows:
        if row.used and row.date and (doubt := doubt_of_date(row.date)):
            row.tell(doubt)
    return rows


def tell_shared(rows: Sequence[VisitRow]) -> None:
    """Tell which used photographs of different patients have the same content.

    Parameters
    ----------
    rows : sequence of VisitRow
        Those of all patients.
    """
    by_path = {row.path: row for row in rows if row.used and row.path is not None}
    for group in same_contents(by_path):
        patients = {by_path[path].patient for path in group}
        for row in (by_path[path] for path in group):
            for other in sorted(patients - {row.patient})[:1]:
                row.tell(f"patient {other!r} has a photograph of the same content")


def _order(row: VisitRow) -> tuple[object, ...]:
    return row.date or datetime.date.max, row.time or datetime.time.min, row.file


def _use_contents_once(rows: Sequence[VisitRow]) -> None:
    by_path = {row.path: row for row in rows}
    for group in same_contents(by_path):
        first: dict[str, VisitRow] = {}
        for row in (by_path[path] for path in group):
            kept = first.setdefault(row.laterality, row)
            if kept is row:
                continue
            other = f" of {kept.date}" if kept.date != row.date else ""
            row.leave_out(f"the same content as {kept.file!r}{other}, which is used once")
            if other:
                kept.tell(f"{row.file!r} of {row.date} has the same content; check the date")
        if len(first) > 1:
            for row in first.values():
                row.tell("the other eye has a photograph of the same content")
