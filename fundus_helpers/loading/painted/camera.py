"""The cameras of the painted eyes: light, focus, detector and noise of one visit."""

from dataclasses import dataclass

import cv2
import numpy as np

CAMERA_RADIUS = 0.96  # radius of the circular field of view of the colour camera, in half frames


@dataclass(frozen=True)
class Camera:
    """What a camera does to the light: `image ** gamma * gain + offset`, and its noise.

    Attributes
    ----------
    gamma, offset : float
    noise : float
        Its strength, about 1.
    speckle : float
        Size of the grains in pixels of a photograph.
    magnification : float
        How much larger than usual the retina appears.
    """

    gamma: float
    offset: float
    noise: float
    speckle: float
    magnification: float


def draw_cameras(rng: np.random.Generator) -> tuple[Camera, Camera]:
    """Draw the first camera, and the second one, which differs from it."""
    gammas = rng.permutation([rng.uniform(0.89, 0.96), rng.uniform(1.04, 1.11)]).tolist()
    offsets = rng.permutation([rng.uniform(0, 0.012), rng.uniform(0.018, 0.035)]).tolist()
    speckles = rng.permutation([rng.uniform(0.5, 0.7), rng.uniform(0.9, 1.3)]).tolist()
    noises = rng.permutation([rng.uniform(0.5, 0.8), rng.uniform(0.9, 1.2)]).tolist()
    magnification = 1 + rng.choice([-1, 1]) * rng.uniform(0.03, 0.1)
    both = zip(gammas, offsets, noises, speckles, (1.0, float(magnification)), strict=True)
    first, second = (Camera(*values) for values in both)
    return first, second


def expose(image: np.ndarray, look: str, rng: np.random.Generator, blink: bool) -> np.ndarray:
    """Add the illumination, blur and noise of one visit; return 8-bit values."""
    size = len(image)
    light, (x, y) = _draw_light(size, rng)
    blur, grain = rng.uniform(0.3, 1.1) * size / 768, rng.uniform(0.6, 1.3)
    if blink:
        image, light = _spoil_by_blink(image, light, x, y)
    image = cv2.GaussianBlur(image * np.float32(light), (0, 0), max(blur, 0.2)).reshape(image.shape)
    noise = rng.standard_normal(image.shape).astype(np.float32)
    if look == "colour":
        image = image + 0.012 * grain * noise
        image = _in_round_view(image, x, y)
    else:  # laser speckle is proportional to the signal, and coarser than a pixel
        coarse = cv2.GaussianBlur(noise[..., 0], (0, 0), 0.8)[..., np.newaxis]
        image = image * (1 + grain * (0.05 * noise + 0.16 * coarse)) + 0.006 * noise
    return _as_bytes(image)


def expose_with(
    camera: Camera, image: np.ndarray, look: str, rng: np.random.Generator, blink: bool
) -> np.ndarray:
    """Add the light, focus, detector and noise of one visit.

    Parameters
    ----------
    camera : Camera
    image : ndarray, (size, size, channels), float32
        What the retina sends back in perfect light.
    look : {"colour", "autofluorescence"}
        The modality.
    rng : numpy.random.Generator
        Draws what differs between visits.
    blink : bool
        Whether the photograph is spoilt by a blink.

    Returns
    -------
    ndarray, (size, size) or (size, size, 3), uint8
    """
    size = len(image)
    light, (x, y) = _draw_light(size, rng)
    blur = (0.3 + 1.9 * rng.uniform() ** 2) * size / 768
    gain, gamma = rng.uniform(0.85, 1.15), camera.gamma * rng.uniform(0.96, 1.04)
    offset, noise_level = camera.offset + rng.uniform(0, 0.005), camera.noise
    if blink:
        image, light = _spoil_by_blink(image, light, x, y)
    image = cv2.GaussianBlur(image * np.float32(light), (0, 0), max(blur, 0.2)).reshape(image.shape)
    image = np.maximum(image, 0)
    noise = rng.standard_normal(image.shape).astype(np.float32)
    coarse = cv2.GaussianBlur(noise, (0, 0), camera.speckle).reshape(noise.shape) * camera.speckle
    if look == "autofluorescence":  # speckle is proportional to the signal
        image = image * (1 + noise_level * (0.05 * noise + 0.2 * coarse))
    image = gain * np.maximum(image, 0) ** np.float32(gamma) + offset
    grain = 0.009 * noise + 0.03 * coarse if look == "colour" else 0.006 * noise
    image = image + noise_level * grain
    return _as_bytes(_in_round_view(image, x, y) if look == "colour" else image)


def _draw_light(
    size: int, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Draw the light (size, size, 1) that falls on a frame; also return x and y in half frames."""
    axis = (np.arange(size, dtype=np.float32) - (size - 1) / 2) / (size / 2)
    x, y = axis[np.newaxis, :, np.newaxis], axis[:, np.newaxis, np.newaxis]
    tilt, patch = rng.uniform(-0.13, 0.13, 2), rng.uniform(-0.8, 0.8, 2)
    light = rng.uniform(0.78, 1.0) * (1 + tilt[0] * x + tilt[1] * y)
    light = light * (1 - rng.uniform(0.08, 0.22) * (x**2 + y**2))  # vignette
    patch_shape = np.exp(-((x - patch[0]) ** 2 + (y - patch[1]) ** 2) / (2 * 0.35**2))
    return light * (1 + rng.uniform(-0.22, 0.15) * patch_shape), (x, y)


def _spoil_by_blink(
    image: np.ndarray, light: np.ndarray, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Put everything out of focus, in the shadow of the eyelid from above."""
    image = cv2.GaussianBlur(image, (0, 0), 0.07 * len(image)).reshape(image.shape)
    image = image.mean((0, 1)) + 0.4 * (image - image.mean((0, 1)))
    return image, light * (0.22 + 0.3 / (1 + np.exp(-(y + 0.25 * x - 0.1) / 0.2)))


def _in_round_view(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Blacken a frame outside the circular field of view of the colour camera."""
    return image * np.clip(
        CAMERA_RADIUS * len(image) / 2 - np.hypot(x, y) * len(image) / 2 + 0.5, 0, 1
    )


def _as_bytes(image: np.ndarray) -> np.ndarray:
    """Return values from 0 to 1 as 8-bit values, without an axis of one channel."""
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8).squeeze()
