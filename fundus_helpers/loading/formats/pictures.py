"""Pictures of common programs: PNG, JPEG, BMP, PNM (PGM and PPM) and WebP."""

import os
import re
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import (
    BmpImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
)
from PIL.ImageFile import ImageFile

from fundus_helpers.loading.formats.kinds import Opened, UnusableImageError
from fundus_helpers.loading.formats.streams import (
    decode_stream,
    fill_range,
    read_stream_header,
    through_table,
)

ORIENTATION = 0x0112  # tag of EXIF and TIFF
_STRIP = 256  # rows
_PIECE = 1 << 20  # bytes
# The readers of Pillow for files that may hold EXIF data.
PLUGINS = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}


def opened_by_pillow(path: Path, plugin: type[ImageFile]) -> ImageFile:
    """Open a picture with one plugin of Pillow, which reads the header only.

    The plugin itself does not know the limit of `Image.open`, half of what we accept, which can
    only be changed for the whole program.

    Parameters
    ----------
    path : Path
    plugin : type of ImageFile
        A class of Pillow that reads this kind of file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of metadata; they would quote it
        return plugin(str(path))


def orientation_of(read: Callable[[], Image.Exif]) -> int:
    """Read EXIF data and return their orientation tag, 1 if there is none that is valid."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return orientation_in(read())
    except Exception:  # damaged metadata; viewers show the pixels without them
        return 1


def orientation_in(exif: Image.Exif) -> int:
    """Return the orientation tag of EXIF data, 1 if there is none that is valid."""
    tag = exif.get(ORIENTATION, 1)
    return tag if isinstance(tag, int) and 1 <= tag <= 8 else 1


def open_png(path: Path) -> Opened:
    """Open a PNG file. See `loading.read_photograph`."""
    with path.open("rb") as file:
        head = file.read(29)
    if len(head) < 29 or head[12:16] != b"IHDR":
        raise UnusableImageError("is damaged or cut short inside its header; export it again")
    width, height = (int.from_bytes(head[i : i + 4], "big") for i in (16, 20))
    bits, kind = head[24], head[25]
    refuse_one_bit(bits)
    channels = {0: 1, 2: 3, 3: 3, 4: 2}.get(kind, 4)
    with opened_by_pillow(path, PngImagePlugin.PngImageFile) as image:
        if getattr(image, "n_frames", 1) > 1:
            raise UnusableImageError(several(image.n_frames, "frame"))
        x, y = image.info.get("dpi") or image.info.get("aspect") or (1, 1)
    orientation = orientation_of(lambda: exif_of_png(path))

    def decode() -> np.ndarray:
        return imagecodecs.png_decode(path.read_bytes())

    pixel_bytes = width * height * channels * (2 if bits == 16 else 1)
    return Opened(width, height, pixel_bytes, decode, orientation, aspect_of(x, y))


def exif_of_png(path: Path) -> Image.Exif:
    """Return the EXIF data of a PNG file, empty if it has none.

    They may stand behind the pixels, which Pillow's own reader would decode to get there.
    """
    exif, profile = Image.Exif(), b"Raw profile type exif\0"  # as ImageMagick wrote them
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            size, name = int.from_bytes(head[:4], "big"), head[4:]
            body = file.read(size) if name in (b"eXIf", b"tEXt", b"zTXt") else b""
            file.seek(size - len(body) + 4, os.SEEK_CUR)
            if name == b"eXIf":
                exif.load(body)
            elif body.startswith(profile):
                text = body[len(profile) :]
                if name == b"zTXt":
                    text = zlib.decompressobj().decompress(text[1:], 1 << 20)
                exif.load(bytes.fromhex("".join(text.decode("latin-1").split("\n")[3:])))
    return exif


