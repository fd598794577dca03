"""What is the same at the same pixels of two photographs: burned in, not part of the retina.

Captions, watermarks, scan lines, rulers and dust on the sensor stand still while the retina moves
behind them. Between two photographs they would support the wrong transform, the identity.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from fundus_helpers.loading.light import erode, field_of_view, gaussian
from fundus_helpers.loading.values import resize
from fundus_helpers.methods.cache import remembered

# Photographs are compared at no more than this longer side, in pixels. In smaller ones than the
# first value, a window has too few pixels to tell what stands still from what looks alike.
LEAST_SIZE, COMPARED_SIZE = 320, 768
# The standard deviation of the window in which pixels are compared, and the distance by which they
# are displaced for comparison, in shares of the longer side: 2.5 and 2 px of 768.
WINDOW, STEP = 0.0033, 0.0026
# Windows stand still if they correlate at least so much, and less by so much when displaced.
ALIKE, DROP = 0.9, 0.15
CONTRAST = 0.012  # least standard deviation of a window that can be compared, of the range [0, 1]
# Between the contrasts of two windows that show the same, one on bright, one on dark retina.
LARGEST_GAIN = 4.0
RIM = 0.02  # the rim of the field of view stands still, too; it is not compared
# Share of the field of view that stands still. Two plain photographs have up to 2 percent, where
# the retina happens not to move.
LEAST_SHARE = 0.03
# The same for windows with a multiple of the contrast that one in ten windows of a retina exceeds.
STRONG, LEAST_STRONG_SHARE = 3.0, 0.004
# The same for spots: windows that do not move in any direction, unlike a straight line, although
# the retina around them does.
LEAST_SPOTS_SHARE = 0.00045
NEIGHBOURHOOD = 0.03  # standard deviation, as a share of the longer side
# If so many of the other windows stand still, the retina itself did not move.
UNMOVED = 0.3
THICKEST = 0.04  # lines of what is burned in are thinner than this share of the longer side
# The blocks of JPEG are 8 pixels wide, less after the photograph was shrunk.
BLOCK_PERIODS = 2.5, 20.0  # pixels
# Beyond BLOCKY, blocks hide the retina: landmark errors of FIRE grew from 2 to 10 and more pixels.
# From VISIBLE_BLOCKS on, photographs can be registered by their blocks instead of their vessels.
BLOCKY, VISIBLE_BLOCKS = 0.8, 0.4
FUNDAMENTAL = 0.4  # of the clearest period: the blocks themselves, not their halves and thirds
STRONGEST_BLOCK_EDGE = 0.05  # so that the edges of text and vessels do not hide the blocks
SPECTRUM = 4096  # length of the Fourier transform
DRAWN = 0.02  # least difference of a burned-in pixel from the retina around it
FAINTEST = 0.3  # the same, as a share of the difference of its clearest pixels
MARGIN = 0.0015  # added around what is burned in, as a share of the longer side: 1 px of 768


@dataclass(frozen=True)
class BurnedIn:
    """What is burned into two images.

    Attributes
    ----------
    places : bool ndarray, shape (height, width)
        True where something is burned in. All False if nothing would disturb a registration.
    blocks : float
        How clearly the blocks of a strong JPEG compression are seen in both images: below 0.3 in
        photographs of usual quality, about 0.5 at quality 20, up to 1.1 at quality 5.
    block_size : float
        Width of a block as a share of the longer side; only meaningful where blocks are seen.
    """

    places: np.ndarray
    blocks: float
    block_size: float = 0.0

    @property
    def share(self) -> float:
        """Share of the image where something is burned in."""
        return float(self.places.mean())


@remembered
def find_burned_in(
    fixed: np.ndarray,
    moving: np.ndarray,
    fixed_mask: np.ndarray | None = None,
    moving_mask: np.ndarray | None = None,
) -> BurnedIn:
    """Find what is burned into two images: what does not move although the retina does.

    Parameters
    ----------
    fixed, moving : float ndarray in [0, 1], shape (height, width)
        Not evenly lit. In images of different shapes nothing lies at the same pixels. Small images
        (a longer side of less than 320 px) are not examined.
    fixed_mask, moving_mask : bool ndarray, optional
        True inside the field of view; None: found by `loading.field_of_view`.

    Returns
    -------
    BurnedIn
        On the pixel grid of both images. Nothing is found if the retina did not move either.

    Examples
    --------
    >>> import numpy as np
    >>> from skimage.data import retina
    >>> from fundus_helpers.loading.values import single_channel
    >>> fixed = single_channel(retina()[::2, ::2])
    >>> moving = np.roll(fixed, 9, axis=1)
    >>> find_burned_in(fixed, moving).share
    0.0
    >>> for image in (fixed, moving):
    ...     image[300:400:8, 200:500] = 1  # scan lines
    >>> find_burned_in(fixed, moving).share > 0
    True
    """
    shape = np.shape(fixed)
    if shape != np.shape(moving) or max(shape) < LEAST_SIZE:
        return BurnedIn(np.zeros(shape, bool), 0.0)
    size = min(max(shape), COMPARED_SIZE)
    images = [resize(np.asarray(image, np.float32), size) for image in (fixed, moving)]
    inside = _seen(images, (fixed_mask, moving_mask))
    blocks, block_size = _blocks(images, inside)
    places = np.zeros(inside.shape, bool)
    in_place = _compare_in_place(*images)
    alike = in_place.clear & (in_place.alike > ALIKE) & inside
    windows = _compare_displaced(in_place, alike, int(inside.sum()))
    if windows is not None:
        still = _still(windows, alike)
        if _disturbs(still, windows, inside, blocks):
            places = _drawn(images, _grown(still, WINDOW * size))
    return BurnedIn(mask_at(places, shape), blocks, block_size / size)


def paint_over(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Fill places of an image, float32 in [0, 1], from their surroundings (Telea 2004)."""
    # OpenCV paints noise into float images of this range, so they are given as 16-bit integers.
    whole = np.round(image * np.float32(65535)).astype(np.uint16)
    filled = cv2.inpaint(whole, places.astype(np.uint8), 3, cv2.INPAINT_TELEA)
    return np.where(places, filled / np.float32(65535), image)


