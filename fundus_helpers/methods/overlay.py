"""What is the same at the same pixels of two photographs: burned in, not part of the retina.

Captions, watermarks, scan lines, rulers and dust on the sensor stand still while the retina moves
behind them. Between two photographs they would support the wrong transform, the identity.
"""

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
# The blocks of JPEG are 8 pixels wide, less after the photograph was shrunk. Beyond BLOCKY they
# hide the retina: landmark errors of FIRE grew from 2 to 10 and more pixels.
BLOCK_PERIODS = 2.5, 20.0  # pixels
BLOCKY = 0.8
STRONGEST_BLOCK_EDGE = 0.05  # so that the edges of text and vessels do not hide the blocks
SPECTRUM = 4096  # length of the Fourier transform
DRAWN = 0.02  # least difference of a burned-in pixel from the retina around it
FAINTEST = 0.3  # the same, as a share of the difference of its clearest pixels
MARGIN = 0.0015  # added around what is burned in, as a share of the longer side: 1 px of 768


@dataclass(frozen=True)
class Still:
    """Where two images are the same at the same pixels.

    Attributes
    ----------
    places : bool ndarray, shape (height, width)
        True there, with a margin.
    burned_in : bool
        Whether something is burned in: so much stands still that it would disturb a registration,
        while the retina moved.
    blocks : float
        How clearly the blocks of a strong JPEG compression are seen in both images: below 0.3 in
        photographs of usual quality, about 0.5 at quality 40, above 0.9 at quality 10 and below.
    """

    places: np.ndarray
    burned_in: bool
    blocks: float


@remembered
def find_still(
    fixed: np.ndarray,
    moving: np.ndarray,
    fixed_mask: np.ndarray | None = None,
    moving_mask: np.ndarray | None = None,
) -> Still:
    """Find what does not move between two images, and whether it is burned in.

    Parameters
    ----------
    fixed, moving : float ndarray in [0, 1], shape (height, width)
        Not evenly lit. Nothing stands still in images of different shapes; small images (a longer
        side of less than 320 px) are not examined.
    fixed_mask, moving_mask : bool ndarray, optional
        True inside the field of view; None: found by `loading.field_of_view`.

    Examples
    --------
    >>> import numpy as np
    >>> from skimage.data import retina
    >>> from fundus_helpers.loading.values import single_channel
    >>> fixed = single_channel(retina()[::2, ::2])
    >>> moving = np.roll(fixed, 9, axis=1)
    >>> find_still(fixed, moving).burned_in
    False
    >>> for image in (fixed, moving):
    ...     image[300:400:8, 200:500] = 1  # scan lines
    >>> find_still(fixed, moving).burned_in
    True
    """
    shape = np.shape(fixed)
    if shape != np.shape(moving) or max(shape) < LEAST_SIZE:
        return Still(np.zeros(shape, bool), False, 0.0)
    size = min(max(shape), COMPARED_SIZE)
    images = [resize(np.asarray(image, np.float32), size) for image in (fixed, moving)]
    inside = np.logical_and(
        *(
            erode(_at_size(mask, image), RIM)
            for mask, image in zip((fixed_mask, moving_mask), images, strict=True)
        )
    )
    alike, displaced, contrast, gain = _compare(*images)
    peak = (alike >= displaced.max(axis=0) - 0.003) & inside
    clear = (contrast > CONTRAST) & (gain < LARGEST_GAIN)
    still = peak & clear & (alike > ALIKE) & (displaced.min(axis=0) < alike - DROP)
    places = _grown(still, WINDOW * size)
    blocks = _blocks(images, inside)
    others = inside & ~places
    burned_in = False
    if others.any() and still.any():
        structured = others & (contrast > np.median(contrast[others]))
        unmoved = peak & (alike > 0.5)
        strong = still & (contrast > STRONG * np.quantile(contrast[others], 0.9))
        around = _share_around(unmoved, structured)
        spots = still & (displaced.max(axis=0) < alike - DROP) & (around < UNMOVED / 2)
        enough = [(strong, LEAST_STRONG_SHARE)]
        if blocks < BLOCKY / 2:  # otherwise the corners of the blocks stand still
            enough += [(still, LEAST_SHARE), (spots, LEAST_SPOTS_SHARE)]
        burned_in = any(found.sum() > share * inside.sum() for found, share in enough)
        burned_in = burned_in and unmoved[structured].mean() < UNMOVED
    if burned_in:
        places = _drawn(images, places)
    whole = cv2.resize(places.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST)
    return Still(whole > 0, bool(burned_in), blocks)


def _blocks(images: list[np.ndarray], inside: np.ndarray) -> float:
    """Measure how periodic the edges are that run along rows and columns, in both images."""
    spectra = [
        _spectrum_of_edges(turned, mask)
        for image in images
        for turned, mask in ((image, inside), (image.T, inside.T))
    ]
    common = np.min(spectra, axis=0)
    periods = len(common) * 2 / np.maximum(np.arange(len(common)), 1)
    return float(common[(periods > BLOCK_PERIODS[0]) & (periods < BLOCK_PERIODS[1])].max())


