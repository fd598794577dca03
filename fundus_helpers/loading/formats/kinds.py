"""What kind of file it is, by its first bytes; and what can be said before it is decoded."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from fundus_helpers.files import SUFFIXES, UNREADABLE_SUFFIXES

MOST_BYTES = 15_000 * 15_000 * 3  # of the pixels of a photograph: 225 megapixels of 8-bit colour
MOST_FILE_BYTES = 10**9
LEAST_SIDE = 16  # pixels
_HEAD = 1024  # bytes by which a file is told

# Value representations with which elements of explicit DICOM begin; those of the first groups.
_VR = (b"AE", b"AS", b"CS", b"DA", b"DT", b"IS", b"LO", b"OB", b"SH", b"TM", b"UI", b"UL", b"US")

_READABLE = (
    ("PNG", rb"\x89PNG\r\n\x1a\n"),
    ("JPEG", rb"\xff\xd8\xff"),
    ("TIFF", rb"II[\x2a\x2b]\0|MM\0[\x2a\x2b]"),
    ("WebP", rb"RIFF....WEBP"),
    ("JPEG 2000", rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
    ("PNM", rb"P[2356]\s"),
    ("BMP", rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0"),
)
# Kinds that are not read: what they are called, how they begin, an ending with the same advice.
_FOREIGN = (
    ("a HEIC picture", rb"....ftyp(hei|hev|mif1|msf1)", ".heic"),
    ("an AVIF picture", rb"....ftypavi[fs]", ".avif"),
    ("a raw camera file", rb"....ftypcrx|FUJIFILMCCD|IIU\0|IIR[OS]|MMOR|\0MRM", ".raw"),
    ("a video", rb"....ftyp|RIFF....AVI |\x1aE\xdf\xa3|\0\0\x01[\xb3\xba]|0&\xb2u", ".mp4"),
    ("a GIF picture", rb"GIF8", ".gif"),
    ("a JPEG XL picture", rb"\xff\x0a|\0\0\0\x0cJXL ", ".jxl"),
    ("a JPEG XR picture", rb"II\xbc", ".jxr"),
    ("a one-bit picture (PBM), as of a mask or a scan", rb"P[14]\s", ".pbm"),
    ("a PAM or PFM picture", rb"P[7Ff]\s", ".pam"),
    ("a PDF", rb"%PDF", ".pdf"),
    ("a Photoshop file", rb"8BPS", ".psd"),
    ("a GIMP file", rb"gimp xcf", ".xcf"),
    ("PostScript", rb"%!PS", ".eps"),
    (
        "an SVG drawing",
        rb"\s*(<[?!][^>]*>\s*)*<svg",
        ".svg",
    ),
    ("an OpenEXR picture", rb"v/1\x01", ".exr"),
    ("a Heidelberg E2E file", rb"CMDb|MDbM|MDbData|MDbDir", ".e2e"),
    ("a Heidelberg VOL file", rb"HSF-OCT", ".vol"),
    ("a Topcon FDA or FDS file", rb"FOCT|FDA|FDS", ".fda"),
    ("a ZIP archive (or an Office document)", rb"PK\x03\x04|PK\x05\x06", ".zip"),
    ("a packed file", rb"\x1f\x8b|7z\xbc\xaf|Rar!|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd", ".gz"),
    ("an HDF5 file", rb"\x89HDF\r\n", ".h5"),
    ("a MATLAB file", rb"MATLAB 5\.0", ".mat"),
    ("a NumPy file", rb"\x93NUMPY", ".npy"),
    ("a NIfTI, NRRD or MetaImage file", rb"NRRD000|ObjectType|.{343}\0(n\+1|ni1)\0", ".nii"),
    ("an Office document", rb"\xd0\xcf\x11\xe0", ".doc"),
)


_Result = TypeVar("_Result")


class UnusableImageError(ValueError):
    """A file or an array that is not a usable photograph; the message says why."""


@dataclass(frozen=True)
class Opened:
    """A file whose header was read, and whose pixels were not.

    Attributes
    ----------
    width, height : int
        As stored, before the photograph is turned.
    pixel_bytes : int
        Bytes of the pixels, once decoded.
    decode : callable
        Returns the pixels, shape (height, width) or (height, width, channels).
    orientation : int
        From 1 to 8, as in EXIF; 1 needs no turning.
    aspect : float
        Width of a pixel divided by its height.
    """

    width: int
    height: int
    pixel_bytes: int
    decode: Callable[[], np.ndarray]
    orientation: int = 1
    aspect: float = 1.0

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the photograph once it is turned."""
        width, height = self.width, self.height
        return (height, width) if self.orientation >= 5 else (width, height)

    def check(self) -> None:
        """Refuse what cannot be a photograph, or is too large, before anything is decoded.

        Raises
        ------
        UnusableImageError
            Without the name of the file.
        """
        size = f"{self.width} x {self.height} px"
        if min(self.width, self.height) < LEAST_SIDE:
            raise UnusableImageError(
                f"{size} are too few for a photograph; {LEAST_SIDE} or more are needed on each side"
            )
        if self.pixel_bytes > MOST_BYTES:
            raise UnusableImageError(
                f"too large: {size}, {self.pixel_bytes / 1e6:.0f} MB of memory for the pixels; "
                f"accepted are {MOST_BYTES / 1e6:.0f} MB (15000 x 15000 px in colour of 8 bits): "
                "make it smaller"
            )
        if not 0.99 < self.aspect < 1.01:
            raise UnusableImageError(
                f"its pixels are not square: {self.aspect:.3g} times as wide as high, says its "
                "header; resample it to square pixels, or remove that entry if it is wrong"
            )


