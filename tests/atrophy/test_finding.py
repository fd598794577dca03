"""Atrophy is found where and when it was painted, and none is invented."""

import numpy as np
import pytest

from fundus_helpers import transforms
from fundus_helpers.atrophy.finding.enclosed import join_enclosed
from fundus_helpers.atrophy.finding.find import find_atrophy
from fundus_helpers.atrophy.finding.halfway import join
from fundus_helpers.atrophy.finding.hints import Hints, Strokes, read_numbers
from fundus_helpers.atrophy.finding.levels import even_levels
from fundus_helpers.loading.demo_eye import (
    make_demo_eye,
    read_truth,
    true_onset,
    true_transform,
)
from fundus_helpers.loading.eye import load_eye
from fundus_helpers.loading.eye_error import EyeError

SIZE = 512


class Painted:
    """A demo eye whose visits are laid on the first one exactly, by what was painted."""

    def __init__(self, data, patient):
        folder = make_demo_eye(data, patient, size=SIZE)
        truth, eye = read_truth(folder), load_eye(data, patient, "L", shown=False)
        usable = {visit["file"] for visit in truth["visits"] if visit["usable"]}
        rows = [i for i, file in enumerate(eye.used["file"]) if file in usable]
        files = [eye.used["file"][i] for i in rows]
        moves = [true_transform(truth, files[0], file) for file in files]
        self.images = np.stack(
            [transforms.warp(eye.images[i], t) for i, t in zip(rows, moves, strict=True)]
        )
        self.masks = np.stack(
            [transforms.warp_mask(eye.masks[i], t) for i, t in zip(rows, moves, strict=True)]
        )
        days = np.array([eye.used["date"][i].toordinal() for i in rows])
        self.years = (days - days[0]) / 365.25
        self.onset = true_onset(truth, files[0])

    def true(self, i):
        return self.onset <= self.years[i] + 1e-6

    def dice(self, onset):
        """Return the Dice coefficient of every visit with atrophy."""
        pairs = [(onset <= i, self.true(i)) for i in range(len(self.years)) if self.true(i).any()]
        return np.array([2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in pairs])


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    names = "demo_atrophy", "demo_autofluorescence", "demo_colour"
    return {name: Painted(data, name) for name in names}


@pytest.mark.parametrize(
    ("patient", "least"),
    [("demo_autofluorescence", 0.985), ("demo_colour", 0.975), ("demo_atrophy", 0.93)],
)
def test_atrophy_is_found_with_no_click(painted, patient, least):
    eye = painted[patient]
    found = find_atrophy(eye.images, eye.masks)
    assert eye.dice(found.onset).mean() > least
    assert found.direction == (1 if patient == "demo_colour" else -1)
    assert found.healed < 0.03


def test_nothing_is_found_at_a_first_visit_that_has_none(painted):
    eye = painted["demo_atrophy"]
    assert not eye.true(0).any()
    for hints in (Hints(), Hints(first_free=True)):
        assert not (find_atrophy(eye.images, eye.masks, hints=hints).onset <= 0).any()


def around(lesion, factor=1.5):
    """Return the ellipse (x, y, a, b, angle) that a person would draw around a lesion."""
    rows, columns = np.nonzero(lesion)
    x, y = columns.mean(), rows.mean()
    return x, y, factor * np.abs(columns - x).max(), factor * np.abs(rows - y).max(), 0.0


@pytest.mark.parametrize("patient", ["demo_autofluorescence", "demo_colour", "demo_atrophy"])
def test_an_ellipse_around_the_atrophy_makes_nothing_worse(painted, patient):
    eye = painted[patient]
    without = eye.dice(find_atrophy(eye.images, eye.masks).onset).mean()
    hints = Hints(ellipse=around(eye.true(-1), 2.0))
    found = find_atrophy(eye.images, eye.masks, hints=hints)
    assert eye.dice(found.onset).mean() > without - 0.01


@pytest.mark.parametrize("patient", ["demo_autofluorescence", "demo_colour"])
def test_a_single_visit_is_outlined_inside_an_ellipse(painted, patient):
    eye, middle = painted[patient], len(painted[patient].years) // 2
    one = slice(middle, middle + 1)
    hints = Hints(ellipse=around(eye.true(middle)))
    found = find_atrophy(eye.images[one], eye.masks[one], hints=hints, modality=patient[5:])
    a, b = found.onset <= 0, eye.true(middle)
    assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.95


def test_a_smaller_image_gives_the_same_outlines(painted):
    eye = painted["demo_colour"]
    small = [each[:, ::2, ::2] for each in (eye.images, eye.masks)]
    onset = np.kron(find_atrophy(*small).onset, np.ones((2, 2)))
    assert eye.dice(onset).min() > 0.9


