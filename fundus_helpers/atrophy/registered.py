"""The registered visits of one eye on the template's grid, as atrophy is followed on them."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import cv2
import numpy as np
import pandas as pd
import SimpleITK as sitk

from fundus_helpers import transforms
from fundus_helpers.atrophy.growth import years_since_first
from fundus_helpers.atrophy.outlines import Outline
from fundus_helpers.loading.eye import Eye
from fundus_helpers.loading.values import resize
from fundus_helpers.metrics.verdict import USABLE, Verdict
from fundus_helpers.series.assessed_eye import AssessedEye

NOT_REGISTERED = "not registered"


@dataclass(frozen=True)
class RegisteredVisits:
    """Visits of one eye and one modality whose registration can be used, in order of their dates.

    Its verdict is ``accepted``, or ``accepted, by hand``.

    Arrays have the pixel grid of the template as in `loading.Eye.images`.

    Attributes
    ----------
    names, files : tuple of str
        Names of the visits and of their photographs.
    dates : tuple of datetime.date
    positions : tuple of int
        Positions of the visits among the used visits of the eye.
    images : float32 ndarray in [0, 1], shape (visits, height, width)
        The registered photographs.
    masks : bool ndarray, shape (visits, height, width)
        True inside the field of view.
    errors : float32 ndarray, shape (visits, height, width)
        The predicted error of the registration in pixels of `images`; 0 for the template, NaN where
        it is not known.
    transforms : tuple of sitk.Transform
        Map points of the template to points of the visit, in pixels of `loading.Eye.images`.
    factors : tuple of float
        Pixels of the photograph on disk per pixel of `images`, for each visit.
    template_factor : float
        The same for the template.
    modality : str
        As in `loading.Eye.visits`; empty if it is unknown.
    left_out : dict of str to str
        Visits that are not used, each with the reason.
    dates_left_out : dict of str to datetime.date
        The dates of these visits.
    template : str
        Name of the visit that is the template.
    """

    names: tuple[str, ...]
    files: tuple[str, ...]
    dates: tuple[datetime.date, ...]
    positions: tuple[int, ...]
    images: np.ndarray
    masks: np.ndarray
    errors: np.ndarray
    transforms: tuple[sitk.Transform, ...]
    factors: tuple[float, ...]
    template_factor: float
    modality: str
    left_out: dict[str, str]
    dates_left_out: dict[str, datetime.date] = field(default_factory=dict)
    template: str = ""

    @property
    def years(self) -> np.ndarray:
        """Years since the first of these visits (float64)."""
        return years_since_first(self.dates)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (height, width) of the grid."""
        return self.images.shape[1:]

    @property
    def template_file(self) -> str:
        """Name of the photograph of the template."""
        return self.files[self.names.index(self.template)]

    @cached_property
    def area_factors(self) -> list[np.ndarray]:
        """Pixels of each photograph on disk per pixel of the grid: (height, width) for each visit.

        The sum over a lesion is its area in the photograph's own pixels.
        """
        return [
            np.abs(transforms.jacobian_determinant(each, self.shape)) * factor**2
            for each, factor in zip(self.transforms, self.factors, strict=True)
        ]

    def magnification(self, i: int) -> float:
        """Return the pixels of the photograph of a visit per pixel of that of the template."""
        inside = self.masks[i]
        mean = float(self.area_factors[i][inside].mean()) if inside.any() else 1.0
        return float(np.sqrt(mean)) / self.template_factor

    def on_grid(self, i: int, mask: np.ndarray) -> np.ndarray:
        """Carry a mask from the photograph on disk of a visit to the grid of the template."""
        full = transforms.rescale(self.transforms[i], 1.0, self.factors[i])
        return transforms.warp_mask(mask, full, self.shape)

    def outlines_on_grid(self, outlines: Mapping[str, Outline]) -> dict[int, np.ndarray]:
        """Carry the outlines of photographs, by their names, to the grid: masks by visit."""
        return {
            i: self.on_grid(i, outlines[file].mask)
            for i, file in enumerate(self.files)
            if file in outlines
        }

    def laid_by(self, eye: Eye, moves: Sequence[sitk.Transform | None]) -> "RegisteredVisits":
        """Return the visits, laid on the template by other transforms.

        Parameters
        ----------
        eye : Eye
        moves : sequence of sitk.Transform or None
            One per visit, as in `transforms`. A visit with None is left out, as not registered. The
            template has the identity.

        Returns
        -------
        RegisteredVisits
            The predicted errors are kept: they are those of the first registration, and not of
            `moves`. So are the intervals that follow from them.

        Raises
        ------
        ValueError
            If the template has no transform.
        """
        kept = [i for i, move in enumerate(moves) if move is not None]
        if self.template not in (self.names[i] for i in kept):
            raise ValueError(f"the template {self.template} has no transform; give the identity")
        used = [moves[i] for i in kept]
        images, masks = _laid(eye, [self.positions[i] for i in kept], used)
        gone = {name: self.dates[i] for i, name in enumerate(self.names) if i not in kept}
        names = ("names", "files", "dates", "positions", "factors")
        return replace(
            self,
            images=images,
            masks=masks,
            errors=self.errors[kept],
            transforms=tuple(used),
            left_out=self.left_out | dict.fromkeys(gone, NOT_REGISTERED),
            dates_left_out=self.dates_left_out | gone,
            **{name: tuple(getattr(self, name)[i] for i in kept) for name in names},
        )

    def resized(self, size: int) -> "RegisteredVisits":
        """Return the same visits on a grid whose longer side has at most `size` pixels."""
        size = min(size, max(self.shape))
        factor = size / max(self.shape)
        images = np.stack([resize(image, size) for image in self.images])
        masks = [resize(mask.astype(np.float32), size) >= 0.5 for mask in self.masks]
        # Errors are not known everywhere, and averages would spread that.
        nearest = {"dsize": images.shape[:0:-1], "interpolation": cv2.INTER_NEAREST}
        errors = np.stack([cv2.resize(error, **nearest) for error in self.errors])
        return replace(
            self,
            images=images,
            masks=np.stack(masks),
            errors=errors * np.float32(factor),
            transforms=tuple(transforms.rescale(each, factor) for each in self.transforms),
            factors=tuple(each / factor for each in self.factors),
            template_factor=self.template_factor / factor,
        )


