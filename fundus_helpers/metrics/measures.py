"""Measures of how well two images, or two sets of points, lie on each other.

The table `MEASURES` lists all measures. The key is the name in Python, in columns and in files.
Readers see the label, in tables, figures and reports. A new measure needs one function and one
entry in this table.

If landmarks exist, the landmark error is the most important measure. The similarity of warped
pixels can be high even if the transform is wrong (Rohlfing, IEEE TMI 2012,
doi:10.1109/TMI.2011.2163944).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np
import pandas as pd
import SimpleITK as sitk
from skimage.metrics import normalized_mutual_information, structural_similarity
from skimage.transform import AffineTransform, EuclideanTransform, SimilarityTransform
from sklearn.metrics import mutual_info_score

from fundus_helpers import transforms

BINS = 64
LEAST_SQUARES = {
    "rigid": EuclideanTransform,
    "similarity": SimilarityTransform,
    "affine": AffineTransform,
}


@dataclass(frozen=True)
class Alignment:
    """A registered pair of images, from which every measure is computed.

    Attributes
    ----------
    fixed, moving : float ndarray in [0, 1], shape (height, width)
    transform : sitk.Transform
        Maps fixed points to moving points; `transforms.identity` for the pair before registration.
    fixed_mask, moving_mask : bool ndarray
        True inside the field of view.
    landmarks : (fixed_points, moving_points) or None
        Shape (n, 2) each, (x, y) in pixels of these images; n may be 0.
    full_factor : float
        Pixels of the photograph on disk per pixel of these images.
    """

    fixed: np.ndarray
    moving: np.ndarray
    transform: sitk.Transform
    fixed_mask: np.ndarray
    moving_mask: np.ndarray
    landmarks: tuple[np.ndarray, np.ndarray] | None = None
    full_factor: float = 1.0

    @cached_property
    def warped(self) -> np.ndarray:
        """The moving image on the pixel grid of the fixed image."""
        return transforms.warp(self.moving, self.transform, self.fixed.shape)

    @cached_property
    def overlap(self) -> np.ndarray:
        """Mask of the overlap of both fields of view, on the pixel grid of the fixed image."""
        return transforms.overlap(self.fixed_mask, self.moving_mask, self.transform)


def l1(fixed: np.ndarray, warped: np.ndarray, mask: np.ndarray) -> float:
    """Mean absolute difference of two images inside a mask; 0 is best."""
    return float(np.abs(fixed[mask].astype(float) - warped[mask].astype(float)).mean())


def rmse(fixed: np.ndarray, warped: np.ndarray, mask: np.ndarray) -> float:
    """Root of the mean squared difference of two images inside a mask; 0 is best."""
    return float(np.sqrt(np.mean((fixed[mask].astype(float) - warped[mask].astype(float)) ** 2)))


def ncc(fixed: np.ndarray, warped: np.ndarray, mask: np.ndarray) -> float:
    """Correlation of two images inside a mask; 1 is best, NaN if an image is constant."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.corrcoef(fixed[mask].astype(float), warped[mask].astype(float))[0, 1])


def ssim(fixed: np.ndarray, warped: np.ndarray, mask: np.ndarray) -> float:
    """Structural similarity: the mean of its map over a mask; 1 is best, NaN for an empty mask.

    Wang et al., IEEE TIP 2004, doi:10.1109/TIP.2003.819861.
    """
    _, ssim_map = structural_similarity(fixed, warped, data_range=1.0, full=True)
    return float(ssim_map[mask].mean()) if mask.any() else np.nan


def mutual_information(fixed: np.ndarray, warped: np.ndarray, mask: np.ndarray) -> float:
    """Mutual information of two images inside a mask, in nats, from a histogram of 64 x 64 bins."""
    a, b = fixed[mask].astype(float), warped[mask].astype(float)
    histogram = np.histogram2d(a, b, bins=BINS, range=((0, 1), (0, 1)))[0]
    return float(mutual_info_score(None, None, contingency=histogram))


def normalised_mutual_information(fixed: np.ndarray, warped: np.ndarray, mask: np.ndarray) -> float:
    """Normalised mutual information of two images inside a mask, from 1 to 2 (2 is best).

    Studholme et al., Pattern Recognition 1999, doi:10.1016/S0031-3203(98)00091-0.
    """
    a, b = fixed[mask].astype(float), warped[mask].astype(float)
    return float(normalized_mutual_information(a, b, bins=BINS))


