"""Measure time and memory of a cohort for several numbers of eyes and of jobs.

`make benchmark-cohort` runs this file. It makes a cohort of painted visits at 256 px and runs it.
Work is the time inside the cells of the notebooks, without cells that import. Overhead is all other
time for which the cores were reserved: Snakemake, the start of Python, Jupyter and the libraries,
the reports, and idle cores at the end. After that, Snakemake alone plans cohorts of more eyes than
can be run here.
"""

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import psutil
from skimage.io import imread
from small_project import PROJECT, clean_environment

from fundus_helpers.loading.demo_eye import make_demo_eye
from fundus_helpers.progress import progress

SEEDS = 3  # painted eyes of each demo patient; the cohort repeats them under other names


def paint_cohort(folder: Path, eyes: int, visits: int, size: int) -> None:
    """Make patients with one eye each. The eyes have usable visits of the demo eyes."""
    painted = []
    for look in ("demo_colour", "demo_autofluorescence"):
        for seed in range(SEEDS):
            target = folder.parent / "painted" / str(seed)
            painted.append(make_demo_eye(target, look, size=size, seed=seed))
    for number in progress(range(eyes), "eyes made"):
        source, patient = painted[number % len(painted)], folder / f"{number:06}"
        patient.mkdir()
        usable = [path for path in sorted(source.glob("*.png")) if is_usable(path, size)]
        for path in usable[:visits]:
            shutil.copy(path, patient / f"{patient.name}_{path.name[-16:]}")


def is_usable(path: Path, size: int) -> bool:
    """Whether a painted visit has the common size and is not too dark."""
    image = imread(path)
    return max(image.shape) == size and np.percentile(image, 99) > 64


def watched(
    command: list[str], folder: Path, environment: dict[str, str], *, every: float = 5
) -> dict[str, float]:
    """Run a command; return its seconds, those of Snakemake, and the peak memory of both.

    Memory is measured only once in every few seconds, because the measurement takes time itself.
    """
    start, peak = time.perf_counter(), {"engine_mb": 0.0, "engine_s": 0.0, "all_mb": 0.0}
    log = open(folder / "log", "w")
    process = psutil.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    done = threading.Event()

    def look() -> None:
        every_mb = 0.0
        for member in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):  # the process has ended
                every_mb += (own_mb := member.memory_full_info().uss / 2**20)
                if "snakemake" in " ".join(member.cmdline()):
                    peak["engine_mb"] = max(peak["engine_mb"], own_mb)
                    peak["engine_s"] = max(peak["engine_s"], sum(member.cpu_times()[:2]))
        peak["all_mb"] = max(peak["all_mb"], every_mb)

    def watch() -> None:
        while not done.wait(every):
            with contextlib.suppress(psutil.Error):
                look()

    watcher = threading.Thread(target=watch)
    watcher.start()
    status = process.wait()
    done.set()
    watcher.join()
    if status:
        sys.exit((folder / "log").read_text()[-3000:])
    return {"seconds": time.perf_counter() - start, **peak}


def cell_seconds(results: Path) -> tuple[float, float]:
    """Sum up the time inside the cells of all notebooks: cells that work, and cells that import."""
    work = imports = 0.0
    for path in results.glob("[0-9]*/*/*.ipynb"):
        for cell in nbformat.read(path, as_version=nbformat.NO_CONVERT).cells:
            times = cell.metadata.get("papermill", {})
            if cell.cell_type != "code" or not times.get("end_time"):
                continue
            start, end = (datetime.fromisoformat(times[key]) for key in ("start_time", "end_time"))
            seconds = (end - start).total_seconds()
            if cell.source.startswith(("import ", "from ")):
                imports += seconds
            else:
                work += seconds
    return work, imports