def _spectrum_of_edges(image: np.ndarray, inside: np.ndarray) -> np.ndarray:
    both = inside[:, 1:] & inside[:, :-1]
    edges = np.minimum(np.abs(np.diff(image, axis=1)), STRONGEST_BLOCK_EDGE)
    count = both.sum(axis=0)
    profile = (edges * both).sum(axis=0) / np.maximum(count, 1)
    profile = profile[count > count.max() / 4].astype(np.float32)
    if len(profile) < 4 * BLOCK_PERIODS[1]:
        return np.zeros(SPECTRUM // 2)
    profile -= cv2.GaussianBlur(profile[None], (0, 0), 6)[0]
    spectrum = np.abs(np.fft.rfft(profile * np.hanning(len(profile)), SPECTRUM))[: SPECTRUM // 2]
    return 4 * spectrum / (len(profile) * (edges[both].mean() + 1e-6))


def paint_over(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Fill places of an image, float32 in [0, 1], from their surroundings (Telea 2004)."""
    # OpenCV paints noise into float images of this range, so they are given as 16-bit integers.
    whole = np.round(image * np.float32(65535)).astype(np.uint16)
    filled = cv2.inpaint(whole, places.astype(np.uint8), 3, cv2.INPAINT_TELEA)
    return np.where(places, filled / np.float32(65535), image)


def _drawn(images: list[np.ndarray], places: np.ndarray) -> np.ndarray:
    """Return the pixels of what is burned in, without the retina between its lines."""
    size = max(places.shape)
    first, second = (_above_surroundings(image) for image in images)
    least, most = np.minimum(abs(first), abs(second)), np.maximum(abs(first), abs(second))
    same = (first * second > 0) & (least > most / LARGEST_GAIN)
    seeds = places & same & (least > DRAWN)
    if not seeds.any():
        return places
    # The lines go on a little where the retina behind them makes the windows differ.
    near = _grown(places, NEIGHBOURHOOD * size)
    lines = near & (same | places) & (least > max(DRAWN, FAINTEST * np.quantile(least[seeds], 0.8)))
    _, labels = cv2.connectedComponents(lines.astype(np.uint8), connectivity=8)
    drawn = lines & np.isin(labels, np.unique(labels[seeds & lines]))
    return _grown(drawn, MARGIN * size)


def _above_surroundings(image: np.ndarray) -> np.ndarray:
    """Return how much brighter, or darker, thin things are than the retina around them."""
    size = max(image.shape)
    kernel = np.ones((round(THICKEST * size),) * 2, np.uint8)
    bright = image - cv2.morphologyEx(image, cv2.MORPH_OPEN, kernel)
    dark = cv2.morphologyEx(image, cv2.MORPH_CLOSE, kernel) - image
    # Between bright lines the retina looks like something dark; the median knows better.
    around = cv2.medianBlur(np.round(image * 255).astype(np.uint8), 2 * round(THICKEST * size) + 1)
    return np.where(image * 255 > around, bright, -dark)


def _grown(mask: np.ndarray, radius: float) -> np.ndarray:
    side = 2 * round(radius) + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0


def _share_around(chosen: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return the share of pixels that are chosen, among those around each pixel."""
    sigma = NEIGHBOURHOOD * max(among.shape)
    count = gaussian(among.astype(np.float32), sigma)
    return gaussian((chosen & among).astype(np.float32), sigma) / (count + np.float32(1e-3))


def _at_size(mask: np.ndarray | None, image: np.ndarray) -> np.ndarray:
    if mask is None:
        return field_of_view(image)
    return resize(np.asarray(mask, np.float32), max(image.shape)) >= 0.5


def _compare(
    fixed: np.ndarray, moving: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Compare the windows of two images.

    Returns the correlation of each window in place, its correlations when displaced in eight
    directions, the lower contrast of both windows, and the ratio of the higher to the lower one.
    """
    size = max(fixed.shape)
    step = max(round(STEP * size), 1)

    def mean(image: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(image, (0, 0), WINDOW * size)

    means = mean(fixed), mean(moving)
    variances = [
        np.maximum(mean(image**2) - average**2, 1e-8)
        for image, average in zip((fixed, moving), means, strict=True)
    ]
    shifts = [(y, x) for y in (-step, 0, step) for x in (-step, 0, step)]

    def correlation(shift: tuple[int, int]) -> np.ndarray:
        image, average, variance = (
            np.roll(array, shift, (0, 1)) for array in (moving, means[1], variances[1])
        )
        return (mean(fixed * image) - means[0] * average) / np.sqrt(variances[0] * variance)

    alike = correlation((0, 0))
    displaced = np.stack([correlation(shift) for shift in shifts if shift != (0, 0)])
    contrasts = np.sqrt(variances)
    return alike, displaced, contrasts.min(axis=0), contrasts.max(axis=0) / contrasts.min(axis=0)
