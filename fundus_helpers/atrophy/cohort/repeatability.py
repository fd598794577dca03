"""How well two outlines of the same visits agree: areas, and masks."""

from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
from scipy import ndimage, stats

from fundus_helpers.metrics.statistics import CONFIDENCE

LEAST_VISITS = 3


@dataclass(frozen=True)
class Agreement:
    """Agreement of two series of areas; lengths in mm.

    Attributes
    ----------
    means, differences : float ndarray, shape (n,)
        Of the square roots of the areas of every visit; the difference is second minus first.
    bias, sd : float
        Mean and standard deviation of the differences.
    bias_interval : tuple of float
        95 % interval of the bias.
    limits : tuple of float
        Limits of agreement: bias -+ 1.96 SD. 95 % of differences lie between them.
    lower_interval, upper_interval : tuple of float
        95 % intervals of the two limits.
    icc, icc_low, icc_high : float
        Intraclass correlation ICC(2,1) with its 95 % interval.
    """

    means: np.ndarray
    differences: np.ndarray
    bias: float
    sd: float
    bias_interval: tuple[float, float]
    limits: tuple[float, float]
    lower_interval: tuple[float, float]
    upper_interval: tuple[float, float]
    icc: float
    icc_low: float
    icc_high: float

    def __str__(self) -> str:
        """Say the agreement in one line."""
        return (
            f"second minus first: {self.bias:+.3f} mm (95 % interval {self.bias_interval[0]:+.3f} "
            f"to {self.bias_interval[1]:+.3f}); limits of agreement {self.limits[0]:+.3f} to "
            f"{self.limits[1]:+.3f} mm; ICC {self.icc:.3f} ({self.icc_low:.3f} to "
            f"{self.icc_high:.3f}); {len(self.differences)} visits"
        )


