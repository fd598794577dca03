"""A cohort, as `make` runs it: it survives bad eyes, changes and kills, and repeats itself."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import nbformat
import numpy as np
import pandas as pd
import psutil
import pytest
import SimpleITK as sitk
from skimage.io import imread, imsave
from small_project import (
    COMPARISON,
    NOTEBOOKS,
    SOCKETS,
    VISITS,
    WITH,
    lay_out,
    make_command,
    run,
    snakemake,
    times,
    wait_until,
)

from fundus_helpers.__main__ import main
from fundus_helpers.results.report import summarise
from fundus_helpers.results.tuned import save_tuned

GOOD = ("007", "Jane Roe")


@pytest.fixture(scope="module")
def killed(tmp_path_factory, photographs, environment):
    """Kill the run of a cohort of two eyes while the first of them saves its registrations."""
    folder = lay_out(tmp_path_factory.mktemp("p"), photographs, GOOD)
    process = subprocess.Popen(
        make_command("cohort", "JOBS=2", WITH),
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        begun = wait_until(lambda: any(folder.glob("results/*/03_rigid/transforms/*")), 200)
    finally:
        # Kernels have sessions of their own: pulling the plug takes them as well.
        everything = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGKILL)
        for child in everything:
            if child.is_running():
                child.kill()
        process.wait()
    psutil.wait_procs(everything, 20)
    left = shutil.copytree(folder / "results", tmp_path_factory.mktemp("k") / "results")
    return SimpleNamespace(folder=folder, begun=begun, left=left)


@pytest.fixture(scope="module")
def completed(killed, environment):
    """Run the killed cohort again, with an eye more: two photographs, one of them black."""
    folder, dark = killed.folder, killed.folder / "data" / "dark"
    dark.mkdir()
    first = next(folder.glob("data/007/*.png"))
    shutil.copy(first, dark / "dark_2020-01-01_L.png")
    imsave(dark / "dark_2021-01-01_L.png", np.zeros_like(imread(first)), check_contrast=False)
    ran = run(folder, environment, *make_command("cohort", "JOBS=2", WITH))
    return SimpleNamespace(folder=folder, results=folder / "results", ran=ran)


@pytest.fixture
def copy(completed, tmp_path):
    """Return a copy of the completed project, with the times of its files, to be changed."""
    return shutil.copytree(completed.folder, tmp_path / "copy", symlinks=True, ignore=SOCKETS)


def test_a_kill_leaves_no_half_file(killed):
    assert killed.begun
    seen = [path for path in killed.left.rglob("*") if path.is_file() and path.name[0] != "."]
    assert {path.suffix for path in seen} >= {".json", ".ipynb", ".tfm"}
    for path in seen:
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".tfm":
            sitk.ReadTransform(str(path))
        elif path.suffix in (".png", ".jpg", ".gif"):
            assert imread(path).size
            assert path.parent.name != "registered" or imread(path).shape[:2] == (96, 96)
        elif path.suffix == ".ipynb":
            nbformat.read(path, as_version=4)
        elif path.name == "benchmark.tsv":
            assert len(path.read_text().splitlines()) == 2
        else:
            assert path.read_text().rstrip().endswith("</html>"), path


def test_a_kill_leaves_the_run_unfinished(killed):
    assert list(killed.left.glob("*/report.html")) == []
    assert len(list(killed.left.glob("*/03_rigid/metrics.json"))) < len(GOOD)


def test_the_next_run_completes_what_was_killed(completed):
    for patient in GOOD:
        eye = completed.results / f"{patient}_L"
        assert (eye / "report.html").exists()
        for suffix in ("transforms/*.tfm", "registered/*.png"):
            assert len(list((eye / "03_rigid").glob(suffix))) == VISITS
    assert list(completed.results.rglob(".part-*")) == []


def test_neither_run_nor_kill_leaves_anything_among_the_notebooks(completed):
    left = {path.name for path in (completed.folder / "notebooks").iterdir()}
    assert left == {f"{name}.ipynb" for name in (*NOTEBOOKS, COMPARISON)}


def test_a_bad_eye_fails_the_cohort_and_is_named_with_its_reason(completed):
    assert completed.ran.returncode != 0
    lines = completed.ran.stdout.splitlines()
    (row,) = (line for line in lines if line.split()[:2] == ["dark_L", "FAILED"])
    assert "02_template_selection" in row
    assert "1 usable photograph, 2 are needed" in row and "dark_2021-01-01_L.png" in row
    assert not (completed.results / "dark_L" / "report.html").exists()


def test_the_summary_tells_good_eyes_from_bad_ones(completed, environment):
    command = [sys.executable, "-m", "fundus_helpers", "summary", "results"]
    told = run(completed.folder, environment, *command)
    lines = told.stdout.splitlines()
    for patient in GOOD:
        rows = [line for line in lines if line.strip().startswith(f"{patient}_L ")]
        assert sum(" done " in row for row in rows) == len(NOTEBOOKS) + 1
        assert any(f"{patient}_L/report.html" in row for row in rows)
    assert sum("FAILED" in line for line in lines) == 1
    assert any(line.startswith("dark_L") and "no report" in line for line in lines)


def test_a_notebook_that_was_killed_is_told_as_such(tmp_path):
    left = tmp_path / "007_L" / "03_rigid" / "03_rigid.ipynb"
    left.parent.mkdir(parents=True)
    left.touch()  # as Snakemake does for a job that left no log
    (row,) = summarise(tmp_path).to_dict("records")
    assert row["state"] == "FAILED" and "out of memory" in row["in numbers"]


def test_patients_keep_their_names(completed):
    told = [
        json.loads((completed.results / f"{patient}_L" / name / "metrics.json").read_text())
        for patient in GOOD
        for name in NOTEBOOKS
    ]
    assert [metrics["patient"] for metrics in told] == ["007", "007", "Jane Roe", "Jane Roe"]
    eyes = {path.name for path in completed.results.glob("*_L")}
    assert eyes == {"007_L", "Jane Roe_L", "dark_L"}


def without_seconds(value):
    """Return metrics without the patient's name and without what a stopwatch said."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if k != "patient" and not k.startswith("seconds")}
        return {key: without_seconds(item) for key, item in kept.items()}
    if isinstance(value, list):
        return [without_seconds(item) for item in value]
    return value


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_two_runs_on_the_same_photographs_give_the_same_numbers(completed, notebook):
    one, other = (
        json.loads((completed.results / f"{patient}_L" / notebook / "metrics.json").read_text())
        for patient in GOOD
    )
    assert one["provenance"]["sha256"]
    assert without_seconds(one) == without_seconds(other)


