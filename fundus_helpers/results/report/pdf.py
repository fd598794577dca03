"""The report of one eye as a PDF, printed by a browser that is on this machine."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from fundus_helpers.files import written_beside

# Browsers that print without a window, by the names of their programs.
BROWSERS = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"),
    *("microsoft-edge", "msedge"),
)
LONGEST = 180  # seconds


def write_pdf(page: Path | str) -> Path:
    """Print a report to a PDF beside it. Everything that is folded away is shown in it.

    Parameters
    ----------
    page : path
        For example ``results/007_L/report.html``.

    Returns
    -------
    Path
        The PDF: ``report.pdf``.

    Raises
    ------
    FileNotFoundError
        If there is no such page, or no browser that can print it. The message says what to do.
    OSError
        If the browser fails.
    """
    page = Path(page)
    if not page.is_file():
        raise FileNotFoundError(f"no {page.name} of {page.parent.name}: run make eye first")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise FileNotFoundError(
            "a PDF is printed by a browser, and none was found: install Chromium, Chrome or Edge, "
            f"or open {page.name} in any browser and print it to a file"
        )
    with (
        tempfile.TemporaryDirectory(prefix="print-") as profile,
        written_beside(page.with_suffix(".pdf")) as part,
    ):
        command = [browser, "--headless=new", "--disable-gpu", f"--user-data-dir={profile}"]
        command += ["--no-pdf-header-footer", f"--print-to-pdf={part.resolve()}"]
        # The sandbox of Chromium refuses to start for the user root, as in a container.
        command += ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
        try:
            subprocess.run(
                [*command, page.resolve().as_uri()], capture_output=True, timeout=LONGEST
            )
        except subprocess.TimeoutExpired as error:
            raise OSError(f"{page.name} was not printed within {LONGEST} s") from error
        if not part.exists():
            raise OSError(f"{Path(browser).name} could not print {page.name}; print it by hand")
    return page.with_suffix(".pdf")
