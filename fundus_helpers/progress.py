"""Bars for what takes longer than two seconds."""

import os
from collections.abc import Iterable
from typing import TypeVar

from tqdm.auto import tqdm

Item = TypeVar("Item")


def progress(
    items: Iterable[Item], label: str, total: int | None = None, *, shown: bool = True
) -> Iterable[Item]:
    """Go through items with a bar that vanishes at the end.

    Parameters
    ----------
    items : iterable
    label : str
        Stands before the bar.
    total : int, optional
        Number of items, if they cannot be counted.
    shown : bool
        False, or the environment's ``TQDM_DISABLE=1`` (headless runs set it: tqdm's own notebook
        bar does not heed it), for no bar.
    """
    return tqdm(items, label, total, leave=False, disable=not (shown and is_watched()))


def is_watched() -> bool:
    """Whether somebody may look on: False in headless runs, which set ``TQDM_DISABLE=1``."""
    return os.environ.get("TQDM_DISABLE") != "1"
