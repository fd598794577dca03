"""The article's spatial transformer and its loss, unchanged, to examine but not to use.

C. O'Neill, *Image registration for medical datasets: from SimpleElastix to spatial transformer
networks*, 2023. The network takes one photograph and returns an affine matrix: 361 000 raw features
enter a linear layer with 11 million weights. It is trained by plain gradient descent.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import SimpleITK as sitk
import torch
from torch import nn
from torch.nn import functional

from fundus_helpers.methods.networks.tensors import matrix_to_transform
from fundus_helpers.methods.networks.training import Stage, train

BATCH = 32


class ArticleNetwork(nn.Module):
    """The article's network, for images of one size.

    Parameters
    ----------
    size : int
        Width and height of the images in pixels; 768 in the article.
    """

    def __init__(self, size: int = 768) -> None:
        super().__init__()
        self.size = size
        self.localisation = nn.Sequential(
            nn.Conv2d(1, 8, 7), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(8, 10, 5), nn.MaxPool2d(2),
            nn.ReLU(),
        )  # fmt: skip
        side = ((size - 6) // 2 - 4) // 2  # 188 for 768
        if side < 1:
            raise ValueError(
                f"size {size} px is too small for the article's network; give 16 or more"
            )
        self.regression = nn.Sequential(
            nn.Linear(10 * side * side, 32), nn.ReLU(), nn.Linear(32, 6)
        )
        nn.init.zeros_(self.regression[-1].weight)
        with torch.no_grad():
            self.regression[-1].bias.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))

    def matrices(self, images: torch.Tensor) -> torch.Tensor:
        """Compute matrices, shape (n, 2, 3), in half widths, from images, shape (n, 1, size, size).

        Raises
        ------
        ValueError
            If the images have another size, or more than one channel.
        """
        needed = (1, self.size, self.size)
        if tuple(images.shape[1:]) != needed:
            raise ValueError(
                f"images of shape {tuple(images.shape[1:])}; the article's network takes {needed} "
                "only, because its linear layer has a weight for every pixel: resize the images"
            )
        return self.regression(self.localisation(images).flatten(1)).view(-1, 2, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Warp images, shape (n, 1, size, size), by the matrices computed from them."""
        grid = functional.affine_grid(self.matrices(images), images.shape, align_corners=False)
        return functional.grid_sample(images, grid, align_corners=False)


def article_penalty(target: torch.Tensor) -> torch.Tensor:
    """Compute the article's smoothness penalty: that of the target *image*, not of the network."""
    down = target[:, :-1, :-1] - target[:, 1:, :-1]
    right = target[:, :-1, :-1] - target[:, :-1, 1:]
    return down.abs().mean() + right.abs().mean()


def article_loss(
    moved: torch.Tensor,
    target: torch.Tensor,
    *,
    target_weight: float = 1.0,
    smoothness_weight: float = 0.001,
) -> torch.Tensor:
    """Compute the article's "VoxelMorph loss" of images, shape (n, size, size).

    Parameters
    ----------
    moved, target : float32 tensor
    target_weight : float
        Weight of the mean absolute difference. It is the only term with a gradient, so its weight
        acts like the learning rate.
    smoothness_weight : float
        Weight of `article_penalty`, which is constant: it changes the loss, but not the network.
    """
    return (moved - target).abs().mean() * target_weight + smoothness_weight * article_penalty(
        target
    )


def train_article_network(
    images: np.ndarray,
    target: np.ndarray,
    *,
    epochs: int = 5,
    learning_rate: float = 0.05,
    optimiser: type[torch.optim.Optimizer] = torch.optim.SGD,
    seed: int = 0,
    shown: bool = True,
) -> tuple[ArticleNetwork, pd.DataFrame]:
    """Train the article's network in the same way as the article.

    Parameters
    ----------
    images : float32 ndarray in [0, 1], shape (n, size, size)
    target : float32 ndarray in [0, 1], shape (size, size)
    epochs, learning_rate, optimiser, seed, shown
        See `networks.Stage` and `networks.train`.

    Returns
    -------
    network : ArticleNetwork
    history : DataFrame
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = ArticleNetwork(images.shape[-1])
    stack = torch.from_numpy(np.ascontiguousarray(images, np.float32))[:, None]
    aim = torch.from_numpy(np.ascontiguousarray(target, np.float32))

    def losses(generator: torch.Generator) -> Iterator[torch.Tensor]:
        for chosen in torch.randperm(len(stack), generator=generator).split(BATCH):
            yield article_loss(network(stack[chosen])[:, 0], aim.expand(len(chosen), -1, -1))

    stage = Stage("article", epochs, losses, learning_rate, epochs, optimiser)
    return network, train(network, [stage], seed=seed, shown=shown)


def article_transforms(network: ArticleNetwork, images: np.ndarray) -> list[sitk.AffineTransform]:
    """Compute the transforms from the target to every image, shape (n, size, size)."""
    stack = torch.from_numpy(np.ascontiguousarray(images, np.float32))[:, None]
    shape = images.shape[1:]
    with torch.no_grad():
        matrices = functional.pad(network.matrices(stack), [0, 0, 0, 1])
    matrices[:, 2, 2] = 1
    return [matrix_to_transform(matrix, shape, shape) for matrix in matrices]
