"""Names of files as cameras, clinics and people give them."""

import datetime
import os
import sys
import unicodedata

import pandas as pd
import pytest
from PIL import Image

from fundus_helpers.__main__ import main
from fundus_helpers.loading.visits import (
    EyeError,
    count_files,
    find_eyes,
    list_files,
    list_visits,
    read_date,
    read_laterality,
    read_name,
)
from fundus_helpers.loading.visits.dates import find_dates, read_time

DAY = datetime.date(2019, 5, 28)


def make(data, *files):
    """Make files that hold nothing, in folders below the data folder."""
    for file in files:
        (data / file).parent.mkdir(parents=True, exist_ok=True)
        (data / file).touch()


def row_of(data, file, laterality="L"):
    """Return the row of one file of patient p."""
    visits = list_visits(data, "p", laterality).set_index("file")
    return visits.loc[file]


READ = {
    "eye_2019-05-28_L": "L",
    "Surname_OS_20190528": "L",
    "12345_OD_2019-05-28": "R",
    "Roe 28.05.2019 left": "L",
    "2019.05.28_right": "R",
    "2019_05_28 OD": "R",
    "a_2019-05-28_l": "L",
    "a_2019-05-28_left": "L",
    "a_2019-05-28_Right": "R",
    "LeftEye-20190528": "L",
    "FundusOD_20190528": "R",
    "12345OS 2019-05-28": "L",
    "OD-2019-05-28T101500": "R",
    "20190528_101500_OS": "L",
    "20190528101500_OS": "L",
    "L 28 May 2019": "L",
    "28May2019-OD": "R",
    "28-05-2019 R": "R",
    "05.28.2019_L": "L",
    "IMG-20190528-WA0001 sin": "L",
    "a_2019-05-28_dex": "R",
    "os_2019-05-28": "L",
    "RE 2019-05-28": "R",
    "a-2019-05-28-OS-003": "L",
    "O.S. 2019-05-28": "L",
    "2019\N{EN DASH}05\N{EN DASH}28 OD": "R",
    "28 mayo 2019 ojo izq": "L",
    "28 de mayo de 2019 OD": "R",
    "2019年5月28日 右眼": "R",
    "左_20190528": "L",
}


@pytest.mark.parametrize("stem", READ)
def test_names_are_understood_whatever_their_order_and_words(stem):
    name = read_name(stem)
    assert (name.date, name.laterality, name.problem) == (DAY, READ[stem], "")


@pytest.mark.parametrize(
    ("stem", "clock"),
    [
        ("a_OS_2019-05-28T101500", (10, 15, 0)),
        ("20190528_101530_OD", (10, 15, 30)),
        ("2019-05-28 10.15.30 OD", (10, 15, 30)),
        ("2019-05-28T10-15 OD", (10, 15, 0)),
        ("20190528_1234_OD", None),  # a number of an image
        ("2019-05-28_L", None),
    ],
)
def test_a_time_is_read_behind_its_date(stem, clock):
    assert read_name(stem).time == (clock and datetime.time(*clock))


@pytest.mark.parametrize(
    "stem", ["IMG_0001", "12345", "12345678", "Roe_190528", "1.2.840.113619.20190528.1.1.5", "v2"]
)
def test_a_number_of_a_patient_or_an_image_is_no_date(stem):
    assert read_name(stem).date is None and not read_name(stem).problem


@pytest.mark.parametrize(
    ("stem", "words"),
    [
        ("a_03-04-2019_L", "'03-04-2019' in the name may be 2019-04-03 or 2019-03-04"),
        ("OD 03-04-2019", "may be 2019-04-03 or 2019-03-04"),
        ("a_2019-13-01_L", "'2019-13-01' in the name is not a date"),
        ("a_2019-02-30_L", "'2019-02-30' in the name is not a date"),
        ("a_May_L", "'May' in the name is not a date"),
        ("OD 28.05.19", "the year of '28.05.19' in the name has two digits"),
        ("OD 2019-05-28 2020-06-01", "several dates, '2019-05-28' and '2020-06-01', in the name"),
        ("OU_2019-05-28", "the name says both eyes ('OU'); an eye is L or R"),
        ("L_OD_2019-05-28", "the name says both eyes ('L' and 'OD'); an eye is L or R"),
    ],
)
def test_what_is_not_clear_is_not_guessed(stem, words):
    name = read_name(stem)
    assert words in name.problem and not (name.date and name.laterality)


