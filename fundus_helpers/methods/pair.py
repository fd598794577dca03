"""What all methods have in common: a pair of images is prepared, and the result is checked."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import SimpleITK as sitk

from fundus_helpers import transforms
from fundus_helpers.loading.light import (
    LEAST_VIEW,
    erode,
    field_of_view,
    gaussian,
    normalise_illumination,
)
from fundus_helpers.loading.values import resize
from fundus_helpers.methods.burned_in import BurnedIn, find_burned_in, mask_at, paint_over
from fundus_helpers.methods.cache import remembered
from fundus_helpers.methods.lines import LookAt, line_picture
from fundus_helpers.transforms import fields
from fundus_helpers.transforms.transform import RegistrationError

# The rim of a field of view shows the aperture of the camera, not the retina. This share of the
# image width is removed from the masks.
RIM = 0.01
# Smaller images show no vessels, and some filters need more pixels.
LEAST_SIDE = 48

# A result is refused if it is not plausible: the overlap is a share of the fixed field of view,
# the scale is the ratio of the two magnifications.
LEAST_OVERLAP = 0.1
SCALE_LIMIT = 1.5
# Registered photographs of one eye have a correlation of at least 0.4 if the model fits, and of at
# least 0.13 after a shift only. If one image shows no vessels, the correlation is below 0.1.
LEAST_CORRELATION = 0.12
# A flexible transform (optical flow, B-splines) gives some correlation between any two retinas.
# Between two photographs of the same retina it gives at least 0.5.
LEAST_FLEXIBLE_CORRELATION = 0.45
# Pictures of vessels (`look_at="vessels"`) are less similar: two photographs of one eye have a
# correlation of at least 0.27, those of two eyes at most 0.22, for every transform. The limit is
# lower, since the verdict decides what lies between.
LEAST_VESSEL_CORRELATION = 0.15

# Results are checked on images with a longer side of at most this number of pixels.
CHECK_SIZE = 384
# Standard deviation of the window of a local correlation, as a share of the longer side.
LOCAL_WINDOW = 0.03

# A registration method: (fixed, moving, *, fixed_mask=None, moving_mask=None, **knobs).
Method = Callable[..., sitk.Transform]


@dataclass(frozen=True)
class Pair:
    """A fixed and a moving image, float32 in [0, 1], with their masks, bool.

    What is burned into both (`methods.burned_in`) is painted over and left out of the masks. If
    they look at ``vessels``, the images are pictures of the lines (`methods.lines.line_picture`).
    """

    fixed: np.ndarray
    moving: np.ndarray
    fixed_mask: np.ndarray
    moving_mask: np.ndarray
    burned_in: BurnedIn | None = None
    look_at: LookAt = "images"

    def vessels(self) -> "Pair":
        """Return the pair whose images are pictures of the vessels, bright or dark."""
        if self.look_at == "vessels":
            return self
        fixed = line_picture(self.fixed, self.fixed_mask)
        moving = line_picture(self.moving, self.moving_mask)
        return replace(self, fixed=fixed, moving=moving, look_at="vessels")


def prepare_pair(
    fixed: np.ndarray,
    moving: np.ndarray,
    fixed_mask: np.ndarray | None = None,
    moving_mask: np.ndarray | None = None,
    *,
    normalise: bool = True,
    size: int | None = None,
    look_at: LookAt = "images",
) -> Pair:
    """Check two images and even out their illumination: the first step of every method.

    Parameters
    ----------
    fixed, moving : float ndarray in [0, 1], shape (height, width)
    fixed_mask, moving_mask : bool ndarray of the shape of its image, optional
        True inside the field of view; None: found by `loading.field_of_view`.
    normalise : bool
        Even out the illumination inside the masks (`loading.normalise_illumination`), and remove
        the rim of the masks. False: images and masks are used as given.
    size : int, optional
        Longer side in pixels. An image is resized to it first, if its own longer side differs by
        more than 10 percent.
    look_at : {"images", "vessels"}
        ``vessels``: the result are pictures of the vessels, bright or dark, in place of the images.

    Raises
    ------
    ValueError
        If an image is not two-dimensional, not finite or not in [0, 1], or if a mask does not have
        the shape of its image.
    RegistrationError
        If an image is black or uniform, if it has less than `LEAST_SIDE` pixels on a side, or if
        its field of view is too small.
    """
    given = ("fixed", fixed, fixed_mask), ("moving", moving, moving_mask)
    prepared = [prepare_image(*each, normalise, size) for each in given]
    burned_in = find_burned_in(fixed, moving, fixed_mask, moving_mask)
    if burned_in.places.any():
        prepared = [prepare_image(*each, normalise, size, burned_in.places) for each in given]
    (fixed, fixed_mask), (moving, moving_mask) = prepared
    pair = Pair(fixed, moving, fixed_mask, moving_mask, burned_in)
    return pair.vessels() if look_at == "vessels" else pair


@remembered
def prepare_image(
    name: str,
    image: np.ndarray,
    mask: np.ndarray | None,
    normalise: bool = True,
    size: int | None = None,
    burned_in: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Check one image and even out its illumination. `prepare_pair` does this for both images.

    See `prepare_pair`. The messages of errors call the image by its `name`. What is
    `burned_in`, a mask, is painted over from its surroundings and taken out of the mask.
    """
    image = np.asarray(image)
    if image.ndim != 2:
        raise ValueError(f"{name} image has shape {image.shape}; (height, width) is needed")
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(
            f"{name} image is {image.dtype}; float in [0, 1] is needed; convert it with "
            "fh.loading.single_channel"
        )
    if not np.isfinite(image).all() or image.min() < 0 or image.max() > 1:
        raise ValueError(
            f"{name} image has NaN or values outside [0, 1]; convert it with "
            "fh.loading.single_channel"
        )
    _check_size(name, image)
    image = image.astype(np.float32)
    if burned_in is not None:
        image = paint_over(image, burned_in)
    if mask is not None and np.shape(mask) != image.shape:
        raise ValueError(f"{name} mask has shape {np.shape(mask)}, its image {image.shape}")
    if size and abs(max(image.shape) / size - 1) > 0.1:  # otherwise resampling only blurs
        image = np.clip(resize(image, size), 0, 1)
        mask = None if mask is None else resize(np.asarray(mask, np.float32), size) >= 0.5
        burned_in = None if burned_in is None else mask_at(burned_in, image.shape)
        _check_size(name, image)
    mask = field_of_view(image) if mask is None else np.asarray(mask).astype(bool)
    if mask.mean() < LEAST_VIEW or np.ptp(image[mask]) < 0.01:
        raise RegistrationError(
            f"{name} image is black, uniform or masked out: nothing can be seen; retake it, or "
            "exclude it"
        )
    if normalise:
        image = normalise_illumination(image, mask)
        mask = erode(mask, RIM)
        if mask.mean() < LEAST_VIEW:
            raise RegistrationError(
                f"{name} image shows too little of the retina inside its rim; give the whole "
                "photograph"
            )
    return image, mask if burned_in is None else mask & ~burned_in


