"""Outlines over the registered photographs of an eye, which a person corrects with a brush."""

from collections.abc import Mapping
from functools import partial

import joblib
from IPython.display import HTML, display

from fundus_helpers.atrophy.eye import Atrophy, follow_atrophy, onset_of, scale_of
from fundus_helpers.atrophy.finding.carried_hints import carry_hints
from fundus_helpers.atrophy.finding.find import SeriesEvidence, gather_evidence
from fundus_helpers.atrophy.finding.hints import Hints, Strokes
from fundus_helpers.atrophy.finding.saved_hints import (
    SavedHints,
    disc_scales,
    hints_path,
    read_hints,
    save_hints,
)
from fundus_helpers.atrophy.growth import RATES
from fundus_helpers.atrophy.outlines import OUTLINE_FORMATS, Outline, write_outlines
from fundus_helpers.atrophy.registered import registered_visits
from fundus_helpers.atrophy.scale import Scale, best_scale
from fundus_helpers.loading.eye_error import EyeError
from fundus_helpers.loading.photographs import photograph_size
from fundus_helpers.loading.values import resize
from fundus_helpers.panels._worker import Worker
from fundus_helpers.panels.canvas import Canvas, packed_lines
from fundus_helpers.panels.drawing import Drawing
from fundus_helpers.panels.swipe import as_jpeg
from fundus_helpers.panels.tuning import label as visit_label
from fundus_helpers.plotting.pictures import brightened
from fundus_helpers.progress import is_watched
from fundus_helpers.study import Study

NOBODY_WATCHES = "<em>The outlines can be drawn here in JupyterLab.</em>"
# Longer sides in pixels: of the pictures, and of the images on which atrophy is found. At 320 px,
# twelve visits are found anew in less than a second, and a stroke is joined in a fifth of that.
SHOWN_SIZE, COUNTED_SIZE = 640, 320
THREADS = joblib.cpu_count()
OUTLINES_FOLDER = "outlines"
TOLD_RATES = ("square_root_growth", "area_growth", "border_expansion")
MOST_UNDONE = 200


