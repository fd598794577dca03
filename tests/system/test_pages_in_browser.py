"""A real browser opens the pages of results from disk: usable by everybody, at two widths."""

import json
import shutil
from pathlib import Path

import pytest
from accessible import grave_findings
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from fundus_helpers.loading.demo_eye import make_demo_eye
from fundus_helpers.results.cohort import write_cohort_report
from fundus_helpers.results.report import write_eye_report, write_pdf
from fundus_helpers.runs.headless import run_notebook
from fundus_helpers.study import Study

PROJECT = Path(__file__).parents[2]
SCREENSHOTS = PROJECT / "build" / "screenshots"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
DRIVER = shutil.which("chromedriver")
EXPLORATION, REGISTRATION = "01_exploratory_analysis", "09_retinal_keypoints"
NARROW = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER),
    reason="no chromium with chromedriver: install them to test the pages",
)


@pytest.fixture(scope="module")
def browser():
    """Return a browser without a screen, as wide as a small laptop."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage"):
        options.add_argument(f"--{argument}")
    options.add_argument("--window-size=1366,768")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return the results of a small cohort: an eye that is done, and one that failed."""
    place = tmp_path_factory.mktemp("pages")
    data, results = place / "data", place / "results"
    make_demo_eye(data, "demo_colour", size=192).rename(data / "one")
    shutil.copytree(data / "one", data / "two")
    for patient in ("one", "two"):
        for photograph in sorted((data / patient).glob("*.png"))[3:]:
            photograph.unlink()
    executed = results / "one_L" / EXPLORATION / f"{EXPLORATION}.ipynb"
    given = {"data": str(data), "results": str(results), "patient": "one", "size": "192"}
    run_notebook(PROJECT / "notebooks" / f"{EXPLORATION}.ipynb", executed, given)
    study = Study(data, "one", "L", results=results, notebook=REGISTRATION, size=192, jobs=1)
    for method in ("affine", "keypoints"):
        study.register(method)
    study.save("keypoints")
    write_eye_report(results / "one_L" / "report.html")
    failed = results / "two_L" / EXPLORATION
    failed.mkdir(parents=True)
    notebook = json.loads(executed.read_text(encoding="utf-8"))
    error = {"output_type": "error", "ename": "ValueError", "evalue": "too\ndark", "traceback": []}
    notebook["cells"][-1] |= {"cell_type": "code", "outputs": [error], "execution_count": 1}
    (failed / executed.name).write_text(json.dumps(notebook), encoding="utf-8")
    write_cohort_report(data, results)
    return results


PAGES = {
    "report": "one_L/report.html",
    "cohort": "cohort.html",
    "notebook": f"one_L/{EXPLORATION}/{EXPLORATION}.html",
}


def open_page(browser, path):
    browser.get(path.as_uri())
    WebDriverWait(browser, 20).until(
        lambda _: browser.execute_script("return document.readyState") == "complete"
    )


def find(browser, selector):
    return browser.find_elements(By.CSS_SELECTOR, selector)


def keep(browser, name):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    browser.save_screenshot(str(SCREENSHOTS / f"{name}.png"))


@pytest.mark.parametrize("name", PAGES)
def test_everybody_can_use_a_page_at_two_widths(browser, results, name):
    open_page(browser, results / PAGES[name])
    WebDriverWait(browser, 20).until(lambda _: find(browser, "table tbody tr"))
    keep(browser, f"page_{name}_wide")
    assert grave_findings(browser) == []
    width = "return document.documentElement.scrollWidth - window.innerWidth"
    assert browser.execute_script(width) <= 0
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", NARROW)
    try:
        keep(browser, f"page_{name}_narrow")
        assert browser.execute_script(width) <= 0
        assert grave_findings(browser) == []
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []


