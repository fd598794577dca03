"""A pair of photographs on the square canvas that the networks see."""

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import torch

from fundus_helpers import transforms
from fundus_helpers.methods.networks.tensors import Stack, even_stack
from fundus_helpers.methods.pair import Pair

# Side of the finest canvas in pixels; all points are in its pixels.
SIZE = 768
# Mappings are computed at nodes this many pixels apart, and interpolated between them.
SPACING = 8


@dataclass(frozen=True)
class Canvas:
    """A pair of photographs whose longer sides fill the canvas.

    Attributes
    ----------
    fixed, moving : Stack
        One photograph each.
    fixed_shape, moving_shape : (height, width)
        What the photographs cover of the canvas, in pixels.
    factors : (float, float)
        Pixels of the fixed and of the moving photograph per pixel of the canvas.
    alike : bool
        Whether vessels are dark in both photographs, or bright in both, as far as can be told.
    """

    fixed: Stack
    moving: Stack
    fixed_shape: tuple[int, int]
    moving_shape: tuple[int, int]
    factors: tuple[float, float]
    alike: bool = True
    _coarser: dict[int, tuple[Stack, Stack]] = field(default_factory=dict, repr=False)

    def negative(self) -> "Canvas":
        """Return the pair with the negative of the moving photograph."""
        coarser = {size: (side, _negative(other)) for size, (side, other) in self._coarser.items()}
        return replace(self, moving=_negative(self.moving), alike=False, _coarser=coarser)

    def sides_at(self, size: int) -> tuple[Stack, Stack]:
        """Return both photographs on a coarser canvas. They are kept for another look."""
        if size not in self._coarser:
            self._coarser[size] = self.fixed.at(size), self.moving.at(size)
        return self._coarser[size]


def _negative(side: Stack) -> Stack:
    return Stack(-side.images, side.masks)


def put_on_canvas(pair: Pair) -> Canvas:
    """Put a pair, as `methods.pair.prepare_pair` returns it, on the canvas."""
    sides = (pair.fixed, pair.fixed_mask), (pair.moving, pair.moving_mask)
    stacks = [even_stack([side], SIZE) for side in sides]
    factors = [max(image.shape) / SIZE for image, _ in sides]
    shapes = [
        tuple(round(n / factor) for n in image.shape)
        for (image, _), factor in zip(sides, factors, strict=True)
    ]
    return Canvas(*stacks, *shapes, tuple(factors))


@lru_cache(maxsize=8)
def nodes(size: int) -> np.ndarray:
    """Return where the nodes of a canvas of `size` pixels lie on the finest one, in pixels."""
    steps = np.arange(0, size + SPACING, SPACING)
    points = np.stack(np.meshgrid(steps, steps), axis=2)
    return (points + 0.5) * (SIZE / size) - 0.5


def places_of(mapped_nodes: np.ndarray, size: int) -> torch.Tensor:
    """Interpolate mapped `nodes` to all pixels of a canvas, in half widths: (1, size, size, 2)."""
    places = transforms.between_nodes(mapped_nodes, SPACING, (size, size))
    return torch.from_numpy((places + np.float32(0.5)) * np.float32(2 / SIZE) - 1)[None].float()
