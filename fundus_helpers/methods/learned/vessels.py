"""The vessels of a pair: only votes on them count, since the border of a lesion moves as it grows.

A network cannot tell the border of a lesion that has grown from a border that was displaced.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from fundus_helpers import transforms
from fundus_helpers.methods.keypoints.vessels import vessel_strength, vessel_weight
from fundus_helpers.methods.learned.canvas import SIZE, Canvas
from fundus_helpers.methods.learned.votes import Mapping, Votes
from fundus_helpers.methods.networks.tensors import Stack

# Side in pixels of the canvas on which vessels are sought; on one of half of it, their polarity.
SOUGHT = 384
# Standard deviation of evenly lit images, which `loading.normalise_illumination` gives to all.
DEVIATION = 0.107
# The share of a vote that counts everywhere.
EVERYWHERE = 0.003


@dataclass(frozen=True)
class Vessels:
    """Weights of the vessels of two photographs.

    Attributes
    ----------
    fixed, moving : float32 ndarray in [0, 1], shape (384, 384)
        1 on and beside vessels, 0 where there are none. See `keypoints.vessels.vessel_weight`.
    """

    fixed: np.ndarray
    moving: np.ndarray

    @classmethod
    def of(cls, canvas: Canvas) -> "Vessels":
        """Find the vessels of both photographs of a pair, dark or bright."""
        return cls(_vessels(canvas.fixed), _vessels(canvas.moving))

    def weighted(self, votes: Votes, mapping: Mapping) -> Votes:
        """Reduce the weights of votes where one of the photographs shows no vessel.

        Parameters
        ----------
        votes : Votes
        mapping : callable
            The mapping of the look.
        """
        side = len(votes.weights)
        here, there = (
            cv2.resize(weights, (side, side), interpolation=cv2.INTER_AREA)
            for weights in (self.fixed, self.moving)
        )
        places = (mapping(votes.points) + 0.5) * (side / SIZE) - 0.5
        both = here * transforms.remap(there, places)  # 0 beyond the moving photograph
        return replace(votes, weights=votes.weights * (EVERYWHERE + both).astype(np.float32))


def _vessels(photograph: Stack) -> np.ndarray:
    image, mask = (tensor[0, 0].numpy() for tensor in (photograph.images, photograph.masks))
    image, inside = 0.5 + DEVIATION * _shrunk(image, SOUGHT), _shrunk(mask, SOUGHT) > 0.9
    coarse = _shrunk(image, SOUGHT // 2), _shrunk(mask, SOUGHT // 2) > 0.9
    dark, bright = (vessel_strength(each, coarse[1]).sum() for each in (coarse[0], 1 - coarse[0]))
    return vessel_weight(image if dark >= bright else 1 - image, inside)


def _shrunk(image: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
