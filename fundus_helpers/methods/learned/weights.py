"""The weights of the networks: in the package, in a format that runs no code when it is read."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from fundus_helpers.files import written_beside
from fundus_helpers.methods.learned.networks import NearNetwork, WideNetwork
from fundus_helpers.methods.networks.training import NORMALISATION

FILE = Path(__file__).with_name("painted_eyes.safetensors")
CARD = FILE.with_suffix(".md")  # what they learned from, what they reach, and where they fail
FORMAT, VERSION = "fundus_helpers learned", "1"


@dataclass(frozen=True)
class Trained:
    """The two networks that the methods use together.

    Attributes
    ----------
    wide : WideNetwork
    near : NearNetwork
    """

    wide: WideNetwork
    near: NearNetwork

    def parts(self) -> dict[str, torch.nn.Module]:
        """Return the networks by name."""
        return {"wide": self.wide, "near": self.near}


def save_trained(networks: Trained, path: Path | str) -> Path:
    """Write the weights of both networks to a ``.safetensors`` file, in half precision.

    Parameters
    ----------
    networks : Trained
    path : path
    """
    tensors = {
        f"{name}.{key}": tensor.detach().to(torch.float16).contiguous()
        for name, part in networks.parts().items()
        for key, tensor in part.state_dict().items()
    }
    about = {"format": FORMAT, "version": VERSION, "normalisation": NORMALISATION}
    with written_beside(Path(path)) as part:
        save_file(tensors, part, metadata=about)
    return Path(path)


def load_trained(path: Path | str) -> Trained:
    """Read networks from a file that `save_trained` wrote. No code in the file is run.

    Raises
    ------
    ValueError
        If the file is missing, damaged or cut short, of another version or of other networks; the
        message names the file and says what is needed.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}
    except FileNotFoundError as error:
        raise ValueError(f"{path.name}: file is missing") from error
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path.name}: damaged, cut short or no file of weights; install the package again, or "
            "make the weights anew with `make weights`"
        ) from error
    needed = {"format": FORMAT, "version": VERSION, "normalisation": NORMALISATION}
    for key, value in needed.items():
        if about.get(key) != value:
            raise ValueError(f"{path.name}: its {key} is {about.get(key)!r}, needed is {value!r}")
    networks = Trained(WideNetwork(), NearNetwork())
    for name, part in networks.parts().items():
        own = {key[len(name) + 1 :]: t for key, t in tensors.items() if key.startswith(f"{name}.")}
        try:
            part.load_state_dict(own)
        except RuntimeError as error:
            raise ValueError(
                f"{path.name}: weights of other networks than those of this package; make the file "
                f"with learned.save_trained ({type(part).__name__} does not fit)"
            ) from error
        part.eval().requires_grad_(False)
    return networks


@cache
def trained() -> Trained:
    """Return the networks of the package. They are read once."""
    return load_trained(FILE)
