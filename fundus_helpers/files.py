"""Which files hold photographs, and how a file is written so that nobody reads half of it."""

import contextlib
import hashlib
import logging
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

# The endings of files that hold photographs. What a file is, its content decides
# (`loading.read_photograph`); the endings only say which files of a folder are looked at.
SUFFIXES = (
    *(".png", ".tif", ".tiff", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib"),
    *(".pgm", ".ppm", ".pnm", ".webp", ".jp2", ".j2k", ".j2c", ".jpc", ".jpx"),
    *(".dcm", ".dicom", ".dic", ".ima"),
)
_EXPORT = "export the photograph as PNG, TIFF or DICOM with"
_RAW = "develop it with the camera's program and save it as TIFF or PNG"
_OTHER = "save it as PNG or TIFF"
_FRAME = "save the frame that you need as PNG or TIFF"
# Endings of pictures that cannot be read, and what to do with such a file.
UNREADABLE_SUFFIXES = {
    **dict.fromkeys((".heic", ".heif", ".hif", ".avif"), "save it as PNG, or JPEG of quality 95"),
    **dict.fromkeys((".gif", ".jxl", ".jxr", ".wdp", ".psd", ".psb", ".xcf", ".svg"), _OTHER),
    **dict.fromkeys((".eps", ".ai", ".tga", ".exr", ".hdr", ".pfm", ".pam"), _OTHER),
    ".pbm": "export the photograph itself",
    **dict.fromkeys((".pdf", ".doc", ".docx", ".ppt", ".pptx"), "save its picture as PNG or TIFF"),
    **dict.fromkeys((".e2e", ".vol", ".sdb", ".pdb", ".edb"), f"{_EXPORT} Heidelberg's program"),
    **dict.fromkeys((".fda", ".fds"), f"{_EXPORT} Topcon's program"),
    **dict.fromkeys((".oct", ".ocd", ".zvi", ".czi"), f"{_EXPORT} the camera's program"),
    **dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".wmv", ".mpg", ".m4v"), _FRAME),
    **dict.fromkeys((".nii", ".mha", ".mhd", ".nrrd", ".mat", ".npy", ".h5", ".hdf5"), _OTHER),
    **dict.fromkeys((".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".dng", ".orf"), _RAW),
    **dict.fromkeys((".raf", ".rw2", ".pef", ".srw", ".raw"), _RAW),
    **dict.fromkeys((".zip", ".7z", ".rar", ".gz", ".tar", ".tgz"), "unpack it"),
}


UNFINISHED = ".part-"  # hidden files that begin so are being written, or were left by a kill
LOCK = ".lock"
log = logging.getLogger(__name__)


def sha256_of(path: Path | str) -> str:
    """Return the SHA-256 of the content of a file: 64 hexadecimal digits.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state_of(path: Path | str) -> tuple[int, ...]:
    """Return what changes whenever a file changes: its size, its times (ns), its inode, its device.

    No program can set the time of the last change of the inode, so that a file that was replaced by
    one of the same size and time has another state.

    Raises
    ------
    OSError
        If there is no such file.
    """
    found = os.stat(path)
    return (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev)


@contextlib.contextmanager
def written_beside(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; the file written there becomes `path`.

    The temporary file is renamed when the block ends, and deleted if the block raises. No reader
    therefore sees half a file, even if the program is killed. Programs that write the same file at
    the same time do not disturb each other: the one that ends last has its file. A killed program
    leaves hidden files; `remove_unfinished` deletes them.

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
    part = path.with_name(f"{UNFINISHED}{uuid.uuid4().hex[:12]}{path.suffix}")
    with _held(part, path):
        try:
            yield part
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def _held(part: Path, path: Path) -> Iterator[None]:
    """Hold a lock while a file is unfinished. The system frees it when the program has ended."""
    lock = FileLock(part.with_suffix(LOCK))
    try:
        lock.acquire()
    except OSError as error:  # its message names the lock, which tells the user nothing
        raise OSError(error.errno, error.strerror, str(path)) from error
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def remove_unfinished(folder: Path | str) -> None:
    """Delete the unfinished files that killed programs have left in a folder and below it.

    Files that a program is still writing (`written_beside`) stay.

    Parameters
    ----------
    folder : path
    """
    for part in Path(folder).rglob(f"{UNFINISHED}*"):
        lock = FileLock(part.with_suffix(LOCK), timeout=0)
        with contextlib.suppress(Timeout, FileNotFoundError):
            with lock:  # nobody holds it: its program has ended
                part.unlink(missing_ok=True)
                Path(lock.lock_file).unlink(missing_ok=True)


@contextlib.contextmanager
def held(folder: Path | str, purpose: str = "saving") -> Iterator[bool]:
    """Hold a folder of results while one run is at work there.

    If another run holds it for the same purpose, say so and wait until it has ended. The system
    frees the folder when the program that holds it ends, even if it was killed.

    Parameters
    ----------
    folder : path
        It must exist.
    purpose : str
        A word for the name of the lock.

    Yields
    ------
    bool
        Whether this run had to wait.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, held(folder) as waited:
    ...     _ = Path(folder, "numbers.txt").write_text("42")
    >>> waited
    False
    """
    folder = Path(folder)
    lock = FileLock(folder / f".{purpose}{LOCK}")
    waited = False
    try:
        lock.acquire(timeout=1)
    except Timeout:
        waited = True
        place = f"{folder.parent.name}/{folder.name}"
        log.warning("another run is %s its results in %s: this one waits", purpose, place)
        lock.acquire()
    try:
        yield waited
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
