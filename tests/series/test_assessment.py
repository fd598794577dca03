"""Registration is judged by where landmarks come to lie."""

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage.data import retina as photograph_of_a_retina

from fundus_helpers import transforms
from fundus_helpers.loading.demo_eye import read_truth, true_transform
from fundus_helpers.loading.eye import load_eye
from fundus_helpers.loading.tables.landmarks import LANDMARK_COLUMNS
from fundus_helpers.methods import METHODS
from fundus_helpers.series.assessment import agreement, measure_visits, pairwise_errors
from fundus_helpers.series.outcomes import outcome_records
from fundus_helpers.series.registering import register_series

ERROR = "landmark_error_px"
TEMPLATE = 2


@pytest.fixture(scope="module")
def true_transforms(demo, eye):
    """Return the true transform from the template to each visit; None for the blink."""
    truth = read_truth(demo / "demo_colour")
    usable = [visit["file"] for visit in truth["visits"] if visit["usable"]]
    files = eye.used["file"]
    return [
        true_transform(truth, files[TEMPLATE], file) if file in usable else None for file in files
    ]


@pytest.fixture(scope="module")
def before(eye):
    """Return what is measured before any registration."""
    return measure_visits(eye, TEMPLATE, shown=False)


@pytest.fixture(scope="module")
def after(eye, true_transforms):
    """Return what is measured after the true registration."""
    return measure_visits(eye, TEMPLATE, true_transforms, shown=False)


def test_every_visit_but_the_template_is_measured(eye, before, after):
    others = [name for name in eye.names if name != eye.names[TEMPLATE]]
    assert before.index.tolist() == after.index.tolist() == others
    assert before.columns.equals(after.columns)


def test_the_true_registration_improves_what_is_measured(before, after):
    assert before[ERROR].mean() > 5 and after[ERROR].max() < 0.1
    done = after.dropna().index
    assert len(done) == 11
    for better in ("ncc", "ssim", "mutual_information"):
        assert (after.loc[done, better] > before.loc[done, better]).all()
    assert (after.loc[done, "folding"] == 0).all()


def test_a_failed_registration_is_measured_as_nan(before, after):
    blink = "demo_colour_2018-07-12_L"
    assert after.loc[blink].isna().all()
    assert before.loc[blink, "l1"] > 0


def test_errors_are_full_size_pixels_whatever_the_size_of_the_images(demo, before):
    small = load_eye(demo, "demo_colour", "L", size=96)
    at_half_size = measure_visits(small, TEMPLATE, shown=False)
    assert np.allclose(at_half_size[ERROR], before[ERROR], equal_nan=True)


def test_true_transforms_bring_every_two_visits_together(eye, true_transforms):
    errors = pairwise_errors(eye, true_transforms)
    assert errors.index.tolist() == errors.columns.tolist() == eye.names
    known = ~np.isnan(errors.to_numpy())
    assert known.sum() == 12 * 11 and errors.max(axis=None) < 0.1
    blink = eye.names.index("demo_colour_2018-07-12_L")
    assert not known[blink].any() and not known[:, blink].any()


def test_pairwise_errors_are_pixels_of_the_visit_in_the_row(eye):
    double = transforms.from_matrix([[2, 0, 0], [0, 2, 0]])
    found = [transforms.identity(), double, *[None] * (len(eye.names) - 2)]
    errors = pairwise_errors(eye, found)
    here, there = eye.landmarks_between(0, 1)
    assert errors.iloc[0, 1] == pytest.approx(np.linalg.norm(there / 2 - here, axis=1).mean())
    assert errors.iloc[1, 0] == pytest.approx(np.linalg.norm(here * 2 - there, axis=1).mean())


def test_a_landmark_that_a_fold_tears_away_is_infinitely_far(eye):
    x = np.arange(192.0)
    fold = np.where(x > 60, 200.0, 0.0)[None, :, None] * np.ones((192, 1, 1)) * [1.0, 0.0]
    torn = transforms.from_displacement(fold)
    found = [transforms.identity(), torn, *[None] * (len(eye.names) - 2)]
    assert np.isinf(pairwise_errors(eye, found).iloc[0, 1])


def test_without_registration_visits_lie_apart_at_any_size_of_the_images(demo, eye):
    unmoved = [transforms.identity()] * len(eye.names)
    errors = pairwise_errors(eye, unmoved)
    assert errors.min(axis=None) > 0.3 and np.nanmean(errors) > 5
    small = load_eye(demo, "demo_colour", "L", size=96)
    assert np.allclose(pairwise_errors(small, unmoved), errors, equal_nan=True)


def test_registered_visits_agree_with_the_template(eye, true_transforms):
    template, mask = eye.images[TEMPLATE], eye.masks[TEMPLATE]
    unmoved = [transforms.identity() if found else None for found in true_transforms]
    together = agreement(template, mask, eye, true_transforms)
    assert together > 0.5 and together > agreement(template, mask, eye, unmoved) + 0.2
    assert np.isnan(agreement(template, mask, eye, [None] * len(eye.names)))


def test_a_colour_and_a_grey_photograph_are_registered_but_their_pixels_not_compared(tmp_path):
    """Two sizes, two modalities in one eye: landmarks and magnification as they truly are."""
    retina = photograph_of_a_retina()[::4, ::4]
    folder = tmp_path / "p"
    folder.mkdir()
    sizes = {"a_2019-01-01_L.png": 352, "b_2020-01-01_L.png": 264}
    for name, size in sizes.items():
        Image.fromarray(cv2.resize(retina, (size, size), interpolation=cv2.INTER_AREA)).save(
            folder / name
        )
    grey = cv2.resize(np.roll(retina[..., 1], (6, 9), (0, 1)), (264, 264))
    Image.fromarray(grey).save(folder / "c_2021-01-01_L.png")
    points = pd.DataFrame([(*sizes, 100.5, 120.5, 75.25, 90.25)], columns=LANDMARK_COLUMNS)
    points.to_csv(folder / "landmarks.csv", index=False)
    eye = load_eye(tmp_path, "p", "L", size=None)
    masks = {"template_mask": eye.masks[0], "masks": eye.masks}
    method = METHODS["keypoints"]
    found = register_series(method, eye.images[0], eye.images, eye.names, **masks, shown=False)
    after = measure_visits(eye, 0, [each.transform for each in found], shown=False)
    assert after.loc["b_2020-01-01_L", "ncc"] > 0.99
    assert after.loc["b_2020-01-01_L", "landmark_error_px"] < 0.5
    assert np.isnan(after.loc["c_2021-01-01_L", ["ncc", "l1_whole_image"]].astype(float)).all()
    records = outcome_records(eye, 0, {"keypoints": found}, after, {"keypoints": after})
    assert [each["magnification"] for each in records] == pytest.approx([0.75, 0.75], abs=0.01)
    assert all(each["verdict"] == "accepted" for each in records)
