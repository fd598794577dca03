"""Training of a network, with progress bar, checkpoints and early stopping; saved weights."""

import math
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil
import torch
from torch import nn

from fundus_helpers.files import written_beside
from fundus_helpers.methods.networks.tensors import one_thread
from fundus_helpers.progress import progress

Losses = Callable[[torch.Generator], Iterator[torch.Tensor]]

LOSS, ERROR = "loss", "landmark_error_px"  # columns of the history
MONITORED = 5  # epochs between two calls of the monitor
LAST_SHARE = 0.1  # of the initial learning rate, at the end of a stage
LESS_MEMORY = "give a smaller size or a smaller batch, or close other programs"

_KEPT = ("position", "epoch", "best", "best_epoch", "history")  # in a checkpoint
FORMAT, VERSION = "fundus_helpers weights", 1
# The preprocessing of the photographs: `loading.normalise_illumination` with its default sigma, the
# rim removed by `methods.pair.prepare_image`, mean 0 and standard deviation 1.
NORMALISATION = "even illumination, sigma 0.03, rim 0.01, standardised"


@dataclass(frozen=True)
class Stage:
    """A stage of a training.

    Attributes
    ----------
    name : str
        Shown in the progress bar and in the history.
    epochs : int
        Largest number of epochs.
    losses : callable
        Takes a random generator and yields the losses of the batches of one epoch. Each loss is
        computed when it is needed. An epoch without losses does not change the network.
    learning_rate : float
        Initial learning rate; it falls to one tenth along half a cosine. A larger one learns
        faster, but does not converge if it is too large.
    patience : int
        The stage ends after this number of epochs without a smaller loss.
    optimiser : class
        An optimiser of `torch.optim`.
    steepest : float
        A gradient that is longer is shortened to this length, so that a rare batch does not undo
        what was learnt.
    """

    name: str
    epochs: int
    losses: Losses
    learning_rate: float = 1e-3
    patience: int = 10
    optimiser: type[torch.optim.Optimizer] = torch.optim.Adam
    steepest: float = math.inf


def train(
    network: nn.Module,
    stages: Sequence[Stage],
    *,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    monitor: Callable[[], float] | None = None,
    shown: bool = True,
) -> pd.DataFrame:
    """Train a network in place, one stage after the other.

    An interruption (the stop button, Ctrl-C) ends the training and keeps the weights learnt so far.
    Another call with the same `checkpoint` continues after the last complete epoch, and gives the
    same result as without the interruption.

    Parameters
    ----------
    network : torch.nn.Module
    stages : sequence of Stage
    seed : int
        Seed of all random numbers. The same seed gives the same weights on the same machine.
    checkpoint : path, optional
        File that is written after every epoch, and from which the training is resumed.
    monitor : callable, optional
        Returns the landmark error of the current network in pixels. It is called after the first
        and the last epoch of a stage, and every fifth epoch. The error is only for the history; the
        training does not use it.
    shown : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        One row per epoch: ``stage``, ``epoch``, ``loss``, and ``landmark_error_px`` if there is a
        monitor. ``attrs["interrupted"]`` is True after an interruption.

    Raises
    ------
    FloatingPointError
        If a loss is not finite; the message says in which epoch, and what to do.
    MemoryError
        If there is not enough memory; the message says what to do.
    ValueError
        If the checkpoint belongs to another training.
    """
    history = _train(_State(network, stages, seed, checkpoint), monitor, shown)
    network.eval()
    return history


@one_thread()
def _train(state: "_State", monitor: Callable[[], float] | None, shown: bool) -> pd.DataFrame:
    state.resume()
    total = sum(stage.epochs for stage in state.stages)
    bar = progress(range(total), "training", shown=shown)
    interrupted = False
    try:
        for _ in bar:
            if not state.select_stage():
                break
            row = state.run_epoch()
            if monitor is not None and state.monitored(row["epoch"]):
                state.network.eval()
                row[ERROR] = monitor()
            state.finish_epoch(row)
            bar.set_postfix({key: value for key, value in row.items() if key != "epoch"})
    except KeyboardInterrupt:
        interrupted = True
    except (RuntimeError, MemoryError) as error:
        if "alloc" not in str(error) and not isinstance(
            error, MemoryError | torch.OutOfMemoryError
        ):
            raise
        raise MemoryError(f"training ran out of memory: {LESS_MEMORY}") from error
    bar.close()
    history = pd.DataFrame(state.history, columns=state.columns(monitor))
    history.attrs["interrupted"] = interrupted
    return history


def require_memory(needed: int, what: str) -> None:
    """Check that there is enough memory, before the operating system kills the program.

    Parameters
    ----------
    needed : int
        Approximate number of bytes.
    what : str
        What they are needed for, for the message.

    Raises
    ------
    MemoryError
        If less memory is free; the message says how much is needed and how much is free.
    """
    available = psutil.virtual_memory().available
    if needed > available:
        raise MemoryError(
            f"{what} needs about {needed / 2**30:.1f} GiB of memory, {available / 2**30:.1f} GiB "
            f"are free: {LESS_MEMORY}"
        )


