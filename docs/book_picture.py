"""Make docs/book.png, the picture of the book's front page. `make picture` runs it."""

import io
import shutil
from pathlib import Path

from PIL import Image
from selenium import webdriver

HERE = Path(__file__).parent
FRONT = HERE.parent / "build" / "book" / "site" / "index.html"
WIDTH, HEIGHT = 1280, 1540  # px of the window; the picture is shrunk
SHRUNK = 2 / 3


def main() -> None:
    """Open the front page from disk and take a screenshot."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("headless=new", "no-sandbox", "hide-scrollbars"):
        options.add_argument(f"--{argument}")
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    with webdriver.Chrome(options=options, service=service) as browser:
        seen = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", seen)
        browser.get(FRONT.as_uri())
        picture = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    size = round(SHRUNK * WIDTH), round(SHRUNK * HEIGHT)
    shrunk = picture.resize(size, Image.Resampling.LANCZOS)
    shrunk.quantize(256, kmeans=3).save(HERE / "book.png", optimize=True)


if __name__ == "__main__":
    main()
