"""Landmarks are read as spreadsheets write them, and rows that cannot be right are named."""

import numpy as np
import pandas as pd
import pytest

from fundus_helpers.loading.eye_error import EyeError
from fundus_helpers.loading.tables.landmarks import LANDMARK_COLUMNS, read_landmarks

FILES = ["a_2019-01-01_L.png", "b_2020-01-01_L.png"]
HEAD = ",".join(LANDMARK_COLUMNS)
GOOD = f"{FILES[0]},{FILES[1]},10.5,20.25,12,23"


@pytest.fixture
def table(tmp_path):
    """Return a function that writes landmarks.csv and reads it."""

    def read(*lines, encoding="utf-8", **settings):
        path = tmp_path / "landmarks.csv"
        path.write_text("\n".join([*lines, ""]), encoding=encoding)
        return read_landmarks(path, FILES, **settings)

    return read


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("decimal", [".", ","])
def test_every_form_of_a_spreadsheet_gives_the_same_numbers(table, encoding, delimiter, decimal):
    cells = GOOD.split(",")
    cells[2:] = [cell.replace(".", decimal) for cell in cells[2:]]
    quoted = [f'"{cell}"' if delimiter in cell else cell for cell in cells]
    lines = [HEAD.replace(",", delimiter), delimiter.join(quoted)]
    landmarks, left_out = table(*lines, encoding=encoding)
    assert landmarks.to_numpy().tolist() == [[*FILES, 10.5, 20.25, 12, 23]] and left_out == []


def test_a_plain_table_gives_the_numbers_of_pandas_to_the_last_digit(table, tmp_path):
    random = np.random.default_rng(0).uniform(0, 3000, (200, 4))
    rows = [",".join([*FILES, *map(repr, map(float, row))]) for row in random]
    landmarks, _ = table(HEAD, *rows)
    plain = pd.read_csv(tmp_path / "landmarks.csv")
    assert np.array_equal(landmarks[LANDMARK_COLUMNS[2:]], plain[LANDMARK_COLUMNS[2:]])


def test_more_columns_are_kept_behind_the_needed_ones_in_any_order(table):
    lines = ["who," + HEAD.upper() + ",sure", "me," + GOOD + ",yes"]
    landmarks, left_out = table(*lines)
    assert [*landmarks] == [*LANDMARK_COLUMNS, "who", "sure"] and left_out == []
    assert landmarks.iloc[0, -2:].tolist() == ["me", "yes"]


@pytest.mark.parametrize(
    "names",
    [
        ("a_2019-01-01_L", "b_2020-01-01_L"),
        ("A_2019-01-01_L.PNG", "B_2020-01-01_l.png"),
        ("C:\\eyes\\007\\a_2019-01-01_L.png", "/home/007/b_2020-01-01_L.png"),
    ],
)
def test_files_are_found_without_ending_with_a_path_and_in_other_capitals(table, names):
    landmarks, left_out = table(HEAD, ",".join([*names, "1", "2", "3", "4"]))
    assert landmarks[["fixed_file", "moving_file"]].to_numpy().tolist() == [FILES]
    assert left_out == []


@pytest.mark.parametrize("cell", ["", "nan", "NaN", "inf", "x", "1.234,5", "-"])
def test_a_cell_that_is_no_number_leaves_its_row_out_and_no_other(table, cell):
    bad = f'{FILES[0]},{FILES[1]},"{cell}",2,3,4'
    landmarks, left_out = table(HEAD, bad, GOOD)
    assert landmarks["fixed_x"].tolist() == [10.5]
    assert left_out == [
        "landmarks.csv: row 2 is left out, because a coordinate is empty or not a number"
    ]


