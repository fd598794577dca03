"""Sliders for a registration method: every move of a slider registers a pair of visits again."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd
import SimpleITK as sitk
from IPython.display import HTML, display

from fundus_helpers import metrics, transforms
from fundus_helpers.loading.eye import Eye
from fundus_helpers.methods import METHODS, Method
from fundus_helpers.methods.cache import remembering
from fundus_helpers.methods.knobs import Value, read_knobs
from fundus_helpers.panels import preview
from fundus_helpers.panels._worker import Worker
from fundus_helpers.panels.panel import Panel, Sliders
from fundus_helpers.progress import is_watched
from fundus_helpers.results.tuned import save_tuned, tuned_knobs, tuned_parameter, tuned_path
from fundus_helpers.series.registering import registrations
from fundus_helpers.study import Study

NOBODY_WATCHES = "<em>The sliders appear here in JupyterLab, and on the page of make app.</em>"
NOT_SAVED = (
    "This is a trial: no transform and no photograph was saved. Press Save to keep the knobs; then "
    "make eye registers every visit with them, and saves."
)
# A preview is judged when no slider has been moved for so many seconds, because judging takes as
# long as several previews.
PATIENCE = 0.4


def label(eye: Eye, visit: int) -> str:
    """Name a visit by its date, or by its file if another visit has the same date."""
    dates = eye.used["date"].astype(str).tolist()
    return dates[visit] if dates.count(dates[visit]) == 1 else eye.names[visit]


@dataclass(frozen=True)
class _Shown:
    """What the panel shows: a pair of visits and the result of its registration.

    Only the thread of the previews changes it. It always replaces the whole object.
    """

    method: str
    moving: int
    pair: preview.SmallPair
    before: pd.Series
    best: pd.Series
    best_knobs: Mapping[str, Value] | None = None
    knobs: Mapping[str, Value] | None = None
    outcome: preview.Outcome | None = None


class Tuner:
    """The panel of the sliders, and the actions of its sliders and buttons.

    Parameters
    ----------
    eye : Eye
    fixed : int
        Position of the template among the visits.
    methods : sequence of str, or mapping of str to callable
        See `panels.tune`.
    results : path
        Folder of all results.
    moving : int
        Position of the visit that is shown first.
    method : str, optional
        The method that is shown first; None for the first of `methods`.
    preview_size : int, optional
        See `panels.tune`.
    knobs : mapping of str to value
        The values of the sliders at the start.

    Attributes
    ----------
    panel : Panel
    previews : Worker
        The thread of the previews. When it is idle, the picture shows the result of the last move.
        The verdict comes later.
    """

    def __init__(
        self,
        eye: Eye,
        fixed: int,
        methods: Sequence[str] | Mapping[str, Method],
        results: Path | str,
        *,
        moving: int,
        method: str | None = None,
        preview_size: int | None = None,
        knobs: Mapping[str, Value] | None = None,
    ):
        self._eye, self._fixed, self._knobs = eye, fixed, knobs or {}
        self._methods = (
            methods if isinstance(methods, Mapping) else {n: METHODS[n] for n in methods}
        )
        self._file = tuned_path(results, eye.patient, eye.laterality)
        self._sizes = dict.fromkeys(methods, preview_size)
        self._shown: _Shown | None = None
        self._judged: dict[str, object] = {}
        self._running, self._begun, self._stopping = (threading.Event() for _ in range(3))
        self._others = [i for i in range(len(eye.names)) if i != fixed]
        visits = [(label(eye, i), i) for i in self._others]
        names = sorted(methods, key=lambda name: name != method)
        self.panel = Panel(visits, moving, names)
        self.previews = Worker.of_panel(self.panel.tell)
        self._verdicts = Worker.of_panel(self.panel.tell, patience=PATIENCE)
        self._connect()
        self.previews.guard(self._change_method)

    def _connect(self) -> None:
        panel = self.panel
        for widget in (panel.visit, panel.view):
            widget.observe(lambda _: self._ask(), "value")
        panel.method.observe(lambda _: self.previews.guard(self._change_method), "value")
        tasks = {panel.defaults: self._turn_to_defaults, panel.best: self._turn_to_best}
        tasks |= {panel.save: self._save, panel.run_all: self._run_or_stop}
        for button, task in tasks.items():
            button.on_click(partial(self.previews.guard, task))

    def _ipython_display_(self) -> None:
        display(self.panel.widget)

    @property
    def preview_size(self) -> int:
        """Longer side, in pixels, of the preview that is shown."""
        return max(self._shown.pair.images.fixed.shape)

    def finish(self) -> None:
        """Wait until all tasks are done, and raise an error that happened meanwhile."""
        self.previews.finish()
        self._verdicts.finish()

    # What a move or a button does immediately.

    def _change_method(self) -> None:
        if self._running.is_set():
            return
        name = self.panel.method.value
        method, saved = self._methods[name], tuned_parameter(self._file)
        given = {key: value for key, value in self._knobs.items() if key in read_knobs(method)}
        values = tuned_knobs(saved.get("tuned", "{}"), name, given, method)
        self.panel.put_sliders(Sliders(method, values, self._ask))
        self._ask()

    def _ask(self) -> None:
        panel = self.panel
        if self._running.is_set() and not self._begun.is_set():
            return  # a move that arrives late must not take the place of the run
        if panel.sliders is None:  # tuned.json is damaged, and the panel shows it
            return
        panel.tell("busy", "registering ...")
        chosen = panel.method.value, panel.visit.value, panel.view.value
        self.previews.ask(partial(self._refresh, *chosen, panel.sliders, panel.sliders.values))

    def _turn_to_defaults(self) -> None:
        self.panel.sliders.turn({})

    def _turn_to_best(self) -> None:
        shown, panel = self._shown, self.panel
        if shown is None or shown.best_knobs is None:
            return
        if (shown.method, shown.moving) == (panel.method.value, panel.visit.value):
            panel.sliders.turn(shown.best_knobs)

    def _save(self) -> None:
        name = self.panel.method.value
        save_tuned(self._file, name, self.panel.sliders.values, self._methods[name])
        self.panel.tell("done", f"saved: from now on headless runs of {name} use these knobs")

    def _run_or_stop(self) -> None:
        if self._running.is_set():
            self._stopping.set()
            self.panel.tell("busy", "stopping when the running registrations are done ...")
            return
        if self.panel.sliders is None:  # tuned.json is damaged, and the panel shows it
            return
        self._begun.clear()
        self._stopping.clear()
        self._running.set()
        self.panel.lock(True)
        self.panel.tell("busy", "registering every visit at full size ...")
        chosen = self.panel.method.value, self.panel.sliders.values
        self.previews.ask(partial(self._run_every_visit, *chosen))

    # What takes longer, and therefore runs in a thread.

    def _refresh(
        self, name: str, moving: int, view: str, sliders: Sliders, values: Mapping[str, Value]
    ) -> None:
        shown = self._shown
        if shown is None or (shown.method, shown.moving) != (name, moving):
            shown = self._opened(name, moving)
        if shown.knobs != values:
            outcome = preview.preview_pair(self._methods[name], shown.pair, values)
            if preview.is_better(outcome.numbers, shown.best):
                shown = replace(shown, best=outcome.numbers, best_knobs=values)
            self._shown = shown = replace(shown, knobs=values, outcome=outcome)
            self.panel.judge([])
            self._verdicts.ask(partial(self._judge, moving, outcome))
        outcome, pair = shown.outcome, shown.pair.shown
        after = None if outcome.reason else outcome.shown
        self.panel.picture.show(view, pair.fixed, pair.moving, after)
        rows = {"before": shown.before, "now": outcome.numbers, "best so far": shown.best}
        self.panel.tabulate(rows, f"Best so far with {sliders.words(shown.best_knobs)}.")
        if not self.previews.is_waiting():
            kind = "refused" if outcome.reason else "done"
            took = f"registered in {outcome.seconds:.2f} s, preview at {self.preview_size} px"
            self.panel.tell(kind, outcome.reason or took)

    def _opened(self, name: str, moving: int) -> _Shown:
        """Shrink a pair of visits, and measure it before registration."""
        visits = self._eye, self._fixed, moving
        if self._sizes[name] is None:
            self._sizes[name] = preview.quick_enough(self._methods[name], *visits)
        pair = preview.shrink_pair(*visits, self._sizes[name])
        before = preview.measure_pair(pair, transforms.identity())
        return _Shown(name, moving, pair, before, best=before)

    def _judge(self, moving: int, outcome: preview.Outcome) -> None:
        transform = None if outcome.reason else outcome.transform
        with remembering(self._judged):
            judged = self._verdict(moving, transform, outcome.reason)
        if outcome is self._shown.outcome:
            self.panel.judge([judged])

    def _verdict(
        self, visit: int, transform: sitk.Transform | None, reason: str
    ) -> dict[str, object]:
        """Judge a transform in pixels of the eye's images, and return the verdict's summary."""
        eye, fixed = self._eye, self._fixed
        masks = {"fixed_mask": eye.masks[fixed], "moving_mask": eye.masks[visit]}
        images = eye.images[fixed], eye.images[visit]
        found = metrics.judge(transform, *images, **masks, failure=reason)
        return {"visit": label(eye, visit)} | found.summary(eye.full_factor)

    def _run_every_visit(self, name: str, values: Mapping[str, Value]) -> None:
        self._begun.set()
        try:
            found = list(self._registered(name, values))
        finally:
            self.panel.lock(False)
            self._running.clear()
        if not found:
            self.panel.tell("done", "stopped: no visit was registered")
            return
        measured, judged = zip(*found, strict=True)
        before, after = (pd.DataFrame(rows).mean() for rows in zip(*measured, strict=True))
        note = f"Mean over {len(found)} visits at full size ({max(self._eye.images.shape[1:])} px)."
        self.panel.tabulate({"before": before, "after": after}, note)
        self.panel.judge(judged)
        accepted = sum(one["verdict"] in metrics.USABLE for one in judged)
        words = f"{len(found)} visits registered, {accepted} accepted. {NOT_SAVED}"
        self.panel.tell("done", words)

    def _registered(self, name: str, values: Mapping[str, Value]) -> Iterator[tuple]:
        """Yield the numbers (before, after) and the verdict of one visit after the other."""
        eye, others, answers = self._eye, self._others, {}
        method = self._methods[name]
        found = getattr(method, "registrations", partial(registrations, method))(
            eye.images[self._fixed],
            eye.images[others],
            [eye.names[i] for i in others],
            template_mask=eye.masks[self._fixed],
            masks=eye.masks[others],
            wanted=lambda: not self._stopping.is_set(),
            **values,
        )
        for visit, one in zip(others, found):  # noqa: B905 - fewer after a stop
            with remembering(answers):
                judged = self._verdict(visit, one.transform, one.reason)
            self.panel.bar.value += 1
            yield preview.judge_visit(eye, self._fixed, one), judged


def tune(
    study: Study,
    methods: Sequence[str] | Mapping[str, Method],
    *,
    method: str | None = None,
    moving: int | None = None,
    preview_size: int | None = None,
    **knobs: Value,
) -> Tuner | HTML:
    """Make the sliders of one or several methods.

    A move of a slider registers a pair of visits at reduced size. The panel shows pictures and
    numbers before and after the registration. *Save* writes the knobs into ``tuned.json`` in the
    folder of the eye, ``results/<patient>_<L|R>/``. Headless runs read them from there.

    Parameters
    ----------
    study : Study
        Its visits are registered to its template. ``tuned.json`` is saved in its results folder.
    methods : sequence of str, or mapping of str to callable
        Names in `METHODS`; or, by name, other functions with the same arguments and result, for
        example trained networks and groupwise methods.
    method : str, optional
        The method that is shown first; None for the first of `methods`.
    moving : int, optional
        Position of the visit that is shown first; None for the last one except the template.
    preview_size : int, optional
        Longer side of the previews in pixels; None for a size at which the method is quick enough.
    **knobs
        The values of the sliders at the start, if no knobs have been saved. Knobs that a method
        does not have are ignored.

    Returns
    -------
    Tuner
        The panel, which the notebook shows. In a headless run a sentence is returned instead.

    Examples
    --------
    In a headless run nobody can move sliders, so there is only a sentence:

    >>> import os, tempfile
    >>> import fundus_helpers as fh
    >>> os.environ["TQDM_DISABLE"] = "1"
    >>> folder = tempfile.mkdtemp()
    >>> painted = fh.make_demo_eye(folder, "demo_colour", size=96)
    >>> study = fh.Study(folder, "demo_colour", "L", results=folder)
    >>> type(fh.tune(study, ["affine"])).__name__
    'HTML'
    >>> del os.environ["TQDM_DISABLE"]
    """
    if not is_watched():
        return HTML(NOBODY_WATCHES)
    fixed = study.template
    return Tuner(
        study.eye,
        fixed,
        methods,
        study.results,
        method=method,
        moving=study.others[-1] if moving in (None, fixed) else moving,
        preview_size=preview_size,
        knobs=knobs,
    )
