"""Photographs as arrays: read, saved, reduced to one channel, scaled to [0, 1], resized."""

from pathlib import Path

import cv2
import numpy as np
import pydicom
import SimpleITK as sitk
from PIL import Image
from pydicom.errors import InvalidDicomError
from skimage.color import rgb2gray

from fundus_helpers.files import SUFFIXES, written_beside
from fundus_helpers.transforms.warping import as_itk_image

CHANNELS = ("green", "grey")


class UnusableImageError(ValueError):
    """A file or an array that is not a usable photograph; the message says why."""


def read_photograph(path: Path | str) -> np.ndarray:
    """Read a photograph with the values and the bit depth of its file.

    Parameters
    ----------
    path : path
        PNG, TIFF, JPEG or single-frame DICOM; 8 or 16 bit, or float in [0, 1]; grey, RGB or RGBA.

    Returns
    -------
    ndarray, shape (height, width) or (height, width, 3)
        With the dtype of the file. Transparency is dropped; DICOM MONOCHROME1 is inverted.

    Raises
    ------
    UnusableImageError
        If the file is missing, damaged or cut short, holds several frames, or contains NaN.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> import fundus_helpers as fh
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "eye.png")
    ...     Image.new("RGB", (60, 40), "brown").save(file)
    ...     photograph = fh.read_photograph(file)
    >>> photograph.shape, photograph.dtype
    ((40, 60, 3), dtype('uint8'))
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise UnusableImageError(f"{path.name}: type {path.suffix!r} is not one of {SUFFIXES}")
    readers = {".dcm": _read_dicom, ".png": _read_png, ".jpg": _read_jpeg, ".jpeg": _read_jpeg}
    try:
        image = readers.get(path.suffix.lower(), _read_with_itk)(path)
    except (RuntimeError, OSError, EOFError, SyntaxError, InvalidDicomError) as error:
        reason = "file is missing" if not path.exists() else "damaged, cut short or not an image"
        raise UnusableImageError(f"{path.name}: cannot be read ({reason})") from error
    if image.ndim == 3 and image.shape[2] == 4:  # transparency
        image = image[..., :3]
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise UnusableImageError(
            f"{path.name}: shape {image.shape} is not one photograph; give one grey or RGB image "
            "per file"
        )
    if np.issubdtype(image.dtype, np.floating) and not np.isfinite(image).all():
        raise UnusableImageError(f"{path.name}: has NaN or infinite pixels")
    return image


def _read_with_itk(path: Path) -> np.ndarray:
    # ITK keeps 16-bit colour, which Pillow would reduce to 8 bits.
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def _read_png(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        grey_with_transparency = image.mode == "LA"
    if grey_with_transparency:  # ITK cannot read it; OpenCV returns four channels
        decoded = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if decoded is None:
            raise OSError("cannot be decoded")
        return decoded[..., 0]
    return _read_with_itk(path)


def _read_jpeg(path: Path) -> np.ndarray:
    # ITK silently fills up a JPEG that is cut short; Pillow refuses it.
    with Image.open(path) as image:
        return np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))


def _read_dicom(path: Path) -> np.ndarray:
    header = pydicom.dcmread(path)
    try:
        expected = header.Rows * header.Columns * header.SamplesPerPixel * header.BitsAllocated // 8
        whole = (
            header.file_meta.TransferSyntaxUID.is_compressed or len(header.PixelData) >= expected
        )
    except AttributeError as error:  # the file ends inside the header
        raise OSError("incomplete header") from error
    if not whole:  # ITK would not report it
        raise OSError(f"{len(header.PixelData)} of {expected} bytes")
    image = _read_with_itk(path)  # ITK inverts MONOCHROME1, in which 0 is white
    return image[0] if image.shape[0] == 1 and image.ndim > 2 else image


def save_photograph(image: np.ndarray, path: Path | str) -> Path:
    """Write a photograph without loss: ``.png``, or ``.tif`` if its values are floats.

    Parameters
    ----------
    image : ndarray, shape (height, width) or (height, width, 3)
        As `read_photograph` gives it.
    path : path
        Without an ending.

    Returns
    -------
    Path
        The file that was written.
    """
    path = Path(path)
    path = path.with_name(path.name + (".tif" if image.dtype.kind == "f" else ".png"))
    with written_beside(path) as part:
        sitk.WriteImage(as_itk_image(image), str(part), useCompression=True)
    return path


def to_unit_range(image: np.ndarray) -> np.ndarray:
    """Scale an image to float32 in [0, 1] by the range of its dtype, not by its own extremes.

    Raises
    ------
    UnusableImageError
        If a float image has values outside [0, 1], because its range is then unknown.
    """
    if np.issubdtype(image.dtype, np.integer):
        return (image / np.float32(np.iinfo(image.dtype).max)).astype(np.float32)
    if image.dtype == bool:
        return image.astype(np.float32)
    if image.min() < 0 or image.max() > 1:
        raise UnusableImageError(
            f"float image with values from {image.min():g} to {image.max():g}; accepted are "
            "integers, or floats in [0, 1]: divide by the camera's largest value first"
        )
    return image.astype(np.float32)


def single_channel(image: np.ndarray, channel: str = "green") -> np.ndarray:
    """Reduce a photograph to the one channel that is registered, as float32 in [0, 1].

    Parameters
    ----------
    image : ndarray, shape (height, width) or (height, width, 3)
        Integers, or floats in [0, 1]. The colours are in the order red, green, blue.
    channel : {"green", "grey"}
        ``green`` shows the vessels of a colour photograph with the best contrast; ``grey`` is the
        luminance, as in the article. Both return an image of one channel unchanged.

    Returns
    -------
    float32 ndarray, shape (height, width)
    """
    if channel not in CHANNELS:
        raise ValueError(f"channel {channel!r} is not one of {CHANNELS}")
    image = to_unit_range(image)
    if image.ndim == 2:
        return image
    return image[..., 1].copy() if channel == "green" else rgb2gray(image).astype(np.float32)


def resize(image: np.ndarray, size: int | None) -> np.ndarray:
    """Resize an image so that its longer side has a given number of pixels.

    Pixels are averaged when an image is made smaller. The corners of both images coincide, so that
    pixel x of the original is at ``(x + 0.5) * size / longer_side - 0.5`` of the result (see
    `transforms.rescale_points`).

    Parameters
    ----------
    image : ndarray, shape (height, width) or (height, width, channels)
    size : int, optional
        Longer side in pixels, 16 or more. None returns the image unchanged.
    """
    height, width = image.shape[:2]
    if size is None or size == max(height, width):
        return image
    if size < 16:
        raise ValueError(f"size {size} px is too small to register; give 16 or more")
    factor = size / max(height, width)
    shape = round(width * factor), round(height * factor)
    kind = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    # Rounding and the overshoot of cubic interpolation must not exceed the range of the image.
    return np.clip(cv2.resize(image, shape, interpolation=kind), image.min(), image.max())
