"""The painted retina of the demo eye, with geographic atrophy that grows, and its camera.

The healthy retina is `skimage.data.retina()` (CC0, inside scikit-image's wheel, from
https://commons.wikimedia.org/wiki/File:Fundus_photograph_of_normal_left_eye.jpg). The layers lie
on its pixel grid. Atrophy is where a smooth function exceeds a threshold: lesions of growing
area are nested, foci appear and merge, and border and area are known exactly.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import skimage.data
from scipy import ndimage
from skimage.morphology import skeletonize

FIELD_MM = 8.7  # width of a frame on the retina (30 degrees, average eye), whatever its pixels


FRAME_WIDTH = 1.1 * 768  # source pixels across one frame


MM_PER_SOURCE_PIXEL = FIELD_MM / FRAME_WIDTH


CAMERA_RADIUS = 0.96  # of the circle a colour camera sees, in half frames


# Measured on the source photograph: (x, y) in its pixels.
FIELD_CENTRE, FIELD_RADIUS, FOVEA = np.array([704, 703]), 686, np.array([709, 700])


DISC_CENTRE, DISC_SEMI_AXES = np.array([216, 655]), np.array([98, 106])


# As near the disc as keeps the lesion, and nothing but retina, in the frame.
FRAME_CENTRE = {"colour": np.array([585, 695]), "autofluorescence": np.array([668, 702])}


Layers = tuple[np.ndarray, np.ndarray, np.ndarray]  # healthy, atrophic, rim


@dataclass(frozen=True)
class Retina:
    """One retina for one look; every layer is float32 (rows, columns) of the source photograph.

    `healthy` and `atrophic` are the channels (0..1) without atrophy and with nothing else,
    `level` the atrophy function, `vessels` the relative darkness of the retinal vessels and
    `rim` how much brighter the border of a lesion is than healthy retina.
    """

    look: str
    healthy: list[np.ndarray]
    atrophic: list[np.ndarray]
    level: np.ndarray
    vessels: np.ndarray
    rim: np.ndarray

    def threshold_of_area(self, area_mm2: float) -> float:
        """Return the level above which the lesion has just this area (mm2)."""
        pixels = round(area_mm2 / MM_PER_SOURCE_PIXEL**2)
        return float(np.partition(self.level.ravel(), -pixels)[-pixels])

    def splines(self, size: int) -> "Retina":
        """Return the layers as cubic spline coefficients, smoothed for frames of `size` pixels."""
        blur = max(0.4 * FRAME_WIDTH / size, 0.3)  # else small frames would alias
        smooth = [cv2.GaussianBlur(layer, (0, 0), blur) for layer in self.healthy + self.atrophic]
        layers = *smooth, self.level, self.rim  # the border must stay where it is
        *seen, level, rim = (ndimage.spline_filter(n, 3, np.float32, "mirror") for n in layers)
        channels = len(self.healthy)
        return Retina(self.look, seen[:channels], seen[channels:], level, self.vessels, rim)

    def photograph(
        self, source: np.ndarray, threshold: float, rng: np.random.Generator, blink: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Photograph the retina once; the layers must be the splines for this frame.

        Parameters
        ----------
        source : ndarray, (size * size, 2), float64
            The source pixel (x, y) that every pixel of the frame sees, row after row.
        threshold : float
            The level above which there is atrophy.
        rng : numpy.random.Generator
            For illumination, blur and noise.
        blink : bool
            Whether the photograph is spoilt by a blink.

        Returns
        -------
        photograph : ndarray, (size, size) or (size, size, 3), uint8
            Grey for autofluorescence, else RGB.
        lesion : ndarray, (size, size), uint8
            255 where this photograph shows atrophy, else 0.
        """
        size = round(len(source) ** 0.5)
        place = source.T[::-1].reshape(2, size, size)
        above = _sample(self.level, place) - threshold
        # Roughly the pixels inside the lesion's border; hilltops have no slope.
        distance = above / np.maximum(np.hypot(*np.gradient(above)), 2.3 / size)
        atrophy = 1 / (1 + np.exp(-np.clip(distance / 0.6, -30, 30)))
        border = np.exp(-((distance * 128 / size + 1) ** 2)) * _sample(self.rim, place)
        image = np.stack([_sample(layer, place) * (1 + border) for layer in self.healthy], axis=2)
        inside = atrophy > 1 / 512
        for channel, layer in enumerate(self.atrophic):
            bare = _sample(layer, place[:, inside])
            image[inside, channel] += atrophy[inside] * (bare - image[inside, channel])
        return _expose(np.float32(image), self.look, rng, blink), np.uint8(255) * (above > 0)

    def landmark_candidates(self, largest_mm2: float) -> np.ndarray:
        """Return points (x, y) of the source on vessels off a lesion of this area, best first."""
        smooth = cv2.GaussianBlur(self.vessels, (0, 0), 2)
        skeleton = skeletonize(smooth > 0.1)
        neighbours = ndimage.convolve(skeleton.astype(np.uint8), np.ones((3, 3), np.uint8)) - 1
        lesion = (self.level > self.threshold_of_area(largest_mm2)).astype(np.uint8)
        rows, columns = np.nonzero(skeleton & (cv2.dilate(lesion, np.ones((31, 31))) == 0))
        # Dark surroundings tell a vessel from a speck; branchings and crossings are best.
        score = cv2.GaussianBlur(smooth, (0, 0), 6) * np.where(neighbours >= 3, 2, 1)
        best = np.argsort(-score[rows, columns], kind="stable")
        points = np.column_stack([columns, rows])[best].astype(np.float64)
        in_field = np.linalg.norm(points - FIELD_CENTRE, axis=1) < FIELD_RADIUS - 10
        # Dark pigment lies along the disc.
        off_disc = np.linalg.norm((points - DISC_CENTRE) / DISC_SEMI_AXES, axis=1) > 1.4
        return points[in_field & off_disc]


