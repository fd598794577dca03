"""The origin of numbers: the code, the packages and the photographs that they come from."""

import ast
import hashlib
import importlib
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fundus_helpers import __version__
from fundus_helpers.files import sha256_of

# The versions of these packages decide the numbers. The names of their modules follow.
PACKAGES = {
    "SimpleITK-SimpleElastix": "SimpleITK",
    "numpy": "numpy",
    "opencv-python-headless": "cv2",
    "scikit-image": "skimage",
    "scipy": "scipy",
    "torch": "torch",
}
# These parts of the package decide the numbers. All other parts only show them or start runs.
PACKAGE = Path(__file__).parents[1]
DECIDING = (
    *("loading", "transforms", "methods", "metrics", "series", "atrophy", "study.py"),
    *("results/tuned.py", "results/folder.py", "runs/fire_benchmark.py", "runs/peers.py"),
)
METRICS_FILE = "metrics.json"
SCHEMA = 2  # version of metrics.json; files of version 1 had no version in them


def code_version(package: Path | str = PACKAGE) -> str:
    """Return the version of this package and a hash of the code that decides the numbers.

    Every change of this code changes the hash, even if the version stays the same. Comments,
    docstrings, layout and the code that only shows numbers do not change it.

    Parameters
    ----------
    package : path
        Folder of the source code.
    """
    digest, package = hashlib.sha256(f"schema {SCHEMA}".encode()), Path(package)
    for name in DECIDING:
        place = package / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(path.relative_to(package).as_posix().encode())
            digest.update(_without_words(path.read_text(encoding="utf-8")).encode())
    return f"{__version__}+{digest.hexdigest()[:12]}"


def _without_words(source: str) -> str:
    """Bring source code into a standard form without comments and docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [statement for statement in body if not _is_text(statement)]
    return ast.unparse(tree)


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def provenance_of(parameters: Mapping[str, object], files: Mapping[str, Path]) -> dict[str, object]:
    """Collect everything that is needed to repeat a run.

    Parameters
    ----------
    parameters : mapping
        Parameters of the notebook.
    files : mapping of str to Path
        The photographs that were used, by the names that identify them. Their content is identified
        by SHA-256.

    Returns
    -------
    dict
        Its keys are ``parameters``, ``code``, ``python``, ``packages`` and ``sha256``.
    """
    return {
        "parameters": dict(parameters),
        "code": code_version(),
        "python": platform.python_version(),
        "packages": {name: _version(name, module) for name, module in PACKAGES.items()},
        "sha256": {name: sha256_of(path) for name, path in files.items()},
    }


def _version(name: str, module: str) -> str:
    """Return the version of a package; if it was not installed under this name, of its module."""
    try:
        return version(name)
    except PackageNotFoundError:
        return importlib.import_module(module).__version__
