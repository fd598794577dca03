"""The project keeps what its pages promise: dependencies, commands, rooms, docstrings."""

import ast
import doctest
import importlib.metadata
import inspect
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from subprocess import PIPE

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from small_project import INHERITED

import fundus_helpers as fh

PROJECT = Path(__file__).parents[2]
MODULES = sorted(PROJECT.glob("fundus_helpers/**/*.py"))
# The folders of the package, by the names under which they are imported.
ROOMS = sorted(
    ".".join(path.parent.relative_to(PROJECT).parts)
    for path in PROJECT.glob("fundus_helpers/*/**/__init__.py")
)
TOP_NAMES = {
    *("METHODS", "Study", "judge", "load_eye", "make_demo_eye", "map_points", "measure"),
    *("read_photograph", "register_eye", "register_photographs", "tune", "warp"),
}
# Importing the package alone is quick: it loads none of these.
HEAVY = {"SimpleITK", "cv2", "matplotlib", "pandas", "torch"}

every_module = pytest.mark.parametrize("path", MODULES, ids=[path.stem for path in MODULES])
every_room = pytest.mark.parametrize("room", ROOMS)


def read(name):
    """Return the text of a file of the project."""
    return (PROJECT / name).read_text(encoding="utf-8")


def project_table():
    """Return the table [project] of pyproject.toml."""
    return tomllib.loads(read("pyproject.toml"))["project"]


def dependencies():
    """Return every dependency that pyproject.toml names, those of the tests too."""
    table = project_table()
    lines = table["dependencies"] + [d for e in table["optional-dependencies"].values() for d in e]
    return [Requirement(line) for line in lines]


def constraints():
    """Return the lines of constraints.txt without comments."""
    lines = [line.split("#")[0].strip() for line in read("constraints.txt").splitlines()]
    return [line for line in lines if line]


# Dependencies


def test_every_dependency_is_named_once():
    names = [canonicalize_name(dependency.name) for dependency in dependencies()]
    assert sorted(names) == sorted(set(names))


def test_constraints_are_exact_versions_from_the_index():
    odd = [line for line in constraints() if not re.fullmatch(r"[\w.-]+==[\w.!]+", line)]
    assert odd == []  # no path, no address, no +cpu
    names = [canonicalize_name(line.split("==")[0]) for line in constraints()]
    assert sorted(names) == sorted(set(names))


def test_constraints_hold_every_dependency_at_a_version_that_it_allows():
    exact = {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in constraints()}
    for dependency in dependencies():
        version = exact.get(canonicalize_name(dependency.name))
        assert version, f"{dependency.name} is not in constraints.txt"
        assert dependency.specifier.contains(version, prereleases=True), dependency


def test_conda_installs_python_and_pip_and_leaves_the_rest_to_pyproject():
    environment = yaml.safe_load(read("environment.yml"))
    plain = [item for item in environment["dependencies"] if isinstance(item, str)]
    (nested,) = [item for item in environment["dependencies"] if not isinstance(item, str)]
    assert sorted(re.match(r"[a-z]+", item)[0] for item in plain) == ["pip", "python"]
    assert list(nested) == ["pip"]
    assert all(re.match(r"(-e|--editable|-c|--constraint)[ =]|\.", line) for line in nested["pip"])
    assert any("constraints.txt" in line for line in nested["pip"])
    assert any(re.search(r"(^|[ =])\.(\[book,cluster,test\])?$", line) for line in nested["pip"])


def test_conda_s_python_is_one_the_project_supports():
    (line,) = [
        item
        for item in yaml.safe_load(read("environment.yml"))["dependencies"]
        if isinstance(item, str) and item.startswith("python")
    ]
    version = line.removeprefix("python").lstrip("= ")
    assert re.fullmatch(r"3\.\d+(\.\d+)?", version)
    assert SpecifierSet(project_table()["requires-python"]).contains(version)


def test_simpleitk_is_not_installed_beside_the_package_that_replaces_it():
    assert importlib.metadata.version("SimpleITK-SimpleElastix")
    installed = {
        canonicalize_name(found.metadata["Name"]) for found in importlib.metadata.distributions()
    }
    assert "simpleitk" not in installed


# Commands


