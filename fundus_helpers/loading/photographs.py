"""Photographs as arrays: read from files of any usual kind, and saved."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk
import tifffile
from scipy import ndimage

from fundus_helpers.files import written_beside
from fundus_helpers.loading.formats.dicom import open_dicom
from fundus_helpers.loading.formats.kinds import (
    Opened,
    UnusableImageError,
    kind_of,
    told,
)
from fundus_helpers.loading.formats.pictures import (
    open_bmp,
    open_jpeg,
    open_png,
    open_pnm,
    open_webp,
    turned,
)
from fundus_helpers.loading.formats.streams import open_jpeg_2000
from fundus_helpers.loading.formats.tiff import open_tiff
from fundus_helpers.transforms.warping import as_itk_image

_OPENERS = {
    "BMP": open_bmp,
    "DICOM": open_dicom,
    "JPEG": open_jpeg,
    "JPEG 2000": open_jpeg_2000,
    "PNG": open_png,
    "PNM": open_pnm,
    "TIFF": open_tiff,
    "WebP": open_webp,
}
_MOST = 1e30  # of the floats of a photograph
_WIDER = {"float16": np.float32, "int8": np.int16}  # which ITK does not know, or writes badly


def read_photograph(path: Path | str) -> np.ndarray:
    """Read a photograph with the values and the bit depth of its file.

    What the file is, its content decides, whatever its name ends with. The photograph is turned as
    its orientation tag says, as in every viewer.

    Parameters
    ----------
    path : path
        PNG, TIFF, JPEG, BMP, PGM, PPM, WebP, JPEG 2000 or DICOM, of one frame or page; integers of
        up to 32 bits, or floats; grey or colour. ``data/README.md`` has the list.

    Returns
    -------
    ndarray, shape (height, width) or (height, width, 3)
        With the dtype of the file. Transparency is dropped. White is high, also in DICOM
        MONOCHROME1 and TIFF MINISWHITE. Where the header states the bits that are used (DICOM,
        JPEG 2000, PNM, TIFF of 10 or 12 bits), these fill 8 or 16 bits; otherwise see
        `loading.value_range`. DICOM windows, which are one viewer's contrast, are not applied.
        NaN in the surround, connected with the edge, becomes black.

    Raises
    ------
    UnusableImageError
        If the file is missing, damaged, cut short, of another kind or larger than accepted, has one
        bit, several frames, pixels that are not square, or NaN in the field of view. The message
        has the name of the file, what it is and what to do.

    Notes
    -----
    A photograph of 225 megapixels (15000 x 15000 px in colour of 8 bits) is read, and the process
    grows by less than 2 GiB meanwhile. Larger ones are refused by their header.

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
    kind, opened = _opened(path)
    return told(path, lambda: _usable(turned(opened.decode(), opened.orientation)), kind)


def photograph_size(path: Path | str) -> tuple[int, int]:
    """Return the width and the height of a photograph, turned, from the header of its file.

    It is quick, because no pixel is decoded: damage behind the header is not found.

    Raises
    ------
    UnusableImageError
        See `read_photograph`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> import fundus_helpers as fh
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "eye.png")
    ...     Image.new("RGB", (60, 40), "brown").save(file)
    ...     fh.loading.photograph_size(file)
    (60, 40)
    """
    return _opened(Path(path))[1].size


def _opened(path: Path) -> tuple[str, Opened]:
    kind = told(path, lambda: kind_of(path))
    opened = told(path, lambda: _OPENERS[kind](path), kind)
    told(path, opened.check)
    return kind, opened


def _usable(image: np.ndarray) -> np.ndarray:
    """Return the pixels of one grey or RGB image without transparency and NaN, or refuse them."""
    if image.ndim == 3 and image.shape[2] in (1, 2):
        image = image[..., 0]
    elif image.ndim == 3 and image.shape[2] == 4:
        image = image[..., :3]
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise UnusableImageError(
            f"shape {image.shape} is not one photograph; give one grey or RGB image per file"
        )
    image = image.astype(_WIDER.get(image.dtype.name, image.dtype.newbyteorder("=")), copy=False)
    if image.dtype.kind == "f":
        image = _without_nan(image)
    return np.require(image, requirements=["C_CONTIGUOUS", "WRITEABLE"])


def _without_nan(image: np.ndarray) -> np.ndarray:
    # Programs of maps write -3.4e38 where nothing is known.
    good = (image < _MOST) & (image > -_MOST)
    good = good if image.ndim == 2 else good.all(axis=2)
    if good.all():
        return image
    regions, count = ndimage.label(~good)
    edges = (regions[0], regions[-1], regions[:, 0], regions[:, -1])
    outside = np.unique(np.concatenate(edges))
    del regions  # as large as the photograph
    if not good.any() or len(outside[outside > 0]) < count:
        raise UnusableImageError(
            "has NaN or infinite pixels inside the photograph; set them to 0, or export it again"
        )
    inside = good if image.ndim == 2 else good[..., None]
    black = np.min(image, where=inside, initial=0)
    image = np.require(image, requirements="W")
    image[~good] = black
    return image


def save_photograph(image: np.ndarray, path: Path | str) -> Path:
    """Write a photograph without loss: ``.png``, or ``.tif`` if its values do not fit into PNG.

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
    fits = image.dtype in (np.uint8, np.uint16)
    path = path.with_name(path.name + (".png" if fits else ".tif"))
    with written_beside(path) as part:
        if fits:
            sitk.WriteImage(as_itk_image(image), str(part), useCompression=True)
        else:
            kind = "rgb" if image.ndim == 3 else "minisblack"
            tifffile.imwrite(part, image, photometric=kind, compression="zlib", metadata=None)
    return path