class Outliner:
    """The panel of the outlines of one eye: what is drawn, and what follows from it.

    Parameters
    ----------
    study, label, outlines, scale
        See `panels.outline`.

    Attributes
    ----------
    canvas : Canvas
        The widget.
    visits : RegisteredVisits
    drawing : Drawing
        What is drawn now, in pixels of `visits`.
    atrophy : Atrophy or None
        What follows from it, at reduced size; None until it is found.
    path : path
        Of the file that *Save* writes.
    """

    def __init__(
        self,
        study: Study,
        label: str,
        *,
        outlines: Mapping[str, Outline] | None = None,
        scale: Scale | None = None,
    ):
        self._eye, self._study = study.eye, study
        self._template = study.eye.used["file"][study.template]
        self.visits = registered_visits(study, label)
        self._scale = scale_of(study.eye, self.visits, scale)
        self._small = self.visits.resized(COUNTED_SIZE)
        self._drawn_outlines = dict(outlines or {})
        self._small_outlines = self._small.outlines_on_grid(self._drawn_outlines)
        self.path = hints_path(study.results, study.eye.patient, study.eye.laterality)
        self.atrophy: Atrophy | None = None
        self._evidence: tuple[tuple, SeriesEvidence] | None = None
        self._others: dict[str, Strokes] = {}
        self._remarks: list[str] = []
        self._token, self._exporting = 0.0, False
        self._history: list[Drawing] = []
        self.drawing = Drawing()
        self.canvas = self._make_canvas()
        self._worker = Worker.of_panel(self.canvas.tell)
        self.canvas.on_msg(lambda _, content, __: self._worker.guard(partial(self.take, content)))
        self._open()

    def _ipython_display_(self) -> None:
        display(self.canvas)

    def finish(self) -> None:
        """Wait until all work is done, and raise the last error that occurred."""
        self._worker.finish()

    def _make_canvas(self) -> Canvas:
        size = min(SHOWN_SIZE, max(self.visits.shape))
        pictures = [resize(image, size) for image in self.visits.images]
        return Canvas(
            pictures=[as_jpeg(brightened(picture)[0]) for picture in pictures],
            size=[*pictures[0].shape[::-1]],
            names=[visit_label(self._eye, i) for i in self.visits.positions],
            outlines=[b""] * len(pictures),
            visit=len(pictures) - 1,
        )

    @property
    def _per_picture(self) -> float:
        return max(self.visits.shape) / max(self.canvas.size)

    def _open(self) -> None:
        """Show what was saved before, if anything was."""
        try:
            self._take_saved()
        except EyeError as error:  # told below the numbers as long as the panel is shown
            self._remarks = [f"{error}. Save replaces the file"]
        self._ask()

    def _take_saved(self) -> None:
        saved = read_hints(self.path)
        if saved is None:
            return
        saved = carry_hints(saved, self._eye, self.visits)
        hints = saved.hints(self.visits, self._template)
        here = saved.resized(self.visits.shape)
        files = self.visits.files
        self._others = {f: each for f, each in here.strokes.items() if f not in files}
        marks = hints.ellipse, hints.fovea, hints.first_free, here.disc
        self.drawing = Drawing(*marks, (), hints.strokes)
        self.canvas.saved = f"as saved in {self._told_path}"

    @property
    def _told_path(self) -> str:
        return f"{self.path.parent.name}/{self.path.name}"

    # What a message does immediately.

    def take(self, message: Mapping[str, object]) -> None:
        """Take what was drawn or pressed in the widget.

        Parameters
        ----------
        message : mapping
            ``kind`` is "undo", "save", "export", or a change (see `Drawing.changed`); ``token``
            grows from message to message.

        Raises
        ------
        ValueError
            For any other kind.
        """
        kind = message["kind"]
        if kind == "save":
            self.save()
            return
        if kind == "export":
            self._exporting = True
        elif kind == "undo":
            self.drawing = self._history.pop() if self._history else self.drawing
        else:
            changed = self.drawing.changed(message, self._per_picture, self.visits.shape)
            self._history = [*self._history[1 - MOST_UNDONE :], self.drawing]
            self.drawing = changed
        self._token = message.get("token", 0.0)
        if kind != "export":
            self.canvas.saved = "not saved yet"
        self._ask()

    def save(self) -> None:
        """Write what is drawn into ``hints.json``; see `save_hints`."""
        save_hints(self.path, self.saved_hints())
        self._remarks = []
        self.canvas.saved = f"saved in {self._told_path}"

    def saved_hints(self) -> SavedHints:
        """Return what is drawn as it is saved. Strokes at visits that are left out are kept."""
        drawing, shape = self.drawing, self.visits.shape
        painted = {self.visits.files[i]: s for i, s in drawing.painted(shape).items()}
        return SavedHints(
            self._template,
            shape,
            drawing.ellipse,
            drawing.fovea,
            drawing.first_free,
            drawing.disc,
            {**self._others, **painted},
        )

    # What takes longer, and therefore runs in a thread. It always starts from the newest drawing.

    def _ask(self) -> None:
        self.canvas.tell("busy", "counting ...")
        self._worker.ask(self._refresh)

    def _refresh(self) -> None:
        drawing, token = self.drawing, self._token
        atrophy, told = self._follow(drawing)
        if self._worker.is_waiting():  # the next answer replaces this one
            return
        self.atrophy = atrophy
        per_picture = max(self.canvas.size) / max(self._small.shape)
        with self.canvas.hold_sync():
            self.canvas.outlines = [
                packed_lines(atrophy.onset.mask(i), per_picture)
                for i in range(len(self.visits.names))
            ]
            self.canvas.marks = drawing.marks(1 / self._per_picture)
            self.canvas.numbers = {
                "columns": ["visit", f"area, {atrophy.unit}²", "foci", "drawn"],
                "rows": self._rows(atrophy),
                "notes": [*self._remarks, *told, *_notes(atrophy), *self._left_out()],
            }
            self.canvas.answered = token
        if self._exporting:
            self._export(drawing)
        status, reasons = atrophy.verdict
        if reasons:
            self.canvas.tell("refused", f"{status}: {'; '.join(reasons)}")
        elif not self._worker.is_waiting() and self.canvas.status["kind"] == "busy":
            words = "no atrophy is found" if atrophy.none else "counted"
            self.canvas.tell("done", f"{words}, at {max(self._small.shape)} px")

    def _follow(self, drawing: Drawing) -> tuple[Atrophy, list[str]]:
        """Return the atrophy at reduced size, and what contradicts itself."""
        small, factor = self._small, max(self._small.shape) / max(self.visits.shape)
        hints = drawing.hints(small.shape, factor)
        marks = hints.ellipse, hints.fovea, hints.first_free
        if self._evidence is None or self._evidence[0] != marks:
            gathered = gather_evidence(
                small.images,
                small.masks,
                hints=hints,
                outlines=self._small_outlines,
                modality=small.modality,
                threads=THREADS,
            )
            self._evidence = marks, gathered
        found = self._evidence[1].found(hints.strokes)
        onset = onset_of(found, small)
        scale, told = self._scale_with(drawing)
        by = tuple(self._how(i, hints) for i in range(len(small.names)))
        return Atrophy(small, onset, scale, hints, by), told

    def _how(self, i: int, hints: Hints) -> str:
        how = ["outline"] if i in self._small_outlines else []
        return ", ".join(how + (["brush"] if i in hints.strokes else []))

    def _scale_with(self, drawing: Drawing) -> tuple[Scale | None, list[str]]:
        """Return the best scale; without what was clicked, and with a sentence, if it is wrong."""
        try:
            clicked = disc_scales(drawing.disc, drawing.fovea, self.visits.template_factor)
            return best_scale([self._scale, *clicked]), []
        except ValueError as error:
            return self._scale, [f"{error} (disc and fovea are not used for the scale)"]

    def _rows(self, atrophy: Atrophy) -> list[list[str]]:
        return [
            [name, _written(area), str(len(shape.foci)), how]
            for name, area, shape, how in zip(
                self.canvas.names, atrophy.areas, atrophy.shapes, atrophy.found_by, strict=True
            )
        ]

    def _left_out(self) -> list[str]:
        return [f"left out: {name}: {why}" for name, why in self.visits.left_out.items()]

    def _export(self, drawing: Drawing) -> None:
        """Write the outline of every visit, found at full size, on its own photograph's grid."""
        self._exporting = False
        self.canvas.tell("busy", "finding the outlines at full size ...")
        atrophy = follow_atrophy(
            self.visits, hints=drawing.hints(self.visits.shape), outlines=self._drawn_outlines
        )
        masks = {}
        for i, file in enumerate(self.visits.files):
            size = photograph_size(self._eye.folder / file)
            masks[file] = atrophy.mask_of(i, size[::-1])
        written = write_outlines(self.path.parent / OUTLINES_FOLDER, masks, OUTLINE_FORMATS)
        folder = f"{self.path.parent.name}/{OUTLINES_FOLDER}"
        self.canvas.tell("done", f"{len(written)} files written into {folder}")


