"""What decides numbers has a hash; what only shows them, and words about them, has none."""

import hashlib
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import fundus_helpers
from fundus_helpers.results.provenance import DECIDING, PACKAGE, code_version, provenance_of


@pytest.fixture
def sources(tmp_path):
    """Return a copy of the package's sources."""
    without = shutil.ignore_patterns("__pycache__")
    return shutil.copytree(PACKAGE, tmp_path / "fundus_helpers", ignore=without)


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_same_sources_have_the_same_version_anywhere(sources):
    assert code_version(sources) == code_version()


@pytest.mark.parametrize("name", DECIDING)
def test_code_that_decides_numbers_changes_the_version(sources, name):
    place = sources / name
    path = place if place.is_file() else sorted(place.rglob("[a-z]*.py"))[0]
    before = code_version(sources)
    path.write_text(path.read_text() + "\nADDED = 1\n")
    assert code_version(sources) != before


def test_a_new_file_among_them_changes_the_version(sources):
    before = code_version(sources)
    (sources / "methods" / "new.py").write_text("")
    assert code_version(sources) != before


def test_a_constant_changes_the_version(sources):
    before = code_version(sources)
    change(sources / "methods" / "pair.py", "CHECK_SIZE = 384", "CHECK_SIZE = 385")
    assert code_version(sources) != before


@pytest.mark.parametrize(
    "name", ["panels/panel.py", "results/report/eye.py", "plotting/figures.py"]
)
def test_what_only_shows_numbers_does_not_change_the_version(sources, name):
    before = code_version(sources)
    (sources / name).write_text((sources / name).read_text() + "\nADDED = 1\n")
    assert code_version(sources) == before


def test_words_and_layout_do_not_change_the_version(sources):
    before, path = code_version(sources), sources / "methods" / "pair.py"
    change(path, '"""', '"""Another first sentence. ')
    change(path, "CHECK_SIZE = 384", "# Another comment.\nCHECK_SIZE   =  384  # and one more")
    change(path, "def check_result(", "\n\n\ndef check_result(")
    assert code_version(sources) == before


def test_every_room_is_known_to_decide_numbers_or_not():
    shown_only = {"plotting", "results", "panels", "runs"}
    rooms = {path.name for path in Path(PACKAGE).iterdir() if path.is_dir()} - {"__pycache__"}
    assert rooms == shown_only | {name for name in DECIDING if not name.endswith(".py")}


def test_a_checkout_that_is_not_installed_can_be_imported_and_has_its_version(sources):
    script = """
import importlib.metadata, sys
known = importlib.metadata.distribution
def only_others(name):
    if name.lower().startswith(("fundus", "simpleitk", "opencv")):
        raise importlib.metadata.PackageNotFoundError(name)
    return known(name)
importlib.metadata.distribution = only_others
import fundus_helpers
from fundus_helpers.results.provenance import provenance_of
told = provenance_of({}, {})
print(fundus_helpers.__file__, fundus_helpers.__version__, told["code"].split("+")[0])
print(*told["packages"].values())
"""
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, cwd=sources.parent, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    first, packages = ran.stdout.splitlines()
    place, *versions = first.split()
    assert Path(place).parent == sources
    assert versions == [fundus_helpers.__version__] * 2
    assert all(version[0].isdigit() for version in packages.split())


def test_photographs_of_one_name_in_two_folders_are_told_apart(tmp_path):
    files = {f"{year}/eye.png": tmp_path / year / "eye.png" for year in ("2019", "2020")}
    for name, path in files.items():
        path.parent.mkdir()
        path.write_text(name)
    told = provenance_of({}, files)["sha256"]
    assert told == {name: hashlib.sha256(name.encode()).hexdigest() for name in files}


def test_the_version_stands_in_one_place():
    table = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())
    assert "version" not in table["project"] and table["project"]["dynamic"] == ["version"]
    read = table["tool"]["setuptools"]["dynamic"]["version"]
    assert read == {"attr": "fundus_helpers.__version__"}
