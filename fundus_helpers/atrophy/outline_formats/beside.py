"""Photographs and the outlines that lie beside them, matched by their names."""

import os
from collections.abc import Iterable
from pathlib import PurePosixPath

from fundus_helpers.loading.eye_error import EyeError
from fundus_helpers.loading.tables.matching import FileMatcher, normal_path, without_suffix
from fundus_helpers.loading.visits.folder import OUTLINE_MARK, is_outline, printable


def place_of(file: str) -> str:
    """Return the folder of a file as its name gives it; empty if it has none.

    Examples
    --------
    >>> place_of("right/eye.png"), place_of("eye.png")
    ('right', '')
    """
    parent = PurePosixPath(file).parent.as_posix()
    return "" if parent == "." else parent


def _is_below(file: str, place: str) -> bool:
    return not place or file.startswith(f"{place}/")


def _below(file: str, place: str) -> str:
    return file[len(place) + 1 :] if place else file


class Beside:
    """The photographs in one folder, and how outlines name them.

    Parameters
    ----------
    files : iterable of str
        The names of all photographs whose outlines are wanted, also of those in other folders.
    place : str
        The folder, as the names give it; empty if they have none.
    names : list of str
        Of all files in the folder.

    Attributes
    ----------
    names : list of str
    photographs : set of str
        The names, without a folder, of the photographs in this one.
    """

    def __init__(self, files: Iterable[str], place: str, names: list[str]) -> None:
        self.names = names
        inside = {PurePosixPath(file).name: file for file in files if place_of(file) == place}
        below = {_below(file, place): file for file in files if _is_below(file, place)}
        self.photographs = {*inside}
        self._below, self._matcher = below, FileMatcher(below)
        self._all = FileMatcher([*names, *below])
        self._by_key: dict[str, list[str]] = {}
        for name, file in inside.items():
            key = normal_path(name)
            for each in {key, without_suffix(key)}:
                self._by_key.setdefault(each, []).append(file)
        keys = (normal_path(name) for name in names if not is_outline(name))
        self._others = {each for key in keys for each in (key, without_suffix(key))}

    def find(self, name: str) -> str | None:
        """Return the photograph that a name means, also one in a folder below; None if unknown."""
        found = self._matcher.find(name) if name else None
        return self._below[found] if found else None

    def knows(self, name: str) -> bool:
        """Whether any file here has a name."""
        return bool(self._all.find_all(name))

    def photograph_of(self, name: str) -> str | None:
        """Return the photograph of a file by its name; None if it is not one of the wanted ones.

        Raises
        ------
        EyeError
            If no photograph here has that name, or if several have.
        """
        stem = os.path.splitext(name)[0]
        marked = stem.casefold().endswith(OUTLINE_MARK)
        stem = stem[: -len(OUTLINE_MARK)] if marked else stem
        key = normal_path(stem)
        files = self._by_key.get(key, [])
        if len(files) > 1:
            longer = f"{PurePosixPath(files[0]).name}{OUTLINE_MARK}{os.path.splitext(name)[1]}"
            raise EyeError(f"is of {' or '.join(map(repr, files))}; name it like {longer}")
        if not files and key not in self._others:
            raise EyeError(
                f"no photograph {printable(stem)!r} lies beside it; name it like the photograph, "
                f"with {OUTLINE_MARK} before its ending"
            )
        return files[0] if files else None
