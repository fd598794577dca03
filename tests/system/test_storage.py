"""Photographs come out of a store and results go into it, through Snakemake's storage plugins.

A folder is the store here, by the plugin for file systems; `docs/cluster.md` has the one for S3.
"""

import shutil
import subprocess
import sys
import tarfile

import pytest
from small_project import PROJECT

pytestmark = pytest.mark.skipif(shutil.which("rsync") is None, reason="no rsync for the plugin")


@pytest.fixture
def stored(tmp_path):
    """Return a store with the photographs of two patients, and results that belong into it."""
    for patient in ("007", "Jane Roe", "elsewhere"):
        (tmp_path / "store" / "data" / patient).mkdir(parents=True)
        (tmp_path / "store" / "data" / patient / "a_2020-01-01_L.png").write_bytes(b"photograph")
    for eye, file in (("007_L", "report.html"), ("Jane Roe_L", "unfinished.txt")):
        (tmp_path / "results" / eye).mkdir(parents=True)
        (tmp_path / "results" / eye / file).write_text(eye)
    return tmp_path


def move(folder, target, patients="007,Jane Roe", status=0):
    """Fetch or keep; return what Snakemake said."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        PROJECT / "workflow" / "storage.smk",
    ]
    config = ["--cores=1", "--config", f"store={folder}/store", f"patients={patients}", "--"]
    ran = subprocess.run([*command, *config, target], cwd=folder, capture_output=True, text=True)
    assert ran.returncode == status, ran.stderr
    return ran.stderr


def test_the_photographs_of_the_named_patients_are_fetched_once(stored):
    move(stored, "fetch")
    assert {path.name for path in (stored / "data").iterdir()} == {"007", "Jane Roe"}
    fetched = stored / "data" / "Jane Roe" / "a_2020-01-01_L.png"
    assert fetched.read_bytes() == b"photograph"
    assert "Nothing to be done" in move(stored, "fetch")


@pytest.mark.parametrize("patients", ["007", "007,"])
def test_the_name_of_one_patient_is_text_and_no_number(stored, patients):
    move(stored, "fetch", patients=patients)
    assert [path.name for path in (stored / "data").iterdir()] == ["007"]


def test_a_new_photograph_in_the_store_is_fetched_too(stored):
    move(stored, "fetch")
    (stored / "store" / "data" / "007" / "b_2021-01-01_L.png").write_bytes(b"another")
    move(stored, "fetch")
    assert len(list((stored / "data" / "007").glob("*.png"))) == 2


def test_whole_eyes_are_kept_as_archives_and_unfinished_ones_are_not(stored):
    move(stored, "keep")
    (kept,) = (stored / "store" / "results").iterdir()
    with tarfile.open(kept) as archive:
        assert sorted(archive.getnames()) == ["007_L", "007_L/report.html"]
    assert "Nothing to be done" in move(stored, "keep")
