"""Photographs as torch tensors: with even illumination, on a square canvas, resized and warped.

Points (called places here) are in half widths of the canvas: (x, y) from -1 to 1 between its edges,
as in `torch.nn.functional.grid_sample`. They are the same at every resolution.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
import torch
from torch.nn import functional

from fundus_helpers import transforms
from fundus_helpers.loading.values import resize
from fundus_helpers.methods.pair import prepare_image

# On a smaller canvas, in pixels, vessels cannot be distinguished.
LEAST_SIZE = 48
# A pixel of a coarser canvas is inside the mask if at most this share of it is outside.
OUTSIDE = 0.01


@dataclass(frozen=True)
class Stack:
    """Photographs with even illumination in one tensor.

    Attributes
    ----------
    images : float32 tensor, shape (n, 1, size, size)
        Mean 0 and standard deviation 1 inside the mask, 0 outside of it.
    masks : float32 tensor, shape (n, 1, size, size)
        1 inside the field of view, 0 outside.
    """

    images: torch.Tensor
    masks: torch.Tensor

    @property
    def size(self) -> int:
        """Width and height of the canvas in pixels."""
        return self.images.shape[-1]

    def __len__(self) -> int:
        """Return the number of photographs."""
        return len(self.images)

    def __getitem__(self, index: Sequence[int] | torch.Tensor) -> "Stack":
        """Return some of the photographs, given by their positions."""
        return Stack(self.images[index], self.masks[index])

    def to(self, device: torch.device | str) -> "Stack":
        """Move the tensors to a device."""
        return Stack(self.images.to(device), self.masks.to(device))

    def at(self, size: int) -> "Stack":
        """Shrink the canvas to `size` pixels; each pixel is the mean of those that it covers."""
        if size == self.size:
            return self
        images, masks = (_means(side, size) for side in (self.images, self.masks))
        return standardised(images, masks > 1 - OUTSIDE)

    def warped(self, points: torch.Tensor) -> "Stack":
        """Warp the photographs.

        Parameters
        ----------
        points : float32 tensor, shape (n, size, size, 2)
            For each pixel of the result the point (x, y) that it shows, in half widths.
        """
        masks = sample(self.masks, points.detach()) > 0.9
        return Stack(sample(self.images, points), masks.float())


def _means(images: torch.Tensor, size: int) -> torch.Tensor:
    """Shrink images, shape (n, 1, h, h); integer factors, the usual case, take half the time."""
    factor, rest = divmod(images.shape[-1], size)
    if rest:
        return functional.interpolate(images, size=(size, size), mode="area")
    return functional.avg_pool2d(images, factor)


def standardised(images: torch.Tensor, masks: torch.Tensor) -> Stack:
    """Scale images, shape (n, 1, size, size), to mean 0 and deviation 1 inside their masks."""
    masks = masks.float()
    count = masks.sum((2, 3), keepdim=True).clamp_min(1)
    images = images - (images * masks).sum((2, 3), keepdim=True) / count
    deviation = ((images**2 * masks).sum((2, 3), keepdim=True) / count).sqrt()
    return Stack(images / deviation.clamp_min(1e-6) * masks, masks)


def stack_of(
    images: Sequence[np.ndarray], masks: Sequence[np.ndarray | None] | None, size: int
) -> Stack:
    """Check photographs, even out their illumination and put them on a square canvas.

    Parameters
    ----------
    images : sequence of float ndarray in [0, 1], shape (height, width)
        They may differ in shape. Each is resized so that its longer side fills the canvas.
    masks : sequence of bool ndarray or None
        True inside the fields of view; None: found by `loading.field_of_view`.
    size : int
        Width and height of the canvas in pixels.

    Raises
    ------
    ValueError, RegistrationError
        For an image that cannot be used; see `methods.pair.prepare_pair`.
    """
    masks = check_masks(masks, len(images))
    return even_stack(
        [
            prepare_image(f"photograph {i}:", image, mask)
            for i, (image, mask) in enumerate(zip(images, masks, strict=True))
        ],
        size,
    )


def check_masks(
    masks: Sequence[np.ndarray | None] | None, count: int
) -> Sequence[np.ndarray | None]:
    """Return one mask, or None, for each of `count` photographs, after a check.

    Raises
    ------
    ValueError
        If there are more or fewer masks than photographs.
    """
    if masks is None:
        return [None] * count
    if len(masks) != count:
        raise ValueError(f"{count} photographs, but {len(masks)} masks; give one mask for each")
    return masks


def even_stack(prepared: Sequence[tuple[np.ndarray, np.ndarray]], size: int) -> Stack:
    """Put images and masks, as `methods.pair.prepare_image` returns them, on a square canvas."""
    layers = [_on_canvas(image, mask, size) for image, mask in prepared]
    tensors = [torch.from_numpy(np.stack(side))[:, None] for side in zip(*layers, strict=True)]
    return standardised(*tensors)


def _on_canvas(image: np.ndarray, mask: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    shrunk = resize(image, size), resize(mask.astype(np.float32), size) > 1 - OUTSIDE
    rows, columns = np.subtract(size, shrunk[0].shape)
    return tuple(np.pad(layer, ((0, rows), (0, columns))) for layer in shrunk)


def level_sizes(size: int) -> list[int]:
    """List the sizes of the canvas from coarse to fine: an eighth, a quarter, a half, the whole.

    Sizes are multiples of 4; those smaller than `LEAST_SIZE` are left out.

    Raises
    ------
    ValueError
        If the whole canvas is smaller than `LEAST_SIZE`.
    """
    sizes = [4 * round(size / factor / 4) for factor in (8, 4, 2, 1)]
    if sizes[-1] < LEAST_SIZE:
        raise ValueError(f"size {size} px is too small for a network; give {LEAST_SIZE} or more")
    return [side for side in sizes if side >= LEAST_SIZE]


def pixel_places(size: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Return the points (x, y) of all pixel centres, shape (size, size, 2), on a device."""
    steps = (torch.arange(size, device=device) + 0.5) / size * 2 - 1
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([columns, rows], dim=-1)


