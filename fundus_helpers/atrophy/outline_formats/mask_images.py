"""Mask images: black where the retina is healthy, anything else where it is atrophic."""

from pathlib import Path

import numpy as np
from PIL import BmpImagePlugin, PngImagePlugin
from PIL.ImageFile import ImageFile
from tifffile import PHOTOMETRIC

from fundus_helpers.loading.eye_error import EyeError
from fundus_helpers.loading.formats.kinds import UnusableImageError, kind_of
from fundus_helpers.loading.formats.pictures import (
    exif_of_png,
    opened_by_pillow,
    orientation_of,
    turned,
)
from fundus_helpers.loading.formats.tiff import tiff_page

MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
_PLUGINS = {"BMP": BmpImagePlugin.BmpImageFile, "PNG": PngImagePlugin.PngImageFile}
# The palette with which ImageJ writes a mask that it shows inverted; the numbers are what it means.
_INVERTED = [value for value in range(255, -1, -1) for _ in range(3)]
_MOST_VALUES = 64  # a mask may have a value for every focus, or soft borders


def size_problem(found: tuple[int, int], size: tuple[int, int]) -> str:
    """Say why an outline does not fit a photograph; empty if it does.

    Parameters
    ----------
    found, size : (width, height)
        Of the outline and of the photograph, in pixels.

    Examples
    --------
    >>> size_problem((40, 30), (80, 60)).partition(";")[0]
    'is for 40 x 30 px, but the photograph has 80 x 60 px'
    """
    if tuple(found) == tuple(size):
        return ""
    words = "is for {} x {} px, but the photograph has {} x {} px".format(*found, *size)
    if tuple(found[::-1]) == tuple(size):
        return (
            f"{words}: it is turned by 90 degrees, as programs show a photograph that do not obey "
            "its orientation tag; draw it on the photograph as it is shown here, or turn it like it"
        )
    return f"{words}; draw or export it on this photograph at its full size, not cropped or scaled"


def read_mask_image(path: Path, size: tuple[int, int]) -> tuple[np.ndarray, list[str]]:
    """Read a mask image: PNG, TIFF or BMP of 1, 8 or 16 bits, grey, colours or a palette.

    Atrophy is what is neither black nor transparent, as the image is shown. Images of ImageJ that
    are shown inverted are read by their numbers, as ImageJ itself does it. The pixels are decoded
    only if the image has the size of the photograph.

    Parameters
    ----------
    path : Path
    size : (width, height)
        Of the photograph, in pixels.

    Returns
    -------
    mask : ndarray of bool, shape (height, width)
    notes : list of str
        What a person should know.

    Raises
    ------
    EyeError
        If the image is of another kind or size, or no mask; without the name of the file.
    """
    try:
        return _read(path, kind_of(path), size)
    except UnusableImageError as error:
        raise EyeError(str(error)) from error


def _read(path: Path, kind: str, size: tuple[int, int]) -> tuple[np.ndarray, list[str]]:
    if kind not in ("BMP", "PNG", "TIFF"):
        why = "whose values are not exact" if kind in ("JPEG", "WebP", "JPEG 2000") else "no mask"
        raise EyeError(f"is a {kind} file, {why}; export the mask as PNG or TIFF")
    values, opaque, tag = (_tiff if kind == "TIFF" else _picture)(path, kind, size)
    mask, notes = _mask_of(values, opaque)
    return turned(mask, tag), notes


_Pixels = tuple[np.ndarray, np.ndarray | None, int]  # values, where not transparent, orientation


def _check(pages: int, found: tuple[int, int], tag: int, size: tuple[int, int]) -> None:
    if pages > 1:
        raise EyeError(f"holds {pages} pages; save the mask alone")
    if problem := size_problem(found[::-1] if tag >= 5 else found, size):
        raise EyeError(problem)


def _picture(path: Path, kind: str, size: tuple[int, int]) -> _Pixels:
    """Read a PNG or BMP file."""
    if kind == "PNG":
        with opened_by_pillow(path, _PLUGINS[kind]) as image:
            image.verify()  # the checksums, which decoding does not look at
    with opened_by_pillow(path, _PLUGINS[kind]) as image:
        tag = orientation_of(lambda: exif_of_png(path)) if kind == "PNG" else 1
        _check(getattr(image, "n_frames", 1), image.size, tag, size)
        return *_values(image), tag


def _values(image: ImageFile) -> tuple[np.ndarray, np.ndarray | None]:
    if image.mode == "P" and image.getpalette("RGB") == _INVERTED:
        return np.asarray(image), None
    if image.mode in ("P", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
    values = np.asarray(image)
    if image.mode in ("RGBA", "LA"):
        return values[..., :-1], values[..., -1] > 0
    return values, None


def _tiff(path: Path, kind: str, size: tuple[int, int]) -> _Pixels:
    """Read a TIFF file."""
    with tiff_page(path) as page:
        tag = page.tags.valueof("Orientation", 1)
        tag = tag if tag in range(1, 9) else 1
        _check(1, (page.imagewidth, page.imagelength), tag, size)
        end = path.stat().st_size
        strips = zip(page.dataoffsets, page.databytecounts, strict=True)
        if any(not count or offset + count > end for offset, count in strips):
            raise EyeError("is damaged or cut short; export it again")
        values = page.asarray()
        if values.ndim == 3 and page.axes.startswith("S"):
            values = np.moveaxis(values, 0, -1)
        if page.photometric == PHOTOMETRIC.PALETTE:
            values = np.moveaxis(page.colormap, 0, -1)[values]
        elif page.photometric == PHOTOMETRIC.MINISWHITE and not page.is_imagej:
            values = 2**page.bitspersample - 1 - values.astype(np.int64)
        if page.extrasamples and values.ndim == 3:
            return values[..., :-1], values[..., -1] > 0, tag
    return values, None, tag


def _mask_of(values: np.ndarray, opaque: np.ndarray | None) -> tuple[np.ndarray, list[str]]:
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] > 3):
        raise EyeError("is neither grey nor RGB; export the mask in black and white")
    notes = []
    mask = (values != 0) & (values == values)  # ImageJ writes NaN where nothing is
    if mask.ndim == 3:
        mask = mask.any(axis=2)
    if opaque is not None:
        if not opaque.all() and opaque.any() and not (mask & opaque).any():
            raise EyeError(
                "is black wherever it is not transparent; save it in white on black, without "
                "transparency"
            )
        mask &= opaque
    if mask.any():
        grey = values if values.ndim == 2 else values @ np.array([1, 256, 65536][: values.shape[2]])
        counts = np.unique(grey[mask], return_counts=True)[1]
        if len(counts) > _MOST_VALUES and counts.max() < counts.sum() / 2:
            raise EyeError(
                f"has {len(counts)} values: a picture, not a mask; save the outline alone, filled "
                "with white on black"
            )
        corners = mask[[0, 0, -1, -1], [0, -1, 0, -1]]
        if corners.all():
            notes.append(
                "all four corners are atrophic in it; black must be healthy: invert it if that is "
                "wrong"
            )
    return mask, notes
