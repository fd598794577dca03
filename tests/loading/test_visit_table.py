"""A table of visits says what names do not say, in whatever form a clinic exports it."""

import datetime
import os

import pandas as pd
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from fundus_helpers.__main__ import main
from fundus_helpers.loading.visits import (
    EyeError,
    check_headers,
    find_eyes,
    list_eye,
    list_files,
    list_visits,
    photograph_folder,
    write_visit_table,
)

HEAD = "file,patient,eye,date"
DAY = datetime.date(2019, 5, 28)


def make(data, *files):
    """Make files with different contents, in folders below the data folder."""
    for file in files:
        (data / file).parent.mkdir(parents=True, exist_ok=True)
        (data / file).write_text(file)


def told(data, *lines, file="visits.csv", encoding="utf-8"):
    """Write a table of visits."""
    (data / file).write_text("\n".join([*lines, ""]), encoding=encoding)


def reasons(data):
    """Return why each file or row was left out."""
    files = list_files(data)
    return dict(files.loc[~files["used"], ["file", "reason"]].to_numpy().tolist())


def test_the_table_wins_over_names_and_may_name_files_anywhere(tmp_path):
    make(tmp_path, "all/IMG_1.jpg", "all/IMG_2.jpg", "all/a_2001-01-01_R.png", "extra.png")
    told(
        tmp_path,
        HEAD + ",time,modality,camera,mm_per_pixel,comment,study",
        'all/IMG_1.jpg,007,OS,28.05.2019,10:15,colour,Topcon,"0,0117",a blink,x',
        "all/IMG_2.jpg,007,Left,20200602,,,,,,",
        "all/a_2001-01-01_R.png,007,l,2021/01/02,,,,,,",
        "extra.png,008,RIGHT,28 May 2019,,,,,,",
    )
    assert find_eyes(tmp_path) == [("007", "L"), ("008", "R")]
    visits = list_visits(tmp_path, "007", "L")
    assert visits["used"].all() and len(visits) == 3
    assert visits["date"].astype(str).tolist() == ["2019-05-28", "2020-06-02", "2021-01-02"]
    first = visits.iloc[0]
    assert first["time"] == datetime.time(10, 15) and first["camera"] == "Topcon"
    assert first["mm_per_pixel"] == 0.0117 and first["modality"] == "colour"
    assert first["comment"] == "a blink" and first["study"] == "x"
    folder = photograph_folder(tmp_path, "007")
    assert all((folder / file).is_file() for file in visits["file"])
    assert list_eye(tmp_path, "007", "L").files == visits["file"].tolist()
    files = list_files(tmp_path)
    assert files["used"].sum() == 4 and (files["kind"] == "folder").sum() == 0


def test_files_in_the_patient_s_folder_keep_their_short_names(tmp_path):
    make(tmp_path, "007/x.png", "007/y.png")
    told(tmp_path, HEAD, "007\\X.PNG,007,L,2019-05-28", "y,007,L,2020-05-28")
    visits = list_visits(tmp_path, "007", "L")
    assert visits["file"].tolist() == ["x.png", "y.png"] and visits["used"].all()
    assert photograph_folder(tmp_path, "007") == tmp_path / "007"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_the_table_is_read_as_spreadsheets_write_it(tmp_path, delimiter, encoding):
    make(tmp_path, "Jürgen/ä.png")
    lines = [HEAD, "Jürgen/ä.png,Jürgen,OD,28.05.2019", ",,,"]
    told(tmp_path, *(line.replace(",", delimiter) for line in lines), encoding=encoding)
    assert find_eyes(tmp_path) == [("Jürgen", "R")]
    assert list_visits(tmp_path, "Jürgen", "R")["date"][0] == DAY


@pytest.mark.parametrize(
    "lines",
    [
        ["sep=;", "file;patient;eye;date", '007/a.png;"=""007""";le;5/28/2019 10:15:00 AM'],
        ['"sep=,"', HEAD, '007/a.png,"=""007""",LE,\'2019-05-28'],
        [HEAD + ',"note; or; more; words; here"', "007/a.png,007,Os,20190528.0,x"],
        [HEAD + ",,,", "007/a.png,007,Oculus sinister,28 de mayo de 2019,,,"],
    ],
)
def test_what_spreadsheets_add_is_understood(tmp_path, lines):
    make(tmp_path, "007/a.png")
    told(tmp_path, *lines)
    assert find_eyes(tmp_path) == [("007", "L")]
    assert list_visits(tmp_path, "007", "L")["date"].tolist() == [DAY]


