"""Two small networks for registration: one computes an affine matrix, the other a smooth field.

They adapt the spatial transformer of Jaderberg et al. (NeurIPS 2015, arXiv:1506.02025) and
VoxelMorph (Balakrishnan et al., IEEE TMI 2019, doi:10.1109/TMI.2019.2897538) to photographs of the
retina. Neither depends on the size of the images.
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

STRIDE = 4  # pixels of the canvas per cell of the feature map


def _convolutions(*channels: int, strides: tuple[int, ...], kernels: tuple[int, ...]) -> nn.Module:
    layers = []
    for i, (stride, kernel) in enumerate(zip(strides, kernels, strict=True)):
        layers += [
            nn.Conv2d(channels[i], channels[i + 1], kernel, stride, kernel // 2),
            nn.LeakyReLU(0.1, inplace=True),
        ]
    return nn.Sequential(*layers[:-1])  # no activation after the last layer


class AffineNetwork(nn.Module):
    """Network that computes the affine matrix from one image to another.

    Both images pass through the same small encoder. Every cell of the fixed image compares its
    features with those of the surrounding cells of the moving image, and votes for a displacement
    with a learnt weight. The result is the affine matrix that fits all votes best. The number of
    weights therefore does not depend on the size of the image, and without training the result is
    close to the identity.

    Parameters
    ----------
    channels : int
        Channels of the encoder; its middle layers have twice as many.
    features : int
        Number of features of a cell. More distinguish more structures, and take longer to compare.
    radius : int
        Number of cells to compare with in each direction. One cell is 4 px wide, so this limits
        the displacement that one pass can find.
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
            nn.init.zeros_(tensor)  # before training, all votes have equal weights
        self.sharpness = nn.Parameter(torch.tensor(1.6))
        steps = torch.arange(-radius, radius + 1.0)
        rows, columns = torch.meshgrid(steps, steps, indexing="ij")
        self.register_buffer("offsets", torch.stack([columns.ravel(), rows.ravel()]))

    def forward(self, fixed: Stack, moving: Stack) -> torch.Tensor:
        """Compute matrices, shape (n, 3, 3), that map fixed to moving points in half widths."""
        features = self._features(fixed), self._features(moving)
        similarity = neighbour_likeness(*features, self.radius)
        chance = torch.softmax(self.sharpness.exp() * similarity, dim=1)
        cell = 2 * STRIDE / fixed.size  # in half widths
        votes = torch.einsum("nkhw,ck->nhwc", chance, self.offsets) * cell
        seen = functional.avg_pool2d(fixed.masks * moving.masks, STRIDE)[:, 0] > 0.99
        weights = self.confidence(similarity)[:, 0].clamp(-8, 8).exp() * seen
        return robust_affine(votes, weights, scale=cell)

    def _features(self, stack: Stack) -> torch.Tensor:
        seen = torch.cat([stack.images * stack.masks, stack.masks], dim=1)
        features = self.encoder(seen).contiguous()
        # Normalised to length 1; `functional.normalize` takes ten times as long.
        return features * (features.square().sum(1, keepdim=True) + 1e-12).rsqrt()


def neighbour_likeness(fixed: torch.Tensor, moving: torch.Tensor, radius: int) -> torch.Tensor:
    """Compare the features of every cell with those of the cells around it, averaged over 3 x 3.

    Parameters
    ----------
    fixed, moving : float32 tensor, shape (n, c, h, w)
        Features of the cells of two photographs.
    radius : int
        Number of cells to compare with, in each direction.

    Returns
    -------
    float32 tensor, shape (n, (2 radius + 1)^2, h, w)
        Inner products, row after row of the offsets.
    """
    height, width = fixed.shape[2:]
    padded = functional.pad(moving, [radius] * 4)
    reach = range(2 * radius + 1)
    products = [
        (fixed * padded[:, :, y : y + height, x : x + width]).sum(1) for y in reach for x in reach
    ]
    return _mean_of_neighbours(torch.stack(products, dim=1))


