"""Outlines follow strokes and marks, the last change wins, and what is saved is found again."""

import json
import threading
import time

import numpy as np
import pytest

from fundus_helpers.atrophy.finding import (
    Hints,
    SavedHints,
    Strokes,
    disc_scales,
    find_atrophy,
    gather_evidence,
    hints_path,
    read_hints,
    save_hints,
)
from fundus_helpers.atrophy.outlines import Outline, read_outlines
from fundus_helpers.atrophy.registered import registered_visits
from fundus_helpers.atrophy.scale import scale_given
from fundus_helpers.loading.demo_eye import make_demo_eye
from fundus_helpers.loading.eye_error import EyeError
from fundus_helpers.panels import outlining
from fundus_helpers.panels.drawing import Drawing, Stroke
from fundus_helpers.panels.outlining import Outliner
from fundus_helpers.study import Study

KEPT = (0, 2, 7, 10)  # of the photographs


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return a data folder with an eye of four visits."""
    folder = tmp_path_factory.mktemp("outlined")
    eye = make_demo_eye(folder, "demo_atrophy", size=384)
    photographs = sorted(eye.glob("*.png"))
    for photograph in set(photographs) - {photographs[i] for i in KEPT}:
        photograph.unlink()
    return folder


@pytest.fixture(scope="module")
def study(data, tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    made = Study(data, "demo_atrophy", "L", results=results, notebook="12_atrophy", jobs=1)
    made.register("keypoints")
    return made


@pytest.fixture
def outliner(study, tmp_path, monkeypatch):
    """Return a function: the panel, with all counted once. Each test saves into its own folder."""
    monkeypatch.setattr(study, "results", tmp_path)
    # Counted at full size, so that numbers can be compared with what was drawn.
    monkeypatch.setattr(outlining, "COUNTED_SIZE", 384)

    def make(**given):
        made = Outliner(study, "keypoints", **given)
        made.finish()
        return made

    return make


def take(panel, kind, **message):
    panel.take({"kind": kind, "visit": len(panel.visits.names) - 1, "token": 1.0, **message})
    panel.finish()


def paint(panel, tool, points, radius=8, **message):
    take(panel, "stroke", tool=tool, points=points, radius=radius, **message)


def areas(panel):
    return [float(row[1].replace(",", "")) for row in panel.canvas.numbers["rows"]]


# What is drawn


def test_a_stroke_covers_a_band_of_the_width_of_the_brush_at_any_size():
    stroke = Stroke(0, True, np.array([[20.3, 30.3], [60.3, 30.3]]), 5.0)
    for factor in (0.5, 1.0, 2.0):
        mask = stroke.mask((round(64 * factor), round(80 * factor)), factor)
        wanted = (40 * 10 + np.pi * 25) * factor**2
        assert mask.sum() == pytest.approx(wanted, rel=0.08)
        assert mask[round(30 * factor), round(40 * factor)]


def test_a_click_of_the_brush_paints_a_disc():
    mask = Stroke(0, True, np.array([[20.0, 20.0]]), 6.0).mask((40, 40), 1.0)
    assert mask.sum() == pytest.approx(np.pi * 36, rel=0.05)


def test_the_last_stroke_is_right_at_earlier_and_at_later_visits():
    line = np.array([[10.0, 20.0], [30.0, 20.0]])
    strokes = [Stroke(1, True, line, 3), Stroke(3, False, line, 3)]
    painted_out = Drawing(strokes=tuple(strokes)).painted((40, 40))
    assert list(painted_out) == [3] and painted_out[3].healthy[20, 20]
    painted_in = Drawing(strokes=tuple(strokes[::-1])).painted((40, 40))
    assert list(painted_in) == [1] and painted_in[1].atrophic[20, 20]
    kept = [Stroke(3, True, line, 3), Stroke(1, False, line, 3)]  # no contradiction
    both = Drawing(strokes=tuple(kept)).painted((40, 40))
    assert both[1].healthy[20, 20] and both[3].atrophic[20, 20]


def test_painting_does_not_change_what_was_read_from_a_file():
    earlier = {0: Strokes(np.ones((40, 40), bool), np.zeros((40, 40), bool))}
    out = Stroke(0, False, np.array([[20.0, 20.0]]), 4)
    assert not Drawing(strokes=(out,), earlier=earlier).painted((40, 40))[0].atrophic[20, 20]
    assert earlier[0].atrophic.all()


def test_an_unknown_change_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match="not changed by 'erase'.*stroke"):
        Drawing().changed({"kind": "erase"}, 1.0, (10, 10))


# What follows


def test_joining_strokes_later_finds_what_finding_with_them_finds():
    rng = np.random.default_rng(0)
    images = rng.normal(0.6, 0.02, (5, 128, 128)).astype(np.float32)
    images[2:, 30:70, 30:70] *= 0.5
    masks, none = np.ones(images.shape, bool), np.zeros((128, 128), bool)
    inside, outside = none.copy(), none.copy()
    inside[90:110, 90:110], outside[30:40, 30:70] = True, True
    strokes = {3: Strokes(inside, none), 4: Strokes(none, outside)}
    evidence = gather_evidence(images, masks)
    found = evidence.found(strokes).onset
    assert np.array_equal(found, find_atrophy(images, masks, hints=Hints(strokes=strokes)).onset)
    assert (found[90:110, 90:110] == 3).all() and (found[30:40, 30:70] == 5).all()
    assert np.array_equal(evidence.found().onset, find_atrophy(images, masks).onset)


def test_a_stroke_in_adds_its_area_in_under_a_second_and_undo_takes_it_back(outliner):
    panel = outliner()
    before = areas(panel)
    start = time.process_time()
    paint(panel, "in", [[60, 60], [110, 60]])
    assert time.process_time() - start < 1
    after, wanted = areas(panel), 50 * 16 + np.pi * 64
    assert after[-1] - before[-1] == pytest.approx(wanted, rel=0.15)
    assert panel.canvas.numbers["rows"][-1][-1] == "brush"
    take(panel, "undo")
    assert areas(panel) == before
    take(panel, "undo")  # nothing is left to be undone
    assert areas(panel) == before and panel.canvas.status["kind"] == "done"


def test_a_stroke_in_at_an_early_visit_stays_and_one_out_reaches_back(outliner):
    panel = outliner()
    paint(panel, "in", [[60, 60]], visit=1)
    masks = panel.atrophy.onset.masks[:, 60, 60]
    assert masks.tolist() == [False, True, True, True]
    paint(panel, "out", [[60, 60]], visit=2)
    assert panel.atrophy.onset.masks[:, 60, 60].tolist() == [False] * 4


def test_marks_bound_the_atrophy_and_are_sent_back_in_pixels_of_the_pictures(outliner):
    panel = outliner()
    everywhere = areas(panel)[-1]
    take(panel, "ellipse", ellipse=[100.0, 120.0, 90.0, 70.0, 0])
    take(panel, "turn", degrees=15)
    take(panel, "fovea", points=[[190.0, 5000.0]])  # outside: at the edge
    take(panel, "first_free", value=True)
    assert areas(panel)[-1] < everywhere and areas(panel)[0] == 0
    assert panel.canvas.marks["ellipse"] == pytest.approx([100, 120, 90, 70, 15])
    assert panel.canvas.marks["fovea"] == pytest.approx([190, 383])
    assert panel.canvas.marks["first_free"] is True
    for tool in ("ellipse", "fovea"):
        take(panel, "remove", tool=tool)
    assert panel.canvas.marks["ellipse"] is None and panel.canvas.marks["fovea"] is None


def test_remove_with_a_brush_takes_the_paint_of_that_visit_only(outliner):
    panel = outliner()
    paint(panel, "in", [[60, 60]], visit=3)
    paint(panel, "in", [[300, 60]], visit=2)
    take(panel, "remove", tool="out", visit=3)
    assert not panel.atrophy.onset.masks[3, 60, 60] and panel.atrophy.onset.masks[2, 60, 300]


def test_a_disc_gives_millimetres_and_one_that_contradicts_the_fovea_is_told(outliner):
    panel = outliner()
    assert panel.canvas.numbers["columns"][1] == "area, px²"
    take(panel, "disc", points=[[10, 150], [10, 240]])
    assert panel.canvas.numbers["columns"][1] == "area, mm²"
    pixels = panel.atrophy.onset.mask(3).sum()
    assert areas(panel)[-1] == pytest.approx(pixels * (1.8 / 90) ** 2, rel=0.01)
    take(panel, "fovea", points=[[60, 195]])
    assert "contradict" in " ".join(panel.canvas.numbers["notes"])
    assert panel.canvas.numbers["columns"][1] == "area, px²"


def test_a_given_scale_and_drawn_outlines_are_believed(outliner, study):
    mask = np.zeros(study.eye.images.shape[1:], bool)
    mask[20:40, 300:320] = True
    file = study.eye.used["file"][study.template]
    outlines = {file: Outline(file, mask, "mask image")}
    panel = outliner(outlines=outlines, scale=scale_given(0.02))
    assert areas(panel)[0] == pytest.approx(400 * 0.02**2)
    assert [row[-1] for row in panel.canvas.numbers["rows"]] == ["outline", "", "", ""]
    assert panel.atrophy.onset.masks[:, 30, 310].all()  # it does not heal


def test_outlines_go_around_the_atrophy_in_pixels_of_the_pictures(outliner):
    panel = outliner()
    line = np.frombuffer(panel.canvas.outlines[-1], np.float32).reshape(-1, 2)
    inside = line[np.isfinite(line).all(axis=1)].round().astype(int)
    near = panel.atrophy.onset.mask(3)[inside[:, 1], inside[:, 0]]
    assert 0.2 < near.mean() < 0.8
    assert len(panel.canvas.pictures) == len(panel.canvas.names) == 4


def test_one_computation_at_a_time_and_a_late_answer_never_replaces_a_newer_one(
    outliner, monkeypatch
):
    panel = outliner()
    running, most, seen = [], [], []
    follow, gate = panel._follow, threading.Event()

    def slowly(drawing):
        running.append(1)
        most.append(len(running))
        gate.wait(20)
        seen.append(len(drawing.strokes))
        try:
            return follow(drawing)
        finally:
            running.pop()

    monkeypatch.setattr(panel, "_follow", slowly)
    told = []
    panel.canvas.observe(lambda change: told.append(change["new"]), "answered")
    for token in range(1, 6):
        message = {"visit": 3, "tool": "in", "points": [[40 * token, 40]], "radius": 5}
        panel.take({"kind": "stroke", "token": float(token), **message})
    gate.set()
    panel.finish()
    assert max(most) == 1 and len(seen) <= 2 and seen[-1] == 5
    assert told == [5.0]


def test_an_error_is_shown_and_the_panel_goes_on(outliner):
    panel = outliner()
    panel._worker.guard(lambda: panel.take({"kind": "jump"}))
    assert panel.canvas.status["kind"] == "error" and "jump" in panel.canvas.status["words"]
    panel._worker.error = None
    paint(panel, "in", [[60, 60]])
    assert panel.canvas.status["kind"] == "done"


def test_what_would_have_healed_and_who_is_left_out_is_told(outliner, study, monkeypatch):
    panel = outliner()
    assert "healed share" in " ".join(panel.canvas.numbers["notes"])
    visits = registered_visits(study, "keypoints")
    told = dict(vars(visits), left_out={"a visit": "its registration is failed: dark"})
    monkeypatch.setattr(
        outlining, "registered_visits", lambda *_: type(visits)(**told), raising=True
    )
    assert (
        "left out: a visit: its registration is failed: dark"
        in (outliner().canvas.numbers["notes"])
    )


def test_outside_of_a_browser_there_is_a_sentence(study, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert "JupyterLab" in outlining.outline(study).data
    monkeypatch.delenv("TQDM_DISABLE")
    assert isinstance(outlining.outline(study), Outliner)


# What is saved


def test_what_is_saved_is_shown_again_and_counts_the_same(outliner, study, tmp_path):
    panel = outliner()
    paint(panel, "in", [[60, 60], [110, 60]])
    paint(panel, "out", [[80, 60]], visit=3)
    take(panel, "ellipse", ellipse=[190.0, 190.0, 185.0, 180.0, 0])
    take(panel, "fovea", points=[[190.0, 190.0]])
    take(panel, "disc", points=[[10, 150], [10, 240]])
    assert panel.canvas.saved == "not saved yet"
    take(panel, "save")
    assert panel.canvas.saved == "saved in demo_atrophy_L/hints.json"
    assert panel.path == hints_path(tmp_path, "demo_atrophy", "L") and panel.path.exists()
    again = outliner()
    assert again.canvas.marks == panel.canvas.marks
    assert areas(again) == areas(panel)
    take(again, "remove", tool="in")
    assert areas(again)[-1] < areas(panel)[-1]


def test_headless_runs_take_what_is_saved_and_what_is_given_counts_more(outliner, study):
    panel = outliner()
    paint(panel, "in", [[60, 60], [110, 60]])
    take(panel, "fovea", points=[[190.0, 190.0]])
    take(panel, "save")
    saved = read_hints(panel.path)
    template = study.eye.used["file"][study.template]
    hints = saved.hints(panel.visits, template, Hints(fovea=(10.0, 12.0)))
    assert hints.fovea == (10.0, 12.0) and hints.strokes[3].atrophic[60, 80]
    small = saved.hints(panel.visits.resized(192), template)
    assert small.fovea == pytest.approx((94.75, 94.75), abs=0.3)
    assert small.strokes[3].atrophic.shape == (192, 192) and small.strokes[3].atrophic[30, 40]
    with pytest.raises(EyeError, match="drawn on the template.*draw the hints again"):
        saved.hints(panel.visits, "another.png")


def test_strokes_at_a_visit_that_is_left_out_stay_in_the_file(outliner, study):
    panel = outliner()
    shape = panel.visits.shape
    strokes = {"left_out.png": Strokes(np.eye(*shape, dtype=bool), np.zeros(shape, bool))}
    save_hints(panel.path, SavedHints(panel.saved_hints().template, shape, strokes=strokes))
    again = outliner()
    take(again, "save")
    assert read_hints(again.path).strokes["left_out.png"].atrophic.sum() == shape[0]


def test_exported_outlines_are_read_again(outliner, study):
    panel = outliner()
    paint(panel, "in", [[60, 60], [110, 60]])
    take(panel, "export")
    assert "files written into demo_atrophy_L/outlines" in panel.canvas.status["words"]
    sizes = {file: (384, 384) for file in panel.visits.files}
    found, remarks = read_outlines(panel.path.parent / "outlines", sizes)
    assert set(found) == set(panel.visits.files)
    assert all("2016-03-14" in each and "is empty" in each for each in remarks)  # as it was found
    last, factor = panel.visits.files[-1], panel.visits.area_factors[3]
    wanted = (panel.atrophy.onset.mask(3) * factor).sum()  # in the visit's own pixels
    assert found[last].mask.sum() == pytest.approx(wanted, rel=0.01)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda d: d.pop("fovea"), "'fovea' is missing"),
        (lambda d: d.update(format="2"), "its format is '2'"),
        (lambda d: d.update(fovea=[1]), "fovea must be 2 numbers"),
        (lambda d: d.update(fovea=[1, 900]), r"fovea \(1, 900\) lies outside"),
        (lambda d: d.update(ellipse=[1, 2, 3, 4, None]), "damaged"),
        (lambda d: d.update(size=[0, 64]), "size 0 x 64 px is not possible"),
        (lambda d: d["strokes"]["b.png"].update(healthy=[3, 4]), "b.png do not fill the grid"),
        (lambda d: d["strokes"]["b.png"].update(healthy=["x"]), "b.png are no lengths"),
        (lambda d: d.update(strokes=[]), "damaged"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(tmp_path, change, words):
    path = tmp_path / "hints.json"
    nothing = np.zeros((64, 64), bool)
    strokes = {"b.png": Strokes(np.eye(64, dtype=bool), nothing)}
    save_hints(path, SavedHints("a.png", (64, 64), fovea=(3.0, 4.0), strokes=strokes))
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(EyeError, match=words) as told:
        read_hints(path)
    assert str(told.value).startswith("hints.json is damaged: ")
    assert "save the hints again in the panel, or delete the file" in str(told.value)


def test_half_a_file_is_named_and_none_is_no_error(tmp_path):
    path = tmp_path / "hints.json"
    assert read_hints(path) is None
    path.write_text('{"format"')
    with pytest.raises(EyeError, match="hints.json is damaged"):
        read_hints(path)


def test_the_panel_tells_of_a_damaged_file_and_still_shows_the_eye(study, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "results", tmp_path)
    path = hints_path(tmp_path, "demo_atrophy", "L")
    path.parent.mkdir(parents=True)
    path.write_text("[]")
    panel = Outliner(study, "keypoints")
    panel.finish()
    assert panel.canvas.numbers["rows"] and "damaged" in " ".join(panel.canvas.numbers["notes"])
    paint(panel, "in", [[60, 60]])
    take(panel, "save")
    assert read_hints(path) is not None


def test_hints_on_a_grid_of_other_proportions_are_refused():
    with pytest.raises(EyeError, match="64 x 64 px, which does not become 128 x 96 px"):
        SavedHints("a.png", (64, 64)).resized((96, 128))


def test_a_disc_and_a_fovea_give_two_scales():
    assert disc_scales(None, (3.0, 4.0), 1.0) == []
    by_disc, by_fovea = disc_scales((10, 100, 10, 190), (200.0, 145.0), 2.0)
    assert by_disc.mm_per_pixel == pytest.approx(1.8 / 180)
    assert by_fovea.mm_per_pixel == pytest.approx(4.76 / 380)
