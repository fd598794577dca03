"""A visit is excluded and taken back; landmarks that were placed twice tell their distance."""

import pandas as pd
import pytest

from fundus_helpers.loading.eye_error import EyeError
from fundus_helpers.loading.tables import exclude, read_exclusions, readmit, tell_landmarks
from fundus_helpers.loading.tables.landmarks import LANDMARK_COLUMNS

FILES = ["a.png", "b.png"]


def test_a_visit_is_excluded_and_taken_back_and_other_rows_stay(tmp_path):
    path = tmp_path / "excluded.csv"
    path.write_text("file;reason\nB;another camera\n")
    exclude(tmp_path, FILES, "a.png", "a blink, again")
    assert read_exclusions(tmp_path, FILES)[0] == {
        "a.png": "excluded: a blink, again",
        "b.png": "excluded: another camera",
    }
    exclude(tmp_path, FILES, "a.png", "too dark")
    assert read_exclusions(tmp_path, FILES)[0]["a.png"] == "excluded: too dark"
    readmit(tmp_path, FILES, "a.png")
    assert read_exclusions(tmp_path, FILES)[0] == {"b.png": "excluded: another camera"}
    with pytest.raises(ValueError, match="with a reason"):
        exclude(tmp_path, FILES, "a.png", " ")
    path.write_text("name\na\n")
    with pytest.raises(EyeError, match="needed"):
        exclude(tmp_path, FILES, "a.png", "blurred")
    assert path.read_text() == "name\na\n"


def test_points_of_unknown_people_and_points_for_registering_are_counted_apart(tmp_path):
    rows = [["a.png", "b.png", 10.0 * i, 9.0, 12.0, 12.0] for i in range(4)]
    people = dict(placed_by=["", "HS", "AB", "HS"], use=["judging"] * 3 + ["registering"])
    table = pd.DataFrame(rows, columns=LANDMARK_COLUMNS).assign(**people)
    assert tell_landmarks(tmp_path, FILES, table) == (
        "landmarks.csv: 3 points for judging, of which 1 placed by AB, 1 placed by HS; 1 point "
        "for registering"
    )


def test_landmarks_placed_twice_tell_how_far_they_are_apart(tmp_path):
    rows = [["a.png", "b.png", 10.0, 10.0, 12.0, 12.0], ["a.png", "b.png", 90.0, 50.0, 93.0, 50.0]]
    first = pd.DataFrame(rows, columns=LANDMARK_COLUMNS).assign(placed_by="HS")
    assert "placed twice" not in tell_landmarks(tmp_path, FILES, first)
    again = first.assign(moving_x=first["moving_x"] + 2, fixed_x=first["fixed_x"] - 1)
    again.to_csv(tmp_path / "landmarks_2.csv", index=False)
    assert tell_landmarks(tmp_path, FILES, first) == (
        "landmarks.csv: 2 points for judging, placed by HS; 2 were placed twice and differ by "
        "3.0 px on average"
    )
