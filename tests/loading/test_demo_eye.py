"""The demo eye is what its truth says."""

from itertools import combinations

import cv2
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import tifffile
from skimage.io import imread
from skimage.measure import label

from fundus_helpers.loading import demo_eye, visits
from fundus_helpers.loading.demo_eye import (
    make_demo_eye,
    read_truth,
    true_fovea,
    true_onset,
    true_points,
    true_transform,
)
from fundus_helpers.loading.painted.atrophy import WINDOW, draw_spread, paint_atrophic_retina
from fundus_helpers.loading.painted.geometry import to_anatomy
from fundus_helpers.loading.painted.retina import MM_PER_SOURCE_PIXEL
from fundus_helpers.methods import METHODS
from fundus_helpers.metrics.measures import landmark_errors

SIZE = 192
HARD = ("demo_atrophy", "demo_atrophy_colour")  # their lesions are as hard to see as real ones


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Make the demo patients once."""
    folder = tmp_path_factory.mktemp("data")
    for patient in visits.DEMO_PATIENTS:
        make_demo_eye(folder, patient, size=SIZE)
    return folder


@pytest.fixture(scope="module", params=visits.DEMO_PATIENTS)
def folder(data, request):
    """Return each demo patient's folder."""
    return data / request.param


@pytest.fixture(params=HARD)
def hard_folder(data, request):
    """Return the folder of each demo patient with hard atrophy."""
    return data / request.param


def years_of(truth, visit):
    """Return the years from the first visit to another one."""
    first, date = (np.datetime64(v["date"]) for v in (truth["visits"][0], visit))
    return int((date - first).astype(int)) / 365.25


def usable_visits(truth):
    """Return the usable visits in order of date."""
    return [visit for visit in truth["visits"] if visit["usable"]]


def vessel_channel(path):
    """Return the channel (float32) with most vessel contrast: green, or grey."""
    return np.atleast_3d(imread(path))[..., :2][..., -1].astype(np.float32)


def locally_normalised(image):
    """Return an image, its grain smoothed, with local mean 0 and local deviation 1."""
    centred = cv2.GaussianBlur(image, (0, 0), 1) - cv2.GaussianBlur(image, (0, 0), 8)
    return centred / np.sqrt(cv2.GaussianBlur(centred**2, (0, 0), 8) + 1)


def lesion_of(folder, file, margin=0):
    """Return the lesion (bool), grown by a margin in pixels."""
    lesion = imread(folder / "truth" / f"lesion_{file}")
    values = set(np.unique(lesion))
    assert values == {0, 255} or (values == {0} and folder.name in HARD)
    return cv2.dilate(lesion, np.ones((2 * margin + 1, 2 * margin + 1))) > 0


def test_files_and_layout(folder):
    """Twelve usable visits, a hopeless one, an excluded one of another size, nothing left over."""
    visits = read_truth(folder)["visits"]
    photographs = sorted(path.name for path in folder.glob("*.png"))
    assert photographs == [f"{folder.name}_{visit['date']}_L.png" for visit in visits]
    assert photographs == [visit["file"] for visit in visits]
    assert len(visits) == 14 and len(usable_visits(read_truth(folder))) == 12
    channels = (3,) if read_truth(folder)["look"] == "colour" else ()
    for visit in visits:
        image = imread(folder / visit["file"])
        assert image.dtype == np.uint8
        usual_size = not visit["why_not"].startswith("another camera")
        assert (image.shape == (SIZE, SIZE, *channels)) == usual_size
        quarter = len(image) // 4
        middle = vessel_channel(folder / visit["file"])[quarter:-quarter, quarter:-quarter]
        detail = cv2.GaussianBlur(middle, (0, 0), 1) - cv2.GaussianBlur(middle, (0, 0), 8)
        assert (detail.std() < 3) == visit["why_not"].startswith("hopeless")
        assert image.max() > 20  # dark, but not black
    files = [visit["file"] for visit in visits if visit["usable"]]
    expected = [f"lesion_{file}" for file in files]
    if folder.name in HARD:
        expected += [f"onset_{file[:-4]}.tif" for file in files]
    assert sorted(path.name for path in (folder / "truth").iterdir()) == expected
    assert not list(folder.parent.glob(".making_*"))


