"""Sliders around a registration method: every move registers a pair of visits anew."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from IPython.display import HTML

from fundus_helpers.eye import Eye
from fundus_helpers.knobs import Value
from fundus_helpers.methods import Method
from fundus_helpers.progress import is_watched
from fundus_helpers.tuned import tuned_knobs
from fundus_helpers.tuner import Tuner

__all__ = ["tune", "tuned_knobs"]
NOBODY_WATCHES = "<em>Sliders appear here in JupyterLab, and on the page of make app.</em>"


def tune(
    eye: Eye,
    fixed: int,
    methods: Sequence[str] | Mapping[str, Method],
    results: Path | str,
    *,
    method: str | None = None,
    moving: int | None = None,
    preview_size: int | None = None,
    **knobs: Value,
) -> Tuner | HTML:
    """Make the sliders of one or several methods.

    A move of a slider registers a pair of visits at reduced size, and shows pictures and numbers
    before and after. *Save* writes the knobs into ``tuned.json`` in the folder of the eye's
    results, which headless runs take as their parameters.

    Parameters
    ----------
    eye : Eye
    fixed : int
        Position of the template among the visits.
    methods : sequence of str, or mapping of str to callable
        Names in `fundus_helpers.METHODS`; or other functions of their contract, by name: trained
        networks, groups.
    results : path
        Folder of all results.
    method : str, optional
        The one shown first; None: the first of them.
    moving : int, optional
        Position of the visit shown first; None: the last one that is not the template.
    preview_size : int, optional
        Longer side, in pixels, of the previews; None: as small as a slider needs it.
    **knobs
        Where the sliders stand at first, if nothing has been saved; those that a method does not
        have are left out.

    Returns
    -------
    Tuner
        Shown by the notebook. A sentence instead where nobody watches, in a headless run.
    """
    if not is_watched():
        return HTML(NOBODY_WATCHES)
    if moving in (None, fixed):
        moving = max(i for i in range(len(eye.names)) if i != fixed)
    return Tuner(
        eye,
        fixed,
        methods,
        results,
        method=method,
        moving=moving,
        preview_size=preview_size,
        knobs=knobs,
    )
