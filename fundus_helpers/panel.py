"""What a panel of sliders looks like: lists, buttons, pictures, numbers, and what it says."""

import html
from collections.abc import Mapping, Sequence

import ipywidgets
import numpy as np
import pandas as pd

from fundus_helpers.comparison import VIEWS, Comparison
from fundus_helpers.sliders import LAYOUT, STYLE, Sliders, box

COLOURS = {"busy": "#8a5a00", "done": "inherit", "refused": "#a04000", "error": "#b00020"}
SIGNS = {"busy": '<span class="fundus-spinner"></span> ', "refused": "refused: "}
RUN, STOP = "Run all visits at full size", "Stop"


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
        """Knobs beside the pictures; in a narrow window below them (``comparison.css``)."""
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
            table = table.astype({"predicted error, px": float})
            text = table.to_html(border=0, classes="fundus-numbers fundus-verdicts", na_rep="-")
        self.verdicts.value = text


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