def _check_size(name: str, image: np.ndarray) -> None:
    height, width = image.shape
    if min(height, width) < LEAST_SIDE:
        raise RegistrationError(
            f"{name} image has {width} x {height} px: too small to show vessels; give "
            f"{LEAST_SIDE} px or more on each side"
        )


def check_result(
    transform: sitk.Transform,
    pair: Pair,
    *,
    scale_limit: float = SCALE_LIMIT,
    least_correlation: float = LEAST_CORRELATION,
    modalities: bool = False,
) -> None:
    """Refuse a transform that two photographs of one eye cannot have.

    Parameters
    ----------
    transform : sitk.Transform
        Maps fixed points to moving points.
    pair : Pair
        Evenly lit images.
    scale_limit : float
        Largest plausible scale of a linear transform in any direction, if the longer sides of the
        images are made equal; the smallest is its inverse.
    least_correlation : float
        Smallest correlation of the registered, evenly lit images if they overlap by half. A smaller
        overlap needs a higher correlation. A more flexible transform should get a higher value.
        For pictures of vessels, the value is limited to `LEAST_VESSEL_CORRELATION`.
    modalities : bool
        The images may be of two modalities: if they do not correlate, their vessels may.

    Raises
    ------
    RegistrationError
        If the fields of view hardly overlap, if scale or shear are larger than between any two
        fundus cameras, or if the registered images do not correlate.
    """
    if pair.look_at == "vessels":
        least_correlation = min(least_correlation, LEAST_VESSEL_CORRELATION)
    given, whole = pair, transform
    pair, transform = _shrunk(pair, transform)
    shape = pair.fixed.shape
    places = transforms.displacement(transform, shape) + fields.pixel_grid(shape)
    common = pair.fixed_mask & transforms.remap_mask(pair.moving_mask, places)
    share = common.sum() / max(pair.fixed_mask.sum(), 1)
    if share < LEAST_OVERLAP:
        raise RegistrationError(
            f"the fields of view overlap by {share:.0%} after registration; at least "
            f"{LEAST_OVERLAP:.0%} is needed"
        )
    if transform.IsLinear():
        unit = max(pair.fixed.shape) / max(pair.moving.shape)
        scales = np.linalg.svd(transforms.to_matrix(transform)[:, :2] * unit, compute_uv=False)
        if scales.max() > scale_limit or scales.min() < 1 / scale_limit:
            raise RegistrationError(
                f"not the same retina: magnified by {scales.min():.2f} to {scales.max():.2f}"
            )
    correlation = correlation_inside(pair.fixed, transforms.remap(pair.moving, places), common)
    # In a small overlap, unrelated images can have a high correlation by chance.
    if correlation < least_correlation * small_overlap_factor(share):
        if modalities and pair.look_at == "images":
            check_result(whole, given.vessels(), scale_limit=scale_limit)
            return
        raise RegistrationError(
            "no vessels are visible, another eye, or the overlap was not found (correlation "
            f"{correlation:.2f} after registration)"
        )


