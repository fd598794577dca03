"""The widget of the outlines: pictures, lines over them, tools, and a table of numbers."""

from pathlib import Path

import anywidget
import numpy as np
import traitlets

from fundus_helpers.atrophy.shapes import border_lines


def script_of(path: Path) -> str:
    """Return the script of a panel: what all panels have in common, then its own."""
    common = Path(__file__).with_name("elements.js")
    return "\n".join(each.read_text(encoding="utf-8") for each in (common, path))


class Canvas(anywidget.AnyWidget):
    """The widget: pictures, outlines and numbers, and messages about what was drawn.

    Attributes
    ----------
    pictures : list of bytes
        The photographs of all visits as JPEG files of one size. They are sent once.
    names : list of str
        Of the visits.
    size : list of int
        Width and height of the pictures. All that is drawn is in their pixels.
    visit : int
        Position of the visit that is shown.
    outlines : list of bytes
        For each visit, float32 pairs (x, y); a pair of NaN ends a line.
    marks : dict
        ``ellipse``, ``fovea``, ``disc`` and ``first_free``, as in `Drawing`.
    numbers : dict
        ``columns`` and ``rows`` of the table, one row per visit, and ``notes``: all texts.
    status : dict
        ``kind``, one of "busy", "done", "refused" and "error", and ``words``.
    saved : str
        Whether the drawing is saved.
    answered : float
        The token of the last message that the outlines contain.
    """

    _esm = script_of(Path(__file__).with_name("outlining.js"))
    _css = Path(__file__).with_name("outlining.css")
    pictures = traitlets.List(traitlets.Bytes()).tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    size = traitlets.List([1, 1]).tag(sync=True)
    visit = traitlets.Int(0).tag(sync=True)
    outlines = traitlets.List(traitlets.Bytes()).tag(sync=True)
    marks = traitlets.Dict({}).tag(sync=True)
    numbers = traitlets.Dict({}).tag(sync=True)
    status = traitlets.Dict({"kind": "busy", "words": ""}).tag(sync=True)
    saved = traitlets.Unicode("").tag(sync=True)
    answered = traitlets.Float(0).tag(sync=True)

    def tell(self, kind: str, words: str) -> None:
        """Show a message; see `status`."""
        self.status = {"kind": kind, "words": words}


def packed_lines(mask: np.ndarray, factor: float) -> bytes:
    """Return the border lines of a mask as `Canvas.outlines` has them.

    Parameters
    ----------
    mask : bool ndarray, shape (height, width)
    factor : float
        Pixels of the pictures per pixel of the mask.
    """
    end = np.full((1, 2), np.nan)
    lines = [(line + 0.5) * factor - 0.5 for line in border_lines(mask)]
    pieces = [piece for line in lines for piece in (line, end)]
    return np.concatenate(pieces).astype("<f4").tobytes() if pieces else b""
