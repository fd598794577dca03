"""``landmarks.csv``: points that show the same place in two photographs.

Points are for judging unless the column ``use`` says that they are for registering. A registration
is never found from points for judging, and never judged by points for registering.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from fundus_helpers.loading.eye_error import EyeError
from fundus_helpers.loading.tables.exchanged import exchanged_points
from fundus_helpers.loading.tables.matching import FileMatcher
from fundus_helpers.loading.tables.sheets import read_numbers, read_sheet

LANDMARKS_FILE = "landmarks.csv"
LANDMARK_COLUMNS = ["fixed_file", "moving_file", "fixed_x", "fixed_y", "moving_x", "moving_y"]
# Landmarks that were placed a second time, to tell how well they can be placed.
SECOND_FILE = "landmarks_2.csv"
# Columns that a table may have: what a point is for, who placed it, and whether the computer moved
# it ("yes"). A point that was moved counts only after a person has confirmed it ("no" or empty).
USE, PLACED_BY, SNAPPED = MORE_COLUMNS = ["use", "placed_by", "snapped"]
JUDGING, REGISTERING = "judging", "registering"
_YES, _NO = ("yes", "true", "1", "x"), ("no", "false", "0", "")
_FILES, _NUMBERS = LANDMARK_COLUMNS[:2], LANDMARK_COLUMNS[2:]


def read_landmarks(
    path: Path | str,
    files: Iterable[str],
    sizes: Mapping[str, tuple[int, int]] | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    r"""Read landmarks, and leave out the rows that cannot be right.

    Parameters
    ----------
    path : path
        A table with the columns `LANDMARK_COLUMNS`, in pixels of the photographs on disk, as any
        spreadsheet writes it. If there is no such file, there are no landmarks.
    files : iterable of str
        Names of the photographs, relative to the folder of the table. A name in the table without
        its ending, with a path, or in other capitals is found, too.
    sizes : mapping of str to (width, height), optional
        Sizes of the photographs by name, in pixels. Points outside are left out.

    Returns
    -------
    landmarks : DataFrame
        `LANDMARK_COLUMNS`, then all other columns. The files are named as in `files`. The columns
        ``use`` and ``snapped``, if there, hold `JUDGING` or `REGISTERING`, and True or False.
    left_out : list of str
        One sentence for each kind of rows that were left out.

    Raises
    ------
    EyeError
        If the file cannot be read, or has other columns.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "landmarks.csv")
    ...     _ = path.write_text(
    ...         "fixed_file;moving_file;fixed_x;fixed_y;moving_x;moving_y\n"
    ...         "a.png;B;1,5;2;3;4\n"
    ...         "a.png;b.png;;2;3;4\n"
    ...     )
    ...     landmarks, left_out = read_landmarks(path, ["a.png", "b.png"])
    >>> landmarks.to_numpy().tolist()
    [['a.png', 'b.png', 1.5, 2.0, 3.0, 4.0]]
    >>> left_out
    ['landmarks.csv: row 3 is left out, because a coordinate is empty or not a number']
    """
    path = Path(path)
    if not os.path.lexists(path):
        return pd.DataFrame(columns=LANDMARK_COLUMNS), []
    sheet = read_sheet(path)
    if not len(sheet.table.columns):
        empty = f"{path.name}: the file is empty, so no landmarks are known"
        return pd.DataFrame(columns=LANDMARK_COLUMNS), [empty]
    table = _ordered(sheet.table, path.name)
    table[_NUMBERS] = read_numbers(table[_NUMBERS], sheet.delimiter)
    told = _Told(path.name)
    if sheet.crowded:
        told.add("it has more cells than there are columns", sheet.crowded)
    named, unknown = _name_files(table, [*files], path.parent)
    for name, rows in unknown.items():
        told.add(f"there is no photograph {name!r}; was it renamed?", rows)
    bad = table[_NUMBERS].isna().any(axis=1) | ~np.isfinite(table[_NUMBERS]).all(axis=1)
    told.add("a coordinate is empty or not a number", table.index[bad & named])
    outside = _outside(table, sizes or {})
    told.add("a point lies outside the photograph", table.index[outside & named & ~bad])
    usable = named & ~bad & ~outside
    usable &= _without_repeats(table, usable, told)
    usable &= _read_marks(table, usable, told)
    usable &= _in_order(table, usable, told)
    return table[usable].reset_index(drop=True), told.sentences


def _without_repeats(table: pd.DataFrame, usable: pd.Series, told: "_Told") -> pd.Series:
    """Tell the points that are there twice; the first of them is kept."""
    marks = [column for column in (USE,) if column in table]
    twice = table[usable].duplicated([*LANDMARK_COLUMNS, *marks])
    told.add("the same point is there already", twice.index[twice])
    return ~twice.reindex(table.index, fill_value=False)


def _read_marks(table: pd.DataFrame, usable: pd.Series, told: "_Told") -> pd.Series:
    """Read what points are for and whether they were moved; tell the words that mean nothing."""
    good = pd.Series(True, index=table.index)
    if USE in table:
        words = table[USE].astype(str).str.strip().str.casefold()
        use = words.where(~words.isin(["", f"for {JUDGING} only"]), JUDGING)
        unknown = ~use.isin([JUDGING, REGISTERING])
        table[USE], good = use, good & ~unknown
        reason = f"{USE} is neither {JUDGING!r} nor {REGISTERING!r}"
        told.add(reason, table.index[unknown & usable])
    if SNAPPED in table:
        words = table[SNAPPED].astype(str).str.strip().str.casefold()
        unknown = ~words.isin([*_YES, *_NO])
        table[SNAPPED], good = words.isin(_YES), good & ~unknown
        told.add(f"{SNAPPED} is neither 'yes' nor 'no'", table.index[unknown & usable])
    return good


def _in_order(table: pd.DataFrame, usable: pd.Series, told: "_Told") -> pd.Series:
    """Tell the points that are exchanged; what is left of two photographs is examined again."""
    good = pd.Series(True, index=table.index)
    for _, rows in table[usable].groupby(_FILES):
        while found := exchanged_points(*np.hsplit(rows[_NUMBERS].to_numpy(float), 2)):
            index = rows.index[[*found]]
            reasons = {
                1: "its fixed and its moving point seem to be exchanged",
                2: "their moving points seem to be exchanged with each other",
            }
            told.add(reasons[len(found)], index)
            good[index], rows = False, rows.drop(index)
    return good


def points_for(table: pd.DataFrame, use: str) -> pd.DataFrame:
    """Return the rows of landmarks that count for judging, or for registering.

    Parameters
    ----------
    table : DataFrame
        From `read_landmarks`.
    use : {"judging", "registering"}
    """
    wanted = pd.Series(use == JUDGING, index=table.index)
    if USE in table:
        wanted = table[USE] == use
    if SNAPPED in table:
        wanted &= ~table[SNAPPED].astype(bool)
    return table[wanted]


class _Told:
    """The sentences about rows that are left out."""

    def __init__(self, name: str) -> None:
        self.name, self.sentences = name, []

    def add(self, reason: str, rows: Iterable[int]) -> None:
        numbers = sorted({*map(int, rows)})
        if numbers:
            shown = ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")
            words = f"row {shown} is" if len(numbers) == 1 else f"{len(numbers)} rows ({shown}) are"
            self.sentences.append(f"{self.name}: {words} left out, because {reason}")


def _ordered(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Bring the needed columns to the front, under their names."""
    plain = {column.casefold().replace(" ", "_"): column for column in reversed(table.columns)}
    if missing := [column for column in LANDMARK_COLUMNS if column not in plain]:
        raise EyeError(
            f"{name}: columns are {[*table.columns]}, needed {LANDMARK_COLUMNS}; correct its "
            f"first line ({', '.join(missing)} missing)"
        )
    known = [column for column in (*LANDMARK_COLUMNS, *MORE_COLUMNS) if column in plain]
    table = table.rename(columns={plain[column]: column for column in known})
    return table[[*LANDMARK_COLUMNS, *(c for c in table if c not in LANDMARK_COLUMNS)]]


