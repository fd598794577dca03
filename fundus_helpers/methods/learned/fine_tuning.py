"""Fine-tuning: the near network learns from the photographs of one eye, without landmarks.

The networks register the pairs of the eye first. Windows of the registered photographs are then
displaced by a known amount, and the network learns to find it between real photographs of two
visits. Where the first registration is a little off, it is off in another direction in the next
pair, so that its errors do not add up.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy

import numpy as np
import torch

from fundus_helpers.methods.learned.canvas import SIZE, nodes, places_of, put_on_canvas
from fundus_helpers.methods.learned.networks import NearNetwork
from fundus_helpers.methods.learned.painting.pairs import near_places
from fundus_helpers.methods.learned.registration import find_field, find_homography, finish
from fundus_helpers.methods.learned.weights import Trained, trained
from fundus_helpers.methods.networks.batches import check_pairs
from fundus_helpers.methods.networks.tensors import Stack, check_masks, pixel_places, sample
from fundus_helpers.methods.networks.training import Stage, train
from fundus_helpers.methods.pair import prepare_pair
from fundus_helpers.transforms.transform import RegistrationError

# A window of the photographs, in pixels; windows of a step, and steps of an epoch.
WINDOW, WINDOWS, STEPS = 224, 4, 8
# A window counts if this share of it is seen in both photographs.
LEAST_SEEN = 0.5
TRIES = 1000  # before the pairs are refused, because they overlap too little


def fine_tune(
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray | None] | None = None,
    *,
    pairs: Sequence[tuple[int, int]] | None = None,
    epochs: int = 8,
    learning_rate: float = 5e-4,
    seed: int = 0,
    start: Trained | None = None,
    shown: bool = True,
) -> Trained:
    """Let the near network learn from the photographs of one eye, in about 20 s on one core.

    Parameters
    ----------
    images : sequence of float ndarray in [0, 1], shape (height, width)
        Photographs of one eye.
    masks : sequence of bool ndarray or None, optional
        True inside the fields of view.
    pairs : sequence of (fixed, moving), optional
        Positions of the photographs to learn from. None: the first with each of the others. A pair
        that cannot be registered is left out.
    epochs : int
        Passes of 8 steps, with 4 windows each. More adapt further to this eye.
    learning_rate : float
        See `networks.Stage`.
    seed : int
        The same seed gives the same weights on the same machine.
    start : Trained, optional
        None: the networks of the package.
    shown : bool
        Show a progress bar.

    Returns
    -------
    Trained
        To be given to a method: ``METHODS["voxelmorph"](fixed, moving, trained=...)``.

    Raises
    ------
    ValueError
        If there is no epoch, or not one mask for each photograph.
    RegistrationError
        If there is no pair, or if none can be registered; the message tells why the last one could
        not.
    """
    if epochs < 1:
        raise ValueError(f"epochs={epochs}: nothing is learned; give 1 or more")
    start = trained() if start is None else start
    registered = _all_registered(images, masks, pairs, start)
    near = deepcopy(start.near).requires_grad_(True)

    def losses(generator: torch.Generator) -> Iterator[torch.Tensor]:
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        for _ in range(STEPS):
            yield _loss(near, registered, rng)

    stage = Stage("this eye", epochs, losses, learning_rate, patience=epochs, steepest=1.0)
    near.history = train(near, [stage], seed=seed, shown=shown)
    return Trained(start.wide, near.requires_grad_(False))


def _all_registered(
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray | None] | None,
    pairs: Sequence[tuple[int, int]] | None,
    networks: Trained,
) -> list[tuple[Stack, Stack]]:
    """Register all pairs; leave those out that cannot be registered."""
    pairs, masks = check_pairs(pairs, len(images)), check_masks(masks, len(images))
    if not pairs:
        raise RegistrationError(
            f"no pair to learn from: photographs given: {len(images)}; give two of one eye, or more"
        )
    registered, reasons = [], []
    for i, j in pairs:
        try:
            registered.append(_registered(images[i], images[j], masks[i], masks[j], networks))
        except RegistrationError as error:
            reasons.append(f"photograph {i} (fixed) and {j} (moving): {error}")
    if not registered:
        raise RegistrationError(
            f"no pair to learn from: none could be registered; the last was {reasons[-1]}"
        )
    return registered


def _registered(
    fixed: np.ndarray,
    moving: np.ndarray,
    fixed_mask: np.ndarray | None,
    moving_mask: np.ndarray | None,
    networks: Trained,
) -> tuple[Stack, Stack]:
    """Return both photographs on the canvas of the fixed one, registered by the networks."""
    pair = prepare_pair(fixed, moving, fixed_mask, moving_mask)
    canvas, model = find_homography(put_on_canvas(pair), networks)
    bent = find_field(canvas, networks, model)
    finish(bent, canvas, pair)  # nothing is learned from a pair whose result is not plausible
    return canvas.fixed, canvas.moving.warped(places_of(bent(nodes(SIZE)), SIZE))


def _loss(
    near: NearNetwork, registered: Sequence[tuple[Stack, Stack]], rng: np.random.Generator
) -> torch.Tensor:
    """Displace windows by a known amount, and return the loss of the network (`NearNetwork`)."""
    drawn = [_window(registered, rng) for _ in range(WINDOWS)]
    fixed, moving = (
        Stack(
            torch.cat([pair[side].images for pair in drawn]),
            torch.cat([pair[side].masks for pair in drawn]),
        )
        for side in (0, 1)
    )
    return near.loss(fixed, moving, torch.stack([truth for *_, truth in drawn]))


def _window(
    registered: Sequence[tuple[Stack, Stack]], rng: np.random.Generator
) -> tuple[Stack, Stack, torch.Tensor]:
    """Cut the same window out of both photographs of a pair, one of them displaced."""
    for _ in range(TRIES):
        sides = registered[int(rng.integers(len(registered)))]
        sides = sides[::-1] if rng.uniform() < 0.5 else sides
        truth, share = near_places(WINDOW, rng), WINDOW / SIZE
        centre = torch.from_numpy(rng.uniform(-1 + share, 1 - share, 2)).float()
        grids = truth, pixel_places(WINDOW)
        fixed, moving = (
            Stack(
                sample(side.images, (grid * share + centre)[None]),
                (sample(side.masks, (grid * share + centre)[None]) > 0.99).float(),
            )
            for side, grid in zip(sides, grids, strict=True)
        )
        if (fixed.masks * moving.masks).mean() > LEAST_SEEN:
            return fixed, moving, truth
    raise RegistrationError(
        f"no window of {WINDOW} px of 768 is seen in both photographs of a pair: give pairs that "
        "overlap more"
    )
