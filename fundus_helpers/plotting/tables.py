"""Tables of measures for readers, with labels, units and colours."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from fundus_helpers.metrics.measures import MEASURES


def show_table(table: pd.DataFrame, columns: Sequence[str] | None = None) -> Styler:
    """Show a table whose columns are keys of `MEASURES` with their labels and units.

    Parameters
    ----------
    table : DataFrame
        Columns that are not measures keep their names and their values.
    columns : sequence of str, optional
        The columns to show, in this order; None for all. Names that the table does not have are
        ignored.
    """
    shown = table if columns is None else table[[name for name in columns if name in table]]
    known = [name for name in shown if name in MEASURES]
    style = shown.style.format({name: MEASURES[name].write for name in known}, na_rep="-")
    return style.format_index(lambda name: getattr(MEASURES.get(name), "title", name), axis=1)


def before_after_table(before: pd.Series, after: pd.Series) -> Styler:
    """Show measures before and after a registration side by side; better is green, worse is red.

    Parameters
    ----------
    before, after : Series
        Results of `metrics.measure`, or means of such results. They have the same index.

    Returns
    -------
    Styler
        Columns ``before``, ``after``, ``change`` and ``result``. The result (better, worse or same)
        says in words what the colour means.
    """
    factor = [100 if MEASURES[key].unit == "share" else 1 for key in before.index]
    table = pd.DataFrame({"before": before * factor, "after": after * factor})
    table["change"] = table["after"] - table["before"]
    sign = {"higher": 1.0, "lower": -1.0, None: np.nan}
    gain = table["change"] * [sign[MEASURES[key].better] for key in table.index]
    words = np.select(
        [gain > 1e-9, gain < -1e-9, gain.abs() <= 1e-9], ["better", "worse", "same"], ""
    )
    table["result"] = words
    colours = {"better": "#1a7f37", "worse": "#c62828"}

    def colour(row: pd.Series) -> list[str]:
        style = f"color: {colours.get(row['result'], 'inherit')}; font-weight: bold"
        return ["", style, style, style] if row["result"] in colours else [""] * 4

    numbers = {name: "{:.4g}" for name in ("before", "after")} | {"change": "{:+.3g}"}
    style = table.style.apply(colour, axis=1).format(numbers, na_rep="-")
    return style.format_index(lambda key: MEASURES[key].title, axis=0)
