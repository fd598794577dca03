"""Two small networks that register: one gives an affine matrix, one a smooth field.

The spatial transformer of Jaderberg et al. (NeurIPS 2015, arXiv:1506.02025) and VoxelMorph
(Balakrishnan et al., IEEE TMI 2019, doi:10.1109/TMI.2019.2897538), for photographs of a retina.
Neither depends on the size of the canvas.
"""

import warnings
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from fundus_helpers.methods.networks.tensors import Stack, affine_places, enlarged, pixel_places

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from monai.networks.blocks import DVF2DDF
    from monai.networks.nets import VoxelMorphUNet


STRIDE = 4  # pixels of the canvas in a cell of the features


def _convolutions(*channels: int, strides: tuple[int, ...], kernels: tuple[int, ...]) -> nn.Module:
    layers = []
    for i, (stride, kernel) in enumerate(zip(strides, kernels, strict=True)):
        layers += [
            nn.Conv2d(channels[i], channels[i + 1], kernel, stride, kernel // 2),
            nn.LeakyReLU(0.1, inplace=True),
        ]
    return nn.Sequential(*layers[:-1])  # the last layer's values are left as they are


class AffineNetwork(nn.Module):
    """See two images, say by which affine matrix the second lies on the first.

    Both images go through the same small encoder. Every cell of the fixed image compares its
    features with those of the cells around it in the moving image and votes for a displacement,
    with a weight that it has learnt. Global pooling is the affine map that fits all votes best, so
    the number of weights does not grow with the image, and untrained features that tell nothing
    give the identity.

    Parameters
    ----------
    channels : int
        Of the encoder, twice as many in its middle.
    features : int
        That describe a cell. More tell more structures apart, and take longer to compare.
    radius : int
        Cells to compare with in each direction: how far one look reaches, in steps of 4 px.
    """

    def __init__(self, channels: int = 16, features: int = 8, radius: int = 3) -> None:
        super().__init__()
        self.radius = radius
        self.encoder = _convolutions(
            2, channels, 2 * channels, 2 * channels, features,
            strides=(2, 2, 1, 1), kernels=(5, 3, 3, 3),
        ).to(memory_format=torch.channels_last)  # fmt: skip
        count = (2 * radius + 1) ** 2
        self.confidence = _convolutions(count, 32, 1, strides=(1, 1), kernels=(1, 1))
        for tensor in self.confidence[-1].parameters():
            nn.init.zeros_(tensor)  # all votes count alike until it has learnt better
        self.sharpness = nn.Parameter(torch.tensor(1.6))
        steps = torch.arange(-radius, radius + 1.0)
        rows, columns = torch.meshgrid(steps, steps, indexing="ij")
        self.register_buffer("offsets", torch.stack([columns.ravel(), rows.ravel()]))

    def forward(self, fixed: Stack, moving: Stack) -> torch.Tensor:
        """Find matrices, shape (n, 3, 3), that map fixed to moving places in half widths."""
        similarity = self._compare(self._features(fixed), self._features(moving))
        chance = torch.softmax(self.sharpness.exp() * similarity, dim=1)
        cell = 2 * STRIDE / fixed.size  # in half widths
        votes = torch.einsum("nkhw,ck->nhwc", chance, self.offsets) * cell
        seen = functional.avg_pool2d(fixed.masks * moving.masks, STRIDE)[:, 0] > 0.99
        weights = self.confidence(similarity)[:, 0].clamp(-8, 8).exp() * seen
        return robust_affine(votes, weights, scale=cell)

    def _features(self, stack: Stack) -> torch.Tensor:
        seen = torch.cat([stack.images * stack.masks, stack.masks], dim=1)
        features = self.encoder(seen).contiguous()
        # Length 1, as by `functional.normalize`, which takes ten times as long.
        return features * (features.square().sum(1, keepdim=True) + 1e-12).rsqrt()

    def _compare(self, fixed: torch.Tensor, moving: torch.Tensor) -> torch.Tensor:
        """Inner products with every cell within the radius, shape (n, (2 radius + 1)^2, h, w)."""
        height, width = fixed.shape[2:]
        padded = functional.pad(moving, [self.radius] * 4)
        reach = range(2 * self.radius + 1)
        products = [
            (fixed * padded[:, :, y : y + height, x : x + width]).sum(1)
            for y in reach
            for x in reach
        ]
        return _mean_of_neighbours(torch.stack(products, dim=1))


def _mean_of_neighbours(maps: torch.Tensor) -> torch.Tensor:
    """Average maps over 3 x 3 cells, several times as fast as `avg_pool2d` does."""
    padded = functional.pad(maps, [1, 1, 1, 1])
    rows = padded[:, :, :-2] + padded[:, :, 1:-1]
    rows += padded[:, :, 2:]
    mean = rows[..., :-2] + rows[..., 1:-1]
    mean += rows[..., 2:]
    mean /= 9
    return mean


def robust_affine(
    votes: torch.Tensor, weights: torch.Tensor, *, scale: float, rounds: int = 3
) -> torch.Tensor:
    """Fit an affine matrix to displacements, those that disagree counting less and less.

    Weighted least squares, reweighted after Geman and McClure; every step can be differentiated.

    Parameters
    ----------
    votes : float32 tensor, shape (n, h, w, 2)
        Displacements (x, y) in half widths.
    weights : float32 tensor, shape (n, h, w)
    scale : float
        A vote that is off by so much counts a quarter.
    rounds : int
        Of reweighting.

    Returns
    -------
    float32 tensor, shape (n, 3, 3)
    """
    places = pixel_places(votes.shape[1], votes.device)
    places = torch.cat([places, torch.ones_like(places[..., :1])], dim=-1)
    solution = _least_squares(places, votes, weights)
    for _ in range(rounds):
        misfit = (votes - places @ solution[:, None]).square().sum(-1) / scale**2
        solution = _least_squares(places, votes, weights / (1 + misfit) ** 2)
    matrices = torch.eye(3, device=votes.device).repeat(len(votes), 1, 1)
    return matrices + functional.pad(solution.transpose(1, 2), [0, 0, 0, 1])


def _least_squares(
    places: torch.Tensor, votes: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    weights = weights / weights.sum((1, 2), keepdim=True).clamp_min(1e-6)
    weighted = places * weights[..., None]
    normal = torch.einsum("nhwi,hwj->nij", weighted, places)
    right = torch.einsum("nhwi,nhwj->nij", weighted, votes)
    # A little pull to the identity, for when there are hardly any votes.
    return torch.linalg.solve(normal + 1e-4 * torch.eye(3, device=votes.device), right)


def find_matrices(
    network: AffineNetwork,
    fixed: Stack,
    moving: Stack,
    sizes: Sequence[int],
    start: torch.Tensor,
    *,
    looks: int = 1,
) -> torch.Tensor:
    """Look at pairs on canvases from coarse to fine, correcting the matrix each time.

    Parameters
    ----------
    network : AffineNetwork
    fixed, moving : Stack
        Of n photographs each, on the finest canvas.
    sizes : sequence of int
        Sides of the canvases.
    start : float32 tensor, shape (n, 3, 3)
        From fixed to moving places, in half widths.
    looks : int
        On the finest canvas; one on each of the others.
    """
    matrices, finest, sides = start, fixed.size, {}
    for size in reversed(sizes):  # each canvas is shrunk from the one before
        fixed, moving = sides[size] = fixed.at(size), moving.at(size)
    for size in sizes:
        fixed, moving = sides[size]
        for _ in range(looks if size == finest else 1):
            matrices = matrices @ network(fixed, moving.warped(affine_places(matrices, size)))
    return matrices


class VelocityNetwork(nn.Module):
    """See two images that lie on each other nearly, give the smooth field that is left.

    MONAI's U-Net of VoxelMorph gives a stationary velocity on a coarse grid, integrated by scaling
    and squaring (Dalca et al., Medical Image Analysis 2019, doi:10.1016/j.media.2019.07.006): a
    flow that cannot fold. What moves a retina between two photographs is the angle of view and the
    optics, so the grid is coarse.

    Parameters
    ----------
    grid : int
        Velocities along a side. More follow finer deformations, and more of the noise.
    channels : int
        Of the U-Net.
    """

    # Each velocity has eight pixels of the U-Net to come from.
    PIXELS = 8

    def __init__(self, grid: int = 24, channels: int = 16) -> None:
        super().__init__()
        self.grid = grid
        wide = 2 * channels
        self.unet = VoxelMorphUNet(
            2, 2, channels, (channels, channels) + 6 * (wide,), final_conv_channels=(channels,)
        )
        for tensor in self.unet.net[1].final_conv_out.parameters():
            nn.init.zeros_(tensor)  # it starts from a field of zeros
        with warnings.catch_warnings():  # MONAI warns that torch does the sampling
            warnings.simplefilter("ignore")
            self.integrate = DVF2DDF(num_steps=5, padding_mode="border")

    @property
    def size(self) -> int:
        """Side of the canvas that the U-Net looks at."""
        return self.grid * self.PIXELS

    def forward(self, fixed: Stack, moving: Stack) -> tuple[torch.Tensor, torch.Tensor]:
        """Find velocities in cells (row, column), and the displacements they integrate to.

        Returns
        -------
        velocity : float32 tensor, shape (n, 2, grid, grid)
        displacement : float32 tensor, shape (n, 2, grid, grid)
            (x, y) in half widths, fixed to moving; `networks.enlarged` interpolates it.
        """
        there, back = (
            self.unet(torch.cat([side.images * side.masks for side in sides], dim=1))
            for sides in ((fixed, moving), (moving, fixed))
        )
        # The way back is the way there reversed: what the network says in both directions cancels.
        velocity = functional.avg_pool2d((there - back) / 2, self.PIXELS)
        return velocity, self.carried(velocity)

    def carried(self, velocity: torch.Tensor) -> torch.Tensor:
        """Integrate velocities to displacements, see `forward`."""
        return self.integrate(velocity).flip(1) * (2 / self.grid)


def displaced(displacement: torch.Tensor, size: int) -> torch.Tensor:
    """Turn displacements, shape (n, 2, h, w), into the places they lead to, (n, size, size, 2)."""
    field = enlarged(displacement, size)
    return pixel_places(size, field.device) + field.permute(0, 2, 3, 1)
