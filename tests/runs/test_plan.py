"""A plan says what a cohort is and would run, before anything is run."""

import shutil
from collections import Counter

import numpy as np
import pytest
from skimage.io import imsave
from small_project import NOTEBOOKS, PROJECT, lay_out, make_command, run

from fundus_helpers.runs.plan import pending, plan_eyes, seconds_of, stated_seconds, tell

CHOSEN = ["NOTEBOOKS=02 03", "WITH=size=96 iterations=20"]


@pytest.fixture
def data(tmp_path, photographs):
    """Return a folder of two good eyes, and one with a cut, a small and an undated file."""
    for patient in ("007", "008", "poor"):
        (tmp_path / "data" / patient).mkdir(parents=True)
        for path in photographs:
            shutil.copy(path, tmp_path / "data" / patient)
    poor = tmp_path / "data" / "poor"
    next(poor.glob("*.png")).write_bytes(b"cut")
    imsave(poor / "x_2024-01-01_L.tif", np.zeros((10, 60), np.uint8), check_contrast=False)
    shutil.copy(photographs[0], poor / "scan.png")
    return tmp_path / "data"


def test_every_photograph_is_counted_and_what_is_left_out_has_its_reason(data):
    table = plan_eyes(data, shown=False)
    used = table.groupby("patient")["used"].sum()
    assert used.to_dict() == {"007": 2, "008": 2, "poor": 1}
    left = (table["kind"] == "photograph") & ~table["used"]
    reasons = table.loc[left].set_index("file")["reason"]
    assert "damaged, cut short or not an image" in reasons.iloc[0]
    assert "60 x 10" in reasons["x_2024-01-01_L.tif"]
    assert table["used"].sum() == 5
    assert "_YYYY-MM-DD_" in reasons["scan.png"]


def test_the_plan_counts_every_file_and_names_what_belongs_to_no_eye(data):
    (data / "nameless").mkdir()
    shutil.copy(next((data / "007").glob("*.png")), data / "nameless" / "IMG_0001.png")
    (data / "gone").symlink_to("nowhere")
    table = plan_eyes(data, shown=False)
    told = tell(table, Counter(), {}, 1)
    lying = [path for path in data.rglob("*") if path.is_file()]
    others = (table["kind"] == "other file").sum()
    photographs = (table["kind"] == "photograph").sum()
    assert photographs + others == len(lying)
    assert f"3 eyes of 5 patients, {photographs} photographs: 5 used, " in told
    assert "2 patients, folders and rows of tables left out" in told
    assert "nameless: none of the 1 photographs tells its eye" in told
    assert "gone: the folder is a link that leads nowhere" in told


def test_the_estimate_comes_from_earlier_runs_and_else_from_the_notebooks(tmp_path):
    for eye, seconds in (("007_L", 10), ("008_L", 30), ("009_L", 20)):
        folder = tmp_path / eye / "02_template_selection"
        folder.mkdir(parents=True)
        (folder / "benchmark.tsv").write_text(f"s\tmax_rss\n{seconds}\t500\n")
    seconds, runs = seconds_of(PROJECT / "notebooks", tmp_path, NOTEBOOKS)
    assert runs == 3 and seconds["02_template_selection"] == 20
    assert seconds["03_rigid"] == stated_seconds(PROJECT / "notebooks" / "03_rigid.ipynb") >= 30


def test_the_words_name_what_is_left_out_and_shorten_long_lists(data):
    told = tell(plan_eyes(data, shown=False), Counter({"03_rigid": 30}), {"03_rigid": 60.0}, 2)
    assert "3 eyes of 3 patients" in told and "3 photographs left out" in told
    assert "scan.png" in told and "poor L: 1 usable" in told
    assert "about 15 minutes with 2 at a time" in told


def test_only_what_is_pending_counts():
    lines = [
        "results/a_L/03_rigid/metrics.json\t-\tnotebook\t-\tmissing\tupdate pending",
        "results/b_L/03_rigid/metrics.json\t-\tnotebook\t-\tok\tno update",
        "results/b_L/report.html\t-\treport\t-\tmissing\tupdate pending",
    ]
    assert pending(lines) == {"03_rigid": 1}


def test_a_dry_run_tells_the_plan_and_writes_nothing(photographs, environment, tmp_path):
    project = lay_out(tmp_path, photographs, ("007", "008"))
    told = run(project, environment, *make_command("cohort-dry", *CHOSEN))
    assert told.returncode == 0, told.stdout
    assert "2 eyes of 2 patients, 4 photographs" in told.stdout
    assert "4 notebooks to run" in told.stdout and "about" in told.stdout
    half = run(project, environment, *make_command("cohort-dry", *CHOSEN, "PART=2/2"))
    assert "1 eyes of 1 patients, 2 photographs" in half.stdout
    assert "2 notebooks to run" in half.stdout
    assert not (project / "results").exists()


def test_make_passes_a_pattern_a_table_and_its_columns_on(photographs, environment, tmp_path):
    project = lay_out(tmp_path, photographs, ("007",))
    rows = ["Datei;PID;Auge;Datum"]
    for number, path in enumerate(sorted((project / "data" / "007").glob("*.png"))):
        path.rename(path.with_name(f"scanL{path.stem[-12:-2]}b.png"))
        rows.append(f"007/scanL{path.stem[-12:-2]}b.png;007;OS;0{number + 1}.03.2019")
    (project / "my table.csv").write_text("\n".join(rows))
    nothing = run(project, environment, *make_command("cohort-dry", *CHOSEN))
    assert "0 eyes of 1 patients, 2 photographs: 0 used, 2 left out" in nothing.stdout
    assert "add this to the command: PATTERN='" in nothing.stdout
    fitting = r"PATTERN=[a-z]+(?P<laterality>[LR])(?P<date>\d{4}-\d\d-\d\d)b$"
    named = run(project, environment, *make_command("cohort-dry", *CHOSEN, fitting))
    assert "1 eyes of 1 patients, 2 photographs: 2 used" in named.stdout, named.stdout
    columns = "VISITS_COLUMNS=file=Datei patient=PID eye=Auge date=Datum"
    settings = ("VISITS=my table.csv", columns)
    told = run(project, environment, *make_command("cohort-dry", *CHOSEN, *settings))
    assert "1 eyes of 1 patients, 2 photographs: 2 used" in told.stdout, told.stdout
    assert "2 notebooks to run" in told.stdout
    wrong = run(project, environment, *make_command("cohort-dry", *CHOSEN, settings[0]))
    assert wrong.returncode != 0
    assert "my table.csv: has no column file, patient, eye, date" in wrong.stdout, wrong.stdout


def test_a_dry_run_of_what_cannot_run_fails_as_the_run_would(photographs, environment, tmp_path):
    project = lay_out(tmp_path, photographs, ("007",))
    for wrong, named in (("WITH=szie=96", "szie"), ("PART=5/3", "'5/3'")):
        told = run(project, environment, *make_command("cohort-dry", wrong))
        assert told.returncode != 0 and named in told.stdout
