"""The content of the files of an eye, by which a run knows whether they have changed.

Size and time of a file do not tell: ``rsync -t`` and a restored backup bring other photographs with
both, and a file that was only copied has new ones. So files are compared by a hash of their
content. The Snakefile imports this file. It therefore loads no large library.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

from fundus_helpers.files import sha256_of, state_of, written_beside

# Two changes within the precision of a file's time look like one. So the hash of a file that has
# just been changed is not kept.
SETTLED = 10  # seconds


def content_of(folder: Path | str, files: Iterable[Path | str], cache: Path | str) -> str:
    """Return one hash of the names and the content of files.

    A file is read only if it may have changed since the last call, which its size, its times of
    change (nanoseconds) and its inode tell. No program can set the time of the last change of the
    inode, so a file that was replaced is always read again.

    Parameters
    ----------
    folder : path
        Its own name and place do not count.
    files : iterable of path
        Paths relative to the folder. A file that is missing or cannot be read counts as such, and
        is no error.
    cache : path
        The file that keeps the hashes of these files. Several programs may use it at the same time.
        If it is damaged or lost, all files are read again.

    Returns
    -------
    str
        64 hexadecimal digits (SHA-256).

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file, cache = Path(folder, "a.png"), Path(folder, "cache.json")
    ...     _ = file.write_text("one")
    ...     before = content_of(folder, ["a.png"], cache)
    ...     _ = file.write_text("two")
    ...     before == content_of(folder, ["a.png"], cache)
    False
    """
    cache = Path(cache)
    known, found = _known(cache), {}
    whole = hashlib.sha256()
    for name in sorted({os.fspath(file) for file in files}):
        digest, state = _hashed(Path(folder, name), known.get(name))
        whole.update(os.fsencode(f"{len(name)} {name} {digest}\n"))
        if state:
            found[name] = [state, digest]
    if found != known:
        try:
            cache.parent.mkdir(parents=True, exist_ok=True)
            with written_beside(cache) as part:
                part.write_text(json.dumps(found))
        except OSError:  # the disk is full, or the folder is read-only: files are read again
            pass
    return whole.hexdigest()


def _known(cache: Path) -> dict[str, list]:
    try:
        known = json.loads(cache.read_text())
    except (OSError, ValueError):  # there is none yet, or it is damaged
        return {}
    pairs = known.items() if isinstance(known, dict) else ()
    return {name: pair for name, pair in pairs if isinstance(pair, list) and len(pair) == 2}


def _hashed(path: Path, known: list | None) -> tuple[str, list[int] | None]:
    """Return the hash of a file, and its state if the hash may be kept."""
    try:
        state = [*state_of(path)]  # as it comes back from JSON
        if known and known[0] == state:
            return known[1], state
        if not path.is_file():  # reading a pipe would never end
            return "no file", None
        digest = sha256_of(path)
        settled = time.time_ns() - state[2] > SETTLED * 10**9
        return digest, state if settled and [*state_of(path)] == state else None
    except OSError as error:
        return f"cannot be read: {error.errno}", None


def ahead_of_time(folder: Path | str, files: Iterable[Path | str]) -> list[str]:
    """Return the names of the files whose time of change lies ahead by more than a minute.

    Parameters
    ----------
    folder : path
    files : iterable of path
        Paths relative to the folder.
    """
    latest = time.time() + 60
    return [Path(file).name for file in files if _time_of(Path(folder, file)) > latest]


def _time_of(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0
