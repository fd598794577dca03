"""What the headers of photographs say where names do not, and where they contradict names."""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from fundus_helpers.files import state_of
from fundus_helpers.loading.formats.kinds import UnusableImageError

if TYPE_CHECKING:
    from fundus_helpers.loading.header import PhotographHeader

_COMPARED = ("file", "laterality", "date")
_COMPLETED = ("modality", "camera", "mm_per_pixel", "note")


def header_of(path: Path) -> "PhotographHeader | None":
    """Read the header of a file; None if it cannot be read. A file that stays is read once."""
    try:
        return _header(path, state_of(path))
    except (UnusableImageError, OSError):
        return None


@lru_cache(maxsize=100_000)
def _header(path: Path, state: tuple[int, ...]) -> "PhotographHeader":
    from fundus_helpers.loading.header import read_header  # here, because it loads large libraries

    return read_header(path)


def check_headers(visits: pd.DataFrame, folder: Path) -> None:
    """Complete a table of visits, in place, from the headers of the used files.

    Modality, camera and millimetres per pixel are filled in where they are not known. ``note`` says
    that a photograph was turned by its orientation tag, and where a header contradicts the name,
    the table or the other photographs: the other eye, another date, another patient. No name and no
    identifier of a header is told.

    Parameters
    ----------
    visits : DataFrame
        As `loading.list_visits` gives it.
    folder : Path
        The folder that the names of the files are relative to (`loading.photograph_folder`).
    """
    used = visits.index[visits["used"]]
    rows = visits.loc[used, [*_COMPARED, *_COMPLETED]].to_dict("records")
    compare_headers(rows, folder)
    for column in _COMPLETED if rows else ():
        visits.loc[used, column] = [row[column] for row in rows]


def compare_headers(rows: Sequence[dict[str, Any]], folder: Path) -> None:
    """Complete the rows of the used files of one eye, in place; see `check_headers`.

    Parameters
    ----------
    rows : sequence of dict
        From the columns of `loading.list_visits` to their values.
    folder : Path
        See `check_headers`.
    """
    found = [(row, header) for row in rows if (header := header_of(folder / row["file"]))]
    keys = Counter(header.patient_key for _, header in found if header.patient_key)
    usual = keys.most_common(1)[0][0] if keys else None
    for row, header in found:
        for column in ("modality", "camera", "mm_per_pixel"):
            known = row[column]
            if (known is None or known == "" or known != known) and getattr(header, column):
                row[column] = getattr(header, column)
        told = [row["note"], header.note]
        if header.laterality and header.laterality != row["laterality"]:
            told.append(f"the header says the other eye ({header.laterality})")
        if header.date and row["date"] and header.date != row["date"]:
            told.append(f"the header says another date ({header.date})")
        if header.patient_key and header.patient_key != usual:
            told.append("the header names another patient than those of the other photographs")
        row["note"] = "; ".join(filter(None, told))
