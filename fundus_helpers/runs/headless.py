"""Run one notebook without opening it. Its parameters are checked first.

``fundus run NOTEBOOK EXECUTED name=value ...``
"""

import contextlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import nbformat
import papermill
from traitlets.config import Config

from fundus_helpers.files import LOCK, UNFINISHED, held, remove_unfinished, written_beside
from fundus_helpers.results.notebooks import typed_parameters
from fundus_helpers.results.page import clear_report
from fundus_helpers.results.provenance import METRICS_FILE, code_version
from fundus_helpers.runs.private_folder import private_folder

FOR_THE_KERNEL = {
    "TQDM_DISABLE": "1",  # a saved notebook needs no progress bars
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # the user's may show windows
}
# What a new run does not replace: the time that the last run took, from which a plan estimates the
# next one, and intermediate results, from which a long run that was killed goes on.
KEPT = ("benchmark.tsv", "partial-*")


def run_notebook(notebook: Path | str, executed: Path | str, given: Mapping[str, str]) -> None:
    """Run a notebook in its own folder, and save it with its outputs even if it fails.

    If `executed` lies where the results of this notebook lie (``<results>/<eye>/<notebook>``), the
    results of an earlier run and the report of the eye are deleted first (`clear_results`). If a
    cell fails, nothing but the executed notebook is left there. If another run is computing the
    same results, this one waits and takes them.

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
    folder = executed.parent
    folder.mkdir(parents=True, exist_ok=True)
    if folder.name == executed.stem:  # a folder with only this notebook's results
        remove_unfinished(folder)
    if not _holds_results(executed, notebook, parameters):
        _execute(notebook, executed, parameters)
        return
    with held(folder, "computing") as waited:
        if waited and _has_run(notebook, executed, parameters):
            return
        clear_results(folder)
        try:
            _execute(notebook, executed, parameters)
        except BaseException:
            clear_results(folder, keep=executed.name)
            raise


def _execute(notebook: Path, executed: Path, parameters: Mapping[str, object]) -> None:
    # Kernel and client talk through files that only this user can open, not through network ports.
    with private_folder("kernel-") as runtime, _environment(FOR_THE_KERNEL):
        # Papermill writes this file after every cell. The results get it only when complete.
        part = runtime / "executed.ipynb"
        channel = {"transport": "ipc", "connection_file": f"{runtime}/kernel.json"}
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


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables of the environment, which a kernel inherits, and take them back at the end."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _has_run(notebook: Path, executed: Path, parameters: Mapping[str, object]) -> bool:
    """Whether a run with these parameters and this code has saved its results."""
    try:
        ran = json.loads(executed.read_text(encoding="utf-8"))["metadata"]["papermill"]
        made = json.loads((executed.parent / METRICS_FILE).read_text(encoding="utf-8"))
        code = made["provenance"]["code"]
    except (OSError, ValueError, KeyError, TypeError):  # it has failed
        return False
    shown = without_places(dict(parameters), _places(parameters), notebook.parent)
    return ran.get("parameters") == shown and code == code_version()


def _holds_results(executed: Path, notebook: Path, parameters: Mapping[str, object]) -> bool:
    """Whether the executed notebook lies in the folder of the results of this notebook alone."""
    results = parameters.get("results")
    return (
        executed.parent.name == notebook.stem
        and results is not None
        and executed.parents[2].resolve() == (notebook.parent / str(results)).resolve()
    )


def clear_results(folder: Path | str, *, keep: str = "") -> None:
    """Delete the results of an earlier run of a notebook, and the report of the eye.

    So nothing of an earlier run is left beside a run that fails. Files that another program is just
    writing stay, and so do those of `KEPT`.

    Parameters
    ----------
    folder : path
        ``<results>/<eye>/<notebook>``. Nothing happens if it does not exist.
    keep : str
        Name of a file to keep.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return
    clear_report(folder.parent)
    with held(folder):
        remove_unfinished(folder)
        for path in sorted(folder.rglob("*"), reverse=True):  # files before their folders
            locked = path.name.startswith(UNFINISHED) or path.suffix == LOCK
            if locked or any(path.match(pattern) for pattern in (*KEPT, keep) if pattern):
                continue
            if path.is_dir() and not path.is_symlink():
                with contextlib.suppress(OSError):  # a file in it is just being written
                    path.rmdir()
            else:
                path.unlink(missing_ok=True)


def _keep(part: Path, executed: Path, folder: Path, parameters: Mapping[str, object]) -> None:
    """Save the notebook that papermill wrote, without folders of this machine, if complete."""
    places = _places(parameters)
    try:
        ran = nbformat.read(part, as_version=nbformat.NO_CONVERT)
        with written_beside(executed) as beside:
            nbformat.write(without_places(ran, places, folder), beside)
    except nbformat.reader.NotJSONError as error:
        raise OSError(f"{executed.name} could not be written in full: is the disk full?") from error


def _places(parameters: Mapping[str, object]) -> dict[str, str]:
    """Return the folders among the parameters that the saved notebook must not name."""
    return {name: str(parameters[name]) for name in ("data", "results") if name in parameters}


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