def test_outlines_never_shrink_and_every_visit_has_its_own(painted):
    eye = painted["demo_atrophy"]
    found = find_atrophy(eye.images, eye.masks)
    areas = [(found.onset <= i).sum() for i in range(len(eye.years))]
    assert areas == sorted(areas) and areas[-1] > 3 * areas[3]


def test_an_eye_without_atrophy_has_none(painted):
    eye = painted["demo_atrophy"]
    rng = np.random.default_rng(0)
    first = eye.images[0]
    images = np.stack(
        [(0.6 + 0.08 * k) * first + rng.normal(0, 0.01, first.shape) for k in range(5)]
    )
    found = find_atrophy(np.clip(images, 0, 1).astype(np.float32), eye.masks[:5])
    assert (found.onset == 5).all() and found.healed == 0


def test_visits_that_do_not_lie_on_each_other_would_heal(painted):
    eye = painted["demo_autofluorescence"]
    shifted = np.stack(
        [np.roll(image, (3 * (i % 3), 8 * (i % 2)), (0, 1)) for i, image in enumerate(eye.images)]
    )
    assert find_atrophy(shifted, eye.masks).healed > 0.15


def test_light_and_gain_of_a_visit_change_nothing(painted):
    eye = painted["demo_autofluorescence"]
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    light = (0.7 + 0.3 * x * y).astype(np.float32)
    images = eye.images.copy()
    images[4:] *= light
    before, after = (find_atrophy(each, eye.masks).onset for each in (eye.images, images))
    assert np.mean(before != after) < 0.01


def test_what_is_painted_in_or_out_is_carried_on(painted):
    eye = painted["demo_atrophy"]
    count = len(eye.years)
    nothing = np.zeros((SIZE, SIZE), bool)
    drawn, removed = nothing.copy(), nothing.copy()
    drawn[30:50, 230:250] = True
    last = find_atrophy(eye.images, eye.masks).onset
    rows, columns = np.nonzero(last < count)
    removed[rows.min() : rows.mean().astype(int)] = True
    strokes = {5: Strokes(drawn, nothing), count - 1: Strokes(nothing, removed)}
    onset = find_atrophy(eye.images, eye.masks, hints=Hints(strokes=strokes)).onset
    assert (onset[drawn] == 5).all()
    assert (onset[removed & ~drawn] == count).all()
    below = ~removed & ~drawn
    assert np.mean(onset[below] != last[below]) < 0.01


def test_drawn_outlines_are_believed(painted):
    eye = painted["demo_atrophy"]
    outlines = {i: eye.true(i) for i in range(len(eye.years))}
    found = find_atrophy(eye.images, eye.masks, outlines=outlines)
    assert eye.dice(found.onset).min() == 1 and found.healed == 0
    some = find_atrophy(eye.images, eye.masks, outlines={6: eye.true(6)})
    assert np.array_equal(some.onset <= 6, eye.true(6))


