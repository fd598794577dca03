"""A verdict believes what is true, doubts what is a little off, and says why."""

import cv2
import numpy as np
import pytest
from known_transforms import about_the_middle

from fundus_helpers import metrics, transforms
from fundus_helpers.loading.fire import group_by_eye, load_pair, read_pairs
from fundus_helpers.loading.values import resize
from fundus_helpers.methods import METHODS
from fundus_helpers.metrics.verdict import judge, judge_all
from fundus_helpers.transforms.transform import from_matrix

PAIRS = ["A04", "A13", "P13", "P15", "S07", "S20"]


def shifted(transform, pixels):
    """Return a transform that is so many pixels off."""
    return transforms.compose(from_matrix([[1, 0, pixels], [0, 1, 0]]), transform)


def test_the_true_transform_is_accepted_and_its_error_is_small(retina, bent):
    true, moving = bent
    verdict = judge(true, retina, moving)
    assert verdict.status == "accepted" and not verdict.reasons
    assert verdict.predicted_error.shape == retina.shape
    assert 0 < verdict.mean_error < 0.3


@pytest.mark.parametrize("off", [1.0, 2.0, 4.0])
def test_the_predicted_error_is_the_error(retina, bent, off):
    true, moving = bent
    verdict = judge(shifted(true, off), retina, moving)
    assert 0.7 * off < verdict.mean_error < 1.4 * off
    bound = verdict.bound[np.isfinite(verdict.bound)]
    assert np.mean(bound >= off) > 0.8
    assert (verdict.status == "accepted") == (off <= 0.005 * 256)


def test_several_registrations_of_a_pair_are_judged_as_each_alone(retina, bent):
    true, moving = bent
    found = [true, shifted(true, 4.0), None, transforms.identity()]
    failures = ["", "", "RegistrationError: too dark", ""]
    together = judge_all(found, retina, moving, failures=failures)
    for transform, failure, verdict in zip(found, failures, together, strict=True):
        alone = judge(transform, retina, moving, failure=failure)
        assert (verdict.status, verdict.reasons) == (alone.status, alone.reasons)
        assert np.array_equal(verdict.mean_error, alone.mean_error, equal_nan=True)
    assert [verdict.status for verdict in together[::2]] == ["accepted", "failed"]
    black = judge_all(found, retina, np.zeros_like(retina))
    assert [verdict.status for verdict in black] == ["failed"] * 4


def test_an_error_in_one_place_is_predicted_there(retina, bent):
    true, moving = bent
    rows, columns = np.indices(retina.shape)
    bump = 4 * np.exp(-((columns - 90) ** 2 + (rows - 150) ** 2) / 2 / 25**2)
    wrong = transforms.from_displacement(np.dstack([bump, np.zeros_like(bump)]))
    error = judge(transforms.compose(wrong, true), retina, moving).predicted_error
    assert error[150, 90] > 2
    assert np.nanmedian(error[bump < 0.1]) < 0.6


def test_what_is_not_registered_is_not_accepted(retina, bent):
    verdict = judge(transforms.identity(), retina, bent[1])
    assert verdict.status == "failed" and verdict.reasons[0].startswith("another eye, or another")
    assert "are expected by chance" in verdict.reasons[0]


def test_another_eye_a_mirror_image_and_a_blind_one_fail_in_words(retina, retina_again):
    other = retina[::-1, ::-1].copy()
    assert "keypoints agree" in judge(transforms.identity(), retina, other).reasons[0]
    mirror = from_matrix([[-1, 0, 255], [0, 1, 0]])
    verdict = judge(mirror, retina, retina[:, ::-1].copy())
    assert verdict.status == "failed" and "mirror image" in verdict.reasons[0]
    assert "the transform mirrors" in verdict.reasons[1]
    unregistered = judge(None, retina, retina[:, ::-1].copy(), failure="RegistrationError: no")
    assert "mirror image" in unregistered.reasons[0] and unregistered.reasons[1] == "no"
    black = judge(None, retina, np.zeros_like(retina), failure="RegistrationError: of the method")
    assert black.status == "failed" and "moving image is black" in black.reasons[0]
    assert np.isnan(black.mean_error) and black.bound is None


def test_a_method_s_own_reason_is_kept(retina):
    verdict = judge(None, retina, retina, failure="RegistrationError: 3 keypoints agree")
    assert verdict.reasons == ("3 keypoints agree",)


