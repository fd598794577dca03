"""What is saved of the atrophy of an eye is what was found, on the grids where it belongs."""

import dataclasses
import datetime
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tifffile
from skimage.io import imread

from fundus_helpers import transforms
from fundus_helpers.atrophy import (
    Atrophy,
    Hints,
    OnsetMap,
    RegisteredVisits,
    SavedHints,
    hints_on_disk,
    read_told,
    save_atrophy,
    scale_given,
    tell_growth,
)
from fundus_helpers.atrophy.cohort import read_areas
from fundus_helpers.atrophy.outlines import write_outlines
from fundus_helpers.loading.demo_eye import read_truth, true_transform
from fundus_helpers.loading.eye import load_eye
from fundus_helpers.loading.eye_error import EyeError

SHAPE, MIDDLE = (90, 120), (60.0, 40.0)
DISTANCE = np.hypot(*[a - b for a, b in zip(np.indices(SHAPE)[::-1], MIDDLE, strict=True)])
DATES = tuple(datetime.date(2018 + i, 1, 1) for i in range(4))
TURNED = transforms.from_matrix([[0.98, -0.1, 4.0], [0.1, 0.98, -3.0]])


def follow(radii=(8, 12, 16, 20), *, healed=0.0, mm_per_pixel=0.01, dates=DATES, **told):
    """Return the atrophy of an eye with a round lesion; its second visit is turned and shifted.

    The photograph of the template has two pixels per pixel of the grid, all others three.
    """
    count = len(radii)
    masks = np.stack([radius > DISTANCE for radius in radii])
    errors = np.full((count, *SHAPE), 0.3, np.float32)
    errors[0] = 0
    visits = RegisteredVisits(
        names=tuple("abcd"[:count]),
        files=tuple(f"{name}.png" for name in "abcd"[:count]),
        dates=dates[:count],
        positions=tuple(range(1, count + 1)),
        images=np.full((count, *SHAPE), 0.5, np.float32),
        masks=np.ones((count, *SHAPE), bool),
        errors=errors,
        transforms=tuple(TURNED if i == 1 else transforms.identity() for i in range(count)),
        factors=(2.0, 3.0, 3.0, 3.0)[:count],
        template_factor=2.0,
        modality="autofluorescence",
        left_out={"z": "its registration is failed: no common vessels were found"},
        template="a",
    )
    position = (count - masks.sum(axis=0)).astype(np.int16)
    seen = np.ones(SHAPE, bool)
    seen[:10, :10] = False
    onset = OnsetMap(position, visits.years, seen, healed, np.zeros(SHAPE, bool))
    scale = scale_given(mm_per_pixel) if mm_per_pixel else None
    found = ("found",) * count
    return Atrophy(visits, onset, scale, told.pop("hints", Hints()), found, **told)


def eye_of(atrophy):
    """Return what is needed of the eye: another, unused visit comes first."""
    shapes = [tuple(round(f * n) for n in SHAPE) for f in atrophy.visits.factors]
    names = ["unused", *atrophy.visits.names]
    return SimpleNamespace(full_shapes=[(7, 7), *shapes], index=names.index)


def saved(folder, atrophy, **more):
    """Save; return the names of all files in the folder."""
    save_atrophy(folder, atrophy, eye_of(atrophy), **more)
    return sorted(path.name for path in folder.iterdir())


def growth_of(folder):
    return json.loads((folder / "growth.json").read_text())


