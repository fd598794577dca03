"""One eye: its visits, loaded from the data folder or left out with a reason."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fundus_helpers.loading.formats.kinds import without_name
from fundus_helpers.loading.light import field_of_view
from fundus_helpers.loading.photographs import UnusableImageError, read_photograph
from fundus_helpers.loading.quality import check_exposure, is_coloured
from fundus_helpers.loading.tables.landmarks import (
    JUDGING,
    LANDMARK_COLUMNS,
    LANDMARKS_FILE,
    REGISTERING,
    points_for,
    read_landmarks,
)
from fundus_helpers.loading.values import ValueRanges, resize, single_channel, stretched
from fundus_helpers.loading.visits import (
    PATTERN,
    EyeError,
    check_headers,
    list_eye,
    too_few,
)
from fundus_helpers.progress import progress
from fundus_helpers.transforms.transform import rescale_points


@dataclass(frozen=True)
class Eye:
    """The usable visits of one eye, in the order of their dates, then of their names.

    Attributes
    ----------
    patient, laterality : str
    folder : Path
        Folder of the photographs.
    visits : DataFrame
        One row per file of this eye, used or not: the columns of `loading.list_visits`, and
        ``width`` and ``height`` in pixels. ``reason`` says why a file is not used, ``note`` what a
        person should look at.
    images : float32 ndarray in [0, 1], shape (visits, height, width)
        All with the same longer side. Images of another shape are padded with zeros at the right
        and at the bottom.
    masks : bool ndarray, shape (visits, height, width)
        True inside the field of view.
    full_shapes : tuple of (height, width)
        Shapes of the photographs on disk, one per used visit.
    ranges : ValueRanges
        Which values of the photographs are black and white.
    landmarks : DataFrame
        The content of ``landmarks.csv`` in the folder (`LANDMARK_COLUMNS`, in pixels of the
        photographs on disk), without the rows that cannot be right; empty if there is no such file.
    remarks : tuple of str
        What is to be told about the eye as a whole: value ranges, landmarks that were left out.
    """

    patient: str
    laterality: str
    folder: Path
    visits: pd.DataFrame
    images: np.ndarray
    masks: np.ndarray
    full_shapes: tuple[tuple[int, int], ...]
    ranges: ValueRanges
    landmarks: pd.DataFrame
    remarks: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Names of the used visits, in the order of `images`."""
        return self.used["visit"].tolist()

    @property
    def used(self) -> pd.DataFrame:
        """The rows of `visits` that are used, in the order of `images`."""
        return self.visits[self.visits["used"]].reset_index(drop=True)

    @property
    def full_shape(self) -> tuple[int, int]:
        """Commonest shape (height, width) of the photographs on disk, the first one of several."""
        return Counter(self.full_shapes).most_common(1)[0][0]

    @property
    def full_factor(self) -> float:
        """Pixels of the photographs of the commonest shape per pixel of `images`.

        All errors of an eye are told in these pixels.
        """
        return self._factor(self.full_shape)

    @property
    def factors(self) -> list[float]:
        """Pixels of the photograph on disk per pixel of `images`, one per used visit."""
        return [self._factor(shape) for shape in self.full_shapes]

    def comparable(self, first: int, second: int) -> bool:
        """Return whether two visits have the same modality, so that their pixels may be compared.

        A photograph without colours, of which nothing else is known, may have any modality but
        ``colour``.
        """
        given = self.used["modality"].replace("", None).fillna("grey")[[first, second]].tolist()
        return given[0] == given[1] or ("grey" in given and "colour" not in given)

    def _factor(self, shape: tuple[int, int]) -> float:
        return max(shape) / max(self.images.shape[1:])

    def index(self, visit: str) -> int:
        """Return the position of a visit among the used ones; ``first`` and ``last`` also work."""
        if visit in ("first", "last"):
            return 0 if visit == "first" else len(self.names) - 1
        if visit not in self.names:
            raise EyeError(f"no usable visit {visit!r}; give one of: first, last, {self.names}")
        return self.names.index(visit)

    def photograph(self, index: int) -> np.ndarray:
        """Read the photograph of a visit in full size, with all channels and its own dtype.

        Its values are stretched to the range of the dtype, by one rule for the whole eye.
        """
        photograph = read_photograph(self.folder / self.used["file"][index])
        return stretched(photograph, self.ranges.of(photograph.dtype))

    def landmarks_between(self, fixed: int, moving: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the landmarks of two visits by which a registration is judged, in either order.

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
        return self._between(fixed, moving, JUDGING)

    def points_between(self, fixed: int, moving: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the points that a person has placed for registering. See `landmarks_between`."""
        return self._between(fixed, moving, REGISTERING)

    def _between(self, fixed: int, moving: int, use: str) -> tuple[np.ndarray, np.ndarray]:
        files = self.used["file"]
        table, points = points_for(self.landmarks, use), []
        for first, second in ((fixed, moving), (moving, fixed)):
            rows = (table["fixed_file"] == files[first]) & (table["moving_file"] == files[second])
            sides = [table.loc[rows, LANDMARK_COLUMNS[i : i + 2]].to_numpy(float) for i in (2, 4)]
            points.append(sides if first == fixed else sides[::-1])
        return tuple(
            rescale_points(np.vstack([half[side] for half in points]), 1 / self.factors[visit])
            for side, visit in ((0, fixed), (1, moving))
        )


def load_eye(
    data: Path | str,
    patient: str,
    laterality: str,
    *,
    size: int | None = 768,
    channel: str = "green",
    pattern: str = PATTERN,
    fewest: int = 2,
    shown: bool = True,
) -> Eye:
    """Load every usable visit of one eye.

    Parameters
    ----------
    data, patient, laterality
        See `list_visits`.
    size : int, optional
        Larger photographs are shrunk to this longer side in pixels. None keeps their size. If the
        photographs differ in size, the smaller ones are enlarged to the longer side of the largest.
    channel : {"green", "grey"}
        See `loading.single_channel`.
    pattern
        See `list_visits`.
    fewest : int
        Visits that are needed. One visit cannot be registered, but its atrophy can be measured.
    shown : bool
        Show a progress bar.

    Returns
    -------
    Eye

    Raises
    ------
    EyeError
        If fewer visits can be used; the message gives the reasons.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import fundus_helpers as fh
    >>> from skimage import data, io
    >>> retina = data.retina()[::8, ::8]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "007").mkdir()
    ...     io.imsave(Path(folder, "007", "eye_2019-05-28_L.png"), retina)
    ...     io.imsave(Path(folder, "007", "eye_2020-06-02_L.png"), retina[:, ::-1])
    ...     eye = fh.load_eye(folder, "007", "L", shown=False)
    >>> eye.names
    ['eye_2019-05-28_L', 'eye_2020-06-02_L']
    >>> eye.images.shape
    (2, 177, 177)
    """
    listing = list_eye(data, patient, laterality, pattern=pattern)
    visits, folder = listing.visits, listing.folder
    check_headers(visits, folder)
    reading = _Reading(visits, folder, size, channel)
    reading.read_all(shown=shown)
    used = visits.index[visits["used"]]
    if len(used) < fewest:
        raise EyeError(too_few(visits, patient, laterality, fewest))
    images, masks = reading.on_one_canvas(used)
    sizes = {visits.at[row, "file"]: shape[::-1] for row, shape in reading.shapes.items()}
    landmarks, remarks = read_landmarks(folder / LANDMARKS_FILE, visits["file"], sizes)
    return Eye(
        patient,
        laterality,
        folder,
        visits,
        images,
        masks,
        tuple(reading.shapes[row] for row in used),
        reading.ranges,
        landmarks,
        (*reading.ranges_told(), *listing.remarks, *remarks),
    )


class _Reading:
    """The photographs of an eye while they are read, one after the other."""

    def __init__(self, visits: pd.DataFrame, folder: Path, size: int | None, channel: str) -> None:
        self.visits, self.folder, self.size, self.channel = visits, folder, size, channel
        self.ranges = ValueRanges()
        self.shapes: dict[int, tuple[int, int]] = {}
        self.images: dict[int, np.ndarray] = {}

    def read_all(self, *, shown: bool) -> None:
        """Read the used files; those that cannot be used get a reason in the table of visits."""
        count = self.visits["used"].sum()
        later = []
        for row in progress(self._used(), "visits", count, shown=shown):
            with self._left_out_if_unusable(row):
                photograph = read_photograph(self.folder / row.file)
                self.ranges.add(photograph)
                if photograph.dtype == np.uint8:
                    self._take(row, photograph)
                else:  # the range of its values is known when all have been read
                    later.append(row)
        for row in later:
            with self._left_out_if_unusable(row):
                self._take(row, read_photograph(self.folder / row.file))
        for i, side in ((1, "width"), (0, "height")):
            known = {row: shape[i] for row, shape in self.shapes.items()}
            self.visits[side] = pd.Series(known, dtype="Int64")

    def _used(self) -> Iterator:
        return self.visits[self.visits["used"]].itertuples()

    @contextlib.contextmanager
    def _left_out_if_unusable(self, row: tuple) -> Iterator[None]:
        try:
            yield
        except UnusableImageError as error:
            reason = without_name(error, Path(row.file))
            self.visits.loc[row.Index, ["used", "reason"]] = False, reason

    def _take(self, row: tuple, photograph: np.ndarray) -> None:
        image = single_channel(photograph, self.channel, self.ranges.of(photograph.dtype))
        longer = max(image.shape)
        self.shapes[row.Index] = image.shape
        check_exposure(image)
        if not row.modality and is_coloured(photograph):
            self.visits.at[row.Index, "modality"] = "colour"
        self.images[row.Index] = resize(image, min(self.size or longer, longer))

    def on_one_canvas(self, rows: pd.Index) -> tuple[np.ndarray, np.ndarray]:
        """Return images and masks of one shape, padded where the photographs differ in shape."""
        longer = max(max(self.images[row].shape) for row in rows)
        images = [resize(self.images[row], longer) for row in rows]
        masks = [field_of_view(image) for image in images]
        shape = tuple(np.max([image.shape for image in images], axis=0))
        return tuple(np.stack([_padded(each, shape) for each in side]) for side in (images, masks))

    def ranges_told(self) -> list[str]:
        """Return one sentence for every range of values that is not that of its dtype."""
        return [
            f"photographs of the type {dtype}: {self.ranges.of(dtype).told}"
            for dtype in self.ranges.dtypes
            if dtype != np.uint8
        ]


def _padded(array: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return np.pad(array, [(0, whole - own) for whole, own in zip(shape, array.shape, strict=True)])
