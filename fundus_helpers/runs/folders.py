"""The folders and the notebooks that a run was given, checked before anything starts.

``python -m fundus_helpers.runs.folders DATA RESULTS NOTEBOOKS [--cluster]``
"""

import os
import sys
from pathlib import Path

from fundus_helpers.loading.eye_error import EyeError
from fundus_helpers.results.notebooks import chosen_notebooks, numbered_notebooks


class FolderError(ValueError):
    """A folder that a run cannot use. The message says why and what to do."""


class NotebookError(ValueError):
    """A notebook that does not exist. The message lists those that do."""


def check_folders(data: Path | str, results: Path | str, *, cluster: bool = False) -> None:
    """Check that a run can read the data folder and write the results folder.

    A data folder that does not exist is no error here, because the demo makes it.

    Parameters
    ----------
    data, results : path
        As the user has given them.
    cluster : bool
        Whether Snakemake writes the names into the commands of jobs, where quotes do harm.

    Raises
    ------
    FolderError
        If a name has characters that Snakemake cannot use, if there is a file in the place of a
        folder, or if a folder has no permission.

    Examples
    --------
    >>> check_folders("data", "results")
    >>> check_folders("data", "results {new}")
    Traceback (most recent call last):
    ...
    fundus_helpers.runs.folders.FolderError: RESULTS='results {new}': a path ...
    """
    for name, path in (("DATA", str(data)), ("RESULTS", str(results))):
        _check_name(name, path, "{}<>\\'\"$`" if cluster else "{}<>\\")
        if Path(path).exists() and not Path(path).is_dir():
            raise FolderError(f"{name}={path!r} is a file; give the path of a folder")
    if Path(data).is_dir() and not os.access(data, os.R_OK | os.X_OK):
        raise FolderError(
            f"DATA={str(data)!r}: this folder may not be read; change its permissions"
        )
    place = Path(results).absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise FolderError(f"RESULTS={str(results)!r}: {place.name!r} is a file, not a folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise FolderError(
            f"RESULTS={str(results)!r}: nothing may be written into folder {place.name!r}; change "
            "its permissions, or choose another results folder"
        )


def check_names(data: Path | str) -> None:
    """Check the settings for names: ``VISITS``, ``VISITS_COLUMNS``, ``PATTERN`` and the table.

    Raises
    ------
    EyeError
        If one of them cannot be used. Nothing is checked if the data folder does not exist.
    """
    from fundus_helpers.loading.visits.listing import DataListing  # here: it loads pandas
    from fundus_helpers.loading.visits.names import read_name
    from fundus_helpers.loading.visits.settings import pattern_of_run

    if Path(data).is_dir():
        DataListing(data)
        read_name("x", pattern=pattern_of_run())


def check_notebooks(words: str, folder: Path | str = "notebooks") -> None:
    """Check that there are the notebooks that a run was given.

    Parameters
    ----------
    words : str
        See `chosen_notebooks`.
    folder : path
        Of all notebooks.

    Raises
    ------
    NotebookError
        If there is no such notebook.
    """
    try:
        chosen_notebooks(words, numbered_notebooks(folder))
    except ValueError as error:
        raise NotebookError(f"NOTEBOOKS={words!r}: {error}") from None


def _check_name(name: str, path: str, refused: str) -> None:
    odd = sorted({letter for letter in path if letter in refused or not letter.isprintable()})
    if odd:
        shown = ", ".join(map(repr, odd))
        raise FolderError(f"{name}={path!r}: a path with {shown} cannot be used; rename the folder")
    if path != path.strip() or not path:
        raise FolderError(f"{name}={path!r}: a path may not be empty, or begin or end with a space")
    if path.startswith(("-", "~", "#", "%")):  # what programs take for something else
        raise FolderError(f"{name}={path!r}: give the path as {'./' + path!r}")


def main(arguments: list[str]) -> int:
    """Check what a run was given. Return 2 if it cannot be used; standard error says why."""
    data, results, notebooks, *options = arguments
    try:
        check_folders(data, results, cluster="--cluster" in options)
        check_names(data)
        check_notebooks(notebooks)
    except (FolderError, EyeError, NotebookError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
