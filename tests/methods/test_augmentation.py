"""Made-up photographs are those of one eye, with their masks and the truth."""

import numpy as np
import pytest
import torch

from fundus_helpers import transforms
from fundus_helpers.loading.light import normalise_illumination
from fundus_helpers.methods.networks.augmentation import (
    Motion,
    augment,
    random_matrices,
    synthetic_pairs,
)
from fundus_helpers.methods.networks.losses import masked_correlation
from fundus_helpers.methods.networks.tensors import stack_of


def test_the_true_transform_lays_the_new_photograph_on_the_old(retina, aperture):
    image, mask, transform = augment(retina, aperture, seed=1, motion=Motion(shift=0.08))
    assert image.dtype == np.float32 and image.shape == retina.shape
    assert 0 <= image.min() and image.max() <= 1
    new, old = normalise_illumination(image, mask), normalise_illumination(retina, aperture)
    warped = transforms.warp(old, transform)
    correlations = [np.corrcoef(new[mask], other[mask])[0, 1] for other in (old, warped)]
    assert correlations[1] > 0.8 > correlations[0] + 0.3


def test_the_aperture_stays_and_what_was_not_photographed_is_masked(retina, aperture):
    image, mask, transform = augment(retina, aperture, seed=2, motion=Motion(shift=0.2))
    assert not mask[~aperture].any() and mask.sum() < aperture.sum()
    assert image[~mask].max() == 0
    rows, columns = np.nonzero(mask)
    places = transforms.displacement(transform, mask.shape)[rows, columns]
    column, row = (places + np.column_stack([columns, rows])).round().astype(int).T
    assert aperture[row.clip(0, 255), column.clip(0, 255)].mean() > 0.99


def test_without_motion_only_the_light_changes(retina, aperture):
    image, mask, transform = augment(retina, aperture, seed=0, motion=Motion().times(0))
    assert np.abs(transforms.displacement(transform, mask.shape)).max() < 1e-3
    assert np.array_equal(mask, aperture)
    assert np.abs(image - retina)[mask].mean() > 0.01


def test_nothing_changes_where_nothing_is_asked_for(retina, aperture):
    knobs = {"motion": Motion().times(0), "illumination": 0, "blur": 0, "noise": 0}
    image, _, _ = augment(retina, aperture, **knobs)
    assert np.abs(image - retina).max() < 0.01


def test_same_seed_same_photograph(retina, aperture):
    first, same, other = (augment(retina, aperture, seed=seed)[0] for seed in (0, 0, 1))
    assert np.array_equal(first, same) and not np.array_equal(first, other)


@pytest.mark.parametrize("knob, entry", [("rotation", (1, 0)), ("perspective", (2, 0))])
def test_each_motion_can_be_asked_for_alone(knob, entry):
    only = Motion(**{name: 0.0 for name in vars(Motion())} | {knob: getattr(Motion(), knob)})
    matrices = random_matrices(2000, only, torch.Generator().manual_seed(0))
    expected = np.radians(only.rotation) if knob == "rotation" else only.perspective
    assert matrices[:, *entry].std() == pytest.approx(expected, rel=0.1)
    assert matrices[:, :2, 2].abs().max() == 0


def test_made_up_pairs_lie_on_each_other_where_the_truth_says(retina):
    stack, generator = stack_of([retina], None, 192), torch.Generator().manual_seed(0)
    fixed, moving, truth = synthetic_pairs(stack, 8, Motion(), generator)
    before, after = (
        masked_correlation(fixed, other).mean() for other in (moving, moving.warped(truth))
    )
    assert after > 0.6 > before + 0.2