def test_dotted_dates_have_the_day_first_and_a_date_before_1980_is_not_taken_for_the_visit():
    assert read_date("03.04.2019") == datetime.date(2019, 4, 3)
    name = read_name("Roe_19450312_OS_20190528")
    assert name.date == DAY and "another date in the name" in name.note
    assert "1945" not in name.note


@pytest.mark.parametrize(
    ("text", "side"),
    [("OS", "L"), ("od", "R"), ("Left", "L"), ("RIGHT", "R"), ("left eye", "L"), ("l", "L")]
    + [("re", "R"), ("Le", "L"), ("Oculus sinister", "L"), ("O.D.", "R"), ("od1", "R")]
    + [("OU", ""), ("x", ""), ("", ""), ("L/R", "")],
)
def test_words_for_an_eye(text, side):
    assert read_laterality(text) == side


def test_times_of_the_day():
    assert read_time("10:15") == datetime.time(10, 15)
    assert read_time("101530") == datetime.time(10, 15, 30)
    assert read_time("1:15 PM") == datetime.time(13, 15)
    assert read_time("12:05 a.m.") == datetime.time(0, 5) and read_time("13:05 PM") is None
    assert read_time("25:00") is None and read_time("noon") is None
    assert [f.time for f in find_dates("2019-05-28T10:15:00+02:00")] == [datetime.time(10, 15)]


def test_folders_say_date_and_eye_where_the_name_does_not(tmp_path):
    make(
        tmp_path,
        "p/2019-05-28/OS/IMG_1.png",
        "p/2020-06-02/OS/IMG_1.png",
        "p/left/20210101.png",
        "p/visit 4/2022-01-01_L.png",
        "p/FAF/a_2023-01-01_L.png",
    )
    visits = list_visits(tmp_path, "p", "L")
    assert visits["used"].all() and visits["visit"].is_unique
    assert visits["date"].astype(str).tolist() == [
        *("2019-05-28", "2020-06-02", "2021-01-01", "2022-01-01", "2023-01-01")
    ]
    assert visits["visit"][0] == "2019-05-28_OS_IMG_1"
    assert visits["modality"].tolist() == ["", "", "", "", "autofluorescence"]
    assert find_eyes(tmp_path) == [("p", "L")]


def test_a_date_may_be_spread_over_folders(tmp_path):
    make(tmp_path, "p/2019/05/28/OS.png", "p/OS/2020/06/02/IMG_1.png")
    visits = list_visits(tmp_path, "p", "L")
    assert visits["date"].astype(str).tolist() == ["2019-05-28", "2020-06-02"]
    assert visits["used"].all()


def test_an_ending_that_is_lost_or_has_blanks_behind_it_hides_no_photograph(tmp_path):
    (tmp_path / "p").mkdir()
    for number, name in enumerate(("a_2019-05-28_L", "b_2020-05-28_L.png ", "c_2021-05-28_L.PNG.")):
        Image.new("RGB", (60, 40 + number)).save(tmp_path / "p" / name, "png")
    (tmp_path / "p" / "notes_2022-05-28_L").write_text("words")
    visits = list_visits(tmp_path, "p", "L")
    assert visits["used"].all() and len(visits) == 3
    assert visits["visit"].tolist() == ["a_2019-05-28_L", "b_2020-05-28_L", "c_2021-05-28_L"]


