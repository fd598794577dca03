"""Compressed streams of pixels, as files or inside DICOM: JPEG in all its forms, and JPEG 2000."""

import re
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np

from fundus_helpers.loading.formats.kinds import Opened, UnusableImageError

_SOF = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC} | {0xF7}  # headers of frames
_LOSSLESS = (0xC3, 0xF7)  # lossless JPEG, JPEG-LS


@dataclass(frozen=True)
class Stream:
    """What the header of a compressed stream says.

    Attributes
    ----------
    width, height, channels, bits : int
    colours : str or None
        ``RGB`` or ``YBR`` if the stream says how it stores colours, else None.
    coding : str
        ``JPEG``, ``lossless JPEG``, ``JPEG-LS`` or ``JPEG 2000``.
    progressive : bool
        Decoding then needs all coefficients in memory.
    start : int
        Byte at which the compressed pixels begin.
    exif : bytes
        EXIF data, empty if there are none.
    """

    width: int
    height: int
    channels: int
    bits: int
    colours: str | None
    coding: str
    progressive: bool = False
    start: int = 0
    exif: bytes = b""

    @property
    def pixel_bytes(self) -> int:
        """Bytes of the decoded pixels, or of what decoding needs beyond them if that is more."""
        count = self.width * self.height * self.channels * (1 if self.bits <= 8 else 2)
        # OpenJPEG holds every sample as 32 bits, more than once.
        return count * {"JPEG 2000": 3}.get(self.coding, 1 + self.progressive)


def read_stream_header(data: bytes) -> Stream:
    """Read the header of a stream, which decides how the pixels are read.

    Parameters
    ----------
    data : bytes
        A JPEG, JPEG-LS or JPEG 2000 stream, or a JP2 file.

    Raises
    ------
    UnusableImageError
        If it is something else, or its header is not whole.
    """
    if data[:3] == b"\xff\xd8\xff":
        return _jpeg_header(data)
    start = data.find(b"\xff\x4f\xff\x51", 0, 1 << 20)
    if start >= 0:
        return _jpeg_2000_header(data, start)
    raise UnusableImageError("holds neither JPEG nor JPEG 2000 where its pixels should be")


def _jpeg_header(data: bytes) -> Stream:
    adobe = jfif = None
    exif = b""
    frame = place = None
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            position += 1
            continue
        marker = data[position + 1]
        if marker in (0xFF, 0x00, 0x01) or 0xD0 <= marker <= 0xD8:
            position += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        body = data[position + 4 : position + 2 + length]
        if marker == 0xDA:
            place = position
            break
        if marker == 0xE0 and body[:4] == b"JFIF":
            jfif = True
        elif marker == 0xE1 and body[:6] == b"Exif\0\0":
            exif = exif or body
        elif marker == 0xEE and body[:5] == b"Adobe" and len(body) >= 12:
            adobe = body[11]
        elif marker in _SOF and frame is None:
            frame = marker, body
        position += 2 + length
    if frame is None or place is None or len(frame[1]) < 6 + 3 * frame[1][5]:
        raise UnusableImageError("is cut short inside its JPEG header; export it again")
    marker, body = frame
    coding = {0xC3: "lossless JPEG", 0xF7: "JPEG-LS"}.get(marker, "JPEG")
    return Stream(
        width=int.from_bytes(body[3:5], "big"),
        height=int.from_bytes(body[1:3], "big"),
        channels=body[5],
        bits=body[0],
        colours=_jpeg_colours(marker, body, adobe, jfif),
        coding=coding,
        progressive=marker in (0xC2, 0xCA),
        start=place,
        exif=exif,
    )


def _jpeg_colours(marker: int, body: bytes, adobe: int | None, jfif: bool | None) -> str | None:
    """Tell the colours by the rules of libjpeg: markers first, then the names of the channels."""
    if body[5] != 3:
        return None
    names = bytes(body[6 + 3 * i] for i in range(3))
    if adobe is not None:
        return "YBR" if adobe else "RGB"
    if names == b"RGB":
        return "RGB"
    if marker in _LOSSLESS:
        return None
    sampling = {body[7 + 3 * i] for i in range(3)}
    return "YBR" if jfif or names == b"\1\2\3" or len(sampling) > 1 else None


def _jpeg_2000_header(data: bytes, start: int) -> Stream:
    def number(offset: int, size: int = 4) -> int:
        return int.from_bytes(data[start + offset : start + offset + size], "big")

    if len(data) < start + 43:
        raise UnusableImageError("is cut short inside its JPEG 2000 header; export it again")
    # Marker COD: after the length, coding style, progression order and layers, the transformation.
    coding_style = data.find(b"\xff\x52\0", start, start + 4096)
    transformed = coding_style >= 0 and data[coding_style + 8 : coding_style + 9] == b"\1"
    return Stream(
        width=number(8) - number(16),
        height=number(12) - number(20),
        channels=number(40, 2),
        bits=(data[start + 42] & 0x7F) + 1,
        colours="RGB" if transformed else None,
        coding="JPEG 2000",
        start=start,
    )


