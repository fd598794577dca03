"""The page of a report: sections that a template shows.

The templates lie in ``templates``; they escape what is put into them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader

TEMPLATES = Environment(
    loader=PackageLoader("fundus_helpers.results"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)

# What tells of all results of an eye. It is out of date when a notebook runs again.
REPORT_FILES = ("report.html", "report.xlsx", "report.pdf", "registered.tif")


def clear_report(folder: Path | str) -> None:
    """Delete the report of an eye in all its forms.

    Parameters
    ----------
    folder : path
        ``<results>/<patient>_<L|R>``.
    """
    for name in REPORT_FILES:
        Path(folder, name).unlink(missing_ok=True)


@dataclass(frozen=True)
class Link:
    """Words that link to another page.

    Attributes
    ----------
    text : str
    href : str
        Path of the other page, seen from the page with the link.
    """

    text: str
    href: str


@dataclass(frozen=True)
class Picture:
    """A picture with its caption, which is also its alternative text.

    Attributes
    ----------
    path : str
        Path of the file, seen from the page.
    caption : str
    wide : bool
        Whether it needs the whole width of the page to be read.
    """

    path: str
    caption: str
    wide: bool = False


Cell = str | Link | Picture | Sequence[Link]


@dataclass(frozen=True)
class Section:
    """A section of a report. What is empty is not shown; the rest comes in this order.

    Attributes
    ----------
    title : str
    paragraphs : sequence of str or Link
    pictures : sequence of Picture
        They are shown side by side.
    header : sequence of str
        Names of the columns of the table.
    rows : sequence of sequences of cells
        Rows of the table. A cell is text, a `Link`, a `Picture` or a sequence of them.
    items : sequence of str or Link
        Items of a list.
    html : str
        HTML that a library or a template made. It is shown as it is, without escapes.
    folded : bool
        Whether the section is shown only after a click on its title.
    kind : str
        Name of the section for the style of the page.
    """

    title: str = ""
    paragraphs: Sequence[str | Link] = ()
    pictures: Sequence[Picture] = ()
    header: Sequence[str] = ()
    rows: Sequence[Sequence[Cell]] = ()
    items: Sequence[str | Link] = ()
    html: str = ""
    folded: bool = False
    kind: str = ""


def render_page(template: str, title: str, sections: Sequence[Section]) -> str:
    """Fill a template with a report.

    Parameters
    ----------
    template : str
        Name of a file in ``templates`` that extends ``page.html.j2``.
    title : str
        Title of the page, and its heading.
    sections : sequence of Section
    """
    return TEMPLATES.get_template(template).render(title=title, sections=sections)
