"""DICOM files: one frame each, native or compressed, with or without preamble."""

import logging
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import get_frame
from pydicom.pixels import apply_color_lut, get_decoder
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from fundus_helpers.loading.formats.kinds import MOST_BYTES, Opened, UnusableImageError
from fundus_helpers.loading.formats.pictures import refuse_one_bit, several
from fundus_helpers.loading.formats.streams import (
    decode_stream,
    fill_range,
    from_ybr,
    read_stream_header,
)

COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
KINDS = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", *COLOURS)
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")


@contextmanager
def silent() -> Iterator[None]:
    """Silence pydicom, whose warnings and logs quote values of the header.

    Values are converted when they are used, so that this is needed there, too.
    """
    log = logging.getLogger("pydicom")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(), disable_value_validation():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


@silent()
def load_dicom(path: Path, *, pixels: bool) -> FileDataset:
    """Read the elements of a DICOM file, which are converted only when they are used.

    Parameters
    ----------
    path : Path
        Without preamble and file header, the encoding is told from the first elements.
    pixels : bool
        Read the pixels too.

    Raises
    ------
    UnusableImageError
        If its transfer syntax is unknown, or it unpacks to more than is accepted.
    """
    _refuse_bomb(path)
    dataset = pydicom.dcmread(path, force=True, stop_before_pixels=not pixels)
    meta = dataset.file_meta
    if not meta.get("TransferSyntaxUID"):
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    syntax = UID(meta.TransferSyntaxUID)
    if syntax.is_private or not syntax.is_transfer_syntax:
        raise UnusableImageError(
            f"has the unknown transfer syntax {syntax}; export it as DICOM in 'explicit VR little "
            "endian', or as PNG or TIFF"
        )
    return dataset


def _refuse_bomb(path: Path) -> None:
    """Unpack a deflated file piece by piece, to know its size before it is in memory."""
    with path.open("rb") as file:
        head = file.read(1024)
        if DeflatedExplicitVRLittleEndian.encode() not in head:
            return
        file.seek(144 + int.from_bytes(head[140:144], "little"))  # behind the file header
        inflater, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
        while piece := inflater.unconsumed_tail or file.read(1 << 20):
            total += len(inflater.decompress(piece, 1 << 24))
            if total > MOST_BYTES // 2:  # it is in memory more than twice
                raise UnusableImageError(
                    f"unpacks to more than {MOST_BYTES / 2e6:.0f} MB; export it without the "
                    "transfer syntax 'deflated'"
                )


def whole_number(dataset: FileDataset, keyword: str, default: int | None = None) -> int:
    """Return a whole number of a DICOM header.

    Raises
    ------
    UnusableImageError
        If it is missing, empty or no number, and there is no default.
    """
    value = dataset.get(keyword)
    if value in (None, "", []):
        value = default
    if value is None:
        raise UnusableImageError(
            f"its DICOM header has no {keyword}: damaged, cut short or not an image; export it "
            "again"
        )
    return int(value)


def numbers(dataset: Dataset, keyword: str) -> list[float]:
    """Return the numbers of an element; none if it is missing, empty or damaged."""
    try:
        value = dataset.get(keyword)
        values = [] if value in (None, "") else np.atleast_1d(np.array(value, float)).tolist()
    except Exception:  # pydicom converts the value here, and damaged ones raise anything
        return []
    return [each for each in values if np.isfinite(each)]


def spacing_of(dataset: FileDataset) -> tuple[float, float] | None:
    """Return height and width of a pixel in millimetres, if the header gives them."""
    shared = dataset.get("SharedFunctionalGroupsSequence") or [{}]
    measures = shared[0].get("PixelMeasuresSequence") or [{}]
    for source in (dataset, measures[0]):
        for keyword in _SPACINGS:
            values = numbers(source, keyword)
            if len(values) == 2 and min(values) > 0:
                return values[0], values[1]
    return None


@silent()
def open_dicom(path: Path) -> Opened:
    """Open a DICOM file. See `loading.read_photograph`."""
    dataset = load_dicom(path, pixels=False)
    name = UID(str(dataset.get("SOPClassUID") or "")).name
    documents = ("SR", "Report", "Encapsulated", "Presentation State", "Key Object", "Waveform")
    if any(word in name for word in documents) and not dataset.get("Rows"):
        raise UnusableImageError(
            f"is a DICOM document without pixels ({name}); export the photograph itself"
        )
    if "Video" in dataset.file_meta.TransferSyntaxUID.name or "MPEG" in (
        dataset.file_meta.TransferSyntaxUID.name
    ):
        raise UnusableImageError("holds a video; save the frame that you need as PNG or TIFF")
    height, width = whole_number(dataset, "Rows"), whole_number(dataset, "Columns")
    kind = _kind(dataset)
    samples = _samples(dataset)
    bits = whole_number(dataset, "BitsAllocated")
    frames = whole_number(dataset, "NumberOfFrames", 1)
    if frames > 1:
        raise UnusableImageError(several(frames, "frame"))
    refuse_one_bit(bits)
    if bits not in (8, 16, 32) or samples not in (1, 3) or kind not in (*KINDS, ""):
        raise UnusableImageError(
            f"has pixels of the type {kind or 'unknown'}, {samples} x {bits} bits; accepted are "
            f"{', '.join(KINDS)} of 8, 16 or 32 bits: export it as one of them"
        )
    palette = 3 if kind == "PALETTE COLOR" else 1
    sides = spacing_of(dataset) or numbers(dataset, "PixelAspectRatio")
    sides = sides if len(sides) == 2 and min(sides) > 0 else (1, 1)
    return Opened(
        width,
        height,
        width * height * samples * bits // 8 * palette,
        lambda: _decode(path),
        aspect=sides[1] / sides[0],
    )


