"""TIFF files: one photograph each, of any legal sample type, layout and compression."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile
from tifffile import PHOTOMETRIC

from fundus_helpers.loading.formats.kinds import MOST_BYTES, Opened, UnusableImageError
from fundus_helpers.loading.formats.pictures import aspect_of, refuse_one_bit, several
from fundus_helpers.loading.formats.streams import fill_range, from_ybr, through_table

_MOST_PAGES = 1000


@contextmanager
def tiff_page(path: Path) -> Iterator[tifffile.TiffPage]:
    """Open a TIFF file and give the page that is the photograph.

    Pages of reduced size and masks of transparency, which are marked as such, do not count.

    Raises
    ------
    UnusableImageError
        If it holds several photographs, or is a raw camera file.
    """
    log = logging.getLogger("tifffile")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)  # what is wrong is raised; the rest is of no use here
    try:
        with tifffile.TiffFile(path) as file:
            yield _photograph_of(file)
    finally:
        log.setLevel(level)


def _photograph_of(file: tifffile.TiffFile) -> tifffile.TiffPage:
    pages = []
    for page in file.pages:
        if not (page.is_reduced or page.is_mask):
            pages.append(page)
        if len(pages) > _MOST_PAGES:
            break
    raw = PHOTOMETRIC.CFA, PHOTOMETRIC.LINEAR_RAW
    if not len(file.pages):
        raise UnusableImageError("is damaged or cut short: it holds no page; export it again")
    if not pages or any(page.photometric in raw for page in pages):
        raise UnusableImageError(
            "is a raw camera file, or holds a thumbnail only; develop it with the camera's program "
            "and save it as TIFF or PNG"
        )
    if len(pages) > 1:
        raise UnusableImageError(several(len(pages), "page"))
    return pages[0]


def open_tiff(path: Path) -> Opened:
    """Open a TIFF file. See `loading.read_photograph`."""
    with tiff_page(path) as page:
        _refuse_types(page)
        x, y = (_number(page, name) for name in ("XResolution", "YResolution"))
        tag = page.tags.valueof("Orientation", 1)
        stored = max(page.dtype.itemsize, 1) * page.samplesperpixel
        if page.is_tiled:
            tile = page.tilewidth * page.tilelength * stored
            if tile > MOST_BYTES:
                raise UnusableImageError(f"is damaged: a tile of {tile / 1e6:.0f} MB")
        return Opened(
            page.imagewidth,
            page.imagelength,
            page.imagewidth * page.imagelength * max(stored, _bytes_out(page)),
            lambda: _decode(path),
            tag if isinstance(tag, int) and 1 <= tag <= 8 else 1,
            aspect_of(x, y),
        )


def _bytes_out(page: tifffile.TiffPage) -> int:
    return 3 if page.photometric == PHOTOMETRIC.PALETTE else 1


def _number(page: tifffile.TiffPage, name: str) -> float:
    value = page.tags.valueof(name, (0, 1))
    above, below = value if isinstance(value, tuple) and len(value) == 2 else (0, 1)
    return above / below if below else 0.0


def _refuse_types(page: tifffile.TiffPage) -> None:
    """Refuse what is no photograph, by the name of its type."""
    refuse_one_bit(page.bitspersample if isinstance(page.bitspersample, int) else 8)
    dtype = page.dtype
    if dtype is None or dtype.kind not in "uif" or dtype.kind in "ui" and dtype.itemsize > 4:
        name = dtype or f"{page.bitspersample} bits of the sample format {page.sampleformat}"
        raise UnusableImageError(
            f"has pixels of the type {name}; accepted are integers of up to 32 bits and floats"
        )
    known = ("MINISWHITE", "MINISBLACK", "RGB", "PALETTE", "SEPARATED", "YCBCR")
    if page.photometric not in [PHOTOMETRIC[name] for name in known]:
        name = getattr(page.photometric, "name", page.photometric)
        raise UnusableImageError(f"has colours of the type {name}; save it as grey or RGB")
    if page.imagedepth > 1:
        raise UnusableImageError(several(page.imagedepth, "page"))


def _decode(path: Path) -> np.ndarray:
    with tiff_page(path) as page:
        _refuse_holes(page, path.stat().st_size)
        image = page.asarray(maxworkers=1)
        if page.samplesperpixel > 1:
            planar = page.axes.startswith("S")
            image = np.moveaxis(image, 0, 2) if planar else image
        image = image.reshape(page.imagelength, page.imagewidth, page.samplesperpixel)
        return _as_shown(page, image)


def _refuse_holes(page: tifffile.TiffPage, size: int) -> None:
    """Refuse a file whose strips or tiles lie beyond its end; they would be filled with zeros."""
    places = [*zip(page.dataoffsets, page.databytecounts, strict=False)]
    if not places or any(start + count > size or count == 0 for start, count in places):
        raise UnusableImageError("is cut short: some of its pixels are missing; export it again")


def _as_shown(page: tifffile.TiffPage, image: np.ndarray) -> np.ndarray:
    """Return grey or RGB pixels as viewers show them, shape (height, width[, 3])."""
    bits, samples, kind = page.bitspersample, page.samplesperpixel, page.photometric
    if kind == PHOTOMETRIC.PALETTE:
        # Palettes have 16 bits; old programs write 8.
        colours = page.colormap if page.colormap.max() < 256 else page.colormap >> 8
        return through_table(colours.astype(np.uint8).T, image[..., 0])
    stated = isinstance(bits, int) and bits < 8 * image.dtype.itemsize and image.dtype.kind == "u"
    if stated:
        image = fill_range(image, bits)
    if kind == PHOTOMETRIC.SEPARATED:
        if samples < 4 or image.dtype != np.uint8:
            raise UnusableImageError("has CMYK colours of more than 8 bits; save it as RGB")
        ink = 255 - image[..., :4].astype(np.uint16)
        return ((ink[..., :3] * ink[..., 3:] + 127) // 255).astype(np.uint8)
    if kind == PHOTOMETRIC.YCBCR and page.compression != tifffile.COMPRESSION.JPEG:
        if samples != 3 or tuple(page.tags.valueof("YCbCrSubSampling", (2, 2))) != (1, 1):
            raise UnusableImageError("has YCbCr colours of reduced size; save it as RGB")
        return from_ybr(image, 8 * image.dtype.itemsize)
    if samples >= 3 and kind in (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR) or samples == 3:
        return image[..., :3]
    if samples > 2:
        raise UnusableImageError(f"has {samples} channels; save it as grey or RGB")
    image = image[..., 0]  # a second one is transparency
    if kind == PHOTOMETRIC.MINISWHITE:
        return np.nanmax(image) + np.nanmin(image) - image if image.dtype.kind == "f" else ~image
    return image
