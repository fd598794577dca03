"""Run one notebook without opening it. Its parameters are checked first.

``fundus run NOTEBOOK EXECUTED name=value ...``
"""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import nbformat
import papermill
from traitlets.config import Config

from fundus_helpers.files import written_beside
from fundus_helpers.results.notebooks import typed_parameters


def run_notebook(notebook: Path | str, executed: Path | str, given: Mapping[str, str]) -> None:
    """Run a notebook in its own folder, and save it with its outputs even if it fails.

    Parameters
    ----------
    notebook : path
    executed : path
        Path of the executed notebook. If a cell fails, it contains the traceback. The file appears
        only when the run has ended. It names no folder of this machine (`runs.without_places`).
    given : mapping of str
        See `results.typed_parameters`.

    Raises
    ------
    PapermillExecutionError
        If a cell fails.
    """
    notebook, executed = Path(notebook), Path(executed)
    parameters = typed_parameters(notebook, given)
    executed.parent.mkdir(parents=True, exist_ok=True)
    if executed.parent.name == executed.stem:  # a folder with only this notebook's results
        for left in executed.parent.rglob(".part-*"):  # left by a run that was killed
            left.unlink()
    # Kernel and client talk through files that only this user can open, not through network ports.
    # The path of such a file must be short.
    runtime = tempfile.mkdtemp(prefix="kernel-")
    channel = {"transport": "ipc", "connection_file": f"{runtime}/kernel.json"}
    os.environ["TQDM_DISABLE"] = "1"  # a saved notebook needs no progress bars
    # Papermill writes this file after every cell. The results folder gets it only when complete.
    part = Path(runtime, executed.name)
    try:
        papermill.execute_notebook(
            str(notebook),
            str(part),
            parameters,
            cwd=str(notebook.parent),
            kernel_name="python3",
            progress_bar=sys.stderr.isatty(),
            log_output=False,
            config=Config(KernelManager=channel),
        )
    finally:
        if part.exists():
            _keep(part, executed, notebook.parent, parameters)
        shutil.rmtree(runtime, ignore_errors=True)


def _keep(part: Path, executed: Path, folder: Path, parameters: Mapping[str, object]) -> None:
    """Save the notebook that papermill wrote, without folders of this machine, if complete."""
    places = {name: str(parameters[name]) for name in ("data", "results") if name in parameters}
    try:
        ran = nbformat.read(part, as_version=nbformat.NO_CONVERT)
        with written_beside(executed) as beside:
            nbformat.write(without_places(ran, places, folder), beside)
    except nbformat.reader.NotJSONError as error:
        raise OSError(f"{executed.name} could not be written in full: is the disk full?") from error


def without_places(value: object, named: Mapping[str, Path | str], folder: Path | str) -> object:
    """Replace the folders of this machine by words in every text of a nested structure.

    The result names no folder outside the project, and therefore no user. It is the same on every
    machine.

    Parameters
    ----------
    value : object
        Dictionaries and lists of any depth. Only the texts in them are changed.
    named : mapping of str to path
        Folders that get a word of their own. With ``{"data": "../../study"}``, this folder becomes
        ``<data>``, as a relative and as an absolute path. A folder inside the project keeps its
        relative path.
    folder : path
        The folder from which relative paths start. The project is the folder above it.

    Returns
    -------
    object
        The same structure with the new texts.
    """
    folder = Path(folder).resolve()
    project = folder.parent
    words = {
        str(Path(sys.prefix)): "<python>",
        str(Path(sys.base_prefix)): "<python>",
        str(Path(tempfile.gettempdir())): "<temporary>",
        str(Path.home()): "<home>",
    }
    for name, place in named.items():
        absolute = (folder / place).resolve()
        if not absolute.is_relative_to(project):
            words |= {str(absolute): f"<{name}>", str(place): f"<{name}>"}
    words[str(project)] = "<project>"
    # The longest paths come first, because the home folder may contain all others.
    longest = sorted((word for word in words if word not in ("", ".", "/")), key=len, reverse=True)
    alternatives = "|".join(map(re.escape, longest))
    # A path is found at the start of a word, or after the colour codes of a traceback.
    pattern = re.compile(rf"(\x1b\[[\d;]*m|(?<![\w.\-]))({alternatives})(?![\w\-])")
    return _replaced(
        value, lambda text: pattern.sub(lambda found: found[1] + words[found[2]], text)
    )


def _replaced(value: object, replace: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return replace(value)
    if isinstance(value, Mapping):
        # Pictures are stored as text too, but they contain no folders.
        return type(value)(
            (key, item if str(key).startswith("image/") else _replaced(item, replace))
            for key, item in value.items()
        )
    if isinstance(value, list):
        return [_replaced(item, replace) for item in value]
    return value
