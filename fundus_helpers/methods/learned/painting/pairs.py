"""Pairs of photographs of painted retinas, with the true transform: what the networks learn from.

The moving photograph shows the retina at B(y), the fixed one at B(T(x)). So the point x of the
fixed photograph lies at T(x) in the moving one, exactly.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from fundus_helpers.methods.learned.painting.photograph import (
    USUAL,
    draw_aperture,
    draw_looks,
    even,
    photograph,
)
from fundus_helpers.methods.learned.painting.retina import SIDE, Retina, draw_retina
from fundus_helpers.methods.networks.augmentation import Motion, random_places
from fundus_helpers.methods.networks.tensors import Stack, standardised

# Retinas that a painter keeps; after every 24 pairs, one is replaced by a new one.
KEPT, PAIRS_PER_RETINA = 8, 24
# A pair is drawn again if less than this share of the fixed photograph is seen by the moving one.
LEAST_SHARED = 0.12


@dataclass(frozen=True)
class Batch:
    """Pairs of photographs.

    Attributes
    ----------
    fixed, moving : Stack
        n photographs each.
    truth : float32 tensor, shape (n, size, size, 2)
        For each pixel of `fixed` the corresponding point of `moving`, in half widths.
    """

    fixed: Stack
    moving: Stack
    truth: torch.Tensor

    def to(self, device: torch.device | str) -> "Batch":
        """Move the tensors to a device."""
        return Batch(self.fixed.to(device), self.moving.to(device), self.truth.to(device))


@dataclass(frozen=True)
class Window:
    """What a kind of pairs shows.

    Attributes
    ----------
    size : int
        Side of the window in pixels.
    scale : float
        Pixels of the window per pixel of a retina: one third for a photograph of 256 px.
    zoom : float
        The scale is multiplied by a random factor from 1 / zoom to zoom.
    """

    size: int
    scale: float
    zoom: float = 1.25


def wide_places(size: int, rng: np.random.Generator) -> torch.Tensor:
    """Draw where the pixels of a whole photograph lie in one of another visit, (size, size, 2).

    Rotations of up to 35 degrees, magnifications of 0.55 to 1.8, shifts of up to 0.6 widths; half
    of the pairs have the same magnification and nearly the same rotation.
    """
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    near = rng.uniform() < 0.5
    angle = np.radians(rng.normal(0, 4) if near else rng.uniform(-35, 35))
    scale = np.exp(rng.normal(0, 0.04) if near else rng.uniform(np.log(0.55), np.log(1.8)))
    shift = rng.uniform(-1.2, 1.2, 2) if rng.uniform() < 0.7 else rng.normal(0, 0.1, 2)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    small = Motion(rotation=0, shift=0, scale=0.01, shear=0.02, perspective=0.02, elastic=0.01)
    places = random_places(1, size, small, generator)[0]
    return places @ torch.from_numpy(turn.T).float() + torch.from_numpy(shift).float()


def near_places(size: int, rng: np.random.Generator) -> torch.Tensor:
    """Draw where the pixels of a window lie in another that is nearly registered.

    Displacements have a standard deviation of 0.5 to 4 px.
    """
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    pixel = 2 / size * np.exp(rng.uniform(np.log(0.3), np.log(2.2)))
    motion = Motion(
        rotation=float(np.degrees(pixel)),
        shift=float(pixel * 1.2),
        scale=float(pixel),
        shear=float(pixel),
        perspective=float(pixel / 3),
        elastic=float(min(pixel * 0.8, 2.5 / size)),
    )
    return random_places(1, size, motion, generator)[0]


def draw_pair(
    retina: Retina, window: Window, places: torch.Tensor, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Take two photographs of a retina.

    Parameters
    ----------
    retina : Retina
    window : Window
    places : float32 tensor, shape (size, size, 2)
        For each pixel of the fixed photograph the corresponding point of the moving one.
    rng : numpy.random.Generator

    Returns
    -------
    tuple of ndarray, shape (size, size)
        The fixed photograph and its mask, then the moving one and its mask: float32 in [0, 1] with
        even illumination, and bool.
    """
    size = window.size
    scale = window.scale * np.exp(rng.uniform(-1, 1) * np.log(window.zoom))
    steps = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    identity = np.stack(np.meshgrid(steps, steps), axis=-1)
    angle, half = rng.uniform(0, 2 * np.pi), size / 2 / scale
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mirrored = np.diag([rng.choice((-1, 1)), 1])
    reach = max(SIDE / 2 - half, 1)
    centre = SIDE / 2 + rng.uniform(-reach, reach, 2) * min(1, reach / half + 0.3)
    linear, centre = (half * mirrored @ turn).T.astype(np.float32), centre.astype(np.float32)
    wide = round(USUAL * scale)  # side of the photograph that the window is a part of
    corner = rng.integers(0, max(wide - size, 0) + 1, 2)
    sides = []
    for look, grid in zip(draw_looks(rng), (places.numpy(), identity), strict=True):
        image = photograph(retina, look, grid @ linear + centre, scale, rng)
        mask = draw_aperture(image.shape, corner, scale, rng)
        sides += even(image, mask, scale)
    return tuple(sides)


class Painter:
    """Draws batches of pairs, always the same ones for the same seed.

    Parameters
    ----------
    seed : int
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.retinas: list[Retina] = []
        self.drawn = 0

    def retina(self) -> Retina:
        """Return one of the retinas, and renew them little by little."""
        if len(self.retinas) < KEPT:
            self.retinas.append(draw_retina(self.rng))
            return self.retinas[-1]
        self.drawn += 1
        if self.drawn % PAIRS_PER_RETINA == 0:
            self.retinas[(self.drawn // PAIRS_PER_RETINA) % KEPT] = draw_retina(self.rng)
        return self.retinas[int(self.rng.integers(KEPT))]

    def wide(self, window: Window, count: int) -> Batch:
        """Draw pairs of whole photographs that lie far apart."""
        return _batch(self._wide(window) for _ in range(count))

    def _wide(self, window: Window) -> tuple[np.ndarray, ...]:
        while True:
            places = wide_places(window.size, self.rng)
            if (places.abs().amax(-1) < 1).float().mean() > LEAST_SHARED:
                return *draw_pair(self.retina(), window, places, self.rng), places.numpy()

    def near(self, window: Window, count: int) -> Batch:
        """Draw pairs of windows that are nearly registered."""
        drawn = (near_places(window.size, self.rng) for _ in range(count))
        return _batch(
            (*draw_pair(self.retina(), window, places, self.rng), places.numpy())
            for places in drawn
        )


def _batch(pairs: Iterator[tuple[np.ndarray, ...]]) -> Batch:
    fixed, fixed_masks, moving, moving_masks, truth = (
        torch.from_numpy(np.stack(parts)) for parts in zip(*pairs, strict=True)
    )
    return Batch(
        standardised(fixed[:, None], fixed_masks[:, None]),
        standardised(moving[:, None], moving_masks[:, None]),
        truth,
    )
