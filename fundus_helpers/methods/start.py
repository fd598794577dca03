"""The start of a registration: a rough alignment from all shifts and a few rotations."""

import itertools
import math
from collections.abc import Sequence
from typing import Literal, get_args

import cv2
import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from scipy.signal import correlate

from fundus_helpers import transforms
from fundus_helpers.loading.values import resize
from fundus_helpers.methods.cache import remembered
from fundus_helpers.methods.knobs import check_choice
from fundus_helpers.methods.lines import line_directions
from fundus_helpers.methods.pair import LEAST_OVERLAP, Pair

Initialisation = Literal["cross_correlation", "geometry", "moments", "identity"]

# Of the coarse alignment: the longer side of the images in pixels, and the rotations in degrees.
COARSE_SIZE = 96
ANGLES = (-12.0, -6.0, 0.0, 6.0, 12.0)
# Of the alignment by directions: the longer side in pixels, and the half width of the vessels as a
# share of it. Directions are thinner than brightness, and need more pixels.
DIRECTION_SIZE, DIRECTION_WIDTH = 160, 0.011

# Photographs that are turned by more degrees, or magnified more, are turned back before they are
# compared. The last number is that of two cameras, 2.5, times 1.41, since sizes are relative to the
# width of a photograph, and one that is cut to half of its area has a smaller width.
FAR_TURN, FAR_SCALE, LARGEST_TURNED_SCALE = 10.0, 1.15, 3.6


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
        ``cross_correlation`` tries all shifts and some rotations (`coarse_alignment`, or
        `align_directions` for a pair that looks at vessels).
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
    if initialisation == "cross_correlation" and pair.look_at == "vessels":
        return align_directions(pair, angles=angles)
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


def far_turn(
    transform: sitk.Transform, fixed_shape: tuple[int, int], moving_shape: tuple[int, int]
) -> sitk.AffineTransform | None:
    """Return the similarity nearest to a transform, if it turns or magnifies much.

    Parameters
    ----------
    transform : sitk.Transform
        Maps fixed points to moving points.
    fixed_shape, moving_shape : (height, width)
        Shapes of the images.

    Returns
    -------
    sitk.AffineTransform or None
        None if the images are hardly turned, or magnified more than can be registered.
    """
    found = transforms.linear_part(transform, fixed_shape, "similarity")
    (cosine, _, _), (sine, _, _) = transforms.to_matrix(found)
    scale = math.hypot(cosine, sine) * max(fixed_shape) / max(moving_shape)
    if not 1 / LARGEST_TURNED_SCALE < scale < LARGEST_TURNED_SCALE:
        return None
    turned = abs(math.degrees(math.atan2(sine, cosine))) > FAR_TURN
    return found if turned or abs(math.log(scale)) > math.log(FAR_SCALE) else None


