"""The visits of an eye are found by the names of their files."""

import datetime

import pytest

from fundus_helpers.__main__ import main
from fundus_helpers.loading.visits import (
    EyeError,
    cohort_eyes,
    find_eyes,
    list_files,
    list_visits,
    patient_folder,
)


def make_files(data, patient, *names):
    """Make empty files in a patient's folder; listing does not open them."""
    (data / patient).mkdir(parents=True, exist_ok=True)
    for name in names:
        (data / patient / name).touch()


def reasons(visits):
    """Return why each file was left out."""
    return dict(visits.loc[~visits["used"], ["file", "reason"]].to_numpy().tolist())


def test_visits_come_in_order_of_date_then_of_name(tmp_path):
    names = ["z_2019-05-28_L.png", "b_2020-01-02_L.tif", "a_2020-01-02_L.png", "a_2021-11-30_L.dcm"]
    make_files(tmp_path, "007", *reversed(names))
    visits = list_visits(tmp_path, "007", "L")
    assert visits["file"].tolist() == [names[0], names[2], names[1], names[3]]
    assert visits["used"].all() and (visits["reason"] == "").all()
    assert visits["date"][0] == datetime.date(2019, 5, 28)
    assert visits["visit"][0] == "z_2019-05-28_L"


def test_photographs_of_one_day_are_all_kept_in_order_of_their_names(tmp_path):
    names = [f"{letter}_2020-01-02_L.png" for letter in "hcafgbed"]
    make_files(tmp_path, "p", *names)
    visits = list_visits(tmp_path, "p", "L")
    assert visits["used"].all() and visits["file"].tolist() == sorted(names)


@pytest.mark.parametrize("date", ["2019-13-01", "2019-02-30", "May"])
def test_a_date_that_is_none_is_left_out_with_its_reason(tmp_path, date):
    make_files(tmp_path, "p", f"a_{date}_L.png", "a_2020-01-02_L.png")
    assert list(reasons(list_visits(tmp_path, "p", "L"))) == [f"a_{date}_L.png"]
    assert (
        f"'{date}' in the name is not a date"
        in reasons(list_visits(tmp_path, "p", "L")).popitem()[1]
    )


@pytest.mark.parametrize("date", ["28-05-2019", "20190528"])
def test_other_forms_of_a_date_are_read(tmp_path, date):
    make_files(tmp_path, "p", f"a_{date}_L.png")
    visits = list_visits(tmp_path, "p", "L")
    assert visits["used"].all() and visits["date"][0] == datetime.date(2019, 5, 28)


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("photo.png", "no date and no eye"),
        ("a_2020-01-02.png", "no eye"),
        ("a_2020-01-02_L2.png", "no eye"),
        ("a_L.png", "no date"),
    ],
)
def test_a_name_without_date_or_side_is_left_out_with_its_reason(tmp_path, name, missing):
    make_files(tmp_path, "p", name)
    assert reasons(list_visits(tmp_path, "p", "L")) == {
        name: f"{missing} in its name, its folder or its header; rename it like "
        "eye_YYYY-MM-DD_L, or name it in visits.csv (`make visits`)"
    }


def test_the_other_eye_and_other_files_are_not_in_the_table(tmp_path):
    kept, other = "a_2020-01-02_L.png", "a_2020-01-02_R.png"
    noise = [
        "landmarks.csv",
        "notes_2020-01-02_L.txt",
        ".a_2020-01-03_L.png",
        "._a_2020-01-02_L.png",
    ]
    make_files(tmp_path, "p", kept, other, *noise)
    assert list_visits(tmp_path, "p", "L")["file"].tolist() == [kept]
    assert list_visits(tmp_path, "p", "R")["file"].tolist() == [other]


def test_outlines_of_atrophy_beside_photographs_are_no_visits(tmp_path):
    photographs = ["a_2020-01-02_L.png", "b_2021-01-02_L.dcm"]
    outlines = [
        *(f"a_2020-01-02_L_atrophy.{ending}" for ending in ("png", "tif", "roi", "zip", "json")),
        *("a_2020-01-02_L.png_atrophy.png", "B_2021-01-02_L_Atrophy.PNG", "atrophy_coco.json"),
        "a_2020-01-02_L_atrophy (1).png",
    ]
    make_files(tmp_path, "p", *photographs, *outlines, "a_2020-01-02_L.json")
    visits = list_visits(tmp_path, "p", "L")
    assert visits["file"].tolist() == photographs and visits["used"].all()
    assert find_eyes(tmp_path) == [("p", "L")]
    files = list_files(tmp_path).set_index("file")
    assert files["kind"][outlines].eq("other file").all()
    assert files["reason"][outlines].eq("an outline of atrophy").all()
    assert files["reason"]["a_2020-01-02_L.json"] == "no photograph"


def test_a_photograph_named_like_an_outline_is_told_and_a_table_can_use_it(tmp_path):
    name = "a_2020-01-02_L_atrophy.png"
    make_files(tmp_path, "p", name, "a_2021-01-02_L.png")
    assert list_visits(tmp_path, "p", "L")["file"].tolist() == ["a_2021-01-02_L.png"]
    told = list_files(tmp_path).set_index("file")["reason"][name]
    assert told == (
        "an outline of atrophy, by its name, but no photograph 'a_2020-01-02_L' is beside it; "
        "rename it if it is a photograph itself"
    )
    (tmp_path / "visits.csv").write_text(f"file,patient,eye,date\n{name},p,L,2020-01-02\n")
    visits = list_visits(tmp_path, "p", "L")
    assert visits[visits["used"]]["file"].tolist() == [name]


