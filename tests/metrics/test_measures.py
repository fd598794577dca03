"""Numbers that say how well images and landmarks lie on each other."""

import re

import numpy as np
import pandas as pd
import pytest
from skimage.metrics import structural_similarity

from fundus_helpers import metrics, plotting, transforms

RNG = np.random.default_rng(0)
A = RNG.random((50, 70), dtype=np.float32)
B = np.clip(0.7 * A + 0.3 * RNG.random((50, 70), dtype=np.float32), 0, 1)
MASK = np.zeros(A.shape, bool)
MASK[15:35, 20:50] = True
POINTS = RNG.uniform(5, 45, (12, 2))


def test_an_image_is_most_similar_to_itself():
    values = metrics.similarity(A, A)
    assert values["l1"] == values["rmse"] == 0
    assert values["ncc"] == pytest.approx(1) and values["ssim"] == pytest.approx(1)
    assert values["normalised_mutual_information"] == pytest.approx(2)
    other = metrics.similarity(A, B)
    assert other["l1"] > 0.05 and other["ssim"] < 0.95 and other["ncc"] < 0.99
    assert values["mutual_information"] > other["mutual_information"] + 0.5


def test_unrelated_images_are_not_similar():
    values = metrics.similarity(A, A[::-1])
    assert abs(values["ncc"]) < 0.1
    assert values["normalised_mutual_information"] < 1.2


def test_differences_are_those_computed_by_hand():
    fixed = np.array([[0.0, 0.5], [1.0, 0.2]], np.float32).repeat(8, axis=0).repeat(8, axis=1)
    values = metrics.similarity(fixed, np.full_like(fixed, 0.5))
    assert values["l1"] == pytest.approx((0.5 + 0 + 0.5 + 0.3) / 4)
    assert values["rmse"] == pytest.approx(np.sqrt((0.25 + 0 + 0.25 + 0.09) / 4))
    assert np.isnan(values["ncc"])  # of a constant image


def test_mutual_information_of_two_grey_levels_is_the_entropy_of_a_coin():
    coin = np.repeat([0.25, 0.75], 800).reshape(40, 40).astype(np.float32)
    values = metrics.similarity(coin, 1 - coin)
    assert values["mutual_information"] == pytest.approx(np.log(2))
    assert values["normalised_mutual_information"] == pytest.approx(2)


def test_what_lies_outside_the_mask_is_not_seen():
    changed = np.where(MASK, B, 1 - B)
    pixelwise = [name for name in metrics.similarity(A, B).index if name != "ssim"]
    inside, inside_changed = (metrics.similarity(A, image, MASK) for image in (B, changed))
    assert np.allclose(inside[pixelwise], inside_changed[pixelwise])
    whole, whole_changed = (metrics.similarity(A, image) for image in (B, changed))
    assert (whole - whole_changed).abs().min() > 0.02


def test_structural_similarity_sees_only_its_window_beyond_the_mask():
    far = np.zeros(A.shape, bool)
    far[5:45, 10:60] = True
    changed = np.where(far, B, 1 - B)
    inside, inside_changed = (metrics.similarity(A, image, MASK)["ssim"] for image in (B, changed))
    assert inside == pytest.approx(inside_changed)


def test_structural_similarity_is_that_of_the_picture_and_not_of_a_row_of_pixels():
    ours = metrics.similarity(A, B)["ssim"]
    full = structural_similarity(A, B, data_range=1, full=True)[1]
    assert ours == pytest.approx(full.mean())
    assert ours == pytest.approx(structural_similarity(A, B, data_range=1), abs=0.01)
    in_a_row = structural_similarity(A.ravel(), B.ravel(), data_range=1)
    assert abs(ours - in_a_row) > 1e-3


def test_an_empty_mask_has_no_similarity():
    values = metrics.similarity(A, B, np.zeros(A.shape, bool))
    assert values.isna().all()
    assert values.index.tolist() == metrics.similarity(A, B).index.tolist()


def test_landmarks_carried_by_the_true_transform_have_no_error():
    true = transforms.from_matrix([[1.1, 0.1, 5], [-0.1, 0.9, 3]])
    moving_points = transforms.map_points(true, POINTS)
    assert metrics.landmark_errors(true, POINTS, moving_points).max() < 1e-6
    # The inverse is not the transform.
    inverse = transforms.invert(true, A.shape)
    assert metrics.landmark_errors(inverse, POINTS, moving_points).min() > 1


def test_landmark_errors_are_pixels_of_the_fixed_image():
    double = transforms.from_matrix([[2, 0, 0], [0, 2, 0]])
    errors = metrics.landmark_errors(double, [[10, 10], [20, 20]], np.array([[20, 20], [46, 48]]))
    assert errors == pytest.approx([0, 5], abs=1e-6)  # 6 and 8 moving pixels are 3 and 4 fixed ones


def test_a_landmark_that_no_point_maps_to_is_infinitely_wrong():
    columns = np.indices((40, 60))[1]
    flat = transforms.from_displacement(np.dstack([20.0 - columns, 0.0 * columns]))
    assert metrics.landmark_errors(flat, [[30, 20]], np.array([[40, 20]])).tolist() == [np.inf]


