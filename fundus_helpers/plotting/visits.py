"""Pictures of the registered visits of one eye, the same in every notebook."""

from collections.abc import Sequence

import pandas as pd
from IPython.display import HTML
from matplotlib.figure import Figure

from fundus_helpers import transforms
from fundus_helpers.loading.eye import Eye
from fundus_helpers.plotting.figures import before_after, best_and_worst
from fundus_helpers.plotting.pictures import TURN_CAPTION, flicker_view
from fundus_helpers.series.registering import Registration


def draw_pair(eye: Eye, template: int, registration: Registration, caption: str) -> Figure | str:
    """Draw a visit on the template before and after registration, or say why it failed.

    Parameters
    ----------
    eye : Eye
    template : int
        Position of the template among the visits.
    registration : Registration
    caption : str
        What to look for.
    """
    if registration.transform is None:
        return f"{registration.visit}: {registration.reason}"
    moving = eye.images[eye.index(registration.visit)]
    warped = transforms.warp(moving, registration.transform)
    return before_after(eye.images[template], moving, warped, caption=caption)


def draw_turns(eye: Eye, template: int, registration: Registration) -> HTML:
    """Show the template and a registered visit in turn (`plotting.flicker_view`).

    Parameters
    ----------
    eye, template, registration
        See `draw_pair`. A visit that failed is shown as it was photographed.
    """
    moving = eye.images[eye.index(registration.visit)]
    warped = transforms.warp(moving, registration.transform or transforms.identity())
    caption = f"Template and visit in turn: {TURN_CAPTION}."
    return flicker_view(eye.images[template], warped, caption=caption)


def draw_best_and_worst(
    eye: Eye, template: int, found: Sequence[Registration], after: pd.DataFrame
) -> Figure:
    """Draw the best and the worst registered visits.

    Parameters
    ----------
    eye, template
        See `draw_pair`.
    found : sequence of Registration
    after : DataFrame
        As `series.measure_visits` gives it. The visits are ordered by their landmark errors where
        these are known, otherwise by 1 - SSIM.
    """
    error, unit = after["landmark_error_px"], "px"
    if error.isna().all():
        error, unit = 1 - after["ssim"], "(1 - SSIM)"
    by_name = {r.visit: r.transform or transforms.identity() for r in found}
    warped = [transforms.warp(eye.images[eye.index(name)], by_name[name]) for name in error.index]
    return best_and_worst(eye.images[template], warped, error.index, error.to_numpy(), unit=unit)