def test_two_runs_on_the_same_photographs_give_the_same_transforms_and_photographs(completed):
    one, other = (completed.results / f"{patient}_L" / "03_rigid" for patient in GOOD)
    files = [path.relative_to(one) for kind in ("tfm", "png") for path in one.rglob(f"*.{kind}")]
    assert len(files) == 2 * VISITS
    for file in files:
        assert (one / file).read_bytes() == (other / file).read_bytes(), file


class Page(HTMLParser):
    """What a page fetches when it is opened, and the classes of its elements."""

    def __init__(self, text):
        super().__init__()
        self.fetched, self.classes, self.words = [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.classes |= set((attributes.get("class") or "").split())
        sources = [attributes.get("src"), attributes.get("data") if tag == "object" else None]
        sources.append(attributes.get("href") if tag == "link" else None)
        self.fetched += [s for s in sources if s and not s.startswith("data:")]

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def pages(completed):
    """Return the text of every page of the report of one eye."""
    paths = sorted((completed.results / "007_L").rglob("*.html"))
    assert len(paths) == 1 + len(NOTEBOOKS) + 1
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


def test_the_report_fetches_nothing_but_the_pictures_beside_it(pages, completed):
    for name, text in pages.items():
        fetched = Page(text).fetched
        assert bool(fetched) == (name == "report.html")
        for path in fetched:
            assert path.startswith("03_rigid/pictures/")
            assert (completed.results / "007_L" / path).is_file()


def test_no_script_of_the_report_can_load_another_from_elsewhere(pages):
    for name, text in pages.items():
        away = [word for word in text.split() if "://" in word and (".js" in word or "mjs" in word)]
        assert away == [], name


def test_the_report_shows_results_without_code(pages):
    for name in NOTEBOOKS:
        page = Page(pages[f"{name}.html"])
        assert "jp-InputArea-editor" not in page.classes
        assert "jp-OutputArea-output" in page.classes
        text = "".join(page.words)
        assert "What we found" in text and "make_demo_eye" not in text
    assert "03_rigid/03_rigid.html" in pages["report.html"]


@pytest.fixture(scope="module")
def table(completed):
    """Return the table of the cohort, as it was written."""
    return pd.read_parquet(completed.results / "cohort.parquet")


def test_the_cohort_has_a_row_an_eye_the_worst_first(completed, table):
    assert table["patient"].iloc[0] == "dark" and set(table["patient"]) == {*GOOD, "dark"}
    assert table["state"].tolist() == ["FAILED", "done", "done"]
    assert "1 usable photograph, " in table["reason"].iloc[0]
    good = table.iloc[1:]
    assert (good["visits"] == VISITS - 1).all()
    assert (good[["accepted", "doubtful", "failed"]].sum(axis=1) == good["visits"]).all()
    assert good["method"].isin(["translation", "rigid", "similarity", "affine"]).all()
    as_text = pd.read_csv(completed.results / "cohort.csv", dtype={"patient": str})
    assert as_text["patient"].tolist() == table["patient"].tolist()
    assert as_text["method"].tolist()[1:] == good["method"].tolist()


def test_the_page_of_the_cohort_shows_every_eye_and_fetches_only_what_lies_beside_it(completed):
    text = (completed.results / "cohort.html").read_text()
    for source in Page(text).fetched:
        assert (completed.results / unquote(source)).is_file(), source
    elsewhere = [tag for tag in re.findall(r"<(?:script|link|img)[^>]*>", text) if "://" in tag]
    assert elsewhere == []
    for eye in ("007_L", "Jane%20Roe_L"):
        assert f"{eye}/report.html" in text and f"{eye}/03_rigid/after.jpg" in text
    assert "dark_L/photographs.jpg" in text
    assert imread(completed.results / "dark_L" / "photographs.jpg").ndim == 2
    assert f"cohort/{COMPARISON}/{COMPARISON}.html" in text
    assert (completed.results / "cohort" / COMPARISON / f"{COMPARISON}.html").exists()


def test_the_cohort_is_told_at_the_end(completed):
    end = completed.ran.stdout.splitlines()[-8:]
    assert any("3 eyes, 2 done" in line for line in end)
    assert any(line.startswith("dark_L") and "2 are needed" in line for line in end)
    assert any("cohort.html" in line for line in end)


def test_a_second_run_does_nothing(completed, environment):
    before = times(completed.results)
    again = run(
        completed.folder, environment, *make_command("eye", "ALL=1", "PATIENT=Jane Roe", WITH)
    )
    assert again.returncode == 0, again.stdout
    assert "Nothing to be done" in again.stdout
    assert times(completed.results) == before


def test_a_part_of_the_cohort_is_run_and_told_by_itself(copy, environment):
    before = (copy / "results" / "cohort.html").stat().st_mtime_ns
    ran = run(copy, environment, *make_command("cohort", "PART=2/3", "JOBS=2", WITH))
    assert ran.returncode == 0, ran.stdout  # the eye that fails is the third
    assert "1 eyes, 1 done" in ran.stdout and "cohort-2-of-3.html" in ran.stdout
    table = pd.read_parquet(copy / "results" / "cohort-2-of-3.parquet")
    assert table["patient"].tolist() == [GOOD[1]]
    assert (copy / "results" / "cohort.html").stat().st_mtime_ns == before
    told = (copy / "results" / "007_L" / "03_rigid" / "metrics.json").stat().st_mtime_ns
    whole = run(copy, environment, *make_command("cohort-report"))  # not WITH what was run
    assert whole.returncode == 0 and "3 eyes, 2 done" in whole.stdout
    assert (copy / "results" / "007_L" / "03_rigid" / "metrics.json").stat().st_mtime_ns == told
    assert (copy / "results" / "cohort.html").stat().st_mtime_ns > before


TEMPLATES = [f"results/{patient}_L/02_template_selection/metrics.json" for patient in GOOD]


def jobs(dry_run):
    """Return the patients whose notebooks a dry run would run, and its reason for each."""
    assert dry_run.returncode == 0, dry_run.stdout
    found = re.findall(r"reason: (.+)\n.*wildcards: patient=([^,]+),", dry_run.stdout)
    return {patient: reason for reason, patient in found}


def darken(photograph):
    imsave(photograph, imread(photograph) // 2, check_contrast=False)


@pytest.mark.parametrize("change", [darken, Path.unlink], ids=["changed", "removed"])
def test_a_photograph_changed_or_removed_runs_its_own_eye_again_and_no_other(
    copy, environment, change
):
    change(next((copy / "data" / "007").glob("*.png")))
    planned = jobs(snakemake(copy, environment, "--dry-run", *TEMPLATES))
    assert set(planned) == {"007"}, planned


def test_a_photograph_replaced_by_an_older_one_is_noticed(copy, environment):
    first, second = sorted((copy / "data" / "007").glob("*.png"))[:2]
    shutil.copystat(second, first)
    changed = bytearray(second.read_bytes())
    changed[-20] ^= 1
    first.write_bytes(changed)
    os.utime(first, (1, 1))
    planned = jobs(snakemake(copy, environment, "--dry-run", *TEMPLATES))
    assert set(planned) == {"007"}, planned


def test_a_photograph_replaced_by_one_of_the_same_size_and_time_is_noticed(copy, environment):
    first = min((copy / "data" / "007").glob("*.png"))
    before = first.stat()
    content = bytearray(first.read_bytes())
    content[-20] ^= 1  # as `rsync -t` or a restored backup may leave it
    first.write_bytes(content)
    os.utime(first, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert first.stat().st_size == before.st_size
    planned = jobs(snakemake(copy, environment, "--dry-run", *TEMPLATES))
    assert set(planned) == {"007"} and "content of the photographs" in planned["007"]


def test_files_that_were_only_touched_or_copied_run_nothing(copy, environment):
    shutil.copytree(copy / "data", copy / "restored")  # without the times
    shutil.rmtree(copy / "data")
    (copy / "restored").rename(copy / "data")
    for path in (copy / "notebooks").iterdir():
        path.touch()
    again = snakemake(copy, environment, *TEMPLATES)
    assert "Nothing to be done" in again.stdout, again.stdout


def test_a_photograph_whose_time_lies_ahead_runs_once_and_is_told(copy, environment):
    first = min((copy / "data" / "007").glob("*.png"))
    darken(first)
    os.utime(first, (time.time() + 86400,) * 2)
    ran = snakemake(copy, environment, *TEMPLATES)
    assert ran.returncode == 0, ran.stdout
    assert f"the time of {first.name} lies ahead" in ran.stdout
    assert "clock skew" not in ran.stdout
    again = snakemake(copy, environment, *TEMPLATES)
    assert "Nothing to be done" in again.stdout, again.stdout


def test_a_notebook_whose_time_lies_ahead_runs_nothing(copy, environment):
    for path in (copy / "notebooks").iterdir():
        os.utime(path, (time.time() + 86400,) * 2)
    again = snakemake(copy, environment, *TEMPLATES)
    assert "Nothing to be done" in again.stdout, again.stdout


@pytest.mark.parametrize(
    "name",
    ["2024_11", "007", "1e5", "0x1f", "true", "null", "[a]", "2024-11-03", "1.50", "a: b"],
)
def test_the_name_of_a_folder_is_text(copy, environment, name):
    (copy / "data").rename(copy / name)
    target = f"{name}_r/007_L/02_template_selection/metrics.json"
    command = ["--dry-run", "--printshellcmds", target]
    told = snakemake(copy, environment, *command, data=name, results=f"{name}_r").stdout
    assert f"output: {target}" in told and f"data=../{name} " in f"{told} ".replace("'", "")


def test_while_one_eye_waits_for_its_template_all_cores_choose_it(copy, environment):
    """In a cohort, other eyes use the other cores."""

    def processes(target, **settings):
        command = ["--dry-run", "--forceall", "--printshellcmds", target]
        told = snakemake(copy, environment, *command, notebooks="02 03", **settings).stdout
        found = re.findall(r"LOKY_MAX_CPU_COUNT=(\d+) .*?(\d\d_\w+)\.ipynb", told)
        assert found, told
        return {(name, int(count)) for count, name in found}

    one = processes("eye", patient="007", laterality="L")
    assert one == {("02_template_selection", 2), ("03_rigid", 1)}
    assert processes("cohort") == {("02_template_selection", 1), ("03_rigid", 1)}


# What a shell, make, YAML and Snakemake take for something else.
ODD = """it's "1" #2: $HOME `x` ü [a] & (b) 100%"""


@pytest.mark.parametrize(
    ("data", "results"), [(ODD, "2024_11"), ("007", ODD)], ids=["data", "results"]
)
def test_odd_names_of_folders_and_patients_work_through_make(
    photographs, environment, tmp_path, data, results
):
    lay_out(tmp_path, photographs, ["1e5"])
    (tmp_path / "data").rename(tmp_path / data)
    names = [f"DATA={data}/", f"RESULTS={results}/", "TEMPLATE=first"]
    eye = make_command("eye", "PATIENT=1e5", "NOTEBOOKS=02", WITH, *names)
    ran = run(tmp_path, environment, *eye)
    assert ran.returncode == 0, ran.stdout
    metrics = tmp_path / results / "1e5_L" / NOTEBOOKS[0] / "metrics.json"
    assert json.loads(metrics.read_text())["patient"] == "1e5"
    planned = run(tmp_path, environment, *make_command("cohort-dry", "NOTEBOOKS=02", WITH, *names))
    assert planned.returncode == 0 and "0 notebooks to run" in planned.stdout, planned.stdout
    whole = run(tmp_path, environment, *make_command("cohort", "NOTEBOOKS=02", WITH, *names))
    assert whole.returncode == 0 and "Nothing to be done" in whole.stdout, whole.stdout
    assert (tmp_path / results / "cohort.csv").exists()
    assert {path.name for path in tmp_path.iterdir() if path.name[0] != "."} == {
        *("Makefile", "fundus_helpers", "workflow", "notebooks", data, results)
    }


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("RESULTS=a {b}", "a path with '{', '}' cannot be used"),
        ("DATA={patient}", "a path with '{', '}' cannot be used"),
        ("RESULTS=Makefile", "is a file; give the path of a folder"),
        ("RESULTS=Makefile/x", "'Makefile' is a file, not a folder"),
        ("DATA=Makefile", "is a file; give the path of a folder"),
        ("RESULTS=#1", "give the path as './#1'"),
    ],
)
@pytest.mark.parametrize("target", ["eye", "cohort", "cohort-dry"])
def test_a_folder_that_cannot_be_used_is_refused_in_one_sentence(
    photographs, environment, tmp_path, setting, words, target
):
    lay_out(tmp_path, photographs, ["007"])
    refused = run(tmp_path, environment, *make_command(target, "PATIENT=007", setting, WITH))
    assert refused.returncode != 0
    (line,) = (line for line in refused.stdout.splitlines() if not line.startswith("make"))
    assert words in line
    assert not (tmp_path / "results").exists()


def test_a_long_folder_for_temporary_files_does_no_harm(copy, environment):
    long = copy / ("t" * 130)
    long.mkdir()
    darken(min((copy / "data" / "007").glob("*.png")))
    eye = make_command("eye", "PATIENT=007", "NOTEBOOKS=02", WITH)
    ran = run(copy, environment | {"TMPDIR": str(long)}, *eye)
    assert ran.returncode == 0 and "1 of" in ran.stdout, ran.stdout


def test_nothing_of_an_earlier_run_is_left_of_an_eye_that_fails_now(copy, environment):
    for path in (copy / "data" / "007").glob("*.png"):
        imsave(path, np.zeros_like(imread(path)), check_contrast=False)
    ran = run(copy, environment, *make_command("cohort", WITH))
    assert ran.returncode != 0
    eye = copy / "results" / "007_L"
    left = {path.name for path in eye.rglob("*") if path.is_file()}
    failed = {f"{NOTEBOOKS[0]}.ipynb", f"{NOTEBOOKS[0]}.html"}  # the notebook, and its page
    assert left <= {*failed, "photographs.jpg", "benchmark.tsv"}
    assert "2 are needed" in (eye / NOTEBOOKS[0] / f"{NOTEBOOKS[0]}.html").read_text()
    row = pd.read_parquet(copy / "results" / "cohort.parquet").set_index("patient").loc["007"]
    assert row["state"] == "FAILED" and "2 are needed" in row["reason"]
    assert (copy / "results" / "Jane Roe_L" / "report.html").exists()


def test_a_results_folder_may_be_written_with_a_slash(copy, environment):
    again = run(
        copy, environment, *make_command("eye", "ALL=1", "PATIENT=007", "RESULTS=./results/", WITH)
    )
    assert again.returncode == 0 and "Nothing to be done" in again.stdout, again.stdout


def test_a_changed_parameter_runs_the_notebooks_again(copy, environment):
    changed = snakemake(copy, environment, "--dry-run", *TEMPLATES, size=64)
    assert set(jobs(changed)) == set(GOOD)
    assert "size=64" in changed.stdout


def test_a_changed_notebook_runs_again_with_what_depends_on_it_and_nothing_else(copy, environment):
    notebook = copy / "notebooks" / "03_rigid.ipynb"
    changed = nbformat.read(notebook, as_version=4)
    changed.cells.append(nbformat.v4.new_code_cell("1 + 1"))
    nbformat.write(changed, notebook)
    reports = [f"results/{patient}_L/report.html" for patient in GOOD]
    told = snakemake(copy, environment, *reports, "--dry-run", "--quiet", "host").stdout
    planned = {tuple(path.split("/")[1:3]) for path in re.findall(r"\n    output: ([^\n]+)", told)}
    expected = {(f"{p}_L", n) for p in GOOD for n in ("03_rigid", COMPARISON, "report.html")}
    assert planned == expected, told


def test_what_the_sliders_saved_is_taken_and_given_parameters_go_over_it(copy, environment):
    saved, notebook = copy / "results/007_L/tuned.json", ["results/007_L/03_rigid/metrics.json"]
    save_tuned(saved, "affine", {"learning_rate": 2.0, "iterations": 30})
    told = snakemake(copy, environment, *notebook)
    assert told.returncode == 0, told.stdout
    metrics = json.loads((saved.parent / "03_rigid" / "metrics.json").read_text())
    parameters = metrics["provenance"]["parameters"]
    assert parameters["learning_rate"] == 2.0  # as saved
    assert parameters["iterations"] == 20  # as given
    assert parameters["asked"]["affine"]["learning_rate"] == 2.0  # of every method, not the one
    assert parameters["asked"]["rigid"]["learning_rate"] != 2.0
    again = snakemake(copy, environment, *notebook)
    assert "Nothing to be done" in again.stdout
    without = snakemake(copy, environment, "-n", *notebook, tuned="{}")
    assert "tuned={}" in without.stdout
    saved.unlink()
    undone = snakemake(copy, environment, "-n", *notebook)
    assert "03_rigid" in undone.stdout and "Nothing to be done" not in undone.stdout


def test_two_runs_of_one_eye_at_the_same_time_both_end_well(photographs, environment, tmp_path):
    lay_out(tmp_path, photographs, ["007"], NOTEBOOKS)
    eye = make_command("eye", "ALL=1", "PATIENT=007", WITH)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    runs = [subprocess.Popen(eye, cwd=tmp_path, env=environment, **streams) for _ in range(2)]
    told = [process.communicate(timeout=600)[0] for process in runs]
    assert [process.returncode for process in runs] == [0, 0], told
    assert "another run is computing its results in 007_L" in "".join(told)
    results = tmp_path / "results" / "007_L"
    assert (results / "report.html").exists()
    assert len(list(results.glob("03_rigid/registered/*.png"))) == VISITS
    assert list(results.rglob(".*")) == []


def test_damaged_knobs_of_one_eye_stop_only_this_eye(copy, environment):
    (copy / "results" / "007_L" / "tuned.json").write_text('{"rigid": ')
    ran = run(copy, environment, *make_command("cohort", "WITH=size=64 iterations=20"))
    assert ran.returncode != 0
    table = pd.read_parquet(copy / "results" / "cohort.parquet").set_index("patient")
    assert table.loc["Jane Roe", "state"] == "done"
    assert table.loc["007", "state"] == "FAILED"
    assert "tuned is not JSON" in table.loc["007", "reason"]


def test_an_unknown_parameter_is_named_before_anything_runs(photographs, environment, tmp_path):
    lay_out(tmp_path, photographs, ["007"])
    refused = snakemake(tmp_path, environment, "cohort", szie=96)
    assert refused.returncode != 0
    assert "szie" in refused.stdout and "template_visit" in refused.stdout
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("patient", "laterality", "named"),
    [
        ("..", "L", "'..'"),
        ("007/../007", "L", "007/../007"),
        ("007", "X", "'X'"),
        ("7", "L", "'7'"),
    ],
)
def test_a_wrong_eye_is_refused_in_one_line(
    photographs, tmp_path, capfd, patient, laterality, named
):
    lay_out(tmp_path, photographs, ["007"])
    assert main(["check", str(tmp_path / "data"), patient, laterality]) == 2
    out, error = capfd.readouterr()
    (line,) = error.splitlines()
    assert out == "" and named in line


def test_make_refuses_a_wrong_eye_before_anything_runs(photographs, environment, tmp_path):
    lay_out(tmp_path, photographs, ["007"])
    refused = run(tmp_path, environment, *make_command("eye", "PATIENT=..", WITH))
    assert refused.returncode != 0
    lines = [line for line in refused.stdout.splitlines() if not line.startswith("make")]
    assert len(lines) == 1 and "'..'" in lines[0]
    assert not (tmp_path / "results").exists()
