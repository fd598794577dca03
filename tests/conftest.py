"""What several tests need: a demo eye, real photographs if there are any, and one retina."""

import os
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from known_transforms import about_the_middle, bumps
from small_project import VISITS, clean_environment

from fundus_helpers import transforms
from fundus_helpers.loading.demo_eye import make_demo_eye
from fundus_helpers.loading.eye import load_eye
from fundus_helpers.loading.fire import lay_out_eye, read_pairs
from fundus_helpers.loading.visits import DEMO_PATIENTS

SIDE = 256
ZOOM, CORNER = SIDE / 1000, 205  # of the 1411 pixels, the middle 1000 lie in the frame


# Files that run for minutes, and partly wait: begun first, the others fill the gaps.
LONG = (
    *(
        "test_notebooks",
        "test_browser",
        "test_pages_in_browser",
        "test_slurm",
        "test_faults",
        "test_run",
        "test_privacy",
    ),
    *("test_tuning", "test_methods", "test_knobs", "test_networks", "test_warm_start"),
    *("test_outlining_browser", "test_odd_cohort", "test_outlining", "test_finding", "test_book"),
)


def pytest_collection_modifyitems(items):
    """Begin with the longest files."""
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """Return a data folder with both demo patients, 192 pixels wide."""
    data = tmp_path_factory.mktemp("data")
    for patient in DEMO_PATIENTS:
        make_demo_eye(data, patient, size=192)
    return data


@pytest.fixture(scope="session")
def eye(demo):
    """Return the demo eye in colour, loaded at full size."""
    return load_eye(demo, "demo_colour", "L", size=None)


@pytest.fixture(scope="session")
def fire_folder():
    """Return the folder of the FIRE dataset that the environment variable FIRE_DIR names."""
    if not os.environ.get("FIRE_DIR"):
        pytest.skip("FIRE_DIR names no folder of the FIRE dataset")
    return Path(os.environ["FIRE_DIR"])


@pytest.fixture(scope="session")
def fire_data(fire_folder, tmp_path_factory):
    """Return a data folder with the patient ``fire``: the eye of the pairs S07 to S42."""
    data = tmp_path_factory.mktemp("fire")
    names = [f"S{number:02}" for number in range(7, 43)]
    pairs = [pair for pair in read_pairs(fire_folder) if pair.name in names]
    return lay_out_eye(pairs, data, "fire").parent


@pytest.fixture(scope="session")
def fire_eye(fire_data):
    """Return the eye of `fire_data`, 768 pixels wide."""
    return load_eye(fire_data, "fire", "L", size=768)


@pytest.fixture(scope="session")
def aperture():
    """Return what a camera sees of a frame: a disc."""
    rows, columns = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    return np.hypot(rows, columns) < 0.47 * SIDE


@pytest.fixture(scope="session")
def retina(aperture):
    """Return the green channel of a real retina, float32 in [0, 1], behind the aperture."""
    return seen(np.eye(2, 3), aperture)


@pytest.fixture(scope="session")
def retina_again(aperture):
    """Return a function: the retina seen so that point p of `retina` appears at ``matrix @ p``.

    The aperture stays where it is, and the light comes from elsewhere.
    """

    def photograph(matrix):
        x = np.linspace(0.5, 1.0, SIDE, dtype=np.float32)
        return seen(np.asarray(matrix, float), aperture) * x

    return photograph


@pytest.fixture(scope="session")
def bend(aperture):
    """Return a function: the retina seen through a matrix and bumps, and the true transform to it.

    A point of `retina` moves by the bumps, then by the matrix. They are twice as high, for the
    width of the image, as the demo eye has them. The light comes from elsewhere, and
    the camera adds grain.
    """

    def photograph(matrix, seed, height=2.0):
        true = transforms.compose(
            transforms.from_displacement(bumps(seed, height)), transforms.from_matrix(matrix)
        )
        grid = np.dstack(np.indices((SIDE, SIDE))[::-1])
        points = grid + transforms.displacement(transforms.invert(true, (SIDE, SIDE)), (SIDE, SIDE))
        where = (points / ZOOM + CORNER).astype(np.float32)
        image = cv2.remap(_original(), where[..., 0], where[..., 1], cv2.INTER_CUBIC)
        grain = 0.01 * np.random.default_rng(seed).standard_normal((SIDE, SIDE))
        light = np.linspace(0.5, 1.0, SIDE)
        return true, np.clip(image * light + grain, 0, 1).astype(np.float32) * aperture

    return photograph


@pytest.fixture(scope="session")
def bent(bend):
    """Return (true transform, moving image) of one photograph that is turned, shifted and bent."""
    return bend(about_the_middle(5, shift=(9, -6)), seed=3)


@cache
def _original():
    original = skimage.data.retina()[..., 1].astype(np.float32) / 255
    return cv2.GaussianBlur(original, (0, 0), 1.2)


def seen(matrix, aperture):
    """Look at the middle of the retina through a matrix that maps `retina` to what is seen."""
    to_frame = np.array([[ZOOM, 0, -CORNER * ZOOM], [0, ZOOM, -CORNER * ZOOM], [0, 0, 1]])
    whole = np.vstack([matrix, [0, 0, 1]]) @ to_frame
    image = cv2.warpAffine(_original(), whole[:2], (SIDE, SIDE), flags=cv2.INTER_CUBIC)
    return np.clip(image, 0, 1) * aperture


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Return the variables of a run that writes nothing outside pytest's folder."""
    return clean_environment(tmp_path_factory.mktemp("e"))  # short: names of sockets must be


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Return the first photographs of a small demo eye, and its landmarks."""
    folder = make_demo_eye(tmp_path_factory.mktemp("demo"), size=96)
    return [*sorted(folder.glob("*.png"))[:VISITS], folder / "landmarks.csv"]
