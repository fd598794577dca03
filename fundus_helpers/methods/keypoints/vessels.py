"""Where vessels are: dark lines, told apart from the edges of lesions."""

import cv2
import numpy as np

from fundus_helpers.loading.light import erode, gaussian

# Half widths of vessels, as shares of the longer side of the image: 2 and 4 px of 728.
HALF_WIDTHS = (0.0027, 0.0055)


RIM = 0.005


# Scale at which the border of a lesion is told from a vessel: 10 px of 728.
BORDER_WIDTH = 0.0137


AXES = (1, 0), (0, 1)


def vessel_strength(
    image: np.ndarray,
    mask: np.ndarray,
    *,
    half_widths: tuple[float, ...] = HALF_WIDTHS,
    edge_penalty: float = 3.0,
) -> np.ndarray:
    """Measure how much every pixel looks like the middle of a dark vessel.

    The largest curvature across (the larger eigenvalue of the Hessian at the scale of the vessel,
    Frangi et al., MICCAI 1998, doi:10.1007/BFb0056195), less the slope: in the middle of a line
    there is none, while beside the border of a lesion, which is curved too, it is steep.

    Parameters
    ----------
    image : float32 ndarray in [0, 1], shape (height, width)
        Evenly lit (`loading.normalise_illumination`).
    mask : bool ndarray, shape (height, width)
        True inside the field of view; a thin rim of it counts as outside.
    half_widths : tuple of float
        Scales to look at, as shares of the longer side; the strongest answer counts. More find
        vessels of more widths and take longer.
    edge_penalty : float
        Weight of the slope. 0 answers to borders of lesions as to vessels; more than 4 misses
        vessels in grainy images.

    Returns
    -------
    float32 ndarray, shape (height, width)
        0 or more, in the grey values of the image; 0 outside the mask.
    """
    strength = np.zeros(image.shape, np.float32)
    for half_width in half_widths:
        sigma = half_width * max(image.shape)
        smooth = cv2.GaussianBlur(image, (0, 0), sigma)
        dx, dy = (cv2.Sobel(smooth, -1, *order, ksize=3) / 8 for order in AXES)
        dxx, dxy = (cv2.Sobel(dx, -1, *order, ksize=3) / 8 for order in AXES)
        dyy = cv2.Sobel(dy, -1, 0, 1, ksize=3) / 8
        curvature = (dxx + dyy) / 2 + cv2.magnitude((dxx - dyy) / 2, dxy)
        answer = sigma**2 * curvature - edge_penalty * sigma * cv2.magnitude(dx, dy)
        np.maximum(strength, answer, out=strength)
    return strength * erode(mask, RIM)


def vessel_weight(
    image: np.ndarray,
    mask: np.ndarray,
    *,
    scale: float = 0.04,
    reach: float = 0.007,
    edge_level: float = 0.03,
) -> np.ndarray:
    """Weight for following vessels: 1 on and beside them, 0 where there is nothing to follow.

    Parameters
    ----------
    image, mask
        See `vessel_strength`.
    scale : float
        Strength, in grey values of the evenly lit image, that is surely a vessel. Less follows
        fainter vessels, and grain.
    reach : float
        How far the weight extends sideways, as a share of the longer side; flanks are what tells
        where a vessel lies. More is more accurate, and comes nearer to borders of lesions.
    edge_level : float
        Strength of a border, as a step of grey values on a broad scale, where the weight is halved:
        borders of lesions are followed even less where they run beside a vessel. Less protects
        fainter borders, and loses the broadest vessels.

    Returns
    -------
    float32 ndarray in [0, 1], shape (height, width)
    """
    size = max(image.shape)
    strength = np.minimum(vessel_strength(image, mask) / scale, 1)
    width = 2 * round(reach * size) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    weight = gaussian(cv2.dilate(strength, disc), reach / 2 * size)
    # Blurred this broadly, vessels all but vanish; the border of a lesion is still a step.
    sigma = BORDER_WIDTH * size
    broad = gaussian((image - np.float32(0.5)) * mask, sigma)
    slope = cv2.magnitude(*(cv2.Sobel(broad, -1, *order, scale=sigma / 8) for order in AXES))
    return weight / (1 + (slope / edge_level) ** 4)
