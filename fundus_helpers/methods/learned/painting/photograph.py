"""Photographs of painted retinas: what the retina looks like at a visit, and what the camera does.

The two photographs of a pair differ in everything that may differ between visits: textures fade or
turn over, lesions grow, the light, the focus, the grain and the compression change. Only the
vessels, the disc and most of the textures stay what they are.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from fundus_helpers.loading.light import erode, normalise_illumination
from fundus_helpers.methods.learned.painting.retina import (
    DISC,
    LEVEL,
    SPOTS,
    TEXTURES,
    VESSELS,
    Retina,
    texture,
)

# Width of a photograph of usual magnification, in pixels of a retina. All lengths refer to it.
USUAL = 768
# Blur of `loading.normalise_illumination` and rim of the masks, as shares of `USUAL`.
EVEN, RIM = 0.03, 0.01


@dataclass(frozen=True)
class Look:
    """How the retina looks in one modality, on the day of a visit.

    Attributes
    ----------
    vessels, disc, spots : float
        Their brightness against their surroundings; vessels are dark below 0.
    textures : ndarray, shape (4,)
        Strength of the textures, from fine to coarse.
    lesion : float
        The level above which the retina is changed.
    bare : ndarray, shape (3,)
        Inside lesions: brightness, the share of the vessels that is left, strength of the texture.
    """

    vessels: float
    disc: float
    spots: float
    textures: np.ndarray
    lesion: float
    bare: np.ndarray


def draw_looks(rng: np.random.Generator) -> tuple[Look, Look]:
    """Draw the looks of two visits. Lesions grow, and the vessels keep their polarity."""
    polarity = -1 if rng.uniform() < 0.8 else 1
    vessels = polarity * np.exp(rng.uniform(np.log(0.3), np.log(1.5)))
    strengths = 0.1 * np.exp(rng.normal(0, 0.7, len(TEXTURES))) * np.array([0.6, 0.7, 1, 1])
    disc, spots = rng.normal(0.4, 0.6), rng.normal(0.2, 0.3)
    lesion, growth = rng.uniform(1.2, 3.5), rng.exponential(0.3)
    bare = np.array([rng.normal(0, 0.6), rng.uniform(0.3, 1), rng.uniform(0.05, 0.5)])
    other = rng.uniform() < 0.3  # two modalities: textures and disc look otherwise
    order = rng.permutation([0, 1])

    def draw(visit: int) -> Look:
        change = np.exp(rng.normal(0, 0.3, len(TEXTURES)))
        if other:
            change *= rng.choice([-0.5, 0, 0.5, 1], len(TEXTURES))
        return Look(
            vessels * np.exp(rng.normal(0, 0.35)),
            disc + rng.normal(0, 0.8 if other else 0.1),
            spots * (rng.normal(0, 1) if other else np.exp(rng.normal(0, 0.3))),
            strengths * change,
            lesion - growth * order[visit],
            bare + (rng.normal(0, 0.5) if other else 0) * np.array([1, 0, 0]),
        )

    return draw(0), draw(1)


def photograph(
    retina: Retina, look: Look, places: np.ndarray, scale: float, rng: np.random.Generator
) -> np.ndarray:
    """Take a photograph of a retina.

    Parameters
    ----------
    retina : Retina
    look : Look
    places : float32 ndarray, shape (height, width, 2)
        The point (x, y) of the retina, in its pixels, that each pixel shows.
    scale : float
        Pixels of the photograph per pixel of the retina.
    rng : numpy.random.Generator
        Draws the light, focus, grain and compression.

    Returns
    -------
    float32 ndarray in [0, 1], shape (height, width)
    """
    layers = retina.seen(places, scale)
    dead = _sigmoid((layers[..., LEVEL] - look.lesion) / np.float32(rng.uniform(0.02, 0.15)))
    around = np.tensordot(layers[..., TEXTURES], look.textures.astype(np.float32), 1)
    around += look.disc * layers[..., DISC] + look.spots * layers[..., SPOTS]
    side = max(places.shape[:2])
    bare = look.bare[0] + look.bare[2] * _texture_at(places.shape[:2], 12 * scale, rng)
    image = around * (1 - dead) + bare.astype(np.float32) * dead
    image += look.vessels * layers[..., VESSELS] * (1 - dead * np.float32(1 - look.bare[1]))
    image = 0.5 + 0.15 * image * _drift(places.shape[:2], 0.35, rng)
    return _exposed(image * _drift(places.shape[:2], 0.25, rng), scale, side, rng)


def _exposed(image: np.ndarray, scale: float, side: int, rng: np.random.Generator) -> np.ndarray:
    """Add blur, glare, grain and compression."""
    blur = scale * (0.2 + 2.2 * rng.uniform() ** 3)
    image = cv2.GaussianBlur(image, (0, 0), max(blur, 0.2))
    if rng.uniform() < 0.15:  # glare
        y, x = np.ogrid[: image.shape[0], : image.shape[1]]
        at, wide = rng.uniform(0, side, 2), side * rng.uniform(0.05, 0.4)
        shape = np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * wide**2))
        image = image + np.float32(rng.uniform(0.1, 0.6)) * shape.astype(np.float32)
    noise = rng.standard_normal(image.shape).astype(np.float32)
    grain = 0.8 * scale * rng.uniform(0.3, 1.5)
    coarse = cv2.GaussianBlur(noise, (0, 0), grain) * np.float32(max(2 * grain, 1))
    strength = 0.05 * rng.uniform() ** 2
    image = image + np.float32(strength) * (noise if rng.uniform() < 0.5 else coarse)
    image = np.clip(image, 0, 1)
    if rng.uniform() < 0.3:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(10, 90))]
        written = cv2.imencode(".jpg", (image * 255).astype(np.uint8), quality)[1]
        image = cv2.imdecode(written, cv2.IMREAD_GRAYSCALE) / np.float32(255)
    return image


def draw_aperture(
    shape: tuple[int, int], corner: np.ndarray, scale: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw the field of view of a photograph, of which a window is shown.

    Parameters
    ----------
    shape : (height, width)
        Shape of the window in pixels.
    corner : ndarray, shape (2,)
        (x, y) of the corner of the window in the photograph, in pixels.
    scale : float
        Pixels of the photograph per pixel of a retina.
    rng : numpy.random.Generator

    Returns
    -------
    bool ndarray of that shape
    """
    y, x = np.ogrid[: shape[0], : shape[1]]
    half = USUAL * scale / 2
    x, y = (x + corner[0]) / half - 1, (y + corner[1]) / half - 1
    kind, radius = rng.uniform(), rng.uniform(0.9, 1.05)
    inside = (abs(x) < 1) & (abs(y) < 1)
    if kind < 0.65:
        inside = inside & (np.hypot(x, y) < radius)
    if kind < 0.25:
        inside = inside & (abs(y) < rng.uniform(0.7, 1))
    return inside


def even(image: np.ndarray, mask: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Even out the illumination as every method does; see `methods.pair.prepare_pair`.

    Parameters
    ----------
    image : float32 ndarray in [0, 1], shape (height, width)
    mask : bool ndarray, shape (height, width)
    scale : float
        Pixels of the photograph per pixel of a retina. It makes the blur that of a whole
        photograph, also where `image` is a window of it.
    """
    longer = max(image.shape)
    sigma, rim = (share * USUAL * scale / longer for share in (EVEN, RIM))
    if not mask.any():
        return np.full(image.shape, 0.5, np.float32), mask
    return normalise_illumination(image * mask, mask, sigma=sigma), erode(mask, rim)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(values, -30, 30)))


def _texture_at(shape: tuple[int, int], cell: float, rng: np.random.Generator) -> np.ndarray:
    return texture(max(shape), max(cell, 1.0), rng)[: shape[0], : shape[1]]


def _drift(shape: tuple[int, int], strength: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a smooth positive factor that varies over the photograph."""
    return np.exp(np.float32(strength) * _texture_at(shape, max(shape) / 2.5, rng))
