"""Losses for training: dissimilarity inside the overlap, roughness of a field, distance."""

import torch
from torch.nn import functional

from fundus_helpers.methods.networks.tensors import Stack

# Added to variances of images with standard deviation 1, so that noise does not correlate where
# there is no structure.
FLOOR = 0.01


def masked_correlation(fixed: Stack, moved: Stack) -> torch.Tensor:
    """Compute the correlation of images inside the overlap of their masks.

    For images with even illumination this is already a local measure, because only the vessels
    contribute.

    Parameters
    ----------
    fixed, moved : Stack
        Stacks of n images each.

    Returns
    -------
    float32 tensor, shape (n,)
        1 for the same image, about 0 for two unrelated ones.
    """
    weight = fixed.masks * moved.masks
    count = weight.sum((1, 2, 3), keepdim=True).clamp_min(1)
    a, b = (
        side - (side * weight).sum((1, 2, 3), keepdim=True) / count
        for side in (fixed.images, moved.images)
    )
    products = [(x * y * weight).sum((1, 2, 3)) for x, y in ((a, b), (a, a), (b, b))]
    return products[0] / (products[1] * products[2]).clamp_min(1e-12).sqrt()


def masked_local_correlation(fixed: Stack, moved: Stack, *, window: int = 15) -> torch.Tensor:
    """Compute the mean correlation of images in windows, inside the overlap of their masks.

    MONAI's `LocalNormalizedCrossCorrelationLoss` does not take masks, so that the black surround
    would contribute. Neighbouring windows are half a window apart, which is much faster than one
    window around every pixel.

    Parameters
    ----------
    fixed, moved : Stack
    window : int
        Width of a window in pixels. Smaller follows finer structures, but also more noise.

    Returns
    -------
    float32 tensor, shape ()
        1 for the same image.
    """

    def mean(values: torch.Tensor) -> torch.Tensor:
        return functional.avg_pool2d(values, window, window // 2, window // 2)

    weight = fixed.masks * moved.masks
    share = mean(weight)
    inside = share.clamp_min(1e-4)
    a, b = fixed.images * weight, moved.images * weight
    mean_a, mean_b = mean(a) / inside, mean(b) / inside
    covariance = mean(a * b) / inside - mean_a * mean_b
    variances = [
        (mean(side**2) / inside - centre**2).clamp_min(0) + FLOOR
        for side, centre in ((a, mean_a), (b, mean_b))
    ]
    counted = share * (share > 0.5)  # at least half of a window is in the overlap
    local = covariance / (variances[0] * variances[1]).sqrt()
    return (local * counted).sum() / counted.sum().clamp_min(1e-4)


def masked_difference(fixed: Stack, moved: Stack) -> torch.Tensor:
    """Compute the mean absolute difference of images inside the overlap of their masks, shape ().

    The article's "VoxelMorph loss" uses it too, but with the black surround and without correction
    of the illumination.
    """
    weight = fixed.masks * moved.masks
    difference = (fixed.images - moved.images).abs()
    return (difference * weight).sum() / weight.sum().clamp_min(1)


def roughness(field: torch.Tensor) -> torch.Tensor:
    """Compute the mean squared slope of a displacement or velocity field, shape (n, 2, h, w).

    This is the diffusion penalty of VoxelMorph (Balakrishnan et al., IEEE TMI 2019,
    doi:10.1109/TMI.2019.2897538). MONAI's `DiffusionLoss` uses an indexing that torch is going to
    remove.
    """
    down = field[:, :, 1:] - field[:, :, :-1]
    right = field[..., 1:] - field[..., :-1]
    return (down.square().mean() + right.square().mean()) / 2


def distance(
    found: torch.Tensor, true: torch.Tensor, weight: torch.Tensor, *, size: int
) -> torch.Tensor:
    """Compute the mean distance between found and true points, in pixels.

    Parameters
    ----------
    found, true : float32 tensor, shape (n, h, w, 2)
        In half widths.
    weight : float32 tensor, shape (n, h, w)
    size : int
        Size of the canvas in pixels.
    """
    pixels = ((found - true) * size / 2).square().sum(-1)
    # The small constant avoids the infinite derivative of the square root at zero.
    return ((pixels + 1e-3).sqrt() * weight).sum() / weight.sum().clamp_min(1)
