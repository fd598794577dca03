"""VoxelMorph in two dimensions: a network learns the smooth field that remains after an affine one.

Balakrishnan et al., *VoxelMorph: a learning framework for deformable medical image registration*,
IEEE TMI 2019, doi:10.1109/TMI.2019.2897538.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, get_args

import numpy as np
import pandas as pd
import SimpleITK as sitk
import torch
from annotated_types import Interval

from fundus_helpers import transforms
from fundus_helpers.methods.knobs import check_choice, checked
from fundus_helpers.methods.networks.batches import check_pairs
from fundus_helpers.methods.networks.layers import VelocityNetwork, displaced
from fundus_helpers.methods.networks.losses import (
    masked_difference,
    masked_local_correlation,
    roughness,
)
from fundus_helpers.methods.networks.tensors import (
    Stack,
    check_masks,
    device_or_best,
    even_stack,
    field_to_transform,
    one_thread,
)
from fundus_helpers.methods.networks.training import (
    Stage,
    load_weights,
    require_memory,
    save_weights,
    train,
)
from fundus_helpers.methods.pair import Method, Pair, check_result, prepare_image, prepare_pair

KIND = "voxelmorph"

Likeness = Literal["local_correlation", "absolute_difference"]
LIKENESSES = get_args(Likeness)

# The loss is computed on a canvas this many times as large as the input of the U-Net.
FINER = 2
# Memory of the training, in bytes per pixel of the canvas of the loss.
BYTES_PER_PIXEL = 2000


@dataclass
class VoxelMorph:
    """A linear method followed by a trained network. It is called like every method.

    Attributes
    ----------
    start : callable
        The linear method that is applied first.
    network : VelocityNetwork
    history : DataFrame
        Course of the training; see `networks.train`.
    """

    start: Method
    network: VelocityNetwork
    history: pd.DataFrame = field(default_factory=pd.DataFrame)

    @checked
    @one_thread()
    def __call__(
        self,
        fixed: np.ndarray,
        moving: np.ndarray,
        *,
        fixed_mask: np.ndarray | None = None,
        moving_mask: np.ndarray | None = None,
        start: sitk.Transform | None = None,
        looks: Annotated[int, Interval(ge=0, le=5)] = 1,
        strength: Annotated[float, Interval(ge=0, le=2)] = 1.0,
    ) -> sitk.Transform:
        """Register two photographs.

        Parameters
        ----------
        fixed, moving : float ndarray in [0, 1], shape (height, width)
        fixed_mask, moving_mask : bool ndarray, optional
            True inside the field of view; None: found by `loading.field_of_view`.
        start : sitk.Transform, optional
            A transform that is nearly right, for example from points placed by hand
            (`methods.points.from_points`). The linear method starts from it.
        looks : int in [0, 5]
            How often the network corrects the remaining displacement. It was trained to be applied
            once. 0: the linear transform alone.
        strength : float in [0, 2]
            Factor of the velocity of the field. 1: as trained. With a smaller value the result is
            closer to the linear transform.

        Returns
        -------
        sitk.Transform
            Maps fixed points to moving points. It applies the field, then the linear transform.

        Raises
        ------
        ValueError, RegistrationError
            See `methods.pair.prepare_pair` and `methods.pair.check_result`.
        """
        pair = prepare_pair(fixed, moving, fixed_mask, moving_mask)
        given = {} if start is None else {"start": start}
        transform = self.start(
            fixed, moving, fixed_mask=fixed_mask, moving_mask=moving_mask, **given
        )
        for _ in range(looks):
            transform = transforms.compose(self._left(pair, transform, strength), transform)
        check_result(transform, pair)
        return transform

    def _left(self, pair: Pair, transform: sitk.Transform, strength: float) -> sitk.Transform:
        """Find the field that remains after a transform, by the network."""
        shape, device = pair.fixed.shape, next(self.network.parameters()).device
        moved = _moved((pair.moving, pair.moving_mask), transform, shape)
        sides = (pair.fixed, pair.fixed_mask), moved
        stacks = [even_stack([side], self.network.size).to(device) for side in sides]
        with torch.no_grad():
            velocity, _ = self.network(*stacks)
            return field_to_transform(self.network.carried(strength * velocity)[0], shape)

    def save(self, path: Path | str) -> Path:
        """Write the weights of the network, without those of its start, to a ``.pt`` file."""
        return save_weights(path, KIND, self.network.size, self.network.state_dict())


def load_voxelmorph(path: Path | str, start: Method) -> VoxelMorph:
    """Read a trained network from a file that `VoxelMorph.save` wrote.

    Parameters
    ----------
    path : path
    start : callable
        The linear method that is applied first. Use the method of the training, or one with the
        same accuracy.

    Raises
    ------
    ValueError
        See `networks.load_weights`.
    """
    size, weights = load_weights(path, KIND)
    network = VelocityNetwork(size // VelocityNetwork.PIXELS)
    network.load_state_dict(weights)
    return VoxelMorph(start, network.eval())


def _moved(
    side: tuple[np.ndarray, np.ndarray], affine: sitk.Transform, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    image, mask = side
    return transforms.warp(image, affine, shape), transforms.warp_mask(mask, affine, shape)


def train_voxelmorph(
    start: Method,
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray | None] | None = None,
    *,
    pairs: Sequence[tuple[int, int]] | None = None,
    grid: int = 24,
    epochs: int = 50,
    smoothness: float = 5.0,
    likeness: Likeness = "local_correlation",
    window: int = 15,
    learning_rate: float = 2e-3,
    patience: int = 20,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    monitor: Callable[[VoxelMorph], float] | None = None,
    device: str | None = None,
    shown: bool = True,
) -> VoxelMorph:
    """Train a network on pairs without known transforms, by their similarity and a smooth field.

    Parameters
    ----------
    start : callable
        A linear method, for example a trained `SpatialTransformer`.
    images : sequence of float ndarray in [0, 1], shape (height, width)
    masks : sequence of bool ndarray or None, optional
        True inside the fields of view.
    pairs : sequence of (fixed, moving), optional
        Positions of photographs of the same eye; None: the first with each of the others. A pair
        that `start` refuses is left out.
    grid : int
        Number of velocities along a side of the canvas. A larger number follows smaller
        deformations and more noise.
    epochs : int
        Number of passes over all pairs.
    smoothness : float
        Weight of the roughness of the field against the similarity of the images. A larger weight
        gives a smoother field. With 0 the field follows noise.
    likeness : {"local_correlation", "absolute_difference"}
        Similarity of the images. The article uses the absolute difference, which mistakes a
        difference in contrast for a displacement.
    window : int
        Window of the local correlation, in pixels of a canvas of ``16 * grid``.
    learning_rate, patience, seed, checkpoint
        See `networks.Stage` and `networks.train`.
    monitor : callable, optional
        Function that returns the landmark error of the method during the training, for the history
        and the progress bar.
    device : str, optional
        ``cpu`` or ``cuda``; None: a GPU if there is one.
    shown
        See `networks.Stage` and `networks.train`.

    Returns
    -------
    VoxelMorph

    Raises
    ------
    ValueError, RegistrationError
        If a photograph cannot be used, or if there is no pair to learn from.
    MemoryError, FloatingPointError
        See `networks.train`.
    """
    check_choice("likeness", likeness, LIKENESSES)
    device = device_or_best(device)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = VelocityNetwork(grid).to(device)
    size = FINER * network.size
    require_memory(BYTES_PER_PIXEL * size**2, f"training at {size} px")
    pairs = check_pairs(pairs, len(images))
    if not pairs:
        raise ValueError(f"{len(images)} photograph, no pair: give two of one eye, or more")
    fixed, moved = _started(start, images, masks, pairs, size)
    method = VoxelMorph(start, network)

    def losses(generator: torch.Generator) -> Iterator[torch.Tensor]:
        for position in torch.randperm(len(fixed), generator=generator).tolist():
            sides = (fixed[[position]].to(device), moved[[position]].to(device))
            velocity, displacement = network(*(side.at(network.size) for side in sides))
            moved_again = sides[1].warped(displaced(displacement, size))
            unlike = _unlikeness(sides[0], moved_again, likeness, window)
            yield unlike + smoothness * roughness(velocity)

    stage = Stage("real pairs", epochs, losses, learning_rate, patience)
    watch = None if monitor is None else lambda: monitor(method)
    knobs = {"seed": seed, "checkpoint": checkpoint, "monitor": watch, "shown": shown}
    method.history = train(network, [stage], **knobs)
    return method


def _unlikeness(fixed: Stack, moved: Stack, likeness: Likeness, window: int) -> torch.Tensor:
    if likeness == "absolute_difference":
        return masked_difference(fixed, moved)
    return 1 - masked_local_correlation(fixed, moved, window=window)


def _started(
    start: Method,
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray | None] | None,
    pairs: Sequence[tuple[int, int]],
    size: int,
) -> tuple[Stack, Stack]:
    """Align the moving images of all pairs with the fixed ones by `start`."""
    masks = check_masks(masks, len(images))
    prepared = {i: prepare_image(f"photograph {i}:", images[i], masks[i]) for p in pairs for i in p}
    fixed, moved = [], []
    for i, j in pairs:
        try:
            affine = start(images[i], images[j], fixed_mask=masks[i], moving_mask=masks[j])
        except transforms.RegistrationError:
            continue  # the network cannot learn from this pair
        fixed.append(prepared[i])
        moved.append(_moved(prepared[j], affine, prepared[i][0].shape))
    if not fixed:
        raise transforms.RegistrationError("no pair to learn from: the start refused all of them")
    return even_stack(fixed, size), even_stack(moved, size)
