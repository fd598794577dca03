"""A widget that compares two pictures: side by side, under one divider, or in turn."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import anywidget
import cv2
import numpy as np
import traitlets

from fundus_helpers.methods.knobs import check_choice
from fundus_helpers.plotting.pictures import (
    TURN_CAPTION,
    brightened,
    checkerboard,
    difference,
    overlay,
    overlay_caption,
)

# Of the JPEG files, in percent.
QUALITY = 92

OVERLAY_CAPTION = overlay_caption("template", "visit")
DIFFERENCE_CAPTION = (
    "mid-grey: both agree; lighter: the visit is brighter; darker: the template is brighter"
)
BOARD_CAPTION = "tiles of the template and of the visit in turn: vessels should run on across edges"
SWIPE_CAPTION = "drag the divider, or move it with the arrow keys"

FAILED_LABEL = "no picture: the registration failed"

Draw = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class View:
    """One way to show a registered pair by two pictures.

    Attributes
    ----------
    mode : {"side", "swipe", "flicker"}
        See `Comparison`.
    caption : str
        What to look for, and what the colours mean.
    draw : callable or None
        Draws the fixed image together with a moving image: before the registration for the first
        picture, after it for the second. None: the first picture is the fixed image, the second
        one is the registered moving image.
    """

    mode: Literal["side", "swipe", "flicker"]
    caption: str
    draw: Draw | None = None

    @property
    def labels(self) -> list[str]:
        """Labels of the two pictures."""
        return ["before", "after"] if self.draw else ["template", "visit, registered"]

    def first(self, fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
        """Draw the first picture from the fixed image and the moving image as it was."""
        return self.draw(fixed, moving) if self.draw else brightened(fixed)[0]

    def second(self, fixed: np.ndarray, warped: np.ndarray) -> np.ndarray:
        """Draw the second picture from the fixed image and the registered moving image."""
        return self.draw(fixed, warped) if self.draw else brightened(warped)[0]


VIEWS = {
    "overlay": View("side", OVERLAY_CAPTION, overlay),
    "grey difference": View("side", DIFFERENCE_CAPTION, difference),
    "checkerboard": View("side", BOARD_CAPTION, checkerboard),
    "swipe": View("swipe", f"{SWIPE_CAPTION}: vessels should run on across it"),
    "swipe before/after": View("swipe", f"{SWIPE_CAPTION}; {OVERLAY_CAPTION}", overlay),
    "flicker": View("flicker", TURN_CAPTION),
}


class Comparison(anywidget.AnyWidget):
    """A widget that shows two pictures.

    Attributes
    ----------
    first, second : bytes
        The pictures as JPEG files; both have the same size. Nothing: there is no picture.
    labels : list of str
        Labels of the two pictures.
    caption : str
        Text below the pictures: what to look for, and what the colours mean.
    mode : {"side", "swipe", "flicker"}
        The pictures are side by side; or the second one lies on the first, to the right of a
        divider; or they are shown in turn.
    position : float
        Position of the divider in percent of the width.
    milliseconds : int
        How long each picture is shown in its turn. At least 200, because faster flicker is
        unpleasant.
    playing : bool
        False: the pictures do not change.
    """

    _esm = Path(__file__).with_name("swipe.js")
    _css = Path(__file__).with_name("swipe.css")
    first = traitlets.Bytes().tag(sync=True)
    second = traitlets.Bytes().tag(sync=True)
    labels = traitlets.List(["", ""]).tag(sync=True)
    caption = traitlets.Unicode().tag(sync=True)
    mode = traitlets.Enum(["side", "swipe", "flicker"], "side").tag(sync=True)
    position = traitlets.Float(50).tag(sync=True)
    milliseconds = traitlets.Int(500, min=200).tag(sync=True)
    playing = traitlets.Bool(True).tag(sync=True)
    _drawn: tuple = ("", None, None)

    def show(
        self, view: str, fixed: np.ndarray, moving: np.ndarray, warped: np.ndarray | None
    ) -> None:
        """Show a pair before and after its registration.

        Parameters
        ----------
        view : str
            One of `VIEWS`.
        fixed, moving : float ndarray in [0, 1], both of shape (height, width)
        warped : float ndarray in [0, 1], shape (height, width), or None
            The moving image on the fixed grid. None: the registration failed, and the second
            picture stays empty, because it would show something that is not so.

        Raises
        ------
        ValueError
            For any other view.
        """
        check_choice("view", view, VIEWS)
        shown = VIEWS[view]
        with self.hold_sync():
            if not self._is_drawn(view, fixed, moving):  # knobs change the second picture only
                self.first, self._drawn = as_jpeg(shown.first(fixed, moving)), (view, fixed, moving)
            self.second = b"" if warped is None else as_jpeg(shown.second(fixed, warped))
            self.labels, self.caption, self.mode = shown.labels, shown.caption, shown.mode
            if warped is None:
                self.labels, self.mode = [shown.labels[0], FAILED_LABEL], "side"

    def _is_drawn(self, view: str, fixed: np.ndarray, moving: np.ndarray) -> bool:
        drawn_view, drawn_fixed, drawn_moving = self._drawn
        return drawn_view == view and drawn_fixed is fixed and drawn_moving is moving


def as_jpeg(picture: np.ndarray) -> bytes:
    """Return a picture, grey or RGB in [0, 1], as a JPEG file."""
    eight_bit = np.uint8(np.round(np.clip(picture, 0, 1) * 255))
    ordered = eight_bit[..., ::-1] if eight_bit.ndim == 3 else eight_bit  # OpenCV writes BGR
    return cv2.imencode(".jpg", ordered, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
