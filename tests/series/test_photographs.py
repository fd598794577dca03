"""Two files in, one call: a transform for the files as they are, a verdict, a registered file."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
import SimpleITK as sitk
from known_transforms import about_the_middle
from skimage import io

from fundus_helpers import transforms
from fundus_helpers.__main__ import main
from fundus_helpers.loading.light import normalise_illumination
from fundus_helpers.loading.photographs import UnusableImageError, read_photograph
from fundus_helpers.loading.values import single_channel
from fundus_helpers.results.pair import PICTURES
from fundus_helpers.series.photographs import register_pairs, register_photographs

MATRIX = about_the_middle(4, shift=(6, -3))


@pytest.fixture(scope="module")
def files(tmp_path_factory, retina, retina_again):
    """Return two photographs of one retina, the moving one of 16 bit and twice the size."""
    folder = tmp_path_factory.mktemp("photographs")
    colour = np.dstack([np.uint8(np.round(retina * 255))] * 3)
    cv2.imwrite(str(folder / "fixed.png"), colour)
    large = cv2.resize(retina_again(MATRIX), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    large = np.uint16(np.round(np.clip(large, 0, 1) * 60000))
    cv2.imwrite(str(folder / "moving.png"), large)
    cv2.imwrite(str(folder / "mirror.png"), large[:, ::-1])
    return folder


def test_points_map_between_the_files_as_they_are(files):
    done = register_photographs(files / "fixed.png", files / "moving.png")
    points = np.array([[80.0, 90], [170, 100], [120, 180]])
    expected = transforms.rescale_points(
        transforms.map_points(transforms.from_matrix(MATRIX), points), 2
    )
    assert np.abs(transforms.map_points(done.transform, points) - expected).max() < 1
    assert done.verdict.status == "accepted"


@pytest.mark.parametrize("jobs", [1, 2])
def test_many_pairs_are_registered_as_each_alone_and_a_bad_file_stops_none(files, tmp_path, jobs):
    (broken := tmp_path / "broken.png").write_bytes(b"no photograph")
    pairs = [(files / "fixed.png", each) for each in (broken, files / "moving.png")]
    pairs += [(tmp_path / "missing.png", files / "moving.png"), pairs[1]]
    done = list(register_pairs(pairs, "voxelmorph", jobs=jobs, shown=False, both_ways=False))
    assert [each.verdict.status for each in done] == ["failed", "accepted", "failed", "accepted"]
    assert "broken.png" in done[0].verdict.reasons[0]
    assert "missing.png" in done[2].verdict.reasons[0]
    alone = register_photographs(*pairs[1], "voxelmorph", both_ways=False)
    points = np.array([[80.0, 90], [170, 100]])
    for each in (done[1], done[3]):
        found, expected = (
            transforms.map_points(t, points) for t in (each.transform, alone.transform)
        )
        assert np.abs(found - expected).max() < 1e-6
    with pytest.raises(ValueError, match="magic"):
        register_pairs(pairs, "magic")
    assert not list(register_pairs([], shown=False))


def test_a_start_is_in_pixels_of_the_files_and_works_both_ways(files):
    near = transforms.from_matrix(MATRIX + [[0, 0, 4], [0, 0, -3]])
    start = transforms.rescale(near, 1, 2)
    done = register_photographs(files / "fixed.png", files / "moving.png", start=start)
    points = np.array([[80.0, 90], [170, 100], [120, 180]])
    expected = 2 * transforms.map_points(transforms.from_matrix(MATRIX), points)
    assert np.abs(transforms.map_points(done.transform, points) - expected).max() < 1
    assert done.verdict.status == "accepted"


def test_what_is_saved_is_whole_and_of_the_moving_file_s_depth(files, tmp_path):
    assert (
        main(
            ["register", str(files / "fixed.png"), str(files / "moving.png"), str(tmp_path / "out")]
        )
        == 0
    )
    image = read_photograph(tmp_path / "out" / "registered.png")
    assert image.dtype == np.uint16 and image.shape == (256, 256)
    even = [
        normalise_illumination(single_channel(each))[60:200, 60:200].ravel()
        for each in (image, read_photograph(files / "fixed.png"))
    ]
    assert np.corrcoef(*even)[0, 1] > 0.95
    verdict = json.loads((tmp_path / "out" / "verdict.json").read_text())
    assert verdict["verdict"] == "accepted" and 0 < verdict["predicted_error_px"] < 1
    sitk.ReadTransform(str(tmp_path / "out" / "transform.h5"))


def test_a_mirrored_photograph_fails_in_words_and_leaves_no_registration(files, tmp_path, capsys):
    assert (
        main(["register", str(files / "fixed.png"), str(files / "mirror.png"), str(tmp_path)]) == 1
    )
    assert "mirrored image" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"verdict.json", "before.jpg"}


EARLIER = ("transform.tfm", "transform.h5", "registered.png", "registered.tif", "verdict.json")


@pytest.mark.parametrize("moving", ["mirror.png", "broken.png"])
def test_nothing_of_an_earlier_pair_is_left_beside_a_failure(files, tmp_path, moving):
    (files / "broken.png").write_bytes(b"not a picture")
    for name in (*EARLIER, *PICTURES, "notes.txt"):
        (tmp_path / name).write_text("of another pair")
    assert main(["register", str(files / "fixed.png"), str(files / moving), str(tmp_path)]) > 0
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert left.pop("notes.txt") == b"of another pair"  # which is the user's own
    assert {*left} == ({"verdict.json", "before.jpg"} if moving == "mirror.png" else set())
    assert b"of another pair" not in left.values()


def test_saving_replaces_an_earlier_pair_whatever_endings_it_had(files, tmp_path):
    for name in EARLIER:
        (tmp_path / name).write_text("of another pair")
    register_photographs(files / "fixed.png", files / "fixed.png", "affine").save(tmp_path)
    assert {path.suffix for path in tmp_path.glob("transform.*")} == {".tfm"}
    assert "registered.tif" not in {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("name", ["registered.png", "before.jpg"])
def test_a_photograph_that_its_own_result_would_replace_is_refused(files, tmp_path, caplog, name):
    mine = tmp_path / name
    mine.write_bytes((files / "moving.png").read_bytes())
    before = mine.read_bytes()
    assert main(["register", str(files / "fixed.png"), str(mine), str(tmp_path)]) == 2
    assert f"{name} lies in the folder of the results" in caplog.text
    assert mine.read_bytes() == before


def test_pictures_before_and_after_lie_beside_the_transform_and_are_told(files, tmp_path, capsys):
    paths = [str(files / name) for name in ("fixed.png", "moving.png")]
    assert main(["register", *paths, str(tmp_path), "--method", "affine"]) == 0
    told = capsys.readouterr().out.splitlines()
    names = ["verdict.json", "transform.tfm", "registered.png", *PICTURES]
    assert told[1] == f"written into {tmp_path}: {', '.join(names)}"
    assert {path.name for path in tmp_path.iterdir()} == {*names}
    alike = []
    for name in PICTURES[:2]:
        orange, _, blue = np.moveaxis(io.imread(tmp_path / name).astype(np.float32) / 255, 2, 0)
        even = [normalise_illumination(each)[60:200, 60:200].ravel() for each in (orange, blue)]
        alike.append(np.corrcoef(*even)[0, 1])
    assert alike[0] < 0.6 and alike[1] > 0.9  # the vessels lie on each other


@pytest.mark.parametrize("given, missing", [(("", "b.png"), "fixed"), (("a.png", ""), "moving")])
def test_a_photograph_that_was_forgotten_is_named(tmp_path, caplog, given, missing):
    assert main(["register", *given, str(tmp_path)]) == 2
    assert f"the {missing} photograph is not named" in caplog.text
    assert "make register FIXED=" in caplog.text and not [*tmp_path.iterdir()]


def test_a_file_that_is_no_photograph_is_named(files, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not a picture")
    with pytest.raises(UnusableImageError, match="broken.png: .*not an image"):
        register_photographs(files / "fixed.png", broken)
    with pytest.raises(ValueError, match="method 'magic' is not one of"):
        register_photographs(files / "fixed.png", files / "moving.png", "magic")


def test_it_runs_as_a_program(files, tmp_path):
    paths = [str(files / "fixed.png"), str(files / "moving.png"), str(tmp_path / "out")]
    command = [sys.executable, "-m", "fundus_helpers", "register", *paths, "--method", "affine"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("accepted; predicted error")
