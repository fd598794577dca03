"""Measure the networks: time of training and inference, landmark error and folding.

The networks of the package have learned from painted retinas, and are fine-tuned on the eye. Others
are trained on the eye itself and, with --fire, on other eyes.
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import torch

from fundus_helpers import metrics, transforms
from fundus_helpers.loading.eye import Eye, load_eye
from fundus_helpers.loading.fire import group_by_eye, read_pairs
from fundus_helpers.loading.photographs import read_photograph
from fundus_helpers.loading.values import resize, single_channel
from fundus_helpers.methods import METHODS, learned
from fundus_helpers.methods.networks.layers import find_matrices
from fundus_helpers.methods.networks.spatial_transformer import (
    SpatialTransformer,
    train_spatial_transformer,
)
from fundus_helpers.methods.networks.tensors import level_sizes, one_thread, stack_of
from fundus_helpers.methods.networks.voxelmorph import train_voxelmorph
from fundus_helpers.series.registering import register_visit

Method = Callable[..., object]


def timed(train: Callable[[], Method]) -> tuple[Method, dict[str, float]]:
    """Train a method; return it, the seconds on the clock and the seconds of processor time."""
    wall, core = time.perf_counter(), time.process_time()
    method = train()
    seconds = time.perf_counter() - wall, time.process_time() - core
    return method, dict(zip(("training, s", "training, core s"), seconds, strict=True))


def row(eye: Eye, method: Method, **knobs: object) -> dict[str, float]:
    """Register every visit to the first; return landmark errors, folding and seconds per visit."""
    found, core = [], time.process_time()
    for i in range(len(eye.names)):
        masks = {"template_mask": eye.masks[0], "mask": eye.masks[i]}
        found.append(register_visit(method, eye.images[0], eye.images[i], "", **masks, **knobs))
    core = (time.process_time() - core) / len(found)
    done = [(i, r.transform) for i, r in enumerate(found) if i and r.transform is not None]
    errors = [
        metrics.landmark_errors(t, *eye.landmarks_between(0, i)).mean() * eye.full_factor
        for i, t in done
    ]
    folding = [
        transforms.folding(t, transforms.overlap(eye.masks[0], eye.masks[i], t)) for i, t in done
    ]
    seconds = np.median([r.seconds for r in found[1:]])
    values = {"landmark_error_px": np.mean(errors), "worst_landmark_error_px": np.max(errors)}
    values["folding"] = np.max(folding)
    failed = len(found) - 1 - len(done)
    return values | {"per visit, s": seconds, "per visit, core s": core, "failed": failed}


def inference(eye: Eye, method: SpatialTransformer, looks: int) -> dict[str, float]:
    """Measure the seconds of the network alone, on one thread and without preprocessing."""
    stack, sizes = stack_of(eye.images, eye.masks, method.size), level_sizes(method.size)
    start, seconds = torch.eye(3)[None], []
    with torch.no_grad(), one_thread():
        for i in range(len(stack)):
            begin = time.perf_counter()
            find_matrices(method.network, stack[[0]], stack[[i]], sizes, start, looks=looks)
            seconds.append(time.perf_counter() - begin)
    return {"network alone, s": np.median(seconds)}


def other_eyes(folder: str, eye: Eye, size: int) -> tuple[list[np.ndarray], list[tuple[int, int]]]:
    """Read FIRE's photographs except those of this eye; return them and their pairs of class S."""
    pairs = read_pairs(folder)
    content = {path: path.read_bytes() for p in pairs for path in (p.fixed_path, p.moving_path)}
    own = {(eye.folder / name).read_bytes() for name in eye.used["file"]}
    eyes = group_by_eye(pairs)
    this = {eyes[p.name] for p in pairs if {content[p.fixed_path], content[p.moving_path]} & own}
    kept = [p for p in pairs if eyes[p.name] not in this]
    paths = {content[path]: path for p in kept for path in (p.fixed_path, p.moving_path)}
    position = {content: i for i, content in enumerate(paths)}
    photographs = (single_channel(read_photograph(path)) for path in paths.values())
    images = [np.clip(resize(photograph, size), 0, 1) for photograph in photographs]
    ends = ((p.fixed_path, p.moving_path) for p in kept if p.category == "S")
    return images, [tuple(position[content[path]] for path in pair) for pair in ends]


def main() -> None:
    """Print a table for one eye."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("patient")
    parser.add_argument("laterality")
    parser.add_argument("--fire", help="folder of FIRE, to train on its other eyes too")
    parser.add_argument("--size", type=int, default=768)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    eye = load_eye(options.data, options.patient, options.laterality, size=options.size)
    own, knobs, rows = (eye.images, eye.masks), {"size": options.size}, {}
    for name in ("spatial_transformer", "voxelmorph"):
        rows[name] = row(eye, METHODS[name])
    tuned, seconds = timed(partial(learned.fine_tune, *own))
    rows["voxelmorph, fine-tuned"] = row(eye, partial(METHODS["voxelmorph"], trained=tuned))
    rows["voxelmorph, fine-tuned"] |= seconds
    for seed in range(options.seeds):
        affine, seconds = timed(partial(train_spatial_transformer, *own, seed=seed, **knobs))
        rows[f"spatial transformer, seed {seed}"] = row(eye, affine) | seconds
        field, seconds = timed(partial(train_voxelmorph, affine, *own, seed=seed))
        rows[f"VoxelMorph on it, seed {seed}"] = row(eye, field) | seconds
    if options.fire:
        images, pairs = other_eyes(options.fire, eye, options.size)
        train = partial(train_spatial_transformer, images, pairs=pairs, **knobs)
        affine, seconds = timed(train)
        name = f"learnt from {len(images)} photographs of other eyes"
        for looks in (2, 1, 0):
            values = row(eye, affine, looks=looks) | seconds
            rows[f"{name}, {looks} looks"] = values | inference(eye, affine, looks)
    sys.stdout.write(
        pd.DataFrame(rows).T.to_string(float_format="{:.3g}".format, na_rep="-") + "\n"
    )


if __name__ == "__main__":
    main()
