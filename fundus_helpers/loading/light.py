"""Illumination: the field of view of an image, even illumination, and the blur both need."""

import cv2
import numpy as np

# A wide Gaussian keeps at least this standard deviation, in pixels of its coarser grid.
FINE = 3.0
# A photograph is black if 99 % of its pixels are darker than this share of the value range.
BLACK_LEVEL = 0.01
# Parts of an image with more than this share of the largest part may be the field of view.
LARGE_PART = 0.3
# An image whose field of view covers a smaller share than this cannot be registered.
LEAST_VIEW = 0.05


def gaussian(array: np.ndarray, sigma: float) -> np.ndarray:
    """Blur an array with a Gaussian; values beyond the edge count as zero.

    A wide Gaussian is computed on a coarser grid: the array is averaged down, blurred and
    interpolated up again. The result differs from the exact one by less than one percent, and the
    time does not grow with `sigma`. To blur only inside a mask, divide the blur of the masked array
    by the blur of the mask.

    Parameters
    ----------
    array : float32 ndarray, shape (height, width) or (height, width, channels)
    sigma : float
        Standard deviation in pixels. Larger is smoother; 0 returns the array unchanged.

    Returns
    -------
    float32 ndarray of the shape of `array`
    """
    if sigma <= 0:
        return array
    factor = int(sigma / FINE)
    if factor < 2:
        return cv2.GaussianBlur(array, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    if array.ndim == 3:
        return np.dstack([gaussian(channel, sigma) for channel in cv2.split(array)])
    height, width = array.shape
    # A margin of zeros, so that values beyond the edge count as zero on the coarse grid too.
    rows, columns = (-n % factor + factor for n in array.shape)
    padded = cv2.copyMakeBorder(array, factor, rows, factor, columns, cv2.BORDER_CONSTANT)
    shape = padded.shape[1] // factor, padded.shape[0] // factor
    coarse = cv2.resize(padded, shape, interpolation=cv2.INTER_AREA)
    coarse = cv2.GaussianBlur(coarse, (0, 0), sigma / factor, borderType=cv2.BORDER_CONSTANT)
    fine = cv2.resize(coarse, padded.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return fine[factor : factor + height, factor : factor + width]


def field_of_view(image: np.ndarray, *, level: float = 0.1, erosion: float = 0.0) -> np.ndarray:
    """Find the field of view: the retina inside the black surround of the camera's aperture.

    Only dark pixels that are connected with the edge of the image count as surround. A dark lesion
    or vessel therefore stays inside the mask, unlike with the article's ``pixel != 0``.

    Parameters
    ----------
    image : float ndarray in [0, 1], shape (height, width)
    level : float
        A pixel is dark if it is below this share of the median of all pixels that are not black.
        Higher cuts off the vignetted rim; lower includes noise of the surround.
    erosion : float
        Width of the rim that is removed from the mask, as a share of the longer side of the image.

    Returns
    -------
    bool ndarray, shape (height, width)
        True inside the field of view. All False for a black image.
    """
    size = max(image.shape)
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), max(0.003 * size, 0.5))
    visible = smooth[smooth > BLACK_LEVEL]
    if visible.size == 0:
        return np.zeros(image.shape, bool)
    dark = smooth < max(level * np.median(visible), BLACK_LEVEL)
    labels = _connected(np.pad(dark, 1, constant_values=True))[1]
    inside = (labels != labels[0, 0])[1:-1, 1:-1]
    count, labels = _connected(inside)
    if count > 1:
        inside = labels == _label_of_retina(labels)
    return erode(inside, erosion)


def _connected(mask: np.ndarray) -> tuple[int, np.ndarray]:
    """Return how many connected parts a mask has, and their labels 1, 2, ...; 0 is outside."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    return count - 1, labels


def _label_of_retina(labels: np.ndarray) -> int:
    """Return the label of the largest part; of several large ones, that of the roundest.

    A scan of the retina (OCT) may lie beside the photograph in one file. It is a rectangle.
    """
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    large = np.flatnonzero(areas > LARGE_PART * areas.max())
    if len(large) == 1:
        return int(large[0])
    scores = {}
    for label in large:
        places = np.argwhere(labels == label)[:, ::-1].astype(np.float32)
        _, radius = cv2.minEnclosingCircle(cv2.convexHull(places))
        scores[int(label)] = areas[label] ** 2 / (np.pi * radius**2)
    return max(scores, key=scores.__getitem__)


def erode(mask: np.ndarray, erosion: float) -> np.ndarray:
    """Remove the rim of a mask, including the edges of the image.

    Parameters
    ----------
    mask : bool ndarray, shape (height, width)
    erosion : float
        Width of the rim, as a share of the longer side of the image.
    """
    radius = erosion * max(mask.shape)
    if radius < 10:  # for a small disc, morphology is faster and gives the same mask
        steps = np.arange(-int(radius), int(radius) + 1)
        disc = (steps[:, None] ** 2 + steps**2 <= radius**2).astype(np.uint8)
        outside = {"borderType": cv2.BORDER_CONSTANT, "borderValue": 0}
        return cv2.erode(mask.astype(np.uint8), disc, **outside) > 0
    padded = np.pad(mask, 1).astype(np.uint8)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    return distance > radius


def normalise_illumination(
    image: np.ndarray, mask: np.ndarray | None = None, *, sigma: float = 0.03
) -> np.ndarray:
    """Even out illumination and contrast: subtract the background, divide by the deviation.

    Background and deviation are local Gaussian means inside the mask only (the blur of the masked
    image divided by the blur of the mask), so the black surround has no influence. The result shows
    the fine structure of the retina, which is similar in every visit and suited for registration.

    Parameters
    ----------
    image : float ndarray in [0, 1], shape (height, width)
    mask : bool ndarray, shape (height, width), optional
        True inside the field of view. None: `field_of_view` of the image.
    sigma : float
        Standard deviation of the blur, as a share of the longer side. Larger keeps wider
        structures, but also more of the illumination; smaller keeps only thin vessels.

    Returns
    -------
    float32 ndarray in [0, 1], shape (height, width)
        0.5 is the local background. One local standard deviation is 1/6; values are clipped at
        three standard deviations.
    """
    mask = field_of_view(image) if mask is None else mask
    if not mask.any():
        return np.full(image.shape, 0.5, np.float32)
    blur_sigma = sigma * max(image.shape)
    weight = mask.astype(np.float32)
    total = gaussian(weight, blur_sigma) + np.float32(1e-6)

    def masked_mean(values: np.ndarray) -> np.ndarray:
        return gaussian(values * weight, blur_sigma) / total

    image = image.astype(np.float32)
    detail = (image - masked_mean(image)) * weight
    deviation = np.sqrt(masked_mean(detail**2))
    # Without visible structure the deviation is noise; the floor prevents that it is amplified.
    floor = 0.25 * np.median(deviation[mask]) + 1e-6
    score = detail / (deviation + floor)
    return np.clip(0.5 + score / 6, 0, 1).astype(np.float32)
