"""FIRE is read, summarised and laid out as its protocol has it."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fundus_helpers.loading import fire
from fundus_helpers.loading.eye import load_eye

RNG = np.random.default_rng(0)
POINTS = RNG.uniform(10, 50, (3, 4))


def write_image(folder, name, seed):
    """Write a JPEG of noise; the same seed makes the same file."""
    noise = np.random.default_rng(seed).integers(60, 256, (60, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "Images" / f"{name}.jpg")


@pytest.fixture
def made_up(tmp_path):
    """Return a folder like FIRE's: one eye of three photographs, and P37 of another."""
    folder = tmp_path / "fire"
    for name in ("Images", "Ground Truth"):
        (folder / name).mkdir(parents=True)
    photographs = {"S01": (1, 2), "S02": (1, 3), "A01": (2, 3), "P37": (4, 5)}
    for number, (pair, seeds) in enumerate(photographs.items()):
        for side, seed in zip((1, 2), seeds, strict=True):
            write_image(folder, f"{pair}_{side}", seed)
        points = folder / "Ground Truth" / f"control_points_{pair}_1_2.txt"
        np.savetxt(points, POINTS + number, fmt="%.6f")
    (folder / "Ground Truth" / "readme.txt").write_text("not a pair")
    return folder


def test_pairs_are_read_in_order_and_without_the_wrong_one(made_up):
    pairs = fire.read_pairs(made_up)
    assert [(pair.name, pair.category) for pair in pairs] == [
        ("A01", "A"),
        ("S01", "S"),
        ("S02", "S"),
    ]
    assert pairs[1].fixed_path.name == "S01_1.jpg" and pairs[1].moving_path.name == "S01_2.jpg"
    assert np.allclose(pairs[1].fixed_points, POINTS[:, :2])
    assert np.allclose(pairs[1].moving_points, POINTS[:, 2:])


