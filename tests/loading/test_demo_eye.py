"""The demo eye is what its truth says."""

from itertools import combinations

import cv2
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from skimage.io import imread

from fundus_helpers.loading import demo_eye, visits
from fundus_helpers.loading.demo_eye import make_demo_eye, read_truth, true_points, true_transform

SIZE = 192


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Make both demo patients once."""
    folder = tmp_path_factory.mktemp("data")
    for patient in visits.DEMO_PATIENTS:
        make_demo_eye(folder, patient, size=SIZE)
    return folder


@pytest.fixture(scope="module", params=visits.DEMO_PATIENTS)
def folder(data, request):
    """Return each demo patient's folder."""
    return data / request.param


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
    assert set(np.unique(lesion)) == {0, 255}
    return cv2.dilate(lesion, np.ones((2 * margin + 1, 2 * margin + 1))) > 0


def test_files_and_layout(folder):
    """Twelve usable visits, a hopeless one, an excluded one of another size, nothing left over."""
    visits = read_truth(folder)["visits"]
    photographs = sorted(path.name for path in folder.glob("*.png"))
    assert photographs == [f"{folder.name}_{visit['date']}_L.png" for visit in visits]
    assert photographs == [visit["file"] for visit in visits]
    assert len(visits) == 14 and len(usable_visits(read_truth(folder))) == 12
    channels = (3,) if folder.name == "demo_colour" else ()
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
    assert sorted(path.name for path in (folder / "truth").iterdir()) == [
        f"lesion_{visit['file']}" for visit in visits if visit["usable"]
    ]
    assert not list(folder.parent.glob(".making_*"))


def test_same_settings_same_bytes(data, tmp_path):
    """A second eye is the same to the byte, another seed is not."""
    patient = "demo_autofluorescence"
    again = make_demo_eye(tmp_path / "same", patient, size=SIZE)
    files = [path for path in (data / patient).rglob("*") if path.is_file()]
    for path in files:
        assert path.read_bytes() == (again / path.relative_to(data / patient)).read_bytes()
    other = make_demo_eye(tmp_path / "other", patient, size=SIZE, seed=1)
    name = read_truth(other)["visits"][0]["file"]
    assert (other / name).read_bytes() != (again / name).read_bytes()


def test_lesion_grows_as_stated(folder):
    """The masks, carried to the anatomy, have the areas stated: from 4 to 12 mm2."""
    truth, stated = read_truth(folder), []
    steps = np.array([[-0.5, 0], [0.5, 0], [0, -0.5], [0, 0.5]])
    for visit in usable_visits(truth):
        rows, columns = np.nonzero(lesion_of(folder, visit["file"]))
        around = np.column_stack([columns, rows])[:, np.newaxis] + steps
        anatomy = demo_eye._to_anatomy(visit["geometry"], SIZE, around.reshape(-1, 2))
        left, right, up, down = np.moveaxis(anatomy.reshape(-1, 4, 2), 1, 0)
        (a, b), (c, d) = (right - left).T, (down - up).T
        area = np.sum(a * d - b * c) * truth["mm_per_pixel"] ** 2
        assert area == pytest.approx(visit["lesion_area_mm2"], rel=0.02)
        stated.append(visit["lesion_area_mm2"])
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


def test_landmarks_lie_on_vessels(data):
    """In autofluorescence, where vessels are dark, landmarks are darker than around."""
    folder = data / "demo_autofluorescence"
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