def test_outlines_lie_where_each_photograph_shows_the_lesion(tmp_path):
    atrophy = follow()
    names = saved(tmp_path, atrophy)
    outlines = [f"{name}_atrophy.png" for name in "abcd"]
    assert names == sorted(["atrophy.csv", "growth.json", "onset.tif", *outlines])
    table = pd.read_csv(tmp_path / "atrophy.csv").set_index("visit")
    for i, name in enumerate("abcd"):
        mask = imread(tmp_path / f"{name}_atrophy.png")
        factor, move = atrophy.visits.factors[i], atrophy.visits.transforms[i]
        assert mask.shape == tuple(round(factor * n) for n in SHAPE)
        assert mask.dtype == np.uint8 and {*np.unique(mask)} == {0, 255}
        place = transforms.rescale_points(transforms.map_points(move, [MIDDLE])[0], factor)
        rows, columns = np.nonzero(mask)
        assert np.abs(place - (columns.mean(), rows.mean())).max() < 0.5
        assert (mask > 0).sum() == pytest.approx(table["area_px"][name], rel=0.01)


def test_the_onset_map_has_the_grid_of_the_template_and_agrees_with_its_outline(tmp_path):
    atrophy = follow()
    saved(tmp_path, atrophy)
    with tifffile.TiffFile(tmp_path / "onset.tif") as file:
        onset, words = file.asarray(), file.pages[0].description
        assert file.pages[0].compression != 1
    assert onset.dtype == np.float32 and onset.shape == (180, 240)
    assert "years" in words and "2018-01-01" in words and "2021-01-01" in words
    first = imread(tmp_path / "a_atrophy.png") > 0
    np.testing.assert_array_equal(onset == 0, first)
    assert np.isnan(onset[:18, :18]).all() and np.isinf(onset[-1, -1])
    assert np.isfinite(onset).sum() == pytest.approx(np.pi * 40**2, rel=0.02)
    x, y = transforms.rescale_points(np.array(MIDDLE) + (14, 0), 2.0).round().astype(int)
    assert onset[y, x] == pytest.approx(1.5, abs=0.15)  # half way between the second and the third


def test_what_is_told_beside_the_rates(tmp_path):
    hints = Hints(ellipse=(60.0, 40.0, 30.0, 25.0, 20.0), fovea=(99.5, 49.5), first_free=False)
    atrophy = follow(hints=hints, remarks=("b_atrophy.png: is for 3 x 4 px",))
    saved(tmp_path, atrophy, code="1.0+abc")
    growth = growth_of(tmp_path)
    assert growth["hints"]["ellipse"] == [120.5, 80.5, 60.0, 50.0, 20.0]
    assert growth["hints"]["fovea"] == [199.5, 99.5]
    assert growth["template"] == "a" and growth["code"] == "1.0+abc"
    assert growth["scale"].startswith("0.01 mm per pixel (given; lengths uncertain by 3 %")
    rate = {rate["key"]: rate for rate in growth["rates"]}["square_root_growth"]
    assert rate["unit"] == "mm/year"
    assert rate["value"] == pytest.approx(np.sqrt(np.pi) * 4 * 0.02, rel=0.03)
    assert rate["low"] < rate["value"] < rate["high"]
    words, measured = tell_growth(tmp_path)
    assert measured and "square-root growth: 0.14" in words
    assert "z: left out, its registration is failed" in words and "is for 3 x 4 px" in words


def test_a_rerun_leaves_the_same_bytes_and_nothing_stale(tmp_path):
    names = saved(tmp_path, follow())
    before = {name: (tmp_path / name).read_bytes() for name in names}
    assert saved(tmp_path, follow()) == names
    assert {name: (tmp_path / name).read_bytes() for name in names} == before
    assert "d_atrophy.png" not in saved(tmp_path, follow((8, 12)))


def test_a_refused_map_leaves_the_reasons_and_no_map_and_no_numbers(tmp_path):
    saved(tmp_path, follow())
    assert saved(tmp_path, follow(healed=0.3)) == ["atrophy.csv", "growth.json"]
    growth = growth_of(tmp_path)
    assert growth["verdict"] == "failed" and growth["rates"] == []
    assert (
        "30 % of the last lesion is atrophic at one visit and healthy at a later one"
        in growth["reasons"][0]
    )
    table = pd.read_csv(tmp_path / "atrophy.csv")
    assert table["reason"].notna().all() and table["area_px"].isna().all()
    words, measured = tell_growth(tmp_path)
    assert not measured and "healthy at a later one" in words


