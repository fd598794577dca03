"""The training of the networks: painted pairs only, no photograph of a patient."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from fundus_helpers.methods.learned.networks import NearNetwork, WideNetwork
from fundus_helpers.methods.learned.painting.pairs import Painter, Window
from fundus_helpers.methods.learned.painting.photograph import USUAL
from fundus_helpers.methods.networks.training import Losses, Stage, train

# Steps of an epoch, and pairs of a step.
WIDE_STEPS, WIDE_PAIRS = 100, 12
NEAR_STEPS, NEAR_PAIRS = 300, 6
NEAR_WINDOW = 224  # pixels
# Sides in pixels of the canvases on which the near network is used, from coarse to fine.
CANVASES = (256, 384, 768)


def train_wide(
    *, epochs: int = 34, seed: int = 0, checkpoint: Path | str | None = None, shown: bool = True
) -> WideNetwork:
    """Train the network that finds photographs far apart, in about 45 minutes on one core.

    Parameters
    ----------
    epochs : int
        Passes of 100 steps with 12 new pairs each.
    seed, checkpoint, shown
        See `networks.train`.
    """
    network = _started(WideNetwork, seed)

    def losses(generator: torch.Generator) -> Iterator[torch.Tensor]:
        painter, window = _painter(generator), Window(network.SIZE, network.SIZE / USUAL)
        for _ in range(WIDE_STEPS):
            pairs = painter.wide(window, WIDE_PAIRS)
            yield network.loss(pairs.fixed, pairs.moving, pairs.truth, generator)

    return _trained(network, "wide", losses, epochs, seed, checkpoint, shown)


def train_near(
    *, epochs: int = 26, seed: int = 0, checkpoint: Path | str | None = None, shown: bool = True
) -> NearNetwork:
    """Train the network that corrects what is nearly registered, in about 45 minutes on one core.

    Parameters
    ----------
    epochs : int
        Passes of 300 steps with 6 new pairs each.
    seed, checkpoint, shown
        See `networks.train`.
    """
    network = _started(NearNetwork, seed)

    def losses(generator: torch.Generator) -> Iterator[torch.Tensor]:
        painter = _painter(generator)
        for step in range(NEAR_STEPS):
            window = Window(NEAR_WINDOW, CANVASES[step % len(CANVASES)] / USUAL)
            pairs = painter.near(window, NEAR_PAIRS)
            yield network.loss(pairs.fixed, pairs.moving, pairs.truth)

    return _trained(network, "near", losses, epochs, seed, checkpoint, shown)


def _started(kind: type[nn.Module], seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return kind()


def _painter(generator: torch.Generator) -> Painter:
    return Painter(int(torch.randint(2**31, (1,), generator=generator)))


def _trained(
    network: nn.Module,
    name: str,
    losses: Losses,
    epochs: int,
    seed: int,
    checkpoint: Path | str | None,
    shown: bool,
) -> nn.Module:
    stage = Stage(name, epochs, losses, 2e-3, patience=epochs, steepest=1.0)
    network.history = train(network, [stage], seed=seed, checkpoint=checkpoint, shown=shown)
    return network
