"""Points placed by hand are written whole, read back, and exchanged with other programs."""

import json

import numpy as np
import pandas as pd
import pytest

from fundus_helpers.loading.eye_error import EyeError
from fundus_helpers.loading.tables import (
    PlacedPoint,
    pair_points,
    points_for,
    points_of,
    read_landmarks,
    read_points,
    save_points,
    write_points,
)
from fundus_helpers.loading.tables.landmarks import LANDMARK_COLUMNS, LANDMARKS_FILE

FILES = ["a.png", "b.png", "c.png"]
THREE = [
    PlacedPoint(10, 20, 12, 19, "registering", "HS"),
    PlacedPoint(30.5, 40, 33, 41, "judging", "HS"),
    PlacedPoint(50, 60, 51, 62, "registering", "HS", snapped=True),
]
HEADER = "fixed_file,moving_file,fixed_x,fixed_y,moving_x,moving_y"


def read(folder):
    return read_landmarks(folder / "landmarks.csv", FILES, dict.fromkeys(FILES, (100, 100)))


def test_what_is_saved_is_read_back_in_either_order(tmp_path):
    save_points(tmp_path, FILES, "a.png", "b.png", THREE)
    table, left_out = read(tmp_path)
    assert left_out == []
    assert points_of(table, "a.png", "b.png") == THREE
    assert points_of(table, "b.png", "a.png") == [point.exchanged() for point in THREE]
    assert points_of(table, "a.png", "c.png") == []


def test_a_point_is_for_judging_or_for_registering_and_counts_once_confirmed(tmp_path):
    save_points(tmp_path, FILES, "a.png", "b.png", THREE)
    table, _ = read(tmp_path)
    assert points_for(table, "registering")["fixed_x"].tolist() == [10]
    assert points_for(table, "judging")["fixed_x"].tolist() == [30.5]
    (tmp_path / "landmarks.csv").write_text(f"{HEADER}\na.png,b.png,1,2,3,4\n")
    table, _ = read(tmp_path)
    assert len(points_for(table, "judging")) == 1 and not len(points_for(table, "registering"))


def test_other_rows_columns_and_unreadable_rows_stay_and_a_backup_is_kept(tmp_path):
    path = tmp_path / "landmarks.csv"
    before = (
        "fixed_file;moving_file;fixed_x;fixed_y;moving_x;moving_y;comment\n"
        "A;b.png;1,5;2;3;4;vein\nb.png;c.png;5,25;6;7;8;artery\na.png;b.png;;2;3;4;unfinished\n"
        "gone.png;b.png;1;2;3;4;renamed\n"
    )
    path.write_text(before)
    save_points(tmp_path, FILES, "b.png", "a.png", THREE)
    table, left_out = read(tmp_path)
    assert points_of(table, "b.png", "a.png") == THREE
    assert points_of(table, "b.png", "c.png") == [PlacedPoint(5.25, 6, 7, 8, "judging")]
    assert "unfinished" in path.read_text() and "gone.png" in path.read_text()
    assert len(left_out) == 2
    assert (tmp_path / "landmarks.csv.bak").read_text() == before
    save_points(tmp_path, FILES, "a.png", "b.png", [])
    assert points_of(read(tmp_path)[0], "a.png", "b.png") == []


def test_a_table_that_cannot_be_understood_is_named_and_stays(tmp_path):
    path = tmp_path / "landmarks.csv"
    path.write_text("x,y\n1,2\n")
    with pytest.raises(EyeError, match="landmarks.csv: columns are .*move the file away"):
        save_points(tmp_path, FILES, "a.png", "b.png", THREE)
    assert path.read_text() == "x,y\n1,2\n"


def test_points_that_cannot_be_right_are_named(tmp_path):
    rows = [
        "a.png,b.png,1,2,3,4,registering,no",
        "a.png,b.png,1,2,3,4,registering,no",
        "a.png,b.png,1,2,300,4,registering,no",
        "a.png,x.png,1,2,3,4,registering,no",
        "a.png,b.png,5,2,3,4,guessing,no",
        "a.png,b.png,6,2,3,4,for judging only,perhaps",
    ]
    (tmp_path / "landmarks.csv").write_text("\n".join([f"{HEADER},use,snapped", *rows]) + "\n")
    table, left_out = read(tmp_path)
    assert len(table) == 1
    told = "; ".join(left_out)
    for words in (
        "row 3 is left out, because the same point is there already",
        "row 4 is left out, because a point lies outside",
        "row 5 is left out, because there is no photograph 'x.png'",
        "row 6 is left out, because use is neither 'judging' nor 'registering'",
        "row 7 is left out, because snapped is neither 'yes' nor 'no'",
    ):
        assert words in told


