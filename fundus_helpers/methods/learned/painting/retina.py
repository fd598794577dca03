"""Retinas drawn at random, more different from each other than real ones are.

Networks that learn from them do not know any eye, camera or modality, and therefore carry over to
all of them (SynthMorph, Hoffmann et al., IEEE TMI 2022, doi:10.1109/TMI.2021.3116879). A retina is
a stack of layers: vessels, the optic disc, textures, and a level whose high values become lesions.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from fundus_helpers.loading.values import resize

# Side of a retina in its own pixels. A photograph of usual magnification shows about 768 of them.
SIDE = 1224  # a multiple of 6, for `SHRUNK`
# The layers are kept at these resolutions, so that small photographs show no aliasing.
SHRUNK = (1, 2, 3)
# Cells of the textures in pixels, from grain to clouds.
CELLS = (3, 7, 18, 50)

# Positions in the stack of layers.
VESSELS, DISC, LEVEL, SPOTS, *TEXTURES = range(4 + len(CELLS))


@dataclass(frozen=True)
class Retina:
    """The layers of one retina.

    Attributes
    ----------
    layers : tuple of (ndarray, ndarray), float32, each of shape (side, side, 4)
        Two stacks of layers for each factor of `SHRUNK`. The first has the vessels (0 to 1), the
        disc (0 to 1), the level of the lesions (standard deviation 1) and spots (-1 to 1); the
        second has four textures (standard deviation 1), from fine to coarse.
    """

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]

    def seen(self, places: np.ndarray, scale: float) -> np.ndarray:
        """Return the layers at some points.

        Parameters
        ----------
        places : float32 ndarray, shape (height, width, 2)
            Points (x, y) in pixels of the retina. Beyond its edge, it is mirrored.
        scale : float
            Pixels of the result per pixel of the retina; it chooses the resolution.

        Returns
        -------
        float32 ndarray, shape (height, width, 8)
        """
        level = int(np.argmin([abs(np.log(scale * factor)) for factor in SHRUNK]))
        place = (places + np.float32(0.5)) / np.float32(SHRUNK[level]) - np.float32(0.5)
        return np.concatenate(
            [
                cv2.remap(stack, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
                for stack in self.layers[level]
            ],
            axis=2,
        )


def draw_retina(rng: np.random.Generator) -> Retina:
    """Draw a retina.

    Parameters
    ----------
    rng : numpy.random.Generator

    Returns
    -------
    Retina

    Examples
    --------
    >>> import numpy as np
    >>> from fundus_helpers.methods.learned.painting.retina import draw_retina
    >>> retina = draw_retina(np.random.default_rng(0))
    >>> [stack.shape for stack, _ in retina.layers]
    [(1224, 1224, 4), (612, 612, 4), (408, 408, 4)]
    """
    centre = rng.uniform(0.1, 0.9, 2) * SIDE
    radius = rng.uniform(38, 75) * np.exp(rng.normal(0, 0.06, 2))
    layers = [
        _draw_vessels(centre, rng),
        _draw_disc(centre, radius, rng),
        texture(SIDE, rng.uniform(60, 160), rng) + 0.35 * texture(SIDE, rng.uniform(12, 30), rng),
        _draw_spots(rng),
        *(texture(SIDE, cell * np.exp(rng.normal(0, 0.25)), rng) for cell in CELLS),
    ]
    layers[TEXTURES[2]] += _draw_choroid(rng)
    layers = [layer.astype(np.float32, copy=False) for layer in layers]
    stacks = cv2.merge(layers[:4]), cv2.merge(layers[4:])
    sides = [SIDE // factor for factor in SHRUNK]
    return Retina(tuple(tuple(resize(stack, side) for stack in stacks) for side in sides))


def texture(side: int, cell: float, rng: np.random.Generator) -> np.ndarray:
    """Draw smooth noise with standard deviation of about 1 and grains of `cell` pixels."""
    coarse = rng.standard_normal((int(side / cell) + 2,) * 2).astype(np.float32)
    coarse = cv2.GaussianBlur(coarse, (0, 0), 0.5) / np.float32(0.55)
    wide = (max(round(len(coarse) * cell), side),) * 2
    return cv2.resize(coarse, wide, interpolation=cv2.INTER_CUBIC)[:side, :side]


def _draw_vessels(centre: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw vessels (0 to 1) that leave the disc, branch and taper, and thin ones everywhere."""
    wander = np.exp(rng.uniform(np.log(0.06), np.log(0.4)))
    trunks = rng.integers(5, 11)
    headings = rng.uniform(0, 2 * np.pi) + np.arange(trunks) * 2 * np.pi / trunks
    widths = rng.uniform(4, 10) * rng.uniform(0.6, 1.1, trunks)
    starts = centre + rng.normal(0, 8, (trunks, 2))
    tips = list(zip(starts, headings + rng.normal(0, 0.3, trunks), widths, strict=True))
    for _ in range(rng.integers(5, 40)):  # thin vessels whose stems lie deeper or outside
        tips.append((rng.uniform(0, SIDE, 2), rng.uniform(0, 2 * np.pi), rng.uniform(1.2, 3.5)))
    paths = []
    while tips and len(paths) < 400:
        paths.append(path := _draw_path(*tips.pop(0), wander, rng))
        points, heading, width = path[0], path[1], path[2]
        for fork in rng.integers(4, len(points), rng.integers(1, 6)) if width > 1.6 else ():
            turn = rng.choice((-1, 1)) * rng.uniform(0.3, 1.2)
            tips.append((points[fork], heading[fork] + turn, width * rng.uniform(0.45, 0.85)))
    return _painted(paths, rng)


