"""Measure how well the visits of an eye lie on each other, before or after registration."""

import itertools
from collections.abc import Mapping, Sequence

import joblib
import numpy as np
import pandas as pd
import SimpleITK as sitk

from fundus_helpers import metrics, transforms
from fundus_helpers.loading.eye import Eye
from fundus_helpers.loading.light import normalise_illumination
from fundus_helpers.metrics.measures import MEASURES, SIMILARITIES
from fundus_helpers.metrics.verdict import Verdict, judge
from fundus_helpers.progress import progress

OF_PIXELS = [key for key, *_ in SIMILARITIES]  # measures that compare brightness, pixel by pixel


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
        Position of the template among the visits. It is not measured against itself.
    found : sequence of sitk.Transform or None, optional
        Transforms from the template to each visit, in the order of the visits; None for a
        registration that failed. Without `found`, the visits are measured before registration.
    shown : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        One row per visit, with the columns of `metrics.measure`. The values are NaN if the
        registration failed. What compares pixels is NaN, too, for a visit of another modality than
        the template: brightness means something else there.
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
        if not eye.comparable(template, i):
            row[row.index.str.removesuffix("_whole_image").isin(OF_PIXELS)] = np.nan
        rows[name] = row if found[i] else row * np.nan
    columns = [measure.key for measure in MEASURES.values() if measure.function]
    return pd.DataFrame(rows, index=columns, dtype=float).T.rename_axis("visit")


def judge_visits(
    eye: Eye,
    template: int,
    found: Sequence[sitk.Transform | None],
    failures: Sequence[str] | None = None,
    *,
    visits: Sequence[int] | None = None,
    by_hand: Sequence[tuple[np.ndarray, np.ndarray] | None] | None = None,
    jobs: int = -1,
) -> list[Verdict | None]:
    """Judge the registration of every visit (`metrics.judge`), without landmarks.

    Parameters
    ----------
    eye : Eye
    template : int
        Position of the template among the visits.
    found : sequence of sitk.Transform or None
        Transforms from the template to each visit, in the order of the visits; None for a
        registration that failed.
    failures : sequence of str, optional
        The reasons of the failures, in the order of the visits; empty texts for the others.
    visits : sequence of int, optional
        Positions of the visits to judge; None for all.
    by_hand : sequence of (fixed points, moving points) or None, optional
        For each visit, the points placed by hand from which it was registered.
    jobs : int
        Number of processes; -1 for one per core.

    Returns
    -------
    list of Verdict or None
        One verdict per visit, in their order; None for a visit that is not among `visits`. Errors
        are in pixels of `eye.images`.
    """
    failures = [""] * len(found) if failures is None else failures
    by_hand = [None] * len(found) if by_hand is None else by_hand
    places = [i for i in range(len(found)) if visits is None or i in visits]
    tasks = [
        joblib.delayed(judge)(
            transform,
            eye.images[template],
            eye.images[i],
            fixed_mask=eye.masks[template],
            moving_mask=eye.masks[i],
            failure=failure,
            by_hand=points,
        )
        for i, (transform, failure, points) in enumerate(zip(found, failures, by_hand, strict=True))
        if i in places
    ]
    verdicts = joblib.Parallel(n_jobs=jobs, return_as="generator")(tasks)
    verdicts = progress(verdicts, "visits judged", len(tasks))
    judged = dict(zip(places, verdicts, strict=True))
    return [judged.get(i) for i in range(len(found))]


def verdict_table(eye: Eye, verdicts: Sequence[Verdict | None]) -> pd.DataFrame:
    """Return the verdicts as a table with one row per judged visit; errors in full-size pixels."""
    judged = {n: each for n, each in zip(eye.names, verdicts, strict=True) if each is not None}
    rows = [verdict.summary(eye.full_factor) for verdict in judged.values()]
    table = pd.DataFrame(rows, index=pd.Index([*judged], name="visit"))
    table["reasons"] = table["reasons"].map("; ".join)
    return table


