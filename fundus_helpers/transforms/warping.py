"""Images and masks resampled on the pixel grid of the fixed image."""

import cv2
import numpy as np
import SimpleITK as sitk

from fundus_helpers.transforms.fields import pixel_grid

INTERPOLATORS = {
    "nearest": sitk.sitkNearestNeighbor,
    "linear": sitk.sitkLinear,
    "cubic": sitk.sitkBSpline3,
}
# What OpenCV can interpolate. Photographs are warped in strips of so many rows. The transform is
# looked up at so many places along the longer side, at least; it is smooth between them.
OPENCV_TYPES = ("uint8", "uint16", "int16", "float32", "float64")
STRIP, PLACES = 256, 768
OPENCV_INTERPOLATORS = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}


def as_itk_image(image: np.ndarray) -> sitk.Image:
    """Convert an array to an ITK image: origin (0, 0), spacing 1 pixel, colours as components."""
    return sitk.GetImageFromArray(image, isVector=image.ndim == 3)


def warp(
    moving: np.ndarray,
    transform: sitk.Transform,
    shape: tuple[int, int] | None = None,
    *,
    interpolation: str = "linear",
    fill: float = 0.0,
) -> np.ndarray:
    """Warp a moving image onto the pixel grid of the fixed image.

    Parameters
    ----------
    moving : ndarray, shape (height, width) or (height, width, channels)
        Integers of any size, float32 or float64. Images keep their values and their dtype. For
        masks see `warp_mask`.
    transform : sitk.Transform
        Maps points of the fixed image to points of the moving image.
    shape : (height, width), optional
        Shape of the fixed image. None: the shape of the moving image.
    interpolation : {"nearest", "linear", "cubic"}
        ``cubic`` keeps thin vessels sharpest; ``nearest`` keeps the values of a label image.
    fill : float
        Value of the pixels that the moving image does not cover.

    Returns
    -------
    ndarray, shape `shape` (and channels), dtype of `moving`

    Raises
    ------
    ValueError
        For another interpolation.

    Examples
    --------
    A shift by 2 pixels: pixel x of the result shows what the moving image has at x + 2.

    >>> import numpy as np
    >>> import fundus_helpers as fh
    >>> moving = np.array([[10, 20, 30, 40]], np.uint8)
    >>> shift = fh.transforms.from_matrix([[1, 0, 2], [0, 1, 0]])
    >>> fh.warp(moving, shift)
    array([[30, 40,  0,  0]], dtype=uint8)
    """
    if interpolation not in INTERPOLATORS:
        raise ValueError(f"interpolation {interpolation!r} is not one of {[*INTERPOLATORS]}")
    height, width = moving.shape[:2] if shape is None else shape
    grid = sitk.Image(width, height, sitk.sitkUInt8)
    kind = INTERPOLATORS[interpolation]
    return sitk.GetArrayFromImage(sitk.Resample(as_itk_image(moving), grid, transform, kind, fill))


def warp_photograph(
    moving: np.ndarray,
    transform: sitk.Transform,
    shape: tuple[int, int],
    *,
    interpolation: str = "cubic",
    fill: float = 0.0,
) -> np.ndarray:
    """Warp a photograph on disk, which may be large, quickly and in little memory.

    The transform must be smooth, like that of a registration. It is interpolated between pixels of
    a coarse grid. Positions are rounded to 1/32 pixel.

    Parameters
    ----------
    moving, transform, shape, interpolation, fill
        See `warp`.

    Returns
    -------
    ndarray, shape `shape` (and channels), dtype of `moving`

    Examples
    --------
    >>> import numpy as np
    >>> import fundus_helpers as fh
    >>> moving = np.array([[10, 20, 30, 40]], np.uint8)
    >>> shift = fh.transforms.from_matrix([[1, 0, 2], [0, 1, 0]])
    >>> fh.transforms.warp_photograph(moving, shift, (1, 4))
    array([[30, 40,  0,  0]], dtype=uint8)
    """
    if interpolation not in OPENCV_INTERPOLATORS or moving.dtype.name not in OPENCV_TYPES:
        return warp(moving, transform, shape, interpolation=interpolation, fill=fill)
    height, width = shape
    spacing = 2 ** max(int(np.log2(max(shape) / PLACES)), 0)  # OpenCV keeps 1/32 of it exactly
    size = width // spacing + 2, height // spacing + 2
    field = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, size=size, outputSpacing=(spacing, spacing)
    )
    nodes = sitk.GetArrayFromImage(field) + spacing * pixel_grid(size[::-1])
    warped = np.empty((height, width, *moving.shape[2:]), moving.dtype)
    last = np.array(moving.shape[1::-1]) - 0.5
    for top in range(0, height, STRIP):
        strip = warped[top : top + STRIP]
        places = between_nodes(nodes, spacing, strip.shape[:2], top=top)
        strip[:] = remap(moving, places, interpolation=interpolation, fill=None)
        strip[np.any((places < -0.5) | (places > last), axis=2)] = fill
    return warped


