"""Two images shown in turn, the way people judge whether one lies on the other."""

import base64
import html
import io

import numpy as np
from IPython.display import HTML
from PIL import Image

from fundus_helpers.figures import brightened


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
