"""Displacement fields as arrays: where images support them, smoothing, and the change of area."""

import cv2
import numpy as np

# Shares of the longer side of the image: the width of grain, which is finer than any structure,
# and the width of the window in which structure is compared.
GRAIN, WINDOW = 0.0026, 0.0104

# Beyond what is known, a field is so smooth that this many pixels per side describe it.
COARSE_SIZE = 64
# A field seldom differs from a quadratic field by more than this share of the longer side.
OUTLYING = 0.006
# A field that shrinks the area to less than this share is about to fold.
LEAST_AREA = 0.1


def support(fixed: np.ndarray, warped: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Measure where two registered images show the same structure, and so support a field.

    An optical flow gives a displacement everywhere, also where one image shows a lesion that the
    other does not have, and where both show plain background. It should not be trusted there.

    Parameters
    ----------
    fixed, warped : float ndarray in [0, 1], shape (height, width)
        Images with even illumination. `warped` is the moving image, warped onto the fixed grid by
        the field.
    mask : bool ndarray, shape (height, width)
        The overlap of both fields of view.

    Returns
    -------
    float32 ndarray in [0, 1], shape (height, width)
        The eighth power of the local correlation, times the amount of structure (one half at the
        median of the image). 0 outside the mask.
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
    """Blur a field where it is known, and extrapolate it smoothly where it is not.

    With growing distance from what is known, the extrapolation becomes the best linear field.

    Parameters
    ----------
    field : float ndarray, shape (height, width, 2)
        Displacements (dx, dy) in pixels.
    known : bool ndarray, or float in [0, 1], shape (height, width)
        Where the field is known, or the weight of every displacement.
    sigma : float
        Standard deviation of the blur in pixels. 0 leaves the field unchanged where it is known.

    Returns
    -------
    float32 ndarray, shape (height, width, 2)
    """
    known = np.asarray(known, np.float32)
    linear = _polynomial_fit(field, known)
    rest = (field - linear) * known[..., None]
    size = known.shape[1], known.shape[0]
    factor = min(COARSE_SIZE / max(size), 1)
    coarse = tuple(max(round(side * factor), 1) for side in size)
    extended = np.zeros((*coarse[::-1], 2), np.float32)
    total, share = (
        cv2.resize(array, coarse, interpolation=cv2.INTER_AREA) for array in (rest, known)
    )
    for width in (16, 8, 4, 2, 1):  # a narrower mean replaces a wider one where it knows enough
        extended = _replace_where_known(extended, total, share, width)
    extended = cv2.resize(extended, size, interpolation=cv2.INTER_LINEAR)
    if sigma:
        return linear + _replace_where_known(extended, rest, known, sigma)
    return np.where(known[..., None] > 0, field, linear + extended)


def plausible(field: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Measure where a field moves as an eye does, and not as the border of a growing lesion.

    Two photographs of one eye differ by a motion that a quadratic field describes to a few
    thousandths of the width of the image. Displacements at the border of a growing lesion differ
    from it by more.

    Parameters
    ----------
    field : float ndarray, shape (height, width, 2)
        Displacements (dx, dy) in pixels.
    known : bool ndarray, or float in [0, 1], shape (height, width)
        Where the field is known, or the weight of every displacement.

    Returns
    -------
    float32 ndarray in [0, 1], shape (height, width)
        1 where the field equals the best quadratic field, one quarter where it differs from it by
        `OUTLYING` times the longer side of the image.
    """
    scale, weight = OUTLYING * max(known.shape), np.ones(known.shape, np.float32)
    for _ in range(10):  # robust least squares by repeated weighting
        rest = np.linalg.norm(field - _polynomial_fit(field, known * weight, degree=2), axis=2)
        weight = (1 / (1 + (rest / scale) ** 2) ** 2).astype(np.float32)
    return weight


def _polynomial_fit(field: np.ndarray, known: np.ndarray, degree: int = 1) -> np.ndarray:
    """Return the polynomial field that fits a field best where it is known."""
    size = max(known.shape)
    y, x = np.indices(known.shape, dtype=np.float32) / size - 0.5
    terms = [x**i * y**j for i in range(degree + 1) for j in range(degree + 1 - i)]
    terms = np.stack(terms, axis=-1)
    step = max(size // COARSE_SIZE, 1)  # a few thousand points suffice for so few coefficients
    near = terms[::step, ::step].reshape(-1, terms.shape[-1]).astype(float)
    weighted = near * known[::step, ::step].reshape(-1, 1)
    values = field[::step, ::step].reshape(-1, 2)
    # The normal equations are much faster, and well conditioned with few terms about the centre.
    solution = np.linalg.lstsq(weighted.T @ near, weighted.T @ values, rcond=None)[0]
    return terms @ solution.astype(np.float32)


def _replace_where_known(
    wider: np.ndarray, total: np.ndarray, known: np.ndarray, sigma: float
) -> np.ndarray:
    """Replace the mean in a wide window by that in a narrower one where enough of it is known."""
    weight = cv2.GaussianBlur(known, (0, 0), sigma)
    mean = cv2.GaussianBlur(total, (0, 0), sigma) / np.maximum(weight, 1e-6)[..., None]
    # At a straight border of what is known, the weight is one half: there the mean counts fully.
    return wider + np.minimum(2 * weight, 1)[..., None] * (mean - wider)


def smooth_without_folds(field: np.ndarray, known: np.ndarray, sigma: float) -> np.ndarray:
    """Smooth a field (see `smooth`), and double the blur until the field does not fold.

    Parameters
    ----------
    field, known
        See `smooth`.
    sigma : float
        Standard deviation of the first blur in pixels, greater than 0.

    Returns
    -------
    float32 ndarray, shape (height, width, 2)
        After ten blurs the field is returned even if it still folds.
    """
    for doubling in range(10):
        smoothed = smooth(field, known, sigma * 2**doubling)
        if area(smoothed).min() > LEAST_AREA:
            break
    return smoothed


def every_second(field: np.ndarray) -> np.ndarray:
    """Keep every second node of a smooth field, including one beyond its last row and column.

    The result needs a quarter of the memory. `transforms.from_displacement` makes a transform of
    it with ``spacing=2``.

    Parameters
    ----------
    field : float ndarray, shape (height, width, 2)
    """
    return np.pad(field, ((0, 2), (0, 2), (0, 0)), mode="edge")[::2, ::2]


def pixel_grid(shape: tuple[int, int], dtype: type = int) -> np.ndarray:
    """Return the coordinates (x, y) of every pixel, shape (height, width, 2), in a given dtype."""
    rows, columns = np.indices(shape, dtype, sparse=True)
    return np.stack(np.broadcast_arrays(columns, rows), axis=2)


def area(field: np.ndarray) -> np.ndarray:
    """Compute the Jacobian determinant of a field at every pixel: the local change of area.

    1 keeps the area; where it is 0 or less, the field folds. Central differences.

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


def area_change(field: np.ndarray, spacing: int = 1) -> np.ndarray:
    """Compute the Jacobian determinant of a field in every cell between its nodes.

    Like `area`, but with forward differences, which also see a jump from one node to the next.

    Parameters
    ----------
    field : float ndarray, shape (height, width, 2)
        Displacements (dx, dy) in pixels.
    spacing : int
        Distance between neighbouring nodes of the field in pixels.

    Returns
    -------
    float ndarray, shape (height - 1, width - 1)
    """
    across = (field[:-1, 1:] - field[:-1, :-1]) / spacing
    down = (field[1:, :-1] - field[:-1, :-1]) / spacing
    return (1 + across[..., 0]) * (1 + down[..., 1]) - across[..., 1] * down[..., 0]


def folded_share(field: np.ndarray, mask: np.ndarray) -> float:
    """Compute the share of the pixels inside a mask at which a field folds.

    Parameters
    ----------
    field : float ndarray, shape (height, width, 2)
        Displacements (dx, dy) in pixels.
    mask : bool ndarray, shape (height, width)

    Returns
    -------
    float
        Between 0 and 1; NaN for an empty mask.
    """
    return float(np.mean(area(field)[mask] <= 0))
