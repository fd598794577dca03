"""Widgets that turn the knobs of a method, made from its signature and docstring."""

import html
from collections.abc import Callable, Mapping

import ipywidgets

from fundus_helpers.knobs import Knob, Value, read_knobs
from fundus_helpers.methods import Method

STYLE = {"description_width": "105px"}
LAYOUT = {"width": "auto"}


def box(place: str, *widgets: ipywidgets.Widget) -> ipywidgets.VBox:
    """Put widgets into a box that ``comparison.css`` arranges as its place in the panel."""
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
