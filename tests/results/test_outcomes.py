"""What became of every visit is told once, truly, and found again."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fundus_helpers import transforms
from fundus_helpers.loading.demo_eye import read_truth, true_transform
from fundus_helpers.metrics.measures import MEASURES, Measure, overlap_share
from fundus_helpers.metrics.verdict import Verdict
from fundus_helpers.results.folder import make_folder
from fundus_helpers.results.metrics_file import save_metrics
from fundus_helpers.results.reading import read_outcomes
from fundus_helpers.series import outcomes as outcomes_module
from fundus_helpers.series.assessment import judge_visits, measure_visits
from fundus_helpers.series.outcomes import (
    NOTHING,
    best_method,
    count_verdicts,
    error_table,
    method_table,
    outcome_records,
)
from fundus_helpers.series.registering import Registration

PROJECT = Path(__file__).parents[2]
TEMPLATE = 1
ERROR = "landmark_error_px"


@pytest.fixture(scope="module")
def few(eye):
    """Return the demo eye with its first four visits only."""
    visits = eye.visits[eye.visits["visit"].isin(eye.names[:4])].reset_index(drop=True)
    return replace(eye, visits=visits, images=eye.images[:4], masks=eye.masks[:4])


@pytest.fixture(scope="module")
def found(few, demo):
    """Return three methods: true, wrong or giving up, and one that tries a single visit."""
    truth, files = read_truth(demo / "demo_colour"), few.used["file"]
    true = [true_transform(truth, files[TEMPLATE], file) for file in files]
    off = transforms.from_matrix([[1, 0, 40], [0, 1, 0]])

    def registration(i, transform, reason=""):
        return Registration(few.names[i], transform, reason, 0.1 * i)

    return {
        "true": [registration(i, true[i]) for i in range(4)],
        "wrong": [registration(i, off) for i in range(3)] + [registration(3, None, "too dark")],
        "rare": [None, registration(1, true[1]), registration(2, true[2]), None],
    }


@pytest.fixture(scope="module")
def measured(few, found):
    """Return what is measured before, and after each method."""
    before = measure_visits(few, TEMPLATE, shown=False)
    after = {
        name: measure_visits(few, TEMPLATE, [r and r.transform for r in each], shown=False)
        for name, each in found.items()
    }
    return before, after


@pytest.fixture(scope="module")
def records(few, found, measured):
    return outcome_records(few, TEMPLATE, found, *measured, jobs=1)


@pytest.fixture
def results(tmp_path, few, records):
    """Return a folder of results: two notebooks of one eye, one of another."""
    rigid = [row for row in records if row["method"] != "rare"]
    rare = [row for row in records if row["method"] == "rare"]
    for patient, notebook, outcomes in (
        ("a", "03_rigid", rigid),
        ("a", "12_own", rare),
        ("b", "03_rigid", rigid[:1]),
    ):
        folder = make_folder(tmp_path, patient, "L", notebook)
        save_metrics(folder, replace(few, patient=patient), {}, {"outcomes": outcomes})
    save_metrics(make_folder(tmp_path, "a", "L", "02_template_selection"), few, {}, {})
    return tmp_path


def test_there_is_one_outcome_for_every_method_and_visit_that_was_tried(few, records):
    names = few.names
    told = [(row["method"], row["visit"]) for row in records]
    others = [name for name in names if name != names[TEMPLATE]]
    assert told == [(m, v) for m in ("true", "wrong") for v in others] + [("rare", names[2])]
    assert {row["template"] for row in records} == {names[TEMPLATE]}


def test_an_outcome_has_the_numbers_that_were_measured_and_its_own_verdict(
    few, found, measured, records
):
    before, after = measured
    alone = judge_visits(few, TEMPLATE, [r.transform for r in found["true"]], jobs=1)
    for row in records:
        frame = after[row["method"]].loc[row["visit"]]
        for name, column in (("ncc", "ncc"), ("landmark_error_px", ERROR)):
            assert np.array_equal(row[name], frame[column], equal_nan=True)
        assert row["landmark_error_before_px"] == before.loc[row["visit"], ERROR]
        if row["method"] == "true":
            i = few.index(row["visit"])
            assert row["verdict"] == alone[i].status == "accepted"
            assert (
                row["predicted_error_px"] == alone[i].summary(few.full_factor)["predicted_error_px"]
            )
            assert row["seconds"] == 0.1 * i and row["failure"] == ""


def test_what_is_wrong_fails_with_its_reason(few, records):
    wrong = {row["visit"]: row for row in records if row["method"] == "wrong"}
    refused = wrong.pop(few.names[3])
    assert refused["verdict"] == "failed" and refused["failure"] == "too dark"
    assert refused["reasons"] == ["too dark"] and np.isnan(refused["landmark_error_px"])
    assert refused["landmark_error_before_px"] > 0
    for row in wrong.values():
        assert row["verdict"] == "failed" and "keypoints agree" in row["reasons"][0]
        assert row["predicted_error_px"] is None and row["landmark_error_px"] > 20


def test_what_is_judged_already_is_not_judged_again(few, found, measured):
    given = {"wrong": [Verdict("doubtful", ("as given",))] * 4}
    records = outcome_records(few, TEMPLATE, found, *measured, verdicts=given, jobs=1)
    said = {row["method"]: row["reasons"] for row in records}
    assert said["wrong"] == ["as given"] and said["true"] == []


def test_outcomes_of_every_eye_and_notebook_are_read_back(results, records):
    table = read_outcomes(results)
    assert table.groupby(["patient", "laterality", "notebook"]).size().to_dict() == {
        ("a", "L", "03_rigid"): 6,
        ("a", "L", "12_own"): 1,
        ("b", "L", "03_rigid"): 1,
    }
    assert table["reasons"].tolist()[0] == records[0]["reasons"]
    first = table.iloc[0]
    for name in ("landmark_error_px", "predicted_error_px", "ssim", "seconds", "visit"):
        assert first[name] == records[0][name]
    assert np.isnan(table["predicted_error_px"][3])  # null in the file
    assert set(read_outcomes(results, ["b_L"])["patient"]) == {"b"}


def test_demo_eyes_are_no_witnesses_unless_they_are_named(results):
    (results / "b_L").rename(results / "demo_colour_L")
    assert set(read_outcomes(results)["patient"]) == {"a"}
    assert len(read_outcomes(results, ["demo_colour_L"])) == 1


def test_eyes_that_are_not_of_the_data_folder_are_left_out(results, tmp_path):
    (tmp_path / "data" / "b").mkdir(parents=True)
    (tmp_path / "data" / "b" / "b_2020-01-01_L.png").touch()
    assert set(read_outcomes(results, data=tmp_path / "data")["patient"]) == {"b"}


def test_what_was_made_of_other_photographs_than_the_last_run_is_left_out(results):
    def made_of(content, notebook, seconds):
        path = results / "a_L" / notebook / "metrics.json"
        metrics = json.loads(path.read_text())
        metrics["provenance"]["sha256"] = content
        path.write_text(json.dumps(metrics))
        os.utime(path, (seconds, seconds))

    made_of({"a_2020-01-01_L.png": "1", "a_2021-01-01_L.png": "2"}, "03_rigid", 3e9)
    made_of({"a_2020-01-01_L.png": "1"}, "12_own", 3.1e9)
    assert set(read_outcomes(results, ["a_L"])["notebook"]) == {"12_own"}
    made_of({"a_2020-01-01_L.png": "1"}, "03_rigid", 3e9)
    assert set(read_outcomes(results, ["a_L"])["notebook"]) == {"03_rigid", "12_own"}


def test_eyes_without_outcomes_are_named_with_what_to_run(results, tmp_path):
    with pytest.raises(FileNotFoundError, match="no outcomes of c_L: run.*03_rigid"):
        read_outcomes(results, ["a_L", "c_L"], notebooks=PROJECT / "notebooks")
    with pytest.raises(FileNotFoundError, match="no outcomes of any eye"):
        read_outcomes(tmp_path / "empty")


def test_numbers_of_an_earlier_version_are_not_passed_over(results):
    path = results / "b_L" / "03_rigid" / "metrics.json"
    metrics = json.loads(path.read_text())
    del metrics["version"]
    path.write_text(json.dumps(metrics))
    with pytest.raises(ValueError, match=r"03_rigid \(b_L\): written by another version.*again"):
        read_outcomes(results)


def test_only_folders_named_like_numbered_notebooks_are_read(results, few, records):
    expected = read_outcomes(results)
    for name in ("study", "3_rigid", "own_03"):
        folder = make_folder(results, "a", "L", name)
        save_metrics(folder, replace(few, patient="a"), {}, {"outcomes": records})
    pd.testing.assert_frame_equal(read_outcomes(results), expected)
    alone = make_folder(results, "c", "L", "study")
    save_metrics(alone, replace(few, patient="c"), {}, {"outcomes": records})
    assert set(read_outcomes(results)["patient"]) == {"a", "b"}
    with pytest.raises(FileNotFoundError, match="no outcomes of c_L"):
        read_outcomes(results, ["c_L"])


def test_two_notebooks_that_call_a_method_alike_are_both_named(results, few, records):
    true = [row for row in records if row["method"] == "true"]

    def save(rows):
        folder = make_folder(results, "a", "L", "13_twice")
        save_metrics(folder, replace(few, patient="a"), {}, {"outcomes": rows})

    save(true[:1])
    for read in (read_outcomes, lambda folder: read_outcomes(folder, ["a_L"])):
        with pytest.raises(ValueError, match="a_L: 03_rigid and 13_twice.*'true'.*label"):
            read(results)
    # The same visit on another template, or the same method under a label of its own, is no clash.
    save([true[0] | {"template": few.names[3]}, true[0] | {"method": "true, again"}])
    assert len(read_outcomes(results, ["a_L"])) == 9


def test_verdicts_are_counted_for_every_method(records):
    counts = count_verdicts(records)
    assert counts.columns.tolist() == ["accepted", "doubtful", "failed"]
    assert counts.loc["true"].tolist() == [3, 0, 0]
    assert counts.loc["wrong"].tolist() == [0, 0, 3]
    assert counts.loc["rare"].sum() == 1


def test_the_table_of_the_methods_has_every_measure_inside_the_overlap(results, monkeypatch):
    told = read_outcomes(results)
    table = method_table(told)
    counts = ["accepted", "doubtful", "failed"]
    computed = [key for key, each in MEASURES.items() if each.function]
    inside = [key for key in computed if not key.endswith("_whole_image") and key != ERROR]
    assert {"ncc", "ssim", "overlap", "folding"} <= {*inside}
    assert table.columns.tolist() == [*counts, ERROR, "predicted_error_px", *inside, "seconds"]
    both = [told[told["patient"] == eye] for eye in "ab"]
    means = [each[each["method"] == "true"]["ncc"].mean() for each in both]
    assert table.loc["true", "ncc"] == np.median(means)
    # A new measure is in the table without a change of the table; one without values is not.
    new = {key: Measure(key, "new", "", "lower", overlap_share) for key in ("new", "unknown")}
    monkeypatch.setattr(outcomes_module, "MEASURES", {**new, **MEASURES})
    table = method_table(told.assign(new=range(len(told))))
    assert table.columns.tolist()[5:7] == ["new", inside[0]] and "unknown" not in table
    few = told.drop(columns=[*{*inside} - {"ncc"}])
    assert method_table(few).columns.tolist()[5:] == ["ncc", "seconds"]


def test_a_refused_visit_counts_as_it_was_photographed(results, few, records):
    errors = error_table(read_outcomes(results))
    assert errors.columns.tolist() == [NOTHING, "true", "wrong", "rare"]
    row = errors.loc["a_L", few.names[TEMPLATE], few.names[3]]
    assert row["wrong"] == row[NOTHING] > row["true"]
    assert np.isnan(row["rare"])  # it was not tried
    assert len(errors) == 4 and errors.index.get_level_values("eye").tolist() == ["a_L"] * 3 + [
        "b_L"
    ]


def test_a_refused_visit_is_left_out_where_only_registered_ones_are_asked_for(results, few):
    table = read_outcomes(results)
    every, registered = (error_table(table, registered=only) for only in (False, True))
    assert np.isnan(registered.loc["a_L", few.names[TEMPLATE], few.names[3]]["wrong"])
    same = registered.drop(columns="wrong")
    pd.testing.assert_frame_equal(same, every.drop(columns="wrong"))


def test_visits_without_landmarks_have_predicted_errors_only(results):
    table = read_outcomes(results)
    table.loc[table["patient"] == "b", ["landmark_error_before_px", "landmark_error_px"]] = np.nan
    assert set(error_table(table).index.get_level_values("eye")) == {"a_L"}
    predicted = error_table(table, "predicted_error_px")
    assert set(predicted.index.get_level_values("eye")) == {"a_L", "b_L"}
    assert "wrong" not in predicted or predicted["wrong"].isna().all()
    assert NOTHING not in predicted and isinstance(predicted, pd.DataFrame)


def test_the_method_to_take_has_most_visits_accepted_and_then_the_least_error_predicted():
    row = {"patient": "a", "laterality": "L", "landmark_error_before_px": np.nan}
    row |= {"landmark_error_px": np.nan, "ncc": 1.0, "ssim": 1.0, "folding": 0.0, "seconds": 1.0}
    row |= {"template": "first"}
    rows = [
        row | {"method": method, "visit": visit, "verdict": verdict, "predicted_error_px": error}
        for method, verdicts, error in (
            ("rigid", ("accepted", "failed"), 0.1),
            ("affine", ("accepted", "accepted"), 0.9),
            ("keypoints", ("accepted", "accepted"), 0.5),
        )
        for visit, verdict in zip("bc", verdicts, strict=True)
    ]
    assert best_method(pd.DataFrame(rows)) == "keypoints"
    assert best_method(pd.DataFrame(rows[:4])) == "affine"
