"""The file of the knobs that were saved with the sliders. Headless runs use these knobs."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fundus_helpers.files import written_beside

if TYPE_CHECKING:
    from fundus_helpers.methods import Method
    from fundus_helpers.methods.knobs import Value


TUNED_FILE = "tuned.json"


def tuned_path(results: Path | str, patient: str, laterality: str) -> Path:
    """Return the path of ``tuned.json`` of an eye: ``<results>/<patient>_<L|R>/tuned.json``."""
    return Path(results) / f"{patient}_{laterality}" / TUNED_FILE


def read_tuned(path: Path | str) -> dict[str, dict[str, Value]]:
    """Read the knobs of every method from ``tuned.json``; empty if there is no such file.

    Raises
    ------
    ValueError
        If the file was not written by `save_tuned`.
    """
    path = Path(path)
    return _parsed(path.read_text(), path.name) if path.exists() else {}


def _parsed(text: str, name: str) -> dict[str, dict[str, Value]]:
    try:
        tuned = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{name} is not JSON: {error}; correct or delete it") from error
    if not isinstance(tuned, dict) or not all(isinstance(knobs, dict) for knobs in tuned.values()):
        raise ValueError(f"{name} does not hold the knobs of each method; correct or delete it")
    return tuned


def save_tuned(
    path: Path | str, name: str, knobs: Mapping[str, Value], method: Method | None = None
) -> None:
    """Write the knobs of a method into ``tuned.json``; the knobs of other methods stay.

    Parameters
    ----------
    path : path
        Path of ``tuned.json``. Its folder is made if it does not exist.
    name : str
        Name of the method.
    knobs : mapping of str to value
        The knobs by name.
    method : callable, optional
        None means the method of that name in `fundus_helpers.METHODS`.

    Raises
    ------
    ValueError
        If the method does not accept a knob or a value. In this case nothing is written.
    """
    path = Path(path)
    tuned = read_tuned(path) | {name: _accepted(name, knobs, method)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(path) as part:
        part.write_text(json.dumps(tuned, indent=1, sort_keys=True) + "\n")


def _accepted(name: str, knobs: Mapping[str, Value], method: Method | None) -> dict[str, Value]:
    # Imported here, because importing the methods takes long and the Snakefile does not need them.
    from fundus_helpers.methods import METHODS
    from fundus_helpers.methods.knobs import read_knobs

    if method is None and name not in METHODS:
        raise ValueError(f"no method {name!r}; there are {[*METHODS]}")
    known = read_knobs(method or METHODS[name])
    for knob, value in knobs.items():
        if knob not in known:
            raise ValueError(f"{name} has no knob {knob!r}; there are {[*known]}")
        known[knob].check(value)
    return dict(knobs)


def tuned_knobs(
    tuned: str, name: str, knobs: Mapping[str, Value], method: Method | None = None
) -> dict[str, Value]:
    """Replace the knobs of a notebook by those that were saved with the sliders.

    Parameters
    ----------
    tuned : str
        JSON like that in ``tuned.json``. A headless run passes it to the notebook as a parameter.
    name : str
        Name of the method. Knobs that were saved for other methods are ignored.
    knobs : mapping of str to value
        Knobs of the notebook.
    method : callable, optional
        None means the method of that name in `fundus_helpers.METHODS`.

    Raises
    ------
    ValueError
        If `tuned` is not JSON, or if the method does not accept a knob or a value.
    """
    found = _parsed(tuned, "tuned")
    return {**knobs, **_accepted(name, found.get(name, {}), method)}


def tuned_parameter(path: Path | str, given: Collection[str] = ()) -> dict[str, str]:
    """Make the parameter ``tuned`` of a notebook from ``tuned.json``.

    Parameters
    ----------
    path : path
        Path of ``tuned.json``.
    given : collection of str
        Names of the parameters that the user has given. Knobs of these names are left out, so that
        the user's values are used.

    Returns
    -------
    dict
        ``{"tuned": JSON}``; empty if there is no such file.
    """
    tuned = {
        method: {name: value for name, value in knobs.items() if name not in given}
        for method, knobs in read_tuned(path).items()
    }
    return {"tuned": json.dumps(tuned, sort_keys=True)} if tuned else {}