def decode_stream(data: bytes, header: Stream, colours: str | None = None) -> np.ndarray:
    """Decode a stream; colours come out as red, green and blue.

    Parameters
    ----------
    data : bytes
        See `read_stream_header`.
    header : Stream
        Its header.
    colours : {"RGB", "YBR"}, optional
        What is stored, where the stream does not say it. None: RGB in lossless streams, else YBR.

    Returns
    -------
    unsigned or signed ndarray, shape (height, width) or (height, width, channels)

    Raises
    ------
    UnusableImageError
        If the stream is cut short, or holds another size than its header says.
    """
    stored = header.colours or colours or ("YBR" if header.coding == "JPEG" else "RGB")
    if header.coding == "JPEG 2000":
        image = imagecodecs.jpeg2k_decode(data)
    elif data.find(b"\xff\xd9", header.start) < 0:  # the decoder would fill up what is missing
        raise UnusableImageError("is cut short: its JPEG stream has no end; export it again")
    elif header.coding == "JPEG-LS":
        image = imagecodecs.jpegls_decode(data)
    elif header.channels == 3:
        space = "YCBCR" if stored == "YBR" and header.coding == "JPEG" else "RGB"
        image = imagecodecs.jpeg8_decode(data, colorspace=space, outcolorspace="RGB")
    else:
        image = imagecodecs.jpeg8_decode(data)
    if image.ndim == 3 and image.shape[0] == header.channels != image.shape[2]:
        image = np.moveaxis(image, 0, 2)
    if image.shape[:2] != (header.height, header.width):
        raise UnusableImageError(f"is damaged: its stream decodes to the shape {image.shape}")
    if stored == "YBR" and header.coding != "JPEG" and header.channels == 3:
        return from_ybr(image, header.bits)
    return image


def from_ybr(image: np.ndarray, bits: int) -> np.ndarray:
    """Convert full-range luminance and colour differences (YBR_FULL, YCbCr) to red, green, blue.

    Parameters
    ----------
    image : unsigned ndarray, shape (height, width, 3)
    bits : int
        Bits that are used.

    Returns
    -------
    ndarray, of the shape and dtype of the image
    """
    middle, white = 1 << (bits - 1), (1 << bits) - 1
    result = np.empty_like(image)
    for i in range(0, len(image), 256):  # in strips: the floats of a large photograph fill memory
        y, b, r = np.moveaxis(image[i : i + 256].astype(np.float32), 2, 0)
        b, r = b - middle, r - middle
        rgb = np.stack([y + 1.402 * r, y - 0.344136 * b - 0.714136 * r, y + 1.772 * b], axis=2)
        result[i : i + 256] = np.clip(np.rint(rgb), 0, white)
    return result


def fill_range(image: np.ndarray, bits: int) -> np.ndarray:
    """Scale unsigned values of the stated bits so that they fill 8 bits, or 16 if there are more.

    Parameters
    ----------
    image : unsigned ndarray
    bits : int
        From 1 to 32.

    Returns
    -------
    uint8 or uint16 ndarray
        The same array if its values fill the range already.
    """
    target = np.uint8 if bits <= 8 else np.uint16
    if image.dtype == target and bits in (8, 16):
        return image
    white, largest = np.iinfo(target).max, 2**bits - 1
    if bits > 16:
        return np.rint(image * (white / largest)).astype(target)
    return through_table(np.rint(np.arange(largest + 1) * (white / largest)).astype(target), image)


def through_table(table: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Replace every value by its entry in a table; values beyond its end by the last one.

    Parameters
    ----------
    table : ndarray, shape (n,) or (n, channels)
    image : unsigned ndarray

    Returns
    -------
    ndarray, shape of the image (and channels), dtype of the table
    """
    result = np.empty(image.shape + table.shape[1:], table.dtype)
    for i in range(0, len(image), 256):  # in strips: NumPy makes indices of 64 bits
        result[i : i + 256] = table[np.minimum(image[i : i + 256], len(table) - 1)]
    return result


def open_jpeg_2000(path: Path) -> Opened:
    """Open a JPEG 2000 file (JP2, JPX or a bare codestream). See `loading.read_photograph`."""
    with path.open("rb") as file:
        header = read_stream_header(file.read(1 << 20))

    def decode() -> np.ndarray:
        data = path.read_bytes()
        image = decode_stream(data, header, _jp2_colours(data))
        if image.dtype.kind == "i":
            raise UnusableImageError("has signed values; save it as TIFF or PNG")
        return fill_range(image, header.bits)

    return Opened(header.width, header.height, header.pixel_bytes, decode)


def _jp2_colours(data: bytes) -> str | None:
    # Box "colr", method 1 (enumerated): 18 is sYCC.
    found = re.search(rb"colr\x01..(....)", data[:4096], re.DOTALL)
    return "YBR" if found and int.from_bytes(found[1], "big") == 18 else None