def run_cohort(project: Path, eyes: int, jobs: int, options: argparse.Namespace) -> dict:
    """Run a cohort and return its overhead."""
    for name in ("data", "results", ".snakemake"):
        shutil.rmtree(project / name, ignore_errors=True)
    (project / "data").mkdir()
    paint_cohort(project / "data", eyes, options.visits, options.size)
    environment = clean_environment(Path(tempfile.mkdtemp(prefix="e")))
    command = ["make", "--old-file=.venv/installed", "cohort", f"JOBS={jobs}"]
    command += [f"NOTEBOOKS={options.notebooks}", f"WITH=size={options.size} {options.given}"]
    told = watched(command, project, environment)
    work, imports = cell_seconds(project / "results")
    held = jobs * told["seconds"]
    return {
        "eyes": eyes,
        "jobs": jobs,
        "minutes": told["seconds"] / 60,
        "work, s per eye": work / eyes,
        "imports, s per eye": imports / eyes,
        "rest, s per eye": (held - work - imports) / eyes,
        "overhead, % of work": 100 * (held - work) / work,
        "overhead without imports, %": 100 * (held - work - imports) / work,
        "Snakemake, s per eye": told["engine_s"] / eyes,
        "Snakemake, MB": told["engine_mb"],
        "all processes, MB": told["all_mb"],
    }


def plan_cohort(project: Path, eyes: int, part: str) -> dict:
    """Let Snakemake plan a cohort of empty files, and return its time and memory."""
    data = project / "planned"
    shutil.rmtree(data, ignore_errors=True)
    for number in range(eyes):
        patient = data / f"{number:06}"
        patient.mkdir(parents=True)
        for year in range(2015, 2025):
            (patient / f"{patient.name}_{year}-01-01_L.png").touch()
    command = [str(Path(sys.executable).parent / "snakemake"), "--dry-run", "--quiet", "all"]
    command += ["--cores=2", "--nolock"]
    command += ["--config", "data=planned", "results=none", f"part={part}", "--", "cohort"]
    told = watched(command, project, dict(os.environ), every=0.5)
    row = {"eyes": eyes, "part": part}
    return row | {"seconds": told["seconds"], "Snakemake, MB": told["engine_mb"]}


def main() -> None:
    """Print a table of cohorts that were run, and a table of cohorts that were planned."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--eyes", type=int, nargs="*", default=[10, 50, 200], help="eyes to run")
    parser.add_argument(
        "--jobs",
        type=int,
        nargs="*",
        default=[1, 2],
        help="jobs at the same time; only the largest is run for all eyes",
    )
    parser.add_argument(
        "--plan", type=int, nargs="*", default=[100, 1000, 5000], help="eyes to plan"
    )
    parser.add_argument("--visits", type=int, default=10)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--notebooks", default="02 03 11")
    parser.add_argument("--given", default="iterations=20", help="parameters of the notebooks")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        for name in ("Makefile", "fundus_helpers", "workflow"):
            (project / name).symlink_to(PROJECT / name)
        (project / ".venv").symlink_to(sys.prefix)
        shutil.copytree(
            PROJECT / "notebooks", project / "notebooks"
        )  # a copy, because they read ../data
        most, fewest = max(options.jobs), min(options.eyes, default=0)
        runs = [(eyes, jobs) for eyes in options.eyes for jobs in options.jobs]
        runs = [(eyes, jobs) for eyes, jobs in runs if jobs == most or eyes == fewest]
        ran = [run_cohort(project, eyes, jobs, options) for eyes, jobs in runs]
        show(ran)
        planned = [plan_cohort(project, eyes, "1/1") for eyes in options.plan]
        if options.plan:
            planned.append(plan_cohort(project, max(options.plan), "1/10"))
        show(planned)


def show(rows: list[dict]) -> None:
    """Print a table."""
    if rows:
        table = pd.DataFrame(rows).to_string(index=False, float_format="{:.1f}".format)
        sys.stdout.write(f"{table}\n\n")


if __name__ == "__main__":
    main()
