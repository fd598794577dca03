"""The report of an eye opens from disk, fetches nothing, and shows what every notebook left."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import nbformat.v4 as nb
import pytest
from PIL import Image

from fundus_helpers.__main__ import main
from fundus_helpers.results.folder import make_folder
from fundus_helpers.results.metrics_file import METRICS_FILE, save_metrics
from fundus_helpers.results.notebook_page import page_without_code
from fundus_helpers.results.reading import read_outcomes
from fundus_helpers.results.report import summarise, write_eye_report

WIDGET = "application/vnd.jupyter.widget-view+json"
TABLE = "<style>td { color: green }</style><table><tr><td>0.5</td></tr></table>"


class Page(HTMLParser):
    """The tags of a page, with their attributes, and what a browser fetches for it."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.fetched = [], re.findall(r"@import\s+\S+|url\((?!['\"]?data:)[^)]*", text)
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        names = ("src", "srcset", "poster", "data", *(["href"] if tag == "link" else []))
        found = (attributes.get(name) for name in names)
        self.fetched += [value for value in found if value and not value.startswith("data:")]

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def picture(kind):
    """Return a grey picture as a notebook holds it."""
    buffer = io.BytesIO()
    Image.new("L", (4, 3), 128).save(buffer, kind)
    return base64.b64encode(buffer.getvalue()).decode()


def shown(**data):
    """Return a code cell with one output; an underscore in a type stands for its slash."""
    data = {name.replace("_", "/"): value for name, value in data.items()}
    return nb.new_code_cell("secret = 1", outputs=[nb.new_output("display_data", data)])


@pytest.fixture
def executed(tmp_path):
    """Return an executed notebook with outputs of every kind, those of widgets among them."""
    cells = [
        nb.new_markdown_cell('# 03 Rigid\n\nProse with $x$.\n\n## Shift & "turn"'),
        shown(image_png=picture("PNG"), text_plain="<Figure>"),
        nb.new_markdown_cell("*A caption, and no heading.*"),
        shown(image_jpeg=picture("JPEG")),
        nb.new_markdown_cell("## Tables"),
        shown(text_html=TABLE, text_plain="plain"),
        shown(text_html="<SCRIPT src='https://a.org/b.js'></SCRIPT>", text_plain="sortable table"),
        shown(application_javascript="fetch('https://a.org')", text_plain="script object"),
        shown(text_plain="sliders", **{WIDGET: {"model_id": "m", "version_major": 2}}),
        nb.new_code_cell(outputs=[nb.new_output("stream", text="a line\n")]),
    ]
    states = {"application/vnd.jupyter.widget-state+json": {"state": {"m": {}}}}
    notebook = nb.new_notebook(cells=cells, metadata={"widgets": states})
    path = make_folder(tmp_path, "007", "L", "03_rigid") / "03_rigid.ipynb"
    nbformat_write(notebook, path)
    return path


def nbformat_write(notebook, path):
    path.write_text(nb.writes(notebook), encoding="utf-8")


def test_the_page_of_a_notebook_has_no_script_and_fetches_nothing(executed):
    text = page_without_code(executed)
    assert "<script" not in text.lower()
    assert Page(text).fetched == []
    assert "a.org" not in text and "cdn" not in text


def test_the_page_of_a_notebook_shows_prose_tables_and_outputs_without_code(executed):
    text = page_without_code(executed)
    assert "secret" not in text
    assert TABLE in text and "Prose with" in text and "a line" in text
    # In place of what needs a script.
    assert "sortable table" in text and "script object" in text and "sliders" in text
    assert "JupyterLab Light" in text and text.rstrip().endswith("</html>")


def test_dates_in_tables_do_not_break_and_all_else_stays(executed):
    notebook = nb.reads(executed.read_text(encoding="utf-8"))
    cells = '<td class="a">2018-07-12</td><th>a_2018-07-12_L</th><td>see 2018-07-12, or not</td>'
    notebook.cells.append(shown(text_html=f"<table><tr>{cells}</tr></table>", text_plain="t"))
    nbformat_write(notebook, executed)
    text = page_without_code(executed)
    kept = '<span style="white-space: nowrap">'
    assert f'<td class="a">{kept}2018-07-12</span></td>' in text
    assert f"<th>{kept}a_2018-07-12_L</span></th>" in text
    assert "<td>see 2018-07-12, or not</td>" in text and TABLE in text


def test_figures_have_alternative_texts_and_the_title_names_the_eye(executed):
    page = Page(page_without_code(executed))
    alternative = 'Figure of section: Shift & "turn"'
    assert [image["alt"] for image in page.all("img")] == [alternative, alternative]
    types = [re.match(r"data:(image/\w+);base64,", image["src"])[1] for image in page.all("img")]
    assert types == ["image/png", "image/jpeg"]
    assert "<title>007_L: 03_rigid</title>" in page_without_code(executed)


def outcome(method, verdict, error):
    """Return what became of one visit under a method."""
    return {
        "method": method,
        "visit": "2020",
        "template": "2019",
        "verdict": verdict,
        "reasons": [],
        "failure": "",
        "predicted_error_px": error,
        "landmark_error_before_px": 20.0,
        "landmark_error_px": error,
        "l1": 0.1,
        "ncc": 0.8,
        "ssim": 0.7,
        "overlap": 0.9,
        "folding": 0.0,
        "seconds": 0.1,
    }


@pytest.fixture
def results(tmp_path):
    """Return a folder of results: an eye with two notebooks, one run by hand."""
    content = {"patient": "007", "laterality": "L"}
    content["left_out"] = [{"file": "a.png", "reason": "1 < 2 visits"}]
    content |= {"photographs": 2, "before": {"2020": {"landmark_error_px": 20.0}}}
    content["after"] = {"2020": {"landmark_error_px": 0.5}}
    for notebook, method, error in (("03_rigid", "a<b", 2.5), ("09_own", "R & D", 0.25)):
        folder = make_folder(tmp_path, "007", "L", notebook)
        outcomes = [outcome(method, "accepted", error)]
        save_metrics(folder, None, {}, content | {"outcomes": outcomes})
    nbformat_write(nb.new_notebook(), folder.with_name("03_rigid") / "03_rigid.ipynb")
    return tmp_path


def test_a_report_names_the_eye_the_method_to_take_and_what_was_left_out(results):
    text = write_eye_report(results / "007_L" / "report.html").read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>") and '<html lang="en">' in text
    assert "<title>007_L: registration report</title>" in text
    assert "Method to take: R &amp; D (09_own)" in text
    assert "The visit was registered to the template of 2019 and accepted." in text
    assert "<td>a&lt;b</td><td>1</td><td>0</td><td>0</td><td>2.5</td>" in text
    assert "a.png: 1 &lt; 2 visits" in text
    assert "To measure the growth of a lesion, use affine or keypoints: B-splines" in text
    assert "landmark error 20.00 px before, 0.50 px after" in text
    page = Page(text)
    assert [meta["name"] for meta in page.all("meta") if "name" in meta] == ["viewport"]
    assert page.fetched == []  # no picture of a visit was saved
    assert all(image["alt"] for image in page.all("img"))


def test_the_table_of_a_report_fits_on_a_page(results):
    text = write_eye_report(results / "007_L" / "report.html").read_text(encoding="utf-8")
    rows = re.findall(r"<tr>.*?</tr>", text, re.S)
    (header,) = (row for row in rows if "accepted (visits)" in row)
    names = ["method", "accepted (visits)", "doubtful (visits)", "failed (visits)"]
    names += ["landmark error (px)", "predicted error (px)", "NCC (-1 to 1)", "SSIM (-1 to 1)"]
    names += ["folding (%)", "time (s)"]
    assert re.findall(r"<th[^>]*>([^<]*)</th>", header) == names


@pytest.mark.parametrize("left", [None, ""])
def test_a_notebook_run_by_hand_is_told_as_such_and_has_no_page(results, left):
    if left is not None:  # as Snakemake leaves it after an earlier run that was killed
        (results / "007_L" / "09_own" / "09_own.ipynb").write_text(left)
    assert main(["report", str(results / "007_L" / "report.html")]) == 0
    text = (results / "007_L" / "report.html").read_text(encoding="utf-8")
    links = [link["href"] for link in Page(text).all("a")]
    links = [link for link in links if "/" in link and not link.startswith("..")]
    assert links == ["03_rigid/03_rigid.html"] and (results / "007_L" / links[0]).is_file()
    (row,) = re.findall(r"<tr><td>09_own</td>.*?</tr>", text)
    assert "2 usable visits" in row and "run by hand" in row
    assert text.count("run by hand") == 1


def test_an_eye_without_results_has_no_report(results, caplog):
    (results / "008_L").mkdir()
    assert main(["report", str(results / "008_L" / "report.html")]) == 2
    assert "no results of 008_L" in caplog.text
    assert list((results / "008_L").iterdir()) == []


def test_numbers_that_cannot_be_read_are_a_failure_with_its_reason(results):
    (results / "007_L" / "03_rigid" / METRICS_FILE).write_text('{"outcomes": []}')
    table = summarise(results).set_index("notebook")
    assert table["state"].to_dict() == {"03_rigid": "FAILED", "09_own": "done"}
    assert "run the notebook again" in table.loc["03_rigid", "in numbers"]


@pytest.mark.parametrize("content", ['{"outcomes": []}', '{"version": 2', "\udcff"])
def test_a_file_that_cannot_be_read_is_named_in_the_report_and_leaves_the_others(results, content):
    path = results / "007_L" / "03_rigid" / METRICS_FILE
    path.write_text(content, errors="surrogateescape")
    text = write_eye_report(results / "007_L" / "report.html").read_text(encoding="utf-8")
    (row,) = re.findall(r"<tr><td>03_rigid</td>.*?</tr>", text)
    assert "metrics.json of 03_rigid (007_L)" in row and "run the notebook again" in row
    assert "Method to take: R &amp; D (09_own)" in text


def test_a_study_of_one_s_own_is_not_taken_for_a_notebook(results):
    folder = make_folder(results, "007", "L", "study")
    content = {"patient": "007", "laterality": "L", "outcomes": [outcome("a<b", "failed", 9.0)]}
    save_metrics(folder, None, {}, content)
    assert set(read_outcomes(results, ["007_L"])["notebook"]) == {"03_rigid", "09_own"}
    (folder / METRICS_FILE).write_text("damaged")
    assert len(read_outcomes(results, ["007_L"])) == 2


def test_two_notebooks_that_name_a_method_alike_are_named(results):
    folder = make_folder(results, "007", "L", "12_own")
    content = {"patient": "007", "laterality": "L", "outcomes": [outcome("a<b", "failed", 9.0)]}
    save_metrics(folder, None, {}, content)
    with pytest.raises(ValueError, match="007_L: 03_rigid and 12_own.*'a<b'.*label of its own"):
        read_outcomes(results, ["007_L"])


def test_an_executed_notebook_that_is_damaged_is_told_and_stops_nothing(results):
    damaged = results / "007_L" / "03_rigid" / "03_rigid.ipynb"
    damaged.write_text(damaged.read_text()[:20])
    write_eye_report(results / "007_L" / "report.html")
    (results / "007_L" / "03_rigid" / METRICS_FILE).unlink()
    table = summarise(results).set_index("notebook")
    assert (
        "03_rigid.ipynb is damaged: run the notebook again" in table.loc["03_rigid", "in numbers"]
    )


COLUMNS = "visit,date,area_px,area_mm2,area_low_px,area_high_px,area_low_mm2,area_high_mm2,foci"
COLUMNS += ",found_by,scale,reason"
SCALE = "0.0116 mm per pixel (DICOM header)"


def save_atrophy(results, *rows, rates=()):
    """Write the table and the rates that notebook 12 leaves; return their folder."""
    folder = make_folder(results, "007", "L", "12_atrophy")
    (folder / "atrophy.csv").write_text("\n".join([COLUMNS, *rows]) + "\n")
    (folder / "growth.json").write_text(json.dumps({"rates": [*rates]}))
    return folder


def report_of(results):
    """Write the report of the eye and return its text."""
    return write_eye_report(results / "007_L" / "report.html").read_text(encoding="utf-8")


def test_the_report_tells_area_interval_rate_and_scale_of_the_atrophy(results):
    rate = {"name": "square-root growth", "value": 0.3333, "low": 0.2, "high": None}
    folder = save_atrophy(
        results,
        f"a,2020-01-02,1000,1.2345,900,1100,1.1,1.4,2.0,found,{SCALE},",
        "b,,,,,,,,,,,its registration is failed: <dark>",
        rates=[rate | {"unit": "mm/year"}],
    )
    for name in ("growth.png", "outlines.gif"):
        (folder / name).touch()
    text = report_of(results)
    assert f"Scale: {SCALE}." in text
    assert "<td>2020-01-02</td><td>1.23 mm2</td><td>1.10 to 1.40</td><td>2</td>" in text
    assert "<td>b</td><td></td>" in text and "its registration is failed: &lt;dark&gt;" in text
    assert "<td>square-root growth</td><td>0.333</td><td>0.2</td><td></td><td>mm/year</td>" in text
    assert Page(text).fetched[-2:] == ["12_atrophy/growth.png", "12_atrophy/outlines.gif"]


def test_without_a_scale_the_report_has_pixels_and_says_so(results):
    save_atrophy(results, "a,2020-01-02,1000.4,,900,1100,,,2,found,,")
    text = report_of(results)
    assert "No scale is known" in text
    assert "<td>1000 px</td><td>900 to 1100</td>" in text and "mm2" not in text


def test_an_eye_without_atrophy_is_told_as_such(results):
    save_atrophy(results, f"a,2020-01-02,0.0,0.0,0,0,0,0,0,found,{SCALE},")
    text = report_of(results)
    assert "No atrophy was found at any visit." in text and "Growth of the atrophy" not in text


def test_an_onset_map_that_was_refused_has_its_reason_and_no_number(results):
    save_atrophy(results, f"a,2020-01-02,,,,,,,,,{SCALE},30 % of the last lesion is healthy later")
    text = report_of(results)
    assert "could not be followed; the table says why" in text
    assert "30 % of the last lesion is healthy later" in text and "No atrophy" not in text


@pytest.mark.parametrize("content", ["", "visit,date\na,b\n", COLUMNS + '\na,b,"c', "\udcff\udcfe"])
def test_damaged_atrophy_is_named_and_stops_nothing(results, content):
    folder = save_atrophy(results)
    (folder / "atrophy.csv").write_text(content, errors="surrogateescape")
    text = report_of(results)
    assert "atrophy.csv of 12_atrophy: damaged; delete it and run the notebook again" in text
    assert "Method to take" in text


@pytest.mark.parametrize("content", ["{", "[1]", '{"rates": [{"name": 1}]}', "3"])
def test_damaged_rates_are_named_and_the_areas_stay(results, content):
    folder = save_atrophy(results, f"a,2020-01-02,1000,1.2345,9,11,1,2,2,found,{SCALE},")
    (folder / "growth.json").write_text(content)
    text = report_of(results)
    assert "growth.json of 12_atrophy: damaged; delete it" in text and "1.23 mm2" in text


def test_an_eye_on_which_atrophy_was_not_followed_has_no_such_section(results):
    assert "Atrophy" not in report_of(results)