def paint_retina(look: str, rng: np.random.Generator) -> Retina:
    """Paint the retina as seen in one look, "colour" or "autofluorescence" (else KeyError)."""
    photograph = _without_black_surround(skimage.data.retina())
    vessels = _vessel_darkness(photograph)
    level = _atrophy_level(vessels.shape, rng)
    paint = {"colour": _paint_colour, "autofluorescence": _paint_autofluorescence}[look]
    healthy, atrophic, rim = (np.float32(layer) for layer in paint(photograph, vessels, rng))
    return Retina(look, list(healthy), list(atrophic), level, vessels, rim)


def _sample(spline: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Interpolate spline coefficients at places (2, ...), rows first."""
    return ndimage.map_coordinates(spline, place, order=3, mode="mirror", prefilter=False)


def _expose(image: np.ndarray, look: str, rng: np.random.Generator, blink: bool) -> np.ndarray:
    """Add one visit's illumination, blur and noise; return 8 bits."""
    size = len(image)
    axis = (np.arange(size, dtype=np.float32) - (size - 1) / 2) / (size / 2)
    x, y = axis[np.newaxis, :, np.newaxis], axis[:, np.newaxis, np.newaxis]
    tilt, patch = rng.uniform(-0.13, 0.13, 2), rng.uniform(-0.8, 0.8, 2)
    light = rng.uniform(0.78, 1.0) * (1 + tilt[0] * x + tilt[1] * y)
    light = light * (1 - rng.uniform(0.08, 0.22) * (x**2 + y**2))  # vignette
    patch_shape = np.exp(-((x - patch[0]) ** 2 + (y - patch[1]) ** 2) / (2 * 0.35**2))
    light = light * (1 + rng.uniform(-0.22, 0.15) * patch_shape)
    blur, grain = rng.uniform(0.3, 1.1) * size / 768, rng.uniform(0.6, 1.3)
    if blink:  # the lid's shadow from above, and nothing in focus
        image = cv2.GaussianBlur(image, (0, 0), 0.07 * size).reshape(image.shape)
        image = image.mean((0, 1)) + 0.4 * (image - image.mean((0, 1)))
        light = light * (0.22 + 0.3 / (1 + np.exp(-(y + 0.25 * x - 0.1) / 0.2)))
    image = cv2.GaussianBlur(image * np.float32(light), (0, 0), max(blur, 0.2)).reshape(image.shape)
    noise = rng.standard_normal(image.shape).astype(np.float32)
    if look == "colour":
        image = image + 0.012 * grain * noise
        image = image * np.clip(CAMERA_RADIUS * size / 2 - np.hypot(x, y) * size / 2 + 0.5, 0, 1)
    else:  # laser speckle is proportional to the signal and coarser than a pixel
        coarse = cv2.GaussianBlur(noise[..., 0], (0, 0), 0.8)[..., np.newaxis]
        image = image * (1 + grain * (0.05 * noise + 0.16 * coarse)) + 0.006 * noise
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8).squeeze()


