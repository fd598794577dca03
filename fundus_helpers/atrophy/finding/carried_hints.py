"""Hints that outlive a run: carried to the template of the next run, and remembered for it."""

import shutil
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
from fundus_helpers.loading.tables.sheets import BACKUP


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
        If the visit on which they were drawn is not among the registered ones, or if the fovea or
        the middle of the ellipse lies outside the template.

    Examples
    --------
    Every visit shows the retina 3 pixels farther to the right than the template does:

    >>> import tempfile
    >>> import numpy as np
    >>> import fundus_helpers as fh
    >>> folder = fh.make_demo_eye(tempfile.mkdtemp(), "demo_colour", size=96)
    >>> study = fh.Study(folder.parent, "demo_colour", "L", results=folder.parent, jobs=1)
    >>> moves = [fh.transforms.from_matrix([[1, 0, 3], [0, 1, 0]])] * len(study.eye.names)
    >>> found = study.add("moved", moves)
    >>> exact = fh.metrics.Verdict("accepted", predicted_error=np.zeros((96, 96), np.float32))
    >>> verdicts = [exact] * len(moves)
    >>> visits = fh.atrophy.registered_visits(study, "moved", verdicts=verdicts)
    >>> saved = fh.atrophy.SavedHints(visits.files[5], (96, 96), fovea=(50.0, 40.0))
    >>> x, y = fh.atrophy.carry_hints(saved, study.eye, visits).fovea
    >>> round(x, 3), round(y, 3)
    (47.0, 40.0)
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
    carried = SavedHints(
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
    if lost := Hints(carried.ellipse, carried.fovea).outside(visits.shape):
        raise EyeError(
            f"the {' and the '.join(lost)} in {HINTS_FILE} was marked on the photograph "
            f"{saved.template!r}, and lies outside the template {visits.template_file!r}; choose "
            f"another template (TEMPLATE=), draw the hints again, or delete {HINTS_FILE}"
        )
    return carried


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


def remember_hints(
    path: Path | str, hints: Hints, eye: Eye, visits: RegisteredVisits
) -> tuple[str, ...]:
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

    Returns
    -------
    tuple of str
        Remarks. There is one if the file was drawn on another template, and if strokes in it lie
        outside the template of these visits. These strokes are lost. Then the file as it was is
        kept beside it, as ``hints.json.bak``.

    Raises
    ------
    EyeError
        If the file is damaged, or was drawn on a visit that is not used.
    OSError
        If the file cannot be written; the message names it.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import fundus_helpers as fh
    >>> folder = fh.make_demo_eye(tempfile.mkdtemp(), "demo_colour", size=96)
    >>> study = fh.Study(folder.parent, "demo_colour", "L", results=folder.parent, jobs=1)
    >>> found = study.add("nothing", [None] * len(study.eye.names))
    >>> visits = fh.atrophy.registered_visits(study, "nothing", verdicts=found)
    >>> path = Path(tempfile.mkdtemp()) / "hints.json"
    >>> hints = fh.atrophy.Hints(fovea=(50.0, 40.0), first_free=True)
    >>> fh.atrophy.remember_hints(path, hints, study.eye, visits)
    ()
    >>> fh.atrophy.read_hints(path).fovea
    (50.0, 40.0)
    """
    before = read_hints(path) or SavedHints(visits.template_file, visits.shape)
    saved = carry_hints(before, eye, visits)
    factor = max(saved.shape) / max(visits.shape)
    ellipse = hints.ellipse and resized_ellipse(hints.ellipse, factor)
    fovea = hints.fovea and resized_points(hints.fovea, factor)
    kept = _same(ellipse, saved.ellipse) and _same(fovea, saved.fovea)
    if kept and hints.first_free == saved.first_free:
        return ()
    cut = _cut_off(before, eye, visits)
    backup = Path(f"{path}{BACKUP}")
    if cut:
        shutil.copyfile(path, backup)
    marks = {"ellipse": ellipse, "fovea": fovea, "first_free": hints.first_free}
    save_hints(path, replace(saved, **marks))
    words = (
        f"{HINTS_FILE} was drawn on {before.template!r}, and is now saved on "
        f"{visits.template_file!r}; strokes outside this photograph are lost ({', '.join(cut)}); "
        f"the file as it was is kept as {backup.name}"
    )
    return (words,) if cut else ()


def _cut_off(saved: SavedHints, eye: Eye, visits: RegisteredVisits) -> list[str]:
    """Name the photographs whose strokes lie partly outside the template of registered visits."""
    if saved.template == visits.template_file or not saved.strokes:
        return []
    i = visits.files.index(saved.template)
    here = saved.resized(eye.images[visits.positions[i]].shape)
    back = transforms.invert_smooth(visits.transforms[i], here.shape)
    inside = transforms.warp_mask(np.ones(visits.shape, bool), back, here.shape)
    return [
        file
        for file, each in here.strokes.items()
        if ((each.atrophic | each.healthy) & ~inside).any()
    ]


def _same(new: Sequence[float] | None, old: Sequence[float] | None) -> bool:
    """Whether two marks are the same; sizes of the grid may have rounded them."""
    return new == old or (new is not None and old is not None and np.allclose(new, old))
