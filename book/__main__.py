"""Build the book: ``python -m book RESULTS PATIENT EYE``. `make book` runs it."""

import shutil
import sys
from pathlib import Path

from sphinx.cmd.build import build_main

from book.demo_eye import BookError, demo_results
from book.gather import HERE, PROJECT, gather
from book.links import check_site

BUILD = PROJECT / "build" / "book"


def build_book(results: Path | str, patient: str, laterality: str, build: Path = BUILD) -> Path:
    """Build the site from the executed notebooks of a demo eye, and check it.

    Parameters
    ----------
    results : path
        Folder of all results.
    patient, laterality : str
        The eye.
    build : Path
        Where ``source``, ``trees`` and ``site`` are made.

    Returns
    -------
    Path
        The front page.

    Raises
    ------
    BookError
        If the notebooks are not those of a demo eye as it is now, if Sphinx warns of anything, or
        if a link leads nowhere. Then there is no site.
    """
    executed = demo_results(results, patient, laterality, PROJECT / "notebooks")
    source, trees, site = build / "source", build / "trees", build / "site"
    for folder in (trees, site):
        shutil.rmtree(folder, ignore_errors=True)
    gather(source, executed)
    places = ["-d", str(trees), "-c", str(HERE), str(source), str(site)]
    status = build_main(["--builder=html", "--fail-on-warning", "--keep-going", "-q", *places])
    wrong = [] if status else check_site(site)
    if status or wrong:
        shutil.rmtree(site, ignore_errors=True)
        raise BookError("\n".join(wrong) or "Sphinx has found something wrong: see above")
    return site / "index.html"


def main() -> None:
    """Build the book and say where it is."""
    try:
        front = build_book(*sys.argv[1:4])
    except BookError as error:
        sys.exit(f"no book: {error}")
    sys.stdout.write(f"The book: {front.relative_to(PROJECT)}\n")


if __name__ == "__main__":
    main()