@pytest.mark.parametrize(
    ("delimiter", "x", "y", "read"),
    [
        (";", "1.234,5", "4,5E1", (1234.5, 45)),
        (";", "1 234,5", "1.000", (1234.5, 1000)),
        (";", "1'234.5", "2", (1234.5, 2)),
        (",", "1,234.5", "1,100", (1234.5, 1100)),
        (",", "1.234", "2", (1.234, 2)),
        (";", "1,234", "2", (1.234, 2)),
        ("\t", "1\xa0234", "\N{MINUS SIGN}0,5", (1234, -0.5)),
        (",", '=""12""', "2", (12, 2)),
    ],
)
def test_marks_of_thousands_and_decimals_are_told_apart(table, delimiter, x, y, read):
    cells = [*FILES, f'"{x}"', f'"{y}"', "3", "4"]
    landmarks, left_out = table(HEAD.replace(",", delimiter), delimiter.join(cells))
    assert landmarks[["fixed_x", "fixed_y"]].to_numpy().tolist() == [[*read]] and left_out == []


@pytest.mark.parametrize("others", [("2", "3"), ("2,5", "3.5")])
def test_a_number_that_may_be_1234_or_1_234_is_not_guessed(table, others):
    cells = [*FILES, '"1,234"', f'"{others[0]}"', others[1], "4"]
    landmarks, left_out = table(HEAD, ",".join(cells))
    assert landmarks.empty and "not a number" in left_out[0]


def test_landmarks_that_are_no_file_are_refused(tmp_path):
    (tmp_path / "landmarks.csv").mkdir()
    with pytest.raises(EyeError, match="landmarks.csv: is a folder or a device, not a table"):
        read_landmarks(tmp_path / "landmarks.csv", FILES)


def test_points_outside_their_photograph_are_left_out(table):
    sizes = {FILES[0]: (100, 50), FILES[1]: (200, 150)}
    row = ",".join(FILES) + ",{},{},{},{}"
    bad = [(100, 2, 3, 4), (1, 50, 3, 4), (1, 2, 200, 4), (1, 2, 3, 150), (-1, 2, 3, 4)]
    good = [(99, 49, 199, 149), (0, 0, 0, 0)]
    landmarks, left_out = table(HEAD, *(row.format(*p) for p in bad + good), sizes=sizes)
    assert landmarks[LANDMARK_COLUMNS[2:]].to_numpy().tolist() == [list(p) for p in good]
    assert left_out == [
        "landmarks.csv: 5 rows (2, 3, 4, 5, 6) are left out, because a point lies outside the "
        "photograph"
    ]
    assert len(table(HEAD, *(row.format(*p) for p in bad))[0]) == 5  # sizes are not known


def test_a_photograph_that_is_not_there_is_named_and_one_of_the_other_eye_is_not(table, tmp_path):
    (tmp_path / "a_2019-01-01_R.png").touch()
    landmarks, left_out = table(
        HEAD,
        GOOD,
        f"old.png,{FILES[1]},1,2,3,4",
        f"{FILES[0]},old.png,1,2,3,4",
        f"a_2019-01-01_R.png,{FILES[1]},1,2,3,4",
    )
    assert len(landmarks) == 2
    assert left_out == [
        "landmarks.csv: 2 rows (3, 4) are left out, because there is no photograph 'old.png'; was "
        "it renamed?"
    ]


def test_a_row_with_too_many_cells_is_named(table):
    landmarks, left_out = table(HEAD, GOOD.replace("10.5", "10,5"), GOOD)
    assert len(landmarks) == 1
    assert left_out == [
        "landmarks.csv: row 2 is left out, because it has more cells than there are columns"
    ]


@pytest.mark.parametrize("content", ["", "\n", HEAD + "\n"])
def test_an_empty_table_holds_no_landmarks(table, content):
    landmarks, _ = table(content)
    assert landmarks.empty and [*landmarks][:6] == LANDMARK_COLUMNS


def test_no_table_holds_no_landmarks(tmp_path):
    landmarks, left_out = read_landmarks(tmp_path / "landmarks.csv", FILES)
    assert landmarks.empty and left_out == []


def test_other_columns_are_refused_with_what_is_needed(table):
    with pytest.raises(EyeError, match=r"landmarks.csv: columns are \['x', 'y'\], needed"):
        table("x,y", "1,2")
