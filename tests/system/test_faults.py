"""Workers that are killed, disks that are full or slow: the rest finishes, the next run mends."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
from types import SimpleNamespace

import nbformat
import psutil
import pytest
import SimpleITK as sitk
from skimage.io import imread
from small_project import NOTEBOOKS, VISITS, lay_out, make_command, run, times, wait_until

CHOSEN = ["NOTEBOOKS=02 03", "WITH=size=96 iterations=20"]


def cohort(*settings):
    """Return the call of make that runs template selection and rigid registration."""
    return make_command("cohort", "JOBS=2", *CHOSEN, *settings)


def half_written(results):
    """Return the files that cannot be read to their end, and those that are only parts."""
    bad = list(results.rglob(".part-*"))
    readers = {
        ".json": lambda path: json.loads(path.read_text()),
        ".ipynb": lambda path: nbformat.read(path, as_version=4),
        ".png": imread,
        ".jpg": imread,
        ".gif": imread,
        ".tfm": lambda path: sitk.ReadTransform(str(path)),
        ".h5": lambda path: sitk.ReadTransform(str(path)),
    }
    for path in results.rglob("*.*"):
        # A notebook of no bytes is what Snakemake leaves where a run left nothing.
        nothing = path.suffix == ".ipynb" and not path.stat().st_size
        if path.suffix in readers and path not in bad and not nothing:
            try:
                readers[path.suffix](path)
            except Exception:  # whatever it is, the file is not whole
                bad.append(path)
    return bad


def worker(process, folder, patient):
    """Return the process that registers a patient's visits, None if its notebook has not begun."""
    wanted = {"run", f"patient={patient}", "notebooks/03_rigid.ipynb"}
    if (folder / f"results/{patient}_L/03_rigid").exists():  # made by the worker, not before it
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(process.pid).children(recursive=True):
                if wanted <= set(child.cmdline()) and "python" in child.name():
                    return child
    return None


@pytest.fixture(scope="module")
def struck(tmp_path_factory, photographs, environment):
    """Kill one worker of a cohort of two eyes, once its kernel runs."""
    folder = lay_out(tmp_path_factory.mktemp("p"), photographs, ("007", "008"))
    with open(folder / "told", "w") as told:
        process = subprocess.Popen(cohort(), cwd=folder, env=environment, stdout=told, stderr=told)
        try:
            found = []
            wait_until(lambda: found.append(worker(process, folder, "007")) or found[-1], 200)
            os.kill(found[-1].pid, signal.SIGKILL)
            process.wait(timeout=300)
        finally:
            process.kill()
    told = (folder / "told").read_text()
    left = shutil.copytree(folder / "results", tmp_path_factory.mktemp("k") / "results")
    again = run(folder, environment, *cohort())
    return SimpleNamespace(
        folder=folder, status=process.returncode, told=told, left=left, again=again
    )


def test_the_other_eye_finishes_when_a_worker_is_killed(struck):
    assert (struck.left / "008_L" / "report.html").exists()
    assert not (struck.left / "007_L" / "report.html").exists()


def test_a_killed_worker_is_named_at_the_end_and_in_the_exit_code(struck):
    assert struck.status != 0
    end = struck.told.splitlines()[-8:]
    assert any("007_L" in line and "FAILED" in line and "killed" in line for line in end)
    assert any("2 eyes, 1 done" in line for line in end)


def test_a_killed_worker_leaves_nothing_half_written(struck):
    assert half_written(struck.left) == []


def test_the_next_run_does_only_what_the_killed_worker_had_not_done(struck):
    assert struck.again.returncode == 0, struck.again.stdout
    assert (struck.folder / "results" / "007_L" / "report.html").exists()
    before, after = times(struck.left), times(struck.folder / "results")
    kept = {path.relative_to(struck.left): when for path, when in before.items()}
    touched = {
        path.relative_to(struck.folder / "results")
        for path, when in after.items()
        if kept.get(path.relative_to(struck.folder / "results")) != when
    }
    assert {path.parts[0] for path in touched if len(path.parts) > 1} <= {"007_L", "cohort"}
    assert not any("02_template_selection.ipynb" in path.name for path in touched)


@contextlib.contextmanager
def mounted(command, folder):
    """Mount something on a folder for as long as it is needed; skip where that is not allowed."""
    folder.mkdir()
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_named_and_leaves_nothing_half_written(photographs, environment, tmp_path):
    project = lay_out(tmp_path, photographs, ("007",))
    disk = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs"]
    with mounted(disk, project / "disk") as results:
        full = run(project, environment, *cohort(f"RESULTS={results}"))
        assert full.returncode != 0
        assert "No space left" in full.stdout or "disk full" in full.stdout, full.stdout
        assert half_written(results) == []
        assert not list(results.glob("*/report.html"))
        subprocess.run(["mount", "-o", "remount,size=64m", str(results)], check=True)
        again = run(project, environment, *cohort(f"RESULTS={results}"))
        assert again.returncode == 0, again.stdout
        assert (results / "007_L" / "report.html").exists()
        assert half_written(results) == []


def test_a_slow_disk_only_takes_longer(photographs, environment, tmp_path):
    project = lay_out(tmp_path, photographs, ("007",))
    (project / "far").mkdir()
    slow = ["bindfs", "--read-rate=2M", "--write-rate=500k", str(project / "far")]
    with mounted(slow, project / "disk") as results:
        ran = run(project, environment, *cohort(f"RESULTS={results}"))
        assert ran.returncode == 0, ran.stdout
        assert len(list(results.glob("007_L/03_rigid/registered/*.png"))) == VISITS
        again = run(project, environment, *cohort(f"RESULTS={results}"))
        assert "Nothing to be done" in again.stdout
    for name in NOTEBOOKS:
        assert (project / "far" / "007_L" / name / "metrics.json").exists()
    assert half_written(project / "far") == []
