"""Photographs as torch tensors: evenly lit, on a square canvas, from coarse to fine; warped.

Places are in half widths of the canvas, (x, y) from -1 to 1 between its edges, as
`torch.nn.functional.grid_sample` has them, so that a place means the same at every resolution.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
import torch
from torch.nn import functional

from fundus_helpers import transforms
from fundus_helpers.loading.photographs import resize
from fundus_helpers.methods.pair import prepare_image

# Vessels cannot be told apart on a smaller canvas.
LEAST_SIZE = 48


# A cell of the coarser canvas counts when no more than this share of it lies outside the view.
OUTSIDE = 0.01


@dataclass(frozen=True)
class Stack:
    """Evenly lit photographs in one tensor.

    Attributes
    ----------
    images : float32 tensor, shape (n, 1, size, size)
        Mean 0 and deviation 1 inside the mask, 0 outside of it.
    masks : float32 tensor, shape (n, 1, size, size)
        1 inside the field of view, 0 outside.
    """

    images: torch.Tensor
    masks: torch.Tensor

    @property
    def size(self) -> int:
        """Side of the canvas in pixels."""
        return self.images.shape[-1]

    def __len__(self) -> int:
        """Count the photographs."""
        return len(self.images)

    def __getitem__(self, index: Sequence[int] | torch.Tensor) -> "Stack":
        """Take some of the photographs, given by a sequence of their positions."""
        return Stack(self.images[index], self.masks[index])

    def to(self, device: torch.device | str) -> "Stack":
        """Move to the processor that computes."""
        return Stack(self.images.to(device), self.masks.to(device))

    def at(self, size: int) -> "Stack":
        """Shrink the canvas to a side of `size` pixels, each the mean of what it covers."""
        if size == self.size:
            return self
        images, masks = (_means(side, size) for side in (self.images, self.masks))
        return standardised(images, masks > 1 - OUTSIDE)

    def warped(self, points: torch.Tensor) -> "Stack":
        """Look the photographs up at other places.

        Parameters
        ----------
        points : float32 tensor, shape (n, size, size, 2)
            For every pixel the place (x, y) it shows, in half widths.
        """
        masks = sample(self.masks, points.detach()) > 0.9
        return Stack(sample(self.images, points), masks.float())


def _means(images: torch.Tensor, size: int) -> torch.Tensor:
    """Shrink images, shape (n, 1, h, h); whole factors, the usual case, in half the time."""
    factor, rest = divmod(images.shape[-1], size)
    if rest:
        return functional.interpolate(images, size=(size, size), mode="area")
    return functional.avg_pool2d(images, factor)


def standardised(images: torch.Tensor, masks: torch.Tensor) -> Stack:
    """Give images, shape (n, 1, size, size), mean 0 and deviation 1 inside their masks."""
    masks = masks.float()
    count = masks.sum((2, 3), keepdim=True).clamp_min(1)
    images = images - (images * masks).sum((2, 3), keepdim=True) / count
    deviation = ((images**2 * masks).sum((2, 3), keepdim=True) / count).sqrt()
    return Stack(images / deviation.clamp_min(1e-6) * masks, masks)


def stack_of(
    images: Sequence[np.ndarray], masks: Sequence[np.ndarray | None] | None, size: int
) -> Stack:
    """Check photographs, even out their light and lay them on a square canvas.

    Parameters
    ----------
    images : sequence of float ndarray in [0, 1], shape (height, width)
        They may differ in shape; each is resized so that its longer side fills the canvas.
    masks : sequence of bool ndarray or None
        True inside the fields of view; None: found by `loading.field_of_view`.
    size : int
        Side of the canvas in pixels.

    Raises
    ------
    ValueError, RegistrationError
        For an image that cannot be used; see `methods.prepare_pair`.
    """
    masks = [None] * len(images) if masks is None else masks
    return even_stack(
        [
            prepare_image(f"photograph {i}:", image, mask)
            for i, (image, mask) in enumerate(zip(images, masks, strict=True))
        ],
        size,
    )


def even_stack(prepared: Sequence[tuple[np.ndarray, np.ndarray]], size: int) -> Stack:
    """Lay evenly lit images and their masks, as `methods.prepare_image` gives them, on a canvas."""
    layers = [_on_canvas(image, mask, size) for image, mask in prepared]
    tensors = [torch.from_numpy(np.stack(side))[:, None] for side in zip(*layers, strict=True)]
    return standardised(*tensors)


def _on_canvas(image: np.ndarray, mask: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    shrunk = resize(image, size), resize(mask.astype(np.float32), size) > 1 - OUTSIDE
    rows, columns = np.subtract(size, shrunk[0].shape)
    return tuple(np.pad(layer, ((0, rows), (0, columns))) for layer in shrunk)


def level_sizes(size: int) -> list[int]:
    """List the sides of the canvas from coarse to fine: an eighth, a quarter, a half, all of it.

    Sides are multiples of 4; those under `LEAST_SIZE` are left out.
    """
    sizes = [4 * round(size / factor / 4) for factor in (8, 4, 2, 1)]
    if sizes[-1] < LEAST_SIZE:
        raise ValueError(f"size {size} px is too small for a network; give {LEAST_SIZE} or more")
    return [side for side in sizes if side >= LEAST_SIZE]


def pixel_places(size: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Make the places (x, y) of all pixel centres, shape (size, size, 2), on a device."""
    steps = (torch.arange(size, device=device) + 0.5) / size * 2 - 1
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([columns, rows], dim=-1)


