"""DICOM as cameras write it: pixels of every coding, and what the header says."""

import datetime
import hashlib

import imagecodecs
import numpy as np
import pydicom
import pytest
from odd_files import COLOUR, GREY, GREY_12, dicom, jpeg, lossless_jpeg, pillow
from PIL import Image, TiffImagePlugin
from pydicom import uid
from pydicom.dataset import Dataset

from fundus_helpers.loading.formats.kinds import UnusableImageError, looks_like_dicom
from fundus_helpers.loading.header import PhotographHeader, read_header
from fundus_helpers.loading.photographs import photograph_size, read_photograph
from fundus_helpers.loading.values import to_unit_range


def refused(path):
    """Return the words with which a file is refused."""
    with pytest.raises(UnusableImageError, match=path.name) as error:
        read_photograph(path)
    return str(error.value)


def filled(image, bits):
    """Return an image whose stored bits fill 16."""
    return np.rint(image * (65535 / (2**bits - 1)))


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_the_bits_that_are_stored_fill_the_range(tmp_path, bits):
    image = GREY_12 >> 2 if bits == 10 else GREY_12 << (bits - 12)
    path = dicom(tmp_path / "a.dcm", image, bits=bits)
    read = read_photograph(path)
    assert read.dtype == np.uint16 and np.array_equal(read, filled(image, bits))
    assert photograph_size(path) == (64, 48)


def test_stored_bits_that_end_elsewhere_are_found(tmp_path):
    image = (GREY_12 << 4) | 9  # an overlay in the low bits
    path = dicom(tmp_path / "a.dcm", image, bits=12, HighBit=15)
    assert np.array_equal(read_photograph(path), filled(GREY_12, 12))


