"""Files of every kind are read by their content as viewers show them, or refused by name."""

import os
import re
import struct
import subprocess
import sys
import zlib

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from odd_files import (
    COLOUR,
    COLOUR_16,
    GREY,
    GREY_12,
    GREY_16,
    GROWN,
    dicom,
    jpeg,
    lossless_jpeg,
    pillow,
)
from PIL import Image, PngImagePlugin

from fundus_helpers.files import SUFFIXES, UNREADABLE_SUFFIXES
from fundus_helpers.loading.formats.kinds import UnusableImageError, looks_like_dicom
from fundus_helpers.loading.photographs import photograph_size, read_photograph, save_photograph
from fundus_helpers.loading.values import (
    ValueRanges,
    single_channel,
    stretched,
    to_unit_range,
    value_range,
)

LOSSLESS = {
    "png": lambda image: imagecodecs.png_encode(image),
    "bmp": lambda image: cv2.imencode(".bmp", image[..., ::-1])[1].tobytes(),
    "ppm": lambda image: cv2.imencode(".ppm", image[..., ::-1])[1].tobytes(),
    "webp": lambda image: imagecodecs.webp_encode(image, lossless=True),
    "jp2": lambda image: imagecodecs.jpeg2k_encode(image, level=0, codecformat="jp2"),
    "j2k": lambda image: imagecodecs.jpeg2k_encode(image, level=0, codecformat="j2k"),
    "jls": lambda image: imagecodecs.jpegls_encode(image),
    "jpg": lambda image: lossless_jpeg(image, 8),
}


def refused(path):
    """Return the words with which a file is refused, by both readers."""
    with pytest.raises(UnusableImageError, match=re.escape(path.name)) as error:
        read_photograph(path)
    return str(error.value)


@pytest.mark.parametrize("kind", LOSSLESS)
@pytest.mark.parametrize("ending", ["right", ".png", ".dcm", ".txt", ""])
def test_what_a_file_is_its_content_decides(tmp_path, kind, ending):
    path = tmp_path / f"photo{f'.{kind}' if ending == 'right' else ending}"
    path.write_bytes(LOSSLESS[kind](COLOUR))
    assert np.array_equal(read_photograph(path), COLOUR)
    assert photograph_size(path) == (64, 48)


def test_dicom_and_tiff_need_no_ending_either(tmp_path):
    dicom(tmp_path / "00000017", COLOUR)
    tifffile.imwrite(tmp_path / "photo.jpg", COLOUR)
    for name in ("00000017", "photo.jpg"):
        assert np.array_equal(read_photograph(tmp_path / name), COLOUR)
        assert photograph_size(tmp_path / name) == (64, 48)
    assert looks_like_dicom(tmp_path / "00000017")
    assert not looks_like_dicom(tmp_path / "photo.jpg")
    assert not looks_like_dicom(tmp_path / "gone") and not looks_like_dicom(tmp_path)


def test_a_jfif_file_is_a_jpeg(tmp_path):
    path = tmp_path / "photo.jfif"
    path.write_bytes(jpeg(COLOUR))
    with Image.open(path) as image:
        assert np.array_equal(read_photograph(path), np.asarray(image))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff", "webp"])
def test_a_photograph_is_turned_as_viewers_turn_it(tmp_path, kind, orientation):
    stored = {  # how the upright photograph is stored: the definition of the EXIF tag
        1: GREY,
        2: GREY[:, ::-1],
        3: GREY[::-1, ::-1],
        4: GREY[::-1],
        5: GREY.T,
        6: np.rot90(GREY),
        7: np.rot90(GREY, 2).T,
        8: np.rot90(GREY, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, kind, exif=exif)
    read = read_photograph(path)
    green = read if read.ndim == 2 else read[..., 1]
    assert np.abs(green.astype(int) - GREY).mean() < 6
    assert photograph_size(path) == (64, 48)


@pytest.mark.parametrize("damage", [b"\xff\xff", b"\x09\x00"])
def test_an_orientation_that_does_not_exist_turns_nothing(tmp_path, damage):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = pillow(tmp_path / "a.jpg", GREY, "jpeg", exif=exif)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"\0\x06\0\0", damage + b"\0\0", 1))
    assert read_photograph(path).shape == GREY.shape


