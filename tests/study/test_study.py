"""An eye under study: what is registered is measured, judged, told and saved under one name."""

import json

import numpy as np
import pytest

import fundus_helpers as fh
from fundus_helpers.metrics.measures import MEASURES
from fundus_helpers.results.metrics_file import read_metrics_file

KNOBS = {"iterations": 20}


@pytest.fixture(scope="module")
def study(demo, tmp_path_factory):
    """Return a study of the demo eye: two methods tried, one of them on three visits."""
    results = tmp_path_factory.mktemp("results")
    study = fh.Study(demo, "demo_colour", "L", results=results, notebook="03_own", size=128)
    study.register("similarity", **KNOBS)
    study.register("translation", label="few", visits=[1, 2, 5], **KNOBS)
    return study


def test_a_study_takes_the_template_that_was_asked_for(demo, tmp_path):
    last = fh.Study(demo, "demo_colour", "L", template="last", results=tmp_path, size=64)
    assert last.template == len(last.eye.names) - 1 and last.template not in last.others
    assert last.eye.names[last.template] in repr(last)
    fh.results.save_metrics(
        fh.results.make_folder(tmp_path, "demo_colour", "L", "02_template_selection"),
        last.eye,
        {},
        {"template": last.eye.names[3]},
    )
    selected = fh.Study(demo, "demo_colour", "L", template="selected", results=tmp_path, size=64)
    assert selected.template == 3


def test_visits_are_ordered_by_their_distance(study):
    errors = study.before["landmark_error_px"].to_numpy()
    order = [study.before["landmark_error_px"][study.eye.names[i]] for i in study.by_distance]
    assert study.has_landmarks and order == sorted(errors[np.isfinite(errors)])
    assert study.farthest == study.by_distance[-1]


def test_the_table_has_one_row_for_each_method_and_visit_and_one_name_for_each_number(study):
    table = study.table()
    tried = table.groupby("method", sort=False)["visit"].apply(list)
    others = [study.eye.names[i] for i in study.others]
    assert tried["similarity"] == others
    assert tried["few"] == [study.eye.names[i] for i in (1, 2, 5)]
    words = {"method", "visit", "template", "verdict", "reasons", "failure"}
    assert set(table) - words <= set(MEASURES)


def test_what_the_table_tells_is_what_is_measured(study):
    table, measured = study.table().set_index(["method", "visit"]), study.measured("few")
    for visit, row in measured.iterrows():
        told = table.loc[("few", visit), row.index].astype(float)
        found = study.registrations["few"][study.eye.index(visit)]
        for same in (told, study.measure(found)):
            np.testing.assert_array_equal(same, row)


def test_registration_halves_the_error_and_the_best_possible_is_a_floor(study):
    means = study.means(["similarity"], least={"similarity": "similarity"})
    nothing, ours = means["landmark_error_px"]
    assert ours < nothing / 2
    assert means.loc["similarity", "best_possible_error_px"] < ours
    assert means.loc["similarity", "failed"] == len(study.failures("similarity"))


def test_what_is_registered_again_is_measured_and_judged_again(study):
    study.add("own", [fh.transforms.identity()] * len(study.eye.names))
    first = study.table(["own"])
    assert np.allclose(
        first["landmark_error_px"], first["landmark_error_before_px"], equal_nan=True
    )
    study.add("own", study.registrations["similarity"])
    again = study.table(["own"])["landmark_error_px"].to_numpy()
    assert np.array_equal(again, study.measured("similarity")["landmark_error_px"], equal_nan=True)
    del study.registrations["own"]


def test_a_step_changes_one_setting_and_keeps_those_before(study):
    steps = {"raw": {"normalise": False, **KNOBS}, "+ light": {"inside": True, "normalise": True}}
    table, found = study.step_by_step("translation", steps, study.by_distance[0])
    assert table.index.tolist() == ["nothing done", "raw", "+ light"] == ["nothing done", *found]
    assert table.loc["nothing done", "landmark_error_px"] > 0


def test_what_is_saved_is_read_back(study):
    path = study.save("similarity", {"size": 128}, answer=42)
    metrics = read_metrics_file(path)
    assert metrics == json.loads(path.read_text())
    assert metrics["notebook"] == "03_own" and metrics["findings"] == {"answer": 42}
    assert set(metrics["failed"]) == set(study.failures("similarity"))
    assert len(metrics["outcomes"]) == len(study.table())
    done = [name for name, each in metrics["after"].items() if each["ncc"] is not None]
    saved = {file.stem for file in (study.folder / "registered").iterdir()}
    assert saved == {*done, study.eye.names[study.template]}
    told = fh.results.read_outcomes(study.results, ["demo_colour_L"])
    assert told["method"].tolist() == study.table()["method"].tolist()


