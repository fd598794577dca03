"""Networks that learned from painted retinas: their pairs, their weights, what they register."""

import hashlib

import numpy as np
import pytest
import torch
from known_transforms import about_the_middle, errors_in, landmark_error, largest_error
from safetensors.torch import load_file, save_file
from skimage.data import retina as photograph_of_a_retina

from fundus_helpers import METHODS, loading, transforms
from fundus_helpers.loading.demo_eye import make_demo_eye, read_truth, true_transform
from fundus_helpers.methods import learned
from fundus_helpers.methods.learned import fine_tuning, training, weights
from fundus_helpers.methods.learned.canvas import put_on_canvas
from fundus_helpers.methods.learned.weights import CARD, FILE
from fundus_helpers.methods.networks.losses import masked_correlation
from fundus_helpers.methods.pair import prepare_pair
from fundus_helpers.metrics.verdict import judge
from fundus_helpers.series.registering import register_visit
from fundus_helpers.transforms.transform import RegistrationError

BOTH = ["spatial_transformer", "voxelmorph"]


@pytest.fixture(scope="module")
def painter():
    return learned.Painter(3)


@pytest.mark.parametrize("kind", ["wide", "near"])
def test_a_painted_pair_lies_on_each_other_after_its_true_transform_and_only_then(painter, kind):
    draw = {"wide": painter.wide, "near": painter.near}[kind]
    pairs = draw(learned.Window(160, 0.4), 12)
    right = masked_correlation(pairs.fixed, pairs.moving.warped(pairs.truth))
    wrong = masked_correlation(pairs.fixed, pairs.moving.warped(pairs.truth + 0.1))
    assert right.median() > 0.5 and wrong.abs().median() < 0.15


def test_the_same_seed_paints_the_same_pairs_and_another_one_others():
    window = learned.Window(64, 0.3)
    first, again, other = (learned.Painter(seed).near(window, 2) for seed in (1, 1, 2))
    assert torch.equal(first.fixed.images, again.fixed.images)
    assert torch.equal(first.truth, again.truth)
    assert not torch.equal(first.fixed.images, other.fixed.images)


def test_lesions_of_a_painted_pair_differ_but_its_vessels_stay(painter):
    looks = [learned.draw_looks(np.random.default_rng(seed)) for seed in range(40)]
    assert all(np.sign(first.vessels) == np.sign(second.vessels) for first, second in looks)
    assert sum(first.lesion != second.lesion for first, second in looks) == 40


def test_a_training_that_was_stopped_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "NEAR_STEPS", 2)
    monkeypatch.setattr(training, "NEAR_PAIRS", 1)
    whole = learned.train_near(epochs=3, shown=False)
    stopped = []

    def stop(network, stages, **knobs):
        if not stopped:
            stopped.append(True)
            stages = [
                stage.__class__(**(vars(stage) | {"losses": _two(stage.losses)}))
                for stage in stages
            ]
        return train(network, stages, **knobs)

    train = training.train
    monkeypatch.setattr(training, "train", stop)
    path = tmp_path / "near.pt"
    learned.train_near(epochs=3, checkpoint=path, shown=False)
    resumed = learned.train_near(epochs=3, checkpoint=path, shown=False)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    assert whole.history["loss"].iloc[-1] == resumed.history["loss"].iloc[-1]


def _two(losses):
    """Interrupt a training in its third epoch, as the stop button does."""
    epochs = []

    def interrupted(generator):
        epochs.append(True)
        if len(epochs) > 2:
            raise KeyboardInterrupt
        yield from losses(generator)

    return interrupted


def test_pairs_do_not_depend_on_the_number_of_processes(monkeypatch):
    for name, few in {"NEAR_STEPS": 4, "NEAR_PAIRS": 1, "PAIRS_OF_A_PAINTER": 2}.items():
        monkeypatch.setattr(training, name, few)
    one, two = (
        learned.train_near(epochs=1, painters=painters, device="cpu", shown=False)
        for painters in (1, 2)
    )
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, two.state_dict()[name]), name


