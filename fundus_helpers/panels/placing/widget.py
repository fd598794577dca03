"""The widget of the placed points: two photographs side by side, their overlay, and a table."""

from pathlib import Path

import anywidget
import traitlets

from fundus_helpers.panels.canvas import script_of


class Photographs(anywidget.AnyWidget):
    """The widget: pictures, points and numbers, and messages about what was placed.

    Attributes
    ----------
    names : list of str
        Of the visits that can be placed or taken back.
    visit : int
        Position among them of the one that is shown.
    fixed, moving : list of bytes
        Each photograph as photographed and evenly lit, as JPEG files.
    fixed_size, moving_size : list of float
        Width and height of the photographs, in pixels of the images: the unit of all points.
    steps : list of float
        One pixel of the fixed and of the moving photograph on disk in this unit.
    blended : bytes
        Both photographs under the points so far, as a JPEG file of the size of the fixed image.
    blended_size : list of float
        Width and height of that image.
    spots : list of dict
        ``fixed``, ``moving``, ``state``, ``use``, ``placed_by``; ``residual`` (dx, dy) and its
        length ``off`` in pixels of the photograph on disk, or None.
    worst : int
        Position of the point with the largest residual; -1: none.
    matrix : list of float
        The linear transform so far, row by row (2, 3), by which zoom and pan move together.
    told : str
        What the points give so far.
    status : dict
        ``kind``, one of "busy", "done", "refused" and "error", and ``words``.
    saved : str
        Whether the points are saved.
    excluded : str
        The reason why the visit is excluded; empty: it is not.
    answered : float
        The token of the last message that the points contain.
    """

    _esm = script_of(Path(__file__).with_name("placing.js"))
    _css = Path(__file__).with_name("placing.css")
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    visit = traitlets.Int(0).tag(sync=True)
    fixed = traitlets.List(traitlets.Bytes()).tag(sync=True)
    moving = traitlets.List(traitlets.Bytes()).tag(sync=True)
    fixed_size = traitlets.List([1.0, 1.0]).tag(sync=True)
    moving_size = traitlets.List([1.0, 1.0]).tag(sync=True)
    steps = traitlets.List([1.0, 1.0]).tag(sync=True)
    blended = traitlets.Bytes().tag(sync=True)
    blended_size = traitlets.List([1.0, 1.0]).tag(sync=True)
    spots = traitlets.List(traitlets.Dict()).tag(sync=True)
    worst = traitlets.Int(-1).tag(sync=True)
    matrix = traitlets.List([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]).tag(sync=True)
    told = traitlets.Unicode("").tag(sync=True)
    status = traitlets.Dict({"kind": "done", "words": ""}).tag(sync=True)
    saved = traitlets.Unicode("").tag(sync=True)
    excluded = traitlets.Unicode("").tag(sync=True)
    answered = traitlets.Float(0).tag(sync=True)

    def tell(self, kind: str, words: str) -> None:
        """Show a message; see `status`."""
        self.status = {"kind": kind, "words": words}
