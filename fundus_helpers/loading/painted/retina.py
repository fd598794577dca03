"""The synthetic retina of the demo eye, with growing geographic atrophy.

The healthy retina is `skimage.data.retina()` (CC0, part of scikit-image, from
https://commons.wikimedia.org/wiki/File:Fundus_photograph_of_normal_left_eye.jpg). It is called the
source; all layers have its pixel grid. There is atrophy where a smooth function, the level, exceeds
a threshold. Lesions of growing area are therefore nested, foci appear and merge, and border and
area are known exactly.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import skimage.data
from scipy import ndimage
from skimage.morphology import skeletonize

from fundus_helpers.loading.painted.camera import expose

FIELD_MM = 8.7  # width of a frame on the retina (30 degrees, average eye), for any number of pixels
FRAME_WIDTH = 1.1 * 768  # width of a frame in source pixels
MM_PER_SOURCE_PIXEL = FIELD_MM / FRAME_WIDTH

# Measured on the source photograph: (x, y) in its pixels.
FIELD_CENTRE, FIELD_RADIUS, FOVEA = np.array([704, 703]), 686, np.array([709, 700])
DISC_CENTRE, DISC_SEMI_AXES = np.array([216, 655]), np.array([98, 106])
# As near to the disc as possible with the whole lesion, and only retina, in the frame.
FRAME_CENTRE = {
    "demo_colour": np.array([585, 695]),
    "demo_autofluorescence": np.array([668, 702]),
    "demo_atrophy": np.array([660, 702]),
    "demo_atrophy_colour": np.array([660, 702]),
}
AREAS_MM2 = (4.0, 12.0)  # of the lesion, at the first and at the last visit

Layers = tuple[np.ndarray, np.ndarray, np.ndarray]  # healthy, atrophic, rim


@dataclass(frozen=True)
class Retina:
    """One retina in one modality; every layer is a float32 image with the source's pixel grid.

    Attributes
    ----------
    look : {"colour", "autofluorescence"}
        The modality.
    healthy, atrophic : list of ndarray
        The channels (0 to 1) of a retina without atrophy, and of one that is atrophic everywhere.
    level : ndarray
        There is atrophy where it exceeds a threshold.
    vessels : ndarray
        Relative darkness of the retinal vessels.
    rim : ndarray
        By how much the border of a lesion is brighter than healthy retina.
    """

    look: str
    healthy: list[np.ndarray]
    atrophic: list[np.ndarray]
    level: np.ndarray
    vessels: np.ndarray
    rim: np.ndarray

    def threshold_of_area(self, area_mm2: float) -> float:
        """Return the threshold of the level at which the lesion has an area in mm2."""
        pixels = round(area_mm2 / MM_PER_SOURCE_PIXEL**2)
        return float(np.partition(self.level.ravel(), -pixels)[-pixels])

    def growth(self, days: np.ndarray) -> list[tuple[float, float]]:
        """Return the threshold of the level and the area in mm2 on some days, in order of time."""
        return [(self.threshold_of_area(area), area) for area in areas_on(days).tolist()]

    def magnification(self, threshold: float) -> float:
        """Return how much larger than usual the camera shows the retina."""
        return 1.0

    def splines(self, size: int) -> "Retina":
        """Return the layers as cubic spline coefficients, smoothed for frames of `size` pixels."""
        blur = max(0.4 * FRAME_WIDTH / size, 0.3)  # without it, small frames would show aliasing
        smooth = [cv2.GaussianBlur(layer, (0, 0), blur) for layer in self.healthy + self.atrophic]
        layers = *smooth, self.level, self.rim  # not blurred: the border must stay in place
        *seen, level, rim = map(spline, layers)
        channels = len(self.healthy)
        return Retina(self.look, seen[:channels], seen[channels:], level, self.vessels, rim)

    def photograph(
        self, source: np.ndarray, threshold: float, rng: np.random.Generator, blink: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Render one photograph; the layers must be the result of `splines` for this frame.

        Parameters
        ----------
        source : ndarray, (size * size, 2), float64
            The point (x, y) of the source that each pixel of the frame shows, row after row.
        threshold : float
            There is atrophy where the level exceeds it.
        rng : numpy.random.Generator
            Draws illumination, blur and noise.
        blink : bool
            Whether the photograph is spoilt by a blink.

        Returns
        -------
        photograph : ndarray, (size, size) or (size, size, 3), uint8
            Grey for autofluorescence, otherwise RGB.
        lesion : ndarray, (size, size), uint8
            255 where the photograph shows atrophy, otherwise 0.
        """
        size = round(len(source) ** 0.5)
        place = source.T[::-1].reshape(2, size, size)
        above = sample(self.level, place) - threshold
        # About the distance in pixels from the border of the lesion. The least slope prevents a
        # division by zero at maxima of the level.
        distance = above / np.maximum(np.hypot(*np.gradient(above)), 2.3 / size)
        atrophy = 1 / (1 + np.exp(-np.clip(distance / 0.6, -30, 30)))
        border = np.exp(-((distance * 128 / size + 1) ** 2)) * sample(self.rim, place)
        image = np.stack([sample(layer, place) * (1 + border) for layer in self.healthy], axis=2)
        inside = atrophy > 1 / 512
        for channel, layer in enumerate(self.atrophic):
            bare = sample(layer, place[:, inside])
            image[inside, channel] += atrophy[inside] * (bare - image[inside, channel])
        return expose(np.float32(image), self.look, rng, blink), np.uint8(255) * (above > 0)

    def landmark_candidates(self, largest_mm2: float) -> np.ndarray:
        """Return points (x, y) of the source on vessels outside a lesion in mm2, best first."""
        smooth = cv2.GaussianBlur(self.vessels, (0, 0), 2)
        skeleton = skeletonize(smooth > 0.1)
        neighbours = ndimage.convolve(skeleton.astype(np.uint8), np.ones((3, 3), np.uint8)) - 1
        lesion = (self.level > self.threshold_of_area(largest_mm2)).astype(np.uint8)
        rows, columns = np.nonzero(skeleton & (cv2.dilate(lesion, np.ones((31, 31))) == 0))
        # Dark surroundings distinguish a vessel from a speck; branchings and crossings are best.
        score = cv2.GaussianBlur(smooth, (0, 0), 6) * np.where(neighbours >= 3, 2, 1)
        best = np.argsort(-score[rows, columns], kind="stable")
        points = np.column_stack([columns, rows])[best].astype(np.float64)
        in_field = np.linalg.norm(points - FIELD_CENTRE, axis=1) < FIELD_RADIUS - 10
        # The edge of the optic disc has dark pigment, which is not a vessel.
        off_disc = np.linalg.norm((points - DISC_CENTRE) / DISC_SEMI_AXES, axis=1) > 1.4
        return points[in_field & off_disc]