@pytest.mark.parametrize("ending", [".fcsv", ".mrk.json", ".csv"])
def test_points_written_for_another_program_come_back(tmp_path, ending):
    points, others = np.array([[1.5, 2], [3, 4]]), np.array([[5, 6], [7, 8.25]])
    path = write_points(tmp_path / f"points{ending}", points, others)
    _, found, found_others = read_points(path)
    assert np.array_equal(found, points)
    assert (found_others is None) == (ending != ".csv")
    if ending == ".csv":
        assert np.array_equal(found_others, others)
        assert np.array_equal(pair_points(path), np.hstack([others, points]))


def test_files_of_slicer_in_either_direction_of_its_axes_give_the_same_pixels(tmp_path):
    fcsv = tmp_path / "a.fcsv"
    fcsv.write_text(
        "# Markups fiducial file version = 4.10\n# CoordinateSystem = 0\n"
        "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
        "vtkMRMLMarkupsFiducialNode_0,-120.5,-80,0,0,0,0,1,1,1,0,F-1,,\n"
    )
    assert read_points(fcsv)[1].tolist() == [[120.5, 80]]
    markup = {"coordinateSystem": "RAS", "type": "Fiducial"}
    markup["controlPoints"] = [
        {"label": "F-1", "position": [-120.5, -80, 0], "positionStatus": "defined"},
        {"label": "F-2", "position": [0, 0, 0], "positionStatus": "undefined"},
    ]
    file = tmp_path / "a.mrk.json"
    file.write_text(json.dumps({"markups": [markup]}))
    assert read_points(file)[1].tolist() == [[120.5, 80]]


def test_points_of_two_files_are_paired_by_name_and_odd_files_are_named(tmp_path):
    first = write_points(tmp_path / "first.fcsv", [[1, 2], [3, 4]])
    second = write_points(tmp_path / "second.fcsv", [[5, 6], [7, 8]])
    swapped = second.read_text().replace("P-1", "P-x").replace("P-2", "P-1").replace("P-x", "P-2")
    second.write_text(swapped)
    assert pair_points(first, second).tolist() == [[1, 2, 7, 8], [3, 4, 5, 6]]
    three = write_points(tmp_path / "three.fcsv", [[1, 2], [3, 4], [5, 6]])
    with pytest.raises(EyeError, match=r"first.fcsv and three.fcsv: 2 and 3 points"):
        pair_points(first, three)
    twice = write_points(tmp_path / "twice.fcsv", [[1, 2], [1, 2]])
    with pytest.raises(EyeError, match=r"twice.fcsv: the same point is there twice"):
        read_points(twice)
    bad = tmp_path / "bad.mrk.json"
    bad.write_text('{"markups": []}')
    with pytest.raises(EyeError, match=r"bad.mrk.json: holds no points of 3D Slicer"):
        read_points(bad)
    with pytest.raises(EyeError, match=r"notes.txt: ends with none of"):
        read_points(tmp_path / "notes.txt")


FIVE = np.array([[100, 120], [600, 130], [350, 640], [180, 480], [520, 400.0]])


def table_of(folder, fixed, moving):
    path = folder / LANDMARKS_FILE
    rows = np.hstack([fixed, moving])
    table = pd.DataFrame(rows, columns=LANDMARK_COLUMNS[2:])
    table.insert(0, "fixed_file", "a.png")
    table.insert(1, "moving_file", "b.png")
    table.to_csv(path, index=False)
    return read_landmarks(path, ["a.png", "b.png"])


def test_points_in_the_wrong_order_are_named_and_left_out(tmp_path):
    off = np.random.default_rng(0).normal(0, 3, FIVE.shape)
    moving = FIVE @ np.array([[1.0, 0.1], [-0.1, 1.0]]) + (60, -40) + off
    table, told = table_of(tmp_path, FIVE, moving)
    assert len(table) == 5 and told == []
    table, told = table_of(tmp_path, FIVE, moving[[0, 3, 2, 1, 4]])
    assert len(table) == 3
    assert told == [
        "landmarks.csv: 2 rows (3, 5) are left out, because their moving points seem to be "
        "exchanged with each other"
    ]
    fixed, swapped = FIVE.copy(), moving.copy()
    fixed[1], swapped[1] = moving[1], FIVE[1]
    table, told = table_of(tmp_path, fixed, swapped)
    assert len(table) == 4
    assert told == [
        "landmarks.csv: row 3 is left out, because its fixed and its moving point seem to be "
        "exchanged"
    ]
