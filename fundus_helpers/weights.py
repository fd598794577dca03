"""Trained weights as files: with what they need to be used again, read without running code."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch

from fundus_helpers.files import written_beside

FORMAT, VERSION = "fundus_helpers weights", 1
# How the photographs are made alike before a network sees them: `images.normalise_illumination`
# with its default sigma, the rim of `pair.prepare_image` off, mean 0 and deviation 1.
NORMALISATION = "even illumination, sigma 0.03, rim 0.01, standardised"


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
