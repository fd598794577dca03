"""Folders that a run cannot use are refused in one sentence; all others work."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from fundus_helpers.runs.folders import FolderError, check_folders, main


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Return an empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "name",
    ["2024_11", "007", "1e5", "true", "null", "[a]", "2024-11-03", "a b", "ä #1", "it's", 'a"b']
    + ["$HOME", "a:b", "results/", "./x", "../x", "a,b", "%"[:0] + "a%b", "a&b;c", "(x)", "*"],
)
def test_a_folder_may_have_any_printable_name(place, name):
    check_folders(name, name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("{x}", "'{', '}' cannot be used; rename the folder"),
        ("a\tb", r"'\\t' cannot be used"),
        ("a\nb", r"'\\n' cannot be used"),
        (os.fsdecode(b"a\xff"), "cannot be used"),
        ("a\\b", "cannot be used"),
        ("", "may not be empty"),
        (" x", "begin or end with a space"),
        ("#x", "give the path as './#x'"),
        ("-x", "give the path as './-x'"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused_in_one_sentence(place, capsys, name, words):
    for folders in ((name, "results"), ("data", name)):
        with pytest.raises(FolderError, match=words):
            check_folders(*folders)
        assert main([*folders, ""]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("name", ["it's", 'a"b', "$x", "`x`"])
def test_a_name_that_harms_the_commands_of_a_cluster_is_refused_there_only(place, capsys, name):
    assert main(["data", name, ""]) == 0
    assert main(["data", name, "", "--cluster"]) == 2
    assert "cannot be used" in capsys.readouterr().err


def test_a_file_in_the_place_of_a_folder_is_refused(place):
    Path("file").touch()
    with pytest.raises(FolderError, match="DATA='file' is a file; give the path of a folder"):
        check_folders("file", "results")
    with pytest.raises(FolderError, match="RESULTS='file' is a file"):
        check_folders("data", "file")
    with pytest.raises(FolderError, match="'file' is a file, not a folder"):
        check_folders("data", "file/results/new")


@pytest.mark.parametrize("locked", ["data", "results", "."])
def test_a_folder_without_permission_is_refused(locked):
    script = (
        "import os, sys\n"
        "from fundus_helpers.runs.folders import main\n"
        "if os.getuid() == 0:\n"  # root may read and write everywhere
        "    os.setgroups([]), os.setgid(65534), os.setuid(65534)\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    # Not below tmp_path, which nobody but its owner may enter.
    with tempfile.TemporaryDirectory() as outer:
        os.chmod(outer, 0o777)
        for name in ("data", "results"):
            Path(outer, name).mkdir(mode=0o777)
            Path(outer, name).chmod(0o777)
        mode = {"data": 0o311, "results": 0o555, ".": 0o555}[locked]
        Path(outer, locked).chmod(mode)
        results = "new" if locked == "." else "results"
        folders = [f"{outer}/data", f"{outer}/{results}", ""]
        ran = subprocess.run(
            [sys.executable, "-c", script, *folders], capture_output=True, text=True
        )
        Path(outer, locked).chmod(0o777)
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert "permissions" in line and ("DATA" if locked == "data" else "RESULTS") in line


def test_a_pattern_or_a_table_that_cannot_be_used_is_one_sentence(place, monkeypatch, capsys):
    (place / "data").mkdir()
    monkeypatch.setenv("FUNDUS_PATTERN", "(")
    assert main(["data", "results", ""]) == 2
    assert "PATTERN" in capsys.readouterr().err
    monkeypatch.delenv("FUNDUS_PATTERN")
    (place / "data" / "visits.csv").write_text("a,b\n1,2\n")
    assert main(["data", "results", ""]) == 2
    assert "VISITS_COLUMNS" in capsys.readouterr().err
    assert main(["data", "results <new>", ""]) == 2


def test_a_notebook_that_does_not_exist_is_named_with_those_that_do(place, capsys):
    (place / "notebooks").mkdir()
    for name in ("02_template_selection", "09_retinal_keypoints"):
        (place / "notebooks" / f"{name}.ipynb").touch()
    for given in ("", "2", "09 02_template_selection", "most"):
        assert main(["data", "results", given]) == 0
    assert main(["data", "results", "2 x"]) == 2
    told = capsys.readouterr().err
    assert "NOTEBOOKS='2 x': there is no notebook 'x'" in told and "09_retinal_keypoints" in told
