"""The scale of a photograph: millimetres per pixel, how it was obtained, and how uncertain it is.

A scale that is 1 % wrong makes areas 2 % wrong, which is near a tenth of the growth of a year. So
a scale never goes without its source and its uncertainty, and there is no scale by default: where
none is known, numbers stay in pixels.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import combinations
from math import exp, hypot, isfinite, log, sqrt

# Jonas et al. 2015, doi:10.1371/journal.pone.0138701: from the centre of the disc to the fovea it
# is 4.76 mm (SD 0.34), 2.65 (SD 0.30) diameters of the disc, of 1.80 mm each.
FOVEA_MM, FOVEA_SPREAD = 4.76, 0.34 / 4.76
DISC_MM, DISC_SPREAD = 1.8, 0.11
# Of a Spectralis at 30 degrees: about 11.6 micrometres for each of 768 pixels.
MM_PER_DEGREE = 0.0116 * 768 / 30
# Bennett's own 0.01306 (24 - 1.82) = 0.290 mm per degree and the 0.297 above differ by 2.5 %: two
# accepted ways of computing a camera's scale for one and the same eye.
CAMERA_UNCERTAINTY = 0.03
# Bennett et al. 1994, doi:10.1007/BF00175988.
BENNETT_MM, AVERAGE_EYE_MM = 1.82, 24.0
# People's axial lengths have an SD of 1.1 mm, at 4.5 % of a length each.
AXIAL_SPREAD = 0.05

# Two right scales differ by more than this many standard deviations in one of a hundred eyes.
_LIMIT = 2.58
_LEAST_MM, _MOST_MM = 0.0002, 0.2  # of a pixel, from adaptive optics to a thumbnail
_LENGTHS_MM = 14, 40  # of an eye
_WIDEST = 60  # degrees


@dataclass(frozen=True)
class Scale:
    """The scale of one photograph.

    Attributes
    ----------
    mm_per_pixel : float
        Side of a pixel of this photograph on the retina, in mm.
    uncertainty : float
        Relative standard deviation of a length, for example 0.03 for 3 %. All visits of an eye
        share this error: it changes all areas alike.
    source : str
        How the scale was obtained, in plain words: ``DICOM header``, ``optic disc of 1.8 mm``.
    own_eye : bool
        Whether the scale has the size of this eye in it already, from its disc, its fovea or its
        axial length. The correction for axial length must not be applied to it (again).

    Raises
    ------
    ValueError
        If the pixel is not between 0.0002 and 0.2 mm, or the uncertainty not between 0 and 1.

    Examples
    --------
    >>> from fundus_helpers.atrophy.scale import Scale
    >>> scale = Scale(0.0116, 0.03, "DICOM header")
    >>> round(scale.area_mm2(54_000), 2)
    7.27
    >>> str(scale)
    '0.0116 mm per pixel (DICOM header; lengths uncertain by 3 %, areas by 6 %)'
    """

    mm_per_pixel: float
    uncertainty: float
    source: str
    own_eye: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be the scale of a photograph of the retina."""
        if not _LEAST_MM <= self.mm_per_pixel <= _MOST_MM:
            raise ValueError(
                f"{self.mm_per_pixel:g} mm per pixel ({self.source}) cannot be the scale of a "
                f"photograph of the retina; give between {_LEAST_MM} and {_MOST_MM} mm "
                "(11.6 micrometres are 0.0116)"
            )
        if not 0 <= self.uncertainty < 1:
            raise ValueError(
                f"the uncertainty {self.uncertainty:g} of a scale ({self.source}) must be at least "
                "0 and below 1; give 0.03 for 3 %"
            )

    def __str__(self) -> str:
        """Say the scale, its source and its uncertainty, as it belongs beside every number."""
        return (
            f"{self.mm_per_pixel:.4g} mm per pixel ({self.source}; lengths uncertain by "
            f"{_percent(self.uncertainty)}, areas by {_percent(self.area_uncertainty)})"
        )

    @property
    def area_uncertainty(self) -> float:
        """Relative standard deviation of an area: twice that of a length."""
        return 2 * self.uncertainty

    def length_mm(self, pixels: float) -> float:
        """Convert a length from pixels to mm."""
        return pixels * self.mm_per_pixel

    def area_mm2(self, pixels: float) -> float:
        """Convert an area from pixels to mm2."""
        return pixels * self.mm_per_pixel**2

    def scaled(self, factor: float) -> "Scale":
        """Return the scale of the same retina in a photograph of another magnification.

        Parameters
        ----------
        factor : float
            Pixels of this photograph per pixel of the other one: 2 for a photograph that was
            reduced to half its width. `Eye.factors` has them for the reduced images of an eye.

        Returns
        -------
        Scale

        Raises
        ------
        ValueError
            If the factor is not above 0, or if the new scale is impossible (see `Scale`).

        Examples
        --------
        >>> from fundus_helpers.atrophy.scale import scale_given
        >>> scale_given(0.006).scaled(2).mm_per_pixel
        0.012
        """
        if not (isfinite(factor) and factor > 0):
            raise ValueError(f"a factor between two magnifications must be above 0, not {factor!r}")
        return replace(self, mm_per_pixel=self.mm_per_pixel * factor)

    def with_axial_length(self, axial_length_mm: float) -> "Scale":
        """Correct the scale of an average eye for the axial length of this eye, by Bennett.

        Lengths are multiplied by (AL - 1.82) / (24 - 1.82), about 4.5 % per mm of axial length.

        Parameters
        ----------
        axial_length_mm : float
            Axial length AL of the eye, in mm.

        Returns
        -------
        Scale
            With `own_eye`. What the eyes' lengths add to the uncertainty is taken off it.

        Raises
        ------
        ValueError
            If the scale has the size of this eye in it already, or for an impossible axial length.

        Notes
        -----
        A Spectralis estimates the size of the eye from its focus
        (doi:10.1177/11206721231203088). So apply this to a field of view, or to the nominal scale
        of a camera, and not to what its header says.

        References
        ----------
        Bennett, Rudnicka and Edgar 1994, doi:10.1007/BF00175988.

        Examples
        --------
        >>> from fundus_helpers.atrophy.scale import scale_from_field
        >>> scale = scale_from_field(30, 768).with_axial_length(25)
        >>> round(scale.mm_per_pixel, 5), scale.source
        (0.01212, 'field of view of 30 degrees, axial length of 25 mm')
        """
        if self.own_eye:
            raise ValueError(
                f"the scale ({self.source}) was measured on this eye and has its size already; "
                "leave out the axial length, or give a scale that does not come from this eye"
            )
        least, most = _LENGTHS_MM
        if not least <= axial_length_mm <= most:
            raise ValueError(
                f"an axial length of {axial_length_mm:g} mm is not possible; give between {least} "
                f"and {most} mm (24 is common)"
            )
        rest = sqrt(max(self.uncertainty**2 - AXIAL_SPREAD**2, 0))
        return Scale(
            self.mm_per_pixel * (axial_length_mm - BENNETT_MM) / (AVERAGE_EYE_MM - BENNETT_MM),
            max(rest, min(self.uncertainty, CAMERA_UNCERTAINTY)),
            f"{self.source}, axial length of {axial_length_mm:g} mm",
            own_eye=True,
        )


