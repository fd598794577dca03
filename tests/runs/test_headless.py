"""A notebook runs without looking: parameters are checked, what failed is kept, no port is open."""

import contextlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from papermill.exceptions import PapermillExecutionError

from fundus_helpers.__main__ import main
from fundus_helpers.results.notebooks import known_parameters, typed_parameters
from fundus_helpers.runs.headless import run_notebook

PARAMETERS = """\
patient: str = "demo"  # its name
size: int = 768  # in pixels
rate: float = 1.0  # of learning
full: bool = False  # or shrunk
results: str = "../results"  # of every eye
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """Keep the kernel's history out of the home folder."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a notebook of code cells, the first of them its parameters."""

    def write_notebook(*cells, name="tiny.ipynb"):
        notebook = nbformat.v4.new_notebook()
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
        notebook.metadata.language_info = {"name": "python"}
        notebook.cells = [nbformat.v4.new_code_cell(source) for source in (PARAMETERS, *cells)]
        notebook.cells[0].metadata.tags = ["parameters"]
        path = tmp_path / "notebooks" / name
        path.parent.mkdir(exist_ok=True)
        nbformat.write(notebook, path)
        return path

    return write_notebook


def printed(executed):
    """Return what the cells of an executed notebook wrote to stdout."""
    cells = nbformat.read(executed, as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.get("name") == "stdout")


