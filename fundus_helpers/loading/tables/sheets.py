"""Tables as spreadsheets write them: read whatever their delimiter, decimal mark and encoding."""

import codecs
import csv
import io
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fundus_helpers.loading.eye_error import EyeError

_DELIMITERS = ",;\t|"
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
    name : str
        Name of the file.
    table : DataFrame of str
        Its index is the number of each row in the file, as spreadsheets count; the first line, with
        the names of the columns, is 1. Empty cells are empty texts, empty rows are left out.
    delimiter : str
    crowded : tuple of int
        The numbers of rows with more cells than there are columns. They are not in `table`.
    """

    name: str
    table: pd.DataFrame
    delimiter: str
    crowded: tuple[int, ...]


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
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EyeError(f"{path.name}: cannot be read ({error.strerror})") from error
    if content.startswith(_WORKBOOKS):
        raise EyeError(f"{path.name}: is a workbook; save it as CSV (UTF-8)")
    text = _decode(content)
    lines = text.splitlines(keepends=True)
    skipped = 0
    while lines and (not lines[0].strip(" \t\r\n,;|") or lines[0].lower().startswith("sep=")):
        lines, skipped = lines[1:], skipped + 1
    if not lines:
        return Sheet(path.name, pd.DataFrame(), ",", ())
    delimiter = max(_DELIMITERS, key=lambda one: len(next(csv.reader([lines[0]], delimiter=one))))
    try:
        rows = _rows("".join(lines), delimiter, skipped)
    except csv.Error as error:
        raise EyeError(f"{path.name}: is not a table of text ({error}); save it as CSV") from error
    (_, header), *body = rows
    header = _unique(header)
    crowded = tuple(number for number, row in body if any(row[len(header) :]))
    kept = {
        number: (row + [""] * len(header))[: len(header)]
        for number, row in body
        if any(row) and number not in crowded
    }
    table = pd.DataFrame([*kept.values()], columns=header, index=[*kept], dtype=str)
    return Sheet(path.name, table, delimiter, crowded)


def read_numbers(cells: pd.Series, *, decimal_comma: bool) -> pd.Series:
    """Read numbers from texts, as pandas does; NaN where a text is none.

    Parameters
    ----------
    cells : Series of str
    decimal_comma : bool
        Whether ``1,5`` is a number.
    """
    texts = cells.str.replace(",", ".", n=1, regex=False) if decimal_comma else cells
    good = texts.str.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?").astype(bool)
    numbers = pd.Series(float("nan"), index=cells.index, dtype=float)
    if good.any():
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
        rows.append((begin, [cell.strip().strip("\ufeff\xa0").strip() for cell in row]))
        begin = skipped + reader.line_num + 1
    return rows


def _unique(header: list[str]) -> list[str]:
    while header and not header[-1]:
        header = header[:-1]
    names: list[str] = []
    for place, name in enumerate(header):
        name = name or f"column {place + 1}"
        names.append(name if name not in names else f"{name} {place + 1}")
    return names
