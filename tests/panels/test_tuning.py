"""Sliders register anew, the last move wins, errors are told, and what is saved is taken."""

import json
import os
import re
import threading
import time
import warnings
from typing import Annotated

import cv2
import numpy as np
import pandas as pd
import pytest
from annotated_types import Interval

from fundus_helpers import transforms
from fundus_helpers.methods import METHODS
from fundus_helpers.methods.cache import MOST, remembering
from fundus_helpers.methods.knobs import ImageUnit, read_knobs
from fundus_helpers.panels import preview, tuning
from fundus_helpers.panels._worker import Worker
from fundus_helpers.panels.panel import Sliders
from fundus_helpers.panels.swipe import VIEWS, Comparison
from fundus_helpers.panels.tuning import Tuner
from fundus_helpers.results.tuned import (
    read_tuned,
    save_tuned,
    tuned_knobs,
    tuned_parameter,
    tuned_path,
)
from fundus_helpers.study import Study
from fundus_helpers.transforms.transform import RegistrationError


@pytest.fixture
def tuner(eye, tmp_path):
    """Return a function: a panel on the demo eye's farthest visit, its first preview done.

    It is given names of methods, or one mapping of methods by name.
    """

    def make(*names, **knobs):
        methods = names if isinstance(names[0], str) else names[0]
        made = Tuner(
            eye, 0, methods, tmp_path, moving=len(eye.names) - 1, preview_size=128, knobs=knobs
        )
        made.finish()
        return made

    return make


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def numbers(tuner):
    return tuner.panel.numbers.value


def verdicts(tuner):
    return tuner.panel.verdicts.value


def move(tuner, name, value):
    widget = tuner.panel.sliders.widgets[name]
    stops = [stop for _, stop in widget.options]
    widget.value = min(stops, key=lambda stop: abs(stop - value))


# Preview


@pytest.mark.parametrize(
    "name, knobs",
    [
        ("affine", {}),
        ("affine", {"learning_rate": 3.0}),
        ("optical_flow_dis", {"patch_size": 24}),
        ("optical_flow_ilk", {"radius": 24}),
        ("keypoints", {}),
    ],
)
def test_a_preview_finds_nearly_what_the_full_size_finds(eye, name, knobs):
    moving = len(eye.names) - 1
    pair = preview.shrink_pair(eye, 0, moving, 128)
    small = preview.preview_pair(METHODS[name], pair, knobs)
    assert small.reason == ""
    images = eye.images[0], eye.images[moving]
    masks = {"fixed_mask": eye.masks[0], "moving_mask": eye.masks[moving]}
    full = METHODS[name](*images, **masks, **knobs)
    fields = [
        transforms.displacement(found, eye.images[0].shape)[eye.masks[0] & eye.masks[moving]]
        for found in (small.transform, full)
    ]
    assert np.linalg.norm(np.subtract(*fields), axis=1).mean() < 1.0
    assert np.linalg.norm(fields[1], axis=1).mean() > 3


@pytest.mark.parametrize(
    "seconds, expected",
    [
        (lambda size: 0.05, 384),  # quick at any size
        (lambda size: 0.09 * (size / 192) ** 2, 192),  # up to here
        (lambda size: 1.5 + size / 1e4, 384),  # slow at any size
        (lambda size: 1.5 * size**2 / 160**2, 160),  # slow, and slower on larger images
    ],
)
def test_previews_are_as_large_as_they_may_be_to_be_quick(eye, monkeypatch, seconds, expected):
    monkeypatch.setattr(preview, "shrink_pair", lambda *arguments: arguments[-1])
    monkeypatch.setattr(preview, "_seconds", lambda _, size: seconds(size))
    assert preview.quick_enough(METHODS["affine"], eye, 0, 1) == expected