def landmark_errors(
    transform: sitk.Transform, fixed_points: np.ndarray, moving_points: np.ndarray
) -> np.ndarray:
    """Distance between each fixed landmark and its moving partner, mapped back to the fixed image.

    The distance is taken in the fixed image, as in FIRE's protocol, so that errors do not depend on
    the scale of the moving image.

    Parameters
    ----------
    transform : sitk.Transform
        Maps fixed points to moving points.
    fixed_points, moving_points : ndarray, shape (n, 2)
        The same n places (x, y), in pixels of either image.

    Returns
    -------
    float ndarray, shape (n,)
        Distances in pixels; inf if the transform folds, so that no point maps to the landmark.
    """
    mapped = transforms.map_points_back(transform, moving_points)
    return np.nan_to_num(np.linalg.norm(mapped - fixed_points, axis=1), nan=np.inf)


def mean_landmark_error(pair: Alignment) -> float:
    """Mean landmark error in pixels of the photograph on disk; NaN if no landmarks are known."""
    if pair.landmarks is None or not len(pair.landmarks[0]):
        return float("nan")
    return float(landmark_errors(pair.transform, *pair.landmarks).mean() * pair.full_factor)


def overlap_share(pair: Alignment) -> float:
    """Share of the fixed field of view that the moving image also shows."""
    return float(pair.overlap.sum() / pair.fixed_mask.sum())


def folding_share(pair: Alignment) -> float:
    """Share of the overlap where the transform folds the retina; 0 if there is no overlap."""
    return transforms.folding(pair.transform, pair.overlap) if pair.overlap.any() else 0.0


@dataclass(frozen=True)
class Measure:
    """One measure: its names, its unit, its direction and its function.

    Attributes
    ----------
    key : str
        Its name in columns and files.
    label : str
        Its name in tables, figures and reports.
    unit : {"px", "share", "s", "nats", ""}
        ``px`` means pixels of the photograph on disk. A share is written as a percentage.
    better : {"lower", "higher", None}
        Which values are better; None for neither.
    function : callable or None
        Computes the measure from an `Alignment`. None for a number that comes from elsewhere: from
        the verdict, from a clock or from several visits.
    """

    key: str
    label: str
    unit: str = ""
    better: str | None = None
    function: Callable[[Alignment], float] | None = None

    @property
    def title(self) -> str:
        """The label with its unit, for the header of a column and for an axis."""
        unit = {"share": "%"}.get(self.unit, self.unit)
        return f"{self.label} ({unit})" if unit else self.label

    def write(self, value: float | None) -> str:
        """Write a value with three digits, a share as a percentage, an unknown value as a dash."""
        if value is None or np.isnan(value):
            return "-"
        value = value * 100 if self.unit == "share" else value
        whole = abs(value) >= 1000 or (self.unit == "" and float(value).is_integer())
        return f"{value:.0f}" if whole else f"{value:.3g}"


# Similarities of two images inside a mask: key, label, unit, which values are better, function.
SIMILARITIES = (
    ("l1", "L1", "", "lower", l1),
    ("rmse", "RMSE", "", "lower", rmse),
    ("ncc", "NCC", "", "higher", ncc),
    ("ssim", "SSIM", "", "higher", ssim),
    ("mutual_information", "mutual information", "nats", "higher", mutual_information),
    (
        "normalised_mutual_information",
        "normalised mutual information",
        "",
        "higher",
        normalised_mutual_information,
    ),
)


def _inside_overlap(similarity: Callable[..., float]) -> Callable[[Alignment], float]:
    def measured(pair: Alignment) -> float:
        return similarity(pair.fixed, pair.warped, pair.overlap) if pair.overlap.any() else np.nan

    return measured


def _whole_image(similarity: Callable[..., float]) -> Callable[[Alignment], float]:
    return lambda pair: similarity(pair.fixed, pair.warped, np.ones(pair.fixed.shape, bool))


