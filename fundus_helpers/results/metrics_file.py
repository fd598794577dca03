"""Write and read ``metrics.json``, the file with the numbers that a notebook saves for an eye.

``docs/metrics.md`` explains its schema. ``docs/metrics.schema.json`` is the schema for programs.
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
from fundus_helpers.results.provenance import METRICS_FILE, SCHEMA, provenance_of

VERSION = SCHEMA  # increased whenever the schema changes

Number = float | None


class OutdatedError(ValueError):
    """A ``metrics.json`` has another version of the schema. The message says what to do."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LeftOut(_Strict):
    """A photograph that was not used."""

    file: str
    reason: str


class Outcome(BaseModel):
    """The result of one method for one visit."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Number] = Field(init=False)

    method: str
    visit: str
    template: str
    verdict: Literal["accepted", "accepted, by hand", "doubtful", "failed"]
    reasons: list[str] = Field(description="why the registration is not accepted")
    failure: str = Field(description="why the method gave no transform; empty if it gave one")
    predicted_error_px: Number
    magnification: Number = Field(
        default=None,
        description="pixels of the visit's photograph per pixel of the template's photograph",
    )
    landmark_error_before_px: Number
    seconds: Number = Field(description="time of the method alone, on one thread")


class Provenance(_Strict):
    """Everything that is needed to repeat a run."""

    parameters: dict[str, Any] = Field(description="parameters of the notebook")
    code: str = Field(description="package version and hash of the code that decides numbers")
    python: str
    packages: dict[str, str] = Field(description="versions of packages that decide numbers")
    sha256: dict[str, str] = Field(description="hashes of the photographs that were used, by name")


class Metrics(_Strict):
    """The content of a ``metrics.json``."""

    version: Literal[2] = Field(description="version of this schema")
    notebook: str
    patient: str | None = Field(None, description="null if the numbers are of several eyes")
    laterality: Literal["L", "R"] | None = None
    left_out: list[LeftOut] = Field([], description="photographs that were not used, and why")
    photographs: int | None = Field(None, description="number of photographs that were used")
    dates: dict[str, str] = Field({}, description="dates of the visits that were used, by visit")
    template: str | None = Field(None, description="the visit that the others are registered to")
    saved_method: str | None = Field(
        None, description="the method whose transforms and photographs the notebook saves"
    )
    before: dict[str, dict[str, Number]] = Field(
        {}, description="measures of every visit before registration, by visit"
    )
    after: dict[str, dict[str, Number]] = Field(
        {}, description="the same measures after the registration that the notebook saves"
    )
    failed: dict[str, str] = Field(
        {}, description="visits that the notebook could not register, and why"
    )
    outcomes: list[Outcome] = Field(
        [], description="one entry for each method and visit: all measures and a verdict"
    )
    findings: dict[str, Any] = Field({}, description="results that only this notebook has")
    provenance: Provenance


def save_metrics(
    folder: Path, eye: Eye | None, parameters: Mapping[str, object], content: Mapping[str, object]
) -> Path:
    """Write ``metrics.json``, the last file of a run. If the file exists, the run is complete.

    Parameters
    ----------
    folder : Path
        The folder that `results.make_folder` returned. Its name is the name of the notebook.
    eye : Eye or None
        None means that the numbers are of several eyes.
    parameters : mapping
        Parameters of the notebook, so that the run can be repeated.
    content : mapping
        Values for the fields of `Metrics`, by name. Results without a field of their own must be
        put into the field ``findings``. Series and DataFrames are accepted. NaN and infinite
        numbers become null.

    Raises
    ------
    ValueError
        If `content` has a name that is not a field of `Metrics`, or a value that does not fit the
        field. The message names the field, and nothing is written.
    """
    files = {file: eye.folder / file for file in eye.used["file"]} if eye else {}
    everything = {"version": VERSION, "notebook": folder.name, **(_whose(eye) if eye else {})}
    everything |= content
    everything["provenance"] = provenance_of(parameters, files)
    plain = _checked(as_plain(everything), f"{METRICS_FILE} of {folder.name}")
    path = folder / METRICS_FILE
    with written_beside(path) as part:
        part.write_text(json.dumps(plain, indent=1, allow_nan=False) + "\n")
    return path


def _checked(content: object, name: str) -> dict[str, Any]:
    """Check content against the schema, and add the defaults of missing fields."""
    try:
        return Metrics.model_validate(content).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{name}: {place}: {first['msg']}") from error


def _whose(eye: Eye) -> dict[str, object]:
    left_out = eye.visits.loc[~eye.visits["used"], ["file", "reason"]].to_dict("records")
    days = zip(eye.used["visit"], eye.used["date"].astype(str), strict=True)
    whose = {"patient": eye.patient, "laterality": eye.laterality, "left_out": left_out}
    return whose | {"dates": {visit: day for visit, day in days if day[:1].isdigit()}}


def read_metrics_file(path: Path | str) -> dict[str, Any]:
    """Read a ``metrics.json`` and check it.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict
        The fields of `Metrics`. Fields that are missing in the file have their defaults.

    Raises
    ------
    OutdatedError
        If the file has another version of the schema. The message says what to do.
    ValueError
        If the file is damaged or does not fit the schema.
    """
    path = Path(path)
    name = f"{METRICS_FILE} of {path.parent.name} ({path.parent.parent.name})"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{name}: damaged; delete it and run the notebook again") from error
    version = content.get("version", 1) if isinstance(content, dict) else None
    if version != VERSION:
        raise OutdatedError(
            f"{name}: written by another version of this project (its schema has version "
            f"{version}, version {VERSION} is needed); run the notebook again"
        )
    return _checked(content, name)


def read_eye_metrics(folder: Path | str) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Read what every numbered notebook left of an eye, the oldest file first.

    Parameters
    ----------
    folder : path
        ``<results>/<patient>_<L|R>``. Only folders named like numbered notebooks are read, so
        that a study of one's own, saved beside them, is not taken for one of them.

    Returns
    -------
    metrics : dict of str to dict
        The fields of `Metrics`, by notebook.
    unreadable : dict of str to str
        Notebooks whose file cannot be read, each with the reason.
    """
    files = Path(folder).glob(f"[0-9][0-9]_*/{METRICS_FILE}")
    metrics, unreadable = {}, {}
    for file in sorted(files, key=lambda file: (file.stat().st_mtime_ns, file)):
        try:
            metrics[file.parent.name] = read_metrics_file(file)
        except (ValueError, OSError) as error:
            unreadable[file.parent.name] = str(error)
    return metrics, unreadable


def read_metrics(
    results: Path | str, patient: str, laterality: str, notebook: str
) -> dict[str, Any]:
    """Read the ``metrics.json`` that a notebook saved for an eye.

    Parameters
    ----------
    results : path
        Folder of all results.
    patient, laterality, notebook : str

    Raises
    ------
    FileNotFoundError
        If this notebook has not been run for this eye. The message names the notebook.
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
    """Return the JSON schema of ``metrics.json``. ``docs/metrics.schema.json`` is a copy of it."""
    return Metrics.model_json_schema()


def as_plain(value: object) -> object:
    """Convert NumPy and pandas values to types of JSON; NaN and infinite numbers become None."""
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