def mean_table(
    measured: Mapping[str, pd.DataFrame], seconds: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """Average every measure over the visits and count failed visits: one row per method.

    Parameters
    ----------
    measured : mapping of str to DataFrame
        The results of `measure_visits` by name of the method.
    seconds : mapping of str to float, optional
        Mean seconds per visit by name of the method.
    """
    table = pd.DataFrame({name: frame.mean() for name, frame in measured.items()}).T
    table["failed"] = [frame.isna().all(axis=1).sum() for frame in measured.values()]
    table["seconds"] = pd.Series(seconds or {}, dtype=float)
    return table


def pairwise_errors(eye: Eye, found: Sequence[sitk.Transform | None]) -> pd.DataFrame:
    """Mean landmark error between every two registered visits, mapped through the template.

    This error can also judge a template that is not a visit, for example a mean image. It treats
    all visits equally, while the error against the template alone favours the template.

    Parameters
    ----------
    eye : Eye
    found : sequence of sitk.Transform or None
        Transforms from the template to each visit, in the order of the visits; None for a
        registration that failed.

    Returns
    -------
    DataFrame, shape (visits, visits)
        Errors in full-size pixels of the visit in the row. NaN if no landmarks are known or a
        registration failed; inf if a transform folds, so that no point maps to a landmark.
    """
    table = pd.DataFrame(np.nan, index=eye.names, columns=eye.names)
    done = [i for i, transform in enumerate(found) if transform is not None]
    for i, j in itertools.permutations(done, 2):
        fixed_points, moving_points = eye.landmarks_between(i, j)
        if len(fixed_points):
            at_template = transforms.map_points_back(found[j], moving_points)
            if np.isnan(at_template).any():
                table.iloc[i, j] = np.inf
                continue
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
    """Mean correlation of the registered visits with the template, all with even illumination.

    Use it if no landmarks are known. `metrics.measures` explains why landmarks are better.

    Parameters
    ----------
    template : float ndarray in [0, 1], shape (height, width)
    template_mask : bool ndarray, shape (height, width)
    eye : Eye
    found : sequence of sitk.Transform or None
        Transforms from the template to each visit, in the order of the visits; None for a
        registration that failed.
    """
    even = normalise_illumination(template, template_mask)
    correlations = []
    for image, mask, transform in zip(eye.images, eye.masks, found, strict=True):
        if transform is not None:
            warped = transforms.warp(normalise_illumination(image, mask), transform, even.shape)
            common = transforms.overlap(template_mask, mask, transform)
            correlations.append(np.corrcoef(even[common], warped[common])[0, 1])
    return float(np.mean(correlations)) if correlations else float("nan")


def measure_frame(
    eye: Eye,
    found: Sequence[sitk.Transform | None],
    image: np.ndarray,
    mask: np.ndarray,
) -> pd.Series:
    """Measure how well all visits agree in one frame: that of a template or that of a group.

    Parameters
    ----------
    eye : Eye
    found : sequence of sitk.Transform or None
        Transforms from the frame to each visit, in the order of the visits; None for a
        registration that failed.
    image : float ndarray in [0, 1], shape (height, width)
        Image of the frame: the template, or the mean of the group.
    mask : bool ndarray, shape (height, width)
        True where the frame shows the retina.

    Returns
    -------
    Series
        Mean and largest landmark error between every two visits (`pairwise_errors`; NaN if no
        landmarks are known); the correlation of `agreement`; the mean over the mask of the
        displacement that all visits share, in pixels of `eye.images`; the mean share of the overlap
        that folds; and the number of failed visits.
    """
    errors = pairwise_errors(eye, found).stack().dropna()
    done = [(each, view) for each, view in zip(found, eye.masks, strict=True) if each is not None]
    shared, folds = np.full((*mask.shape, 2), np.nan), [np.nan]
    if done:
        shared = sum(transforms.displacement(each, mask.shape) for each, _ in done) / len(done)
        folds = [transforms.folding(t, transforms.overlap(mask, view, t)) for t, view in done]
    return pd.Series(
        {
            "pairwise_landmark_error_px": errors.mean(),
            "worst_pairwise_error_px": errors.max(),
            "frame_correlation": agreement(image, mask, eye, found),
            "mean_displacement_image_px": np.linalg.norm(shared[mask], axis=1).mean(),
            "folding": np.mean(folds),
            "failed": len(found) - len(done),
        }
    )
