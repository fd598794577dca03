"""The article's network does not learn, for reasons that can be shown."""

import numpy as np
import pytest
import torch

from fundus_helpers import transforms
from fundus_helpers.methods.networks.article import (
    ArticleNetwork,
    article_loss,
    article_penalty,
    article_transforms,
    train_article_network,
)


def test_its_first_linear_layer_has_eleven_million_weights():
    assert ArticleNetwork(768).regression[0].weight.numel() == 10 * 188 * 188 * 32


def test_its_smoothness_penalty_is_a_constant_without_a_gradient():
    network, random = ArticleNetwork(64), torch.Generator().manual_seed(0)
    images = torch.rand(3, 1, 64, 64, generator=random)
    target = torch.rand(64, 64, generator=random).expand(3, -1, -1)
    parameters = list(network.parameters())
    gradients = [
        torch.autograd.grad(
            article_loss(network(images)[:, 0], target, smoothness_weight=weight), parameters
        )
        for weight in (0.0, 1000.0)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    assert not article_penalty(target).requires_grad and article_penalty(target) > 0


def test_its_target_weight_scales_the_learning_rate_and_balances_nothing():
    torch.manual_seed(0)
    network, images = ArticleNetwork(64), torch.rand(3, 1, 64, 64)
    target = torch.rand(3, 64, 64)
    one, ten = (
        torch.autograd.grad(
            article_loss(network(images)[:, 0], target, target_weight=weight),
            network.regression[-1].bias,
        )[0]
        for weight in (1.0, 10.0)
    )
    assert torch.allclose(10 * one, ten, rtol=1e-4)


def test_images_of_another_size_are_refused_with_the_size_it_takes():
    network = ArticleNetwork(64)
    for shape in ((1, 1, 96, 96), (1, 3, 64, 64)):
        with pytest.raises(ValueError, match=r"takes \(1, 64, 64\) only"):
            network(torch.zeros(shape))
    with pytest.raises(ValueError, match="size 8 px is too small"):
        ArticleNetwork(8)


def test_it_starts_from_the_identity_and_hardly_leaves_it(retina, retina_again):
    moved = retina_again([[1, 0, 9], [0, 1, -6]])
    images = np.stack([retina, moved])[:, ::2, ::2]
    start = article_transforms(ArticleNetwork(128), images)
    network, history = train_article_network(images, images[0], epochs=5, shown=False)
    end = article_transforms(network, images)[1]
    middle = [[64.0, 64.0]]
    assert np.allclose(transforms.map_points(start[1], middle), middle)
    true = np.add(middle, [4.5, -3])
    assert np.linalg.norm(transforms.map_points(end, middle) - true) > 3
    assert len(history) == 5 and history["loss"].iloc[-1] > 0.5 * history["loss"].iloc[0]
