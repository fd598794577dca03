"""Transforms: made, applied to points, composed, inverted, rescaled, saved and read.

A transform is a `SimpleITK.Transform` that maps points (x, y) of the fixed image to points of the
moving image. Coordinates are in pixels; the centre of the first pixel is (0, 0). Arrays are
indexed [row, column].
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from fundus_helpers.files import written_beside
from fundus_helpers.transforms import fields
from fundus_helpers.transforms.linear import LinearModel, nearest_matrix


class RegistrationError(RuntimeError):
    """A registration that failed, or whose result cannot be right; the message says why."""


def identity() -> sitk.Transform:
    """Return the transform that maps every point to itself."""
    return sitk.AffineTransform(2)


def map_points(transform: sitk.Transform, points: np.ndarray) -> np.ndarray:
    """Map points of the fixed image to points of the moving image.

    Parameters
    ----------
    transform : sitk.Transform
    points : array_like, shape (n, 2)
        (x, y) in pixels of the fixed image.

    Returns
    -------
    float64 ndarray, shape (n, 2)
        (x, y) in pixels of the moving image.

    Examples
    --------
    >>> import fundus_helpers as fh
    >>> shift = fh.transforms.from_matrix([[1, 0, 30], [0, 1, -10]])
    >>> fh.map_points(shift, [[100, 50], [0, 0]])
    array([[130.,  40.],
           [ 30., -10.]])
    """
    points = np.asarray(points, float).reshape(-1, 2)
    return np.array([transform.TransformPoint(point) for point in points.tolist()]).reshape(-1, 2)


def map_points_back(
    transform: sitk.Transform,
    points: np.ndarray,
    *,
    tolerance: float = 1e-6,
    iterations: int = 50,
) -> np.ndarray:
    """Map points of the moving image back to points of the fixed image.

    Newton's method with a numerical Jacobian finds each point, so this works for every transform.
    Where it does not converge, as at the folds of a rough field, the point is searched for up to
    192 px away.

    Parameters
    ----------
    transform : sitk.Transform
    points : ndarray, shape (n, 2)
        (x, y) in pixels of the moving image.
    tolerance : float
        Largest distance, in pixels of the moving image, between a point and where its result is
        mapped to.
    iterations : int
        Largest number of Newton steps.

    Returns
    -------
    float64 ndarray, shape (n, 2)
        (x, y) in pixels of the fixed image; NaN where no point of the fixed image maps to a point.
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
    """Search for the point that maps to a target, for a transform too rough for Newton's method."""
    starts, reach, step = target[None], 96, 2.0
    while step > 1e-4:
        steps = np.stack(np.meshgrid(*[step * np.arange(-reach, reach + 1)] * 2), axis=-1)
        near = (starts[:, None] + steps.reshape(1, -1, 2)).reshape(-1, 2)
        distance = np.linalg.norm(map_points(transform, near) - target, axis=1)
        # At a fold, the nearest point of the coarse grid need not be close to the solution.
        starts, reach, step = near[np.argsort(distance, kind="stable")[:30]], 3, step / 3
    return starts[0] if distance.min() < 0.1 else np.full(2, np.nan)


def displacement(transform: sitk.Transform, shape: tuple[int, int]) -> np.ndarray:
    """Sample the displacements of a transform at every pixel of the fixed image.

    Parameters
    ----------
    transform : sitk.Transform
    shape : (height, width)
        Shape of the fixed image.

    Returns
    -------
    float64 ndarray, shape (height, width, 2)
        (dx, dy) in pixels.
    """
    kind, size = sitk.sitkVectorFloat64, tuple(shape)[::-1]
    return sitk.GetArrayFromImage(sitk.TransformToDisplacementField(transform, kind, size=size))


def from_displacement(
    field: np.ndarray, spacing: int = 1, origin: int = 0
) -> sitk.DisplacementFieldTransform:
    """Make a transform from a displacement field.

    ITK does not move points beyond the last node of the field.

    Parameters
    ----------
    field : float ndarray, shape (height, width, 2)
        Displacements (dx, dy) in pixels at the nodes.
    spacing : int
        Distance between neighbouring nodes in pixels.
    origin : int
        The first node is at (`origin`, `origin`), in pixels.
    """
    image = sitk.GetImageFromArray(np.ascontiguousarray(field, dtype=np.float64), isVector=True)
    image.SetSpacing((spacing, spacing))
    image.SetOrigin((origin, origin))
    return sitk.DisplacementFieldTransform(image)