def between_nodes(
    nodes: np.ndarray, spacing: int, shape: tuple[int, int], *, top: int = 0
) -> np.ndarray:
    """Interpolate a smooth map, linearly, between the pixels at which it is known.

    Parameters
    ----------
    nodes : float ndarray, shape (rows, columns, 2)
        (x, y) that every `spacing`-th pixel is mapped to, from the first pixel to beyond the last.
    spacing : int
        Distance between neighbouring nodes in pixels.
    shape : (height, width)
        Of the result.
    top : int
        Row of the image at which the result begins.

    Returns
    -------
    float32 ndarray, shape (height, width, 2)
    """
    to_nodes = np.array([[1 / spacing, 0, 0], [0, 1 / spacing, top / spacing]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(nodes.astype(np.float32), to_nodes, shape[::-1], flags=flags)


def warp_mask(
    mask: np.ndarray, transform: sitk.Transform, shape: tuple[int, int] | None = None
) -> np.ndarray:
    """Warp a mask of the moving image onto the fixed grid.

    Parameters
    ----------
    mask : bool ndarray, shape (height, width)
    transform, shape
        See `warp`.

    Returns
    -------
    bool ndarray, shape `shape`
        True where the warped mask covers at least half of a pixel.
    """
    return warp(mask.astype(np.float32), transform, shape) >= 0.5


def overlap(
    fixed_mask: np.ndarray, moving_mask: np.ndarray, transform: sitk.Transform
) -> np.ndarray:
    """Return the overlap of two fields of view as a mask on the fixed grid."""
    return fixed_mask & warp_mask(moving_mask, transform, fixed_mask.shape)


def follow(moving: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Warp a moving image onto the fixed grid by a displacement field, quickly.

    OpenCV rounds coordinates to 1/32 pixel and takes a fifth of the time of `warp`. This is
    accurate enough for display and for a preview.

    Parameters
    ----------
    moving : float32 ndarray, shape (height, width)
    field : float ndarray, shape (height, width, 2) of the fixed image
        Displacements (dx, dy) in pixels, from fixed to moving points.

    Returns
    -------
    float32 ndarray, shape (height, width) of the field
        0 where the moving image does not cover a pixel.
    """
    return remap(moving, field + pixel_grid(field.shape[:2]))


def remap(
    image: np.ndarray,
    points: np.ndarray,
    *,
    interpolation: str = "linear",
    fill: float | None = 0.0,
) -> np.ndarray:
    """Look up the values of an image at points, quickly. Positions are rounded to 1/32 pixel.

    Parameters
    ----------
    image : float32 ndarray, shape (height, width) or (height, width, channels)
        Less than 32768 px on each side, and so are the rows and columns of the points.
    points : float ndarray, shape (rows, columns, 2)
        (x, y) in pixels of the image.
    interpolation : {"linear", "cubic"}
    fill : float, optional
        Value beyond the edges of the image. None: the value of the nearest pixel of the edge.

    Returns
    -------
    float32 ndarray, shape (rows, columns), and the channels of the image

    Raises
    ------
    ValueError
        If the points have another shape, or for another interpolation.
    """
    points = np.ascontiguousarray(points, np.float32)
    if points.ndim != 3 or points.shape[2] != 2:
        raise ValueError(f"points have shape {points.shape}; (rows, columns, 2) is needed")
    if interpolation not in OPENCV_INTERPOLATORS:
        raise ValueError(f"interpolation {interpolation!r} is not one of {[*OPENCV_INTERPOLATORS]}")
    border = {"borderMode": cv2.BORDER_REPLICATE} if fill is None else {"borderValue": (fill,) * 4}
    found = cv2.remap(image, points, None, OPENCV_INTERPOLATORS[interpolation], **border)
    return found.reshape(points.shape[:2] + image.shape[2:])  # OpenCV drops a single channel


def remap_mask(mask: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Look up at points whether a mask covers them. See `warp_mask` for a transform.

    Parameters
    ----------
    mask : bool ndarray, shape (height, width)
    points : float ndarray, shape (rows, columns, 2)
        (x, y) in pixels of the mask.

    Returns
    -------
    bool ndarray, shape (rows, columns)
        True where the mask covers at least half of a pixel. False beyond its edges.

    Raises
    ------
    ValueError
        If the points have another shape.
    """
    return remap(mask.astype(np.float32), points) >= 0.5
