"""The widgets of a panel of sliders: lists, buttons, pictures, numbers and messages."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import ipywidgets
import pandas as pd
from jinja2 import Template

from fundus_helpers.methods import Method
from fundus_helpers.methods.knobs import Knob, Value, read_knobs
from fundus_helpers.metrics.measures import MEASURES
from fundus_helpers.panels.swipe import VIEWS, Comparison

STYLE = {"description_width": "105px"}
LAYOUT = {"width": "auto"}
RUN, STOP = "Run all visits at full size", "Stop"

# The macros of this template make the HTML of the panel.
TEMPLATE = Template(
    Path(__file__).with_name("panel.html.j2").read_text(encoding="utf-8"),
    autoescape=True,
    trim_blocks=True,
).module


def box(place: str, *widgets: ipywidgets.Widget) -> ipywidgets.VBox:
    """Put widgets into a box that ``swipe.css`` arranges by the name of its place in the panel."""
    made = ipywidgets.VBox(widgets)
    made.add_class(f"fundus-{place}")
    return made


class Sliders:
    """One widget per knob: a slider for a number, a list for a choice, a check box for a switch.

    Parameters
    ----------
    method : callable
        One of `fundus_helpers.METHODS`, or another function that `read_knobs` can read.
    values : mapping of str to value
        First values of the knobs; the other knobs start at their defaults.
    changed : callable
        Called without arguments after the value of a knob has changed.
    """

    def __init__(self, method: Method, values: Mapping[str, Value], changed: Callable[[], None]):
        self._knobs, self._changed, self._silent = read_knobs(method), changed, False
        start = {name: values.get(name, knob.default) for name, knob in self._knobs.items()}
        self.widgets = {name: make_widget(self._knobs[name], start[name]) for name in start}
        for widget in self.widgets.values():
            widget.observe(self._on_change, "value")
        help_text = ipywidgets.HTML(TEMPLATE.help(self._knobs.values()))
        help_box = ipywidgets.Accordion([help_text], titles=["What the knobs do"])
        self.box = ipywidgets.VBox([box("columns", *self.widgets.values()), help_box])
        self._show_what_acts()

    @property
    def values(self) -> dict[str, Value]:
        """The current value of every knob."""
        return {name: widget.value for name, widget in self.widgets.items()}

    def words(self, values: Mapping[str, Value] | None) -> str:
        """Describe values by those that differ from their defaults; None: no registration."""
        if values is None:
            return "nothing done"
        turned = {n: value for n, value in values.items() if value != self._knobs[n].default}
        said = ", ".join(f"{name} {value}" for name, value in turned.items())
        return said or "all knobs at their defaults"

    def turn(self, values: Mapping[str, Value]) -> None:
        """Set some knobs, and all others to their defaults. `changed` is called once."""
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
        """Disable all knobs, or enable them again."""
        for widget in self.widgets.values():
            widget.disabled = locked

    def _on_change(self, _: object = None) -> None:
        if not self._silent:
            self._show_what_acts()
            self._changed()

    def _show_what_acts(self) -> None:
        given = {}
        for name, widget in self.widgets.items():  # a knob comes after the one it depends on
            acts = self._knobs[name].acts(given)
            given[name] = acts and widget.value
            widget.layout.display = None if acts else "none"


def make_widget(knob: Knob, value: Value) -> ipywidgets.ValueWidget:
    """Make the widget of one knob.

    Parameters
    ----------
    knob : Knob
    value : bool, int, float or str
        First value.

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
    """All widgets of one eye and their arrangement. `tuning.Tuner` connects them to functions.

    Parameters
    ----------
    visits : sequence of (name, position)
        Visits that can be selected.
    moving : int
        Position of the visit that is selected at first.
    methods : sequence of str
        Methods that can be selected. The first one is selected at first.
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
                (RUN, "register every visit with these knobs, and judge it; nothing is saved"),
            )
        )
        self.bar = ipywidgets.IntProgress(
            max=len(visits), layout={"visibility": "hidden", "min_width": "0"}
        )
        self._knobs = ipywidgets.VBox()
        self.sliders: Sliders | None = None
        self.widget = self._arranged()

    def _arranged(self) -> ipywidgets.Widget:
        """Arrange the knobs beside the pictures, or below them in a narrow window."""
        buttons = ipywidgets.HBox([self.defaults, self.best, self.save])
        series = ipywidgets.HBox([self.run_all, self.bar])
        chosen, pressed = box("columns", self.visit, self.method), box("columns", buttons, series)
        parts = (
            box("told", self.status, self.numbers, self.verdicts),
            box("seen", self.view, self.picture),
            box("knobs", chosen, self._knobs, pressed),
        )
        return box("panel", box("arranged", *parts))

    def put_sliders(self, sliders: Sliders) -> None:
        """Show the sliders of another method."""
        self.sliders = sliders
        self._knobs.children = [sliders.box]

    def lock(self, locked: bool) -> None:
        """Disable everything except the button *Stop*, or enable everything again."""
        self.bar.value, self.bar.layout.visibility = 0, "visible" if locked else "hidden"
        self.run_all.description = STOP if locked else RUN
        self.sliders.lock(locked)
        for widget in (self.visit, self.method, self.view, self.defaults, self.best, self.save):
            widget.disabled = locked

    def tell(self, kind: str, words: str) -> None:
        """Show a message above the numbers.

        Parameters
        ----------
        kind : {"busy", "done", "refused", "error"}
            Determines the colour of the message and the sign before it.
        words : str
        """
        self.status.value = TEMPLATE.status(kind, words)

    def tabulate(self, rows: Mapping[str, pd.Series], note: str = "") -> None:
        """Show a table of numbers.

        Parameters
        ----------
        rows : mapping of str to Series
            Rows of the table. Every row has the same index, keys of `metrics.MEASURES`. Measures
            that are unknown in all rows are left out.
        note : str
            Text below the table.
        """
        columns = pd.DataFrame(rows).dropna(how="all").T.items()
        table = pd.DataFrame({MEASURES[k].title: row.map(MEASURES[k].write) for k, row in columns})
        text = table.to_html(border=0, classes="fundus-numbers", justify="right")
        self.numbers.value = TEMPLATE.numbers(text, note)

    def judge(self, verdicts: Sequence[Mapping[str, object]]) -> None:
        """Show a table of verdicts with their reasons.

        Parameters
        ----------
        verdicts : sequence of mapping
            One per visit: the name of the visit, and `metrics.Verdict.summary`.
        """
        text = ""
        if verdicts:
            table = pd.DataFrame(verdicts).set_index("visit").rename_axis(None)
            table["reasons"] = table.pop("reasons").map("; ".join)
            measure = MEASURES["predicted_error_px"]
            table = table.astype({measure.key: float}).rename(columns={measure.key: measure.title})
            text = table.to_html(border=0, classes="fundus-numbers fundus-verdicts", na_rep="-")
        self.verdicts.value = text