def test_signed_pixels_have_a_sensible_range(tmp_path):
    positive = dicom(tmp_path / "a.dcm", GREY_12.astype(np.int16) // 2, bits=12)
    assert np.array_equal(read_photograph(positive), filled(GREY_12 // 2, 11))
    signed = GREY_12.astype(np.int16) - 1000
    negative = dicom(tmp_path / "b.dcm", signed, RescaleSlope=2, RescaleIntercept=2000)
    read = read_photograph(negative)
    assert np.array_equal(read, signed)
    assert (to_unit_range(read).min(), to_unit_range(read).max()) == (0, 1)


def test_a_negative_slope_and_monochrome1_invert(tmp_path):
    inverted = dicom(tmp_path / "a.dcm", GREY, RescaleSlope=-1, RescaleIntercept=255)
    twice = dicom(
        tmp_path / "b.dcm", GREY, RescaleSlope=-1, PhotometricInterpretation="MONOCHROME1"
    )
    assert np.array_equal(read_photograph(inverted), 255 - GREY)
    assert np.array_equal(read_photograph(twice), GREY)


def test_windows_are_one_viewer_s_contrast(tmp_path):
    path = dicom(tmp_path / "a.dcm", GREY_12, bits=12, WindowCenter=100, WindowWidth=10)
    assert np.array_equal(read_photograph(path), filled(GREY_12, 12))


@pytest.mark.parametrize(
    "syntax",
    [uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.DeflatedExplicitVRLittleEndian],
)
def test_native_codings_are_read(tmp_path, syntax):
    data = GREY_12.astype(">u2").tobytes() if syntax == uid.ExplicitVRBigEndian else None
    path = dicom(tmp_path / "a.dcm", GREY_12, syntax=syntax, data=data, bits=12)
    assert np.array_equal(read_photograph(path), filled(GREY_12, 12))


def test_colours_in_planes_and_of_a_palette_are_read(tmp_path):
    planes = np.ascontiguousarray(np.moveaxis(COLOUR, 2, 0)).tobytes()
    path = dicom(tmp_path / "a.dcm", COLOUR, data=planes, PlanarConfiguration=1)
    assert np.array_equal(read_photograph(path), COLOUR)
    tables = {
        f"{name}PaletteColorLookupTable{part}": value
        for name, factor in (("Red", 256), ("Green", 128), ("Blue", 64))
        for part, value in (
            ("Descriptor", [256, 0, 16]),
            ("Data", (np.arange(256, dtype=np.uint16) * factor).tobytes()),
        )
    }
    path = dicom(tmp_path / "b.dcm", GREY, PhotometricInterpretation="PALETTE COLOR", **tables)
    expected = GREY.astype(np.uint16)[..., None] * np.array([256, 128, 64], np.uint16)
    assert np.array_equal(read_photograph(path), expected)


def as_ybr(image):
    """Return full-range luminance and colour differences."""
    red, green, blue = np.moveaxis(image.astype(float), 2, 0)
    y = 0.299 * red + 0.587 * green + 0.114 * blue
    return np.rint(np.dstack([y, (blue - y) / 1.772 + 128, (red - y) / 1.402 + 128])).astype(
        np.uint8
    )


def test_native_ybr_becomes_rgb(tmp_path):
    ybr = as_ybr(COLOUR)
    whole = dicom(
        tmp_path / "a.dcm", COLOUR, data=ybr.tobytes(), PhotometricInterpretation="YBR_FULL"
    )
    assert np.abs(read_photograph(whole).astype(int) - COLOUR).max() <= 3
    halved = np.empty((48, 32, 4), np.uint8)  # two luminances share the colour differences
    halved[..., :2] = ybr[..., 0].reshape(48, 32, 2)
    halved[..., 2:] = ybr[:, ::2, 1:]
    kind = "YBR_FULL_422"
    half = dicom(tmp_path / "b.dcm", COLOUR, data=halved.tobytes(), PhotometricInterpretation=kind)
    assert np.abs(read_photograph(half).astype(int) - COLOUR).mean() < 6


def test_native_ybr_of_odd_width_and_of_whole_size_becomes_rgb(tmp_path):
    odd = np.ascontiguousarray(COLOUR[:, :63])
    ybr = np.pad(as_ybr(odd), ((0, 0), (0, 1), (0, 0)), mode="edge")  # rows are filled up
    halved = np.empty((48, 32, 4), np.uint8)
    halved[..., :2] = ybr[..., 0].reshape(48, 32, 2)
    halved[..., 2:] = ybr[:, ::2, 1:]
    kind = "YBR_FULL_422"
    path = dicom(tmp_path / "a.dcm", odd, data=halved.tobytes(), PhotometricInterpretation=kind)
    assert np.abs(read_photograph(path).astype(int) - odd).mean() < 6
    whole = as_ybr(COLOUR).tobytes()
    path = dicom(tmp_path / "b.dcm", COLOUR, data=whole, PhotometricInterpretation=kind)
    assert np.abs(read_photograph(path).astype(int) - COLOUR).max() <= 3


@pytest.mark.parametrize("image", [GREY, COLOUR, GREY_12])
@pytest.mark.parametrize("value", ["missing", None])
@pytest.mark.parametrize(
    "element",
    ["SamplesPerPixel", "BitsStored", "HighBit", "PixelRepresentation"]
    + ["PhotometricInterpretation", "PlanarConfiguration"],
)
def test_what_a_header_does_not_say_follows_from_the_rest(tmp_path, element, value, image):
    bits = 12 if image is GREY_12 else 8
    header = pydicom.dcmread(dicom(tmp_path / "a.dcm", image, bits=bits))
    if value is None:
        setattr(header, element, None)
    elif element in header:
        delattr(header, element)
    header.save_as(tmp_path / "a.dcm")
    if (element, bits) == ("BitsStored", 12):
        assert header.HighBit == 11
    read = read_photograph(tmp_path / "a.dcm")
    assert np.array_equal(read, filled(image, 12) if bits == 12 else image)


@pytest.mark.parametrize(
    "elements",
    [
        {"PhotometricInterpretation": "rgb"},
        {"PixelSpacing": "0.01"},
        {"PixelSpacing": [0, 0]},
        {"PixelAspectRatio": "1"},
        {"RescaleSlope": ""},
    ],
)
def test_entries_that_are_written_badly_do_not_matter(tmp_path, elements):
    path = dicom(tmp_path / "a.dcm", COLOUR, **elements)
    assert np.array_equal(read_photograph(path), COLOUR)
    assert read_header(path).mm_per_pixel is None


@pytest.mark.parametrize("says", ["RGB", "YBR_FULL_422"])
def test_colours_of_a_jpeg_are_what_the_stream_says(tmp_path, says):
    jfif = jpeg(COLOUR)  # holds YBR
    adobe = jpeg(COLOUR, keep_rgb=True)  # holds RGB
    bare = b"\xff\xd8" + jfif[20:]  # without a marker of JFIF; the names of the channels are left
    assert b"JFIF" not in bare
    for data in (jfif, adobe, bare):
        path = dicom(
            tmp_path / "a.dcm",
            COLOUR,
            syntax=uid.JPEGBaseline8Bit,
            data=data,
            PhotometricInterpretation=says,
        )
        assert np.abs(read_photograph(path).astype(int) - COLOUR).mean() < 8


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize(
    "syntax, encode",
    [
        (uid.JPEGLossless, lossless_jpeg),
        (uid.JPEGLosslessSV1, lossless_jpeg),
        (uid.JPEGLSLossless, lambda image, bits: imagecodecs.jpegls_encode(image)),
        (
            uid.JPEG2000Lossless,
            lambda image, bits: imagecodecs.jpeg2k_encode(
                image, level=0, codecformat="j2k", bitspersample=bits
            ),
        ),
    ],
)
def test_lossless_codings_are_exact(tmp_path, syntax, encode, bits):
    image = GREY if bits == 8 else GREY_12 >> 2 if bits == 10 else GREY_12 << (bits - 12)
    path = dicom(tmp_path / "a.dcm", image, syntax=syntax, data=encode(image, bits), bits=bits)
    read = read_photograph(path)
    assert np.array_equal(read, GREY if bits == 8 else filled(image, bits))
    colour = dicom(tmp_path / "b.dcm", COLOUR, syntax=syntax, data=encode(COLOUR, 8))
    assert np.array_equal(read_photograph(colour), COLOUR)


def test_other_codings_are_read(tmp_path):
    twelve = imagecodecs.jpeg8_encode(GREY_12, level=98, bitspersample=12)
    path = dicom(tmp_path / "a.dcm", GREY_12, syntax=uid.JPEGExtended12Bit, data=twelve, bits=12)
    assert np.abs(read_photograph(path) - filled(GREY_12, 12)).max() < 1000
    for image in (GREY, COLOUR, GREY_12):
        written = pydicom.dcmread(
            dicom(tmp_path / "b.dcm", image, bits=12 if image is GREY_12 else 8)
        )
        written.compress(uid.RLELossless)
        written.save_as(tmp_path / "b.dcm")
        read = read_photograph(tmp_path / "b.dcm")
        assert np.array_equal(read, filled(image, 12) if image is GREY_12 else image)


@pytest.mark.parametrize("syntax", [uid.JPEGBaseline8Bit, uid.JPEGLosslessSV1, uid.JPEGLSLossless])
@pytest.mark.parametrize("share", [0.1, 0.6, 0.95])
def test_a_stream_that_is_cut_short_inside_dicom_is_refused(tmp_path, syntax, share):
    encode = {
        uid.JPEGBaseline8Bit: lambda image, bits: jpeg(image),
        uid.JPEGLosslessSV1: lossless_jpeg,
    }
    data = encode.get(syntax, lambda image, bits: imagecodecs.jpegls_encode(image))(GREY, 8)
    path = dicom(tmp_path / "a.dcm", GREY, syntax=syntax, data=data[: int(share * len(data))])
    assert "cut short" in refused(path)


@pytest.mark.parametrize("image", [GREY, COLOUR])
def test_dicom_without_preamble_or_header_is_read(tmp_path, image):
    path = dicom(tmp_path / "a.dcm", image, AcquisitionDate="20190528")
    content = path.read_bytes()
    (tmp_path / "no_preamble").write_bytes(content[132:])
    start = 144 + int.from_bytes(content[140:144], "little")
    (tmp_path / "explicit").write_bytes(content[start:])
    implicit = dicom(tmp_path / "b.dcm", image, syntax=uid.ImplicitVRLittleEndian).read_bytes()
    start = 144 + int.from_bytes(implicit[140:144], "little")
    (tmp_path / "implicit").write_bytes(implicit[start:])
    for name in ("no_preamble", "explicit", "implicit"):
        assert looks_like_dicom(tmp_path / name), name
        assert np.array_equal(read_photograph(tmp_path / name), image), name
    assert read_header(tmp_path / "explicit").date == datetime.date(2019, 5, 28)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"Rows": None}, "no Rows"),
        ({"Columns": None}, "no Columns"),
        ({"Rows": 24}, "holds 3072 bytes of pixels, and 1536 by its header: several frames"),
        ({"NumberOfFrames": 5}, "holds 5 frames, not one photograph; save each frame"),
        ({"BitsAllocated": 1}, "one bit per pixel"),
        ({"BitsAllocated": 12}, "1 x 12 bits; accepted are MONOCHROME1"),
        ({"PhotometricInterpretation": "HSV"}, "type HSV"),
        ({"PixelSpacing": [0.01, 0.014]}, "not square: 1.4 times"),
        ({"PixelAspectRatio": [1, 2]}, "not square: 2 times"),
        ({"BitsStored": 40}, "damaged"),
    ],
)
def test_headers_that_do_not_fit_are_refused_by_name(tmp_path, changes, words):
    path = dicom(tmp_path / "a.dcm", GREY, **changes)
    with pytest.raises(UnusableImageError, match=f"a.dcm.*({words})"):
        read_photograph(path)


