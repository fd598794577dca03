"""The threads of a rule are those of every library that a notebook of it computes with."""

import json
import os
import sys

import nbformat
import pytest
from small_project import INHERITED, lay_out, run

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
