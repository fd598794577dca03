"""Levels: how bright the retina is at every visit, as if all visits were lit like the first one.

To flatten the light of each visit by itself would take a large lesion for a shadow. Here, the light
of the first visit is a smooth surface of its own brightness, and the light of every later visit is
a smooth surface of its ratio to the first. A tone curve goes with it: cameras differ in contrast
and in their black, so that dark places differ more than bright ones. What changes from visit to
visit is left out of the fit, and the places that are left out are handed on from each visit to the
next.
"""

import cv2
import numpy as np

from fundus_helpers.loading.light import erode

ORDER = 4  # of the polynomial in x and y that describes the light
# A single visit whose lesion may fill more than this share of the field of view: the light is not
# fitted to it, but continued under it, by a polynomial of a lower order.
COVERED, ORDER_COVERED = 0.5, 2
GRID = 6  # the surface is fitted to means over blocks of so many pixels of an image of 768
RIM = 0.01  # of the field of view, as a share of the longer side: it is not used
GRAIN = 0.0009  # blur before the logarithm, as a share of the longer side: 0.7 px of 768
# Of the median brightness: darker values are noise, of which the logarithm would make much.
DARKEST = 0.12
# Blocks that differ from the surface by more standard deviations have changed, in each round. At
# first the surface is bent by what has changed, and the deviation is large.
CUTS = 2.0, 2.5, 3.0
LEAST_SHARE = 0.15  # of the blocks of the field of view that a surface is fitted to
TONES = 2  # powers of the first level in the tone curve
TONE_SPREAD = 0.03  # levels that differ by less show no tones that a curve could be fitted to
LIGHT_SPREAD = 0.001  # a term of the polynomial that varies by less cannot be fitted
TONE_RANGE = 0.02, 0.995  # quantiles of the first level between which the curve is used
TONE_BLUR = 0.004  # of the level that the tone curve is applied to: 3 px of 768


