"""Hints that were drawn on one visit mean the same places on the template of another run."""

from dataclasses import replace

import numpy as np
import pytest

from fundus_helpers import transforms
from fundus_helpers.atrophy.finding import Hints, SavedHints, Strokes, read_hints, save_hints
from fundus_helpers.atrophy.finding.carried_hints import carry_hints, remember_hints
from fundus_helpers.atrophy.registered import registered_visits
from fundus_helpers.loading.demo_eye import make_demo_eye
from fundus_helpers.loading.eye_error import EyeError
from fundus_helpers.study import Study

ELLIPSE, FOVEA, DISC = (195.0, 210.0, 90.0, 45.0, 25.0), (180.0, 196.0), (60.0, 90.0, 105.0, 91.0)


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    """Return the eye, and its visits registered to the first and to the last one."""
    folder = tmp_path_factory.mktemp("carried")
    eye = make_demo_eye(folder, "demo_autofluorescence", size=384)
    for photograph in sorted(eye.glob("*.png"))[1:-1]:
        photograph.unlink()
    found = []
    for template in ("first", "last"):
        study = Study(folder, eye.name, "L", template=template, results=folder, jobs=1)
        study.register("keypoints")
        found.append(registered_visits(study, "keypoints"))
    return study.eye, *found


@pytest.fixture
def saved(eyes):
    """Hints on the grid of the first visit; all that the ellipse contains is painted in."""
    _, first, _ = eyes
    inside = Hints(ELLIPSE).region(first.shape)
    strokes = {first.files[1]: Strokes(inside, np.zeros_like(inside))}
    return SavedHints(first.template_file, first.shape, ELLIPSE, FOVEA, True, DISC, strokes)


def test_every_mark_lies_at_the_same_place_of_the_retina(eyes, saved):
    eye, first, last = eyes
    carried = carry_hints(saved, eye, last)
    assert carried.template == last.template_file and carried.first_free
    move = last.transforms[last.files.index(first.template_file)]  # from the last to the first
    there = transforms.map_points(move, np.reshape((*carried.fovea, *carried.disc), (-1, 2)))
    assert there.ravel() == pytest.approx((*FOVEA, *DISC), abs=0.01)
    assert np.hypot(*np.subtract(carried.fovea, FOVEA)) > 1  # the eye was moved at all
    stroke = carried.strokes[first.files[1]].atrophic
    region = Hints(carried.ellipse).region(last.shape)
    assert 2 * (region & stroke).sum() / (region.sum() + stroke.sum()) > 0.98


def test_hints_of_the_same_template_stay_and_of_an_unused_visit_are_refused(eyes, saved):
    eye, first, last = eyes
    assert carry_hints(saved, eye, first) is saved
    gone = SavedHints("gone.png", first.shape, fovea=FOVEA)
    with pytest.raises(EyeError, match="'gone.png', which is not used here"):
        carry_hints(gone, eye, last)


def test_what_is_given_is_remembered_once_and_keeps_what_was_drawn(eyes, saved, tmp_path):
    eye, first, last = eyes
    path = tmp_path / "hints.json"
    remember_hints(path, Hints(), eye, first)
    assert not path.exists()  # nothing was given
    remember_hints(path, Hints(fovea=FOVEA), eye, first)
    content = path.read_bytes()
    carried = carry_hints(read_hints(path), eye, last)
    remember_hints(path, Hints(fovea=carried.fovea), eye, last)
    assert path.read_bytes() == content  # nothing new
    half = first.resized(192)
    smaller = saved.hints(half, first.template_file)
    remember_hints(path, smaller, eye, half)
    assert read_hints(path).ellipse == pytest.approx(ELLIPSE)
    assert read_hints(path).shape == first.shape


def shifted(last, first, pixels):
    """Return the visits on the last one, which the first one shows so much farther to the right."""
    moves = list(last.transforms)
    moves[last.files.index(first.template_file)] = transforms.from_matrix(
        [[1, 0, pixels], [0, 1, 0]]
    )
    return replace(last, transforms=tuple(moves))


def test_strokes_outside_the_new_template_are_told_and_the_file_before_is_kept(
    eyes, saved, tmp_path
):
    eye, first, last = eyes
    path, moved = tmp_path / "hints.json", shifted(last, first, 150)  # the stroke begins at 105
    save_hints(path, saved)
    before = path.read_bytes()
    carried = carry_hints(saved, eye, moved)
    given = Hints(carried.ellipse, carried.fovea, first_free=False)
    (remark,) = remember_hints(path, given, eye, moved)
    assert first.template_file in remark and last.template_file in remark
    assert f"lost ({first.files[1]})" in remark and "kept as hints.json.bak" in remark
    assert (tmp_path / "hints.json.bak").read_bytes() == before
    assert read_hints(path).template == last.template_file


def test_strokes_inside_the_new_template_are_kept_without_a_remark(eyes, saved, tmp_path):
    eye, _, last = eyes
    path = tmp_path / "hints.json"
    save_hints(path, saved)
    assert remember_hints(path, Hints(ELLIPSE, FOVEA), eye, last) == ()
    assert [each.name for each in tmp_path.iterdir()] == ["hints.json"]


def test_a_mark_outside_the_new_template_is_named_with_both_photographs(eyes, saved):
    eye, first, last = eyes
    with pytest.raises(EyeError, match="fovea and the middle of the ellipse in hints") as told:
        carry_hints(saved, eye, shifted(last, first, 250))
    assert first.template_file in str(told.value) and last.template_file in str(told.value)
