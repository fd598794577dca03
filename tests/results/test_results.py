"""What a run leaves behind fits the photographs as they are on disk."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from PIL import Image

from fundus_helpers import transforms
from fundus_helpers.files import held, remove_unfinished
from fundus_helpers.loading.eye import load_eye
from fundus_helpers.loading.photographs import read_photograph
from fundus_helpers.results.folder import (
    make_folder,
    save_image,
    save_registrations,
)
from fundus_helpers.results.metrics_file import (
    METRICS_FILE,
    OutdatedError,
    metrics_schema,
    read_metrics,
    read_metrics_file,
    save_metrics,
)
from fundus_helpers.series.registering import Registration
from fundus_helpers.study import Study

NAMES = ["a_2019-01-01_L", "a_2020-01-01_L", "a_2021-01-01_L"]
RNG = np.random.default_rng(0)


def make_eye(tmp_path, dtype, channels=(), suffix=".png"):
    """Return three photographs of 80 x 60 pixels, loaded at half that size."""
    top = 1 if dtype == np.float32 else np.iinfo(dtype).max
    (tmp_path / "data" / "p").mkdir(parents=True)
    for name in NAMES:
        image = ((0.3 + 0.7 * RNG.random((60, 80, *channels))) * top).astype(dtype)
        wrapped = sitk.GetImageFromArray(image, isVector=bool(channels))
        sitk.WriteImage(wrapped, str(tmp_path / "data" / "p" / f"{name}{suffix}"))
    return load_eye(tmp_path / "data", "p", "L", size=40)


def shifted(name, x, y):
    """Return a registration that found a shift."""
    return Registration(name, transforms.from_matrix([[1, 0, x], [0, 1, y]]), "", 0.1)


@pytest.mark.parametrize(
    "dtype, channels, suffix",
    [
        (np.uint8, (3,), ".png"),
        (np.uint8, (), ".png"),
        (np.uint16, (), ".png"),
        (np.uint16, (3,), ".png"),
        (np.float32, (), ".tif"),
    ],
)
def test_photographs_are_registered_at_full_size_with_their_channels_and_bit_depth(
    tmp_path, dtype, channels, suffix
):
    eye = make_eye(tmp_path, dtype, channels, suffix)
    folder = make_folder(tmp_path / "results", "p", "L", "03_rigid")
    found = [shifted(NAMES[0], 0, 0), shifted(NAMES[1], 2, -3), Registration(NAMES[2], None, "", 1)]
    save_registrations(folder, eye, 0, found, shown=1, jobs=1)
    same, moved = (read_photograph(folder / "registered" / f"{name}{suffix}") for name in NAMES[:2])
    assert same.dtype == moved.dtype == dtype and moved.shape == (60, 80, *channels)
    assert np.array_equal(same, eye.photograph(0))
    # 2 pixels right and 3 up at half size are 4 and 6 pixels.
    assert np.array_equal(moved[6:, :-4], eye.photograph(1)[:-6, 4:])
    written = sorted(path.name for path in folder.rglob("*") if path.is_file())
    photographs = [f"{name}{ending}" for name in NAMES[:2] for ending in (suffix, ".tfm")]
    # Small pictures: registered, of the template too; before, of all others; after, if registered.
    pictures = [f"{name}.jpg" for name in (*NAMES[:2], NAMES[1], NAMES[2], NAMES[1])]
    every = [*photographs, *pictures, "before.jpg", "after.jpg", "flicker.gif"]
    assert written == sorted(every)


def test_saved_transforms_are_for_pixels_of_the_photographs(tmp_path):
    eye = make_eye(tmp_path, np.uint8)
    field = np.dstack([np.full((30, 40), 2.0), np.full((30, 40), -3.0)])
    curved = transforms.from_displacement(field)
    found = [Registration(name, None, "", 0.1) for name in NAMES]
    found[1] = shifted(NAMES[1], 2, -3)
    found[2] = Registration(NAMES[2], curved, "", 0.1)
    save_registrations(tmp_path, eye, 1, found, shown=2, jobs=2)
    assert sorted(path.name for path in (tmp_path / "transforms").iterdir()) == [
        f"{NAMES[1]}.tfm",
        f"{NAMES[2]}.h5",
    ]
    for path in (tmp_path / "transforms").iterdir():
        mapped = transforms.map_points(transforms.load(path), [[30, 40]])
        assert np.allclose(mapped, [[34, 34]])


def test_a_linear_and_then_a_curved_transform_are_saved_as_one(tmp_path):
    eye = make_eye(tmp_path, np.uint8)
    curved = transforms.from_displacement(np.full((30, 40, 2), 2.0))
    both = transforms.compose(transforms.from_matrix([[1, 0, 1], [0, 1, 1]]), curved)
    found = [Registration(name, both, "", 0.1) for name in NAMES]
    save_registrations(tmp_path, eye, 0, found, shown=1, jobs=1)
    again = transforms.load(tmp_path / "transforms" / f"{NAMES[2]}.h5")
    assert np.allclose(transforms.map_points(again, [[30, 40]]), [[36, 46]])


def seen_through(eye, registration):
    """Return the first visit, seen as `registration` says the visit sees it."""
    back = transforms.invert(registration.transform, eye.images.shape[1:])
    return transforms.warp(eye.images[0], back)


def orange_and_blue(path):
    """Return the mean difference of orange and blue in the middle of an overlay."""
    red, green, blue = np.moveaxis(np.asarray(Image.open(path).convert("RGB"), float), 2, 0)
    middle = slice(8, -8)
    return np.abs(red - (green + blue) / 2)[middle, middle].mean()


@pytest.mark.parametrize("in_a_frame", [False, True])
def test_pictures_show_a_visit_off_the_template_and_laid_on_it(tmp_path, in_a_frame):
    eye = make_eye(tmp_path, np.uint8)
    smooth = [cv2.GaussianBlur(image, (0, 0), 1.5) for image in eye.images]
    eye = replace(eye, images=np.stack(smooth))
    moved = shifted(NAMES[1], 4, -3)
    eye.images[1] = seen_through(eye, moved)
    found = [shifted(NAMES[0], 0, 0), moved, Registration(NAMES[2], None, "dark", 0.1)]
    if in_a_frame:  # that is shifted against the template as well
        found[0], found[1] = shifted(NAMES[0], 2, 2), shifted(NAMES[1], 6, -1)
    save_registrations(tmp_path, eye, 0, found, shown=1, jobs=1)
    off, on = (orange_and_blue(tmp_path / f"{when}.jpg") for when in ("before", "after"))
    assert on < off / 2
    with Image.open(tmp_path / "flicker.gif") as animation:
        assert animation.n_frames == 2 and max(animation.size) <= 320
    sizes = [Image.open(tmp_path / f"{when}.jpg").size for when in ("before", "after")]
    assert sizes == [(40, 30), (40, 30)]
    save_registrations(tmp_path, eye, 0, found, shown=2, jobs=1)  # refused: there is no after
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"before.jpg"}


def test_pictures_are_small_and_as_wide_as_the_photographs_are(tmp_path):
    eye = make_eye(tmp_path, np.uint8)
    eye = replace(eye, images=np.repeat(np.repeat(eye.images, 20, axis=1), 20, axis=2))
    found = [shifted(name, 0, 0) for name in NAMES]
    save_registrations(tmp_path, eye, 0, found, shown=1, jobs=1)
    for name in ("before.jpg", "after.jpg", "flicker.gif"):
        with Image.open(tmp_path / name) as picture:
            assert picture.size == (320, 240)


def test_nothing_stays_of_a_visit_that_is_gone_or_fails_now(tmp_path):
    eye = make_eye(tmp_path, np.uint8)
    found = [shifted(name, 1, 1) for name in NAMES]
    save_registrations(tmp_path, eye, 0, found, shown=1, jobs=1)
    for name in ("transforms/z_2001-01-01_L.tfm", "registered/.part-z_2001-01-01_L.png"):
        (tmp_path / name).touch()  # of an earlier run, and of one that was killed
    curved = transforms.from_displacement(np.full((30, 40, 2), 2.0))
    found[1:] = Registration(NAMES[1], curved, "", 0.1), Registration(NAMES[2], None, "dark", 0.1)
    save_registrations(tmp_path, eye, 0, found, shown=1, jobs=1)
    left = {path.name for path in (tmp_path / "transforms").iterdir()}
    assert left == {f"{NAMES[0]}.tfm", f"{NAMES[1]}.h5"}
    left = {path.name for path in (tmp_path / "registered").iterdir()}
    assert left == {f"{NAMES[0]}.png", f"{NAMES[1]}.png"}


def test_pictures_of_an_earlier_run_are_gone_if_no_visit_can_be_registered_now(tmp_path):
    eye = make_eye(tmp_path, np.uint8)
    found = [shifted(name, 1, 1) for name in NAMES]
    save_registrations(tmp_path, eye, 0, found, shown=1, jobs=1)
    failed = [Registration(name, None, "dark", 0.1) for name in NAMES]
    save_registrations(tmp_path, eye, 0, failed, shown=1, jobs=1)
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()} - {
        f"{name}.png" for name in NAMES
    }
    # What is left shows photographs, and no registration.
    assert left == {"before.jpg", f"{NAMES[1]}.jpg", f"{NAMES[2]}.jpg"}
    assert {path.parent.name for path in (tmp_path / "pictures").rglob("*.jpg")} == {"before"}


def test_nothing_of_an_earlier_run_is_left_if_saving_fails(tmp_path, demo, monkeypatch):
    study = Study(demo, "demo_colour", "L", results=tmp_path, size=96, jobs=1)
    study.register("translation", visits=[1])
    study.save("translation")
    assert (study.folder / METRICS_FILE).exists()

    def full(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr("fundus_helpers.results.folder.save_photograph", full)
    with pytest.raises(OSError, match="No space left"):
        study.save("translation")
    assert not (study.folder / METRICS_FILE).exists()
    assert [*study.folder.glob("registered/*"), *study.folder.glob("*.jpg")] == []
    assert [*study.folder.rglob(".*")] == []


WRITER = """
import sys, time
from pathlib import Path
from fundus_helpers.files import written_beside
with written_beside(Path(sys.argv[1], "numbers.txt")) as part:
    part.write_text(sys.argv[2])
    Path(sys.argv[1], "begun-" + sys.argv[2]).touch()
    while not Path(sys.argv[1], "go").exists():
        time.sleep(0.01)
