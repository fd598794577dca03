"""Points of two images that show the same place of the retina."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Matches:
    """Points of two images that show the same places of the retina.

    Attributes
    ----------
    fixed_points, moving_points : float ndarray, shape (n, 2)
        (x, y) in pixels of each image; points with the same index belong together.
    fixed_shape, moving_shape : (height, width)
        Shapes of the two images.
    """

    fixed_points: np.ndarray
    moving_points: np.ndarray
    fixed_shape: tuple[int, int]
    moving_shape: tuple[int, int]

    def __len__(self) -> int:
        """Return the number of matches."""
        return len(self.fixed_points)
