"""Intensity registration with few parameters: translation, rigid, similarity, affine.

ITK's registration framework (Avants et al., Frontiers in Neuroinformatics 2014,
doi:10.3389/fninf.2014.00044), on evenly lit images, inside both fields of view, from coarse to
fine, started where a masked cross-correlation says so.
"""

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

from fundus_helpers import transforms
from fundus_helpers.methods.knobs import checked
from fundus_helpers.methods.pair import check_result, prepare_pair
from fundus_helpers.methods.start import ANGLES, find_start

MODELS = {
    "translation": lambda: sitk.TranslationTransform(2),
    "rigid": sitk.Euler2DTransform,
    "similarity": sitk.Similarity2DTransform,
    "affine": lambda: sitk.AffineTransform(2),
}


METRICS = ("correlation", "mean_squares", "mutual_information")


OPTIMISERS = ("regular_step", "conjugate_gradient", "gradient_descent")


# In pixels: registration is done when a step has shrunk to this.
SMALLEST_STEP = 0.005


# What the article does: raw grey images, black border and all, plain descent from the identity.
# Give it masks that are True everywhere. It is here to be looked at, not to be used.
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
    model: str = "rigid",
    normalise: bool = True,
    initialisation: str = "cross_correlation",
    metric: str = "correlation",
    optimiser: str = "regular_step",
    learning_rate: float = 1.0,
    iterations: int = 100,
    shrink_factors: Sequence[int] = (8, 4, 2, 1),
    samples: int = 10_000,
    seed: int = 1,
    balanced: bool = True,
) -> sitk.Transform:
    """Register two photographs of a retina with a transform of few parameters.

    Parameters
    ----------
    fixed, moving : float ndarray in [0, 1], shape (height, width)
    fixed_mask, moving_mask : bool ndarray, optional
        True inside the field of view; None: found by `loading.field_of_view`.
    model : {"translation", "rigid", "similarity", "affine"}
        Of 2, 3, 4 or 6 parameters. Two photographs seldom have the very same magnification, so
        ``similarity`` is the least that fits.
    normalise : bool
        Even out the illumination first. False registers brightness, not the retina.
    initialisation : {"cross_correlation", "geometry", "moments", "identity"}
        Where it starts: at the best of all shifts and some rotations, with the centres or the
        centres of brightness on each other, or as the images lie (`methods.find_start`).
    metric : {"correlation", "mean_squares", "mutual_information"}
        What is made as good as possible. ``mutual_information`` is for two modalities.
    optimiser : {"regular_step", "conjugate_gradient", "gradient_descent"}
        ``regular_step`` halves its step when it turns back, and so stops by itself.
    learning_rate : float in [0.05, 20] px
        First step in pixels (if `balanced`). Larger reaches farther and may jump past the solution.
    iterations : int in [1, 1000]
        Steps at most, on each level.
    shrink_factors : sequence of int
        One level each, coarse to fine. A larger first factor forgives a worse start.
    samples : int in [0, 100000] points
        The metric looks at this many pixels of a level at most, on a jittered grid. More is slower
        and, beyond the default, seldom better; 0: at all pixels.
    seed : int in [1, 99]
        Of the jitter.
    balanced : bool
        Measure in half widths of the image from its centre, where a step of any parameter moves
        the rim of the image alike. False: in pixels from the corner, where a radian counts like a
        pixel, and the image swings about that corner.

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
        If an image shows nothing or the result cannot be true (`methods.check_result`).
    """
    pair = prepare_pair(fixed, moving, fixed_mask, moving_mask, normalise=normalise)
    to_pixels = _unit_square(pair.fixed.shape) if balanced else transforms.identity()
    unit = transforms.to_matrix(to_pixels)[0, 0]
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)  # the order of sums, and so the last digit, is always the same
    method.SetInterpolator(sitk.sitkLinear)
    _set_metric(method, metric)
    _set_optimiser(method, optimiser, learning_rate / unit, iterations, SMALLEST_STEP / unit)
    _set_levels(method, shrink_factors, samples / pair.fixed.size, seed)
    method.SetMetricFixedMask(_in_units(pair.fixed_mask, to_pixels))
    method.SetMetricMovingMask(_in_units(pair.moving_mask, to_pixels))
    angles = (0.0,) if model == "translation" else ANGLES
    start = find_start(pair, initialisation, angles=angles)
    start = transforms.compose(to_pixels, start, to_pixels.GetInverse())
    method.SetInitialTransform(_of_model(model, start), inPlace=True)
    try:
        in_units = method.Execute(*(_in_units(i, to_pixels) for i in (pair.fixed, pair.moving)))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].split(": ")[-1]
        raise transforms.RegistrationError(f"ITK gave up: {reason}") from error
    transform = transforms.compose(to_pixels.GetInverse(), in_units, to_pixels)
    if normalise:
        check_result(transform, pair)
    return transform


def _unit_square(shape: tuple[int, int]) -> sitk.AffineTransform:
    """Map half widths from the centre of an image to its pixels.

    In these units a step of any parameter (shift, radian, scale, shear) moves the rim of the image
    by about as much. ITK's own scales from physical shift look at a few pixels about the centre,
    where rotation and scale move nothing, and now and then throw the image far off.
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
        # Just the learning rate, never estimated from the image: as the article has it.
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


def _of_model(model: str, start: sitk.Transform) -> sitk.Transform:
    """Express a rotation and shift as a transform of the model (a translation: the shift only)."""
    transform = MODELS[model]()
    (cosine, _, dx), (sine, _, dy) = transforms.to_matrix(start)
    if model == "translation":
        transform.SetOffset((dx, dy))
    else:
        transform.SetTranslation((dx, dy))
        transform.SetMatrix((cosine, -sine, sine, cosine))
    return transform
