"""A temporary folder that only this user can open, with a path short enough for sockets."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

# The path of a socket has at most 103 bytes on macOS and 107 on Linux. Names in the folder
# (kernel-ipc-5) need some of them.
LONGEST = 90  # bytes


@contextlib.contextmanager
def private_folder(prefix: str) -> Iterator[Path]:
    """Make a temporary folder for sockets, and delete it at the end.

    It lies in the folder for temporary files (``TMPDIR``). If that path is too long for sockets, it
    lies in the first of ``XDG_RUNTIME_DIR``, ``/tmp``, ``/var/tmp`` and ``/dev/shm`` that can be
    written.

    Parameters
    ----------
    prefix : str
        The name of the folder begins with it.

    Raises
    ------
    OSError
        If no folder with a short path can be written. The message says what to do.

    Examples
    --------
    >>> with private_folder("kernel-") as folder:
    ...     len(str(folder)) <= 90, oct(folder.stat().st_mode & 0o777)
    (True, '0o700')
    """
    folder = _made(prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _made(prefix: str) -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    for place in (tempfile.gettempdir(), runtime, "/tmp", "/var/tmp", "/dev/shm"):
        if place and len(os.fsencode(place)) + len(prefix) + 9 <= LONGEST:
            with contextlib.suppress(OSError):
                return Path(tempfile.mkdtemp(prefix=prefix, dir=os.path.abspath(place)))
    raise OSError(
        f"no folder for temporary files has a path of fewer than {LONGEST} letters and can be "
        "written: set TMPDIR to such a folder"
    )
