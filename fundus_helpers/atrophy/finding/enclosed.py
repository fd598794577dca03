"""Dark patches that bright atrophy encloses: choroidal vessels, and no healthy retina.

This applies to all photographs in which atrophy is brighter than healthy retina: colour, infrared
and red-free ones, and those of unknown modality if more of the retina became brighter than darker.
It does not apply to autofluorescence, where atrophy is dark. Where the retina has died, the vessels
of the choroid behind it become visible. A wide vessel is nearly as dark as healthy retina. If it
was visible at the first visit already, it never changes. But atrophy encloses it sooner or later,
and it is brighter than healthy retina.
"""

import cv2
import numpy as np
from scipy import ndimage

# Narrow channels to the healthy retina outside are closed, in pixels of an image of 768. The
# brightness of atrophy is that of the atrophy nearer than the second value.
CHANNEL, AROUND = 5.0, 25.0
# Least share of the contrast of the atrophy around. Patches of choroidal vessels of painted eyes
# had 0.2 and more, healthy retina 0.13 and less, and foveas that were spared less than 0.
LEAST_SHARE = 0.2
# A patch is atrophic only if at least this share of its rim is atrophic. A patch that is nearly as
# bright as atrophy (the second value) is the core of atrophy that was there at the first visit.
LEAST_RIM, CORE_SHARE = 0.2, 0.6


def join_enclosed(
    onset: np.ndarray, levels: np.ndarray, seen: np.ndarray, *, unit: float = 1.0
) -> np.ndarray:
    """Count patches that atrophy encloses as atrophic if they are brighter than healthy retina.

    Parameters
    ----------
    onset : int16 ndarray, shape (height, width)
        See `Found`. Atrophy is brighter than healthy retina.
    levels, seen
        See `finding.even_levels`; healthy retina has a level of about 0.
    unit : float
        Pixels of the images per pixel of an image of 768.

    Returns
    -------
    int16 ndarray, shape (height, width)
        The onset of a patch is the first visit after which it always stays bright.

    Examples
    --------
    >>> import numpy as np
    >>> from fundus_helpers.atrophy.finding.enclosed import join_enclosed
    >>> onset = np.zeros((128, 128), np.int16)  # atrophic at the first visit already
    >>> onset[56:72, 56:72] = 3  # but for a patch that was taken for healthy at all three visits
    >>> levels = np.full((3, 128, 128), 0.3, np.float32)  # healthy retina has a level of 0
    >>> levels[:, 56:72, 56:72] = 0.1  # the patch is darker than atrophy, but it is not healthy
    >>> joined = join_enclosed(onset, levels, np.ones(levels.shape, bool))
    >>> int(joined[64, 64])
    0
    """
    count, joined = len(levels), onset.copy()
    last = onset < count
    side = 2 * round(CHANNEL * unit) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    closed = cv2.morphologyEx(last.astype(np.uint8), cv2.MORPH_CLOSE, kernel) > 0
    patches, number = ndimage.label(ndimage.binary_fill_holes(closed) & ~last)
    near = ndimage.find_objects(patches)
    reach = round(AROUND * unit)
    for label in range(1, number + 1):
        rows, columns = (slice(max(s.start - reach, 0), s.stop + reach) for s in near[label - 1])
        window = (slice(None), rows, columns)
        patch = patches[rows, columns] == label
        around = cv2.dilate(patch.astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8)) > 0
        shares = _shares(levels[window], seen[window], patch, around, onset[rows, columns])
        bright = shares >= LEAST_SHARE
        if bright[-1]:
            since = count - int(np.argmin(bright[::-1])) if not bright.all() else 0
            joined[rows, columns][patch] = since
    return joined


def _shares(
    levels: np.ndarray, seen: np.ndarray, patch: np.ndarray, around: np.ndarray, onset: np.ndarray
) -> np.ndarray:
    """Return the level of a patch at every visit as a share of that of the atrophy around it.

    A visit that does not show the patch has the share of the visit after it. As long as hardly any
    of the rim of a dark patch is atrophic, its share is minus infinity.
    """
    shares = np.full(len(levels), -np.inf)
    rim = (cv2.dilate(patch.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & ~patch
    usual = np.inf
    for i in reversed(range(len(levels))):
        inside, atrophy = patch & seen[i], around & (onset <= i) & seen[i]
        if atrophy.any():
            usual = max(np.median(levels[i][atrophy]), 1e-3)
        if inside.sum() < patch.sum() / 2:
            shares[i] = shares[i + 1] if i + 1 < len(levels) else -np.inf
            continue
        share = np.median(levels[i][inside]) / usual
        near = (onset <= i)[rim].mean() >= LEAST_RIM
        shares[i] = share if near or share >= CORE_SHARE else -np.inf
    return shares
