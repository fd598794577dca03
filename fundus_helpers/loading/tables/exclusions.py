"""``excluded.csv`` beside the photographs: visits that a person has left out, with the reasons."""

import os
from collections.abc import Iterable
from pathlib import Path

from fundus_helpers.loading.eye_error import EyeError
from fundus_helpers.loading.tables.matching import FileMatcher
from fundus_helpers.loading.tables.sheets import Sheet, read_sheet, write_table

EXCLUDED_FILE = "excluded.csv"


def read_exclusions(folder: Path, files: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    r"""Read which files of a folder are excluded, and why.

    Nothing is ever deleted. A name without ending or path, or in other capitals, is found, too.

    Parameters
    ----------
    folder : Path
        Folder with ``excluded.csv``, a table with the columns ``file`` and ``reason``.
    files : iterable of str
        Paths of the photographs, relative to the folder.

    Returns
    -------
    excluded : dict of str to str
        From files to reasons. If the table cannot be read, all files are excluded: nobody can know
        which of them are meant.
    unknown : list of str
        A sentence for each row that names no file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as data:
    ...     _ = Path(data, "excluded.csv").write_text("file,reason\na,blurred\nb,a blink\n")
    ...     excluded, unknown = read_exclusions(Path(data), ["a.png"])
    >>> excluded
    {'a.png': 'excluded: blurred'}
    >>> unknown
    ["excluded.csv, row 3: there is no file 'b'; correct the name, or delete the row"]
    """
    path, files = folder / EXCLUDED_FILE, [*files]
    if not os.path.lexists(path):
        return {}, []
    try:
        rows = _read(path)
    except EyeError as error:
        return dict.fromkeys(files, f"nothing can be used: {error}"), []
    matcher, excluded, unknown = FileMatcher(files), {}, []
    for number, name, reason in rows:
        found = matcher.find_all(name)
        if len(found) == 1:
            excluded[found[0]] = f"excluded: {reason or 'no reason given'}"
        else:
            unknown.append(f"{EXCLUDED_FILE}, row {number}: {_why_unknown(name, found)}")
    return excluded, unknown


def _why_unknown(name: str, found: list[str]) -> str:
    if not found:
        return f"there is no file {name!r}; correct the name, or delete the row"
    return (
        f"several files are called {name!r}, and none of them is left out; write the folder, too: "
        f"{found[0]!r}"
    )


def _read(path: Path) -> list[tuple[int, str, str]]:
    """Read the numbers of all rows in their order, the names of the files, and the reasons."""
    sheet = read_sheet(path)
    columns = {str(column).casefold(): column for column in sheet.table}
    if len(sheet.table.columns) and "file" not in columns:
        raise EyeError(
            f"{EXCLUDED_FILE}: columns are {[*sheet.table]}, needed ['file', 'reason']; "
            "correct its first line"
        )
    return [
        (number, row[columns["file"]], row.get(columns.get("reason"), ""))
        for number, row in sorted(_rows(sheet), key=lambda numbered: numbered[0])
    ]


def _rows(sheet: Sheet) -> list[tuple[int, dict[str, str]]]:
    """Return all rows by their numbers; a reason may hold commas that nobody put in quotes."""
    rows = [*zip(sheet.table.index, sheet.table.to_dict("records"), strict=True)]
    columns = [*sheet.table]
    for number, cells in sheet.crowded.items():
        last = f"{sheet.delimiter} ".join(filter(None, cells[len(columns) - 1 :]))
        rows.append((number, dict(zip(columns, [*cells[: len(columns) - 1], last], strict=True))))
    return rows


def exclude(folder: Path | str, files: Iterable[str], file: str, reason: str) -> Path:
    r"""Leave a photograph out, with a reason, by a row in ``excluded.csv``. Nothing is deleted.

    Parameters
    ----------
    folder : path
        Of the photographs; ``excluded.csv`` is written there, and kept as ``excluded.csv.bak`` as
        it was before.
    files : iterable of str
        Paths of the photographs, relative to the folder.
    file : str
        One of them.
    reason : str

    Returns
    -------
    Path
        Of the table.

    Raises
    ------
    ValueError
        If there is no reason.
    EyeError
        If the table that is there cannot be read, or has no column ``file``. It stays as it is.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as data:
    ...     path = exclude(data, ["a.png"], "a.png", "a blink")
    ...     print(path.read_text().strip())
    ...     path = readmit(data, ["a.png"], "a.png")
    ...     print(path.read_text().strip())
    file,reason
    a.png,a blink
    file,reason
    """
    reason = " ".join(reason.split())
    if not reason:
        raise ValueError("a visit is excluded with a reason; write one, for example: a blink")
    return _write(Path(folder), files, file, reason)


def readmit(folder: Path | str, files: Iterable[str], file: str) -> Path:
    """Take back that a photograph is left out: remove its rows from ``excluded.csv``.

    Parameters
    ----------
    folder, files, file
        See `exclude`.

    Returns
    -------
    Path
        Of the table.

    Raises
    ------
    EyeError
        See `exclude`.
    """
    return _write(Path(folder), files, file, None)


def _write(folder: Path, files: Iterable[str], file: str, reason: str | None) -> Path:
    path, matcher = folder / EXCLUDED_FILE, FileMatcher([*files])
    before = _read(path) if os.path.lexists(path) else []
    rows = [[name, why] for _, name, why in before if matcher.find(name) != file]
    if reason is not None:
        rows.append([file, reason])
    return write_table(path, ["file", "reason"], rows)