def command(*arguments):
    """Run the command line of the module."""
    return subprocess.run(
        [sys.executable, "-m", "fundus_helpers", "run", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )


def lines_of(ran):
    """Return the lines that a command wrote, without what a kernel says when it is shut down."""
    return [line for line in ran.stderr.splitlines() if not line.startswith("[IPKernelApp]")]


def test_the_names_and_types_of_the_parameters_are_known(write):
    kinds = {"patient": "str", "size": "int", "rate": "float", "full": "bool", "results": "str"}
    assert known_parameters(write()) == kinds


def test_text_is_read_by_the_declared_types(write):
    given = {"patient": "007", "size": "512", "rate": "1e-3", "full": "True", "results": "1e5"}
    typed = typed_parameters(write(), given)
    assert typed == {"patient": "007", "size": 512, "rate": 0.001, "full": True, "results": "1e5"}
    assert {key: type(value).__name__ for key, value in typed.items()} == known_parameters(write())


@pytest.mark.parametrize("text", ["007", "1e3", "True", "None", "a=b", "Jane Roe", "O'Neill", ""])
def test_text_that_looks_like_something_else_stays_text(write, text):
    assert typed_parameters(write(), {"patient": text}) == {"patient": text}


def test_only_what_is_given_is_set(write):
    assert typed_parameters(write(), {}) == {}
    assert typed_parameters(write(), {"full": "False"}) == {"full": False}


def test_an_unknown_name_is_refused_and_the_accepted_ones_are_named(write):
    with pytest.raises(ValueError, match=r"tiny\.ipynb.*'szie'") as refused:
        typed_parameters(write(), {"szie": "512"})
    for name in ("patient", "size", "rate", "full"):
        assert name in str(refused.value)


@pytest.mark.parametrize(
    ("name", "text", "accepted"),
    [
        ("size", "big", "int"),
        ("size", "1.5", "int"),
        ("rate", "fast", "float"),
        ("full", "yes", "True or False"),
    ],
)
def test_a_value_of_another_type_is_refused_and_named(write, name, text, accepted):
    with pytest.raises(ValueError, match=rf"tiny\.ipynb: {name}={text}.*{accepted}"):
        typed_parameters(write(), {name: text})


def test_a_run_is_kept_whole_with_its_outputs_and_runs_beside_the_notebook(write, tmp_path):
    code = "import os; print(patient, type(size).__name__, size, os.path.basename(os.getcwd()))"
    notebook, executed = write(code), tmp_path / "made" / "here" / "done.ipynb"
    stored = notebook.read_bytes()
    run_notebook(notebook, executed, {"patient": "007", "size": "96"})
    assert printed(executed) == "007 int 96 notebooks\n"
    assert [path.name for path in executed.parent.iterdir()] == ["done.ipynb"]
    assert notebook.read_bytes() == stored


@pytest.mark.parametrize("cell", ["pass", "1 / 0"])
@pytest.mark.parametrize("own", [None, "0"])
def test_a_run_leaves_the_environment_of_its_caller_as_it_was(
    write, tmp_path, monkeypatch, cell, own
):
    """A notebook that calls it keeps its progress bars and panels."""
    if own is None:
        monkeypatch.delenv("TQDM_DISABLE", raising=False)
    else:
        monkeypatch.setenv("TQDM_DISABLE", own)
    before = dict(os.environ)
    with contextlib.suppress(PapermillExecutionError):
        run_notebook(write(cell), tmp_path / "out" / "executed.ipynb", {})
    assert dict(os.environ) == before


def test_a_failed_run_raises_and_is_kept_with_its_traceback(write, tmp_path):
    notebook, executed = write("print('before')", "1 / 0", "print('after')"), tmp_path / "f.ipynb"
    with pytest.raises(PapermillExecutionError, match="ZeroDivisionError"):
        run_notebook(notebook, executed, {})
    kept = nbformat.read(executed, as_version=4)
    errors = [o for cell in kept.cells for o in cell.get("outputs", []) if "traceback" in o]
    assert [error.ename for error in errors] == ["ZeroDivisionError"]
    assert "1 / 0" in re.sub(r"\x1b\[[\d;]*m", "", "\n".join(errors[0].traceback))
    assert printed(executed) == "before\n"
    assert list(tmp_path.glob("**/.part*")) == []


def test_nothing_is_run_nor_written_when_a_parameter_is_refused(write, tmp_path):
    notebook = write("open('ran', 'w')")
    with pytest.raises(ValueError, match="szie"):
        run_notebook(notebook, tmp_path / "made" / "x.ipynb", {"szie": "1"})
    assert not (tmp_path / "made").exists()
    assert not (notebook.parent / "ran").exists()


def test_kernel_and_client_talk_through_files_of_this_user_only(write, tmp_path):
    look = """\
import json, os, psutil
from ipykernel.connect import get_connection_file
connection = json.load(open(get_connection_file()))
sockets = psutil.Process().net_connections("inet")
told = {
    "transport": connection["transport"],
    "folder": os.path.dirname(connection["ip"]),
    "mode": os.stat(os.path.dirname(connection["ip"]) or ".").st_mode & 0o777,
    "listening": [c.laddr.ip for c in sockets if c.status == "LISTEN"],
}
json.dump(told, open("told.json", "w"))"""
    notebook = write(look)
    run_notebook(notebook, tmp_path / "talk.ipynb", {})
    told = json.loads((notebook.parent / "told.json").read_text())
    assert told["transport"] == "ipc"
    # A folder of this run alone: two runs that start together must not take the same files.
    assert Path(told["folder"]).is_absolute() and told["mode"] == 0o700
    assert not Path(told["folder"]).exists()
    # ipykernel itself collects what forked children print through one port, not to be switched off
    # (ipykernel.iostream.IOPubThread); nothing that runs code can be sent to it.
    assert told["listening"] in ([], ["127.0.0.1"])
    assert {path.name for path in notebook.parent.iterdir()} == {notebook.name, "told.json"}


def test_two_runs_that_start_together_do_not_disturb_each_other(write, tmp_path):
    notebook = write("import time; time.sleep(1); print(patient)")
    words = [sys.executable, "-m", "fundus_helpers", "run", notebook]
    runs = [
        subprocess.Popen([*words, tmp_path / f"{name}.ipynb", f"patient={name}"]) for name in "ab"
    ]
    assert [process.wait(timeout=150) for process in runs] == [0, 0]
    assert [printed(tmp_path / f"{name}.ipynb") for name in "ab"] == ["a\n", "b\n"]


def test_the_command_says_in_one_line_that_a_run_is_done(write, tmp_path):
    notebook = write("print(patient)")
    done = command(notebook, tmp_path / "done.ipynb", "patient=007", "size=96")
    assert (done.returncode, done.stdout) == (0, "")
    begun, line = lines_of(done)
    assert begun.startswith("begun") and "007" in begun and "tiny" in begun
    assert line.startswith("done") and "007" in line and "tiny" in line
    assert printed(tmp_path / "done.ipynb") == "007\n"


def test_the_command_says_in_one_line_what_failed(write, tmp_path):
    failed = command(write("raise RuntimeError('too dark')"), tmp_path / "f.ipynb", "patient=007")
    assert (failed.returncode, failed.stdout) == (1, "")
    begun, line = lines_of(failed)
    assert begun.startswith("begun")
    assert line.startswith("FAILED") and "007" in line and "tiny" in line
    assert line.endswith("RuntimeError: too dark")
    assert (tmp_path / "f.ipynb").exists()


@pytest.mark.parametrize("argument", ["szie=512", "size=big", "size"])
def test_the_command_refuses_in_one_line_what_it_cannot_read(write, tmp_path, caplog, argument):
    with caplog.at_level(logging.INFO):
        try:
            status = main(["run", str(write()), str(tmp_path / "x.ipynb"), argument])
        except SystemExit as refused:  # argparse's way, with its own line
            status = refused.code
    assert status == 2
    assert all(len(record.getMessage().splitlines()) == 1 for record in caplog.records)
    assert not (tmp_path / "x.ipynb").exists()


def test_the_command_refuses_a_notebook_that_does_not_exist(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        assert main(["run", str(tmp_path / "no.ipynb"), str(tmp_path / "x.ipynb")]) == 2
    assert "no.ipynb" in caplog.text


def test_what_is_kept_names_no_folder_of_this_machine_be_it_whole_or_failed(write, tmp_path):
    notebook = write("import pathlib; print(pathlib.Path.home(), pathlib.Path.cwd())")
    run_notebook(notebook, tmp_path / "whole.ipynb", {})
    assert printed(tmp_path / "whole.ipynb") == "<home> <project>/notebooks\n"
    with pytest.raises(PapermillExecutionError):
        run_notebook(write("import numpy; numpy.load('/no/such')"), tmp_path / "failed.ipynb", {})
    for name in ("whole", "failed"):
        text = (tmp_path / f"{name}.ipynb").read_text()
        for place in (tmp_path, Path.home(), sys.prefix):
            assert str(place) not in text, place


def test_what_a_killed_run_left_hidden_is_gone_after_the_next(write, tmp_path):
    folder = tmp_path / "results" / "007_L" / "tiny"
    for left in (folder / ".part-tiny.ipynb", folder / "transforms" / ".part-2019.tfm"):
        left.parent.mkdir(parents=True, exist_ok=True)
        left.write_text("half a")
    run_notebook(write("1"), folder / "tiny.ipynb", {})
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["tiny.ipynb"]


@pytest.fixture
def earlier(tmp_path):
    """Return the folder of a notebook's results that an earlier run has filled."""
    folder = tmp_path / "results" / "007_L" / "tiny"
    (folder / "registered").mkdir(parents=True)
    (folder / "partial-12.csv").write_text("to go on from")
    (folder / "benchmark.tsv").write_text("its time")
    for name in ("metrics.json", "registered/a.png", "after.jpg", "mean.png", "../report.html"):
        (folder / name).write_text("earlier")
    (folder.parent / "tuned.json").write_text("{}")
    return folder


def left_in(folder):
    """Return the files of an eye, relative to the folder of the eye."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


KEPT = {"tuned.json", "tiny/benchmark.tsv", "tiny/partial-12.csv", "tiny/tiny.ipynb"}


@pytest.mark.parametrize("code", ["open('../results/007_L/tiny/metrics.json', 'w')", "1 / 0"])
def test_nothing_of_an_earlier_run_is_left_beside_a_new_one(write, tmp_path, earlier, code):
    given = {"patient": "007", "results": "../results"}
    with pytest.raises(PapermillExecutionError) if "0" == code[-1] else contextlib.nullcontext():
        run_notebook(write(code), earlier / "tiny.ipynb", given)
    new = set() if "0" == code[-1] else {"tiny/metrics.json"}
    assert left_in(earlier.parent) == KEPT | new


def test_a_run_that_fails_late_leaves_only_its_notebook(write, earlier):
    late = "open('../results/007_L/tiny/metrics.json', 'w').close(); raise ValueError('late')"
    with pytest.raises(PapermillExecutionError, match="late"):
        run_notebook(write(late), earlier / "tiny.ipynb", {"results": "../results"})
    assert left_in(earlier.parent) == KEPT


def test_a_run_that_writes_its_notebook_elsewhere_deletes_nothing_there(write, tmp_path, earlier):
    before = left_in(earlier.parent)
    run_notebook(write("1"), earlier / "tiny.ipynb", {"results": "../other"})
    assert left_in(earlier.parent) == before | {"tiny/tiny.ipynb"}


def test_a_run_waits_until_another_one_has_saved_its_results(write, earlier):
    holder = (
        "import sys, time\n"
        "from fundus_helpers.files import held\n"
        "with held(sys.argv[1]):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(3)\n"
        "    open(sys.argv[1] + '/metrics.json', 'w').write('saved')\n"
    )
    command = [sys.executable, "-c", holder, str(earlier)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        run_notebook(write("1"), earlier / "tiny.ipynb", {"results": "../results"})
        assert other.wait() == 0
    assert left_in(earlier.parent) == KEPT


@pytest.mark.parametrize("other", ["same", "other"])
def test_two_runs_of_one_notebook_for_one_eye_take_turns(write, tmp_path, other):
    """The second takes the results of the first if its parameters are the same."""
    code = (
        "import json, time, fundus_helpers.results.provenance as p; time.sleep(4)\n"
        "folder = '../results/007_L/tiny/'\n"
        "open(folder + 'runs.txt', 'a').write(patient + ' ')\n"
        "made = {'provenance': {'code': p.code_version()}}\n"
        "json.dump(made, open(folder + 'metrics.json', 'w'))"
    )
    notebook, executed = write(code), tmp_path / "results" / "007_L" / "tiny" / "tiny.ipynb"
    words = [
        sys.executable,
        "-m",
        "fundus_helpers",
        "run",
        notebook,
        executed,
        "results=../results",
    ]
    patients = ("same", other)
    streams = {"stderr": subprocess.PIPE, "text": True}
    runs = [subprocess.Popen([*words, f"patient={name}"], **streams) for name in patients]
    told = [process.communicate(timeout=120)[1] for process in runs]
    assert [process.returncode for process in runs] == [0, 0], told
    assert sum("007_L/tiny: this one waits" in text for text in told) == 1
    if other == "same":
        assert (executed.parent / "runs.txt").read_text() == "same "
    assert left_in(executed.parent) == {"runs.txt", "metrics.json", "tiny.ipynb"}


def test_a_long_folder_for_temporary_files_does_no_harm(write, tmp_path):
    long = tmp_path / ("t" * 130)
    long.mkdir()
    look = f"import tempfile; print(tempfile.gettempdir() == {str(long)!r})"
    words = [sys.executable, "-m", "fundus_helpers", "run", write(look), tmp_path / "x.ipynb"]
    environment = os.environ | {"TMPDIR": str(long)}
    ran = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert printed(tmp_path / "x.ipynb") == "True\n"  # programs of the user still use it


def test_figures_do_not_follow_the_settings_of_the_user(write, tmp_path):
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfont.family: no-such\n")
    draw = """\
import fundus_helpers as fh
import matplotlib.pyplot as plt
import numpy as np
figure = fh.plotting.gallery([np.zeros((9, 9))], ["a_b"], caption="100 %")
figure
"""
    notebook = write(draw, "plt.plot([1, 2]); plt.title('50 %'); plt.show()")
    words = [sys.executable, "-m", "fundus_helpers", "run", notebook, tmp_path / "x.ipynb"]
    own = {"MPLCONFIGDIR": str(tmp_path), "MPLBACKEND": "no-such", "PATH": os.environ["PATH"]}
    ran = subprocess.run(words, capture_output=True, text=True, env=os.environ | own, timeout=120)
    assert ran.returncode == 0, ran.stderr
    cells = nbformat.read(tmp_path / "x.ipynb", as_version=4).cells
    shown = [output for cell in cells[1:] for output in cell.outputs]
    assert [*("image/png" in output.get("data", {}) for output in shown)] == [True, True]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_run_asked_to_end_says_so_and_leaves_nothing_half_written(write, tmp_path):
    notebook = write("open('begun', 'w'); import time; time.sleep(600)")
    process = subprocess.Popen(
        [sys.executable, "-m", "fundus_helpers", "run", notebook, tmp_path / "x.ipynb"],
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until((notebook.parent / "begun").exists, 60)
    kernels = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    assert "ENDED" in process.communicate(timeout=60)[1]
    assert process.returncode != 0
    assert psutil.wait_procs(kernels, 20)[1] == []
    assert list(tmp_path.rglob(".part-*")) == []


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_killed_run_leaves_no_kernel_behind_and_no_half_notebook(write, tmp_path):
    sleeper = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(600)"
    notebook = write(sleeper)
    process = subprocess.Popen(
        [sys.executable, "-m", "fundus_helpers", "run", notebook, tmp_path / "x.ipynb"],
        env=os.environ | {"TMPDIR": str(tmp_path)},  # what a kill leaves there stays here
        start_new_session=True,
    )
    pid = notebook.parent / "pid"
    try:
        wait_until(lambda: pid.exists() and pid.read_text(), 60)
        kernel = psutil.Process(int(pid.read_text()))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    wait_until(lambda: not kernel.is_running() or kernel.status() == psutil.STATUS_ZOMBIE, 20)
    assert not (tmp_path / "x.ipynb").exists()


def wait_until(truth, seconds):
    """Wait until something is true, and fail if it never is."""
    end = time.monotonic() + seconds
    while not truth():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
