"""Points that a person has placed in two photographs, written into ``landmarks.csv``."""

import os
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

import pandas as pd

from fundus_helpers.loading.eye_error import EyeError
from fundus_helpers.loading.tables.landmarks import (
    JUDGING,
    LANDMARK_COLUMNS,
    LANDMARKS_FILE,
    MORE_COLUMNS,
    PLACED_BY,
    REGISTERING,
    SNAPPED,
    USE,
)
from fundus_helpers.loading.tables.matching import FileMatcher
from fundus_helpers.loading.tables.sheets import Sheet, read_numbers, read_sheet, write_table

USES = REGISTERING, JUDGING


@dataclass(frozen=True)
class PlacedPoint:
    """One place of the retina in two photographs.

    Attributes
    ----------
    fixed_x, fixed_y, moving_x, moving_y : float
        In pixels of the photographs on disk.
    use : {"registering", "judging"}
        A registration is found from the first ones only, and judged by the second ones only.
    placed_by : str
        Who placed it.
    snapped : bool
        Whether the computer has moved the point, and nobody has confirmed it yet. Until then it
        counts for nothing.
    """

    fixed_x: float
    fixed_y: float
    moving_x: float
    moving_y: float
    use: str = REGISTERING
    placed_by: str = ""
    snapped: bool = False

    def __post_init__(self) -> None:
        """Refuse a use that does not exist."""
        if self.use not in USES:
            raise ValueError(f"a point is for one of {USES}, not for {self.use!r}")

    def exchanged(self) -> "PlacedPoint":
        """Return the same point with fixed and moving photograph exchanged."""
        x, y, u, v, *rest = astuple(self)
        return PlacedPoint(u, v, x, y, *rest)


def points_of(table: pd.DataFrame, fixed: str, moving: str) -> list[PlacedPoint]:
    """Return the points of two photographs, in either order, confirmed or not.

    Parameters
    ----------
    table : DataFrame
        From `read_landmarks`.
    fixed, moving : str
        Names of the photographs.
    """
    points = []
    for row in table.to_dict("records"):
        marks = row.get(USE, JUDGING), str(row.get(PLACED_BY, "")), bool(row.get(SNAPPED, False))
        point = PlacedPoint(*(row[column] for column in LANDMARK_COLUMNS[2:]), *marks)
        if (row["fixed_file"], row["moving_file"]) == (fixed, moving):
            points.append(point)
        elif (row["fixed_file"], row["moving_file"]) == (moving, fixed):
            points.append(point.exchanged())
    return points


def save_points(
    folder: Path | str,
    files: Iterable[str],
    fixed: str,
    moving: str,
    points: Iterable[PlacedPoint],
    *,
    name: str = LANDMARKS_FILE,
) -> Path:
    r"""Replace the points of two photographs in ``landmarks.csv``; all other rows stay.

    The table is written whole, so that nobody reads half of it. What it was before is kept in
    ``landmarks.csv.bak``.

    Parameters
    ----------
    folder : path
        Of the photographs.
    files : iterable of str
        Names of all photographs of the eye, relative to the folder.
    fixed, moving : str
        Names of the two photographs.
    points : iterable of PlacedPoint
    name : str
        Of the table.

    Returns
    -------
    Path
        Of the table.

    Raises
    ------
    EyeError
        If the table that is there cannot be read, or has other columns. It stays as it is.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_points(folder, [], "a.png", "b.png", [PlacedPoint(1, 2, 3, 4)])
    ...     print(path.read_text().strip())
    fixed_file,moving_file,fixed_x,fixed_y,moving_x,moving_y,use,placed_by,snapped
    a.png,b.png,1.000,2.000,3.000,4.000,registering,,no
    """
    path = Path(folder, name)
    header, rows = [*LANDMARK_COLUMNS, *MORE_COLUMNS], []
    if os.path.lexists(path):
        header, rows = _kept(read_sheet(path), name, FileMatcher([*files]), {fixed, moving})
    for p in points:
        numbers = [f"{n:.3f}" for n in (p.fixed_x, p.fixed_y, p.moving_x, p.moving_y)]
        cells = [fixed, moving, *numbers, p.use, p.placed_by, "yes" if p.snapped else "no"]
        known = dict(zip([*LANDMARK_COLUMNS, *MORE_COLUMNS], cells, strict=True))
        rows.append([known.get(column, "") for column in header])
    return write_table(path, header, rows)


def _kept(
    sheet: Sheet, name: str, matcher: FileMatcher, pair: set[str]
) -> tuple[list[str], list[list[str]]]:
    """Return the columns of a table, and its rows that are not points of a pair of photographs."""
    table = sheet.table
    plain = {column.casefold().replace(" ", "_"): column for column in reversed(table.columns)}
    missing = [column for column in LANDMARK_COLUMNS if column not in plain]
    if len(table.columns) and missing:
        raise EyeError(
            f"{name}: columns are {[*table.columns]}, needed {LANDMARK_COLUMNS}; correct its first "
            "line, or move the file away"
        )
    known = [column for column in (*LANDMARK_COLUMNS, *MORE_COLUMNS) if column in plain]
    table = table.rename(columns={plain[column]: column for column in known})
    header = [*table.columns, *(c for c in [*LANDMARK_COLUMNS, *MORE_COLUMNS] if c not in table)]
    if not len(table):
        return header, [*sheet.crowded.values()]
    columns = LANDMARK_COLUMNS[2:]
    numbers = read_numbers(table[columns], sheet.delimiter)
    readable = numbers.notna().all(axis=1)
    named = [[matcher.find(n) or n for n in table[column]] for column in LANDMARK_COLUMNS[:2]]
    ours = [set(both) == pair for both in zip(*named, strict=True)]
    for column in columns:  # one decimal mark in the whole table
        texts = numbers[column].map("{:.3f}".format)
        table[column] = texts.where(numbers[column].notna(), table[column])
    stays = table[~(pd.Series(ours, index=table.index) & readable)]
    rows = stays.reindex(columns=header, fill_value="").to_numpy().tolist()
    return header, [*rows, *sheet.crowded.values()]
