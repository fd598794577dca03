"""What a network is trained to make small: dissimilarity inside the overlap, and roughness."""

import torch
from torch.nn import functional

from fundus_helpers.methods.networks.tensors import Stack

# Added to variances of images of deviation 1: where nothing is to be seen, nothing correlates.
FLOOR = 0.01


def masked_correlation(fixed: Stack, moved: Stack) -> torch.Tensor:
    """Correlate images inside the overlap of their masks.

    On evenly lit images this is a local measure already: light is gone, only vessels are left.

    Parameters
    ----------
    fixed, moved : Stack
        Of n images each.

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
    """Correlate images in windows, inside the overlap of their masks; the mean over the windows.

    MONAI's `LocalNormalizedCrossCorrelationLoss` knows no masks, so the black surround would take
    part. Windows lie half a window apart, which costs a fraction of one around every pixel.

    Parameters
    ----------
    fixed, moved : Stack
    window : int
        Side in pixels. Smaller follows finer structures and more of the grain.

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
    counted = share * (share > 0.5)  # half a window and more lies in the overlap
    local = covariance / (variances[0] * variances[1]).sqrt()
    return (local * counted).sum() / counted.sum().clamp_min(1e-4)


def masked_difference(fixed: Stack, moved: Stack) -> torch.Tensor:
    """Mean absolute difference of images inside the overlap of their masks, shape ().

    The likeness of the article's "VoxelMorph loss", here of evenly lit images and without the
    black surround.
    """
    weight = fixed.masks * moved.masks
    difference = (fixed.images - moved.images).abs()
    return (difference * weight).sum() / weight.sum().clamp_min(1)


def roughness(field: torch.Tensor) -> torch.Tensor:
    """Mean squared slope of a displacement or velocity field, shape (n, 2, h, w), in its cells.

    The diffusion penalty of VoxelMorph (Balakrishnan et al., IEEE TMI 2019,
    doi:10.1109/TMI.2019.2897538). MONAI's `DiffusionLoss` indexes in a way that torch gives up.
    """
    down = field[:, :, 1:] - field[:, :, :-1]
    right = field[..., 1:] - field[..., :-1]
    return (down.square().mean() + right.square().mean()) / 2


def distance(
    found: torch.Tensor, true: torch.Tensor, weight: torch.Tensor, *, size: int
) -> torch.Tensor:
    """Mean distance of places from where they should be, in pixels.

    Parameters
    ----------
    found, true : float32 tensor, shape (n, h, w, 2)
        In half widths.
    weight : float32 tensor, shape (n, h, w)
        What counts.
    size : int
        Side of the canvas in pixels.
    """
    pixels = ((found - true) * size / 2).square().sum(-1)
    # The small constant: no slope at zero, where a root's would be infinite.
    return ((pixels + 1e-3).sqrt() * weight).sum() / weight.sum().clamp_min(1)