def open_jpeg(path: Path) -> Opened:
    """Open a JPEG file, of whatever coding. See `loading.read_photograph`."""
    with path.open("rb") as file:
        head = file.read(1 << 18)
        try:
            header = read_stream_header(head)
        except UnusableImageError:  # large metadata stand before the header
            header = read_stream_header(head + file.read())
    if header.coding != "JPEG" or header.bits != 8:
        return Opened(
            header.width,
            header.height,
            header.pixel_bytes,
            lambda: fill_range(decode_stream(path.read_bytes(), header), header.bits),
            orientation_of(lambda: _exif_in(header.exif)),
        )
    with opened_by_pillow(path, JpegImagePlugin.JpegImageFile) as image:
        orientation = orientation_of(image.getexif)
        x, y = image.info.get("jfif_density", (1, 1))

    def decode() -> np.ndarray:
        # Pillow refuses a file that is cut short; other decoders fill it up.
        with opened_by_pillow(path, JpegImagePlugin.JpegImageFile) as image:
            return pixels_of(image)

    pixel_bytes = header.pixel_bytes
    return Opened(header.width, header.height, pixel_bytes, decode, orientation, aspect_of(x, y))


def open_bmp(path: Path) -> Opened:
    """Open a BMP file. See `loading.read_photograph`."""
    with opened_by_pillow(path, BmpImagePlugin.BmpImageFile) as image:
        (width, height), mode = image.size, image.mode
        x, y = image.info.get("dpi", (1, 1))
    refuse_one_bit(1 if mode == "1" else 8)

    def decode() -> np.ndarray:
        with opened_by_pillow(path, BmpImagePlugin.BmpImageFile) as image:
            return pixels_of(image)

    pixel_bytes = width * height * (1 if mode == "L" else 3)
    return Opened(width, height, pixel_bytes, decode, aspect=aspect_of(x, y))


def open_webp(path: Path) -> Opened:
    """Open a WebP file. See `loading.read_photograph`."""
    chunks = _webp_chunks(path)
    if "VP8X" in chunks:
        body = chunks["VP8X"]
        if body[0] & 2:
            raise UnusableImageError(
                "is animated, not one photograph; save the frame that you need"
            )
        width, height = (1 + int.from_bytes(body[i : i + 3], "little") for i in (4, 7))
    elif "VP8L" in chunks:
        size = int.from_bytes(chunks["VP8L"][1:5], "little")
        width, height = 1 + (size & 0x3FFF), 1 + (size >> 14 & 0x3FFF)
    else:
        body = chunks["VP8 "]
        width, height = (int.from_bytes(body[i : i + 2], "little") & 0x3FFF for i in (6, 8))
    orientation = orientation_of(lambda: exif_of_webp(path))

    def decode() -> np.ndarray:
        return imagecodecs.webp_decode(path.read_bytes())

    return Opened(width, height, width * height * 3, decode, orientation)


def exif_of_webp(path: Path) -> Image.Exif:
    """Return the EXIF data of a WebP file, empty if it has none.

    Pillow's own reader of WebP refuses large ones before it gives their size.
    """
    return _exif_in(_webp_chunks(path).get("EXIF", b""))


def _exif_in(data: bytes) -> Image.Exif:
    exif = Image.Exif()
    if data:
        exif.load(data)
    return exif


def _webp_chunks(path: Path) -> dict[str, bytes]:
    data, position, chunks = path.read_bytes(), 12, {}
    while position + 8 <= len(data):
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        name = data[position : position + 4].decode("latin-1")
        chunks.setdefault(name, data[position + 8 : position + 8 + size])
        position += 8 + size + size % 2
    return chunks


