"""The figures of atrophy show what was found, in its place, with its unit, and a caption."""

import dataclasses
import datetime
import io

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from PIL import Image

from fundus_helpers import plotting, transforms
from fundus_helpers.atrophy import Atrophy, Hints, OnsetMap, RegisteredVisits, scale_given

SHAPE = (96, 128)
DATES = tuple(datetime.date(2018 + i, 1, 1) for i in range(4))
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]


def eye(radii=(8, 12, 16, 20), *, mm_per_pixel=0.05, healed=0.0, **hints):
    """Return the atrophy of an eye whose round lesion grows by the same step every year."""
    count = len(radii)
    distance = np.hypot(X - 60, Y - 50)
    masks = np.stack([distance < radius for radius in radii])
    image = np.where(masks[-1], 0.3, 0.7).astype(np.float32)
    visits = RegisteredVisits(
        names=tuple("abcd"[:count]),
        files=tuple(f"{name}.png" for name in "abcd"[:count]),
        dates=DATES[:count],
        positions=tuple(range(count)),
        images=np.stack([image] * count),
        masks=np.ones((count, *SHAPE), bool),
        errors=np.zeros((count, *SHAPE), np.float32),
        transforms=(transforms.identity(),) * count,
        factors=(1.0,) * count,
        template_factor=1.0,
        modality="autofluorescence",
        left_out={},
    )
    places = (distance < 3) & (healed > 0)
    position = (count - masks.sum(axis=0)).astype(np.int16)
    onset = OnsetMap(position, visits.years, np.ones(SHAPE, bool), healed, places)
    scale = scale_given(mm_per_pixel) if mm_per_pixel else None
    return Atrophy(visits, onset, scale, Hints(**hints), ("found",) * count)


def words_of(figure):
    """Return the caption of a figure. Drawing it must not fail."""
    figure.savefig(io.BytesIO(), dpi=40)
    return figure._supxlabel.get_text()


def overlay_of(figure):
    """Return the picture that lies over the photograph."""
    return figure.axes[0].images[1].get_array()


def test_the_onset_map_has_colours_where_atrophy_came_later_and_white_where_it_was():
    figure = plotting.onset_map(eye())
    assert "became atrophic, over the photograph of 2021-01-01" in words_of(figure)
    later, first = (figure.axes[0].images[i].get_array() for i in (1, 2))
    distance = np.hypot(X - 60, Y - 50)
    np.testing.assert_array_equal(~np.ma.getmaskarray(later), (distance >= 8) & (distance < 20))
    np.testing.assert_array_equal(first[..., 3] > 0, distance < 8)
    day = np.datetime64("2019-07-01").astype(int)  # half way between the second and third border
    assert later[50, 60 + 10] == pytest.approx(np.datetime64("2018-07-01").astype(int), abs=50)
    assert later[50, 60 + 14] == pytest.approx(day, abs=50)
    assert figure.axes[0].get_legend().texts[0].get_text() == "at the first visit (2018-01-01)"


def test_the_isochrones_are_one_outline_per_visit():
    figure = plotting.isochrones(eye())
    assert "one line per visit" in words_of(figure)
    lines = [c for c in figure.axes[0].collections if isinstance(c, LineCollection)]
    radii = [np.hypot(*(np.concatenate(each.get_segments()) - (60, 50)).T).mean() for each in lines]
    np.testing.assert_allclose(radii, [8, 12, 16, 20], atol=0.5)
    assert lines[0].get_color()[0].tolist() == [1, 1, 1, 1]
    assert len({tuple(each.get_color()[0]) for each in lines}) == 4


def test_the_growth_curve_has_areas_interval_line_truth_and_what_is_left_out():
    atrophy, day = eye(), datetime.date(2019, 6, 1)
    figure = plotting.growth_curve(atrophy, [day], truth=atrophy.areas * 1.1)
    assert "95 % interval" in words_of(figure)
    area, root = figure.axes
    assert area.get_ylabel() == "area (mm²)"
    assert root.get_ylabel() == "square root of the area (mm)"
    lines = {line.get_label(): line for line in area.lines}
    np.testing.assert_allclose(lines["measured"].get_ydata(), atrophy.areas)
    np.testing.assert_allclose(lines["true"].get_ydata(), atrophy.areas * 1.1)
    assert lines["left out"].get_xdata() == [day, day]
    # pi r² with r growing by 0.2 mm per year: the square root grows by 0.354 mm per year.
    (fitted,) = (line for line in root.lines if line.get_label().startswith("fitted"))
    assert fitted.get_label().startswith("fitted: 0.35") and "mm/year" in fitted.get_label()
    band = area.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() < atrophy.areas[0] and band.max() > atrophy.areas[-1]


