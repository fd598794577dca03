"""Points that a person places in the template and in a visit that could not be registered."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import SimpleITK as sitk
from IPython.display import HTML, display

from fundus_helpers import transforms
from fundus_helpers.loading.eye import Eye
from fundus_helpers.loading.light import normalise_illumination
from fundus_helpers.loading.tables.exclusions import exclude, readmit
from fundus_helpers.loading.tables.landmarks import LANDMARKS_FILE, read_landmarks
from fundus_helpers.loading.tables.placed_points import points_of, save_points
from fundus_helpers.loading.values import resize
from fundus_helpers.methods.keypoints.registration import register
from fundus_helpers.methods.knobs import check_choice
from fundus_helpers.metrics.verdict import judge
from fundus_helpers.panels._worker import Worker
from fundus_helpers.panels.placing.placements import PLACED, PROPOSED, Placements, spots_of
from fundus_helpers.panels.placing.snapping import LEAST_LIKENESS, snap
from fundus_helpers.panels.placing.widget import Photographs
from fundus_helpers.panels.swipe import as_jpeg
from fundus_helpers.panels.tuning import label
from fundus_helpers.plotting.pictures import brightened, overlay
from fundus_helpers.progress import is_watched

NOBODY_WATCHES = "<em>Points can be placed here in JupyterLab.</em>"
SHOWN_SIZE = 1400  # longer side, in pixels, of the photographs that are sent to the page
MOST_UNDONE = 200
EXCLUDED = "excluded: "


class Placer:
    """The panel in which points are placed in the template and in one visit after the other.

    Parameters
    ----------
    eye, template, visit
        See `place_landmarks`.

    Attributes
    ----------
    widget : Photographs
    placements : Placements
        What is placed now, in pixels of the images.
    transform : sitk.Transform or None
        What the last registration from these points found.
    """

    def __init__(self, eye: Eye, template: str | int = "first", visit: str | int | None = None):
        self._eye = eye
        self._template = eye.index(template) if isinstance(template, str) else int(template)
        others = [i for i in range(len(eye.names)) if i != self._template]
        rows = eye.visits
        away = rows[~rows["used"] & rows["reason"].str.startswith(EXCLUDED)]
        # A visit is a position among the used ones, or a file that is excluded.
        self._visits: list[int | str] = [*others, *away["file"]]
        self._reasons = dict(zip(away["file"], away["reason"].str[len(EXCLUDED) :], strict=True))
        names = [*(label(eye, i) for i in others), *away["visit"]]
        wanted = others[-1] if visit is None else visit
        place = eye.index(wanted) if isinstance(wanted, str) else int(wanted)
        check_choice("visit", place, others)
        self._history: list[Placements] = []
        self._lit: dict[int, np.ndarray] = {}
        self.transform: sitk.Transform | None = None
        self.placements = Placements((), *[eye.images.shape[1:]] * 2)
        self.widget = Photographs(names=names, visit=others.index(place))
        self.widget.fixed = self._pictures(self._template)
        self.widget.fixed_size = self._size(self._template)
        self._worker = Worker.of_panel(self.widget.tell)
        self.widget.on_msg(lambda _, content, __: self._worker.guard(partial(self.take, content)))
        self.widget.observe(lambda _: self._worker.guard(self._open), "visit")
        self._open()

    def _ipython_display_(self) -> None:
        display(self.widget)

    def finish(self) -> None:
        """Wait until all work is done, and raise the last error that occurred."""
        self._worker.finish()

    # What is shown.

    @property
    def _visit(self) -> int | str:
        return self._visits[self.widget.visit]

    @property
    def _file(self) -> str:
        visit = self._visit
        return visit if isinstance(visit, str) else self._eye.used["file"][visit]

    @property
    def _files(self) -> list[str]:
        return self._eye.visits["file"].tolist()

    @property
    def _factors(self) -> tuple[float, float]:
        return self._eye.factors[self._template], self._eye.factors[self._visit]

    def _size(self, visit: int) -> list[float]:
        height, width = self._eye.full_shapes[visit]
        factor = self._eye.factors[visit]
        return [width / factor, height / factor]

    def _evenly_lit(self, visit: int) -> np.ndarray:
        if visit not in self._lit:
            image, mask = self._eye.images[visit], self._eye.masks[visit]
            self._lit[visit] = normalise_illumination(image, mask) if mask.any() else image
        return self._lit[visit]

    def _pictures(self, visit: int) -> list[bytes]:
        """Return the photograph as photographed, and evenly lit."""
        photograph = self._eye.photograph(visit)
        most = np.iinfo(photograph.dtype).max if photograph.dtype.kind == "u" else 1.0
        shown = resize(np.float32(photograph / most), min(SHOWN_SIZE, max(photograph.shape)))
        width, height = (round(side) for side in self._size(visit))
        even = self._evenly_lit(visit)[:height, :width]
        return [as_jpeg(brightened(shown)[0]), as_jpeg(even)]

    def _open(self) -> None:
        """Show a visit, with the points that are saved for it."""
        visit, widget = self._visit, self.widget
        self._history, self.transform = [], None
        with widget.hold_sync():
            widget.excluded = self._reasons.get(self._file, "")
            if isinstance(visit, str):
                self.placements = replace_spots(self.placements, ())
                widget.moving, widget.moving_size, widget.steps = [], [1.0, 1.0], [1.0, 1.0]
            else:
                self.placements = replace_spots(self.placements, self._read())
                widget.moving, widget.moving_size = self._pictures(visit), self._size(visit)
                widget.steps = [1 / factor for factor in self._factors]
            count = len(self.placements.spots)
            widget.saved = f"{count} points in {LANDMARKS_FILE}" if count else ""
            widget.tell("done", "")
            self._show()

    def _read(self) -> tuple:
        folder, files = self._eye.folder, self._files
        sizes = dict(zip(self._eye.used["file"], self._eye.full_shapes, strict=True))
        sizes = {file: shape[::-1] for file, shape in sizes.items()}
        table, self._left_out = read_landmarks(folder / LANDMARKS_FILE, files, sizes)
        fixed = self._eye.used["file"][self._template]
        return spots_of(points_of(table, fixed, self._file), self._factors)

    def _show(self) -> None:
        """Show the points, what they give, and both photographs under them."""
        placements, widget = self.placements, self.widget
        fit, counting = placements.fit(), placements.counting
        off = dict(zip(counting, fit.residuals, strict=True)) if fit and len(counting) > 2 else {}
        factor = self._factors[1] if not isinstance(self._visit, str) else 1.0
        spots = []
        for i, spot in enumerate(placements.spots):
            residual = None
            if i in off:
                put = transforms.map_points(fit.transform, [spot.fixed])[0]
                residual = [float(each) for each in np.subtract(spot.moving, put)]
            spots.append(
                {
                    "fixed": [*spot.fixed],
                    "moving": [*spot.moving],
                    "state": spot.state,
                    "use": spot.use,
                    "placed_by": spot.placed_by,
                    "residual": residual,
                    "off": None if residual is None else round(off[i] * factor, 1),
                }
            )
        with widget.hold_sync():
            widget.worst = max(off, key=off.get) if off and max(off.values()) > 0.05 else -1
            widget.spots = spots
            widget.matrix = placements.matrix().ravel().tolist()
            widget.told = self._told(fit, off, factor)
            if not isinstance(self._visit, str):
                self._blend(self.transform or (fit and fit.transform))

    def _told(self, fit: object, off: Mapping[int, float], factor: float) -> str:
        count = len(self.placements.counting)
        waiting = sum(each.state != PLACED for each in self.placements.spots)
        words = [f"{waiting} wait for you to confirm them (Enter)"] if waiting else []
        if fit is None:
            words.insert(0, f"{count} of at least 2 points for registering are placed; better 3")
        else:
            kind = "an affine transform" if fit.model == "affine" else f"a {fit.model}"
            words.insert(0, f"{count} points give {kind}")
        if self.widget.worst >= 0:
            worst = self.widget.worst
            words.append(f"the worst is point {worst + 1}, off by {off[worst] * factor:.1f} px")
        return "; ".join([*words, *self._left_out])

    _left_out: list[str] = []

    def _blend(self, transform: sitk.Transform | None) -> None:
        move = transform or transforms.from_matrix(self.placements.matrix())
        fixed, moving = self._evenly_lit(self._template), self._evenly_lit(self._visit)
        warped = transforms.warp(moving, move, fixed.shape)
        self.widget.blended_size = [float(n) for n in fixed.shape[::-1]]
        self.widget.blended = as_jpeg(overlay(fixed, warped))

    # What a message does.

    def take(self, message: Mapping[str, object]) -> None:
        """Take what was placed or pressed in the widget.

        Parameters
        ----------
        message : mapping
            ``kind`` is "undo", "save", "register", "snap" (with ``index``), "exclude" (with
            ``reason``), "readmit", or a change (see `Placements.changed`); ``token`` grows from
            message to message.

        Raises
        ------
        ValueError
            For any other kind.
        """
        kind = message["kind"]
        if kind == "exclude":
            self.exclude(str(message["reason"]))
        elif kind == "readmit":
            self.readmit()
        elif isinstance(self._visit, str):
            self.widget.tell("refused", "the visit is excluded; take it back first")
        elif kind == "save":
            self.save()
        elif kind == "register":
            self.widget.tell("busy", "registering ...")
            self._worker.ask(self.register)
        elif kind == "undo":
            self._change(self._history.pop() if self._history else self.placements)
        elif kind != "snap" or (message := self._snapped(int(message["index"]))):
            changed = self.placements.changed(message)
            self._history = [*self._history[1 - MOST_UNDONE :], self.placements]
            self._change(changed)
        self.widget.answered = float(message.get("token", 0.0))

    def _change(self, placements: Placements) -> None:
        self.placements, self.transform = placements, None
        self.widget.saved = "not saved yet"
        if self.widget.status["kind"] != "busy":
            self.widget.tell("done", "")
        self._show()

    def _snapped(self, index: int) -> dict[str, object]:
        """Find the best match near a point; say so if nothing alike is there."""
        spot = self.placements.spots[index]
        images = self._evenly_lit(self._template), self._evenly_lit(self._visit)
        linear = self.placements.matrix()[:, :2]
        point, likeness = snap(*images, np.array(spot.fixed), np.array(spot.moving), linear)
        if likeness < LEAST_LIKENESS:
            words = f"nothing near point {index + 1} looks like its partner (correlation "
            self.widget.tell("refused", f"{words}{likeness:.2f}); place it by hand")
            return {}
        return {"kind": "snapped", "index": index, "point": point.tolist()}

    def save(self) -> None:
        """Write the points into ``landmarks.csv`` beside the photographs; see `save_points`."""
        fixed = self._eye.used["file"][self._template]
        points = self.placements.saved(self._factors)
        save_points(self._eye.folder, self._files, fixed, self._file, points)
        waiting = sum(point.snapped for point in points)
        pending = sum(each.state == PROPOSED for each in self.placements.spots)
        words = [f"saved {len(points)} points in {LANDMARKS_FILE}"]
        words += [f"{waiting} snapped, which count once you confirm them"] if waiting else []
        words += [f"{pending} without a partner, which was not saved"] if pending else []
        self.widget.saved = "; ".join(words)

    def register(self) -> None:
        """Register the visit from its points, as a run does, and show the verdict."""
        placements, visit = self.placements, self._visit
        fit = placements.fit()
        if fit is None:
            self.widget.tell("refused", "place two points or more first, better three")
            return
        images = self._eye.images[self._template], self._eye.images[visit]
        masks = {
            "fixed_mask": self._eye.masks[self._template],
            "moving_mask": self._eye.masks[visit],
        }
        spots = [placements.spots[i] for i in placements.counting]
        hand = tuple(np.array([getattr(s, side) for s in spots]) for side in ("fixed", "moving"))
        found, failure = None, ""
        try:
            found = register(*images, **masks, start=fit.transform)
        except transforms.RegistrationError as error:
            failure = str(error)
        verdict = judge(found, *images, **masks, failure=failure, by_hand=hand)
        if self.placements is not placements or self._visit != visit:
            return  # the points have changed meanwhile
        self.transform = found
        self._show()
        kind = "refused" if failure else "done"
        self.widget.tell(kind, f"{verdict.status}: {'; '.join(verdict.reasons)}")

    def exclude(self, reason: str) -> None:
        """Leave the visit out of all runs, with a reason; see `exclusions.exclude`."""
        if not reason.strip():
            self.widget.tell("refused", "write the reason first, for example: a blink")
            return
        exclude(self._eye.folder, self._files, self._file, reason)
        self._reasons[self._file] = self.widget.excluded = " ".join(reason.split())
        self.widget.tell("done", "excluded; the next run leaves this visit out, and says why")

    def readmit(self) -> None:
        """Take back that the visit is excluded."""
        readmit(self._eye.folder, self._files, self._file)
        self._reasons.pop(self._file, None)
        self.widget.excluded = ""
        self.widget.tell("done", "taken back; the next run uses this visit again")


def replace_spots(placements: Placements, spots: tuple) -> Placements:
    """Return placements of the same images with other points."""
    return Placements(spots, placements.fixed_shape, placements.moving_shape)


def place_landmarks(
    eye: Eye, *, template: str | int = "first", visit: str | int | None = None
) -> Placer | HTML:
    """Make the page in which a person places points in two photographs of an eye.

    Template and visit lie side by side. A click in one proposes where the place is in the other.
    *Save* writes ``landmarks.csv`` beside the photographs. The next run registers the visit from
    its points, with the verdict "accepted, by hand". A visit can also be excluded, with a reason.

    Parameters
    ----------
    eye : Eye
        From `load_eye`, or ``study.eye``.
    template : str or int
        Name of the template, ``first``, ``last``, or its position.
    visit : str or int, optional
        The visit that is shown first; None: the last one.

    Returns
    -------
    Placer
        The panel, which the notebook shows. In a headless run a sentence is returned instead.

    Raises
    ------
    EyeError, ValueError
        If there is no such visit.

    Examples
    --------
    In a headless run nobody can place points, so there is only a sentence:

    >>> import os, tempfile
    >>> import fundus_helpers as fh
    >>> os.environ["TQDM_DISABLE"] = "1"
    >>> folder = tempfile.mkdtemp()
    >>> painted = fh.make_demo_eye(folder, "demo_colour", size=96)
    >>> type(fh.place_landmarks(fh.load_eye(folder, "demo_colour", "L"))).__name__
    'HTML'
    >>> del os.environ["TQDM_DISABLE"]
    """
    return Placer(eye, template, visit) if is_watched() else HTML(NOBODY_WATCHES)