def from_function(
    function: Callable[[np.ndarray], np.ndarray], shape: tuple[int, int], *, spacing: int = 2
) -> sitk.Transform:
    """Make a transform from a smooth function of points.

    The transform is a displacement field on the fixed image, followed by the linear transform that
    fits the function best. Beyond the field, only the linear transform acts.

    Parameters
    ----------
    function : callable
        Maps fixed points (x, y), shape (height, width, 2), to moving points.
    shape : (height, width)
        Shape of the fixed image.
    spacing : int
        Distance between the nodes of the field in pixels.
    """
    # One node beyond every edge, so that the field covers the last pixel.
    rows, columns = (np.arange(-spacing, n + spacing, spacing, dtype=float) for n in shape)
    nodes = np.stack(np.meshgrid(columns, rows), axis=2)
    mapped = function(nodes)
    field, linear = without_linear_part(nodes, mapped)
    return compose(from_displacement(field, spacing, -spacing), linear)


def from_matrix(matrix: np.ndarray) -> sitk.AffineTransform:
    """Make an affine transform from a 2 x 3 matrix that maps fixed (x, y, 1) to moving (x, y)."""
    matrix = np.asarray(matrix, float)
    transform = sitk.AffineTransform(2)
    transform.SetMatrix(matrix[:, :2].ravel().tolist())
    transform.SetTranslation(matrix[:, 2].tolist())
    return transform


def to_matrix(transform: sitk.Transform) -> np.ndarray:
    """Return the 2 x 3 matrix of a linear transform (see `from_matrix`).

    Raises
    ------
    ValueError
        If the transform is not linear.
    """
    if not transform.IsLinear():
        raise ValueError(f"{transform.GetName()} is not linear and has no matrix; check IsLinear()")
    origin, x, y = map_points(transform, [[0, 0], [1, 0], [0, 1]])
    return np.column_stack([x - origin, y - origin, origin])


def compose(*transforms: sitk.Transform) -> sitk.Transform:
    """Chain transforms; the first argument is applied to a point first."""
    if all(transform.IsLinear() for transform in transforms):
        product = np.eye(3)
        for transform in transforms:
            product = np.vstack([to_matrix(transform), [0, 0, 1]]) @ product
        return from_matrix(product[:2])
    chain = sitk.CompositeTransform(list(reversed(transforms)))  # ITK applies the last one first
    chain.FlattenTransform()  # ITK cannot save a chain within a chain
    return chain


def invert(transform: sitk.Transform, shape: tuple[int, int]) -> sitk.Transform:
    """Make the transform from the moving image back to the fixed image.

    A linear transform is inverted exactly. Any other becomes a displacement field on the moving
    image, accurate to about 0.01 px where the transform does not fold.

    Parameters
    ----------
    transform : sitk.Transform
    shape : (height, width)
        Shape of the moving image.
    """
    if transform.IsLinear():
        return from_matrix(to_matrix(transform.GetInverse()))
    field = displacement(transform, shape)
    grid = fields.pixel_grid(shape)
    linear = from_matrix(nearest_matrix(grid, grid + field))
    # The filter cannot invert displacements that leave the grid: remove the linear part first.
    rest = from_displacement(displacement(compose(transform, linear.GetInverse()), shape))
    inverter = sitk.InvertDisplacementFieldImageFilter()
    inverter.SetMaximumNumberOfIterations(100)
    inverter.SetMaxErrorToleranceThreshold(0.01)
    inverter.SetMeanErrorToleranceThreshold(0.001)
    inverter.EnforceBoundaryConditionOff()
    inverse = inverter.Execute(rest.GetDisplacementField())
    return compose(linear.GetInverse(), sitk.DisplacementFieldTransform(inverse))


def without_linear_part(
    points: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, sitk.AffineTransform]:
    """Split a movement of points into displacements and the nearest linear transform after them."""
    linear = from_matrix(nearest_matrix(points, targets))
    back = to_matrix(linear.GetInverse())
    return targets @ back[:, :2].T + back[:, 2] - points, linear


