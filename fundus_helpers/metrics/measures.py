"""How well two images, or two sets of points, lie on each other, in numbers.

Landmark error comes first wherever landmarks exist: a similarity of warped pixels rewards a
transform that cheats (Rohlfing, IEEE TMI 2012, doi:10.1109/TMI.2011.2163944).
"""

import numpy as np
import pandas as pd
import SimpleITK as sitk
from pandas.io.formats.style import Styler
from skimage.metrics import normalized_mutual_information, structural_similarity
from skimage.transform import AffineTransform, EuclideanTransform, SimilarityTransform
from sklearn.metrics import mutual_info_score

from fundus_helpers import transforms

# Is more of it better?
HIGHER_IS_BETTER = {
    "landmark error": False,
    "L1": False,
    "RMSE": False,
    "NCC": True,
    "SSIM": True,
    "mutual information": True,
    "normalised mutual information": True,
}


BINS = 64


LEAST_SQUARES = {
    "rigid": EuclideanTransform,
    "similarity": SimilarityTransform,
    "affine": AffineTransform,
}


def similarity(fixed: np.ndarray, warped: np.ndarray, mask: np.ndarray | None = None) -> pd.Series:
    """Compare two images pixel by pixel.

    Parameters
    ----------
    fixed, warped : float ndarray in [0, 1], shape (height, width)
    mask : bool ndarray, shape (height, width), optional
        Where to compare, usually the overlap of both fields of view. None: everywhere, as the
        article does, border and all.

    Returns
    -------
    Series
        ``L1`` and ``RMSE`` (0 is best), ``NCC`` and ``SSIM`` (1 is best; SSIM is the mean of its
        map over the mask, Wang et al. 2004, doi:10.1109/TIP.2003.819861), ``mutual information``
        (nats) and ``normalised mutual information`` (1 to 2, Studholme et al. 1999,
        doi:10.1016/S0031-3203(98)00091-0), both of a histogram of 64 x 64 bins. NaN where the mask
        is empty; NCC is NaN where an image is constant.
    """
    mask = np.ones(fixed.shape, bool) if mask is None else mask
    if not mask.any():
        return pd.Series({name: np.nan for name in [*HIGHER_IS_BETTER][1:]})
    a, b = fixed[mask].astype(float), warped[mask].astype(float)
    histogram = np.histogram2d(a, b, bins=BINS, range=((0, 1), (0, 1)))[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.corrcoef(a, b)[0, 1]
    return pd.Series(
        {
            "L1": np.abs(a - b).mean(),
            "RMSE": np.sqrt(np.mean((a - b) ** 2)),
            "NCC": correlation,
            "SSIM": structure(fixed, warped, mask),
            "mutual information": mutual_info_score(None, None, contingency=histogram),
            "normalised mutual information": normalized_mutual_information(a, b, bins=BINS),
        }
    )


def structure(fixed: np.ndarray, warped: np.ndarray, mask: np.ndarray) -> float:
    """Mean SSIM of two images inside a mask, as `similarity` has it; NaN if the mask is empty."""
    _, ssim_map = structural_similarity(fixed, warped, data_range=1.0, full=True)
    return float(ssim_map[mask].mean()) if mask.any() else np.nan


def landmark_errors(
    transform: sitk.Transform, fixed_points: np.ndarray, moving_points: np.ndarray
) -> np.ndarray:
    """Distance between each fixed landmark and its moving partner mapped back onto it.

    In the fixed image, as FIRE's protocol has it, so that errors do not depend on the scale of
    the moving image.

    Parameters
    ----------
    transform : sitk.Transform
        Maps fixed points to moving points.
    fixed_points, moving_points : ndarray, shape (n, 2)
        The same n places (x, y), in pixels of either image.

    Returns
    -------
    float ndarray, shape (n,)
        In pixels; inf where the transform folds and no point maps to the landmark.
    """
    mapped = transforms.map_points_back(transform, moving_points)
    return np.nan_to_num(np.linalg.norm(mapped - fixed_points, axis=1), nan=np.inf)


def end_point_error(transform: sitk.Transform, truth: sitk.Transform, mask: np.ndarray) -> float:
    """Mean distance between where two transforms take the same points.

    Parameters
    ----------
    transform, truth : sitk.Transform
        Map fixed points to moving points.
    mask : bool ndarray, shape (height, width)
        Which pixels of the fixed image to look at, usually the overlap.

    Returns
    -------
    float
        In pixels of the moving image; NaN for an empty mask.
    """
    if not mask.any():
        return float("nan")
    fields = (transforms.displacement(each, mask.shape)[mask] for each in (transform, truth))
    return float(np.linalg.norm(np.subtract(*fields), axis=1).mean())


def least_error(model: str, fixed_points: np.ndarray, moving_points: np.ndarray) -> float:
    """Mean landmark error of the transform of a model that fits the landmarks themselves best.

    The floor under every registration with that model: what is left is landmark noise, and what
    the model cannot express.

    Parameters
    ----------
    model : {"translation", "rigid", "similarity", "affine"}
    fixed_points, moving_points : ndarray, shape (n, 2)
        The same n places (x, y), in pixels of either image; NaN comes of none.
    """
    if len(fixed_points) == 0:
        return float("nan")
    if model == "translation":
        mapped = moving_points + (fixed_points - moving_points).mean(axis=0)
    else:
        fit = LEAST_SQUARES[model].from_estimate(moving_points, fixed_points)
        mapped = fit(moving_points)
    return float(np.linalg.norm(mapped - fixed_points, axis=1).mean())


def measure(
    fixed: np.ndarray,
    moving: np.ndarray,
    transform: sitk.Transform,
    *,
    fixed_mask: np.ndarray,
    moving_mask: np.ndarray,
    landmarks: tuple[np.ndarray, np.ndarray] | None = None,
    full_factor: float = 1.0,
) -> pd.Series:
    """Take every measure of one registration.

    Parameters
    ----------
    fixed, moving : float ndarray in [0, 1], shape (height, width)
    transform : sitk.Transform
        Maps fixed points to moving points; `transforms.identity` measures what was before.
    fixed_mask, moving_mask : bool ndarray
        True inside the field of view.
    landmarks : (fixed_points, moving_points), optional
        Shape (n, 2) each, (x, y) in pixels of these images.
    full_factor : float
        Pixels of the photograph on disk per pixel here.

    Returns
    -------
    Series with a MultiIndex (measure, region)
        ``landmark error`` in pixels of the photograph on disk, NaN where no landmarks are known;
        the similarities in the regions ``whole image`` and ``overlap``; ``overlap`` and
        ``folding`` as shares.
    """
    warped = transforms.warp(moving, transform, fixed.shape)
    mask = transforms.overlap(fixed_mask, moving_mask, transform)
    known = landmarks is not None and len(landmarks[0])
    error = landmark_errors(transform, *landmarks).mean() * full_factor if known else np.nan
    values = {("landmark error", "full-size px"): error}
    for region, where in (("overlap", mask), ("whole image", None)):
        for name, value in similarity(fixed, warped, where).items():
            values[name, region] = value
    values["overlap", "share of fixed view"] = mask.sum() / fixed_mask.sum()
    values["folding", "share of overlap"] = transforms.folding(transform, mask) if mask.any() else 0
    return pd.Series(values).rename_axis(["measure", "region"])


def before_after_table(before: pd.Series, after: pd.Series) -> Styler:
    """Lay measures before and after a registration side by side; better is green, worse red.

    Parameters
    ----------
    before, after : Series
        As `measure` gives them, or means of those; same index.

    Returns
    -------
    Styler
        Columns ``before``, ``after``, ``change`` and ``verdict``, which says the colour in words.
    """
    table = pd.DataFrame({"before": before, "after": after})
    table["change"] = table["after"] - table["before"]
    sign = {True: 1.0, False: -1.0, None: np.nan}
    gain = table["change"] * [sign[HIGHER_IS_BETTER.get(name)] for name, _ in table.index]
    words = np.select(
        [gain > 1e-9, gain < -1e-9, gain.abs() <= 1e-9], ["better", "worse", "same"], ""
    )
    table["verdict"] = words
    colours = {"better": "#1a7f37", "worse": "#c62828"}

    def colour(row: pd.Series) -> list[str]:
        style = f"color: {colours.get(row['verdict'], 'inherit')}; font-weight: bold"
        return ["", style, style, style] if row["verdict"] in colours else [""] * 4

    numbers = {name: "{:.4g}" for name in ("before", "after")} | {"change": "{:+.3g}"}
    return table.style.apply(colour, axis=1).format(numbers, na_rep="-")
