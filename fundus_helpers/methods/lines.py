"""Vessels as lines, bright or dark: what photographs of two modalities have in common.

The vessels of a colour photograph are dark, those of a fluorescein angiogram are bright, and the
background differs everywhere. A picture of the lines alone looks alike in both. Every method can
register such pictures (`look_at="vessels"`).
"""

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np

from fundus_helpers.loading.light import erode, normalise_illumination
from fundus_helpers.methods.cache import remembered

# What a method compares: the evenly lit photographs, or pictures of their vessels.
LookAt = Literal["images", "vessels"]

# Shares of the longer side of the image. Half widths of vessels: 2 and 4 px of 728.
HALF_WIDTHS = (0.0027, 0.0055)
# Width of the rim of the field of view in which no lines are detected.
RIM = 0.01
# Stronger directions than this share of all of them count no more: the disc has the strongest.
STRONGEST = 0.95


def _derivatives(image: np.ndarray, sigma: float) -> tuple[np.ndarray, ...]:
    """Return the slope and the difference of the second derivatives: dx, dy, (dxx-dyy)/2, dxy."""
    smooth = cv2.GaussianBlur(image, (0, 0), sigma)
    dx, dy = (cv2.Sobel(smooth, -1, *order, ksize=3, scale=1 / 8) for order in ((1, 0), (0, 1)))
    dxx, dxy = (cv2.Sobel(dx, -1, *order, ksize=3, scale=1 / 8) for order in ((1, 0), (0, 1)))
    dyy = cv2.Sobel(dy, -1, 0, 1, ksize=3, scale=1 / 8)
    return dx, dy, (dxx - dyy) / 2, dxy


def line_strength(
    image: np.ndarray,
    mask: np.ndarray,
    *,
    half_widths: Sequence[float] = HALF_WIDTHS,
    edge_penalty: float = 1.0,
) -> np.ndarray:
    """Measure how much every pixel looks like the centre line of a vessel, bright or dark.

    The result is the difference of the two eigenvalues of the Hessian at the scale of the vessel
    (Frangi et al., MICCAI 1998, doi:10.1007/BFb0056195), less the slope. It is the same for an
    image and its negative. Spots have two equal eigenvalues and do not count.

    Parameters
    ----------
    image : float32 ndarray in [0, 1], shape (height, width)
        With even illumination (`loading.normalise_illumination`).
    mask : bool ndarray, shape (height, width)
        True inside the field of view. A thin rim of it is ignored.
    half_widths : sequence of float
        Half widths of the vessels, as shares of the longer side. The largest result of all counts.
    edge_penalty : float
        Weight of the slope. 0 does not distinguish borders of lesions from vessels.

    Returns
    -------
    float32 ndarray, shape (height, width)
        0 or more, in grey values of the image; 0 outside the mask.
    """
    strength = np.zeros(image.shape, np.float32)
    for half_width in half_widths:
        sigma = half_width * max(image.shape)
        dx, dy, across, diagonal = _derivatives(image, sigma)
        answer = 2 * sigma**2 * cv2.magnitude(across, diagonal)
        answer -= edge_penalty * sigma * cv2.magnitude(dx, dy)
        np.maximum(strength, answer, out=strength)
    return strength * erode(mask, RIM)


@remembered
def line_picture(
    image: np.ndarray, mask: np.ndarray, *, half_widths: Sequence[float] = HALF_WIDTHS
) -> np.ndarray:
    """Draw the lines of an image dark on an even background, as if it were a photograph.

    Parameters
    ----------
    image, mask, half_widths
        See `line_strength`.

    Returns
    -------
    float32 ndarray in [0, 1], shape (height, width)
        Evenly lit (`loading.normalise_illumination`), so that it can stand for the photograph in
        every method.

    Examples
    --------
    The picture of a photograph and that of its negative are the same:

    >>> import numpy as np
    >>> from skimage.data import retina
    >>> import fundus_helpers as fh
    >>> from fundus_helpers.methods.lines import line_picture
    >>> image = fh.loading.single_channel(retina()[::4, ::4])
    >>> mask = fh.loading.field_of_view(image)
    >>> bool(np.abs(line_picture(image, mask) - line_picture(1 - image, mask)).max() < 0.01)
    True
    """
    return normalise_illumination(1 - line_strength(image, mask, half_widths=half_widths), mask)


def line_directions(image: np.ndarray, mask: np.ndarray, half_width: float) -> np.ndarray:
    """Measure the direction of the line through every pixel, and how strong it is.

    Parameters
    ----------
    image, mask
        See `line_strength`.
    half_width : float
        Half width of the vessels, as a share of the longer side.

    Returns
    -------
    float32 ndarray, shape (height, width, 2)
        The vector at twice the angle of the direction across the line, so that both ends of a line
        have one direction. Its length is 0 to 1. In the negative of the image, all vectors are
        reversed. 0 outside the mask.
    """
    *_, across, diagonal = _derivatives(image, half_width * max(image.shape))
    inside = erode(mask, RIM)
    if not inside.any():
        return np.zeros((*image.shape, 2), np.float32)
    length = cv2.magnitude(across, diagonal)
    strongest = max(float(np.quantile(length[inside], STRONGEST)), 1e-9)
    share = inside / np.maximum(length, np.float32(strongest))
    return np.dstack([across * share, diagonal * share]).astype(np.float32)


def direction_correlation(
    fixed: np.ndarray, warped: np.ndarray, mask: np.ndarray, half_width: float = HALF_WIDTHS[-1]
) -> float:
    """Return the correlation of the directions of the lines of two images on one grid.

    Parameters
    ----------
    fixed, warped : float32 ndarray in [0, 1], shape (height, width)
        With even illumination. `warped` is the moving image on the fixed grid.
    mask : bool ndarray, shape (height, width)
        The overlap of both fields of view.
    half_width : float
        See `line_directions`.

    Returns
    -------
    float
        From 0 (the lines have nothing in common) to 1. It is the same for negatives.
    """
    directions = [line_directions(image, mask, half_width) for image in (fixed, warped)]
    spread = np.sqrt(np.prod([float(np.sum(d**2)) for d in directions]))
    return abs(float(np.sum(directions[0] * directions[1]))) / max(spread, 1e-9)
