"""What leaves the machine names nobody: results under pseudonyms, and what git would take."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from skimage.io import imread, imsave
from small_project import NOTEBOOKS, PROJECT, lay_out, make_command, run

CHOSEN = ["NOTEBOOKS=02 03 11", "WITH=size=96 iterations=20", "JOBS=2"]
NAMED = ("Rosenholm", "j.doe", "st-marys")


@pytest.fixture(scope="module")
def pseudonymous(tmp_path_factory, photographs, environment):
    """Run a cohort under pseudonyms: data and results far away, one eye good, one eye dark."""
    project = lay_out(tmp_path_factory.mktemp("p"), photographs, ())
    study = tmp_path_factory.mktemp("far") / "j.doe" / "st-marys"
    for patient in ("Jane Rosenholm", "Dark Rosenholm"):
        (study / patient).mkdir(parents=True)
        for path in photographs:
            shutil.copy(path, study / patient / f"{patient}_{path.name[-16:]}")
    for path in list((study / "Dark Rosenholm").glob("*.png")):
        imsave(path, np.zeros_like(imread(path)), check_contrast=False)
    (study / "Jane Rosenholm" / "scan of Jane.png").write_bytes(b"no image")
    results = study.parent / "results"
    settings = [f"DATA={study}", f"RESULTS={results}", "PSEUDONYM=1"]
    ran = run(project, environment, *make_command("cohort", *CHOSEN, *settings))
    plain = run(
        project, environment, *make_command("cohort", *CHOSEN, f"DATA={study}", "RESULTS=plain")
    )
    return project, results, ran, plain


def texts(results):
    """Return every file of the results as text, by its path."""
    files = [path for path in results.rglob("*") if path.is_file()]
    return {str(p.relative_to(results)): p.read_bytes().decode(errors="replace") for p in files}


def test_no_result_under_a_pseudonym_names_a_patient_a_user_or_a_folder(pseudonymous):
    project, results, ran, _ = pseudonymous
    found = texts(results)
    assert {name.split(".")[-1] for name in found} >= {"html", "json", "ipynb", "csv", "parquet"}
    home = str(project)
    for name, text in found.items():
        for word in (*NAMED, home, sys.prefix):
            assert word not in name and word not in text, f"{word} in {name}"
    assert "Rosenholm" not in ran.stdout


def test_results_without_pseudonyms_name_patients_but_no_folder_of_the_machine(pseudonymous):
    project, _, _, plain = pseudonymous
    found = texts(project / "plain")
    assert "Jane Rosenholm" in found["cohort.html"] and "Jane Rosenholm" in plain.stdout
    for name, text in found.items():
        for word in ("j.doe", "st-marys", str(project), sys.prefix):
            assert word not in text, f"{word} in {name}"


def test_a_pseudonym_changes_no_number(pseudonymous):
    project, results, _, _ = pseudonymous
    for name in NOTEBOOKS:
        numbers = []
        for folder in (results, project / "plain"):
            (path,) = folder.glob(f"*/{name}/metrics.json")
            metrics = json.loads(path.read_text())
            after = pd.DataFrame(metrics.get("after", {})).to_numpy(float)
            hashes = sorted(metrics["provenance"]["sha256"].values())
            numbers.append((after.tolist(), hashes))
        assert json.dumps(numbers[0]) == json.dumps(numbers[1])


def test_the_key_is_in_no_result(pseudonymous, environment):
    _, results, _, _ = pseudonymous
    key = Path(environment["XDG_CONFIG_HOME"], "fundus_helpers", "pseudonym.key").read_text()
    assert len(key) >= 32
    assert not any(key in text for text in texts(results).values())


@pytest.fixture
def clone(tmp_path):
    """Return an empty repository with this project's checks before a commit."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    for name in (".pre-commit-config.yaml", ".gitignore"):
        shutil.copy(PROJECT / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "hook"),
    [
        ("data/007/007_2020-01-01_L.png", "no-data"),
        ("results/007_L/report.html", "no-data"),
        ("docs/eye.png", "no-pictures"),
        ("notebooks/scan.DCM", "no-pictures"),
        ("docs/demo.png", ""),
        ("data/README.md", ""),
        ("fundus_helpers/loading/eye.py", ""),
    ],
)
def test_pictures_and_results_are_refused_before_a_commit(clone, environment, file, hook):
    (clone / file).parent.mkdir(parents=True, exist_ok=True)
    (clone / file).write_text("x = 1\n")
    subprocess.run(["git", "add", "--force", file], cwd=clone, check=True)
    refused = []
    for check in ("no-data", "no-pictures"):
        command = [sys.executable, "-m", "pre_commit", "run", check, "--files", file]
        ran = run(clone, environment | {"PRE_COMMIT_HOME": str(clone / ".cache")}, *command)
        refused += [check] if ran.returncode else []
    assert hook in refused if hook else refused == []
