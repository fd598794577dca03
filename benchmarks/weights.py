"""Train the networks of the package anew, from painted retinas, and write their card.

The training needs about an hour on two cores. On more cores, several processes paint the pairs. A
GPU is used if there is one. The training continues where it was stopped: the checkpoints are kept
until the weights are written. To keep the old weights, copy them first.
"""

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import joblib
import pandas as pd
from torch import nn

from fundus_helpers import __version__
from fundus_helpers.files import written_beside
from fundus_helpers.loading.fire import FirePair
from fundus_helpers.loading.pair_table import read_any_pairs
from fundus_helpers.methods import learned
from fundus_helpers.methods.learned.weights import CARD, FILE, Trained, save_trained
from fundus_helpers.runs.fire_benchmark import run_benchmark, tabulate

METHODS = ("spatial_transformer", "voxelmorph")
KINDS = ("wide", "near")
SHOWN = ["S", "P", "A", "mAUC", "pooled", "mean_landmark_error_px", "failed", "accepted", "pairs"]
TEXT = """# The networks of this package

`{file}` holds the weights of two small networks: `wide` finds where one photograph lies in another,
`near` corrects what is left. The methods `spatial_transformer` and `voxelmorph` use both.

| | |
|---|---|
| learned from | painted retinas only (`painting/`): no photograph of a patient, no demo eye |
| seed | {seed} |
| pairs of the wide network | {wide_pairs:,} photographs of 256 px |
| pairs of the near network | {near_pairs:,} windows of 224 px, of photographs of 256 to 768 px |
| training | {minutes:.0f} minutes, of the last run if it was interrupted |
| weights | {weights:,}, in half precision |
| version of the package | {version} |
| SHA-256 | `{checksum}` |

Another training: `make weights` (`SEED=1` for another seed, `FIRE=folder` for the table).

## What they reach

{table}

## Where they fail

- Not trained for: photographs that are mirrored, turned by more than 35 degrees, or magnified by
  less than 0.55 or more than 1.8. Some of them are registered all the same.
- Pairs that share less than about an eighth of the field of view.
- Retinas whose vessels cannot be seen in one of the photographs. What is left is refused by the
  checks that all methods share, not by the networks.
"""


def train(kind: str, folder: Path, seed: int, share: float, painters: int) -> nn.Module:
    """Train one network."""
    teach = {"wide": learned.train_wide, "near": learned.train_near}[kind]
    epochs = max(1, round(share * teach.__kwdefaults__["epochs"]))
    checkpoint = folder / f"{kind}_{seed}.pt"
    return teach(epochs=epochs, seed=seed, checkpoint=checkpoint, painters=painters)


def measure(pairs: Sequence[FirePair] | None) -> str:
    """Return what the methods reach on pairs, as a table in Markdown."""
    if pairs is None:
        return "Not measured in this training: give `FIRE=folder`."
    with tempfile.TemporaryDirectory() as folder:
        table = tabulate(run_benchmark(pairs, METHODS, Path(folder) / "fire.csv"))
    return markdown(table[[name for name in SHOWN if name in table]].round(3))


def markdown(table: pd.DataFrame) -> str:
    """Write a table in Markdown."""
    rows = [["method", *table.columns], ["---"] * (1 + len(table.columns))]
    rows += [[name, *(f"{value:.4g}" for value in row)] for name, row in table.iterrows()]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


def write_card(networks: Trained, seed: int, minutes: float, reached: str) -> str:
    """Write what the networks learned from and what they reach; return the text."""
    wide, near = networks.wide, networks.near
    text = TEXT.format(
        file=FILE.name,
        seed=seed,
        wide_pairs=len(wide.history) * learned.WIDE_STEPS * learned.WIDE_PAIRS,
        near_pairs=len(near.history) * learned.NEAR_STEPS * learned.NEAR_PAIRS,
        minutes=minutes,
        weights=sum(p.numel() for network in (wide, near) for p in network.parameters()),
        version=__version__,
        checksum=hashlib.sha256(FILE.read_bytes()).hexdigest(),
        table=reached,
    )
    with written_beside(CARD) as part:
        part.write_text(text, encoding="utf-8")
    return text


def main() -> None:
    """Train both networks, write the weights and the card, print the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fire", help="folder of FIRE, or of pairs.csv, to measure the result")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoints", type=Path, default=Path("weights_in_training"))
    parser.add_argument("--share", type=float, default=1.0, help="of the epochs, for a trial")
    options = parser.parse_args()
    options.checkpoints.mkdir(parents=True, exist_ok=True)
    pairs = read_any_pairs(options.fire) if options.fire else None  # a wrong name ends it here
    cores, begin = joblib.cpu_count(), time.perf_counter()
    given = options.checkpoints, options.seed, options.share
    if cores > 2:  # one network after the other, each with painters in other processes
        wide, near = [train(kind, *given, cores - 1) for kind in KINDS]
    else:  # each network paints its own pairs
        tasks = [joblib.delayed(train)(kind, *given, 1) for kind in KINDS]
        wide, near = joblib.Parallel(n_jobs=cores)(tasks)
    minutes = (time.perf_counter() - begin) / 60
    networks = Trained(wide, near)
    save_trained(networks, FILE)
    sys.stdout.write(write_card(networks, options.seed, minutes, measure(pairs)))
    for kind in KINDS:  # nothing else of the user's folder is deleted
        (options.checkpoints / f"{kind}_{options.seed}.pt").unlink()


if __name__ == "__main__":
    main()
