"""Everything that lies in a data folder: a row for every file, used or left out, and why."""

import os
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from fundus_helpers.loading.tables.exclusions import EXCLUDED_FILE, read_exclusions
from fundus_helpers.loading.tables.matching import normal_path, without_suffix
from fundus_helpers.loading.visits.folder import (
    DEMO_PATIENTS,
    DEMO_TRUTH,
    FOLDER,
    OTHER_FILE,
    PHOTOGRAPH,
    TABLE_ROW,
    FoundFile,
    data_folder,
    find_files,
    is_of_program,
    is_own_folder,
    look_at_file,
    odd_patient,
    printable,
    refuse_patient,
    unusable_folder,
)
from fundus_helpers.loading.visits.names import PATTERN, fitting_pattern, is_no_patient
from fundus_helpers.loading.visits.rows import (
    MAKE_VISITS,
    WAY_OUT,
    VisitRow,
    finish,
    row_by_name,
    row_by_table,
)
from fundus_helpers.loading.visits.settings import NameSettings, pattern_of_run, read_settings
from fundus_helpers.loading.visits.table import TableRow, VisitTable, read_visit_table


class DataListing:
    """The files of a data folder, by patient.

    Parameters
    ----------
    data : path
    pattern : str
        See `loading.list_visits`.
    by_table : bool
        Read the table of visits, if there is one.

    Raises
    ------
    EyeError
        If there is no such folder, or its table of visits or the pattern cannot be used.
    """

    def __init__(self, data: Path | str, pattern: str = PATTERN, *, by_table: bool = True) -> None:
        self.data = data_folder(data)
        if by_table:
            self._settings = read_settings(self.data, pattern)
        else:
            self._settings = NameSettings(pattern=pattern_of_run(pattern))
        self._table = read_visit_table(self.data, self._settings)
        self._known: dict[Path, dict[str, str]] = {}

    def patients(self) -> list[str]:
        """Return the names of all patients: the folders, and those that the table names."""
        folders = {entry.name for entry in self._entries() if not os.path.isfile(entry)}
        told = self._table.by_patient if self._table else {}
        names = {name for name in told if not refuse_patient(name)}
        return sorted(names | {name for name in folders if not is_of_program(name)})

    def is_told(self, patient: str) -> bool:
        """Whether the table of visits names a patient, who then needs no folder."""
        told = self._table is not None and patient in self._table.by_patient
        return told and not refuse_patient(patient)

    def everything(self) -> Iterator[VisitRow]:
        """Yield a row for every file, then for all that names no file, patient by patient."""
        for patient in self.patients():
            yield from self.of_patient(patient)
        yield from self._outside_folders()

    def of_patient(self, patient: str) -> list[VisitRow]:
        """Return the rows of a patient; those that are no photographs come last."""
        folder = self.data / patient
        unusable = unusable_folder(folder)
        unusable = unusable and f"the folder {unusable}"
        if reason := odd_patient(patient) or unusable or self._spelled_twice(patient):
            return self._refused_patient(patient, reason)
        table = None if patient in DEMO_PATIENTS else self._table
        masks = DEMO_TRUTH if patient in DEMO_PATIENTS else ""
        found = [*find_files(folder, masks=masks)] if os.path.isdir(folder) else []
        if table is None:
            pattern = PATTERN if patient in DEMO_PATIENTS else self._settings.pattern
            rows = [row_by_name(one, patient, pattern) for one in found]
        else:
            rows = self._by_table(table, patient, found)
        self._exclude(rows, patient)
        photographs = [row for row in rows if row.kind == PHOTOGRAPH]
        others = [row for row in rows if row.kind != PHOTOGRAPH]
        if is_no_patient(patient) and photographs:
            words = f"the folder {patient!r} is named like a date or an eye, not like a patient"
            for row in photographs:
                row.tell(words)
        finish(photographs)
        named_elsewhere = table and not photographs and any(o.kind == PHOTOGRAPH for o in found)
        if not any(row.laterality for row in rows) and not named_elsewhere:
            others.append(_without_eye(patient, photographs))
        return photographs + others

    def folder_of(self, patient: str) -> Path:
        """Return the folder that the names of a patient's files are relative to.

        It is the patient's folder, or the data folder if the table of visits names files elsewhere.
        """
        own = self.data / patient
        told = self._table.by_patient.get(patient, ()) if self._table else ()
        inside = normal_path(patient) + "/"
        outside = [r for r in told if r.path and not r.path.startswith(inside)]
        if patient not in DEMO_PATIENTS and any(
            self._located(row) for row in outside if not os.path.exists(own / row.file)
        ):
            return self.data
        return own

    def _by_table(self, table: VisitTable, patient: str, found: list[FoundFile]) -> list[VisitRow]:
        base, rows, seen = self.folder_of(patient), [], set()
        for one in found:
            told = table.find(f"{patient}/{one.relative}") if one.kind != FOLDER else None
            if told is None:
                row = row_by_name(one, patient, PATTERN)
                row.laterality, row.note = "", ""
                row.used, row.reason = False, one.reason or f"not in {table.name}"
            elif told.patient != patient:
                continue
            else:
                seen.add(told.number)
                row = row_by_table(told, look_at_file(one.path, one.folders), table.name)
            row.file = printable(os.path.relpath(one.path, base))
            rows.append(row)
        for told in table.by_patient.get(patient, ()):
            if told.number not in seen:
                rows.append(self._elsewhere(table, told, base))
        return rows

    def _elsewhere(self, table: VisitTable, told: TableRow, base: Path) -> VisitRow:
        """Make the row of a file that does not lie in its patient's folder."""
        repeated = told.path and table.find(told.path) is not told
        one = None if repeated else self._located(told)
        row = row_by_table(told, one, table.name)
        if one:
            row.file = printable(os.path.relpath(one.path, base))
        return row

    def _located(self, told: TableRow) -> FoundFile | None:
        """Find the file that a row names; the path is relative to the data folder."""
        if not told.path:
            return None
        exact = self.data / told.file.replace("\\", "/")
        below = not os.path.isabs(told.file) and ".." not in exact.parts
        if below and os.path.lexists(exact):
            return look_at_file(exact, exact.relative_to(self.data).parts[:-1])
        folder, *names = self.data, *told.path.split("/")
        for name in names:
            known = self._names_in(folder)
            if name not in known:
                return None
            folder = folder / known[name]
        return look_at_file(folder, folder.relative_to(self.data).parts[:-1])

    def _names_in(self, folder: Path) -> dict[str, str]:
        """Return the names in a folder by how they are compared, with and without ending."""
        if folder not in self._known:
            try:
                names = sorted(os.listdir(folder))
            except OSError:  # no folder, or one that may not be read
                names = []
            known = {without_suffix(normal_path(name)): name for name in names}
            self._known[folder] = known | {normal_path(name): name for name in names}
        return self._known[folder]

    def _exclude(self, rows: list[VisitRow], patient: str) -> None:
        """Leave out what ``excluded.csv`` names: in the folder of the file, or in one above it."""
        named = {row.path: row for row in rows if row.path and row.kind == PHOTOGRAPH}
        folders = {self.data, self.data / patient}
        for parent in {path.parent for path in named}:
            while parent not in folders and parent != parent.parent:
                folders.add(parent)
                parent = parent.parent
        for folder in sorted(folders):
            if not os.path.lexists(folder / EXCLUDED_FILE):
                continue
            files = {
                path.relative_to(folder).as_posix(): row
                for path, row in named.items()
                if folder in path.parents
            }
            excluded, unknown = read_exclusions(folder, files)
            for file, reason in excluded.items():
                if self._settings.self_contained:  # whose reasons are whole
                    reason = reason.removeprefix("excluded: ")
                files[file].used, files[file].reason = False, reason
            if folder != self.data:
                rows += [VisitRow(patient, used=False, reason=u, kind=TABLE_ROW) for u in unknown]

    def _refused_patient(self, patient: str, reason: str) -> list[VisitRow]:
        shown, folder = printable(patient), self.data / patient
        rows = [VisitRow(shown, used=False, reason=reason, kind=FOLDER)]
        if not unusable_folder(folder) and os.path.isdir(folder):
            for one in find_files(folder):
                other = one.kind == OTHER_FILE
                words = one.reason if other else f"in a patient's folder that is refused: {reason}"
                row = VisitRow(shown, file=printable(one.relative), used=False, reason=words)
                row.kind, row.path = one.kind, one.path
                rows.append(row)
        return rows

    def _spelled_twice(self, patient: str) -> str:
        """Say that another folder has this name in other code points, and is the one to use."""
        if patient.isascii():
            return ""
        kept = unicodedata.normalize("NFC", patient)
        if patient == kept or not os.path.isdir(self.data / kept):
            return ""
        if os.path.samefile(self.data / kept, self.data / patient):  # one folder of a Mac
            return ""
        return (
            "another folder has this name, in another spelling of its letters (Unicode NFC, NFD); "
            "put all photographs into one of them"
        )

    def _outside_folders(self) -> Iterator[VisitRow]:
        """Yield the rows of what lies in no patient's folder, or is of no patient."""
        table = self._table
        for entry in self._entries():
            if is_own_folder(entry) and is_of_program(entry.name):
                reason = f"in {printable(entry.name)!r}, a folder that a program made"
                for one in find_files(self.data / entry.name):
                    file = printable(f"{entry.name}/{one.relative}")
                    yield VisitRow("", file=file, used=False, reason=reason, kind=OTHER_FILE)
        for one in find_files(self.data, deep=False):
            told = table is not None and table.find(one.relative) is not None
            if os.path.isfile(one.path) and not told:  # what is no file has the row of a patient
                row = VisitRow("", file=printable(one.relative), kind=one.kind, path=one.path)
                row.leave_out(one.reason or (f"not in {table.name}" if table else _NO_PATIENT))
                yield row
        for patient, rows in (table.by_patient if table else {}).items():
            if refuse_patient(patient):
                yield from (self._elsewhere(table, told, self.data) for told in rows)

    def _entries(self) -> list[os.DirEntry[str]]:
        with os.scandir(self.data) as scanned:
            return sorted(scanned, key=lambda entry: entry.name)