@dataclass(frozen=True)
class _InPlace:
    """The windows around all pixels of two images, compared where they are.

    `images`, `means` and `variances` are of both images; `alike` is the correlation of the windows.
    """

    images: tuple[np.ndarray, np.ndarray]
    means: tuple[np.ndarray, np.ndarray]
    variances: tuple[np.ndarray, np.ndarray]
    alike: np.ndarray
    sigma: float

    @property
    def contrast(self) -> np.ndarray:
        """The lower of both contrasts."""
        return np.sqrt(np.minimum(*self.variances))

    @property
    def clear(self) -> np.ndarray:
        """Windows whose contrasts can be compared."""
        contrast = self.contrast
        gain = np.sqrt(np.maximum(*self.variances)) / contrast
        return (contrast > CONTRAST) & (gain < LARGEST_GAIN)


@dataclass(frozen=True)
class _Windows:
    """The windows around all pixels of two images, compared; arrays of the shape of the images.

    `alike` is the correlation of two windows in place, `least` and `most` the smallest and the
    largest one after a displacement in eight directions, and `contrast` the lower of both
    contrasts.
    """

    alike: np.ndarray
    least: np.ndarray
    most: np.ndarray
    contrast: np.ndarray

    @property
    def peak(self) -> np.ndarray:
        """Windows that are most alike where they are."""
        return self.alike >= self.most - 0.003


def _still(windows: _Windows, alike: np.ndarray) -> np.ndarray:
    """Return the windows, of those that are alike, that surely show the same at the same pixels."""
    return windows.peak & alike & (windows.least < windows.alike - DROP)


