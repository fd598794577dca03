"""The file of what a person knows: ``hints.json``, beside the atrophy's results of the eye.

The panel writes what was drawn, and a run writes what was given to it.

It is one JSON object with these fields:

``format``
    ``fundus-helpers hints 1``.
``template``
    Name of the photograph on whose grid all was drawn.
``size``
    Width and height of that grid in pixels. All other numbers are in these pixels; pixel centres
    are at integers.
``ellipse``, ``fovea``, ``first_free``
    See `Hints`; null where nothing was drawn.
``disc``
    ``[x, y, x, y]``: both ends of a diameter of the optic disc, or null.
``strokes``
    By the name of the photograph, ``{"atrophic": runs, "healthy": runs}``. Runs are the lengths of
    the pieces of one value, row after row, in turn not painted and painted; the first piece is not
    painted and may have length 0.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from fundus_helpers.atrophy.finding.hints import Hints, Strokes
from fundus_helpers.atrophy.registered import RegisteredVisits
from fundus_helpers.atrophy.scale import Scale, scale_from_disc, scale_from_fovea
from fundus_helpers.files import written_beside
from fundus_helpers.loading.eye_error import EyeError
from fundus_helpers.transforms.transform import rescale_points

HINTS_FILE = "hints.json"
FORMAT = "fundus-helpers hints 1"
_LARGEST_SIDE = 100_000  # pixels


@dataclass(frozen=True, eq=False)
class SavedHints:
    """What was drawn in the panel for one eye, on the grid of its template.

    Attributes
    ----------
    template : str
        Name of the template's photograph.
    shape : (height, width)
        Of the grid, in pixels.
    ellipse, fovea, first_free
        See `Hints`, in pixels of the grid.
    disc : (x, y, x, y), optional
        Both ends of a diameter of the optic disc.
    strokes : mapping of str to Strokes
        By the name of the photograph.
    """

    template: str
    shape: tuple[int, int]
    ellipse: tuple[float, float, float, float, float] | None = None
    fovea: tuple[float, float] | None = None
    first_free: bool = False
    disc: tuple[float, float, float, float] | None = None
    strokes: Mapping[str, Strokes] = field(default_factory=dict)

    def resized(self, shape: tuple[int, int]) -> "SavedHints":
        """Return the same hints on a grid of another size.

        Parameters
        ----------
        shape : (height, width)

        Returns
        -------
        SavedHints

        Raises
        ------
        EyeError
            If the other grid has other proportions: then it is another photograph.
        """
        if shape == self.shape:
            return self
        factor = max(shape) / max(self.shape)
        if any(abs(new - old * factor) > 1 for new, old in zip(shape, self.shape, strict=True)):
            raise EyeError(
                f"{HINTS_FILE} was drawn on a template of {_size(self.shape)}, which does not "
                f"become {_size(shape)}; draw the hints again, or delete {HINTS_FILE}"
            )
        return replace(
            self,
            shape=shape,
            ellipse=self.ellipse and resized_ellipse(self.ellipse, factor),
            fovea=self.fovea and resized_points(self.fovea, factor),
            disc=self.disc and resized_points(self.disc, factor),
            strokes={f: resized_strokes(each, shape) for f, each in self.strokes.items()},
        )

    def hints(self, visits: RegisteredVisits, template: str, given: Hints | None = None) -> Hints:
        """Return the hints on the grid of registered visits, as `follow_atrophy` takes them.

        Parameters
        ----------
        visits : RegisteredVisits
            Strokes at a visit that is not among them are left out.
        template : str
            Name of the photograph that is the template of these visits.
        given : Hints, optional
            What was given besides, in pixels of the grid. A given value replaces the saved value.

        Returns
        -------
        Hints
            In pixels of the grid of the visits, with the strokes by position of the visit.

        Raises
        ------
        EyeError
            If all was drawn on another template.
        """
        if template != self.template:
            raise EyeError(
                f"{HINTS_FILE} was drawn on the template {self.template!r}, but the template is "
                f"{template!r}; draw the hints again, or delete {HINTS_FILE}"
            )
        given, here = given or Hints(), self.resized(visits.shape)
        strokes = {
            i: here.strokes[file] for i, file in enumerate(visits.files) if file in here.strokes
        }
        return Hints(
            given.ellipse or here.ellipse,
            given.fovea or here.fovea,
            given.first_free or here.first_free,
            {**strokes, **given.strokes},
        )

    def scales(self, factor: float) -> list[Scale]:
        """Return the scales of the template's photograph on disk that follow from disc and fovea.

        Parameters
        ----------
        factor : float
            Pixels of that photograph per pixel of the grid (`RegisteredVisits.template_factor`, for
            hints of the same grid).

        Returns
        -------
        list of Scale
            Empty without a disc; two with a disc and a fovea. `best_scale` chooses, and refuses
            scales that contradict each other.
        """
        return disc_scales(self.disc, self.fovea, factor)


def disc_scales(
    disc: tuple[float, float, float, float] | None,
    fovea: tuple[float, float] | None,
    factor: float,
) -> list[Scale]:
    """Return the scales that follow from a diameter of the optic disc, and from its distance.

    Parameters
    ----------
    disc : (x, y, x, y), optional
        Both ends of a diameter, in pixels of a grid.
    fovea : (x, y), optional
    factor : float
        Pixels of the photograph per pixel of the grid. The scales are of the photograph.

    Returns
    -------
    list of Scale

    Examples
    --------
    >>> from fundus_helpers.atrophy.finding.saved_hints import disc_scales
    >>> [scale.source for scale in disc_scales((40, 200, 190, 200), (520, 210), 1.0)]
    ['optic disc of 1.8 mm', 'distance from disc to fovea of 4.76 mm']
    """
    if disc is None:
        return []
    ends = np.reshape(disc, (2, 2))
    scales = [scale_from_disc(factor * float(np.hypot(*(ends[1] - ends[0]))))]
    if fovea is not None:
        away = float(np.hypot(*(ends.mean(axis=0) - fovea)))
        scales.append(scale_from_fovea(factor * away))
    return scales


def resized_points(points: Sequence[float], factor: float) -> tuple[float, ...]:
    """Return the coordinates (x, y, x, y, ...) of points after an image is resized."""
    return tuple(rescale_points(np.asarray(points, float), factor).tolist())


def resized_ellipse(ellipse: Sequence[float], factor: float) -> tuple[float, ...]:
    """Return an ellipse (x, y, a, b, angle) after an image is resized."""
    x, y, a, b, angle = ellipse
    return (*resized_points((x, y), factor), a * factor, b * factor, angle)


def resized_strokes(strokes: Strokes, shape: tuple[int, int]) -> Strokes:
    """Return strokes on a grid of another shape (height, width)."""
    return Strokes(*(_resized(each, shape) for each in (strokes.atrophic, strokes.healthy)))


def _resized(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    if mask.shape == shape:
        return mask
    kind = cv2.INTER_AREA if max(shape) < max(mask.shape) else cv2.INTER_LINEAR
    return cv2.resize(mask.astype(np.float32), shape[::-1], interpolation=kind) >= 0.5


def hints_path(results: Path | str, patient: str, laterality: str) -> Path:
    """Return the path of an eye's hints: ``<results>/<patient>_<L|R>/hints.json``."""
    return Path(results) / f"{patient}_{laterality}" / HINTS_FILE