def png(*chunks):
    """Return a PNG file of chunks, each a name and a body."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def test_an_orientation_behind_the_pixels_of_a_png_counts_and_no_pixel_is_decoded_for_it(
    tmp_path, monkeypatch
):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = exif.tobytes()
    profile = f"\nexif\n{len(data):8}\n{data.hex()}\n".encode()  # as ImageMagick wrote it
    chunks = {
        "eXIf": (b"eXIf", data.removeprefix(b"Exif\0\0")),
        "tEXt": (b"tEXt", b"Raw profile type exif\0" + profile),
        "zTXt": (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile)),
    }
    stored = np.rot90(GREY)
    header = struct.pack(">IIBBBBB", 48, 64, 8, 0, 0, 0, 0)
    pixels = b"".join(b"\0" + row.tobytes() for row in stored)
    plain = (b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda *_: pytest.fail("decoded"))
    for name, chunk in chunks.items():
        (tmp_path / name).write_bytes(png(*plain[:2], chunk, plain[2]))
        assert photograph_size(tmp_path / name) == (64, 48)
        assert np.array_equal(read_photograph(tmp_path / name), GREY)
    (tmp_path / "plain").write_bytes(png(*plain))
    assert photograph_size(tmp_path / "plain") == (48, 64)


def test_a_lossless_jpeg_is_turned_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    with_exif = jpeg(GREY, exif=exif)
    start = with_exif.index(b"\xff\xe1")
    length = 2 + int.from_bytes(with_exif[start + 2 : start + 4], "big")
    data = lossless_jpeg(np.ascontiguousarray(np.rot90(COLOUR)), 8)
    path = tmp_path / "a.jpg"
    path.write_bytes(data[:2] + with_exif[start : start + length] + data[2:])
    assert np.array_equal(read_photograph(path), COLOUR) and photograph_size(path) == (64, 48)


@pytest.mark.parametrize(
    "options",
    [
        {"photometric": "miniswhite"},
        {"photometric": "miniswhite", "compression": "zlib"},
    ],
)
def test_tiff_whose_zero_is_white_is_shown_so(tmp_path, options):
    for image in (GREY, GREY_16):
        path = tmp_path / "white.tif"
        tifffile.imwrite(path, np.iinfo(image.dtype).max - image, **options)
        assert np.array_equal(read_photograph(path), image)


@pytest.mark.parametrize(
    "options",
    [
        {"planarconfig": "separate"},
        {"planarconfig": "contig", "tile": (16, 32)},
        {"planarconfig": "separate", "compression": "zlib", "predictor": True},
        {"compression": "lzw", "predictor": True, "rowsperstrip": 7},
        {"compression": "zstd"},
        {"bigtiff": True},
        {"byteorder": ">"},
    ],
)
@pytest.mark.parametrize("image", [COLOUR, COLOUR_16])
def test_layouts_and_compressions_of_tiff_change_nothing(tmp_path, options, image):
    path = tmp_path / "photo.tif"
    planar = options.get("planarconfig") == "separate"
    pixels = np.moveaxis(image, 2, 0) if planar else image
    tifffile.imwrite(path, pixels, photometric="rgb", **options)
    read = read_photograph(path)
    assert read.dtype == image.dtype and np.array_equal(read, image)


@pytest.mark.parametrize(
    "dtype, as_read",
    [
        *((name, name) for name in ("uint8", "uint16", "uint32", "int16", "int32")),
        *(("int8", "int16"), ("float16", "float32"), ("float32", "float32")),
        ("float64", "float64"),
    ],
)
def test_sample_types_of_tiff_keep_their_values(tmp_path, dtype, as_read):
    image = (GREY / 2).astype(dtype)
    tifffile.imwrite(tmp_path / "photo.tif", image)
    read = read_photograph(tmp_path / "photo.tif")
    assert read.dtype == as_read and np.array_equal(read, image)
    assert read_photograph(save_photograph(read, tmp_path / "again")).dtype == as_read


@pytest.mark.parametrize("dtype", ["int64", "uint64", "complex64"])
def test_types_that_are_not_accepted_are_named(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", GREY.astype(dtype))
    assert f"type {dtype}" in refused(tmp_path / "a.tif")


def test_palettes_and_jpeg_inside_tiff_are_read(tmp_path):
    palette = np.arange(256, dtype=np.uint16) * np.array([[256], [128], [64]], np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="palette", colormap=palette)
    assert np.array_equal(read_photograph(tmp_path / "a.tif")[..., 0], GREY)
    pillow(tmp_path / "b.tif", COLOUR, "tiff", compression="jpeg")
    tifffile.imwrite(tmp_path / "c.tif", COLOUR, photometric="rgb", compression="jpeg")
    for name in ("b.tif", "c.tif"):
        difference = read_photograph(tmp_path / name).astype(int) - COLOUR
        assert np.abs(difference).mean() < 8


@pytest.mark.parametrize("extra", ["unassalpha", "unspecified"])
def test_transparency_of_tiff_is_dropped(tmp_path, extra):
    rgba = np.dstack([COLOUR_16, GREY_16])
    tifffile.imwrite(tmp_path / "a.tif", rgba, photometric="rgb", extrasamples=[extra])
    assert np.array_equal(read_photograph(tmp_path / "a.tif"), COLOUR_16)
    both = np.dstack([GREY, GREY[::-1]])
    tifffile.imwrite(tmp_path / "b.tif", both, photometric="minisblack", planarconfig="contig")
    assert np.array_equal(read_photograph(tmp_path / "b.tif"), GREY)


def test_a_page_with_its_thumbnails_is_one_photograph(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(COLOUR)
        file.write(np.ascontiguousarray(COLOUR[::4, ::4]), subfiletype=1)
    assert np.array_equal(read_photograph(tmp_path / "a.tif"), COLOUR)
    with tifffile.TiffWriter(tmp_path / "b.tif") as file:
        for image in (COLOUR, COLOUR, COLOUR):
            file.write(image)
    assert "holds 3 pages, not one photograph; save each page" in refused(tmp_path / "b.tif")


@pytest.mark.parametrize("mode", ["P", "LA", "La", "1"])
def test_png_of_palettes_transparency_and_one_bit(tmp_path, mode):
    path = tmp_path / "a.png"
    if mode == "La":  # the transparent value of a grey PNG
        Image.fromarray(GREY).save(path, transparency=10)
    else:
        Image.fromarray(GREY).convert(mode).save(path)
    if mode == "1":
        assert "one bit per pixel: a mask or a scan" in refused(path)
        return
    read = read_photograph(path)
    assert np.array_equal(read if read.ndim == 2 else read[..., 1], GREY)


def test_an_interlaced_png_of_16_bits_is_read(tmp_path):
    # Adam7, pass after pass, without filters.
    header = struct.pack(">IIBBBBB", 64, 48, 16, 2, 0, 0, 1)
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2))
    rows = [
        b"\0" + row.astype(">u2").tobytes()
        for top, left, down, across in (*passes, (1, 0, 2, 1))
        for row in COLOUR_16[top::down, left::across]
    ]
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")
    (tmp_path / "a.png").write_bytes(png(*chunks))
    assert np.array_equal(read_photograph(tmp_path / "a.png"), COLOUR_16)


def test_a_cmyk_jpeg_becomes_rgb(tmp_path):
    Image.fromarray(COLOUR).convert("CMYK").save(tmp_path / "a.jpg", quality=98)
    read = read_photograph(tmp_path / "a.jpg")
    assert read.shape == COLOUR.shape and np.abs(read.astype(int) - COLOUR).mean() < 8


@pytest.mark.parametrize("white", [255, 1023, 4095, 65535])
@pytest.mark.parametrize("plain", [True, False])
def test_pgm_says_what_is_white(tmp_path, white, plain):
    image = np.rint(GREY * (white / 255)).astype(np.uint8 if white < 256 else ">u2")
    body = " ".join(map(str, image.ravel())).encode() if plain else image.tobytes()
    head = f"P{2 if plain else 5}\n# a comment\n64 48\n{white}\n".encode()
    (tmp_path / "a.pgm").write_bytes(head + body)
    read = read_photograph(tmp_path / "a.pgm")
    assert read.dtype == (np.uint8 if white < 256 else np.uint16)
    assert np.abs(read * (255 / np.iinfo(read.dtype).max) - GREY).max() <= 0.51
    (tmp_path / "a.pgm").write_bytes(head + body[:-40])
    assert "cut short" in refused(tmp_path / "a.pgm")


def test_a_comment_before_the_pixels_of_a_pgm_does_not_shift_them(tmp_path):
    head, path = b"P5\n64 48\n255\n", tmp_path / "a.pgm"
    path.write_bytes(head + b"# white\n" + GREY.tobytes())
    assert np.array_equal(read_photograph(path), GREY)
    path.write_bytes(2 * (head + GREY.tobytes()))
    assert "holds 2 or more pages, not one photograph" in refused(path)


# What cannot be read


FOREIGN = {
    "a.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "b.heif": b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic",
    "c.avif": b"\0\0\0\x18ftypavif\0\0\0\0mif1avif",
    "d.gif": b"GIF89a\1\0\1\0",
    "e.e2e": b"CMDb" + bytes(60),
    "f.fda": b"FOCTFDA" + bytes(60),
    "g.fds": b"FOCTFDS" + bytes(60),
    "h.vol": b"HSF-OCT-103" + bytes(60),
    "i.pdf": b"%PDF-1.7\n",
    "j.mp4": b"\0\0\0\x18ftypmp42" + bytes(20),
    "k.avi": b"RIFF\0\0\0\0AVI LIST",
    "l.cr3": b"\0\0\0\x18ftypcrx " + bytes(20),
    "m.psd": b"8BPS\0\1",
    "n.svg": b"<?xml version='1.0'?>\n<svg xmlns='x'></svg>",
    "o.zip": b"PK\x03\x04" + bytes(30),
    "p.jxl": b"\xff\x0a" + bytes(30),
    "q.pbm": b"P4\n8 8\n" + bytes(8),
    "r.nii": bytes(344) + b"n+1\0",
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("renamed", [False, True])
def test_what_is_not_read_is_named_with_what_to_do(tmp_path, name, renamed):
    path = tmp_path / ("photo.png" if renamed else name)
    path.write_bytes(FOREIGN[name])
    words = refused(path)
    assert UNREADABLE_SUFFIXES[f".{name.split('.')[1]}"] in words
    assert "which is not read" in words


def test_the_endings_are_told_apart():
    assert set(SUFFIXES) & set(UNREADABLE_SUFFIXES) == set()
    assert all(suffix == suffix.lower() for suffix in (*SUFFIXES, *UNREADABLE_SUFFIXES))


def test_a_raw_camera_file_is_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.nef") as file:
        file.write(COLOUR, subfiletype=1)
    assert "raw camera file" in refused(tmp_path / "a.nef")
    tifffile.imwrite(
        tmp_path / "b.dng",
        GREY_16,
        photometric="cfa",
        extratags=[(33421, 3, 2, (2, 2), True), (33422, 1, 4, b"\0\1\1\2", True)],
    )
    assert "raw camera file" in refused(tmp_path / "b.dng")


def test_links_folders_and_files_without_permission_are_refused_by_name(tmp_path):
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    assert "leads nowhere" in refused(tmp_path / "link.png")
    (tmp_path / "folder.png").mkdir()
    assert "is a folder" in refused(tmp_path / "folder.png")
    os.mkfifo(tmp_path / "pipe.png")
    assert "not a file" in refused(tmp_path / "pipe.png")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused_by_name(tmp_path):
    path = pillow(tmp_path / "a.png", GREY, "png")
    path.chmod(0)
    assert "no permission" in refused(path)


@pytest.mark.parametrize("shape", [(1, 64), (64, 1), (8, 64)])
@pytest.mark.parametrize("kind", ["png", "tiff", "jpeg", "bmp"])
def test_one_row_or_a_few_pixels_are_no_photograph(tmp_path, shape, kind):
    path = pillow(tmp_path / "a", np.full(shape, 90, np.uint8), kind)
    assert "too few for a photograph; 16 or more" in refused(path)


def test_a_header_of_60000_x_60000_is_refused_before_anything_is_decoded(tmp_path):
    size = struct.pack(">II", 60000, 60000)
    png = pillow(tmp_path / "a.png", GREY, "png")
    content = png.read_bytes()
    chunk = b"IHDR" + size + content[24:29]
    png.write_bytes(content[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + content[33:])
    photo = tmp_path / "b.jpg"
    photo.write_bytes(
        jpeg(GREY).replace(struct.pack(">HH", 48, 64), struct.pack(">HH", 60000, 60000))
    )
    with tifffile.TiffWriter(tmp_path / "c.tif") as file:
        file.write(GREY)
    with tifffile.TiffFile(tmp_path / "c.tif", mode="r+") as file:
        for tag in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            file.pages[0].tags[tag].overwrite(60000)
    dicom(tmp_path / "d.dcm", GREY, Rows=60000, Columns=60000)
    (tmp_path / "e.ppm").write_bytes(b"P6 60000 60000 255\n" + bytes(100))
    for name in ("a.png", "b.jpg", "c.tif", "d.dcm", "e.ppm"):
        assert "too large: 60000 x 60000 px" in refused(tmp_path / name)
        with pytest.raises(UnusableImageError, match="too large"):
            photograph_size(tmp_path / name)


@pytest.mark.parametrize("kind", ["png", "jpeg", "bmp", "webp", "dicom", "pgm", "words"])
def test_a_small_picture_in_an_endless_file_does_not_fill_the_memory(tmp_path, kind):
    path = tmp_path / "a"
    if kind == "dicom":
        dicom(path, GREY)
    elif kind == "words":
        path.write_bytes(b"P2 64 48 255\n")
    else:
        pillow(path, GREY, "ppm" if kind == "pgm" else kind)
    os.truncate(path, 5 * 10**9)  # the rest takes no space
    if kind == "pgm":
        assert np.array_equal(read_photograph(path), GREY)
    else:
        words = "its numbers have no end" if kind == "words" else "too large: a file of 5000 MB"
        assert words in refused(path)


def test_pixels_that_are_not_square_are_refused(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png", dpi=(100, 200))
    tifffile.imwrite(tmp_path / "b.tif", GREY, resolution=(100, 200))
    Image.fromarray(GREY).save(tmp_path / "c.jpg", dpi=(100, 200))
    Image.fromarray(GREY).save(tmp_path / "d.bmp", dpi=(100, 200))
    for name in ("a.png", "b.tif", "c.jpg", "d.bmp"):
        assert "not square: 2 times as wide as high" in refused(tmp_path / name)


def test_nan_in_the_surround_is_black_and_nan_inside_is_refused(tmp_path):
    image = (GREY / 255).astype(np.float32)
    image[:, :5] = image[-3:] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", image)
    read = read_photograph(tmp_path / "a.tif")
    assert (read[:, :5] == 0).all() and np.array_equal(read[:-3, 5:], image[:-3, 5:])
    image[20, 30] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", image)
    assert "NaN or infinite pixels inside" in refused(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "a.tif", np.full((40, 40), np.nan, np.float32))
    assert "NaN or infinite" in refused(tmp_path / "a.tif")


def test_names_with_odd_characters_are_told_as_escapes(tmp_path):
    path = tmp_path / "a\tb\n.png"
    path.write_bytes(b"")
    with pytest.raises(UnusableImageError, match=r"^a\\tb\\n\.png: cannot be read \(empty"):
        read_photograph(path)


def test_no_library_error_escapes(tmp_path, monkeypatch):
    path = pillow(tmp_path / "a.png", GREY, "png")
    for error in (MemoryError(), KeyError("x"), RecursionError(), OverflowError()):

        def fail(data, error=error):
            raise error

        monkeypatch.setattr(imagecodecs, "png_decode", fail)
        with pytest.raises(UnusableImageError, match="a.png") as told:
            read_photograph(path)
        assert told.value.__cause__ is error


GROWTH = f"""
import sys
from fundus_helpers.loading.photographs import read_photograph
{GROWN}
image = read_photograph(sys.argv[1])
print(*image.shape, grown())
"""


@pytest.mark.parametrize("kind", ["jpg", "tif", "float", "words"])
def test_225_megapixels_are_read_within_two_gigabytes(tmp_path, kind):
    path = tmp_path / f"large.{kind}"
    image = np.zeros((15000, 15000, 3), np.uint8)
    image[::64] = 100
    if kind == "jpg":
        path.write_bytes(imagecodecs.jpeg8_encode(image, level=60))
    elif kind == "float":
        values = np.full((12990, 12990), np.nan, np.float32)
        values[300:-300, 300:-300] = 7
        tifffile.imwrite(path, values)
    elif kind == "words":
        path.write_bytes(b"P3 4000 4000 255\n" + b"100 7 255 " * 4000**2)
    else:
        tifffile.imwrite(
            path, image, compression="zlib", compressionargs={"level": 1}, rowsperstrip=256
        )
    del image
    command = [sys.executable, "-c", GROWTH, path]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    shape = {"float": ["12990", "12990"], "words": ["4000", "4000", "3"]}
    assert told[:-1] == shape.get(kind, ["15000", "15000", "3"])
    assert float(told[-1]) < (0.5 if kind == "words" else 2)


# Ranges of values


def test_values_that_stand_for_nothing_are_black_outside_the_field_of_view(tmp_path):
    image = np.float32(GREY)
    for value in (np.inf, -np.inf, -3.4028235e38):
        image[:, :5] = value
        tifffile.imwrite(tmp_path / "a.tif", image)
        read = read_photograph(tmp_path / "a.tif")
        assert (read[:, :5] == 0).all() and np.array_equal(read[:, 5:], image[:, 5:])
    image[:, :5] = np.nan
    tifffile.imwrite(tmp_path / "b.tif", 250 - image, photometric="miniswhite")
    assert np.array_equal(read_photograph(tmp_path / "b.tif")[:, 5:], image[:, 5:])


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_bits_of_a_camera_in_16_are_told_and_fill_the_range(bits):
    image = GREY_16 >> (16 - bits)
    found = value_range([image // 2, image])
    assert (found.low, found.high) == (0, 2**bits - 1)
    assert found.told.startswith(f"{bits} bits") and str(2**bits - 1) in found.told
    # A photograph alone, one with the range of its eye, and its full range in files.
    assert np.allclose(to_unit_range(image), image / (2**bits - 1))
    assert np.allclose(to_unit_range(image // 2, found), image // 2 / (2**bits - 1))
    assert np.array_equal(stretched(image, found), np.rint(image * (65535 / (2**bits - 1))))
    assert np.allclose(
        single_channel(np.dstack([image] * 3), "green", found), image / (2**bits - 1)
    )


def test_8_bits_and_full_16_bits_stay_as_they_are():
    for image in (GREY, COLOUR, GREY_16, COLOUR_16):
        white = np.float32(np.iinfo(image.dtype).max)
        assert np.array_equal(to_unit_range(image), image / white)
        assert stretched(image) is image
    assert value_range([GREY // 8]).high == 255  # a dark photograph stays dark


@pytest.mark.parametrize(
    "image, low, high",
    [
        (GREY_12.astype(np.int16), 0, 4095),
        (GREY_12.astype(np.int16) - 1024, 10 * 16 + 5 - 1024, 240 * 16 + 5 - 1024),
        (GREY_16.astype(np.uint32), 0, 65535),
        (GREY_16.astype(np.uint32) * 20, 0, 2**22 - 1),
        (np.float32(GREY) / 255, 0, 1),
        (np.float32(GREY), 0, 255),
        (np.float64(GREY_12), 0, 4095),
        (np.float32(GREY) / 240 * 1.02, 0, np.float32(1.02)),
        (np.float32(GREY) / 2.55, 0, 100),
        (np.float32(GREY_12) / 65535, 0, 4095 / 65535),
    ],
)
def test_ranges_of_other_types_are_sensible(image, low, high):
    found = value_range([image])
    assert (found.low, found.high) == pytest.approx((low, high))
    unit = to_unit_range(image)
    assert unit.dtype == np.float32 and unit.min() >= 0 and 0.2 < unit.max() <= 1
    full = stretched(image)
    assert full.dtype == image.dtype
    assert full.max() / (1 if full.dtype.kind == "f" else np.iinfo(full.dtype).max) > 0.2


def test_the_photographs_of_an_eye_have_one_range_for_each_type():
    ranges = ValueRanges()
    for image in (GREY, GREY_12, GREY_12 // 8, np.float32(GREY)):
        ranges.add(image)
    assert [ranges.of(dtype).high for dtype in (np.uint8, np.uint16, np.float32)] == [
        255,
        4095,
        255,
    ]
    with pytest.raises(ValueError, match="one dtype.*uint8, uint16"):
        value_range([GREY, GREY_12])
    with pytest.raises(ValueError, match="found: none"):
        value_range([])
    for bad in (np.array([[np.nan, 1]]), np.array([[1j]])):
        with pytest.raises(UnusableImageError, match="NaN|complex128"):
            to_unit_range(bad)
