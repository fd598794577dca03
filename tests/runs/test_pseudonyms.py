"""Patients under other names: nothing of theirs is left, and everything else stays."""

import json
import stat

import pandas as pd
import pytest

from fundus_helpers.__main__ import main
from fundus_helpers.atrophy.outlines import read_outlines
from fundus_helpers.loading.tables.landmarks import read_landmarks
from fundus_helpers.loading.visits import (
    cohort_eyes,
    find_eyes,
    list_eye,
    list_files,
    list_visits,
    photograph_folder,
)
from fundus_helpers.runs.pseudonyms import (
    PSEUDONYM,
    PseudonymError,
    check_results,
    key_path,
    make_view,
    pseudonym,
    read_key,
)

KEY = b"0123456789abcdef0123456789abcdef"
FILES = ("Jane Roe_2019-05-28_L.png", "Roe two_2019-05-28_L.png", "Roe_2020-01-01_R.TIF")


@pytest.fixture
def data(tmp_path):
    """Return a data folder of two patients: one with three photographs, a scan and landmarks."""
    for patient in ("Jane Roe", "007"):
        folder = tmp_path / "data" / patient
        folder.mkdir(parents=True)
        for file in (*FILES, "scan of Jane.jpg"):
            (folder / file).write_bytes(file.encode())
        table = pd.DataFrame({"fixed_file": [FILES[0]], "moving_file": [FILES[1]], "fixed_x": 1.5})
        table.to_csv(folder / "landmarks.csv", index=False)
    return tmp_path / "data"


def test_the_same_key_gives_the_same_name_and_another_key_another():
    assert pseudonym(KEY, "Jane Roe") == pseudonym(KEY, "Jane Roe") != pseudonym(KEY, "Jane Rae")
    assert pseudonym(KEY, "Jane Roe") != pseudonym(KEY[::-1], "Jane Roe")
    assert PSEUDONYM.fullmatch(pseudonym(KEY, "Jane Roe"))


def test_the_view_has_every_eye_and_visit_in_order_and_no_name(data, tmp_path):
    patients = make_view(data, tmp_path / "view", KEY)
    assert patients == sorted(pseudonym(KEY, name) for name in ("Jane Roe", "007"))
    assert len(find_eyes(tmp_path / "view")) == len(find_eyes(data)) == 4
    jane = pseudonym(KEY, "Jane Roe")
    old = list_visits(data, "Jane Roe", "L")
    new = list_visits(tmp_path / "view", jane, "L")
    assert new["date"].dropna().tolist() == old["date"].dropna().tolist()
    assert new["used"].tolist() == old["used"].tolist()
    read = [(tmp_path / "view" / jane / file).read_bytes().decode() for file in new["file"]]
    assert read == old["file"].tolist()
    assert not any("roe" in str(path.relative_to(tmp_path)).lower() for path in view_of(tmp_path))


def test_a_table_exclusions_and_subfolders_keep_working_without_any_name(tmp_path, monkeypatch):
    data, view = tmp_path / "data", tmp_path / "view"
    for file in ("all/Roe 1.png", "all/Roe 2.png", "Jane Roe/OS/Roe.png", "all/Roe 3.png"):
        (data / file).parent.mkdir(parents=True, exist_ok=True)
        (data / file).write_text(file)
    (data / "visits.csv").write_text(
        "datei;patient;eye;date;time;modality;comment\n"
        "all/Roe 1.png;Jane Roe;OS;28.05.2019;10:15;colour;Roe\n"
        "all/Roe 2.png;Jane Roe;OS;28.05.2020;;colour;Roe\n"
        "Jane Roe/OS/Roe.png;Jane Roe;OS;28.05.2021;;colour;\n"
        "all/Roe 3.png;Jane Roe;OS;Roe;;;\n"
    )
    (data / "excluded.csv").write_text("file,reason\nall/Roe 2,Roe blinked\n")
    (data / "landmarks.csv").write_text(
        "fixed_file;moving_file;fixed_x;fixed_y;moving_x;moving_y;Roe\n"
        "Roe 1;all/Roe 2.png;1,5;2;3;4;Roe\n"
    )
    (data / "landmarks_2.csv").write_text(
        "fixed_file,moving_file,fixed_x,fixed_y,moving_x,moving_y,placed_by\n"
        "Roe 1,all/Roe 2.png,2.5,2,3,4,Roe\n"
    )
    monkeypatch.setenv("FUNDUS_VISITS_COLUMNS", "file=datei")
    make_view(data, view, KEY)
    (eye,) = find_eyes(data)
    (shown,) = find_eyes(view)
    old, new = list_visits(data, *eye), list_visits(view, *shown)
    for column in ("date", "time", "modality", "used"):
        assert new[column].astype(str).tolist() == old[column].astype(str).tolist(), column
    folder = photograph_folder(view, shown[0])
    read = [(folder / file).read_text() for file in new["file"]]
    assert read == [f"{file}" for file in old["file"]]
    landmarks, left_out = read_landmarks(folder / "landmarks.csv", new["file"])
    assert left_out == [] and landmarks["fixed_x"].tolist() == [1.5]
    assert landmarks["moving_file"].tolist() == [new["file"][1]]
    second, _ = read_landmarks(folder / "landmarks_2.csv", new["file"])
    assert second["fixed_x"].tolist() == [2.5] and "placed_by" not in second
    texts = [path.read_text() for path in view.rglob("*.csv")] + [*map(str, view.rglob("*"))]
    assert len(texts) > 3 and not any("roe" in text.lower() for text in texts)
    assert new["reason"][1].startswith("excluded: ")
    before = {path: path.lstat().st_mtime_ns for path in view.rglob("*")}
    make_view(data, view, KEY)
    assert {path: path.lstat().st_mtime_ns for path in view.rglob("*")} == before