def test_an_eye_without_atrophy_says_so(tmp_path):
    saved(tmp_path, follow((0, 0, 0)))
    growth = growth_of(tmp_path)
    assert growth["no_atrophy"] and growth["rates"] == []
    words, measured = tell_growth(tmp_path)
    assert measured and words.startswith("no atrophy was found at any visit")
    assert pd.read_csv(tmp_path / "atrophy.csv")["area_px"].dropna().eq(0).all()
    assert not imread(tmp_path / "c_atrophy.png").any()
    assert np.isinf(tifffile.imread(tmp_path / "onset.tif")).any()


@pytest.mark.parametrize(
    ("radii", "dates"), [((12,), DATES), ((8, 12), DATES), ((12, 12), (DATES[0],) * 2)]
)
def test_few_visits_and_equal_dates_have_areas(tmp_path, radii, dates):
    saved(tmp_path, follow(radii, dates=dates))
    growth = growth_of(tmp_path)
    assert growth["verdict"] == "accepted"
    assert bool(growth["rates"]) == (len({*dates[: len(radii)]}) > 1)
    table = pd.read_csv(tmp_path / "atrophy.csv")
    assert (table["area_px"].dropna() > 0).sum() == len(radii)
    if not growth["rates"]:
        assert growth["notes"]


def test_a_cohort_reads_the_areas_that_were_saved(tmp_path):
    saved(tmp_path / "007_L" / "12_atrophy", follow(hints=Hints(fovea=(100.0, 60.0))))
    table, left_out = read_areas(tmp_path)
    assert table["visit"].tolist() == [*"abcd"]
    assert [(row["visit"], row["reason"][:22]) for row in left_out] == [
        ("z", "its registration is fa")
    ]


@pytest.fixture(scope="module")
def painted(demo):
    """Return a demo eye and two of its visits, laid on each other exactly."""
    eye = load_eye(demo, "demo_atrophy", "L", size=96)
    truth = read_truth(eye.folder)
    usable = {visit["file"] for visit in truth["visits"] if visit["usable"]}
    used = [i for i, file in enumerate(eye.used["file"]) if file in usable][-2:]
    files = [eye.used["file"][i] for i in used]
    moves = [transforms.rescale(true_transform(truth, files[0], f), 0.5) for f in files]
    visits = RegisteredVisits(
        names=tuple(eye.names[i] for i in used),
        files=tuple(files),
        dates=tuple(eye.used["date"][i] for i in used),
        positions=tuple(used),
        images=eye.images[used],
        masks=eye.masks[used],
        errors=np.zeros((2, 96, 96), np.float32),
        transforms=tuple(moves),
        factors=(2.0, 2.0),
        template_factor=2.0,
        modality="autofluorescence",
        left_out={},
        template=eye.names[used[0]],
    )
    return eye, visits


def test_the_scale_of_a_demo_eye_is_that_of_its_template(painted):
    eye, visits = painted
    told = read_told(eye, visits)
    assert told.scale.source == "painted, known exactly" and told.scale.uncertainty == 0
    across = transforms.area(transforms.displacement(visits.transforms[1], visits.shape)).mean()
    other = read_told(eye, dataclasses.replace(visits, template=visits.names[1]))
    zoom = told.scale.mm_per_pixel / other.scale.mm_per_pixel
    assert zoom == pytest.approx(np.sqrt(across), rel=0.01)
    stranger = dataclasses.replace(eye, patient="007")
    assert read_told(stranger, visits).scale is None


def test_a_given_scale_counts_more_than_the_painted_one(painted):
    assert read_told(*painted, mm_per_pixel=0.03).scale.mm_per_pixel == 0.03