def test_name_and_folder_that_contradict_each_other_are_told(tmp_path):
    make(tmp_path, "p/left/a_2019-05-28_R.png", "p/2019-06-01/a_2019-05-28_L.png")
    reason = row_of(tmp_path, "left/a_2019-05-28_R.png", "R")["reason"]
    assert "the name says eye R, the folder 'left' says L" in reason
    row = row_of(tmp_path, "2019-06-01/a_2019-05-28_L.png")
    assert row["used"] and "the folder '2019-06-01' says another date" in row["note"]


def test_masks_and_old_photographs_in_subfolders_are_told_and_not_used(tmp_path):
    make(tmp_path, "p/a_2019-05-28_L.png", "p/masks/a_2019-05-28_L.png")
    row = row_of(tmp_path, "masks/a_2019-05-28_L.png")
    assert not row["used"] and "in the subfolder 'masks'" in row["reason"]
    assert row_of(tmp_path, "a_2019-05-28_L.png")["used"]


def test_a_photograph_of_a_camera_takes_its_date_from_the_header_and_says_so(tmp_path):
    (tmp_path / "p" / "OD").mkdir(parents=True)
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2019:05:28 10:15:00"
    for file in ("OD/IMG_0001.JPG", "IMG_0002.JPG"):
        Image.new("RGB", (60, 40)).save(tmp_path / "p" / file, exif=exif)
    row = row_of(tmp_path, "OD/IMG_0001.JPG", "R")
    assert row["used"] and row["date"] == DAY and row["time"] == datetime.time(10, 15)
    assert "date from the header" in row["note"]
    reason = row_of(tmp_path, "IMG_0002.JPG", "R")["reason"]
    assert reason.startswith("no eye in its name") and "visits.csv" in reason


def test_the_folder_of_a_patient_may_say_the_eye(tmp_path):
    make(tmp_path, "007 OD/2019-05-28.png", "Jane L/2019-05-28.png")
    assert find_eyes(tmp_path) == [("007 OD", "R")]  # L may be a part of a name
    assert "eye from the name" in list_visits(tmp_path, "007 OD", "R")["note"][0]


@pytest.mark.parametrize("date", ["1979-12-31", "2099-01-01"])
def test_dates_that_are_hardly_those_of_a_visit_are_told(tmp_path, date):
    make(tmp_path, f"p/a_{date}_L.png")
    row = row_of(tmp_path, f"a_{date}_L.png")
    assert row["used"] and ("before 1980" in row["note"] or "in the future" in row["note"])


@pytest.mark.parametrize(
    "copy",
    [
        *("Copy of a_2019-05-28_L.png", "a_2019-05-28_L (1).png", "a_2019-05-28_L - Copy.png"),
        *("a_2019-05-28_L copy 2.png", "a_2019-05-28_L - Kopie.png", "a_2019-05-28_L~.png"),
        "a_2019-05-28_L(2).png",
    ],
)
def test_copies_are_left_out_and_told(tmp_path, copy):
    make(tmp_path, "p/a_2019-05-28_L.png", f"p/{copy}")
    assert row_of(tmp_path, "a_2019-05-28_L.png")["used"]
    assert "by its name a copy of 'a_2019-05-28_L.png'" in row_of(tmp_path, copy)["reason"]
    (tmp_path / "p" / "a_2019-05-28_L.png").unlink()
    row = row_of(tmp_path, copy)
    assert row["used"] and "the original is not here" in row["note"]


def test_backups_and_folders_of_programs_are_no_photographs_of_their_own(tmp_path):
    photograph = "a_2019-05-28_L.png"
    make(tmp_path, f"p/{photograph}", f"p/{photograph}~")
    for folder in ("@eaDir", "__MACOSX", ".thumbnails", "p/@eaDir", "p/.thumbnails"):
        make(tmp_path, f"{folder}/{photograph}")
    assert find_eyes(tmp_path) == [("p", "L")]
    assert list_visits(tmp_path, "p", "L")["used"].sum() == 1
    assert row_of(tmp_path, f"{photograph}~")["reason"] == "a backup copy, by its name"
    files = list_files(tmp_path)
    assert (files["kind"] == "other file").sum() == 5 and len(files) == 7


