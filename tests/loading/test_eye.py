"""An eye is loaded with all its visits that can be used; the others keep their reasons."""

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from PIL import Image

from fundus_helpers.loading.demo_eye import read_truth, true_points
from fundus_helpers.loading.eye import LANDMARK_COLUMNS, load_eye
from fundus_helpers.loading.light import field_of_view
from fundus_helpers.loading.visits import EyeError

ROWS, COLUMNS = np.indices((60, 80))
INSIDE = np.hypot(ROWS - 30, COLUMNS - 40) < 28
GREY = np.where(INSIDE, 120 + 60 * np.sin(COLUMNS / 5) * np.sin(ROWS / 4), 0).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Return a patient's folder with two grey photographs of 80 x 60 pixels."""
    made = tmp_path / "p"
    made.mkdir()
    for year in (2019, 2020):
        write(made / f"a_{year}-01-01_L.png", GREY)
    return made


def write(path, image):
    """Write an image with a corner of its own: of two files with the same content one is used."""
    image = image.copy()
    image[-1, -1] = sum(path.name.encode()) % 5
    Image.fromarray(image).save(path)


def reasons(eye):
    """Return why each file was left out."""
    return dict(eye.visits.loc[~eye.visits["used"], ["file", "reason"]].to_numpy().tolist())


def write_landmarks(folder, *rows):
    """Write landmarks.csv."""
    pd.DataFrame(rows, columns=LANDMARK_COLUMNS).to_csv(folder / "landmarks.csv", index=False)


def test_the_demo_eye_loads_without_the_excluded_visit(eye):
    assert len(eye.names) == 13 and eye.images.shape == (13, 192, 192)
    assert reasons(eye) == {
        "demo_colour_2020-02-03_L.png": "excluded: another camera, three quarters of the size"
    }
    assert eye.images.dtype == np.float32 and eye.masks.dtype == bool
    assert eye.used["date"].is_monotonic_increasing


def test_masks_are_the_fields_of_view(eye):
    assert np.array_equal(eye.masks[3], field_of_view(eye.images[3]))
    assert 0.5 < eye.masks.mean() < 0.8  # a disc


def test_images_are_the_green_channel_and_photographs_are_as_on_disk(eye):
    photograph = eye.photograph(2)
    assert photograph.shape == (192, 192, 3) and photograph.dtype == np.uint8
    assert np.allclose(eye.images[2], photograph[..., 1] / 255)


def test_larger_photographs_are_shrunk_and_smaller_ones_are_left(folder):
    small = load_eye(folder.parent, "p", "L", size=40)
    assert small.images.shape == (2, 30, 40) and small.full_factor == 2
    assert small.full_shape == (60, 80)
    assert small.used["width"].tolist() == [80, 80] and small.used["height"].tolist() == [60, 60]
    for size in (80, 768, None):
        same = load_eye(folder.parent, "p", "L", size=size)
        assert same.images.shape == (2, 60, 80) and same.full_factor == 1


