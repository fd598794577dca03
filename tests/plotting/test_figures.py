"""Pictures show what their captions say."""

import base64
import html
import io
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from fundus_helpers import plotting
from fundus_helpers.plotting.pictures import flicker, overlay_caption

GREY = np.tile(np.linspace(0, 1, 60, dtype=np.float32), (40, 1))
BLACK, WHITE = np.zeros((40, 60), np.float32), np.ones((40, 60), np.float32)


@pytest.fixture(autouse=True)
def nothing_is_shown_or_left_open(monkeypatch):
    """Fail a test that shows a figure, or leaves one for the notebook to draw a second time."""

    def refuse(*_, **__):
        raise AssertionError("show was called")

    monkeypatch.setattr(plt, "show", refuse)
    monkeypatch.setattr(Figure, "show", refuse)
    yield
    left = plt.get_fignums()
    plt.close("all")
    assert left == []


def test_where_two_images_agree_the_overlay_is_grey():
    overlay = plotting.overlay(GREY, GREY)
    assert overlay.shape == (40, 60, 3)
    assert np.ptp(overlay, axis=2).max() == 0 and np.ptp(overlay) > 0.9


def test_fixed_alone_is_orange_and_moving_alone_is_blue():
    assert (plotting.overlay(WHITE, BLACK) == [1, 0.5, 0]).all()
    assert (plotting.overlay(BLACK, WHITE) == [0, 0.5, 1]).all()


def test_both_images_are_brightened_by_one_factor():
    dim, dimmer = plotting.brightened(0.2 * WHITE, 0.1 * WHITE)
    assert np.allclose(dim, 1) and np.allclose(dimmer, 0.5)
    dimmer, dim = plotting.brightened(0.1 * WHITE, 0.2 * WHITE)
    assert np.allclose(dim, 1) and np.allclose(dimmer, 0.5)
    assert (plotting.brightened(BLACK)[0] == 0).all()


def test_the_checkerboard_alternates_square_tiles():
    board = plotting.checkerboard(WHITE, BLACK, tiles=6)
    assert board.shape == (40, 60)
    tiles = board.reshape(4, 10, 6, 10)
    assert np.ptp(tiles, axis=(1, 3)).max() == 0
    assert tiles[:2, 0, :3, 0].tolist() == [[1, 0, 1], [0, 1, 0]]


def test_the_flicker_is_an_animation_of_both_images():
    data = flicker(GREY, GREY[:, ::-1], milliseconds=300, size=30)
    with Image.open(io.BytesIO(data)) as animation:
        assert animation.format == "GIF" and animation.n_frames == 2
        assert animation.size == (30, 20) and animation.info["duration"] == 300
        assert animation.info["loop"] == 0  # for ever
        frames = []
        for frame in range(2):
            animation.seek(frame)
            frames.append(np.asarray(animation.convert("L"), float))
    assert frames[0][:, 25].mean() > 200 > 50 > frames[0][:, 4].mean()
    assert frames[1][:, 4].mean() > 200 > 50 > frames[1][:, 25].mean()


def test_the_flicker_is_shown_with_its_caption_as_alternative_text():
    view = plotting.flicker_view(GREY, GREY[:, ::-1], caption='"a" & b').data
    (found,) = re.findall(r'<img alt="([^"]*)" src="data:image/gif;base64,([\w+/=]+)">', view)
    assert html.unescape(found[0]) == '"a" & b' and base64.b64decode(found[1])[:3] == b"GIF"
    assert html.unescape(re.search("<em>(.*)</em>", view)[1]) == '"a" & b'


@pytest.mark.parametrize("count", [1, 3, 4, 5])
def test_a_gallery_draws_every_image_with_its_title(count):
    images = [GREY, np.dstack([GREY] * 3), (255 * np.dstack([GREY] * 3)).astype(np.uint8)] * 2
    titles = [f"visit {i}" for i in range(count)]
    figure = plotting.gallery(images[:count], titles, caption="what to see")
    assert isinstance(figure, Figure)
    drawn = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in drawn] == titles
    assert figure.get_supxlabel() == "what to see"
    assert not any(ax.axison for ax in figure.axes)


def test_before_is_above_after():
    figure = plotting.before_after(WHITE, BLACK, WHITE, caption="visit 1")
    assert isinstance(figure, Figure)
    titles = [ax.get_title() for ax in figure.axes]
    assert [title.split(":")[0] for title in titles] == ["before"] * 3 + ["after"] * 3
    before, after = (figure.axes[i].images[0].get_array() for i in (0, 3))
    assert (before == [1, 0.5, 0]).all() and (after == [1, 1, 1]).all()
    assert figure.get_supxlabel().startswith("visit 1") and "blue" in figure.get_supxlabel()


