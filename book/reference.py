"""The reference of the public names: one page per room of the package, as Sphinx reads it."""

import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import fundus_helpers
from fundus_helpers.methods import METHODS

SHORT = 76  # letters of a value that a page shows
# Text in single backquotes is a name of ours, or code as it stands.
BACKQUOTED = re.compile(r"(?<![`:\w])`([^`\n]+)`(?![`_])")


def rooms() -> list[ModuleType]:
    """Return the package and its rooms, those nearest to the top first."""
    found = pkgutil.walk_packages(fundus_helpers.__path__, "fundus_helpers.")
    names = ["fundus_helpers", *(module.name for module in found if module.ispkg)]
    return [importlib.import_module(name) for name in sorted(names, key=lambda n: n.count("."))]


def public_names(room: ModuleType) -> dict[str, object]:
    """Return what a room lists by name, without the rooms inside it."""
    named = {name: getattr(room, name) for name in sorted(room.__all__)}
    return {name: value for name, value in named.items() if not inspect.ismodule(value)}


def homes() -> dict[str, str]:
    """Return where each public name is explained, by its full name in every room that lists it.

    A name that several rooms list is explained once, nearest to the top:
    ``fundus_helpers.loading.load_eye`` at ``fundus_helpers.load_eye``.
    """
    first: dict[object, str] = {}
    found = {}
    for room in rooms():
        for name, value in public_names(room).items():
            # Equal numbers and words may be two things.
            key = id(value) if callable(value) else (name, str(value))
            found[f"{room.__name__}.{name}"] = first.setdefault(key, f"{room.__name__}.{name}")
    return found


def code_marked(text: str) -> str:
    """Mark as code what stands in single backquotes and is not a name."""

    def marked(found: re.Match) -> str:
        return found[0] if re.fullmatch(r"[A-Za-z_][\w.]*\w", found[1]) else f"``{found[1]}``"

    return BACKQUOTED.sub(marked, text)


def write_reference(folder: Path) -> None:
    """Write one page per room, and the page that lists them."""
    folder.mkdir(parents=True, exist_ok=True)
    home, pages = homes(), []
    for room in rooms():
        names = {name: home[f"{room.__name__}.{name}"] for name in public_names(room)}
        title = room.__name__.removeprefix("fundus_helpers.")
        lines = [*_title(title), f".. automodule:: {room.__name__}", ""]
        lines += _table(room, names)
        for name, place in names.items():
            if place == f"{room.__name__}.{name}":
                lines += [*_entry(room, name), ""]
        if room.__name__ == "fundus_helpers.methods":
            lines += _methods()
        pages.append(room.__name__)
        (folder / f"{room.__name__}.rst").write_text("\n".join(lines), encoding="utf-8")
    text = [*_title("Reference"), "The public names of the package, by room.", ""]
    text += [".. toctree::", "   :hidden:", "", *(f"   {page}" for page in sorted(pages)), ""]
    text += [".. list-table::", "   :widths: auto", ""]
    for room in sorted(rooms(), key=lambda room: room.__name__):
        text += [f"   * - :doc:`{room.__name__}`", f"     - {_sentence(inspect.getdoc(room))}"]
    (folder / "index.rst").write_text("\n".join(text) + "\n", encoding="utf-8")


def _title(words: str) -> list[str]:
    return [words, "=" * len(words), ""]


def _table(room: ModuleType, names: dict[str, str]) -> Iterator[str]:
    """Yield a table of all names of a room, with the first sentence of what is said of each."""
    yield from (".. list-table::", "   :widths: auto", "")
    for name, place in names.items():
        yield f"   * - :py:obj:`{name} <{place}>`"
        yield f"     - {_sentence(_words(room, name))}"
    yield ""


def _words(room: ModuleType, name: str) -> str:
    """Return what the code says of a name: its docstring, or the comment of a constant."""
    value = getattr(room, name)
    if inspect.isclass(value) or inspect.isroutine(value):
        return inspect.getdoc(value) or ""
    return definition_of(room, name)[1]


def _sentence(text: str) -> str:
    """Return the first sentence of a text, on one line."""
    paragraph = " ".join(text.split("\n\n")[0].split())
    return code_marked(re.split(r"(?<=[.?!])\s(?=[A-Z`])", paragraph)[0])


def definition_of(room: ModuleType, name: str) -> tuple[str, str]:
    """Return the type of a constant, and its comment: above it, or behind it on its line."""
    value = getattr(room, name)
    inside = [n for n in sorted(sys.modules) if f"{n}.".startswith(f"{room.__name__}.")]
    for module in [sys.modules[n] for n in inside if vars(sys.modules[n]).get(name) is value]:
        lines = inspect.getsource(module).splitlines()
        for number, line in enumerate(lines):
            if defined := re.match(rf"{name}(?:: ([^=]+?))? = ", line):
                first = number
                while lines[first - 1].startswith("# "):
                    first -= 1
                above = " ".join(line.removeprefix("# ") for line in lines[first:number])
                behind = re.search(r"  # (.+)$", line)
                words = (above or (behind[1] if behind else "")).replace("*", r"\*")
                words = words[:1].upper() + words[1:] + "." * (words[-1:] not in ("", ".", "?"))
                return defined[1] or type(value).__name__, words
    return type(value).__name__, ""


def _entry(room: ModuleType, name: str) -> Iterator[str]:
    """Yield the lines that explain one name."""
    value, full = getattr(room, name), f"{room.__name__}.{name}"
    if inspect.isclass(value):
        yield from (f".. autoclass:: {full}", "   :members:")
    elif inspect.isroutine(value):
        yield f".. autofunction:: {full}"
    else:
        yield from (f".. py:data:: {name}", f"   :module: {room.__name__}")
        text, (kind, words) = repr(value), definition_of(room, name)
        yield f"   :value: {text}" if len(text) <= SHORT else f"   :type: {kind}"
        yield from ("", f"   {code_marked(words)}", "")
        if len(text) > SHORT and hasattr(value, "keys"):
            yield f"   Its keys: {', '.join(f'``{key}``' for key in value)}."


def _methods() -> Iterator[str]:
    """Yield the lines that explain the methods. Some of them are one function with a knob set."""
    yield from ("The methods", "-----------", "")
    for function, names in methods_by_function().items():
        full = f"{function.__module__}.{function.__qualname__}"
        yield from (", ".join(f"``{name}``" for name in names), "")
        yield from (f".. autofunction:: {full}", "")


def methods_by_function() -> dict[object, list[str]]:
    """Return the names in `METHODS` by the function that they call."""
    found: dict[object, list[str]] = {}
    for name, method in METHODS.items():
        function = method.func if isinstance(method, partial) else method
        found.setdefault(function, []).append(name)
    return found
