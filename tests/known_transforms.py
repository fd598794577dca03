"""Transforms that are known, and how far a found one is off."""

import math

import numpy as np

from fundus_helpers import metrics, transforms

WIDTH = 256


def about_the_middle(degrees=0.0, scale=1.0, shift=(0, 0), shear=0.0):
    """Return a matrix that turns, scales and shears about the middle of the frame, then shifts."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    linear = scale * np.array([[cosine, -sine + shear], [sine, cosine]])
    middle = np.full(2, (WIDTH - 1) / 2)
    return np.column_stack([linear, middle + shift - linear @ middle])


def largest_error(transform, matrix, mask):
    """Return how far a transform is off its true matrix in a field of view, in pixels, at most."""
    points = np.argwhere(mask)[::29, ::-1]
    true = transforms.map_points(transforms.from_matrix(matrix), points)
    return np.linalg.norm(transforms.map_points(transform, points) - true, axis=1).max()


def errors_in(found, true, mask):
    """Return how far a transform is off the true one at every pixel of a mask, in pixels."""
    fields = (transforms.displacement(transform, mask.shape) for transform in (found, true))
    return np.linalg.norm(np.subtract(*fields), axis=2)[mask]


def bumps(seed, height, width=50.0):
    """Return a field of six smooth bumps in the middle of the frame, the highest so many pixels."""
    rng, (rows, columns) = np.random.default_rng(seed), np.indices((WIDTH, WIDTH))
    field = np.zeros((WIDTH, WIDTH, 2))
    for _ in range(6):
        x, y = rng.uniform(60, WIDTH - 60, 2)
        near = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 2 / width**2)
        field += near[..., None] * rng.standard_normal(2)
    return height * field / np.linalg.norm(field, axis=2).max()


def landmark_error(eye, method, masks, visits=None, **knobs):
    """Return the mean landmark error of an eye's visits (all) registered to the first."""
    errors = []
    for i in range(1, len(eye.names)) if visits is None else visits:
        landmarks = eye.landmarks_between(0, i)
        if len(landmarks[0]):
            found = method(
                eye.images[0],
                eye.images[i],
                fixed_mask=masks[0],
                moving_mask=masks[i],
                **knobs,
            )
            errors.append(metrics.landmark_errors(found, *landmarks).mean() * eye.full_factor)
    return np.mean(errors)
