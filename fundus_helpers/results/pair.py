"""Two photographs registered into a folder: transform, photograph, verdict and pictures."""

from pathlib import Path

import numpy as np
from PIL import Image

from fundus_helpers.files import written_beside
from fundus_helpers.loading.photographs import read_photograph
from fundus_helpers.loading.values import resize, single_channel
from fundus_helpers.plotting.pictures import flicker, overlay
from fundus_helpers.series.photographs import (
    SAVED,
    RegisteredPhotographs,
    clear_saved,
    register_photographs,
)

PICTURES = ("before.jpg", "after.jpg", "flicker.gif")
SIZE = 1024  # longer side of the pictures in pixels


def register_pair(
    fixed: Path | str, moving: Path | str, folder: Path | str, method: str = "keypoints"
) -> tuple[RegisteredPhotographs, list[Path]]:
    """Register two photographs and write everything about them into a folder.

    What an earlier pair has left there is deleted before the registration begins. Beside the files
    of `series.RegisteredPhotographs`, there are three pictures: ``before.jpg`` and ``after.jpg``
    (overlays of both photographs) and ``flicker.gif`` (both in turn, registered). If the
    registration failed, ``before.jpg`` is the only picture.

    Parameters
    ----------
    fixed, moving : path
        Files that `loading.read_photograph` accepts.
    folder : path
        It is made if it is missing.
    method : str
        A name in `fundus_helpers.METHODS`.

    Returns
    -------
    done : RegisteredPhotographs
    written : list of Path
        The files that were written.

    Raises
    ------
    UnusableImageError
        If a file is not a photograph; the message names the file.
    ValueError
        If a photograph is not named, or lies where a result would replace it; nothing is deleted.
    """
    folder = Path(folder)
    for name, path in (("fixed", fixed), ("moving", moving)):
        if not str(path) or Path(path) == Path("."):
            raise ValueError(
                f"the {name} photograph is not named; give both: make register FIXED=2019.jpg "
                "MOVING=2024.jpg, or fundus register 2019.jpg 2024.jpg registered"
            )
        if Path(path).resolve() in [(folder / name).resolve() for name in PICTURES]:
            raise ValueError(
                f"{Path(path).name} lies in the folder of the results, which would replace it; "
                "choose another folder"
            )
    clear_saved(folder, inputs=(fixed, moving))
    for name in PICTURES:
        (folder / name).unlink(missing_ok=True)
    done = register_photographs(fixed, moving, method)
    done.save(folder)
    _save_pictures(folder, read_photograph(fixed), read_photograph(moving), done)
    return done, [folder / name for name in (*SAVED, *PICTURES) if (folder / name).exists()]


def _save_pictures(
    folder: Path, fixed: np.ndarray, moving: np.ndarray, done: RegisteredPhotographs
) -> None:
    small = [_small(fixed), _small(moving)]
    _save_overlay(folder / "before.jpg", small[0], _in_frame(small[1], small[0].shape))
    if done.image is not None:
        registered = _small(done.image)
        _save_overlay(folder / "after.jpg", small[0], registered)
        with written_beside(folder / "flicker.gif") as part:
            part.write_bytes(flicker(small[0], registered, size=SIZE))


def _small(photograph: np.ndarray) -> np.ndarray:
    image = single_channel(photograph)
    return resize(image, min(SIZE, max(image.shape)))


def _in_frame(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return an image at the size of another, filled up with black or cut off below and right."""
    image = resize(image, max(shape))
    framed = np.zeros(shape, image.dtype)
    height, width = np.minimum(shape, image.shape)
    framed[:height, :width] = image[:height, :width]
    return framed


def _save_overlay(path: Path, fixed: np.ndarray, moving: np.ndarray) -> None:
    with written_beside(path) as part:
        Image.fromarray(np.uint8(overlay(fixed, moving) * 255)).save(part, "JPEG", quality=90)
