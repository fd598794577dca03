"""Save the results of one notebook for one eye: transforms, photographs and pictures."""

import os
from collections.abc import Sequence
from pathlib import Path

import joblib
import numpy as np
import SimpleITK as sitk
from PIL import Image

from fundus_helpers import transforms
from fundus_helpers.files import UNFINISHED, remove_unfinished, written_beside
from fundus_helpers.loading.eye import Eye
from fundus_helpers.loading.photographs import read_photograph, save_photograph
from fundus_helpers.loading.values import resize, to_unit_range
from fundus_helpers.plotting.pictures import flicker, overlay
from fundus_helpers.progress import progress
from fundus_helpers.series.registering import Registration

PICTURE_SIZE = 320  # longer side in pixels; small, because one report shows many pictures
PICTURES = ("before.jpg", "after.jpg", "flicker.gif")
# The small pictures of every visit: overlays before and after registration, and registered alone.
BEFORE, AFTER, ALONE = "pictures/before", "pictures/after", "pictures/registered"
SUBFOLDERS = ("transforms", "registered", BEFORE, AFTER, ALONE)
VIEW_SIZE = 1024  # longer side in pixels of the pictures that the viewer of the report shows


def make_folder(results: Path | str, patient: str, laterality: str, notebook: str) -> Path:
    """Make the folder of one notebook's results for one eye: ``<patient>_<L|R>/<notebook>``.

    If the laterality is empty, the folder is ``<patient>/<notebook>``. Use this for results that
    belong to more than one eye.

    Raises
    ------
    PermissionError
        If the folder cannot be made or written. The message says what to do.
    """
    name = f"{patient}_{laterality}" if laterality else patient
    folder = Path(results) / name / notebook
    remedy = "make it writable, or choose another results folder (RESULTS=...)"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"results folder {Path(results).name!r} is unusable: {error.strerror}; {remedy}"
        raise PermissionError(message) from error
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"results folder {Path(results).name!r} is read-only; {remedy}")
    return folder


def clear_registrations(folder: Path | str) -> None:
    """Delete the transforms, registered photographs and pictures of an earlier run.

    Parameters
    ----------
    folder : path
        The folder of one notebook's results for one eye. Nothing happens if it does not exist.
    """
    folder = Path(folder)
    remove_unfinished(folder)
    found = [path for name in SUBFOLDERS for path in (folder / name).glob("*")]
    for path in [*found, *(folder / name for name in PICTURES)]:
        if not (path.name.startswith(UNFINISHED) or path.is_dir()):
            path.unlink(missing_ok=True)


def save_registrations(
    folder: Path,
    eye: Eye,
    template: int,
    registrations: Sequence[Registration | None],
    *,
    shown: int,
    jobs: int = -1,
) -> None:
    """Save the transform, the registered photograph and small pictures of every visit.

    ``transforms/<visit>.tfm`` (``.h5`` if the transform is not linear) maps pixels of the
    template's photograph to pixels of the visit's photograph, both at full size.
    ``registered/<visit>.png`` (``.tif`` for floating-point pixels) has the size, the channels and
    the bit depth of the original photograph. The files of an earlier run are deleted first.

    ``pictures/registered/<visit>.jpg`` is the registered photograph, at most 1024 px wide, for the
    viewer of the report. ``pictures/before`` and ``pictures/after`` hold small overlays of the
    template and each visit. ``before.jpg`` and ``after.jpg`` are the overlays of one visit, and
    ``flicker.gif`` shows the template and this visit in turn after registration. ``after.jpg`` and
    ``flicker.gif`` are saved only if this visit could be registered.

    Parameters
    ----------
    folder : Path
        The folder that `make_folder` returned.
    eye : Eye
    template : int
        Position of the template among the visits. For a group, the position of the visit whose
        size the common frame has.
    registrations : sequence of Registration or None
        Registrations of all visits of the eye, in their order; None for a visit that was not
        registered. Nothing is saved for it, nor for a registration that failed.
    shown : int
        Position of the visit in the pictures. Best is the visit farthest from the template.
    jobs : int
        Number of threads; -1 for one per core.
    """
    clear_registrations(folder)
    for name in SUBFOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    tasks = []
    visits = zip(eye.used["file"], eye.factors, registrations, strict=True)
    for file, factor, registration in visits:
        if registration is not None and registration.transform is not None:
            transform = transforms.rescale(registration.transform, eye.factors[template], factor)
            # Transforms are saved one after the other, because HDF5 does not allow threads.
            path = folder / "transforms" / registration.visit
            transforms.save_by_kind(transform, path)
            target = folder / "registered" / registration.visit
            picture = folder / ALONE / f"{registration.visit}.jpg"
            task = joblib.delayed(_save_photograph)
            shape = eye.full_shapes[template]
            tasks.append(task(target, picture, eye, file, transform, shape))
    saved = joblib.Parallel(n_jobs=jobs, prefer="threads", return_as="generator")(tasks)
    for _ in progress(saved, "visits saved", len(tasks)):
        pass
    _save_pictures(
        folder, eye, template, shown, [each and each.transform for each in registrations]
    )