"""


@pytest.fixture
def writers(tmp_path):
    """Start two programs that write one file, and wait until both are in the middle of it."""
    words = [sys.executable, "-c", WRITER, str(tmp_path)]
    processes = [subprocess.Popen([*words, name]) for name in "ab"]
    end = time.monotonic() + 60
    while len([*tmp_path.glob("begun-*")]) < 2:
        assert time.monotonic() < end
        time.sleep(0.01)
    for path in tmp_path.glob("begun-*"):
        path.unlink()
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def test_two_programs_that_write_one_file_both_end_well(tmp_path, writers):
    remove_unfinished(tmp_path)
    (tmp_path / "go").touch()
    assert [process.wait(30) for process in writers] == [0, 0]
    assert (tmp_path / "numbers.txt").read_text() in ("a", "b")
    assert {path.name for path in tmp_path.iterdir()} == {"numbers.txt", "go"}


def test_only_the_unfinished_file_of_the_program_that_was_killed_is_removed(tmp_path, writers):
    (tmp_path / ".part-older.png").touch()  # of a version without locks
    writers[0].kill()
    writers[0].wait()
    remove_unfinished(tmp_path)
    (part,) = (path for path in tmp_path.glob(".part-*.txt"))
    assert part.read_text() == "b" and not (tmp_path / ".part-older.png").exists()
    (tmp_path / "go").touch()
    assert writers[1].wait(30) == 0 and (tmp_path / "numbers.txt").read_text() == "b"
    assert {path.name for path in tmp_path.iterdir()} == {"numbers.txt", "go"}


def test_the_second_run_waits_for_the_first_and_says_so(tmp_path, caplog):
    folder = make_folder(tmp_path, "007", "L", "03_rigid")
    order, inside = [], threading.Event()

    def first():
        with held(folder):
            inside.set()
            time.sleep(2)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait()
    with held(folder):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]
    assert "007_L/03_rigid" in caplog.text and "this one waits" in caplog.text
    assert [*folder.iterdir()] == []


SAVER = """
import sys
import fundus_helpers as fh
data, results = sys.argv[1:]
study = fh.Study(data, "demo_colour", "L", results=results, size=96, jobs=1)
study.register("translation", visits=[1, 2])
for _ in range(5):
    study.save("translation")
