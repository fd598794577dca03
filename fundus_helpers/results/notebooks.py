"""The notebooks: their parameters, and what they are for, read from the notebooks themselves.

This file and the others that the Snakefile imports load no large library, because on a cluster the
Snakefile is read twice in every job.
"""

import ast
import json
from collections.abc import Mapping
from pathlib import Path

# The notebook whose choice the parameter template_visit="selected" asks for.
TEMPLATE_NOTEBOOK = "02_template_selection"
TYPES = {"str": str, "int": int, "float": float}


def _cells(notebook: Path | str, tag: str | None = None) -> list[str]:
    """Return the sources of the code cells of a notebook, or of those with a tag."""
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    return [
        "".join(cell["source"])
        for cell in cells
        if cell["cell_type"] == "code" and (tag is None or tag in cell["metadata"].get("tags", []))
    ]


def numbered_notebooks(folder: Path | str) -> dict[str, Path]:
    """List the notebooks of a folder, in their order: name to path."""
    return {path.stem: path for path in sorted(Path(folder).glob("[0-9][0-9]_*.ipynb"))}


def known_parameters(notebook: Path | str) -> dict[str, str]:
    """List the parameters of a notebook: their names, and the types they are declared with.

    Parameters
    ----------
    notebook : path
        With a cell tagged ``parameters`` of lines like ``size: int = 768``.
    """
    lines = ast.parse("\n".join(_cells(notebook, "parameters"))).body
    declared = [line for line in lines if isinstance(line, ast.AnnAssign)]
    return {line.target.id: ast.unparse(line.annotation) for line in declared}


def registers(notebook: Path | str) -> bool:
    """Whether a notebook registers visits and leaves outcomes: a cell is tagged ``registers``."""
    return bool(_cells(notebook, "registers"))


def compares(notebook: Path | str) -> bool:
    """Whether a notebook compares methods, also over a cohort: it has a parameter ``cohort``."""
    return "cohort" in known_parameters(notebook)


def registering_notebooks(folder: Path | str) -> list[str]:
    """Name the notebooks of a folder that register visits, in their order."""
    return [name for name, path in numbered_notebooks(folder).items() if registers(path)]


def imports_of(notebook: Path | str) -> set[str]:
    """Name the modules that a notebook imports."""
    modules = set()
    for node in ast.walk(ast.parse("\n".join(_cells(notebook)))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module)
    return modules


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