@pytest.mark.parametrize(
    "model, matrix",
    [
        ("translation", [[1, 0, 8], [0, 1, -3]]),
        ("rigid", [[0.8, -0.6, 8], [0.6, 0.8, -3]]),
        ("similarity", [[1.6, -1.2, 8], [1.2, 1.6, -3]]),
        ("affine", [[1.6, -1.0, 8], [1.2, 0.7, -3]]),
    ],
)
def test_the_least_error_of_a_model_is_zero_for_its_own_transform_only(model, matrix):
    moving_points = transforms.map_points(transforms.from_matrix(matrix), POINTS)
    models = ["translation", "rigid", "similarity", "affine"]
    errors = [metrics.least_error(name, POINTS, moving_points) for name in models]
    place = models.index(model)
    assert max(errors[place:]) < 1e-6
    assert min(errors[:place], default=1) > 0.5


def test_without_landmarks_there_is_no_least_error():
    assert np.isnan(metrics.least_error("affine", np.empty((0, 2)), np.empty((0, 2))))


def measured(transform, moving, **more):
    """Measure A against an image, both masked."""
    return metrics.measure(A, moving, transform, fixed_mask=MASK, moving_mask=MASK, **more)


def test_measures_are_taken_on_the_overlap_and_on_the_whole():
    values = measured(transforms.identity(), np.where(MASK, A, 1 - A))
    assert values["l1"] == 0 and values["ncc"] == pytest.approx(1)
    assert values["l1_whole_image"] > 0.2
    assert values["overlap"] == 1
    assert values["folding"] == 0
    assert np.isnan(values["landmark_error_px"])  # none are known


def test_the_landmark_error_is_in_pixels_of_the_photograph():
    shift = transforms.from_matrix([[1, 0, 3], [0, 1, 4]])
    values = measured(shift, A, landmarks=(POINTS, POINTS), full_factor=2.5)
    assert values["landmark_error_px"] == pytest.approx(12.5)
    assert values["overlap"] == pytest.approx(27 * 16 / (30 * 20))


def test_images_that_do_not_meet_have_no_similarity_in_the_overlap():
    away = measured(transforms.from_matrix([[1, 0, 60], [0, 1, 0]]), A)
    assert away["overlap"] == 0
    assert np.isnan(away["ncc"])


@pytest.mark.parametrize("measure", ["l1", "rmse", "landmark_error_px"])
def test_smaller_is_better_for_errors(measure):
    assert verdict(measure, 2.0, 1.0) == ("better", "green")
    assert verdict(measure, 1.0, 2.0) == ("worse", "red")


@pytest.mark.parametrize("measure", ["ncc", "ssim", "mutual_information"])
def test_larger_is_better_for_similarities(measure):
    assert verdict(measure, 0.5, 0.9) == ("better", "green")
    assert verdict(measure, 0.9, 0.5) == ("worse", "red")


def test_what_is_neither_better_nor_worse_has_no_colour():
    assert verdict("ncc", 0.5, 0.5) == ("same", "")
    assert verdict("overlap", 0.5, 0.9) == ("", "")
    assert verdict("folding", 0.5, 0.1) == ("", "")
    assert verdict("ncc", 0.5, np.nan) == ("", "")


def test_the_word_is_not_called_a_verdict():
    before, after = pd.Series({"ncc": 0.5}), pd.Series({"ncc": 0.6})
    names = re.findall(
        r"col_heading[^>]*>(\w+)<", plotting.before_after_table(before, after).to_html()
    )
    assert names == ["before", "after", "change", "result"]


def test_a_table_without_any_such_measure_has_no_colour_either():
    assert verdict("overlap", 0.5, 0.9, others=()) == ("", "")


def verdict(measure, before, after, others=("l1",)):
    """Return the word of the table for one change, and the colour of its cell."""
    index = [measure, *(other for other in others if other != measure)]
    before, after = (pd.Series(value, index=index) for value in (before, after))
    html = plotting.before_after_table(before, after).to_html()
    cell, word = re.search(r'id="(\w+_row0_col3)"[^>]*>(\w*)<', html).groups()
    styles = re.findall(r"((?:#\w+(?:, )?)+) \{\s*color: #(\w{6})", html)
    code = next((code for cells, code in styles if f"#{cell}" in cells), None)
    if code is None:
        return word, ""
    red, green, _ = bytes.fromhex(code)
    return word, "green" if green > red else "red"


@pytest.mark.parametrize(
    ("key", "value", "written"),
    [
        ("landmark_error_px", 1.2345, "1.23"),
        ("landmark_error_px", 1234.5, "1234"),
        ("overlap", 0.98765, "98.8"),
        ("accepted", 12345, "12345"),
        ("ncc", None, "-"),
        ("ncc", float("nan"), "-"),
    ],
)
def test_a_value_is_written_as_people_read_it(key, value, written):
    assert metrics.MEASURES[key].write(value) == written