def test_one_name_in_two_spellings_is_used_once(tmp_path):
    names = [unicodedata.normalize(form, "Jürgen_2019-05-28_L.png") for form in ("NFC", "NFD")]
    make(tmp_path, *(f"p/{name}" for name in names))
    visits = list_visits(tmp_path, "p", "L")
    assert visits[visits["used"]]["file"].tolist() == [names[0]]
    assert "in another spelling" in visits[~visits["used"]]["reason"].item()


def test_a_patient_in_two_spellings_is_used_once(tmp_path):
    names = [unicodedata.normalize(form, "Jürgen") for form in ("NFC", "NFD")]
    make(tmp_path, *(f"{name}/a_2019-05-28_L.png" for name in names))
    assert find_eyes(tmp_path) == [(names[0], "L")]
    (told,) = list_files(tmp_path).query("kind == 'folder'")["reason"]
    assert "another folder has this name" in told


def test_the_same_content_is_used_once_and_both_dates_are_told(tmp_path):
    make(tmp_path, "p/x_2018-01-01_L.png")
    for date in ("2019-05-28", "2020-06-02"):
        (tmp_path / "p" / f"a_{date}_L.png").write_bytes(b"the same photograph")
    (tmp_path / "p" / "b_2021-01-01_L.png").write_bytes(b"one as large as it.")
    (tmp_path / "p" / "a_2019-05-28_R.png").write_bytes(b"the same photograph")
    reason = row_of(tmp_path, "a_2020-06-02_L.png")["reason"]
    assert "the same content as 'a_2019-05-28_L.png' of 2019-05-28" in reason
    kept = row_of(tmp_path, "a_2019-05-28_L.png")
    assert kept["used"] and "'a_2020-06-02_L.png' of 2020-06-02 has the same" in kept["note"]
    assert "the other eye has a photograph of the same content" in kept["note"]
    assert row_of(tmp_path, "b_2021-01-01_L.png")["used"]


def test_the_same_content_of_two_patients_is_told(tmp_path):
    make(tmp_path, "r/a_2019-05-28_L.png")
    for patient in "pq":
        make(tmp_path, f"{patient}/a_2019-05-28_L.png")
        (tmp_path / patient / "a_2019-05-28_L.png").write_text("the same photograph")
    files = list_files(tmp_path).set_index("patient")
    assert files["used"].all() and files["note"]["r"] == ""
    assert files["note"]["p"] == "patient 'q' has a photograph of the same content"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a{1}", "the name has { or }"),
        ("a\tb", "control character"),
        ("a\nb", "control character"),
    ]
    + [(os.fsdecode(b"a\xff"), "not UTF-8")],
)
@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
def test_names_that_stop_programs_are_refused_by_name_and_nothing_else_is(tmp_path, name, words):
    make(tmp_path, f"{name}/a_2019-05-28_L.png", "p/a_2019-05-28_L.png")
    make(tmp_path, f"p/{name}_2020-01-01_L.png")
    assert find_eyes(tmp_path) == [("p", "L")]
    files = list_files(tmp_path)
    refused = files[files["kind"] == "folder"]
    assert words in refused["reason"].item() and "rename it" in refused["reason"].item()
    visits = list_visits(tmp_path, "p", "L")
    assert visits["used"].sum() == 1 and words in visits[~visits["used"]]["reason"].item()
    text = files.to_csv(tmp_path / "table.csv", index=False, encoding="utf-8")
    assert text is None and "a" in refused["patient"].item()
    with pytest.raises(EyeError, match=words):
        list_visits(tmp_path, name, "L")


@pytest.mark.parametrize(
    ("name", "words"),
    [("<a>", "the name has < or >"), ("7" + "0" * 20, "the name repeats its end twenty times")],
)
def test_names_of_patients_that_stop_snakemake_are_refused_by_name(tmp_path, name, words):
    make(tmp_path, f"{name}/a_2019-05-28_L.png", "p/a_2019-05-28_L.png")
    assert find_eyes(tmp_path) == [("p", "L")]
    (told,) = list_files(tmp_path).query("kind == 'folder'")["reason"]
    assert words in told and "rename it" in told
    with pytest.raises(EyeError, match=words):
        list_visits(tmp_path, name, "L")