def sample(images: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Sample images, shape (n, c, h, w), at points, shape (n, height, width, 2); 0 outside."""
    return functional.grid_sample(images, points, align_corners=False, padding_mode="zeros")


def mapped(matrices: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Map points, shape (..., 2), by affine or perspective matrices, shape (n, 3, 3)."""
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
    """Convert an affine matrix, shape (3, 3), to a transform in pixels of the two images."""
    to_places = _half_widths(fixed_shape)
    to_pixels = np.linalg.inv(_half_widths(moving_shape))
    return transforms.from_matrix((to_pixels @ matrix.double().cpu().numpy() @ to_places)[:2])


def transform_to_matrix(
    transform: sitk.Transform, fixed_shape: tuple[int, int], moving_shape: tuple[int, int]
) -> torch.Tensor:
    """Convert a linear transform in pixels of the two images to a matrix, shape (3, 3)."""
    pixels = np.vstack([transforms.to_matrix(transform), [0, 0, 1]])
    places = _half_widths(moving_shape) @ pixels @ np.linalg.inv(_half_widths(fixed_shape))
    return torch.from_numpy(places).float()


def _half_widths(shape: tuple[int, int]) -> np.ndarray:
    """Return the matrix from pixels of an image to points in half widths of its canvas."""
    scale = 2 / max(shape)
    return np.array([[scale, 0, 0.5 * scale - 1], [0, scale, 0.5 * scale - 1], [0, 0, 1]])


def field_to_transform(
    displacement: torch.Tensor, fixed_shape: tuple[int, int]
) -> sitk.DisplacementFieldTransform:
    """Convert displacements in half widths, shape (2, h, w), to a transform of the fixed image."""
    longer = max(fixed_shape)
    field = enlarged(displacement[None], longer)[0] * (longer / 2)
    rows, columns = fixed_shape
    return transforms.from_displacement(field[:, :rows, :columns].permute(1, 2, 0).cpu().numpy())


def enlarged(field: torch.Tensor, size: int) -> torch.Tensor:
    """Interpolate a smooth field, shape (n, 2, h, w), to a canvas of `size` pixels."""
    return functional.interpolate(field, size=(size, size), mode="bicubic", align_corners=False)


def device_or_best(device: torch.device | str | None) -> torch.device:
    """Return the device that is given; None: a GPU if there is one, else the processor.

    Raises
    ------
    ValueError
        If PyTorch knows no device of this name.
    """
    try:
        return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as error:
        raise ValueError(f"device {device!r} is not known; give 'cpu', 'cuda' or None") from error


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Make torch use one thread inside a ``with`` block or a decorated function.

    For such small images several threads take longer than one, and much longer if other programs
    use the processor. One thread also adds numbers in the same order on every machine.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
