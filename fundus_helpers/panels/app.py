"""A page for a colleague: choose patient, eye and method, then move the sliders."""

import os
from pathlib import Path

import ipywidgets
from IPython.display import display

from fundus_helpers.loading.demo_eye import make_demo_eye
from fundus_helpers.loading.eye import load_eye
from fundus_helpers.loading.visits import DEMO_PATIENTS, EyeError, find_eyes
from fundus_helpers.methods import METHODS
from fundus_helpers.panels.panel import STYLE
from fundus_helpers.panels.tuning import Tuner
from fundus_helpers.panels.worker import Worker

# Folders that `make app` hands on.
DATA, RESULTS = "FUNDUS_DATA", "FUNDUS_RESULTS"


class App:
    """Lists of what is in the data folder, above the sliders of the eye chosen from them.

    Parameters
    ----------
    data, results : path, optional
        Folder with a folder for each patient, and of all results; None: those that the
        environment variables ``FUNDUS_DATA`` and ``FUNDUS_RESULTS`` name. A data folder without
        any eye gets the demo eye.
    """

    def __init__(self, data: Path | str | None = None, results: Path | str | None = None):
        self._data = Path(data or os.environ.get(DATA, "data"))
        self._results = Path(results or os.environ.get(RESULTS, "results"))
        if not find_eyes(self._data):
            make_demo_eye(self._data, sorted(DEMO_PATIENTS)[0])
        self._worker, self.tuner = Worker(self._tell), None
        eyes = [(f"{patient}, {side}", (patient, side)) for patient, side in find_eyes(self._data)]
        self.eye = ipywidgets.Dropdown(
            options=eyes, description="patient, eye", style=STYLE, layout={"width": "330px"}
        )
        self._place = ipywidgets.VBox()
        self.widget = ipywidgets.VBox([self.eye, self._place])
        self.eye.observe(lambda _: self._ask(), "value")
        self._ask()

    def _ipython_display_(self) -> None:
        display(self.widget)

    def finish(self) -> None:
        """Wait until all is done that was asked for; raise what went wrong meanwhile."""
        self._worker.finish()
        if self.tuner is not None:
            self.tuner.finish()

    def _ask(self) -> None:
        patient, laterality = self.eye.value
        self._say("loading the photographs ...")
        self._worker.ask(lambda: self._open(patient, laterality))

    def _open(self, patient: str, laterality: str) -> None:
        try:
            eye = load_eye(self._data, patient, laterality, shown=False)
        except EyeError as error:  # an eye of one photograph: no fault of the page
            self._say(str(error))
            return
        last = len(eye.names) - 1
        self.tuner = Tuner(eye, 0, METHODS, self._results, moving=last)
        self._place.children = [self.tuner.panel.widget]

    def _tell(self, error: Exception) -> None:
        self._say(f"{type(error).__name__}: {error}")

    def _say(self, words: str) -> None:
        self._place.children = [ipywidgets.Label(words)]
