"""Intensity registration with few parameters: translation, rigid, similarity, affine.

This is the registration framework of ITK (Avants et al., Frontiers in Neuroinformatics 2014,
doi:10.3389/fninf.2014.00044). It registers evenly lit images inside both fields of view, from
coarse to fine. By default a masked cross-correlation finds the start.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import SimpleITK as sitk
from annotated_types import Interval

from fundus_helpers import transforms
from fundus_helpers.methods.knobs import ImageUnit, checked
from fundus_helpers.methods.lines import LookAt
from fundus_helpers.methods.pair import check_result, prepare_pair
from fundus_helpers.methods.start import ANGLES, Initialisation, find_start

MODELS = {
    "translation": lambda: sitk.TranslationTransform(2),
    "rigid": sitk.Euler2DTransform,
    "similarity": sitk.Similarity2DTransform,
    "affine": lambda: sitk.AffineTransform(2),
}

# In pixels. The registration ends when its steps are this small.
SMALLEST_STEP = 0.005

# The settings of the article: raw grey images with their black border, and plain gradient descent
# from the identity. Use them with masks that are True everywhere, and only for a comparison.
ARTICLE_SETTINGS = {
    "normalise": False,
    "initialisation": "identity",
    "metric": "mean_squares",
    "optimiser": "gradient_descent",
    "learning_rate": 1.0,
    "iterations": 100,
    "shrink_factors": (1,),
    "samples": 0,
    "balanced": False,
}


@checked
def register(
    fixed: np.ndarray,
    moving: np.ndarray,
    *,
    fixed_mask: np.ndarray | None = None,
    moving_mask: np.ndarray | None = None,
    start: sitk.Transform | None = None,
    model: Literal["translation", "rigid", "similarity", "affine"] = "rigid",
    look_at: LookAt = "images",
    normalise: bool = True,
    initialisation: Initialisation = "cross_correlation",
    metric: Literal["correlation", "mean_squares", "mutual_information"] = "correlation",
    optimiser: Literal["regular_step", "conjugate_gradient", "gradient_descent"] = "regular_step",
    learning_rate: Annotated[float, Interval(ge=0.05, le=20), ImageUnit("px")] = 1.0,
    iterations: Annotated[int, Interval(ge=1, le=1000)] = 100,
    shrink_factors: Sequence[int] = (8, 4, 2, 1),
    samples: Annotated[int, Interval(ge=0, le=100_000), ImageUnit("points")] = 10_000,
    seed: Annotated[int, Interval(ge=1, le=99)] = 1,
    balanced: bool = True,
) -> sitk.Transform:
    """Register two photographs of a retina with a transform that has few parameters.

    Parameters
    ----------
    fixed, moving : float ndarray in [0, 1], shape (height, width)
    fixed_mask, moving_mask : bool ndarray, optional
        True inside the field of view; None: found by `loading.field_of_view`.
    start : sitk.Transform, optional
        A transform that is nearly right, for example from points placed by hand
        (`methods.points.from_points`). It replaces the `initialisation`.
    model : {"translation", "rigid", "similarity", "affine"}
        Transform with 2, 3, 4 or 6 parameters. Two photographs rarely have exactly the same
        magnification, so ``similarity`` is the simplest model that fits.
    look_at : {"images", "vessels"}
        What is registered: the photographs, or pictures of their vessels, bright or dark.
        ``vessels`` is for photographs of two modalities.
    normalise : bool
        Even out the illumination first. False: the brightness is registered, not the retina.
    initialisation : {"cross_correlation", "geometry", "moments", "identity"}
        Start of the registration: the best of all shifts and some rotations, the centres of the
        images aligned, their centres of brightness aligned, or the images not moved at all
        (`methods.start.find_start`).
    metric : {"correlation", "mean_squares", "mutual_information"}
        Similarity of the images that is optimised. ``mutual_information`` is for photographs of
        two modalities.
    optimiser : {"regular_step", "conjugate_gradient", "gradient_descent"}
        ``regular_step`` shortens its step when the direction reverses, and stops when the step is
        small.
    learning_rate : float in [0.05, 20] px
        Length of the first step, in pixels if `balanced`. A larger step reaches a solution that is
        farther away, but it may miss a near one.
    iterations : int in [1, 1000]
        Largest number of steps on each level.
    shrink_factors : sequence of int
        Factors by which the images are shrunk, one per level, from coarse to fine. A larger first
        factor allows a worse start.
    samples : int in [0, 100000] points
        Largest number of pixels, on a jittered grid, from which the metric is computed on a level.
        More samples are slower and, above the default, rarely better; 0: all pixels.
    seed : int in [1, 99]
        Seed of the random jitter of the samples.
    balanced : bool
        Measure lengths in half image widths from the image centre. Then a step of any parameter
        moves the rim of the image equally far. False: lengths are measured in pixels from the
        corner. Then a radian counts like a pixel, and the image rotates about the corner.

    Returns
    -------
    sitk.Transform
        Maps points (x, y) of the fixed image, in pixels, to points of the moving image. The same
        input gives the same transform.

    Raises
    ------
    ValueError
        For images, masks or knobs that are not as described.
    RegistrationError
        If an image shows nothing, or if the result is not plausible (`methods.pair.check_result`).
    """
    how = {"normalise": normalise, "look_at": look_at}
    pair = prepare_pair(fixed, moving, fixed_mask, moving_mask, **how)
    to_pixels = _unit_square(pair.fixed.shape) if balanced else transforms.identity()
    unit = transforms.to_matrix(to_pixels)[0, 0]
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)  # then sums always have the same order and the same last digit
    method.SetInterpolator(sitk.sitkLinear)
    _set_metric(method, metric)
    _set_optimiser(method, optimiser, learning_rate / unit, iterations, SMALLEST_STEP / unit)
    _set_levels(method, shrink_factors, samples / pair.fixed.size, seed)
    method.SetMetricFixedMask(_in_units(pair.fixed_mask, to_pixels))
    method.SetMetricMovingMask(_in_units(pair.moving_mask, to_pixels))
    angles = (0.0,) if model == "translation" else ANGLES
    begin = find_start(pair, initialisation, start=start, model=model, angles=angles)
    begin = transforms.compose(to_pixels, begin, to_pixels.GetInverse())
    method.SetInitialTransform(_of_model(model, begin, whole=start is not None), inPlace=True)
    try:
        in_units = method.Execute(*(_in_units(i, to_pixels) for i in (pair.fixed, pair.moving)))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].split(": ")[-1]
        raise transforms.RegistrationError(
            f"the registration found nothing that both photographs show (ITK: {reason})"
        ) from error
    transform = transforms.compose(to_pixels.GetInverse(), in_units, to_pixels)
    if normalise:
        check_result(transform, pair, modalities=metric == "mutual_information")
    return transform


def _unit_square(shape: tuple[int, int]) -> sitk.AffineTransform:
    """Map coordinates in half image widths from the centre of an image to its pixels.

    In these units a step of any parameter (shift, angle, scale, shear) moves the rim of the image
    about equally far. The parameter scales of ITK are estimated from a few pixels near the centre,
    which rotation and scale hardly move, and sometimes the image is moved far away.
    """
    height, width = shape
    half = max(shape) / 2
    return transforms.from_matrix([[half, 0, (width - 1) / 2], [0, half, (height - 1) / 2]])


def _in_units(array: np.ndarray, to_pixels: sitk.Transform) -> sitk.Image:
    image = transforms.as_itk_image(array.astype(np.uint8 if array.dtype == bool else np.float32))
    origin, neighbour = transforms.map_points(to_pixels.GetInverse(), [[0, 0], [1, 1]])
    image.SetOrigin(origin.tolist())
    image.SetSpacing((neighbour - origin).tolist())
    return image


def _set_metric(method: sitk.ImageRegistrationMethod, metric: str) -> None:
    if metric == "correlation":
        method.SetMetricAsCorrelation()
    elif metric == "mean_squares":
        method.SetMetricAsMeanSquares()
    else:
        method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=32)


def _set_optimiser(
    method: sitk.ImageRegistrationMethod, optimiser: str, step: float, iterations: int, least: float
) -> None:
    if optimiser == "regular_step":
        method.SetOptimizerAsRegularStepGradientDescent(
            step, minStep=least, numberOfIterations=iterations, relaxationFactor=0.6
        )
    elif optimiser == "conjugate_gradient":
        method.SetOptimizerAsConjugateGradientLineSearch(
            step,
            iterations,
            estimateLearningRate=method.EachIteration,
            maximumStepSizeInPhysicalUnits=step,
        )
    else:
        # As in the article, the learning rate is not estimated from the images.
        method.SetOptimizerAsGradientDescent(step, iterations, estimateLearningRate=method.Never)


def _set_levels(
    method: sitk.ImageRegistrationMethod, factors: Sequence[int], share: float, seed: int
) -> None:
    method.SetShrinkFactorsPerLevel(list(factors))
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    method.SetSmoothingSigmasPerLevel([factor / 2 if factor > 1 else 0 for factor in factors])
    if share:
        shares = [min(1.0, share * factor**2) for factor in factors]
        method.SetMetricSamplingStrategy(method.REGULAR)
        method.SetMetricSamplingPercentagePerLevel(shares, seed)


def _of_model(model: str, start: sitk.Transform, *, whole: bool = False) -> sitk.Transform:
    """Express a rotation and a shift in the model, or the `whole` start, which is of the model.

    A translation keeps the shift only.
    """
    transform = MODELS[model]()
    matrix = transforms.to_matrix(start)
    (cosine, _, dx), (sine, _, dy) = matrix
    if model == "translation":
        transform.SetOffset((dx, dy))
    elif whole and model == "affine":
        transform.SetTranslation((dx, dy))
        transform.SetMatrix(matrix[:, :2].ravel().tolist())
    else:
        transform.SetTranslation((dx, dy))
        transform.SetMatrix((cosine, -sine, sine, cosine))
    return transform
