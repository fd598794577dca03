"""The notebooks: which of them register, and the parameters that each declares.

This file and the others that the Snakefile imports load no large library: on a cluster it is read
twice in every job.
"""

import ast
import json
from collections.abc import Mapping
from pathlib import Path

# They leave outcomes, which the other one compares.
REGISTERING = (
    "03_rigid",
    "04_optical_flow",
    "05_simple_elastix",
    "06_spatial_transformer",
    "07_kmeans_clustering",
    "08_groupwise",
    "09_retinal_keypoints",
)


COMPARISON = "11_compare_methods"


TYPES = {"str": str, "int": int, "float": float}


def known_parameters(notebook: Path | str) -> dict[str, str]:
    """List the parameters of a notebook: their names, and the types they are declared with.

    Parameters
    ----------
    notebook : path
        With a cell tagged ``parameters`` of lines like ``size: int = 768``.
    """
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    lines = ast.parse("\n".join("".join(cell["source"]) for cell in tagged)).body
    declared = [line for line in lines if isinstance(line, ast.AnnAssign)]
    return {line.target.id: ast.unparse(line.annotation) for line in declared}


def typed_parameters(notebook: Path | str, given: Mapping[str, str]) -> dict[str, object]:
    """Read parameters given as text by the types that the notebook's own cell declares.

    So ``patient=007`` stays text, and a name the notebook does not know is an error, where
    papermill would make it 7 and only warn.

    Parameters
    ----------
    notebook : path
        See `known_parameters`.
    given : mapping of str
        Name to value.

    Raises
    ------
    ValueError
        For an unknown name, or a value that is not of the declared type; names what is accepted.
    """
    known = known_parameters(notebook)
    name = Path(notebook).name
    parameters = {}
    for key, text in given.items():
        if key not in known:
            raise ValueError(f"{name}: no parameter {key!r}; there are {sorted(known)}")
        kind = known[key]
        if kind == "bool":
            if text not in ("True", "False"):
                raise ValueError(f"{name}: {key}={text}: give True or False")
            parameters[key] = text == "True"
            continue
        try:
            parameters[key] = TYPES.get(kind, str)(text)
        except ValueError as error:
            raise ValueError(f"{name}: {key}={text} is not of type {kind}") from error
    return parameters
