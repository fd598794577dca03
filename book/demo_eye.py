"""Which executed notebooks the book may show: those of a demo eye, run as they are now."""

import json
import tempfile
from pathlib import Path
from typing import Any

import nbformat

from fundus_helpers.files import sha256_of
from fundus_helpers.loading.demo_eye import make_demo_eye
from fundus_helpers.loading.visits import DEMO_PATIENTS
from fundus_helpers.results.notebooks import numbered_notebooks
from fundus_helpers.results.provenance import METRICS_FILE, code_version

# Parameters with which a notebook reads more than the photographs of its eye.
READ_MORE = ("cohort", "fire")


class BookError(ValueError):
    """The book cannot be built from these results; the message says what to do."""


def demo_results(
    folder: Path | str, patient: str, laterality: str, notebooks: Path | str
) -> dict[str, Path]:
    """Return the executed notebooks of a demo eye, after a check that they show nothing else.

    A folder may have the name of a demo eye and hold a patient's photographs. Therefore the demo
    eye is painted once more, and the notebooks must have read exactly these photographs.

    Parameters
    ----------
    folder : path
        Folder of all results.
    patient, laterality : str
        The eye, for example ``"demo_colour"`` and ``"L"``.
    notebooks : path
        Folder of the numbered notebooks, as they are stored.

    Returns
    -------
    dict of str to Path
        The executed notebooks by name, in their order.

    Raises
    ------
    BookError
        If the eye is no demo eye, or if a notebook was not run, or was run in another version.
    """
    refuse_patients(patient)
    eye, executed = Path(folder) / f"{patient}_{laterality}", {}
    painted = painted_content(patient)
    for name, stored in numbered_notebooks(notebooks).items():
        executed[name] = eye / name / f"{name}.ipynb"
        check_run(stored, executed[name], painted)
    return executed


def refuse_patients(patient: str) -> None:
    """Raise a `BookError` unless the name is that of a demo patient."""
    if patient not in DEMO_PATIENTS:
        raise BookError(
            f"the book shows demo eyes only, never a patient: PATIENT={patient} is none of "
            f"{', '.join(DEMO_PATIENTS)}"
        )


def painted_content(patient: str) -> dict[str, str]:
    """Return the SHA-256 of every photograph of a demo eye, by the name of its file."""
    with tempfile.TemporaryDirectory() as data:
        painted = make_demo_eye(data, patient)
        return {path.name: sha256_of(path) for path in sorted(painted.glob("*.png"))}


def check_run(stored: Path, executed: Path, painted: dict[str, str]) -> None:
    """Check that a notebook was run as it is now, on the painted photographs alone.

    Parameters
    ----------
    stored, executed : Path
        The notebook in the project, and the executed one among the results.
    painted : dict of str to str
        See `painted_content`.

    Raises
    ------
    BookError
        If it was not.
    """
    again = "run `make demo` first"
    try:
        numbers = json.loads((executed.parent / METRICS_FILE).read_text(encoding="utf-8"))
        ran, origin = nbformat.read(executed, as_version=4), numbers["provenance"]
        photographs, parameters = origin["sha256"], origin["parameters"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BookError(f"{executed} is missing or damaged: {again}") from error
    odd = [name for name, content in photographs.items() if painted.get(name) != content]
    if odd or not photographs:
        told = odd[0] if odd else "no photograph"
        raise BookError(f"{executed} shows {told}, which is not of the demo eye: {again}")
    if more := [name for name in READ_MORE if parameters.get(name)]:
        raise BookError(f"{executed} was run with {more[0]}={parameters[more[0]]}: {again}")
    if origin.get("code") != code_version() or _sources(ran) != _sources(_read(stored)):
        raise BookError(f"{executed} was run in another version of the project: {again}")


def _read(notebook: Path) -> Any:
    return nbformat.read(notebook, as_version=4)


def _sources(notebook: Any) -> list[str]:
    """Return the text of all cells, without the one that a run adds for its parameters."""
    return [
        cell.source
        for cell in notebook.cells
        if "injected-parameters" not in cell.metadata.get("tags", [])
    ]
