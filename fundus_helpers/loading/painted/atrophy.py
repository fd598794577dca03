"""A retina whose geographic atrophy is as hard to see as in real photographs.

The lesion is given by its onset: the years after the first visit at which each point of the retina
becomes atrophic. A front that spreads from small foci, at a speed that varies from place to place,
gives it (the eikonal equation, solved by fast marching). Lesions are therefore nested, foci appear,
grow and merge, and border, speed and area are known exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import SimpleITK as sitk
import skimage.data

from fundus_helpers.loading.painted.camera import Camera, draw_cameras, expose_with
from fundus_helpers.loading.painted.retina import (
    DISC_CENTRE,
    FOVEA,
    FRAME_WIDTH,
    MM_PER_SOURCE_PIXEL,
    Retina,
    bare_colour,
    healthy_autofluorescence,
    sample,
    spline,
    texture,
    vessel_darkness,
    without_black_surround,
)

NEVER = 1000.0  # years: the onset where the retina stays healthy
REACH_MM = 3.2  # half the width of the window around the fovea that may become atrophic
HALF = round(REACH_MM / MM_PER_SOURCE_PIXEL)
WINDOW = (slice(FOVEA[1] - HALF, FOVEA[1] + HALF), slice(FOVEA[0] - HALF, FOVEA[0] + HALF))
FEWEST_FOCI, MOST_FOCI, LATEST_FOCUS = 10, 20, 4.2  # LATEST_FOCUS in years
FRAME_PIXEL_MM = FRAME_WIDTH / 768 * MM_PER_SOURCE_PIXEL  # of a frame with 768 pixels


@dataclass(frozen=True)
class Focus:
    """Where and when the atrophy begins.

    Attributes
    ----------
    x, y : int
        The centre in pixels of the window.
    years : float
        When it appears.
    shape : ndarray, bool
        Its first shape, 0.02 to 0.04 mm2 large, in a square around the centre.
    """

    x: int
    y: int
    years: float
    shape: np.ndarray

    def place(self, grow: int = 0) -> np.ndarray:
        """Return the first shape in the window (bool), grown by `grow` pixels."""
        drawn, half = np.zeros((2 * HALF, 2 * HALF), np.uint8), len(self.shape) // 2
        part = np.s_[self.y - half : self.y + half + 1, self.x - half : self.x + half + 1]
        drawn[part] = self.shape
        return cv2.dilate(drawn, np.ones((2 * grow + 1,) * 2, np.uint8)) > 0

    def appears_alone(self, onset: np.ndarray) -> bool:
        """Whether it appears before the atrophy around it arrives."""
        return bool(onset[self.place(grow=3)].min() >= np.float32(self.years))


@dataclass(frozen=True)
class Spread:
    """How the atrophy spreads over the window around the fovea.

    Attributes
    ----------
    onset : ndarray, float32
        Years after the first visit at which a point becomes atrophic.
    speed : ndarray, float32
        How fast the border moves at a point, in mm per year.
    foci : list of Focus
        In order of time.
    """

    onset: np.ndarray
    speed: np.ndarray
    foci: list[Focus]

    def places(self) -> list[tuple[np.ndarray, float]]:
        """Return (x, y) in source pixels and the time in years of each focus."""
        return [(FOVEA + np.array([f.x, f.y]) - HALF, f.years) for f in self.foci]

    def level(self, shape: tuple[int, int]) -> np.ndarray:
        """Return the onset, times -1, on the source's grid (float32)."""
        level = np.full(shape, -NEVER, np.float32)
        level[WINDOW] = -self.onset
        return level

    def border(self, years: float) -> np.ndarray:
        """Return the distance from the border in mm, positive inside the lesion."""
        inside = self.onset <= years
        if not inside.any():
            return np.full(inside.shape, -np.inf, np.float32)
        near = (years - self.onset) * self.speed  # exact at the border, and in between pixels
        pixel = np.float32(MM_PER_SOURCE_PIXEL)
        depth, away = (
            (cv2.distanceTransform(np.uint8(part), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) - 1) * pixel
            for part in (inside, ~inside)
        )
        return np.where(inside, np.maximum(near, depth), np.minimum(near, -away))


