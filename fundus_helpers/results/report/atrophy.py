"""The sections of a report on atrophy: its growth in a sentence, its areas, its rates."""

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from fundus_helpers.atrophy.files.saving import AREAS_FILE, GROWTH_FILE
from fundus_helpers.plotting.atrophy_turns import ATROPHY_PICTURES
from fundus_helpers.results.page import Picture, Section

NO_SCALE = "No scale is known, so areas are in pixels of each visit's own photograph (px)."
NOT_FOLLOWED = "The atrophy could not be followed; the table says why."
# The rate that the sentence at the top tells: lesions of all sizes grow alike in it.
TOLD_RATE = "square-root growth"


def growth_sentence(folder: Path) -> str:
    """Say in a sentence how the atrophy grew, with its interval; empty if it was not followed.

    Parameters
    ----------
    folder : Path
        What notebook 12 left of the eye.
    """
    try:
        content = json.loads((folder / GROWTH_FILE).read_text(encoding="utf-8"))
        if content.get("no_atrophy"):
            return "No atrophy was found at any visit."
        (rate,) = [rate for rate in content["rates"] if rate["name"] == TOLD_RATE]
        value, low, high = (_three(rate[key]) for key in ("value", "low", "high"))
        unit = rate["unit"]
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return ""  # the section of the atrophy names what cannot be read
    if not value:
        return ""
    interval = f"95 % interval {low} to {high}" if low and high else "its interval is not known"
    return (
        f"The atrophy grew by {value} {unit}, measured as the square root of its area ({interval})."
    )


def atrophy_sections(folder: Path) -> list[Section]:
    """Tell how the atrophy grew. What cannot be read is named, and the rest is shown.

    Parameters
    ----------
    folder : Path
        What notebook 12 left of the eye.
    """
    if not (folder / AREAS_FILE).exists():
        return []
    try:
        table = pd.read_csv(folder / AREAS_FILE, keep_default_na=False, dtype=str)
        rows = [_visit_cells(row) for row in table.to_dict("records")]
        areas = [float(area) for area in table["area_px"] if area]
        scales = [*dict.fromkeys(filter(None, table["scale"]))]
    except (ValueError, KeyError, OSError) as error:
        return [Section("Atrophy", [_damaged(folder / AREAS_FILE, error)])]
    words = [f"Scale: {'; '.join(scales)}." if scales else NO_SCALE]
    if not any(areas):
        words = ["No atrophy was found at any visit." if areas else NOT_FOLLOWED]
    pictures = [
        Picture(f"{folder.name}/{name}", caption, wide=True)
        for name, caption in ATROPHY_PICTURES.items()
        if (folder / name).exists()
    ]
    header = ["date", "area", "95 % interval", "foci", "how it was found", "reason if left out"]
    return [
        Section("Atrophy", words, pictures, header=header, rows=rows, kind="areas"),
        *_rates(folder / GROWTH_FILE),
    ]


def _visit_cells(row: Mapping[str, str]) -> list[str]:
    """Return the cells of a visit; its area is in mm2 if the scale is known, otherwise in px."""
    unit, write = ("mm2", "{:.2f}") if row["area_mm2"] else ("px", "{:.0f}")
    names = (f"area_{unit}", f"area_low_{unit}", f"area_high_{unit}")
    area, low, high = (write.format(float(row[name])) if row[name] else "" for name in names)
    interval = f"{low} to {high}" if low and high else ""
    foci = f"{float(row['foci']):.0f}" if row["foci"] else ""
    date = row["date"] or row["visit"]
    return [date, f"{area} {unit}" if area else "", interval, foci, row["found_by"], row["reason"]]


def _rates(path: Path) -> list[Section]:
    if not path.exists():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = content["rates"] if isinstance(content, dict) else content
        rows = [
            [rate["name"], *(_three(rate[key]) for key in ("value", "low", "high")), rate["unit"]]
            for rate in found
        ]
    except (ValueError, KeyError, TypeError, OSError) as error:
        return [Section("Growth of the atrophy", [_damaged(path, error)])]
    words = (
        "Low and high are the ends of the 95 % interval, which carries the outline, the predicted "
        "error of the registration, errors that all visits share, and the scale."
    )
    header = ["rate", "value", "low", "high", "unit"]
    return [Section("Growth of the atrophy", [words], header=header, rows=rows)] if rows else []


def _three(value: float | None) -> str:
    return "" if value is None or value != value else f"{value:.3g}"


def _damaged(path: Path, error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) else "damaged"
    return f"{path.name} of {path.parent.name}: {reason}; delete it and run the notebook again"
