"""Keypoints: points of an image that can be recognised in another one, and their descriptors."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from fundus_helpers.methods.cache import remembered


@dataclass(frozen=True)
class Keypoints:
    """The keypoints of one image.

    Attributes
    ----------
    points : float ndarray, shape (n, 2)
        (x, y) in pixels.
    sizes, angles : float ndarray, shape (n,)
        Diameter in pixels, and direction in degrees.
    descriptors : float32 ndarray, shape (n, 128)
        RootSIFT descriptors of unit length.
    shape : (height, width)
        Shape of the image.
    """

    points: np.ndarray
    sizes: np.ndarray
    angles: np.ndarray
    descriptors: np.ndarray
    shape: tuple[int, int]

    def turned(self, degrees: float) -> "Keypoints":
        """Return the keypoints as if the image had been turned back by so many degrees.

        The points stay where they are; only their directions change. So they can be compared with
        those of an image that is turned otherwise.
        """
        return replace(self, angles=self.angles - degrees)


@remembered
def find_keypoints(
    image: np.ndarray,
    mask: np.ndarray,
    *,
    count: int = 2000,
    contrast: float = 0.01,
    size: int = 400,
) -> Keypoints:
    """Find keypoints and compute their descriptors.

    The keypoints are SIFT (Lowe, IJCV 2004, doi:10.1023/B:VISI.0000029664.99615.94), the
    descriptors are RootSIFT (Arandjelovic and Zisserman, CVPR 2012,
    doi:10.1109/CVPR.2012.6248018).

    Parameters
    ----------
    image : float ndarray in [0, 1], shape (height, width)
    mask : bool ndarray, shape (height, width)
        True where keypoints may lie.
    count : int
        Number of keypoints; the strongest are kept. More give more matches in poor images, and
        take longer.
    contrast : float
        Least contrast of a keypoint. A smaller value finds more keypoints, but also more in noise.
    size : int
        A larger image is first shrunk to this longer side in pixels. A larger size takes longer
        and does not give more keypoints that can be found again.
    """
    factor = min(size / max(image.shape), 1)
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    mask = cv2.resize(mask.astype(np.uint8), small.shape[::-1], interpolation=cv2.INTER_NEAREST)
    sift = cv2.SIFT_create(count, contrastThreshold=contrast, edgeThreshold=20)
    grey = (np.clip(small, 0, 1) * 255).round().astype(np.uint8)
    found, descriptors = sift.detectAndCompute(grey, mask)
    if not found:
        descriptors = np.zeros((0, 128), np.float32)
    # The square root of a histogram that sums to one has unit length, and gives strong gradients
    # less influence.
    descriptors = np.sqrt(descriptors / np.maximum(descriptors.sum(1, keepdims=True), 1e-9))
    points = np.array([keypoint.pt for keypoint in found], float).reshape(-1, 2)
    points = (points + 0.5) / factor - 0.5
    sizes = np.array([keypoint.size for keypoint in found], float)
    angles = np.array([keypoint.angle for keypoint in found], float)
    return Keypoints(points, sizes, angles, descriptors, image.shape)
