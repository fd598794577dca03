"""A page for users who do not program: select an eye; try knobs, or place points by hand."""

import os
from collections.abc import Mapping
from pathlib import Path

import ipywidgets
from IPython.display import display

from fundus_helpers.loading.demo_eye import make_demo_eye
from fundus_helpers.loading.eye import load_eye
from fundus_helpers.loading.visits import EyeError, find_eyes
from fundus_helpers.methods import METHODS
from fundus_helpers.panels._worker import Worker
from fundus_helpers.panels.panel import STYLE
from fundus_helpers.panels.placing.placer import Placer
from fundus_helpers.panels.tuning import Tuner

# Environment variables by which `make app` names the folders.
DATA, RESULTS = "FUNDUS_DATA", "FUNDUS_RESULTS"
RECOMMENDED = "keypoints"  # the method that is shown first
TABS = "Sliders", "Place points"


class App:
    """A list of the eyes in the data folder, above two tabs for the selected eye.

    The first tab holds the sliders, the second one the page in which points are placed.

    Parameters
    ----------
    data : path, optional
        Folder that contains one folder per patient. If it contains no eye, the demo eye is made
        in it. None: the folder in the environment variable ``FUNDUS_DATA``, or ``data``.
    results : path, optional
        Folder of all results. None: the folder in the environment variable ``FUNDUS_RESULTS``, or
        ``results``.
    """

    def __init__(self, data: Path | str | None = None, results: Path | str | None = None):
        self._data = Path(data or os.environ.get(DATA, "data"))
        self._results = Path(results or os.environ.get(RESULTS, "results"))
        if not find_eyes(self._data):
            make_demo_eye(self._data, "demo_autofluorescence")
        self._worker, self.tuner, self.placer = Worker(self._tell), None, None
        self._method = RECOMMENDED
        eyes = [(f"{patient}, {side}", (patient, side)) for patient, side in find_eyes(self._data)]
        self.eye = ipywidgets.Dropdown(
            options=eyes, description="patient, eye", style=STYLE, layout={"width": "330px"}
        )
        self._place = ipywidgets.VBox()
        self.widget = ipywidgets.VBox([self.eye, self._place])
        self.eye.observe(lambda _: self._ask(), "value")
        self._ask()
        # Voila connects the page after this cell. It loses widgets that are made at that moment.
        self._worker.wait()

    def _ipython_display_(self) -> None:
        display(self.widget)

    def finish(self) -> None:
        """Wait until all work is done, and raise the last error that occurred."""
        self._worker.finish()
        if self.tuner is not None:
            self.tuner.finish()
            self.placer.finish()

    def _ask(self) -> None:
        patient, laterality = self.eye.value
        self._say("loading the photographs ...")
        self._worker.ask(lambda: self._open(patient, laterality))

    def _open(self, patient: str, laterality: str) -> None:
        try:
            eye = load_eye(self._data, patient, laterality, shown=False)
        except EyeError as error:  # for example, an eye with one photograph only
            self._say(str(error))
            return
        last = len(eye.names) - 1
        self.tuner = Tuner(eye, 0, METHODS, self._results, moving=last, method=self._method)
        self.tuner.panel.method.observe(self._keep_method, "value")
        self.placer = Placer(eye, 0, last)
        tabs = ipywidgets.Tab([self.tuner.panel.widget, self.placer.widget])
        tabs.add_class("fundus-tabs")
        for place, title in enumerate(TABS):
            tabs.set_title(place, title)
        self._place.children = [tabs]

    def _keep_method(self, change: Mapping[str, object]) -> None:
        """Remember the method, so that the next eye opens with it."""
        self._method = str(change["new"])

    def _tell(self, error: Exception) -> None:
        self._say(f"{type(error).__name__}: {error}")

    def _say(self, words: str) -> None:
        self._place.children = [ipywidgets.Label(words)]
