"""The report of a cohort tells of every eye, and of no eye more than is true."""

import json

import pandas as pd
import pytest

from fundus_helpers.__main__ import main
from fundus_helpers.loading.visits import EyeError
from fundus_helpers.results.cohort import write_cohort_report

NOTEBOOK = "03_rigid"


@pytest.fixture
def cohort(tmp_path):
    """Return data and results of two eyes: one done, one that failed after it had been done."""
    for patient in ("good", "bad"):
        (tmp_path / "data" / patient).mkdir(parents=True)
        (tmp_path / "data" / patient / f"{patient}_2020-01-01_L.png").touch()
        folder = tmp_path / "results" / f"{patient}_L" / NOTEBOOK
        folder.mkdir(parents=True)
        (folder.parent / "report.html").write_text("</html>")
        metrics = {"left_out": [], "provenance": {"code": "1"}, "outcomes": []}
        if patient == "good":
            (folder / "metrics.json").write_text(json.dumps(metrics))
    return tmp_path / "data", tmp_path / "results"


def test_the_report_of_an_eye_that_failed_since_is_not_linked(cohort):
    table = write_cohort_report(*cohort)
    assert table[["patient", "state"]].values.tolist() == [["bad", "FAILED"], ["good", "done"]]
    page = (cohort[1] / "cohort.html").read_text()
    assert "good_L/report.html" in page and "bad_L" in page and "bad_L/report.html" not in page


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
