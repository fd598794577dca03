"""Dark patches inside the atrophy of colour photographs: choroidal vessels, and no healthy retina.

Where the retina has died, the vessels of the choroid behind it become visible. A wide one is nearly
as dark as healthy retina, and where it was there from the first visit on, it never changed. But
atrophy encloses it sooner or later, and it is brighter than healthy retina ever is.
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
# A patch is atrophic only once this share of its rim is, unless it is as bright as atrophy itself:
# then it is the core of atrophy that was there before anything changed.
LEAST_RIM, CORE_SHARE = 0.2, 0.6


def join_enclosed(
    onset: np.ndarray, levels: np.ndarray, seen: np.ndarray, *, unit: float = 1.0
) -> np.ndarray:
    """Take patches that atrophy encloses for atrophic, if they are brighter than healthy retina.

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
        A patch is atrophic from the visit on from which it is as bright as it stays.
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
