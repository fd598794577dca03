"""Whether a photograph shows enough of a retina: its exposure, its colours."""

import numpy as np

from fundus_helpers.loading.formats.kinds import UnusableImageError
from fundus_helpers.loading.light import BLACK_LEVEL, LEAST_VIEW, field_of_view
from fundus_helpers.loading.values import resize

# A photograph shows nothing if so many of the pixels inside its field of view are so bright.
WHITE_LEVEL, LARGEST_WHITE_SHARE = 0.97, 0.8
# A photograph is coloured if its channels differ by more than this share of the brightest value.
LEAST_COLOUR = 0.02


def check_exposure(image: np.ndarray) -> None:
    """Refuse a photograph in which nothing can be seen.

    Parameters
    ----------
    image : float ndarray in [0, 1], shape (height, width)

    Raises
    ------
    UnusableImageError
        If it is black, or white.

    Examples
    --------
    >>> import numpy as np
    >>> from fundus_helpers.loading.quality import check_exposure
    >>> check_exposure(np.full((64, 64), 0.4))
    """
    small = resize(image, min(256, max(image.shape)))
    view = field_of_view(small)
    if np.percentile(image, 99) < BLACK_LEVEL or view.mean() < LEAST_VIEW:
        raise UnusableImageError(
            "almost completely black: too dark, no vessels can be seen; retake it, or exclude it "
            f"({view.mean():.0%} of its pixels show anything)"
        )
    white = np.mean(small[view] > WHITE_LEVEL)
    if white > LARGEST_WHITE_SHARE:
        raise UnusableImageError(
            "almost completely white: over-exposed, or not a photograph of a retina; retake it, or "
            f"exclude it ({white:.0%} of its pixels are white)"
        )


def is_coloured(photograph: np.ndarray) -> bool:
    """Return whether the channels of a photograph differ.

    Parameters
    ----------
    photograph : ndarray, shape (height, width) or (height, width, 3)
    """
    if photograph.ndim == 2:
        return False
    sample = photograph[::8, ::8].astype(float)
    apart = np.abs(sample - sample.mean(axis=2, keepdims=True)).mean()
    return bool(apart > LEAST_COLOUR * max(sample.max(), 1e-9))