@pytest.mark.parametrize("name", PAGES)
def test_links_and_pictures_of_a_page_lead_to_files(browser, results, name):
    open_page(browser, results / PAGES[name])
    script = "return [...document.querySelectorAll('a[href], img[src]')].map(e => e.href || e.src)"
    for address in browser.execute_script(script):
        path, _, _ = address.partition("?")[0].partition("#")
        if path.startswith("file://"):
            assert Path(path.removeprefix("file://")).is_file(), address
        else:
            assert path.startswith(("https://", "data:")), address


def date_shown(browser):
    return find(browser, ".stage .date")[0].text


def test_the_viewer_goes_through_all_visits_by_keys_slider_and_play(browser, results):
    open_page(browser, results / PAGES["report"])
    stage = find(browser, ".stage")[0]
    stage.click()
    seen = [date_shown(browser)]
    for _ in range(2):
        stage.send_keys(Keys.ARROW_RIGHT)
        seen.append(date_shown(browser))
    dates = [row.text for row in find(browser, "section:nth-of-type(2) td:first-child")]
    assert [words.split()[0] for words in seen] == dates and len({*seen}) == 3
    stage.send_keys("+")
    image = find(browser, ".pane img")[0]
    assert "scale(1.25)" in image.get_attribute("style")
    stage.send_keys("0", " ")
    assert "scale(1)" in image.get_attribute("style")
    WebDriverWait(browser, 5).until(lambda _: date_shown(browser) != seen[-1])
    find(browser, "[data-do=play]")[0].click()
    find(browser, "[name=divided]")[0].click()
    first, second = find(browser, ".stage .date")
    assert second.is_displayed() and second.text.startswith(dates[-1])
    assert all(i.get_property("naturalWidth") == 192 for i in find(browser, ".pane img"))
    keep(browser, "page_viewer_divided")


def test_a_thumbnail_of_the_cohort_opens_the_report_and_its_link_leads_back(browser, results):
    open_page(browser, results / PAGES["cohort"])
    thumbnails = WebDriverWait(browser, 20).until(lambda _: find(browser, ".dataTable td a img"))
    thumbnails[0].click()
    assert browser.current_url.split("?")[0].endswith("one_L/report.html")
    find(browser, "#back a")[0].click()
    assert browser.current_url.endswith("cohort.html")


def test_an_eye_that_failed_links_to_its_notebook_and_says_why_on_one_line(browser, results):
    open_page(browser, results / PAGES["cohort"])
    WebDriverWait(browser, 20).until(lambda _: find(browser, ".dataTable td a img"))
    (row,) = [row for row in find(browser, ".dataTable tbody tr") if row.text.startswith("two_L")]
    assert f"{EXPLORATION}: ValueError: too dark" in row.text
    (link,) = row.find_elements(By.TAG_NAME, "a")
    assert link.get_attribute("href").endswith(f"two_L/{EXPLORATION}/{EXPLORATION}.html")


def test_the_filters_stand_above_the_rows_and_no_column_is_empty(browser, results):
    open_page(browser, results / PAGES["cohort"])
    WebDriverWait(browser, 20).until(lambda _: find(browser, ".dataTable td a img"))
    filters, rows = find(browser, ".dataTable tfoot input"), find(browser, ".dataTable tbody tr")
    assert filters[0].location["y"] < rows[0].location["y"]
    filters[0].send_keys("one")
    WebDriverWait(browser, 5).until(
        lambda _: "two_L" not in find(browser, ".dataTable tbody")[0].text
    )
    columns = len(find(browser, ".dataTable thead th"))
    for number in range(1, columns + 1):
        cells = find(browser, f".dataTable tbody td:nth-child({number})")
        assert (
            any(c.text or c.find_elements(By.TAG_NAME, "img") for c in cells) or number == columns
        )


def test_the_report_is_printed_with_its_pictures(browser, results):
    pdf = write_pdf(results / PAGES["report"])
    assert pdf.read_bytes().startswith(b"%PDF") and pdf.stat().st_size > 20_000
    with Image.open(next((results / "one_L" / REGISTRATION / "pictures" / "after").iterdir())) as i:
        assert i.size == (192, 192)
