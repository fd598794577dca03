"""``excluded.csv`` beside the photographs: visits that a person has left out, with the reasons."""

from collections.abc import Iterable
from pathlib import Path

from fundus_helpers.loading.eye_error import EyeError
from fundus_helpers.loading.tables.matching import FileMatcher
from fundus_helpers.loading.tables.sheets import read_sheet

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
    ...     read_exclusions(Path(data), ["a.png"])
    ({'a.png': 'excluded: blurred'}, ["excluded.csv, row 3: there is no file 'b'"])
    """
    path, files = folder / EXCLUDED_FILE, [*files]
    if not path.is_file():
        return {}, []
    try:
        table = read_sheet(path).table
        columns = {str(column).casefold(): column for column in table}
        if len(table.columns) and "file" not in columns:
            raise EyeError(
                f"{EXCLUDED_FILE}: columns are {[*table.columns]}, needed ['file', 'reason']; "
                "correct its first line"
            )
    except EyeError as error:
        return dict.fromkeys(files, f"nothing can be used: {error}"), []
    matcher, excluded, unknown = FileMatcher(files), {}, []
    for number, row in zip(table.index, table.to_dict("records"), strict=True):
        name = row[columns["file"]]
        reason = row.get(columns.get("reason"), "") or "no reason given"
        file = matcher.find(name)
        if file is None:
            unknown.append(f"{EXCLUDED_FILE}, row {number}: there is no file {name!r}")
        else:
            excluded[file] = f"excluded: {reason}"
    return excluded, unknown
