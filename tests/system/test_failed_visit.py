"""The way out of docs/when_it_fails.md: a visit fails, points are placed, the eye is run again."""

import numpy as np
import pytest
import SimpleITK as sitk
from small_project import clean_environment, lay_out, make_command, run

from fundus_helpers.loading.demo_eye import make_demo_eye, read_truth
from fundus_helpers.loading.painted.geometry import from_anatomy, to_anatomy
from fundus_helpers.loading.tables import PlacedPoint, save_points

SIZE, BLINK = 384, 5
NOTEBOOK = "09_retinal_keypoints"
SETTINGS = ("PATIENT=007", "EYE=L", "TEMPLATE=first", "NOTEBOOKS=09")
WITH = f"WITH=size={SIZE} compare=False count=1000"
POINTS = np.array([[120.0, 100], [290, 130], [190, 300]])  # in the template


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """Return a project whose eye was run, and whose second visit is a blink, and what was told."""
    folder = tmp_path_factory.mktemp("f")
    demo = make_demo_eye(folder / "demo", "demo_colour", size=SIZE)
    photographs = [sorted(demo.glob("*.png"))[i] for i in (0, BLINK, 1)]
    (folder / "project").mkdir()
    project = lay_out(folder / "project", photographs, ["007"], notebooks=(NOTEBOOK,))
    (folder / "home").mkdir()
    environment = clean_environment(folder / "home")
    told = run(project, environment, *make_command("eye", *SETTINGS, WITH)).stdout
    return project, environment, read_truth(demo), photographs, told


def test_a_visit_that_failed_is_registered_from_points_or_excluded(failed):
    project, environment, truth, photographs, told = failed
    files, eye = [path.name for path in photographs], project / "data" / "007"
    assert "1 failed: 2018-07-12" in told
    shapes = [truth["visits"][i]["geometry"] for i in (0, BLINK)]
    true = from_anatomy(shapes[1], SIZE, to_anatomy(shapes[0], SIZE, POINTS))
    points = [PlacedPoint(*a, *b, placed_by="HS") for a, b in zip(POINTS, true, strict=True)]
    save_points(eye, files, files[0], files[1], points)

    told = run(project, environment, *make_command("eye", *SETTINGS, WITH)).stdout
    assert "1 accepted, by hand" in told, told
    folder = project / "results" / "007_L" / NOTEBOOK
    found = sitk.ReadTransform(str(next((folder / "transforms").glob("*2018-07-12*"))))
    off = [found.TransformPoint(point) for point in POINTS] - true
    assert np.hypot(*off.T).max() < 3
    assert "by hand" in (folder.parent / "report.html").read_text(encoding="utf-8")

    (eye / "excluded.csv").write_text(f"file,reason\n{files[1]},a blink\n", encoding="utf-8")
    told = run(project, environment, *make_command("eye", *SETTINGS, WITH)).stdout
    assert "excluded: a blink" in told and "by hand" not in told
    assert not [*(folder / "transforms").glob("*2018-07-12*")]
    assert "a blink" in (folder.parent / "report.html").read_text(encoding="utf-8")