def test_nothing_is_found_outside_an_ellipse(painted):
    eye = painted["demo_atrophy"]
    hints = Hints(ellipse=(SIZE / 2, SIZE / 2, 60, 30, 45))
    found = find_atrophy(eye.images, eye.masks, hints=hints)
    region = hints.region((SIZE, SIZE))
    assert not (found.onset[~region] < len(eye.years)).any()
    assert region[SIZE // 2 + 35, SIZE // 2 + 35] and not region[SIZE // 2 - 35, SIZE // 2 + 35]


def test_one_visit_shows_atrophy_in_an_ellipse_only(painted):
    eye = painted["demo_autofluorescence"]
    image, mask = eye.images[-1:], eye.masks[-1:]
    assert (find_atrophy(image, mask).onset == 1).all()
    rows, columns = np.nonzero(eye.true(len(eye.years) - 1))
    ellipse = columns.mean(), rows.mean(), 0.8 * np.ptp(columns), 0.8 * np.ptp(rows), 0
    hints = Hints(ellipse=ellipse)
    found = find_atrophy(image, mask, hints=hints, modality="autofluorescence")
    true = eye.true(len(eye.years) - 1)
    lesion = found.onset == 0
    assert 2 * (lesion & true).sum() / (lesion.sum() + true.sum()) > 0.85


@pytest.mark.parametrize(
    "hints", [Hints(fovea=(9999, 3)), Hints(ellipse=(30, 30, 0, 5, 0)), Hints(fovea=(-1, 3))]
)
def test_hints_that_cannot_be_are_named(hints):
    with pytest.raises(EyeError, match="fovea|half axes"):
        hints.region((100, 100))


def test_hints_for_some_visits_follow_them_to_their_new_positions():
    nothing = np.zeros((4, 4), bool)
    strokes = {i: Strokes(nothing, nothing) for i in (0, 3)}
    hints = Hints(fovea=(1, 2), first_free=True, strokes=strokes)
    without_second = hints.of_visits([0, 2, 3])
    assert without_second.first_free and without_second.fovea == (1, 2)
    assert without_second.strokes == {0: strokes[0], 2: strokes[3]}
    without_first = hints.of_visits([1, 2, 3])
    assert not without_first.first_free and without_first.strokes == {2: strokes[3]}


def test_numbers_are_read_from_text():
    assert read_numbers("", "x y") is None
    assert read_numbers("1, 2.5", "x y") == (1.0, 2.5)
    for text in ("1", "1 2 3", "a b", "nan 2"):
        with pytest.raises(EyeError, match="x y"):
            read_numbers(text, "x y")


def test_one_contradicting_visit_does_not_heal_the_retina():
    says = np.float32([-1, -1, 1, -0.4, 1, 1]).reshape(6, 1, 1)
    assert join(says)[0, 0] == 2
    assert join(-np.abs(says))[0, 0] == 6 and join(np.abs(says))[0, 0] == 0


def test_levels_do_not_take_a_large_lesion_for_a_shadow():
    rng = np.random.default_rng(1)
    retina = np.clip(rng.normal(0.5, 0.02, (240, 240)), 0, 1).astype(np.float32)
    lesion = np.zeros((240, 240), bool)
    images = [retina]
    for half in (20, 35, 50):  # 17 % of the image at the end
        lesion[110 - half : 110 + half, 130 - half : 130 + half] = True
        images.append(np.where(lesion, 0.6 * retina, retina))
    levels, seen = even_levels(np.stack(images), np.ones((4, 240, 240), bool))
    change = levels[-1] - levels[0]
    assert change[lesion].mean() == pytest.approx(np.log(0.6), abs=0.03)
    assert change[~lesion & seen[-1]].mean() == pytest.approx(0, abs=0.02)


def enclosed_series(patch_level):
    """Return levels of six visits: atrophy grows around a patch that never changes, and its onset.

    Atrophy has the level 0.3. The first visit shows it at the left of the patch only.
    """
    columns, rows = np.meshgrid(*[np.arange(256)] * 2)
    far = np.hypot(columns - 128, rows - 128)
    onset = np.where(columns < 150, 0, np.clip((columns - 150) // 10, 0, 5)).astype(np.int16)
    onset[far > 90] = 6
    patch = far < 20
    onset[patch] = 6
    rng = np.random.default_rng(0)
    levels = rng.normal(0, 0.02, (6, 256, 256)).astype(np.float32)
    for i in range(6):
        levels[i][onset <= i] += 0.3
        levels[i][patch] += patch_level
    return levels, onset, patch


@pytest.mark.parametrize("level", [0.09, 0.2])
def test_a_choroidal_vessel_that_atrophy_encloses_is_atrophic_from_the_first_visit_on(level):
    levels, onset, patch = enclosed_series(level)
    joined = join_enclosed(onset, levels, np.ones(levels.shape, bool))
    assert (joined[patch] == 0).all() and (joined[~patch] == onset[~patch]).all()


@pytest.mark.parametrize("level", [-0.3, 0.0, 0.03])
def test_healthy_retina_that_atrophy_encloses_stays_healthy(level):
    levels, onset, patch = enclosed_series(level)
    assert (join_enclosed(onset, levels, np.ones(levels.shape, bool)) == onset).all()


@pytest.mark.parametrize(("level", "since"), [(0.12, 3), (0.3, 0)])
def test_a_dark_patch_is_atrophic_once_atrophy_reaches_it_and_the_core_always_was(level, since):
    levels, onset, patch = enclosed_series(level)
    onset[~patch & (onset < 3)] = 3
    joined = join_enclosed(onset, levels, np.ones(levels.shape, bool))
    assert (joined[patch] == since).all()


def test_atrophy_that_drowns_in_noise_is_refused_in_words(painted):
    """The noise of every pixel is 0.12, and of the photographs of the other tests about 0.01."""
    eye, rng = painted["demo_colour"], np.random.default_rng(0)
    noisy = np.clip(eye.images + rng.normal(0, 0.12, eye.images.shape), 0, 1).astype(np.float32)
    assert find_atrophy(noisy, eye.masks, modality="colour").too_noisy
    assert not find_atrophy(eye.images, eye.masks, modality="colour").too_noisy
