"""What the headers of photographs say where names do not, and where they contradict names."""

import os
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from fundus_helpers.loading.photographs import UnusableImageError

if TYPE_CHECKING:
    from fundus_helpers.loading.dicom import DicomHeader


def header_of(path: Path) -> "DicomHeader | None":
    """Read the header of a file; None if it cannot be read. A file that stays is read once."""
    try:
        status = os.stat(path)
        return _header(path, (status.st_mtime_ns, status.st_ctime_ns, status.st_size))
    except (UnusableImageError, OSError):
        return None


@lru_cache(maxsize=100_000)
def _header(path: Path, stamp: tuple[int, ...]) -> "DicomHeader":
    from fundus_helpers.loading.dicom import read_header

    return read_header(path)


def check_headers(visits: pd.DataFrame, folder: Path) -> None:
    """Complete a table of visits, in place, from the headers of the used files.

    Modality, camera and millimetres per pixel are filled in where they are not known. ``note`` says
    where a header contradicts the name, the table or the other photographs: the other eye, another
    date, another patient. No name and no identifier of a header is told.

    Parameters
    ----------
    visits : DataFrame
        As `loading.list_visits` gives it.
    folder : Path
        The folder that the names of the files are relative to (`loading.photograph_folder`).
    """
    found = {
        row: header
        for row, file in visits.loc[visits["used"], "file"].items()
        if (header := header_of(folder / file)) is not None
    }
    keys = Counter(header.patient_key for header in found.values() if header.patient_key)
    usual = keys.most_common(1)[0][0] if keys else None
    for row, header in found.items():
        for column in ("modality", "camera", "mm_per_pixel"):
            known = visits.at[row, column]
            if (known is None or known == "" or known != known) and getattr(header, column):
                visits.at[row, column] = getattr(header, column)
        told = [visits.at[row, "note"]]
        if header.laterality and header.laterality != visits.at[row, "laterality"]:
            told.append(f"the header says the other eye ({header.laterality})")
        if header.date and visits.at[row, "date"] and header.date != visits.at[row, "date"]:
            told.append(f"the header says another date ({header.date})")
        if header.patient_key and header.patient_key != usual:
            told.append("the header names another patient than those of the other photographs")
        if told[1:]:
            visits.at[row, "note"] = "; ".join(filter(None, told))
