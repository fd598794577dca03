"""One notebook run without looking, its parameters checked.

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
    """Run a notebook in its own folder and keep it with its outputs, whole or failed.

    Parameters
    ----------
    notebook : path
    executed : path
        Where the executed notebook goes; what failed has the traceback in it. It appears only
        when the run has ended, and names no folder of this machine (`runs.without_places`).
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
    if executed.parent.name == executed.stem:  # a folder of this notebook's results alone
        for left in executed.parent.rglob(".part-*"):  # by a run that was killed
            left.unlink()
    # Kernel and client talk through files only this user can open, not through network ports; the
    # name of such a file must be short.
    runtime = tempfile.mkdtemp(prefix="kernel-")
    channel = {"transport": "ipc", "connection_file": f"{runtime}/kernel.json"}
    os.environ["TQDM_DISABLE"] = "1"  # bars belong on a screen, not into a stored notebook
    # Written after every cell, and so kept off the disk of the results until it is whole.
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
    """Store what papermill wrote, without the places of this machine; nothing, if it is cut."""
    places = {name: str(parameters[name]) for name in ("data", "results") if name in parameters}
    try:
        ran = nbformat.read(part, as_version=nbformat.NO_CONVERT)
        with written_beside(executed) as beside:
            nbformat.write(without_places(ran, places, folder), beside)
    except nbformat.reader.NotJSONError as error:
        raise OSError(f"{executed.name} could not be written whole: is the disk full?") from error


def without_places(value: object, named: Mapping[str, Path | str], folder: Path | str) -> object:
    """Replace folders of this machine by words, in every text of a nested structure.

    What is kept then names no folder outside the project, and so no user, and is the same wherever
    it was made.

    Parameters
    ----------
    value : object
        Dictionaries and lists of any depth; texts in them are changed, the rest is not.
    named : mapping of str to path
        Folders to call by a word of their own: ``{"data": "../../study"}`` makes ``<data>`` of it,
        however it is written. What lies inside the project keeps its relative path.
    folder : path
        The folder that relative paths start from; the project is the folder above.

    Returns
    -------
    object
        The same structure with other texts.
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
    # The longest first: a home folder may hold all the others.
    longest = sorted((word for word in words if word not in ("", ".", "/")), key=len, reverse=True)
    alternatives = "|".join(map(re.escape, longest))
    # At the start of a word, or after the colour codes of a traceback.
    pattern = re.compile(rf"(\x1b\[[\d;]*m|(?<![\w.\-]))({alternatives})(?![\w\-])")
    return _replaced(
        value, lambda text: pattern.sub(lambda found: found[1] + words[found[2]], text)
    )


def _replaced(value: object, replace: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return replace(value)
    if isinstance(value, Mapping):
        # Pictures are letters too, and none of them is a folder.
        return type(value)(
            (key, item if str(key).startswith("image/") else _replaced(item, replace))
            for key, item in value.items()
        )
    if isinstance(value, list):
        return [_replaced(item, replace) for item in value]
    return value