def test_without_a_scale_every_axis_is_in_pixels():
    atrophy = eye(mm_per_pixel=None)
    area, root = plotting.growth_curve(atrophy).axes
    assert (area.get_ylabel(), root.get_ylabel()[-4:]) == ("area (px²)", "(px)")
    assert "px²/year" in " ".join(line.get_label() for line in area.lines)
    assert plotting.expansion_map(atrophy).axes[1].get_ylabel() == "border expansion (px/year)"


def test_one_visit_has_its_area_with_its_interval_and_no_growth():
    atrophy = eye((12,))
    figure = plotting.growth_curve(atrophy)
    assert words_of(figure)
    labels = [line.get_label() for line in figure.axes[0].lines]
    assert "measured" in labels and not any("fitted" in label for label in labels)
    assert words_of(plotting.onset_map(atrophy)) and words_of(plotting.isochrones(atrophy))
    assert "No border can be followed" in words_of(plotting.expansion_map(atrophy))


def test_the_border_has_the_colour_of_its_speed():
    figure = plotting.expansion_map(eye())
    assert "2019-01-01, 2020-01-01, 2021-01-01" in words_of(figure)
    speeds = np.asarray(figure.axes[0].collections[0].get_array())
    assert np.median(speeds) == pytest.approx(4 * 0.05, rel=0.05)
    assert figure.axes[1].get_ylabel() == "border expansion (mm/year)"


def test_what_would_have_healed_is_red_in_its_place():
    figure = plotting.healed_map(eye(healed=0.02))
    assert "2.0 % of the last lesion" in words_of(figure)
    red = overlay_of(figure)
    np.testing.assert_array_equal(red[..., 3] > 0, np.hypot(X - 60, Y - 50) < 3)
    assert (red[50, 60, :3] == np.array([0xD5, 0x5E, 0x00]) / 255).all()


def test_zones_are_measured_about_the_fovea():
    figure = plotting.zone_map(eye(fovea=(60.0, 50.0)), "L")
    assert "ETDRS" in words_of(figure)
    shares = figure.axes[1].images[0].get_array()
    assert figure.axes[1].get_yticklabels()[0].get_text() == "centre"
    # The lesion is 0.4 mm in radius at first, so it covers 0.64 of the centre of 0.5 mm.
    assert shares[0, 0] == pytest.approx(64, abs=5) and shares[0, 1:].tolist() == [100, 100, 100]


@pytest.mark.parametrize("missing", [{"mm_per_pixel": None, "fovea": (60.0, 50.0)}, {}])
def test_zones_are_refused_without_fovea_or_scale(missing):
    with pytest.raises(ValueError, match="give fovea and mm_per_pixel"):
        plotting.zone_map(eye(**missing), "L")


def test_an_eye_without_atrophy_is_drawn_with_these_words():
    atrophy = eye((0, 0))
    for draw in (plotting.onset_map, plotting.isochrones, plotting.growth_curve):
        assert "No atrophy was found at any visit." in words_of(draw(atrophy))


def test_all_visits_are_shown_in_turn_each_with_its_outline():
    with Image.open(io.BytesIO(plotting.outline_turns(eye(), size=256))) as turns:
        assert (turns.n_frames, turns.size) == (4, (256, 192))
        yellow = []
        for i in range(4):
            turns.seek(i)
            red, green, blue = np.moveaxis(np.asarray(turns.convert("RGB"), int), 2, 0)
            rows, columns = np.nonzero((red > 180) & (green > 180) & (blue < 120))
            outline = rows > 30  # below the date
            yellow.append(np.hypot(columns - 120.5, rows - 100.5)[outline].mean() / 2)
    np.testing.assert_allclose(yellow, [8, 12, 16, 20], atol=1)
    assert "2018-01-01 to 2021-01-01" in plotting.outline_view(eye()).data


def test_of_many_visits_a_part_is_shown_with_the_first_and_the_last(monkeypatch):
    monkeypatch.setattr("fundus_helpers.plotting.atrophy_turns.MOST_TURNS", 3)
    with Image.open(io.BytesIO(plotting.outline_turns(eye(), size=64))) as turns:
        assert turns.n_frames == 3


def test_pictures_for_the_report_replace_those_of_an_earlier_run(tmp_path):
    every = ["onset.png", "isochrones.png", "growth.png", "outlines.gif"]
    saved = plotting.save_atrophy_pictures(tmp_path, eye())
    assert sorted(path.name for path in saved) == sorted(every)
    saved = plotting.save_atrophy_pictures(tmp_path, eye(healed=0.3))  # refused
    assert [path.name for path in saved] == ["healed.png", "outlines.gif"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["healed.png", "outlines.gif"]
    assert plotting.save_atrophy_pictures(tmp_path, eye((0, 0))) == []
    assert list(tmp_path.iterdir()) == []


def test_points_that_were_never_seen_have_no_colour():
    atrophy = eye()
    seen = X < 100
    atrophy = dataclasses.replace(atrophy, onset=dataclasses.replace(atrophy.onset, seen=seen))
    assert np.ma.getmaskarray(overlay_of(plotting.onset_map(atrophy)))[~seen].all()
