"""Files of every kind, as cameras, clinics and programs write them, made of small pictures."""

import io

import cv2
import imagecodecs
import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian

_rng = np.random.default_rng(5)
GREY = cv2.GaussianBlur(_rng.integers(0, 256, (48, 64), dtype=np.uint8), (0, 0), 2)
GREY = cv2.normalize(GREY, None, 10, 240, cv2.NORM_MINMAX)
COLOUR = np.dstack([GREY, GREY[::-1] // 2, GREY[:, ::-1] // 4])
GREY_12 = (GREY.astype(np.uint16) << 4) + 5
GREY_16 = GREY.astype(np.uint16) * 257
COLOUR_16 = COLOUR.astype(np.uint16) * 257


def dicom(path, image, *, syntax=ExplicitVRLittleEndian, data=None, bits=None, **elements):
    """Write a DICOM file; `data` are the pixels as they are stored, of whatever coding."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = syntax
    header.SOPClassUID = pydicom.uid.OphthalmicPhotography8BitImageStorage
    header.SOPInstanceUID = pydicom.uid.generate_uid()
    header.Rows, header.Columns = image.shape[:2]
    header.SamplesPerPixel = 1 if image.ndim == 2 else 3
    header.PhotometricInterpretation = "MONOCHROME2" if image.ndim == 2 else "RGB"
    if image.ndim == 3:
        header.PlanarConfiguration = 0
    header.BitsAllocated = 8 * image.itemsize
    header.BitsStored = bits or header.BitsAllocated
    header.HighBit = header.BitsStored - 1
    header.PixelRepresentation = int(image.dtype.kind == "i")
    for keyword, value in elements.items():
        setattr(header, keyword, value)
    plain = image.tobytes() if data is None else data
    header.PixelData = encapsulate([plain]) if syntax.is_compressed and data else plain
    if syntax.is_compressed and data:
        header["PixelData"].VR = "OB"
    header.save_as(path, enforce_file_format=True)
    return path


def jpeg(image, **options):
    """Return an image as JPEG, as Pillow writes it."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "jpeg", quality=95, **options)
    return stream.getvalue()


def pillow(path, image, kind, **options):
    """Write an image as a file of a kind, whatever the name of the file ends with."""
    Image.fromarray(image).save(path, kind, **options)
    return path


def lossless_jpeg(image, bits):
    """Return an image as lossless JPEG."""
    return imagecodecs.jpeg8_encode(image, lossless=True, bitspersample=bits)


# Begins a program that measures by how much it grows. `ru_maxrss` would count its parent, too.
GROWN = """
import psutil
START = psutil.Process().memory_info().rss
def grown():
    lines = open("/proc/self/status").read().splitlines()
    (peak,) = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return (1024 * int(peak) - START) / 2**30
"""
