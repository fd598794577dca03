"""Training that shows how it goes, can be interrupted and resumed, and stops by itself."""

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

LOSS, ERROR = "loss", "landmark_error_px"


MONITORED = 5  # epochs


LAST_SHARE = 0.1  # of the learning rate, at the end of a stage


LESS_MEMORY = "give a smaller size or a smaller batch, or close other programs"


_KEPT = ("position", "epoch", "best", "best_epoch", "history")


FORMAT, VERSION = "fundus_helpers weights", 1


# How the photographs are made alike before a network sees them: `loading.normalise_illumination`
# with its default sigma, the rim of `methods.prepare_image` off, mean 0 and deviation 1.
NORMALISATION = "even illumination, sigma 0.03, rim 0.01, standardised"


Losses = Callable[[torch.Generator], Iterator[torch.Tensor]]


@dataclass(frozen=True)
class Stage:
    """A part of a training.

    Attributes
    ----------
    name : str
        For the bar and the history.
    epochs : int
        At most.
    losses : callable
        Given a random generator, yields the losses of one epoch's batches, each computed when it
        is asked for. An epoch without any teaches nothing.
    learning_rate : float
        At the start; it falls to a tenth along half a cosine. Larger learns faster, too large
        never settles.
    patience : int
        Epochs without a smaller loss after which the stage ends.
    optimiser : class
        Of `torch.optim`.
    """

    name: str
    epochs: int
    losses: Losses
    learning_rate: float = 1e-3
    patience: int = 10
    optimiser: type[torch.optim.Optimizer] = torch.optim.Adam


def train(
    network: nn.Module,
    stages: Sequence[Stage],
    *,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    monitor: Callable[[], float] | None = None,
    shown: bool = True,
) -> pd.DataFrame:
    """Train a network, in place, stage after stage.

    Interrupting it (the stop button, Ctrl-C) ends the training and keeps what is learnt so far.
    Called again with the same `checkpoint` it goes on after the last whole epoch, to the very
    result that it would have had without the break.

    Parameters
    ----------
    network : torch.nn.Module
    stages : sequence of Stage
    seed : int
        Of everything random; the same on the same machine gives the same weights.
    checkpoint : path, optional
        File to resume from, written after every epoch.
    monitor : callable, optional
        Tells the landmark error, in pixels, of the network as it is; asked after the first and
        the last epoch of a stage and every fifth one between. For the history only: nothing is
        trained on it.
    shown : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        A row an epoch: ``stage``, ``epoch``, ``loss``, and ``landmark_error_px`` where there is
        a monitor. Its ``attrs["interrupted"]`` says whether it was.

    Raises
    ------
    FloatingPointError
        If a loss is not finite; says when, and what to do.
    MemoryError
        If there is not enough memory; says what to do.
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
    """Refuse work for which there is not enough memory, before the system kills it.

    Parameters
    ----------
    needed : int
        Bytes, roughly.
    what : str
        What they are for.

    Raises
    ------
    MemoryError
        Says how much is needed and how much there is.
    """
    available = psutil.virtual_memory().available
    if needed > available:
        raise MemoryError(
            f"{what} needs about {needed / 2**30:.1f} GiB of memory, {available / 2**30:.1f} GiB "
            f"are free: {LESS_MEMORY}"
        )


class _State:
    """Where a training stands: all that a checkpoint holds."""

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
        """Go to the stage whose turn it is; False when all are done."""
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
            raise ValueError(f"{self.path.name}: checkpoint of another training; delete it first")
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
    """Write weights with their version, the image size and the normalisation they need.

    Parameters
    ----------
    path : path
        Ending in ``.pt``.
    kind : str
        Of the network, for example ``spatial_transformer``.
    size : int
        Side of the canvas that it was trained with, in pixels.
    weights : mapping of str to tensor
        A network's ``state_dict()``.
    """
    path = Path(path)
    if path.suffix != ".pt":
        raise ValueError(f"{path.name}: weights are saved as .pt")
    content = {"format": FORMAT, "version": VERSION, "kind": kind, "size": size}
    content |= {"normalisation": NORMALISATION, "weights": dict(weights)}
    write_tensors(content, path)
    return path


def load_weights(path: Path | str, kind: str) -> tuple[int, dict[str, torch.Tensor]]:
    """Read weights that `save_weights` wrote; no code in the file is run.

    Parameters
    ----------
    path : path
    kind : str
        The network they must be of.

    Returns
    -------
    size : int
    weights : dict of str to tensor

    Raises
    ------
    ValueError
        If the file is missing, cut short, of another program, of another kind of network, or of
        another version; names the file.
    """
    path = Path(path)
    content = read_tensors(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path.name}: no weights of this program")
    needed = {"version": VERSION, "kind": kind, "normalisation": NORMALISATION}
    for key, value in needed.items():
        if content.get(key) != value:
            raise ValueError(f"{path.name}: its {key} is {content.get(key)!r}, needed is {value!r}")
    return content["size"], content["weights"]


def write_tensors(content: Mapping[str, object], path: Path) -> None:
    """Write tensors and plain values to a file that is never seen half written."""
    with written_beside(path) as part:
        torch.save(dict(content), part)


def read_tensors(path: Path) -> dict[str, object]:
    """Read a file of tensors and plain values, refusing anything that would run code.

    Raises
    ------
    ValueError
        If it is not such a file; names it.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ValueError(f"{path.name}: file is missing") from error
    except (RuntimeError, OSError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path.name}: damaged, cut short or no file of weights") from error
