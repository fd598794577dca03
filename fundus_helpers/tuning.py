"""Sliders around a registration method: every move registers a pair of visits anew."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
from IPython.display import HTML, display

from fundus_helpers import preview, transforms, warping
from fundus_helpers.eye import Eye
from fundus_helpers.knobs import Value, read_knobs
from fundus_helpers.methods import METHODS
from fundus_helpers.panel import Panel
from fundus_helpers.progress import is_watched
from fundus_helpers.series import registrations
from fundus_helpers.sliders import Sliders
from fundus_helpers.tuned import save_tuned, tuned_knobs, tuned_parameter, tuned_path
from fundus_helpers.worker import Worker

NOBODY_WATCHES = "<em>Sliders appear here in JupyterLab, and on the page of make app.</em>"


def tune(
    eye: Eye,
    fixed: int,
    methods: Sequence[str],
    results: Path | str,
    *,
    method: str | None = None,
    moving: int | None = None,
    preview_size: int | None = None,
    **knobs: Value,
) -> "Tuner | HTML":
    """Make the sliders of one or several methods.

    A move of a slider registers a pair of visits at reduced size, and shows pictures and numbers
    before and after. *Save* writes the knobs into ``tuned.json`` in the folder of the eye's
    results, which headless runs take as their parameters.

    Parameters
    ----------
    eye : Eye
    fixed : int
        Position of the template among the visits.
    methods : sequence of str
        Names in `fundus_helpers.METHODS`.
    results : path
        Folder of all results.
    method : str, optional
        The one shown first; None: the first of them.
    moving : int, optional
        Position of the visit shown first; None: the last one that is not the template.
    preview_size : int, optional
        Longer side, in pixels, of the previews; None: as small as a slider needs it.
    **knobs
        Where the sliders stand at first, if nothing has been saved; those that a method does not
        have are left out.

    Returns
    -------
    Tuner
        Shown by the notebook. A sentence instead where nobody watches, in a headless run.
    """
    if not is_watched():
        return HTML(NOBODY_WATCHES)
    if moving in (None, fixed):
        moving = max(i for i in range(len(eye.names)) if i != fixed)
    return Tuner(
        eye,
        fixed,
        sorted(methods, key=lambda name: name != method),
        results,
        moving=moving,
        preview_size=preview_size,
        knobs=knobs,
    )


def label(eye: Eye, visit: int) -> str:
    """Name a visit by its date, or by its file where another has the same date."""
    dates = eye.used["date"].astype(str).tolist()
    return dates[visit] if dates.count(dates[visit]) == 1 else eye.names[visit]


class Tuner:
    """A panel, and what happens when something on it is moved or pressed.

    Parameters
    ----------
    eye, fixed, methods, results, moving, preview_size
        See `tune`; the first method is shown first.
    knobs : mapping of str to value
        Where the sliders stand at first.
    """

    def __init__(
        self,
        eye: Eye,
        fixed: int,
        methods: Sequence[str],
        results: Path | str,
        *,
        moving: int,
        preview_size: int | None = None,
        knobs: Mapping[str, Value] | None = None,
    ):
        self._eye, self._fixed, self._knobs = eye, fixed, knobs or {}
        self._file = tuned_path(results, eye.patient, eye.laterality)
        self._sizes = dict.fromkeys(methods, preview_size)
        self._worker, self._running = Worker(self._tell_error), False
        self._opened = self._shown = None
        self._others = [i for i in range(len(eye.names)) if i != fixed]
        self.panel = Panel([(label(eye, i), i) for i in self._others], moving, methods)
        self._connect()
        self._guarded(self._change_method)

    def _connect(self) -> None:
        panel = self.panel
        for widget in (panel.visit, panel.view):
            widget.observe(lambda _: self._ask(), "value")
        panel.method.observe(lambda _: self._guarded(self._change_method), "value")
        tasks = {panel.defaults: self._turn_to_defaults, panel.best: self._turn_to_best}
        tasks |= {panel.save: self._save, panel.run_all: self._run_or_stop}
        for button, task in tasks.items():
            button.on_click(partial(self._guarded, task))

    def _ipython_display_(self) -> None:
        display(self.panel.widget)

    @property
    def preview_size(self) -> int:
        """Longer side, in pixels, of the preview that is shown."""
        return max(self._pair.images.fixed.shape)

    def finish(self) -> None:
        """Wait until all is done that was asked for; raise what went wrong meanwhile."""
        self._worker.finish()

    def _guarded(self, task: Callable[[], None], *_: object) -> None:
        try:
            task()
        except Exception as error:  # said on the panel, raised by `finish`
            self._worker.error = error
            self._tell_error(error)

    def _tell_error(self, error: Exception) -> None:
        self.panel.tell("error", f"{type(error).__name__}: {error}")

    # What a move or a button does, at once.

    def _change_method(self) -> None:
        name = self.panel.method.value
        known, saved = read_knobs(METHODS[name]), tuned_parameter(self._file)
        given = {key: value for key, value in self._knobs.items() if key in known}
        values = tuned_knobs(saved.get("tuned", "{}"), name, given)
        self.panel.put_sliders(Sliders(METHODS[name], values, self._ask))
        self._ask()

    def _ask(self) -> None:
        panel = self.panel
        if panel.sliders is None:  # the file of saved knobs is broken, which has been told
            return
        panel.tell("busy", "registering ...")
        chosen = panel.method.value, panel.visit.value, panel.view.value
        self._worker.ask(partial(self._refresh, *chosen, panel.sliders, panel.sliders.values))

    def _turn_to_defaults(self) -> None:
        self.panel.sliders.turn({})

    def _turn_to_best(self) -> None:
        chosen = self.panel.method.value, self.panel.visit.value
        if self._opened == chosen and self._best_knobs is not None:
            self.panel.sliders.turn(self._best_knobs)

    def _save(self) -> None:
        method = self.panel.method.value
        save_tuned(self._file, method, self.panel.sliders.values)
        self.panel.tell("done", f"saved: headless runs of {method} take these knobs from now on")

    def _run_or_stop(self) -> None:
        if self._running:
            self._running = False
            return
        self._running = True
        self.panel.lock(True)
        self.panel.tell("busy", "registering every visit at full size ...")
        chosen = self.panel.method.value, self.panel.sliders.values
        self._worker.ask(partial(self._run_every_visit, *chosen))

    # What takes a while, in the thread.

    def _refresh(
        self, method: str, moving: int, view: str, sliders: Sliders, values: Mapping[str, Value]
    ) -> None:
        if self._opened != (method, moving):
            self._open(method, moving)
        if self._shown != values:
            self._outcome = preview.preview(METHODS[method], self._pair, values)
            self._shown = values
            if preview.is_better(self._outcome.numbers, self._best):
                self._best, self._best_knobs = self._outcome.numbers, values
        self._draw(view)
        rows = {"before": self._before, "now": self._outcome.numbers, "best so far": self._best}
        self.panel.tabulate(rows, f"Best so far with {sliders.words(self._best_knobs)}.")
        if not self._worker.is_waiting():
            kind = "refused" if self._outcome.reason else "done"
            took = f"registered in {self._outcome.seconds:.2f} s, preview at {self.preview_size} px"
            self.panel.tell(kind, self._outcome.reason or took)

    def _open(self, method: str, moving: int) -> None:
        pair = self._eye, self._fixed, moving
        if self._sizes[method] is None:
            self._sizes[method] = preview.quick_enough(METHODS[method], *pair)
        self._pair = preview.shrink_pair(*pair, self._sizes[method])
        self._before = self._best = preview.judge(self._pair, transforms.identity())
        self._best_knobs, self._shown, self._opened = None, None, (method, moving)

    def _draw(self, view: str) -> None:
        shown = self._pair.shown
        factor = max(shown.fixed.shape) / max(self._eye.images.shape[1:])
        transform = transforms.rescale(self._outcome.transform, factor)
        warped = warping.warp(shown.moving, transform, shown.fixed.shape)
        self.panel.picture.show(view, shown.fixed, shown.moving, warped)

    def _run_every_visit(self, method: str, values: Mapping[str, Value]) -> None:
        eye, found, reasons = self._eye, [], []
        try:
            images = [eye.images[self._fixed], eye.images[self._others]]
            names = [eye.names[i] for i in self._others]
            masks = {"template_mask": eye.masks[self._fixed], "masks": eye.masks[self._others]}
            for one in registrations(METHODS[method], *images, names, **masks, **values):
                found.append(preview.judge_visit(eye, self._fixed, one))
                reasons += [f"{one.visit}: {one.reason}"] if one.reason else []
                self.panel.bar.value = len(found)
                if not self._running:
                    break
        finally:
            self._running = False
            self.panel.lock(False)
        before, after = (pd.DataFrame(rows).mean() for rows in zip(*found, strict=True))
        note = f"Mean over {len(found)} visits at full size ({max(eye.images.shape[1:])} px)."
        self.panel.tabulate({"before": before, "after": after}, " ".join([note, *reasons]))
        self.panel.tell("done", f"{len(found) - len(reasons)} visits registered")