@pytest.mark.parametrize("patient", ["demo_autofluorescence", "demo_atrophy"])
def test_same_settings_same_bytes(data, tmp_path, patient):
    """A second eye is the same to the byte, another seed is not."""
    again = make_demo_eye(tmp_path / "same", patient, size=SIZE)
    files = [path for path in (data / patient).rglob("*") if path.is_file()]
    for path in files:
        assert path.read_bytes() == (again / path.relative_to(data / patient)).read_bytes()
    other = make_demo_eye(tmp_path / "other", patient, size=SIZE, seed=1)
    name = read_truth(other)["visits"][0]["file"]
    assert (other / name).read_bytes() != (again / name).read_bytes()


def test_lesion_grows_as_stated(folder):
    """The masks, carried to the anatomy, have the areas stated: from 4, or none, to 12 mm2."""
    truth, stated, hard = read_truth(folder), [], folder.name in HARD
    steps = np.array([[-0.5, 0], [0.5, 0], [0, -0.5], [0, 0.5]])
    for visit in usable_visits(truth):
        rows, columns = np.nonzero(lesion_of(folder, visit["file"]))
        around = np.column_stack([columns, rows])[:, np.newaxis] + steps
        stated.append(visit["lesion_area_mm2"])
        if not len(rows):
            assert stated == [0] and hard
            continue
        anatomy = to_anatomy(visit["geometry"], SIZE, around.reshape(-1, 2))
        left, right, up, down = np.moveaxis(anatomy.reshape(-1, 4, 2), 1, 0)
        (a, b), (c, d) = (right - left).T, (down - up).T
        area = np.sum(a * d - b * c) * truth["mm_per_pixel"] ** 2
        # A pixel has 0.002 mm2, so that the least lesions cannot be more exact.
        tolerance = {"rel": 0.01, "abs": 0.025} if hard else {"rel": 0.02}
        assert area == pytest.approx(visit["lesion_area_mm2"], **tolerance)
    if hard:
        assert stated[0] == 0 and 5 < stated[-1] < 12
    else:
        assert stated[0] == pytest.approx(4) and stated[-1] == pytest.approx(12)
    assert np.all(np.diff(stated) > 0.1)


def test_lesion_is_where_the_photograph_is_dark(data):
    """In autofluorescence the mask marks the dark pixels."""
    folder = data / "demo_autofluorescence"
    for visit in usable_visits(read_truth(folder)):
        image = imread(folder / visit["file"])
        lesion = lesion_of(folder, visit["file"])
        inside = cv2.erode(lesion.astype(np.uint8), np.ones((5, 5))) > 0
        assert image[inside].mean() < 0.35 * np.median(image[~lesion])


def test_true_points_forth_and_back(folder):
    """Every pair of maps is inverse to one another, and is not the identity."""
    truth = read_truth(folder)
    points = np.random.default_rng(0).uniform(0, SIZE - 1, (50, 2))
    files = [visit["file"] for visit in usable_visits(truth)]
    for fixed, moving in combinations(files, 2):
        there = true_points(truth, fixed, moving, points)
        assert np.abs(there - points).max() > 1
        assert np.abs(true_points(truth, moving, fixed, there) - points).max() < 1e-6


def test_true_points_of_unusable_visit(folder):
    """There is no truth for a visit that cannot be used."""
    truth = read_truth(folder)
    usable = usable_visits(truth)[0]["file"]
    for visit in truth["visits"]:
        if not visit["usable"]:
            with pytest.raises(ValueError, match="usable visits are"):
                true_points(truth, usable, visit["file"], np.zeros((1, 2)))


def test_landmarks_agree_with_truth(folder):
    """Twenty points for every pair, in both frames, off the lesion, where the truth puts them."""
    truth, table = read_truth(folder), pd.read_csv(folder / "landmarks.csv")
    assert ",".join(table) == "fixed_file,moving_file,fixed_x,fixed_y,moving_x,moving_y"
    files = [visit["file"] for visit in usable_visits(truth)]
    pairs = table.groupby(["fixed_file", "moving_file"], sort=False)
    assert [pair for pair, _ in pairs] == list(combinations(files, 2))
    for (fixed, moving), rows in pairs:
        here, there = rows[["fixed_x", "fixed_y"]].values, rows[["moving_x", "moving_y"]].values
        assert len(here) == 20
        assert np.abs(true_points(truth, fixed, moving, here) - there).max() < 0.01
        for file, points in ((fixed, here), (moving, there)):
            assert np.abs(points - (SIZE - 1) / 2).max() < 0.96 * SIZE / 2
            column, row = np.rint(points).astype(int).T
            assert not lesion_of(folder, file)[row, column].any()
        assert np.ptp(here, axis=0).min() > SIZE / 2  # spread over the frame


