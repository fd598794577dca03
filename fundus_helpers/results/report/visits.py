"""What became of every visit of one eye, by the method to take: rows, and a verdict in words."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fundus_helpers.metrics.verdict import BY_HAND, DOUBTFUL, FAILED, USABLE
from fundus_helpers.results.folder import AFTER, ALONE, BEFORE
from fundus_helpers.series.outcomes import best_method

# What a person should do about a visit, by its verdict.
ADVICE = {
    **dict.fromkeys(USABLE, ""),
    DOUBTFUL: "look at the registered photograph before you use it",
    FAILED: "do not use it; look for a better photograph of that day, place points by hand, or "
    "name the file in excluded.csv",
}
NUMBERS = re.compile(r" \([^()]*\)$")  # of a reason, which begins with plain words


@dataclass(frozen=True)
class TakenMethod:
    """The method to take for an eye, and what it made of every visit.

    Attributes
    ----------
    method : str
    notebook : str
        The folder of its transforms and registered photographs.
    template : str
        Name of the visit that the others were registered to.
    dates : mapping of str to str
        Dates of the visits by name, ``YYYY-MM-DD``; what is not known is missing.
    outcomes : DataFrame
        One row per visit except the template, in the order of the dates; the columns of
        `results.read_outcomes`.
    """

    method: str
    notebook: str
    template: str
    dates: Mapping[str, str]
    outcomes: pd.DataFrame

    def named(self, visit: str) -> str:
        """Return the date of a visit, or its name if there is no date, or two of one date."""
        date = self.dates.get(visit, "")
        return date if date and [*self.dates.values()].count(date) == 1 else visit

    def file(self, folder: Path, kind: str, visit: str) -> str | None:
        """Return the path of what is saved of a visit, seen from the folder of the eye.

        Parameters
        ----------
        folder : Path
            ``<results>/<patient>_<L|R>``.
        kind : str
            A folder that `results.save_registrations` writes, for example ``registered``.
        visit : str

        Returns
        -------
        str or None
            None if nothing was saved.
        """
        endings = (".png", ".tif", ".tfm", ".h5", ".jpg")
        paths = (f"{self.notebook}/{kind}/{visit}{ending}" for ending in endings)
        return next((path for path in paths if (folder / path).exists()), None)

    @property
    def visits(self) -> list[str]:
        """Names of all visits, the template among them, in the order of their dates."""
        names = [self.template, *self.outcomes["visit"]]
        return sorted(names, key=lambda name: (self.dates.get(name, name), name))

    def saved(self, folder: Path, kind: str) -> dict[str, str]:
        """Return the paths of the files of one kind, by visit, without the visits that failed.

        What failed shows nothing that is so. Visits of which nothing was saved are left out, too.

        Parameters
        ----------
        folder : Path
            ``<results>/<patient>_<L|R>``.
        kind : str
            See `file`.
        """
        failed = {*self.outcomes.loc[self.outcomes["verdict"] == FAILED, "visit"]}
        paths = {visit: self.file(folder, kind, visit) for visit in self.visits}
        return {visit: path for visit, path in paths.items() if path and visit not in failed}


def taken_method(metrics: Mapping[str, Mapping], outcomes: pd.DataFrame) -> TakenMethod:
    """Choose the method to take for an eye.

    It is the best method (`series.best_method`) of those whose photographs and transforms were
    saved, because a report links to them. If no notebook tells what it has saved, it is the best of
    all.

    Parameters
    ----------
    metrics : mapping of str to mapping
        What every notebook left, by notebook (`results.read_eye_metrics`).
    outcomes : DataFrame
        Of this eye, from `results.read_outcomes`.
    """
    saved = {(name, each.get("saved_method")) for name, each in metrics.items()}
    keys = zip(outcomes["notebook"], outcomes["method"], strict=True)
    linked = outcomes[[key in saved for key in keys]]
    chosen = linked if len(linked) else outcomes
    method = best_method(chosen)
    rows = chosen[chosen["method"] == method]
    dates = metrics[rows["notebook"].iloc[0]].get("dates", {})
    order = sorted(rows.index, key=lambda i: dates.get(rows["visit"][i], rows["visit"][i]))
    rows = rows.loc[order]
    return TakenMethod(method, rows["notebook"].iloc[0], rows["template"].iloc[0], dates, rows)


# Names of methods in words: families first, then their parts.
FAMILIES = {"elastix_": "elastix, ", "optical_flow_": "optical flow, "}
PARTS = {"bspline": "B-splines", "tvl1": "TV-L1", "ilk": "ILK", "dis": "DIS", "stack": "group"}


def method_in_words(method: str) -> str:
    """Write the name of a method in words.

    Examples
    --------
    >>> method_in_words("elastix_affine"), method_in_words("optical_flow_tvl1")
    ('elastix, affine', 'optical flow, TV-L1')
    """
    for family, words in FAMILIES.items():
        if method.startswith(family):
            part = method.removeprefix(family)
            return words + PARTS.get(part, part.replace("_", " "))
    return method.replace("_", " ")


def plain_reason(outcome: Mapping[str, object]) -> str:
    """Say in plain words why a visit is not accepted; the numbers are left to the tables.

    Parameters
    ----------
    outcome : mapping
        ``reasons`` and ``failure``, as `series.outcome_records` gives them.

    Examples
    --------
    >>> plain_reason({"reasons": ["too dark", "little in common (9 keypoints agree)"]})
    'too dark, little in common'
    """
    reasons = outcome["reasons"] or [str(outcome.get("failure") or "")]
    words = dict.fromkeys(NUMBERS.sub("", " ".join(reason.split())) for reason in reasons)
    return ", ".join(filter(None, words))


def verdict_sentences(taken: TakenMethod) -> list[str]:
    """Say how many visits were accepted, which were not and why, and what to do about them."""
    rows = taken.outcomes.to_dict("records")
    good = sum(row["verdict"] in USABLE for row in rows)
    template = f"the template of {taken.named(taken.template)}"
    count = f"All {len(rows)} visits" if good == len(rows) else f"{good} of {len(rows)} visits"
    if len(rows) == 1 and good:
        count = "The visit"
    told = "was" if good == 1 else "were"
    sentences = [f"{count} {told} registered to {template} and accepted."]
    by_hand = [taken.named(row["visit"]) for row in rows if row["verdict"] == BY_HAND]
    if by_hand:
        sentences.append(f"Accepted by hand, from points placed by a person: {', '.join(by_hand)}.")
    for verdict in (DOUBTFUL, FAILED):
        found = [row for row in rows if row["verdict"] == verdict]
        if found:
            which = "; ".join(f"{taken.named(r['visit'])} ({plain_reason(r)})" for r in found)
            be = "is" if len(found) == 1 else "are"
            words = f"{len(found)} {be} doubtful" if verdict == DOUBTFUL else f"{len(found)} failed"
            advice = ADVICE[verdict] if len(found) == 1 else _of_several(ADVICE[verdict])
            sentences.append(f"{words}: {which}. {advice[0].upper()}{advice[1:]}.")
    return sentences


def _of_several(advice: str) -> str:
    many = {" it;": " them;", "use it": "use them", "photograph of that day": "photographs"}
    many |= {"a better photographs": "better photographs", "the file in": "the files in"}
    many |= {"the registered photograph": "the registered photographs"}
    for one, several in many.items():
        advice = advice.replace(one, several)
    return advice


def frames(taken: TakenMethod, folder: Path) -> list[dict[str, str]]:
    """List the pictures of the viewer: every visit with a registered picture, by date.

    Parameters
    ----------
    taken : TakenMethod
    folder : Path
        ``<results>/<patient>_<L|R>``.

    Returns
    -------
    list of dict
        ``path`` seen from the folder, ``date``, ``visit``, and ``verdict`` (or ``template``).
        Visits whose registration failed are left out, because there is nothing to look at.
    """
    rows = taken.outcomes.set_index("visit")["verdict"].to_dict()
    return [
        {
            "path": path,
            "date": taken.named(visit),
            "visit": visit,
            "verdict": rows.get(visit, "template"),
        }
        for visit, path in taken.saved(folder, ALONE).items()
    ]


def thumbnails(taken: TakenMethod, folder: Path, row: Mapping[str, object]) -> Sequence[str | None]:
    """Return the paths of the overlays of a visit before and after; None for what is not there.

    What failed has no picture after, because it would show something that is not so.

    Parameters
    ----------
    taken : TakenMethod
    folder : Path
        ``<results>/<patient>_<L|R>``.
    row : mapping
        An outcome.
    """
    before = taken.file(folder, BEFORE, str(row["visit"]))
    after = None if row["verdict"] == FAILED else taken.file(folder, AFTER, str(row["visit"]))
    return before, after