def scale_from_header(mm_per_pixel: float | None) -> Scale | None:
    """Take the scale that a DICOM header gives (PixelSpacing).

    Parameters
    ----------
    mm_per_pixel : float, optional
        From `loading.read_header`; None where the header has none.

    Returns
    -------
    Scale or None
        With an uncertainty of 3 %: cameras compute it from their focus and a common cornea, and
        accepted formulas differ by that much for one eye (Pors et al. 2024,
        doi:10.1167/iovs.65.1.43).

    Raises
    ------
    ValueError
        If the value cannot be the scale of a photograph of the retina (see `Scale`).

    Examples
    --------
    >>> from fundus_helpers.atrophy.scale import scale_from_header
    >>> scale_from_header(0.0113).source
    'DICOM header'
    """
    if mm_per_pixel is None:
        return None
    return Scale(mm_per_pixel, CAMERA_UNCERTAINTY, "DICOM header")


def scale_given(
    mm_per_pixel: float, *, uncertainty: float = CAMERA_UNCERTAINTY, source: str = "given"
) -> Scale:
    """Take a scale that a person gave, or a table of visits.

    Parameters
    ----------
    mm_per_pixel : float
        Of the photograph on disk.
    uncertainty : float
        Relative standard deviation of a length; by default that of a camera.
    source : str
        Where it was given, for example ``table of visits``.

    Returns
    -------
    Scale

    Raises
    ------
    ValueError
        If the scale or its uncertainty is impossible (see `Scale`).

    Examples
    --------
    >>> from fundus_helpers.atrophy.scale import scale_given
    >>> str(scale_given(0.0116, source="table of visits"))
    '0.0116 mm per pixel (table of visits; lengths uncertain by 3 %, areas by 6 %)'
    """
    return Scale(mm_per_pixel, uncertainty, source)


def scale_from_disc(diameter_px: float, *, diameter_mm: float = DISC_MM) -> Scale:
    """Compute the scale from the diameter of the optic disc.

    Parameters
    ----------
    diameter_px : float
        Mean of its height and its width in pixels.
    diameter_mm : float
        In mm. The discs of people have an SD of 11 % (doi:10.1371/journal.pone.0138701), which is
        the uncertainty of the scale.

    Raises
    ------
    ValueError
        If the diameter in pixels is not above 0, or the scale is impossible (see `Scale`).

    Examples
    --------
    >>> from fundus_helpers.atrophy.scale import scale_from_disc
    >>> scale_from_disc(155).source
    'optic disc of 1.8 mm'
    """
    _refuse_no_length(diameter_px, "the diameter of the optic disc")
    source = f"optic disc of {diameter_mm:g} mm"
    return Scale(diameter_mm / diameter_px, DISC_SPREAD, source, own_eye=True)


