"""A real browser opens the notebook and the page, moves a slider by keyboard, and saves.

Screenshots are kept in ``build/screenshots``. Skipped where there is no chromium with its driver.
"""

import json
import operator
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import nbformat
import psutil
import pytest
from accessible import grave_findings
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from fundus_helpers.loading.demo_eye import make_demo_eye
from fundus_helpers.panels.swipe import VIEWS

PROJECT = Path(__file__).parents[2]
SCREENSHOTS = PROJECT / "build" / "screenshots"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
DRIVER = shutil.which("chromedriver")
TOKEN = "only-for-this-test"
PATIENT = "confidential"
PANEL = ".fundus-comparison"
LAPTOP = {"width": 1366, "height": 768, "deviceScaleFactor": 1, "mobile": False}
# Notebooks with a panel: the method shown first, a slider, the key that moves it to an end, what is
# saved then; and parameters that keep a run short, for what is tried here is not the training.
FEW = {"epochs": 1, "field_epochs": 3, "article_size": 96, "article_epochs": 1}
SHORT = {"resolutions": 1, "samples": 256}
NOTEBOOKS = {
    "03_rigid": ("affine", "iterations", Keys.HOME, 1, {}),
    "04_optical_flow": ("optical_flow_dis", "patch_size", Keys.END, 48, {}),
    "05_simple_elastix": ("elastix_bspline", "bspline_iterations", Keys.HOME, 1, SHORT),
    "06_spatial_transformer": ("VoxelMorph", "smoothness", Keys.HOME, 0.25, FEW),
    "08_groupwise": ("iterated_mean", "rounds", Keys.HOME, 1, {}),
    "09_retinal_keypoints": ("keypoints", "stiffness", Keys.END, 100, {}),
}

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER),
    reason="no chromium with chromedriver: install them to test the panel",
)


