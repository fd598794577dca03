"""Registration by elastix, in one or two stages: rigid, similarity or affine, then B-splines.

Klein et al., IEEE TMI 2010, doi:10.1109/TMI.2009.2035616. The `ElastixImageFilter` of SimpleITK
registers evenly lit images inside both fields of view.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
import SimpleITK as sitk
from annotated_types import Interval

from fundus_helpers import transforms
from fundus_helpers.methods import elastix_run
from fundus_helpers.methods.knobs import ActsIf, ImageUnit, check_choice, check_range, checked
from fundus_helpers.methods.lines import LookAt
from fundus_helpers.methods.pair import (
    LEAST_FLEXIBLE_CORRELATION,
    Pair,
    check_result,
    prepare_pair,
)
from fundus_helpers.methods.start import Initialisation, find_start

# What elastix calls the stages and the metrics.
STAGES = {
    "rigid": "EulerTransform",
    "similarity": "SimilarityTransform",
    "affine": "AffineTransform",
    "bspline": "BSplineTransform",
}
METRICS = {
    "correlation": "AdvancedNormalizedCorrelation",
    "mutual_information": "AdvancedMattesMutualInformation",
    "mean_squares": "AdvancedMeanSquares",
}

# The settings of the article: raw grey images with their black border, and the default settings of
# elastix. Use them with masks that are True everywhere, and only for a comparison.
ARTICLE_SETTINGS = {
    "normalise": False,
    "initialisation": "identity",
    "metric": "mutual_information",
    "resolutions": 4,
    "iterations": 256,
    "bspline_iterations": 256,
    "grid_spacing": 8.0,
    "bending_energy": 1.0,
}

WITH_BSPLINES = ActsIf("stages", holds="bspline")


@checked
def register(
    fixed: np.ndarray,
    moving: np.ndarray,
    *,
    fixed_mask: np.ndarray | None = None,
    moving_mask: np.ndarray | None = None,
    start: sitk.Transform | None = None,
    stages: Sequence[str] = ("affine",),
    look_at: LookAt = "images",
    normalise: bool = True,
    initialisation: Initialisation = "cross_correlation",
    metric: Literal["correlation", "mutual_information", "mean_squares"] = "correlation",
    resolutions: Annotated[int, Interval(ge=1, le=8)] = 2,
    iterations: Annotated[int, Interval(ge=1, le=2000)] = 100,
    samples: Annotated[int, Interval(ge=64, le=20_000), ImageUnit("points")] = 2048,
    bspline_iterations: Annotated[int, Interval(ge=1, le=2000), WITH_BSPLINES] = 200,
    grid_spacing: Annotated[float, Interval(ge=4, le=768), WITH_BSPLINES] = 48.0,
    bending_energy: Annotated[float, Interval(ge=0, le=100_000), WITH_BSPLINES] = 10.0,
    seed: Annotated[int, Interval(ge=1, le=99)] = 1,
    parameters: Mapping[str, object] | None = None,
    log_folder: str | None = None,
) -> sitk.Transform:
    """Register two photographs of a retina with elastix.

    Parameters
    ----------
    fixed, moving : float ndarray in [0, 1], shape (height, width)
    fixed_mask, moving_mask : bool ndarray, optional
        True inside the field of view; None: found by `loading.field_of_view`. elastix does not
        use pixels outside of the masks.
    start : sitk.Transform, optional
        A transform that is nearly right, for example from points placed by hand
        (`methods.points.from_points`). Its rotation and its shift replace the
        `initialisation`.
    stages : sequence of {"rigid", "similarity", "affine", "bspline"}
        Stages in their order; each starts from the result of the one before. B-splines deform the
        image between the nodes of a grid, and need a linear stage first.
    look_at : {"images", "vessels"}
        What is registered: the photographs, or pictures of their vessels, bright or dark.
        ``vessels`` is for photographs of two modalities.
    normalise : bool
        Even out the illumination first. False: the brightness is registered, not the retina.
    initialisation : {"cross_correlation", "geometry", "moments", "identity"}
        Start of the registration: the best of all shifts and some rotations, the centres of the
        images aligned, their centres of brightness aligned, or the images not moved at all
        (`methods.start.find_start`). With a good start, few resolutions and iterations are enough.
    metric : {"correlation", "mutual_information", "mean_squares"}
        Similarity of the images that is optimised. ``mutual_information`` is for photographs of
        two modalities.
    resolutions : int in [1, 8]
        Number of levels. The last level has the full size, and each level before it has half the
        size of the next. More levels allow a worse start.
    iterations : int in [1, 2000]
        Steps of the stochastic gradient descent on each level of the linear stages. More steps are
        slower and, after convergence, no better.
    samples : int in [64, 20000] points
        Number of random points from which the metric is computed in each step. More samples are
        slower, and the result depends less on chance.
    bspline_iterations : int in [1, 2000]
        Steps of the stochastic gradient descent on each level of the B-spline stage.
    grid_spacing : float in [4, 768]
        Distance of the nodes of the B-splines on the last level, in pixels of an image whose
        longer side is 768. A larger distance is stiffer. A smaller distance follows smaller
        deformations, true and false ones.
    bending_energy : float in [0, 100000]
        Weight of the bending energy of the B-splines against the metric. A larger weight is
        stiffer.
    seed : int in [1, 99]
        Seed of the random points. The same seed and input give the same transform.
    parameters : mapping of str to value or sequence, optional
        Parameters of elastix for every stage, for example ``{"HowToCombineTransforms":
        "Compose"}``. They replace the parameters that are set here. The manual at elastix.dev
        explains them.
    log_folder : str, optional
        Existing folder in which ``elastix.log`` is kept, also if elastix succeeds. None: no log.

    Returns
    -------
    sitk.Transform
        Maps points (x, y) of the fixed image, in pixels, to points of the moving image. Outside of
        the grid of the B-splines, only the linear stages move points.

    Raises
    ------
    ValueError
        For images, masks or knobs that are not as described.
    elastix_run.ElastixError
        If elastix fails. The message holds the reason, and ``error.log`` the whole log.
    RegistrationError
        If an image shows nothing, or if the result is not plausible (`methods.pair.check_result`).
    """
    for stage in stages or [stages]:
        check_choice("stage", stage, STAGES)
    how = {"normalise": normalise, "look_at": look_at}
    pair = prepare_pair(fixed, moving, fixed_mask, moving_mask, **how)
    # elastix does not check this number: outside of these bounds it crashes the whole process.
    check_range("samples", samples, 1, pair.fixed.size)
    begin = find_start(pair, initialisation, start=start, model="rigid")
    inside = transforms.overlap(pair.fixed_mask, pair.moving_mask, begin)
    if not inside.any():
        raise transforms.RegistrationError("the fields of view do not overlap at the start")
    common = {
        "Metric": METRICS[metric],
        "NumberOfResolutions": resolutions,
        "MaximumNumberOfIterations": iterations,
        "NumberOfSpatialSamples": samples,
        "RandomSeed": seed,
    }
    spline = {"MaximumNumberOfIterations": bspline_iterations} | _grid(
        grid_spacing * max(pair.fixed.shape) / 768, bending_energy, resolutions, METRICS[metric]
    )
    maps = [
        {"Transform": STAGES[stage]}
        | common
        | (spline if stage == "bspline" else {})
        | {**(parameters or {})}
        for stage in stages
    ]
    found = elastix_run.run(
        *_placed(replace(pair, fixed_mask=inside), begin), maps, log_folder=log_folder
    )
    transform = transforms.compose(*found, begin)
    if normalise:
        least = {"least_correlation": LEAST_FLEXIBLE_CORRELATION} if "bspline" in stages else {}
        check_result(transform, pair, modalities=metric == "mutual_information", **least)
    return transform


def _grid(spacing: float, bending_energy: float, resolutions: int, metric: str) -> dict:
    return {
        "Registration": "MultiMetricMultiResolutionRegistration",
        "Metric": (metric, "TransformBendingEnergyPenalty"),
        "Metric0Weight": 1.0,
        "Metric1Weight": bending_energy,
        "FinalGridSpacingInPhysicalUnits": spacing,
        "GridSpacingSchedule": [2.0**level for level in reversed(range(resolutions))],
    }


def _placed(pair: Pair, start: sitk.Transform) -> list[sitk.Image]:
    """Make ITK images of fixed image, moving image and masks, with the moving ones at the start.

    The start is a rotation and a shift. It is set as direction and origin of the moving image and
    mask, so that they are not interpolated twice.
    """
    images = [
        transforms.as_itk_image(array.astype(np.uint8 if array.dtype == bool else np.float32))
        for array in (pair.fixed, pair.moving, pair.fixed_mask, pair.moving_mask)
    ]
    back = transforms.to_matrix(start.GetInverse())
    for image in images[1::2]:
        image.SetDirection(back[:, :2].ravel().tolist())
        image.SetOrigin(back[:, 2].tolist())
    return images
