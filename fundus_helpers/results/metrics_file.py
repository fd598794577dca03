"""``metrics.json``, the numbers that a notebook leaves for an eye: one schema, written and read.

The schema is stated in ``docs/metrics.md`` and, for programs, in ``docs/metrics.schema.json``.
"""

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fundus_helpers.files import written_beside
from fundus_helpers.loading.eye import Eye
from fundus_helpers.results.provenance import provenance_of

METRICS_FILE = "metrics.json"
VERSION = 2  # one more whenever the schema changes; files of version 1 had no version in them

Number = float | None


class OutdatedError(ValueError):
    """A ``metrics.json`` of another version of its schema; says what to do."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LeftOut(_Strict):
    """A photograph that was not used."""

    file: str
    reason: str


class Outcome(BaseModel):
    """What became of one visit under one method."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Number] = Field(init=False)

    method: str
    visit: str
    template: str
    verdict: Literal["accepted", "doubtful", "failed"]
    reasons: list[str] = Field(description="why it is not accepted")
    failure: str = Field(description="why the method gave no transform; empty if it gave one")
    predicted_error_px: Number
    landmark_error_before_px: Number
    seconds: Number = Field(description="of the method alone, on one thread")


class Provenance(_Strict):
    """What a run can be repeated from."""

    parameters: dict[str, Any] = Field(description="of the notebook")
    code: str = Field(description="version of the package and a hash of what decides numbers")
    python: str
    packages: dict[str, str] = Field(description="versions of those that decide numbers")
    sha256: dict[str, str] = Field(description="photographs that were used, by name")


class Metrics(_Strict):
    """Everything in a ``metrics.json``."""

    version: Literal[2] = Field(description="of this schema")
    notebook: str
    patient: str | None = Field(None, description="none if the numbers are of several eyes")
    laterality: Literal["L", "R"] | None = None
    left_out: list[LeftOut] = Field([], description="photographs that were not used, and why")
    visits: int | None = Field(None, description="photographs that were used")
    template: str | None = Field(None, description="the visit that the others are registered to")
    before: dict[str, dict[str, Number]] = Field(
        {}, description="measures of every visit before registration, by visit"
    )
    after: dict[str, dict[str, Number]] = Field(
        {}, description="the same after the registration that the notebook saves"
    )
    failed: dict[str, str] = Field({}, description="visits that it could not register, and why")
    outcomes: list[Outcome] = Field(
        [], description="one for each method and visit: all measures and a verdict"
    )
    findings: dict[str, Any] = Field({}, description="what this notebook alone found out")
    provenance: Provenance


def save_metrics(
    folder: Path, eye: Eye | None, parameters: Mapping[str, object], content: Mapping[str, object]
) -> Path:
    """Write ``metrics.json``, the last file of a run: where it is, the run is complete.

    Parameters
    ----------
    folder : Path
        As `results.make_folder` gives it; its name is that of the notebook.
    eye : Eye or None
        None: the numbers are of several eyes.
    parameters : mapping
        Of the notebook, so that the run can be repeated.
    content : mapping
        Fields of `Metrics`; what has no field of its own goes into ``findings``. Series and
        DataFrames are accepted; NaN and infinite numbers become null.

    Raises
    ------
    ValueError
        If the content does not fit the schema; names the field.
    """
    files = [eye.folder / file for file in eye.used["file"]] if eye else []
    everything = {"version": VERSION, "notebook": folder.name, **(_whose(eye) if eye else {})}
    everything |= content
    everything["provenance"] = provenance_of(parameters, files)
    plain = _checked(as_plain(everything), f"{METRICS_FILE} of {folder.name}")
    path = folder / METRICS_FILE
    with written_beside(path) as part:
        part.write_text(json.dumps(plain, indent=1, allow_nan=False) + "\n")
    return path


def _checked(content: object, name: str) -> dict[str, Any]:
    """Hold content against the schema, and fill in what it leaves out."""
    try:
        return Metrics.model_validate(content).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{name}: {place}: {first['msg']}") from error


def _whose(eye: Eye) -> dict[str, object]:
    left_out = eye.visits.loc[~eye.visits["used"], ["file", "reason"]].to_dict("records")
    return {"patient": eye.patient, "laterality": eye.laterality, "left_out": left_out}


def read_metrics_file(path: Path | str) -> dict[str, Any]:
    """Read a ``metrics.json`` and check it.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict
        The fields of `Metrics`; those that are not in the file have their defaults.

    Raises
    ------
    OutdatedError
        If another version of the schema wrote it; says what to do.
    ValueError
        If it is damaged, or does not fit the schema.
    """
    path = Path(path)
    name = f"{METRICS_FILE} of {path.parent.name} ({path.parent.parent.name})"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{name}: damaged; delete it and run the notebook again") from error
    version = content.get("version", 1) if isinstance(content, dict) else None
    if version != VERSION:
        raise OutdatedError(
            f"{name}: written by another version of this project (schema {version}, needed "
            f"{VERSION}); run the notebook again"
        )
    return _checked(content, name)


def read_metrics(
    results: Path | str, patient: str, laterality: str, notebook: str
) -> dict[str, Any]:
    """Read the ``metrics.json`` that a notebook left for an eye.

    Parameters
    ----------
    results : path
        Folder of all results.
    patient, laterality, notebook : str

    Raises
    ------
    FileNotFoundError
        If that notebook has not been run for this eye; says which to run.
    ValueError
        See `read_metrics_file`.
    """
    path = Path(results) / f"{patient}_{laterality}" / notebook / METRICS_FILE
    if not path.exists():
        raise FileNotFoundError(
            f"no results of {notebook} for {patient} {laterality}: run it first"
        )
    return read_metrics_file(path)


def metrics_schema() -> dict[str, Any]:
    """Return the JSON schema of ``metrics.json``, as ``docs/metrics.schema.json`` holds it."""
    return Metrics.model_json_schema()


def as_plain(value: object) -> object:
    """Turn NumPy and pandas values into what JSON knows; NaN and infinite numbers become None."""
    if isinstance(value, pd.DataFrame):
        return {str(key): as_plain(row) for key, row in value.iterrows()}
    if isinstance(value, pd.Series):
        value = value.to_dict()
    if isinstance(value, Mapping):
        return {_key(key): as_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [as_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _key(key: object) -> str:
    return ", ".join(map(str, key)) if isinstance(key, tuple) else str(key)
