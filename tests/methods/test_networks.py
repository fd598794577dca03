"""Networks register after a short training, keep what they promise, and say what is wrong."""

import math
import pickle

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from fundus_helpers import metrics, transforms
from fundus_helpers.loading.eye import load_eye
from fundus_helpers.methods.knobs import read_knobs
from fundus_helpers.methods.networks import spatial_transformer, voxelmorph
from fundus_helpers.methods.networks.layers import AffineNetwork, VelocityNetwork, robust_affine
from fundus_helpers.methods.networks.spatial_transformer import (
    load_spatial_transformer,
    train_spatial_transformer,
)
from fundus_helpers.methods.networks.tensors import Stack, pixel_places, stack_of
from fundus_helpers.methods.networks.training import load_weights, save_weights
from fundus_helpers.methods.networks.voxelmorph import load_voxelmorph, train_voxelmorph
from fundus_helpers.transforms.transform import RegistrationError

WIDTH = 256
QUICK = {"size": 192, "epochs": 6, "pair_epochs": 5, "shown": False}
POINTS = np.array([[60.0, 70.0], [128.0, 128.0], [190.0, 90.0], [80.0, 180.0]])


def about_the_middle(degrees, scale, shift):
    """Return a matrix that turns and scales about the middle of the frame, then shifts."""
    cosine, sine = (scale * f(math.radians(degrees)) for f in (math.cos, math.sin))
    linear = np.array([[cosine, -sine], [sine, cosine]])
    middle = np.full(2, (WIDTH - 1) / 2)
    return np.column_stack([linear, middle + shift - linear @ middle])


MATRICES = [
    about_the_middle(2, 1.02, (9, -6)),
    about_the_middle(-3, 0.98, (-8, 5)),
    about_the_middle(1, 1.0, (4, 10)),
]


@pytest.fixture(scope="module")
def photographs(retina, retina_again):
    """Return one retina photographed four times."""
    return [retina, *(retina_again(matrix) for matrix in MATRICES)]


@pytest.fixture(scope="module")
def affine(photographs):
    """Return a spatial transformer trained for a few seconds."""
    return train_spatial_transformer(photographs, **QUICK)


@pytest.fixture(scope="module")
def bent(retina, aperture):
    """Return the retina bent smoothly by about three pixels, and the true field (dx, dy)."""
    rows, columns = np.indices(retina.shape) / WIDTH
    bend = [np.sin(3 * rows) - 0.6, np.cos(4 * columns + rows)]
    field = 3.0 * np.stack(bend, axis=-1)
    return transforms.warp(retina, transforms.from_displacement(field)) * aperture, field


def largest_error(found, matrix, mask):
    """Return how far a transform is off a matrix inside a mask, in pixels, at most."""
    points = np.argwhere(mask)[::97, ::-1]
    true = transforms.map_points(transforms.from_matrix(matrix), points)
    return np.linalg.norm(transforms.map_points(found, points) - true, axis=1).max()


# What it learns


def test_an_untrained_network_that_knows_nothing_gives_the_identity(retina):
    votes, weights = torch.zeros(1, 12, 12, 2), torch.ones(1, 12, 12)
    assert torch.equal(robust_affine(votes, weights, scale=0.1)[0], torch.eye(3))
    side = stack_of([retina], None, 192)
    network = VelocityNetwork(12)
    assert network(side, side)[1].abs().max() == 0


def test_votes_are_fitted_and_outliers_do_not_count():
    matrix = torch.tensor([[1.02, -0.03, 0.05], [0.01, 0.97, -0.02], [0, 0, 1]])
    places = pixel_places(24)
    votes = (places @ matrix[:2, :2].T + matrix[:2, 2] - places)[None]
    votes[:, :8, :10] += 0.5  # a lesion votes for nonsense
    found = robust_affine(votes, torch.ones(1, 24, 24), scale=0.02, rounds=10)[0]
    assert torch.allclose(found, matrix, atol=2e-3)


def test_known_transforms_are_found_after_a_short_training(affine, photographs, aperture):
    for photograph, matrix in zip(photographs[1:], MATRICES, strict=True):
        assert largest_error(transforms.identity(), matrix, aperture) > 8
        assert largest_error(affine(photographs[0], photograph), matrix, aperture) < 1.5


def test_made_up_pairs_alone_teach_to_register(retina, retina_again, aperture):
    method = train_spatial_transformer([retina], **QUICK)
    assert set(method.history["stage"].str.split(",").str[0]) == {"made-up pairs"}
    found = method(retina, retina_again(MATRICES[0]))
    assert largest_error(found, MATRICES[0], aperture) < 3