@dataclass(frozen=True)
class AtrophicRetina(Retina):
    """A retina with hard atrophy; see `Retina`. The level is the onset in years, times -1.

    Attributes
    ----------
    spread : Spread
    fade : ndarray
        Half of the width of the border in mm.
    mottle : ndarray
        Texture inside the lesion, with standard deviation of 1.
    rim_width : ndarray
        Width in mm of the border zone outside the lesion, whose strength is `rim`.
    first, last, pace : ndarray
        Autofluorescence relative to healthy retina, or the share of pigment that is lost in colour,
        just after death and after many years, and the years this takes.
    spots : ndarray, (n, 6)
        Drusen: x and y in source pixels, radius, strength, middle and duration in years.
    cameras : tuple of Camera
    new_camera : float
        Years after the first visit from which the second camera is used.
    blur : float
        Smoothing in source pixels that avoids aliasing; see `splines`.
    """

    spread: Spread
    fade: np.ndarray
    mottle: np.ndarray
    rim_width: np.ndarray
    first: np.ndarray
    last: np.ndarray
    pace: np.ndarray
    spots: np.ndarray
    cameras: tuple[Camera, Camera]
    new_camera: float
    blur: float = 0.0

    def camera(self, years: float) -> Camera:
        """Return the camera that is used at a time."""
        return self.cameras[years >= self.new_camera]

    def magnification(self, threshold: float) -> float:
        """Return how much larger than usual the camera shows the retina."""
        return self.camera(-threshold).magnification

    def growth(self, days: np.ndarray) -> list[tuple[float, float]]:
        """Return the threshold of the level and the area in mm2 on some days, in order of time."""
        years = (days - days[0]) / 365.25
        times = 4  # so fine a grid that the area of a small lesion is exact
        finer = np.sort(cv2.resize(self.spread.onset, None, fx=times, fy=times), axis=None)
        areas = np.searchsorted(finer, years, "right") * (MM_PER_SOURCE_PIXEL / times) ** 2
        return list(zip((-years).tolist(), areas.tolist(), strict=True))

    def splines(self, size: int) -> "AtrophicRetina":
        """Return the retina for frames of `size` pixels."""
        return replace(self, blur=max(0.4 * FRAME_WIDTH / size, 0.3))

    def scene(self, years: float) -> list[np.ndarray]:
        """Return the channels of the retina at a time, without camera, on the source's grid."""
        border, age = self.spread.border(years), np.maximum(years - self.spread.onset, 0)
        dead = (1 + np.tanh(border / self.fade)) / 2
        away = np.maximum(-border, 0) / self.rim_width
        rim = self.rim[WINDOW] * np.exp(-(((away - 0.45) / 0.45) ** 2))
        level = self.last + (self.first - self.last) * np.exp(-age / self.pace)
        level = level * (1 + 0.07 * np.clip(self.mottle, -2.5, 2.5))
        scene = [layer.copy() for layer in self.healthy]
        if self.look == "autofluorescence":
            scene[0][WINDOW] *= (1 - dead) * (1 + rim) + dead * level
            return scene
        spots = self._spots(years)[WINDOW] * (1 - dead)
        for seen, bare, bright in zip(scene, self.atrophic, (0.98, 0.86, 0.52), strict=True):
            here = seen[WINDOW] * (1 - 0.35 * rim)
            here += spots * (bright - here)
            seen[WINDOW] = here + dead * level * (bare[WINDOW] - here)
        return scene

    def photograph(
        self, source: np.ndarray, threshold: float, rng: np.random.Generator, blink: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Render one photograph; see `Retina.photograph`."""
        size, years = round(len(source) ** 0.5), -threshold
        place = source.T[::-1].reshape(2, size, size)
        image = np.stack([self._seen(layer, place) for layer in self.scene(years)], axis=2)
        photograph = expose_with(self.camera(years), image, self.look, rng, blink)
        return photograph, np.uint8(255) * (sample(self.level, place, order=1) >= threshold)

    def _seen(self, layer: np.ndarray, place: np.ndarray) -> np.ndarray:
        return sample(spline(cv2.GaussianBlur(layer, (0, 0), self.blur)), place)

    def _spots(self, years: float) -> np.ndarray:
        """Draw the drusen that are there at a time (0 to 1)."""
        drawn = np.zeros_like(self.level)
        for x, y, radius, strength, middle, duration in self.spots:
            reach = int(3 * radius) + 1
            part = np.s_[int(y) - reach : int(y) + reach + 1, int(x) - reach : int(x) + reach + 1]
            rows, columns = np.ogrid[part]
            shape = np.exp(-((((rows - y) ** 2 + (columns - x) ** 2) / radius**2) ** 2))
            strength = strength * np.exp(-(((years - middle) / duration) ** 2))
            drawn[part] = np.maximum(drawn[part], strength * shape)
        return drawn


def onset_at(level: np.ndarray, source: np.ndarray, latest: float) -> np.ndarray:
    """Return the onset (float32, years) at points (n, 2) of the source, infinite after `latest`."""
    onset = -sample(level, source.T[::-1], order=1)
    return np.where(onset <= latest, onset, np.float32(np.inf))


def draw_spread(rng: np.random.Generator) -> Spread:
    """Draw foci and let the atrophy spread from them."""
    y, x = np.mgrid[-HALF:HALF, -HALF:HALF] * MM_PER_SOURCE_PIXEL
    from_fovea, rough = np.hypot(x, y), np.zeros(x.shape, np.float32)
    for cell, weight in ((70, 0.25), (26, 0.35), (11, 0.25)):
        rough += weight * texture(x.shape, cell, rng)
    # Faster away from the fovea (doi:10.1167/iovs.62.13.28), which is spared.
    speed = rng.uniform(0.75, 1.1) * (0.05 + 0.025 * from_fovea) * np.exp(np.clip(rough, -1, 0.7))
    speed *= 1 - rng.uniform(-0.3, 0.85) * np.exp(-((from_fovea / 0.42) ** 2))
    speed *= 1 / (1 + np.exp((from_fovea - 2.7) / 0.05)) + 1e-4  # and so is the periphery
    speed = np.float32(speed)
    foci: list[Focus] = []
    while len(foci) < FEWEST_FOCI:
        candidates = _draw_foci(rng)
        onset = _march(speed, candidates)
        foci = [focus for focus in candidates if focus.appears_alone(onset)][:MOST_FOCI]
    return Spread(_march(speed, foci), speed, foci)


def _draw_foci(rng: np.random.Generator) -> list[Focus]:
    """Draw three to five foci of the first half year, and many later ones, in order of time."""
    early, late = rng.integers(3, 6), rng.integers(14, 24)
    times = np.sort(np.append(rng.uniform(0.1, 0.44, early), rng.uniform(0.5, LATEST_FOCUS, late)))
    away = np.append(rng.uniform(0.45, 1.5, early), rng.uniform(0.45, 2.3, late))
    angle = rng.uniform(0, 2 * np.pi, early + late)
    centre = HALF + np.array([np.cos(angle), np.sin(angle)]) * away / MM_PER_SOURCE_PIXEL
    drawn = zip(*np.rint(centre).astype(int).tolist(), times.tolist(), strict=True)
    return [Focus(x, y, years, _draw_shape(rng)) for x, y, years in drawn]


def _draw_shape(rng: np.random.Generator) -> np.ndarray:
    """Draw the first shape of a focus; see `Focus`."""
    y, x = np.ogrid[-20:21, -20:21]
    angle, (turn, other) = np.arctan2(y, x), rng.uniform(0, 2 * np.pi, 2)
    radius = rng.uniform(0.085, 0.11) / MM_PER_SOURCE_PIXEL
    return np.hypot(x, y) < radius * (
        1 + 0.15 * np.cos(2 * angle + turn) + 0.12 * np.cos(3 * angle + other)
    )


def _march(speed: np.ndarray, foci: Sequence[Focus]) -> np.ndarray:
    """Return when the front that starts from the foci reaches every point (float32, years)."""
    started = np.full(speed.shape, np.inf)
    for focus in foci:
        place = focus.place()
        started[place] = np.minimum(started[place], focus.years)
    rows, columns = np.nonzero(np.isfinite(started))
    march = sitk.FastMarchingImageFilter()
    march.SetTrialPoints(np.column_stack([columns, rows]).tolist())
    march.SetInitialTrialValues(started[rows, columns].tolist())
    march.SetStoppingValue(NEVER)
    image = sitk.GetImageFromArray(speed)
    image.SetSpacing((MM_PER_SOURCE_PIXEL,) * 2)
    onset = sitk.GetArrayFromImage(march.Execute(image))
    return np.minimum(onset, NEVER).astype(np.float32)


def paint_atrophic_retina(
    look: str, rng: np.random.Generator, changes: Sequence[float]
) -> AtrophicRetina:
    """Paint a retina with hard atrophy in one modality, "colour" or "autofluorescence".

    Parameters
    ----------
    look : {"colour", "autofluorescence"}
    rng : numpy.random.Generator
    changes : sequence of float
        Years after the first visit at one of which the camera is replaced.
    """
    spread = draw_spread(rng)
    photograph = _bent(without_black_surround(skimage.data.retina()), rng)
    vessels, shape = vessel_darkness(photograph), spread.onset.shape

    def patchy(cell: float) -> np.ndarray:
        return texture(shape, cell, rng)

    patches = np.clip(0.4 + 0.4 * patchy(45) + 0.3 * patchy(12), 0, 1)
    level, rim = spread.level(vessels.shape), np.zeros_like(vessels)
    rim[WINDOW] = 0.35 * patches
    rim_width = 0.05 + 0.2 / (1 + np.exp(-2 * patchy(60)))
    fade = np.exp(np.clip(0.6 + 0.7 * patchy(50), np.log(0.6), np.log(4))) * FRAME_PIXEL_MM
    mottle = 0.7 * patchy(5) + 0.6 * patchy(14) + 0.4 * patchy(40)
    place = patchy(90)
    if look == "autofluorescence":
        pigment = rng.uniform(0.25, 0.5), rng.uniform(0.4, 0.65)
        healthy = healthy_autofluorescence(vessels, rng, *pigment)[np.newaxis]
        for cell, weight in ((30, 0.04), (110, 0.05)):
            healthy = healthy * (1 + weight * texture(vessels.shape, cell, rng))
        atrophic = np.zeros((0, *vessels.shape))
        first, last = 0.7 + 0.03 * np.clip(place, -2, 2), 0.35 + 0.04 * np.clip(patchy(110), -2, 2)
    else:
        healthy = np.moveaxis(photograph, 2, 0) / np.float32(255)
        atrophic = np.moveaxis(bare_colour(photograph, vessels, rng, pigment_left=0), 2, 0)
        first, last = 0.4 + 0.05 * np.clip(place, -2, 2), 0.85 + 0.05 * np.clip(patchy(110), -2, 1)
    return AtrophicRetina(
        look,
        list(np.float32(healthy)),
        list(np.float32(atrophic)),
        level,
        vessels,
        rim,
        spread=spread,
        fade=fade,
        mottle=mottle,
        rim_width=rim_width,
        first=first,
        last=last,
        pace=2 * np.exp(0.3 * np.clip(patchy(80), -2, 2)),
        spots=_draw_spots(rng),
        cameras=draw_cameras(rng),
        new_camera=float(rng.choice(changes)),
    )


def _bent(photograph: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bend the vessels, so that no two eyes have the same, but neither fovea nor optic disc."""
    shape, places = photograph.shape[:2], np.indices(photograph.shape[:2], np.float32)[::-1]
    free = np.ones(shape, np.float32)
    for centre, radius in ((FOVEA, 60), (DISC_CENTRE, 200)):
        squared = (places[0] - centre[0]) ** 2 + (places[1] - centre[1]) ** 2
        free *= 1 - np.exp(-squared / radius**2)
    x, y = (place + 16 * free * texture(shape, 210, rng) for place in places)
    return cv2.remap(photograph, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def _draw_spots(rng: np.random.Generator) -> np.ndarray:
    """Draw drusen; see `AtrophicRetina`."""
    count = rng.integers(40, 90)
    away, angle = 2.4 * np.sqrt(rng.uniform(0.02, 1, count)), rng.uniform(0, 2 * np.pi, count)
    x = FOVEA[0] + away * np.cos(angle) / MM_PER_SOURCE_PIXEL
    y = FOVEA[1] + away * np.sin(angle) / MM_PER_SOURCE_PIXEL
    radius, strength = rng.uniform(2.5, 9, count), rng.uniform(0.12, 0.5, count)
    middle, duration = rng.uniform(-1, 6.5, count), rng.uniform(0.8, 3, count)
    return np.column_stack([x, y, radius, strength, middle, duration])