def linear_part(
    transform: sitk.Transform, shape: tuple[int, int], model: LinearModel = "affine"
) -> sitk.AffineTransform:
    """Return the linear transform that is nearest to any transform, by least squares.

    Parameters
    ----------
    transform : sitk.Transform
        Maps fixed points to moving points.
    shape : (height, width)
        Of the fixed image, where the two are compared.
    model : {"translation", "rigid", "similarity", "affine"}
        How many parameters the result may have.
    """
    rows, columns = (np.linspace(0, n - 1, 9) for n in shape)
    points = np.stack(np.meshgrid(columns, rows), axis=2).reshape(-1, 2)
    return from_matrix(nearest_matrix(points, map_points(transform, points), model))


def rescale_points(points: np.ndarray, factor: float) -> np.ndarray:
    """Return the pixel coordinates of points after an image is resized by a factor.

    The corners of the image stay in place: they are at -0.5, outside the centre of the first pixel.
    """
    return (np.asarray(points, float) + 0.5) * factor - 0.5


def rescale(
    transform: sitk.Transform, fixed_factor: float, moving_factor: float | None = None
) -> sitk.Transform:
    """Convert a transform between resized images to a transform between the images at another size.

    Parameters
    ----------
    transform : sitk.Transform
        Between the images at the size at which they were registered.
    fixed_factor, moving_factor : float
        Wanted size divided by registered size, for each image. None: the factor of the fixed image.
        A transform found at 768 px is converted to photographs of 2912 px by
        ``rescale(transform, 2912 / 768)``.
    """
    moving_factor = fixed_factor if moving_factor is None else moving_factor
    return compose(_scaling(1 / fixed_factor), transform, _scaling(moving_factor))


def _scaling(factor: float) -> sitk.AffineTransform:
    offset = 0.5 * factor - 0.5
    return from_matrix([[factor, 0, offset], [0, factor, offset]])


def jacobian_determinant(transform: sitk.Transform, shape: tuple[int, int]) -> np.ndarray:
    """Compute the Jacobian determinant of a transform at every pixel: the local change of area.

    1 keeps the area; where it is 0 or less, the transform folds.

    Parameters
    ----------
    transform : sitk.Transform
    shape : (height, width)
        Shape of the fixed image.

    Returns
    -------
    float64 ndarray, shape (height, width)
    """
    return fields.area(displacement(transform, shape))


def folding(transform: sitk.Transform, mask: np.ndarray) -> float:
    """Compute the share of the pixels inside a mask of the fixed image where a transform folds."""
    return fields.folded_share(displacement(transform, mask.shape), mask)


def save(transform: sitk.Transform, path: Path | str) -> Path:
    """Write a transform as ITK's own file, which `load` and other ITK programs read.

    Parameters
    ----------
    transform : sitk.Transform
    path : path
        Ends in ``.tfm`` (a text file) or ``.h5`` (a compact file, better for displacement fields).
    """
    path = Path(path)
    if path.suffix not in (".tfm", ".h5"):
        raise ValueError(f"{path.name}: a transform is saved as .tfm or .h5; change the ending")
    with written_beside(path) as part:
        sitk.WriteTransform(transform, str(part))
    return path


def save_by_kind(transform: sitk.Transform, path: Path | str) -> Path:
    """Write a transform with the ending of its kind: ``.tfm`` if it is linear, otherwise ``.h5``.

    Parameters
    ----------
    transform : sitk.Transform
    path : path
        Without an ending.

    Returns
    -------
    Path
        The file that was written.
    """
    path = Path(path)
    return save(transform, path.with_name(path.name + (".tfm" if transform.IsLinear() else ".h5")))


def load(path: Path | str) -> sitk.Transform:
    """Read a transform that `save` or another ITK program wrote.

    Raises
    ------
    ValueError
        If the file is missing, or is not a two-dimensional transform.
    """
    path = Path(path)
    try:
        transform = sitk.ReadTransform(str(path))
    except RuntimeError as error:
        raise ValueError(
            f"{path.name}: not a transform that ITK can read; give a .tfm or .h5 file"
        ) from error
    if transform.GetDimension() != 2:
        raise ValueError(f"{path.name}: maps {transform.GetDimension()}-D points; give a 2-D one")
    return transform