def areas_on(days: np.ndarray) -> np.ndarray:
    """Return the area of the lesion in mm2 on some days from the first to the last visit.

    Its square root grows linearly (doi:10.1186/s12874-021-01356-0).
    """
    return np.interp(days, days[[0, -1]], np.sqrt(AREAS_MM2)) ** 2


def onset_of_level(level: np.ndarray, days: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return values of the level, ascending, and the years from the first day at which it is there.

    The lesion reaches the greatest value on the first day, and the least one on the last.
    """
    pixels = np.rint(areas_on(days) / MM_PER_SOURCE_PIXEL**2).astype(int)
    values = np.sort(level, axis=None)[-pixels]
    return values[::-1], (days[::-1] - days[0]) / 365.25


def paint_retina(look: str, rng: np.random.Generator) -> Retina:
    """Paint the retina in one modality, "colour" or "autofluorescence"."""
    photograph = without_black_surround(skimage.data.retina())
    vessels = vessel_darkness(photograph)
    level = paint_level(vessels.shape, rng)
    paint = {"colour": _paint_colour, "autofluorescence": _paint_autofluorescence}[look]
    healthy, atrophic, rim = (np.float32(layer) for layer in paint(photograph, vessels, rng))
    return Retina(look, list(healthy), list(atrophic), level, vessels, rim)


def spline(layer: np.ndarray) -> np.ndarray:
    """Return the cubic spline coefficients of a layer."""
    return ndimage.spline_filter(layer, 3, np.float32, "mirror")


def sample(layer: np.ndarray, place: np.ndarray, order: int = 3) -> np.ndarray:
    """Interpolate at points (2, ...), given as rows, then columns.

    A layer of order 3 is given by its spline coefficients, one of order 1 by its values.
    """
    return ndimage.map_coordinates(layer, place, order=order, mode="mirror", prefilter=False)


def without_black_surround(photograph: np.ndarray) -> np.ndarray:
    """Mirror the retina at its circular border, so that no filter sees the black surround."""
    offset = np.moveaxis(np.indices(photograph.shape[:2])[::-1], 0, 2) - FIELD_CENTRE
    factor = np.minimum(2 * FIELD_RADIUS / np.maximum(np.hypot(*offset.T).T, 1) - 1, 1)
    column, row = np.rint(FIELD_CENTRE + offset * factor[..., np.newaxis]).astype(int).T
    return photograph[row.T, column.T]


def vessel_darkness(photograph: np.ndarray) -> np.ndarray:
    """Return how dark, in green, narrow structures are relative to their surroundings."""
    green = cv2.GaussianBlur(photograph[..., 1].astype(np.float32), (0, 0), 1.3)
    # Unlike a mean, a closing gives no halo around the bright optic disc.
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (29, 29))
    around = cv2.GaussianBlur(cv2.morphologyEx(green, cv2.MORPH_CLOSE, disc), (0, 0), 4)
    darkness = np.clip(1 - green / around - 0.05, 0, 0.7)  # 0.05 is the darkness of grain
    # Fill the bright reflex along the centre of arteries, which only colour photographs show.
    darkness = cv2.morphologyEx(darkness, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    avascular = np.exp(-((np.hypot(*_millimetres_from_fovea(darkness.shape)) / 0.5) ** 4))
    return (darkness * (1 - avascular)).astype(np.float32)


def _millimetres_from_fovea(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances x (1, columns) and y (rows, 1) from the fovea in millimetres."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    return (x - FOVEA[0]) * MM_PER_SOURCE_PIXEL, (y - FOVEA[1]) * MM_PER_SOURCE_PIXEL


def texture(shape: tuple[int, int], cell: float, rng: np.random.Generator) -> np.ndarray:
    """Return smooth noise with standard deviation of about 1 and grains of `cell` source pixels."""
    coarse = rng.standard_normal([int(n / cell) + 4 for n in shape]).astype(np.float32)
    wide = [round(n * cell) for n in coarse.shape[::-1]]
    coarse = (
        cv2.GaussianBlur(coarse, (0, 0), 0.5) / 0.5
    )  # the division makes the standard deviation 1 again
    return cv2.resize(coarse, wide, interpolation=cv2.INTER_CUBIC)[: shape[0], : shape[1]]


def paint_level(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Sum foci of atrophy around the fovea, which is spared at first, with rough borders."""
    x, y = _millimetres_from_fovea(shape)
    level = 0.3 * np.exp(-(x**2 + y**2) / 1.25**2 / 2) - 0.35 * np.exp(-(x**2 + y**2) / 0.4**2 / 2)
    for focus in range(12):  # on a spiral, weaker and smaller with growing distance
        angle, away, radius = 2.4 * focus, 1.1 + 0.075 * focus, 0.41 - 0.011 * focus
        squared = (x - away * np.cos(angle)) ** 2 + (y - away * np.sin(angle)) ** 2
        level = level + (1 - 0.04 * focus) * np.exp(-squared / radius**2 / 2)
    roughness = np.minimum(2 * level, 1)  # none far from the fovea, where no atrophy may appear
    for cell, weight in ((64, 0.09), (28, 0.06), (13, 0.03)):
        level = level + weight * roughness * texture(shape, cell, rng)
    return (level - 0.02 * np.hypot(x, y)).astype(np.float32)


def _choroidal_vessels(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw wide, soft vessels (0 to 1) that cross the macula, branch and become thinner."""
    drawn, angles = np.zeros(shape, np.float32), np.arange(6) + rng.uniform(-0.3, 0.3, 6)
    tips = [(300 * np.exp(1j * a), a + rng.uniform(2.4, 3.9), rng.uniform(11, 20)) for a in angles]
    while tips:
        start, heading, width = tips.pop()
        headings = heading + ndimage.gaussian_filter1d(rng.normal(0, 2.4, 80), 5)
        path = start + 8 * np.cumsum(
            np.exp(1j * headings)
        )  # complex numbers, relative to the fovea
        corners = np.rint(16 * (FOVEA + path.view(float).reshape(-1, 2))).astype(np.int32)
        vessel = cv2.polylines(0 * drawn, [corners], False, 1, round(width), cv2.LINE_8, 4)
        drawn = np.maximum(drawn, rng.uniform(0.6, 1) * cv2.GaussianBlur(vessel, (0, 0), 4))
        for fork in rng.integers(10, 60, 2) if width > 13 else ():
            tips.append((path[fork], headings[fork] + rng.choice((-0.6, 0.6)), 0.7 * width))
    return drawn * np.clip(0.8 + 0.3 * texture(shape, 70, rng), 0.1, 1)


def bare_colour(
    photograph: np.ndarray, vessels: np.ndarray, rng: np.random.Generator, pigment_left: float
) -> np.ndarray:
    """Paint a retina that has only a share of its pigment left (channels last)."""
    healthy = photograph.astype(np.float32) / 255
    around = cv2.GaussianBlur(cv2.medianBlur(photograph, 61) / np.float32(255), (0, 0), 6)
    sclera, blood = np.array([[1.0, 0.61, 0.41], [0.93, 0.38, 0.23]])
    bare = sclera + (blood - sclera) * _choroidal_vessels(vessels.shape, rng)[..., np.newaxis]
    seen = (1 - pigment_left) * bare + pigment_left * around
    # The retinal vessels in front are those of the photograph.
    return seen * (healthy / around) ** np.array([1.0, 1.4, 1.4])


def healthy_autofluorescence(
    vessels: np.ndarray,
    rng: np.random.Generator,
    pigment_strength: float = 0.42,
    pigment_mm: float = 0.55,
) -> np.ndarray:
    """Paint a healthy retina with vessels, a dark optic disc and dark macular pigment.

    The pigment takes the share `pigment_strength` of the light in the fovea, and little beyond
    twice `pigment_mm`.
    """
    shape, through_vessels = vessels.shape, np.exp(-3.2 * vessels)
    squared = np.square(np.hypot(*_millimetres_from_fovea(shape)))
    pigment = pigment_strength * np.exp(-squared / pigment_mm**2 / 2)
    pigment = pigment + 0.16 * np.exp(-squared / 1.5**2 / 2)
    mottle = 1 + 0.03 * texture(shape, 8, rng) + 0.035 * texture(shape, 60, rng)
    healthy = 0.6 * (1 - pigment) * mottle * through_vessels
    from_disc = (np.indices(shape).T[..., ::-1] - DISC_CENTRE) / DISC_SEMI_AXES
    disc = 1 / (1 + np.exp(np.clip((np.hypot(*from_disc.T) - 1) / 0.025, -30, 30)))
    return healthy + (0.13 * through_vessels - healthy) * disc


def _paint_colour(photograph: np.ndarray, vessels: np.ndarray, rng: np.random.Generator) -> Layers:
    """Paint healthy and atrophic retina (channels first); colour shows no rim around atrophy."""
    atrophic = bare_colour(photograph, vessels, rng, pigment_left=0.3)
    healthy = photograph.astype(np.float32) / 255
    return np.moveaxis(healthy, 2, 0), np.moveaxis(atrophic, 2, 0), np.zeros_like(vessels)


def _paint_autofluorescence(_: np.ndarray, vessels: np.ndarray, rng: np.random.Generator) -> Layers:
    """Paint healthy and atrophic retina (one channel) and the bright rim of atrophy."""
    shape, through_vessels = vessels.shape, np.exp(-3.2 * vessels)
    x, y = _millimetres_from_fovea(shape)
    healthy = healthy_autofluorescence(vessels, rng)
    bands = np.zeros(shape)  # of the choroid, hardly visible
    for slope, period, width, cell in ((0.4, 0.55, 0.55, 95), (-0.7, 0.9, 0.35, 70)):
        phase = np.pi * (y + slope * x) / period + 2.4 * texture(shape, cell, rng)
        visible = np.clip(0.6 + 0.35 * texture(shape, 50, rng), 0, 1)  # some are deeper
        bands = np.maximum(bands, visible * np.exp(-((np.sin(phase) / width) ** 2)))
    atrophic = (0.075 + 0.015 * bands) * np.sqrt(through_vessels)
    rim = np.clip(0.22 + 0.14 * texture(shape, 26, rng), 0.02, 0.5)
    return healthy[np.newaxis], atrophic[np.newaxis], rim
