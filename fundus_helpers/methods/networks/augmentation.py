"""Augmentation: synthetic photographs made from real ones by plausible motion and illumination.

The article augments its photographs like general pictures: with crops, flips and three channels of
224 px. A fundus camera does not cause such changes. The changes here do occur between visits, and
the masks and the true transforms are known.
"""

from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk
import torch
from monai.transforms import Compose, RandBiasField, RandGaussianNoise, RandGaussianSmooth

from fundus_helpers import transforms
from fundus_helpers.methods.networks.tensors import Stack, enlarged, mapped, pixel_places


@dataclass(frozen=True)
class Motion:
    """How far photographs of one eye differ: standard deviations of random motions.

    Attributes
    ----------
    rotation : float
        In degrees.
    shift : float
        Along each axis, as a share of half the width of the image.
    scale, shear : float
        As a share of the magnification.
    perspective : float
        Change of the magnification over half the image, as from a tilted camera.
    elastic : float
        Smooth deformation, as a share of half the width, as from another angle of view on a curved
        retina.
    """

    rotation: float = 2.0
    shift: float = 0.05
    scale: float = 0.02
    shear: float = 0.01
    perspective: float = 0.003
    elastic: float = 0.004

    def times(self, factor: float) -> "Motion":
        """Return a motion in which every standard deviation is multiplied by a factor."""
        return replace(self, **{name: value * factor for name, value in vars(self).items()})


def random_matrices(count: int, motion: Motion, generator: torch.Generator) -> torch.Tensor:
    """Draw random perspective matrices for points in half widths, shape (count, 3, 3)."""
    drawn = torch.randn(count, 8, generator=generator)
    angle = torch.deg2rad(drawn[:, 0] * motion.rotation)
    scale = torch.exp(drawn[:, 1] * motion.scale)
    cosine, sine = scale * torch.cos(angle), scale * torch.sin(angle)
    shift_x, shift_y = (drawn[:, 2:4] * motion.shift).T
    shear = drawn[:, 4] * motion.shear
    tilt_x, tilt_y = (drawn[:, 5:7] * motion.perspective).T
    one = torch.ones(count)
    rows = [cosine, -sine + shear, shift_x, sine, cosine, shift_y, tilt_x, tilt_y, one]
    return torch.stack(rows, dim=1).reshape(-1, 3, 3)


def random_places(
    count: int, size: int, motion: Motion, generator: torch.Generator
) -> torch.Tensor:
    """Draw random smooth warps: the point that each pixel shows, shape (count, size, size, 2)."""
    places = mapped(random_matrices(count, motion, generator), pixel_places(size))
    cells = int(torch.randint(3, 7, (1,), generator=generator))
    bumps = torch.randn(count, 2, cells, cells, generator=generator) * motion.elastic
    return places + enlarged(bumps, size).permute(0, 2, 3, 1)


def synthetic_pairs(
    stack: Stack, count: int, motion: Motion, generator: torch.Generator
) -> tuple[Stack, Stack, torch.Tensor]:
    """Draw random pairs of photographs with a known transform.

    Each pair is made from one photograph. It is moved twice, behind an aperture that stays in
    place, and its appearance is changed twice (`changed`).

    Parameters
    ----------
    stack : Stack
        Photographs to draw from.
    count : int
        Number of pairs.
    motion : Motion
    generator : torch.Generator

    Returns
    -------
    fixed, moving : Stack
    truth : float32 tensor, shape (count, size, size, 2)
        For each pixel of `fixed` the corresponding point of `moving`, in half widths.
    """
    chosen = stack[torch.randint(len(stack), (count,), generator=generator)]
    first = random_matrices(count, motion, generator)
    truth = random_places(count, stack.size, motion, generator)
    moving = chosen.warped(mapped(first, pixel_places(stack.size)))
    fixed = chosen.warped(mapped(first, truth))
    return (
        *(
            Stack(changed(side.images, generator), side.masks * chosen.masks)
            for side in (fixed, moving)
        ),
        truth,
    )


def changed(
    images: torch.Tensor, generator: torch.Generator, *, noise: float = 0.4
) -> torch.Tensor:
    """Change images in the way that visits differ: in contrast, lesions and noise.

    Parameters
    ----------
    images : float32 tensor, shape (n, 1, size, size)
        With even illumination, mean 0 and standard deviation 1.
    generator : torch.Generator
    noise : float
        Largest standard deviation of the noise.
    """
    count, size = len(images), images.shape[-1]

    def field(cells: int) -> torch.Tensor:
        return enlarged(torch.randn(count, 1, cells, cells, generator=generator), size)

    contrast = torch.exp(0.3 * field(4))
    lesion = torch.sigmoid(6 * (field(5) - 1))  # about a tenth of the field of view
    images = images * contrast * (1 - lesion) + lesion * field(12)
    strength = noise * torch.rand(count, 1, 1, 1, generator=generator)
    return images + strength * torch.randn(images.shape, generator=generator)


def augment(
    image: np.ndarray,
    mask: np.ndarray,
    *,
    seed: int = 0,
    motion: Motion | None = None,
    illumination: float = 0.3,
    blur: float = 0.002,
    noise: float = 0.01,
) -> tuple[np.ndarray, np.ndarray, sitk.Transform]:
    """Make another photograph of the same eye, with its mask and the true transform.

    Parameters
    ----------
    image : float32 ndarray in [0, 1], shape (height, width)
        The photograph, without correction of its illumination.
    mask : bool ndarray, shape (height, width)
        True inside the field of view.
    seed : int
    motion : Motion, optional
        None: ``Motion()``. ``Motion().times(0)`` does not move the photograph.
    illumination : float
        Largest coefficient of MONAI's smooth bias field; 0 does not change the illumination.
    blur : float
        Largest standard deviation of the blur, as a share of the longer side.
    noise : float
        Largest standard deviation of the noise.

    Returns
    -------
    image : float32 ndarray in [0, 1], shape (height, width)
    mask : bool ndarray, shape (height, width)
        The aperture stays in place. What the given photograph does not show is masked out.
    transform : sitk.Transform
        Maps points of the new photograph to points of the given one.
    """
    generator, longer = torch.Generator().manual_seed(seed), max(image.shape)
    places = random_places(1, longer, Motion() if motion is None else motion, generator)[0]
    steps = (places - pixel_places(longer)).numpy() * (longer / 2)
    transform = transforms.from_displacement(steps[: image.shape[0], : image.shape[1]])
    moved = transforms.warp(image, transform, interpolation="cubic")
    mask = transforms.overlap(mask, mask, transform)
    light = Compose(
        [
            RandBiasField(prob=1, coeff_range=(-illumination, illumination)),
            RandGaussianSmooth(prob=1, sigma_x=(0, blur * longer), sigma_y=(0, blur * longer)),
            RandGaussianNoise(prob=1, std=noise),
        ]
    ).set_random_state(seed=seed)
    lit = np.asarray(light(moved[None]))[0]
    return np.clip(lit * mask, 0, 1).astype(np.float32), mask, transform