@pytest.mark.parametrize("likeness", voxelmorph.LIKENESSES)
def test_voxelmorph_finds_a_smooth_bend_and_does_not_fold(retina, bent, aperture, likeness):
    photograph, field = bent
    method = train_voxelmorph(
        lambda *_, **__: transforms.identity(),
        [photograph, retina],
        grid=16,
        epochs=30,
        likeness=likeness,
        shown=False,
    )
    found = method(photograph, retina)
    inside = aperture & (np.hypot(*(np.indices(aperture.shape) - WIDTH / 2)) < 0.4 * WIDTH)
    off = transforms.displacement(found, aperture.shape) - field
    before, after = (np.linalg.norm(d[inside], axis=1).mean() for d in (field, off))
    assert before > 2
    assert after < before / 3
    assert transforms.folding(found, aperture) == 0


def test_voxelmorph_there_and_back_is_where_it_started(retina, bent):
    torch.manual_seed(0)
    network = VelocityNetwork(16)
    for parameter in network.unet.net[1].final_conv_out.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    sides = [stack_of([image], None, network.size) for image in (retina, bent[0])]
    there, back = network(*sides)[0], network(*sides[::-1])[0]
    assert there.abs().max() > 0.01
    assert torch.allclose(there, -back, atol=1e-6)


# The contract


def test_a_trained_method_keeps_the_contract(affine, photographs, aperture):
    fixed, moving = photographs[:2]
    for masks in ({}, {"fixed_mask": aperture, "moving_mask": aperture}):
        found = affine(fixed, moving, **masks)
        assert isinstance(found, sitk.Transform) and found.IsLinear()
    with pytest.raises(TypeError, match="positional"):
        affine(fixed, moving, aperture, aperture)
    with pytest.raises(ValueError, match="start 'magic' is not one of"):
        affine(fixed, moving, start="magic")
    with pytest.raises(ValueError, match="looks -1 is not in the range 0"):
        affine(fixed, moving, looks=-1)


def test_how_a_network_is_asked_are_its_knobs(affine, photographs, aperture):
    field = train_voxelmorph(affine, photographs[:2], grid=12, epochs=1, shown=False)
    assert set(read_knobs(affine)) == {"start", "looks"}
    assert set(read_knobs(field)) == {"looks", "strength"}
    masks = {"fixed_mask": aperture, "moving_mask": aperture}
    fields = [
        transforms.displacement(method(*photographs[:2], **masks, **knobs), aperture.shape)
        for method, knobs in (
            (affine, {}),
            (field, {"looks": 0}),
            (field, {"strength": 0.0}),
            (field, {}),
            (field, {"strength": 2.0}),
        )
    ]
    linear, unasked, not_believed, as_learnt, twice = fields
    assert np.allclose(unasked, linear) and np.allclose(not_believed, linear, atol=1e-6)
    added = [np.linalg.norm(each - linear, axis=2)[aperture].mean() for each in (as_learnt, twice)]
    assert added[1] == pytest.approx(2 * added[0], rel=0.1) and added[0] > 0


def test_a_trained_method_can_be_sent_to_another_process(affine, photographs):
    copy = pickle.loads(pickle.dumps(affine))
    expected, found = (m(*photographs[:2]) for m in (affine, copy))
    assert np.array_equal(transforms.to_matrix(found), transforms.to_matrix(expected))


def test_images_of_other_sizes_and_shapes_are_registered_in_their_own_pixels(affine, photographs):
    fixed, moving = photographs[0][:, 10:], photographs[1][6:250]
    found = affine(fixed, moving)
    expected = transforms.map_points(transforms.from_matrix(MATRICES[0]), POINTS + [10, 0]) - [0, 6]
    assert np.abs(transforms.map_points(found, POINTS) - expected).max() < 1.5
    half = [np.ascontiguousarray(image[::2, ::2]) for image in photographs[:2]]
    with pytest.warns(UserWarning, match="128 px.*192 px"):
        smaller = transforms.map_points(affine(*half), POINTS / 2) * 2
    full = transforms.map_points(transforms.from_matrix(MATRICES[0]), POINTS)
    assert np.abs(smaller - full).max() < 3


def test_far_apart_photographs_need_a_start(affine, retina, retina_again, aperture):
    matrix = about_the_middle(0, 1.0, (45, 0))
    found = affine(retina, retina_again(matrix), start="cross_correlation")
    assert largest_error(found, matrix, aperture) < 4


