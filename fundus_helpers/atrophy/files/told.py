"""What a person tells about the atrophy of an eye: scale, hints and outlines."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fundus_helpers import transforms
from fundus_helpers.atrophy.eye import scale_of
from fundus_helpers.atrophy.finding.carried_hints import carry_hints
from fundus_helpers.atrophy.finding.hints import Hints, read_numbers
from fundus_helpers.atrophy.finding.saved_hints import HINTS_FILE, SavedHints
from fundus_helpers.atrophy.outlines import Outline, read_outlines
from fundus_helpers.atrophy.registered import RegisteredVisits
from fundus_helpers.atrophy.scale import Scale, best_scale, scale_given
from fundus_helpers.loading.demo_eye import read_truth
from fundus_helpers.loading.eye import Eye
from fundus_helpers.loading.painted.geometry import frame_points, to_anatomy
from fundus_helpers.loading.visits.folder import DEMO_PATIENTS


@dataclass(frozen=True)
class Told:
    """What a person tells about the atrophy of an eye, as `follow_atrophy` takes it.

    Attributes
    ----------
    scale : Scale or None
        Of the template's photograph on disk; None if it is not known.
    hints : Hints
        In pixels of the grid.
    outlines : dict of str to Outline
        By name of the photograph.
    remarks : tuple of str
        What a person should look at: files that cannot be used, scales that contradict each other.
    """

    scale: Scale | None
    hints: Hints
    outlines: Mapping[str, Outline]
    remarks: tuple[str, ...] = ()


def read_told(
    eye: Eye,
    visits: RegisteredVisits,
    *,
    mm_per_pixel: float = 0.0,
    ellipse: str = "",
    fovea: str = "",
    first_free: bool = False,
    saved: SavedHints | None = None,
) -> Told:
    """Collect what a person tells about the atrophy of an eye. Lengths are in pixels on disk.

    Parameters
    ----------
    eye : Eye
        The outlines beside its photographs are read.
    visits : RegisteredVisits
    mm_per_pixel : float
        Scale of the template's photograph on disk. 0: from headers and tables; of a demo eye, from
        its truth.
    ellipse, fovea : str
        ``"x y a b angle"`` and ``"x y"``, in pixels of the template's photograph on disk; see
        `Hints`. Empty: not known.
    first_free : bool
        Whether there is no atrophy at the first visit.
    saved : SavedHints, optional
        What was drawn in the panel, or given to an earlier run (`read_hints`). A value that is
        given here replaces the saved value.

    Returns
    -------
    Told
        If scales contradict each other, or if no scale can follow from the optic disc in
        ``hints.json``, there is no scale, and a remark says so: numbers then stay in pixels.

    Raises
    ------
    EyeError
        If a hint is not of its form or lies outside the photograph, or if the saved hints were
        drawn on a visit that is not used.
    ValueError
        If `mm_per_pixel` cannot be a scale.
    """
    factor = 1 / visits.template_factor
    on_disk = Hints(read_numbers(ellipse, "x y a b angle"), read_numbers(fovea, "x y"), first_free)
    on_disk.check(eye.full_shapes[eye.index(visits.template)], "the template's photograph")
    hints = Hints(_on_grid(on_disk.ellipse, factor), _on_grid(on_disk.fovea, factor), first_free)
    given = scale_given(mm_per_pixel) if mm_per_pixel else None
    remarks = []
    if saved is not None:
        saved = carry_hints(saved, eye, visits)
        hints = saved.hints(visits, visits.template_file, hints)
    try:
        scales = scale_of(eye, visits, given), *_marked_scales(saved, visits)
        scale = best_scale(scales) or painted_scale(eye, visits)
    except ValueError as error:
        scale = None
        remarks.append(f"{error}; until then, areas are in pixels")
    sizes = dict(zip(eye.used["file"], (s[::-1] for s in eye.full_shapes), strict=True))
    wanted = {file: sizes[file] for file in visits.files}
    outlines, of_outlines = read_outlines(eye.folder, wanted)
    return Told(scale, hints, outlines, (*remarks, *of_outlines))


def _marked_scales(saved: SavedHints | None, visits: RegisteredVisits) -> list[Scale]:
    """Return the scales that follow from the optic disc and the fovea in ``hints.json``."""
    if saved is None or saved.disc is None:
        return []
    here = saved.resized(visits.shape)
    try:
        return here.scales(visits.template_factor)
    except ValueError as error:
        ends = np.reshape(here.disc, (2, 2))
        diameter = visits.template_factor * float(np.hypot(*(ends[1] - ends[0])))
        raise ValueError(
            f"{HINTS_FILE} has an optic disc of {diameter:.3g} px in diameter: {error} (draw the "
            f"disc and the fovea again in the panel of notebook 12, or delete {HINTS_FILE})"
        ) from error


def _on_grid(numbers: tuple[float, ...] | None, factor: float) -> tuple[float, ...] | None:
    """Convert a point, and lengths after it, from the template on disk to the grid."""
    if numbers is None:
        return None
    point = transforms.rescale_points(np.array(numbers[:2]), factor).tolist()
    return (*point, *(length * factor for length in numbers[2:4]), *numbers[4:])


def hints_on_disk(hints: Hints, factor: float) -> dict[str, object]:
    """Return hints in pixels of the template's photograph on disk, as plain values.

    Parameters
    ----------
    hints : Hints
        In pixels of the grid.
    factor : float
        Pixels of the photograph per pixel of the grid (`RegisteredVisits.template_factor`).

    Returns
    -------
    dict
        ``ellipse`` (x, y, a, b, angle) and ``fovea`` (x, y), None where not known; ``first_free``.

    Examples
    --------
    >>> from fundus_helpers.atrophy.finding.hints import Hints
    >>> hints_on_disk(Hints(fovea=(99.5, 49.5)), 2.0)["fovea"]
    [199.5, 99.5]
    """
    there = [_on_grid(numbers, factor) for numbers in (hints.ellipse, hints.fovea)]
    ellipse, fovea = ([round(n, 3) for n in each] if each else None for each in there)
    return {"ellipse": ellipse, "fovea": fovea, "first_free": hints.first_free}


def painted_scale(eye: Eye, visits: RegisteredVisits) -> Scale | None:
    """Return the scale of the template of a demo eye, which is known; None for any other eye.

    Parameters
    ----------
    eye : Eye
    visits : RegisteredVisits

    Returns
    -------
    Scale or None
        The mean over the photograph, which was painted with a slight zoom of its own.
    """
    if eye.patient not in DEMO_PATIENTS:
        return None
    truth, file = read_truth(eye.folder), visits.template_file
    size = truth["size"]
    geometry = next(visit["geometry"] for visit in truth["visits"] if visit["file"] == file)
    grid = frame_points(size)
    moved = (to_anatomy(geometry, size, grid) - grid).reshape(size, size, 2)
    zoom = float(np.sqrt(transforms.area(moved).mean()))
    source = "painted, known exactly"
    return scale_given(truth["mm_per_pixel"] * zoom, uncertainty=0.0, source=source)
