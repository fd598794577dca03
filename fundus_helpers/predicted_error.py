"""How far off a registration probably is, point by point, without landmarks.

Three things are added up: the displacement that the vessels still ask for (`dense`), how unlike the
registered images look around the point, and what is left in the best of cases. Their weights were
fitted to the landmarks of FIRE, over eight methods, each eye counting alike; ``make
benchmark-verdict`` fits them anew, and tests them on eyes that were left out. Landmarks lie on
vessels: where there are none, the prediction is an extrapolation.
"""

import cv2
import numpy as np

from fundus_helpers import dense
from fundus_helpers.fields import GRAIN
from fundus_helpers.smoothing import gaussian

# Of the longer side: error in the best of cases, for each unit still asked for, where nothing is
# alike. Nine of ten landmarks lie nearer than BOUND times the prediction.
LEAST, ASKED, UNLIKE = 0.00019, 0.92, 0.0019
BOUND = 1.65
# The window likeness is looked at in, as a share of the longer side.
WINDOW = 0.03


def predict_error(fixed: np.ndarray, warped: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Predict the error of a registration from the two images it laid on each other.

    Parameters
    ----------
    fixed, warped : float32 ndarray in [0, 1], shape (height, width)
        Evenly lit; `warped` is the moving image on the grid of the fixed one.
    mask : bool ndarray, shape (height, width)
        The overlap of both fields of view.

    Returns
    -------
    float32 ndarray, shape (height, width)
        Expected distance from the true place, in pixels; NaN outside the mask.
    """
    asked, unlike = error_signs(fixed, warped, mask)
    size = max(mask.shape)
    return np.where(mask, LEAST * size + ASKED * asked + UNLIKE * size * unlike, np.nan)


def error_signs(
    fixed: np.ndarray, warped: np.ndarray, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Measure what `predict_error` goes by.

    Parameters
    ----------
    fixed, warped, mask
        See `predict_error`.

    Returns
    -------
    asked : float32 ndarray, shape (height, width)
        Length in pixels of the displacement that the vessels still ask for.
    unlike : float32 ndarray, shape (height, width)
        One less the local correlation of the images: 0 where alike, 1 where not at all.
    """
    asked = np.linalg.norm(dense.follow_vessels(fixed, warped, mask), axis=2)
    return asked, 1 - np.clip(_local_correlation(fixed, warped, mask), 0, 1)


def _local_correlation(fixed: np.ndarray, warped: np.ndarray, mask: np.ndarray) -> np.ndarray:
    size = max(mask.shape)
    # Outside the mask, and beyond the edge, both are the zero that is the background inside.
    fixed, warped = (
        np.where(mask, cv2.GaussianBlur(image, (0, 0), GRAIN * size) - np.float32(0.5), 0)
        for image in (fixed, warped)
    )

    def mean(image: np.ndarray) -> np.ndarray:
        return gaussian(image, WINDOW * size)

    means = mean(fixed), mean(warped)
    spread = (mean(fixed**2) - means[0] ** 2) * (mean(warped**2) - means[1] ** 2)
    covariance = mean(fixed * warped) - means[0] * means[1]
    return covariance / np.maximum(np.sqrt(np.maximum(spread, 0)), np.float32(1e-6))