def test_nonsense_is_refused(affine, retina):
    broken = retina.copy()
    broken[100, 100] = np.nan
    with pytest.raises(ValueError, match="moving image has NaN"):
        affine(retina, broken)
    with pytest.raises(ValueError, match="photograph 1: image has NaN"):
        train_spatial_transformer([retina, broken], **QUICK)
    with pytest.raises(RegistrationError, match="black"):
        affine(retina, np.zeros_like(retina))
    noise = np.random.default_rng(0).random(retina.shape, dtype=np.float32)
    with pytest.raises(RegistrationError):
        affine(retina, noise)
    with pytest.raises(ValueError, match="beyond the 1 that are given"):
        train_spatial_transformer([retina], pairs=[(0, 1)], **QUICK)
    with pytest.raises(ValueError, match="size 20 px is too small"):
        train_spatial_transformer([retina], **QUICK | {"size": 20})
    with pytest.raises(ValueError, match="1 photograph, no pair: give two of one eye"):
        train_voxelmorph(affine, [retina], shown=False)
    with pytest.raises(ValueError, match="likeness 'magic' is not one of"):
        train_voxelmorph(affine, [retina, retina], likeness="magic", shown=False)
    with pytest.raises(RegistrationError, match="no pair to learn from"):
        train_voxelmorph(affine, [retina, noise], grid=12, epochs=1, shown=False)


@pytest.mark.parametrize("module", [spatial_transformer, voxelmorph])
def test_too_little_memory_is_said_before_it_is_used(module, retina, monkeypatch):
    monkeypatch.setattr(module, "BYTES_PER_PIXEL", 10**12)
    with pytest.raises(MemoryError, match="GiB are free: give a smaller size"):
        if module is spatial_transformer:
            train_spatial_transformer([retina], **QUICK)
        else:
            train_voxelmorph(lambda *_, **__: None, [retina, retina], shown=False)


# Weights


def test_saved_weights_give_the_same_transforms(affine, photographs, tmp_path):
    found = load_spatial_transformer(affine.save(tmp_path / "affine.pt"))(*photographs[:2])
    expected = affine(*photographs[:2])
    assert np.array_equal(transforms.to_matrix(found), transforms.to_matrix(expected))


def test_saved_fields_give_the_same_transforms(affine, photographs, tmp_path):
    method = train_voxelmorph(affine, photographs[:2], grid=12, epochs=1, shown=False)
    loaded = load_voxelmorph(method.save(tmp_path / "field.pt"), affine)
    found, expected = (m(*photographs[:2]) for m in (loaded, method))
    assert np.array_equal(*(transforms.map_points(t, POINTS) for t in (found, expected)))


class Runs:
    """Something that would run code when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("code of the file was run",))


def test_wrong_files_of_weights_are_named(affine, tmp_path):
    good = affine.save(tmp_path / "good.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(good[: len(good) // 2])
    (tmp_path / "text.pt").write_text("no weights")
    (tmp_path / "empty.pt").touch()
    torch.save({"weights": {}}, tmp_path / "other.pt")
    torch.save({"format": Runs()}, tmp_path / "code.pt")
    for name in ("cut", "text", "empty", "other", "code", "missing"):
        with pytest.raises(ValueError, match=rf"^{name}\.pt: "):
            load_spatial_transformer(tmp_path / f"{name}.pt")
    with pytest.raises(ValueError, match=r"good\.pt: its kind is 'spatial_transformer'"):
        load_voxelmorph(tmp_path / "good.pt", affine)
    with pytest.raises(ValueError, match="saved as .pt"):
        affine.save(tmp_path / "weights.bin")


def test_weights_of_another_version_are_refused(tmp_path, monkeypatch):
    path = save_weights(tmp_path / "old.pt", "spatial_transformer", 192, {})
    monkeypatch.setattr("fundus_helpers.methods.networks.training.VERSION", 2)
    with pytest.raises(ValueError, match=r"old\.pt: its version is 1, needed is 2"):
        load_weights(path, "spatial_transformer")


def test_the_number_of_weights_does_not_grow_with_the_image():
    counts = [
        sum(parameter.numel() for parameter in network.parameters())
        for network in (AffineNetwork(), VelocityNetwork())
    ]
    assert max(counts) < 100_000
    for size in (96, 128):
        side = Stack(torch.zeros(1, 1, size, size), torch.ones(1, 1, size, size))
        assert AffineNetwork()(side, side).shape == (1, 3, 3)


def test_real_photographs_are_registered(fire_data):
    eye = load_eye(fire_data, "fire", "L", size=384)
    method = train_spatial_transformer(
        eye.images, eye.masks, size=384, epochs=8, pair_epochs=4, shown=False
    )
    errors = []
    for i in range(1, len(eye.names)):
        masks = {"fixed_mask": eye.masks[0], "moving_mask": eye.masks[i]}
        found = method(eye.images[0], eye.images[i], **masks)
        errors.append(metrics.landmark_errors(found, *eye.landmarks_between(0, i)).mean())
    assert np.mean(errors) * eye.full_factor < 2.5  # 24 before
