"""The numbers of one eye as a table for spreadsheets."""

from pathlib import Path

import pandas as pd
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

from fundus_helpers.atrophy.cohort.tables import make_readable
from fundus_helpers.files import written_beside
from fundus_helpers.metrics.measures import MEASURES
from fundus_helpers.results.report.visits import TakenMethod

SHEET = "report.xlsx"


def write_sheet(path: Path, taken: TakenMethod, outcomes: pd.DataFrame) -> Path:
    """Write ``report.xlsx``: the visits by the method to take, all methods, and the units.

    Parameters
    ----------
    path : Path
    taken : TakenMethod
    outcomes : DataFrame
        Of this eye, from `results.read_outcomes`.
    """
    numbers = [name for name in outcomes if name in MEASURES]
    sheets = {
        "visits": _with_dates(taken.outcomes, taken),
        "all methods": _with_dates(outcomes, taken),
        "columns": pd.DataFrame(
            {
                "column": numbers,
                "what it is": [MEASURES[name].label for name in numbers],
                "unit": [_unit(MEASURES[name].unit) for name in numbers],
            }
        ),
    }
    with written_beside(path) as part, pd.ExcelWriter(part, engine="openpyxl") as book:
        for name, table in sheets.items():
            table.to_excel(book, sheet_name=name, index=False)
            make_readable(book.sheets[name])
    return path


def _with_dates(outcomes: pd.DataFrame, taken: TakenMethod) -> pd.DataFrame:
    table = outcomes.assign(reasons=["; ".join(each) for each in outcomes["reasons"]])
    table.insert(0, "date", [taken.dates.get(visit, "") for visit in outcomes["visit"]])
    # Names of files may hold characters that no spreadsheet accepts.
    return table.map(
        lambda cell: ILLEGAL_CHARACTERS_RE.sub("", cell) if isinstance(cell, str) else cell
    )


def _unit(unit: str) -> str:
    return {"px": "pixels of the photographs on disk", "share": "share, 0 to 1"}.get(unit, unit)