def test_a_missing_photograph_is_named(made_up):
    (made_up / "Images" / "S02_2.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="Images/S02_2.jpg: missing"):
        fire.read_pairs(made_up)


@pytest.mark.parametrize("content", ["", "1 2 3\n4 5 6\n", "1 2 3 four\n", "1 2 3 4\n5 6 7\n"])
@pytest.mark.filterwarnings("ignore:loadtxt")
def test_landmarks_that_are_not_four_numbers_a_line_are_refused(made_up, content):
    (made_up / "Ground Truth" / "control_points_S02_1_2.txt").write_text(content)
    with pytest.raises(ValueError, match="control_points_S02_1_2.txt.*x1 y1 x2 y2"):
        fire.read_pairs(made_up)


def test_a_folder_that_is_not_fire_is_refused(made_up, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder 'Ground Truth'.*data/README.md"):
        fire.read_pairs(tmp_path / "nowhere")
    for path in (made_up / "Ground Truth").glob("control_points*"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match="no file like control_points_S01_1_2.txt"):
        fire.read_pairs(made_up)


@pytest.mark.parametrize(
    "errors, area",
    [
        ([0.0], 1),
        ([1.0], 24 / 25),  # is not smaller than 1
        ([24.9], 1 / 25),
        ([25.0], 0),
        ([np.inf], 0),
        ([np.nan, 0], 1 / 2),
        ([2.5, 10.0, np.inf, 30.0], (23 + 15) / 25 / 4),
    ],
)
def test_the_area_is_that_computed_by_hand(errors, area):
    assert fire.area_under_curve(errors) == pytest.approx(area)
    assert fire.area_under_curve(iter(errors)) == pytest.approx(area)


def test_of_no_pairs_there_is_no_area():
    assert np.isnan(fire.area_under_curve([]))


def test_the_summary_is_that_computed_by_hand():
    results = pd.DataFrame(
        {"category": list("SSPA"), "landmark_error_px": [0.5, 10.5, np.inf, 5.5]},
        index=[4, 5, 6, 7],
    )
    summary = fire.summarise(results)
    assert summary["S"] == pytest.approx((25 + 15) / 50)
    assert summary["P"] == 0 and summary["A"] == pytest.approx(20 / 25)
    assert summary["mAUC"] == pytest.approx((0.8 + 0 + 0.8) / 3)
    assert summary["pooled"] == pytest.approx((25 + 15 + 0 + 20) / 100)
    assert summary["mean_landmark_error_px"] == pytest.approx(5.5)
    assert summary["failed"] == 1 and summary["pairs"] == 4


def test_an_eye_has_every_photograph_once(made_up, tmp_path):
    folder = fire.lay_out_eye(fire.read_pairs(made_up), tmp_path / "data", "fire")
    photographs = sorted(folder.glob("*.jpg"))
    assert [path.name for path in photographs] == [f"fire_200{i}-01-01_L.jpg" for i in (1, 2, 3)]
    assert len({path.read_bytes() for path in photographs}) == 3
    assert len(pd.read_csv(folder / "landmarks.csv")) == 9


def test_laying_an_eye_out_again_changes_nothing(made_up, tmp_path):
    def content(folder):
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    pairs = fire.read_pairs(made_up)
    before = content(fire.lay_out_eye(pairs, tmp_path / "data", "fire"))
    after = content(fire.lay_out_eye(pairs, tmp_path / "data", "fire"))
    assert before == after and len(before) == 4


def test_the_eye_laid_out_loads_with_its_landmarks_scaled(made_up, tmp_path):
    pairs = fire.read_pairs(made_up)[1:]  # S01: photographs 1 and 2, S02: 1 and 3
    fire.lay_out_eye(pairs, tmp_path / "data", "fire", laterality="R")
    eye = load_eye(tmp_path / "data", "fire", "R", size=30)
    assert len(eye.names) == 3 and eye.full_factor == 2
    for moving in (1, 2):
        here, there = eye.landmarks_between(0, moving)
        assert np.allclose(here, (POINTS[:, :2] + moving - 1 + 0.5) / 2 - 0.5, atol=1e-5)
        assert np.allclose(there, (POINTS[:, 2:] + moving - 1 + 0.5) / 2 - 0.5, atol=1e-5)
    assert len(eye.landmarks_between(1, 2)[0]) == 0


def test_a_cohort_has_a_patient_for_every_eye(made_up, tmp_path):
    (made_up / "Ground Truth" / "control_points_P37_1_2.txt").rename(
        made_up / "Ground Truth" / "control_points_P38_1_2.txt"
    )
    for side in (1, 2):
        (made_up / "Images" / f"P37_{side}.jpg").rename(made_up / "Images" / f"P38_{side}.jpg")
    folders = fire.lay_out_cohort(fire.read_pairs(made_up), tmp_path / "data")
    assert [folder.name for folder in folders] == ["fire_A01", "fire_P38"]
    assert [len(list(folder.glob("*.jpg"))) for folder in folders] == [3, 2]
    assert [len(pd.read_csv(folder / "landmarks.csv")) for folder in folders] == [9, 3]


def test_the_real_dataset_is_read(fire_folder):
    pairs = fire.read_pairs(fire_folder)
    names = [pair.name for pair in pairs]
    assert len(pairs) >= 50 and names == sorted(set(names)) and "P37" not in names
    for pair in pairs:
        assert len(pair.fixed_points) >= 10
        with Image.open(pair.fixed_path) as image:
            assert image.size == (2912, 2912)
        for points in (pair.fixed_points, pair.moving_points):
            assert points.min() > 0 and points.max() < 2912


def test_one_eye_of_the_real_dataset_has_nine_photographs(fire_data):
    photographs = list((fire_data / "fire").glob("*.jpg"))
    landmarks = pd.read_csv(fire_data / "fire" / "landmarks.csv")
    pairs = landmarks.groupby(["fixed_file", "moving_file"]).ngroups
    assert len(photographs) == 9 and pairs == 9 * 8 / 2
