"""Where numbers come from: the code, the packages and the photographs that made them."""

import hashlib
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path

# Their versions decide the numbers.
PACKAGES = "SimpleITK-SimpleElastix numpy opencv-python-headless scikit-image scipy torch".split()


def code_version() -> str:
    """Version of this package and a hash of its sources, which a change by hand changes too."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return f"{version('fundus-helpers')}+{digest.hexdigest()[:12]}"


def provenance_of(parameters: Mapping[str, object], files: Iterable[Path]) -> dict[str, object]:
    """Say what a run can be repeated from.

    Parameters
    ----------
    parameters : mapping
        Of the notebook.
    files : iterable of Path
        The photographs that were used; told by name and content (SHA-256).

    Returns
    -------
    dict
        ``parameters``, ``code``, ``python``, ``packages``, ``sha256``.
    """
    return {
        "parameters": dict(parameters),
        "code": code_version(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "sha256": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
    }