def small_overlap_factor(share: float) -> float:
    """Return by how much the correlation of a small overlap, a share, must be larger."""
    return max(1, 0.5 / share) ** 0.25


def _shrunk(pair: Pair, transform: sitk.Transform) -> tuple[Pair, sitk.Transform]:
    """Shrink large images and their transform. The check is then faster, and as reliable."""
    factor = CHECK_SIZE / max(*pair.fixed.shape, *pair.moving.shape)
    if factor >= 1:
        return pair, transform
    shrunk = [
        cv2.resize(
            array.astype(np.float32), None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA
        )
        for array in (pair.fixed, pair.moving, pair.fixed_mask, pair.moving_mask)
    ]
    pair = Pair(*shrunk[:2], *(mask >= 0.5 for mask in shrunk[2:]))
    return pair, transforms.rescale(transform, factor)


def vessel_correlation(transform: sitk.Transform, pair: Pair) -> float:
    """Return the correlation of two smoothed, evenly lit images inside their overlap."""
    common = transforms.overlap(pair.fixed_mask, pair.moving_mask, transform)
    warped = transforms.warp(pair.moving, transform, pair.fixed.shape)
    return correlation_inside(pair.fixed, warped, common)


def correlation_inside(fixed: np.ndarray, warped: np.ndarray, mask: np.ndarray) -> float:
    """Return the correlation of two smoothed, evenly lit images of one grid inside a mask."""
    sigma = fields.GRAIN * max(fixed.shape)  # 2 px of 768: removes noise, keeps thin vessels
    fixed, warped = (cv2.GaussianBlur(image, (0, 0), sigma)[mask] for image in (fixed, warped))
    spread = fixed.std() * warped.std()
    return float(np.mean((fixed - fixed.mean()) * (warped - warped.mean())) / max(spread, 1e-9))


def local_correlation(fixed: np.ndarray, warped: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the correlation of two evenly lit images of one grid around every pixel.

    Parameters
    ----------
    fixed, warped : float32 ndarray in [0, 1], shape (height, width)
    mask : bool ndarray, shape (height, width)
        The overlap of both fields of view.

    Returns
    -------
    float32 ndarray in [-1, 1], shape (height, width)
    """
    size = max(mask.shape)
    # Zero is the background inside the mask; it is also used outside of it and beyond the edges.
    fixed, warped = (
        np.where(mask, cv2.GaussianBlur(image, (0, 0), fields.GRAIN * size) - np.float32(0.5), 0)
        for image in (fixed, warped)
    )

    def mean(image: np.ndarray) -> np.ndarray:
        return gaussian(image, LOCAL_WINDOW * size)

    means = mean(fixed), mean(warped)
    spread = (mean(fixed**2) - means[0] ** 2) * (mean(warped**2) - means[1] ** 2)
    covariance = mean(fixed * warped) - means[0] * means[1]
    return covariance / np.maximum(np.sqrt(np.maximum(spread, 0)), np.float32(1e-6))
