"""How much of a run is left, and about how long a notebook takes: what is told during a run."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from fundus_helpers.runs.plan import seconds_of

# Environment variables that a run hands to its notebooks: how many they are, and a file that gets
# one letter from each that has ended.
TO_RUN, ENDED = "FUNDUS_TO_RUN", "FUNDUS_ENDED"


def begin_run(results: Path | str, names: Iterable[str], jobs: int = 1) -> str:
    """Remember how many notebooks are to run, and say it, and about how long they take.

    Parameters
    ----------
    results : path
        The folder of all results: earlier runs tell how long a notebook takes.
    names : iterable of str
        The notebooks, one name for each time that one is run.
    jobs : int
        How many run at the same time.

    Returns
    -------
    str
        Empty if nothing is to run; without a time if a notebook of your own states none.
    """
    names = [*names]
    if not names:
        return ""
    handle, path = tempfile.mkstemp(prefix="fundus-ended-")
    os.close(handle)
    os.environ |= {TO_RUN: str(len(names)), ENDED: path}
    told = f"{len(names)} {'notebook' if len(names) == 1 else 'notebooks'} to run"
    try:
        seconds, _ = seconds_of("notebooks", results, {*names})
    except ValueError:
        return told
    took = max(sum(seconds[name] for name in names) / jobs, max(seconds.values()))
    return f"{told}, about {_in_words(took)}"


def end_run() -> None:
    """Delete the file that `begin_run` has made, if it has."""
    if path := os.environ.pop(ENDED, ""):
        Path(path).unlink(missing_ok=True)


def about_how_long(notebook: Path, executed: Path) -> str:
    """Say about how long a notebook takes, from earlier runs or from what it states.

    Parameters
    ----------
    notebook, executed : Path
        See `runs.run_notebook`.

    Returns
    -------
    str
        To be added to a line; empty if nothing is known.
    """
    try:
        seconds, _ = seconds_of(notebook.parent, executed.parents[2], [notebook.stem])
    except (OSError, ValueError, IndexError, KeyError):  # only a hint: a run does not need it
        return ""
    return f", about {_in_words(seconds[notebook.stem])}"


def how_much_is_left() -> str:
    """Count a notebook that has ended, and say how many of the run have; empty if not known."""
    path, count = os.environ.get(ENDED), os.environ.get(TO_RUN)
    if not path or not count or not Path(path).exists():  # on a cluster, for example
        return ""
    with open(path, "ab") as file:
        file.write(b".")
    return f" ({os.path.getsize(path)} of {count})"


def _in_words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"
