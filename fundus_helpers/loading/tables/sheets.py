"""Tables as spreadsheets write them: read whatever their delimiter, decimal mark and encoding."""

import codecs
import csv
import io
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fundus_helpers.files import written_beside
from fundus_helpers.loading.eye_error import EyeError

BACKUP = ".bak"  # is added to the name of a table; holds the table as it was before the last change
_DELIMITERS = ",;\t|"
_NOTHING = ' \t\r\n,;|"\ufeff'  # of a line without words
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # .xlsx, .ods and .xls


@dataclass(frozen=True)
class Sheet:
    """The text of a table.

    Attributes
    ----------
    table : DataFrame of str
        Its index is the number of each row in the file, as spreadsheets count; the first line, with
        the names of the columns, is 1. Empty cells are empty texts, empty rows are left out.
    delimiter : str
    crowded : mapping of int to list of str
        The rows with more cells than there are columns, by their numbers. They are not in `table`.
    """

    table: pd.DataFrame
    delimiter: str
    crowded: Mapping[int, list[str]]


def read_sheet(path: Path | str) -> Sheet:
    r"""Read a table whose cells are separated by commas, semicolons or tabs.

    Parameters
    ----------
    path : path
        UTF-8 with or without a byte order mark, UTF-16, or the encoding of old spreadsheets
        (Windows-1252).

    Raises
    ------
    EyeError
        If the file cannot be read, or is a workbook and not a text.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "table.csv")
    ...     _ = path.write_text("file;x\na.png;1,5\n", encoding="utf-16")
    ...     read_sheet(path).table.to_dict("records")
    [{'file': 'a.png', 'x': '1,5'}]
    """
    path = Path(path)
    if os.path.exists(path) and not os.path.isfile(path):  # reading a pipe would never end
        raise EyeError(f"{path.name}: is a folder or a device, not a table; remove it")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EyeError(f"{path.name}: cannot be read ({error.strerror})") from error
    if content.startswith(_WORKBOOKS):
        raise EyeError(f"{path.name}: is a workbook; save it as CSV (UTF-8)")
    text = _decode(content)
    lines = text.splitlines(keepends=True)
    skipped = 0
    while lines and (not lines[0].strip(_NOTHING) or lines[0].strip(_NOTHING)[:4] == "sep="):
        lines, skipped = lines[1:], skipped + 1
    if not lines:
        return Sheet(pd.DataFrame(), ",", {})
    plain = re.sub(r'"[^"]*"', "", lines[0])
    delimiter = max(_DELIMITERS, key=plain.count)
    try:
        rows = _rows("".join(lines), delimiter, skipped)
    except csv.Error as error:
        raise EyeError(f"{path.name}: is not a table of text ({error}); save it as CSV") from error
    (_, header), *body = rows
    header = _unique(header)
    crowded = {number: row for number, row in body if any(row[len(header) :])}
    kept = {
        number: (row + [""] * len(header))[: len(header)]
        for number, row in body
        if any(row) and number not in crowded
    }
    table = pd.DataFrame([*kept.values()], columns=header, index=[*kept], dtype=str)
    return Sheet(table, delimiter, crowded)


def read_numbers(table: pd.DataFrame, delimiter: str = ",") -> pd.DataFrame:
    """Read numbers from the texts of one table; NaN where a text is none.

    One program wrote the table, so all its cells together tell what a comma means. Marks of
    thousands (1,234.5 or 1.234,5 or 1 234,5) are understood. What may be 1234 or 1.234 is not
    guessed: it becomes NaN.

    Parameters
    ----------
    table : DataFrame of str
    delimiter : str
        What separates the cells of the file. If it is no comma, a comma alone is a decimal comma.

    Examples
    --------
    >>> import pandas as pd
    >>> read_numbers(pd.DataFrame({"x": ["1,234", "12.5"], "y": ["4.5E1", "none"]})).to_numpy()
    array([[1234. ,   45. ],
           [  12.5,    nan]])
    """
    texts = {name: _without_blanks(table[name]) for name in table}
    every = pd.concat([pd.Series(dtype=str), *texts.values()])
    comma, point = (every.str.fullmatch(_decimal(*marks)).any() for marks in (",.", ".,"))
    if comma != point:
        mark, thousands = ",." if comma else ".,"
        texts = {name: _with_point(each, mark, thousands) for name, each in texts.items()}
    elif comma:  # both are in use, so that marks of thousands mean nothing
        unclear = f"{_thousands(',')}|{_thousands('.')}"
        texts = {
            name: each.mask(each.str.fullmatch(unclear).astype(bool), "").str.replace(",", ".", n=1)
            for name, each in texts.items()
        }
    elif delimiter != ",":
        texts = {name: each.str.replace(",", ".", n=1) for name, each in texts.items()}
    return pd.DataFrame({name: _numbers(each) for name, each in texts.items()}, table.index)


