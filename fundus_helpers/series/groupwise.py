"""Groupwise registration: all visits of an eye registered to a common frame.

If a visit is the template, its own distortion is passed on to all others. A group has no template.
Its frame is the coordinate system in which the mean displacement of the visits is zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk

from fundus_helpers import transforms
from fundus_helpers.loading.light import erode, normalise_illumination
from fundus_helpers.methods import METHODS, elastix_run
from fundus_helpers.methods.knobs import check_range
from fundus_helpers.methods.pair import RIM
from fundus_helpers.series.registering import Registration, register_series
from fundus_helpers.transforms import fields
from fundus_helpers.transforms.transform import RegistrationError

STACK_PARAMETERS = {
    "Registration": "MultiResolutionRegistration",
    "Transform": "BSplineStackTransform",
    "Metric": "VarianceOverLastDimensionMetric",
    "SubtractMean": True,
    "SampleLastDimensionRandomly": False,
    "FixedImagePyramid": "FixedSmoothingImagePyramid",
    "MovingImagePyramid": "MovingSmoothingImagePyramid",
    "Interpolator": "LinearInterpolator",
    "ResampleInterpolator": "FinalNearestNeighborInterpolator",
}


@dataclass(frozen=True)
class Group:
    """Visits registered to a common frame.

    Attributes
    ----------
    registrations : list of Registration
        In the order of the visits. The transforms map points of the frame to points of the visit.
    mean : float32 ndarray in [0, 1], shape (height, width)
        Mean of the registered visits, with even illumination.
    mask : bool ndarray, shape (height, width)
        True where at least half of the visits show the retina.
    """

    registrations: list[Registration]
    mean: np.ndarray
    mask: np.ndarray


def iterated_mean(
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    names: Sequence[str],
    *,
    reference: int = 0,
    method: str = "optical_flow_dis",
    rounds: int = 2,
    jobs: int = -1,
    shown: bool = True,
    **knobs: object,
) -> Group:
    """Register visits to their own mean in several rounds, and remove the mean displacement.

    Joshi et al., NeuroImage 2004, doi:10.1016/j.neuroimage.2004.07.068. Time and memory are
    proportional to the number of visits.

    Parameters
    ----------
    images : sequence of float32 ndarray in [0, 1], shape (height, width)
    masks : sequence of bool ndarray
        True inside the fields of view.
    names : sequence of str
    reference : int
        Position of the visit that serves as the first mean.
    method : str
        One of `METHODS`.
    rounds : int
        Number of times that all visits are registered, 1 or more. In the first round they are
        registered to the reference.
    jobs, shown
        See `series.register_series`.
    **knobs
        Passed on to the method.

    Raises
    ------
    RegistrationError
        If no other visit could be registered to the reference.
    """
    check_range("rounds", rounds, 1)
    even = _evenly_lit(images, masks)
    template, mask = images[reference], masks[reference]
    for _ in range(rounds):
        found = None  # frees the transforms of the last round
        found = register_series(
            METHODS[method],
            template,
            images,
            names,
            template_mask=mask,
            masks=masks,
            jobs=jobs,
            shown=shown,
            **knobs,
        )
        found = centred(found, mask.shape)
        template, mask = _mean(even, masks, found, mask.shape)
    return Group(found, template, mask)


def elastix_stack(
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    names: Sequence[str],
    *,
    reference: int = 0,
    method: str = "elastix_affine",
    resolutions: int = 2,
    iterations: int = 200,
    samples: int = 2048,
    grid_spacing: float = 48.0,
    seed: int = 1,
    parameters: Mapping[str, object] | None = None,
    jobs: int = -1,
    shown: bool = True,
) -> Group:
    """Register all visits at once, with the least variance over time (elastix).

    Metz et al., Medical Image Analysis 2011, doi:10.1016/j.media.2010.10.003. The visits are first
    registered to the reference by a linear method. Then a stack of B-splines deforms all of them
    together; its mean displacement is zero. The whole stack is several times in memory.

    Parameters
    ----------
    images, masks, names, reference
        See `iterated_mean`.
    method : str
        One of the linear `METHODS`, for the initial registration.
    resolutions, iterations, samples, grid_spacing, seed, parameters
        See `methods.elastix.register`.
    jobs, shown
        See `iterated_mean`.

    Raises
    ------
    RegistrationError
        If no other visit could be registered to the reference, or elastix fails.
    """
    shape = images[reference].shape
    check_range("resolutions", resolutions, 1, 8)
    check_range("iterations", iterations, 1)
    check_range("samples", samples, 1, images[reference].size)
    check_range("grid_spacing", grid_spacing, 4, 768)
    found = register_series(
        METHODS[method],
        images[reference],
        images,
        names,
        template_mask=masks[reference],
        masks=masks,
        jobs=jobs,
        shown=shown,
    )
    found = centred(found, shape)
    even = _evenly_lit(images, masks)
    done = [i for i, registration in enumerate(found) if registration.transform is not None]
    # The stack is large; the array is not kept beside its ITK image.
    stack = sitk.GetImageFromArray(
        np.stack([transforms.warp(even[i], found[i].transform, shape, fill=0.5) for i in done])
    )
    inside = sitk.GetImageFromArray(
        np.stack(
            [
                transforms.warp_mask(erode(masks[i], RIM), found[i].transform, shape).astype(
                    np.uint8
                )
                for i in done
            ]
        )
    )
    levels = [2.0**level for level in reversed(range(resolutions))]
    stage = STACK_PARAMETERS | {
        "NumberOfResolutions": resolutions,
        "ImagePyramidSchedule": [int(value) for f in levels for value in (f, f, 0)],
        "GridSpacingSchedule": levels,
        "FinalGridSpacingInPhysicalUnits": grid_spacing * max(shape) / 768,
        "MaximumNumberOfIterations": iterations,
        "NumberOfSpatialSamples": samples,
        "RandomSeed": seed,
        **(parameters or {}),
    }
    splines = elastix_run.run(stack, stack, inside, inside, [stage])
    for i, spline in zip(done, splines, strict=True):
        found[i] = replace(found[i], transform=transforms.compose(spline, found[i].transform))
    return Group(found, *_mean(even, masks, found, shape))


def centred(found: Sequence[Registration], shape: tuple[int, int]) -> list[Registration]:
    """Move the frame so that the mean displacement of the registered visits is zero.

    Parameters
    ----------
    found : sequence of Registration
        From one common frame to each visit. Failed ones are returned unchanged.
    shape : (height, width)
        Shape of the frame.

    Raises
    ------
    RegistrationError
        If fewer than two visits are registered.
    """
    done = [r.transform for r in found if r.transform is not None]
    if len(done) < 2:
        reasons = "; ".join(f"{r.visit}: {r.reason}" for r in found if r.reason)
        raise RegistrationError(f"no two visits could be registered ({reasons})")
    mean = sum(transforms.displacement(transform, shape) for transform in done) / len(done)
    inverse = transforms.invert(transforms.from_displacement(mean), shape)
    # A coarse field, because every visit gets a copy of it.
    back = fields.every_second(transforms.displacement(inverse, shape))
    back = transforms.from_displacement(back, spacing=2)
    return [
        r if r.transform is None else replace(r, transform=transforms.compose(back, r.transform))
        for r in found
    ]


def _evenly_lit(images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> list[np.ndarray]:
    pairs = zip(images, masks, strict=True)
    return [normalise_illumination(image, mask) for image, mask in pairs]


def _mean(
    even: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    found: Sequence[Registration],
    shape: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    total, count = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for image, mask, registration in zip(even, masks, found, strict=True):
        if registration.transform is not None:
            inside = transforms.warp_mask(erode(mask, RIM), registration.transform, shape)
            total += inside * transforms.warp(image, registration.transform, shape)
            count += inside
    mean = np.where(count > 0, total / np.maximum(count, 1), 0.5).astype(np.float32)
    return mean, count >= max(count.max() / 2, 1)