def turned_back(
    moving: np.ndarray, mask: np.ndarray, turn: sitk.Transform, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Show the moving image as the fixed one is seen: turned back, and as large.

    Parameters
    ----------
    moving : float32 ndarray in [0, 1], shape (height, width)
    mask : bool ndarray of the same shape
        True inside the field of view.
    turn : sitk.Transform
        A similarity that maps fixed points to moving points.
    shape : (height, width)
        Shape of the fixed image.

    Returns
    -------
    image : float32 ndarray, shape `shape`
    mask : bool ndarray, shape `shape`
    """
    scale = math.sqrt(abs(np.linalg.det(transforms.to_matrix(turn)[:, :2])))
    if scale > 1:  # otherwise the finest structures would be sampled too seldom
        moving = cv2.GaussianBlur(moving, (0, 0), 0.5 * math.sqrt(scale**2 - 1) + 1e-3)
    image = np.clip(transforms.warp(moving, turn, shape, interpolation="cubic"), 0, 1)
    return image.astype(np.float32), transforms.warp_mask(mask, turn, shape)


@remembered
def align_directions(
    pair: Pair,
    *,
    angles: Sequence[float] = ANGLES,
    scales: Sequence[float] = (1.0,),
    half_width: float = DIRECTION_WIDTH,
) -> sitk.AffineTransform:
    """Find the shift, the rotation and the scale at which the directions of the vessels agree best.

    It is like `coarse_alignment`, but compares the direction of the line through each pixel
    (`methods.lines.line_directions`) instead of the brightness. Two retinas seldom have lines of
    one direction at the same places, so that the right shift stands out more.

    Parameters
    ----------
    pair : Pair
        Evenly lit images, or pictures of their vessels, and their masks.
    angles : sequence of float
        See `coarse_alignment`. Each takes about 50 ms.
    scales : sequence of float
        Magnifications to try, for images with the same longer side.
    half_width : float
        Half width of the vessels, as a share of the longer side.

    Returns
    -------
    sitk.AffineTransform
        See `coarse_alignment`.
    """
    factor = DIRECTION_SIZE / max(pair.fixed.shape)
    fixed = _small_directions(pair.fixed, pair.fixed_mask, half_width, factor)
    found = []
    unit = max(pair.moving.shape) / max(pair.fixed.shape)
    for angle, scale in itertools.product(angles, scales):
        turned = _turned(math.radians(angle), scale * unit, pair.moving.shape, pair.fixed.shape)
        image = transforms.warp(pair.moving, turned, pair.fixed.shape, fill=0.5)
        mask = transforms.warp(pair.moving_mask.astype(np.float32), turned, pair.fixed.shape) > 0.9
        moving = _small_directions(image, mask, half_width, factor)
        significance, shift = _best_agreement(*fixed, *moving)
        moved = transforms.from_matrix([[1, 0, shift[0] / factor], [0, 1, shift[1] / factor]])
        found.append((significance, transforms.compose(moved, turned)))
    return transforms.compose(max(found, key=lambda candidate: candidate[0])[1])


def _turned(
    radians: float, scale: float, shape: tuple[int, int], fixed_shape: tuple[int, int]
) -> sitk.Transform:
    """Return the similarity that maps the middle of the fixed to that of the moving image."""
    cosine, sine = scale * math.cos(radians), scale * math.sin(radians)
    linear = np.array([[cosine, -sine], [sine, cosine]])
    middle, target = (np.subtract(each[::-1], 1) / 2 for each in (fixed_shape, shape))
    return transforms.from_matrix(np.column_stack([linear, target - linear @ middle]))


def _small_directions(
    image: np.ndarray, mask: np.ndarray, half_width: float, factor: float
) -> tuple[np.ndarray, np.ndarray]:
    directions = line_directions(image, mask, half_width)
    shape = tuple(round(factor * n) for n in image.shape[::-1])
    small = cv2.resize(directions, shape, interpolation=cv2.INTER_AREA)
    inside = cv2.resize(mask.astype(np.float32), shape, interpolation=cv2.INTER_AREA) > 0.9
    return small.astype(float) * inside[..., None], inside.astype(float)


def _best_agreement(
    fixed: np.ndarray, fixed_mask: np.ndarray, moving: np.ndarray, moving_mask: np.ndarray
) -> tuple[float, tuple[int, int]]:
    """Return the significance of the best shift of directions, and the shift (dx, dy)."""

    def sums(in_moving: np.ndarray, in_fixed: np.ndarray) -> np.ndarray:
        return correlate(in_moving, in_fixed, method="fft")

    agreement = sum(sums(moving[..., k], fixed[..., k]) for k in (0, 1))
    power = sums(moving_mask, np.sum(fixed**2, axis=2)) * sums(
        np.sum(moving**2, axis=2), fixed_mask
    )
    count = np.maximum(sums(moving_mask, fixed_mask).round(), 1)
    significance = np.abs(agreement) / np.sqrt(np.maximum(power, 1e-9)) * np.sqrt(count)
    significance[count < LEAST_OVERLAP * fixed_mask.sum()] = -np.inf
    row, column = np.unravel_index(np.argmax(significance), significance.shape)
    return float(significance[row, column]), (
        column - (fixed.shape[1] - 1),
        row - (fixed.shape[0] - 1),
    )


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
