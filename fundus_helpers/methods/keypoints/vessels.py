"""Vessels: dark lines, distinguished from the borders of lesions."""

import cv2
import numpy as np

from fundus_helpers.loading.light import erode, gaussian

# Shares of the longer side of the image. Half widths of vessels: 2 and 4 px of 728.
HALF_WIDTHS = (0.0027, 0.0055)
# Width of the rim of the field of view in which no vessels are detected.
RIM = 0.005
# Scale at which the border of a lesion differs from a vessel: 10 px of 728.
BORDER_WIDTH = 0.0137
# Where less of the surroundings than about this share is not vessel, the background is not known.
LEAST_BETWEEN = np.float32(0.02)

AXES = (1, 0), (0, 1)


def vessel_strength(
    image: np.ndarray,
    mask: np.ndarray,
    *,
    half_widths: tuple[float, ...] = HALF_WIDTHS,
    edge_penalty: float = 3.0,
) -> np.ndarray:
    """Measure how much every pixel looks like the centre line of a dark vessel.

    The result is the curvature across the vessel (the larger eigenvalue of the Hessian at the scale
    of the vessel, Frangi et al., MICCAI 1998, doi:10.1007/BFb0056195), less the slope. The slope is
    zero on the centre line of a vessel. Beside the border of a lesion, where the curvature is high
    too, it is steep.

    Parameters
    ----------
    image : float32 ndarray in [0, 1], shape (height, width)
        With even illumination (`loading.normalise_illumination`).
    mask : bool ndarray, shape (height, width)
        True inside the field of view. A thin rim of it is ignored.
    half_widths : tuple of float
        Half widths of the vessels, as shares of the longer side. The largest result of all counts.
        More half widths find vessels of more widths and take longer.
    edge_penalty : float
        Weight of the slope. 0 does not distinguish borders of lesions from vessels; more than 4
        misses vessels in noisy images.

    Returns
    -------
    float32 ndarray, shape (height, width)
        0 or more, in grey values of the image; 0 outside the mask.
    """
    strength = np.zeros(image.shape, np.float32)
    for half_width in half_widths:
        sigma = half_width * max(image.shape)
        smooth = cv2.GaussianBlur(image, (0, 0), sigma)
        # `scale` makes slopes those over the half width. Of the second derivatives it keeps half;
        # that of xy counts twice below, so it keeps the whole.
        dx, dy = (cv2.Sobel(smooth, -1, *order, ksize=3, scale=sigma / 8) for order in AXES)
        dxx = cv2.Sobel(dx, -1, 1, 0, ksize=3, scale=sigma / 16)
        dyy = cv2.Sobel(dy, -1, 0, 1, ksize=3, scale=sigma / 16)
        twice_dxy = cv2.Sobel(dx, -1, 0, 1, ksize=3, scale=sigma / 8)
        answer = cv2.scaleAdd(cv2.magnitude(dx, dy), -edge_penalty, dxx + dyy)
        answer += cv2.magnitude(np.subtract(dxx, dyy, out=dxx), twice_dxy)
        np.maximum(strength, answer, out=strength)
    return strength * erode(mask, RIM)


def vessel_weight(
    image: np.ndarray,
    mask: np.ndarray,
    *,
    scale: float = 0.04,
    reach: float = 0.009,
    edge_level: float = 0.035,
) -> np.ndarray:
    """Compute a weight for following vessels: 1 on and beside them, 0 where there are none.

    Parameters
    ----------
    image, mask
        See `vessel_strength`.
    scale : float
        Strength of a certain vessel, in grey values of the image. Smaller follows fainter vessels,
        but also noise.
    reach : float
        How far the weight extends beside a vessel, as a share of the longer side; the flanks of a
        vessel determine its position. Larger is more accurate, but comes nearer to borders of
        lesions.
    edge_level : float
        Height of a border, as a step of grey values on a wide scale, at which the weight is halved.
        This excludes borders of lesions next to a vessel; vessels themselves are left out of the
        scale. Smaller protects fainter borders, but loses more vessels.

    Returns
    -------
    float32 ndarray in [0, 1], shape (height, width)
    """
    size = max(image.shape)
    strength = np.minimum(vessel_strength(image, mask) / scale, 1)
    width = 2 * round(reach * size) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    weight = gaussian(cv2.dilate(strength, disc), reach / 2 * size)
    # The background between the vessels, on a wide scale: the border of a lesion is a step of it.
    sigma, between = BORDER_WIDTH * size, mask * (1 - weight)
    broad = gaussian((image - np.float32(0.5)) * between, sigma)
    broad /= gaussian(between, sigma) + LEAST_BETWEEN
    slope = cv2.magnitude(*(cv2.Sobel(broad, -1, *order, scale=sigma / 8) for order in AXES))
    return weight / (1 + ((slope / np.float32(edge_level)) ** 2) ** 2)