def test_what_is_left_out_by_its_name_is_left_out_under_a_pseudonym_too(tmp_path):
    data, view = tmp_path / "data", tmp_path / "view"
    (data / "Jane Roe").mkdir(parents=True)
    for file in ("Roe_2019-05-28_L.png", "Copy of Roe_2019-05-28_L.png", "Roe{1}_2020-05-28_L.png"):
        (data / "Jane Roe" / file).write_text(file)
    (data / "Roe {2}").mkdir()
    (data / "Roe {2}" / "a_2019-05-28_L.png").touch()
    (data / "Roe linked").symlink_to(data)
    make_view(data, view, KEY)
    plain, shown = list_files(data), list_files(view)
    assert shown["used"].sum() == plain["used"].sum() == 1
    shown, plain = (table[table["kind"] != "other file"] for table in (shown, plain))
    assert sorted(shown["kind"]) == sorted(plain["kind"])
    assert shown["reason"].str.contains("by its name a copy of 'P").sum() == 1
    assert shown["reason"].str.contains("has { or }").sum() == 3
    assert not shown.to_csv().lower().count("roe")


def view_of(tmp_path):
    """Return every path in the view."""
    return list((tmp_path / "view").rglob("*"))


def test_landmarks_follow_their_photographs(data, tmp_path):
    make_view(data, tmp_path / "view", KEY)
    shown = tmp_path / "view" / pseudonym(KEY, "007")
    (row,) = pd.read_csv(shown / "landmarks.csv").to_dict("records")
    assert (shown / row["fixed_file"]).read_bytes().decode() == FILES[0]
    assert (shown / row["moving_file"]).read_bytes().decode() == FILES[1]
    assert row["fixed_x"] == 1.5


def test_outlines_follow_their_photographs_without_any_name(data, tmp_path):
    folder, stem = data / "Jane Roe", FILES[1][:-4]
    (folder / f"{stem}_atrophy.png").write_bytes(b"mask")
    (folder / f"{FILES[2]}_atrophy.roi").write_bytes(b"regions")
    (folder / f"{FILES[0][:-4]}.json").write_text('{"shapes": []}')
    (folder / "Jane gone_atrophy.png").write_bytes(b"of no photograph")
    images = [{"id": n, "file_name": name, "note": "Roe"} for n, name in enumerate([*FILES, "Roe"])]
    spots = [{"id": n, "image_id": n, "category_id": 1, "by": "Roe"} for n in range(4)]
    coco = {"info": "Roe", "images": images, "annotations": spots, "categories": []}
    (folder / "Roe export.json").write_text(json.dumps(coco))
    make_view(data, tmp_path / "view", KEY)
    shown = tmp_path / "view" / pseudonym(KEY, "Jane Roe")
    new = {path.read_bytes().decode(): path for path in shown.iterdir() if path.is_symlink()}
    first, second, third = (new[name] for name in FILES)
    assert new["mask"].name == f"{second.stem}_atrophy.png"
    assert new["regions"].name == f"{third.name}_atrophy.roi"
    assert new['{"shapes": []}'].name == f"{first.stem}.json"
    assert "of no photograph" not in new
    text = (shown / "atrophy_coco.json").read_text()
    assert "Roe" not in text
    told = json.loads(text)
    assert [image["file_name"] for image in told["images"]] == [first.name, second.name, third.name]
    assert [spot["image_id"] for spot in told["annotations"]] == [0, 1, 2]
    assert not any("roe" in str(path.relative_to(tmp_path)).lower() for path in view_of(tmp_path))
    listed = list_eye(tmp_path / "view", shown.name, "L")
    assert {new["mask"].name, "atrophy_coco.json"} <= {*listed.files}
    assert new["regions"].name not in listed.files  # of the right eye


