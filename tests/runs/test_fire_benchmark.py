"""Methods measured on pairs laid out as FIRE lays them out: resumed, and told apart."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from skimage.io import imsave

from fundus_helpers.loading.fire import load_pair, read_pairs
from fundus_helpers.loading.pair_table import read_any_pairs
from fundus_helpers.loading.values import resize
from fundus_helpers.runs import fire_benchmark
from fundus_helpers.runs.fire_benchmark import COLUMNS, run_benchmark, tabulate
from fundus_helpers.transforms.transform import rescale_points

POINTS = [(80, 90), (130, 100), (120, 150), (100, 130), (150, 120)]
SHIFT = 12, -7


@pytest.fixture(scope="module")
def folder(tmp_path_factory, retina, retina_again):
    """Return a folder with a pair that is shifted, and one whose moving photograph is black."""
    folder = tmp_path_factory.mktemp("fire")
    (folder / "Images").mkdir()
    (folder / "Ground Truth").mkdir()
    shifted = retina_again(np.array([[1, 0, SHIFT[0]], [0, 1, SHIFT[1]]]))
    lines = [f"{x} {y} {x + SHIFT[0]} {y + SHIFT[1]}" for x, y in POINTS]
    for name, moving in (("S01", shifted), ("P01", np.zeros_like(retina))):
        for side, image in enumerate((retina, moving), 1):
            photograph = np.uint8(np.round(image * 255))
            path = folder / "Images" / f"{name}_{side}.jpg"
            imsave(path, np.dstack([photograph] * 3), quality=95, check_contrast=False)
        truth = folder / "Ground Truth" / f"control_points_{name}_1_2.txt"
        truth.write_text("\n".join(lines) + "\n")
    return folder


def test_a_pair_is_measured_in_its_own_pixels_and_one_that_fails_is_told(folder, tmp_path):
    table = run_benchmark(
        read_pairs(folder), ["similarity"], tmp_path / "out.csv", size=128, jobs=1
    )
    rows = table.set_index("pair")
    assert rows.loc["S01", "landmark_error_px"] < 1 and rows.loc["S01", "verdict"] == "accepted"
    assert rows.loc["S01", "landmark_error_px"] <= rows.loc["S01", "worst_landmark_error_px"] < 2
    assert rows.loc["P01", "landmark_error_px"] == np.inf and rows.loc["P01", "verdict"] == "failed"
    assert tabulate(table).loc["similarity", ["pairs", "failed"]].tolist() == [2, 1]


def test_the_pair_with_wrong_landmarks_counts_only_in_columns_of_its_own():
    rows = [("S01", "S", 1.0), ("P01", "P", 3.0), ("P37", "P", 20.0), ("A01", "A", np.inf)]
    table = pd.DataFrame(rows, columns=["pair", "category", "landmark_error_px"])
    table = table.assign(method="affine", seconds=1.0, verdict="accepted")
    row = tabulate(table).loc["affine"]
    assert row["pairs"] == 3 and row["failed"] == row["failed_with_P37"] == 1
    assert row["mean_landmark_error_px"] == 2 and row["mean_with_P37_px"] == 8
    assert "mean_with_P37_px" not in tabulate(table[table["pair"] != "P37"])


def test_what_is_there_is_not_done_again(folder, tmp_path, monkeypatch):
    out = tmp_path / "out.csv"
    first = run_benchmark(read_pairs(folder), ["similarity"], out, size=128, jobs=1)
    out.write_text("\n".join(out.read_text().splitlines()[:2]) + "\n")  # as after a kill
    again = run_benchmark(read_pairs(folder), ["similarity"], out, size=128, jobs=1)
    timeless = [column for column in COLUMNS if column != "seconds"]
    pd.testing.assert_frame_equal(first[timeless], again[timeless])
    monkeypatch.setattr(fire_benchmark, "_run_pair", None)  # nothing is left to run
    pd.testing.assert_frame_equal(
        again, run_benchmark(read_pairs(folder), ["similarity"], out, size=128, jobs=1)
    )


def test_an_unknown_method_and_a_file_of_another_kind_are_named(folder, tmp_path):
    with pytest.raises(ValueError, match="'magic'.*'keypoints'"):
        run_benchmark(read_pairs(folder), ["magic"], tmp_path / "out.csv")
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="other.csv: columns are"):
        run_benchmark(read_pairs(folder), ["affine"], other)


def test_errors_are_in_pixels_of_the_fixed_photograph_when_sizes_differ(folder, retina, tmp_path):
    (pair,) = [pair for pair in read_pairs(folder) if pair.name == "S01"]
    large = np.uint8(np.round(resize(retina, 512) * 255))
    imsave(tmp_path / "fixed.png", large, check_contrast=False)
    points = rescale_points(pair.fixed_points, 2)
    pair = replace(pair, fixed_path=tmp_path / "fixed.png", fixed_points=points)
    images, _, loaded, factor = load_pair(pair, 128)
    assert [image.shape for image in images] == [(128, 128)] * 2 and factor == 4
    assert np.allclose(rescale_points(loaded[0], factor), points)
    row = run_benchmark([pair], ["similarity"], tmp_path / "out.csv", size=128, jobs=1).iloc[0]
    assert 0 < row["landmark_error_px"] < 2 and 0.2 < row["predicted_error_px"] < 4


def test_pairs_of_a_table_are_measured_with_and_without_landmarks(folder, tmp_path):
    for name in ("S01_1", "S01_2"):
        (tmp_path / f"{name}.jpg").write_bytes((folder / "Images" / f"{name}.jpg").read_bytes())
    rows = [f"{x},{y},{x + SHIFT[0]},{y + SHIFT[1]}" for x, y in POINTS]
    points = "\n".join(["x_fixed,y_fixed,x_moving,y_moving", *rows])
    (tmp_path / "points.csv").write_text(points)
    lines = "fixed,moving,landmarks\nS01_1.jpg,S01_2.jpg,points.csv\nS01_2.jpg,S01_1.jpg,\n"
    (tmp_path / "pairs.csv").write_text(lines)
    table = run_benchmark(
        read_any_pairs(tmp_path), ["similarity"], tmp_path / "out.csv", size=128, jobs=1
    )
    errors = table.set_index("pair")["landmark_error_px"]
    assert errors["S01_1 to S01_2"] < 1 and np.isnan(errors["S01_2 to S01_1"])
    summary = tabulate(table).loc["similarity"]
    assert summary[["pairs", "accepted", "without_landmarks"]].tolist() == [1, 2, 1]
    (tmp_path / "pairs.csv").write_text("fixed,moving\nS01_1.jpg,other.jpg\n")
    with pytest.raises(FileNotFoundError, match=r"other\.jpg: missing, but pairs\.csv names it"):
        read_any_pairs(tmp_path)
    (tmp_path / "pairs.csv").write_text("first,second\nS01_1.jpg,S01_2.jpg\n")
    with pytest.raises(ValueError, match="the columns 'fixed' and 'moving' are needed"):
        read_any_pairs(tmp_path)
