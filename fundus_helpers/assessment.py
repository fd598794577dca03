"""How well the visits of an eye lie on each other, before or after registration."""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
import SimpleITK as sitk

from fundus_helpers import metrics, transforms, warping
from fundus_helpers.eye import Eye
from fundus_helpers.images import normalise_illumination
from fundus_helpers.progress import progress


def measure_visits(
    eye: Eye,
    template: int,
    found: Sequence[sitk.Transform | None] | None = None,
    *,
    shown: bool = True,
) -> pd.DataFrame:
    """Measure every visit of an eye against the template.

    Parameters
    ----------
    eye : Eye
    template : int
        Position of the template among the visits; it is not measured against itself.
    found : sequence of sitk.Transform or None, optional
        From the template to each visit, in their order; None for one that failed. Left out: the
        visits as they are, before any registration.
    shown : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        A row a visit, the columns of `metrics.measure`; NaN where a registration failed.
    """
    found = [transforms.identity()] * len(eye.names) if found is None else found
    rows = {}
    for i, name in enumerate(progress(eye.names, "visits measured", shown=shown)):
        if i == template:
            continue
        row = metrics.measure(
            eye.images[template],
            eye.images[i],
            found[i] or transforms.identity(),
            fixed_mask=eye.masks[template],
            moving_mask=eye.masks[i],
            landmarks=eye.landmarks_between(template, i),
            full_factor=eye.full_factor,
        )
        rows[name] = row if found[i] else row * np.nan
    return pd.DataFrame(rows).T.rename_axis("visit")


def pairwise_errors(eye: Eye, found: Sequence[sitk.Transform | None]) -> pd.DataFrame:
    """Mean landmark error between every two registered visits, by way of the template.

    Unlike the error against the template alone, it can judge a template that is no visit (a mean
    image), and it does not flatter the template.

    Parameters
    ----------
    eye : Eye
    found : sequence of sitk.Transform or None
        From the template to each visit, in their order.

    Returns
    -------
    DataFrame, shape (visits, visits)
        Pixels of the full-size photographs of the visit in the row; NaN where no landmarks are
        known or a registration failed.
    """
    table = pd.DataFrame(np.nan, index=eye.names, columns=eye.names)
    done = [i for i, transform in enumerate(found) if transform is not None]
    for i, j in itertools.permutations(done, 2):
        fixed_points, moving_points = eye.landmarks_between(i, j)
        if len(fixed_points):
            at_template = transforms.map_points_back(found[j], moving_points)
            mapped = transforms.map_points(found[i], at_template)
            error = np.linalg.norm(mapped - fixed_points, axis=1).mean()
            table.iloc[i, j] = error * eye.full_factor
    return table


def agreement(
    template: np.ndarray,
    template_mask: np.ndarray,
    eye: Eye,
    found: Sequence[sitk.Transform | None],
) -> float:
    """Mean correlation of the registered, evenly lit visits with the template.

    What is left to judge by where no landmarks are known; see `metrics` for why it comes second.

    Parameters
    ----------
    template : float ndarray in [0, 1], shape (height, width)
    template_mask : bool ndarray, shape (height, width)
    eye : Eye
    found : sequence of sitk.Transform or None
        From the template to each visit, in their order.
    """
    even = normalise_illumination(template, template_mask)
    correlations = []
    for image, mask, transform in zip(eye.images, eye.masks, found, strict=True):
        if transform is not None:
            warped = warping.warp(normalise_illumination(image, mask), transform, even.shape)
            common = warping.overlap(template_mask, mask, transform)
            correlations.append(np.corrcoef(even[common], warped[common])[0, 1])
    return float(np.mean(correlations)) if correlations else float("nan")
