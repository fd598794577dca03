"""Measure how quickly the panel follows its sliders, for every method on the demo eye.

The time is measured from the move of a slider to the new picture and numbers. The verdict follows
later and is not included. The slowest move is compared with the limit, not only the median.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator

import ipywidgets

from fundus_helpers.loading.demo_eye import make_demo_eye
from fundus_helpers.loading.eye import load_eye
from fundus_helpers.methods import METHODS
from fundus_helpers.panels.tuning import Tuner

# Limits in seconds.
LIMITS = {"elastix": 2.0}
LIMIT = 0.3
ROUNDS = 2


def moves(tuner: Tuner) -> Iterator[tuple[str, float, float]]:
    """Move every slider to new values, one by one; yield name, seconds and processor time."""
    for step in range(1, ROUNDS + 1):
        for name, widget in tuner.panel.sliders.widgets.items():
            if not isinstance(widget, ipywidgets.SelectionSlider):
                continue
            values, start = [value for _, value in widget.options], widget.value
            at = values.index(start)
            to = values[at + step] if at + step < len(values) else values[at - step]
            begin, processor = time.perf_counter(), time.process_time()
            widget.value = to
            tuner.previews.finish()
            yield name, time.perf_counter() - begin, time.process_time() - processor
            widget.value = start
            tuner.previews.finish()


def main() -> None:
    """Print one line per method. Methods may be named on the command line."""
    with tempfile.TemporaryDirectory() as folder:
        make_demo_eye(folder, "demo_colour")
        eye = load_eye(folder, "demo_colour", "L")
        heads = (
            "method",
            "preview",
            "to open",
            "median",
            "slowest",
            "limit",
            "processor",
            "slowest is",
        )
        sys.stdout.write("{:18} {:>7} {:>8} {:>8} {:>8} {:>6} {:>10}  {}\n".format(*heads))
        for name in sys.argv[1:] or METHODS:
            begin = time.perf_counter()
            tuner = Tuner(eye, 0, [name], folder, moving=len(eye.names) - 1)
            tuner.previews.finish()
            opened = time.perf_counter() - begin
            tuner.finish()
            names, seconds, processor = zip(*moves(tuner), strict=True)
            slowest = max(seconds)
            limit = LIMITS.get(name.partition("_")[0], LIMIT)
            times = opened, statistics.median(seconds), slowest, limit, max(processor)
            row = "{:18} {:4} px {:8.2f} {:8.3f} {:8.3f} {:6.1f} {:10.3f}  {}\n"
            knob = names[seconds.index(slowest)] + (", OVER THE LIMIT" if slowest > limit else "")
            sys.stdout.write(row.format(name, tuner.preview_size, *times, knob))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