"""


def test_two_studies_that_save_one_eye_at_the_same_time_both_end_well(tmp_path, demo):
    words = [sys.executable, "-c", SAVER, str(demo), str(tmp_path)]
    runs = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [run.communicate(timeout=120)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], told
    folder = tmp_path / "demo_colour_L" / "study"
    assert read_metrics_file(folder / METRICS_FILE)["after"]
    assert len([*folder.glob("transforms/*")]) == len([*folder.glob("registered/*")]) == 2
    assert [*folder.rglob(".*")] == []


def test_an_image_is_saved_with_sixteen_bits(tmp_path):
    image = np.linspace(0, 1, 320, dtype=np.float32).reshape(16, 20)
    again = read_photograph(save_image(tmp_path / "mean.png", image))
    assert again.dtype == np.uint16
    assert np.abs(again / 65535 - image).max() < 1e-4


def test_metrics_are_json_with_everything_needed_to_repeat_them(tmp_path):
    eye = make_eye(tmp_path, np.uint8)
    (eye.folder / "bad_2018-01-01_L.png").write_text("no image")
    eye = load_eye(tmp_path / "data", "p", "L", size=40)
    found = {
        "mean": pd.Series([np.float32(0.5), np.inf], index=["x", "y"]),
        "best": np.array([1, 2]),
        "flag": np.bool_(True),
        "nested": [{"a": np.int64(3), "b": (1.0, np.nan)}],
    }
    after = pd.DataFrame([[1.5, np.nan]], index=["a"], columns=["landmark_error_px", "ncc"])
    content = {"after": after, "findings": found}
    folder = make_folder(tmp_path / "results", "p", "L", "03_rigid")
    path = save_metrics(folder, eye, {"size": 40, "method": "rigid"}, content)
    assert path == folder / "metrics.json"

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    saved = json.loads(path.read_text(), parse_constant=refuse)
    assert saved == read_metrics(tmp_path / "results", "p", "L", "03_rigid")
    assert saved["patient"] == "p" and saved["laterality"] == "L"
    assert saved["after"] == {"a": {"landmark_error_px": 1.5, "ncc": None}}
    told = saved["findings"]
    assert told["mean"] == {"x": 0.5, "y": None}
    assert told["best"] == [1, 2] and told["flag"] is True
    assert told["nested"] == [{"a": 3, "b": [1.0, None]}]
    assert [row["file"] for row in saved["left_out"]] == ["bad_2018-01-01_L.png"]
    provenance = saved["provenance"]
    assert provenance["parameters"] == {"size": 40, "method": "rigid"}
    assert provenance["packages"]["numpy"] == np.__version__
    assert provenance["sha256"] == {
        f"{name}.png": hashlib.sha256((eye.folder / f"{name}.png").read_bytes()).hexdigest()
        for name in NAMES
    }
    assert str(tmp_path) not in path.read_text() and str(Path.home()) not in path.read_text()


def test_results_that_are_not_there_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no results of 03_rigid for 007 L: run it first"):
        read_metrics(tmp_path, "007", "L", "03_rigid")


def test_numbers_that_fit_no_field_are_refused_and_named(tmp_path):
    eye = make_eye(tmp_path, np.uint8)
    folder = make_folder(tmp_path / "results", "p", "L", "03_rigid")
    with pytest.raises(ValueError, match="metrics.json of 03_rigid: clusters: .*not permitted"):
        save_metrics(folder, eye, {}, {"clusters": 3})
    assert not (folder / METRICS_FILE).exists()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"version": 1}, OutdatedError, "another version.*run the notebook again"),
        ({"version": 99}, OutdatedError, "another version.*run the notebook again"),
        ({"laterality": "left"}, ValueError, "laterality"),
        ({"outcomes": [{"visit": "a"}]}, ValueError, r"outcomes\.0\.method"),
        (None, ValueError, "damaged; delete it and run the notebook again"),
    ],
)
def test_a_file_that_does_not_fit_the_schema_is_refused_and_named(tmp_path, change, error, words):
    eye = make_eye(tmp_path, np.uint8)
    path = save_metrics(make_folder(tmp_path, "p", "L", "03_rigid"), eye, {}, {})
    text = path.read_text()
    path.write_text(json.dumps(json.loads(text) | change) if change else text[:50])
    with pytest.raises(error, match=rf"03_rigid \(p_L\).*{words}"):
        read_metrics_file(path)


def test_the_schema_in_the_docs_is_that_of_the_code():
    docs = Path(__file__).parents[2] / "docs"
    assert json.loads((docs / "metrics.schema.json").read_text()) == metrics_schema()
    told = (docs / "metrics.md").read_text()
    assert [name for name in metrics_schema()["properties"] if f"`{name}`" not in told] == []


def test_a_folder_is_made_for_every_notebook_of_an_eye(tmp_path):
    folder = make_folder(tmp_path / "results", "007", "L", "03_rigid")
    assert folder == tmp_path / "results" / "007_L" / "03_rigid" and folder.is_dir()
    assert make_folder(tmp_path / "results", "007", "L", "03_rigid") == folder


def test_a_results_folder_below_a_file_is_refused_with_a_remedy(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(PermissionError, match="results folder 'results'.*RESULTS="):
        make_folder(tmp_path / "file" / "results", "p", "L", "03_rigid")


@pytest.mark.parametrize("there_already", [False, True])
def test_a_results_folder_that_is_read_only_is_refused_with_a_remedy(there_already):
    script = (
        "import os, sys\n"
        "from fundus_helpers.results import make_folder\n"
        "if os.getuid() == 0:\n"  # root may write everywhere
        "    os.setgroups([]), os.setgid(65534), os.setuid(65534)\n"
        "try:\n"
        "    make_folder(sys.argv[1], 'p', 'L', '03_rigid')\n"
        "except PermissionError as error:\n"
        "    print(error)\n"
    )
    # Not below tmp_path, which nobody but its owner may enter.
    with tempfile.TemporaryDirectory() as outer:
        results = Path(outer) / "results"
        (results / "p_L" / "03_rigid" if there_already else results).mkdir(parents=True)
        locked = [Path(outer), *Path(outer).rglob("*")]
        for path in locked:
            path.chmod(0o555)
        run = subprocess.run(
            [sys.executable, "-c", script, str(results)],
            capture_output=True,
            text=True,
            env=os.environ | {"MPLCONFIGDIR": os.devnull},
        )
        for path in locked:
            path.chmod(0o755)
    assert run.returncode == 0, run.stderr
    assert "results folder 'results'" in run.stdout and "RESULTS=" in run.stdout
