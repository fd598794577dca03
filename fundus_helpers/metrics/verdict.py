"""The verdict on a registration: whether to accept it, why not, and its predicted error."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import SimpleITK as sitk

from fundus_helpers import transforms
from fundus_helpers.methods.keypoints.features import Keypoints
from fundus_helpers.methods.pair import LEAST_OVERLAP, SCALE_LIMIT, Pair, prepare_pair
from fundus_helpers.metrics.evidence import BOUND, SIZE, Evidence, gather, keypoints_of
from fundus_helpers.transforms.transform import RegistrationError

ACCEPTED, DOUBTFUL, FAILED = "accepted", "doubtful", "failed"

# A registration with less than the first value is wrong; with less than the second it is doubtful.
# Photographs of two different eyes of FIRE, registered by six methods, had at most 2.3 times as
# many agreeing keypoints as by chance (where at least 40 agreed), and a correlation of at most
# 0.44. Pairs of one eye had at least 3.5 times as many, and 0.50.
MULTIPLES = 2.0, 2.6  # agreeing keypoints divided by those that agree by chance
AGREEING = 15, 40
CORRELATIONS = 0.25, 0.45
# Beyond these limits a registration is doubtful; both are shares of the width.
LARGEST_ERROR, LARGEST_DISAGREEMENT = 0.005, 0.005
SMALL_OVERLAP = 0.2  # a smaller overlap is doubtful
FEW_KEYPOINTS = 200  # an image with fewer is blurred or dark


@dataclass(frozen=True)
class Verdict:
    """The verdict on a registration.

    Attributes
    ----------
    status : {"accepted", "doubtful", "failed"}
        ``accepted``: the transform can be used. ``doubtful``: look at the images first. ``failed``:
        there is no transform, or it is wrong.
    reasons : tuple of str
        Why the registration is not accepted, the most serious reason first.
    predicted_error : float32 ndarray or None
        Expected error of every point of the overlap in pixels, shape of the fixed image; NaN
        elsewhere. The error of nine of ten points is below `bound`. None without a transform.
    evidence : Evidence or None
        The quantities from which the verdict follows.
    """

    status: str
    reasons: tuple[str, ...] = ()
    predicted_error: np.ndarray | None = None
    evidence: Evidence | None = None

    @property
    def mean_error(self) -> float:
        """Mean of the predicted error in pixels; NaN where there is none."""
        return np.nan if self.predicted_error is None else float(np.nanmean(self.predicted_error))

    @property
    def bound(self) -> np.ndarray | None:
        """Bound, in pixels, on the error of each point; it holds for nine of ten points."""
        return None if self.predicted_error is None else BOUND * self.predicted_error

    def summary(self, factor: float = 1.0) -> dict[str, object]:
        """Summarise the verdict in a few plain values.

        Parameters
        ----------
        factor : float
            Scale of the predicted error: pixels of the photograph on disk per pixel of the fixed
            image.

        Returns
        -------
        dict
            ``verdict``, ``reasons`` and ``predicted_error_px``, which is None if the registration
            failed.
        """
        error = np.nan if self.status == FAILED else self.mean_error * factor
        return {
            "verdict": self.status,
            "reasons": list(self.reasons),
            "predicted_error_px": None if np.isnan(error) else round(error, 2),
        }


def judge(
    transform: sitk.Transform | None,
    fixed: np.ndarray,
    moving: np.ndarray,
    *,
    fixed_mask: np.ndarray | None = None,
    moving_mask: np.ndarray | None = None,
    backward: sitk.Transform | None = None,
    failure: str = "",
    doubts: Sequence[str] = (),
) -> Verdict:
    """Judge a registration by any method, from the two images and the transform only.

    Parameters
    ----------
    transform : sitk.Transform or None
        Maps fixed points to moving points; None if the method failed.
    fixed, moving : float ndarray in [0, 1], shape (height, width)
        The images that were registered.
    fixed_mask, moving_mask : bool ndarray, optional
        True inside the field of view; None: found by `loading.field_of_view`.
    backward : sitk.Transform, optional
        Result of the same method with the images exchanged. It gives additional evidence.
    failure : str
        Why the method failed, if it did.
    doubts : sequence of str
        Other reasons for doubt that are already known.

    Returns
    -------
    Verdict
        Black, blurred or unrelated images also get a verdict, with the reason.

    Raises
    ------
    ValueError
        For images or masks that are not as described.

    Examples
    --------
    >>> import fundus_helpers as fh
    >>> from skimage.data import retina
    >>> fixed = fh.loading.single_channel(retina()[::4, ::4])
    >>> shift = fh.transforms.from_matrix([[1, 0, 10], [0, 1, -5]])
    >>> moving = fh.warp(fixed, fh.transforms.invert(shift, fixed.shape))
    >>> verdict = fh.judge(shift, fixed, moving)
    >>> verdict.status, verdict.reasons
    ('accepted', ())
    """
    try:
        pair = prepare_pair(fixed, moving, fixed_mask, moving_mask, size=SIZE)
    except RegistrationError as error:
        return Verdict(FAILED, (str(error),))
    sizes = np.shape(fixed), np.shape(moving)
    return _judge_pair(transform, pair, sizes, backward=backward, failure=failure, doubts=doubts)


def judge_all(
    found: Sequence[sitk.Transform | None],
    fixed: np.ndarray,
    moving: np.ndarray,
    *,
    fixed_mask: np.ndarray | None = None,
    moving_mask: np.ndarray | None = None,
    failures: Sequence[str] | None = None,
) -> list[Verdict]:
    """Judge several registrations of one pair, as `judge` does; keypoints are found only once.

    Parameters
    ----------
    found : sequence of sitk.Transform or None
        One per method; None if the method failed.
    fixed, moving, fixed_mask, moving_mask
        See `judge`.
    failures : sequence of str, optional
        One per method: why it failed, or an empty text.

    Returns
    -------
    list of Verdict
        In the order of `found`.
    """
    failures = [""] * len(found) if failures is None else failures
    try:
        pair = prepare_pair(fixed, moving, fixed_mask, moving_mask, size=SIZE)
    except RegistrationError as error:
        return [Verdict(FAILED, (str(error),)) for _ in found]
    sizes, keypoints = (np.shape(fixed), np.shape(moving)), keypoints_of(pair)
    return [
        _judge_pair(transform, pair, sizes, keypoints=keypoints, failure=failure)
        for transform, failure in zip(found, failures, strict=True)
    ]


def _judge_pair(
    transform: sitk.Transform | None,
    pair: Pair,
    sizes: tuple[tuple[int, int], tuple[int, int]],
    *,
    keypoints: tuple[Keypoints, Keypoints] | None = None,
    backward: sitk.Transform | None = None,
    failure: str = "",
    doubts: Sequence[str] = (),
) -> Verdict:
    if transform is None:
        return Verdict(FAILED, (failure.removeprefix("RegistrationError: ") or "no transform",))
    factors = [
        max(small.shape) / max(shape)
        for small, shape in zip((pair.fixed, pair.moving), sizes, strict=True)
    ]
    back = None if backward is None else transforms.rescale(backward, *factors[::-1])
    evidence = gather(transforms.rescale(transform, *factors), pair, back, keypoints=keypoints)
    if evidence is None:
        return Verdict(FAILED, ("the fields of view do not overlap",))
    wrong, poor = _wrong(evidence), [*_poor_images(evidence), *doubts]
    reasons = [*(wrong or _doubtful(evidence)), *poor]
    status = FAILED if wrong else DOUBTFUL if reasons else ACCEPTED
    error = cv2.resize(evidence.predicted_error / factors[0], sizes[0][::-1])
    return Verdict(status, tuple(reasons), error, evidence)


def _wrong(evidence: Evidence) -> list[str]:
    """Return the reasons why the transform cannot be right."""
    reasons = []
    if evidence.overlap < LEAST_OVERLAP:
        reasons.append(f"the fields of view overlap by {evidence.overlap:.0%}")
    if evidence.mirrored:
        reasons.append("one image is mirrored")
    least, most = evidence.scales
    if most > SCALE_LIMIT or least < 1 / SCALE_LIMIT:
        reasons.append(f"magnified by {least:.2f} to {most:.2f}: impossible for one eye")
    agreeing, chance = evidence.agreeing, evidence.by_chance
    if agreeing < max(MULTIPLES[0] * chance, AGREEING[0]):
        reasons.append(
            f"{agreeing} keypoints agree, {chance:.0f} are expected by chance: another eye, or "
            "another place"
        )
    if evidence.correlation < CORRELATIONS[0]:
        reasons.append(f"correlation {evidence.correlation:.2f}: not the same vessels")
    return reasons


def _doubtful(evidence: Evidence) -> list[str]:
    """Return the reasons for doubt about a transform that is not clearly wrong."""
    reasons = []
    agreeing, chance = evidence.agreeing, evidence.by_chance
    if agreeing < max(MULTIPLES[1] * chance, AGREEING[1]):
        reasons.append(f"only {agreeing} keypoints agree, {chance:.0f} are expected by chance")
    if evidence.correlation < CORRELATIONS[1]:
        reasons.append(f"correlation {evidence.correlation:.2f}: the images are hardly similar")
    if evidence.overlap < SMALL_OVERLAP:
        reasons.append(f"the fields of view overlap by only {evidence.overlap:.0%}")
    if evidence.folding > 0:
        reasons.append(f"folds in {evidence.folding:.2%} of the overlap")
    error = np.nanmean(evidence.predicted_error) / max(evidence.predicted_error.shape)
    if error > LARGEST_ERROR:
        reasons.append(f"predicted error {error:.1%} of the width")
    if evidence.disagreement > LARGEST_DISAGREEMENT:
        missed = f"{evidence.disagreement:.1%} of the width"
        reasons.append(f"mapped there and back again, points are {missed} off")
    return reasons


def _poor_images(evidence: Evidence) -> list[str]:
    return [
        f"the {name} image shows little ({count} keypoints): blurred or dark"
        for name, count in zip(("fixed", "moving"), evidence.keypoints, strict=True)
        if count < FEW_KEYPOINTS
    ]
