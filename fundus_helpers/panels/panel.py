"""What a panel of sliders looks like: lists, buttons, pictures, numbers, and what it says."""

import html
from collections.abc import Callable, Mapping, Sequence

import ipywidgets
import numpy as np
import pandas as pd

from fundus_helpers.methods import Method
from fundus_helpers.methods.knobs import Knob, Value, read_knobs
from fundus_helpers.panels.swipe import VIEWS, Comparison

STYLE = {"description_width": "105px"}


LAYOUT = {"width": "auto"}


COLOURS = {"busy": "#8a5a00", "done": "inherit", "refused": "#a04000", "error": "#b00020"}


SIGNS = {"busy": '<span class="fundus-spinner"></span> ', "refused": "refused: "}


RUN, STOP = "Run all visits at full size", "Stop"


def box(place: str, *widgets: ipywidgets.Widget) -> ipywidgets.VBox:
    """Put widgets into a box that ``swipe.css`` arranges as its place in the panel."""
    made = ipywidgets.VBox(widgets)
    made.add_class(f"fundus-{place}")
    return made


class Sliders:
    """One widget a knob: a slider for a number, a list for a word, a box to tick for a bool.

    Parameters
    ----------
    method : callable
        One of `fundus_helpers.METHODS`.
    values : mapping of str to value
        Where they stand at first; knobs left out stand at their defaults.
    changed : callable
        Called, without arguments, after a knob has been turned.
    """

    def __init__(self, method: Method, values: Mapping[str, Value], changed: Callable[[], None]):
        self._knobs, self._changed, self._silent = read_knobs(method), changed, False
        start = {name: values.get(name, knob.default) for name, knob in self._knobs.items()}
        self.widgets = {name: make_widget(self._knobs[name], start[name]) for name in start}
        for widget in self.widgets.values():
            widget.observe(self._on_change, "value")
        lines = [
            f"<p><b>{name}</b> {html.escape(knob.explanation.replace('`', ''))}</p>"
            for name, knob in self._knobs.items()
        ]
        help_text = ipywidgets.HTML(f"<div style='line-height: 1.4'>{''.join(lines)}</div>")
        help_box = ipywidgets.Accordion([help_text], titles=["What the knobs do"])
        self.box = ipywidgets.VBox([box("columns", *self.widgets.values()), help_box])
        self._show_what_acts()

    @property
    def values(self) -> dict[str, Value]:
        """What every knob is set to."""
        return {name: widget.value for name, widget in self.widgets.items()}

    def words(self, values: Mapping[str, Value] | None) -> str:
        """Name the values that are not their knobs' defaults; None is nothing done."""
        if values is None:
            return "nothing done"
        turned = {n: value for n, value in values.items() if value != self._knobs[n].default}
        said = ", ".join(f"{name} {value}" for name, value in turned.items())
        return said or "all knobs at their defaults"

    def turn(self, values: Mapping[str, Value]) -> None:
        """Set knobs, those left out to their defaults; tells of it once."""
        self._silent = True
        try:
            for name, knob in self._knobs.items():
                value, widget = values.get(name, knob.default), self.widgets[name]
                if isinstance(widget, ipywidgets.SelectionSlider):
                    widget.options = _options(knob, value)
                widget.value = value
        finally:
            self._silent = False
        self._on_change()

    def lock(self, locked: bool) -> None:
        """Keep all knobs from being turned, or let them go."""
        for widget in self.widgets.values():
            widget.disabled = locked

    def _on_change(self, _: object = None) -> None:
        if not self._silent:
            self._show_what_acts()
            self._changed()

    def _show_what_acts(self) -> None:
        given = {}
        for name, widget in self.widgets.items():  # one that depends on another comes after it
            acts = self._knobs[name].acts(given)
            given[name] = acts and widget.value
            widget.layout.display = None if acts else "none"


def make_widget(knob: Knob, value: Value) -> ipywidgets.ValueWidget:
    """Make the widget of one knob.

    Parameters
    ----------
    knob : Knob
    value : bool, int, float or str
        What it is set to.

    Raises
    ------
    ValueError
        If the knob does not accept the value.
    """
    knob.check(value)
    said = {"tooltip": knob.explanation.replace("`", ""), "style": STYLE, "layout": LAYOUT}
    label = knob.name.replace("_", " ")
    if knob.choices:
        return ipywidgets.Dropdown(options=knob.choices, value=value, description=label, **said)
    if knob.least is None:
        return ipywidgets.Checkbox(value, description=label, **said)
    return ipywidgets.SelectionSlider(
        options=_options(knob, value), value=value, description=label, **said
    )


