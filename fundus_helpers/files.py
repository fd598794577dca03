"""Files: which hold photographs, and how none is ever seen half written."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".dcm")  # of photographs


@contextlib.contextmanager
def written_beside(path: Path | str) -> Iterator[Path]:
    """Give a path beside `path` to write to; renamed to it at the end, deleted on an error.

    So no reader, and no run after a kill, ever sees half a file. What a kill leaves is hidden, and
    the next run writes over it.

    Raises
    ------
    OSError
        If the folder cannot be written; it names the folder.
    """
    path = Path(path)
    part = path.with_name(f".part-{path.name}")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
