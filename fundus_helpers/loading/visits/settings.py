"""The settings of a run about names: another table of visits, its columns, another pattern.

``make`` passes VISITS, VISITS_COLUMNS and PATTERN on as the environment variables below. So they
reach every notebook, and every process on a cluster. This is the only place that reads them.
"""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from fundus_helpers.loading.eye_error import EyeError
from fundus_helpers.loading.visits.names import PATTERN

TABLE_FILE = "visits.csv"
# A folder with this file says everything itself, as the links to photographs under pseudonyms do.
SELF_CONTAINED = ".self-contained"
VISITS_VARIABLE = "FUNDUS_VISITS"
COLUMNS_VARIABLE = "FUNDUS_VISITS_COLUMNS"
PATTERN_VARIABLE = "FUNDUS_PATTERN"
NEEDED = ("file", "patient", "eye", "date")
KNOWN = ("time", "modality", "camera", "mm_per_pixel", "comment")


@dataclass(frozen=True)
class NameSettings:
    """How the visits of a data folder are named.

    Attributes
    ----------
    table : Path or None
        The table of visits; None if names alone tell.
    columns : tuple of (str, str)
        What the columns of the table are called where they have another name.
    pattern : str
        See `loading.list_visits`.
    self_contained : bool
        Whether the folder holds links under pseudonyms, to which no setting of a run applies.
    """

    table: Path | None = None
    columns: tuple[tuple[str, str], ...] = ()
    pattern: str = PATTERN
    self_contained: bool = False


def read_settings(data: Path | str, pattern: str = PATTERN) -> NameSettings:
    """Return the settings for a data folder.

    Parameters
    ----------
    data : path
    pattern : str
        If it is not the default, it comes before the one of the environment.

    Raises
    ------
    EyeError
        If the table that ``VISITS`` names is not there, or ``VISITS_COLUMNS`` cannot be read.
    """
    own = Path(data) / TABLE_FILE
    if (Path(data) / SELF_CONTAINED).exists():
        return NameSettings(own if own.exists() else None, self_contained=True)
    pattern = pattern_of_run(pattern)
    table = table_path(data)
    given = os.environ.get(COLUMNS_VARIABLE, "")
    if not table.is_file():
        if os.environ.get(VISITS_VARIABLE):
            raise EyeError(f"VISITS={table.name}: there is no such file; check its name and folder")
        if table.is_symlink() or table.exists():
            raise EyeError(f"{table.name}: is a folder or a link that leads nowhere; remove it")
        return NameSettings(None, (), pattern)
    return NameSettings(table, _columns(given), pattern)


def pattern_of_run(pattern: str = PATTERN) -> str:
    """Return a given `pattern`, or if it is the default, that of the run: ``PATTERN``."""
    return (os.environ.get(PATTERN_VARIABLE) or PATTERN) if pattern == PATTERN else pattern


def table_path(data: Path | str) -> Path:
    """Return the path of the table of visits: ``VISITS``, or ``visits.csv`` in the data folder."""
    given = os.environ.get(VISITS_VARIABLE)
    return Path(given).absolute() if given else Path(data) / TABLE_FILE


def _columns(given: str) -> tuple[tuple[str, str], ...]:
    try:
        pairs = [word.partition("=") for word in shlex.split(given)]
    except ValueError as error:
        raise EyeError(f"VISITS_COLUMNS: a quotation mark is not closed in {given!r}") from error
    accepted = [*NEEDED, *KNOWN]
    for name, sign, column in pairs:
        if name not in accepted or not sign or not column:
            raise EyeError(
                f"VISITS_COLUMNS: {name + sign + column!r} is not like file=file_path; the names "
                f"on the left are {', '.join(accepted)}"
            )
    return tuple((name, column) for name, _, column in pairs)
