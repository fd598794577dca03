"""What the spatial transformer learns from, batch by batch: made-up pairs, then real ones."""

from collections.abc import Iterator, Sequence

import torch

from fundus_helpers.methods.networks.augmentation import Motion, synthetic_pairs
from fundus_helpers.methods.networks.layers import STRIDE, AffineNetwork, find_matrices
from fundus_helpers.methods.networks.losses import distance, masked_correlation
from fundus_helpers.methods.networks.tensors import Stack, affine_places, mapped, pixel_places
from fundus_helpers.methods.networks.training import Losses
from fundus_helpers.methods.pair import LEAST_CORRELATION

# Batches in an epoch and pairs in a batch, on the coarsest canvas; half as many on each finer one.
BATCHES = 8


def check_pairs(pairs: Sequence[tuple[int, int]] | None, count: int) -> list[tuple[int, int]]:
    """List pairs of photographs: those given, or the first of `count` with every other.

    Raises
    ------
    ValueError
        If a pair names a photograph that is not there.
    """
    pairs = [(0, i) for i in range(1, count)] if pairs is None else list(pairs)
    if any(not 0 <= i < count for pair in pairs for i in pair):
        raise ValueError(f"pairs name photographs beyond the {count} that are given")
    return pairs


def made_up_pairs(network: AffineNetwork, stack: Stack, motion: Motion, level: int) -> Losses:
    """Take the distance of the places found from the true ones, for pairs made up of photographs.

    Parameters
    ----------
    network : AffineNetwork
    stack : Stack
        Photographs to make pairs of.
    motion : Motion
        How far the two of a pair lie apart.
    level : int
        0 on the coarsest canvas; each finer one has half as many batches, of half as many pairs.
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
    """Take what is missing to full correlation, for pairs whose truth is not known.

    Parameters
    ----------
    network : AffineNetwork
    stack : Stack
        On the finest canvas.
    sizes : sequence of int
        Canvases from coarse to fine. It learns on the last, starting where the others lead.
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
            if correlation > LEAST_CORRELATION:  # else one shows no vessels: nothing to learn
                yield 1 - correlation

    return losses
