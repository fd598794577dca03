"""One eye: its visits found in the data folder, loaded, or left out with a reason."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fundus_helpers.loading.light import BLACK_LEVEL, LEAST_VIEW, field_of_view
from fundus_helpers.loading.photographs import (
    UnusableImageError,
    read_photograph,
    resize,
    single_channel,
)
from fundus_helpers.loading.visits import PATTERN, EyeError, list_visits, patient_folder, too_few
from fundus_helpers.progress import progress
from fundus_helpers.transforms.transform import rescale_points

LANDMARK_COLUMNS = ["fixed_file", "moving_file", "fixed_x", "fixed_y", "moving_x", "moving_y"]


@dataclass(frozen=True)
class Eye:
    """The usable visits of one eye, in the order of their dates (same date: of their names).

    Attributes
    ----------
    patient, laterality : str
    folder : Path
        Where the photographs are.
    visits : DataFrame
        Every file of this eye, used or not: ``patient``, ``laterality``, ``visit`` (name of the
        file without its ending), ``date``, ``file``, ``width``, ``height``, ``used``, ``reason``.
    images : float32 ndarray in [0, 1], shape (visits, height, width)
    masks : bool ndarray, shape (visits, height, width)
        True inside the field of view.
    full_shape : (height, width)
        Of the photographs as they are on disk.
    landmarks : DataFrame
        ``landmarks.csv`` of the folder (`LANDMARK_COLUMNS`, pixels of the photographs on disk);
        empty if there is none.
    """

    patient: str
    laterality: str
    folder: Path
    visits: pd.DataFrame
    images: np.ndarray
    masks: np.ndarray
    full_shape: tuple[int, int]
    landmarks: pd.DataFrame

    @property
    def names(self) -> list[str]:
        """Names of the used visits, in the order of `images`."""
        return self.used["visit"].tolist()

    @property
    def used(self) -> pd.DataFrame:
        """The rows of `visits` that `images` holds."""
        return self.visits[self.visits["used"]].reset_index(drop=True)

    @property
    def full_factor(self) -> float:
        """Pixels of the photographs on disk per pixel of `images`."""
        return max(self.full_shape) / max(self.images.shape[1:])

    def index(self, visit: str) -> int:
        """Position of a visit, or of the words ``first`` and ``last``, among the used ones."""
        if visit in ("first", "last"):
            return 0 if visit == "first" else len(self.names) - 1
        if visit not in self.names:
            raise EyeError(f"no usable visit {visit!r}; there are: first, last, {self.names}")
        return self.names.index(visit)

    def photograph(self, index: int) -> np.ndarray:
        """Read a visit's photograph as it is on disk: full size, all channels, own dtype."""
        return read_photograph(self.folder / self.used["file"][index])

    def landmarks_between(self, fixed: int, moving: int) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks known between two visits, whichever of them the file calls fixed.

        Returns
        -------
        fixed_points, moving_points : float ndarray, shape (n, 2)
            (x, y) in pixels of `images`; n is 0 where none are known.
        """
        files = self.used["file"]
        table, points = self.landmarks, []
        for first, second in ((fixed, moving), (moving, fixed)):
            rows = (table["fixed_file"] == files[first]) & (table["moving_file"] == files[second])
            sides = [table.loc[rows, LANDMARK_COLUMNS[i : i + 2]].to_numpy(float) for i in (2, 4)]
            points.append(sides if first == fixed else sides[::-1])
        return tuple(
            rescale_points(np.vstack([half[side] for half in points]), 1 / self.full_factor)
            for side in (0, 1)
        )


def load_eye(
    data: Path | str,
    patient: str,
    laterality: str,
    *,
    size: int | None = 768,
    channel: str = "green",
    pattern: str = PATTERN,
    shown: bool = True,
) -> Eye:
    """Load every usable visit of one eye.

    Parameters
    ----------
    data, patient, laterality, pattern
        See `list_visits`.
    size : int, optional
        Longer side in pixels that larger photographs are shrunk to; None: as they are.
    channel : {"green", "grey"}
        See `loading.single_channel`.
    shown : bool
        Show a progress bar.

    Returns
    -------
    Eye

    Raises
    ------
    EyeError
        If fewer than two visits can be used; the reasons are in the message.
    """
    visits = list_visits(data, patient, laterality, pattern=pattern)
    folder = patient_folder(data, patient)
    loaded, shapes = {}, {}
    count = visits["used"].sum()
    for row in progress(visits[visits["used"]].itertuples(), "visits", count, shown=shown):
        try:
            photograph = read_photograph(folder / row.file)
            image = _visible(single_channel(photograph, channel), row.file)
        except UnusableImageError as error:
            visits.loc[row.Index, ["used", "reason"]] = (
                False,
                str(error).removeprefix(f"{row.file}: "),
            )
            continue
        shapes[row.Index] = image.shape
        loaded[row.Index] = resize(image, min(size or max(image.shape), max(image.shape)))
    full_shape = _most_common(list(shapes.values()))
    for index, shape in shapes.items():
        if shape != full_shape:
            reason = (
                f"{shape[1]} x {shape[0]} px, most visits are {full_shape[1]} x {full_shape[0]}"
            )
            visits.loc[index, ["used", "reason"]] = False, reason
    for i, side in enumerate(["height", "width"]):
        visits[side] = pd.Series(
            {index: shape[i] for index, shape in shapes.items()}, dtype="Int64"
        )
    used = visits.index[visits["used"]]
    if len(used) < 2:
        raise EyeError(too_few(visits, patient, laterality))
    images = np.stack([loaded[index] for index in used])
    masks = np.stack([field_of_view(image) for image in images])
    landmarks = _read_landmarks(folder / "landmarks.csv")
    return Eye(patient, laterality, folder, visits, images, masks, full_shape, landmarks)


def _visible(image: np.ndarray, name: str) -> np.ndarray:
    if (
        np.percentile(image, 99) < BLACK_LEVEL
        or field_of_view(resize(image, 256)).mean() < LEAST_VIEW
    ):
        raise UnusableImageError(f"{name}: all but black")
    return image


def _most_common(shapes: list[tuple[int, int]]) -> tuple[int, int] | None:
    return max(shapes, key=shapes.count) if shapes else None  # the first of several as common


def _read_landmarks(path: Path) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame(columns=LANDMARK_COLUMNS)
    table = pd.read_csv(path)
    if list(table.columns) != LANDMARK_COLUMNS:
        raise EyeError(f"{path.name}: columns are {[*table.columns]}, needed {LANDMARK_COLUMNS}")
    return table