def registered_visits(
    study: AssessedEye, label: str, *, verdicts: Sequence[Verdict | None] | None = None
) -> RegisteredVisits:
    """Collect the visits whose registration by a method is accepted, also by hand.

    Parameters
    ----------
    study : AssessedEye
        For example a `Study`, in which the method has been run.
    label : str
        Name of the method in the study.
    verdicts : sequence of Verdict or None, optional
        One per visit; None: those of the study. Other verdicts can be given, for example to use a
        doubtful visit after a person has looked at it. The verdict of a visit with a transform has
        a predicted error.

    Returns
    -------
    RegisteredVisits
        The template is always among them. A visit with another modality than that of the template
        is left out, because colour and autofluorescence show different areas. A visit is used if
        its verdict is ``accepted`` or ``accepted, by hand``.

    Raises
    ------
    ValueError
        If the method was not run.

    Examples
    --------
    A person has looked at the sixth visit, and accepts its registration:

    >>> import tempfile
    >>> from dataclasses import replace
    >>> import fundus_helpers as fh
    >>> folder = fh.make_demo_eye(tempfile.mkdtemp(), "demo_colour", size=96)
    >>> study = fh.Study(folder.parent, "demo_colour", "L", results=folder.parent, jobs=1)
    >>> moves = [None] * len(study.eye.names)
    >>> moves[5] = fh.transforms.from_matrix([[1, 0, 2], [0, 1, 0]])
    >>> found = study.add("moved", moves)
    >>> verdicts = [*study.judge("moved")]
    >>> verdicts[5] = replace(verdicts[5], status="accepted, by hand")
    >>> visits = fh.atrophy.registered_visits(study, "moved", verdicts=verdicts)
    >>> visits.names == (study.eye.names[0], study.eye.names[5])
    True
    >>> visits.left_out[study.eye.names[1]]
    'not registered'
    """
    eye, template = study.eye, study.template
    found = study.registrations.get(label)
    verdicts = study.judge(label) if verdicts is None else verdicts
    used, left_out = [], {}
    for i, (name, verdict) in enumerate(zip(eye.names, verdicts, strict=True)):
        if not eye.comparable(template, i):
            left_out[name] = (
                f"another modality ({_modality(eye.used, i)}) than the template "
                f"({_modality(eye.used, template)}); they are never mixed in one series"
            )
        elif i == template:
            used.append(i)
        elif verdict is None:
            left_out[name] = NOT_REGISTERED
        elif verdict.status not in USABLE:
            left_out[name] = f"its registration is {verdict.status}: {'; '.join(verdict.reasons)}"
        elif found[i] is None or found[i].transform is None:  # the verdict was given
            left_out[name] = f"{NOT_REGISTERED}: the method gave no transform"
        else:
            used.append(i)
    moves = [transforms.identity() if i == template else found[i].transform for i in used]
    images, masks = _laid(eye, used, moves)
    errors = np.zeros(images.shape, np.float32)
    for place, i in enumerate(used):
        if i != template:
            errors[place] = verdicts[i].predicted_error
    rows = eye.used.iloc[used]
    return RegisteredVisits(
        names=tuple(rows["visit"]),
        files=tuple(rows["file"]),
        dates=tuple(rows["date"]),
        positions=tuple(used),
        images=images,
        masks=masks,
        errors=errors,
        transforms=tuple(moves),
        factors=tuple(eye.factors[i] for i in used),
        template_factor=eye.factors[template],
        modality=next((m for m in rows["modality"] if m), ""),
        left_out=left_out,
        dates_left_out=dict(
            eye.used.loc[eye.used["visit"].isin(left_out), ["visit", "date"]].values.tolist()
        ),
        template=eye.names[template],
    )


def _laid(
    eye: Eye, positions: Sequence[int], moves: Sequence[sitk.Transform]
) -> tuple[np.ndarray, np.ndarray]:
    """Lay visits on the template: images and masks of shape (visits, height, width)."""
    shape = len(positions), *eye.images.shape[1:]
    images, masks = np.empty(shape, np.float32), np.empty(shape, bool)
    for place, (i, move) in enumerate(zip(positions, moves, strict=True)):
        images[place] = transforms.warp(eye.images[i], move)
        masks[place] = transforms.warp_mask(eye.masks[i], move)
    return images, masks


def _modality(rows: pd.DataFrame, i: int) -> str:
    return rows["modality"][i] or "grey"
