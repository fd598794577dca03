"""A small project, laid out and run as a user would: what tests of whole runs share."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import matplotlib

PROJECT = Path(__file__).parents[1]
COMPARISON = "11_compare_methods"
NOTEBOOKS = ("02_template_selection", "03_rigid")
VISITS = 2
SOCKETS = shutil.ignore_patterns("kernel-*")
WITH = "WITH=size=96 iterations=20"
# What an outer `make test` hands down to an inner make.
INHERITED = (
    "MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL MAKEFILES DATA RESULTS PATIENT EYE CORES JOBS "
    "TEMPLATE WITH THREADS NOTEBOOKS PART PSEUDONYM PROFILE MEMORY VIEW FIRE OUT FIXED MOVING INTO "
    "VISITS VISITS_COLUMNS PATTERN FUNDUS_VISITS FUNDUS_VISITS_COLUMNS FUNDUS_PATTERN "
    "FUNDUS_TELL_LESS ELLIPSE FOVEA FIRST_FREE MM_PER_PIXEL ALL"
)


def clean_environment(folder):
    """Return the variables of a run that writes nothing outside a folder of pytest's."""
    for name in ("home", "t"):
        (folder / name).mkdir()
    kept = {key: value for key, value in os.environ.items() if key not in INHERITED.split()}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "IPYTHONDIR": str(folder / "home" / "ipython"),
        "XDG_CACHE_HOME": str(folder / "home" / "cache"),
        "XDG_CONFIG_HOME": str(folder / "home" / "config"),
        "MPLCONFIGDIR": matplotlib.get_cachedir(),
        "TMPDIR": str(folder / "t"),  # short: names of sockets must be
    }


def lay_out(folder, photographs, patients, notebooks=(*NOTEBOOKS, COMPARISON)):
    """Make a project of some notebooks, with one folder of photographs for each patient."""
    for name in ("Makefile", "fundus_helpers", "workflow"):
        (folder / name).symlink_to(PROJECT / name)
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "notebooks").mkdir()
    for path in (PROJECT / "notebooks").glob("*.ipynb"):
        if path.stem in notebooks:
            shutil.copy(path, folder / "notebooks")
    for patient in patients:
        (folder / "data" / patient).mkdir(parents=True)
        for path in photographs:
            shutil.copy(path, folder / "data" / patient)
    return folder


def make_command(*arguments):
    """Return a call of make that takes what is installed for up to date."""
    return ["make", "--old-file=.venv/installed", *arguments]


def run(folder, environment, *command):
    """Run a command in a project; both its streams are in stdout."""
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )


def snakemake(folder, environment, *arguments, **changed):
    """Run Snakemake itself, with the settings of the runs before, or with changed ones."""
    settings = {"data": "data", "results": "results", "template_visit": "selected"}
    settings |= {"size": 96, "iterations": 20} | changed
    command = [sys.executable, "-m", "snakemake", "--cores=2", "--nolock", "--rerun-incomplete"]
    config = [f"{key}={value}" for key, value in settings.items()]
    return run(folder, environment, *command, *arguments, "--config", *config)


def wait_until(truth, seconds):
    """Wait until something is true; return whether it became so."""
    end = time.monotonic() + seconds
    while not (true := truth()) and time.monotonic() < end:
        time.sleep(0.01)
    return true


def times(folder):
    """Return when each file was last changed."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
