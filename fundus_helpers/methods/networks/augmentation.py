"""Photographs made up from photographs: moved as eyes and cameras move, lit as cameras light.

What the article's augmentation does to any picture (crops, flips, three channels of 224 px) does
not belong to a fundus camera. These changes do, and masks and true transforms come along.
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
    """How far photographs of one eye lie apart: standard deviations of what is drawn.

    Attributes
    ----------
    rotation : float
        Degrees.
    shift : float
        Share of half the image's width, along each axis.
    scale, shear : float
        Share of the magnification.
    perspective : float
        Change of magnification across half the image: the camera looks askew.
    elastic : float
        Smooth deformation, as a share of half the width: another angle of view on a curved retina.
    """

    rotation: float = 2.0
    shift: float = 0.05
    scale: float = 0.02
    shear: float = 0.01
    perspective: float = 0.003
    elastic: float = 0.004

    def times(self, factor: float) -> "Motion":
        """Make every motion larger or smaller."""
        return replace(self, **{name: value * factor for name, value in vars(self).items()})


def random_matrices(count: int, motion: Motion, generator: torch.Generator) -> torch.Tensor:
    """Draw maps of places in half widths: shape (count, 3, 3)."""
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
    """Draw smooth warps: for every pixel the place it shows, shape (count, size, size, 2)."""
    places = mapped(random_matrices(count, motion, generator), pixel_places(size))
    cells = int(torch.randint(3, 7, (1,), generator=generator))
    bumps = torch.randn(count, 2, cells, cells, generator=generator) * motion.elastic
    return places + enlarged(bumps, size).permute(0, 2, 3, 1)


def synthetic_pairs(
    stack: Stack, count: int, motion: Motion, generator: torch.Generator
) -> tuple[Stack, Stack, torch.Tensor]:
    """Draw pairs of photographs that lie on each other in a known way.

    Each pair comes of one photograph, moved twice behind an aperture that stays, and changed twice
    (`changed`).

    Parameters
    ----------
    stack : Stack
        Photographs to draw from.
    count : int
        Pairs.
    motion : Motion
    generator : torch.Generator

    Returns
    -------
    fixed, moving : Stack
    truth : float32 tensor, shape (count, size, size, 2)
        For every pixel of fixed its place in moving, in half widths.
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
    """Change evenly lit images as visits differ: contrast, lesions, noise.

    Parameters
    ----------
    images : float32 tensor, shape (n, 1, size, size)
        Mean 0, deviation 1.
    generator : torch.Generator
    noise : float
        Largest standard deviation.
    """
    count, size = len(images), images.shape[-1]

    def field(cells: int) -> torch.Tensor:
        return enlarged(torch.randn(count, 1, cells, cells, generator=generator), size)

    contrast = torch.exp(0.3 * field(4))
    lesion = torch.sigmoid(6 * (field(5) - 1))  # about a tenth of the view
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
        As photographed, not evenly lit.
    mask : bool ndarray, shape (height, width)
        True inside the field of view.
    seed : int
    motion : Motion, optional
        None: ``Motion()``; ``Motion().times(0)`` leaves it where it is.
    illumination : float
        Largest coefficient of MONAI's smooth bias field; 0 leaves the light as it is.
    blur : float
        Largest standard deviation, as a share of the longer side: the photograph is out of focus.
    noise : float
        Largest standard deviation of the grain.

    Returns
    -------
    image : float32 ndarray in [0, 1], shape (height, width)
    mask : bool ndarray, shape (height, width)
        The aperture stays where it is; what the first photograph did not show is masked out.
    transform : sitk.Transform
        Maps points of the new photograph to points of the old one.
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