@pytest.fixture(scope="module")
def browser():
    """Return a browser without a screen, 1280 pixels wide."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "headless=new",
        "no-sandbox",
        "disable-dev-shm-usage",
        "window-size=1280,1000",
    ):
        options.add_argument(f"--{argument}")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.command_executor.client_config.timeout = 320  # seconds: longer than any script may take
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a small eye of the patient `PATIENT` as data."""
    folder = tmp_path_factory.mktemp("place")
    make_demo_eye(folder / "data", "demo_colour", size=192).rename(folder / "data" / PATIENT)
    for photograph in sorted((folder / "data" / PATIENT).glob("*.png"))[2:-1]:
        photograph.unlink()
    return folder


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def serving(folder, command, **environment):
    """Run a server until the block ends; gives its process, and a function that tells its log."""
    log = folder / f"{Path(command[0]).name}.log"
    own = {"HOME": str(folder / "home"), "IPYTHONDIR": str(folder / "ipython"), **environment}
    (folder / "home").mkdir(exist_ok=True)
    with log.open("w") as written:
        server = subprocess.Popen(
            command,
            cwd=own.pop("cwd", folder),
            env={**os.environ, **own},
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield server.pid, log.read_text
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(20)
            print(log.read_text()[-5000:])  # pytest shows it if the test failed


def tool(name):
    return str(Path(sys.executable).with_name(name))


def with_parameters(source, target, **values):
    """Copy a notebook, its parameters set to other values, as a person would by hand."""
    notebook = nbformat.read(source, as_version=4)
    (cell,) = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    for name, value in values.items():
        cell.source, count = re.subn(
            rf"^({name}: \w+ =) .*?  #", rf"\1 {value!r}  #", cell.source, flags=re.MULTILINE
        )
        assert count == 1, name
    target.parent.mkdir(exist_ok=True)
    nbformat.write(notebook, target)


@pytest.fixture(scope="module")
def lab(place):
    """Return a JupyterLab with its address and its notebooks, as `make lab` starts it."""
    for name, (*_, quick) in NOTEBOOKS.items():
        source = PROJECT / "notebooks" / f"{name}.ipynb"
        given = {"patient": PATIENT, "size": 128, "jobs": 1} | quick
        with_parameters(source, place / "notebooks" / source.name, **given)
    settings = {
        "notebook-extension/tracker": {"windowingMode": "none"},  # draws what is not in view, too
    }
    for name, values in settings.items():
        path = place / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    folders = {name: str(place / name) for name in ("run", "settings")}
    own = {"JUPYTER_RUNTIME_DIR": folders["run"], "JUPYTERLAB_SETTINGS_DIR": folders["settings"]}
    own |= {"JUPYTER_CONFIG_PATH": str(PROJECT / "app" / "jupyter")}  # asks nothing
    port = free_port()
    # Kernels start warm: six notebooks load their libraries once.
    command = [sys.executable, "-m", "fundus_helpers.runs.warm_start", "serve"]
    command += [tool("jupyter-lab"), "--ip=127.0.0.1", f"--port={port}", "--no-browser"]
    command += [f"--IdentityProvider.token={TOKEN}", "--allow-root"]
    command += ["--LabApp.expose_app_in_browser=True"]  # so that a test can wait for its promises
    with serving(place, command, **own) as (pid, told):
        wait_for(told, "/lab?token")
        address = f"http://127.0.0.1:{port}/lab?token={TOKEN}&reset"
        yield SimpleNamespace(address=address, told=told, pid=pid)


@pytest.fixture(scope="module")
def page(place):
    """Return the page with its address, as `make app` starts it."""
    port = free_port()
    command = [tool("voila"), "sliders.ipynb", f"--port={port}", "--no-browser"]
    folders = {"FUNDUS_DATA": str(place / "data"), "FUNDUS_RESULTS": str(place / "page")}
    with serving(place, command, cwd=PROJECT / "app", **folders) as (pid, told):
        wait_for(told, "?token=")
        address = re.search(r"http://127\.0\.0\.1:\d+/\?token=\w+", told())[0]
        yield SimpleNamespace(address=address, told=told, pid=pid)


def wait_for(told, words, seconds=60):
    end = time.monotonic() + seconds
    while words not in told():
        assert time.monotonic() < end, told()
        time.sleep(0.2)


def until(browser, condition, seconds=60):
    """Return what the condition gives once it is true; fail with the text of the page otherwise."""
    waiting = WebDriverWait(
        browser, seconds, 0.1, ignored_exceptions=[StaleElementReferenceException]
    )
    try:
        return waiting.until(lambda _: condition())
    except TimeoutException:
        text = browser.find_element(By.TAG_NAME, "body").text
        pytest.fail(f"Waited {seconds} s in vain. The page says: {text[-2000:]!r}")


def find(browser, selector):
    return browser.find_elements(By.CSS_SELECTOR, selector)


def shown(browser):
    """Return (the second picture, the numbers) that the panel shows."""
    return (
        find(browser, ".fundus-pane img")[1].get_attribute("src"),
        find(browser, ".fundus-numbers")[0].text,
    )


def press(browser, words):
    (button,) = [b for b in find(browser, "button.jupyter-button") if b.text == words]
    button.click()


def slider(browser, name):
    """Return the handle of the slider of a knob, which the keyboard moves."""
    for row in find(browser, ".widget-inline-hbox"):
        if row.text.startswith(name):
            return row.find_element(By.CSS_SELECTOR, ".noUi-handle")
    raise AssertionError(f"no slider {name!r}")


def keep(browser, name):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    browser.save_screenshot(str(SCREENSHOTS / f"{name}.png"))


def try_panel(browser, tuned_file, name, method, knob, key, expected):
    """Move a slider by keyboard, wait for picture, numbers and verdict, save, read the file."""
    until(browser, lambda: find(browser, ".fundus-done"))
    before = shown(browser)
    handle = slider(browser, knob.replace("_", " "))
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", handle)
    handle.send_keys(Keys.ARROW_RIGHT)
    handle.send_keys(key)
    until(browser, lambda: all(map(operator.ne, shown(browser), before)))
    until(browser, lambda: find(browser, ".fundus-done"))
    until(browser, lambda: find(browser, ".fundus-verdicts"))
    keep(browser, f"{name}_moved")
    press(browser, "Save")
    status = "[role=status]:not([class^=fundus-placer])"  # notebook 09 has a page of points, too
    until(browser, lambda: "saved" in find(browser, status)[0].text)
    assert json.loads(tuned_file.read_text())[method][knob] == expected
    assert find(browser, ".fundus-error") == []


def look_at_every_view(browser, name):
    for view in VIEWS:
        press(browser, view)
        mode = view.split()[0] if view.startswith(("swipe", "flicker")) else "side"
        until(browser, lambda mode=mode: find(browser, f".fundus-stage[data-mode={mode}]"))
        until(browser, lambda: find(browser, ".fundus-done") and all_loaded(browser))
        keep(browser, f"{name}_{re.sub('[ /]', '_', view)}")


def all_loaded(browser):
    """Whether all pictures of the panel are there to be seen."""
    images = find(browser, ".fundus-pane img")
    return all(i.get_property("complete") and i.get_property("naturalWidth") for i in images)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_sliders_of_a_notebook_work_in_jupyterlab(browser, lab, place, name):
    browser.get(lab.address)
    until(browser, lambda: find(browser, "#jp-main-dock-panel"))
    assert run_all(browser, name), "a cell has failed"
    assert not find(browser, ".jp-Dialog, .Toastify__toast")  # nothing asks to look for news
    until(browser, lambda: find(browser, PANEL))
    method, knob, key, expected, _ = NOTEBOOKS[name]
    tuned_file = place / "results" / f"{PATIENT}_L" / "tuned.json"
    try_panel(browser, tuned_file, f"lab_{name}", method, knob, key, expected)
    if name.startswith("03"):
        look_at_every_view(browser, "lab")
    assert PATIENT not in browser.title and PATIENT not in lab.told()
    leave = "await panel.context.save(); await panel.sessionContext.shutdown(); panel.close()"
    run(browser, f"const panel = app.shell.currentWidget; {leave}")


def run_all(browser, name, folder="notebooks"):
    """Open a notebook and run all cells, as the menu does; tells whether none has failed.

    A click on the menu was lost now and then: JupyterLab shows an idle kernel before the notebook
    is connected to it, and asked then, it runs nothing and says nothing. So its promises are kept.
    """
    return run(
        browser,
        f"await app.restored; const path = '{folder}/{name}.ipynb';"
        "const panel = await app.commands.execute('docmanager:open', { path });"
        "await panel.revealed; await panel.sessionContext.ready;"
        "await panel.sessionContext.session.kernel.info;"
        "return await app.commands.execute('notebook:run-all-cells')",
    )


def run(browser, script):
    """Run a script that may wait in JupyterLab, whose application it knows as `app`."""
    browser.set_script_timeout(300)
    found = browser.execute_async_script(
        "const done = arguments[0], app = window.jupyterapp;"
        f"(async () => {{ {script} }})().then(done, error => done(`failed: ${{error}}`))"
    )
    assert "failed" not in str(found), found
    return found


def test_the_sliders_of_the_page_work_in_voila(browser, page, place):
    browser.get(page.address)
    until(browser, lambda: find(browser, PANEL), 240)
    assert "import" not in browser.find_element(By.TAG_NAME, "body").text  # no code is shown
    tuned_file = place / "page" / f"{PATIENT}_L" / "tuned.json"
    try_panel(browser, tuned_file, "page", "keypoints", "stiffness", Keys.END, 100)
    look_at_every_view(browser, "page")
    assert PATIENT not in browser.title and PATIENT not in page.told()


def test_everybody_can_use_the_panel(browser, page):
    browser.get(page.address)
    until(browser, lambda: find(browser, ".fundus-done"), 240)
    assert grave_findings(browser) == []


def test_numbers_verdict_and_pictures_are_seen_without_scrolling(browser, page):
    browser.set_window_size(1366, 768)
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", LAPTOP)
    try:
        browser.get(page.address)
        until(browser, lambda: find(browser, ".fundus-verdicts tbody tr") and all_loaded(browser))
        keep(browser, "page_laptop")
        for part in (".fundus-numbers", ".fundus-verdicts", ".fundus-pane img"):
            for one in find(browser, part):
                assert one.rect["y"] + one.rect["height"] <= LAPTOP["height"], part
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.set_window_size(1280, 1000)


def test_the_divider_and_the_flicker_obey_the_keyboard(browser, page):
    browser.get(page.address)
    until(browser, lambda: find(browser, ".fundus-done"), 240)
    press(browser, "swipe")
    until(browser, lambda: find(browser, ".fundus-stage[data-mode=swipe]"))
    divider = find(browser, ".fundus-divider")[0]
    divider.send_keys(Keys.ARROW_LEFT * 10)
    until(browser, lambda: find(browser, ".fundus-line")[0].get_attribute("style") == "left: 40%;")
    press(browser, "flicker")
    until(browser, lambda: find(browser, ".fundus-stage[data-mode=flicker]"))
    second = find(browser, ".fundus-pane")[1]
    seen = lambda: second.value_of_css_property("visibility")  # noqa: E731
    for wanted in ("hidden", "visible", "hidden"):
        until(browser, lambda wanted=wanted: seen() == wanted, 5)
    find(browser, ".fundus-pause")[0].send_keys(Keys.ENTER)
    until(browser, lambda: find(browser, ".fundus-pause")[0].text == "Go on")
    held = seen()
    time.sleep(1.2)
    assert seen() == held


def test_the_page_refuses_who_has_no_token(browser, page):
    browser.delete_all_cookies()
    browser.get(page.address.partition("?")[0])
    until(browser, lambda: find(browser, "#login_submit, input[type=password]"))
    assert not find(browser, PANEL) and not find(browser, "select")


def test_both_listen_on_this_machine_only(lab, page):
    for server in (lab, page):
        process = psutil.Process(server.pid)
        everyone = [process, *process.children(recursive=True)]
        listening = [
            connection.laddr.ip
            for one in everyone
            for connection in one.net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert listening and set(listening) == {"127.0.0.1"}