@pytest.mark.parametrize("patient", ["demo_autofluorescence", "demo_atrophy"])
def test_landmarks_lie_on_vessels(data, patient):
    """In autofluorescence, where vessels are dark, landmarks are darker than around."""
    folder = data / patient
    table = pd.read_csv(folder / "landmarks.csv").drop_duplicates(["fixed_file", "fixed_x"])
    contrast = []
    for file, rows in table.groupby("fixed_file"):
        image = cv2.GaussianBlur(imread(folder / file), (0, 0), 0.7)
        column, row = np.rint(rows[["fixed_x", "fixed_y"]].values).astype(int).T
        contrast.append(image[row, column] / cv2.medianBlur(image, 21)[row, column])
    assert np.median(np.concatenate(contrast)) < 0.8


def test_true_transform_agrees_with_true_points(folder):
    """The dense field carries the landmarks to where the exact map does."""
    truth, table = read_truth(folder), pd.read_csv(folder / "landmarks.csv")
    fixed, moving = (usable_visits(truth)[i]["file"] for i in (0, -1))
    rows = table[(table.fixed_file == fixed) & (table.moving_file == moving)]
    points = rows[["fixed_x", "fixed_y"]].values
    transform = true_transform(truth, fixed, moving)
    carried = np.array([transform.TransformPoint(point) for point in points.tolist()])
    assert np.abs(carried - true_points(truth, fixed, moving, points)).max() < 0.02


def test_photographs_show_the_true_geometry(folder):
    """Warped by the truth, vessels of a later visit lie on those of the first."""
    truth = read_truth(folder)
    first, *others = usable_visits(truth)
    y, x = np.indices((SIZE, SIZE))
    in_view = np.hypot(x - SIZE / 2, y - SIZE / 2) < 0.85 * SIZE / 2
    fixed = locally_normalised(vessel_channel(folder / first["file"]))
    healthy = in_view & ~lesion_of(folder, first["file"], margin=4)
    for visit in others[::3]:
        moving = locally_normalised(vessel_channel(folder / visit["file"]))
        usable = in_view & ~lesion_of(folder, visit["file"], margin=4)
        truly = true_transform(truth, first["file"], visit["file"])
        correlations = []
        for transform in (truly, sitk.Transform(2, sitk.sitkIdentity)):
            there, seen = (
                sitk.GetArrayFromImage(sitk.Resample(sitk.GetImageFromArray(image), transform))
                for image in (moving, usable.astype(np.float32))
            )
            inside = healthy & (seen > 0.99)
            correlations.append(np.corrcoef(fixed[inside], there[inside])[0, 1])
        assert correlations[0] > 0.5 and correlations[0] > correlations[1] + 0.2


def test_what_is_there_is_kept_or_refused(data, tmp_path):
    """The same settings return at once; other settings, or a strange folder, are an error."""
    path = data / "demo_colour" / "truth.json"
    before = path.stat().st_mtime_ns
    assert make_demo_eye(data, "demo_colour", size=SIZE) == path.parent
    assert path.stat().st_mtime_ns == before
    with pytest.raises(ValueError, match=r"'size': 192.*'size': 256.*delete"):
        make_demo_eye(data, "demo_colour", size=256)
    (tmp_path / "demo_colour").mkdir()
    with pytest.raises(ValueError, match="delete"):
        make_demo_eye(tmp_path, size=SIZE)
    with pytest.raises(FileNotFoundError, match="truth.json"):
        read_truth(tmp_path / "demo_colour")


