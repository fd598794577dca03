"""Files that are cut, flipped and mixed are read or refused by name; nothing else happens."""

import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from odd_files import COLOUR, COLOUR_16, GREY, GREY_12, GROWN, dicom, jpeg, lossless_jpeg, pillow
from pydicom import uid

FILES = 300
SMALL = 1500  # bytes in which the headers lie

# Reads every file in a process of its own, so that a crash is seen, and tells how far it came.
READ = f"""
import pathlib, sys, warnings
from fundus_helpers.loading.header import read_header
from fundus_helpers.loading.formats.kinds import UnusableImageError
from fundus_helpers.loading.photographs import photograph_size, read_photograph
warnings.simplefilter("error")
{GROWN}
read = refused = 0
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    print(path.name, file=sys.stderr, flush=True)
    for function in (photograph_size, read_header, read_photograph):
        try:
            result = function(path)
        except UnusableImageError as error:
            assert str(error).startswith(path.name + ": "), str(error)
            refused += function is read_photograph
        else:
            if function is read_photograph:
                assert result.ndim == 2 or result.shape[2] == 3
                read += 1
print(read, refused, grown())
"""


def sound_files(folder):
    """Write one file of every kind and return their contents."""
    folder.mkdir()
    for kind, options in (
        *(("png", {}), ("bmp", {}), ("webp", {}), ("webp", {"lossless": True}), ("jpeg", {})),
        *(
            ("jpeg", {"progressive": True}),
            ("tiff", {}),
            ("tiff", {"compression": "jpeg"}),
            ("ppm", {}),
        ),
        *(("tiff", {"compression": "tiff_lzw"}), ("jpeg2000", {})),
    ):
        pillow(folder / f"{len([*folder.iterdir()]):02}", COLOUR, kind, **options)
    (folder / "j2k").write_bytes(imagecodecs.jpeg2k_encode(COLOUR_16, level=0))
    (folder / "png16").write_bytes(imagecodecs.png_encode(COLOUR_16))
    (folder / "jls").write_bytes(imagecodecs.jpegls_encode(COLOUR))
    tifffile.imwrite(folder / "tiles", COLOUR_16, tile=(16, 16), compression="zlib", predictor=True)
    tifffile.imwrite(folder / "planes", np.moveaxis(COLOUR, 2, 0), photometric="rgb", bigtiff=True)
    tifffile.imwrite(folder / "floats", GREY.astype(np.float32))
    for name, syntax, image, data in (
        ("native", uid.ExplicitVRLittleEndian, COLOUR, None),
        ("implicit", uid.ImplicitVRLittleEndian, GREY_12, None),
        ("deflated", uid.DeflatedExplicitVRLittleEndian, GREY_12, None),
        ("baseline", uid.JPEGBaseline8Bit, COLOUR, jpeg(COLOUR)),
        ("lossless", uid.JPEGLosslessSV1, GREY_12, lossless_jpeg(GREY_12, 12)),
        ("ls", uid.JPEGLSLossless, GREY_12, imagecodecs.jpegls_encode(GREY_12)),
        (
            "2000",
            uid.JPEG2000Lossless,
            COLOUR,
            imagecodecs.jpeg2k_encode(COLOUR, codecformat="j2k"),
        ),
    ):
        dicom(
            folder / f"dicom_{name}",
            image,
            syntax=syntax,
            data=data,
            bits=12 if image is GREY_12 else 8,
        )
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def damaged(rng, content, other):
    """Return a file that is cut, flipped, overwritten or mixed with another one."""
    content = bytearray(content)
    kind = rng.integers(5)
    place = int(rng.integers(len(content)))
    if kind == 0:
        return bytes(content[:place])
    if kind == 1:  # some bits
        for _ in range(rng.integers(1, 20)):
            content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    elif kind == 2:  # bytes of the header
        for _ in range(rng.integers(1, 6)):
            content[rng.integers(min(SMALL, len(content)))] = rng.choice([0, 1, 127, 128, 255])
    elif kind == 3:
        content[place : place + 64] = rng.bytes(min(64, len(content) - place))
    else:
        content[place:] = other[place:]
    return bytes(content)


def test_damaged_files_of_every_kind_are_read_or_refused(tmp_path):
    sound, rng = sound_files(tmp_path / "sound"), np.random.default_rng(16)
    folder = tmp_path / "damaged"
    folder.mkdir()
    for i in range(FILES):
        other = sound[rng.integers(len(sound))]
        suffix = ("", ".png", ".dcm", ".tif")[i % 4]
        Path(folder, f"{i:03}{suffix}").write_bytes(damaged(rng, sound[i % len(sound)], other))
    for each, least in ((folder, FILES // 10), (tmp_path / "sound", len(sound))):
        command = [sys.executable, "-c", READ, each]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        assert done.returncode == 0, done.stderr[-2000:]
        read, refused, gigabytes = map(float, done.stdout.split())
        assert read >= least and read + refused == len([*each.iterdir()])
        assert gigabytes < 2
