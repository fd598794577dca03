"""The threads of a rule are those of every library that a notebook of it computes with.

How many there are, and for which processor the library of linear algebra computes, does not change
a transform.
"""

import json
import os
import subprocess
import sys

import nbformat
import numpy as np
import pytest
from small_project import INHERITED, lay_out, run

from fundus_helpers.loading.demo_eye import make_demo_eye

LIBRARIES = """
import cv2, joblib, numpy, scipy.linalg, sklearn.cluster, torch
import SimpleITK as sitk
from threadpoolctl import threadpool_info
found = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
found |= {
    "joblib": joblib.cpu_count(),
    "OpenCV": cv2.getNumThreads(),
    "ITK": sitk.ProcessObject.GetGlobalDefaultNumberOfThreads(),
    "torch": torch.get_num_threads(),
}
"""
SAVE = """
import json, pathlib
path = pathlib.Path(results, f"{patient}_{laterality}", "01_threads", "metrics.json")
path.write_text(json.dumps(found))
"""


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one processor: no library takes more")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "warm", [[], ["-m", "fundus_helpers.runs.warm_start", "serve", sys.executable]]
)
def test_libraries_keep_to_the_threads_of_their_rule(tmp_path, threads, warm):
    lay_out(tmp_path, [], ["007"])
    for path in (tmp_path / "notebooks").iterdir():
        path.unlink()
    names = ("data", "patient", "laterality", "results")
    parameters = "\n".join(f'{name}: str = ""' for name in names)
    cells = [nbformat.v4.new_code_cell(text) for text in (parameters, LIBRARIES, SAVE)]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"kernelspec": {"name": "python3", "display_name": "", "language": "python"}}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
    nbformat.write(notebook, tmp_path / "notebooks" / "01_threads.ipynb")
    kept = {key: value for key, value in os.environ.items() if key not in INHERITED.split()}
    search = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"
    environment = kept | {"THREADS": str(threads), "PATH": search, "TMPDIR": "/tmp"}
    target = "results/007_L/01_threads/metrics.json"
    command = [sys.executable, *warm, "-m", "snakemake", "--cores=2", "--nolock", target]
    ran = run(tmp_path, environment, *command)
    assert ran.returncode == 0, ran.stdout
    found = json.loads((tmp_path / target).read_text())
    assert any("openblas" in name for name in found)
    assert found == dict.fromkeys(found, threads)


REGISTER = """
import json, sys
import cv2, numpy as np
import SimpleITK as sitk
from threadpoolctl import threadpool_info
import fundus_helpers as fh
eye = fh.load_eye(sys.argv[1], "demo_colour", "L", shown=False)
rows, columns = np.mgrid[60:330:45, 60:330:45]
points = np.column_stack([columns.ravel(), rows.ravel()])
found = {}
for name in ("keypoints", "affine"):
    transform = fh.METHODS[name](eye.images[0], eye.images[-1])
    found[name] = fh.map_points(transform, points).tolist()
blas = next(pool for pool in threadpool_info() if pool["internal_api"] == "openblas")
threads = [cv2.getNumThreads(), sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()]
print(json.dumps([found, [*threads, blas["num_threads"]], blas["architecture"]]))
"""
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)


def mapped(data, threads, **more):
    """Register two visits in a process of its own; return mapped points, threads and processor."""
    environment = os.environ | dict.fromkeys(THREADS, str(threads)) | more
    command = [sys.executable, "-c", REGISTER, str(data)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    points, used, processor = json.loads(ran.stdout.splitlines()[-1])
    assert used == [threads] * 3
    return {name: np.array(each) for name, each in points.items()}, processor


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("threads")
    make_demo_eye(folder, "demo_colour", size=384)
    return folder


@pytest.fixture(scope="module")
def of_one_thread(painted):
    return mapped(painted, 1)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one processor: no library takes more")
def test_the_transform_is_the_same_with_one_and_with_two_threads(painted, of_one_thread):
    points, _ = mapped(painted, 2)
    for name, each in points.items():
        assert np.abs(each - of_one_thread[0][name]).max() < 0.01, name


def test_the_transform_is_the_same_with_the_kernels_of_another_processor(painted, of_one_thread):
    points, processor = mapped(painted, 1, OPENBLAS_CORETYPE="Nehalem")
    if processor == of_one_thread[1]:
        pytest.skip(f"the library of linear algebra has only the kernels of {processor}")
    for name, each in points.items():
        assert np.abs(each - of_one_thread[0][name]).max() < 0.01, name
