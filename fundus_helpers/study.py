"""One eye under study: opened, registered by one method or many, measured, judged, shown, saved."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
from IPython.display import HTML
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from fundus_helpers import plotting
from fundus_helpers.loading.demo_eye import make_demo_eye
from fundus_helpers.loading.eye import Eye, load_eye
from fundus_helpers.loading.visits import DEMO_PATIENTS
from fundus_helpers.methods import Method
from fundus_helpers.results.folder import make_folder, save_registrations
from fundus_helpers.results.metrics_file import read_metrics, save_metrics
from fundus_helpers.results.notebooks import TEMPLATE_NOTEBOOK
from fundus_helpers.results.tuned import tuned_knobs
from fundus_helpers.series.assessed_eye import AssessedEye
from fundus_helpers.series.outcomes import NOTHING
from fundus_helpers.series.registering import Registration, register_eye

Registrations = Sequence[Registration | None]


class Study(AssessedEye):
    """One eye under study: its visits, a template, and what became of every visit.

    Parameters
    ----------
    data : path
        Folder with a folder for each patient. A demo patient is painted if it is missing.
    patient : str
    laterality : {"L", "R"}
    template : str
        The visit that the others are registered to: ``first``, ``last``, the name of a visit, or
        ``selected`` for the choice of notebook 02.
    results : path
        Folder of all results.
    notebook : str
        Name of the folder for the results of this study, inside that of the eye.
    size : int, optional
        Longer side, in pixels, that larger photographs are shrunk to; None: as they are.
    tuned : str
        Knobs by method, as JSON, that replace those of a notebook: see `knobs`.
    jobs : int
        Processes; -1: one for each core.

    Attributes
    ----------
    eye, template, registrations
        See `series.AssessedEye`.

    Raises
    ------
    EyeError
        If the eye cannot be loaded; says why.

    Examples
    --------
    >>> import tempfile
    >>> import fundus_helpers as fh
    >>> folder = tempfile.mkdtemp()
    >>> painted = fh.make_demo_eye(folder, "demo_colour", size=96)
    >>> study = fh.Study(folder, "demo_colour", "L", results=folder, jobs=1)
    >>> found = study.register("translation", visits=[1, 2])
    >>> study.table()["visit"].tolist() == study.eye.names[1:3]
    True
    """

    def __init__(
        self,
        data: Path | str,
        patient: str,
        laterality: str,
        *,
        template: str = "first",
        results: Path | str = "results",
        notebook: str = "study",
        size: int | None = 768,
        tuned: str = "{}",
        jobs: int = -1,
    ):
        if patient in DEMO_PATIENTS and not Path(data, patient).is_dir():
            make_demo_eye(data, patient)
        self.data, self.results, self.size = data, results, size
        self.tuned, self.notebook = tuned, notebook
        eye = load_eye(data, patient, laterality, size=size)
        if template == "selected":
            chosen = read_metrics(results, patient, laterality, TEMPLATE_NOTEBOOK)
            template = chosen["template"]
        super().__init__(eye, eye.index(template), jobs=jobs)

    def __repr__(self) -> str:
        """Say how many visits there are, and which is the template."""
        names = self.eye.names
        return f"{len(names)} visits, template {names[self.template]}"

    @cached_property
    def folder(self) -> Path:
        """Folder of the results of this study, made when it is first asked for."""
        return make_folder(self.results, self.eye.patient, self.eye.laterality, self.notebook)

    @cached_property
    def article_eye(self) -> Eye:
        """The eye as the article looks at it: grey photographs, and no field of view."""
        eye = self.eye
        grey = load_eye(self.data, eye.patient, eye.laterality, size=self.size, channel="grey")
        return replace(grey, masks=np.ones_like(eye.masks))

    def at_size(self, size: int) -> "Study":
        """Open the same study on smaller images; measures before registration stay those of here.

        Parameters
        ----------
        size : int
            Longer side in pixels.
        """
        eye = self.eye
        smaller = Study(
            self.data,
            eye.patient,
            eye.laterality,
            template=eye.names[self.template],
            results=self.results,
            notebook=self.notebook,
            size=size,
            tuned=self.tuned,
            jobs=self.jobs,
        )
        smaller.before = self.before
        return smaller

    def knobs(
        self, name: str, given: Mapping[str, object], method: Method | None = None
    ) -> dict[str, object]:
        """Return the knobs of a method: those given, replaced by those saved with the sliders.

        Parameters
        ----------
        name : str
            Of the method.
        given : mapping of str to value
        method : callable, optional
            None: the one of that name in `METHODS`.
        """
        return tuned_knobs(self.tuned, name, given, method)

    def register(
        self,
        method: str | Method,
        *,
        label: str = "",
        eye: Eye | None = None,
        visits: Sequence[int] | None = None,
        jobs: int | None = None,
        **knobs: object,
    ) -> list[Registration | None]:
        """Register the visits to the template, and keep what was found.

        Parameters
        ----------
        method : str or callable
            A name in `METHODS`, or a function of that contract.
        label : str
            What it is called in tables; empty: the name of the method.
        eye : Eye, optional
            The same visits as other images, for example `article_eye`.
        visits : sequence of int, optional
            Positions of the visits to register; None: all.
        jobs : int, optional
            Processes; None: as the study was opened with.
        **knobs
            Of the method.
        """
        if visits is None:
            jobs = self.jobs if jobs is None else jobs
            found = register_eye(eye or self.eye, self.template, method, jobs=jobs, **knobs)
        else:
            found = [None] * len(self.eye.names)
            for i in dict.fromkeys(visits):
                found[i] = self.register_visit(method, i, eye=eye, **knobs)
        return self.add(label or str(method), found)

    def step_by_step(
        self, method: str, steps: Mapping[str, Mapping[str, object]], visit: int
    ) -> tuple[pd.DataFrame, dict[str, Registration]]:
        """Register one visit again and again, each time with one setting more changed.

        Parameters
        ----------
        method : str
            A name in `METHODS`.
        steps : mapping of str to mapping
            What a step is called, and the knobs it changes; the special knob ``inside=True``
            takes `eye`, with its fields of view, in place of `article_eye`.
        visit : int
            Position of the visit.

        Returns
        -------
        table : DataFrame
            The measures, one row per step; the first row is before registration.
        found : dict of str to Registration
        """
        settings, found, rows = {"inside": False}, {}, {}
        for label, change in steps.items():
            settings |= change
            knobs = {key: value for key, value in settings.items() if key != "inside"}
            eye = self.eye if settings["inside"] else self.article_eye
            found[label] = self.register_visit(method, visit, eye=eye, **knobs)
            rows[label] = self.measure(found[label])
            rows[label]["seconds"] = found[label].seconds
        nothing = self.before.loc[self.eye.names[visit]]
        return pd.DataFrame({NOTHING: nothing, **rows}).T, found

    def before_after(self, label: str) -> Styler:
        """Lay the mean measures before and after a method side by side."""
        return plotting.before_after_table(self.before.mean(), self.measured(label).mean())

    def show_failures(self, label: str) -> Styler:
        """Show the visits that a method could not register, each with its reason."""
        rows = [*self.failures(label).items()]
        return pd.DataFrame(rows, columns=["failed visit", "reason"]).style.hide()

    # What came of it, in pictures.

    def look(self) -> Figure:
        """Draw the template, the visit farthest from it, and their overlay before registration."""
        names, moving = self.eye.names, self.eye.images[self.farthest]
        return plotting.gallery(
            [self.fixed, moving, plotting.overlay(self.fixed, moving)],
            [
                f"fixed: {names[self.template]}",
                f"moving: {names[self.farthest]}",
                f"overlay, {NOTHING}",
            ],
            caption=f"The pair that is farthest apart. Overlay: {plotting.OVERLAY_CAPTION}.",
            columns=3,
        )

    def show(self, label: str, caption: str = "", *, visit: int | None = None) -> Figure | str:
        """Draw a visit on the template before and after; say why where its registration failed.

        Parameters
        ----------
        label : str
            Of the method.
        caption : str
            What to look for; the name of the visit is written before it.
        visit : int, optional
            Position of the visit; None: the farthest.
        """
        registration = self._registration(label, visit)
        words = f"{registration.visit}: {caption}" if caption else registration.visit
        return plotting.draw_pair(self.eye, self.template, registration, words)

    def flicker(self, label: str, *, visit: int | None = None) -> HTML:
        """Show the template and a registered visit in turn. See `show`."""
        return plotting.draw_turns(self.eye, self.template, self._registration(label, visit))

    def show_errors(self, labels: Sequence[str] | None = None) -> Figure | str:
        """Draw the landmark error of every visit, by method; say so where no landmarks are known.

        Parameters
        ----------
        labels : sequence of str, optional
            Of the methods; None: all.
        """
        if not self.has_landmarks:
            return "No landmarks are known between these visits."
        labels = [*self.registrations] if labels is None else labels
        measured = {NOTHING: self.before, **{label: self.measured(label) for label in labels}}
        errors = {label: frame["landmark_error_px"] for label, frame in measured.items()}
        return plotting.draw_errors(errors, caption="Landmark error of every visit, by method.")

    def best_and_worst(self, label: str) -> Figure:
        """Draw the visits that a method registered best and worst."""
        found = [each for each in self.registrations[label] if each is not None]
        return plotting.draw_best_and_worst(self.eye, self.template, found, self.measured(label))

    def _registration(self, label: str, visit: int | None) -> Registration:
        return self.registrations[label][self.farthest if visit is None else visit]

    # What is kept.

    def save(
        self,
        chosen: str | Sequence[Registration],
        parameters: Mapping[str, object] = MappingProxyType({}),
        **findings: object,
    ) -> Path:
        """Save what a method found, and the numbers of all methods.

        Transforms and registered photographs are for the files on disk: full size, all channels,
        their own bit depth (`results.save_registrations`). ``metrics.json`` is written last: where
        it is, the run is complete.

        Parameters
        ----------
        chosen : str or sequence of Registration
            Label of the method that is saved; or registrations to a frame that is no visit.
        parameters : mapping
            Of the notebook, so that the run can be repeated.
        **findings
            What this study alone found out: tables, numbers, words.

        Returns
        -------
        Path
            Of ``metrics.json``.
        """
        found = self.registrations[chosen] if isinstance(chosen, str) else chosen
        save_registrations(
            self.folder, self.eye, self.template, found, shown=self.farthest, jobs=self.jobs
        )
        after = self.measured(chosen) if isinstance(chosen, str) else {}
        return self.save_metrics(
            parameters,
            template=self.eye.names[self.template],
            before=self.before,
            after=after,
            failed={each.visit: each.reason for each in found if each.reason},
            outcomes=self.table().to_dict("records"),
            findings=findings,
        )

    def save_metrics(self, parameters: Mapping[str, object], **content: object) -> Path:
        """Write ``metrics.json`` alone.

        Parameters
        ----------
        parameters : mapping
            Of the notebook, so that the run can be repeated.
        **content
            Fields of `results.Metrics`.

        Returns
        -------
        Path
            Of ``metrics.json``.
        """
        return save_metrics(self.folder, self.eye, parameters, content)