def test_training_lowers_the_loss_of_both_networks(monkeypatch):
    for name, few in {"WIDE_STEPS": 6, "WIDE_PAIRS": 2, "NEAR_STEPS": 12, "NEAR_PAIRS": 2}.items():
        monkeypatch.setattr(training, name, few)
    for teach in (learned.train_wide, learned.train_near):
        loss = teach(epochs=4, shown=False).history["loss"]
        assert loss.iloc[-1] < loss.iloc[0]


def test_the_card_is_that_of_the_weights():
    card = CARD.read_text(encoding="utf-8")
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() in card
    count = sum(p.numel() for net in learned.trained().parts().values() for p in net.parameters())
    assert f"{count:,}" in card and FILE.stat().st_size < 2 * 2**20


def test_weights_come_back_and_are_read_once(tmp_path):
    path = learned.save_trained(learned.trained(), tmp_path / "mine.safetensors")
    again = learned.load_trained(path)
    for kind, network in learned.trained().parts().items():
        for name, tensor in network.state_dict().items():
            assert torch.equal(tensor, again.parts()[kind].state_dict()[name])
    assert learned.trained() is learned.trained()


def rewritten(path, tensors=None, **about):
    known = {"format": weights.FORMAT, "version": weights.VERSION}
    known |= {"normalisation": weights.NORMALISATION}
    save_file(load_file(FILE) if tensors is None else tensors, path, metadata=known | about)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: None, "missing"),
        (lambda path: path.write_bytes(FILE.read_bytes()[:-9]), "damaged, cut short"),
        (lambda path: path.write_bytes(b"no weights at all"), "damaged, cut short"),
        (lambda path: torch.save({"a": torch.zeros(2)}, path), "damaged, cut short"),
        (lambda path: rewritten(path, version="0"), "its version is '0', needed is '1'"),
        (lambda path: rewritten(path, format="others"), "its format is 'others'"),
        (lambda path: rewritten(path, {"wide.x": torch.zeros(2)}), "weights of other networks"),
    ],
)
def test_weights_that_cannot_be_used_are_named_and_refused(tmp_path, damage, words):
    path = tmp_path / "mine.safetensors"
    damage(path)
    with pytest.raises(ValueError, match=rf"mine\.safetensors: .*{words}"):
        learned.load_trained(path)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(
    ("angle", "scale", "shift"),
    [(30, 1, (0, 0)), (-20, 1.3, (10, -20)), (0, 0.7, (30, 5)), (3, 1, (110, 20)), (0, 1, (0, 0))],
)
def test_far_photographs_are_found_without_a_start(
    retina, retina_again, aperture, name, angle, scale, shift
):
    matrix = about_the_middle(angle, scale, shift)
    true = transforms.from_matrix(matrix)
    found = METHODS[name](retina, retina_again(matrix))
    errors = errors_in(found, true, transforms.overlap(aperture, aperture, true))
    # The homography bends a little, because it is made for the curved retina of an eye.
    assert errors.mean() < 2 and errors.max() < 8


def test_equal_photographs_stay_exactly_where_they_are(retina, aperture):
    found = METHODS["voxelmorph"](retina, retina, start="identity")
    assert largest_error(found, np.eye(2, 3), aperture) < 0.01


@pytest.mark.parametrize("name", BOTH)
def test_a_mirrored_eye_fails_and_the_verdict_says_why(retina, name):
    mirrored = np.ascontiguousarray(retina[:, ::-1])
    found = register_visit(METHODS[name], retina, mirrored, "mirrored")
    verdict = judge(found.transform, retina, mirrored, failure=found.reason)
    assert verdict.status == "failed" and "mirror image" in " ".join(verdict.reasons)