def test_the_middle_is_drawn_enlarged():
    dot = BLACK.copy()
    dot[20, 30] = 1
    middle = plotting.before_after(dot, dot, dot).axes[1].images[0].get_array()
    assert middle.shape == (40, 60, 3) and middle[..., 0].sum() == 4


@pytest.mark.parametrize(
    "errors, expected",
    [
        ([3, 1, 2, 5, 4, np.nan], ["best: b", "best: c", "worst: e", "worst: d"]),
        ([3, np.nan, np.nan, 2, np.nan, np.nan], ["best: d", "worst: a"]),
    ],
)
def test_best_and_worst_are_those_of_the_smallest_and_largest_error(errors, expected):
    warped = np.stack([GREY] * 6)
    figure = plotting.best_and_worst(GREY, warped, "abcdef", errors, count=2)
    assert isinstance(figure, Figure)
    assert [ax.get_title().split("\n")[0] for ax in figure.axes] == expected
    assert figure.axes[0].get_title().endswith(f"{np.nanmin(errors):.2f} px")


def test_every_method_has_its_dots_and_its_mean():
    figure, ax = plt.subplots()
    plotting.error_bars(ax, {"nothing": [10.0, 30.0], "rigid": [1.0, 2.0, np.nan]})
    plt.close(figure)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["nothing", "rigid"]
    assert [text.get_text().strip() for text in ax.texts] == ["20.00", "1.50"]


def test_errors_of_methods_are_a_figure_with_a_caption():
    figure = plotting.draw_errors({"nothing": [10.0, 30.0], "rigid": [1.0]}, caption="by method")
    assert figure.get_supxlabel() == "by method"
    assert len(figure.axes[0].get_yticklabels()) == 2


def test_every_error_of_a_method_is_a_mark_on_its_row():
    counts = pd.DataFrame({"accepted": [3, 0], "doubtful": [0, 1], "failed": [0, 2]}, ["a", "b"])
    found = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [10.0, np.nan, 30.0]})
    figure = plotting.errors_by_method(
        counts, {"found": found, "predicted": found[["a"]] / 2}, caption="c"
    )
    errors, bars = figure.axes
    assert [label.get_text() for label in errors.get_yticklabels()] == ["b", "a"]  # upwards
    marks = np.vstack([drawn.get_offsets() for drawn in errors.collections])
    for row, values in ((1, [1, 2, 3, 0.5, 1, 1.5]), (0, [10, 30])):
        assert sorted(marks[np.round(marks[:, 1]) == row, 0]) == sorted(values)
    assert [patch.get_width() for patch in bars.patches] == [0, 3, 1, 0, 2, 0]
    assert errors.get_xscale() == "log" and "c" in figure._supxlabel.get_text()


def test_a_forest_has_the_best_method_on_top_and_its_interval_about_it():
    table = pd.DataFrame(
        {"eyes": 7, "median": [2.0, 0.5], "low": [1.0, 0.4], "high": [4.0, 0.9]}, ["far", "near"]
    )
    ax = plotting.forest(table, caption="c").axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["far", "near"]  # upwards
    bars = [segment[:, 0].tolist() for segment in ax.collections[0].get_segments()]
    assert bars == [[1.0, 4.0], [0.4, 0.9]]
    assert [text.get_text() for text in ax.texts] == ["2.00 (7)", "0.50 (7)"]


def test_ratios_are_drawn_about_the_line_of_no_difference():
    index = pd.MultiIndex.from_tuples([("elastix", "network")])
    columns = {"eyes": 8, "better on": 6, "ratio": 0.5, "ratio low": 0.3, "ratio high": 0.8}
    ax = plotting.ratios(pd.DataFrame(columns, index), caption="c").axes[0]
    assert ax.get_yticklabels()[0].get_text() == "elastix / network"
    assert ax.texts[0].get_text() == "6 of 8"
    assert ax.lines[-1].get_xdata() == [1, 1] and ax.lines[0].get_xdata() == [0.5]


def test_the_caption_of_an_overlay_says_which_image_is_brighter():
    fixed, moving = np.ones((4, 4)), np.ones((4, 4))
    moving[1, 1] = fixed[2, 2] = 0  # something dark that only one of them shows
    picture = plotting.overlay(fixed, moving)
    assert picture[1, 1].tolist() == [1, 0.5, 0] and picture[2, 2].tolist() == [0, 0.5, 1]
    words = "orange: one is brighter, blue: other is brighter, grey: both agree"
    assert overlay_caption("one", "other") == words


def test_axes_are_called_as_in_tables():
    rows = {"landmark_error_px": [1.0, 2.0], "predicted_error_px": [1.5, 2.5]}
    table = pd.DataFrame(rows | {"verdict": ["accepted", "doubtful"]})
    ax = plotting.predicted_against_found(Figure().subplots(), table)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("landmark error (px)", "predicted error (px)")
