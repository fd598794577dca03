"""Values of photographs: their range, [0, 1], one channel, another size."""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from skimage.color import rgb2gray

from fundus_helpers.loading.formats.kinds import UnusableImageError

CHANNELS = ("green", "grey")
_BITS = (8, 10, 12, 14, *range(16, 33, 2))  # bits that cameras and programs store


@dataclass(frozen=True)
class ValueRange:
    """The values of a photograph that stand for black and white.

    Attributes
    ----------
    low, high : float
        Black and white, in the values of the file.
    told : str
        The range in plain words, for example ``12 bits of 16: values up to 4095``.
    """

    low: float
    high: float
    told: str


class ValueRanges:
    """The value ranges of an eye's photographs: one for each dtype, for all photographs of it.

    The photographs are added one after the other, so that they need not be in memory together.

    Examples
    --------
    A camera stores 12 bits in files of 16 bits:

    >>> import numpy as np
    >>> from fundus_helpers.loading.values import ValueRanges
    >>> ranges = ValueRanges()
    >>> for brightest in (2900, 3800):
    ...     ranges.add(np.array([[0, brightest]], np.uint16))
    >>> ranges.of(np.uint16)
    ValueRange(low=0.0, high=4095.0, told='12 bits of 16: values up to 4095')
    """

    def __init__(self) -> None:
        self._extremes: dict[np.dtype, tuple[float, float]] = {}

    @property
    def dtypes(self) -> list[np.dtype]:
        """The dtypes of the photographs that were added."""
        return [*self._extremes]

    def add(self, image: np.ndarray) -> None:
        """Take a photograph into account.

        Raises
        ------
        UnusableImageError
            If it has NaN or infinite pixels, or no real numbers.
        """
        if image.dtype.kind not in "buif":
            raise UnusableImageError(f"values of the type {image.dtype}; accepted are real numbers")
        if image.dtype.itemsize == 1 and image.dtype.kind in "bu":  # the range is known
            low, high = 0.0, 255.0
        else:
            low, high = float(image.min()), float(image.max())
        if not np.isfinite([low, high]).all():
            raise UnusableImageError("has NaN or infinite pixels; set them to 0")
        before = self._extremes.get(image.dtype, (low, high))
        self._extremes[image.dtype] = min(low, before[0]), max(high, before[1])

    def of(self, dtype: np.dtype | type) -> ValueRange:
        """Return the range of the photographs of a dtype, of which at least one was added.

        Without negative values, black is 0, and white is the largest value of the fewest bits (8,
        10, 12, 14, 16, ...) that hold every photograph; of floats up to 1 it is 1, of percentages
        100. With negative
        values, black and white are the smallest and the largest value.
        """
        dtype = np.dtype(dtype)
        low, high = self._extremes[dtype]
        if dtype.kind == "b":
            return ValueRange(0.0, 1.0, "black and white")
        if low < 0:
            told = f"values from {low:.7g} to {high:.7g}"
            return ValueRange(low, high if high > low else low + 1, told)
        if dtype.kind == "f":
            return _range_of_floats(high)
        return _range_of_integers(high, dtype)


def _range_of_integers(largest: float, dtype: np.dtype) -> ValueRange:
    whole = float(np.iinfo(dtype).max)
    bits = next((bits for bits in _BITS if largest <= 2**bits - 1 < whole), None)
    if bits is None:
        return ValueRange(0.0, whole, f"{8 * dtype.itemsize} bits: values up to {whole:.0f}")
    told = f"{bits} bits of {8 * dtype.itemsize}: values up to {2**bits - 1}"
    return ValueRange(0.0, 2.0**bits - 1, told)


def _range_of_floats(largest: float) -> ValueRange:
    if largest <= 1:
        # 10 or 12 bits of 16, which a program has divided by 65535, would be almost black.
        white = next((w for w in (1023 / 65535, 4095 / 65535) if 0 < largest <= w), 1.0)
        return ValueRange(0.0, white, f"floats from 0 to {white:.4g}")
    # A few per cent beyond 1, or percentages, would be dark in the range of 8 bits.
    white = next((2.0**bits - 1 for bits in _BITS if largest <= 2**bits - 1), largest)
    white = largest if largest < 255 / 4 else 100.0 if largest <= 100 else white
    return ValueRange(0.0, white, f"floats up to {white:.7g}")


