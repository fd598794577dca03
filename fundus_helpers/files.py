"""Which files hold photographs, and how a file is written so that nobody reads half of it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

# The endings of files that hold photographs.
SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".dcm")


@contextlib.contextmanager
def written_beside(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; the file written there becomes `path`.

    The temporary file is renamed when the block ends, and deleted if the block raises. No reader
    therefore sees half a file, even if the program is killed. A killed program leaves a hidden
    file, which the next run overwrites.

    Raises
    ------
    OSError
        If the folder cannot be written; the message names the file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with written_beside(Path(folder, "result.txt")) as part:
    ...         _ = part.write_text("42")
    ...     [path.name for path in Path(folder).iterdir()]
    ['result.txt']
    """
    path = Path(path)
    part = path.with_name(f".part-{path.name}")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