@pytest.mark.parametrize(("name", "most"), [("spatial_transformer", 1.5), ("voxelmorph", 1.1)])
def test_real_photographs_are_registered(fire_eye, name, most):
    error = landmark_error(fire_eye, METHODS[name], fire_eye.masks, visits=[2, 4, 6, 8])
    assert error <= most  # pixels of 2912


def test_nothing_is_learned_from_a_pair_whose_result_is_not_plausible(fire_eye, monkeypatch):
    def refuse(*given):
        raise RegistrationError("not the same retina")

    monkeypatch.setattr(fine_tuning, "finish", refuse)
    reason = r"photograph 0 \(fixed\) and 1 \(moving\): not the same retina"
    with pytest.raises(RegistrationError, match=f"none could be registered.*{reason}"):
        learned.fine_tune(fire_eye.images[:2], fire_eye.masks[:2], epochs=1, shown=False)


def test_fine_tuning_on_an_eye_does_not_make_it_worse_and_repeats_itself(fire_eye):
    views = fire_eye.images[:5], fire_eye.masks[:5]
    first, again = (learned.fine_tune(*views, epochs=2, seed=3, shown=False) for _ in range(2))
    for name, tensor in first.near.state_dict().items():
        assert torch.equal(tensor, again.near.state_dict()[name])
    assert first.wide is learned.trained().wide
    method = METHODS["voxelmorph"]
    before = landmark_error(fire_eye, method, fire_eye.masks, visits=[2, 4])
    after = landmark_error(fire_eye, method, fire_eye.masks, visits=[2, 4], trained=first)
    assert after < before + 0.03


def test_fine_tuning_says_what_is_missing(retina):
    with pytest.raises(RegistrationError, match="no pair to learn from: photographs given: 1;"):
        learned.fine_tune([retina], shown=False)
    with pytest.raises(ValueError, match="2 photographs, but 1 masks"):
        learned.fine_tune([retina, retina], [None], shown=False)
    with pytest.raises(ValueError, match="epochs=0"):
        learned.fine_tune([retina, retina], epochs=0, shown=False)
    with pytest.raises(RegistrationError, match=r"1 \(moving\): moving image is black"):
        learned.fine_tune([retina, np.zeros_like(retina)], shown=False)
    with pytest.raises(ValueError, match="epochs=0"):
        learned.train_wide(epochs=0)
    with pytest.raises(ValueError, match="device 'gpu' is not known"):
        learned.train_near(device="gpu")


@pytest.mark.parametrize("name", BOTH)
def test_a_file_name_in_place_of_networks_is_refused(retina, name):
    with pytest.raises(ValueError, match="read a file with learned.load_trained first"):
        METHODS[name](retina, retina, trained="mine.safetensors")


@pytest.mark.parametrize("name", BOTH)
def test_two_parts_of_one_flat_picture_need_another_radial_constant(name):
    """A pure shift by half the width fits a radial constant of 0 only, not that of FIRE."""
    picture = loading.single_channel(photograph_of_a_retina())
    fixed, moving = picture[250:1150, 100:1000], picture[250:1150, 500:1400]
    masks = {"fixed_mask": np.ones_like(fixed, bool), "moving_mask": np.ones_like(fixed, bool)}
    found = METHODS[name](fixed, moving, **masks)
    points = np.stack(np.meshgrid(np.arange(420, 880, 20), np.arange(20, 880, 20)), 2)
    points = points.reshape(-1, 2).astype(float)
    errors = np.linalg.norm(transforms.map_points(found, points) - points + [400, 0], axis=1)
    assert np.median(errors) < 1
    assert judge(found, fixed, moving, **masks).status == "accepted"


def test_votes_lead_from_fixed_to_moving_points(retina, retina_again):
    pair = prepare_pair(retina, retina_again(about_the_middle(shift=(1, -0.5))))
    canvas = put_on_canvas(pair)
    votes = learned.look(learned.trained().near, canvas, lambda points: points, 768)
    sure = votes.weights > np.quantile(votes.weights, 0.8)
    assert np.median(votes.steps[sure], axis=0) == pytest.approx([3, -1.5], abs=0.3)


