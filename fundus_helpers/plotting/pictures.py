"""Pictures of two images at once: overlaid, in tiles, in turn."""

import base64
import html
import io

import numpy as np
from IPython.display import HTML
from PIL import Image

OVERLAY_CAPTION = "red: fixed only, cyan: moving only, grey: both agree"


def overlay(fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """Lay two images on each other: fixed in red, moving in green and blue (cyan).

    Parameters
    ----------
    fixed, moving : float ndarray in [0, 1], shape (height, width)

    Returns
    -------
    float ndarray, shape (height, width, 3)
        Grey where both agree, red or cyan where one is brighter.
    """
    fixed, moving = brightened(fixed, moving)
    return np.dstack([fixed, moving, moving])


def brightened(*images: np.ndarray) -> list[np.ndarray]:
    """Stretch images by one common factor, so that the brightest is white; a green channel is dark.

    Parameters
    ----------
    *images : float ndarray in [0, 1], shape (height, width)
    """
    brightest = max(np.percentile(image, 99.5) for image in images)
    return [np.clip(image / max(brightest, 1e-6), 0, 1) for image in images]


def checkerboard(fixed: np.ndarray, moving: np.ndarray, *, tiles: int = 8) -> np.ndarray:
    """Alternate square tiles of two images: vessels run on across the edges when they are aligned.

    Parameters
    ----------
    fixed, moving : ndarray, shape (height, width)
    tiles : int
        Along the longer side.
    """
    fixed, moving = brightened(fixed, moving)
    rows, columns = np.indices(fixed.shape[:2]) * tiles // max(fixed.shape[:2])
    return np.where((rows + columns) % 2 == 0, fixed, moving)


def flicker(
    fixed: np.ndarray, moving: np.ndarray, *, milliseconds: int = 500, size: int = 512
) -> bytes:
    """Show two images in turn: what moves is not aligned, or has changed.

    Parameters
    ----------
    fixed, moving : float ndarray in [0, 1], shape (height, width)
    milliseconds : int
        Each image stays that long.
    size : int
        Longer side of the animation in pixels.

    Returns
    -------
    bytes
        An animated GIF; `flicker_view` shows it.
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
    """Show `flicker` in a notebook, and in a page made of it, with a caption below.

    Parameters
    ----------
    fixed, moving, milliseconds
        See `flicker`.
    caption : str
        Shown below, and read aloud in place of the picture.
    """
    data = base64.b64encode(flicker(fixed, moving, milliseconds=milliseconds)).decode()
    text = html.escape(caption)
    return HTML(
        f'<figure><img alt="{text}" src="data:image/gif;base64,{data}">'
        f"<figcaption><em>{text}</em></figcaption></figure>"
    )
