"""A spatial transformer that learns affine registration from synthetic pairs, then from real ones.

Jaderberg et al., *Spatial transformer networks*, NeurIPS 2015, arXiv:1506.02025.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import SimpleITK as sitk
import torch
from annotated_types import Interval

from fundus_helpers import transforms
from fundus_helpers.methods.knobs import checked
from fundus_helpers.methods.networks.augmentation import Motion
from fundus_helpers.methods.networks.batches import check_pairs, made_up_pairs, real_pairs
from fundus_helpers.methods.networks.layers import AffineNetwork, find_matrices
from fundus_helpers.methods.networks.tensors import (
    device_or_best,
    even_stack,
    level_sizes,
    matrix_to_transform,
    one_thread,
    stack_of,
    transform_to_matrix,
)
from fundus_helpers.methods.networks.training import (
    Stage,
    load_weights,
    require_memory,
    save_weights,
    train,
)
from fundus_helpers.methods.pair import check_result, prepare_pair
from fundus_helpers.methods.start import coarse_alignment

KIND = "spatial_transformer"

# Side of the canvas on which the full `Motion()` is drawn. On finer canvases the motion is smaller.
COARSEST = 96

# Memory of the training, in bytes per pixel of the finest canvas: in total, and for each photograph
# with its mask.
BYTES_PER_PIXEL = 1000
BYTES_KEPT = 16


@dataclass
class SpatialTransformer:
    """A trained network. It is called like every registration method.

    Attributes
    ----------
    network : AffineNetwork
    size : int
        Side of the canvas in pixels. Photographs are resized to it.
    history : DataFrame
        Course of the training; see `networks.train`.
    """

    network: AffineNetwork
    size: int
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
        start: Literal["identity", "cross_correlation"] | sitk.Transform = "identity",
        looks: Annotated[int, Interval(ge=0, le=10)] = 2,
    ) -> sitk.Transform:
        """Register two photographs.

        Parameters
        ----------
        fixed, moving : float ndarray in [0, 1], shape (height, width)
        fixed_mask, moving_mask : bool ndarray, optional
            True inside the field of view; None: found by `loading.field_of_view`.
        start : {"identity", "cross_correlation"}
            Start of the registration. From the identity the network finds shifts of up to a tenth
            of the image width. ``cross_correlation`` tries all shifts and some rotations first.
            A transform that is nearly right is accepted, too, for example from points placed by
            hand (`methods.points.from_points`).
        looks : int in [0, 10]
            How often the network is applied on the finest canvas. Each time it corrects the
            remaining error and takes a tenth of a second at 768 px. 0: it ends at half the size,
            with an error three times as large.

        Returns
        -------
        sitk.AffineTransform
            Maps fixed points to moving points.

        Raises
        ------
        ValueError, RegistrationError
            See `methods.pair.prepare_pair` and `methods.pair.check_result`.
        """
        pair = prepare_pair(fixed, moving, fixed_mask, moving_mask)
        shapes = pair.fixed.shape, pair.moving.shape
        self._warn_of_another_size(*shapes)
        begin = torch.eye(3)
        if isinstance(start, sitk.Transform):
            begin = transform_to_matrix(transforms.linear_part(start, pair.fixed.shape), *shapes)
        elif start == "cross_correlation":
            begin = transform_to_matrix(coarse_alignment(pair), *shapes)
        device = next(self.network.parameters()).device
        sides = (pair.fixed, pair.fixed_mask), (pair.moving, pair.moving_mask)
        stacks = [even_stack([side], self.size).to(device) for side in sides]
        with torch.no_grad():
            matrix = find_matrices(
                self.network, *stacks, level_sizes(self.size), begin.to(device)[None], looks=looks
            )[0]
        transform = matrix_to_transform(matrix, *shapes)
        check_result(transform, pair)
        return transform

    def _warn_of_another_size(self, *shapes: tuple[int, int]) -> None:
        for shape in shapes:
            # An image cropped by a tenth is no problem. Vessels of a different width are one.
            if not 0.9 < max(shape) / self.size < 1.5:
                warnings.warn(
                    f"a photograph of {max(shape)} px is resized: this network was trained at "
                    f"{self.size} px",
                    stacklevel=3,
                )

    def save(self, path: Path | str) -> Path:
        """Write the weights to a ``.pt`` file that `load_spatial_transformer` reads."""
        return save_weights(path, KIND, self.size, self.network.state_dict())


def load_spatial_transformer(path: Path | str) -> SpatialTransformer:
    """Read a trained method from a file that `SpatialTransformer.save` wrote.

    Raises
    ------
    ValueError
        See `networks.load_weights`.
    """
    size, weights = load_weights(path, KIND)
    network = AffineNetwork()
    network.load_state_dict(weights)
    return SpatialTransformer(network.eval(), size)


def train_spatial_transformer(
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray | None] | None = None,
    *,
    pairs: Sequence[tuple[int, int]] | None = None,
    size: int = 768,
    epochs: int = 20,
    pair_epochs: int = 6,
    learning_rate: float = 3e-3,
    motion: Motion | None = None,
    patience: int = 10,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    monitor: Callable[[SpatialTransformer], float] | None = None,
    device: str | None = None,
    shown: bool = True,
) -> SpatialTransformer:
    """Train a network on known warps of each photograph, then on the similarity of real pairs.

    Parameters
    ----------
    images : sequence of float ndarray in [0, 1], shape (height, width)
        One photograph is enough for synthetic pairs. The photographs may show different eyes.
    masks : sequence of bool ndarray or None, optional
        True inside the fields of view.
    pairs : sequence of (fixed, moving), optional
        Positions of photographs of the same eye. The network learns from them without knowing the
        true transform. None: the first photograph with each of the others; empty: synthetic pairs
        only.
    size : int
        Side of the finest canvas in pixels. Larger is more accurate and slower.
    epochs : int
        Epochs on synthetic pairs, on each canvas from coarse to fine.
    pair_epochs : int
        Epochs on real pairs, on each canvas.
    learning_rate : float
        See `networks.Stage`. On real pairs a third of it is used.
    motion : Motion, optional
        Size of the random transforms of the synthetic pairs on the coarsest canvas. It is halved on
        each finer canvas.
    patience, seed, checkpoint
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
    SpatialTransformer

    Raises
    ------
    ValueError, RegistrationError
        If a photograph cannot be used, or if a pair names a photograph that does not exist.
    MemoryError, FloatingPointError
        See `networks.train`.
    """
    sizes, pairs = level_sizes(size), check_pairs(pairs, len(images))
    needed = (BYTES_PER_PIXEL + BYTES_KEPT * len(images)) * sizes[-1] ** 2
    require_memory(needed, f"training at {size} px on {len(images)} photographs")
    device = device_or_best(device)
    stack = stack_of(images, masks, sizes[-1])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = AffineNetwork().to(device)
    method = SpatialTransformer(network, size)
    motion = Motion() if motion is None else motion
    stages = [
        Stage(
            f"made-up pairs, {side} px",
            epochs,
            made_up_pairs(network, stack.at(side), motion.times(COARSEST / side), level),
            learning_rate,
            patience,
        )
        for level, side in enumerate(sizes)
    ]
    stages += [
        Stage(
            f"real pairs, {sizes[level]} px",
            pair_epochs,
            real_pairs(network, stack.at(sizes[level]), sizes[: level + 1], pairs),
            learning_rate / 3,
            patience,
        )
        for level in range(len(sizes))
        if pairs
    ]
    watch = None if monitor is None else lambda: monitor(method)
    knobs = {"seed": seed, "checkpoint": checkpoint, "monitor": watch, "shown": shown}
    method.history = train(network, stages, **knobs)
    return method
