"""Registration by elastix, in one or two stages: rigid, similarity or affine, then B-splines.

Klein et al., IEEE TMI 2010, doi:10.1109/TMI.2009.2035616, through SimpleITK's
`ElastixImageFilter`, on evenly lit images inside both fields of view.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import SimpleITK as sitk

from fundus_helpers import transforms
from fundus_helpers.methods import elastix_run
from fundus_helpers.methods.knobs import check_choice, check_range, checked
from fundus_helpers.methods.pair import Pair, check_result, prepare_pair
from fundus_helpers.methods.start import find_start

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


# Splines make any two retinas correlate somewhat, two photographs of one by 0.5 and more.
LEAST_BSPLINE_CORRELATION = 0.45


# What the article does: raw grey images, black border and all, with elastix's own settings.
# Give it masks that are True everywhere. It is here to be looked at, not to be used.
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


@checked
def register(
    fixed: np.ndarray,
    moving: np.ndarray,
    *,
    fixed_mask: np.ndarray | None = None,
    moving_mask: np.ndarray | None = None,
    stages: Sequence[str] = ("affine",),
    normalise: bool = True,
    initialisation: str = "cross_correlation",
    metric: str = "correlation",
    resolutions: int = 2,
    iterations: int = 100,
    samples: int = 2048,
    bspline_iterations: int = 200,
    grid_spacing: float = 48.0,
    bending_energy: float = 10.0,
    seed: int = 1,
    parameters: Mapping[str, object] | None = None,
    log_folder: str | None = None,
) -> sitk.Transform:
    """Register two photographs of a retina with elastix.

    Parameters
    ----------
    fixed, moving : float ndarray in [0, 1], shape (height, width)
    fixed_mask, moving_mask : bool ndarray, optional
        True inside the field of view; None: found by `loading.field_of_view`. elastix looks at
        neither image outside its mask.
    stages : sequence of {"rigid", "similarity", "affine", "bspline"}
        One after the other, each starting where the last one ended. B-splines bend the image
        freely between the nodes of a grid and want a linear stage first.
    normalise : bool
        Even out the illumination first. False registers brightness, not the retina.
    initialisation : {"cross_correlation", "geometry", "moments", "identity"}
        Where it starts: at the best of all shifts and some rotations, with the centres or the
        centres of brightness on each other, or as the images lie (`methods.find_start`).
        With a good start few resolutions and iterations do.
    metric : {"correlation", "mutual_information", "mean_squares"}
        What is made as good as possible. ``mutual_information`` is for two modalities.
    resolutions : int in [1, 8]
        Levels, each of half the size of the next; the last is full size. More forgive a worse
        start.
    iterations : int in [1, 2000]
        Steps of the stochastic descent on each level, of linear stages. More is slower and, once
        it has come to rest, no better.
    bspline_iterations : int in [1, 2000], if "bspline" in stages
        The same of B-splines.
    samples : int in [64, 20000] points
        The metric looks at this many random points in each step. More is slower and calmer.
    grid_spacing : float in [4, 768], if "bspline" in stages
        Between the nodes of the B-splines on the last level, in pixels of an image of 768. Smaller
        bends, and imagines, more; larger is stiffer.
    bending_energy : float in [0, 100000], if "bspline" in stages
        Weight of the bending against the metric. Larger is stiffer.
    seed : int in [1, 99]
        Of the random points. The same seed and input give the same transform.
    parameters : mapping of str to value or sequence, optional
        Of elastix itself, for every stage, over all that is set here: ``{"HowToCombineTransforms":
        "Compose"}``. The manual at elastix.dev explains them.
    log_folder : str, optional
        Existing folder in which ``elastix.log`` is kept, of a success too. None: no log.

    Returns
    -------
    sitk.Transform
        Maps points (x, y) of the fixed image, in pixels, to points of the moving image. Beyond
        their grid, B-splines leave points where the linear stages put them.

    Raises
    ------
    ValueError
        For images, masks or knobs that are not as described.
    elastix_run.ElastixError
        If elastix gives up: with its reason, and its whole log as ``error.log``.
    RegistrationError
        If an image shows nothing or the result cannot be true (`methods.check_result`).
    """
    for stage in stages or [stages]:
        check_choice("stage", stage, STAGES)
    pair = prepare_pair(fixed, moving, fixed_mask, moving_mask, normalise=normalise)
    # elastix does not look before it leaps: out of its bounds it takes the whole process down.
    check_range("samples", samples, 1, pair.fixed.size)
    start = find_start(pair, initialisation)
    inside = transforms.overlap(pair.fixed_mask, pair.moving_mask, start)
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
        *_placed(replace(pair, fixed_mask=inside), start), maps, log_folder=log_folder
    )
    transform = transforms.compose(*found, start)
    if normalise:
        least = {"least_correlation": LEAST_BSPLINE_CORRELATION} if "bspline" in stages else {}
        check_result(transform, pair, **least)
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
    """Make fixed and moving image and mask; the moving ones lie where the start puts them.

    The start is a rotation and a shift, which an ITK image can have as its direction and origin: so
    nothing is interpolated twice.
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
