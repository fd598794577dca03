"""Smooth transforms inverted quickly, on few nodes."""

import numpy as np
import SimpleITK as sitk

from fundus_helpers.transforms import fields
from fundus_helpers.transforms.transform import (
    compose,
    from_displacement,
    from_matrix,
    to_matrix,
    without_linear_part,
)
from fundus_helpers.transforms.warping import remap

STEPS = 30  # at most; each divides what is left by ten or more where a transform is smooth
CLOSE = 1e-4  # pixels; nodes that move less have arrived


def invert_smooth(
    transform: sitk.Transform, shape: tuple[int, int], *, spacing: int = 2
) -> sitk.Transform:
    """Make the transform from the moving image back to the fixed image, quickly.

    It is for transforms that bend smoothly, like those of keypoints. It takes about a tenth of the
    time of `invert`, from which it differs by less than 0.05 px on the painted eyes. A rough field
    needs `invert`.

    Parameters
    ----------
    transform : sitk.Transform
    shape : (height, width)
        Shape of the moving image.
    spacing : int
        Distance between the nodes of the inverse in pixels.

    Returns
    -------
    sitk.Transform
        Exact if `transform` is linear.

    Examples
    --------
    >>> import numpy as np
    >>> import fundus_helpers as fh
    >>> wave = np.zeros((64, 64, 2))
    >>> wave[..., 0] = np.sin(np.arange(64) / 10)[:, None]
    >>> forth = fh.transforms.from_displacement(wave)
    >>> back = fh.transforms.invert_smooth(forth, (64, 64))
    >>> fh.map_points(back, fh.map_points(forth, [[30, 20]])).round(2)
    array([[30., 20.]])
    """
    if transform.IsLinear():
        return from_matrix(to_matrix(transform.GetInverse()))
    rest, linear = _sampled(transform, shape, spacing)
    # One node beyond every edge, so that the inverse covers the last pixel.
    height, width = (side // spacing + 3 for side in shape)
    nodes = fields.pixel_grid((height, width), float) * spacing - spacing
    inverse = np.zeros_like(nodes)
    for _ in range(STEPS):
        places = (nodes + inverse) / spacing
        better = -remap(rest, places, fill=None).astype(float)
        moved = np.abs(better - inverse).max()
        inverse = better
        if moved < CLOSE:
            break
    return compose(linear.GetInverse(), from_displacement(inverse, spacing, -spacing))


def _sampled(
    transform: sitk.Transform, shape: tuple[int, int], spacing: int
) -> tuple[np.ndarray, sitk.Transform]:
    """Split a transform into displacements (float32) of the nodes and a linear transform after."""
    size = [(side - 1) // spacing + 1 for side in shape]
    kind, apart = sitk.sitkVectorFloat64, (spacing, spacing)
    sampled = sitk.TransformToDisplacementField(transform, kind, size[::-1], outputSpacing=apart)
    nodes = fields.pixel_grid(tuple(size), float) * spacing
    rest, linear = without_linear_part(nodes, nodes + sitk.GetArrayFromImage(sampled))
    return rest.astype(np.float32), linear