def test_links_that_lead_nowhere_and_pipes_are_refused_by_name(tmp_path):
    make(tmp_path, "p/a_2019-05-28_L.png")
    (tmp_path / "p" / "b_2020-01-01_L.png").symlink_to("nowhere")
    os.mkfifo(tmp_path / "p" / "c_2020-01-01_L.png")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "p" / "linked").symlink_to(tmp_path)
    (tmp_path / "p" / "d_2020-01-01_L.png").mkdir()
    reasons = list_visits(tmp_path, "p", "L").set_index("file")["reason"]
    assert reasons["b_2020-01-01_L.png"] == "a link that leads nowhere"
    assert "a device or a pipe" in reasons["c_2020-01-01_L.png"]
    told = list_files(tmp_path).set_index("kind")["reason"]["folder"].tolist()
    assert any("a link that leads nowhere" in reason for reason in told)
    assert any("a link to a folder" in reason for reason in told)
    assert any("'d_2020-01-01_L.png' is a folder, not a file" in reason for reason in told)


def test_links_in_a_circle_stop_nothing(tmp_path):
    make(tmp_path, "p/a_2019-05-28_L.png")
    for link in ("circle", "p/b_2020-01-01_L.png", "p/inner"):
        (tmp_path / link).symlink_to(tmp_path / link)
    (tmp_path / "up").symlink_to(".")
    (tmp_path / "p" / "up").symlink_to("..")
    os.mkfifo(tmp_path / "pipe")
    assert find_eyes(tmp_path) == [("p", "L")]
    visits = list_visits(tmp_path, "p", "L").set_index("file")
    assert visits["used"].to_dict() == {"a_2019-05-28_L.png": True, "b_2020-01-01_L.png": False}
    assert visits["reason"]["b_2020-01-01_L.png"] == "a link that leads nowhere"
    folders = list_files(tmp_path).query("kind == 'folder'").set_index("patient")["reason"]
    assert "a link that leads nowhere" in folders["circle"] and "a link" in folders["up"]
    assert "a device or a pipe" in folders["pipe"] and "a link to a folder" in folders["p"]


@pytest.mark.skipif(os.geteuid() == 0, reason="everything may be read by this user")
def test_what_may_not_be_read_is_told_and_nothing_else_is_touched(tmp_path):
    make(tmp_path, "p/a_2019-05-28_L.png", "p/b_2020-05-28_L.png", "q/a_2019-05-28_L.png")
    (tmp_path / "p" / "b_2020-05-28_L.png").chmod(0)
    (tmp_path / "q").chmod(0)
    make(tmp_path, "r/2019-05-28/L.png")
    (tmp_path / "r" / "2019-05-28").chmod(0o444)
    files = list_files(tmp_path)
    (tmp_path / "q").chmod(0o700)
    (tmp_path / "r" / "2019-05-28").chmod(0o700)
    assert files["reason"].str.contains("may not be read").sum() == 4
    assert files["used"].sum() == 1


