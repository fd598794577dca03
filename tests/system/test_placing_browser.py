"""A real browser places three points by mouse and keyboard; the failed visit is registered.

Screenshots are kept in ``build/screenshots``. Skipped where there is no chromium with its driver.
"""

import re
import shutil
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from test_browser import (
    PROJECT,
    browser,
    find,
    free_port,
    keep,
    pytestmark,
    serving,
    tool,
    until,
    wait_for,
)

from fundus_helpers.loading.demo_eye import make_demo_eye, read_truth
from fundus_helpers.loading.eye import load_eye
from fundus_helpers.loading.painted.geometry import from_anatomy, to_anatomy
from fundus_helpers.metrics.verdict import BY_HAND
from fundus_helpers.study import Study
from fundus_helpers.transforms import map_points

__all__ = ["browser", "pytestmark"]  # which pytest looks for here
PATIENT, SIZE = "confidential", 384
CELL = f"""\
import fundus_helpers as fh
fh.place_landmarks(fh.load_eye("data", "{PATIENT}", "L", shown=False))"""
POINTS = np.array([[120.0, 100], [290, 130], [190, 300]])  # in the template


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with an eye of two visits and the blink, and a notebook with the page."""
    folder = tmp_path_factory.mktemp("placing")
    eye = make_demo_eye(folder / "data", "demo_colour", size=SIZE).rename(folder / "data" / PATIENT)
    photographs = sorted(eye.glob("*.png"))
    for photograph in set(photographs) - {photographs[i] for i in (0, 1, 5)}:
        photograph.unlink()
    for table in ("landmarks.csv", "excluded.csv"):
        (eye / table).unlink()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, folder / "placing.ipynb")
    for settings in (PROJECT / "app").glob("voila.*"):
        shutil.copy(settings, folder)
    return folder


@pytest.fixture(scope="module")
def page(place):
    """Return the address of a page with the panel alone."""
    command = [tool("voila"), "placing.ipynb", f"--port={free_port()}", "--no-browser"]
    with serving(place, command, cwd=place) as (pid, told):
        wait_for(told, "?token=")
        address = re.search(r"http://127\.0\.0\.1:\d+/\?token=\w+", told())[0]
        yield SimpleNamespace(address=address, told=told, pid=pid)


def true_points(place):
    """Return where the blink shows the points of the template."""
    truth = read_truth(place / "data" / PATIENT)
    first, blink = truth["visits"][0]["geometry"], truth["visits"][5]["geometry"]
    return from_anatomy(blink, SIZE, to_anatomy(first, SIZE, POINTS))


def canvas_of(browser, side):
    return find(browser, f".fundus-placer canvas[data-side={side}]")[0]


def mouse_at(browser, side, point):
    """Return a chain of actions that begins with the mouse over a pixel of a photograph."""
    canvas = canvas_of(browser, side)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    width, height = canvas.size["width"], canvas.size["height"]
    scale = min(width, height) / SIZE
    x, y = ((point[i] - (SIZE - 1) / 2) * scale for i in (0, 1))
    return ActionChains(browser, duration=50).move_to_element_with_offset(canvas, x, y)


def click(browser, side, point):
    mouse_at(browser, side, point).click().perform()


def rows(browser):
    return [row.text for row in find(browser, ".fundus-placer tbody tr")]


def words(browser, part):
    return find(browser, f".fundus-placer-{part}")[0].text


def keys(browser, *pressed):
    browser.switch_to.active_element.send_keys(*pressed)


def opened(browser, address, width=1366, height=768):
    browser.set_window_size(width, height)
    browser.get(address)
    until(browser, lambda: find(browser, ".fundus-placer canvas"), 120)


def choose_visit(browser, part):
    (select,) = find(browser, ".fundus-placer select")
    for option in select.find_elements(By.TAG_NAME, "option"):
        if part in option.text:
            option.click()
            return
    raise AssertionError(f"no visit {part}")


def test_three_points_are_placed_corrected_saved_and_register_the_visit(browser, page, place):
    opened(browser, page.address)
    choose_visit(browser, "2018-07-12")
    until(browser, lambda: "0 of at least 2" in words(browser, "told"), 20)
    keep(browser, "placing_1366")
    find(browser, ".fundus-placer-tools input")[0].send_keys("HS")
    true = true_points(place)
    click(browser, "fixed", POINTS[0])
    until(browser, lambda: any("proposed" in row for row in rows(browser)), 10)
    click(browser, "moving", true[0])
    until(browser, lambda: any("placed" in row for row in rows(browser)), 10)
    click(browser, "fixed", POINTS[1])
    until(browser, lambda: len(rows(browser)) == 2, 10)
    click(browser, "moving", true[1])
    until(browser, lambda: "similarity" in words(browser, "told"), 10)
    # The third one is proposed, confirmed by the keyboard, and taken back and forth.
    click(browser, "fixed", POINTS[2])
    until(browser, lambda: "wait for you" in words(browser, "told"), 10)
    keys(browser, Keys.ENTER)
    until(browser, lambda: "affine" in words(browser, "told"), 10)
    # A point is dragged away and corrected: by the mouse, then by the arrow keys.
    before = words(browser, "told")
    mouse = mouse_at(browser, "moving", true[0]).click_and_hold()
    mouse.move_by_offset(25, 10).move_by_offset(5, 5).release().perform()
    until(browser, lambda: words(browser, "told") != before, 10)
    assert "worst" in words(browser, "told")
    keep(browser, "placing_worst")
    keys(browser, Keys.CONTROL, "z")
    keys(browser, Keys.NULL)
    until(browser, lambda: words(browser, "told") == before, 10)
    until(browser, lambda: "not saved" in words(browser, "saved"), 10)
    keys(browser, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    keys(browser, "+", "+", "c")
    keep(browser, "placing_zoomed")
    keys(browser, "0", "c", "r")
    until(browser, lambda: "accepted, by hand" in words(browser, "status"), 60)
    keep(browser, "placing_registered")
    keys(browser, Keys.CONTROL, "s")
    keys(browser, Keys.NULL)
    until(browser, lambda: "saved 3 points" in words(browser, "saved"), 10)
    eye = load_eye(place / "data", PATIENT, "L", shown=False)
    blink = next(i for i, name in enumerate(eye.names) if "2018-07-12" in name)
    fixed, moving = eye.points_between(0, blink)
    assert np.abs(fixed - POINTS).max() < 1.5
    assert np.abs(moving - true).max() < 6  # the third one is where the transform proposed it
    assert eye.landmarks["placed_by"].tolist() == ["HS"] * 3
    study = Study(place / "data", PATIENT, "L", results=place / "results", jobs=1)
    found = study.register("keypoints")
    row = study.table().set_index("visit").loc[eye.names[blink]]
    assert row["verdict"] == BY_HAND
    assert np.abs(map_points(found[blink].transform, POINTS) - true).max() < 6
    assert PATIENT not in page.told()


@pytest.fixture(params=[500, 390])
def narrow(browser, request):
    """Make the page as narrow as a phone; a window itself has at least 500 pixels."""
    size = {"width": request.param, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    yield request.param
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_what_was_saved_is_shown_again_in_a_narrow_window(browser, page, narrow):
    opened(browser, page.address, width=500, height=900)
    choose_visit(browser, "2018-07-12")
    until(browser, lambda: len(rows(browser)) == 3, 20)
    keep(browser, f"placing_{narrow}")
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    assert wide <= browser.execute_script("return window.innerWidth") == narrow
    for button in find(browser, ".fundus-placer button"):
        if button.is_displayed():
            assert button.size["height"] >= 40 and button.size["width"] >= 40
            assert button.location["x"] + button.size["width"] <= wide


def test_a_visit_is_excluded_with_a_reason_and_taken_back(browser, page, place):
    opened(browser, page.address)
    choose_visit(browser, "2018-07-12")
    button, back = find(browser, ".fundus-placer-leaving button")
    button.click()
    until(browser, lambda: "write the reason" in words(browser, "status"), 10)
    find(browser, ".fundus-placer-leaving input")[0].send_keys("a blink, again")
    button.click()
    until(browser, lambda: "excluded: a blink, again" in words(browser, "leaving"), 10)
    table = place / "data" / PATIENT / "excluded.csv"
    assert table.read_text().count("a blink, again") == 1
    keep(browser, "placing_excluded")
    back.click()
    until(browser, lambda: "taken back" in words(browser, "status"), 10)
    assert "blink" not in table.read_text()