def test_knobs_in_pixels_mean_in_a_preview_what_they_mean_at_full_size(eye):
    taken = {}

    def method(
        fixed,
        moving,
        *,
        fixed_mask,
        moving_mask,
        radius: Annotated[int, Interval(ge=1, le=60), ImageUnit("px")] = 12,
        blur: Annotated[float, Interval(ge=0, le=50)] = 6.0,
    ):
        """Take knobs.

        Parameters
        ----------
        radius : int
            In pixels of the image.
        blur : float
            In pixels of an image of 768.
        """
        taken.update(radius=radius, blur=blur, size=max(fixed.shape))
        return transforms.identity()

    pair = preview.shrink_pair(eye, 0, 1, 96)
    preview.preview_pair(method, pair, {"radius": 12, "blur": 5.0})
    assert taken == {"radius": 12 * 96 // 192, "blur": 5.0, "size": 96}


def test_numbers_of_a_preview_are_in_pixels_of_the_photographs(eye):
    pair = preview.shrink_pair(eye, 0, len(eye.names) - 1, 96)
    judged = preview.measure_pair(pair, transforms.identity())
    fixed, moving = eye.landmarks_between(0, len(eye.names) - 1)
    expected = np.linalg.norm(fixed - moving, axis=1).mean() * eye.full_factor
    assert judged["landmark_error_px"] == pytest.approx(expected, rel=0.01)
    assert list(judged.index) == list(preview.SHOWN_MEASURES)


def test_landmarks_decide_what_is_better_and_vessels_where_there_are_none(eye):
    pair = preview.shrink_pair(eye, 0, 1, 96)
    one = preview.measure_pair(pair, transforms.identity())
    fewer = one.copy()
    fewer["landmark_error_px"], fewer["vessel_correlation"] = 0.1, 0.0
    assert preview.is_better(fewer, one) and not preview.is_better(one, fewer)
    unknown = [numbers.drop("landmark_error_px") for numbers in (one, fewer)]
    unknown = [n.reindex(one.index) for n in unknown]
    assert preview.is_better(*unknown) and not preview.is_better(unknown[1], unknown[0])
    assert not preview.is_better(one * np.nan, one)  # a refused one is never the best


@pytest.mark.parametrize("name", ["affine", "optical_flow_dis", "elastix_affine", "keypoints"])
def test_what_a_preview_remembers_changes_nothing(eye, name):
    pair = preview.shrink_pair(eye, 0, len(eye.names) - 1, 96)
    known = read_knobs(METHODS[name])
    images = pair.images.fixed, pair.images.moving
    masks = {"fixed_mask": pair.images.fixed_mask, "moving_mask": pair.images.moving_mask}
    name_of_one, one = next((k, knob) for k, knob in known.items() if knob.unit)
    moved = {name_of_one: one.stops()[one.stops().index(one.default) + 1]}
    for knobs in ({}, moved, {}):  # with and without answers of the one before
        found = []
        for answers in (pair.answers, {}):
            with remembering(answers):
                try:
                    transform = METHODS[name](*images, **masks, **knobs)
                    found.append(transforms.displacement(transform, images[0].shape))
                except RegistrationError as error:
                    found.append(str(error))
        assert np.array_equal(*found)
    assert 0 < len(pair.answers) <= MOST


# The last of several moves wins


def test_of_tasks_asked_for_meanwhile_only_the_last_is_done():
    started, release, done = threading.Event(), threading.Event(), []
    worker = Worker(done.append)

    def first():
        started.set()
        release.wait(5)
        done.append("first")

    worker.ask(first)
    assert started.wait(5)
    for number in range(20):
        worker.ask(lambda number=number: done.append(number))
    assert worker.is_waiting()
    release.set()
    worker.finish()
    assert done == ["first", 19]


def test_a_failed_task_is_told_raised_and_does_not_stop_the_next():
    told, done = [], []
    worker = Worker(told.append)
    worker.ask(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        worker.finish()
    assert [type(error) for error in told] == [ZeroDivisionError]
    worker.ask(lambda: done.append("next"))
    worker.finish()
    assert done == ["next"]


def test_a_patient_worker_begins_when_nothing_has_been_asked_for_a_while():
    done, worker = [], Worker(lambda _: None, patience=0.3)
    for number in range(4):
        worker.ask(lambda number=number: done.append(number))
        time.sleep(0.05)
    assert done == []
    worker.finish()
    assert done == [3]


def test_asking_does_not_wait_for_the_work():
    release = threading.Event()
    worker = Worker(lambda _: None)
    begin = time.perf_counter()
    worker.ask(lambda: release.wait(5))
    assert time.perf_counter() - begin < 1
    release.set()
    worker.finish()


# The panel


def test_every_knob_of_every_method_gets_a_widget_that_can_be_turned():
    for name, method in METHODS.items():
        sliders = Sliders(method, {}, lambda: None)
        assert list(sliders.widgets) == list(read_knobs(method)), name
        assert sliders.values == {n: knob.default for n, knob in read_knobs(method).items()}
        assert all(widget.tooltip for widget in sliders.widgets.values())


def test_sliders_tell_once_of_many_knobs_turned_together():
    told = []
    sliders = Sliders(METHODS["affine"], {}, lambda: told.append(sliders.values))
    sliders.turn({"learning_rate": 1.234, "iterations": 77})
    assert len(told) == 1
    assert (told[0]["learning_rate"], told[0]["iterations"]) == (1.234, 77)


def test_a_move_changes_picture_and_numbers(tuner):
    made = tuner("optical_flow_dis")
    before = numbers(made), made.panel.picture.second, made.panel.picture.first
    assert "fundus-done" in made.panel.status.value
    move(made, "smoothness", 50)
    assert "fundus-busy" in made.panel.status.value
    made.finish()
    assert numbers(made) != before[0] and made.panel.picture.second != before[1]
    assert made.panel.picture.first == before[2]  # what was before stays
    assert "fundus-done" in made.panel.status.value


def test_numbers_are_shown_with_their_labels_and_units(tuner):
    made = tuner("translation")
    for title in ("landmark error (px)", "vessel correlation", "overlap (%)"):
        assert f"<th>{title}</th>" in numbers(made)
    share = float(
        re.search(
            r"now</th>.*?<td>([0-9.]+)</td>\s*<td>[0-9.]+</td>\s*</tr>", numbers(made), re.DOTALL
        )[1]
    )
    assert 50 < share <= 100
    assert "<th>predicted error (px)</th>" in verdicts(made)


def test_what_is_said_is_text_and_never_html(tuner):
    panel = tuner("translation").panel
    panel.tell("error", "<b> & 'a'")
    assert "&lt;b&gt; &amp; &#39;a&#39;</p>" in panel.status.value
    panel.tabulate({"now": pd.Series({"ssim": 0.5})}, "<b>")
    assert '<p class="fundus-note">&lt;b&gt;</p>' in panel.numbers.value
    assert "<td>0.5</td>" in panel.numbers.value


def test_the_best_is_remembered_and_found_again(tuner):
    made = tuner("affine")
    good = made.panel.sliders.values
    assert "Best so far with all knobs at their defaults" in numbers(made)
    move(made, "iterations", 1)
    made.finish()
    assert made.panel.sliders.values != good
    made.panel.best.click()
    made.finish()
    assert made.panel.sliders.values == good
    made.panel.sliders.turn({"iterations": 50})
    made.panel.defaults.click()
    made.finish()
    assert made.panel.sliders.values["iterations"] == 100


def test_another_visit_and_another_method_are_shown(tuner, eye):
    made = tuner("translation", "affine")
    seen = {numbers(made)}
    made.panel.visit.value = 1
    made.finish()
    seen.add(numbers(made))
    made.panel.method.value = "affine"
    made.finish()
    seen.add(numbers(made))
    assert len(seen) == 3


def test_a_method_changed_while_another_is_at_work_is_the_one_shown(tuner):
    made = tuner("affine", "optical_flow_dis")
    move(made, "iterations", 1)
    made.panel.method.value = "optical_flow_dis"
    made.panel.best.click()
    made.panel.visit.value = 1
    made.finish()
    assert set(made.panel.sliders.values) == set(read_knobs(METHODS["optical_flow_dis"]))
    fresh = tuner("optical_flow_dis")
    fresh.panel.visit.value = 1
    fresh.finish()
    assert numbers(made) == numbers(fresh)


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_says_what_its_colours_mean(tuner, view):
    made = tuner("translation")
    made.panel.view.value = view
    made.finish()
    picture = made.panel.picture
    assert picture.first[:2] == picture.second[:2] == b"\xff\xd8"  # JPEG
    assert len(picture.caption.split()) > 5 and all(picture.labels)
    assert picture.mode == (view.split()[0] if view.startswith(("swipe", "flicker")) else "side")
    if view.startswith(("overlay", "swipe before")):
        assert "orange" in picture.caption and "blue" in picture.caption


def test_the_grey_difference_needs_no_colours_and_is_flat_where_both_agree(eye):
    picture = Comparison()
    image = eye.images[0]
    picture.show("grey difference", image, eye.images[-1], image)
    before, after = (
        cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        for data in (picture.first, picture.second)
    )
    assert before.ndim == after.ndim == 2
    assert after.std() < 1 and before.std() > 5


def test_the_picture_before_is_that_of_the_visit_shown(tuner, eye):
    made = tuner("translation")
    seen = []
    for visit in (1, 2, 1):
        made.panel.visit.value = visit
        made.finish()
        seen.append(made.panel.picture.first)
    assert seen[0] == seen[2] != seen[1]


def test_an_unknown_view_is_named(eye):
    with pytest.raises(ValueError, match="view 'magic' is not one of .*'swipe'"):
        Comparison().show("magic", *[eye.images[0]] * 3)


def moves_by(
    fixed,
    moving,
    *,
    fixed_mask=None,
    moving_mask=None,
    shift: Annotated[int, Interval(ge=0, le=20)] = 0,
):
    """Move by so many pixels, up to ten.

    Parameters
    ----------
    shift : int
        Pixels of the images given.
    """
    if shift > 10:
        raise RegistrationError(f"{shift} px are too many")
    return transforms.from_matrix([[1, 0, shift], [0, 1, 0]])


def test_any_function_of_the_contract_gets_its_sliders_and_is_saved_by_its_name(tuner):
    made = tuner({"by hand": moves_by})
    assert made.panel.method.options == ("by hand",)
    assert list(made.panel.sliders.values) == ["shift"]
    move(made, "shift", 3)
    made.panel.save.click()
    made.finish()
    assert tuner({"by hand": moves_by}).panel.sliders.values == {"shift": 3}


def test_a_refused_registration_is_said_in_words_and_shows_no_picture_after(tuner):
    made = tuner({"by hand": moves_by})
    move(made, "shift", 15)
    made.finish()
    assert "refused: 15 px are too many" in made.panel.status.value
    assert "fundus-refused" in made.panel.status.value
    picture = made.panel.picture
    assert picture.first and picture.second == b"" and "failed" in picture.labels[1]
    assert numbers(made) and "nan" not in numbers(made)
    assert "failed" in verdicts(made) and "15 px are too many" in verdicts(made)


# The verdict


def test_a_good_registration_is_accepted_and_a_bad_one_is_not(tuner):
    made = tuner("optical_flow_dis", "affine")
    assert "accepted" in verdicts(made) or "doubtful" in verdicts(made)
    error = float(re.search(r"<td>([0-9.]+)</td>", verdicts(made))[1])
    assert 0 < error < 5
    wrong = tuner({"by hand": moves_by}, shift=10)
    assert "failed" in verdicts(wrong) and "keypoints agree" in verdicts(wrong)


def test_a_verdict_waits_until_nothing_moves_and_is_that_of_the_last_move(tuner, monkeypatch):
    made, judged = tuner({"by hand": moves_by}), []
    monkeypatch.setattr(made, "_judge", lambda visit, outcome: judged.append(outcome))
    for shift in (1, 2, 3):
        move(made, "shift", shift)
        made.previews.finish()  # the picture is there, the verdict is not
        assert judged == [] and verdicts(made) == ""
    made.finish()
    assert len(judged) == 1
    at = transforms.map_points(judged[0].transform, [[0, 0]])
    assert at[0, 0] == pytest.approx(3 * 192 / 128, abs=0.5)  # the last move's


def test_an_error_in_a_callback_is_said_in_words_and_fails_a_test(tuner, monkeypatch):
    made = tuner("translation")

    def broken(*_, **__):
        raise RuntimeError("the lens cap is on")

    monkeypatch.setattr(preview, "preview_pair", broken)
    move(made, "iterations", 5)
    with pytest.raises(RuntimeError, match="lens cap"):
        made.finish()
    assert "fundus-error" in made.panel.status.value
    assert "RuntimeError: the lens cap is on" in made.panel.status.value


def test_every_visit_is_registered_at_full_size_with_a_bar(tuner, eye):
    made = tuner("translation")
    made.panel.run_all.click()
    assert made.panel.run_all.description == "Stop" and made.panel.visit.disabled
    made.finish()
    count = len(eye.names) - 1
    assert f"Mean over {count} visits at full size (192 px)" in numbers(made)
    assert verdicts(made).count("<tr>") == count  # and a head
    assert all(f"<th>{label}</th>" in verdicts(made) for label, _ in made.panel.visit.options)
    assert "no transform and no photograph was saved" in made.panel.status.value
    assert made.panel.run_all.description != "Stop" and not made.panel.visit.disabled


def test_a_run_of_every_visit_can_be_stopped(tuner, eye):
    made = tuner("elastix_bspline")  # slow enough to be stopped in the middle
    made.panel.run_all.click()
    until(lambda: made.panel.bar.value > 0)
    made.panel.run_all.click()
    assert "stopping" in made.panel.status.value
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made.finish()
    (count,) = re.findall(r"Mean over (\d+) visits", numbers(made))
    assert 0 < int(count) < len(eye.names) - 1
    assert not made.panel.visit.disabled


def test_a_move_that_arrives_late_does_not_take_the_place_of_a_run(tuner, monkeypatch):
    made, go_on, register = tuner("translation"), threading.Event(), preview.preview_pair

    def slowly(*arguments):
        go_on.wait(30)
        return register(*arguments)

    monkeypatch.setattr(preview, "preview_pair", slowly)
    move(made, "iterations", 5)
    made.panel.run_all.click()  # waits for the preview
    made.panel.view.value = [view for view in VIEWS if view != made.panel.view.value][0]
    go_on.set()
    made.finish()
    assert "visits registered" in made.panel.status.value
    assert made.panel.run_all.description != "Stop" and not made.panel.visit.disabled


def test_a_run_that_is_stopped_before_any_visit_is_done_says_so(tuner, monkeypatch):
    made = tuner("translation")
    seen = numbers(made)
    monkeypatch.setattr(made, "_registered", lambda *_: iter(()))
    made.panel.run_all.click()
    made.finish()
    assert "no visit" in made.panel.status.value and numbers(made) == seen


# What is saved


def test_save_writes_the_knobs_of_each_method_beside_the_others(tuner, tmp_path, eye):
    made = tuner("translation", "optical_flow_dis")
    move(made, "iterations", 50)
    made.panel.save.click()
    made.panel.method.value = "optical_flow_dis"
    made.panel.save.click()
    made.finish()
    saved = json.loads((tmp_path / f"{eye.patient}_L" / "tuned.json").read_text())
    assert saved["translation"]["iterations"] == 48
    assert saved["optical_flow_dis"]["smoothness"] == 6.0


def test_a_panel_starts_where_it_was_saved(tuner):
    made = tuner("translation")
    move(made, "iterations", 50)
    made.panel.save.click()
    made.finish()
    again = tuner("translation", iterations=7)
    assert again.panel.sliders.values["iterations"] == 48
    assert tuner("affine", iterations=7, smoothness=3).panel.sliders.values["iterations"] == 7


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_said_in_words(tuner, tmp_path):
    made = tuner("translation")
    tmp_path.chmod(0o500)
    made.panel.save.click()
    tmp_path.chmod(0o700)
    with pytest.raises(PermissionError):
        made.finish()
    assert "PermissionError" in made.panel.status.value


def test_saved_knobs_go_over_those_of_a_notebook(tmp_path):
    path = tmp_path / "tuned.json"
    save_tuned(path, "affine", {"learning_rate": 2.0, "iterations": 50})
    assert read_tuned(path) == {"affine": {"learning_rate": 2.0, "iterations": 50}}
    text = tuned_parameter(path, given=[])["tuned"]
    notebook = {"learning_rate": 1.0, "metric": "correlation"}
    found = tuned_knobs(text, "affine", notebook)
    assert found == {"learning_rate": 2.0, "metric": "correlation", "iterations": 50}
    assert tuned_knobs(text, "rigid", notebook) == notebook
    assert tuned_knobs("{}", "affine", notebook) == notebook


def test_what_is_given_by_hand_goes_over_what_is_saved(tmp_path):
    path = tmp_path / "tuned.json"
    assert tuned_parameter(path, given=[]) == {} == read_tuned(path)
    save_tuned(path, "affine", {"learning_rate": 2.0, "iterations": 50})
    text = tuned_parameter(path, given=["iterations", "size"])["tuned"]
    assert json.loads(text) == {"affine": {"learning_rate": 2.0}}


@pytest.mark.parametrize(
    "method, knobs, message",
    [
        ("magic", {}, "no method 'magic'; there are .*'affine'"),
        ("affine", {"magic": 1}, "affine has no knob 'magic'; there are .*'iterations'"),
        ("affine", {"iterations": 0}, "iterations 0 is not in the range 1 to 1000"),
    ],
)
def test_what_no_method_accepts_is_not_saved(tmp_path, method, knobs, message):
    path = tmp_path / "tuned.json"
    with pytest.raises(ValueError, match=message):
        save_tuned(path, method, knobs)
    assert not path.exists()


@pytest.mark.parametrize("text", ["[", "[]", '{"affine": 3}'])
def test_a_broken_file_of_knobs_is_named(tmp_path, text):
    path = tmp_path / "tuned.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="tuned.json .*correct or delete it"):
        read_tuned(path)


def test_a_broken_file_of_knobs_is_said_in_words(tuner, tmp_path, eye):
    path = tuned_path(tmp_path, eye.patient, "L")
    path.parent.mkdir()
    path.write_text("{")
    made = Tuner(eye, 0, ["affine"], tmp_path, moving=1)
    made.panel.view.value = "swipe"
    with pytest.raises(ValueError, match="tuned.json is not JSON"):
        made.finish()
    assert "tuned.json is not JSON" in made.panel.status.value
    made.panel.run_all.click()  # there is nothing to run with
    made.finish()
    assert made.panel.run_all.description != "Stop"


# Nobody watches


def test_a_headless_run_makes_no_sliders(demo, tmp_path, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    study = Study(demo, "demo_colour", "L", results=tmp_path)
    begin = time.perf_counter()
    shown = tuning.tune(study, ["affine"])
    assert time.perf_counter() - begin < 0.5
    assert "sliders" in shown.data.lower() and list(tmp_path.iterdir()) == []
