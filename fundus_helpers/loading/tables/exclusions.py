"""``excluded.csv`` beside the photographs: visits that a person has left out, with the reasons."""

import os
from collections.abc import Iterable
from pathlib import Path

from fundus_helpers.loading.eye_error import EyeError
from fundus_helpers.loading.tables.matching import FileMatcher
from fundus_helpers.loading.tables.sheets import Sheet, read_sheet

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
        sheet = read_sheet(path)
        table = sheet.table
        columns = {str(column).casefold(): column for column in table}
        if len(table.columns) and "file" not in columns:
            raise EyeError(
                f"{EXCLUDED_FILE}: columns are {[*table.columns]}, needed ['file', 'reason']; "
                "correct its first line"
            )
    except EyeError as error:
        return dict.fromkeys(files, f"nothing can be used: {error}"), []
    matcher, excluded, unknown = FileMatcher(files), {}, []
    for number, row in sorted(_rows(sheet)):
        name = row[columns["file"]]
        reason = row.get(columns.get("reason"), "") or "no reason given"
        found = matcher.find_all(name)
        if len(found) == 1:
            excluded[found[0]] = f"excluded: {reason}"
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


def _rows(sheet: Sheet) -> list[tuple[int, dict[str, str]]]:
    """Return all rows by their numbers; a reason may hold commas that nobody put in quotes."""
    rows = [*zip(sheet.table.index, sheet.table.to_dict("records"), strict=True)]
    columns = [*sheet.table]
    for number, cells in sheet.crowded.items():
        last = f"{sheet.delimiter} ".join(filter(None, cells[len(columns) - 1 :]))
        rows.append((number, dict(zip(columns, [*cells[: len(columns) - 1], last], strict=True))))
    return rows
