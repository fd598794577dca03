"""A real browser opens the panel of the outlines, paints by mouse, steps by keys, and saves.

Screenshots are kept in ``build/screenshots``. Skipped where there is no chromium with its driver.
"""

import re
import shutil
from types import SimpleNamespace

import nbformat
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
    run,
    run_all,
    serving,
    tool,
    until,
    wait_for,
)

from fundus_helpers.atrophy.finding import read_hints
from fundus_helpers.loading.demo_eye import make_demo_eye

__all__ = ["browser", "pytestmark"]  # which pytest looks for here
PATIENT, TOKEN = "confidential", "only-for-this-test"
CELL = f"""\
import fundus_helpers as fh
from fundus_helpers.panels.outlining import Outliner

study = fh.Study("data", "{PATIENT}", "L", results="results", notebook="12_atrophy", jobs=1)
study.register("keypoints")
Outliner(study, "keypoints")"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a small eye of four visits, and a notebook that shows its outlines."""
    folder = tmp_path_factory.mktemp("outlining")
    make_demo_eye(folder / "data", "demo_atrophy", size=384).rename(folder / "data" / PATIENT)
    photographs = sorted((folder / "data" / PATIENT).glob("*.png"))
    for photograph in set(photographs) - {photographs[i] for i in (0, 2, 7, 10)}:
        photograph.unlink()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, folder / "outlining.ipynb")
    for settings in (PROJECT / "app").glob("voila.*"):
        shutil.copy(settings, folder)
    return folder


@pytest.fixture(scope="module")
def page(place):
    """Return the address of a page with the panel alone."""
    command = [tool("voila"), "outlining.ipynb", f"--port={free_port()}", "--no-browser"]
    with serving(place, command, cwd=place) as (pid, told):
        wait_for(told, "?token=")
        address = re.search(r"http://127\.0\.0\.1:\d+/\?token=\w+", told())[0]
        yield SimpleNamespace(address=address, told=told, pid=pid)


def area(browser, row=-1):
    """Return the area that the table tells, in pixels."""
    cell = find(browser, ".fundus-outliner tbody tr")[row].find_elements(By.TAG_NAME, "td")[0]
    return float(cell.text.replace(",", ""))


def drag(browser, *places):
    """Press the mouse over the photograph at a place, move it, and let go; places are shares."""
    (canvas,) = find(browser, ".fundus-outliner canvas")
    width, height = (canvas.size[side] for side in ("width", "height"))
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    mouse = ActionChains(browser, duration=50)
    for i, (x, y) in enumerate(places):
        mouse.move_to_element_with_offset(canvas, (x - 0.5) * width, (y - 0.5) * height)
        if i == 0:
            mouse.click_and_hold()
    mouse.release().perform()


def type_keys(browser, *keys):
    browser.switch_to.active_element.send_keys(*keys)


def shown_visit(browser):
    return find(browser, ".fundus-outliner-visits output")[0].text


def told(browser):
    return find(browser, ".fundus-outliner-told")[0].text


def counted(browser):
    status = find(browser, ".fundus-outliner-status[data-kind=done]")
    return status and "counted" in status[0].text


def opened(browser, address, width=1366):
    browser.set_window_size(width, 900)
    browser.get(address)
    until(browser, lambda: counted(browser), 120)


