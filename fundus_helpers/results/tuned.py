"""The file of knobs that were found with the sliders, and that headless runs take."""

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
    """Path of ``tuned.json`` of an eye: ``<results>/<patient>_<L|R>/tuned.json``."""
    return Path(results) / f"{patient}_{laterality}" / TUNED_FILE


def read_tuned(path: Path | str) -> dict[str, dict[str, Value]]:
    """Read the knobs of every method from ``tuned.json``; empty where there is none.

    Raises
    ------
    ValueError
        If the file is not what `save_tuned` writes.
    """
    path = Path(path)
    return _parsed(path.read_text(), path.name) if path.exists() else {}


def _parsed(text: str, name: str) -> dict[str, dict[str, Value]]:
    try:
        tuned = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{name} is not JSON: {error}; mend or delete it") from error
    if not isinstance(tuned, dict) or not all(isinstance(knobs, dict) for knobs in tuned.values()):
        raise ValueError(f"{name} does not hold knobs by method; mend or delete it")
    return tuned


def save_tuned(
    path: Path | str, name: str, knobs: Mapping[str, Value], method: Method | None = None
) -> None:
    """Write the knobs of a method into ``tuned.json``; those of other methods stay.

    Parameters
    ----------
    path : path
        Its folder is made if it is missing.
    name : str
        Of the method.
    knobs : mapping of str to value
    method : callable, optional
        None: the one of that name in `fundus_helpers.METHODS`.

    Raises
    ------
    ValueError
        For a knob or a value that the method does not accept; nothing is written.
    """
    path = Path(path)
    tuned = read_tuned(path) | {name: _accepted(name, knobs, method)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(path) as part:
        part.write_text(json.dumps(tuned, indent=1, sort_keys=True) + "\n")


def _accepted(name: str, knobs: Mapping[str, Value], method: Method | None) -> dict[str, Value]:
    # Here, since loading every method takes long, and the Snakefile only reads the file.
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
    """Lay the knobs that were found with the sliders over those of a notebook.

    Parameters
    ----------
    tuned : str
        JSON as ``tuned.json`` has it: the parameter that a headless run passes on.
    name : str
        Of the method; what was found for other methods is left alone.
    knobs : mapping of str to value
        Of the notebook.
    method : callable, optional
        None: the one of that name in `fundus_helpers.METHODS`.

    Raises
    ------
    ValueError
        For what is not JSON, or a knob or value that the method does not accept.
    """
    found = _parsed(tuned, "tuned")
    return {**knobs, **_accepted(name, found.get(name, {}), method)}


def tuned_parameter(path: Path | str, given: Collection[str] = ()) -> dict[str, str]:
    """Make the parameter ``tuned`` of a notebook from ``tuned.json``.

    Parameters
    ----------
    path : path
    given : collection of str
        Names of parameters given by hand: they win, and knobs of these names are left out.

    Returns
    -------
    dict
        ``{"tuned": JSON}``; empty where there is no such file.
    """
    tuned = {
        method: {name: value for name, value in knobs.items() if name not in given}
        for method, knobs in read_tuned(path).items()
    }
    return {"tuned": json.dumps(tuned, sort_keys=True)} if tuned else {}