def _draw_path(
    start: np.ndarray, heading: float, width: float, wander: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, float]:
    """Draw the course of a vessel in steps of 6 px: points, headings and the width."""
    steps = int(rng.uniform(15, 60) * (1 + width / 5))
    drift = cv2.GaussianBlur(rng.normal(0, 1, (steps, 1)).astype(np.float32), (0, 0), 2)[:, 0]
    sway = cv2.GaussianBlur(rng.normal(0, 1, (steps, 1)).astype(np.float32), (0, 0), 5)[:, 0]
    headings = heading + np.cumsum(wander * drift) + 8 * wander * sway
    moves = 6 * np.column_stack([np.cos(headings), np.sin(headings)])
    return start + np.cumsum(moves, axis=0), headings, width


def _painted(
    paths: list[tuple[np.ndarray, np.ndarray, float]], rng: np.random.Generator
) -> np.ndarray:
    """Paint vessels, faint ones first; some have a bright reflex along their centre."""
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    faint = rng.uniform(0.3, 0.8)  # how dark the faintest vessels are
    strengths = [rng.uniform(faint, 1) * min(1, 0.55 + width / 6) for *_, width in paths]
    for strength, (points, _, width) in sorted(
        zip(strengths, paths, strict=True), key=lambda pair: pair[0]
    ):
        corners = np.rint(points * 16).astype(np.int32)
        third = max(len(corners) // 3, 1)
        for part, narrower in enumerate((1, 0.85, 0.7)):
            piece = corners[part * third : (part + 1) * third + 1]
            thick = max(round(width * narrower), 1)
            ink = strength * min(1, width * narrower)
            cv2.polylines(canvas, [piece], False, 255 * ink, thick, cv2.LINE_AA, 4)
            if width > 5 and rng.uniform() < 0.3:
                middle = max(round(thick / 4), 1)
                cv2.polylines(canvas, [piece], False, 140 * ink, middle, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.6, 1.1)).astype(np.float32) / 255


def _draw_disc(centre: np.ndarray, radius: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the optic disc (0 to 1) with its cup."""
    reach = 1.6 * radius.max()  # beyond, the value of the disc is below 1/1000
    (left, top), (right, bottom) = (
        np.clip(centre + side * reach, 0, SIDE).astype(int) for side in (-1, 1)
    )
    y, x = np.ogrid[top:bottom, left:right]
    away = np.hypot((x - centre[0]) / radius[0], (y - centre[1]) / radius[1])
    disc = 1 / (1 + np.exp((away - 1) / rng.uniform(0.02, 0.08)))
    shift = centre + radius * rng.uniform(-0.25, 0.25, 2)
    cup = np.exp(-((x - shift[0]) ** 2 + (y - shift[1]) ** 2) / (0.45 * radius.mean()) ** 2)
    canvas = np.zeros((SIDE, SIDE), np.float32)
    canvas[top:bottom, left:right] = disc * (0.6 + 0.4 * cup)
    return canvas


def _draw_spots(rng: np.random.Generator) -> np.ndarray:
    """Draw round spots (-1 to 1), bright and dark, such as drusen and pigment."""
    canvas = np.zeros((SIDE, SIDE), np.float32)
    for _ in range(rng.integers(0, 150)):
        x, y = rng.integers(0, SIDE, 2).tolist()
        ink = rng.uniform(0.2, 1) * (1 if rng.uniform() < 0.7 else -1)
        cv2.circle(canvas, (x, y), int(rng.integers(1, 8)), ink, -1)
    return cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.8, 2.5))


def _draw_choroid(rng: np.random.Generator) -> np.ndarray:
    """Draw wide, soft vessels that lie behind the retina, bright or dark."""
    canvas = np.zeros((SIDE, SIDE), np.float32)
    for _ in range(rng.integers(0, 25)):
        start, heading = rng.uniform(0, SIDE, 2), rng.uniform(0, 2 * np.pi)
        points, *_ = _draw_path(start, heading, 15.0, 0.15, rng)
        corners = np.rint(points).astype(np.int32)
        cv2.polylines(canvas, [corners], False, 1.5, int(rng.integers(8, 24)))
    return rng.choice((-1, 1)) * cv2.GaussianBlur(canvas, (0, 0), 4)
