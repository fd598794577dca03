"""The first look: where one photograph lies in the other, without knowing anything before."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from fundus_helpers.methods.homography.matches import Matches
from fundus_helpers.methods.homography.radial import RadialHomography, fit_homography, to_plane
from fundus_helpers.methods.learned.canvas import SIZE, Canvas
from fundus_helpers.methods.learned.networks import WideNetwork
from fundus_helpers.transforms.transform import RegistrationError

# Two cells are a match if the chance that they show the same place is above this.
LEAST_CHANCE = 0.02
# Logarithms of chances below this count as this: the exponential of numbers near -100 is too small
# for ordinary arithmetic and takes about 50 times as long.
SURELY_NOT = -50.0
# Matches agree with a transform if they are this many cells away or less.
NEAR = 1.5
FEWEST, FITS = 8, 6
# Photographs of one eye and one modality have a support of at least 27, pictures of their vessels
# of at least 61. Those of two eyes have at most 30, an eye and its mirror image at most 8. What is
# in between is left to the checks after the registration.
LEAST_SUPPORT = 10.0
# Below this support, or where the other polarity has more than a share of it, photographs may be of
# two modalities. In one modality, the other polarity has at most 0.67 of the support.
SURE_SUPPORT, OTHER_SHARE = 20.0, 0.7
# The other polarity is not tried above this support; that of a wrong polarity is at most 183.
ENOUGH_SUPPORT = 220.0


@dataclass(frozen=True)
class Start:
    """A first transform, and how much speaks for it.

    Attributes
    ----------
    canvas : Canvas
        With the moving photograph or its negative.
    model : RadialHomography
        In pixels of the canvas.
    support : float
        Sum of the chances of the matches that agree.
    """

    canvas: Canvas
    model: RadialHomography
    support: float


def find_start(network: WideNetwork, canvas: Canvas) -> Start:
    """Find a transform that is right to a few pixels, from any shift.

    The moving photograph and its negative are compared with the fixed one, since vessels are dark
    in one modality and bright in another. The one that looks more like it is used.

    Parameters
    ----------
    network : WideNetwork
    canvas : Canvas

    Returns
    -------
    Start
        Its canvas holds the moving photograph, or its negative.

    Raises
    ------
    RegistrationError
        If too few places agree.
    """
    near, starts, most = NEAR * network.STRIDE * SIZE / network.SIZE, [], 0
    with torch.no_grad():
        fixed = network.described(canvas.sides_at(network.SIZE)[0])
        for side in (canvas, canvas.negative()):
            moving = network.described(side.sides_at(network.SIZE)[1])
            chance = network.compared(fixed, moving)[0].clamp_min(SURELY_NOT).exp().numpy()
            matches, chances = _matches(chance, side, network)
            most = max(most, len(matches))
            if agreed := _agreed(matches, chances, near):
                starts.append(Start(side, *agreed))
                if starts[-1].support > ENOUGH_SUPPORT:
                    break
    starts.sort(key=lambda start: -start.support)
    if not starts or starts[0].support < LEAST_SUPPORT:
        raise RegistrationError(
            "no common vessels were found: another eye, too small an overlap, or a mirrored image "
            f"({most} places look alike, but do not agree)"
        )
    best, other = starts[0], sum(start.support for start in starts[1:])
    alike = best.support > SURE_SUPPORT and other < OTHER_SHARE * best.support
    return replace(best, canvas=replace(best.canvas, alike=best.canvas.alike and alike))


def _matches(
    chance: np.ndarray, canvas: Canvas, network: WideNetwork
) -> tuple[Matches, np.ndarray]:
    """Return the cells that choose each other, with the chance that they are the same place."""
    columns = chance.argmax(1)
    rows = np.arange(len(chance))
    best = chance[rows, columns]
    chosen = (chance.argmax(0)[columns] == rows) & (best > LEAST_CHANCE)
    rows, columns, best = rows[chosen], columns[chosen], best[chosen]
    side = network.SIZE // network.STRIDE
    points = [
        (places + 0.5) * (SIZE / side) - 0.5
        for places in (_cells(rows, side), _between(chance, rows, columns, side))
    ]
    return Matches(*points, canvas.fixed_shape, canvas.moving_shape), best


def _cells(indices: np.ndarray, side: int) -> np.ndarray:
    return np.column_stack([indices % side, indices // side]).astype(float)


def _between(chance: np.ndarray, rows: np.ndarray, columns: np.ndarray, side: int) -> np.ndarray:
    """Return the mean place (column, row) of the 3 x 3 cells around the best ones, by chance."""
    padded = np.pad(chance[rows].reshape(-1, side, side), ((0, 0), (1, 1), (1, 1)))
    at, around = np.arange(len(rows)), np.arange(3)
    y, x = columns // side, columns % side
    near = padded[at[:, None, None], y[:, None, None] + around[:, None], x[:, None, None] + around]
    near /= near.sum((1, 2), keepdims=True)
    step = [(near.sum(axis) * (around - 1)).sum(1) for axis in (1, 2)]
    return np.column_stack([x, y]) + np.column_stack(step)


def _agreed(
    matches: Matches, chances: np.ndarray, near: float
) -> tuple[RadialHomography, float] | None:
    """Fit the transform on which most matches agree, and sum their chances."""
    if len(matches) < FEWEST:
        return None
    planes = (
        to_plane(matches.fixed_points, matches.fixed_shape),
        to_plane(matches.moving_points, matches.moving_shape),
    )
    reach = near / (max(matches.moving_shape) / 2)
    _, agree = cv2.estimateAffine2D(
        *planes, method=cv2.RANSAC, ransacReprojThreshold=reach, maxIters=5000, confidence=0.999
    )
    if agree is None:
        return None
    agree = agree[:, 0] > 0
    for _ in range(FITS):
        if agree.sum() < FEWEST:
            return None
        model = fit_homography(matches, chances * agree, error=near / 3)
        before, agree = agree, model.residuals(matches) < near
        if np.array_equal(before, agree):
            break
    return model, float(chances[agree].sum())
