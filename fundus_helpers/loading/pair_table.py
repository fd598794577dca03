"""Pairs of photographs of any camera, listed in a table `pairs.csv`."""

from pathlib import Path

import numpy as np
import pandas as pd

from fundus_helpers.loading.fire import FirePair, read_pairs

TABLE = "pairs.csv"
COLUMNS = ["fixed", "moving"]
POINTS = ["x_fixed", "y_fixed", "x_moving", "y_moving"]


def read_any_pairs(folder: Path | str, *, with_wrong: bool = False) -> list[FirePair]:
    r"""List the pairs of a folder: those of its `pairs.csv`, or of FIRE if there is none.

    Parameters
    ----------
    folder : path
        Holds ``pairs.csv`` with the columns ``fixed``, ``moving`` (files in the folder) and, if
        landmarks are known, ``landmarks``: a CSV file with the columns ``x_fixed``, ``y_fixed``,
        ``x_moving`` and ``y_moving``, in pixels of the files. Or it is a folder of FIRE
        (`loading.read_pairs`).
    with_wrong : bool
        See `loading.read_pairs`.

    Returns
    -------
    list of FirePair
        In the order of the table, without a category. A pair without landmarks has no points.

    Raises
    ------
    FileNotFoundError
        If a file that the table names is missing.
    ValueError
        If the table, or a file of landmarks, has other columns or no rows.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from fundus_helpers.loading.pair_table import read_any_pairs
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("2019.png", "2024.png"):
    ...         Path(folder, name).touch()
    ...     _ = Path(folder, "pairs.csv").write_text("fixed,moving\n2019.png,2024.png\n")
    ...     [pair.name for pair in read_any_pairs(folder)]
    ['2019 to 2024']
    """
    folder = Path(folder)
    if not (folder / TABLE).is_file():
        return read_pairs(folder, with_wrong=with_wrong)
    table = pd.read_csv(folder / TABLE, dtype=str, keep_default_na=False)
    if not set(COLUMNS) <= set(table.columns) or table.empty:
        raise ValueError(
            f"{TABLE}: columns {[*table.columns]} with {len(table)} rows; the columns 'fixed' and "
            "'moving' are needed ('landmarks' if they are known), and one row per pair"
        )
    return [_pair(folder, row) for row in table.to_dict("records")]


def _pair(folder: Path, row: dict[str, str]) -> FirePair:
    paths = [folder / row[column] for column in COLUMNS]
    landmarks = [folder / row["landmarks"]] if row.get("landmarks") else []
    for path in (*paths, *landmarks):
        if not path.is_file():
            raise FileNotFoundError(f"{path.name}: missing, but {TABLE} names it; copy it there")
    points = _points(landmarks[0]) if landmarks else np.zeros((0, 4))
    name = f"{paths[0].stem} to {paths[1].stem}"
    return FirePair(name, "", *paths, points[:, :2], points[:, 2:])


def _points(path: Path) -> np.ndarray:
    table = pd.read_csv(path)
    if not set(POINTS) <= set(table.columns) or table.empty:
        raise ValueError(
            f"{path.name}: columns {[*table.columns]}; {POINTS} are needed, and points"
        )
    points = table[POINTS].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    if not np.isfinite(points).all():
        raise ValueError(f"{path.name}: some values are not numbers; give x and y of every point")
    return points
