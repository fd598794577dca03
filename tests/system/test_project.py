"""The project keeps what its pages promise: dependencies, commands, layers, docstrings."""

import ast
import importlib.metadata
import os
import re
import subprocess
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[2]
MODULES = sorted(PROJECT.glob("fundus_helpers/**/*.py"))
# From the lowest layer to the highest; a file imports only from lines above its own.
LAYERS = """
files places notebooks provenance progress worker memory warm_start smoothing fields comparisons
images
transforms vessels features radial
warping matching dense
pair predicted_error
evidence weights tensors
verdict training losses augmentation networks
coarse_alignment elastix_run knobs batches article_network
methods
sliders tuned visits
eye
demo_retina
demo_eye fire
metrics
assessment
series
groupwise peers photographs
fire_benchmark group_methods
figures preview
flicker comparison benchmark_figures keypoint_figures learning_curves
visit_figures panel outcome_figures
results
outcomes tuner
outcome_tables tuning
headless report app pseudonyms plan
cohort
cohort_report
"""
# These know arrays only: no file of the package.
ARRAYS_ONLY = {"template", "clusters"}

every_module = pytest.mark.parametrize("path", MODULES, ids=[path.stem for path in MODULES])


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
    assert any(re.search(r"(^|[ =])\.(\[cluster,test\])?$", line) for line in nested["pip"])


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


def test_every_command_is_explained():
    phony, *_ = re.findall(r"^\.PHONY: (.+)$", read("Makefile"), re.MULTILINE)
    assert set(phony.split()) == helped_targets()


def test_help_is_what_make_says_first_and_lists_every_command():
    told = make()
    assert told == make("help")
    listed = set(re.findall(r"^([a-z-]+) +\S", told, re.MULTILINE))
    assert listed >= helped_targets()


def test_commands_that_the_pages_mention_exist():
    for page in ("README.md", "CONTRIBUTING.md", "data/README.md", "docs/cluster.md"):
        # As code only: in backquotes or indented.
        mentioned = set(re.findall(r"(?:`|^    |=\S+ )make ([a-z-]+)", read(page), re.MULTILINE))
        assert {m for m in mentioned if not m.endswith("-")} <= helped_targets(), page
    assert {"demo", "test"} <= set(re.findall(r"`make ([a-z-]+)`", read("README.md")))


def test_ci_runs_both_commands_of_the_readme():
    script = PROJECT / ".ci" / "run"
    lines = script.read_text().splitlines()
    assert lines[0] in ("#!/usr/bin/env bash", "#!/bin/bash")
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)
    assert {"make demo", "make test"} <= set(lines)
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


def name_of(path):
    """Return the name of a file in the package; all of methods/ is one."""
    parts = path.relative_to(PROJECT / "fundus_helpers").with_suffix("").parts
    return parts[0]


def imported(path):
    """Return the names of the package's files that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("fundus_help")}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            if node.module == "fundus_helpers":
                names |= {alias.name for alias in node.names}
            elif node.module.startswith("fundus_helpers."):
                names.add(node.module.split(".")[1])
    return names - {name_of(path)}


def test_nothing_is_imported_upwards():
    rank = {name: i for i, line in enumerate(LAYERS.split("\n")) for name in line.split()}
    for path in MODULES:
        name = name_of(path)
        if name == "__init__":
            continue
        assert name in rank or name in ARRAYS_ONLY, f"{name} has no place among the layers"
        upwards = {other for other in imported(path) if rank[other] >= rank.get(name, 0)}
        assert upwards == set(), f"{path.name} imports {upwards}"


def test_modules_of_arrays_import_no_other():
    for name in ARRAYS_ONLY:
        assert imported(PROJECT / "fundus_helpers" / f"{name}.py") == set()


def test_imports_have_no_cycle():
    graph = {}
    for path in MODULES:
        graph.setdefault(name_of(path), set()).update(imported(path))
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"cycle: {error.args[1]}")


def test_methods_do_not_import_each_other():
    methods = [path for path in MODULES if path.parent.name == "methods"]
    for path in methods:
        text = path.read_text(encoding="utf-8")
        assert path.name == "__init__.py" or "fundus_helpers.methods" not in text, path.name


@every_module
def test_files_stay_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 250


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
def test_docstrings_name_every_knob(path):
    for node, _ in public_functions(path):
        text, given = ast.get_docstring(node) or "", node.args
        plain = [*given.posonlyargs, *given.args]
        with_default = plain[len(plain) - len(given.defaults) :]
        knobs = [argument.arg for argument in (*with_default, *given.kwonlyargs)]
        if node.name == "main" or refers_elsewhere(text):
            continue
        unnamed = [name for name in knobs if not re.search(rf"\b{name}\b", text)]
        assert unnamed == [], f"{node.name}: {unnamed}"


@every_module
def test_docstrings_of_many_arguments_list_them(path):
    for node, method in public_functions(path):
        text = ast.get_docstring(node) or ""
        if len(arguments_of(node, method)) >= 5 and not refers_elsewhere(text):
            assert re.search(r"^Parameters\n-+$", text, re.MULTILINE), node.name


@every_module
def test_docstrings_promise_no_argument_that_is_not_there(path):
    for node, method in public_functions(path):
        text = ast.get_docstring(node) or ""
        section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w+\n-+\n|\Z)", text, re.M | re.S)
        if section is None:
            continue
        heads = re.findall(r"^(\*{0,2}\w[\w, *]*?)(?: :.*)?$", section[1], re.MULTILINE)
        promised = [n.strip("* ") for head in heads for n in head.split(",")]
        names = [argument.arg for argument in arguments_of(node, method)]
        assert [name for name in promised if name not in names] == [], node.name


@every_module
def test_nothing_prints_and_nothing_swallows_every_error(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            assert getattr(node.func, "id", "") != "print", node.lineno
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, node.lineno
