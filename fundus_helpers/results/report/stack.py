"""All registered photographs of one eye in one file, which ImageJ opens in order of their dates."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

from fundus_helpers.files import written_beside
from fundus_helpers.loading.photographs import read_photograph
from fundus_helpers.loading.values import ValueRanges, to_unit_range
from fundus_helpers.results.metrics_file import read_eye_metrics
from fundus_helpers.results.reading import read_outcomes
from fundus_helpers.results.report.visits import taken_method

STACK = "registered.tif"


def write_stack(folder: Path | str) -> Path:
    """Write ``registered.tif``: one slice per visit, in the order of their dates.

    ImageJ shows the date of every slice. The photographs are those of the method to take, in full
    size. They keep their values if all are grey with 8 or 16 bits, or in colour with 8 bits;
    otherwise they are stretched to 8 bits, all by the same range. Visits whose registration failed
    are left out. The template is the slice that the others were registered to.

    Parameters
    ----------
    folder : path
        ``<results>/<patient>_<L|R>``, with the results of the notebooks.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    FileNotFoundError
        If no registered photographs of this eye are there. The message says what to run.
    """
    folder = Path(folder)
    metrics, _ = read_eye_metrics(folder)
    taken = taken_method(metrics, read_outcomes(folder.parent, [folder.name], skip_unreadable=True))
    files = {taken.named(n): path for n, path in taken.saved(folder, "registered").items()}
    if not files:
        raise FileNotFoundError(
            f"no registered photographs of {folder.name}: run {taken.notebook} for this eye first"
        )
    ranges, colour, shape = ValueRanges(), False, (0, 0)
    for file in files.values():
        image = read_photograph(folder / file)
        ranges.add(image)
        colour, shape = colour or image.ndim == 3, image.shape[:2]
    kept = not colour and ranges.dtypes in ([np.dtype("uint8")], [np.dtype("uint16")])
    dtype = ranges.dtypes[0] if kept else np.dtype("uint8")

    def slices() -> Iterator[np.ndarray]:
        for file in files.values():
            yield _slice(read_photograph(folder / file), ranges, dtype, colour)

    with written_beside(folder / STACK) as part:
        tifffile.imwrite(
            part,
            slices(),
            shape=(len(files), *shape, *((3,) if colour else ())),
            dtype=dtype,
            imagej=True,
            photometric="rgb" if colour else "minisblack",
            metadata={"axes": "TYXS" if colour else "TYX", "Labels": [*files]},
        )
    return folder / STACK


def _slice(image: np.ndarray, ranges: ValueRanges, dtype: np.dtype, colour: bool) -> np.ndarray:
    if image.dtype != dtype:
        image = np.uint8(np.rint(to_unit_range(image, ranges.of(image.dtype)) * 255))
    return np.dstack([image] * 3) if colour and image.ndim == 2 else image
