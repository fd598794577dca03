"""One notebook run without looking, its parameters checked.

``python -m fundus_helpers.headless NOTEBOOK EXECUTED name=value ...``
"""

import argparse
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from fundus_helpers.files import written_beside
from fundus_helpers.notebooks import typed_parameters
from fundus_helpers.places import without_places


def run_notebook(notebook: Path | str, executed: Path | str, given: Mapping[str, str]) -> None:
    """Run a notebook in its own folder and keep it with its outputs, whole or failed.

    Parameters
    ----------
    notebook : path
    executed : path
        Where the executed notebook goes; what failed has the traceback in it. It appears only
        when the run has ended, and names no folder of this machine (`places.without_places`).
    given : mapping of str
        See `notebooks.typed_parameters`.

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


def main(arguments: list[str] | None = None) -> int:
    """Run one notebook from the command line; an error is one line that says what and where."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("executed", type=Path)
    parser.add_argument("parameters", nargs="*", metavar="name=value")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("papermill").setLevel(logging.WARNING)
    given = dict(item.partition("=")[::2] for item in options.parameters)
    what = f"{given.get('patient', '')} {given.get('laterality', '')} {options.notebook.stem}"
    # Asked to end, by a scheduler for one: the kernel ends too, and nothing half-written stays.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(f"ENDED  {what}: by a signal"))
    start = time.perf_counter()
    try:
        run_notebook(options.notebook, options.executed, given)
    except PapermillExecutionError as error:
        logging.error("FAILED %s: %s: %s", what, error.ename, error.evalue)
        return 1
    except (ValueError, OSError) as error:
        logging.error("FAILED %s: %s", what, error)
        return 2
    logging.info("done   %s in %.0f s", what, time.perf_counter() - start)
    return 0


if __name__ == "__main__":
    sys.exit(main())