def test_columns_under_other_names_are_named_once(tmp_path, monkeypatch):
    make(tmp_path, "a.png")
    told(tmp_path, "file_path;PID;Laterality;Exam Date", "a.png;007;OS;28.05.2019")
    with pytest.raises(EyeError) as raised:
        find_eyes(tmp_path)
    fitting = "file=file_path patient=PID eye=Laterality date='Exam Date'"
    assert f'VISITS_COLUMNS="{fitting}"' in str(raised.value)
    assert "its columns are file_path, PID, Laterality, Exam Date" in str(raised.value)
    monkeypatch.setenv("FUNDUS_VISITS_COLUMNS", fitting)
    assert find_eyes(tmp_path) == [("007", "L")]


@pytest.mark.parametrize("columns", ["files=a", "file", "file='a", "file=nowhere"])
def test_columns_that_cannot_be_meant_are_refused(tmp_path, monkeypatch, columns):
    make(tmp_path, "a.png")
    told(tmp_path, HEAD, "a.png,007,L,2019-05-28")
    monkeypatch.setenv("FUNDUS_VISITS_COLUMNS", columns)
    with pytest.raises(EyeError, match="VISITS_COLUMNS"):
        find_eyes(tmp_path)


def test_another_table_can_be_given(tmp_path, monkeypatch):
    make(tmp_path / "data", "007/a.png")
    told(tmp_path, HEAD, "007/a.png,007,L,2019-05-28", file="mine.csv")
    monkeypatch.setenv("FUNDUS_VISITS", str(tmp_path / "mine.csv"))
    assert find_eyes(tmp_path / "data") == [("007", "L")]
    monkeypatch.setenv("FUNDUS_VISITS", str(tmp_path / "typo.csv"))
    with pytest.raises(EyeError, match=r"VISITS=typo.csv: there is no such file"):
        find_eyes(tmp_path / "data")


