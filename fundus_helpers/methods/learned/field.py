"""The smooth field that is left after a homography, from votes on the vessels."""

import cv2
import numpy as np

from fundus_helpers import transforms
from fundus_helpers.methods.learned.votes import Mapping, Votes

# Standard deviations of the averages, in cells of the votes, from wide to narrow, for smoothness 1.
WIDTHS = (8.0, 4.0, 2.0, 1.5)
# How strongly a wider average holds the narrower one, as a share of the mean weight of the votes.
HOLD = 0.3
# Votes this far from the trend, in pixels of the finest canvas, count a quarter.
SCALE = 3.0


def smooth_field(votes: Votes, smoothness: float = 1.0) -> np.ndarray:
    """Average votes to a smooth field.

    A second-degree polynomial fits all votes. What it leaves is averaged by weight, over narrower
    and narrower neighbourhoods. Where few votes count, the wider average is kept.

    Parameters
    ----------
    votes : Votes
    smoothness : float
        Factor of the widths of the averages.

    Returns
    -------
    float32 ndarray, shape (h, w, 2)
        Displacements (x, y) on the grid of the votes.
    """
    known = votes.weights > 0
    if known.sum() < 20:
        return np.zeros_like(votes.steps)
    x, y = np.moveaxis(votes.points / votes.points.max() * 2 - 1, 2, 0)
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=2)
    weights = votes.weights.astype(np.float64)
    for _ in range(4):
        root = np.sqrt(weights[known])[:, None]
        solution = np.linalg.lstsq(terms[known] * root, votes.steps[known] * root, rcond=None)[0]
        trend = terms @ solution
        left = np.linalg.norm(votes.steps - trend, axis=2)
        weights = votes.weights / (1 + (left / SCALE) ** 2) ** 2
    weight = weights.astype(np.float32)[..., None]
    rest, hold = (votes.steps - trend).astype(np.float32), HOLD * float(weight[known].mean())
    field = np.zeros_like(rest)
    for width in WIDTHS:
        total, step = (_blurred(part, width * smoothness) for part in (weight, rest * weight))
        field = (step + hold * field) / (total + hold)
    return (trend + field).astype(np.float32)


def _blurred(values: np.ndarray, sigma: float) -> np.ndarray:
    blurred = cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    return blurred.reshape(values.shape)


class Bent:
    """A mapping and a smooth field: points are moved by the field first, then mapped.

    Parameters
    ----------
    mapping : callable
        The mapping of the look.
    votes : Votes
    smoothness : float
        See `smooth_field`.
    """

    def __init__(self, mapping: Mapping, votes: Votes, smoothness: float = 1.0) -> None:
        self.mapping, self.field = mapping, smooth_field(votes, smoothness)
        self.corner, self.wide = votes.points[0, 0, 0], np.ptp(votes.points[0, :2, 0])

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Map points (x, y), shape (..., 2), in pixels of the canvas."""
        cells = (points - self.corner) / self.wide
        return self.mapping(points + transforms.remap(self.field, cells, fill=None))