def agreement(first: np.ndarray, second: np.ndarray) -> Agreement:
    """Compare two series of areas of the same visits by Bland-Altman and ICC(2,1).

    Bland and Altman (Lancet 1986;327:307) on the square root of the area, because the error of
    the area grows with its perimeter and that of its root does not. With the standard deviation s
    of n differences, the standard error of the bias is s / sqrt(n), and that of a limit is
    s sqrt(1 / n + 1.96^2 / (2 (n - 1))). ICC(2,1): see `icc`.

    Parameters
    ----------
    first, second : array_like, shape (n,)
        Areas in mm2, in one order. Pairs with NaN are left out.

    Returns
    -------
    Agreement

    Raises
    ------
    ValueError
        If the series differ in length, an area is negative, or there are fewer than three pairs.

    Notes
    -----
    Visits are taken as independent. The visits of one eye are not: with several of each, the
    intervals are too narrow.

    Examples
    --------
    >>> from fundus_helpers.atrophy.cohort import agreement
    >>> found = agreement([4.0, 9.0, 16.0], [4.41, 9.61, 16.81])
    >>> round(found.bias, 3), round(found.icc, 3)
    (0.1, 0.995)
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(
            f"{first.shape} and {second.shape} areas; give two areas of each visit, in one order"
        )
    both = np.isfinite(first) & np.isfinite(second)
    if both.sum() < LEAST_VISITS:
        raise ValueError(
            f"{both.sum()} visits have two outlines; {LEAST_VISITS} are needed for their agreement"
        )
    if min(first[both].min(), second[both].min()) < 0:
        raise ValueError("an area is below 0; give areas of 0 mm2 or more")
    roots = np.sqrt(np.column_stack([first[both], second[both]]))
    differences = roots[:, 1] - roots[:, 0]
    n, bias, sd = len(differences), differences.mean(), differences.std(ddof=1)
    t, z = _quantile(n - 1), stats.norm.ppf((1 + CONFIDENCE) / 2)
    error, limit_error = sd / sqrt(n), sd * sqrt(1 / n + z**2 / (2 * (n - 1)))
    lower, upper = bias - z * sd, bias + z * sd

    def about(value: float, width: float) -> tuple[float, float]:
        return float(value - t * width), float(value + t * width)

    return Agreement(
        roots.mean(axis=1),
        differences,
        float(bias),
        float(sd),
        about(bias, error),
        (float(lower), float(upper)),
        about(lower, limit_error),
        about(upper, limit_error),
        *icc(roots),
    )


def _quantile(degrees: float) -> float:
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, degrees))


def icc(ratings: np.ndarray) -> tuple[float, float, float]:
    """Compute the intraclass correlation ICC(2,1): absolute agreement of single ratings.

    Two-way random effects (Shrout and Fleiss, Psychological Bulletin 1979;86:420). With the mean
    squares of rows, columns and error, R, C and E, of n rows and k columns:
    (R - E) / (R + (k - 1) E + k (C - E) / n).

    Parameters
    ----------
    ratings : array_like, shape (n, k)
        One row per subject, one column per rater.

    Returns
    -------
    icc : float
    low, high : float
        The 95 % interval of the same source; NaN if nothing varies.

    Examples
    --------
    >>> from fundus_helpers.atrophy.cohort import icc
    >>> ratings = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8]]
    >>> ratings += [[7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    >>> print("{:.2f} ({:.2f} to {:.2f})".format(*icc(ratings)))
    0.29 (0.02 to 0.76)
    """
    ratings = np.asarray(ratings, float)
    n, k = ratings.shape
    grand, rows, columns = ratings.mean(), ratings.mean(axis=1), ratings.mean(axis=0)
    of_rows = k * ((rows - grand) ** 2).sum() / (n - 1)
    of_columns = n * ((columns - grand) ** 2).sum() / (k - 1)
    rest = ratings - rows[:, None] - columns + grand
    error = (rest**2).sum() / ((n - 1) * (k - 1))
    whole = of_rows + (k - 1) * error + k * (of_columns - error) / n
    if not whole > 0:
        return nan, nan, nan
    value = (of_rows - error) / whole
    if error <= 1e-12 * of_rows:  # the raters differ by a constant, or not at all
        return float(value), nan, nan
    ratio = of_columns / error
    a, b = n * (1 + (k - 1) * value) - k * value, k * value
    top = (n - 1) * (k - 1) * (b * ratio + a) ** 2
    degrees = top / ((n - 1) * (b * ratio) ** 2 + a**2)
    p = (1 + CONFIDENCE) / 2
    f_low, f_high = stats.f.ppf(p, n - 1, degrees), stats.f.ppf(p, degrees, n - 1)
    both = k * of_columns + (k * n - k - n) * error
    low = n * (of_rows - f_low * error) / (f_low * both + n * of_rows)
    high = n * (f_high * of_rows - error) / (both + n * f_high * of_rows)
    return float(value), float(low), float(high)


@dataclass(frozen=True)
class MaskAgreement:
    """Agreement of two outlines of one photograph.

    Attributes
    ----------
    dice : float
        ``2 |A and B| / (|A| + |B|)``; NaN if both are empty.
    hausdorff : float
        95 % Hausdorff distance of the borders, in the unit of the spacing; NaN if one is empty.
    """

    dice: float
    hausdorff: float


def mask_agreement(first: np.ndarray, second: np.ndarray, spacing: float = 1.0) -> MaskAgreement:
    """Compare two masks of one photograph by Dice and the 95 % Hausdorff distance.

    The distance is the larger one of the two 95th percentiles of the distances from each border
    pixel of one mask to the nearest border pixel of the other (Huttenlocher et al., IEEE TPAMI
    1993;15:850, with percentiles).

    Parameters
    ----------
    first, second : bool ndarray, shape (height, width)
        True where the retina is atrophic.
    spacing : float
        Length of one pixel, for example in mm.

    Returns
    -------
    MaskAgreement

    Raises
    ------
    ValueError
        If the masks differ in shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fundus_helpers.atrophy.cohort import mask_agreement
    >>> first = np.zeros((20, 20), bool)
    >>> first[5:15, 5:15] = True
    >>> mask_agreement(first, np.roll(first, 1, axis=1), spacing=0.01)
    MaskAgreement(dice=0.9, hausdorff=0.01)
    """
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    if first.shape != second.shape:
        raise ValueError(
            f"the masks have the shapes {first.shape} and {second.shape}; give two masks of one "
            "photograph"
        )
    size = int(first.sum()) + int(second.sum())
    dice = 2 * int((first & second).sum()) / size if size else nan
    if not (first.any() and second.any()):
        return MaskAgreement(dice, nan)
    borders = [mask & ~ndimage.binary_erosion(mask) for mask in (first, second)]
    far = [ndimage.distance_transform_edt(~border) for border in borders]
    ways = [np.percentile(far[1][borders[0]], 95), np.percentile(far[0][borders[1]], 95)]
    return MaskAgreement(dice, float(max(ways) * spacing))
