"""The report tells of every visit, and its table, its stack and its PDF tell the same."""

import re
import shutil

import nbformat
import numpy as np
import pandas as pd
import pytest
import tifffile

from fundus_helpers.__main__ import main
from fundus_helpers.loading.eye import load_eye
from fundus_helpers.loading.photographs import read_photograph
from fundus_helpers.results.folder import make_folder, save_registrations
from fundus_helpers.results.metrics_file import read_eye_metrics, save_metrics
from fundus_helpers.results.reading import read_outcomes
from fundus_helpers.results.report import (
    tell_eye,
    tell_results,
    write_eye_report,
    write_stack,
)
from fundus_helpers.results.report.visits import taken_method, verdict_sentences
from fundus_helpers.runs import left
from fundus_helpers.series.registering import Registration
from fundus_helpers.transforms import identity

NOTEBOOK = "09_retinal_keypoints"
DARK = "too dark (mean 0.02)"
EYE = "demo_colour_L"


def outcome(visit, template, verdict="accepted", reasons=(), error=0.5, method="keypoints"):
    """Return what became of one visit."""
    row = {"method": method, "visit": visit, "template": template, "verdict": verdict}
    row |= {"reasons": [*reasons], "failure": "", "predicted_error_px": error, "seconds": 0.1}
    return row | {"landmark_error_before_px": 20.0, "landmark_error_px": error, "ncc": 0.8}


@pytest.fixture
def results(demo, tmp_path):
    """Return results of an eye of four visits: two accepted, the last one failed."""
    eye = load_eye(demo, "demo_colour", "L", size=96)
    names = eye.names[:4]
    folder = make_folder(tmp_path, "demo_colour", "L", NOTEBOOK)
    found = [Registration(name, identity(), "", 0.1) for name in names[:3]]
    found += [Registration(names[3], None, "dark", 0.1)]
    found += [None] * (len(eye.names) - 4)
    save_registrations(folder, eye, 0, found, shown=1, jobs=1)
    rows = [outcome(name, names[0]) for name in names[1:3]]
    rows += [outcome(names[3], names[0], "failed", [DARK, "not the same vessels"], None)]
    # A method of which nothing was saved, although its numbers are better.
    rows += [outcome(name, names[0], error=0.1, method="better, not saved") for name in names[1:]]
    save_metrics(folder, eye, {}, {"outcomes": rows, "saved_method": "keypoints"})
    return tmp_path


def dates_of(results):
    metrics = read_eye_metrics(results / EYE)[0][NOTEBOOK]
    return [*metrics["dates"].values()][:4]


def taken_from(results):
    return taken_method(read_eye_metrics(results / EYE)[0], read_outcomes(results, [EYE]))


def test_the_method_to_take_is_one_whose_photographs_were_saved(results):
    taken = taken_from(results)
    assert taken.method == "keypoints" and len(taken.outcomes) == 3


def test_the_verdict_says_how_many_were_accepted_which_failed_why_and_what_to_do(results):
    first, *_, last = dates_of(results)
    accepted, failed = verdict_sentences(taken_from(results))
    assert accepted == f"2 of 3 visits were registered to the template of {first} and accepted."
    assert failed.startswith(f"1 failed: {last} (too dark, not the same vessels). Do not use it;")
    assert tell_eye(results, EYE) == (
        f"keypoints: 2 accepted, 1 failed: {last} (too dark, not the same vessels)"
    )


def test_there_is_one_row_per_visit_and_its_links_lead_to_files(results):
    page = write_eye_report(results / EYE / "report.html").read_text(encoding="utf-8")
    for date in dates_of(results):
        (row,) = re.findall(rf"<tr><td>{date}</td>.*?</tr>", page)
        links = re.findall(r'(?:href|src)="([^"]*)"', row)
        assert all((results / EYE / link).is_file() for link in links)
        failed = date == dates_of(results)[-1]
        assert ("/after/" in row, "/transforms/" in row) == (
            (False, False) if failed else (date != dates_of(results)[0], True)
        )
        assert not failed or ("too dark" in row and "0.02" not in row)


def test_the_viewer_shows_every_registered_visit_in_order_and_none_that_failed(results):
    page = write_eye_report(results / EYE / "report.html").read_text(encoding="utf-8")
    shown = re.findall(r'"date": "([-\d]+)"', page)
    assert shown == dates_of(results)[:3]
    assert "://" not in page


def test_the_stack_has_the_registered_photographs_in_order_with_their_dates(results):
    with tifffile.TiffFile(write_stack(results / EYE)) as stack:
        assert stack.imagej_metadata["Labels"] == dates_of(results)[:3]
        pages = stack.asarray()
    files = sorted((results / EYE / NOTEBOOK / "registered").iterdir())
    np.testing.assert_array_equal(pages, [read_photograph(file) for file in files])


def test_an_eye_without_registered_photographs_has_no_stack_and_is_told_what_to_run(
    results, caplog
):
    for file in (results / EYE / NOTEBOOK / "registered").iterdir():
        file.unlink()
    assert main(["stack", str(results / EYE)]) == 2
    assert f"no registered photographs of {EYE}: run {NOTEBOOK}" in caplog.text


def test_the_spreadsheet_has_the_numbers_and_their_units(results):
    write_eye_report(results / EYE / "report.html")
    sheets = pd.read_excel(results / EYE / "report.xlsx", sheet_name=None, keep_default_na=False)
    assert [*sheets] == ["visits", "all methods", "columns"]
    assert [str(day)[:10] for day in sheets["visits"]["date"]] == dates_of(results)[1:]
    assert sheets["visits"]["reasons"].iloc[-1] == f"{DARK}; not the same vessels"
    units = sheets["columns"].set_index("column")["unit"]
    assert units["predicted_error_px"] == "pixels of the photographs on disk"


def test_a_pdf_needs_a_browser_and_says_so(results, caplog, monkeypatch):
    page = write_eye_report(results / EYE / "report.html")
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert main(["pdf", str(page)]) == 2
    assert "install Chromium, Chrome or Edge" in caplog.text
    assert not page.with_suffix(".pdf").exists()


def test_the_end_of_a_run_tells_everything_and_the_page_to_open(results):
    page = write_eye_report(results / EYE / "report.html")
    broken = results / EYE / "03_rigid"
    broken.mkdir()
    long = "the registration of this photograph " * 10
    cell = nbformat.v4.new_code_cell(
        outputs=[nbformat.v4.new_output("error", ename="ValueError", evalue=f"{long}\nended")]
    )
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), broken / "03_rigid.ipynb")
    told = tell_results(results, [EYE])
    assert f"{' '.join(long.split())} ended" in told  # on one line, and not cut off
    assert "no report: not every notebook is done" in told
    assert f"{EYE}  keypoints: 2 accepted, 1 failed: " in told
    shutil.rmtree(broken)
    assert tell_results(results, [EYE]).endswith(f"{EYE}  report: {page}")


def test_a_run_says_how_many_notebooks_there_are_and_counts_them(tmp_path, monkeypatch):
    for name in (left.TO_RUN, left.ENDED):
        monkeypatch.setenv(name, "")
    assert left.begin_run(tmp_path, []) == "" and left.how_much_is_left() == ""
    monkeypatch.setattr(left, "seconds_of", lambda *_: ({"a": 30.0, "b": 90.0}, 1))
    assert left.begin_run(tmp_path, ["a", "b", "b"]) == "3 notebooks to run, about 4 minutes"
    assert [left.how_much_is_left() for _ in range(2)] == [" (1 of 3)", " (2 of 3)"]
    left.end_run()
    assert left.how_much_is_left() == ""
