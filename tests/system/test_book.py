"""The book: whole, usable by everybody, without a patient, and without the internet."""

import base64
import io
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from accessible import grave_findings
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

import fundus_helpers as fh
from book.demo_eye import BookError, check_run, demo_results, refuse_patients
from book.gather import TOP
from book.links import check_site
from book.notebook_pages import ON_THE_FRONT, notebook_page, title_and_question
from fundus_helpers.results.notebooks import numbered_notebooks
from fundus_helpers.results.provenance import code_version
from fundus_helpers.runs.headless import run_notebook

PROJECT = Path(__file__).parents[2]
SCREENSHOTS = PROJECT / "build" / "screenshots"
NOTEBOOKS = numbered_notebooks(PROJECT / "notebooks")
EXECUTED = "01_exploratory_analysis"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
DRIVER = shutil.which("chromedriver")
# What the pages are made of.
SOURCES = (
    "book/*.py",
    "book/pages/*",
    "book/static/*",
    "docs/*.md",
    "data/README.md",
    "*.md",
    "notebooks/*.ipynb",
)
SOURCES += ("fundus_helpers/**/*.py", "fundus_helpers/__init__.pyi")

in_a_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER),
    reason="no chromium with chromedriver: install them to test the book in a browser",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the site of `make book` if it is newer than its sources, otherwise a small one."""
    front = PROJECT / "build" / "book" / "site" / "index.html"
    made_of = [path for pattern in SOURCES for path in PROJECT.glob(pattern)]
    if front.exists() and front.stat().st_mtime > max(path.stat().st_mtime for path in made_of):
        return front.parent
    place = tmp_path_factory.mktemp("book")
    executed = json.dumps({name: str(path) for name, path in small_results(place).items()})
    script = (
        "import json, sys; from pathlib import Path; from book.__main__ import build_site; "
        "given = {name: Path(path) for name, path in json.loads(sys.argv[1]).items()}; "
        "build_site(given, Path(sys.argv[2]))"
    )
    subprocess.run([sys.executable, "-c", script, executed, str(place)], cwd=PROJECT, check=True)
    return place / "site"


def small_results(place):
    """Run one notebook on a small eye; the others show one picture each where theirs stands."""
    eye = place / "results" / "demo_colour_L"
    executed = {name: eye / name / f"{name}.ipynb" for name in NOTEBOOKS}
    for name, stored in NOTEBOOKS.items():
        notebook = nbformat.read(stored, as_version=4)
        cell = next(c for c in notebook.cells if ON_THE_FRONT in c.metadata.get("tags", []))
        cell.outputs = [nbformat.v4.new_output("display_data", a_picture())]
        executed[name].parent.mkdir(parents=True)
        nbformat.write(notebook, executed[name])
    for path, _ in TOP.values():
        Image.new("L", (64, 64), 90).save(eye / path)
    fh.make_demo_eye(place / "data", size=96).rename(place / "data" / "small")
    given = {"data": str(place / "data"), "results": str(place), "patient": "small", "size": "96"}
    run_notebook(NOTEBOOKS[EXECUTED], executed[EXECUTED], given)
    return executed


def a_picture(caption="Figure: a picture that a test has made."):
    """Return what a cell shows that draws a figure."""
    file = io.BytesIO()
    Image.new("L", (1200, 300), 90).save(file, "PNG")
    return {"image/png": base64.b64encode(file.getvalue()).decode(), "text/plain": caption}


class Read(HTMLParser):
    """The headings, pictures and anchors of a page."""

    def __init__(self, path):
        super().__init__()
        self.headings, self.pictures, self.anchors = [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors.add(given.get("id"))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "img":
            self.pictures.append(given)


# The pages


def test_there_is_a_page_of_every_notebook_page_of_the_guide_and_room(site):
    guide = [path.relative_to(PROJECT).with_suffix("") for path in PROJECT.glob("docs/*.md")]
    rooms = [path.parent for path in PROJECT.glob("fundus_helpers/**/__init__.py")]
    pages = {"index", "README", "CONTRIBUTING", "CHANGELOG", "data/README", "search"}
    pages |= {f"notebooks/{name}" for name in NOTEBOOKS} | {page.as_posix() for page in guide}
    pages |= {"reference/" + ".".join(room.relative_to(PROJECT).parts) for room in rooms}
    assert [page for page in sorted(pages) if not (site / f"{page}.html").is_file()] == []


def test_every_public_name_is_explained_once_with_its_example(site):
    page = site / "reference" / "fundus_helpers.html"
    named = {f"fundus_helpers.{name}" for name in fh.__all__}
    rooms = {name for name in named if (site / "reference" / f"{name}.html").exists()}
    assert named - rooms - Read(page).anchors == set()
    text = page.read_text(encoding="utf-8")
    assert text.count('<p class="rubric">Examples</p>') >= len(named - rooms) - 1  # METHODS: below
    text = (site / "reference" / "fundus_helpers.methods.html").read_text(encoding="utf-8")
    assert "Examples" in text
    assert "Interval(" not in text  # signatures are for readers


def test_the_front_shows_a_picture_and_the_question_of_every_notebook(site):
    front = (site / "index.html").read_text(encoding="utf-8")
    alternatives = [picture["alt"] for picture in Read(site / "index.html").pictures]
    assert len(alternatives) == len(NOTEBOOKS) + len(TOP)
    assert all(len(words.split()) > 1 for words in alternatives)
    for name, path in NOTEBOOKS.items():
        title, question = title_and_question(path)
        assert f'href="notebooks/{name}.html"' in front
        assert title in front and question.replace("'", "’") in front, name
    assert {"make demo", "make eye PATIENT=007 EYE=L"} <= set(
        re.findall(r"make [^<]+", plain(front))
    )


def plain(text):
    """Return a page with the words of its code joined."""
    return re.sub(r'</span>\s*<span class="pre">', " ", text)


def test_headings_are_in_order(site):
    for path in site.rglob("*.html"):
        if "_static" in path.parts:
            continue
        levels = Read(path).headings
        assert levels.count(1) == 1, path.name
        assert all(low + 1 >= high for low, high in zip(levels, levels[1:], strict=False)), path


# Links, and what is fetched


def test_every_link_leads_somewhere_and_nothing_comes_from_elsewhere(site):
    assert check_site(site) == []


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ('<a href="other.html">x</a>', "links to other.html"),
        ('<a href="page.html#gone">x</a>', "links to page.html#gone"),
        ('<a href="#gone">x</a>', "links to #gone"),
        ('<a href="http://example.org">x</a>', "links to http://example.org"),
        ('<a href="https://example">x</a>', "links to https://example"),
        ('<script src="https://cdn.example.org/a.js"></script>', "fetches https://cdn"),
        ('<link rel="stylesheet" href="//example.org/a.css">', "fetches //example.org"),
        ('<style>@import "https://example.org/a.css"</style>', "fetches https://example.org"),
        ('<img src="gone.png" alt="a picture">', "links to gone.png"),
        ('<img src="page.html">', "no alternative text"),
        (f"<p>{PROJECT}/data</p>", "a folder of this machine"),
    ],
)
def test_what_is_wrong_with_a_page_is_told(tmp_path, body, wrong):
    right = '<h1 id="top">x</h1><a href="#top">x</a><a href="https://doi.org/10.1/2(3)">x</a>'
    page = tmp_path / "page.html"
    page.write_text(right, encoding="utf-8")
    assert check_site(tmp_path) == []
    page.write_text(right + body, encoding="utf-8")
    (told,) = check_site(tmp_path)
    assert told.startswith("page.html ") and wrong in told


def test_a_style_sheet_that_fetches_a_font_is_told(tmp_path):
    (tmp_path / "a.css").write_text("@font-face { src: url(https://example.org/a.woff) }")
    assert check_site(tmp_path) == ["a.css fetches https://example.org/a.woff"]


# What may be shown


def test_every_notebook_names_the_picture_for_the_front():
    for name, path in NOTEBOOKS.items():
        cells = nbformat.read(path, as_version=4).cells
        tagged = [cell for cell in cells if ON_THE_FRONT in cell.metadata.get("tags", [])]
        assert [cell.cell_type for cell in tagged] == ["code"], name


def test_a_patient_is_refused_before_anything_runs():
    with pytest.raises(BookError, match="PATIENT=007 is none of demo_colour"):
        refuse_patients("007")
    with pytest.raises(BookError, match="never a patient"):
        demo_results("results", "007", "L", PROJECT / "notebooks")
    command = [sys.executable, "-m", "book", "check", "007"]
    told = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert told.returncode == 1 and told.stderr.startswith("no book: the book shows demo eyes only")


@pytest.fixture
def ran(tmp_path):
    """Return a function that lays out the run of a small notebook, and checks it."""
    stored, painted = tmp_path / "03_x.ipynb", {"demo_colour_2016-03-14_L.png": "abc"}
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("size = 3")]), stored)

    def check(source="size = 3", **changed):
        executed = tmp_path / "results" / stored.name
        executed.parent.mkdir(exist_ok=True)
        added = nbformat.v4.new_code_cell("size = 4", metadata={"tags": ["injected-parameters"]})
        cells = [added, nbformat.v4.new_code_cell(source)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), executed)
        origin = {"sha256": painted, "parameters": {}, "code": code_version()} | changed
        numbers = json.dumps({"provenance": origin})
        (executed.parent / "metrics.json").write_text(numbers, encoding="utf-8")
        check_run(stored, executed, painted)

    return check


def test_a_run_on_the_demo_eye_is_shown(ran):
    ran()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        # A patient's photograph under a demo eye's name, and one more in its folder.
        ({"sha256": {"demo_colour_2016-03-14_L.png": "xyz"}}, "which is not of the demo eye"),
        ({"sha256": {"007_2016-03-14_L.png": "abc"}}, "which is not of the demo eye"),
        ({"sha256": {}}, "no photograph"),
        ({"parameters": {"cohort": True}}, "cohort=True"),
        ({"parameters": {"fire": "FIRE"}}, "fire=FIRE"),
        ({"code": "0.1"}, "another version"),
        ({"source": "size = 5"}, "another version"),
    ],
)
def test_a_run_that_may_show_something_else_is_refused(ran, changed, told):
    with pytest.raises(BookError, match=re.escape(told)) as raised:
        ran(**changed)
    assert "run `make demo` first" in str(raised.value)


def test_results_that_are_missing_are_told_with_the_way_out(tmp_path):
    with pytest.raises(BookError, match="is missing or damaged: run `make demo` first"):
        check_run(NOTEBOOKS[EXECUTED], tmp_path / "gone.ipynb", {})


def executed_cell(tmp_path, *outputs):
    """Write an executed notebook of one cell."""
    cell = nbformat.v4.new_code_cell("draw()")
    cell.outputs = [nbformat.v4.new_output("display_data", data) for data in outputs]
    path = tmp_path / "executed.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    return path


def test_a_slider_which_no_page_can_show_ends_the_build(tmp_path):
    slider = {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "IntSlider()"}
    with pytest.raises(BookError, match="executed.ipynb, cell .*widget-view"):
        notebook_page(executed_cell(tmp_path, slider))


def test_captions_are_alternative_texts_and_stand_below_wide_pictures(tmp_path):
    notebook = notebook_page(executed_cell(tmp_path, a_picture("Figure: before_after\n  [px]")))
    told = notebook.cells[0].metadata["mystnb"]
    assert told["image"]["alt"] == "before_after [px]"
    assert told["figure"]["caption"] == r"before\_after \[px\]"  # no Markdown in it


def test_dates_in_tables_do_not_break_and_nothing_empty_is_shown(tmp_path):
    cells = "<td>demo_2016-03-14_L</td><td>2016-03-14</td><td>between 2016-03-14 and later</td>"
    path = executed_cell(tmp_path, {"text/html": f"<table><tr>{cells}</tr></table>"})
    executed = nbformat.read(path, as_version=4)
    executed.cells[0].outputs.append(nbformat.v4.new_output("stream", text="\n"))
    nbformat.write(executed, path)
    (output,) = notebook_page(path).cells[0].outputs
    dates = re.findall(r'<span class="date">(.+?)</span>', output.data["text/html"])
    assert dates == ["demo_2016-03-14_L", "2016-03-14"]


# In a browser


@pytest.fixture(scope="module")
def browser():
    """Return a browser without a screen that notes what it fetches."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER)) as driver:
        yield driver