def even_levels(
    images: np.ndarray, masks: np.ndarray, region: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the levels of registered visits: log brightness without the light.

    Parameters
    ----------
    images : float32 ndarray in [0, 1], shape (visits, height, width)
        Registered photographs in the order of their dates, on one pixel grid.
    masks : bool ndarray, shape (visits, height, width)
        True inside the field of view.
    region : bool ndarray, shape (height, width), optional
        What a person has circled around all atrophy. If it is large, the light of a single visit is
        fitted outside of it, because the lesion would be taken for a shadow.

    Returns
    -------
    levels : float32 ndarray, shape (visits, height, width)
        Natural logarithm of the brightness relative to the light of the visit. Where the retina
        does not change, all visits have the same level, up to noise.
    seen : bool ndarray, shape (visits, height, width)
        Where a level is known: inside the field of view of the visit and of the first one.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> retina = rng.uniform(0.4, 0.6, (96, 96)).astype(np.float32)
    >>> light = np.linspace(0.6, 1.4, 96, dtype=np.float32)
    >>> levels, seen = even_levels(np.stack([retina, retina * light]), np.ones((2, 96, 96), bool))
    >>> bool(np.abs(levels[1] - levels[0])[seen[1]].max() < 0.03)
    True
    """
    size = max(images.shape[1:])
    levels = np.empty(images.shape, np.float32)
    seen = np.stack([erode(mask, RIM) for mask in masks])
    seen &= seen[0]
    kept = None
    for i, image in enumerate(images):
        smooth = cv2.GaussianBlur(image, (0, 0), max(GRAIN * size, 0.3))
        middle = np.median(image[masks[i]]) if masks[i].any() else 1.0
        brightness = np.log(np.maximum(smooth, np.float32(max(DARKEST * middle, 1e-3))))
        if i == 0:
            outside, order = None, ORDER
            if len(images) == 1 and region is not None and region[seen[0]].mean() > COVERED:
                outside, order = _blocks(~region), ORDER_COVERED
            levels[0] = brightness - _surface(brightness, seen[0], outside, [], order)[0]
            first = cv2.GaussianBlur(levels[0], (0, 0), TONE_BLUR * size)
            if seen[0].any():  # beyond the usual tones, the curve would be guessed
                first = np.clip(first, *np.quantile(first[seen[0]], TONE_RANGE))
            tones = [first ** (power + 1) for power in range(TONES)]
        else:
            light, kept = _surface(brightness - levels[0], seen[i], kept, tones)
            levels[i] = brightness - light
    return levels, seen


def _surface(
    values: np.ndarray,
    seen: np.ndarray,
    kept: np.ndarray | None,
    tones: list[np.ndarray],
    order: int = ORDER,
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a smooth surface to what did not change; return it, and the blocks that it was fitted to.

    Parameters
    ----------
    values : float32 ndarray, shape (height, width)
    seen : bool ndarray, shape (height, width)
    kept : bool ndarray, shape of the blocks, optional
        Blocks to begin with; None for all.
    tones : list of float32 ndarray, shape (height, width)
        The fit is a polynomial of the place plus multiples of these.
    order : int
        Of the polynomial.
    """
    height, width = values.shape
    blocks, *toned = (_means(each).astype(np.float64) for each in (values, *tones))
    inside = _blocks(seen)
    places = _terms(blocks.shape, order)
    terms = np.concatenate([places, *(each[..., np.newaxis] for each in toned)], axis=-1)
    if not inside.any():
        return np.zeros_like(values), inside
    kept = inside if kept is None or not (kept & inside).any() else kept & inside
    factors = _fitted(terms[kept], blocks[kept], len(toned))
    for cut in CUTS:
        unchanged = inside & ~_changed(blocks - terms @ factors, inside, kept, cut)
        if unchanged.sum() < LEAST_SHARE * inside.sum():
            break
        kept = unchanged
        factors = _fitted(terms[kept], blocks[kept], len(toned))
    number = places.shape[-1]
    surface = (places @ factors[:number]).astype(np.float32)
    surface = cv2.resize(surface, (width, height), interpolation=cv2.INTER_CUBIC)
    for tone, factor in zip(tones, factors[number:], strict=True):
        surface += np.float32(factor) * tone
    return surface, kept


def _fitted(terms: np.ndarray, values: np.ndarray, tones: int) -> np.ndarray:
    """Return the factors of the terms (n, terms) by least squares; the last ones are of tones.

    Where the retina shows hardly any tones, those factors stay near 0. So do the factors of the
    light that the places at hand say nothing about: it would be guessed wildly elsewhere.
    """
    spread = np.full(terms.shape[1], LIGHT_SPREAD)
    spread[0] = 0  # the mean is known from any place
    spread[len(spread) - tones :] = TONE_SPREAD
    # The normal equations are as exact here, and a hundred times as fast as a decomposition.
    kept_small = np.diag(spread**2 * len(terms))
    return np.linalg.solve(terms.T @ terms + kept_small, terms.T @ values)


def _means(values: np.ndarray) -> np.ndarray:
    """Return the means of the blocks (float32)."""
    height, width = values.shape
    side = max(round(GRID * max(height, width) / 768), 1)
    shape = max(width // side, 1), max(height // side, 1)
    return cv2.resize(values.astype(np.float32), shape, interpolation=cv2.INTER_AREA)


def _blocks(mask: np.ndarray) -> np.ndarray:
    """Return the blocks that lie inside a mask (bool)."""
    return _means(mask) > 0.99


def _terms(shape: tuple[int, int], order: int) -> np.ndarray:
    """Return x^i y^j of every block, for all i + j up to `order`; x and y run from -1 to 1."""
    y, x = (((np.arange(n) + 0.5) * 2 / n - 1) for n in shape)
    powers = [(i, j) for i in range(order + 1) for j in range(order + 1 - i)]
    return np.stack([np.outer(y**j, x**i) for i, j in powers], axis=-1)


def _changed(residual: np.ndarray, inside: np.ndarray, kept: np.ndarray, cut: float) -> np.ndarray:
    """Return the blocks that differ from the surface more than noise explains, and their rim."""
    weight = cv2.GaussianBlur(inside.astype(np.float64), (0, 0), 1.0)
    smooth = cv2.GaussianBlur(np.where(inside, residual, 0), (0, 0), 1.0) / np.maximum(weight, 0.1)
    middle = np.median(smooth[kept])
    deviation = 1.4826 * np.median(np.abs(smooth[kept] - middle)) + 1e-4
    far = (np.abs(smooth - middle) > cut * deviation) & inside
    opened = cv2.morphologyEx(far.astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    return cv2.dilate(opened, np.ones((5, 5), np.uint8)) > 0
