"""A peer runs in its own process, maps landmarks, and fails by name."""

import importlib.util

import cv2
import numpy as np
import pytest
import skimage.data

from fundus_helpers.runs import peers
from fundus_helpers.transforms.transform import RegistrationError

POINTS = np.array([[80.0, 90], [130, 100], [120, 150], [100, 130], [150, 120]])
SHIFT = np.array([5, -4])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return the files of two cuts from one photograph, without a rim, shifted against each other.

    With a rim that stays where it is, peers that compare pixels stay there too.
    """
    folder = tmp_path_factory.mktemp("peers")
    whole = cv2.resize(skimage.data.retina(), (450, 450), interpolation=cv2.INTER_AREA)
    for name, (x, y) in (("fixed", (90, 90)), ("moving", (90, 90) - SHIFT)):
        cut = whole[y : y + 256, x : x + 256, ::-1]
        cv2.imwrite(str(folder / f"{name}.png"), cut)
    return folder / "fixed.png", folder / "moving.png"


@pytest.mark.parametrize("name", peers.installed())
def test_a_peer_maps_fixed_points_to_moving_points(files, name):
    mapped, seconds = peers.map_landmarks(name, *files, POINTS, size=256)
    assert np.abs(mapped - (POINTS + SHIFT)).max() < 2 and seconds > 0


def test_elastix_comes_with_the_project_and_what_is_not_installed_is_not_offered():
    assert "elastix_defaults" in peers.installed()
    for name in set(peers.PEERS) - set(peers.installed()):
        assert importlib.util.find_spec(peers.PEERS[name][0]) is None


def test_a_peer_that_fails_is_named_with_its_last_words(files, tmp_path):
    with pytest.raises(RegistrationError, match="elastix_defaults failed: .*missing.png"):
        peers.map_landmarks("elastix_defaults", files[0], tmp_path / "missing.png", POINTS)