def _save_photograph(
    target: Path,
    picture: Path,
    eye: Eye,
    file: str,
    transform: sitk.Transform,
    shape: tuple[int, int],
) -> None:
    """Save the registered photograph as it is, and a small picture of it for the screen."""
    warped = transforms.warp(read_photograph(eye.folder / file), transform, shape)
    save_photograph(warped, target)
    small = resize(warped, VIEW_SIZE) if max(warped.shape[:2]) > VIEW_SIZE else warped
    shown = to_unit_range(small, eye.ranges.of(warped.dtype))
    _save_jpeg(picture, shown, VIEW_SIZE)


def _save_pictures(
    folder: Path, eye: Eye, template: int, shown: int, found: Sequence[sitk.Transform | None]
) -> None:
    """Save overlays of the template and every visit, and one visit in turn with the template."""
    # The common frame of a group is not that of the template, so both images are warped to it.
    frame = found[template] or transforms.identity()
    fixed, laid = eye.images[template], transforms.warp(eye.images[template], frame)
    for i, (visit, transform) in enumerate(zip(eye.names, found, strict=True)):
        if i != template or i == shown:
            before = overlay(fixed, eye.images[i])
            _save_jpeg(folder / BEFORE / f"{visit}.jpg", before, PICTURE_SIZE)
        if i == shown:
            _save_jpeg(folder / "before.jpg", before, PICTURE_SIZE)
        if transform is None or (i == template and i != shown):
            continue
        moved = transforms.warp(eye.images[i], transform)
        after = overlay(laid, moved)
        _save_jpeg(folder / AFTER / f"{visit}.jpg", after, PICTURE_SIZE)
        if i == shown:
            _save_jpeg(folder / "after.jpg", after, PICTURE_SIZE)
            with written_beside(folder / "flicker.gif") as part:
                part.write_bytes(flicker(laid, moved, size=PICTURE_SIZE))


def _save_jpeg(path: Path, image: np.ndarray, size: int) -> None:
    """Save an image in [0, 1], grey or in colours, whose longer side has at most `size` pixels."""
    picture = Image.fromarray(np.uint8(np.clip(image, 0, 1) * 255))
    picture.thumbnail((size, size))
    with written_beside(path) as part:
        picture.save(part, "JPEG", quality=85)


def save_image(path: Path, image: np.ndarray) -> Path:
    """Save an image that is not a photograph, for example a mean, as a grey PNG of 16 bits.

    Parameters
    ----------
    path : Path
        ``<name>.png``.
    image : float ndarray in [0, 1], shape (height, width)
    """
    levels = np.uint16(np.clip(image, 0, 1) * np.iinfo(np.uint16).max)
    with written_beside(path) as part:
        sitk.WriteImage(sitk.GetImageFromArray(levels), str(part), useCompression=True)
    return path
