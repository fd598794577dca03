"""The start of a registration: a rough alignment from all shifts and a few rotations."""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from scipy.signal import correlate

from fundus_helpers import transforms
from fundus_helpers.loading.values import resize
from fundus_helpers.methods.cache import remembered
from fundus_helpers.methods.knobs import check_choice
from fundus_helpers.methods.pair import LEAST_OVERLAP, Pair

Initialisation = Literal["cross_correlation", "geometry", "moments", "identity"]

# Of the coarse alignment: the longer side of the images in pixels, and the rotations in degrees.
COARSE_SIZE = 96
ANGLES = (-12.0, -6.0, 0.0, 6.0, 12.0)


def find_start(
    pair: Pair,
    initialisation: Initialisation,
    *,
    start: sitk.Transform | None = None,
    model: str = "affine",
    angles: Sequence[float] = ANGLES,
) -> sitk.Transform:
    """Find the transform from which a registration starts: a given one, or rotation and shift.

    Parameters
    ----------
    pair : Pair
        Evenly lit images and their masks.
    initialisation : {"cross_correlation", "geometry", "moments", "identity"}
        ``cross_correlation`` tries all shifts and some rotations (`coarse_alignment`).
        ``geometry`` aligns the centres of the images, ``moments`` their centres of brightness.
        ``identity`` does not move the images.
    start : sitk.Transform, optional
        A transform that is nearly right. The linear one of the `model` that is nearest to it is
        returned, and nothing is searched.
    model : {"translation", "rigid", "similarity", "affine"}
        See `transforms.linear_part`; used only with `start`.
    angles : sequence of float
        See `coarse_alignment`.

    Returns
    -------
    sitk.Transform
        Maps points of the fixed image, in pixels, to points of the moving image.

    Raises
    ------
    ValueError
        For any other initialisation.
    """
    check_choice("initialisation", initialisation, get_args(Initialisation))
    if start is not None:
        return transforms.linear_part(start, pair.fixed.shape, model)
    if initialisation == "cross_correlation":
        return coarse_alignment(pair, angles=angles)
    shift = np.zeros(2)
    if initialisation == "geometry":
        shift = (np.subtract(pair.moving.shape, pair.fixed.shape) / 2)[::-1]
    if initialisation == "moments":
        centre_fixed = ndimage.center_of_mass(pair.fixed * pair.fixed_mask)
        centre_moving = ndimage.center_of_mass(pair.moving * pair.moving_mask)
        shift = np.subtract(centre_moving, centre_fixed)[::-1]
    return transforms.from_matrix(np.column_stack([np.eye(2), shift]))


@remembered
def coarse_alignment(
    pair: Pair, *, angles: Sequence[float] = ANGLES, size: int = COARSE_SIZE
) -> sitk.AffineTransform:
    """Find the shift and the rotation at which the correlation of two images is most significant.

    The masked normalised cross-correlation of all shifts (Padfield, IEEE TIP 2012,
    doi:10.1109/TIP.2011.2181402) is computed once for each angle. A high correlation in a small
    overlap is often due to chance. Therefore shifts are compared by their significance, which is
    the correlation times the square root of the number of pixels in the overlap.

    Parameters
    ----------
    pair : Pair
        Evenly lit images and their masks.
    angles : sequence of float
        Rotations to try, in degrees, from the x axis towards the y axis. Each takes about 15 ms.
    size : int
        The images are shrunk to this longer side, in pixels. A larger size shows thinner vessels
        and is slower.

    Returns
    -------
    sitk.AffineTransform
        Rotation and shift that map fixed points to moving points. They are accurate to a few
        percent of the image width.
    """
    factor = size / max(pair.fixed.shape)
    images = [
        resize(image, round(factor * max(image.shape))) for image in (pair.fixed, pair.moving)
    ]
    masks = [
        resize(mask.astype(np.float32), max(image.shape))
        for mask, image in zip((pair.fixed_mask, pair.moving_mask), images, strict=True)
    ]
    found = []
    for angle in angles:
        rotation = _rotation(math.radians(angle), images[1].shape)
        image, mask = (transforms.warp(array, rotation) for array in (images[1], masks[1]))
        significance, shift = _best_shift(images[0], image, masks[0] > 0.9, mask > 0.9)
        moved = transforms.from_matrix([[1, 0, shift[0]], [0, 1, shift[1]]])
        found.append((significance, transforms.compose(moved, rotation)))
    best = max(found, key=lambda candidate: candidate[0])[1]
    return transforms.rescale(best, 1 / factor)


def _rotation(radians: float, shape: tuple[int, int]) -> sitk.Transform:
    height, width = shape
    rotation = sitk.Euler2DTransform(((width - 1) / 2, (height - 1) / 2), radians)
    return transforms.compose(rotation)


def _best_shift(
    fixed: np.ndarray, moving: np.ndarray, fixed_mask: np.ndarray, moving_mask: np.ndarray
) -> tuple[float, tuple[int, int]]:
    """Return the significance of the best shift, and the shift (dx, dy) from fixed to moving."""
    fixed_mask, moving_mask = fixed_mask.astype(float), moving_mask.astype(float)
    fixed, moving = (fixed - 0.5) * fixed_mask, (moving - 0.5) * moving_mask

    def sums(in_moving: np.ndarray, in_fixed: np.ndarray) -> np.ndarray:
        return correlate(in_moving, in_fixed, method="fft")

    count = np.maximum(sums(moving_mask, fixed_mask).round(), 1)
    mean_fixed, mean_moving = sums(moving_mask, fixed) / count, sums(moving, fixed_mask) / count
    covariance = sums(moving, fixed) / count - mean_fixed * mean_moving
    variance_fixed = sums(moving_mask, fixed**2) / count - mean_fixed**2
    variance_moving = sums(moving**2, fixed_mask) / count - mean_moving**2
    product = np.maximum(variance_fixed * variance_moving, 1e-12)
    significance = covariance / np.sqrt(product) * np.sqrt(count)
    significance[count < LEAST_OVERLAP * fixed_mask.sum()] = -np.inf
    row, column = np.unravel_index(np.argmax(significance), significance.shape)
    shift = column - (fixed.shape[1] - 1), row - (fixed.shape[0] - 1)
    return float(significance[row, column]), shift
