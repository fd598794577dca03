"""The eyes of a data folder, and the visits of each: used, or left out with the reason."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fundus_helpers.loading.eye_error import EyeError
from fundus_helpers.loading.tables.landmarks import LANDMARKS_FILE, SECOND_FILE
from fundus_helpers.loading.tables.matching import normal_path
from fundus_helpers.loading.visits.folder import (
    DEMO_PATIENTS,
    OTHER_FILE,
    PHOTOGRAPH,
    TABLE_ROW,
    may_hold_outlines,
    odd_name,
    patient_folder,
    photograph_of_outline,
    refuse_patient,
    stem_of,
)
from fundus_helpers.loading.visits.listing import DataListing, advice
from fundus_helpers.loading.visits.names import LATERALITIES, PATTERN
from fundus_helpers.loading.visits.rows import COLUMNS, WAY_OUT, VisitRow, tell_shared


def list_files(data: Path | str, part: str = "1/1", *, pattern: str = PATTERN) -> pd.DataFrame:
    """List everything that lies in a data folder, except the demo: one row per file.

    The files are not opened, except those whose names tell no date or no eye.

    Parameters
    ----------
    data : path
        Folder with one folder per patient.
    part : str
        See `cohort_eyes`. What belongs to no eye is in the first part.
    pattern : str
        See `list_visits`.

    Returns
    -------
    DataFrame
        The columns of `list_visits` and ``kind``. ``kind`` is ``photograph``, ``other file`` (a
        table, a thumbnail), ``folder`` (a patient that is left out, with the reason), or ``row of a
        table`` (one that names no file). ``laterality`` is empty where no eye is known. Every file
        has one row, so those that are used and those that are left out add up to all.

    Raises
    ------
    EyeError
        If the data folder, the table of visits or the pattern cannot be used.
    """
    chosen, first = _chosen(part)
    rows = [
        row for row in DataListing(data, pattern).everything() if row.patient not in DEMO_PATIENTS
    ]
    tell_shared(rows)
    found = _eyes(rows)
    eyes, known = {*chosen(found)}, {*found}
    kept = [
        row
        for row in rows
        if ((row.patient, row.laterality) in eyes)
        or (first and (row.patient, row.laterality) not in known)
    ]
    return _frame(kept, with_kind=True)


def find_eyes(data: Path | str, *, pattern: str = PATTERN) -> list[tuple[str, str]]:
    """List the eyes in a data folder as (patient, laterality), sorted.

    Parameters
    ----------
    data, pattern
        See `list_visits`. A folder that does not exist holds no eye.

    Raises
    ------
    EyeError
        If the table of visits or the pattern cannot be used.

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
    return _eyes(DataListing(data, pattern).everything()) if os.path.isdir(data) else []


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
        If `part` is not of this form, or the table of visits or the pattern cannot be used.
    """
    chosen, _ = _chosen(part)
    return chosen([eye for eye in find_eyes(data) if eye[0] not in DEMO_PATIENTS])


def list_visits(
    data: Path | str, patient: str, laterality: str, *, pattern: str = PATTERN
) -> pd.DataFrame:
    """List the photographs of one eye, without opening those whose names tell enough.

    Date and eye are read from the table of visits (``visits.csv``) if there is one. Otherwise they
    are read from the name of the file, then from folders, then from the header of the file.

    Parameters
    ----------
    data : path
        Folder with one folder per patient.
    patient : str
        Name of the patient's folder.
    laterality : {"L", "R"}
    pattern : str
        Regular expression with the groups ``date`` and ``laterality``, for other names than those
        that are understood. The whole name of a file, without its ending, must match it. The
        default lets the settings of the run decide (``PATTERN``).

    Returns
    -------
    DataFrame
        One row per file: ``patient``, ``laterality``, ``visit`` (the name under which results are
        stored), ``date``, ``time``, ``modality``, ``camera``, ``mm_per_pixel``, ``file`` (relative
        to `photograph_folder`), ``used``, the ``reason`` why a file is not used, and a ``note`` on
        what a person should look at. Further columns of the table of visits follow. Sorted by
        date, time and name. Files of which no eye is known are listed for both eyes.

    Raises
    ------
    EyeError
        If the laterality is not L or R, the patient has no folder, or the table of visits or the
        pattern cannot be used.
    """
    return list_eye(data, patient, laterality, pattern=pattern).visits


@dataclass(frozen=True)
class EyeListing:
    """What lies in the data folder for one eye.

    Attributes
    ----------
    folder : Path
        See `photograph_folder`.
    rows : list of VisitRow
        The rows of `visits`.
    files : list of str
        The names of the files on which the results of the eye depend, relative to `folder`: the
        photographs that a program may open, the landmarks, and the outlines of atrophy.
    remarks : list of str
        A sentence for each row of the patient's tables that names no file, or several.
    """

    folder: Path
    rows: list[VisitRow]
    files: list[str]
    remarks: list[str]

    @property
    def visits(self) -> pd.DataFrame:
        """A new table; see `list_visits`."""
        return _frame(self.rows)

    @property
    def description(self) -> str:
        """What names and tables say about the eye, as text: if it changes, results are old."""
        return self.visits.drop(columns="note").to_csv(index=False)


def list_eye(
    data: Path | str, patient: str, laterality: str, *, pattern: str = PATTERN
) -> EyeListing:
    """List all that lies in the data folder for one eye, looking at each file once.

    Parameters
    ----------
    data, patient, laterality, pattern
        See `list_visits`.

    Raises
    ------
    EyeError
        See `list_visits`.
    """
    if laterality not in LATERALITIES:
        raise EyeError(f"the eye (EYE) must be L (left, OS) or R (right, OD), not {laterality!r}")
    listing = DataListing(data, pattern)
    folder = _folder_in(listing, patient)
    rows = listing.of_patient(patient)
    remarks = [row.reason for row in rows if row.kind == TABLE_ROW and not row.file]
    own = [row for row in rows if row.laterality in (laterality, "")]
    paths = [row.path for row in own if row.kind == PHOTOGRAPH and row.path]
    tables = [folder / LANDMARKS_FILE, folder / SECOND_FILE]
    names = [
        os.path.relpath(path, folder)
        for path in [*paths, *tables, *_outlines(rows, laterality)]
        if os.path.isfile(path)
    ]
    shown = [r for r in own if r.kind == PHOTOGRAPH or (r.kind == TABLE_ROW and r.file)]
    for row in shown:
        row.laterality = laterality
    files = [name for name in names if not odd_name(name)]
    return EyeListing(folder, shown, files, remarks)


def _outlines(rows: list[VisitRow], laterality: str) -> list[Path]:
    """Return the files that may hold outlines of an eye, without those of the other eye alone."""
    photographs = [row for row in rows if row.kind == PHOTOGRAPH]
    others = [row.file for row in photographs if row.laterality not in (laterality, "")]
    elsewhere = {normal_path(name) for file in others for name in (file, stem_of(file))}
    return [
        row.path
        for row in rows
        if row.kind == OTHER_FILE and row.path and may_hold_outlines(row.path.name)
        if normal_path(photograph_of_outline(row.file)) not in elsewhere
    ]


def photograph_folder(data: Path | str, patient: str) -> Path:
    """Return the folder that the names of a patient's files are relative to.

    It is the patient's folder, or the data folder if the table of visits names files elsewhere.

    Raises
    ------
    EyeError
        If the patient has no folder, and is in no table.
    """
    return _folder_in(DataListing(data), patient)


def _folder_in(listing: DataListing, patient: str) -> Path:
    if listing.is_told(patient):
        return listing.folder_of(patient)
    return patient_folder(listing.data, patient)  # says why it cannot be used


def too_few(visits: pd.DataFrame, patient: str, laterality: str, fewest: int = 2) -> str:
    """Return the message that an eye has too few visits, with the reason for each unused file.

    Parameters
    ----------
    visits : DataFrame
        Of the eye, as `list_visits` gives it.
    patient, laterality : str
    fewest : int
        Visits that are needed.
    """
    left_out = visits[~visits["used"]]
    reasons = [f"{row.file}: {row.reason}" for row in left_out.itertuples()]
    count = visits["used"].sum()
    counted = f"{count} usable photograph{'' if count == 1 else 's'}"
    needed = f"{fewest} {'is' if fewest == 1 else 'are'} needed"
    found = f"eye {patient} {laterality}: {counted}, {needed}"
    unnamed = [
        VisitRow(patient, file=row.file) for row in left_out.itertuples() if WAY_OUT in row.reason
    ]
    if len(unnamed) == len(visits) > 0:
        reasons.append(advice(patient, unnamed))
    if not reasons:
        reasons = ["add photographs of this eye, or choose another one (`make cohort-dry`)"]
    return "\n  ".join([found, *reasons])


def count_files(files: pd.DataFrame) -> str:
    """Count the patients, eyes and files of a data folder in one sentence.

    Parameters
    ----------
    files : DataFrame
        As `list_files` gives it.
    """
    photographs = files[files["kind"] == PHOTOGRAPH]
    used = int(photographs["used"].sum())
    eyes = len({eye for eye in zip(files["patient"], files["laterality"], strict=True) if eye[1]})
    return in_words(
        eyes,
        len({*files["patient"]} - {""}),
        used,
        len(photographs) - used,
        int((files["kind"] == OTHER_FILE).sum()),
    )


def in_words(eyes: int, patients: int, used: int, left_out: int, others: int) -> str:
    """Count eyes, patients, and files that are used, left out, or no photographs, in one sentence.

    See `count_files`.
    """
    return (
        f"{eyes} eyes of {patients} patients, {used + left_out} photographs: {used} used, "
        f"{left_out} left out; {others} other files"
    )


def _eyes(rows: Iterable[VisitRow]) -> list[tuple[str, str]]:
    found = {(row.patient, row.laterality) for row in rows if row.laterality and row.patient}
    return sorted(eye for eye in found if not refuse_patient(eye[0]))


def _chosen(part: str):
    number, _, parts = part.partition("/")
    if not (number.isdigit() and parts.isdigit() and 1 <= int(number) <= int(parts)):
        raise EyeError(f"part {part!r} of a cohort is not like '3/100' (the third of 100 parts)")
    return lambda eyes: eyes[int(number) - 1 :: int(parts)], int(number) == 1


def _frame(rows: list[VisitRow], *, with_kind: bool = False) -> pd.DataFrame:
    columns = [*COLUMNS, "kind"] if with_kind else [*COLUMNS]
    more = [] if with_kind else [*dict.fromkeys(name for row in rows for name in row.more)]
    records = [
        [*(getattr(row, name) for name in columns), *(row.more.get(name, "") for name in more)]
        for row in rows
    ]
    titles = [name if name not in COLUMNS else f"{name} (in the table)" for name in more]
    table = pd.DataFrame(records, columns=[*columns, *titles])
    table["used"] = table["used"].astype(bool)
    table["mm_per_pixel"] = table["mm_per_pixel"].astype(float)
    return table
