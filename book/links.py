"""Check the pages of a site: links, pictures in words, and nothing fetched from elsewhere."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What a browser fetches by itself when it opens a page, by tag.
FETCHED = {
    "img": ("src", "srcset"),
    "script": ("src",),
    "iframe": ("src",),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
    "audio": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "link": ("href",),
}
NOT_FETCHED = ("canonical", "author", "license", "next", "prev", "index", "search")
ELSEWHERE = re.compile(r"(?:url\(|@import)\s*['\"]?\s*((?:https?:)?//[^'\")\s]+)")


class Page(HTMLParser):
    """The addresses and anchors of one page.

    Attributes
    ----------
    links : list of str
        Where it links to.
    fetched : list of str
        What a browser fetches when it opens the page.
    anchors : set of str
        Places in the page that a link can lead to.
    unnamed : list of str
        Pictures without an alternative text.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched = ELSEWHERE.findall(text)
        self.anchors: set[str] = set()
        self.unnamed: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the addresses and the anchors of a tag."""
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "img" and not given.get("alt", "").strip():
            self.unnamed.append(given.get("src", ""))
        if tag == "link" and given.get("rel") in NOT_FETCHED:
            return
        self.fetched += [given[name] for name in FETCHED.get(tag, ()) if name in given]


def check_site(site: Path | str) -> list[str]:
    """Return what is wrong with the pages of a site, one sentence each.

    Parameters
    ----------
    site : path
        Folder of the pages. All ``.html`` and ``.css`` files in it are read. What lies in
        ``_static`` are no pages.
    """
    site = Path(site).resolve()
    files = [path for path in site.rglob("*.html") if site / "_static" not in path.parents]
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in files}
    wrong = []
    for path, page in sorted(pages.items()):
        name = path.relative_to(site)
        wrong += [f"{name} shows {of}, which has no alternative text" for of in page.unnamed]
        wrong += [f"{name} fetches {to}" for to in page.fetched if is_elsewhere(to)]
        wrong += [
            f"{name} links to {to}, which is not there"
            for to in sorted({*page.links, *(to for to in page.fetched if not is_elsewhere(to))})
            if not (is_well_formed(to) if is_elsewhere(to) else leads_somewhere(to, path, pages))
        ]
        wrong += [f"{name} tells {place}, a folder of this machine" for place in told_places(path)]
    for path in sorted(site.rglob("*.css")):
        found = ELSEWHERE.findall(path.read_text(encoding="utf-8"))
        wrong += [f"{path.relative_to(site)} fetches {to}" for to in found]
    return wrong


def is_elsewhere(address: str) -> bool:
    """Whether an address leads to another machine."""
    return bool(urlsplit(address).netloc)


def is_well_formed(address: str) -> bool:
    """Whether an address of another machine can be one: nobody asks the internet."""
    parts = urlsplit(address)
    return parts.scheme == "https" and bool(re.fullmatch(r"[\w-]+(\.[\w-]+)+", parts.netloc))


def told_places(path: Path) -> list[str]:
    """Return the folders of this machine, those of its user and of the project, that a page names.

    Parameters
    ----------
    path : Path
        The page.
    """
    text = path.read_text(encoding="utf-8")
    places = {Path.home(), Path(__file__).resolve().parents[1]} - {Path("/")}
    return sorted(str(place) for place in places if f"{place}/" in text)


def leads_somewhere(address: str, path: Path, pages: dict[Path, Page]) -> bool:
    """Whether an address on the page `path` leads to a file, and to a place in it.

    Parameters
    ----------
    address : str
        A relative address, with or without an anchor.
    path : Path
        The page on which it stands.
    pages : dict of Path to Page
        All pages of the site.
    """
    parts = urlsplit(address)
    if parts.scheme:  # data:, mailto:
        return True
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.exists():
        return False
    anchor = unquote(parts.fragment)
    return not anchor or target not in pages or anchor in pages[target].anchors
