"""Photographs that lie in a folder twice: files with the same content."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from fundus_helpers.files import sha256_of

_PIECE = 65536  # bytes


def same_contents(paths: Iterable[Path]) -> list[list[Path]]:
    """Find the files that have the same content, by SHA-256.

    Only files of equal size are opened, and read whole only if their middles are the same.

    Parameters
    ----------
    paths : iterable of Path

    Returns
    -------
    list of list of Path
        Each group holds two or more files, in the given order. Empty files are in no group.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = [Path(folder, name) for name in "abc"]
    ...     for path, text in zip(paths, ("one", "two", "one")):
    ...         _ = path.write_text(text)
    ...     [[path.name for path in group] for group in same_contents(paths)]
    [['a', 'c']]
    """
    groups = [[*paths]]
    for measure in (_size, _middle, sha256_of):
        groups = [part for group in groups for part in _parts(group, measure)]
    return groups


def _parts(group: list[Path], measure) -> list[list[Path]]:
    parts: dict[object, list[Path]] = {}
    for path in group:
        try:
            value = measure(path)
        except OSError:  # reading it as a photograph will say why
            continue
        if value:
            parts.setdefault(value, []).append(path)
    return [part for part in parts.values() if len(part) > 1]


def _size(path: Path) -> int:
    return os.stat(path).st_size


def _middle(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, (_size(path) - _PIECE) // 2))
        return hashlib.sha256(file.read(_PIECE)).digest()
