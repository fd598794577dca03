"""Displacement fields as arrays: believed where images support them, carried on smoothly beyond."""

import cv2
import numpy as np

# Beyond what is known a field is so smooth that this many pixels a side describe it.
COARSE_SIZE = 64


# As shares of an image's side: grain that is no structure, the window structure is compared in.
GRAIN, WINDOW = 0.0026, 0.0104


# Farther off a quadratic field, as a share of the image's side, an eye seldom moves.
OUTLYING = 0.006


# A field that shrinks area to less than this share is about to fold.
LEAST_AREA = 0.1


def support(fixed: np.ndarray, warped: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Tell where two registered images show the same structure, and so support a displacement.

    Where one of them shows a lesion that the other has not, or both show plain background, a flow
    finds something to follow none the less; it deserves no belief there.

    Parameters
    ----------
    fixed, warped : float ndarray in [0, 1], shape (height, width)
        Evenly lit; `warped` is the moving image as the field lays it on the fixed grid.
    mask : bool ndarray, shape (height, width)
        What both show.

    Returns
    -------
    float32 ndarray in [0, 1], shape (height, width)
        A high power of the local correlation, times the share of structure in what is seen there
        (one half at the median of the image). 0 outside the mask.
    """
    size = max(mask.shape)

    def mean(image: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(image, (0, 0), WINDOW * size)

    pair = [
        cv2.GaussianBlur(image.astype(np.float32), (0, 0), GRAIN * size)
        for image in (fixed, warped)
    ]
    fixed, warped = (np.where(mask, image, np.float32(0.5)) for image in pair)
    means = mean(fixed), mean(warped)
    spread = np.sqrt(
        np.maximum(mean(fixed**2) - means[0] ** 2, 0)
        * np.maximum(mean(warped**2) - means[1] ** 2, 0)
    )
    correlation = (mean(fixed * warped) - means[0] * means[1]) / np.maximum(spread, 1e-6)
    structure = spread / (spread + np.median(spread[mask]) + 1e-6)
    return np.clip(correlation, 0, 1) ** 8 * structure * mask


def smooth(field: np.ndarray, known: np.ndarray, sigma: float) -> np.ndarray:
    """Blur a field by what is known of it; elsewhere carry it on, ever smoother, to a linear one.

    Parameters
    ----------
    field : float ndarray, shape (height, width, 2)
        Displacements (dx, dy) in pixels.
    known : bool ndarray, or float in [0, 1], shape (height, width)
        Where the field is known, or how well.
    sigma : float
        Standard deviation of the blur, in pixels, where the field is known; 0 leaves it as it is.

    Returns
    -------
    float32 ndarray, shape (height, width, 2)
    """
    known = np.asarray(known, np.float32)
    linear = _fitted(field, known)
    rest = (field - linear) * known[..., None]
    size = known.shape[1], known.shape[0]
    factor = min(COARSE_SIZE / max(size), 1)
    coarse = tuple(max(round(side * factor), 1) for side in size)
    carried = np.zeros((*coarse[::-1], 2), np.float32)
    total, share = (
        cv2.resize(array, coarse, interpolation=cv2.INTER_AREA) for array in (rest, known)
    )
    for width in (16, 8, 4, 2, 1):  # each takes over where it knows enough, from wide to narrow
        carried = _take_over(carried, total, share, width)
    carried = cv2.resize(carried, size, interpolation=cv2.INTER_LINEAR)
    if sigma:
        return linear + _take_over(carried, rest, known, sigma)
    return np.where(known[..., None] > 0, field, linear + carried)


def plausible(field: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Tell where a field moves as an eye does, and not as a lesion does that grew between visits.

    Two photographs of one eye differ by a motion that a quadratic field describes to a few
    thousandths of the image's width. What the border of a lesion does stands out from that.

    Parameters
    ----------
    field : float ndarray, shape (height, width, 2)
        Displacements (dx, dy) in pixels.
    known : bool ndarray, or float in [0, 1], shape (height, width)
        Where the field is known, or how well.

    Returns
    -------
    float32 ndarray in [0, 1], shape (height, width)
        Falls to one quarter where the field is `OUTLYING` of the image's width off the quadratic
        that fits best.
    """
    scale, weight = OUTLYING * max(known.shape), np.ones(known.shape, np.float32)
    for _ in range(10):  # robust least squares, by weights
        rest = np.linalg.norm(field - _fitted(field, known * weight, degree=2), axis=2)
        weight = (1 / (1 + (rest / scale) ** 2) ** 2).astype(np.float32)
    return weight


def _fitted(field: np.ndarray, known: np.ndarray, degree: int = 1) -> np.ndarray:
    """Fit a polynomial field to a field where it is known."""
    size = max(known.shape)
    y, x = np.indices(known.shape, dtype=np.float32) / size - 0.5
    terms = [x**i * y**j for i in range(degree + 1) for j in range(degree + 1 - i)]
    terms = np.stack(terms, axis=-1)
    step = max(size // COARSE_SIZE, 1)  # some thousand points do for a few numbers
    near = terms[::step, ::step].reshape(-1, terms.shape[-1]).astype(float)
    weighted = near * known[::step, ::step].reshape(-1, 1)
    values = field[::step, ::step].reshape(-1, 2)
    # The normal equations: far quicker, and few even terms about the centre keep them well posed.
    solution = np.linalg.lstsq(weighted.T @ near, weighted.T @ values, rcond=None)[0]
    return terms @ solution.astype(np.float32)


def _take_over(wider: np.ndarray, total: np.ndarray, known: np.ndarray, sigma: float) -> np.ndarray:
    weight = cv2.GaussianBlur(known, (0, 0), sigma)
    mean = cv2.GaussianBlur(total, (0, 0), sigma) / np.maximum(weight, 1e-6)[..., None]
    # At a straight border of what is known the weight is one half: up to there it is believed.
    return wider + np.minimum(2 * weight, 1)[..., None] * (mean - wider)


def smooth_without_folds(field: np.ndarray, known: np.ndarray, sigma: float) -> np.ndarray:
    """Smooth a field (see `smooth`), twice as much each time, until it folds nowhere.

    Parameters
    ----------
    field, known
        See `smooth`.
    sigma : float
        Standard deviation of the first blur in pixels, more than 0.
    """
    for doubling in range(10):
        smoothed = smooth(field, known, sigma * 2**doubling)
        if area(smoothed).min() > LEAST_AREA:
            break
    return smoothed


def every_second(field: np.ndarray) -> np.ndarray:
    """Keep every second node of a smooth field, up to and beyond its last row and column.

    A quarter of the memory; `transforms.from_displacement` takes it with a spacing of 2.

    Parameters
    ----------
    field : float ndarray, shape (height, width, 2)
    """
    return np.pad(field, ((0, 2), (0, 2), (0, 0)), mode="edge")[::2, ::2]


def area(field: np.ndarray) -> np.ndarray:
    """Local change of area, the Jacobian determinant: 1 keeps area, 0 or less folds.

    Parameters
    ----------
    field : float ndarray, shape (height, width, 2)
        Displacements (dx, dy) in pixels.

    Returns
    -------
    float ndarray, shape (height, width)
    """
    dx_dy, dx_dx = np.gradient(field[..., 0])
    dy_dy, dy_dx = np.gradient(field[..., 1])
    return (1 + dx_dx) * (1 + dy_dy) - dx_dy * dy_dx