def test_interruption_leaves_nothing(tmp_path, monkeypatch):
    """An eye that could not be finished does not exist."""

    def full_disk(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(demo_eye, "paint_retina", full_disk)
    with pytest.raises(OSError, match="disk full"):
        make_demo_eye(tmp_path, size=48)
    assert list(tmp_path.iterdir()) == []


def test_unknown_patient(tmp_path):
    """The error names the patients there are."""
    with pytest.raises(ValueError, match="demo_colour, demo_autofluorescence"):
        make_demo_eye(tmp_path, "demo_infrared")


def test_onset_is_where_the_masks_are(folder):
    """At every visit there is atrophy where the onset is at most the time of the visit."""
    truth = read_truth(folder)
    times = [years_of(truth, visit) for visit in usable_visits(truth)]
    for visit, years in zip(usable_visits(truth), times, strict=True):
        onset = true_onset(truth, visit["file"])
        assert onset.dtype == np.float32 and onset.shape == (SIZE, SIZE) and onset.min() >= 0
        dead = onset <= np.float32(years)
        np.testing.assert_array_equal(dead, lesion_of(folder, visit["file"]))
        assert onset[np.isfinite(onset)].max() <= np.float32(times[-1])
        written = folder / "truth" / f"onset_{visit['file'][:-4]}.tif"
        if folder.name in HARD:
            np.testing.assert_array_equal(tifffile.imread(written), onset)
            assert onset.min() > 0  # nothing is atrophic at the first visit
        else:
            assert (onset == 0).any() and not written.exists()


def test_onset_is_of_the_retina_not_of_the_visit(folder):
    """The onset of a point is the same on the grid of two visits."""
    truth = read_truth(folder)
    fixed, moving = (usable_visits(truth)[i]["file"] for i in (3, -1))
    onset = true_onset(truth, fixed)
    rows, columns = np.nonzero(np.isfinite(onset) & (onset > 0))
    there = true_points(truth, fixed, moving, np.column_stack([columns, rows]))
    seen = cv2.remap(
        np.minimum(true_onset(truth, moving), 10), *np.float32(there.T[:, None]), cv2.INTER_LINEAR
    )[0]
    assert np.median(np.abs(seen - onset[rows, columns])) < 0.02


def test_fovea_moves_with_the_retina(folder):
    """Every visit shows the fovea where the geometry puts it, at a dark spot of the retina."""
    truth = read_truth(folder)
    first, *others = (visit["file"] for visit in usable_visits(truth))
    fovea = true_fovea(truth, first)
    for file in others:
        there = true_points(truth, first, file, fovea[np.newaxis])[0]
        assert np.abs(there - true_fovea(truth, file)).max() < 1e-6
    if folder.name in HARD:
        image, (x, y) = vessel_channel(folder / first), np.rint(fovea).astype(int)
        ring = np.abs(np.hypot(*(np.indices(image.shape) - fovea[::-1, None, None])) - 35) < 3
        assert image[y - 3 : y + 4, x - 3 : x + 4].mean() < 0.9 * np.median(image[ring])
    unusable = next(visit["file"] for visit in truth["visits"] if not visit["usable"])
    for function in (true_fovea, true_onset):
        with pytest.raises(ValueError, match="usable visits are"):
            function(truth, unusable)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_foci_appear_grow_and_merge(seed):
    """Ten to twenty foci appear with at least 0.02 mm2, grow from then on, and merge."""
    spread = draw_spread(np.random.default_rng(seed))
    assert 10 <= len(spread.foci) <= 20
    times = [focus.years for focus in spread.foci]
    assert times == sorted(times) and times[0] > 0 and times[-1] < 4.3
    assert 3 <= np.sum(np.array(times) < 0.5) <= 5
    areas = []
    for (x, y), years in spread.places():
        now, before = (label(spread.onset <= t) for t in (years + 0.002, years - 0.002))
        row, column = y - WINDOW[0].start, x - WINDOW[1].start
        assert before[row, column] == 0 < now[row, column]  # the focus was not there before
        areas.append(np.sum(now == now[row, column]) * MM_PER_SOURCE_PIXEL**2)
        assert np.hypot(row - len(now) / 2, column - len(now) / 2) * MM_PER_SOURCE_PIXEL < 2.6
    assert min(areas) > 0.019 and sorted(areas)[2] < 0.04
    assert label(spread.onset <= 6.02).max() < len(times) / 2
    edge = np.concatenate([spread.onset[[0, -1]].ravel(), spread.onset[:, [0, -1]].ravel()])
    assert edge.min() > 10  # the lesion stays away from the edge of the frame


@pytest.mark.parametrize("look", ["autofluorescence", "colour"])
def test_level_of_the_lesion_is_that_of_real_eyes(look):
    """Without camera: 0.3 to 0.75 of healthy in autofluorescence, falling; lighter in colour."""
    retina = paint_atrophic_retina(look, np.random.default_rng(0), [2.0])
    onset, times = retina.spread.onset, (1.0, 2.5, 4.0, 6.0)
    healthy = retina.scene(0)[-1][WINDOW]
    # In colour, blue shows the lesion best, as it is free of the strong red of the retina.
    levels = [retina.scene(years)[-1][WINDOW] / healthy for years in times]
    for years, level in zip(times, levels, strict=True):
        inside = cv2.erode(np.uint8(onset <= years), np.ones((9, 9))) > 0
        away = cv2.dilate(np.uint8(onset <= years), np.ones((71, 71))) == 0
        assert np.median(np.abs(level[away] - 1)) < 0.01
        if look == "autofluorescence":
            assert 0.3 < np.median(level[inside]) < 0.75
            assert 0.25 < np.quantile(level[inside], 0.02) < np.quantile(level[inside], 0.98) < 0.9
        else:
            assert np.median(level[inside]) > 1.2
    early = cv2.erode(np.uint8(onset <= times[0]), np.ones((9, 9))) > 0
    course = np.diff([np.median(level[early]) for level in levels])
    assert np.all(course < 0 if look == "autofluorescence" else course > 0)


def test_border_is_half_way_between_inside_and_outside():
    """Where the onset is the time of the visit, half of the change of the level is reached."""
    retina = paint_atrophic_retina("autofluorescence", np.random.default_rng(1), [2.0])
    years = 4.0
    plain = retina.scene(0)[0][WINDOW]
    bare = type(retina)(**{**vars(retina), "rim": 0 * retina.rim, "mottle": 0 * retina.mottle})
    border = np.abs(retina.spread.border(years)) < 0.1 * MM_PER_SOURCE_PIXEL
    half = (1 + retina.first) / 2
    relative = bare.scene(years)[0][WINDOW] / plain
    assert np.median(np.abs(relative - half)[border]) < 0.02


def test_hard_eyes_change_their_camera(hard_folder):
    """From one visit on, the retina appears larger or smaller than before."""
    truth = read_truth(hard_folder)
    usable = usable_visits(truth)
    scales = [np.sqrt(np.linalg.det(np.array(v["geometry"]["homography"])[:2, :2])) for v in usable]
    change = [visit["date"] for visit in usable].index(truth["new_camera"])
    assert 4 <= change <= 7
    ratio = np.mean(scales[:change]) / np.mean(scales[change:])
    assert 0.015 < abs(ratio - 1) < 0.13


def test_hard_eyes_differ_in_everything(tmp_path):
    """Another seed has other vessels, foci and light, even at the first visit."""
    pair = [
        paint_atrophic_retina("autofluorescence", np.random.default_rng(s), [2.0]) for s in (0, 1)
    ]
    middle = np.s_[400:1000, 400:1000]
    vessels = [cv2.GaussianBlur(retina.vessels[middle], (0, 0), 2).ravel() for retina in pair]
    assert np.corrcoef(vessels)[0, 1] < 0.6
    assert pair[0].spread.foci[0].years != pair[1].spread.foci[0].years
    assert pair[0].cameras != pair[1].cameras


def test_hard_eyes_can_be_registered(tmp_path):
    """Keypoints register the last visit on the first to within a pixel."""
    folder = make_demo_eye(tmp_path, "demo_atrophy", size=512)
    usable = [visit["file"] for visit in usable_visits(read_truth(folder))]
    fixed, moving = (imread(folder / file).astype(np.float32) / 255 for file in usable[::11])
    found = METHODS["keypoints"](fixed, moving)
    table = pd.read_csv(folder / "landmarks.csv")
    rows = table[(table.fixed_file == usable[0]) & (table.moving_file == usable[-1])]
    errors = landmark_errors(
        found, rows[["fixed_x", "fixed_y"]].values, rows[["moving_x", "moving_y"]].values
    )
    assert errors.mean() < 1