def save_hints(path: Path | str, saved: SavedHints) -> None:
    """Write hints into a file. Its folder is made, and nobody sees half a file.

    Parameters
    ----------
    path : path
        See `hints_path`.
    saved : SavedHints

    Raises
    ------
    OSError
        If the file cannot be written; the message names it.
    """
    path = Path(path)
    document = {
        "format": FORMAT,
        "template": saved.template,
        "size": [saved.shape[1], saved.shape[0]],
        "ellipse": saved.ellipse,
        "fovea": saved.fovea,
        "first_free": saved.first_free,
        "disc": saved.disc,
        "strokes": {
            file: {"atrophic": _runs(each.atrophic), "healthy": _runs(each.healthy)}
            for file, each in saved.strokes.items()
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(path) as part:
        part.write_text(json.dumps(document, ensure_ascii=False) + "\n", encoding="utf-8")


def read_hints(path: Path | str) -> SavedHints | None:
    """Read hints from a file that `save_hints` has written.

    Parameters
    ----------
    path : path
        See `hints_path`.

    Returns
    -------
    SavedHints or None
        None if there is no such file.

    Raises
    ------
    EyeError
        If the file is damaged. The message names the file and what is wrong.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from fundus_helpers.atrophy.finding import SavedHints, Strokes, read_hints, save_hints
    >>> painted = Strokes(np.eye(64, dtype=bool), np.zeros((64, 64), bool))
    >>> path = Path(tempfile.mkdtemp()) / "hints.json"
    >>> hints = SavedHints("a.png", (64, 64), fovea=(30.0, 31.5), strokes={"b.png": painted})
    >>> save_hints(path, hints)
    >>> found = read_hints(path)
    >>> found.fovea, int(found.strokes["b.png"].atrophic.sum())
    ((30.0, 31.5), 64)
    """
    path = Path(path)
    if not path.exists():
        return None
    try:
        return _parsed(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, KeyError, AttributeError, EyeError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else error
        raise EyeError(
            f"{path.name} is damaged: {why}; save the hints again in the panel, or delete the file"
        ) from error


def _parsed(document: Mapping[str, object]) -> SavedHints:
    if document["format"] != FORMAT:
        raise ValueError(f"its format is {document['format']!r}, not {FORMAT!r}")
    width, height = _numbers(document["size"], 2, "size", int)
    if not (0 < width < _LARGEST_SIDE and 0 < height < _LARGEST_SIDE):
        raise ValueError(f"the size {width} x {height} px is not possible")
    template, free = document["template"], document["first_free"]
    if not isinstance(template, str) or not isinstance(free, bool):
        raise ValueError("template must be a text, and first_free true or false")
    shape = height, width
    hints = SavedHints(
        template,
        shape,
        ellipse=_optional(document["ellipse"], 5, "ellipse"),
        fovea=_optional(document["fovea"], 2, "fovea"),
        first_free=free,
        disc=_optional(document["disc"], 4, "disc"),
        strokes={
            file: Strokes(*(_mask(each[kind], shape, file) for kind in ("atrophic", "healthy")))
            for file, each in document["strokes"].items()
        },
    )
    Hints(hints.ellipse, hints.fovea).region(shape)  # refuses what lies outside
    return hints


def _optional(values: object, count: int, name: str) -> tuple[float, ...] | None:
    return None if values is None else _numbers(values, count, name, float)


def _numbers(values: object, count: int, name: str, kind: Callable) -> tuple:
    if not isinstance(values, list) or len(values) != count:
        raise ValueError(f"{name} must be {count} numbers, not {values!r}")
    numbers = tuple(map(kind, values))
    if not np.isfinite(numbers).all():
        raise ValueError(f"{name} must be {count} numbers, not {values!r}")
    return numbers


def _runs(mask: np.ndarray) -> list[int]:
    flat = mask.ravel()
    edges = np.flatnonzero(np.diff(flat, prepend=False)).tolist()
    return np.diff([0, *edges, flat.size]).tolist()


def _mask(runs: object, shape: tuple[int, int], file: str) -> np.ndarray:
    lengths = np.asarray(runs)
    if lengths.ndim != 1 or lengths.dtype.kind != "i" or (lengths < 0).any():
        raise ValueError(f"the strokes of {file} are no lengths of runs")
    if lengths.sum() != shape[0] * shape[1]:
        raise ValueError(f"the strokes of {file} do not fill the grid of {_size(shape)}")
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(shape)


def _size(shape: tuple[int, int]) -> str:
    return f"{shape[1]} x {shape[0]} px"
