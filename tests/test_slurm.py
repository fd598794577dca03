"""A cohort under SLURM: real daemons of one node, and what `make` does on one machine."""

import json
import os
import re
import shutil
from types import SimpleNamespace

import matplotlib
import pytest
from slurm_node import slurm_node, why_not
from test_run import (
    INHERITED,
    NOTEBOOKS,
    VISITS,
    WITH,
    lay_out,
    make_command,
    run,
)

from fundus_helpers.demo_eye import make_demo_eye

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())
COHORT = make_command("cohort", "PROFILE=slurm", WITH)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Start a cluster; return the variables of a run on it and the file that tells of its jobs."""
    folder, temporary = tmp_path_factory.mktemp("slurm"), tmp_path_factory.mktemp("t")
    kept = {key: value for key, value in os.environ.items() if key not in INHERITED.split()}
    ours = {"MPLCONFIGDIR": matplotlib.get_cachedir(), "TMPDIR": str(temporary)}
    with slurm_node(folder) as node:
        yield SimpleNamespace(environment=kept | ours | node, finished=folder / "finished.txt")


@pytest.fixture(scope="module")
def cohort(cluster, tmp_path_factory):
    """Run a cohort of two eyes on the cluster: one good, one with a single photograph."""
    demo = make_demo_eye(tmp_path_factory.mktemp("demo"), size=96)
    photographs = [*sorted(demo.glob("*.png"))[:VISITS], demo / "landmarks.csv"]
    folder = lay_out(tmp_path_factory.mktemp("p"), photographs, ["007"])
    (folder / "data" / "alone").mkdir()
    shutil.copy(photographs[0], folder / "data" / "alone")
    ran = run(folder, cluster.environment, *COHORT)
    return SimpleNamespace(folder=folder, results=folder / "results", ran=ran)


def finished_jobs(cluster):
    """Return what SLURM wrote down of every job that has ended, by the notebook's own log."""
    lines = cluster.finished.read_text().splitlines()
    return [dict(word.partition("=")[::2] for word in line.split()) for line in lines]


def metrics_of(folder, notebook):
    return json.loads((folder / "results" / "007_L" / notebook / "metrics.json").read_text())


def test_every_notebook_is_a_job_of_the_cluster(cluster, cohort):
    assert (cohort.results / "007_L" / "report.html").exists(), cohort.ran.stdout
    states = [job["JobState"] for job in finished_jobs(cluster)[: len(NOTEBOOKS) + 3]]
    # Two notebooks and the report of the good eye; the other fails, and fails again.
    assert sorted(states) == ["COMPLETED"] * 3 + ["FAILED"] * 2


def test_jobs_ask_for_the_processors_and_the_memory_of_their_rule(cluster, cohort):
    asked = {job["Tres"] for job in finished_jobs(cluster) if job["JobState"] == "COMPLETED"}
    found = {re.match(r"cpu=(\d+),mem=(\d+)M", tres).groups() for tres in asked}
    assert {cpu for cpu, _ in found} == {"1"}
    assert len({memory for _, memory in found}) > 1  # a report needs less than a notebook