def test_a_photograph_that_cannot_be_used_is_left_out_with_its_reason(folder):
    speck = np.where(np.hypot(ROWS - 30, COLUMNS - 40) < 6, GREY, 0)
    write(folder / "speck_2021-01-01_L.png", speck)
    write(folder / "black_2021-01-01_L.png", GREY // 100)
    write(folder / "white_2021-01-01_L.png", np.where(INSIDE, 255, 0).astype(np.uint8))
    content = (folder / "a_2019-01-01_L.png").read_bytes()
    (folder / "cut_2021-01-01_L.png").write_bytes(content[: len(content) // 2])
    eye = load_eye(folder.parent, "p", "L")
    assert eye.names == ["a_2019-01-01_L", "a_2020-01-01_L"]
    found = reasons(eye)
    for name in ("speck", "black"):
        assert "too dark, no vessels can be seen; retake it" in found[f"{name}_2021-01-01_L.png"]
    assert "over-exposed" in found["white_2021-01-01_L.png"]
    assert found["cut_2021-01-01_L.png"].startswith("cannot be read (damaged, cut short")
    assert len(found) == 4


def test_photographs_of_other_sizes_share_one_canvas(folder):
    Image.fromarray(GREY).resize((160, 120)).save(folder / "large_2021-01-01_L.png")
    Image.fromarray(np.pad(GREY, ((0, 20), (0, 0)))).save(folder / "square_2022-01-01_L.png")
    write_landmarks(
        folder, ("a_2019-01-01_L.png", "large_2021-01-01_L.png", 10.5, 20.5, 21.5, 41.5)
    )
    eye = load_eye(folder.parent, "p", "L", size=None)
    assert eye.images.shape == eye.masks.shape == (4, 160, 160)
    assert eye.full_shape == (60, 80) and eye.full_factor == 0.5
    assert eye.factors == [0.5, 0.5, 1, 0.5]
    assert eye.full_shapes == ((60, 80), (60, 80), (120, 160), (80, 80))
    assert not eye.masks[:3, 120:].any() and not eye.images[:3, 120:].any()
    here, there = eye.landmarks_between(0, 2)  # the same place, in pixels of the common canvas
    assert here.tolist() == [[21.5, 41.5]] and there.tolist() == [[21.5, 41.5]]


def test_twelve_bits_of_sixteen_are_told_and_as_bright_as_in_other_files(folder):
    for year, brightest in ((2021, 4095), (2022, 2900)):
        values = np.round(GREY / GREY.max() * brightest).astype(np.uint16)
        sitk.WriteImage(sitk.GetImageFromArray(values), str(folder / f"a_{year}-01-01_L.tif"))
    eye = load_eye(folder.parent, "p", "L")
    assert eye.remarks == ("photographs of the type uint16: 12 bits of 16: values up to 4095",)
    assert eye.images[2].max() == 1 and abs(eye.images[3].max() - 2900 / 4095) < 1e-6
    assert eye.photograph(2).max() == 65535 and eye.photograph(2).dtype == np.uint16


def test_landmarks_that_cannot_be_right_are_told_and_left_out(folder):
    files = "a_2019-01-01_L.png", "a_2020-01-01_L.png"
    write_landmarks(
        folder, (*files, 10, 20, 12, 23), (*files, 10, 200, 12, 23), (*files, 1, 2, 3, None)
    )
    eye = load_eye(folder.parent, "p", "L")
    assert eye.landmarks_between(0, 1)[0].tolist() == [[10, 20]]
    assert len(eye.remarks) == 2 and all("landmarks.csv" in told for told in eye.remarks)


def test_a_dicom_file_cut_in_its_header_does_not_stop_the_others(folder):
    header = b"\0" * 128 + b"DICM" + b"\x02\0\0\0UL\x04\0\0\0\0\0"
    (folder / "cut_2021-01-01_L.dcm").write_bytes(header)
    eye = load_eye(folder.parent, "p", "L")
    assert "cut short" in reasons(eye)["cut_2021-01-01_L.dcm"]


def test_one_usable_photograph_is_not_enough_and_the_reasons_are_told(folder):
    (folder / "a_2020-01-01_L.png").write_text("no image")
    with pytest.raises(EyeError, match=r"p L: 1 usable(.|\n)*a_2020-01-01_L.png: cannot be read"):
        load_eye(folder.parent, "p", "L")


def test_no_usable_photograph_and_no_file_at_all(folder):
    for year in (2019, 2020):
        write(folder / f"a_{year}-01-01_L.png", 0 * GREY)
    with pytest.raises(
        EyeError, match=r"p L: 0 usable(.|\n)*almost completely black(.|\n)*almost completely black"
    ):
        load_eye(folder.parent, "p", "L")
    with pytest.raises(EyeError, match="p R: 0 usable photographs, 2 are needed"):
        load_eye(folder.parent, "p", "R")


def test_bit_depths_and_transparency_may_mix_in_one_series(folder):
    rgba = np.dstack([0 * GREY, GREY, 0 * GREY, np.full_like(GREY, 255)])
    Image.fromarray(rgba).save(folder / "a_2021-01-01_L.png")
    sixteen = sitk.GetImageFromArray(GREY.astype(np.uint16) * 257)
    sitk.WriteImage(sixteen, str(folder / "a_2022-01-01_L.tif"))
    eye = load_eye(folder.parent, "p", "L")
    assert len(eye.names) == 4
    assert np.abs(eye.images - eye.images[0])[eye.masks].max() < 1e-6


def test_landmarks_are_known_in_both_directions(folder):
    first, second = "a_2019-01-01_L.png", "a_2020-01-01_L.png"
    write_landmarks(folder, (first, second, 10, 20, 12, 23), (second, first, 31, 41, 30, 40))
    eye = load_eye(folder.parent, "p", "L")
    here, there = eye.landmarks_between(0, 1)
    assert here.tolist() == [[10, 20], [30, 40]] and there.tolist() == [[12, 23], [31, 41]]
    back_here, back_there = eye.landmarks_between(1, 0)
    assert sorted(back_here.tolist()) == [[12, 23], [31, 41]]
    assert sorted(back_there.tolist()) == [[10, 20], [30, 40]]


def test_landmarks_shrink_with_the_images(folder):
    files = "a_2019-01-01_L.png", "a_2020-01-01_L.png"
    write_landmarks(folder, (*files, 10.5, 20.5, 0.5, 40.5))
    here, there = load_eye(folder.parent, "p", "L", size=40).landmarks_between(0, 1)
    assert here.tolist() == [[5, 10]] and there.tolist() == [[0, 20]]


def test_where_no_landmarks_are_known_there_are_none(folder):
    here, there = load_eye(folder.parent, "p", "L").landmarks_between(0, 1)
    assert here.shape == there.shape == (0, 2)


def test_the_landmarks_of_the_demo_eye_are_its_truth(demo, eye):
    truth = read_truth(demo / "demo_colour")
    files = eye.used["file"]
    for fixed, moving in ((0, 1), (9, 2)):
        here, there = eye.landmarks_between(fixed, moving)
        assert len(here) == 20
        assert np.abs(true_points(truth, files[fixed], files[moving], here) - there).max() < 0.01


def test_landmarks_with_other_columns_are_refused(folder):
    (folder / "landmarks.csv").write_text("x,y\n1,2\n")
    with pytest.raises(EyeError, match=r"landmarks.csv: columns are \['x', 'y'\], needed"):
        load_eye(folder.parent, "p", "L")


def test_visits_are_found_by_name_first_and_last(eye):
    assert eye.index("first") == 0 and eye.index("last") == 12
    assert eye.names[eye.index("demo_colour_2016-08-29_L")] == "demo_colour_2016-08-29_L"
    for left_out_or_unknown in ("demo_colour_2020-02-03_L", "2016"):
        with pytest.raises(EyeError, match=f"no usable visit '{left_out_or_unknown}'.*first, last"):
            eye.index(left_out_or_unknown)