def _name_files(
    table: pd.DataFrame, files: list[str], folder: Path
) -> tuple[pd.Series, dict[str, list[int]]]:
    """Write the names of the files as they are; tell the rows whose files are there, and others."""
    matcher, unknown = FileMatcher(files), {}
    named = pd.Series(True, index=table.index)
    for column in _FILES:
        found = {name: matcher.find(name) for name in table[column].unique()}
        for name, file in found.items():
            rows = table.index[table[column] == name]
            # A file of the other eye, or one that is left out, is there: its rows are kept.
            if file is None and not (name and os.path.isfile(folder / name)):
                unknown.setdefault(name, []).extend(rows)
                named[rows] = False
        table[column] = [found[name] or name for name in table[column]]
    return named, unknown


def _outside(table: pd.DataFrame, sizes: Mapping[str, tuple[int, int]]) -> pd.Series:
    outside = pd.Series(False, index=table.index)
    for which in ("fixed", "moving"):
        known = [sizes.get(file, (np.inf, np.inf)) for file in table[f"{which}_file"]]
        limits = np.array(known, float).reshape(-1, 2)
        for column, limit in ((f"{which}_x", limits[:, 0]), (f"{which}_y", limits[:, 1])):
            negative = (table[column] < -0.5) & np.isfinite(limit)
            outside |= negative | (table[column] > limit - 0.5)
    return outside