def shown_name(path: Path) -> str:
    """Return the name of a file so that it can be printed; odd characters become escapes."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in path.name
    )


def without_name(error: UnusableImageError, path: Path) -> str:
    """Return the message of an error without the name of the file, with which `told` begins it."""
    return str(error).removeprefix(f"{shown_name(path)}: ")


def told(path: Path, work: Callable[[], _Result], kind: str = "photograph") -> _Result:
    """Do some work on a file; whatever goes wrong is raised with its name.

    Parameters
    ----------
    path : Path
        The file.
    work : callable
        Reads it; its result is returned.
    kind : str
        What the file begins like.

    Raises
    ------
    UnusableImageError
        For every error of the work, also those of libraries.
    """
    name = shown_name(path)
    try:
        return work()
    except UnusableImageError as error:
        raise UnusableImageError(f"{name}: {error}") from error.__cause__
    except MemoryError as error:
        raise UnusableImageError(f"{name}: not enough free memory to read it") from error
    except Exception as error:  # libraries raise anything for damaged files
        raise UnusableImageError(
            f"{name}: cannot be read (damaged, cut short or not an image, although it begins like "
            f"a {kind}); export it again"
        ) from error


def kind_of(path: Path) -> str:
    """Tell by its first bytes what kind of photograph a file holds.

    Parameters
    ----------
    path : Path
        The ending plays no part.

    Returns
    -------
    str
        PNG, JPEG, TIFF, WebP, JPEG 2000, PNM, BMP or DICOM.

    Raises
    ------
    UnusableImageError
        If it is no file, or of a kind that is not read; the message says what to do.
    """
    head = _head(path)
    if kind := _readable_kind(head):
        size = os.path.getsize(path)
        if size > MOST_FILE_BYTES and kind not in ("TIFF", "PNM"):  # these are not read whole
            raise UnusableImageError(
                f"too large: a file of {size / 1e6:.0f} MB; accepted are "
                f"{MOST_FILE_BYTES / 1e6:.0f} MB: export it again, or make it smaller"
            )
        return kind
    for kind, pattern, suffix in _FOREIGN:
        if re.match(pattern, head, re.DOTALL):
            advice = UNREADABLE_SUFFIXES[suffix]
            raise UnusableImageError(f"is {kind}, which is not read; {advice}")
    suffix = path.suffix.lower()
    if suffix in UNREADABLE_SUFFIXES:
        raise UnusableImageError(f"type {suffix!r} is not read; {UNREADABLE_SUFFIXES[suffix]}")
    if suffix in SUFFIXES:
        why = "damaged, cut short or not an image" if head else "empty, not an image"
        raise UnusableImageError(f"cannot be read ({why}); export it again")
    raise UnusableImageError(f"is not an image: type {path.suffix!r} is not one of {SUFFIXES}")


def _readable_kind(head: bytes) -> str:
    if head[128:132] == b"DICM":
        return "DICOM"
    for kind, pattern in _READABLE:
        if re.match(pattern, head, re.DOTALL):
            return kind
    foreign = any(re.match(pattern, head, re.DOTALL) for _, pattern, _ in _FOREIGN)
    return "DICOM" if not foreign and _begins_with_dicom_elements(head) else ""


def _head(path: Path) -> bytes:
    if not os.path.exists(path):
        link = "it is a link that leads nowhere" if os.path.islink(path) else "file is missing"
        known = path.suffix.lower() in SUFFIXES
        ending = "" if known else f"; type {path.suffix!r} is not one of {SUFFIXES}"
        raise UnusableImageError(f"cannot be read ({link}){ending}")
    if not os.path.isfile(path):
        raise UnusableImageError("is a folder or a device, not a file")
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except PermissionError as error:
        raise UnusableImageError(
            "cannot be read: no permission; give yourself the right to read it"
        ) from error
    except OSError as error:
        raise UnusableImageError(f"cannot be read: {error.strerror or 'device error'}") from error


def looks_like_dicom(path: Path | str) -> bool:
    """Whether a file begins like DICOM, with or without its preamble; its name plays no part.

    Only a few hundred bytes are read. A file that cannot be read does not look like anything.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from fundus_helpers.loading.formats.kinds import looks_like_dicom
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "00000017")
    ...     _ = file.write_bytes(bytes(128) + b"DICM")
    ...     looks_like_dicom(file)
    True
    """
    try:
        head = _head(Path(path))
    except UnusableImageError:
        return False
    return _readable_kind(head) == "DICOM"


def looks_like_photograph(path: Path | str) -> bool:
    """Whether a file begins like one of the kinds that are read; see `looks_like_dicom`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from fundus_helpers.loading.formats.kinds import looks_like_photograph
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "eye_2019-05-28_L")
    ...     _ = file.write_text("notes of the visit")
    ...     looks_like_photograph(file)
    False
    """
    try:
        head = _head(Path(path))
    except UnusableImageError:
        return False
    return bool(_readable_kind(head))


def _begins_with_dicom_elements(head: bytes) -> bool:
    """Whether the first bytes are an element of group 2 or 8: tag, then VR or a short length."""
    if len(head) < 16 or head[:2] not in (b"\x02\0", b"\x08\0", b"\0\x08"):
        return False
    if head[4:6] in _VR:
        return True
    order = "big" if head[0] == 0 else "little"
    length = int.from_bytes(head[4:8], order)
    following = head[8 + length : 10 + length]
    return length <= 128 and following in (head[:2], b"\x08\0", b"\x10\0")