# Every measure by its name in Python, in columns and in files.
MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        measure.key: measure
        for measure in (
            Measure("landmark_error_px", "landmark error", "px", "lower", mean_landmark_error),
            *(Measure(*words, _inside_overlap(f)) for *words, f in SIMILARITIES),
            *(
                Measure(f"{key}_whole_image", f"{label}, whole image", *rest, _whole_image(f))
                for key, label, *rest, f in SIMILARITIES
            ),
            Measure("overlap", "overlap", "share", None, overlap_share),
            Measure("folding", "folding", "share", None, folding_share),
            # Numbers that come from elsewhere.
            Measure(
                "landmark_error_before_px", "landmark error before registration", "px", "lower"
            ),
            Measure("best_possible_error_px", "best possible landmark error", "px", "lower"),
            Measure("mean_landmark_error_px", "landmark error, mean", "px", "lower"),
            Measure("worst_landmark_error_px", "worst landmark error", "px", "lower"),
            Measure("worst_pair_error_px", "landmark error, worst pair", "px", "lower"),
            Measure("pairwise_landmark_error_px", "landmark error, all pairs", "px", "lower"),
            Measure("worst_pairwise_error_px", "landmark error, worst of all pairs", "px", "lower"),
            Measure("predicted_error_px", "predicted error", "px", "lower"),
            Measure("mean_predicted_error_px", "predicted error, mean", "px", "lower"),
            Measure("worst_predicted_error_px", "predicted error, worst visit", "px", "lower"),
            Measure("magnification", "magnification"),
            Measure("vessel_correlation", "vessel correlation", "", "higher"),
            Measure("frame_correlation", "correlation with the frame", "", "higher"),
            Measure("mean_displacement_image_px", "mean displacement", "px of the images", "lower"),
            Measure("seconds", "time", "s", "lower"),
            Measure("visits", "visits"),
            Measure("pairs", "pairs"),
            Measure("accepted", "accepted", "", "higher"),
            Measure("accepted, by hand", "accepted, by hand", "", "higher"),
            Measure("doubtful", "doubtful", "", "lower"),
            Measure("failed", "failed", "", "lower"),
            Measure("left_out", "photographs left out", "", "lower"),
        )
    }
)


def similarity(fixed: np.ndarray, warped: np.ndarray, mask: np.ndarray | None = None) -> pd.Series:
    """Compare two images pixel by pixel.

    Parameters
    ----------
    fixed, warped : float ndarray in [0, 1], shape (height, width)
    mask : bool ndarray, shape (height, width), optional
        True where the images are compared, usually in the overlap of both fields of view. None
        means everywhere, with the black border, as in the article.

    Returns
    -------
    Series
        One value for each of `SIMILARITIES`, by key. The values are NaN if the mask is empty.
    """
    mask = np.ones(fixed.shape, bool) if mask is None else mask
    values = {
        key: function(fixed, warped, mask) if mask.any() else np.nan
        for key, *_, function in SIMILARITIES
    }
    return pd.Series(values)


def end_point_error(transform: sitk.Transform, truth: sitk.Transform, mask: np.ndarray) -> float:
    """Mean distance between the places to which two transforms map the same points.

    Parameters
    ----------
    transform, truth : sitk.Transform
        Map fixed points to moving points.
    mask : bool ndarray, shape (height, width)
        The pixels of the fixed image that count, usually the overlap.

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
    """Mean landmark error of a model that is fitted to the landmarks themselves by least squares.

    Registrations with this model can hardly have a smaller error. The remaining error consists of
    the noise of the landmarks and of the deformation that the model cannot describe.

    Parameters
    ----------
    model : {"translation", "rigid", "similarity", "affine"}
    fixed_points, moving_points : ndarray, shape (n, 2)
        The same n places (x, y), in pixels of either image; NaN if there are none.
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
    """Compute all measures of one registration.

    Parameters
    ----------
    fixed, moving, transform, fixed_mask, moving_mask, landmarks, full_factor
        See `Alignment`.

    Returns
    -------
    Series
        One value for each of `MEASURES` that has a function, by key. Similarities are computed
        inside the overlap, and again over the whole image. ``landmark_error_px`` is in pixels of
        the photograph on disk; it is NaN if no landmarks are known.

    Examples
    --------
    >>> import fundus_helpers as fh
    >>> import numpy as np
    >>> image = np.random.default_rng(0).random((32, 32))
    >>> mask = np.ones((32, 32), bool)
    >>> values = fh.measure(
    ...     image, image, fh.transforms.identity(), fixed_mask=mask, moving_mask=mask
    ... )
    >>> float(values["l1"]), float(values["overlap"])
    (0.0, 1.0)
    """
    pair = Alignment(fixed, moving, transform, fixed_mask, moving_mask, landmarks, full_factor)
    return pd.Series({m.key: m.function(pair) for m in MEASURES.values() if m.function})