def sample(images: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Look images, shape (n, c, h, w), up at places, shape (n, height, width, 2); 0 outside."""
    return functional.grid_sample(images, points, align_corners=False, padding_mode="zeros")


def mapped(matrices: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Map places, shape (..., 2), by matrices, shape (n, 3, 3), perspective ones too."""
    linear, shift = matrices[:, None, :, :2].mT, matrices[:, None, None, :, 2]
    result = points @ linear + shift
    return result[..., :2] / result[..., 2:]


def affine_places(matrices: torch.Tensor, size: int) -> torch.Tensor:
    """Map all pixel centres by affine matrices, shape (n, 3, 3): shape (n, size, size, 2)."""
    shape = (len(matrices), 1, size, size)
    return functional.affine_grid(matrices[:, :2], shape, align_corners=False)


def matrix_to_transform(
    matrix: torch.Tensor, fixed_shape: tuple[int, int], moving_shape: tuple[int, int]
) -> sitk.AffineTransform:
    """Turn an affine matrix, shape (3, 3), into a transform in pixels of the two images."""
    to_places = _half_widths(fixed_shape)
    to_pixels = np.linalg.inv(_half_widths(moving_shape))
    return transforms.from_matrix((to_pixels @ matrix.double().cpu().numpy() @ to_places)[:2])


def transform_to_matrix(
    transform: sitk.Transform, fixed_shape: tuple[int, int], moving_shape: tuple[int, int]
) -> torch.Tensor:
    """Turn a linear transform in pixels of the two images into a matrix, shape (3, 3)."""
    pixels = np.vstack([transforms.to_matrix(transform), [0, 0, 1]])
    places = _half_widths(moving_shape) @ pixels @ np.linalg.inv(_half_widths(fixed_shape))
    return torch.from_numpy(places).float()


def _half_widths(shape: tuple[int, int]) -> np.ndarray:
    """Matrix from pixels of an image of that shape to places on its canvas."""
    scale = 2 / max(shape)
    return np.array([[scale, 0, 0.5 * scale - 1], [0, scale, 0.5 * scale - 1], [0, 0, 1]])


def field_to_transform(
    displacement: torch.Tensor, fixed_shape: tuple[int, int]
) -> sitk.DisplacementFieldTransform:
    """Turn displacements in half widths, shape (2, h, w), into a transform of the fixed image."""
    longer = max(fixed_shape)
    field = enlarged(displacement[None], longer)[0] * (longer / 2)
    rows, columns = fixed_shape
    return transforms.from_displacement(field[:, :rows, :columns].permute(1, 2, 0).cpu().numpy())


def enlarged(field: torch.Tensor, size: int) -> torch.Tensor:
    """Interpolate a smooth field, shape (n, 2, h, w), on a canvas of `size` pixels."""
    return functional.interpolate(field, size=(size, size), mode="bicubic", align_corners=False)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread inside a ``with`` block, or a function it decorates.

    On images this small more threads wait for each other more than they work, and where other
    programs use the processors too, they wait for ever. One thread also adds up in the same order
    everywhere.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
