"""Pictures of two images at once: as an overlay, in tiles, in turn."""

import base64
import io
from pathlib import Path

import cv2
import numpy as np
from IPython.display import HTML
from jinja2 import Template
from PIL import Image


def overlay_caption(fixed: str = "fixed", moving: str = "moving") -> str:
    """Say what the colours of an `overlay` mean.

    Parameters
    ----------
    fixed, moving : str
        What the two images are called.
    """
    return f"orange: {fixed} is brighter, blue: {moving} is brighter, grey: both agree"


OVERLAY_CAPTION = overlay_caption()
TURN_CAPTION = "what still moves is not aligned, what fades has changed"

FIGURE = Template(
    Path(__file__).with_name("figure.html.j2").read_text(encoding="utf-8"), autoescape=True
)


def overlay(fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """Lay two images on each other: the fixed one in orange, the moving one in blue.

    People who cannot tell red from green (deuteranopes, protanopes) tell orange from blue.

    Parameters
    ----------
    fixed, moving : float ndarray in [0, 1], shape (height, width)

    Returns
    -------
    float ndarray, shape (height, width, 3)
        Grey where both agree, orange or blue where one of them is brighter.
    """
    fixed, moving = brightened(fixed, moving)
    return np.dstack([fixed, (fixed + moving) / 2, moving])


def brightened(*images: np.ndarray) -> list[np.ndarray]:
    """Brighten images by one common factor, so that the brightest of them reaches white.

    A green channel alone is dark.

    Parameters
    ----------
    *images : float ndarray in [0, 1], shape (height, width)
    """
    brightest = max(np.percentile(image, 99.5) for image in images)
    return [np.clip(image / max(brightest, 1e-6), 0, 1) for image in images]


def checkerboard(fixed: np.ndarray, moving: np.ndarray, *, tiles: int = 8) -> np.ndarray:
    """Show two images in alternate square tiles: aligned vessels run on across the edges of tiles.

    Parameters
    ----------
    fixed, moving : ndarray, shape (height, width)
    tiles : int
        Number of tiles along the longer side.
    """
    fixed, moving = brightened(fixed, moving)
    rows, columns = np.indices(fixed.shape[:2]) * tiles // max(fixed.shape[:2])
    return np.where((rows + columns) % 2 == 0, fixed, moving)


def flicker(
    fixed: np.ndarray, moving: np.ndarray, *, milliseconds: int = 500, size: int = 512
) -> bytes:
    """Make an animation that shows two images in turn, to be read as `TURN_CAPTION` says.

    Parameters
    ----------
    fixed, moving : float ndarray in [0, 1], shape (height, width)
    milliseconds : int
        How long each image is shown.
    size : int
        Longer side of the animation, in pixels.

    Returns
    -------
    bytes
        An animated GIF. `flicker_view` shows it in a notebook.
    """
    frames = [Image.fromarray(np.uint8(image * 255)) for image in brightened(fixed, moving)]
    for frame in frames:
        frame.thumbnail((size, size))
    buffer = io.BytesIO()
    frames[0].save(
        buffer, "GIF", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0
    )
    return buffer.getvalue()


def flicker_view(
    fixed: np.ndarray, moving: np.ndarray, *, caption: str, milliseconds: int = 500
) -> HTML:
    """Show `flicker` with a caption below, in a notebook and in a page made from it.

    Parameters
    ----------
    fixed, moving
        See `flicker`.
    caption : str
        Written below the picture, and also its alternative text.
    milliseconds
        See `flicker`.
    """
    data = base64.b64encode(flicker(fixed, moving, milliseconds=milliseconds)).decode()
    return HTML(FIGURE.render(data=data, caption=caption))


def difference(fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """Show the difference of two images in grey: mid-grey where both agree.

    It shows small differences without any colour. The local brightness is
    removed from both images first, and their contrast is made equal.

    Parameters
    ----------
    fixed, moving : float ndarray in [0, 1], shape (height, width)

    Returns
    -------
    float ndarray in [0, 1], shape (height, width)
        Lighter where the moving image is brighter, darker where the fixed image is brighter.
    """
    detail = [
        image - cv2.GaussianBlur(image, (0, 0), 0.03 * max(image.shape))
        for image in (fixed, moving)
    ]
    fixed, moving = (each / max(each.std(), 1e-6) for each in detail)
    return np.clip(0.5 + (moving - fixed) / 8, 0, 1)
