"""The vessels of a pair: only votes on them count, since the border of a lesion moves as it grows.

A network cannot tell the border of a lesion that has grown from a border that was displaced.
"""

from dataclasses import dataclass, replace

import numpy as np

from fundus_helpers import transforms
from fundus_helpers.loading.values import resize
from fundus_helpers.methods.keypoints.vessels import vessel_strength, vessel_weight
from fundus_helpers.methods.learned.canvas import SIZE, Canvas
from fundus_helpers.methods.learned.votes import Mapping, Votes
from fundus_helpers.methods.networks.tensors import Stack

# Side in pixels of the canvas on which vessels are sought. Whether they are dark or bright is found
# on a canvas of half this side.
SOUGHT = 384
# Standard deviation of evenly lit photographs: 0.100 to 0.111 in those of FIRE.
DEVIATION = 0.107
# Factor of the weight of a vote away from all vessels; on a vessel it is about 1.
EVERYWHERE = 0.003
# In pairs of one eye, the vessels keep 6 percent or more of the weight of all votes. If they keep
# less than this share, no vessels are seen, and no vote counts.
LEAST_SHARE = 0.02


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
        """Multiply the weight of each vote by how surely both photographs show a vessel there.

        Parameters
        ----------
        votes : Votes
        mapping : callable
            The mapping of the look.

        Returns
        -------
        Votes
            All weights are 0 if hardly any vessels are seen.
        """
        side = len(votes.weights)
        here, there = (resize(weights, side) for weights in (self.fixed, self.moving))
        places = (mapping(votes.points) + 0.5) * (side / SIZE) - 0.5
        both = here * transforms.remap(there, places)  # 0 beyond the moving photograph
        weights = votes.weights * (EVERYWHERE + both).astype(np.float32)
        if weights.sum() < LEAST_SHARE * votes.weights.sum():
            weights = np.zeros_like(weights)
        return replace(votes, weights=weights)


def _vessels(photograph: Stack) -> np.ndarray:
    image, mask = (tensor[0, 0].numpy() for tensor in (photograph.images, photograph.masks))
    image, inside = 0.5 + DEVIATION * resize(image, SOUGHT), resize(mask, SOUGHT) > 0.9
    coarse = resize(image, SOUGHT // 2), resize(mask, SOUGHT // 2) > 0.9
    dark, bright = (vessel_strength(each, coarse[1]).sum() for each in (coarse[0], 1 - coarse[0]))
    return vessel_weight(image if dark >= bright else 1 - image, inside)
