"""Keypoints: places of an image that one would know again in another, and how they look."""

from dataclasses import dataclass

import cv2
import numpy as np

from fundus_helpers.methods.cache import remembered


@dataclass(frozen=True)
class Keypoints:
    """Places one would know again, found in one image.

    Attributes
    ----------
    points : float ndarray, shape (n, 2)
        (x, y) in pixels.
    sizes, angles : float ndarray, shape (n,)
        Diameter in pixels, and direction in degrees.
    descriptors : float32 ndarray, shape (n, 128)
        RootSIFT, of unit length.
    shape : (height, width)
        Of the image.
    """

    points: np.ndarray
    sizes: np.ndarray
    angles: np.ndarray
    descriptors: np.ndarray
    shape: tuple[int, int]


@remembered
def find_keypoints(
    image: np.ndarray,
    mask: np.ndarray,
    *,
    count: int = 2000,
    contrast: float = 0.01,
    size: int = 400,
) -> Keypoints:
    """Find and describe keypoints.

    SIFT (Lowe, IJCV 2004, doi:10.1023/B:VISI.0000029664.99615.94), its descriptors as RootSIFT
    (Arandjelovic and Zisserman, CVPR 2012, doi:10.1109/CVPR.2012.6248018).

    Parameters
    ----------
    image : float ndarray in [0, 1], shape (height, width)
    mask : bool ndarray, shape (height, width)
        True where keypoints may lie.
    count : int
        The strongest so many are kept. More finds more matches in poor images, and is slower.
    contrast : float
        Weakest contrast of a keypoint. Smaller finds more, and more in the grain.
    size : int
        A larger image is shrunk to this longer side first. Larger is slower, and finds no more that
        can be found again.
    """
    factor = min(size / max(image.shape), 1)
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    mask = cv2.resize(mask.astype(np.uint8), small.shape[::-1], interpolation=cv2.INTER_NEAREST)
    sift = cv2.SIFT_create(count, contrastThreshold=contrast, edgeThreshold=20)
    grey = (np.clip(small, 0, 1) * 255).round().astype(np.uint8)
    found, descriptors = sift.detectAndCompute(grey, mask)
    if not found:
        descriptors = np.zeros((0, 128), np.float32)
    # Roots of histograms that sum to one: of unit length, and strong gradients no longer rule.
    descriptors = np.sqrt(descriptors / np.maximum(descriptors.sum(1, keepdims=True), 1e-9))
    points = np.array([keypoint.pt for keypoint in found], float).reshape(-1, 2)
    points = (points + 0.5) / factor - 0.5
    sizes = np.array([keypoint.size for keypoint in found], float)
    angles = np.array([keypoint.angle for keypoint in found], float)
    return Keypoints(points, sizes, angles, descriptors, image.shape)
