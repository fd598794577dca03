"""The training of the networks: painted pairs only, no photograph of a patient.

Several painters draw the pairs of an epoch, each with retinas of its own. They may work in several
processes, beside the network; the pairs are the same for every number of processes.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import torch
from joblib import Parallel, delayed
from torch import nn

from fundus_helpers.methods.learned.networks import NearNetwork, WideNetwork
from fundus_helpers.methods.learned.painting.pairs import Batch, Painter, Window
from fundus_helpers.methods.learned.painting.photograph import USUAL
from fundus_helpers.methods.networks.tensors import device_or_best, one_thread
from fundus_helpers.methods.networks.training import Losses, Stage, train

# Steps of an epoch, and pairs of a step.
WIDE_STEPS, WIDE_PAIRS = 100, 12
NEAR_STEPS, NEAR_PAIRS = 300, 6
NEAR_WINDOW = 224  # pixels
# Sides in pixels of the canvases on which the near network is used, from coarse to fine.
CANVASES = (256, 384, 768)
# Pairs that a painter draws before its retinas are given up; one task of a process.
PAIRS_OF_A_PAINTER = 240


def train_wide(
    *,
    epochs: int = 34,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    painters: int = 1,
    device: str | None = None,
    shown: bool = True,
) -> WideNetwork:
    """Train the network that finds photographs far apart, in about an hour on one core.

    Parameters
    ----------
    epochs : int
        Passes of 100 steps with 12 new pairs each.
    seed, checkpoint
        See `networks.train`.
    painters : int
        Processes that paint pairs, beside this one. 1: this process paints, too, before each part
        of the training. The pairs do not depend on it.
    device : str, optional
        ``cpu`` or ``cuda``; None: a GPU if there is one.
    shown : bool
        Show a progress bar.

    Returns
    -------
    WideNetwork
        On the processor; its `history` tells the losses.

    Raises
    ------
    ValueError
        For less than one epoch, or a device that is not known.
    """
    device = device_or_best(device)
    network = _started(WideNetwork, seed).to(device)
    windows = [Window(network.SIZE, network.SIZE / USUAL)] * WIDE_STEPS

    def losses(generator: torch.Generator) -> Iterator[torch.Tensor]:
        for pairs in _painted("wide", windows, WIDE_PAIRS, generator, painters):
            pairs = pairs.to(device)
            yield network.loss(pairs.fixed, pairs.moving, pairs.truth, generator)

    return _trained(network, "wide", losses, epochs, seed, checkpoint, shown)


def train_near(
    *,
    epochs: int = 26,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    painters: int = 1,
    device: str | None = None,
    shown: bool = True,
) -> NearNetwork:
    """Train the network that corrects what is nearly registered, in about an hour on one core.

    Parameters
    ----------
    epochs : int
        Passes of 300 steps with 6 new pairs each.
    seed, checkpoint, painters, device, shown
        See `train_wide`.

    Returns
    -------
    NearNetwork
        On the processor; its `history` tells the losses.

    Raises
    ------
    ValueError
        See `train_wide`.
    """
    device = device_or_best(device)
    network = _started(NearNetwork, seed).to(device)
    windows = [
        Window(NEAR_WINDOW, CANVASES[step % len(CANVASES)] / USUAL) for step in range(NEAR_STEPS)
    ]

    def losses(generator: torch.Generator) -> Iterator[torch.Tensor]:
        for pairs in _painted("near", windows, NEAR_PAIRS, generator, painters):
            pairs = pairs.to(device)
            yield network.loss(pairs.fixed, pairs.moving, pairs.truth)

    return _trained(network, "near", losses, epochs, seed, checkpoint, shown)


def _started(kind: type[nn.Module], seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return kind()


def _painted(
    kind: str, windows: Sequence[Window], count: int, generator: torch.Generator, painters: int
) -> Iterator[Batch]:
    """Paint the pairs of an epoch, `count` for each window, in the order of the windows."""
    each = max(PAIRS_OF_A_PAINTER // count, 1)
    parts = [windows[first : first + each] for first in range(0, len(windows), each)]
    seeds = torch.randint(2**31, (len(parts),), generator=generator).tolist()
    tasks = (delayed(_paint)(kind, *task, count) for task in zip(seeds, parts, strict=True))
    for batches in Parallel(n_jobs=painters, return_as="generator", pre_dispatch="2*n_jobs")(tasks):
        yield from batches


@one_thread()
def _paint(kind: str, seed: int, windows: Sequence[Window], count: int) -> list[Batch]:
    cv2.setNumThreads(1)  # a painter that uses several threads hinders the others
    draw = {"wide": Painter.wide, "near": Painter.near}[kind]
    painter = Painter(seed)
    return [draw(painter, window, count) for window in windows]


def _trained(
    network: nn.Module,
    name: str,
    losses: Losses,
    epochs: int,
    seed: int,
    checkpoint: Path | str | None,
    shown: bool,
) -> nn.Module:
    if epochs < 1:
        raise ValueError(f"epochs={epochs}: nothing is learned; give 1 or more")
    stage = Stage(name, epochs, losses, 2e-3, patience=epochs, steepest=1.0)
    network.history = train(network, [stage], seed=seed, checkpoint=checkpoint, shown=shown)
    return network.cpu()