def _disturbs(still: np.ndarray, windows: _Windows, inside: np.ndarray, blocks: float) -> bool:
    """Return whether so much stands still, while the retina moved, that it is burned in."""
    if _too_few(still, windows, int(inside.sum())):  # most pairs of photographs
        return False
    others = inside & ~_grown(still, WINDOW * max(inside.shape))
    if not others.any():
        return False
    # Half of the other windows show enough of the retina to tell whether it moved.
    retina = others & (windows.contrast > np.median(windows.contrast[others]))
    unmoved = windows.peak & inside & (windows.alike > 0.5)
    if unmoved[retina].mean() > UNMOVED:
        return False
    # Lines and letters have a stronger contrast than a retina.
    strong = still & (windows.contrast > STRONG * np.quantile(windows.contrast[others], 0.9))
    if strong.sum() > LEAST_STRONG_SHARE * inside.sum():
        return True
    if blocks > VISIBLE_BLOCKS:  # their corners stand still
        return False
    # Spots do not move in any direction, unlike a straight line, although the retina around does.
    spots = _spots(still, windows) & (_share_around(unmoved, retina) < UNMOVED / 2)
    share = still.sum() / inside.sum(), spots.sum() / inside.sum()
    return bool(share[0] > LEAST_SHARE or share[1] > LEAST_SPOTS_SHARE)


def _spots(still: np.ndarray, windows: _Windows) -> np.ndarray:
    """Return the windows, of those that stand still, that move in no direction."""
    return still & (windows.most < windows.alike - DROP)


def _too_few(still: np.ndarray, windows: _Windows, count: int) -> bool:
    """Return whether the windows that stand still, of `count`, are too few to disturb."""
    few = still.sum() <= LEAST_STRONG_SHARE * count
    return bool(few and _spots(still, windows).sum() <= LEAST_SPOTS_SHARE * count)


def _blocks(images: list[np.ndarray], inside: np.ndarray) -> tuple[float, float]:
    """Measure how periodic the edges are that run along rows and columns, in both images.

    Returns this measure, and the period in pixels.
    """
    spectra = [_spectrum_of_edges(image, inside, axis) for image in images for axis in (0, 1)]
    common = np.min(spectra, axis=0)
    periods = len(common) * 2 / np.maximum(np.arange(len(common)), 1)
    possible = (periods > BLOCK_PERIODS[0]) & (periods < BLOCK_PERIODS[1])
    common, periods = common[possible], periods[possible]  # from the longest period
    first = np.argmax(common >= FUNDAMENTAL * common.max())
    lobe = periods > 0.95 * periods[first]
    return float(common.max()), float(periods[lobe][common[lobe].argmax()])


