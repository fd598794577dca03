"""Measure time and peak memory of groupwise registration for ten and for a hundred visits."""

import sys
import tempfile
import threading
import time

import numpy as np
import psutil

from fundus_helpers import transforms
from fundus_helpers.loading.demo_eye import make_demo_eye
from fundus_helpers.loading.eye import load_eye
from fundus_helpers.series.groupwise import elastix_stack, iterated_mean


def visits(count: int) -> tuple[list[np.ndarray], list[np.ndarray], list[str]]:
    """Make visits of 768 x 768 px from the demo eye, each a little rotated and shifted."""
    with tempfile.TemporaryDirectory() as data:
        make_demo_eye(data, "demo_colour")
        eye = load_eye(data, "demo_colour", "L")
    rng = np.random.default_rng(0)
    usable = [i for i, name in enumerate(eye.names) if "2018-07" not in name]
    images, masks = [], []
    for k in range(count):
        i, angle, shift = usable[k % len(usable)], rng.normal(0, 0.02), rng.normal(0, 5, 2)
        cosine, sine = np.cos(angle), np.sin(angle)
        move = transforms.from_matrix([[cosine, -sine, shift[0]], [sine, cosine, shift[1]]])
        images.append(transforms.warp(eye.images[i], move))
        masks.append(transforms.warp_mask(eye.masks[i], move))
    return images, masks, [f"visit {k}" for k in range(count)]


class Peak(threading.Thread):
    """Measure the peak memory of this process and its children, in GiB, with shared memory once."""

    def __init__(self):
        super().__init__(daemon=True)
        self.gib, self.stop = 0.0, False

    def run(self):
        """Measure ten times per second."""
        while not self.stop:
            self.gib = max(self.gib, sum(map(self._memory, self._processes())) / 2**30)
            time.sleep(0.1)

    @staticmethod
    def _processes() -> list[psutil.Process]:
        this = psutil.Process()
        return [this, *this.children(recursive=True)]

    @staticmethod
    def _memory(process: psutil.Process) -> int:
        try:
            return process.memory_full_info().pss
        except psutil.NoSuchProcess:
            return 0


def main() -> None:
    """Print one line for each number of visits and each groupwise method."""
    for count in map(int, sys.argv[1:] or ("10", "100")):
        stack = visits(count)
        for group in (iterated_mean, elastix_stack):
            peak, start = Peak(), time.perf_counter()
            peak.start()
            found = group(*stack).registrations
            peak.stop = True
            done = sum(r.transform is not None for r in found)
            found = None  # frees its memory before the next measurement
            seconds = time.perf_counter() - start
            line = f"{count} visits, {group.__name__}: {done} registered, {seconds:.0f} s"
            sys.stdout.write(f"{line}, peak {peak.gib:.2f} GiB\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