def _kind(dataset: FileDataset) -> str:
    return str(dataset.get("PhotometricInterpretation") or "").strip().upper()


def _samples(dataset: FileDataset) -> int:
    """Return the values per pixel; if the header does not say it, the kind of the colours does."""
    return whole_number(dataset, "SamplesPerPixel", 3 if _kind(dataset) in COLOURS else 1)


@silent()
def _decode(path: Path) -> np.ndarray:
    dataset = load_dicom(path, pixels=True)
    if "PixelData" not in dataset:
        raise UnusableImageError(
            "has no PixelData: damaged, cut short or not an image; export it again"
        )
    highest = whole_number(dataset, "HighBit", whole_number(dataset, "BitsAllocated") - 1)
    stored = whole_number(dataset, "BitsStored", highest + 1)
    kind = _kind(dataset)
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated and syntax != RLELossless:
        image, bits = _from_stream(dataset, kind, stored)
    else:
        image, bits = _from_plain(dataset, stored), stored
        if image.ndim == 3 and kind.startswith("YBR"):
            image = from_ybr(image, bits)
    if kind == "PALETTE COLOR":
        return apply_color_lut(image, dataset)
    slope = next(iter(numbers(dataset, "RescaleSlope")), 1.0)
    inverted = image.ndim == 2 and (kind == "MONOCHROME1") != (slope < 0)
    return _scaled(image, bits, inverted)


def _from_stream(dataset: FileDataset, kind: str, stored: int) -> tuple[np.ndarray, int]:
    """Decode a JPEG or JPEG 2000 frame; its own header is believed, and decides the colours."""
    name = dataset.file_meta.TransferSyntaxUID.name
    if "JPEG" not in name or "XL" in name or "JPIP" in name:
        raise UnusableImageError(
            f"has the transfer syntax {name!r}, which is not read; export it as DICOM in 'explicit "
            "VR little endian', or as PNG or TIFF"
        )
    data = get_frame(dataset.PixelData, 0, number_of_frames=1)
    header = read_stream_header(data)
    if (header.height, header.width) != (dataset.Rows, dataset.Columns):
        raise UnusableImageError(
            f"is damaged: {dataset.Columns} x {dataset.Rows} px in its header, {header.width} x "
            f"{header.height} px in its JPEG stream"
        )
    image = decode_stream(data, header, "YBR" if kind.startswith("YBR_FULL") else "RGB")
    bits = min(stored, header.bits)
    if whole_number(dataset, "PixelRepresentation", 0) and image.dtype.kind == "u":
        free = 16 - bits
        image = (image.astype(np.uint16) << free).view(np.int16) >> free
    return image, bits


def _from_plain(dataset: FileDataset, stored: int) -> np.ndarray:
    """Decode native pixels, or those of run-length encoding; lower bits than stored are gone."""
    defaults = {"SamplesPerPixel": _samples(dataset), "BitsStored": stored}
    defaults |= {"PixelRepresentation": 0}
    for keyword, value in (defaults | {"PlanarConfiguration": 0}).items():
        setattr(dataset, keyword, whole_number(dataset, keyword, value))
    colour = dataset.SamplesPerPixel == 3
    kind = _kind(dataset)
    if (kind in COLOURS) != colour and kind != "PALETTE COLOR" or not kind:
        kind = "RGB" if colour else "MONOCHROME2"
    dataset.PhotometricInterpretation = kind
    syntax = dataset.file_meta.TransferSyntaxUID
    columns = dataset.Columns
    if not syntax.is_encapsulated:
        _fit_to_size(dataset, kind)
    high = whole_number(dataset, "HighBit", stored - 1)
    dataset.HighBit = stored - 1  # the decoder does not know other places
    image, _ = get_decoder(syntax).as_array(
        dataset, index=0, raw=True, view_only=True, correct_unused_bits=False
    )
    allocated = 8 * image.dtype.itemsize
    if not stored <= high + 1 <= allocated:
        raise UnusableImageError(f"is damaged: {stored} bits that end at bit {high}")
    image = image[:, :columns]
    if stored == allocated:
        return image
    image = image << (allocated - high - 1)
    image >>= allocated - stored
    del dataset.PixelData  # a large photograph would be in memory thrice
    return image


def _fit_to_size(dataset: FileDataset, kind: str) -> None:
    """Compare the size of native pixels with the header, and refuse what cannot be right."""
    held, samples = len(dataset.PixelData), dataset.SamplesPerPixel
    value = dataset.BitsAllocated // 8
    size = dataset.Rows * dataset.Columns * samples * value
    if kind == "YBR_FULL_422" and samples == 3:
        if held >= size:  # a common fault: the colour differences are there for every pixel
            dataset.PhotometricInterpretation = "YBR_FULL"
        else:  # two pixels of a row share them, so that rows of odd width are filled up
            dataset.Columns += dataset.Columns % 2
            size = dataset.Rows * dataset.Columns * 2 * value
    if held < size:
        raise UnusableImageError(f"is cut short: {held} of {size} bytes of pixels; export it again")
    if held >= 2 * size:
        raise UnusableImageError(
            f"holds {held} bytes of pixels, and {size} by its header: several frames, or a damaged "
            "header; export it again, each frame that you need as a file of its own"
        )


def _scaled(image: np.ndarray, bits: int, inverted: bool) -> np.ndarray:
    """Scale stored values so that the stored bits fill 8 or 16; negative ones stay as they are."""
    if image.dtype.kind == "i":
        if image.min() < 0:
            return ~image if inverted else image
        image, bits = image.view(f"u{image.dtype.itemsize}"), bits - 1
    image = fill_range(image, bits)
    return ~image if inverted else image