def test_paint_changes_the_area_keys_step_and_what_is_saved_is_read(browser, page, place):
    opened(browser, page.address)
    keep(browser, "outlining_1366")
    before = area(browser)
    drag(browser, (0.15, 0.2), (0.3, 0.2), (0.3, 0.3))
    until(browser, lambda: area(browser) > before + 100, 10)
    until(browser, lambda: counted(browser))
    painted = area(browser)
    keep(browser, "outlining_painted")
    assert "(4 of 4)" in shown_visit(browser)
    type_keys(browser, Keys.ARROW_LEFT)
    until(browser, lambda: "(3 of 4)" in shown_visit(browser))
    type_keys(browser, Keys.HOME, Keys.ARROW_RIGHT)
    until(browser, lambda: "(2 of 4)" in shown_visit(browser))
    type_keys(browser, "o", Keys.END)
    drag(browser, (0.12, 0.2), (0.22, 0.2))
    until(browser, lambda: area(browser) < painted, 10)
    type_keys(browser, Keys.CONTROL, "z")
    until(browser, lambda: area(browser) == painted, 10)
    type_keys(browser, Keys.NULL, "e")
    drag(browser, (0.05, 0.06), (0.95, 0.94))
    type_keys(browser, "f")
    drag(browser, (0.5, 0.5))
    until(browser, lambda: counted(browser))
    type_keys(browser, "d")
    drag(browser, (0.05, 0.5), (0.25, 0.5))  # too near the fovea for a disc of that size
    until(browser, lambda: "contradict" in told(browser), 10)
    drag(browser, (0.02, 0.4), (0.02, 0.6))
    until(browser, lambda: "mm²" in find(browser, ".fundus-outliner thead")[0].text, 10)
    assert "not saved" in find(browser, ".fundus-outliner-saved")[0].text
    type_keys(browser, Keys.CONTROL, "s")
    until(browser, lambda: "hints.json" in find(browser, ".fundus-outliner-saved")[0].text)
    keep(browser, "outlining_marked")
    path = place / "results" / f"{PATIENT}_L" / "hints.json"
    saved = read_hints(path)
    assert saved.fovea == pytest.approx((191.5, 191.5), abs=1.5)
    assert saved.ellipse == pytest.approx((191.5, 191.5, 172.8, 169, 0), abs=2)
    assert saved.disc == pytest.approx((7.2, 153.1, 7.2, 229.9), abs=1.5)
    (strokes,) = saved.strokes.values()
    y, x = int(0.2 * 384), int(0.25 * 384)
    assert strokes.atrophic[y, x] and not strokes.atrophic[192, 192]
    assert not strokes.healthy.any()
    assert PATIENT not in browser.title and PATIENT not in page.told()


def test_a_narrow_window_shows_all_tools_and_what_was_saved(browser, page):
    opened(browser, page.address, width=500)
    keep(browser, "outlining_500")
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    assert wide <= browser.execute_script("return window.innerWidth")
    for button in find(browser, ".fundus-outliner button"):
        assert button.size["height"] >= 40 and button.size["width"] >= 40
        assert button.location["x"] + button.size["width"] <= wide
    assert "as saved" in find(browser, ".fundus-outliner-saved")[0].text


def test_jupyterlab_leaves_the_keys_to_the_panel(browser, place):
    port = free_port()
    command = [tool("jupyter-lab"), "--ip=127.0.0.1", f"--port={port}", "--no-browser"]
    command += [f"--IdentityProvider.token={TOKEN}", "--allow-root"]
    command += ["--LabApp.expose_app_in_browser=True"]
    own = {"JUPYTER_RUNTIME_DIR": str(place / "run")}
    with serving(place, command, **own) as (_, log):
        wait_for(log, "/lab?token")
        browser.set_window_size(1366, 900)
        browser.get(f"http://127.0.0.1:{port}/lab?token={TOKEN}&reset")
        until(browser, lambda: find(browser, "#jp-main-dock-panel"))
        assert run_all(browser, "outlining", folder="."), "a cell has failed"
        until(browser, lambda: counted(browser), 120)
        keep(browser, "outlining_lab")
        before = area(browser)
        drag(browser, (0.15, 0.8), (0.3, 0.8))
        until(browser, lambda: area(browser) > before, 10)
        type_keys(browser, "d", "d", "i", "i", "0", "0", "b", "x")  # "d d" would delete the cell
        assert run(browser, "return app.shell.currentWidget.content.widgets.length") == 1
        until(browser, lambda: find(browser, ".fundus-outliner canvas"))
        run(
            browser,
            "const panel = app.shell.currentWidget; await panel.context.save();"
            "await panel.sessionContext.shutdown(); panel.close()",
        )