def test_a_dicom_file_without_pixels_is_refused_by_name(tmp_path):
    header = pydicom.dcmread(dicom(tmp_path / "a.dcm", GREY))
    del header.PixelData
    header.save_as(tmp_path / "a.dcm")
    assert "no PixelData" in refused(tmp_path / "a.dcm")
    del header.BitsAllocated
    header.save_as(tmp_path / "a.dcm")
    assert "no BitsAllocated" in refused(tmp_path / "a.dcm")


def test_almost_square_pixels_are_accepted(tmp_path):
    path = dicom(tmp_path / "a.dcm", GREY, PixelSpacing=[0.0100, 0.01005])
    assert np.array_equal(read_photograph(path), GREY)


@pytest.mark.parametrize(
    "old, new, words",
    [
        (
            b"1.2.840.10008.1.2.1\0",
            b"1.2.840.99999.1.2.1\0",
            "unknown transfer syntax 1.2.840.99999",
        ),
        (b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0", "unknown transfer syntax"),
    ],
)
def test_an_unknown_transfer_syntax_is_refused_by_its_name(tmp_path, old, new, words):
    path = dicom(tmp_path / "a.dcm", GREY)
    path.write_bytes(path.read_bytes().replace(old, new))
    assert words in refused(path)
    with pytest.raises(UnusableImageError, match="a.dcm"):
        read_header(path)


def test_videos_reports_and_pdf_in_dicom_are_refused_by_their_name(tmp_path):
    video = dicom(tmp_path / "a.dcm", COLOUR, syntax=uid.MPEG4HP41, data=b"\0" * 40)
    assert "holds a video; save the frame" in refused(video)
    for kind in (uid.EncapsulatedPDFStorage, uid.BasicTextSRStorage):
        document = Dataset()
        document.file_meta = pydicom.dataset.FileMetaDataset()
        document.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        document.SOPClassUID, document.SOPInstanceUID = kind, uid.generate_uid()
        document.save_as(tmp_path / "b.dcm", enforce_file_format=True)
        assert f"DICOM document without pixels ({kind.name})" in refused(tmp_path / "b.dcm")


def test_a_deflated_bomb_is_refused(tmp_path):
    path = dicom(
        tmp_path / "a.dcm",
        np.zeros((19000, 19000), np.uint8),
        syntax=uid.DeflatedExplicitVRLittleEndian,
    )
    assert path.stat().st_size < 1e6
    assert "unpacks to more than" in refused(path)


# What the header says


def coded(meaning):
    """Return a coded entry with a meaning."""
    item = Dataset()
    item.CodeMeaning = meaning
    return [item]


def test_the_header_says_how_a_photograph_was_made(tmp_path):
    path = dicom(
        tmp_path / "a.dcm",
        COLOUR,
        AcquisitionDateTime="20190528101500.25+0200",
        StudyDate="20000101",
        ImageLaterality="R",
        PixelSpacing=[0.008, 0.008],
        Manufacturer="Maker",
        ManufacturerModelName="Maker Camera 3",
        PatientID="12345",
        PatientName="Surname^Name",
        Modality="OP",
    )
    assert read_header(path) == PhotographHeader(
        date=datetime.date(2019, 5, 28),
        time=datetime.time(10, 15),
        laterality="R",
        mm_per_pixel=pytest.approx(0.008),
        modality="colour",
        camera="Maker Camera 3",
        patient_key=hashlib.sha256(b"12345").hexdigest(),
    )
    assert "Surname" not in repr(read_header(path)) and "12345" not in repr(read_header(path))


@pytest.mark.parametrize(
    "elements, modality",
    [
        ({"SeriesDescription": "FAF 55 deg"}, "autofluorescence"),
        ({"SeriesDescription": "Blue Autofluorescence"}, "autofluorescence"),
        ({"SeriesDescription": "IR_30"}, "infrared"),
        ({"IlluminationTypeCodeSequence": coded("Near infrared laser")}, "infrared"),
        ({"LightPathFilterTypeStackCodeSequence": coded("Red free")}, "red-free"),
        ({"SeriesDescription": "Fluorescein angiography, late"}, "angiography"),
        ({"SeriesDescription": "Color Fundus"}, "colour"),
        ({"SOPClassUID": uid.OphthalmicTomographyImageStorage}, "OCT"),
        (
            {"AcquisitionDeviceTypeCodeSequence": coded("Optical Coherence Tomography Scanner")},
            "OCT",
        ),
        ({"SeriesDescription": "Air of Fairfax"}, None),
        ({}, None),
    ],
)
def test_the_modality_is_told_by_codes_and_descriptions(tmp_path, elements, modality):
    assert read_header(dicom(tmp_path / "a.dcm", GREY, **elements)).modality == modality


@pytest.mark.parametrize(
    "element, value", [("Laterality", "L"), ("ImageLaterality", "L"), ("ImageLaterality", "B")]
)
def test_the_eye_is_told_if_it_is_one(tmp_path, element, value):
    header = read_header(dicom(tmp_path / "a.dcm", GREY, **{element: value}))
    assert header.laterality == (value if value in "LR" else None)


def test_damaged_and_empty_entries_say_nothing(tmp_path):
    path = dicom(
        tmp_path / "a.dcm", GREY, AcquisitionDate="20199999", StudyDate="2019.05.28", PatientID=""
    )
    header = read_header(path)
    assert header.date == datetime.date(2019, 5, 28)
    assert (header.time, header.patient_key, header.camera, header.mm_per_pixel) == (None,) * 4


def test_no_value_of_a_header_reaches_a_warning_or_a_log(tmp_path, caplog, recwarn):
    path = dicom(
        tmp_path / "a.dcm",
        GREY,
        PatientID="Surname" * 20,  # longer than is allowed
        PatientName="Surname^Name",
        PatientBirthDate="Surname",
        AcquisitionDate="Surname",
        SeriesDescription="Surname" * 20,
        PixelSpacing=["0.00001234567890123456", "0.00001234567890123456"],
    )
    recwarn.clear()
    caplog.clear()
    read_header(path)
    assert np.array_equal(read_photograph(path), GREY)
    assert not [*recwarn] and not caplog.records


@pytest.mark.parametrize("kind", ["jpeg", "tiff", "png", "webp"])
def test_exif_says_when_and_with_what(tmp_path, kind):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2021:05:03 14:30:10"
    exif[0x010F], exif[0x0110], exif[0x0112] = "Maker", "Camera 3", 6
    options = {"exif": exif}
    if kind == "tiff":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[0x010F], tags[0x0110], tags[0x0112] = "Maker", "Camera 3", 6
        tags[0x8769] = {0x9003: "2021:05:03 14:30:10"}
        options = {"tiffinfo": tags}
    header = read_header(pillow(tmp_path / "IMG_0001.JPG", COLOUR, kind, **options))
    assert (header.date, header.time) == (datetime.date(2021, 5, 3), datetime.time(14, 30, 10))
    assert header.camera == "Maker Camera 3" and "orientation tag (6)" in header.note
    assert read_header(pillow(tmp_path / "b.jpg", COLOUR, kind)) == PhotographHeader()
    assert read_header(pillow(tmp_path / "c.bmp", COLOUR, "bmp")) == PhotographHeader()


def test_a_header_that_cannot_be_read_is_refused_by_name(tmp_path):
    for name, content in (("a.dcm", b""), ("b.dcm", b"words " * 100), ("c.gif", b"GIF89a")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnusableImageError, match=name):
            read_header(tmp_path / name)
    with pytest.raises(UnusableImageError, match="gone.dcm.*missing"):
        read_header(tmp_path / "gone.dcm")
