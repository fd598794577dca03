"""Gather the sources of the book in one folder, which has the layout of the project."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import nbformat
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from book.notebook_pages import front_picture, notebook_page, title_and_question
from book.reference import write_reference
from fundus_helpers.results.notebooks import ATROPHY_NOTEBOOK

HERE = Path(__file__).parent
PROJECT = HERE.parent
# A link or a picture in Markdown that leads to a file of the project.
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)\s#]+)")
REGISTERED = "09_retinal_keypoints"
# The pages of the guide that a new user needs, in this order.
FIRST = ("docs/installing.md", "data/README.md", "docs/results.md", "docs/when_it_fails.md")
FIRST += ("docs/sliders.md", "docs/cohort.md", "docs/cluster.md")
# What stands at the top of the front page, from the results of the demo eye.
TOP = {
    "before": (f"{REGISTERED}/before.jpg", "Two visits as photographed."),
    "after": (f"{REGISTERED}/after.jpg", "The same two visits after registration."),
    "outlines": (f"{ATROPHY_NOTEBOOK}/outlines.gif", "The atrophy at every visit in turn."),
}


def guide_pages() -> list[Path]:
    """Return the pages of the guide in the order of a reader, those of no order at the end."""
    there = [path.relative_to(PROJECT).as_posix() for path in sorted(PROJECT.glob("docs/*.md"))]
    return [Path(page) for page in (*FIRST, *(page for page in there if page not in FIRST))]


def project_pages() -> list[Path]:
    """Return the pages about the project itself."""
    return [Path(name) for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]


def gather(source: Path, executed: Mapping[str, Path]) -> None:
    """Write the sources of all pages into an empty folder.

    Parameters
    ----------
    source : Path
        Folder of the sources. What lies in it is removed.
    executed : mapping of str to Path
        See `book.demo_eye.demo_results`.
    """
    shutil.rmtree(source, ignore_errors=True)
    for page in (*guide_pages(), *project_pages()):
        copy_page(page, source)
    (source / "notebooks").mkdir()
    (source / "front").mkdir()
    for name, notebook in executed.items():
        nbformat.write(notebook_page(notebook), source / "notebooks" / f"{name}.ipynb")
    write_reference(source / "reference")
    write_lists(source, executed)


def copy_page(page: Path, source: Path) -> None:
    """Copy a page of Markdown, and the files to which it links, to the same place in `source`."""
    text = (PROJECT / page).read_text(encoding="utf-8")
    (source / page).parent.mkdir(parents=True, exist_ok=True)
    (source / page).write_text(text, encoding="utf-8")
    for target in LINK.findall(text):
        linked = (PROJECT / page).parent / target
        if linked.is_file() and linked.suffix not in (".md", ".ipynb"):
            place = source / linked.resolve().relative_to(PROJECT)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(linked, place)


def write_lists(source: Path, executed: Mapping[str, Path]) -> None:
    """Write the front page, and the lists of notebooks and of pages of the guide."""
    notebooks = []
    for name, notebook in executed.items():
        stored = PROJECT / "notebooks" / f"{name}.ipynb"
        title, question = title_and_question(stored)
        picture, caption = front_picture(notebook, stored)
        picture.save(source / "front" / f"{name}.png", optimize=True)
        notebooks.append({"name": name, "title": title, "question": question, "caption": caption})
    eye = next(iter(executed.values())).parents[1]
    for name, (path, _) in TOP.items():
        shutil.copyfile(eye / path, source / "front" / f"{name}{Path(path).suffix}")
    top = [(f"{name}{Path(path).suffix}", words) for name, (path, words) in TOP.items()]
    guide = [(page.with_suffix("").as_posix(), first_words(page)) for page in guide_pages()]
    environment = Environment(
        loader=FileSystemLoader(HERE / "pages"), undefined=StrictUndefined, trim_blocks=True
    )
    for template in sorted((HERE / "pages").glob("*.j2")):
        text = environment.get_template(template.name).render(
            lead=lead(), notebooks=notebooks, top=top, guide=guide
        )
        place = source / template.stem.replace("-", "/")
        place.write_text(text, encoding="utf-8")


def lead() -> str:
    """Return the sentence with which the README begins."""
    return (PROJECT / "README.md").read_text(encoding="utf-8").split("\n\n")[1].strip("*")


def first_words(page: Path) -> str:
    """Return what the first sentence of a page tells, without its links."""
    paragraphs = (PROJECT / page).read_text(encoding="utf-8").split("\n\n")[1:]
    prose = next((p for p in paragraphs if p[0].isalpha()), "")
    sentence = re.split(r"(?<=\.)\s", prose)[0].rstrip(":")
    told = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", sentence).removeprefix("This page explains ")
    return told[:1].upper() + told[1:]
