"""One eye: its visits, loaded from the data folder or left out with a reason."""

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
from fundus_helpers.loading.visits import (
    PATTERN,
    EyeError,
    keep_commonest_size,
    list_visits,
    patient_folder,
    too_few,
)
from fundus_helpers.progress import progress
from fundus_helpers.transforms.transform import rescale_points

LANDMARK_COLUMNS = ["fixed_file", "moving_file", "fixed_x", "fixed_y", "moving_x", "moving_y"]


@dataclass(frozen=True)
class Eye:
    """The usable visits of one eye, in the order of their dates, then of their names.

    Attributes
    ----------
    patient, laterality : str
    folder : Path
        Folder of the photographs.
    visits : DataFrame
        One row per file of this eye, used or not: ``patient``, ``laterality``, ``visit`` (name of
        the file without its ending), ``date``, ``file``, ``width``, ``height``, ``used``,
        ``reason``.
    images : float32 ndarray in [0, 1], shape (visits, height, width)
    masks : bool ndarray, shape (visits, height, width)
        True inside the field of view.
    full_shape : (height, width)
        Shape of the photographs on disk.
    landmarks : DataFrame
        The content of ``landmarks.csv`` in the folder (`LANDMARK_COLUMNS`, in pixels of the
        photographs on disk); empty if there is no such file.
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
        """The rows of `visits` that are used, in the order of `images`."""
        return self.visits[self.visits["used"]].reset_index(drop=True)

    @property
    def full_factor(self) -> float:
        """Pixels of the photographs on disk per pixel of `images`."""
        return max(self.full_shape) / max(self.images.shape[1:])

    def index(self, visit: str) -> int:
        """Return the position of a visit among the used ones; ``first`` and ``last`` also work."""
        if visit in ("first", "last"):
            return 0 if visit == "first" else len(self.names) - 1
        if visit not in self.names:
            raise EyeError(f"no usable visit {visit!r}; give one of: first, last, {self.names}")
        return self.names.index(visit)

    def photograph(self, index: int) -> np.ndarray:
        """Read the photograph of a visit as it is on disk: full size, all channels, own dtype."""
        return read_photograph(self.folder / self.used["file"][index])

    def landmarks_between(self, fixed: int, moving: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the landmarks of two visits, in either order.

        Parameters
        ----------
        fixed, moving : int
            Positions of the visits.

        Returns
        -------
        fixed_points : float ndarray, shape (n, 2)
            Landmarks (x, y) of the fixed visit in pixels of `images`. n is 0 if none are known.
        moving_points : float ndarray, shape (n, 2)
            The same landmarks in the moving visit.
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
    data, patient, laterality
        See `list_visits`.
    size : int, optional
        Larger photographs are shrunk to this longer side in pixels. None keeps their size.
    channel : {"green", "grey"}
        See `loading.single_channel`.
    pattern
        See `list_visits`.
    shown : bool
        Show a progress bar.

    Returns
    -------
    Eye

    Raises
    ------
    EyeError
        If fewer than two visits can be used; the message gives the reasons.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import fundus_helpers as fh
    >>> from skimage import data, io
    >>> retina = data.retina()[::8, ::8]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "007").mkdir()
    ...     for date in ("2019-05-28", "2020-06-02"):
    ...         io.imsave(Path(folder, "007", f"eye_{date}_L.png"), retina)
    ...     eye = fh.load_eye(folder, "007", "L", shown=False)
    >>> eye.names
    ['eye_2019-05-28_L', 'eye_2020-06-02_L']
    >>> eye.images.shape
    (2, 177, 177)
    """
    visits = list_visits(data, patient, laterality, pattern=pattern)
    folder = patient_folder(data, patient)
    loaded, sizes = {}, {}
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
        sizes[row.Index] = image.shape[::-1]
        loaded[row.Index] = resize(image, min(size or max(image.shape), max(image.shape)))
    commonest = keep_commonest_size(visits, sizes)
    for i, side in ((1, "height"), (0, "width")):
        visits[side] = pd.Series({row: size[i] for row, size in sizes.items()}, dtype="Int64")
    used = visits.index[visits["used"]]
    if len(used) < 2:
        raise EyeError(too_few(visits, patient, laterality))
    images = np.stack([loaded[index] for index in used])
    masks = np.stack([field_of_view(image) for image in images])
    landmarks = _read_landmarks(folder / "landmarks.csv")
    return Eye(patient, laterality, folder, visits, images, masks, commonest[::-1], landmarks)


def _visible(image: np.ndarray, name: str) -> np.ndarray:
    if (
        np.percentile(image, 99) < BLACK_LEVEL
        or field_of_view(resize(image, 256)).mean() < LEAST_VIEW
    ):
        raise UnusableImageError(f"{name}: almost completely black")
    return image


def _read_landmarks(path: Path) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame(columns=LANDMARK_COLUMNS)
    table = pd.read_csv(path)
    if list(table.columns) != LANDMARK_COLUMNS:
        raise EyeError(
            f"{path.name}: columns are {[*table.columns]}, needed {LANDMARK_COLUMNS}; correct its "
            "first line"
        )
    return table
