"""The words by which people label outlines."""

import re
from collections.abc import Iterable

from fundus_helpers.loading.eye_error import EyeError

_ATROPHY = re.compile(r"atroph|^\W*GA\W*$", re.IGNORECASE)
# Atrophy around the disc is another thing than geographic atrophy.
_NO_ATROPHY = re.compile(r"papill|dis[ck]|\b(no|non|not|without)\b", re.IGNORECASE)
_ELSE = re.compile(
    r"fovea|macula|vessel|arter|vein|drusen|field|\b(onh|fov|background|healthy|normal)\b",
    re.IGNORECASE,
)


def choose_labels(labels: Iterable[str]) -> tuple[set[str], str]:
    """Choose the labels of a file that mean atrophy.

    All labels that contain "atrophy" are chosen, and GA. If there is none, a single label of
    another kind is chosen unless it names something else, like the disc or the fovea.

    Parameters
    ----------
    labels : iterable of str

    Returns
    -------
    chosen : set of str
    note : str
        What a person should know; empty if a label says atrophy.

    Raises
    ------
    EyeError
        If no label can be chosen; the message says what they are.

    Examples
    --------
    >>> choose_labels(["fovea", "geographic atrophy"])
    ({'geographic atrophy'}, '')
    >>> choose_labels(["lesion"])
    ({'lesion'}, "its only label, 'lesion', is taken for atrophy")
    """
    known = sorted({*labels})
    plain = {label: label.replace("_", " ") for label in known}
    named = {label for label in known if _ATROPHY.search(plain[label])}
    chosen = {label for label in named if not _NO_ATROPHY.search(plain[label])}
    if chosen:
        return chosen, ""
    others = [label for label in known if _NO_ATROPHY.search(plain[label])]
    others += [label for label in known if _ELSE.search(plain[label])]
    if len(known) == 1 and not others:
        return {*known}, f"its only label, {known[0]!r}, is taken for atrophy"
    shown = ", ".join(map(repr, known[:5])) + (", ..." if len(known) > 5 else "")
    raise EyeError(f"no label says atrophy, but {shown}; give the outlines the label 'atrophy'")
