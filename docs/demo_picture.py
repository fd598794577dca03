"""Make docs/demo.png, the picture of the README, from the demo eye: `make picture`."""

import tempfile
from pathlib import Path

import numpy as np

from fundus_helpers import METHODS, figures, images, warping
from fundus_helpers.demo_eye import PATIENTS, make_demo_eye
from fundus_helpers.eye import load_eye


def main() -> None:
    """Draw first and last visit of both looks, and their overlay before and after."""
    panels, titles = [], []
    with tempfile.TemporaryDirectory() as data:
        for patient in sorted(PATIENTS):
            make_demo_eye(data, patient)
            eye = load_eye(data, patient, "L")
            fixed, moving = eye.images[0], eye.images[-1]
            masks = {"fixed_mask": eye.masks[0], "moving_mask": eye.masks[-1]}
            warped = warping.warp(moving, METHODS["affine"](fixed, moving, **masks))
            photographs = [
                images.to_unit_range(eye.photograph(i)) for i in (0, -1 % len(eye.names))
            ]
            panels += [_colour(photograph) for photograph in photographs]
            panels += [figures.overlay(fixed, moving), figures.overlay(fixed, warped)]
            dates = [str(date) for date in eye.used["date"].iloc[[0, -1]]]
            titles += [*dates, "as photographed", "registered"]
    figure = figures.gallery(panels, titles, caption=figures.OVERLAY_CAPTION)
    figure.savefig(Path(__file__).with_name("demo.png"), dpi=65, bbox_inches="tight")


def _colour(photograph: np.ndarray) -> np.ndarray:
    return photograph if photograph.ndim == 3 else np.dstack([photograph] * 3)


if __name__ == "__main__":
    main()
