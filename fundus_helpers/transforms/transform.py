"""Everything that follows from a transform, written once.

A transform is a `SimpleITK.Transform` that maps points (x, y) of the fixed image, in pixels with
the centre of the first pixel at (0, 0), to points of the moving image. Arrays are [row, column].
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from fundus_helpers.files import written_beside
from fundus_helpers.transforms import fields


class RegistrationError(RuntimeError):
    """A registration that could not be done, or whose result makes no sense; says why."""


def identity() -> sitk.Transform:
    """Make the transform that maps every point to itself."""
    return sitk.AffineTransform(2)


def map_points(transform: sitk.Transform, points: np.ndarray) -> np.ndarray:
    """Map points (x, y) of the fixed image, shape (n, 2), to points of the moving image."""
    points = np.asarray(points, float).reshape(-1, 2)
    return np.array([transform.TransformPoint(point) for point in points.tolist()]).reshape(-1, 2)


def map_points_back(
    transform: sitk.Transform,
    points: np.ndarray,
    *,
    tolerance: float = 1e-6,
    iterations: int = 50,
) -> np.ndarray:
    """Map points (x, y) of the moving image back to the fixed image.

    Newton's method on each point with a numerical Jacobian, so it works for every transform; where
    it does not come to rest, as in the cracks of a rough flow, a search up to 192 px away.

    Parameters
    ----------
    transform : sitk.Transform
    points : ndarray, shape (n, 2)
    tolerance : float, in pixels of the moving image
    iterations : int, at most

    Returns
    -------
    float64 ndarray, shape (n, 2)
        NaN for a point that no point of the fixed image maps to.
    """
    targets = np.asarray(points, float).reshape(-1, 2)
    sources = targets.copy()
    step = np.array([[1e-3, 0.0], [0.0, 1e-3]])
    for _ in range(iterations):
        residuals = map_points(transform, sources) - targets
        wrong = np.linalg.norm(residuals, axis=1) > tolerance
        if not wrong.any():
            break
        ahead, behind = (
            map_points(transform, (sources[wrong, None] + sign * step).reshape(-1, 2))
            for sign in (1, -1)
        )
        jacobians = ((ahead - behind) / 2e-3).reshape(-1, 2, 2).transpose(0, 2, 1)  # point, to, of
        sources[wrong] -= (np.linalg.pinv(jacobians) @ residuals[wrong, :, None])[..., 0]
    else:
        residuals = map_points(transform, sources) - targets
        for i in np.flatnonzero(np.linalg.norm(residuals, axis=1) > max(tolerance, 1e-3)):
            sources[i] = _search_back(transform, targets[i])
    return sources


def _search_back(transform: sitk.Transform, target: np.ndarray) -> np.ndarray:
    """Search for a point that maps to a target where the transform is too rough for Newton."""
    starts, reach, step = target[None], 96, 2.0
    while step > 1e-4:
        steps = np.stack(np.meshgrid(*[step * np.arange(-reach, reach + 1)] * 2), axis=-1)
        near = (starts[:, None] + steps.reshape(1, -1, 2)).reshape(-1, 2)
        distance = np.linalg.norm(map_points(transform, near) - target, axis=1)
        # A target inside a crack is not where the nearest of the first points is.
        starts, reach, step = near[np.argsort(distance, kind="stable")[:30]], 3, step / 3
    return starts[0] if distance.min() < 0.1 else np.full(2, np.nan)


def displacement(transform: sitk.Transform, shape: tuple[int, int]) -> np.ndarray:
    """Sample a transform on a grid: float64 (height, width, 2), (dx, dy) in pixels."""
    kind, size = sitk.sitkVectorFloat64, tuple(shape)[::-1]
    return sitk.GetArrayFromImage(sitk.TransformToDisplacementField(transform, kind, size=size))


def from_displacement(
    field: np.ndarray, spacing: int = 1, origin: int = 0
) -> sitk.DisplacementFieldTransform:
    """Make a transform of a displacement field (height, width, 2), (dx, dy) in pixels.

    Its nodes are `spacing` pixels apart, the first at (`origin`, `origin`). From the last node on,
    ITK leaves points where they are.
    """
    image = sitk.GetImageFromArray(np.ascontiguousarray(field, dtype=np.float64), isVector=True)
    image.SetSpacing((spacing, spacing))
    image.SetOrigin((origin, origin))
    return sitk.DisplacementFieldTransform(image)


def from_function(
    function: Callable[[np.ndarray], np.ndarray], shape: tuple[int, int], *, spacing: int = 2
) -> sitk.Transform:
    """Make a transform of a smooth function that maps points (x, y), shape (height, width, 2).

    A displacement field on the fixed image, of that shape, its nodes `spacing` pixels apart, then
    the nearest linear transform, as which it goes on beyond the field.
    """
    # A node beyond every edge, so that the field is whole up to the last pixel.
    rows, columns = (np.arange(-spacing, n + spacing, spacing, dtype=float) for n in shape)
    nodes = np.stack(np.meshgrid(columns, rows), axis=2)
    mapped = function(nodes)
    linear = _nearest_linear(nodes, mapped)
    back = to_matrix(linear.GetInverse())
    field = mapped @ back[:, :2].T + back[:, 2] - nodes
    return compose(from_displacement(field, spacing, -spacing), linear)


def from_matrix(matrix: np.ndarray) -> sitk.AffineTransform:
    """Make an affine transform of a 2 x 3 matrix that maps fixed (x, y, 1) to moving (x, y)."""
    matrix = np.asarray(matrix, float)
    transform = sitk.AffineTransform(2)
    transform.SetMatrix(matrix[:, :2].ravel().tolist())
    transform.SetTranslation(matrix[:, 2].tolist())
    return transform


def to_matrix(transform: sitk.Transform) -> np.ndarray:
    """Read the 2 x 3 matrix of a linear transform (see `from_matrix`).

    Raises
    ------
    ValueError
        If the transform is not linear.
    """
    if not transform.IsLinear():
        raise ValueError(f"{transform.GetName()} is not linear and has no matrix")
    origin, x, y = map_points(transform, [[0, 0], [1, 0], [0, 1]])
    return np.column_stack([x - origin, y - origin, origin])


def compose(*transforms: sitk.Transform) -> sitk.Transform:
    """Chain transforms; the first one given is applied to the point first."""
    if all(transform.IsLinear() for transform in transforms):
        product = np.eye(3)
        for transform in transforms:
            product = np.vstack([to_matrix(transform), [0, 0, 1]]) @ product
        return from_matrix(product[:2])
    chain = sitk.CompositeTransform(list(reversed(transforms)))  # ITK applies the last one first
    chain.FlattenTransform()  # a chain within a chain cannot be saved
    return chain


def invert(transform: sitk.Transform, shape: tuple[int, int]) -> sitk.Transform:
    """Make the transform from the moving image, of that shape, back to the fixed image.

    A linear transform is inverted exactly, any other as a displacement field on the moving grid,
    right to about 0.01 px where the transform does not fold.
    """
    if transform.IsLinear():
        return from_matrix(to_matrix(transform.GetInverse()))
    field = displacement(transform, shape)
    grid = np.stack(np.indices(shape)[::-1], axis=2)
    linear = _nearest_linear(grid, grid + field)
    # The inverse filter only follows what stays on the grid: take the linear part off first.
    rest = from_displacement(displacement(compose(transform, linear.GetInverse()), shape))
    inverter = sitk.InvertDisplacementFieldImageFilter()
    inverter.SetMaximumNumberOfIterations(100)
    inverter.SetMaxErrorToleranceThreshold(0.01)
    inverter.SetMeanErrorToleranceThreshold(0.001)
    inverter.EnforceBoundaryConditionOff()
    inverse = inverter.Execute(rest.GetDisplacementField())
    return compose(linear.GetInverse(), sitk.DisplacementFieldTransform(inverse))


def _nearest_linear(points: np.ndarray, targets: np.ndarray) -> sitk.AffineTransform:
    rows = np.insert(points.reshape(-1, 2), 2, 1.0, axis=1)
    return from_matrix(np.linalg.lstsq(rows, targets.reshape(-1, 2), rcond=None)[0].T)


def rescale_points(points: np.ndarray, factor: float) -> np.ndarray:
    """Map pixel coordinates when an image is resized by a factor, its corners held."""
    return (np.asarray(points, float) + 0.5) * factor - 0.5


def rescale(
    transform: sitk.Transform, fixed_factor: float, moving_factor: float | None = None
) -> sitk.Transform:
    """Make a transform found on resized images fit the images at their other size.

    Parameters
    ----------
    transform : sitk.Transform, between the images at the size they were registered at
    fixed_factor, moving_factor : float
        Wanted size over registered size, of either image (None: the same). A transform found at
        768 px fits the 2912 px photographs with ``rescale(transform, 2912 / 768)``.
    """
    moving_factor = fixed_factor if moving_factor is None else moving_factor
    return compose(_scaling(1 / fixed_factor), transform, _scaling(moving_factor))


def _scaling(factor: float) -> sitk.AffineTransform:
    offset = 0.5 * factor - 0.5
    return from_matrix([[factor, 0, offset], [0, factor, offset]])


def jacobian_determinant(transform: sitk.Transform, shape: tuple[int, int]) -> np.ndarray:
    """Local change of area: float64 (height, width); 1 keeps area, 0 or less folds."""
    return fields.area(displacement(transform, shape))


def folding(transform: sitk.Transform, mask: np.ndarray) -> float:
    """Share of the pixels inside a mask of the fixed image where det J <= 0."""
    return float(np.mean(jacobian_determinant(transform, mask.shape)[mask] <= 0))


def save(transform: sitk.Transform, path: Path | str) -> Path:
    """Write a transform for 3D Slicer, ITK-SNAP or `load`: ``.tfm`` is text, ``.h5`` is compact."""
    path = Path(path)
    if path.suffix not in (".tfm", ".h5"):
        raise ValueError(f"{path.name}: a transform is saved as .tfm or .h5")
    with written_beside(path) as part:
        sitk.WriteTransform(transform, str(part))
    return path


def load(path: Path | str) -> sitk.Transform:
    """Read a transform that `save`, or another ITK program, wrote.

    Raises
    ------
    ValueError
        If the file is not there, or is no two-dimensional transform.
    """
    path = Path(path)
    try:
        transform = sitk.ReadTransform(str(path))
    except RuntimeError as error:
        raise ValueError(f"{path.name}: not a transform that ITK can read") from error
    if transform.GetDimension() != 2:
        raise ValueError(f"{path.name}: maps {transform.GetDimension()}-D points; 2-D is needed")
    return transform