def _without_blanks(cells: pd.Series) -> pd.Series:
    cells = cells.str.replace("\u2212", "-")
    return cells.str.replace(r"(?<=\d)[ \xa0\u202f\u2009'\u2019](?=\d{3}(?!\d))", "", regex=True)


def _thousands(mark: str) -> str:
    """Return the form of whole numbers with marks of thousands."""
    return rf"[+-]?[1-9]\d{{0,2}}(?:\{mark}\d{{3}})+"


def _decimal(mark: str, thousands: str) -> str:
    """Return the form of numbers of which it is clear that they have this decimal mark."""
    whole = rf"(?:\d*|[1-9]\d{{0,2}}(?:\{thousands}\d{{3}})+)"
    return rf"(?!{_thousands(mark)}$)[+-]?{whole}\{mark}\d*(?:[eE][+-]?\d+)?"


def _with_point(cells: pd.Series, mark: str, thousands: str) -> pd.Series:
    """Remove the marks of thousands, and write the decimal mark as a point."""
    marked = cells.str.match(
        _thousands(thousands) + r"(?![\d.,])|" + _thousands(thousands) + rf"\{mark}"
    )
    plain = cells.where(~marked.astype(bool), cells.str.replace(thousands, "", regex=False))
    return plain.str.replace(mark, ".", n=1, regex=False)


def _numbers(texts: pd.Series) -> pd.Series:
    good = texts.str.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?").astype(bool)
    numbers = pd.Series(float("nan"), index=texts.index, dtype=float)
    if good.any():  # as pandas reads them, to the last digit
        column = pd.read_csv(io.StringIO("\n".join(texts[good])), header=None)[0]
        numbers[good] = column.to_numpy(float)
    return numbers


def _decode(content: bytes) -> str:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.decode(encoding, errors="replace")
    if content[:200:2].count(0) > 20 or content[1:200:2].count(0) > 20:
        return content.decode("utf-16-le" if content[1:2] == b"\0" else "utf-16-be", "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _rows(text: str, delimiter: str, skipped: int) -> list[tuple[int, list[str]]]:
    """Return the rows with the number of the line on which each begins."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows, begin = [], skipped + 1
    for row in reader:
        rows.append((begin, [_plain(cell) for cell in row]))
        begin = skipped + reader.line_num + 1
    return rows


def _plain(cell: str) -> str:
    """Return the text of a cell without blanks around it; ="007" is how Excel keeps zeros."""
    cell = cell.strip().strip("\ufeff\xa0").strip()
    kept = re.fullmatch(r'="([^"]*)"', cell)
    return kept[1] if kept else cell


def _unique(header: list[str]) -> list[str]:
    while header and not header[-1]:
        header = header[:-1]
    names: list[str] = []
    for place, name in enumerate(header):
        name = name or f"column {place + 1}"
        names.append(name if name not in names else f"{name} {place + 1}")
    return names


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """Write a table whole, and keep what it was before beside it, as ``<name>.bak``.

    Parameters
    ----------
    path : Path
    header : sequence of str
        Names of the columns.
    rows : iterable of sequence
        The cells of every row.

    Returns
    -------
    Path
        Of the table.
    """
    with written_beside(path) as part:
        with part.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *rows])
        if path.is_file():
            shutil.copy2(path, path.with_name(f"{path.name}{BACKUP}"))
    return path
