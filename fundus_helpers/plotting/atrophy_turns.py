"""All visits of one eye in turn, with the outlines of the atrophy; and pictures for reports."""

import base64
import io
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import numpy as np
from IPython.display import HTML
from PIL import Image, ImageDraw

from fundus_helpers.atrophy.eye import Atrophy
from fundus_helpers.atrophy.shapes import border_lines
from fundus_helpers.files import written_beside
from fundus_helpers.metrics.verdict import FAILED
from fundus_helpers.plotting.atrophy import growth_curve, healed_map, isochrones, onset_map
from fundus_helpers.plotting.pictures import FIGURE, brightened

MOST_TURNS = 24
GREYS = 63  # more make the file larger, and only the grain clearer
YELLOW = 240, 228, 66  # of the outlines; all people tell it from grey
PALETTE = [*np.linspace(0, 255, GREYS).astype(int).repeat(3).tolist(), *YELLOW]
# The pictures of atrophy that a report shows, with their captions.
ATROPHY_PICTURES = {
    "onset.png": "When each point of the retina became atrophic.",
    "healed.png": "Red: points that one visit shows as atrophic and a later visit as healthy.",
    "isochrones.png": "The outlines of all visits over the last photograph.",
    "growth.png": "Area and its square root over time, with 95 % intervals.",
    "outlines.gif": "The registered visits in turn, each with its outline.",
}


def outline_turns(atrophy: Atrophy, *, milliseconds: int = 700, size: int = 512) -> bytes:
    """Make an animation that shows the registered visits in turn, each with its outline.

    Parameters
    ----------
    atrophy : Atrophy
    milliseconds : int
        How long each visit is shown.
    size : int
        Longer side of the animation, in pixels.

    Returns
    -------
    bytes
        An animated GIF. Of more than 24 visits, 24 are shown, the first and the last among them.
    """
    count = len(atrophy.visits.names)
    chosen = np.unique(np.linspace(0, count - 1, min(count, MOST_TURNS)).round().astype(int))
    frames = [_frame(atrophy, int(i), size) for i in chosen]
    buffer = io.BytesIO()
    frames[0].save(
        buffer, "GIF", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0
    )
    return buffer.getvalue()


def outline_view(atrophy: Atrophy, *, milliseconds: int = 700) -> HTML:
    """Show `outline_turns` with a caption below, in a notebook and in a page made from it.

    Parameters
    ----------
    atrophy, milliseconds
        See `outline_turns`.
    """
    data = base64.b64encode(outline_turns(atrophy, milliseconds=milliseconds)).decode()
    first, last = atrophy.visits.dates[0], atrophy.visits.dates[-1]
    caption = (
        f"The registered visits in turn, from {first} to {last}, each with its outline in yellow. "
        "Vessels should stand still, and the outline should only grow."
    )
    return HTML(FIGURE.render(data=data, caption=caption))


def save_atrophy_pictures(
    folder: Path | str, atrophy: Atrophy, left_out: Iterable[date] = ()
) -> list[Path]:
    """Save the pictures of the atrophy that the report of an eye shows.

    Those of an earlier run are deleted first. If the onset map is refused, only ``healed.png`` and
    ``outlines.gif`` are saved; if there is no atrophy, nothing is.

    Parameters
    ----------
    folder : path
        The folder of one notebook's results for one eye.
    atrophy : Atrophy
    left_out : dates
        See `growth_curve`.

    Returns
    -------
    list of Path
    """
    folder, left_out = Path(folder), [*left_out]
    for name in ATROPHY_PICTURES:
        (folder / name).unlink(missing_ok=True)
    if atrophy.none:
        return []
    figures = {"healed.png": healed_map(atrophy)}
    if atrophy.verdict[0] != FAILED:
        figures = {
            "onset.png": onset_map(atrophy),
            "isochrones.png": isochrones(atrophy),
            "growth.png": growth_curve(atrophy, left_out),
        }
    for name, figure in figures.items():
        with written_beside(folder / name) as part:
            figure.supxlabel("")  # the report has a caption of its own
            figure.savefig(part, format="png", dpi=100)
    with written_beside(folder / "outlines.gif") as part:
        part.write_bytes(outline_turns(atrophy))
    return [folder / name for name in ATROPHY_PICTURES if (folder / name).exists()]


def _frame(atrophy: Atrophy, i: int, size: int) -> Image.Image:
    visits = atrophy.visits
    image = Image.fromarray(np.uint8(brightened(visits.images[i])[0] * 255))
    factor = size / max(image.size)
    shape = [max(round(side * factor), 1) for side in image.size]
    grey = np.asarray(image.resize(shape, Image.Resampling.BICUBIC))
    frame = Image.frombytes("P", tuple(shape), np.uint8(grey / 255 * (GREYS - 1)).tobytes())
    frame.putpalette(PALETTE)
    draw = ImageDraw.Draw(frame)
    for line in border_lines(atrophy.onset.mask(i)):
        points = [tuple(point) for point in (line + 0.5) * factor - 0.5]
        draw.line(points, fill=0, width=max(round(size / 120), 3))
        draw.line(points, fill=GREYS, width=max(round(size / 260), 1))
    date, place, height = visits.dates[i].isoformat(), (6, 4), size / 24
    draw.rectangle(draw.textbbox(place, date, font_size=height), fill=0)
    draw.text(place, date, fill=GREYS, font_size=height)
    return frame