def test_scales_that_contradict_each_other_are_named_and_leave_pixels(painted):
    eye, visits = painted
    table = eye.visits.assign(mm_per_pixel=0.045)
    told = read_told(dataclasses.replace(eye, visits=table), visits, mm_per_pixel=0.02)
    (remark,) = told.remarks
    assert told.scale is None and "two scales contradict each other" in remark
    assert remark.endswith("until then, areas are in pixels")


def test_hints_are_given_in_pixels_of_the_photograph_and_come_back_so(painted):
    told = read_told(*painted, ellipse="100, 80, 60, 50, 20", fovea="99.5 49.5", first_free=True)
    assert told.hints.fovea == (49.5, 24.5) and told.hints.ellipse[2:] == (30.0, 25.0, 20.0)
    back = hints_on_disk(told.hints, 2.0)
    assert back == {
        "ellipse": [100.0, 80.0, 60.0, 50.0, 20.0],
        "fovea": [99.5, 49.5],
        "first_free": True,
    }


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"ellipse": "1 2 3"}, '"x y a b angle": give 5 numbers'),
        ({"fovea": "a b"}, '"x y": give 2 numbers'),
        (
            {"fovea": "500 3"},
            r"fovea \(500, 3\) lies outside the template's photograph of 192 x 192 px",
        ),
        ({"ellipse": "90 192 5 5 0"}, r"ellipse \(90, 192\) lies outside .* 192 x 192 px"),
        ({"ellipse": "90 90 0 10 0"}, "must be larger than 0"),
    ],
)
def test_a_hint_that_cannot_be_right_is_refused(painted, given, words):
    with pytest.raises(EyeError, match=words):
        read_told(*painted, **given)


def test_the_last_pixel_of_the_photograph_is_inside(painted):
    assert read_told(*painted, fovea="191 0").hints.fovea == pytest.approx((95.25, -0.25))


@pytest.mark.parametrize(("length", "why"), [(0, "must be above 0"), (1, "cannot be the scale")])
def test_an_optic_disc_that_cannot_be_is_named_with_its_file_and_leaves_pixels(
    painted, length, why
):
    eye, visits = painted
    disc = (20.0, 30.0, 20.0 + length, 30.0)
    saved = SavedHints(visits.template_file, visits.shape, disc=disc)
    told = read_told(eye, visits, saved=saved)
    (remark,) = told.remarks
    assert told.scale is None and why in remark
    assert remark.startswith(f"hints.json has an optic disc of {2 * length} px in diameter")
    assert remark.endswith("until then, areas are in pixels")


def test_outlines_beside_photographs_are_read_and_bad_ones_named(painted, tmp_path):
    eye, visits = painted
    for file in visits.files:
        (tmp_path / file).write_bytes((eye.folder / file).read_bytes())
    mask = np.zeros((192, 192), bool)
    mask[50:80, 60:90] = True
    write_outlines(tmp_path, {visits.files[0]: mask, visits.files[1]: mask[:100]})
    told = read_told(dataclasses.replace(eye, patient="007", folder=tmp_path), visits)
    assert [*told.outlines] == [visits.files[0]]
    np.testing.assert_array_equal(told.outlines[visits.files[0]].mask, mask)
    (remark,) = told.remarks
    assert "is for 192 x 100 px, but the photograph has 192 x 192 px" in remark


def test_small_foci_are_counted_alike_with_a_scale_and_without():
    """Without a scale, a focus of 75 pixels of an image of 768 counts; shapes tell their unit."""
    for mm_per_pixel, unit in ((0.01, "mm"), (None, "px")):
        atrophy = follow(mm_per_pixel=mm_per_pixel)
        position = atrophy.onset.position
        position[5, 20] = 0  # one pixel of this grid: no focus
        position[70:80, 20:30] = 0
        table = atrophy.table()
        assert table["foci"].dropna().eq(2).all()
        assert {shape.unit for shape in atrophy.shapes} == {unit}
