"""One run of elastix: it takes dictionaries of parameters and returns transforms of ITK."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from fundus_helpers.transforms.transform import RegistrationError

LOG_FILE = "elastix.log"

# Changes to the defaults of elastix. The result image is not used, so it is made in the fastest
# way, by the nearest neighbour.
DEFAULTS = {
    "WriteResultImage": False,
    "ResampleInterpolator": "FinalNearestNeighborInterpolator",
    "FixedImagePyramid": "FixedRecursiveImagePyramid",
    "MovingImagePyramid": "MovingRecursiveImagePyramid",
}

# Transforms of elastix that `to_transforms` can convert.
LINEAR = {
    "EulerTransform": sitk.Euler2DTransform,
    "SimilarityTransform": sitk.Similarity2DTransform,
    "AffineTransform": lambda: sitk.AffineTransform(2),
}
SPLINES = ("BSplineTransform", "BSplineStackTransform")


class ElastixError(RegistrationError):
    """The error of a failed run: the message holds the reason, ``log`` the whole log."""

    def __init__(self, reason: str, log: str):
        super().__init__(f"elastix gave up: {reason}")
        self.log = log

    def __reduce__(self):
        """Keep reason and log when the error is sent from one process to another."""
        reason = str(self).removeprefix("elastix gave up: ")
        return type(self), (reason, self.log)


def run(
    fixed: sitk.Image,
    moving: sitk.Image,
    fixed_mask: sitk.Image | None,
    moving_mask: sitk.Image | None,
    stages: Sequence[Mapping[str, object]],
    *,
    log_folder: str | None = None,
) -> list[sitk.Transform]:
    """Register with elastix. It uses one thread, so that the same input gives the same result.

    Parameters
    ----------
    fixed, moving : sitk.Image, float32
        They have two dimensions, or three for a groupwise registration.
    fixed_mask, moving_mask : sitk.Image, uint8, optional
        Only pixels with a mask value other than 0 are used.
    stages : sequence of mapping
        Parameters of each stage: numbers, strings, bools, or sequences of them. They replace the
        defaults of elastix for the ``Transform`` of the stage.
    log_folder : str, optional
        Existing folder into which ``elastix.log`` is copied.

    Returns
    -------
    list of sitk.Transform
        One per stage, in the order of application; one per image for a stage that registers a
        stack. They map fixed to moving points in the physical coordinates of the ITK images.

    Raises
    ------
    ValueError
        If `log_folder` does not exist.
    ElastixError
        If elastix fails; with the reason from its log.
    """
    if log_folder is not None and not Path(log_folder).is_dir():
        raise ValueError(f"log_folder {Path(log_folder).name!r} is not an existing folder")
    elastix = sitk.ElastixImageFilter()
    elastix.SetNumberOfThreads(1)
    elastix.LogToConsoleOff()
    elastix.LogToFileOn()
    elastix.SetLogFileName(LOG_FILE)
    elastix.SetFixedImage(fixed)
    elastix.SetMovingImage(moving)
    if fixed_mask is not None:
        elastix.SetFixedMask(fixed_mask)
    if moving_mask is not None:
        elastix.SetMovingMask(moving_mask)
    maps = [_parameter_map(stage) for stage in stages]
    elastix.SetParameterMap(maps[0])
    for parameters in maps[1:]:
        elastix.AddParameterMap(parameters)
    # elastix always writes files. They go to a temporary folder.
    with tempfile.TemporaryDirectory() as folder:
        elastix.SetOutputDirectory(folder)
        try:
            with _standard_output_silent():
                elastix.Execute()
        except RuntimeError as error:
            log = _read(Path(folder, LOG_FILE))
            raise ElastixError(_reason(log, error), log) from error
        finally:
            if log_folder is not None and Path(folder, LOG_FILE).exists():
                shutil.copy(Path(folder, LOG_FILE), Path(log_folder, LOG_FILE))
    found = elastix.GetTransformParameterMap()
    return [transform for parameters in found for transform in to_transforms(parameters)]


def _parameter_map(stage: Mapping[str, object]) -> Mapping[str, Sequence[str]]:
    kind = "bspline" if "BSpline" in stage["Transform"] else "affine"
    parameters = sitk.GetDefaultParameterMap(kind, 4)
    for name, value in (DEFAULTS | {**stage}).items():
        values = [value] if isinstance(value, (str, bool, int, float)) else [*value]
        parameters[name] = [str(v).lower() if isinstance(v, bool) else str(v) for v in values]
    return parameters


@contextmanager
def _standard_output_silent() -> Iterator[None]:
    """Discard what elastix writes to standard output even if its log is off."""
    sys.stdout.flush()
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)


def _read(log: Path) -> str:
    return log.read_text(errors="replace") if log.exists() else ""


def _reason(log: str, error: RuntimeError) -> str:
    """Find the reason of a failure in the log of elastix, or in the error of SimpleITK."""
    for text in (log, str(error)):
        lines = [line.strip() for line in text.splitlines()]
        for mark in ("escription:", "ERROR:"):  # a description says more
            for line, following in zip(lines, [*lines[1:], ""], strict=True):
                said = line.partition(mark)[2] or (following if line.endswith(mark) else "")
                if said and "elastix log" not in said:
                    return said.strip().removeprefix("itk::").removeprefix("ERROR:").strip()
    return str(error).strip().splitlines()[-1]


def to_transforms(found: Mapping[str, Sequence[str]]) -> list[sitk.Transform]:
    """Convert a transform parameter map of elastix into transforms of ITK.

    Parameters
    ----------
    found : mapping
        From `ElastixImageFilter.GetTransformParameterMap`: a translation, an Euler, similarity,
        affine or cubic B-spline transform in two dimensions, or a stack of B-splines.

    Returns
    -------
    list of sitk.Transform
        One transform; for a stack, one per image.

    Raises
    ------
    ValueError
        For any other transform.
    """
    name = found["Transform"][0]
    values = np.array(found["TransformParameters"], float)
    if name == "TranslationTransform":
        return [sitk.TranslationTransform(2, values.tolist())]
    if name in LINEAR:
        transform = LINEAR[name]()
        transform.SetCenter(_numbers(found, "CenterOfRotationPoint"))
        transform.SetParameters(values.tolist())
        return [transform]
    if name not in SPLINES or found["BSplineTransformSplineOrder"][0] != "3":
        accepted = ["TranslationTransform", *LINEAR, *SPLINES]
        raise ValueError(f"elastix's {name} is not one of {accepted}, splines of order 3")
    width, height = (int(size) for size in _numbers(found, "GridSize"))
    splines = []
    for coefficients in values.reshape(-1, 2, height, width):
        grids = [sitk.GetImageFromArray(grid) for grid in coefficients]
        for grid in grids:
            grid.SetOrigin(_numbers(found, "GridOrigin"))
            grid.SetSpacing(_numbers(found, "GridSpacing"))
            grid.SetDirection(_numbers(found, "GridDirection"))
        splines.append(sitk.BSplineTransform(grids, 3))
    return splines


def _numbers(found: Mapping[str, Sequence[str]], name: str) -> list[float]:
    return [float(value) for value in found[name]]