def _mean_of_neighbours(maps: torch.Tensor) -> torch.Tensor:
    """Average maps over 3 x 3 cells, several times as fast as `avg_pool2d`."""
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
    """Fit an affine matrix to displacements, robust against outliers.

    Iteratively reweighted least squares with the weights of Geman and McClure. Every step is
    differentiable.

    Parameters
    ----------
    votes : float32 tensor, shape (n, h, w, 2)
        Displacements (x, y) in half widths.
    weights : float32 tensor, shape (n, h, w)
    scale : float
        Residual at which the weight of a vote falls to one quarter.
    rounds : int
        Number of reweighting rounds.

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
    # A small regularisation towards the identity, for images with hardly any votes.
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
    """Apply the network to pairs from coarse to fine, and correct the matrices each time.

    Parameters
    ----------
    network : AffineNetwork
    fixed, moving : Stack
        Stacks of n photographs each, on the finest canvas.
    sizes : sequence of int
        Sizes of the canvases in pixels.
    start : float32 tensor, shape (n, 3, 3)
        Initial matrices from fixed to moving points, in half widths.
    looks : int
        Number of passes on the finest canvas; the other canvases get one pass each.

    Returns
    -------
    float32 tensor, shape (n, 3, 3)
    """
    matrices, finest, sides = start, fixed.size, {}
    for size in reversed(sizes):  # each canvas is made from the next finer one
        fixed, moving = sides[size] = fixed.at(size), moving.at(size)
    for size in sizes:
        fixed, moving = sides[size]
        for _ in range(looks if size == finest else 1):
            matrices = matrices @ network(fixed, moving.warped(affine_places(matrices, size)))
    return matrices


class VelocityNetwork(nn.Module):
    """Network that computes the smooth field which remains between two nearly registered images.

    MONAI's U-Net for VoxelMorph computes a stationary velocity field on a coarse grid. Scaling and
    squaring integrates it to a displacement field that cannot fold (Dalca et al., Medical Image
    Analysis 2019, doi:10.1016/j.media.2019.07.006). The grid is coarse because photographs of one
    retina differ by the angle of view and the optics, which change slowly over the image.

    Parameters
    ----------
    grid : int
        Velocities along a side. More follow finer deformations, but also more noise.
    channels : int
        Channels of the U-Net.
    """

    PIXELS = 8  # of the U-Net, along a side, for each velocity

    def __init__(self, grid: int = 24, channels: int = 16) -> None:
        super().__init__()
        self.grid = grid
        wide = 2 * channels
        self.unet = VoxelMorphUNet(
            2, 2, channels, (channels, channels) + 6 * (wide,), final_conv_channels=(channels,)
        )
        for tensor in self.unet.net[1].final_conv_out.parameters():
            nn.init.zeros_(tensor)  # before training, the field is zero
        with warnings.catch_warnings():  # MONAI warns that it uses the sampling of torch
            warnings.simplefilter("ignore")
            self.integrate = DVF2DDF(num_steps=5, padding_mode="border")

    @property
    def size(self) -> int:
        """Size of the canvas of the U-Net in pixels."""
        return self.grid * self.PIXELS

    def forward(self, fixed: Stack, moving: Stack) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute velocities, and the displacements to which they integrate.

        Returns
        -------
        velocity : float32 tensor, shape (n, 2, grid, grid)
            (row, column) in cells of the grid.
        displacement : float32 tensor, shape (n, 2, grid, grid)
            (x, y) in half widths, from fixed to moving points; `networks.enlarged` interpolates it.
        """
        there, back = (
            self.unet(torch.cat([side.images * side.masks for side in sides], dim=1))
            for sides in ((fixed, moving), (moving, fixed))
        )
        # The inverse has the opposite velocity: the difference of both directions is antisymmetric.
        velocity = functional.avg_pool2d((there - back) / 2, self.PIXELS)
        return velocity, self.carried(velocity)

    def carried(self, velocity: torch.Tensor) -> torch.Tensor:
        """Integrate velocities to displacements; see `forward`."""
        return self.integrate(velocity).flip(1) * (2 / self.grid)


def displaced(displacement: torch.Tensor, size: int) -> torch.Tensor:
    """Convert displacements, shape (n, 2, h, w), to the points they lead to, (n, size, size, 2)."""
    field = enlarged(displacement, size)
    return pixel_places(size, field.device) + field.permute(0, 2, 3, 1)
