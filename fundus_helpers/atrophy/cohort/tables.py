"""Tables of a cohort, saved for programs and for spreadsheets."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from fundus_helpers.atrophy.cohort.areas import AREA_COLUMNS
from fundus_helpers.files import written_beside

RATE_COLUMNS: Mapping[str, str] = {
    "visits": "number of visits",
    "years": "years from the first to the last visit",
    "baseline_mm2": "area at the first visit with atrophy in mm2",
    "square_root_growth": "change of the square root of the area in mm per year",
    "standard_error": "standard error of the regression of one eye alone, in mm per year",
    "area_growth": "change of the area in mm2 per year",
    "involved": "whether the atrophy reached the fovea at the first visit",
    "reason": "why it was left out",
}


def save_table(
    table: pd.DataFrame,
    folder: Path | str,
    name: str = "areas",
    *,
    columns: Mapping[str, str] | None = None,
) -> list[Path]:
    """Save a table as CSV, as Parquet, and as a workbook that explains its columns.

    Parameters
    ----------
    table : DataFrame
        See `read_areas` and `eye_rates`.
    folder : path
        It must exist.
    name : str
        Name of the files, without ending.
    columns : mapping of str to str, optional
        What the columns are, with their units, beside those that are known (`AREA_COLUMNS`).

    Returns
    -------
    list of Path
        ``<name>.csv``, ``<name>.parquet`` and ``<name>.xlsx``. The workbook's second sheet,
        ``columns``, explains the columns and their units.

    Examples
    --------
    >>> import tempfile
    >>> from fundus_helpers.atrophy.cohort import save_table, simulate_cohort
    >>> [path.name for path in save_table(simulate_cohort(1), tempfile.mkdtemp())]
    ['areas.csv', 'areas.parquet', 'areas.xlsx']
    """
    known = {**RATE_COLUMNS, **AREA_COLUMNS, **(columns or {})}
    if "baseline_mm2" in table:  # a table of eyes: years are those of the whole series
        known["years"] = RATE_COLUMNS["years"]
    explained = pd.DataFrame(
        {"column": list(table), "meaning": [known.get(name, "") for name in table]}
    )
    paths = [Path(folder) / f"{name}.{ending}" for ending in ("csv", "parquet", "xlsx")]
    with written_beside(paths[0]) as part:
        table.to_csv(part, index=False)
    with written_beside(paths[1]) as part:
        table.to_parquet(part, index=False)
    with written_beside(paths[2]) as part, open(part, "wb") as file:
        with pd.ExcelWriter(file, engine="openpyxl", date_format="YYYY-MM-DD") as book:
            table.to_excel(book, sheet_name=name[:31], index=False)
            explained.to_excel(book, sheet_name="columns", index=False)
            for sheet in book.sheets.values():
                make_readable(sheet)
    return paths


def make_readable(sheet: object) -> None:
    """Keep the first row in sight, make columns wide enough, and let no text be a formula.

    Parameters
    ----------
    sheet : openpyxl.worksheet.worksheet.Worksheet
    """
    sheet.freeze_panes = "A2"
    for column in sheet.columns:
        texts = [len(str(cell.value)) for cell in column if cell.value is not None]
        sheet.column_dimensions[column[0].column_letter].width = min(max(texts, default=8) + 2, 60)
        for cell in column:
            if cell.data_type == "f":
                cell.data_type = "s"