def _options(knob: Knob, value: float) -> list[tuple[str, float]]:
    return [(f"{stop:,g}" if stop < 1e6 else str(stop), stop) for stop in knob.stops(value)]


class Panel:
    """The widgets of one eye, arranged; `tuning.Tuner` brings them to life.

    Parameters
    ----------
    visits : sequence of (name, position)
        To choose from.
    moving : int
        Position of the visit chosen at first.
    methods : sequence of str
        To choose from; the first is chosen at first.
    """

    def __init__(self, visits: Sequence[tuple[str, int]], moving: int, methods: Sequence[str]):
        wide = {"style": STYLE, "layout": LAYOUT}
        self.visit = ipywidgets.Dropdown(options=visits, value=moving, description="visit", **wide)
        self.method = ipywidgets.Dropdown(options=methods, description="method", **wide)
        self.view = ipywidgets.ToggleButtons(options=[*VIEWS], style={"button_width": "auto"})
        self.picture = Comparison()
        self.status, self.numbers, self.verdicts = (ipywidgets.HTML() for _ in range(3))
        self.defaults, self.best, self.save, self.run_all = (
            ipywidgets.Button(
                description=words, tooltip=tip, layout={"width": "auto", "flex": "0 0 auto"}
            )
            for words, tip in (
                ("Defaults", "all knobs back to their defaults"),
                ("Best so far", "all knobs back to where the numbers were best"),
                ("Save", "keep these knobs for headless runs"),
                (RUN, "register every visit as the notebook does, with these knobs"),
            )
        )
        self.bar = ipywidgets.IntProgress(
            max=len(visits), layout={"visibility": "hidden", "min_width": "0"}
        )
        self._knobs = ipywidgets.VBox()
        self.sliders: Sliders | None = None
        self.widget = self._arranged()

    def _arranged(self) -> ipywidgets.Widget:
        """Knobs beside the pictures; in a narrow window below them (``swipe.css``)."""
        buttons = ipywidgets.HBox([self.defaults, self.best, self.save])
        series = ipywidgets.HBox([self.run_all, self.bar])
        chosen, pressed = box("columns", self.visit, self.method), box("columns", buttons, series)
        parts = (
            box("seen", self.view, self.picture, self.status),
            box("knobs", chosen, self._knobs, pressed),
            box("told", self.numbers, self.verdicts),
        )
        return box("panel", box("arranged", *parts))

    def put_sliders(self, sliders: Sliders) -> None:
        """Show the sliders of another method."""
        self.sliders = sliders
        self._knobs.children = [sliders.box]

    def lock(self, locked: bool) -> None:
        """Leave nothing to press but *Stop*, or let everything go."""
        self.bar.value, self.bar.layout.visibility = 0, "visible" if locked else "hidden"
        self.run_all.description = STOP if locked else RUN
        self.sliders.lock(locked)
        for widget in (self.visit, self.method, self.view, self.defaults, self.best, self.save):
            widget.disabled = locked

    def tell(self, kind: str, words: str) -> None:
        """Say something below the pictures.

        Parameters
        ----------
        kind : {"busy", "done", "refused", "error"}
            Decides colour and sign.
        words : str
        """
        style = f"color: {COLOURS[kind]}; font-size: 14px; line-height: 1.4; margin: 4px 0"
        text = SIGNS.get(kind, "") + html.escape(words)
        self.status.value = f'<p role="status" class="fundus-{kind}" style="{style}">{text}</p>'

    def tabulate(self, rows: Mapping[str, pd.Series], note: str = "") -> None:
        """Show numbers.

        Parameters
        ----------
        rows : mapping of str to Series
            Measures, all with one index; what is known of none is left out.
        note : str
            Below the table.
        """
        table = pd.DataFrame(rows).dropna(how="all").T.map(_number)
        text = table.to_html(border=0, classes="fundus-numbers", justify="right")
        self.numbers.value = f'{text}<p class="fundus-note">{html.escape(note)}</p>'

    def judge(self, verdicts: Sequence[Mapping[str, object]]) -> None:
        """Show what to think of registrations, in words.

        Parameters
        ----------
        verdicts : sequence of mapping
            A visit's name and `verdict.Verdict.summary`, each.
        """
        text = ""
        if verdicts:
            table = pd.DataFrame(verdicts).set_index("visit").rename_axis(None)
            table["reasons"] = table.pop("reasons").map("; ".join)
            table = table.astype({"predicted_error_px": float})
            text = table.to_html(border=0, classes="fundus-numbers fundus-verdicts", na_rep="-")
        self.verdicts.value = text


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