class _State:
    """The state of a training: the content of a checkpoint."""

    def __init__(
        self, network: nn.Module, stages: Sequence[Stage], seed: int, path: Path | str | None
    ) -> None:
        self.network, self.stages = network, stages
        self.path = None if path is None else Path(path)
        self.generator = torch.Generator().manual_seed(seed)
        self.history: list[dict[str, object]] = []
        self.position, self.optimiser = -1, None
        self._next_stage()

    def _next_stage(self) -> None:
        self.position += 1
        self.epoch, self.best, self.best_epoch = 0, math.inf, 0
        if self.position < len(self.stages):
            stage = self.stages[self.position]
            self.optimiser = stage.optimiser(self.network.parameters(), lr=stage.learning_rate)

    def select_stage(self) -> bool:
        """Go on to the next stage if the current one is finished; False if all are finished."""
        while self.position < len(self.stages):
            stage = self.stages[self.position]
            if self.epoch < stage.epochs and self.epoch - self.best_epoch < stage.patience:
                return True
            self._next_stage()
        return False

    def monitored(self, epoch: int) -> bool:
        return epoch % MONITORED == 1 or epoch == self.stages[self.position].epochs

    def run_epoch(self) -> dict[str, object]:
        stage = self.stages[self.position]
        turn = 0.5 * (1 + math.cos(math.pi * self.epoch / max(stage.epochs, 1)))
        rate = stage.learning_rate * (LAST_SHARE + (1 - LAST_SHARE) * turn)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.network.train()
        values = []
        for loss in stage.losses(self.generator):
            if not torch.isfinite(loss):
                raise FloatingPointError(
                    f"the loss is {loss.item()} in epoch {self.epoch + 1} of {stage.name!r}: give "
                    "a smaller learning rate"
                )
            self.optimiser.zero_grad()
            loss.backward()
            if math.isfinite(stage.steepest):
                nn.utils.clip_grad_norm_(self.network.parameters(), stage.steepest)
            self.optimiser.step()
            values.append(loss.item())
        mean = sum(values) / len(values) if values else math.nan
        return {"stage": stage.name, "epoch": self.epoch + 1, LOSS: mean}

    def finish_epoch(self, row: dict[str, object]) -> None:
        self.history.append(row)
        self.epoch += 1
        if row[LOSS] < self.best:
            self.best, self.best_epoch = row[LOSS], self.epoch
        if self.path is not None:
            content = {key: getattr(self, key) for key in _KEPT}
            content |= {name: getattr(self, name).state_dict() for name in ("network", "optimiser")}
            content |= {"random": self.generator.get_state(), "stages": self._plan()}
            write_tensors(content, self.path)

    def resume(self) -> None:
        if self.path is None or not self.path.exists():
            return
        content = read_tensors(self.path)
        if content.get("stages") != self._plan():
            raise ValueError(
                f"{self.path.name}: checkpoint of another training; delete it, or give another file"
            )
        while self.position < content["position"]:
            self._next_stage()
        for key in _KEPT:
            setattr(self, key, content[key])
        self.network.load_state_dict(content["network"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.generator.set_state(content["random"])

    def _plan(self) -> list[list[object]]:
        return [[stage.name, stage.epochs, stage.learning_rate] for stage in self.stages]

    def columns(self, monitor: object) -> list[str]:
        return ["stage", "epoch", LOSS] + ([ERROR] if monitor is not None else [])


def save_weights(
    path: Path | str, kind: str, size: int, weights: Mapping[str, torch.Tensor]
) -> Path:
    """Write weights, with their version, image size and normalisation.

    Parameters
    ----------
    path : path
        Ends in ``.pt``.
    kind : str
        Kind of network, for example ``spatial_transformer``.
    size : int
        Size of the canvas used in the training, in pixels.
    weights : mapping of str to tensor
        The ``state_dict()`` of the network.
    """
    path = Path(path)
    if path.suffix != ".pt":
        raise ValueError(f"{path.name}: weights are saved as .pt; change the ending")
    content = {"format": FORMAT, "version": VERSION, "kind": kind, "size": size}
    content |= {"normalisation": NORMALISATION, "weights": dict(weights)}
    write_tensors(content, path)
    return path


def load_weights(path: Path | str, kind: str) -> tuple[int, dict[str, torch.Tensor]]:
    """Read weights that `save_weights` wrote. No code in the file is run.

    Parameters
    ----------
    path : path
    kind : str
        Expected kind of network.

    Returns
    -------
    size : int
    weights : dict of str to tensor

    Raises
    ------
    ValueError
        If the file is missing, damaged, or of another program, another kind of network or another
        version; the message names the file.
    """
    path = Path(path)
    content = read_tensors(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path.name}: no weights of this program; give a file that it saved")
    needed = {"version": VERSION, "kind": kind, "normalisation": NORMALISATION}
    for key, value in needed.items():
        if content.get(key) != value:
            raise ValueError(f"{path.name}: its {key} is {content.get(key)!r}, needed is {value!r}")
    return content["size"], content["weights"]


def write_tensors(content: Mapping[str, object], path: Path) -> None:
    """Write tensors and plain values to a file, complete or not at all."""
    with written_beside(path) as part:
        torch.save(dict(content), part)


def read_tensors(path: Path) -> dict[str, object]:
    """Read a file of tensors and plain values, and refuse a file that would run code.

    Raises
    ------
    ValueError
        If it is not such a file; the message names it.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ValueError(f"{path.name}: file is missing") from error
    except (RuntimeError, OSError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path.name}: damaged, cut short or no file of weights") from error
