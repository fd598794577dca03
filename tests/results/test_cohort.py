"""The report of a cohort tells of every eye, and of no eye more than is true."""

import json

import nbformat
import pandas as pd
import pytest

from fundus_helpers.__main__ import main
from fundus_helpers.loading.visits import EyeError
from fundus_helpers.results.cohort import write_cohort_report
from fundus_helpers.results.folder import make_folder
from fundus_helpers.results.metrics_file import save_metrics
from fundus_helpers.results.reading import read_outcomes

NOTEBOOK = "03_rigid"


@pytest.fixture
def cohort(tmp_path):
    """Return data and results of two eyes: one done, one that failed after it had been done."""
    for patient in ("good", "bad"):
        (tmp_path / "data" / patient).mkdir(parents=True)
        (tmp_path / "data" / patient / f"{patient}_2020-01-01_L.png").touch()
        folder = make_folder(tmp_path / "results", patient, "L", NOTEBOOK)
        (folder.parent / "report.html").write_text("</html>")
        if patient == "good":
            save_metrics(folder, None, {}, {"patient": patient, "laterality": "L"})
    return tmp_path / "data", tmp_path / "results"


def test_the_report_of_an_eye_that_failed_since_is_not_linked(cohort):
    table = write_cohort_report(*cohort)
    assert table[["patient", "state"]].values.tolist() == [["bad", "FAILED"], ["good", "done"]]
    page = (cohort[1] / "cohort.html").read_text()
    assert "good_L/report.html" in page and "bad_L" in page and "bad_L/report.html" not in page
    assert "<title>Cohort: registration report</title>" in page
    assert "2 eyes: 1 done, 0 unfinished, 1 FAILED." in page


def test_every_photograph_is_counted_once_and_what_is_left_out_has_its_reason(cohort, capfd):
    data, results = cohort
    (data / "good" / "scan.png").touch()
    (data / "good" / "good_2099-01-01_L.png").write_text("x")
    (data / "good" / "notes.txt").touch()
    (data / "good" / "excluded.csv").write_text("file,reason\ngood_2020-01-01_L,blurred\n")
    (data / "nameless").mkdir()
    (data / "nameless" / "IMG_0001.jpg").touch()
    (data / "flat_2020-01-01_L.png").touch()
    (data / "a{b}").mkdir()
    (data / "a{b}" / "a_2020-01-01_L.png").touch()
    table = write_cohort_report(*cohort)
    lying = [path for path in data.rglob("*") if path.is_file()]
    assert table["photographs"].sum() + 2 == len(lying)  # notes.txt, excluded.csv
    assert (table["used"] + table["left_out"] == table["photographs"]).all()
    assert table.set_index(["patient", "laterality"])["state"].to_dict() == {
        **{("bad", "L"): "FAILED", ("good", "L"): "done"},
        **{(name, ""): "left out" for name in ("good", "nameless", "", "a{b}")},
    }
    good = table.set_index(["patient", "laterality"]).loc[("good", "L")]
    assert good["why_left_out"] == "good_2020-01-01_L.png: excluded: blurred"
    assert "in the future" in good["notes"]
    reasons = table.set_index("patient")["reason"]
    assert "tells its eye" in reasons["nameless"] and "rename it" in reasons["a{b}"]
    saved = pd.read_csv(results / "cohort.csv", keep_default_na=False)
    assert saved["why_left_out"].tolist() == table["why_left_out"].tolist()
    assert pd.read_parquet(results / "cohort.parquet")["photographs"].sum() == 7
    page = (results / "cohort.html").read_text()
    count = "2 eyes of 4 patients, 7 photographs: 2 used, 5 left out; 2 other files"
    assert count in page and "excluded: blurred" in page and "(no patient)" in page
    assert main(["cohort", *map(str, cohort)]) == 0
    told = capfd.readouterr().out
    assert count in told and "nameless  left out" in told and "2 eyes, 1 done" in told
    parts = [write_cohort_report(*cohort, f"{number}/2") for number in (1, 2)]
    assert sum(part["photographs"].sum() for part in parts) == table["photographs"].sum()