def _notes(atrophy: Atrophy) -> list[str]:
    """Return what is told below the table."""
    notes = []
    for key in TOLD_RATES:
        rate = atrophy.growth.overall.get(key)
        if rate is not None:
            unit = rate.unit.replace("2", "²")
            notes.append(f"{RATES[key].name}: {_written(rate.value)} {unit}")
    notes += [*atrophy.growth.notes]
    notes.append(f"healed share: {atrophy.onset.healed:.1%} of the last lesion")
    notes.append(
        "scale: not known, so numbers are in pixels; drag a diameter of the disc"
        if atrophy.scale is None
        else f"scale: {atrophy.scale}"
    )
    return notes


def _written(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def outline(
    study: Study,
    label: str = "keypoints",
    *,
    outlines: Mapping[str, Outline] | None = None,
    scale: Scale | None = None,
) -> Outliner | HTML:
    """Make the panel in which the outlines of the atrophy of an eye are seen and corrected.

    It shows the registered visits with their outlines. Strokes in and out, an ellipse, the fovea
    and the optic disc are drawn over them, and areas and growth follow at reduced size. *Save*
    writes all that is drawn into ``results/<patient>_<L|R>/hints.json``; `read_hints`
    reads it. *Export outlines* writes the outlines at full size, in all formats.

    Parameters
    ----------
    study : Study
        In which the method has been run.
    label : str
        Name of the method in the study.
    outlines : mapping of str to Outline, optional
        Outlines that were drawn elsewhere, by name of the photograph; see `read_outlines`.
    scale : Scale, optional
        Of the template's photograph on disk.

    Returns
    -------
    Outliner
        The panel, which the notebook shows. In a headless run a sentence is returned instead.

    Raises
    ------
    ValueError
        If the method was not run, or if two scales contradict each other.

    Examples
    --------
    In a headless run nobody can draw, so there is only a sentence:

    >>> import os, tempfile
    >>> import fundus_helpers as fh
    >>> os.environ["TQDM_DISABLE"] = "1"
    >>> folder = tempfile.mkdtemp()
    >>> painted = fh.make_demo_eye(folder, "demo_atrophy", size=96)
    >>> study = fh.Study(folder, "demo_atrophy", "L", results=folder, jobs=1)
    >>> type(fh.panels.outline(study)).__name__
    'HTML'
    >>> del os.environ["TQDM_DISABLE"]
    """
    if not is_watched():
        return HTML(NOBODY_WATCHES)
    return Outliner(study, label, outlines=outlines, scale=scale)
