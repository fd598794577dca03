"""A program that is forked warm does what it does when started anew, and ends when it should."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from fundus_helpers.runs.private_folder import private_folder
from fundus_helpers.runs.warm_start import ADDRESS

PYTHON = [sys.executable, "-m"]
SERVED = [*PYTHON, "fundus_helpers.runs.warm_start", "serve"]
TOLD = """
import json, os, sys
told = [sys.argv[1:], os.getcwd(), os.environ["COLOUR"], sys.stdin.read(), __name__]
print(json.dumps(told))
print("a warning", file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a few programs."""
    (tmp_path / "told.py").write_text(TOLD)
    (tmp_path / "words.py").write_text("import sys; sys.exit('too dark')")
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "loaded.py").write_text("import sys; sys.exit('papermill' not in sys.modules)")
    (tmp_path / "sleeper.py").write_text(
        "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
    )
    return tmp_path


def program(*words):
    """Return the words that run a module of the folder through the warm start."""
    return [*PYTHON, "fundus_helpers.runs.warm_start", "run", *words]


def call(folder, *command):
    """Run a command in the folder."""
    return subprocess.run(
        command,
        cwd=folder,
        input="typed",
        capture_output=True,
        text=True,
        env=os.environ | {"COLOUR": "red"},
        timeout=120,
    )


def test_a_forked_program_has_the_arguments_the_streams_and_the_status_of_a_started_one(folder):
    cold = call(folder, *program("told", "3", "a b"))
    warm = call(folder, *SERVED, *program("told", "3", "a b"))
    assert (warm.returncode, warm.stdout) == (cold.returncode, cold.stdout)
    assert warm.returncode == 3 and '["3", "a b"]' in warm.stdout and '"typed"' in warm.stdout
    assert warm.stderr == cold.stderr == "a warning\n"


def test_it_finds_everything_loaded_and_without_a_server_does_not(folder):
    assert call(folder, *SERVED, *program("loaded")).returncode == 0
    assert call(folder, *program("loaded")).returncode == 1


@pytest.mark.parametrize(("module", "told"), [("words", "too dark"), ("broken", "ZeroDivision")])
def test_what_goes_wrong_is_said_and_is_in_the_status(folder, module, told):
    ran = call(folder, *SERVED, *program(module))
    assert ran.returncode == 1 and told in ran.stderr


def test_a_server_that_is_gone_is_told_and_the_program_started_anew(folder, monkeypatch):
    monkeypatch.setenv(ADDRESS, str(folder / "no-socket"))
    ran = call(folder, *program("told", "0"))
    assert ran.returncode == 0 and '"red"' in ran.stdout
    assert "its server is gone" in ran.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_program_ends_with_the_one_that_asked_for_it(folder, number):
    words = [*SERVED, *program("sleeper", "pid")]
    served = subprocess.Popen(words, cwd=folder)
    try:
        pid = wait_for(lambda: (folder / "pid").exists() and (folder / "pid").read_text())
        forked = psutil.Process(int(pid))
        (asked,) = (
            child
            for child in psutil.Process(served.pid).children(recursive=True)
            if "sleeper" in child.cmdline()
        )
        assert forked.pid != asked.pid
        asked.send_signal(number)
        assert served.wait(30) != 0
        wait_for(lambda: not forked.is_running() or forked.status() == psutil.STATUS_ZOMBIE)
    finally:
        served.kill()


@pytest.mark.parametrize("number", [None, signal.SIGTERM, signal.SIGKILL])
def test_the_server_ends_with_its_command_and_with_the_one_that_started_it(
    folder, tmp_path_factory, monkeypatch, number
):
    place = tmp_path_factory.mktemp("w")  # short: names of sockets must be
    monkeypatch.setenv("TMPDIR", str(place))
    served = subprocess.Popen([*SERVED, "sleep", "600" if number else "1"], cwd=folder)
    try:
        (server,) = wait_for(lambda: [p for p in listeners(place) if list(place.glob("*/socket"))])
        if number:
            served.send_signal(number)
        assert (served.wait(30) == 0) == (number is None)
        wait_for(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
    finally:
        served.kill()
    assert number or list(place.glob("warm-*")) == []


def test_a_long_folder_for_temporary_files_does_no_harm(folder, monkeypatch):
    long = folder / ("t" * 130)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    assert call(folder, *SERVED, *program("loaded")).returncode == 0
    assert [*long.glob("warm-*")] == []


def test_the_folder_of_the_socket_is_short_and_only_for_this_user(tmp_path, monkeypatch):
    for name in ("t", "ü" * 40, "t" * 130):
        place = tmp_path / name
        place.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(place))
        with private_folder("warm-") as made:
            assert len(os.fsencode(made)) <= 90
            assert made.stat().st_mode & 0o777 == 0o700 and made.stat().st_uid == os.getuid()
            assert (made.parent == place) == (len(os.fsencode(place / made.name)) <= 90)
        assert not made.exists()


def test_it_is_said_what_to_do_if_no_short_folder_can_be_written(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(OSError, match="set TMPDIR to such a folder"), private_folder("warm-"):
        pass


def listeners(place):
    """Return the servers that listen in a folder."""
    every = psutil.process_iter(["cmdline"])
    words = {process: " ".join(process.info["cmdline"] or []) for process in every}
    return [process for process, line in words.items() if f" listen {place}" in line]


def wait_for(truth):
    """Wait until something is true, and return it."""
    end = time.monotonic() + 60
    while not (found := truth()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return found
