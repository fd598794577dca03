"""Two pictures beside each other, under one divider, or in turn, to judge a registration by."""

from collections.abc import Callable
from pathlib import Path

import anywidget
import cv2
import numpy as np
import traitlets

from fundus_helpers.plotting.pictures import brightened, checkerboard, overlay

QUALITY = 92


OVERLAY_CAPTION = "red: template only, cyan: visit only, grey: both agree"


DIFFERENCE_CAPTION = (
    "mid-grey: both agree; lighter: the visit is brighter; darker: the template is brighter"
)


BOARD_CAPTION = "tiles of the template and of the visit in turn: vessels should run on across edges"


SWIPE_CAPTION = "drag the divider, or move it with the arrow keys"


TURN_CAPTION = "what still moves is not aligned, what fades has changed"


class Comparison(anywidget.AnyWidget):
    """A widget that shows two pictures.

    Attributes
    ----------
    first, second : bytes
        JPEG files, of one size.
    labels : list of str
        Of the two.
    caption : str
        Below them: what to look for, and what the colours mean.
    mode : {"side", "swipe", "flicker"}
        Beside each other; the second to the right of a divider; in turn.
    position : float
        Of the divider, in percent of the width.
    milliseconds : int
        Each picture stays that long in its turn; never less than 200, for the eyes' sake.
    playing : bool
        False stops the turns.
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

    def show(self, view: str, fixed: np.ndarray, moving: np.ndarray, warped: np.ndarray) -> None:
        """Show a pair before and after its registration.

        Parameters
        ----------
        view : str
            One of `VIEWS`.
        fixed, moving, warped : float ndarray in [0, 1], all of shape (height, width)
            `warped` is the moving image on the fixed grid.

        Raises
        ------
        ValueError
            For any other view.
        """
        if view not in VIEWS:
            raise ValueError(f"view {view!r} is not one of {[*VIEWS]}")
        mode, labels, caption, draw_first, draw_second = VIEWS[view]
        images = fixed, moving, warped
        with self.hold_sync():
            if not self._is_drawn(view, fixed, moving):  # the first stays while knobs turn
                self.first, self._drawn = _jpeg(draw_first(*images)), (view, fixed, moving)
            self.second = _jpeg(draw_second(*images))
            self.labels, self.caption, self.mode = [*labels], caption, mode

    def _is_drawn(self, view: str, fixed: np.ndarray, moving: np.ndarray) -> bool:
        drawn_view, drawn_fixed, drawn_moving = self._drawn
        return drawn_view == view and drawn_fixed is fixed and drawn_moving is moving


def difference(fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """Subtract two images, each about its own brightness: mid-grey where both agree.

    The alternative to `plotting.overlay` for eyes that do not tell red from cyan.

    Parameters
    ----------
    fixed, moving : float ndarray in [0, 1], shape (height, width)

    Returns
    -------
    float ndarray in [0, 1], shape (height, width)
    """
    detail = [
        image - cv2.GaussianBlur(image, (0, 0), 0.03 * max(image.shape))
        for image in (fixed, moving)
    ]
    fixed, moving = (each / max(each.std(), 1e-6) for each in detail)
    return np.clip(0.5 + (moving - fixed) / 8, 0, 1)


def _jpeg(picture: np.ndarray) -> bytes:
    eight_bit = np.uint8(np.round(np.clip(picture, 0, 1) * 255))
    ordered = eight_bit[..., ::-1] if eight_bit.ndim == 3 else eight_bit  # OpenCV writes BGR
    return cv2.imencode(".jpg", ordered, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()


def _views() -> dict[str, tuple[str, tuple[str, str], str, Callable, Callable]]:
    """How two pictures are shown, their labels and caption, and what draws either of them.

    Both are drawn from the fixed, the moving and the warped image.
    """

    def before_after(caption: str, draw: Callable, mode: str = "side") -> tuple:
        before, after = lambda f, m, w: draw(f, m), lambda f, m, w: draw(f, w)
        return mode, ("before", "after"), caption, before, after

    def template_visit(caption: str, mode: str) -> tuple:
        template, visit = lambda f, m, w: brightened(f)[0], lambda f, m, w: brightened(w)[0]
        return mode, ("template", "visit, registered"), caption, template, visit

    return {
        "overlay": before_after(OVERLAY_CAPTION, overlay),
        "grey difference": before_after(DIFFERENCE_CAPTION, difference),
        "checkerboard": before_after(BOARD_CAPTION, checkerboard),
        "swipe": template_visit(f"{SWIPE_CAPTION}: vessels should run on across it", "swipe"),
        "swipe before/after": before_after(f"{SWIPE_CAPTION}; {OVERLAY_CAPTION}", overlay, "swipe"),
        "flicker": template_visit(TURN_CAPTION, "flicker"),
    }


VIEWS = _views()