def test_one_name_with_two_endings_is_used_once(tmp_path):
    make_files(tmp_path, "p", "a_2020-01-02_L.tif", "a_2020-01-02_L.png", "a_2021-01-02_L.png")
    visits = list_visits(tmp_path, "p", "L")
    assert reasons(visits) == {
        "a_2020-01-02_L.tif": "another file has this name, with another ending"
    }
    assert visits["used"].sum() == 2


def test_the_pattern_of_names_can_be_another(tmp_path):
    make_files(tmp_path, "p", "L-2020-01-02.png", "R-2020-01-02.png", "a_2020-01-02_L.png")
    pattern = r"(?P<laterality>[LR])-(?P<date>.+)"
    visits = list_visits(tmp_path, "p", "L", pattern=pattern)
    assert visits[visits["used"]]["file"].tolist() == ["L-2020-01-02.png"]
    assert find_eyes(tmp_path, pattern=pattern) == [("p", "L"), ("p", "R")]


@pytest.mark.parametrize("patient", ["..", ".", "/etc", "a/b", "a/", "", ".hidden", "../data/p"])
def test_a_patient_that_is_no_plain_name_is_refused(tmp_path, patient):
    data = tmp_path / "data"
    for name in ("p", "a/b", ".hidden"):
        make_files(data, name, "a_2020-01-02_L.png")
    with pytest.raises(EyeError, match="is not the plain name of a folder"):
        list_visits(data, patient, "L")


def test_a_linked_patient_is_refused(tmp_path):
    make_files(tmp_path, "elsewhere", "a_2020-01-02_L.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "p").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EyeError, match="'p' is a link"):
        list_visits(tmp_path / "data", "p", "L")


def test_a_missing_patient_or_data_folder_is_named(tmp_path):
    make_files(tmp_path, "007")
    with pytest.raises(EyeError, match="no patient '7'"):
        patient_folder(tmp_path, "7")
    with pytest.raises(EyeError, match="data folder 'nowhere' does not exist"):
        patient_folder(tmp_path / "nowhere", "007")


@pytest.mark.parametrize("laterality", ["X", "l", "", "LR"])
def test_an_eye_is_left_or_right(tmp_path, laterality):
    make_files(tmp_path, "p", "a_2020-01-02_L.png")
    with pytest.raises(EyeError, match=f"L .left, OS. or R .right, OD., not '{laterality}'"):
        list_visits(tmp_path, "p", laterality)


def test_007_stays_007(tmp_path):
    make_files(tmp_path, "007", "a_2020-01-02_L.png")
    assert list_visits(tmp_path, "007", "L")["patient"].tolist() == ["007"]
    assert find_eyes(tmp_path) == [("007", "L")]


def test_an_empty_patient_has_an_empty_table(tmp_path):
    make_files(tmp_path, "p")
    visits = list_visits(tmp_path, "p", "L")
    assert len(visits) == 0 and "reason" in visits


def test_eyes_are_found_and_sorted(tmp_path):
    make_files(tmp_path, "b", "a_2020-01-02_R.png", "a_2020-01-02_L.png", "a_2021-01-02_L.png")
    make_files(tmp_path, "a", "a_2020-01-02_R.jpg", "landmarks.csv")
    make_files(tmp_path, "none", "readme_2020-01-02_L.txt", "photo.png")
    make_files(tmp_path, ".hidden", "a_2020-01-02_R.png")
    assert find_eyes(tmp_path) == [("a", "R"), ("b", "L"), ("b", "R")]


def test_files_that_cannot_be_listed_make_no_eye(tmp_path):
    make_files(tmp_path, "p", "._a_2020-01-02_L.png", "a_2020-01-02_R.png")
    assert find_eyes(tmp_path) == [("p", "R")]


def test_the_command_says_what_it_found_or_why_not(tmp_path, capsys):
    make_files(tmp_path, "p", "a_2020-01-02_L.png", "a_2021-01-02_L.png", "a_x_L.png")
    make_files(tmp_path, "q", "a_2020-01-02_R.png", "a_x_R.png")
    assert main(["check", str(tmp_path), "p", "L"]) == 0
    assert "p L: 2 of 3 files" in capsys.readouterr().err
    assert main(["check", str(tmp_path), "q", "R"]) == 2
    message = capsys.readouterr().err
    assert "1 usable photograph, 2 are needed" in message
    assert "a_x_R.png: 'x' in the name is not a date" in message
    assert main(["check", str(tmp_path), "..", "R"]) == 2


def test_the_parts_of_a_cohort_share_its_eyes_and_leave_the_demo_out(tmp_path):
    for patient in ("demo_colour", *"abcdefg"):
        (tmp_path / patient).mkdir()
        (tmp_path / patient / f"{patient}_2020-01-01_L.png").touch()
    parts = [cohort_eyes(tmp_path, f"{number}/3") for number in (1, 2, 3)]
    assert [len(part) for part in parts] == [3, 2, 2]
    assert (
        sorted(sum(parts, [])) == cohort_eyes(tmp_path) == [(patient, "L") for patient in "abcdefg"]
    )


@pytest.mark.parametrize("part", ["0/3", "4/3", "3", "a/b", "", "-1/3"])
def test_a_part_that_is_none_is_refused(tmp_path, part):
    with pytest.raises(EyeError, match=f"{part!r}.*3/100"):
        cohort_eyes(tmp_path, part)
