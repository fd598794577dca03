"""Register a pair of visits at reduced size, so quickly that pictures follow a slider."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
import pandas as pd
import SimpleITK as sitk

from fundus_helpers import metrics, transforms
from fundus_helpers.loading.eye import Eye
from fundus_helpers.loading.values import resize
from fundus_helpers.methods import Method
from fundus_helpers.methods.cache import remembering
from fundus_helpers.methods.knobs import Value, read_knobs
from fundus_helpers.methods.pair import Pair, correlation_inside, prepare_pair
from fundus_helpers.series.registering import Registration
from fundus_helpers.transforms import fields
from fundus_helpers.transforms.transform import RegistrationError

# The measures of a preview: keys of `metrics.MEASURES`.
SHOWN_MEASURES = ("landmark_error_px", "vessel_correlation", "ssim", "overlap", "folding")
# Possible longer sides of previews in pixels, and the seconds that a registration without cached
# results may take.
SIZES, QUICK = (160, 192, 224, 256, 320, 384), 0.11
# A method that is slow at the smallest size (more than SLOW seconds), but not much slower at the
# largest size (less than HARDLY_SLOWER times), is shown at the largest size.
SLOW, HARDLY_SLOWER = 0.4, 2.0
# Longer sides in pixels: of the pictures, and of the images on which every visit is measured.
SHOWN_SIZE, JUDGED_SIZE = 448, 256


@dataclass(frozen=True)
class SmallPair:
    """Two visits of an eye at reduced size, with the data that registering and measuring need.

    Attributes
    ----------
    images : Pair
        The photographs as float32 in [0, 1], and their masks.
    even : Pair
        The same images with even illumination, to compare vessels.
    shown : Pair
        The photographs for display, at most `SHOWN_SIZE` px.
    landmarks : (fixed_points, moving_points)
        (x, y) in pixels of `images`, shape (n, 2) each; n may be 0.
    factor : float
        Pixels of `images` per pixel of the eye's images.
    full_factor : float
        Pixels of the photographs on disk per pixel of `images`.
    answers : dict
        Intermediate results that methods do not have to compute again (see `methods.cache`).
    """

    images: Pair
    even: Pair
    shown: Pair
    landmarks: tuple[np.ndarray, np.ndarray]
    factor: float
    full_factor: float
    answers: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """The result of one preview.

    Attributes
    ----------
    transform : sitk.Transform
        Maps fixed points to moving points, in pixels of the eye's images. It is the identity if
        the method refused the pair.
    numbers : Series
        The values of `SHOWN_MEASURES`. All are NaN if the method refused the pair. The landmark
        error is NaN if there are no landmarks.
    shown : float32 ndarray in [0, 1], shape of `SmallPair.shown`
        The moving image on the fixed grid.
    reason : str
        Why the method refused the pair; empty if it did not.
    seconds : float
    """

    transform: sitk.Transform
    numbers: pd.Series
    shown: np.ndarray
    reason: str
    seconds: float


def shrink_pair(eye: Eye, fixed: int, moving: int, size: int) -> SmallPair:
    """Shrink two visits of an eye.

    Parameters
    ----------
    eye : Eye
    fixed, moving : int
        Positions among the visits.
    size : int
        Longer side in pixels. Images are never enlarged.
    """
    longer = max(eye.images.shape[1:])
    images, shown = (_resized(eye, fixed, moving, min(n, longer)) for n in (size, SHOWN_SIZE))
    factor = max(images.fixed.shape) / longer
    landmarks = tuple(
        transforms.rescale_points(points, factor) for points in eye.landmarks_between(fixed, moving)
    )
    even = prepare_pair(images.fixed, images.moving, images.fixed_mask, images.moving_mask)
    return SmallPair(images, even, shown, landmarks, factor, eye.full_factor / factor)


def _resized(eye: Eye, fixed: int, moving: int, size: int) -> Pair:
    images = [resize(eye.images[i], size) for i in (fixed, moving)]
    masks = [resize(eye.masks[i].astype(np.float32), size) >= 0.5 for i in (fixed, moving)]
    return Pair(*images, *masks)


def preview_pair(method: Method, pair: SmallPair, knobs: Mapping[str, Value]) -> Outcome:
    """Register a small pair with knobs that are meant for the eye's images.

    Parameters
    ----------
    method : callable
        One of `fundus_helpers.METHODS`.
    pair : SmallPair
    knobs : mapping
        Values as for the eye's images. Those in pixels are scaled to the size of the pair.
    """
    known, images = read_knobs(method), pair.images
    scaled = {name: known[name].at_scale(value, pair.factor) for name, value in knobs.items()}
    masks = {"fixed_mask": images.fixed_mask, "moving_mask": images.moving_mask}
    start, reason = time.perf_counter(), ""
    try:
        with remembering(pair.answers):
            transform = method(images.fixed, images.moving, **masks, **scaled)
    except RegistrationError as error:
        transform, reason = transforms.identity(), str(error)
    seconds = time.perf_counter() - start
    bent = transforms.displacement(transform, images.fixed.shape)
    numbers = _numbers(pair, transform, bent)
    shown = transforms.follow(pair.shown.moving, _enlarged(bent, pair.shown.fixed.shape))
    at_eye = transforms.rescale(transform, 1 / pair.factor)
    return Outcome(at_eye, numbers * np.nan if reason else numbers, shown, reason, seconds)


def _enlarged(bent: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return cv2.resize(bent.astype(np.float32), shape[::-1]) * (max(shape) / max(bent.shape))


def measure_pair(pair: SmallPair, transform: sitk.Transform) -> pd.Series:
    """Measure a registration of a small pair.

    Parameters
    ----------
    pair : SmallPair
    transform : sitk.Transform
        In pixels of `pair.images`. With `transforms.identity` the unregistered pair is measured.

    Returns
    -------
    Series
        The values of `SHOWN_MEASURES`. The landmark error is in pixels of the photographs on disk.
    """
    return _numbers(pair, transform, transforms.displacement(transform, pair.images.fixed.shape))


def _numbers(pair: SmallPair, transform: sitk.Transform, bent: np.ndarray) -> pd.Series:
    images, even = pair.images, pair.even
    places = bent + transforms.pixel_grid(bent.shape[:2])
    inside, common = (
        each.fixed_mask & transforms.remap_mask(each.moving_mask, places) for each in (images, even)
    )
    error = np.nan
    if len(pair.landmarks[0]):
        error = metrics.landmark_errors(transform, *pair.landmarks).mean()
    aligned = even.fixed, transforms.remap(even.moving, places)
    values = (
        error * pair.full_factor,
        correlation_inside(*aligned, common) if common.any() else np.nan,
        metrics.ssim(images.fixed, transforms.remap(images.moving, places), inside),
        inside.sum() / images.fixed_mask.sum(),
        fields.folded_share(bent, inside) if inside.any() else 0.0,
    )
    return pd.Series(dict(zip(SHOWN_MEASURES, values, strict=True)))


def judge_visit(eye: Eye, fixed: int, found: Registration) -> tuple[pd.Series, pd.Series]:
    """Measure a visit before and after a registration that used the full size of the eye's images.

    Parameters
    ----------
    eye : Eye
    fixed : int
        Position of the template among the visits.
    found : Registration
        Registration from the template to the visit. If it failed, the numbers after it are NaN.
    """
    pair = shrink_pair(eye, fixed, eye.index(found.visit), JUDGED_SIZE)
    before = measure_pair(pair, transforms.identity())
    if found.transform is None:
        return before, before * np.nan
    return before, measure_pair(pair, transforms.rescale(found.transform, pair.factor))


def is_better(one: pd.Series, other: pd.Series) -> bool:
    """Whether an outcome is better than another: by landmarks if known, otherwise by vessels."""
    key = "vessel_correlation" if np.isnan(other["landmark_error_px"]) else "landmark_error_px"
    gain = one[key] - other[key]
    return bool(gain > 0 if metrics.MEASURES[key].better == "higher" else gain < 0)


def quick_enough(method: Method, eye: Eye, fixed: int, moving: int) -> int:
    """Find a size at which a method with its defaults is quick enough for sliders on this machine.

    Parameters
    ----------
    method, eye, fixed, moving
        See `preview_pair` and `shrink_pair`.

    Returns
    -------
    int
        One of `SIZES`: the largest at which the method is quick, or the smallest if it is quick at
        none. Some methods are slow at every size, but not much slower at the largest one: elastix's
        B-splines, for example, use equally many points in small and large images. For such a
        method it is the largest size.
    """
    seconds = []
    for size in SIZES:
        seconds.append(_seconds(method, shrink_pair(eye, fixed, moving, size)))
        if seconds[-1] > QUICK:
            break
    if seconds[0] > SLOW:
        largest = _seconds(method, shrink_pair(eye, fixed, moving, SIZES[-1]))
        return SIZES[-1] if largest < HARDLY_SLOWER * seconds[0] else SIZES[0]
    return SIZES[max(len(seconds) - 1 - (seconds[-1] > QUICK), 0)]


def _seconds(method: Method, pair: SmallPair) -> float:
    """Measure the seconds of a preview, without the time that other programs take.

    Processor time does not include other programs. It counts where it is the smaller time.
    """
    defaults = {name: knob.default for name, knob in read_knobs(method).items()}
    found = []
    while len(found) < 2 and min(found, default=0) < 2 * QUICK:  # the first run takes longer
        pair.answers.clear()
        begin = time.process_time()
        elapsed = preview_pair(method, pair, defaults).seconds
        found.append(min(elapsed, time.process_time() - begin))
    return min(found)
