"""The same places in two images."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Matches:
    """The same places in two images.

    Attributes
    ----------
    fixed_points, moving_points : float ndarray, shape (n, 2)
        (x, y) in pixels of either image.
    fixed_shape, moving_shape : (height, width)
        Of the two images.
    """

    fixed_points: np.ndarray
    moving_points: np.ndarray
    fixed_shape: tuple[int, int]
    moving_shape: tuple[int, int]

    def __len__(self) -> int:
        """Count the matches."""
        return len(self.fixed_points)
