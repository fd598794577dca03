"""How long the panel of sliders takes to show a move: every method, on the demo eye."""

import statistics
import sys
import tempfile
import time

from fundus_helpers import METHODS
from fundus_helpers.demo_eye import make_demo_eye
from fundus_helpers.eye import load_eye
from fundus_helpers.tuning import Tuner

MOVES = 15
# Bars in seconds; see issue 6.
LIMITS = {"elastix": 2.0}
LIMIT = 0.3


def moves(tuner: Tuner) -> tuple[list[float], float]:
    """Move a slider to and fro; seconds until the panel was drawn, and the processor's own mean."""
    widget = next(
        w for w in tuner.panel.sliders.widgets.values() if hasattr(w, "continuous_update")
    )
    values, seconds = [value for _, value in widget.options], []
    start, processor = values.index(widget.value), time.process_time()
    for move in range(MOVES):
        begin = time.perf_counter()
        widget.value = values[start + 1 - move % 2]
        tuner.finish()
        seconds.append(time.perf_counter() - begin)
    return seconds, (time.process_time() - processor) / MOVES


def main() -> None:
    """Print a line a method."""
    with tempfile.TemporaryDirectory() as folder:
        make_demo_eye(folder, "demo_colour")
        eye = load_eye(folder, "demo_colour", "L")
        heads = ("method", "preview px", "to open", "median", "slowest", "processor", "bar")
        sys.stdout.write("{:18} {:>10} {:>8} {:>8} {:>8} {:>10} {:>6}\n".format(*heads))
        for name in METHODS:
            begin = time.perf_counter()
            tuner = Tuner(eye, 0, [name], folder, moving=len(eye.names) - 1)
            tuner.finish()
            opened = time.perf_counter() - begin
            seconds, processor = moves(tuner)
            limit = LIMITS.get(name.partition("_")[0], LIMIT)
            times = opened, statistics.median(seconds), max(seconds), processor, limit
            row = "{:18} {:10} {:8.2f} {:8.3f} {:8.3f} {:10.3f} {:6.1f}\n"
            sys.stdout.write(row.format(name, tuner.preview_size, *times))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
