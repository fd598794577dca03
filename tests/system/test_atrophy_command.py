"""Atrophy without looking: one command leaves all its files, the same again, and nothing stale."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import tifffile
from skimage.io import imread

from fundus_helpers.__main__ import main
from fundus_helpers.atrophy.outlines import write_outlines
from fundus_helpers.loading.demo_eye import make_demo_eye, read_truth, true_fovea

DATES = ("2016-03-14", "2018-02-26", "2020-07-20", "2022-03-21")
SIZE, WANTED = 384, ("atrophy.csv", "growth.json", "onset.tif")


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    """Paint a demo eye, and lay out four of its visits as a patient whose scale is not known."""
    data = tmp_path_factory.mktemp("data")
    folder = make_demo_eye(data, "demo_autofluorescence", size=SIZE)
    (data / "007").mkdir()
    for date in DATES:
        shutil.copy(folder / f"demo_autofluorescence_{date}_L.png", data / "007" / f"{date}_L.png")
    return folder


@pytest.fixture(scope="module")
def data(painted):
    return painted.parent


def follow(data, results, *options):
    """Follow the atrophy of the patient; return the exit code and the folder of the results."""
    where = ["atrophy", str(data), "007", "L", str(results), "--size", str(SIZE)]
    return main([*where, *options]), results / "007_L" / "12_atrophy"


@pytest.fixture(scope="module")
def done(data, tmp_path_factory):
    """Follow the atrophy once."""
    return follow(data, tmp_path_factory.mktemp("results"))


def test_one_visit_has_an_area_in_an_ellipse_and_without_one_is_refused_in_words(
    painted, tmp_path, capfd
):
    date = DATES[2]
    (tmp_path / "data" / "007").mkdir(parents=True)
    file = f"demo_autofluorescence_{date}_L.png"
    shutil.copy(painted / file, tmp_path / "data" / "007" / f"{date}_L.png")
    truth = imread(painted / "truth" / f"lesion_{file}") > 0
    status, folder = follow(tmp_path / "data", tmp_path / "results")
    assert status == 1 and "one visit alone does not show" in capfd.readouterr().out
    assert pd.read_csv(folder / "atrophy.csv")["area_px"].isna().all()
    rows, columns = np.nonzero(truth)
    halves = 0.7 * np.ptp(columns), 0.7 * np.ptp(rows)
    ellipse = " ".join(f"{n:.1f}" for n in (columns.mean(), rows.mean(), *halves, 0))
    status, folder = follow(tmp_path / "data", tmp_path / "results", "--ellipse", ellipse)
    assert status == 0
    (row,) = pd.read_csv(folder / "atrophy.csv").to_dict("records")
    assert row["area_px"] == pytest.approx(truth.sum(), rel=0.1)
    growth = json.loads((folder / "growth.json").read_text())
    assert growth["rates"] == [] and growth["notes"]


def contents(folder):
    """Return the content of all files that a run must repeat, by their names."""
    outlines = sorted(path.name for path in folder.glob("*_atrophy.png"))
    return {name: (folder / name).read_bytes() for name in (*WANTED, *outlines)}


def test_one_command_leaves_areas_growth_the_onset_map_and_outlines(done, painted):
    status, folder = done
    assert status == 0
    table = pd.read_csv(folder / "atrophy.csv").set_index("visit")
    assert [*table.index] == [f"{date}_L" for date in DATES]
    for date in DATES:
        truth = imread(painted / "truth" / f"lesion_demo_autofluorescence_{date}_L.png") > 0
        mask = imread(folder / f"{date}_L_atrophy.png") > 0
        assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.93
        assert table["area_px"][f"{date}_L"] == pytest.approx(truth.sum(), rel=0.1)
    assert tifffile.imread(folder / "onset.tif").shape == (SIZE, SIZE)
    growth = json.loads((folder / "growth.json").read_text())
    metrics = json.loads((folder / "metrics.json").read_text())
    assert growth["scale"] is None and growth["unit"] == "px"
    assert growth["code"] == metrics["provenance"]["code"]
    assert {rate["unit"] for rate in growth["rates"]} >= {"px2/year", "px/year"}
    # As a word: "007" may stand within a checksum by chance.
    assert not re.search(r"\b007\b", (folder / "growth.json").read_text())


def test_a_rerun_is_the_same_to_the_last_byte_and_a_failure_leaves_nothing_stale(
    done, data, tmp_path, capfd
):
    results = shutil.copytree(done[1].parents[1], tmp_path / "results")
    before = contents(results / "007_L" / "12_atrophy")
    status, folder = follow(data, results)
    assert status == 0 and contents(folder) == before
    assert "square-root growth" in capfd.readouterr().out
    (folder.parent / "hints.json").write_text("damaged")
    status, folder = follow(data, results)
    assert status == 1 and "hints.json is damaged" in capfd.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["12_atrophy.ipynb"]


def test_outlines_beside_photographs_and_hints_are_believed_and_others_named(
    done, painted, data, tmp_path, capfd
):
    folder = shutil.copytree(data / "007", tmp_path / "data" / "007")
    mask = imread(done[1] / f"{DATES[2]}_L_atrophy.png") > 0
    drawn = mask.copy()
    drawn[:, : np.nonzero(mask)[1].mean().round().astype(int)] = False  # half of it
    masks = {f"{DATES[2]}_L.png": drawn, f"{DATES[3]}_L.png": mask[:100]}
    write_outlines(folder, masks)
    x, y = true_fovea(read_truth(painted), f"demo_autofluorescence_{DATES[0]}_L.png")
    options = "--fovea", f"{x} {y}", "--mm-per-pixel", "0.0227"
    status, left = follow(folder.parent, tmp_path / "results", *options)
    out = capfd.readouterr().out
    table = pd.read_csv(left / "atrophy.csv").set_index("visit")
    found_by = table["found_by"]
    assert found_by[f"{DATES[2]}_L"] == "outline (mask image)"
    assert found_by[f"{DATES[3]}_L"] == "found (fovea)"
    growth = json.loads((left / "growth.json").read_text())
    assert growth["hints"]["fovea"] == pytest.approx([x, y], abs=0.01)
    assert growth["scale"].startswith("0.0227 mm per pixel")
    size, modality = growth["remarks"]  # the names of these files do not say the modality
    assert "is for 384 x 100 px" in size and size in out
    assert "the modality is not known" in modality and "darker" in modality
    if status == 0:
        kept = imread(left / f"{DATES[2]}_L_atrophy.png") > 0
        assert 2 * (kept & drawn).sum() / (kept.sum() + drawn.sum()) > 0.95


def test_hints_are_remembered_for_later_runs_and_carried_to_another_template(
    painted, data, tmp_path
):
    x, y = true_fovea(read_truth(painted), f"demo_autofluorescence_{DATES[0]}_L.png")
    ellipse = f"{x:.1f} {y:.1f} 150 120 20"
    status, folder = follow(data, tmp_path, "--ellipse", ellipse, "--fovea", f"{x} {y}")
    first, remembered = contents(folder), (folder.parent / "hints.json").read_bytes()
    hints = json.loads((folder / "growth.json").read_text())["hints"]
    status, folder = follow(data, tmp_path)
    assert status == 0 and contents(folder) == first
    assert json.loads((folder / "growth.json").read_text())["hints"] == hints
    status, folder = follow(data, tmp_path, "--template", "last")
    assert status == 0 and (folder.parent / "hints.json").read_bytes() == remembered
    fovea = json.loads((folder / "growth.json").read_text())["hints"]["fovea"]
    there = true_fovea(read_truth(painted), f"demo_autofluorescence_{DATES[-1]}_L.png")
    assert fovea == pytest.approx(there, abs=1.5) and fovea != pytest.approx((x, y), abs=1.5)


@pytest.mark.parametrize(
    ("patient", "words"),
    [("../x", "is not the plain name of a folder"), ("008", "no patient '008'")],
)
def test_another_patient_is_refused_in_words(data, tmp_path, capfd, patient, words):
    where = ["atrophy", str(data), patient, "L", str(tmp_path / "results")]
    assert main(where) in (1, 2)
    assert words in capfd.readouterr().err
    assert not list(tmp_path.rglob("atrophy.csv"))