def test_visits_that_were_not_tried_are_left_out(study, demo, tmp_path):
    names, tried = study.eye.names, (1, 2, 5)
    verdicts = study.judge("few")
    assert [i for i, verdict in enumerate(verdicts) if verdict is not None] == [*tried]
    judged = fh.series.verdict_table(study.eye, verdicts)
    assert judged.index.tolist() == [names[i] for i in tried]
    told = study.table(["few"])
    assert judged["verdict"].tolist() == told["verdict"].tolist()
    assert {*study.failures("few")} <= {*judged.index}
    last = len(names) - 1
    for show in (study.show, study.flicker):
        assert show("few", visit=1) is not None
        with pytest.raises(
            ValueError, match=f"visit {names[last]} was not registered by few; call"
        ):
            show("few", visit=last)
    own = fh.Study(demo, "demo_colour", "L", results=tmp_path, notebook="03_few", size=64, jobs=1)
    found = own.register("translation", visits=tried)
    metrics = read_metrics_file(own.save("translation"))
    done = {names[i] for i in tried if found[i].transform is not None}
    assert done and {file.stem for file in (own.folder / "registered").iterdir()} == done
    assert {file.stem for file in (own.folder / "transforms").iterdir()} == done
    assert {*metrics["after"]} == {row["visit"] for row in metrics["outcomes"]} == {*judged.index}
    assert {*metrics["failed"]} == {*judged.index} - done
    read_metrics_file(own.save(found, frame="one's own"))


def test_a_name_under_which_nothing_was_registered_is_named(study):
    functions = [study.show, study.flicker, study.save, study.measured, study.before_after]
    functions += [study.judge, study.failures, study.show_failures, study.best_and_worst]
    takes_several = [study.table, study.means, study.show_errors]
    message = r"no method 'few visits' has been registered in this study; there are \['simil.*'few'"
    for function in functions:
        with pytest.raises(ValueError, match=message):
            function("few visits")
    for function in takes_several:
        with pytest.raises(ValueError, match=message):
            function(["similarity", "few visits"])


def test_an_empty_study_has_no_table_but_can_be_saved(demo, tmp_path):
    study = fh.Study(demo, "demo_colour", "L", results=tmp_path, size=64, jobs=1)
    for table in (study.table, study.verdicts):
        with pytest.raises(
            ValueError, match="nothing has been registered yet; call study.register"
        ):
            table()
    assert read_metrics_file(study.save([None] * len(study.eye.names)))["outcomes"] == []


def test_unknown_methods_and_mistyped_knobs_are_named_before_anything_is_registered(study):
    registered = [*study.registrations]
    for visits in (None, [1]):
        with pytest.raises(ValueError, match="no method 'keypoint'; there are .*'keypoints'"):
            study.register("keypoint", visits=visits)
        with pytest.raises(ValueError, match="no knob 'smoothnes'; there are .*'smoothness'"):
            study.register("optical_flow_dis", visits=visits, smoothnes=3)
    with pytest.raises(ValueError, match="no knob 'smoothnes'"):
        study.step_by_step("optical_flow_dis", {"typo": {"smoothnes": 3}}, 1)
    assert [*study.registrations] == registered


def test_a_study_saves_its_size_and_its_knobs_unless_parameters_are_given(demo, tmp_path):
    def method(fixed, moving, *, fixed_mask=None, moving_mask=None, place=None, sides=()):
        return fh.transforms.identity()

    study = fh.Study(demo, "demo_colour", "L", results=tmp_path, size=64, jobs=1)
    study.register("translation", label="few", visits=[1], **KNOBS)
    study.register(method, label="own", place=tmp_path, sides=(1, 2))
    study.register("translation", label="again", visits=[1], **KNOBS)
    study.add("again", study.registrations["few"])  # by knobs that the study does not know
    saved = read_metrics_file(study.save("few"))["provenance"]["parameters"]
    own = {"place": str(tmp_path), "sides": [1, 2]}
    assert saved == {"size": 64, "methods": {"few": KNOBS, "own": own}}
    given = {"size": 3}
    assert read_metrics_file(study.save("few", given))["provenance"]["parameters"] == given


def test_a_smaller_study_keeps_what_was_measured_before(study):
    smaller = study.at_size(96)
    assert max(smaller.eye.images.shape[1:]) == 96
    assert smaller.before is study.before and smaller.folder == study.folder


def test_figures_and_tables_can_be_drawn(study):
    for draw in (study.show, study.flicker, study.best_and_worst, study.before_after):
        assert draw("similarity") is not None
    assert study.look().get_axes() and study.show_errors(["similarity"]).get_axes()
    failed = next(iter(study.failures("similarity")))
    assert failed in study.show("similarity", visit=study.eye.index(failed))
    assert failed in study.show_failures("similarity").to_html()