def open_pnm(path: Path) -> Opened:
    """Open a PGM or PPM file, of numbers or of bytes. See `loading.read_photograph`."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    blank = rb"(?:\s|#[^\n]*\n)+"
    found = re.match(rb"P([2356])" + 3 * (blank + rb"(\d{1,9})") + rb"\s", head)
    if not found:
        raise UnusableImageError("is damaged or cut short inside its header; export it again")
    kind, width, height, white = map(int, found.groups())
    if not 0 < white < 65536:
        raise UnusableImageError(f"is damaged: {white} as the largest value")
    channels = 3 if kind in (3, 6) else 1
    count, start = width * height * channels, found.end()
    refuse_one_bit(1 if white == 1 else 8)

    def decode() -> np.ndarray:
        if kind in (2, 3):
            values = _numbers_in(path, start, count, white)
        else:
            dtype = np.dtype(np.uint8 if white < 256 else ">u2")
            with path.open("rb") as file:
                data = file.read(start + count * dtype.itemsize + len(head))
            begin = _raster_of(data, start, count * dtype.itemsize)
            held = (len(data) - begin) // dtype.itemsize
            values = np.frombuffer(data, dtype, min(count, held), begin)
        if values.size < count:
            raise UnusableImageError(f"is cut short: {values.size} of {count} values")
        image = values.reshape((height, width, channels)[: 3 if channels > 1 else 2])
        target = np.uint8 if white < 256 else np.uint16
        full = np.iinfo(target).max
        if white == full and kind > 3:
            return image.astype(target)
        # White is stated, so that it is as in other files of the same bits.
        table = np.rint(np.arange(white + 1) * (full / white)).astype(target)
        return through_table(table, image)

    return Opened(width, height, count * (1 if white < 256 else 2), decode)


def _numbers_in(path: Path, start: int, count: int, white: int) -> np.ndarray:
    """Read whole numbers that are written as words; piece by piece, they fill much memory."""
    values, held, rest = np.empty(count, np.uint8 if white < 256 else np.uint16), 0, b""
    with path.open("rb") as file:
        file.seek(start)
        while held < count:
            piece = file.read(_PIECE)
            block = rest + piece
            # Between two words, and behind a comment if there is one.
            cut = max(block.rfind(b"\n"), 0) or max(map(block.rfind, (b" ", b"\t", b"\r")))
            if cut <= 0 and len(block) > _PIECE:
                raise UnusableImageError("is damaged: its numbers have no end; export it again")
            cut = max(cut, 0) if piece else len(block)
            block, rest = block[:cut], block[cut:]
            numbers = np.array(re.sub(rb"#[^\n]*", b"", block).split()[: count - held], np.uint32)
            values[held : held + len(numbers)] = np.minimum(numbers, white)
            held += len(numbers)
            if not piece:
                break
    return values[:held]


def _raster_of(data: bytes, start: int, size: int) -> int:
    """Return where the bytes of a PGM or PPM file begin: some programs write a comment before."""
    comment = re.compile(rb"#[^\n]*\n").match(data, start)
    if comment and len(data) - comment.end() == size:
        return comment.end()
    if re.compile(rb"\s*P[2356]\s").match(data, start + size):
        raise UnusableImageError(several("2 or more", "page"))
    return start


def pixels_of(image: ImageFile) -> np.ndarray:
    """Decode a picture of Pillow as grey or RGB of 8 bits.

    In strips, because the whole conversion needs the memory thrice.

    Parameters
    ----------
    image : ImageFile
        Not yet loaded.
    """
    image.load()
    grey = image.mode == "L"
    width, height = image.size
    result = np.empty((height, width) if grey else (height, width, 3), np.uint8)
    for top in range(0, height, _STRIP):
        strip = image.crop((0, top, width, min(top + _STRIP, height)))
        result[top : top + _STRIP] = strip if image.mode in ("L", "RGB") else strip.convert("RGB")
    return result


def turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """Turn pixels as their orientation tag says.

    Parameters
    ----------
    image : ndarray, shape (height, width) or (height, width, channels)
    orientation : int
        From 1 to 8, as in EXIF.
    """
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    # By then, 2 and 6 mirror the columns, 4 and 8 the rows, 3 and 7 both.
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def refuse_one_bit(bits: int) -> None:
    """Refuse pictures of one bit.

    Raises
    ------
    UnusableImageError
        Without the name of the file.
    """
    if bits == 1:
        raise UnusableImageError(
            "has one bit per pixel: a mask or a scan, not a photograph; export the photograph "
            "itself"
        )


def several(count: int | str, what: str) -> str:
    """Return the words for a file of several frames or pages."""
    return (
        f"holds {count} {what}s, not one photograph; save each {what} that you need as a file of "
        "its own"
    )


def aspect_of(x: float, y: float) -> float:
    """Return the width of a pixel divided by its height, from pixels per length along x and y."""
    return y / x if x > 0 and y > 0 else 1.0
