"""Outcomes laid side by side: methods below each other, visit by visit, and which to take."""

import pandas as pd

from fundus_helpers.outcomes import count_verdicts

NOTHING = "nothing done"


def method_table(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Lay the methods below each other: their verdicts, errors, likeness, folding, time.

    Returns
    -------
    DataFrame
        A row a method: visits by verdict (`outcomes.count_verdicts`), ``landmark error`` and
        ``predicted error`` in full-size pixels (`error_table`), ``NCC``, ``SSIM``, ``folding`` and
        ``seconds``. Numbers are means over an eye's visits, and medians of these over eyes.
    """
    eye = [outcomes["patient"], outcomes["laterality"]]
    shown = {"ncc": "NCC", "ssim": "SSIM", "folding": "folding", "seconds": "seconds"}
    means = outcomes.groupby([*eye, "method"])[[*shown]].mean()
    table = count_verdicts(outcomes)
    for name in ("landmark_error_px", "predicted_error_px"):
        errors = error_table(outcomes, name).groupby("eye").mean().median()
        table[f"{name.removesuffix('_error_px')} error"] = errors
    return table.join(means.groupby("method").median().rename(columns=shown))


def best_method(outcomes: pd.DataFrame) -> str:
    """Name the method to take without landmarks: most accepted, then the least error predicted."""
    table = method_table(outcomes)
    return table.sort_values(["accepted", "predicted error"], ascending=[False, True]).index[0]


def error_table(
    outcomes: pd.DataFrame, column: str = "landmark_error_px", *, registered: bool = False
) -> pd.DataFrame:
    """Lay the errors of all methods side by side, visit by visit.

    Parameters
    ----------
    outcomes : DataFrame
        As `outcomes.read_outcomes` gives it.
    column : {"landmark_error_px", "predicted_error_px"}
        Of landmarks: only visits that have some. A visit that a method refused, or tore a landmark
        of away, counts as it was photographed: with its error before, which is what remains to its
        user. So no method gains by refusing what is hard. Predicted: NaN where it failed, for
        which nothing is predicted.
    registered : bool
        Count no visit as it was photographed: NaN where a method refused it.

    Returns
    -------
    DataFrame
        A row an ``eye`` (``007_L``), ``template`` and ``visit``, a column a method, in the order
        of `outcomes`; NaN where a method was not tried. By landmarks, the first column is
        `NOTHING`, the error before.
    """
    table = outcomes.assign(eye=outcomes["patient"] + "_" + outcomes["laterality"])
    if column == "landmark_error_px":
        table = table[table["error_before_px"].notna()]
        if not registered:
            table = table.assign(**{column: table[column].fillna(table["error_before_px"])})
    keys = ["eye", "template", "visit"]
    errors = table.set_index([*keys, "method"])[column].unstack(sort=False).dropna(how="all")
    if column == "landmark_error_px":
        before = table.groupby(keys, sort=False)["error_before_px"].first()
        errors.insert(0, NOTHING, before)
    return errors