def _spectrum_of_edges(image: np.ndarray, inside: np.ndarray, axis: int) -> np.ndarray:
    """Return the spectrum of the edges between neighbours along an axis."""
    after, before = (np.s_[1:], np.s_[:-1]) if axis == 0 else (np.s_[:, 1:], np.s_[:, :-1])
    both = (inside[after] & inside[before]).astype(np.float32)
    edges = cv2.absdiff(image[after], image[before])
    edges = np.minimum(edges, np.float32(STRONGEST_BLOCK_EDGE)) * both
    total, count = (cv2.reduce(each, 1 - axis, cv2.REDUCE_SUM).ravel() for each in (edges, both))
    profile = total / np.maximum(count, 1)
    profile = profile[count > count.max() / 4]
    if len(profile) < 4 * BLOCK_PERIODS[1]:
        return np.zeros(SPECTRUM // 2)
    profile -= cv2.GaussianBlur(profile[None], (0, 0), 6)[0]
    spectrum = np.abs(np.fft.rfft(profile * np.hanning(len(profile)), SPECTRUM))[: SPECTRUM // 2]
    return 4 * spectrum / (len(profile) * (float(total.sum() / count.sum()) + 1e-6))


def _drawn(images: list[np.ndarray], places: np.ndarray) -> np.ndarray:
    """Return the pixels of what is burned in, without the retina between its lines."""
    size = max(places.shape)
    first, second = (_above_surroundings(image) for image in images)
    least, most = np.minimum(abs(first), abs(second)), np.maximum(abs(first), abs(second))
    same = (first * second > 0) & (least > most / LARGEST_GAIN)
    # Between bright lines the retina looks like something dark. But what is burned in differs less
    # from image to image than the retina.
    difference = np.abs(images[0] - images[1])
    kinds = [places & same & (least > DRAWN) & (first * sign > 0) for sign in (1, -1)]
    differ = [difference[kind].mean() if kind.any() else np.inf for kind in kinds]
    bright = differ[0] <= differ[1]
    seeds, same = kinds[0 if bright else 1], same & ((first > 0) == bright)
    if not seeds.any():
        return places
    # The lines go on a little where the retina behind them makes the windows differ.
    near = _grown(places, NEIGHBOURHOOD * size)
    lines = near & same & (least > max(DRAWN, FAINTEST * np.quantile(least[seeds], 0.8)))
    _, labels = cv2.connectedComponents(lines.astype(np.uint8), connectivity=8)
    drawn = lines & np.isin(labels, np.unique(labels[seeds & lines]))
    return _grown(drawn, MARGIN * size)


def _above_surroundings(image: np.ndarray) -> np.ndarray:
    """Return how much brighter, or darker, thin things are than what is around them."""
    kernel = np.ones((round(THICKEST * max(image.shape)),) * 2, np.uint8)
    bright = image - cv2.morphologyEx(image, cv2.MORPH_OPEN, kernel)
    dark = cv2.morphologyEx(image, cv2.MORPH_CLOSE, kernel) - image
    return np.where(bright > dark, bright, -dark)


def _grown(mask: np.ndarray, radius: float) -> np.ndarray:
    side = 2 * round(radius) + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0


def _share_around(chosen: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return the share of pixels that are chosen, among those around each pixel."""
    sigma = NEIGHBOURHOOD * max(among.shape)
    count = gaussian(among.astype(np.float32), sigma)
    return gaussian((chosen & among).astype(np.float32), sigma) / (count + np.float32(1e-3))


def _seen(images: list[np.ndarray], masks: Sequence[np.ndarray | None]) -> np.ndarray:
    """Return where both images show the retina, without the rim, which stands still too.

    The rim is found even if the masks go beyond it. Half the size is sufficient.
    """
    size = max(images[0].shape) // 2
    views = [field_of_view(resize(image, size)) for image in images]
    views += [resize(np.asarray(m, np.float32), size) >= 0.5 for m in masks if m is not None]
    return mask_at(erode(np.logical_and.reduce(views), RIM), images[0].shape)


def mask_at(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return a mask at another shape; every pixel has the value of the nearest one."""
    return cv2.resize(mask.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST) > 0


def _compare_in_place(fixed: np.ndarray, moving: np.ndarray) -> _InPlace:
    sigma = WINDOW * max(fixed.shape)
    means = _mean(fixed, sigma), _mean(moving, sigma)
    variances = tuple(
        np.maximum(_mean(image**2, sigma) - average**2, 1e-8)
        for image, average in zip((fixed, moving), means, strict=True)
    )
    alike = _mean(fixed * moving, sigma) - means[0] * means[1]
    alike /= np.sqrt(variances[0] * variances[1])
    return _InPlace((fixed, moving), means, variances, alike, sigma)


def _compare_displaced(in_place: _InPlace, alike: np.ndarray, count: int) -> _Windows | None:
    """Compare windows after displacements; None if those that stand still are too few to disturb.

    Those that are `alike` in place may stand still. Each displacement can only remove some of them,
    so the comparison may end early.
    """
    if alike.sum() <= LEAST_SPOTS_SHARE * count:
        return None
    fixed, moving = in_place.images
    step = max(round(STEP * max(fixed.shape)), 1)
    scales = [1 / np.sqrt(variance) for variance in in_place.variances]
    least, most = (np.full(fixed.shape, end, np.float32) for end in (np.inf, -np.inf))
    windows = _Windows(in_place.alike, least, most, in_place.contrast)
    for shift in itertools.product((-step, 0, step), repeat=2):
        if shift == (0, 0):
            continue
        # What is rolled in from the opposite border lies outside the field of view without its rim.
        image, average, scale = (
            np.roll(array, shift, (0, 1)) for array in (moving, in_place.means[1], scales[1])
        )
        found = _mean(fixed * image, in_place.sigma) - in_place.means[0] * average
        found *= scales[0] * scale
        np.minimum(least, found, out=least)
        np.maximum(most, found, out=most)
        if _too_few(alike & windows.peak, windows, count):
            return None
    return windows


def _mean(image: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma)