def test_magnification_no_overlap_and_folding_are_named(retina, bent):
    true, moving = bent
    twice = judge(from_matrix([[2, 0, -128], [0, 2, -128]]), retina, retina)
    assert twice.status == "failed" and "magnified by 2.00" in " ".join(twice.reasons)
    beside = judge(from_matrix([[1, 0, 300], [0, 1, 0]]), retina, retina)
    assert beside.status == "failed" and "do not overlap" in beside.reasons[0]
    rows, columns = np.indices(retina.shape)
    fold = np.zeros((*retina.shape, 2))
    fold[120:128, 120:128, 0] = -2 * (columns[120:128, 120:128] - 120)
    folded = judge(transforms.compose(transforms.from_displacement(fold), true), retina, moving)
    assert folded.status == "doubtful" and any("folds in" in words for words in folded.reasons)


def test_the_way_back_is_a_witness(retina, retina_again):
    matrix = about_the_middle(4, shift=(6, -3))
    moving, there = retina_again(matrix), from_matrix(matrix)
    back = there.GetInverse()
    assert judge(there, retina, moving, backward=back).status == "accepted"
    astray = judge(there, retina, moving, backward=shifted(back, 5))
    assert astray.status == "doubtful" and "there and back again" in astray.reasons[0]


def test_a_doubt_from_elsewhere_is_kept(retina, bent):
    verdict = judge(bent[0], retina, bent[1], doubts=["taken with another camera"])
    assert verdict.status == "doubtful" and verdict.reasons == ("taken with another camera",)


def test_sizes_may_differ_and_errors_are_those_of_the_fixed_image(retina, bent):
    true, moving = bent
    large = np.clip(resize(moving, 700), 0, 1)
    verdict = judge(transforms.rescale(shifted(true, 2), 1, 700 / 256), retina, large)
    assert 1.4 < verdict.mean_error < 2.8


@pytest.fixture(scope="module")
def fire_pairs(fire_folder):
    """Return a few pairs of FIRE, and what `load_pair` reads of them, 768 px wide."""
    found = {}
    for pair in read_pairs(fire_folder):
        if pair.name in PAIRS:
            found[pair.name] = pair, *load_pair(pair, 768)
    return found


def test_true_pairs_of_fire_are_accepted_and_bounds_hold(fire_pairs):
    held = []
    for pair, images, masks, points, _ in fire_pairs.values():
        sides = {"fixed_mask": masks[0], "moving_mask": masks[1]}
        for method in ("keypoints", "affine"):
            transform = METHODS[method](*images, **sides)
            verdict = judge(transform, *images, **sides)
            if method == "keypoints":
                assert verdict.status == "accepted", (pair.name, verdict.reasons)
            errors = metrics.landmark_errors(transform, *points)
            column, row = np.round(points[0]).astype(int).T
            held += list(errors <= verdict.bound[row, column])
    assert 0.75 < np.mean(held) < 1


def test_photographs_of_different_eyes_are_never_accepted(fire_pairs):
    eyes = group_by_eye(pair for pair, *_ in fire_pairs.values())
    names = [*fire_pairs]
    for first, second in zip(names, names[1:] + names[:1], strict=True):
        if eyes[first] == eyes[second]:
            continue
        images = [fire_pairs[first][1][0], fire_pairs[second][1][1]]
        for transform in (transforms.identity(), from_matrix([[1, 0, 60], [0, 1, -40]])):
            assert judge(transform, *images).status == "failed"


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda image: image * 0.05, "too dark"),
        (lambda image: np.clip(image * 6, 0, 1), "over-exposed"),
        (lambda image: cv2.GaussianBlur(image, (0, 0), 10), "blurred"),
    ],
)
def test_a_photograph_that_shows_too_little_is_named_first_in_plain_words(retina, spoil, words):
    spoilt = np.round(spoil(retina) * 255).astype(np.float32) / 255
    verdict = judge(None, retina, spoilt, failure="RegistrationError: 3 keypoints agree")
    assert verdict.status == "failed" and verdict.reasons[-1] == "3 keypoints agree"
    assert verdict.reasons[0].startswith("the moving photograph is " + words)
    assert "retake it, or exclude it" in verdict.reasons[0]
