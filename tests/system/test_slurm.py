"""A cohort under SLURM: real daemons of one node, and what `make` does on one machine."""

import json
import re
import shutil
import subprocess
from types import SimpleNamespace

import pytest
from slurm_node import ask_slurm, jobs_of, slurm_node, why_not
from small_project import (
    NOTEBOOKS,
    PROJECT,
    VISITS,
    WITH,
    clean_environment,
    lay_out,
    make_command,
    run,
    snakemake,
    times,
    wait_until,
)
from test_run import without_seconds

from fundus_helpers.loading.demo_eye import make_demo_eye

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())
COHORT = make_command("cohort", "PROFILE=slurm", WITH)
CANCELLED, SECOND = (f"rule_notebook_wildcards_007_L_{name}" for name in NOTEBOOKS)
COMPARISON = "rule_comparison_wildcards_11_compare_methods"
REPORT, ALONE = "rule_report_wildcards_007_L", f"rule_notebook_wildcards_alone_L_{NOTEBOOKS[0]}"


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Start a cluster; return the variables of a run on it."""
    ours = clean_environment(tmp_path_factory.mktemp("e"))
    with slurm_node(tmp_path_factory.mktemp("slurm")) as node:
        yield ours | node


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Lay out a project of two eyes: one good, one with a single photograph."""
    demo = make_demo_eye(tmp_path_factory.mktemp("demo"), size=96)
    photographs = [*sorted(demo.glob("*.png"))[:VISITS], demo / "landmarks.csv"]
    folder = lay_out(tmp_path_factory.mktemp("p"), photographs, ["007"])
    (folder / "workflow").unlink()
    workflow = shutil.copytree(PROJECT / "workflow", folder / "workflow")
    profile = workflow / "profiles" / "slurm" / "config.yaml"
    often = profile.read_text().replace("status-checks: 10", "status-checks: 2")
    profile.write_text(often)  # the profile itself, but for how soon it looks
    (folder / "data" / "alone").mkdir()
    shutil.copy(photographs[0], folder / "data" / "alone")
    return folder


@pytest.fixture(scope="module")
def cohort(environment, folder):
    """Run the cohort on the cluster, and cancel one of its jobs when half of it is done."""
    with open(folder / "told.txt", "w") as told:
        process = subprocess.Popen(
            COHORT, cwd=folder, env=environment, stdout=told, stderr=subprocess.STDOUT
        )
        try:
            begun = wait_until(lambda: any(folder.glob("results/007_L/02_template_selection")), 200)
            running = jobs_of(environment, "running")
            cancelled = [job["job"] for job in running if job["comment"] == CANCELLED]
            ask_slurm(environment, "scancel", *cancelled)
            status = process.wait(600)
        finally:
            process.kill()
    assert begun and len(cancelled) == 1
    told = (folder / "told.txt").read_text()
    return SimpleNamespace(status=status, told=told, jobs=jobs_of(environment))


def states(cohort, comment):
    """Return what became of the attempts at a job, in their order."""
    return [job["state"] for job in cohort.jobs if job["comment"] == comment]


def test_every_notebook_and_the_report_is_a_job_of_the_cluster(cohort):
    assert states(cohort, SECOND) == states(cohort, REPORT) == ["COMPLETED"], cohort.told


def test_a_job_that_was_killed_is_done_again_with_more_memory(cohort):
    assert states(cohort, CANCELLED) == ["CANCELLED", "COMPLETED"], cohort.told
    first, second = (job["memory"] for job in cohort.jobs if job["comment"] == CANCELLED)
    assert int(second.rstrip("M")) == 2 * int(first.rstrip("M"))


def test_a_bad_eye_fails_alone_and_is_named_with_its_reason(cohort, folder):
    assert cohort.status != 0
    assert set(states(cohort, ALONE)) == {"FAILED"}
    (row,) = (
        line
        for line in cohort.told.splitlines()
        if line.split()[:1] == ["alone_L"] and "FAILED" in line
    )
    assert "FAILED" in row and "1 usable photograph, 2 are needed" in row
    assert (folder / "results" / "007_L" / "report.html").exists()


def test_jobs_ask_for_the_processors_and_the_memory_of_their_rules(cohort, folder, environment):
    planned = snakemake(folder, environment, "--dry-run", "--forceall", "cohort").stdout
    rules = re.findall(
        r"rule (notebook|report):.*?wildcards: (.+?)\n.*?mem_mb=(\d+)", planned, re.S
    )
    stated = {
        f"rule_{rule}_wildcards_" + "_".join(re.findall(r"=([^,]+)", wildcards)): memory
        for rule, wildcards, memory in rules
    }
    asked = {job["comment"]: job for job in reversed(cohort.jobs)}
    del asked[COMPARISON]  # its memory is of what there is when the cohort has ended
    assert set(asked) < set(stated)
    for comment, job in asked.items():
        assert (job["processors"], job["memory"]) == ("1", f"{stated[comment]}M"), comment


def test_results_are_those_of_one_machine(cohort, folder, environment, tmp_path):
    without = shutil.ignore_patterns("results", ".snakemake")
    here = shutil.copytree(folder, tmp_path / "here", symlinks=True, ignore=without)
    ran = run(here, environment, *make_command("eye", "ALL=1", "PATIENT=007", WITH))
    assert ran.returncode == 0, ran.stdout
    for name in NOTEBOOKS:
        one, other = (
            json.loads((place / "results" / "007_L" / name / "metrics.json").read_text())
            for place in (folder, here)
        )
        assert without_seconds(one) == without_seconds(other)


def test_a_second_run_does_nothing(cohort, folder, environment):
    before, jobs = times(folder / "results" / "007_L"), len(jobs_of(environment))
    again = run(
        folder, environment, *make_command("eye", "ALL=1", "PATIENT=007", "PROFILE=slurm", WITH)
    )
    assert again.returncode == 0 and "Nothing to be done" in again.stdout
    assert times(folder / "results" / "007_L") == before
    assert len(jobs_of(environment)) == jobs
