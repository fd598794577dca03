"""The executed notebooks as pages of the book, and their pictures for its front."""

import base64
import io
import re
from pathlib import Path
from typing import Any

import nbformat
from PIL import Image

from book.demo_eye import BookError
from fundus_helpers.results.notebook_page import CAPTION

ON_THE_FRONT = "gallery"  # the tag of the cell whose picture stands on the front page
FRONT_WIDTH = 720  # px, twice that of a card
PAGE_WIDTH = 1000  # px; wider pictures are shrunk so much that their words cannot be read
SPECIAL = re.compile(r"[\\`*_{}\[\]<>#|$~]")  # in Markdown
PICTURES = ("image/png", "image/jpeg")
# A cell of a table that holds a date, alone or in the name of a visit.
DATE = re.compile(r"(?<=>)[\w-]*\d{4}-\d\d-\d\d\w*(?=</t[dh]>)")
# Outputs that a page can show without running a script.
SHOWN = (*PICTURES, "text/html", "text/markdown", "text/plain", "text/latex", "image/svg+xml")


def notebook_page(executed: Path) -> Any:
    """Return an executed notebook with its captions as alternative texts, and dates in one piece.

    Parameters
    ----------
    executed : Path
        Its figures say their caption in words.

    Raises
    ------
    BookError
        If an output needs a script, for example a slider. A run without a screen writes words in
        its place.
    """
    notebook = nbformat.read(executed, as_version=4)
    for cell in notebook.cells:
        if "outputs" in cell:  # a line that is printed and empty would be an empty box
            cell.outputs = [output for output in cell.outputs if output.get("text", "x").strip()]
        outputs = [output.get("data", {}) for output in cell.get("outputs", [])]
        if scripts := [kind for data in outputs for kind in data if kind not in SHOWN]:
            raise BookError(f"{executed.name}, cell {cell.id}: no page can show {scripts[0]}")
        for data in outputs:
            if "text/html" in data:
                html = "".join(data["text/html"])
                data["text/html"] = DATE.sub(r'<span class="date">\g<0></span>', html)
        if shown := [data for data in outputs if set(data) & set(PICTURES)]:
            cell.metadata["mystnb"] = in_words(shown)
    return notebook


def in_words(pictures: list[Any]) -> dict[str, Any]:
    """Return what MyST-NB shall say of the pictures of a cell.

    Their captions are their alternative text. The caption is drawn into a picture, too; where a
    page must shrink the picture, it stands below once more, in letters that can be read.
    """
    captions = [caption_of(data) for data in pictures]
    told: dict[str, Any] = {"image": {"alt": " ".join(captions)}}
    if len(pictures) == 1 and picture_of(pictures[0]).width > PAGE_WIDTH:
        told["figure"] = {"caption": SPECIAL.sub(r"\\\g<0>", captions[0])}
    return told


def picture_of(data: Any) -> Image.Image:
    """Return the picture that an output holds."""
    content = next(data[kind] for kind in PICTURES if kind in data)
    return Image.open(io.BytesIO(base64.b64decode(content)))


def caption_of(data: Any) -> str:
    """Return the caption of a figure from what it says of itself in words."""
    return " ".join("".join(data.get("text/plain", "")).removeprefix(CAPTION).split())


def front_picture(executed: Path, stored: Path) -> tuple[Image.Image, str]:
    """Return the picture of a notebook for the front page, and its caption.

    Parameters
    ----------
    executed, stored : Path
        The executed notebook, and the stored one, in which one cell has the tag ``gallery``.

    Raises
    ------
    BookError
        If there is not exactly one such cell, or if it shows no picture.
    """
    tagged = [
        cell.id
        for cell in nbformat.read(stored, as_version=4).cells
        if ON_THE_FRONT in cell.metadata.get("tags", [])
    ]
    shown = [
        output.data
        for cell in nbformat.read(executed, as_version=4).cells
        for output in cell.get("outputs", [])
        if cell.id in tagged and "image/png" in output.get("data", {})
    ]
    if len(tagged) != 1 or not shown:
        raise BookError(f"{stored.name}: tag one cell that draws a figure with {ON_THE_FRONT!r}")
    picture = picture_of(shown[0]).convert("RGB")
    picture.thumbnail((FRONT_WIDTH, FRONT_WIDTH), Image.Resampling.LANCZOS)
    return picture, caption_of(shown[0])


def title_and_question(stored: Path) -> tuple[str, str]:
    """Return the title of a notebook and the question that it opens with."""
    title, question, *_ = nbformat.read(stored, as_version=4).cells[0].source.split("\n\n")
    return title.removeprefix("# "), question.strip("*")
