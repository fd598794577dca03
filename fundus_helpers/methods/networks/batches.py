"""The training batches of the spatial transformer: synthetic pairs first, then real pairs."""

from collections.abc import Iterator, Sequence

import torch

from fundus_helpers.methods.networks.augmentation import Motion, synthetic_pairs
from fundus_helpers.methods.networks.layers import STRIDE, AffineNetwork, find_matrices
from fundus_helpers.methods.networks.losses import distance, masked_correlation
from fundus_helpers.methods.networks.tensors import Stack, affine_places, mapped, pixel_places
from fundus_helpers.methods.networks.training import Losses
from fundus_helpers.methods.pair import LEAST_CORRELATION

# Batches per epoch, and pairs per batch, on the coarsest canvas; half as many on each finer one.
BATCHES = 8


def check_pairs(pairs: Sequence[tuple[int, int]] | None, count: int) -> list[tuple[int, int]]:
    """Return pairs of positions of photographs, after a check.

    Parameters
    ----------
    pairs : sequence of (fixed, moving), optional
        None: the first photograph with every other one.
    count : int
        Number of photographs.

    Raises
    ------
    ValueError
        If a pair contains a position that does not exist.
    """
    pairs = [(0, i) for i in range(1, count)] if pairs is None else list(pairs)
    if any(not 0 <= i < count for pair in pairs for i in pair):
        raise ValueError(
            f"pairs name photographs beyond the {count} that are given; positions start at 0"
        )
    return pairs


def made_up_pairs(network: AffineNetwork, stack: Stack, motion: Motion, level: int) -> Losses:
    """Return the losses of synthetic pairs: the distance between the found and the true points.

    Parameters
    ----------
    network : AffineNetwork
    stack : Stack
        Photographs from which the pairs are made.
    motion : Motion
        How far the two photographs of a pair differ.
    level : int
        0 for the coarsest canvas. Each finer canvas has half as many batches, with half as many
        pairs.
    """
    device = next(network.parameters()).device
    count = max(BATCHES >> level, 1)
    thinned = slice(STRIDE // 2, None, STRIDE)

    def losses(generator: torch.Generator) -> Iterator[torch.Tensor]:
        for _ in range(count):
            drawn = synthetic_pairs(stack, count, motion, generator)
            fixed, moving, truth = (part.to(device) for part in drawn)
            places = pixel_places(stack.size, device)[thinned, thinned]
            found = mapped(network(fixed, moving), places)
            inside = fixed.masks[:, 0, thinned, thinned]
            yield distance(found, truth[:, thinned, thinned], inside, size=stack.size)

    return losses


def real_pairs(
    network: AffineNetwork, stack: Stack, sizes: Sequence[int], pairs: Sequence[tuple[int, int]]
) -> Losses:
    """Return the losses of real pairs, whose true transform is unknown: 1 minus the correlation.

    Parameters
    ----------
    network : AffineNetwork
    stack : Stack
        Photographs on the finest canvas.
    sizes : sequence of int
        Sizes of the canvases from coarse to fine. The network is trained on the last one, and
        starts from its result on the others.
    pairs : sequence of (fixed, moving)
        Positions of photographs of the same eye.
    """
    device = next(network.parameters()).device

    def losses(generator: torch.Generator) -> Iterator[torch.Tensor]:
        for position in torch.randperm(len(pairs), generator=generator).tolist():
            fixed, moving = (stack[[index]].to(device) for index in pairs[position])
            start = torch.eye(3, device=device)[None]
            with torch.no_grad():
                start = find_matrices(network, fixed, moving, sizes[:-1], start)
            matrix = find_matrices(network, fixed, moving, sizes[-1:], start)
            moved = moving.warped(affine_places(matrix, stack.size))
            correlation = masked_correlation(fixed, moved).mean()
            if correlation > LEAST_CORRELATION:  # otherwise one image shows no vessels
                yield 1 - correlation

    return losses
