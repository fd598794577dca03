"""The article's spatial transformer and its loss, as they are, to be looked at and not to be used.

C. O'Neill, *Image registration for medical datasets: from SimpleElastix to spatial transformer
networks*, 2023: one photograph in, an affine matrix out; 361 000 numbers of raw features go into a
linear layer of 11 million weights; plain gradient descent.
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
        Side of the images in pixels; the article's are 768 wide.
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
            raise ValueError(f"size {size} px is too small for the article's network")
        self.regression = nn.Sequential(
            nn.Linear(10 * side * side, 32), nn.ReLU(), nn.Linear(32, 6)
        )
        nn.init.zeros_(self.regression[-1].weight)
        with torch.no_grad():
            self.regression[-1].bias.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))

    def matrices(self, images: torch.Tensor) -> torch.Tensor:
        """Find matrices, shape (n, 2, 3), in half widths, for images, shape (n, 1, size, size).

        Raises
        ------
        ValueError
            If the images have another size, or more than one channel.
        """
        needed = (1, self.size, self.size)
        if tuple(images.shape[1:]) != needed:
            raise ValueError(
                f"images of shape {tuple(images.shape[1:])}; the article's network takes {needed} "
                "only: its linear layer has a weight for every pixel"
            )
        return self.regression(self.localisation(images).flatten(1)).view(-1, 2, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Warp images, shape (n, 1, size, size), by the matrices found for them."""
        grid = functional.affine_grid(self.matrices(images), images.shape, align_corners=False)
        return functional.grid_sample(images, grid, align_corners=False)


def article_penalty(target: torch.Tensor) -> torch.Tensor:
    """Take the article's smoothness penalty: of the target *image*, whatever the network does."""
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
    """Take the article's "VoxelMorph loss" of images, shape (n, size, size).

    Parameters
    ----------
    moved, target : float32 tensor
    target_weight : float
        Of the mean absolute difference, the only term with a gradient: it scales the learning
        rate and balances nothing.
    smoothness_weight : float
        Of `article_penalty`, a constant: it changes the loss and never the network.
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
    """Train the article's network as the article does.

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
    """Find the transform of every image, shape (n, size, size), from the target to it."""
    stack = torch.from_numpy(np.ascontiguousarray(images, np.float32))[:, None]
    shape = images.shape[1:]
    with torch.no_grad():
        matrices = functional.pad(network.matrices(stack), [0, 0, 0, 1])
    matrices[:, 2, 2] = 1
    return [matrix_to_transform(matrix, shape, shape) for matrix in matrices]
