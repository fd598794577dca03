"""A training shows how it goes, stops, can be interrupted and resumed, and repeats itself."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from fundus_helpers.methods.networks.spatial_transformer import train_spatial_transformer
from fundus_helpers.methods.networks.training import ERROR, Stage, require_memory, train

QUICK = {"size": 96, "epochs": 1, "pair_epochs": 1, "shown": False}


def weights_of(method):
    """Return all weights in one row."""
    return torch.cat([w.ravel() for w in method.network.state_dict().values()])


def line(epochs=20, **knobs):
    """Return a network of two weights, and a stage in which it learns a line from noise."""
    network = nn.Linear(1, 1)
    nn.init.zeros_(network.weight)
    nn.init.zeros_(network.bias)

    def losses(generator):
        for _ in range(3):
            x = torch.randn(8, 1, generator=generator)
            yield (network(x) - 3 * x - 1).square().mean()

    return network, Stage("line", epochs, losses, **{"learning_rate": 0.2} | knobs)


def test_it_learns_and_tells_the_story():
    network, stage = line(40)
    errors = itertools.count()
    history = train(network, [stage], monitor=lambda: float(next(errors)), shown=False)
    assert network.weight.item() == pytest.approx(3, abs=0.1)
    assert list(history.columns) == ["stage", "epoch", "loss", ERROR]
    assert history["epoch"].tolist() == [*range(1, 41)]
    asked = history[ERROR].notna()  # at first, at every fifth epoch, at last
    assert history["epoch"][asked].tolist() == [*range(1, 40, 5), 40]
    assert history[ERROR][asked].tolist() == [*range(9)]
    assert history["loss"].iloc[-1] < history["loss"].iloc[0] / 100
    assert not history.attrs["interrupted"]


def test_it_stops_when_nothing_gets_better():
    network, stage = line(50, learning_rate=0.0, patience=4)
    history = train(network, [stage, line(3)[1]], shown=False)
    assert history.groupby("stage").size().tolist()[0] < 50


def interrupting(stage, after):
    """Return a stage that is interrupted after so many losses."""
    count = itertools.count(1)

    def losses(generator):
        for loss in stage.losses(generator):
            if next(count) > after:
                raise KeyboardInterrupt
            yield loss

    return Stage(stage.name, stage.epochs, losses, stage.learning_rate, stage.patience)


def test_an_interruption_keeps_what_is_learnt_so_far():
    network, stage = line()
    history = train(network, [interrupting(stage, 10)], shown=False)
    assert history.attrs["interrupted"] and len(history) == 3
    assert network.weight.item() > 0.5


def test_resuming_gives_the_result_of_a_training_without_a_break(tmp_path):
    whole, stage = line()
    expected = train(whole, [stage, stage], seed=3, shown=False)
    path = tmp_path / "checkpoint.pt"
    first, stage = line()
    train(first, [interrupting(stage, 26), stage], seed=3, checkpoint=path, shown=False)
    second, stage = line()
    history = train(second, [stage, stage], seed=3, checkpoint=path, shown=False)
    assert torch.equal(second.weight, whole.weight) and torch.equal(second.bias, whole.bias)
    assert np.array_equal(history["loss"], expected["loss"])


def test_a_finished_training_is_not_done_again(tmp_path):
    network, stage = line(3)
    train(network, [stage], checkpoint=tmp_path / "c.pt", shown=False)
    weight = network.weight.item()
    again, stage = line(3)
    assert len(train(again, [stage], checkpoint=tmp_path / "c.pt", shown=False)) == 3
    assert again.weight.item() == weight


def test_a_checkpoint_of_another_training_or_no_checkpoint_is_named(tmp_path):
    network, stage = line(3)
    train(network, [stage], checkpoint=tmp_path / "c.pt", shown=False)
    with pytest.raises(ValueError, match=r"c\.pt: checkpoint of another training"):
        train(*(lambda n, s: (n, [s]))(*line(4)), checkpoint=tmp_path / "c.pt", shown=False)
    (tmp_path / "c.pt").write_bytes(b"PK no checkpoint")
    with pytest.raises(ValueError, match=r"c\.pt: damaged"):
        train(network, [stage], checkpoint=tmp_path / "c.pt", shown=False)


def test_a_loss_that_is_no_number_ends_it_with_advice():
    network, stage = line(3)
    broken = Stage("line", 3, lambda g: (loss * float("nan") for loss in stage.losses(g)))
    with pytest.raises(FloatingPointError, match="epoch 1 of 'line': give a smaller learning rate"):
        train(network, [broken], shown=False)


def test_running_out_of_memory_is_said_with_advice():
    def losses(generator):
        yield torch.empty(1 << 60).sum()

    network, _ = line()
    with pytest.raises(MemoryError, match="give a smaller size or a smaller batch"):
        train(network, [Stage("huge", 1, losses)], shown=False)
    with pytest.raises(MemoryError, match=r"a million photographs needs about 1048576.0 GiB"):
        require_memory(1 << 50, "a million photographs")


def test_same_seed_same_weights_other_seed_other_weights(retina):
    state = torch.get_rng_state()
    one, same, other = (
        weights_of(train_spatial_transformer([retina, retina], seed=seed, **QUICK))
        for seed in (0, 0, 1)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)  # nobody else's random numbers change


def test_a_training_of_photographs_can_be_resumed(retina, tmp_path):
    expected = train_spatial_transformer([retina, retina], **QUICK)
    asked = itertools.count()

    def monitor(method):
        if next(asked) == 1:
            raise KeyboardInterrupt
        return 0.0

    knobs = QUICK | {"checkpoint": tmp_path / "c.pt"}
    broken = train_spatial_transformer([retina, retina], monitor=monitor, **knobs)
    assert broken.history.attrs["interrupted"]
    resumed = train_spatial_transformer([retina, retina], **knobs)
    assert torch.equal(weights_of(resumed), weights_of(expected))