def test_what_the_run_has_left_out_counts_as_left_out(cohort):
    data, results = cohort
    for year in (2021, 2022):
        (data / "good" / f"good_{year}-01-01_L.png").write_text(f"{year}")
    metrics = results / "good_L" / NOTEBOOK / "metrics.json"
    content = json.loads(metrics.read_text())
    content["left_out"] = [{"file": "good_2021-01-01_L.png", "reason": "too dark"}]
    metrics.write_text(json.dumps(content))
    good = write_cohort_report(*cohort).set_index("patient").loc["good"]
    assert (good["photographs"], good["used"], good["left_out"]) == (3, 2, 1)
    assert good["why_left_out"] == "good_2021-01-01_L.png: too dark"


def test_a_comparison_run_by_hand_is_told_as_such_and_has_no_page(cohort):
    folder = make_folder(cohort[1], "cohort", "", "11_compare_methods")
    save_metrics(folder, None, {}, {})
    write_cohort_report(*cohort)
    page = (cohort[1] / "cohort.html").read_text()
    assert "11_compare_methods, run by hand" in page and "11_compare_methods.html" not in page
    nbformat.write(nbformat.v4.new_notebook(), folder / "11_compare_methods.ipynb")
    write_cohort_report(*cohort)
    page = (cohort[1] / "cohort.html").read_text()
    assert 'href="cohort/11_compare_methods/11_compare_methods.html"' in page
    assert (folder / "11_compare_methods.html").is_file() and "by hand" not in page


def test_an_eye_whose_numbers_cannot_be_read_fails_with_its_reason_and_stops_no_other(cohort):
    (cohort[1] / "good_L" / NOTEBOOK / "metrics.json").write_text('{"outcomes": []}')
    table = write_cohort_report(*cohort)
    assert table["state"].tolist() == ["FAILED", "FAILED"]
    reason = table.set_index("patient").loc["good", "reason"]
    assert reason.startswith(NOTEBOOK) and "run the notebook again" in reason


def test_a_file_that_cannot_be_read_is_left_out_where_all_eyes_are_compared(cohort):
    outcome = {"method": "rigid", "visit": "b", "template": "a", "verdict": "failed"}
    outcome |= {"reasons": [], "failure": "", "seconds": 1.0}
    outcome |= dict.fromkeys(("predicted_error_px", "landmark_error_before_px"))
    content = {"patient": "bad", "laterality": "L", "outcomes": [outcome]}
    save_metrics(cohort[1] / "bad_L" / NOTEBOOK, None, {}, content)
    (cohort[1] / "good_L" / NOTEBOOK / "metrics.json").write_text("damaged")
    with pytest.raises(ValueError, match=r"03_rigid \(good_L\): damaged"):
        read_outcomes(cohort[1], data=cohort[0])
    assert set(read_outcomes(cohort[1], data=cohort[0], skip_unreadable=True)["patient"]) == {"bad"}


def test_a_part_without_any_eye_is_told_and_leaves_the_report_of_all(cohort, capfd):
    write_cohort_report(*cohort)
    whole = (cohort[1] / "cohort.csv").read_text()
    assert main(["cohort", *map(str, cohort), "--part", "3/3"]) == 0
    assert "0 eyes, 0 done" in capfd.readouterr().out
    assert pd.read_csv(cohort[1] / "cohort-3-of-3.csv").empty
    assert (cohort[1] / "cohort.csv").read_text() == whole


def test_a_data_folder_that_is_not_there_is_named_and_nothing_written(cohort, caplog):
    data, results = cohort
    with pytest.raises(EyeError, match="'typo' does not exist"):
        write_cohort_report(data.parent / "typo", results)
    assert main(["cohort", str(data.parent / "typo"), str(results)]) == 2
    assert "'typo' does not exist" in caplog.text
    assert not (results / "cohort.csv").exists()
