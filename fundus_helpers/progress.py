"""Progress bars for work that takes longer than two seconds."""

import os
from collections.abc import Iterable
from typing import TypeVar

from tqdm.auto import tqdm

Item = TypeVar("Item")


def progress(
    items: Iterable[Item], label: str, total: int | None = None, *, shown: bool = True
) -> Iterable[Item]:
    """Iterate over items and show a progress bar, which disappears at the end.

    Parameters
    ----------
    items : iterable
    label : str
        Text before the bar.
    total : int, optional
        Number of items, needed if `items` has no length.
    shown : bool
        False shows no bar. Nor is one shown if the environment variable ``TQDM_DISABLE`` is 1;
        headless runs set it, and tqdm itself ignores it for its notebook bar.
    """
    return tqdm(items, label, total, leave=False, disable=not (shown and is_watched()))


def is_watched() -> bool:
    """Return False in headless runs, which set ``TQDM_DISABLE=1``, otherwise True."""
    return os.environ.get("TQDM_DISABLE") != "1"