def test_the_field_follows_votes_and_fades_where_there_are_none():
    axis = np.arange(48) * 16 + 7.5
    points = np.stack(np.meshgrid(axis, axis), axis=2)
    bump = np.exp(-(((points - 375) / 150) ** 2).sum(2))[..., None] * [2.0, -1.0]
    weights = np.ones((48, 48), np.float32)
    found = learned.smooth_field(learned.Votes(points, bump.astype(np.float32), weights))
    assert np.abs(found - bump)[4:-4, 4:-4].max() < 0.4
    rng = np.random.default_rng(0)
    noisy = (bump + rng.normal(0, 1, bump.shape)).astype(np.float32)
    found = learned.smooth_field(learned.Votes(points, noisy, weights))
    assert np.abs(found - bump).mean() < 0.25
    nothing = learned.smooth_field(learned.Votes(points, noisy, 0 * weights))
    assert not nothing.any()


def test_a_wider_average_is_kept_where_no_vote_counts():
    axis = np.arange(48) * 16 + 7.5
    points = np.stack(np.meshgrid(axis, axis), axis=2)
    bump = np.exp(-(((points - 375) / 200) ** 2).sum(2))[..., None] * [2.0, -1.0]
    steps, weights = bump.astype(np.float32), np.ones((48, 48), np.float32)
    steps[20:28, 20:28], weights[20:28, 20:28] = [6.0, 0.0], 0.01  # the border of a lesion
    found = learned.smooth_field(learned.Votes(points, steps, weights))
    wrong = np.linalg.norm(found - bump, axis=2)[20:28, 20:28]
    assert wrong.max() < 0.7


def test_votes_count_on_vessels_dark_or_bright_and_not_at_all_where_there_are_none(retina):
    axis = np.arange(96) * 8 + 3.5
    points = np.stack(np.meshgrid(axis, axis), axis=2)
    even = np.ones((96, 96), np.float32)
    votes = learned.Votes(points, np.zeros((96, 96, 2), np.float32), even)
    weights = {}
    for name, image in {"dark": retina, "bright": 1 - retina}.items():
        canvas = put_on_canvas(prepare_pair(image, image))
        weights[name] = learned.Vessels.of(canvas).weighted(votes, lambda points: points).weights
        assert weights[name].max() > 0.8 and np.median(weights[name]) < 0.2
    assert np.corrcoef(weights["dark"].ravel(), weights["bright"].ravel())[0, 1] > 0.95
    y, x = np.mgrid[:256, :256]
    plain = np.float32(0.5 + 0.1 * np.sin(x / 25) * np.sin(y / 25))  # clouds, no vessel
    canvas = put_on_canvas(prepare_pair(plain, plain))
    assert not learned.Vessels.of(canvas).weighted(votes, lambda points: points).weights.any()


@pytest.mark.parametrize("look", ["demo_autofluorescence", "demo_colour"])
def test_the_border_of_a_growing_lesion_is_not_followed(tmp_path, look):
    folder = make_demo_eye(tmp_path, look, seed=11)
    truth = read_truth(folder)
    first, *later = [visit["file"] for visit in truth["visits"] if visit["usable"]][:4]
    assert len(later) == 3
    images = {
        name: loading.single_channel(loading.read_photograph(folder / name))
        for name in (first, *later)
    }
    for name in later:
        lesion = loading.read_photograph(folder / "truth" / f"lesion_{name}") > 0
        found = METHODS["voxelmorph"](images[first], images[name])
        carried, exact = (
            transforms.warp_mask(lesion, transform).sum()
            for transform in (found, true_transform(truth, first, name))
        )
        assert carried == pytest.approx(exact, rel=0.02)
