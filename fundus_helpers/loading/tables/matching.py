"""Names of files in tables, matched to the files that are there although they differ a little."""

import os
import unicodedata
from collections.abc import Iterable

from fundus_helpers.files import SUFFIXES


class FileMatcher:
    r"""Find the file that a table means: with a path, in other capitals, or without its ending.

    Parameters
    ----------
    files : iterable of str
        Paths of the files, relative to one folder, with ``/`` between their parts.

    Examples
    --------
    >>> matcher = FileMatcher(["a_2020-01-02_L.png", "right/b.tif"])
    >>> matcher.find("C:\\eyes\\A_2020-01-02_L.PNG"), matcher.find("b")
    ('a_2020-01-02_L.png', 'right/b.tif')
    >>> matcher.find("c.png") is None
    True
    """

    def __init__(self, files: Iterable[str]) -> None:
        self._found: list[dict[str, set[str]]] = [{}, {}, {}, {}]
        for file in files:
            for found, key in zip(self._found, _keys(file), strict=True):
                found.setdefault(key, set()).add(file)
        self._exact = {file for files in self._found[0].values() for file in files}

    def find(self, name: str) -> str | None:
        """Return the one file that a name means; None if there is none, or more than one."""
        files = self.find_all(name)
        return files[0] if len(files) == 1 else None

    def find_all(self, name: str) -> list[str]:
        """Return the files that a name may mean, sorted: none, one, or several in folders."""
        name = name.replace("\\", "/")
        if name in self._exact:
            return [name]
        for found, key in zip(self._found, _keys(name), strict=True):
            if key in found:
                return sorted(found[key])
        return []


def normal_path(name: str) -> str:
    """Return a path as it is compared: ``/`` between its parts, one spelling, small letters."""
    path = os.path.normpath(name.replace("\\", "/"))
    return unicodedata.normalize("NFC", path).casefold()


def without_suffix(path: str) -> str:
    """Remove the ending of a photograph from a path that `normal_path` returned."""
    stem, suffix = os.path.splitext(path)
    return stem if suffix in SUFFIXES else path


def _keys(name: str) -> tuple[str, str, str, str]:
    """Return what is compared: the path, the path without ending, the name, and its stem."""
    path = normal_path(name)
    base = path.rsplit("/", 1)[-1]
    return path, without_suffix(path), base, without_suffix(base)
