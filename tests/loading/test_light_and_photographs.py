"""Photographs are read as they are, or refused with a reason."""

import cv2
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset

from fundus_helpers import transforms
from fundus_helpers.loading.light import erode, field_of_view, normalise_illumination
from fundus_helpers.loading.photographs import UnusableImageError, read_photograph, save_photograph
from fundus_helpers.loading.values import resize, single_channel, to_unit_range

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (40, 60), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8)
GREY_16 = RNG.integers(0, 65536, (40, 60), dtype=np.uint16)
COLOUR_16 = RNG.integers(0, 65536, (40, 60, 3), dtype=np.uint16)
FLOATS = RNG.random((40, 60), dtype=np.float32)


def write(path, image):
    """Write an image by its ending; a last axis of 2 or 4 is transparency too."""
    if path.suffix == ".dcm":
        write_dicom(path, image)
    elif path.suffix == ".jpg" or image.ndim == 3 and image.shape[2] == 2:
        Image.fromarray(image).save(path)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(image, isVector=image.ndim == 3), str(path))
    return path


def write_dicom(path, image, *, kind="MONOCHROME2", bits=None, frames=None):
    """Write grey pixels as an uncompressed DICOM file."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    header.SOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    header.SOPInstanceUID = pydicom.uid.generate_uid()
    header.Rows, header.Columns = image.shape[-2:]
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, kind
    header.BitsAllocated = 8 * image.itemsize
    header.BitsStored = bits or header.BitsAllocated
    header.HighBit, header.PixelRepresentation = header.BitsStored - 1, 0
    if frames:
        header.NumberOfFrames = frames
    header.PixelData = image.tobytes()
    header.save_as(path, enforce_file_format=True)
    return path


def disc(shape, radius):
    """Return a disc in the middle of a shape."""
    rows, columns = np.indices(shape)
    return np.hypot(rows - shape[0] / 2, columns - shape[1] / 2) < radius


@pytest.mark.parametrize(
    "name, image",
    [
        ("grey.png", GREY),
        ("grey_16.png", GREY_16),
        ("colour.png", COLOUR),
        ("colour_16.png", COLOUR_16),
        ("grey.tif", GREY),
        ("grey_16.tiff", GREY_16),
        ("colour_16.tif", COLOUR_16),
        ("floats.tif", FLOATS),
        ("grey.dcm", GREY),
        ("grey_16.dcm", GREY_16),
        ("CAPITALS.PNG", GREY),
        ("of the eye, größer.png", COLOUR),
    ],
)
def test_values_and_bit_depth_are_those_of_the_file(tmp_path, name, image):
    read = read_photograph(write(tmp_path / name, image))
    assert read.dtype == image.dtype
    assert np.array_equal(read, image)


@pytest.mark.parametrize("colour", [COLOUR, COLOUR_16])
def test_transparency_of_a_colour_image_is_dropped(tmp_path, colour):
    rgba = np.dstack([colour, GREY.astype(colour.dtype)])
    read = read_photograph(write(tmp_path / "rgba.png", rgba))
    assert read.dtype == colour.dtype
    assert np.array_equal(read, colour)


def test_transparency_of_a_grey_image_is_dropped(tmp_path):
    read = read_photograph(write(tmp_path / "grey_alpha.png", np.dstack([GREY, GREY[::-1]])))
    assert read.dtype == np.uint8
    assert np.array_equal(read, GREY)


@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 3)])
def test_a_jpeg_is_read_as_grey_or_colour(tmp_path, shape):
    smooth = np.linspace(0, 255, 40 * 60).reshape(40, 60).round().astype(np.uint8)
    image = smooth if len(shape) == 2 else np.dstack([smooth, smooth, smooth[::-1]])
    read = read_photograph(write(tmp_path / "a.jpg", image))
    assert read.dtype == np.uint8 and read.shape == shape
    assert np.abs(read.astype(int) - image).mean() < 8


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_dicom_file_where_zero_is_white_is_inverted(tmp_path, bits):
    stored = (GREY_16 >> (16 - bits)).astype(np.uint8 if bits == 8 else np.uint16)
    path = write_dicom(tmp_path / "white.dcm", stored, kind="MONOCHROME1", bits=bits)
    read = read_photograph(path)
    assert read.dtype == stored.dtype
    full = np.iinfo(read.dtype).max  # white, whatever the bits that are stored
    assert np.array_equal(read, np.rint((2**bits - 1 - stored) * (full / (2**bits - 1))))


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
@pytest.mark.parametrize(
    "name, image",
    [
        ("a.png", GREY),
        ("a16.png", COLOUR_16),
        ("grey_alpha.png", np.dstack([GREY, GREY])),
        ("a.jpg", COLOUR),
        ("a.tif", GREY_16),
        ("floats.tif", FLOATS),
        ("a.dcm", GREY_16),
    ],
)
def test_a_file_that_is_cut_short_is_refused(tmp_path, name, image, share):
    path = write(tmp_path / name, image)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UnusableImageError, match=rf"{name}.*cut short"):
        read_photograph(path)


@pytest.mark.parametrize("length", [160, 330, 500])
def test_a_dicom_file_that_ends_before_its_pixels_is_refused(tmp_path, length):
    path = write_dicom(tmp_path / "a.dcm", GREY_16)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UnusableImageError, match="a.dcm.*cut short"):
        read_photograph(path)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".dcm"])
@pytest.mark.parametrize("content", ["", "no photograph, but a few words\n" * 20])
def test_text_and_emptiness_are_no_image(tmp_path, suffix, content):
    path = tmp_path / f"words{suffix}"
    path.write_text(content)
    with pytest.raises(UnusableImageError, match=rf"words\{suffix}.*not an image"):
        read_photograph(path)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".dcm"])
def test_a_file_that_is_not_there_is_called_missing(tmp_path, suffix):
    with pytest.raises(UnusableImageError, match=rf"gone\{suffix}.*missing"):
        read_photograph(tmp_path / f"gone{suffix}")


def test_another_type_of_file_is_refused(tmp_path):
    with pytest.raises(UnusableImageError, match=r"notes\.txt.*'\.txt'.*\.png"):
        read_photograph(tmp_path / "notes.txt")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_tiff_with_nan_or_infinity_in_it_is_refused(tmp_path, bad):
    image = FLOATS.copy()
    image[3, 4] = bad
    with pytest.raises(UnusableImageError, match="a.tif.*NaN or infinite"):
        read_photograph(write(tmp_path / "a.tif", image))


def test_several_frames_are_not_one_photograph(tmp_path):
    stack = np.stack([GREY] * 5)
    dicom = write_dicom(tmp_path / "frames.dcm", stack, frames=5)
    pages = [Image.fromarray(frame) for frame in stack]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    for path in (dicom, tmp_path / "pages.tif"):
        with pytest.raises(UnusableImageError, match=rf"{path.name}.*not one photograph"):
            read_photograph(path)


@pytest.mark.parametrize("image", [GREY, COLOUR, GREY_16, COLOUR_16, FLOATS])
def test_a_saved_photograph_is_read_back_as_it_was(tmp_path, image):
    path = save_photograph(image, tmp_path / "a.b_2019-05-28_L")
    assert path.name == f"a.b_2019-05-28_L{'.tif' if image is FLOATS else '.png'}"
    read = read_photograph(path)
    assert read.dtype == image.dtype and np.array_equal(read, image)
    assert list(tmp_path.iterdir()) == [path]


def test_green_is_the_second_channel():
    green = single_channel(COLOUR, "green")
    assert green.dtype == np.float32
    assert np.allclose(green, COLOUR[..., 1] / 255)


def test_grey_weighs_red_green_and_blue_as_the_eye_does():
    grey = single_channel(COLOUR, "grey")
    assert grey.dtype == np.float32
    assert np.allclose(grey, COLOUR @ [0.2125, 0.7154, 0.0721] / 255, atol=1e-6)


@pytest.mark.parametrize("channel", ["green", "grey"])
def test_an_image_of_one_channel_is_left_as_it_is(channel):
    assert np.array_equal(single_channel(FLOATS, channel), FLOATS)
    assert np.allclose(single_channel(GREY_16, channel), GREY_16 / 65535)


def test_another_channel_is_refused():
    with pytest.raises(ValueError, match="'red'.*green.*grey"):
        single_channel(COLOUR, "red")


def test_integers_are_scaled_by_the_bits_they_use_and_not_by_their_extremes():
    assert to_unit_range(np.array([0, 51], np.uint8)).tolist() == pytest.approx([0, 0.2])
    for white in (1023, 4095, 16383, 65535):
        some = np.array([0, white // 3, round(white * 0.8)], np.uint16)
        assert to_unit_range(some).tolist() == pytest.approx([0, 1 / 3, 0.8], abs=1e-3)
    assert to_unit_range(np.array([False, True])).tolist() == [0, 1]


@pytest.mark.parametrize("value", [-0.1, 255.0])
def test_floats_beyond_zero_and_one_have_a_range_of_their_own(value):
    scaled = to_unit_range(np.array([[0.5, value]]))
    expected = [[1, 0]] if value < 0 else [[0.5 / 255, 1]]
    assert scaled.dtype == np.float32 and np.allclose(scaled, expected)


@pytest.mark.parametrize("factor", [0.5, 0.4, 1.5])
def test_a_dot_moves_in_a_resized_image_as_rescale_points_says(factor):
    dot = np.array([61.0, 38.0])
    rows, columns = np.indices((80, 100))
    image = np.exp(-(np.hypot(columns - dot[0], rows - dot[1]) ** 2) / 18).astype(np.float32)
    resized = resize(image, round(100 * factor))
    assert resized.shape == (round(80 * factor), round(100 * factor))
    rows, columns = np.indices(resized.shape)
    seen = np.array([(columns * resized).sum(), (rows * resized).sum()]) / resized.sum()
    assert np.abs(seen - transforms.rescale_points(dot, factor)).max() < 0.1


def test_resize_leaves_alone_what_has_the_size():
    assert resize(FLOATS, None) is FLOATS and resize(FLOATS, 60) is FLOATS
    assert resize(COLOUR, 30).shape == (20, 30, 3)
    with pytest.raises(ValueError, match="size 8 px"):
        resize(FLOATS, 8)


@pytest.mark.parametrize("brightness", [0.5, 0.045])  # 12 bits in a 16-bit file are that dim
def test_the_field_of_view_is_the_disc_and_not_the_noise_around_it(brightness):
    view = disc((240, 300), 100)
    light = brightness * RNG.uniform(0.7, 1.3, view.shape)
    noise = 0.02 * brightness * RNG.random(view.shape)
    found = field_of_view(np.where(view, light, noise).astype(np.float32))
    assert found.dtype == bool
    # All but a ring of two pixels is right.
    assert found[disc(view.shape, 98)].all() and not found[~disc(view.shape, 102)].any()


def test_black_pixels_and_a_dark_lesion_inside_stay_inside():
    view = disc((240, 240), 100)
    image = np.where(view, 0.5, 0).astype(np.float32)
    image[100:150, 90:140] = 0
    image[60, 120] = 0
    found = field_of_view(image)
    assert found[100:150, 90:140].all() and found[60, 120]


def test_a_bright_speck_in_the_surround_is_no_field_of_view():
    image = np.where(disc((240, 240), 80), 0.5, 0).astype(np.float32)
    image[5:12, 5:12] = 1
    assert not field_of_view(image)[:20, :20].any()


def test_a_black_image_has_no_field_of_view():
    found = field_of_view(np.full((100, 120), 0.004, np.float32))
    assert found.shape == (100, 120) and not found.any()


def test_without_a_surround_everything_is_in_view():
    image = RNG.uniform(0.3, 0.6, (100, 120)).astype(np.float32)
    assert field_of_view(image).mean() > 0.99


def test_two_illuminations_of_one_retina_become_alike(retina):
    mask = field_of_view(retina)
    ramp = np.linspace(0.2, 1, retina.shape[1], dtype=np.float32)
    other = retina * ramp
    even, other_even = normalise_illumination(retina, mask), normalise_illumination(other, mask)
    before = np.corrcoef(retina[mask], other[mask])[0, 1]
    after = np.corrcoef(even[mask], other_even[mask])[0, 1]
    assert after > 0.97 and before < 0.8
    assert even.dtype == np.float32 and even.min() >= 0 and even.max() <= 1


def test_vessels_stay_darker_than_what_is_around_them(retina):
    mask = field_of_view(retina, erosion=0.05)
    detail = retina - cv2.GaussianBlur(retina, (0, 0), 5)
    even = normalise_illumination(retina)
    assert np.corrcoef(detail[mask], even[mask])[0, 1] > 0.7


def test_nothing_is_left_outside_the_mask(retina):
    mask = disc(retina.shape, 60)
    assert (normalise_illumination(retina, mask)[~mask] == 0.5).all()


def test_what_lies_outside_the_mask_does_not_bleed_in(retina):
    mask = disc(retina.shape, 60)
    painted = np.where(mask, retina, 1).astype(np.float32)
    assert np.array_equal(
        normalise_illumination(painted, mask), normalise_illumination(retina, mask)
    )


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_the_noise_of_a_constant_image_is_not_blown_up(value):
    mask = disc((64, 64), 25)
    even = normalise_illumination(np.full((64, 64), value, np.float32), mask)
    assert np.abs(even - 0.5).max() < 1 / 6  # one standard deviation
    assert (normalise_illumination(np.zeros((64, 64), np.float32)) == 0.5).all()


@pytest.mark.parametrize("size", [100, 200])
def test_the_rim_taken_off_is_a_share_of_the_longer_side(size):
    mask = np.ones((size // 2, size), bool)
    rim = size // 10
    eroded = erode(mask, 0.1)
    assert eroded[rim:-rim, rim:-rim].all()
    assert eroded.sum() == (size // 2 - 2 * rim) * (size - 2 * rim)


def test_holes_grow_when_the_rim_is_taken_off():
    mask = np.ones((100, 100), bool)
    mask[50, 50] = False
    hole = ~erode(mask, 0.05)[20:80, 20:80]
    assert hole.sum() == pytest.approx(np.pi * 5**2, rel=0.1)
    assert np.array_equal(erode(mask, 0), mask)