def make(*arguments):
    """Run make in the project, free of what an outer make hands down."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLA"))}
    return subprocess.run(
        ["make", *arguments], cwd=PROJECT, env=kept, capture_output=True, text=True, check=True
    ).stdout


def helped_targets():
    """Return the targets of the Makefile that have a help text."""
    return set(re.findall(r"^([a-z-]+):.*## \S", read("Makefile"), re.MULTILINE))


def recipe_of(target):
    """Return the lines of the Makefile that a target runs."""
    return re.search(rf"^{target}:.*\n((?:\t.*\n)+)", read("Makefile"), re.MULTILINE)[1]


def test_every_command_is_explained():
    phony, *_ = re.findall(r"^\.PHONY: (.+)$", read("Makefile"), re.MULTILINE)
    assert set(phony.split()) == helped_targets()


def test_help_is_what_make_says_first_and_lists_every_command():
    told = make()
    assert told == make("help")
    listed = set(re.findall(r"^([a-z-]+) +\S", told, re.MULTILINE))
    assert listed >= helped_targets()


def test_what_make_test_hands_down_does_not_reach_the_runs_of_the_tests():
    inherited = set(INHERITED.split())
    clean = {name: value for name, value in os.environ.items() if name not in inherited}
    visits = ["VISITS=visits.csv", "VISITS_COLUMNS=file=F", "PATTERN={patient}"]
    command = ["make", "--eval=environment:; @env", "environment", *visits]
    told = subprocess.run(command, cwd=PROJECT, env=clean, stdout=PIPE, text=True, check=True)
    exported = {line.partition("=")[0] for line in told.stdout.splitlines()}
    assert "FUNDUS_VISITS" in exported  # so the recipe tells what make exports
    of_any_make = {"_", "SHLVL", "PWD", "MAKE_TERMERR", "MAKE_TERMOUT"}
    assert exported - set(clean) - of_any_make <= inherited


def test_commands_that_the_pages_mention_exist():
    docs = [path.relative_to(PROJECT).as_posix() for path in PROJECT.glob("docs/*.md")]
    for page in ("README.md", "CONTRIBUTING.md", "data/README.md", *docs):
        # As code only: in backquotes or indented.
        mentioned = set(re.findall(r"(?:`|^    |=\S+ )make ([a-z-]+)", read(page), re.MULTILINE))
        assert {m for m in mentioned if not m.endswith("-")} <= helped_targets(), page
    assert {"demo", "test"} <= set(re.findall(r"`make ([a-z-]+)`", read("README.md")))


def test_lint_checks_code_imports_docstrings_and_notebooks():
    commands = make("-n", "lint")
    for command in ("ruff check .", "ruff format --check .", "lint-imports", "numpydoc lint "):
        assert f".venv/bin/{command}" in commands, command
    assert ".venv/bin/nbstripout --verify" in commands


def test_pre_commit_runs_the_programs_of_make_lint():
    (local,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    programs = {hook["entry"].split()[0] for hook in local["hooks"]}
    assert programs >= {
        f".venv/bin/{name}" for name in re.findall(r"\$\(BIN\)/(\S+)", recipe_of("lint"))
    }


def test_ci_runs_both_commands_of_the_readme_and_builds_the_book_of_the_demo():
    script = PROJECT / ".ci" / "run"
    lines = script.read_text().splitlines()
    assert lines[0] in ("#!/usr/bin/env bash", "#!/bin/bash")
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)
    commands = [line for line in lines if line.startswith("make ")]
    assert commands == ["make demo", "make book", "make test"]
    assert any(re.match(r"set -\w*e", line) for line in lines)


def test_jupyterlab_and_the_page_are_for_this_machine_only():
    assert "--ip=127.0.0.1" in make("-n", "lab")
    assert "token=" not in make("-n", "lab")  # Jupyter makes one
    assert "cd app && " in make("-n", "app")  # whose voila.json says the same


def ignored(path):
    """Whether git keeps a path out."""
    command = ["git", "check-ignore", "--quiet", "--no-index", path]
    status = subprocess.run(command, cwd=PROJECT).returncode
    assert status in (0, 1), "git failed"
    return status == 0


@pytest.mark.skipif(not (PROJECT / ".git").exists(), reason="not a clone")
def test_patients_and_results_stay_out_of_git():
    for path in (
        "data/007/007_2020-01-01_L.png",
        "data/photograph.dcm",
        "data/007/README.md",
        "results/007_L/report.html",
        "results/007_L/03_rigid/metrics.json",
        "notebooks/last_visit.tfm",
    ):
        assert ignored(path), path
    assert not ignored("data/README.md")
    assert not ignored("notebooks/01_exploratory_analysis.ipynb")
    tracked = subprocess.run(
        ["git", "ls-files", "data", "results"], cwd=PROJECT, capture_output=True, text=True
    )
    assert tracked.stdout.split() in ([], ["data/README.md"])


# The module


def test_folders_hold_few_files():
    files = Counter(path.parent.relative_to(PROJECT).as_posix() for path in MODULES)
    assert files["fundus_helpers"] <= 5
    assert {folder: count for folder, count in files.items() if count > 12} == {}


@every_module
def test_files_stay_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@every_room
def test_rooms_say_in_one_line_what_they_hold(room):
    text, *_ = importlib.import_module(room).__doc__.strip().split("\n\nExamples\n---")
    assert re.fullmatch(r"[A-Z].+\.", text), text


@every_room
def test_names_of_rooms_can_be_used(room):
    module = importlib.import_module(room)
    assert len(module.__all__) == len(set(module.__all__)) > 0
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_top_names_are_few_and_can_be_used():
    names = dir(fh)
    assert set(names) >= TOP_NAMES
    assert 12 <= len(names) <= 25
    assert [name for name in names if not hasattr(fh, name)] == []


def test_the_stub_lists_the_names_of_the_package():
    tree = ast.parse(read("fundus_helpers/__init__.pyi"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    imported = [alias.asname or alias.name for node in imports for alias in node.names]
    (listed,) = [ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign)]
    assert sorted(imported) == sorted(listed) == sorted(fh.__all__)


def test_importing_the_package_loads_nothing_heavy():
    script = "import sys, fundus_helpers; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert HEAVY & set(loaded.stdout.split()) == set()


def test_what_the_snakefile_imports_reads_no_photograph_and_is_light():
    """Snakemake reads the Snakefile twice for every job on a cluster."""
    lines = read("workflow/Snakefile").splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("import "))
    last = next(i for i, line in enumerate(lines) if line.startswith("from snakemake"))
    script = "\n".join([*lines[first:last], "cohort_eyes, list_eye", "import sys"])
    script += "\nprint(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    light = {"numpy", "pandas"}  # for the tables of visits
    read_photographs = {"pydicom", "PIL", "imagecodecs", "tifffile"}
    assert ((HEAVY | read_photographs) - light) & {*loaded.stdout.split()} == set()


def has_runnable_example(text):
    """Whether a docstring holds an example that doctest runs."""
    examples = doctest.DocTestParser().get_examples(text)
    return any(not example.options.get(doctest.SKIP) for example in examples)


@pytest.mark.parametrize(
    "name", sorted(({*fh.__all__} | TOP_NAMES) - {room.split(".")[1] for room in ROOMS})
)
def test_top_names_have_an_example_that_runs(name):
    # A mapping has no docstring of its own: METHODS is explained by its module.
    in_module = name == "METHODS"
    holder = importlib.import_module("fundus_helpers.methods") if in_module else getattr(fh, name)
    text = inspect.getdoc(holder)
    assert re.search(r"^Examples\n-{8}$", text, re.MULTILINE)
    assert has_runnable_example(text)


def public_functions(path):
    """Return (function's node, whether it is a method) for what a file offers."""
    found = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            found += [(item, True) for item in node.body if isinstance(item, ast.FunctionDef)]
        elif isinstance(node, ast.FunctionDef):
            found.append((node, False))
    return [(node, method) for node, method in found if not node.name.startswith("_")]


def arguments_of(node, method):
    """Return the arguments of a function, without self."""
    given = node.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    if method and not any(getattr(d, "id", "") == "staticmethod" for d in node.decorator_list):
        named = named[1:]
    return named + [extra for extra in (given.vararg, given.kwarg) if extra]


@every_module
def test_everything_public_has_type_hints(path):
    for node, method in public_functions(path):
        bare = [a.arg for a in arguments_of(node, method) if a.annotation is None]
        assert bare == [], f"{node.name}: {bare}"
        assert node.returns is not None, node.name


@every_module
def test_everything_public_has_a_docstring(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    for node in [*classes, *(node for node, _ in public_functions(path))]:
        assert node.name.startswith("_") or ast.get_docstring(node), node.name


def refers_elsewhere(text):
    """Whether a docstring leaves its arguments to another one."""
    return re.search(r"\bSee `[\w.]+`|Arguments and errors are those of `", text)


@every_module
def test_docstrings_without_parameters_section_name_their_knobs(path):
    # numpydoc (make lint) checks that the section is complete where there is one.
    for node, method in public_functions(path):
        text, given = ast.get_docstring(node) or "", node.args
        if refers_elsewhere(text) or re.search(r"^Parameters\n-+$", text, re.MULTILINE):
            continue
        assert len(arguments_of(node, method)) < 5, node.name
        plain = [*given.posonlyargs, *given.args]
        with_default = plain[len(plain) - len(given.defaults) :]
        knobs = [argument.arg for argument in (*with_default, *given.kwonlyargs)]
        unnamed = [name for name in knobs if not re.search(rf"\b{name}\b", text)]
        assert node.name == "main" or unnamed == [], f"{node.name}: {unnamed}"


@every_module
def test_nothing_prints_and_nothing_swallows_every_error(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            assert getattr(node.func, "id", "") != "print", node.lineno
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, node.lineno