def _without_black_surround(photograph: np.ndarray) -> np.ndarray:
    """Mirror the retina outwards at its circular border, so that no filter meets the black."""
    offset = np.moveaxis(np.indices(photograph.shape[:2])[::-1], 0, 2) - FIELD_CENTRE
    factor = np.minimum(2 * FIELD_RADIUS / np.maximum(np.hypot(*offset.T).T, 1) - 1, 1)
    column, row = np.rint(FIELD_CENTRE + offset * factor[..., np.newaxis]).astype(int).T
    return photograph[row.T, column.T]


def _vessel_darkness(photograph: np.ndarray) -> np.ndarray:
    """Keep what is darker in green than its surroundings and narrower than a large vessel."""
    green = cv2.GaussianBlur(photograph[..., 1].astype(np.float32), (0, 0), 1.3)
    # A closing, unlike a mean, has no halo at the bright disc.
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (29, 29))
    around = cv2.GaussianBlur(cv2.morphologyEx(green, cv2.MORPH_CLOSE, disc), (0, 0), 4)
    darkness = np.clip(1 - green / around - 0.05, 0, 0.7)  # 0.05: what grain alone gives
    # Fill the bright reflex along the middle of arteries, which only colour photographs show.
    darkness = cv2.morphologyEx(darkness, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    avascular = np.exp(-((np.hypot(*_millimetres_from_fovea(darkness.shape)) / 0.5) ** 4))
    return (darkness * (1 - avascular)).astype(np.float32)


def _millimetres_from_fovea(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return x (1, columns) and y (rows, 1)."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    return (x - FOVEA[0]) * MM_PER_SOURCE_PIXEL, (y - FOVEA[1]) * MM_PER_SOURCE_PIXEL


def _texture(shape: tuple[int, int], cell: float, rng: np.random.Generator) -> np.ndarray:
    """Return smooth noise of standard deviation about 1 and a grain size in source pixels."""
    coarse = rng.standard_normal([int(n / cell) + 4 for n in shape]).astype(np.float32)
    wide = [round(n * cell) for n in coarse.shape[::-1]]
    coarse = cv2.GaussianBlur(coarse, (0, 0), 0.5) / 0.5  # which makes the spread 1 again
    return cv2.resize(coarse, wide, interpolation=cv2.INTER_CUBIC)[: shape[0], : shape[1]]


def _atrophy_level(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Sum foci around the fovea, which is spared at first, and roughen their borders."""
    x, y = _millimetres_from_fovea(shape)
    level = 0.3 * np.exp(-(x**2 + y**2) / 1.25**2 / 2) - 0.35 * np.exp(-(x**2 + y**2) / 0.4**2 / 2)
    for focus in range(12):  # on a spiral, weaker and smaller outwards
        angle, away, radius = 2.4 * focus, 1.1 + 0.075 * focus, 0.41 - 0.011 * focus
        squared = (x - away * np.cos(angle)) ** 2 + (y - away * np.sin(angle)) ** 2
        level = level + (1 - 0.04 * focus) * np.exp(-squared / radius**2 / 2)
    roughness = np.minimum(2 * level, 1)  # none far away, where there must be no atrophy
    for cell, weight in ((64, 0.09), (28, 0.06), (13, 0.03)):
        level = level + weight * roughness * _texture(shape, cell, rng)
    return (level - 0.02 * np.hypot(x, y)).astype(np.float32)


def _choroidal_vessels(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Let broad, soft vessels (0..1) wander across the macula, branch and thin out."""
    drawn, angles = np.zeros(shape, np.float32), np.arange(6) + rng.uniform(-0.3, 0.3, 6)
    tips = [(300 * np.exp(1j * a), a + rng.uniform(2.4, 3.9), rng.uniform(11, 20)) for a in angles]
    while tips:
        start, heading, width = tips.pop()
        headings = heading + ndimage.gaussian_filter1d(rng.normal(0, 2.4, 80), 5)
        path = start + 8 * np.cumsum(np.exp(1j * headings))  # complex, from the fovea
        corners = np.rint(16 * (FOVEA + path.view(float).reshape(-1, 2))).astype(np.int32)
        vessel = cv2.polylines(0 * drawn, [corners], False, 1, round(width), cv2.LINE_8, 4)
        drawn = np.maximum(drawn, rng.uniform(0.6, 1) * cv2.GaussianBlur(vessel, (0, 0), 4))
        for fork in rng.integers(10, 60, 2) if width > 13 else ():
            tips.append((path[fork], headings[fork] + rng.choice((-0.6, 0.6)), 0.7 * width))
    return drawn * np.clip(0.8 + 0.3 * _texture(shape, 70, rng), 0.1, 1)


def _paint_colour(photograph: np.ndarray, vessels: np.ndarray, rng: np.random.Generator) -> Layers:
    """Paint healthy and atrophic retina (channels first); a rim is not seen in colour."""
    healthy = photograph.astype(np.float32) / 255
    around = cv2.GaussianBlur(cv2.medianBlur(photograph, 61) / np.float32(255), (0, 0), 6)
    sclera, blood = np.array([[1.0, 0.61, 0.41], [0.93, 0.38, 0.23]])
    bare = sclera + (blood - sclera) * _choroidal_vessels(vessels.shape, rng)[..., np.newaxis]
    # Pigment is left, and the retinal vessels in front are as photographed.
    atrophic = (0.7 * bare + 0.3 * around) * (healthy / around) ** np.array([1.0, 1.4, 1.4])
    return np.moveaxis(healthy, 2, 0), np.moveaxis(atrophic, 2, 0), np.zeros_like(vessels)


def _paint_autofluorescence(_: np.ndarray, vessels: np.ndarray, rng: np.random.Generator) -> Layers:
    """Paint healthy and atrophic retina (one channel) and the bright rim of atrophy."""
    shape, through_vessels = vessels.shape, np.exp(-3.2 * vessels)
    x, y = _millimetres_from_fovea(shape)
    squared = np.square(np.hypot(x, y))
    pigment = 0.42 * np.exp(-squared / 0.55**2 / 2) + 0.16 * np.exp(-squared / 1.5**2 / 2)
    mottle = 1 + 0.03 * _texture(shape, 8, rng) + 0.035 * _texture(shape, 60, rng)
    healthy = 0.6 * (1 - pigment) * mottle * through_vessels
    from_disc = (np.indices(shape).T[..., ::-1] - DISC_CENTRE) / DISC_SEMI_AXES
    disc = 1 / (1 + np.exp(np.clip((np.hypot(*from_disc.T) - 1) / 0.025, -30, 30)))
    healthy = healthy + (0.13 * through_vessels - healthy) * disc
    bands = np.zeros(shape)  # of the choroid, hardly seen
    for slope, period, width, cell in ((0.4, 0.55, 0.55, 95), (-0.7, 0.9, 0.35, 70)):
        phase = np.pi * (y + slope * x) / period + 2.4 * _texture(shape, cell, rng)
        visible = np.clip(0.6 + 0.35 * _texture(shape, 50, rng), 0, 1)  # some lie deeper
        bands = np.maximum(bands, visible * np.exp(-((np.sin(phase) / width) ** 2)))
    atrophic = (0.075 + 0.015 * bands) * np.sqrt(through_vessels)
    rim = np.clip(0.22 + 0.14 * _texture(shape, 26, rng), 0.02, 0.5)
    return healthy[np.newaxis], atrophic[np.newaxis], rim
