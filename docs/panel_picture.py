"""Make docs/panel.png, the picture of the sliders, from the demo eye. `make picture` runs it."""

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from fundus_helpers.loading.demo_eye import make_demo_eye

HERE = Path(__file__).parent
VOILA = Path(sys.executable).with_name("voila")


def main() -> None:
    """Open the page of `make app` with the demo eye and take a screenshot."""
    with tempfile.TemporaryDirectory() as folder:
        make_demo_eye(Path(folder, "data"), "demo_colour")
        places = {"FUNDUS_DATA": f"{folder}/data", "FUNDUS_RESULTS": f"{folder}/results"}
        log = Path(folder, "log")
        with log.open("w") as told:
            server = subprocess.Popen(
                [VOILA, "sliders.ipynb", "--no-browser"],
                cwd=HERE.parent / "app",
                env=os.environ | places,
                stdout=told,
                stderr=told,
            )
        try:
            picture = take_picture(address_in(log))
        finally:
            server.terminate()
            server.wait()
    picture.quantize(256).save(HERE / "panel.png", optimize=True)


def address_in(log: Path) -> str:
    """Wait until the server has written its address, and return it."""
    while not (found := re.search(r"http://\S+\?token=\S+", log.read_text())):
        time.sleep(0.2)
    return found[0]


def take_picture(address: str) -> Image.Image:
    """Choose a method in the page and return a screenshot."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("headless=new", "no-sandbox", "window-size=1280,1000"):
        options.add_argument(f"--{argument}")
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    with webdriver.Chrome(options=options, service=service) as browser:
        browser.get(address)
        waiting = WebDriverWait(browser, 120)
        waiting.until(lambda b: b.find_elements(By.CLASS_NAME, "fundus-done"))
        method = browser.find_elements(By.TAG_NAME, "select")[2]
        Select(method).select_by_visible_text("affine")
        waiting.until(lambda b: b.find_elements(By.CLASS_NAME, "fundus-busy"))
        waiting.until(lambda b: b.find_elements(By.CLASS_NAME, "fundus-done"))
        waiting.until(lambda b: b.find_elements(By.CLASS_NAME, "fundus-verdicts"))
        time.sleep(1)
        seen = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    return seen.crop((0, 0, 1265, 815))


if __name__ == "__main__":
    main()
