"""Read from the notebooks which parameters they have and what they do.

The Snakefile imports this file. On a cluster every job reads the Snakefile twice. The files that it
imports therefore load no large library.
"""

import ast
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

# The notebook that chooses the template if the parameter template_visit is "selected".
TEMPLATE_NOTEBOOK = "02_template_selection"
# The notebook that follows the atrophy of an eye, and the one that compares growth over eyes.
ATROPHY_NOTEBOOK, GROWTH_NOTEBOOK = "12_atrophy", "13_growth"
# What most people need of an eye: its photographs, the template, the registration, the atrophy.
MOST_NEEDED = ("01_exploratory_analysis", TEMPLATE_NOTEBOOK, "09_retinal_keypoints")
MOST_NEEDED += (ATROPHY_NOTEBOOK,)
TYPES = {"str": str, "int": int, "float": float}


def _cells(notebook: Path | str, tag: str | None = None) -> list[str]:
    """Return the sources of all code cells of a notebook, or only of those with a tag."""
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    return [
        "".join(cell["source"])
        for cell in cells
        if cell["cell_type"] == "code" and (tag is None or tag in cell["metadata"].get("tags", []))
    ]


def numbered_notebooks(folder: Path | str) -> dict[str, Path]:
    """Return the paths of the numbered notebooks of a folder by name, in their order."""
    return {path.stem: path for path in sorted(Path(folder).glob("[0-9][0-9]_*.ipynb"))}


def chosen_notebooks(words: str, names: Iterable[str]) -> list[str]:
    """Return the notebooks that are named by number or name.

    Parameters
    ----------
    words : str
        Numbers or names with spaces between them, for example ``"2 09 11_compare_methods"``. Empty:
        all. The word ``most`` alone stands for what most people need.
    names : iterable of str
        The names of all notebooks.

    Returns
    -------
    list of str
        In their order.

    Raises
    ------
    ValueError
        If there is no such notebook.

    Examples
    --------
    >>> chosen_notebooks("9", ["02_template_selection", "09_retinal_keypoints"])
    ['09_retinal_keypoints']
    """
    names = sorted(names)
    if words == "most":
        return [name for name in names if name in MOST_NEEDED]
    asked = {word: f"{word:0>2}" for word in words.split()}
    for word, number in asked.items():
        if not any(number in (name, name[:2]) for name in names):
            raise ValueError(f"there is no notebook {word!r}; give some of: {', '.join(names)}")
    asked = set(asked.values())
    return [name for name in names if not asked or name in asked or name[:2] in asked]


def known_parameters(notebook: Path | str) -> dict[str, str]:
    """Return the parameters of a notebook: their names and the types with which they are declared.

    Parameters
    ----------
    notebook : path
        The cell with the tag ``parameters`` contains lines like ``size: int = 768``.
    """
    lines = ast.parse("\n".join(_cells(notebook, "parameters"))).body
    declared = [line for line in lines if isinstance(line, ast.AnnAssign)]
    return {line.target.id: ast.unparse(line.annotation) for line in declared}


def registers(notebook: Path | str) -> bool:
    """Whether a notebook registers visits and saves outcomes: a cell has the tag ``registers``."""
    return bool(_cells(notebook, "registers"))


def compares(notebook: Path | str) -> bool:
    """Whether a notebook can compare methods over a cohort: it has a parameter ``cohort``."""
    return "cohort" in known_parameters(notebook)


def registering_notebooks(folder: Path | str) -> list[str]:
    """Return the names of the notebooks of a folder that register visits, in their order."""
    return [name for name, path in numbered_notebooks(folder).items() if registers(path)]


def imports_of(notebook: Path | str) -> set[str]:
    """Return the names of the modules that a notebook imports, from its cells of plain Python."""
    modules = set()
    for source in _cells(notebook):
        try:
            nodes = list(ast.walk(ast.parse(source)))
        except SyntaxError:  # for example %matplotlib inline
            continue
        for node in nodes:
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module)
    return modules


def typed_parameters(notebook: Path | str, given: Mapping[str, str]) -> dict[str, object]:
    """Convert parameters from text to the types that the notebook declares.

    With papermill alone, ``patient=007`` would become the number 7, and an unknown name would only
    cause a warning. Here ``007`` stays text, and an unknown name is an error.

    Parameters
    ----------
    notebook : path
        See `known_parameters`.
    given : mapping of str
        The values by name.

    Raises
    ------
    ValueError
        If a name is unknown, or a value is not of the declared type. The message says what is
        accepted.
    """
    known = known_parameters(notebook)
    name = Path(notebook).name
    parameters = {}
    for key, text in given.items():
        if key not in known:
            raise ValueError(f"{name} has no parameter {key!r}; it has {sorted(known)}")
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
