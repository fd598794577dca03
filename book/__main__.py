"""Build the book: ``python -m book build RESULTS PATIENT EYE``. `make book` runs it.

``python -m book check PATIENT`` ends with an error if the patient is no demo patient.
"""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from sphinx.cmd.build import build_main

from book.demo_eye import BookError, demo_results, refuse_patients
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
        If the notebooks are not those of a demo eye as it is now, or see `build_site`. Then
        there is no site.
    """
    shutil.rmtree(build / "site", ignore_errors=True)  # nothing of an earlier build stays
    return build_site(demo_results(results, patient, laterality, PROJECT / "notebooks"), build)


def build_site(executed: Mapping[str, Path], build: Path) -> Path:
    """Build the site from executed notebooks, and check it. See `build_book`.

    Sphinx loads the package and takes its type hints apart: run this in a process of its own.

    Parameters
    ----------
    executed : mapping of str to Path
        The executed notebooks by name, in their order.
    build : Path

    Raises
    ------
    BookError
        If Sphinx warns of anything, or if `check_site` finds anything. Then there is no site.
    """
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
    """Build the book and say where it is, or only check that an eye is a demo eye."""
    command, *given = sys.argv[1:]
    try:
        if command == "check":
            refuse_patients(*given)
        else:
            sys.stdout.write(f"The book: {build_book(*given).relative_to(PROJECT)}\n")
    except BookError as error:
        sys.exit(f"no book: {error}")


if __name__ == "__main__":
    main()