def scale_from_fovea(distance_px: float, *, distance_mm: float = FOVEA_MM) -> Scale:
    """Compute the scale from the distance between the centre of the optic disc and the fovea.

    Parameters
    ----------
    distance_px : float
        In pixels.
    distance_mm : float
        In mm: 4.76 with an SD of 0.34 between people (doi:10.1371/journal.pone.0138701), so that
        the uncertainty of the scale is 7 %.

    Raises
    ------
    ValueError
        If the distance in pixels is not above 0, or the scale is impossible (see `Scale`).

    Examples
    --------
    >>> from fundus_helpers.atrophy.scale import scale_from_fovea
    >>> scale_from_fovea(410).source
    'distance from disc to fovea of 4.76 mm'
    """
    _refuse_no_length(distance_px, "the distance from the optic disc to the fovea")
    source = f"distance from disc to fovea of {distance_mm:g} mm"
    return Scale(distance_mm / distance_px, FOVEA_SPREAD, source, own_eye=True)


def scale_from_field(
    degrees: float, width_px: float, *, axial_length_mm: float | None = None
) -> Scale:
    """Compute the scale from the camera's field of view, with the axial length where it is known.

    Parameters
    ----------
    degrees : float
        Width of the field of view, 5 to 60 degrees. Wider fields have no one scale.
    width_px : float
        Pixels across the field of view, without the black surround.
    axial_length_mm : float, optional
        See `Scale.with_axial_length`. None: that of an average eye, 24 mm.

    Returns
    -------
    Scale
        Assumed are 0.297 mm of retina for every degree, which is the 11.6 micrometres per pixel of
        a Spectralis at 30 degrees and 768 pixels, and that all pixels are equal angles. The
        uncertainty is 6 %, mostly because eyes differ in length; 3 % with the axial length.

    Raises
    ------
    ValueError
        If the field is not 5 to 60 degrees wide, the width in pixels is not above 0, or the axial
        length or the scale is impossible (see `Scale`).

    Examples
    --------
    >>> from fundus_helpers.atrophy.scale import scale_from_field
    >>> str(scale_from_field(30, 768))
    '0.0116 mm per pixel (field of view of 30 degrees; lengths uncertain by 5.8 %, areas by 12 %)'
    """
    if not 5 <= degrees <= _WIDEST:
        raise ValueError(
            f"a field of view of {degrees:g} degrees has no one scale; give between 5 and "
            f"{_WIDEST} degrees, or mark the optic disc and the fovea"
        )
    _refuse_no_length(width_px, "the width of the field of view")
    spread = hypot(CAMERA_UNCERTAINTY, AXIAL_SPREAD)
    source = f"field of view of {degrees:g} degrees"
    scale = Scale(MM_PER_DEGREE * degrees / width_px, spread, source)
    return scale if axial_length_mm is None else scale.with_axial_length(axial_length_mm)


def best_scale(candidates: Iterable[Scale | None]) -> Scale | None:
    """Choose the least uncertain of several scales of one photograph.

    Parameters
    ----------
    candidates : iterable of Scale or None
        All of the same photograph (see `Scale.scaled`); None counts as not known. Of equally
        uncertain ones, the first is chosen.

    Returns
    -------
    Scale or None
        None where no scale is known: numbers then stay in pixels.

    Raises
    ------
    ValueError
        If two scales contradict each other: they differ by more than 2.58 standard deviations,
        which happens to one of a hundred pairs of right ones.

    Examples
    --------
    >>> from fundus_helpers.atrophy.scale import best_scale, scale_from_disc, scale_from_header
    >>> best_scale([scale_from_disc(150), scale_from_header(0.0113), None]).source
    'DICOM header'
    >>> best_scale([None]) is None
    True
    """
    known = [scale for scale in candidates if scale is not None]
    for one, other in combinations(known, 2):
        limit = _LIMIT * hypot(one.uncertainty, other.uncertainty)
        difference = abs(log(one.mm_per_pixel / other.mm_per_pixel))
        if difference > max(limit, 1e-6):
            raise ValueError(
                f"two scales contradict each other: {one.mm_per_pixel:.4g} mm per pixel "
                f"({one.source}) and {other.mm_per_pixel:.4g} mm per pixel ({other.source}) differ "
                f"by {_percent(exp(difference) - 1)}, and their uncertainties allow "
                f"{_percent(exp(limit) - 1)}; leave out the one that is wrong"
            )
    return min(known, key=lambda scale: scale.uncertainty, default=None)


def _refuse_no_length(pixels: float, what: str) -> None:
    if not (isfinite(pixels) and pixels > 0):
        raise ValueError(f"{what} must be above 0 pixels, not {pixels!r}; mark it again")


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