WRONG = {
    "gone.png,007,L,2019-05-28": "there is no such file",
    "../out.png,007,L,2019-05-28": "lies outside the data folder",
    "/etc/out.png,007,L,2019-05-28": "lies outside the data folder",
    "C:/eyes/out.png,007,L,2019-05-28": "lies outside the data folder",
    "x.png,007,OU,2019-05-28": "'OU' means both eyes",
    "x.png,007,top,2019-05-28": "'top' is no eye; write L or R",
    "x.png,007,L,03/04/2019": "may be 2019-04-03 or 2019-03-04; write it like 2019-05-28",
    "x.png,007,L,yesterday": "'yesterday' is not a date; write it like 2019-05-28",
    "x.png,007,L,2019-02-30": "'2019-02-30' is not a date",
    "x.png,007,L,43613": "'43613' is not a date",
    "x.png,../7,L,2019-05-28": "patient '../7' is not the plain name of a folder",
    "x.png,a{b},L,2019-05-28": "the name has { or }",
    "x.png,,L,2019-05-28": "no patient given",
    ",007,L,2019-05-28": "no file given",
    f"{'x' * 300}.png,007,L,2019-05-28": "there is no such file",
    "x.png,007,L?,2019-05-28": "a question mark is left in eye",
    "x.png,007,?,?": "a question mark is left in eye and date",
    "x.png,007,L,2019-05-28,a,b,c": "more cells than columns",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_row_that_cannot_be_right_is_left_out_and_stops_no_other(tmp_path, line):
    make(tmp_path, "007/a.png", "x.png")
    told(tmp_path, HEAD, line, "007/a.png,007,L,2019-05-28")
    files = list_files(tmp_path)
    assert files["used"].sum() == 1 and list_visits(tmp_path, "007", "L")["used"].sum() == 1
    assert any("row 2" in r and WRONG[line] in r for r in files["reason"]), files["reason"].tolist()
    photographs = files[files["kind"] == "photograph"]
    assert sorted(file.split("/")[-1] for file in photographs["file"]) == ["a.png", "x.png"]
    assert ("007", "L") in find_eyes(tmp_path)


def test_a_row_that_names_a_folder_is_no_photograph(tmp_path):
    make(tmp_path, "007/a.png")
    told(tmp_path, HEAD, "007,007,L,2019-05-28", "007/a.png,007,L,2019-05-28")
    files = list_files(tmp_path)
    assert (files["kind"] == "photograph").sum() == files["used"].sum() == 1
    assert files.query("kind == 'row of a table'")["reason"].tolist() == ["a folder"]


def test_a_file_named_twice_is_used_once_or_not_at_all_if_the_rows_contradict(tmp_path):
    make(tmp_path, "007/a.png", "007/b.png")
    told(
        tmp_path,
        HEAD,
        *("007/a.png,007,L,2019-05-28", "007/a.png,007,OS,28.05.2019"),
        *("007/b.png,007,L,2019-05-28", "007/b.png,007,R,2019-05-28"),
    )
    files = list_files(tmp_path)
    assert files["used"].sum() == 1
    assert files["reason"].str.contains("row 3: '007/a.png' is named already in row 2").sum() == 1
    assert files["reason"].str.contains("contradict each other").sum() == 2
    assert (files["kind"] == "photograph").sum() == 2


def test_what_the_table_does_not_name_is_left_out_and_told(tmp_path):
    make(tmp_path, "007/a.png", "007/b_2019-05-28_L.png", "008/c_2019-05-28_L.png", "d.png")
    told(tmp_path, HEAD, "007/a.png,007,L,2019-05-28")
    assert find_eyes(tmp_path) == [("007", "L")]
    left = reasons(tmp_path)
    for file in ("b_2019-05-28_L.png", "c_2019-05-28_L.png", "d.png"):
        assert left[file] == "not in visits.csv"
    assert "b_2019-05-28_L.png" in list_visits(tmp_path, "007", "L")["file"].tolist()


def test_one_clear_date_tells_the_order_of_a_whole_column(tmp_path):
    make(tmp_path, "007/a.png", "007/b.png")
    told(tmp_path, HEAD, "007/a.png,007,L,3/4/2019", "007/b.png,007,L,5/28/2019")
    dates = list_visits(tmp_path, "007", "L")["date"].astype(str).tolist()
    assert dates == ["2019-03-04", "2019-05-28"]  # as spreadsheets of the USA write them


@pytest.mark.parametrize("content", [b"", b"\n\n", b"PK\x03\x04rest", b"\x00\x01\x02"])
def test_a_table_that_is_none_is_refused_in_one_sentence(tmp_path, content):
    make(tmp_path, "007/a_2019-05-28_L.png")
    (tmp_path / "visits.csv").write_bytes(content)
    with pytest.raises(EyeError, match=r"visits.csv"):
        find_eyes(tmp_path)


def test_a_changed_table_is_read_again_and_changes_what_describes_its_eye_alone(tmp_path):
    make(tmp_path, "007/a.png", "008/b.png")
    rows = ["007/a.png,007,L,2019-05-28", "008/b.png,008,L,2019-05-28"]
    told(tmp_path, HEAD, *rows)
    before = [list_eye(tmp_path, patient, "L").description for patient in ("007", "008")]
    told(tmp_path, HEAD, rows[0].replace("05", "06"), rows[1])
    after = [list_eye(tmp_path, patient, "L").description for patient in ("007", "008")]
    assert before[0] != after[0] and before[1] == after[1]


def test_the_first_table_can_be_corrected_and_read(tmp_path, capfd):
    make(tmp_path, "007/a_OS_20190528_101500.jpg", "007/b_2020-05-28.png", "007/x_03-04-2021_L.png")
    make(tmp_path, "008/Copy of c_2019-05-28_R.png", "008/c_2019-05-28_R.png", "009_OD.png")
    before = list_visits(tmp_path, "007", "L").query("used")
    assert main(["visits", str(tmp_path)]) == 0
    assert "5 photographs, 3 rows with a question mark" in capfd.readouterr().out
    table = pd.read_csv(tmp_path / "visits.csv", dtype=str).set_index("file")
    assert table.index[0].startswith("007/") and table["patient"]["009_OD.png"] == "009?"
    assert table["eye"]["007/b_2020-05-28.png"] == "?"
    assert table["date"]["007/x_03-04-2021_L.png"] == "2021-04-03?"
    assert table["time"]["007/a_OS_20190528_101500.jpg"] == "10:15:00"
    same = list_visits(tmp_path, "007", "L").query("used")
    columns = ["visit", "date", "time", "file"]
    assert same[columns].to_numpy().tolist() == before[columns].to_numpy().tolist()
    left = reasons(tmp_path)
    assert left["b_2020-05-28.png"] == "visits.csv, row 3: a question mark is left in eye"
    text = (tmp_path / "visits.csv").read_text(encoding="utf-8-sig")
    corrected = text.replace("?", "").replace("2020-05-28.png,007,", "2020-05-28.png,007,L")
    corrected = corrected.replace("009_OD.png,009,R,", "009_OD.png,009,R,2022-01-01")
    (tmp_path / "visits.csv").write_text(corrected)
    assert list_files(tmp_path)["used"].sum() == 5
    assert find_eyes(tmp_path) == [("007", "L"), ("008", "R"), ("009", "R")]


def test_the_first_table_overwrites_none(tmp_path, caplog):
    make(tmp_path, "007/a_2019-05-28_L.png")
    told(tmp_path, HEAD)
    assert main(["visits", str(tmp_path)]) == 2
    assert "exists already and is not overwritten" in caplog.text
    assert (tmp_path / "visits.csv").read_text() == HEAD + "\n"
    path, rows, doubtful = write_visit_table(tmp_path, tmp_path / "other.csv")
    assert path.is_file() and doubtful == 0


def test_the_demo_is_read_by_its_names_even_beside_a_table(tmp_path):
    make(tmp_path, "demo_colour/demo_colour_2019-05-28_L.png", "007/a.png")
    told(tmp_path, HEAD, "007/a.png,007,L,2019-05-28")
    assert find_eyes(tmp_path) == [("007", "L"), ("demo_colour", "L")]
    assert list_visits(tmp_path, "demo_colour", "L")["used"].all()


# excluded.csv


@pytest.mark.parametrize("name", ["a_2019-05-28_L.png", "a_2019-05-28_L", "A_2019-05-28_L.PNG"])
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_visit_is_excluded_with_the_reason_that_a_person_gave(tmp_path, name, delimiter):
    make(tmp_path, "p/a_2019-05-28_L.png", "p/b_2020-05-28_L.png")
    table = f"file,reason\n{name},blurred\ngone.png,x\n".replace(",", delimiter)
    (tmp_path / "p" / "excluded.csv").write_text(table, encoding="utf-16")
    assert reasons(tmp_path)["a_2019-05-28_L.png"] == "excluded: blurred"
    assert list_visits(tmp_path, "p", "L")["used"].sum() == 1
    told_rows = list_files(tmp_path).query("kind == 'row of a table'")["reason"].tolist()
    assert told_rows == [
        "excluded.csv, row 3: there is no file 'gone.png'; correct the name, or delete the row"
    ]
    assert (tmp_path / "p" / "a_2019-05-28_L.png").exists()


def test_photographs_are_excluded_beside_them_in_subfolders_and_above(tmp_path):
    make(tmp_path, "p/OS/2019-05-28.png", "p/OS/2020-05-28.png", "q/a_2019-05-28_L.png")
    (tmp_path / "p" / "OS" / "excluded.csv").write_text("file,reason\n2019-05-28.png,\n")
    (tmp_path / "excluded.csv").write_text("file,reason\nq/a_2019-05-28_L.png,a scan\n")
    assert reasons(tmp_path)["OS/2019-05-28.png"] == "excluded: no reason given"
    assert reasons(tmp_path)["a_2019-05-28_L.png"] == "excluded: a scan"


def test_a_reason_may_have_commas(tmp_path):
    make(tmp_path, "p/a_2019-05-28_L.png", "p/b_2020-05-28_L.png")
    lines = "file,reason\na_2019-05-28_L,blurred, and dark\nb_2020-05-28_L,a blink\n"
    (tmp_path / "p" / "excluded.csv").write_text(lines)
    assert reasons(tmp_path)["a_2019-05-28_L.png"] == "excluded: blurred, and dark"
    assert reasons(tmp_path)["b_2020-05-28_L.png"] == "excluded: a blink"


@pytest.mark.parametrize("kind", [os.mkfifo, os.mkdir, lambda path: os.symlink(path, path)])
def test_exclusions_that_are_no_file_leave_their_patient_out(tmp_path, kind):
    make(tmp_path, "p/a_2019-05-28_L.png", "q/a_2019-05-28_L.png")
    kind(tmp_path / "p" / "excluded.csv")
    files = list_files(tmp_path).query("kind == 'photograph'").set_index("patient")
    assert files["used"].to_dict() == {"p": False, "q": True}
    assert "nothing can be used: excluded.csv: " in files["reason"]["p"]


def test_an_unreadable_table_of_exclusions_fails_its_patient_alone(tmp_path):
    make(tmp_path, "p/a_2019-05-28_L.png", "q/a_2019-05-28_L.png")
    (tmp_path / "p" / "excluded.csv").write_text("photograph,why\na,b\n")
    files = list_files(tmp_path).query("kind == 'photograph'").set_index("patient")
    assert files["used"].to_dict() == {"p": False, "q": True}
    assert "columns are ['photograph', 'why'], needed ['file', 'reason']" in files["reason"]["p"]


# Headers


def dicom(path, **values):
    """Write the header of a DICOM file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.5.1"
    meta.MediaStorageSOPInstanceUID = f"1.2.3.{len(values)}.{abs(hash(path.name)) % 10**9}"
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.update({})
    for key, value in values.items():
        setattr(dataset, key, value)
    dataset.save_as(path, enforce_file_format=True)


def test_dicom_files_without_ending_tell_their_visit_themselves(tmp_path):
    says = {"AcquisitionDate": "20190528", "ImageLaterality": "L", "Manufacturer": "Topcon"}
    dicom(tmp_path / "p" / "IM000001", **says, PixelSpacing=[0.01, 0.01])
    dicom(tmp_path / "p" / "1.2.840.1.77", **says | {"AcquisitionDate": "20200528"})
    (tmp_path / "p" / "LICENSE").write_text("no photograph")
    visits = list_visits(tmp_path, "p", "L")
    assert visits["used"].all() and visits["file"].tolist() == ["IM000001", "1.2.840.1.77"]
    assert visits["visit"].tolist() == ["IM000001", "1.2.840.1.77"]
    assert visits["mm_per_pixel"][0] == 0.01 and "Topcon" in visits["camera"][0]
    assert "date from the header of the file" in visits["note"][0]


def test_headers_that_contradict_names_or_neighbours_are_told_without_identifiers(tmp_path):
    for number, (patient, side, date) in enumerate(
        [("Q77", "L", "20190101"), ("Q77", "L", "20200101"), ("Z99", "R", "20210202")]
    ):
        dicom(
            tmp_path / "p" / f"a_20{19 + number}-01-01_L.dcm",
            PatientID=patient,
            PatientName="Roe^Jane",
            PatientBirthDate="19450312",
            ImageLaterality=side,
            AcquisitionDate=date,
        )
    visits = list_visits(tmp_path, "p", "L")
    check_headers(visits, photograph_folder(tmp_path, "p"))
    assert visits["note"].tolist()[:2] == ["", ""] and visits["used"].all()
    note = visits["note"][2]
    assert "the header says the other eye (R)" in note
    assert "the header says another date (2021-02-02)" in note
    assert "another patient" in note
    text = visits.to_csv()
    assert not any(word in text for word in ("Q77", "Z99", "Roe", "Jane", "1945"))


def test_a_first_table_doubts_what_names_and_folders_left_out(tmp_path):
    """Masks and contradicted eyes do not become visits by writing a table and changing nothing."""
    for file in (
        "007/masks/a_2020-01-01_L.png",
        "007/OD/b_2021-01-01_L.png",
        "007/c_2022-01-01_L.png",
    ):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(file.encode())
    before = list_visits(tmp_path, "007", "L")
    assert before[before["used"]]["file"].tolist() == ["c_2022-01-01_L.png"]
    _, rows, doubtful = write_visit_table(tmp_path)
    assert (rows, doubtful) == (3, 2)
    after = list_visits(tmp_path, "007", "L")
    assert after[after["used"]]["file"].tolist() == ["c_2022-01-01_L.png"]


def test_an_exclusion_that_may_mean_several_files_is_told(tmp_path):
    for date in ("2019-05-28", "2020-06-02"):
        (tmp_path / "007" / date / "OS").mkdir(parents=True)
        (tmp_path / "007" / date / "OS" / "IMG_1.png").write_bytes(date.encode())
    (tmp_path / "007" / "excluded.csv").write_text("file,reason\nIMG_1.png,blurred\ngone.png,x\n")
    several, gone = list_eye(tmp_path, "007", "L").remarks
    assert "several files are called 'IMG_1.png'" in several and "write the folder" in several
    assert "there is no file 'gone.png'" in gone
    assert list_visits(tmp_path, "007", "L")["used"].all()


def test_a_photograph_that_its_tag_turned_is_told(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "p").mkdir()
    for year, options in ((2019, {"exif": exif}), (2020, {})):
        file = tmp_path / "p" / f"a_{year}-01-01_L.jpg"
        Image.new("RGB", (60, 40)).save(file, **options)
    visits = list_visits(tmp_path, "p", "L")
    check_headers(visits, photograph_folder(tmp_path, "p"))
    assert visits["note"].tolist() == ["turned by its orientation tag (6)", ""]