def value_range(photographs: Iterable[np.ndarray]) -> ValueRange:
    """Decide which values of the photographs of an eye are black and white: one range for all.

    Parameters
    ----------
    photographs : iterable of ndarray
        As `loading.read_photograph` gives them, of one dtype. Each is looked at once, so that a
        generator need not keep them. For several dtypes, see `loading.ValueRanges`.

    Returns
    -------
    ValueRange
        See `loading.ValueRanges`.

    Raises
    ------
    ValueError
        If there is no photograph, or if they have several dtypes.
    UnusableImageError
        If a photograph has NaN or infinite pixels, or no real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from fundus_helpers.loading.values import value_range
    >>> value_range([np.array([[0, 700]], np.uint16), np.array([[3, 1000]], np.uint16)]).told
    '10 bits of 16: values up to 1023'
    """
    ranges = ValueRanges()
    for photograph in photographs:
        ranges.add(photograph)
    if len(ranges.dtypes) != 1:
        found = ", ".join(map(str, ranges.dtypes)) or "none"
        raise ValueError(f"photographs of one dtype are needed, found: {found}; see ValueRanges")
    return ranges.of(ranges.dtypes[0])


def _range_alone(image: np.ndarray) -> ValueRange:
    return value_range([image])


def to_unit_range(image: np.ndarray, value_range: ValueRange | None = None) -> np.ndarray:
    """Scale an image to float32, so that black is 0 and white is 1.

    Parameters
    ----------
    image : ndarray
        Any real dtype.
    value_range : ValueRange, optional
        From `loading.value_range` or `loading.ValueRanges`; values beyond it lie beyond [0, 1].
        None: that of this image alone. For 8 bits, and for 16 bits that are used, this is the range
        of the dtype.

    Raises
    ------
    UnusableImageError
        If the image has NaN or infinite pixels, or no real numbers.
    """
    own = value_range or _range_alone(image)
    low, high = own.low, own.high
    if (low, high) == (0, 1):
        return image.astype(np.float32)
    if low == 0:
        return (image / np.float32(high)).astype(np.float32, copy=False)
    return ((image - np.float64(low)) / (high - low)).astype(np.float32)


def stretched(image: np.ndarray, value_range: ValueRange | None = None) -> np.ndarray:
    """Stretch a photograph to the whole range of its dtype, so that any viewer shows it.

    Parameters
    ----------
    image : ndarray
        A photograph, as `loading.read_photograph` gives it.
    value_range : ValueRange, optional
        See `loading.to_unit_range`.

    Returns
    -------
    ndarray
        With the dtype of the image; floats in [0, 1]. The same array if nothing changes, as for 8
        bits.

    Examples
    --------
    >>> import numpy as np
    >>> from fundus_helpers.loading.values import stretched
    >>> stretched(np.array([[0, 1365, 4095]], np.uint16))
    array([[    0, 21845, 65535]], dtype=uint16)
    """
    if image.dtype == bool:
        return image
    own = value_range or _range_alone(image)
    low, high = own.low, own.high
    white = 1.0 if image.dtype.kind == "f" else float(np.iinfo(image.dtype).max)
    if (low, high) == (0, white):
        return image
    scaled = (image - np.float64(low)) * (white / (high - low))
    if image.dtype.kind != "f":
        scaled = np.rint(scaled)
    return np.clip(scaled, 0, white).astype(image.dtype)


def single_channel(
    image: np.ndarray, channel: str = "green", value_range: ValueRange | None = None
) -> np.ndarray:
    """Reduce a photograph to the one channel that is registered, as float32 in [0, 1].

    Parameters
    ----------
    image : ndarray, shape (height, width) or (height, width, 3)
        Any real dtype. The colours are in the order red, green, blue.
    channel : {"green", "grey"}
        ``green`` shows the vessels of a colour photograph with the best contrast; ``grey`` is the
        luminance, as in the article. Both return an image of one channel unchanged.
    value_range : ValueRange, optional
        See `loading.to_unit_range`.

    Returns
    -------
    float32 ndarray, shape (height, width)
    """
    if channel not in CHANNELS:
        raise ValueError(f"channel {channel!r} is not one of {CHANNELS}")
    value_range = value_range or _range_alone(image)  # of all channels
    if image.ndim == 3 and channel == "green":
        image = image[..., 1]  # first, for a large photograph in floats needs much memory
    image = to_unit_range(image, value_range)
    return image if image.ndim == 2 else rgb2gray(image).astype(np.float32)


def resize(image: np.ndarray, size: int | None) -> np.ndarray:
    """Resize an image so that its longer side has a given number of pixels.

    Pixels are averaged when an image is made smaller. The corners of both images coincide, so that
    pixel x of the original is at ``(x + 0.5) * size / longer_side - 0.5`` of the result (see
    `transforms.rescale_points`).

    Parameters
    ----------
    image : ndarray, shape (height, width) or (height, width, channels)
    size : int, optional
        Longer side in pixels, 16 or more. None returns the image unchanged.
    """
    height, width = image.shape[:2]
    if size is None or size == max(height, width):
        return image
    if size < 16:
        raise ValueError(f"size {size} px is too small to register; give 16 or more")
    factor = size / max(height, width)
    shape = max(round(width * factor), 1), max(round(height * factor), 1)
    kind = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    # Rounding and the overshoot of cubic interpolation must not exceed the range of the image.
    return np.clip(cv2.resize(image, shape, interpolation=kind), image.min(), image.max())