_NO_PATIENT = (
    "in no patient's folder; move it into a folder with the patient's name, or name its patient "
    f"{MAKE_VISITS}"
)


def _without_eye(patient: str, rows: list[VisitRow]) -> VisitRow:
    """Make the row of a patient of whom no eye is known."""
    if not rows:
        reason = "no photograph in the folder of the patient"
    elif unnamed := [row for row in rows if WAY_OUT in row.reason]:
        reason = f"none of the {len(rows)} photographs tells its eye; {advice(patient, unnamed)}"
    else:
        reason = f"none of the {len(rows)} photographs can be used: {rows[0].reason}"
    return VisitRow(patient, used=False, reason=reason, kind=FOLDER)


def advice(patient: str, rows: Sequence[VisitRow]) -> str:
    """Show three names of files that cannot be read, and what would read them.

    Parameters
    ----------
    patient : str
    rows : sequence of VisitRow
        The photographs that are left out because of their names.
    """
    files = [row.file for row in rows]
    shown = ", ".join(map(repr, files[:3]))
    pattern = fitting_pattern([os.path.splitext(file.rsplit("/", 1)[-1])[0] for file in files])
    if pattern:
        return f"to read names like {shown}, add this to the command: PATTERN='{pattern}'"
    return (
        f"names like {shown} need a table visits.csv in the data folder (`make visits` writes a "
        f"first one), with the lines: file,patient,eye,date and {patient}/{files[0]},{patient},L,"
        "2019-05-28"
    )