def test_every_file_has_one_row_and_the_sums_agree(tmp_path):
    make(
        tmp_path,
        *("p/a_2019-05-28_L.png", "p/a_2020-05-28_L.png", "p/a_2020-05-28_R.tif", "p/scan.png"),
        *("p/notes.txt", "p/landmarks.csv", "p/Thumbs.db", "p/.hidden.png", "p/photo.heic"),
        *("q/IMG_1.jpg", "q/IMG_2.jpg", "q/IMG_3.jpg", "q/IMG_4.jpg"),
        *("flat_2019-05-28_L.png", "README.md", "x{y}/a_2019-05-28_L.png"),
        *(
            "demo_colour/demo_colour_2019-05-28_L.png",
            "demo_colour/truth/lesion_x_2019-05-28_L.png",
        ),
    )
    (tmp_path / "empty").mkdir()
    files = list_files(tmp_path)
    lying = [p for p in tmp_path.rglob("*") if p.is_file() and "demo_colour" not in p.parts]
    of_files = files[files["kind"].isin(["photograph", "other file"])]
    assert len(of_files) == len(lying)
    photographs = files[files["kind"] == "photograph"]
    assert photographs["used"].sum() == 3 and len(photographs) == 11
    assert (files.loc[~files["used"], "reason"] != "").all()
    assert count_files(files) == (
        "2 eyes of 4 patients, 11 photographs: 3 used, 8 left out; 5 other files"
    )
    parts = [list_files(tmp_path, f"{number}/2") for number in (1, 2)]
    assert sorted(pd.concat(parts)["file"]) == sorted(files["file"])
    heic = files.set_index("file").loc["photo.heic", "reason"]
    assert "HEIC cannot be read" in heic and "PNG" in heic
    outside = files.set_index("file").loc["flat_2019-05-28_L.png", "reason"]
    assert "in no patient's folder" in outside


def test_a_patient_without_a_readable_name_is_a_row_with_three_names_and_the_way_out(tmp_path):
    make(tmp_path, *(f"q/IMG_{number}.jpg" for number in range(5)))
    (row,) = list_files(tmp_path).query("kind == 'folder'").itertuples()
    assert row.patient == "q" and "'IMG_0.jpg', 'IMG_1.jpg', 'IMG_2.jpg'" in row.reason
    assert "file,patient,eye,date and q/IMG_0.jpg,q,L,2019-05-28" in row.reason
    assert "make visits" in row.reason


def test_a_pattern_that_would_fit_is_shown_and_fits(tmp_path, monkeypatch, caplog):
    make(tmp_path, "q/scanL2019-05-28b.jpg", "q/scanL2020-05-28b.jpg")
    (row,) = list_files(tmp_path).query("kind == 'folder'").itertuples()
    _, pattern, _ = row.reason.rsplit("'", 2)
    assert main(["check", str(tmp_path), "q", "L"]) == 2
    assert "PATTERN=" in caplog.text
    monkeypatch.setenv("FUNDUS_PATTERN", pattern)
    assert find_eyes(tmp_path) == [("q", "L")]
    assert list_visits(tmp_path, "q", "L")["used"].sum() == 2


@pytest.mark.parametrize("pattern", ["(", "no groups"])
def test_a_pattern_that_is_none_is_refused(tmp_path, monkeypatch, pattern):
    make(tmp_path, "p/a_2019-05-28_L.png")
    monkeypatch.setenv("FUNDUS_PATTERN", pattern)
    with pytest.raises(EyeError, match="PATTERN"):
        find_eyes(tmp_path)


def test_a_folder_named_like_a_date_is_told_to_be_no_patient(tmp_path):
    make(tmp_path, "2019-05-28/a_2019-05-28_L.png", "OD/a_2019-05-28.png")
    files = list_files(tmp_path)
    assert find_eyes(tmp_path) == [("2019-05-28", "L")]
    assert files["note"].str.contains("not like a patient").sum() == 2


def test_photographs_of_one_day_are_sorted_by_their_times(tmp_path):
    make(tmp_path, "p/z_OS_20190528_090000.png", "p/a_OS_20190528_150000.png")
    assert [name[0] for name in list_visits(tmp_path, "p", "L")["file"]] == ["z", "a"]


def test_a_visit_has_a_name_of_its_own_that_can_name_a_file(tmp_path):
    long = f"{'x' * 225}_2019-05-28_L.png"
    make(tmp_path, f"p/{long}", "p/2020-01-01/OS/a.png", "p/2020-01-01_OS/a.png")
    visits = list_visits(tmp_path, "p", "L")
    assert visits["visit"].is_unique and visits["used"].all()
    assert all(len(name.encode()) <= 200 and "/" not in name for name in visits["visit"])
