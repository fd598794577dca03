"""What is wrong with photographs that could not be registered, in plain words."""

from functools import cached_property

import cv2
import numpy as np
import SimpleITK as sitk

from fundus_helpers import transforms
from fundus_helpers.loading.light import erode, field_of_view
from fundus_helpers.methods.burned_in import BLOCKY, VISIBLE_BLOCKS
from fundus_helpers.methods.keypoints.features import Keypoints
from fundus_helpers.methods.keypoints.registration import find_homography
from fundus_helpers.methods.pair import RIM, Pair
from fundus_helpers.metrics.evidence import keypoints_of
from fundus_helpers.transforms.transform import RegistrationError

FEW_KEYPOINTS = 200  # a photograph with fewer is doubtful
# A photograph is dark if the median of its field of view is below the first value, and over-exposed
# if a share above the second one is white.
DARK, WHITE_SHARE, WHITE = 0.08, 0.3, 0.95
# The contrast of vessels is the range of 96 % of the differences between two blurs, whose standard
# deviations are shares of the longer side, relative to the median. 40 photographs of six cameras
# have 0.08 and more, nearly all 0.14; the same blurred over 20 px of 768 have 0.03.
BLURS, LEAST_CONTRAST = (0.003, 0.012), 0.07
# A transform lays the blocks of JPEG on each other if this share of the points is displaced by a
# whole number of blocks, within the second value, a share of a block. By chance one point in nine.
ON_BLOCKS, OFF_BLOCKS = 0.5, 1 / 6


class Examined:
    """Two photographs that are being judged: what is found in them is found once, when asked for.

    Parameters
    ----------
    fixed, moving : float ndarray in [0, 1], shape (height, width)
        Not evenly lit.
    pair : Pair
        The same two images, evenly lit.
    """

    def __init__(self, fixed: np.ndarray, moving: np.ndarray, pair: Pair) -> None:
        self.images, self.pair = (fixed, moving), pair

    @cached_property
    def keypoints(self) -> tuple[Keypoints, Keypoints]:
        """Keypoints of both images."""
        return keypoints_of(self.pair)

    def poor_photographs(self, *, failed: bool) -> list[str]:
        """Say which photograph shows too little, and what to do.

        Parameters
        ----------
        failed : bool
            Whether the registration failed. Otherwise only photographs with few keypoints are told.
        """
        return [
            f"the {name} photograph {cause}; retake it, or exclude it"
            for name, image, found in zip(
                ("fixed", "moving"), self.images, self.keypoints, strict=True
            )
            if (failed or len(found.points) < FEW_KEYPOINTS)
            and (cause := _cause(image, len(found.points)))
        ]

    @cached_property
    def mirrored(self) -> list[str]:
        """Say so if one photograph is the mirror image of the other one."""
        pair = self.pair
        turned = Pair(pair.fixed, pair.moving[:, ::-1], pair.fixed_mask, pair.moving_mask[:, ::-1])
        try:
            find_homography(turned)
        except RegistrationError:
            return []
        return ["one photograph is the mirror image of the other one; export it again, unmirrored"]

    def compressed(self, transform: sitk.Transform | None = None) -> list[str]:
        """Say so if both photographs are too strongly compressed.

        Parameters
        ----------
        transform : sitk.Transform, optional
            Of the images of the pair. If it lays the blocks of both photographs on each other, it
            may have been found from them. Then weaker compression is too strong, too.
        """
        blocks = self.pair.burned_in.blocks
        if blocks >= BLOCKY:
            seen = "that blocks hide the retina"
        elif blocks >= VISIBLE_BLOCKS and transform is not None and self._on_blocks(transform):
            seen = "that they may be registered by their blocks instead of their vessels"
        else:
            return []
        return [
            f"both photographs are so strongly compressed (JPEG) {seen}; "
            "export them again with less compression"
        ]

    def _on_blocks(self, transform: sitk.Transform) -> bool:
        """Return whether a transform lays the blocks of both images on each other."""
        pair = self.pair
        block = pair.burned_in.block_size * max(pair.fixed.shape)
        field = transforms.displacement(transform, pair.fixed.shape)[pair.fixed_mask] / block
        off = np.abs(field - np.round(field)).max(axis=1)
        return bool(np.mean(off < OFF_BLOCKS) > ON_BLOCKS)

    @property
    def burned_in(self) -> list[str]:
        """Say how much is burned into both photographs, so that it does not show the retina."""
        share = self.pair.burned_in.share
        if not share:
            return []
        return [
            f"{share:.0%} of both photographs is burned in (text, lines, dust) and was left out"
        ]


def _cause(image: np.ndarray, keypoints: int) -> str:
    """Return what is wrong with a photograph, with the number behind; empty if nothing is found."""
    inside = erode(field_of_view(image), RIM)
    if not inside.any():
        return "is black: nothing can be seen"
    middle, white = np.median(image[inside]), np.mean(image[inside] > WHITE)
    if middle < DARK:
        return f"is too dark: hardly any vessels can be seen (median brightness {middle:.0%})"
    if white > WHITE_SHARE:
        return f"is over-exposed: hardly any vessels can be seen ({white:.0%} of it is white)"
    fine, coarse = (
        cv2.GaussianBlur(image.astype(np.float32), (0, 0), share * max(image.shape))
        for share in BLURS
    )
    contrast = np.ptp(np.quantile((fine - coarse)[inside], (0.02, 0.98))) / middle
    if contrast < LEAST_CONTRAST:
        return f"is blurred, or shows hardly any vessels (their contrast is {contrast:.0%})"
    if keypoints < FEW_KEYPOINTS:
        return f"shows little that can be found again ({keypoints} keypoints)"
    return ""
