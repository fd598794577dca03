"""What is left of the atrophy of one eye: tables, the onset map, and outlines."""

import json
from pathlib import Path

import numpy as np
import tifffile

from fundus_helpers import transforms
from fundus_helpers.atrophy.eye import Atrophy
from fundus_helpers.atrophy.files.told import hints_on_disk
from fundus_helpers.files import written_beside
from fundus_helpers.loading.eye import Eye
from fundus_helpers.loading.photographs import save_photograph
from fundus_helpers.loading.visits.folder import OUTLINE_MARK
from fundus_helpers.metrics.verdict import FAILED
from fundus_helpers.progress import progress

AREAS_FILE, GROWTH_FILE, ONSET_FILE = "atrophy.csv", "growth.json", "onset.tif"
NONE = "no atrophy was found at any visit"


def save_atrophy(folder: Path | str, atrophy: Atrophy, eye: Eye, *, code: str = "") -> list[Path]:
    """Write ``atrophy.csv``, ``growth.json``, ``onset.tif`` and the outline of every visit.

    What an earlier run has left of these is deleted first. A map that is refused leaves the tables
    with the reason, and no map and no outlines.

    Parameters
    ----------
    folder : path
        It is made if it is missing.
    atrophy : Atrophy
    eye : Eye
        The eye that the visits belong to.
    code : str
        Version of the code that decided the numbers (`results.code_version`).

    Returns
    -------
    list of Path
        The files that were written: the outlines are ``<visit>_atrophy.png`` (0 or 255) on the grid
        of each photograph on disk, and ``onset.tif`` has the grid of the template's photograph:
        float32 years since the first visit, 0 where atrophy was there already, infinite where there
        is none, NaN where the retina was not seen.

    Raises
    ------
    OSError
        If a file cannot be written; the message names it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    clear_atrophy(folder)
    areas, growth = folder / AREAS_FILE, folder / GROWTH_FILE
    with written_beside(areas) as part:
        table = atrophy.table().replace([np.inf, -np.inf], np.nan).astype({"foci": "Int64"})
        dates = table["date"].astype(str)
        table.loc[dates.sort_values(kind="stable").index].to_csv(part, index=False)
    with written_beside(growth) as part:
        text = json.dumps(_growth(atrophy, code), indent=1, allow_nan=False)
        part.write_text(text + "\n", encoding="utf-8")
    if atrophy.verdict[0] == FAILED:
        return [areas, growth]
    written = [areas, growth, folder / ONSET_FILE]
    with written_beside(written[-1]) as part:
        _write_onset(part, atrophy, eye)
    for i, name in enumerate(progress(atrophy.visits.names, "outlines saved")):
        # One at a time, because a hundred masks of a large camera do not fit into memory.
        mask = atrophy.mask_of(i, eye.full_shapes[atrophy.visits.positions[i]])
        path = folder / f"{name}{OUTLINE_MARK}"
        written.append(save_photograph(mask.astype(np.uint8) * 255, path))
    return written


def clear_atrophy(folder: Path | str) -> None:
    """Delete what `save_atrophy` has left in a folder.

    Parameters
    ----------
    folder : path
        Nothing happens if it does not exist.
    """
    folder = Path(folder)
    saved = [folder / name for name in (AREAS_FILE, GROWTH_FILE, ONSET_FILE)]
    for path in [*saved, *folder.glob(f"*{OUTLINE_MARK}.png")]:
        path.unlink(missing_ok=True)


def tell_growth(folder: Path | str) -> tuple[str, bool]:
    """Say in words what `save_atrophy` has left in a folder.

    Parameters
    ----------
    folder : path

    Returns
    -------
    words : str
        Lines: the verdict or that there is no atrophy, the scale, the rates with their 95 %
        intervals, and what a person should look at.
    measured : bool
        Whether anything could be measured; False if the onset map is refused.
    """
    found = json.loads(Path(folder, GROWTH_FILE).read_text(encoding="utf-8"))
    map_words = [f"the onset map is {found['verdict']}", *found["reasons"]]
    lines = [found["in_words"] or "; ".join(map_words)]
    lines.append(f"scale: {found['scale'] or 'not known, so all numbers are in pixels'}")
    for rate in found["rates"]:
        ends = [rate["low"], rate["high"]]
        known = "not known" if None in ends else "{:.3g} to {:.3g}".format(*ends)
        value = f"{rate['value']:.3g} {rate['unit']} (95 % interval {known})"
        lines.append(f"{rate['name']}: {value}")
    lines += [f"{name}: left out, {why}" for name, why in found["left_out"].items()]
    return "\n".join([*lines, *found["notes"], *found["remarks"]]), found["verdict"] != FAILED


def _growth(atrophy: Atrophy, code: str) -> dict[str, object]:
    """Return what ``growth.json`` holds."""
    status, reasons = atrophy.verdict
    told, visits, scale = status != FAILED and not atrophy.none, atrophy.visits, atrophy.scale
    strokes = [visits.names[i] for i in sorted(atrophy.hints.strokes)]
    return {
        "verdict": status,
        "reasons": list(reasons),
        "no_atrophy": atrophy.none,
        "in_words": NONE if atrophy.none else "",
        "healed": round(atrophy.onset.healed, 4),
        "unit": atrophy.unit,
        "scale": None if scale is None else str(scale),
        "mm_per_pixel": None if scale is None else scale.mm_per_pixel,
        "template": visits.template,
        "hints": hints_on_disk(atrophy.hints, visits.template_factor) | {"painted_on": strokes},
        "notes": list(atrophy.growth.notes) if told else [],
        "remarks": list(atrophy.remarks),
        "left_out": visits.left_out,
        "rates": [_plain(rate) for rate in atrophy.rates()] if told else [],
        "code": code,
    }


def _plain(rate: dict[str, object]) -> dict[str, object]:
    """Return a rate with None in place of numbers that are not known."""
    return {
        key: None if isinstance(value, float) and not np.isfinite(value) else value
        for key, value in rate.items()
    }


def _write_onset(path: Path, atrophy: Atrophy, eye: Eye) -> None:
    """Write the onset map on the grid of the template's photograph on disk."""
    visits = atrophy.visits
    shape = eye.full_shapes[eye.index(visits.template)]
    dates = ", ".join(date.isoformat() for date in visits.dates)
    words = (
        "onset of atrophy in years (365.25 days) since the first of these visits; 0: atrophic at "
        f"the first visit already, inf: never, nan: not seen; visits: {dates}"
    )
    onset = _enlarged_onset(atrophy, shape)
    tifffile.imwrite(path, onset, compression="zlib", description=words, metadata=None)


def _enlarged_onset(atrophy: Atrophy, shape: tuple[int, int]) -> np.ndarray:
    """Return the onset on a larger grid, where it agrees with the enlarged outlines (float32)."""
    found, factor = atrophy.onset, atrophy.visits.template_factor
    larger = transforms.rescale(transforms.identity(), factor, 1.0)
    onset = found.onset()
    # Only years are averaged: infinite and unknown values come from the outlines.
    known = np.isfinite(onset).astype(np.float32)
    years = transforms.warp(np.where(known > 0, onset, np.float32(0)), larger, shape)
    weight = transforms.warp(known, larger, shape)
    seen = transforms.warp_mask(found.seen, larger, shape)
    enlarged = np.where(seen, np.float32(np.inf), np.float32(np.nan))
    before = np.zeros(shape, bool)
    for i, year in enumerate(found.years.astype(np.float32)):
        mask = transforms.warp_mask(found.mask(i), larger, shape)
        new = mask & ~before
        first = found.years[max(i - 1, 0)]
        enlarged[new] = np.clip(years[new] / np.maximum(weight[new], 1e-6), first, year)
        before |= mask
    return enlarged
