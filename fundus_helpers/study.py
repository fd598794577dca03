"""The study of one eye: open it, register, measure and judge its visits, show and save them."""

import json
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
from fundus_helpers.files import held
from fundus_helpers.loading.demo_eye import make_demo_eye
from fundus_helpers.loading.eye import Eye, load_eye
from fundus_helpers.loading.tables.repeated import tell_landmarks
from fundus_helpers.loading.visits import DEMO_PATIENTS
from fundus_helpers.methods import Method
from fundus_helpers.results.folder import make_folder, save_registrations
from fundus_helpers.results.metrics_file import METRICS_FILE, as_plain, read_metrics, save_metrics
from fundus_helpers.results.notebooks import TEMPLATE_NOTEBOOK
from fundus_helpers.results.tuned import tuned_knobs
from fundus_helpers.series.assessed_eye import AssessedEye
from fundus_helpers.series.outcomes import NOTHING
from fundus_helpers.series.registering import Registration, register_eye


class Study(AssessedEye):
    """The study of one eye: its visits, a template, and the results of every method.

    Parameters
    ----------
    data : path
        Folder with one folder per patient. A demo patient is painted if it does not exist.
    patient : str
    laterality : {"L", "R"}
    template : str
        The visit that the others are registered to: ``first``, ``last``, the name of a visit, or
        ``selected`` for the choice of notebook 02.
    results : path
        Folder of all results.
    notebook : str
        Name of the folder for the results of this study, inside the results folder of the eye.
        Reports and comparisons of methods read only folders named like numbered notebooks
        (``03_rigid``).
    size : int, optional
        Larger photographs are shrunk to this longer side in pixels. None keeps their size.
    tuned : str
        Knobs of each method as JSON. They replace the knobs that are given to `knobs`. `knobs`
        returns them; pass the result to `register`.
    fewest : int
        Visits that are needed; see `loading.load_eye`.
    jobs : int
        Number of processes; -1 for one per core.

    Attributes
    ----------
    eye, template, registrations
        See `series.AssessedEye`.

    Raises
    ------
    EyeError
        If the eye cannot be loaded. The message says why.

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
        fewest: int = 2,
        jobs: int = -1,
    ):
        if patient in DEMO_PATIENTS and not Path(data, patient).is_dir():
            make_demo_eye(data, patient)
        self.data, self.results, self.size = data, results, size
        self.tuned, self.notebook = tuned, notebook
        eye = load_eye(data, patient, laterality, size=size, fewest=fewest)
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
        """Folder of the results of this study. It is made when it is first used."""
        return make_folder(self.results, self.eye.patient, self.eye.laterality, self.notebook)

    @cached_property
    def article_eye(self) -> Eye:
        """The eye as the article uses it: grey photographs, without masks of the field of view."""
        eye = self.eye
        grey = load_eye(self.data, eye.patient, eye.laterality, size=self.size, channel="grey")
        return replace(grey, masks=np.ones_like(eye.masks))

    def at_size(self, size: int) -> "Study":
        """Open the same study on smaller images, with the same measures before registration.

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
        """Return the knobs of a method. Knobs that were saved with the sliders replace those given.

        Parameters
        ----------
        name : str
            Name of the method.
        given : mapping of str to value
            Knobs of the notebook.
        method : callable, optional
            None means the method of that name in `METHODS`.
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
        """Register the visits to the template, and store the registrations.

        Parameters
        ----------
        method : str or callable
            A name in `METHODS`, or a function with the same arguments and result.
        label : str
            Name of the method in tables; if empty, the name in `METHODS`.
        eye : Eye, optional
            The same visits with other images, for example `article_eye`.
        visits : sequence of int, optional
            Positions of the visits to register; None for all.
        jobs : int, optional
            Number of processes; None for the number with which the study was opened.
        **knobs
            Knobs of the method.

        Raises
        ------
        ValueError
            For an unknown method, or for a knob that the method does not have.
        """
        if visits is None:
            jobs = self.jobs if jobs is None else jobs
            with self.remembering():
                found = register_eye(eye or self.eye, self.template, method, jobs=jobs, **knobs)
        else:
            found = [None] * len(self.eye.names)
            for i in dict.fromkeys(visits):
                found[i] = self.register_visit(method, i, eye=eye, **knobs)
        label = label or str(method)
        found = self.add(label, found)
        self._given[label] = knobs
        return found

    def step_by_step(
        self, method: str, steps: Mapping[str, Mapping[str, object]], visit: int
    ) -> tuple[pd.DataFrame, dict[str, Registration]]:
        """Register one visit several times. Every step adds a change to those of the steps before.

        Parameters
        ----------
        method : str
            A name in `METHODS`.
        steps : mapping of str to mapping
            Names of the steps, each with the knobs that it changes. The special knob
            ``inside=True`` uses `eye`, with its fields of view, instead of `article_eye`.
        visit : int
            Position of the visit.

        Returns
        -------
        table : DataFrame
            The measures, one row per step; the first row is before registration.
        found : dict of str to Registration
            The registration of each step.
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
        """Show the mean measures before and after registration by a method, side by side."""
        return plotting.before_after_table(self.before.mean(), self.measured(label).mean())

    def show_failures(self, label: str) -> Styler:
        """Show the visits that a method could not register, each with its reason."""
        rows = [*self.failures(label).items()]
        return pd.DataFrame(rows, columns=["failed visit", "reason"]).style.hide()

    # The results in pictures.

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
        """Draw a visit on the template before and after registration. If it failed, say why.

        Parameters
        ----------
        label : str
            Name of the method.
        caption : str
            What to look for. The name of the visit is written before it.
        visit : int, optional
            Position of the visit; None for the visit farthest from the template.

        Raises
        ------
        ValueError
            If this visit was not registered by this method.
        """
        registration = self._registration(label, visit)
        words = f"{registration.visit}: {caption}" if caption else registration.visit
        return plotting.draw_pair(self.eye, self.template, registration, words)

    def flicker(self, label: str, *, visit: int | None = None) -> HTML:
        """Show the template and a registered visit in turn. See `show`."""
        return plotting.draw_turns(self.eye, self.template, self._registration(label, visit))

    def show_errors(self, labels: Sequence[str] | None = None) -> Figure | str:
        """Draw the landmark error of every visit by method. If no landmarks are known, say so.

        Parameters
        ----------
        labels : sequence of str, optional
            Names of the methods; None for all.
        """
        if not self.has_landmarks:
            return "No landmarks are known between these visits."
        labels = [*self.registrations] if labels is None else labels
        measured = {NOTHING: self.before, **{label: self.measured(label) for label in labels}}
        errors = {label: frame["landmark_error_px"] for label, frame in measured.items()}
        return plotting.draw_errors(errors, caption="Landmark error of every visit, by method.")

    def best_and_worst(self, label: str) -> Figure:
        """Draw the visits that a method registered best and worst."""
        found = [each for each in self._found(label) if each is not None]
        return plotting.draw_best_and_worst(self.eye, self.template, found, self.measured(label))

    def _registration(self, label: str, visit: int | None) -> Registration:
        place = self.farthest if visit is None else visit
        registration = self._found(label)[place]
        if registration is None:
            raise ValueError(
                f"visit {self.eye.names[place]} was not registered by {label}; call "
                "study.register first"
            )
        return registration

    # Saving.

    def save(
        self,
        chosen: str | Sequence[Registration | None],
        parameters: Mapping[str, object] = MappingProxyType({}),
        **findings: object,
    ) -> Path:
        """Save the registrations of one method and the numbers of all methods.

        Transforms and registered photographs have the full size, the channels and the bit depth of
        the files on disk (`results.save_registrations`). ``metrics.json`` is written last. If it
        exists, the run is complete. Everything that an earlier run has saved of these is deleted
        first. If another run is saving its results of this eye and notebook, this one waits.

        Parameters
        ----------
        chosen : str or sequence of Registration or None
            Name of the method whose registrations are saved; or registrations to a frame that is
            not a visit. Nothing is saved for a visit that was not registered.
        parameters : mapping
            Parameters of the notebook, so that the run can be repeated. If it is empty, the size
            and the knobs that were given to `register` are saved.
        **findings
            Results that only this study has: tables, numbers or words.

        Returns
        -------
        Path
            Path of ``metrics.json``.
        """
        found = self._found(chosen) if isinstance(chosen, str) else chosen
        plain_knobs = json.loads(json.dumps(as_plain(self._given), default=str))
        parameters = parameters or {"size": self.size, "methods": plain_knobs}
        files = self.eye.visits["file"].tolist()
        told = tell_landmarks(self.eye.folder, files, self.eye.landmarks)
        findings = ({"landmarks": told} if told else {}) | findings
        content = {
            "template": self.eye.names[self.template],
            "saved_method": chosen if isinstance(chosen, str) else None,
            "before": self.before,
            "after": self.measured(chosen) if isinstance(chosen, str) else {},
            "failed": {each.visit: each.reason for each in found if each and each.reason},
            "outcomes": self.table([*self.registrations]).to_dict("records"),
            "findings": findings,
        }
        with held(self.folder):
            (self.folder / METRICS_FILE).unlink(missing_ok=True)
            save_registrations(
                self.folder, self.eye, self.template, found, shown=self.farthest, jobs=self.jobs
            )
            return save_metrics(self.folder, self.eye, parameters, content)

    def save_metrics(self, parameters: Mapping[str, object], **content: object) -> Path:
        """Write only ``metrics.json``.

        Parameters
        ----------
        parameters : mapping
            Parameters of the notebook, so that the run can be repeated.
        **content
            Values for the fields of `results.Metrics`.

        Returns
        -------
        Path
            Path of ``metrics.json``.
        """
        return save_metrics(self.folder, self.eye, parameters, content)
