"""Photographs as arrays: reading, one channel of them, their field of view, their illumination."""

from pathlib import Path

import cv2
import numpy as np
import pydicom
import SimpleITK as sitk
from PIL import Image
from pydicom.errors import InvalidDicomError
from scipy import ndimage
from skimage.color import rgb2gray

from fundus_helpers.files import SUFFIXES
from fundus_helpers.smoothing import gaussian

CHANNELS = ("green", "grey")

# A photograph is black when its brightest percent stays below this share of the value range.
BLACK_LEVEL = 0.01


class UnusableImageError(ValueError):
    """A file that is no photograph one could register; the message says why."""


def read_image(path: Path | str) -> np.ndarray:
    """Read a photograph with the values and the bit depth of its file.

    Parameters
    ----------
    path : path
        PNG, TIFF, JPEG or single-frame DICOM; 8 or 16 bit, or float in [0, 1]; grey, RGB or RGBA.

    Returns
    -------
    ndarray, shape (height, width) or (height, width, 3)
        In the file's own dtype. Transparency is dropped; DICOM MONOCHROME1 is inverted.

    Raises
    ------
    UnusableImageError
        If the file cannot be decoded whole, holds several frames, or has NaN in it.
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
        raise UnusableImageError(f"{path.name}: shape {image.shape} is not one photograph")
    if np.issubdtype(image.dtype, np.floating) and not np.isfinite(image).all():
        raise UnusableImageError(f"{path.name}: has NaN or infinite pixels")
    return image


def _read_with_itk(path: Path) -> np.ndarray:
    # ITK keeps 16-bit colour, which Pillow would cut to 8 bits.
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def _read_png(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        grey_with_transparency = image.mode == "LA"
    if grey_with_transparency:  # which ITK cannot read; OpenCV gives it four channels
        decoded = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if decoded is None:
            raise OSError("cannot be decoded")
        return decoded[..., 0]
    return _read_with_itk(path)


def _read_jpeg(path: Path) -> np.ndarray:
    # ITK fills up a JPEG that is cut short without a word; Pillow refuses it.
    with Image.open(path) as image:
        return np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))


def _read_dicom(path: Path) -> np.ndarray:
    header = pydicom.dcmread(path)
    try:
        expected = header.Rows * header.Columns * header.SamplesPerPixel * header.BitsAllocated // 8
        whole = (
            header.file_meta.TransferSyntaxUID.is_compressed or len(header.PixelData) >= expected
        )
    except AttributeError as error:  # cut in the header
        raise OSError("incomplete header") from error
    if not whole:  # ITK would not notice
        raise OSError(f"{len(header.PixelData)} of {expected} bytes")
    image = _read_with_itk(path)  # which inverts MONOCHROME1, where 0 is white
    return image[0] if image.shape[0] == 1 and image.ndim > 2 else image


def to_unit_range(image: np.ndarray) -> np.ndarray:
    """Scale an image to float32 in [0, 1] by the range of its dtype, not by its own extremes.

    Raises
    ------
    ValueError
        For a float image with values outside [0, 1]; its range cannot be guessed.
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
    """Take the one channel that is registered, as float32 in [0, 1].

    Parameters
    ----------
    image : ndarray, shape (height, width) or (height, width, 3)
        Integers, or floats in [0, 1]; colours in the order red, green, blue.
    channel : {"green", "grey"}
        ``green`` has the best contrast of vessels on a colour photograph; ``grey`` is luminance,
        as in the article. An image of one channel is returned as it is by both.

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
    """Shrink or enlarge an image so that its longer side is `size` pixels (None: leave it).

    Pixels are averaged when shrinking. The corners of the two images coincide, so pixel x of the
    original lies at ``(x + 0.5) * size / longer_side - 0.5`` (see `transforms.rescale_points`).
    """
    height, width = image.shape[:2]
    if size is None or size == max(height, width):
        return image
    if size < 16:
        raise ValueError(f"size {size} px is too small to register; give 16 or more")
    factor = size / max(height, width)
    shape = round(width * factor), round(height * factor)
    kind = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    # Rounding, and the cubic's overshoot, must not leave the range of the image.
    return np.clip(cv2.resize(image, shape, interpolation=kind), image.min(), image.max())


def field_of_view(image: np.ndarray, *, level: float = 0.1, erosion: float = 0.0) -> np.ndarray:
    """Mask of the retina inside the black surround of the camera's aperture.

    Only darkness that is connected with the image's edge counts as surround: a dark lesion or
    vessel stays inside, unlike with the article's ``pixel != 0``.

    Parameters
    ----------
    image : float ndarray in [0, 1], shape (height, width)
    level : float
        Darker than this share of the median of what is not black counts as dark. Higher cuts off
        the vignetted rim, lower lets the noise of the surround in.
    erosion : float
        Width of the rim to take off, as a share of the longer side of the image.

    Returns
    -------
    bool ndarray, shape (height, width)
        True inside the field of view. All False for a black image.
    """
    size = max(image.shape)
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), max(0.003 * size, 0.5))
    visible = smooth[smooth > BLACK_LEVEL]
    if visible.size == 0:
        return np.zeros(image.shape, bool)
    dark = smooth < max(level * np.median(visible), BLACK_LEVEL)
    labels, _ = ndimage.label(np.pad(dark, 1, constant_values=True))
    inside = (labels != labels[0, 0])[1:-1, 1:-1]
    labels, count = ndimage.label(inside)
    if count > 1:
        inside = labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1
    return erode(inside, erosion)


def erode(mask: np.ndarray, erosion: float) -> np.ndarray:
    """Take the rim off a mask; its width is a share of the longer side of the image."""
    radius = erosion * max(mask.shape)
    if radius < 10:  # the same disc, tried at every pixel: quicker while it is small
        steps = np.arange(-int(radius), int(radius) + 1)
        disc = (steps[:, None] ** 2 + steps**2 <= radius**2).astype(np.uint8)
        outside = {"borderType": cv2.BORDER_CONSTANT, "borderValue": 0}
        return cv2.erode(mask.astype(np.uint8), disc, **outside) > 0
    padded = np.pad(mask, 1).astype(np.uint8)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    return distance > radius


def normalise_illumination(
    image: np.ndarray, mask: np.ndarray | None = None, *, sigma: float = 0.03
) -> np.ndarray:
    """Even out illumination and contrast: subtract the background, divide by the deviation.

    Background and deviation are Gaussian means inside the mask only (blur of the masked image over
    blur of the mask), so the black surround does not bleed in. What is left is the fine structure
    of the retina, alike in every visit, which is what registration should look at.

    Parameters
    ----------
    image : float ndarray in [0, 1], shape (height, width)
    mask : bool ndarray, shape (height, width), optional
        True inside the field of view. None: `field_of_view` of the image.
    sigma : float
        Standard deviation of the blur as a share of the longer side. Larger keeps broader
        structures, and with them more of the illumination; smaller keeps only thin vessels.

    Returns
    -------
    float32 ndarray in [0, 1], shape (height, width)
        0.5 is the local background, 1/6 is one local standard deviation, clipped at three.
    """
    mask = field_of_view(image) if mask is None else mask
    if not mask.any():
        return np.full(image.shape, 0.5, np.float32)
    blur_sigma = sigma * max(image.shape)
    weight = mask.astype(np.float32)
    total = gaussian(weight, blur_sigma) + np.float32(1e-6)

    def masked_mean(values: np.ndarray) -> np.ndarray:
        return gaussian(values * weight, blur_sigma) / total

    image = image.astype(np.float32)
    detail = (image - masked_mean(image)) * weight
    deviation = np.sqrt(masked_mean(detail**2))
    # Where nothing is to be seen, the deviation is noise: a floor keeps it from being blown up.
    floor = 0.25 * np.median(deviation[mask]) + 1e-6
    score = detail / (deviation + floor)
    return np.clip(0.5 + score / 6, 0, 1).astype(np.float32)