def open_page(browser, path, theme="light", width=1366):
    """Open a page from disk in a theme, in a window of some width."""
    seen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", seen)
    browser.get(path.as_uri())
    for key in ("mode", "theme"):
        browser.execute_script(f"localStorage.setItem('{key}', '{theme}')")
    browser.get(path.as_uri())
    shown = "return document.readyState === 'complete' && document.documentElement.dataset.theme"
    WebDriverWait(browser, 20).until(lambda _: browser.execute_script(shown) == theme)


def addresses(browser):
    """Return what the browser has fetched since it was last asked."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [given["request"]["url"] for given in asked]


@in_a_browser
@pytest.mark.parametrize("width", [1366, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    "page", ["index", f"notebooks/{EXECUTED}", "docs/results", "reference/fundus_helpers"]
)
def test_everybody_can_use_a_page(browser, site, page, theme, width):
    open_page(browser, site / f"{page}.html", theme, width)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    browser.save_screenshot(str(SCREENSHOTS / f"book_{Path(page).name}_{theme}_{width}.png"))
    assert grave_findings(browser) == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert {address.partition(":")[0] for address in addresses(browser)} <= {"file", "data"}
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []


@in_a_browser
def test_the_search_finds_atrophy_from_disk(browser, site):
    open_page(browser, site / "search.html")
    browser.get(f"{(site / 'search.html').as_uri()}?q=atrophy")
    done = "return document.querySelector('#search-results p')?.textContent || ''"
    WebDriverWait(browser, 20).until(
        lambda _: browser.execute_script(done).startswith("Search finished")
    )
    found = browser.find_elements(By.CSS_SELECTOR, "#search-results li a")
    assert any("12_atrophy.html" in link.get_attribute("href") for link in found)
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []


@in_a_browser
def test_a_click_on_a_figure_opens_it_in_full_size(browser, site):
    open_page(browser, site / "notebooks" / f"{EXECUTED}.html", width=390)
    link = browser.find_element(By.CSS_SELECTOR, ".cell_output a:has(img)")
    shown = link.find_element(By.TAG_NAME, "img").size["width"]
    browser.execute_script("arguments[0].click()", link)
    picture = browser.find_element(By.TAG_NAME, "img")
    assert picture.get_property("naturalWidth") > 2 * shown
