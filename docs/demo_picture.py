"""Make docs/demo.png, the picture in the README, from the demo eyes. `make picture` runs it."""

import tempfile
from pathlib import Path

import numpy as np

from fundus_helpers import loading, plotting, transforms
from fundus_helpers.loading.demo_eye import make_demo_eye
from fundus_helpers.loading.eye import load_eye
from fundus_helpers.methods import METHODS


def main() -> None:
    """Draw first and last visit of both demo eyes, and overlays before and after registration."""
    panels, titles = [], []
    with tempfile.TemporaryDirectory() as data:
        for patient in ("demo_autofluorescence", "demo_colour"):
            make_demo_eye(data, patient)
            eye = load_eye(data, patient, "L")
            fixed, moving = eye.images[0], eye.images[-1]
            masks = {"fixed_mask": eye.masks[0], "moving_mask": eye.masks[-1]}
            warped = transforms.warp(moving, METHODS["affine"](fixed, moving, **masks))
            photographs = [
                loading.to_unit_range(eye.photograph(i)) for i in (0, -1 % len(eye.names))
            ]
            panels += [_colour(photograph) for photograph in photographs]
            panels += [plotting.overlay(fixed, moving), plotting.overlay(fixed, warped)]
            dates = [str(date) for date in eye.used["date"].iloc[[0, -1]]]
            titles += [*dates, "as photographed", "registered"]
    figure = plotting.gallery(panels, titles, caption=plotting.OVERLAY_CAPTION)
    figure.savefig(Path(__file__).with_name("demo.png"), dpi=65, bbox_inches="tight")


def _colour(photograph: np.ndarray) -> np.ndarray:
    return photograph if photograph.ndim == 3 else np.dstack([photograph] * 3)


if __name__ == "__main__":
    main()
