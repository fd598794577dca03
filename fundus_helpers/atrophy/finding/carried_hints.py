"""Hints that outlive a run: carried to the template of the next run, and remembered for it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from fundus_helpers import transforms
from fundus_helpers.atrophy.finding.hints import Hints, Strokes
from fundus_helpers.atrophy.finding.saved_hints import (
    HINTS_FILE,
    SavedHints,
    read_hints,
    resized_ellipse,
    resized_points,
    save_hints,
)
from fundus_helpers.atrophy.registered import RegisteredVisits
from fundus_helpers.loading.eye import Eye
from fundus_helpers.loading.eye_error import EyeError


def carry_hints(saved: SavedHints, eye: Eye, visits: RegisteredVisits) -> SavedHints:
    """Carry hints that were drawn on another visit of the eye to the template of registered visits.

    Parameters
    ----------
    saved : SavedHints
    eye : Eye
    visits : RegisteredVisits
        Their transforms carry the hints.

    Returns
    -------
    SavedHints
        The hints themselves if they were drawn on this template. An ellipse stays an ellipse: it is
        carried by what the transform does at its middle and at the ends of its axes.

    Raises
    ------
    EyeError
        If the visit on which they were drawn is not among the registered ones.
    """
    if saved.template == visits.template_file:
        return saved
    if saved.template not in visits.files:
        raise EyeError(
            f"{HINTS_FILE} was drawn on the photograph {saved.template!r}, which is not used here, "
            "or whose registration is not accepted; run the eye with that photograph as the "
            f"template (TEMPLATE=), draw the hints again, or delete {HINTS_FILE}"
        )
    i = visits.files.index(saved.template)
    here = saved.resized(eye.images[visits.positions[i]].shape)
    move = visits.transforms[i]
    return SavedHints(
        visits.template_file,
        visits.shape,
        ellipse=here.ellipse and _carried_ellipse(here.ellipse, move),
        fovea=here.fovea and _carried(here.fovea, move),
        first_free=here.first_free,
        disc=here.disc and _carried(here.disc, move),
        strokes={
            file: Strokes(
                *(
                    transforms.warp_mask(mask, move, visits.shape)
                    for mask in (each.atrophic, each.healthy)
                )
            )
            for file, each in here.strokes.items()
        },
    )


def _carried(points: Sequence[float], move: sitk.Transform) -> tuple[float, ...]:
    """Return points (x, y, x, y, ...) of a visit in pixels of the template."""
    return tuple(transforms.map_points_back(move, np.reshape(points, (-1, 2))).ravel().tolist())


def _carried_ellipse(ellipse: Sequence[float], move: sitk.Transform) -> tuple[float, ...]:
    x, y, a, b, angle = ellipse
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    along, aside = a * np.array([cos, sin]), b * np.array([-sin, cos])
    ends = np.array([x, y]) + np.array([0 * along, along, -along, aside, -aside])
    middle, *ends = np.reshape(_carried(ends.ravel(), move), (-1, 2))
    axes = np.column_stack([ends[0] - ends[1], ends[2] - ends[3]]) / 2
    directions, lengths, _ = np.linalg.svd(axes)
    turned = np.degrees(np.arctan2(directions[1, 0], directions[0, 0]))
    return (*middle.tolist(), *lengths.tolist(), float(turned))


def remember_hints(path: Path | str, hints: Hints, eye: Eye, visits: RegisteredVisits) -> None:
    """Save the ellipse, the fovea and the first visit that were given, for all later runs.

    Parameters
    ----------
    path : path
        See `hints_path`. The file stays as it is if nothing new was given. Its strokes and its disc
        are kept in any case.
    hints : Hints
        In pixels of the grid of the visits.
    eye : Eye
    visits : RegisteredVisits

    Raises
    ------
    EyeError
        If the file is damaged, or was drawn on a visit that is not used.
    OSError
        If the file cannot be written; the message names it.
    """
    saved = read_hints(path) or SavedHints(visits.template_file, visits.shape)
    saved = carry_hints(saved, eye, visits)
    factor = max(saved.shape) / max(visits.shape)
    ellipse = hints.ellipse and resized_ellipse(hints.ellipse, factor)
    fovea = hints.fovea and resized_points(hints.fovea, factor)
    kept = _same(ellipse, saved.ellipse) and _same(fovea, saved.fovea)
    if kept and hints.first_free == saved.first_free:
        return
    marks = {"ellipse": ellipse, "fovea": fovea, "first_free": hints.first_free}
    save_hints(path, replace(saved, **marks))


def _same(new: Sequence[float] | None, old: Sequence[float] | None) -> bool:
    """Whether two marks are the same; sizes of the grid may have rounded them."""
    return new == old or (new is not None and old is not None and np.allclose(new, old))