@pytest.mark.parametrize("name", ["atrophy_coco.json", "Roe export.json", "{stem}_atrophy.json"])
def test_a_damaged_file_of_outlines_is_told_under_pseudonyms_too(data, tmp_path, name):
    name = name.format(stem=FILES[1][:-4])
    (data / "Jane Roe" / name).write_bytes(b'{"images": [')
    make_view(data, tmp_path / "view", KEY)
    shown = tmp_path / "view" / pseudonym(KEY, "Jane Roe")
    wanted = {path.name: (8, 8) for path in shown.iterdir() if path.suffix != ".json"}
    outlines, remarks = read_outlines(shown, wanted)
    assert not outlines and len(remarks) == 1
    assert "damaged or cut short" in remarks[0] and "Roe" not in remarks[0]


def test_what_has_not_changed_is_left_alone_and_what_is_gone_goes(data, tmp_path):
    make_view(data, tmp_path / "view", KEY)
    before = {path: path.lstat().st_mtime_ns for path in view_of(tmp_path)}
    make_view(data, tmp_path / "view", KEY)
    assert {path: path.lstat().st_mtime_ns for path in view_of(tmp_path)} == before
    (data / "007" / FILES[2]).unlink()
    make_view(data, tmp_path / "view", KEY)
    gone = set(before) - set(view_of(tmp_path))
    assert [path.suffix for path in gone] == [".tif"]


def test_a_key_is_made_for_this_user_only_and_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("FUNDUS_PSEUDONYM_KEY", raising=False)
    key = read_key(key_path())
    assert len(key) >= 32 and read_key(key_path()) == key
    assert stat.S_IMODE(key_path().stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("where", "content", "mode", "named"),
    [
        ("results/key", KEY, 0o600, "passed on"),
        ("key", KEY, 0o644, "chmod 600"),
        ("key", b"short", 0o600, "5 characters"),
    ],
)
def test_a_key_that_would_not_stay_secret_is_refused(tmp_path, where, content, mode, named):
    path = tmp_path / where
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(PseudonymError, match=named):
        read_key(path, away_from=(tmp_path / "results",))


def test_results_that_name_patients_take_no_pseudonyms_beside_them(data, tmp_path, capfd):
    check_results(tmp_path / "results")
    (tmp_path / "results" / f"{pseudonym(KEY, '007')}_L").mkdir(parents=True)
    check_results(tmp_path / "results")
    (tmp_path / "results" / "Jane Roe_L").mkdir()
    with pytest.raises(PseudonymError, match="RESULTS="):
        check_results(tmp_path / "results")
    told = [str(data), str(tmp_path / "view"), str(tmp_path / "results")]
    assert main(["pseudonyms", "view", *told]) == 2
    assert "Jane" not in capfd.readouterr().err and not (tmp_path / "view").exists()


def test_results_under_pseudonyms_take_no_names_beside_them(tmp_path, capfd):
    results = tmp_path / "results"
    for eye in ("demo_colour_L", "Jane Roe_L"):
        (results / eye).mkdir(parents=True)
    assert main(["pseudonyms", "plain", str(results)]) == 0
    (results / f"{pseudonym(KEY, '007')}_L").mkdir()
    assert main(["pseudonyms", "plain", str(results)]) == 2
    assert "PSEUDONYM=1" in capfd.readouterr().err


def test_no_key_is_made_inside_the_results_to_tell_a_name(data, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("FUNDUS_PSEUDONYM_KEY", str(tmp_path / "results" / "key"))
    assert main(["pseudonyms", "name", "007", str(data), str(tmp_path / "results")]) == 2
    assert capfd.readouterr().out == "" and not (tmp_path / "results").exists()


def test_the_painted_eyes_of_the_demo_are_no_part_of_a_cohort_of_pseudonyms_either(data, tmp_path):
    (data / "demo_colour").mkdir()
    (data / "demo_colour" / "demo_colour_2019-05-28_L.png").touch()
    make_view(data, tmp_path / "view", KEY)
    assert len(cohort_eyes(tmp_path / "view")) == len(cohort_eyes(data)) == 4


def test_a_date_without_zeros_is_the_same_visit_under_a_pseudonym(tmp_path):
    patient = tmp_path / "data" / "007"
    patient.mkdir(parents=True)
    for day in ("2019-5-28", "2019-06-01", "2019-13-01", "Roe-1-1"):
        (patient / f"x_{day}_L.png").touch()
    make_view(tmp_path / "data", tmp_path / "view", KEY)
    plain = list_visits(tmp_path / "data", "007", "L")
    shown = list_visits(tmp_path / "view", pseudonym(KEY, "007"), "L")
    assert shown["date"].tolist()[:2] == plain["date"].tolist()[:2]
    assert shown["used"].tolist() == plain["used"].tolist() == [True, True, False, False]
    assert not any("Roe" in file for file in shown["file"])
