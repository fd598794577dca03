"""Where things lie on this machine, taken out of what is kept or passed on."""

import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path


def without_places(value: object, named: Mapping[str, Path | str], folder: Path | str) -> object:
    """Replace folders of this machine by words, in every text of a nested structure.

    What is kept then names no folder outside the project, and so no user, and is the same wherever
    it was made.

    Parameters
    ----------
    value : object
        Dictionaries and lists of any depth; texts in them are changed, the rest is not.
    named : mapping of str to path
        Folders to call by a word of their own: ``{"data": "../../study"}`` makes ``<data>`` of it,
        however it is written. What lies inside the project keeps its relative path.
    folder : path
        The folder that relative paths start from; the project is the folder above.

    Returns
    -------
    object
        The same structure with other texts.
    """
    folder = Path(folder).resolve()
    project = folder.parent
    words = {
        str(Path(sys.prefix)): "<python>",
        str(Path(sys.base_prefix)): "<python>",
        str(Path(tempfile.gettempdir())): "<temporary>",
        str(Path.home()): "<home>",
    }
    for name, place in named.items():
        absolute = (folder / place).resolve()
        if not absolute.is_relative_to(project):
            words |= {str(absolute): f"<{name}>", str(place): f"<{name}>"}
    words[str(project)] = "<project>"
    # The longest first: a home folder may hold all the others.
    longest = sorted((word for word in words if word not in ("", ".", "/")), key=len, reverse=True)
    alternatives = "|".join(map(re.escape, longest))
    # At the start of a word, or after the colour codes of a traceback.
    pattern = re.compile(rf"(\x1b\[[\d;]*m|(?<![\w.\-]))({alternatives})(?![\w\-])")
    return _replaced(
        value, lambda text: pattern.sub(lambda found: found[1] + words[found[2]], text)
    )


def _replaced(value: object, replace: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return replace(value)
    if isinstance(value, Mapping):
        # Pictures are letters too, and none of them is a folder.
        return type(value)(
            (key, item if str(key).startswith("image/") else _replaced(item, replace))
            for key, item in value.items()
        )
    if isinstance(value, list):
        return [_replaced(item, replace) for item in value]
    return value
