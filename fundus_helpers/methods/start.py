"""Where two photographs roughly lie on each other, from every shift and a few rotations."""

import math
from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from scipy.signal import correlate

from fundus_helpers import transforms
from fundus_helpers.loading.photographs import resize
from fundus_helpers.methods.cache import remembered
from fundus_helpers.methods.knobs import check_choice
from fundus_helpers.methods.pair import LEAST_OVERLAP, Pair

INITIALISATIONS = ("cross_correlation", "geometry", "moments", "identity")


COARSE_SIZE = 96


ANGLES = (-12.0, -6.0, 0.0, 6.0, 12.0)


def find_start(
    pair: Pair, initialisation: str, *, angles: Sequence[float] = ANGLES
) -> sitk.Transform:
    """Find the rotation and shift, in pixels, fixed to moving, that a registration starts from.

    Parameters
    ----------
    pair : Pair
        Evenly lit images and their masks.
    initialisation : {"cross_correlation", "geometry", "moments", "identity"}
        ``cross_correlation`` tries every shift and some rotations (`coarse_alignment`);
        ``geometry`` and ``moments`` lay the images' centres, or their centres of brightness, on
        each other; ``identity`` starts with the images as they lie.
    angles : sequence of float
        See `coarse_alignment`.

    Raises
    ------
    ValueError
        For any other initialisation.
    """
    check_choice("initialisation", initialisation, INITIALISATIONS)
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
    """Find the shift and the rotation at which two images correlate most significantly.

    The masked normalised cross-correlation of all shifts (Padfield, IEEE TIP 2012,
    doi:10.1109/TIP.2011.2181402), once for each angle. A high correlation in a sliver of overlap
    is chance, so what is compared is the correlation times the root of the number of pixels it
    comes from, its significance.

    Parameters
    ----------
    pair : Pair
        Evenly lit images and their masks.
    angles : sequence of float
        Rotations to try, in degrees, counted from the x to the y axis. More reach farther and cost
        about 15 ms each.
    size : int
        Images are shrunk to this longer side. Larger tells thin vessels apart, and is slower.

    Returns
    -------
    sitk.AffineTransform
        Rotation and shift that map fixed points to moving points, right to a few percent of the
        image's width.
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
    """Significance of the best shift, and that shift (dx, dy), fixed to moving."""
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
