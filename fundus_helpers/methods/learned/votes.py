"""Looks of the near network: votes for what is left between nearly registered photographs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from fundus_helpers.methods.homography.matches import Matches
from fundus_helpers.methods.homography.radial import RadialHomography, fit_homography
from fundus_helpers.methods.learned.canvas import SIZE, Canvas, nodes, places_of
from fundus_helpers.methods.learned.networks import NearNetwork

Mapping = Callable[[np.ndarray], np.ndarray]

# Votes are averaged over squares of this many pixels of the canvas of the look.
AVERAGED = 8
# The weight of a vote falls to one quarter at this distance from the model, in pixels of the
# canvas of the look.
SCALE = 1.0
# Errors of the votes in pixels of the finest canvas: of each vote, and of all votes in common.
ERROR, SHARED_ERROR = 0.1, 0.75


@dataclass(frozen=True)
class Votes:
    """Votes on a regular grid, in pixels of the finest canvas.

    Attributes
    ----------
    points : ndarray, shape (h, w, 2)
        Points (x, y) of the fixed photograph.
    steps : float32 ndarray, shape (h, w, 2)
        What is left at these points: displacements (x, y) before the mapping.
    weights : float32 ndarray, shape (h, w)
        0 where one of the photographs shows nothing.
    """

    points: np.ndarray
    steps: np.ndarray
    weights: np.ndarray


def look(
    network: NearNetwork,
    canvas: Canvas,
    mapping: Mapping,
    size: int,
    *,
    both_ways: bool = False,
) -> Votes:
    """Compare the fixed photograph with the moving one, warped by a mapping.

    Parameters
    ----------
    network : NearNetwork
    canvas : Canvas
    mapping : callable
        Maps points (x, y) of the fixed photograph, in pixels of the canvas, to moving points.
    size : int
        Side in pixels of the canvas that is looked at. On a finer one, only smaller
        displacements are found, but more accurately.
    both_ways : bool
        Let the moving photograph vote, too. More accurate, and a third slower.

    Returns
    -------
    Votes
    """
    fixed, moving = canvas.sides_at(size)
    with torch.no_grad():
        moved = moving.warped(places_of(mapping(nodes(size)), size))
        votes, precision = (network.both_ways if both_ways else network)(fixed, moved)
        cell = network.STRIDE
        seen = functional.avg_pool2d(fixed.masks * moved.masks, cell) > 0.99
        weights = (2 * precision).exp() * seen  # one over the squared error that is expected
        total = functional.avg_pool2d(weights, AVERAGED // cell)
        steps = functional.avg_pool2d(votes * weights, AVERAGED // cell) / total.clamp_min(1e-6)
    steps = steps[0].permute(1, 2, 0).numpy() * (cell * SIZE / size)
    wide = AVERAGED * SIZE / size
    axis = (np.arange(len(steps)) + 0.5) * wide - 0.5
    return Votes(np.stack(np.meshgrid(axis, axis), axis=2), steps, total[0, 0].numpy())


def refit(votes: Votes, model: RadialHomography, size: int) -> RadialHomography:
    """Fit a homography and the radial constant to votes, robust against those that do not agree.

    Parameters
    ----------
    votes : Votes
    model : RadialHomography
        The mapping of the look.
    size : int
        Side in pixels of the canvas of the look.

    Returns
    -------
    RadialHomography
        In pixels of the finest canvas.
    """
    known = votes.weights > 0
    points, weights = votes.points[known], votes.weights[known]
    if len(points) < 4:
        return model
    shapes = model.fixed_shape, model.moving_shape
    matches = Matches(points, model(points + votes.steps[known]), *shapes)
    scale, given = SCALE * SIZE / size, weights
    for _ in range(4):
        model = fit_homography(matches, weights, error=ERROR, shared_error=SHARED_ERROR)
        weights = given / (1 + (model.residuals(matches) / scale) ** 2) ** 2
    return model
