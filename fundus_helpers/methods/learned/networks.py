"""Two small networks that find where each place of one photograph lies in another.

The wide network compares every cell of the fixed photograph with every cell of the moving one. The
near network compares each cell with the cells around it, in photographs that are nearly
registered. Both know the retina by the features that an encoder computes for each cell.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from fundus_helpers.methods.networks.layers import neighbour_likeness
from fundus_helpers.methods.networks.tensors import Stack, pixel_places

IMPOSSIBLE = -100.0  # the logarithm of the chance of a place that cannot be seen
ASKED = 256  # cells of a pair that the training of the wide network asks
# Rows of cells that the near network compares at a time. So few stay in the cache of the processor.
BAND = 32

RawVotes = tuple[torch.Tensor, torch.Tensor]  # displacements and precision


class Encoder(nn.Module):
    """Convolutions that compute features of length 1 for every cell.

    Parameters
    ----------
    channels : sequence of int
        Channels of the layers.
    strides, dilations : sequence of int
        One per layer. The first kernel is 5 x 5, all others are 3 x 3.
    """

    def __init__(
        self, channels: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...]
    ) -> None:
        super().__init__()
        layers, before = [], 2
        for i, (after, stride, wide) in enumerate(zip(channels, strides, dilations, strict=True)):
            kernel = 5 if i == 0 else 3
            pad = wide * (kernel // 2)
            layers.append(nn.Conv2d(before, after, kernel, stride, pad, dilation=wide))
            before = after
        self.layers = nn.ModuleList(layers).to(memory_format=torch.channels_last)

    def forward(self, stack: Stack) -> torch.Tensor:
        """Compute features, shape (n, c, h, w), from a stack of photographs."""
        seen = torch.cat([stack.images * stack.masks, stack.masks], dim=1)
        for i, layer in enumerate(self.layers):
            found = layer(seen)
            if i + 1 < len(self.layers):
                found = functional.leaky_relu(found, 0.1, inplace=True)
                if found.shape == seen.shape:  # a layer that keeps the shape adds to what it sees
                    found = found + seen
            seen = found
        seen = seen.contiguous()
        return seen * (seen.square().sum(1, keepdim=True) + 1e-12).rsqrt()


class WideNetwork(nn.Module):
    """Network that compares every cell with every other: votes from everywhere to everywhere.

    It is trained by classification: which cell of the moving photograph shows the same place (Sun
    et al., LoFTR, CVPR 2021, arXiv:2104.00680, without its attention).
    """

    SIZE = 256  # of the canvas, in pixels
    STRIDE = 8  # pixels of the canvas per cell

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder(
            (24, 48, 64, 64, 64, 64, 64), (2, 2, 2, 1, 1, 1, 1), (1, 1, 1, 1, 2, 3, 1)
        )
        self.sharpness = nn.Parameter(torch.tensor(2.3))

    def forward(self, fixed: Stack, moving: Stack) -> torch.Tensor:
        """Compute the logarithm of the chance that two cells show the same place.

        Returns
        -------
        float32 tensor, shape (n, cells, cells)
            Rows are cells of the fixed photograph, columns those of the moving one, row after row.
        """
        return self.compared(self.described(fixed), self.described(moving))

    def described(self, side: Stack) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the features of all cells, shape (n, c, cells), and which cells cannot be seen."""
        return self.encoder(side).flatten(2), self._unseen(side)

    def compared(
        self, fixed: tuple[torch.Tensor, ...], moving: tuple[torch.Tensor, ...]
    ) -> torch.Tensor:
        """Compute the same as `forward` from two photographs that are `described`."""
        likeness = self.sharpness.exp() * torch.einsum("ncx,ncy->nxy", fixed[0], moving[0])
        likeness = likeness + fixed[1][:, :, None] + moving[1][:, None]
        return likeness.log_softmax(1) + likeness.log_softmax(2)

    def _unseen(self, side: Stack) -> torch.Tensor:
        """Return what makes cells outside the field of view impossible, shape (n, cells)."""
        seen = functional.avg_pool2d(side.masks, self.STRIDE).flatten(1) > 0.5
        return torch.zeros(seen.shape, device=seen.device).masked_fill(~seen, IMPOSSIBLE)

    def loss(
        self, fixed: Stack, moving: Stack, truth: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """Compute the mean surprise at the true cells, for places that both photographs show.

        Parameters
        ----------
        fixed, moving : Stack
        truth : float32 tensor, shape (n, size, size, 2)
            For each pixel of `fixed` the corresponding point of `moving`, in half widths.
        generator : torch.Generator
            Draws the cells that are asked; all of them take twice the time.
        """
        features = [self.encoder(side).flatten(2) for side in (fixed, moving)]
        unseen = [self._unseen(side) for side in (fixed, moving)]
        cells = fixed.size // self.STRIDE
        asked = torch.randperm(cells**2, generator=generator)[:ASKED].to(truth.device)
        aim = functional.avg_pool2d(truth.permute(0, 3, 1, 2), self.STRIDE).flatten(2)[..., asked]
        places = ((aim + 1) / 2 * cells).floor().long()  # (n, 2, asked), column and row
        inside = ((places >= 0) & (places < cells)).all(1)
        column, row = places.clamp(0, cells - 1).unbind(1)
        right = row * cells + column
        seen = inside & (unseen[0][:, asked] == 0) & (unseen[1].gather(1, right) == 0)
        here = features[0][..., asked]
        there = features[1].gather(2, right[:, None].expand(-1, here.shape[1], -1))
        chances = [
            (self.sharpness.exp() * torch.einsum("ncx,ncy->nxy", *sides) + none[:, None])
            .log_softmax(2)
            .gather(2, aims[..., None])[..., 0]
            for sides, none, aims in (
                ((here, features[1]), unseen[1], right),
                ((there, features[0]), unseen[0], asked.expand_as(right)),
            )
        ]
        return -(sum(chances) * seen).sum() / seen.sum().clamp_min(1)


class NearNetwork(nn.Module):
    """Network that compares each cell with the cells around it, and votes for a displacement.

    Every vote has a precision, which the network learns from the errors of its votes (Kendall and
    Gal, NeurIPS 2017, arXiv:1703.04977).
    """

    STRIDE = 2  # pixels of the canvas per cell
    RADIUS = 2  # cells to compare with, in each direction

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder((16, 16, 16, 16, 8), (2, 1, 1, 1, 1), (1, 1, 2, 1, 1))
        count = (2 * self.RADIUS + 1) ** 2
        self.trust = nn.Sequential(
            nn.Conv2d(count, 24, 1), nn.LeakyReLU(0.1, inplace=True), nn.Conv2d(24, 1, 1)
        )
        self.sharpness = nn.Parameter(torch.tensor(1.6))
        steps = torch.arange(-self.RADIUS, self.RADIUS + 1.0)
        rows, columns = torch.meshgrid(steps, steps, indexing="ij")
        self.register_buffer("offsets", torch.stack([columns.ravel(), rows.ravel()]))

    def forward(self, fixed: Stack, moving: Stack) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute votes from fixed to moving points.

        Returns
        -------
        votes : float32 tensor, shape (n, 2, h, w)
            Displacements (x, y) in cells.
        precision : float32 tensor, shape (n, 1, h, w)
            Logarithm of one over the error that is expected, in cells.
        """
        return self._in_bands(self._one_way, fixed, moving)

    def both_ways(self, fixed: Stack, moving: Stack) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the mean of the votes from fixed to moving points, and of those back, reversed.

        The features are compared once. For two equal photographs all votes are exactly zero.
        """
        return self._in_bands(self._there_and_back, fixed, moving)

    def _in_bands(
        self, compare: Callable[[torch.Tensor, torch.Tensor], RawVotes], fixed: Stack, moving: Stack
    ) -> RawVotes:
        """Compare the features of the photographs, some rows of cells at a time."""
        features = self.encoder(fixed), self.encoder(moving)
        reach, parts = 2 * self.RADIUS + 1, []  # rows that the votes of a cell depend on
        for top in range(0, features[0].shape[2], BAND):
            above = min(top, reach)
            rows = slice(top - above, top + BAND + reach)
            found = compare(*(side[:, :, rows] for side in features))
            parts.append([values[:, :, above : above + BAND] for values in found])
        votes, precision = (torch.cat(bands, dim=2) for bands in zip(*parts, strict=True))
        return votes, precision

    def _one_way(self, fixed: torch.Tensor, moving: torch.Tensor) -> RawVotes:
        return self._votes(neighbour_likeness(fixed, moving, self.RADIUS))

    def _there_and_back(self, fixed: torch.Tensor, moving: torch.Tensor) -> RawVotes:
        likeness = neighbour_likeness(fixed, moving, self.RADIUS)
        there, back = self._votes(likeness), self._votes(self._reversed(likeness))
        weights = [precision.exp() for _, precision in (there, back)]
        total = weights[0] + weights[1]
        votes = (there[0] * weights[0] - back[0] * weights[1]) / total
        return votes, (total / 2).log()

    def _votes(self, likeness: torch.Tensor) -> RawVotes:
        chance = torch.softmax(self.sharpness.exp() * likeness, dim=1)
        votes = torch.einsum("nkhw,ck->nchw", chance, self.offsets)
        return votes, self.trust(likeness).clamp(-4, 4)

    def _reversed(self, likeness: torch.Tensor) -> torch.Tensor:
        """Turn what the fixed cells see in the moving photograph into what those see back."""
        height, width = likeness.shape[2:]
        radius, padded = self.RADIUS, functional.pad(likeness, [self.RADIUS] * 4)
        reach = range(2 * radius + 1)
        count = len(reach)
        return torch.stack(
            [
                padded[:, count * count - 1 - (y * count + x), y : y + height, x : x + width]
                for y in reach
                for x in reach
            ],
            dim=1,
        )

    def loss(self, fixed: Stack, moving: Stack, truth: torch.Tensor) -> torch.Tensor:
        """Compute the surprise at the errors of the votes, if they spread as Laplace says.

        Parameters
        ----------
        fixed, moving, truth
            See `WideNetwork.loss`.
        """
        votes, precision = self(fixed, moving)
        cell = 2 * self.STRIDE / fixed.size  # in half widths
        aim = (truth - pixel_places(fixed.size, truth.device)).permute(0, 3, 1, 2) / cell
        aim = functional.avg_pool2d(aim, self.STRIDE)
        error = ((votes - aim).square().sum(1, keepdim=True) + 1e-4).sqrt()
        seen = functional.avg_pool2d(fixed.masks * moving.masks, self.STRIDE) > 0.99
        surprise = precision.exp() * error - 2 * precision
        return (surprise * seen).sum() / seen.sum().clamp_min(1)
