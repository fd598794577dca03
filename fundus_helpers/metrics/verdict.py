"""The verdict on a registration: whether to accept it, why not, and its predicted error."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import SimpleITK as sitk

from fundus_helpers import transforms
from fundus_helpers.methods.pair import LEAST_OVERLAP, SCALE_LIMIT, prepare_pair
from fundus_helpers.metrics.evidence import BOUND, SIZE, Evidence, gather
from fundus_helpers.metrics.faults import Examined
from fundus_helpers.metrics.placing import error_by_hand
from fundus_helpers.transforms.transform import RegistrationError

ACCEPTED, DOUBTFUL, FAILED = "accepted", "doubtful", "failed"
# A person has placed points in both photographs, and the transform agrees with them. What the
# images alone would say is told, too, but does not decide.
BY_HAND = "accepted, by hand"
USABLE = ACCEPTED, BY_HAND  # verdicts of transforms that can be used

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
# A transform whose median distance from the points of a hand is larger is doubtful: 8 px of 768.
LARGEST_MISS = 0.01

Points = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Verdict:
    """The verdict on a registration.

    Attributes
    ----------
    status : {"accepted", "accepted, by hand", "doubtful", "failed"}
        ``accepted``: the transform can be used. ``accepted, by hand``: it can be used, because it
        was found from points that a person has placed, and agrees with them.
        ``doubtful``: look at the images first. ``failed``: there is no transform, or it is wrong.
    reasons : tuple of str
        Why the registration is not accepted, the most serious reason first. If it is accepted by
        hand: how far the points are off, and what the images alone would say.
    predicted_error : float32 ndarray or None
        Expected error of every point of the overlap in pixels, shape of the fixed image; NaN
        elsewhere. The error of nine of ten points is below `bound`. None without a transform. By
        hand, it includes the error of the points where the images do not look alike.
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
    by_hand: Points | None = None,
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
    by_hand : (fixed points, moving points), optional
        Points (n, 2), (x, y) in pixels of `fixed` and of `moving`, that a person has placed, and
        from which the transform was found.

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
    examined = Examined(fixed, moving, pair)
    more = {"failure": failure, "doubts": doubts, "by_hand": by_hand}
    return _judge_pair(transform, examined, backward=backward, **more)


def judge_all(
    found: Sequence[sitk.Transform | None],
    fixed: np.ndarray,
    moving: np.ndarray,
    *,
    fixed_mask: np.ndarray | None = None,
    moving_mask: np.ndarray | None = None,
    failures: Sequence[str] | None = None,
    by_hand: Sequence[Points | None] | None = None,
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
    by_hand : sequence of (fixed points, moving points) or None, optional
        One per method; see `judge`.

    Returns
    -------
    list of Verdict
        In the order of `found`.
    """
    failures = [""] * len(found) if failures is None else failures
    by_hand = [None] * len(found) if by_hand is None else by_hand
    try:
        pair = prepare_pair(fixed, moving, fixed_mask, moving_mask, size=SIZE)
    except RegistrationError as error:
        return [Verdict(FAILED, (str(error),)) for _ in found]
    examined = Examined(fixed, moving, pair)
    return [
        _judge_pair(transform, examined, failure=failure, by_hand=points)
        for transform, failure, points in zip(found, failures, by_hand, strict=True)
    ]


def _judge_pair(
    transform: sitk.Transform | None,
    examined: Examined,
    *,
    backward: sitk.Transform | None = None,
    failure: str = "",
    doubts: Sequence[str] = (),
    by_hand: Points | None = None,
) -> Verdict:
    pair = examined.pair
    if transform is None:
        return _failed(examined, [failure.removeprefix("RegistrationError: ") or "no transform"])
    factors = [
        max(ready.shape) / max(np.shape(image))
        for ready, image in zip((pair.fixed, pair.moving), examined.images, strict=True)
    ]
    back = None if backward is None else transforms.rescale(backward, *factors[::-1])
    small, (first, second) = transforms.rescale(transform, *factors), examined.keypoints
    if by_hand is not None:  # a person may have found that the photograph is turned, however far
        matrix = transforms.to_matrix(transforms.linear_part(small, pair.fixed.shape))
        second = second.turned(transforms.turn_of(matrix))
    evidence = gather(small, pair, back, keypoints=(first, second))
    if evidence is None:
        return _failed(examined, ["the fields of view do not overlap"])
    error = cv2.resize(evidence.predicted_error / factors[0], np.shape(examined.images[0])[::-1])
    if by_hand is not None and not _impossible(evidence):
        return _by_hand(transform, examined, evidence, error, by_hand)
    if wrong := _wrong(evidence):
        return replace(
            _failed(examined, [*wrong, *doubts]), predicted_error=error, evidence=evidence
        )
    reasons = [
        *examined.compressed,
        *_doubtful(evidence),
        *examined.poor_photographs(failed=False),
        *doubts,
    ]
    reasons += examined.burned_in if reasons else []
    return Verdict(DOUBTFUL if reasons else ACCEPTED, tuple(reasons), error, evidence)


def _failed(examined: Examined, numbers: list[str]) -> Verdict:
    """Return the verdict on a failure: first what is wrong in plain words, then the numbers."""
    plain = [*examined.poor_photographs(failed=True), *examined.compressed, *examined.mirrored]
    return Verdict(FAILED, (*plain, *numbers, *examined.burned_in))


def _by_hand(
    transform: sitk.Transform,
    examined: Examined,
    evidence: Evidence,
    error: np.ndarray,
    points: Points,
) -> Verdict:
    """Judge a transform by the points of a person; tell what the images alone would say."""
    fixed_points, moving_points = points
    misses = np.linalg.norm(transforms.map_points(transform, fixed_points) - moving_points, axis=1)
    hand = error_by_hand(fixed_points, misses, error.shape)
    error = np.hypot(error, cv2.resize(evidence.unlike, error.shape[::-1]) * hand)
    told = f"registered from {len(misses)} points placed by hand"
    alone = _wrong(evidence) or _doubtful(evidence)
    seen = [f"the images alone: {'; '.join(alone)}", *examined.poor_photographs(failed=True)]
    seen = seen if alone else []
    share = float(np.median(misses)) / max(np.shape(examined.images[1]))
    if share > LARGEST_MISS:
        told = f"{told}, which the transform misses by {share:.1%} of the width; correct them"
    if share > LARGEST_MISS or evidence.folding > 0:
        return Verdict(DOUBTFUL, (told, *seen), error, evidence)
    return Verdict(BY_HAND, (told, *seen), error, evidence)


def _wrong(evidence: Evidence) -> list[str]:
    """Return the reasons why the transform cannot be right."""
    reasons = _impossible(evidence)
    agreeing, chance = evidence.agreeing, evidence.by_chance
    if agreeing < max(MULTIPLES[0] * chance, AGREEING[0]):
        reasons.append(
            f"another eye, or another place ({agreeing} keypoints agree, {chance:.0f} are expected "
            "by chance)"
        )
    if evidence.correlation < CORRELATIONS[0]:
        reasons.append(f"not the same vessels (correlation {evidence.correlation:.2f})")
    return reasons


def _impossible(evidence: Evidence) -> list[str]:
    """Return the reasons why no two photographs of one eye can have this transform."""
    reasons = []
    if evidence.overlap < LEAST_OVERLAP:
        reasons.append(f"the fields of view overlap by {evidence.overlap:.0%}")
    if evidence.mirrored:
        reasons.append("the transform mirrors the retina")
    least, most = evidence.scales
    if most > SCALE_LIMIT or least < 1 / SCALE_LIMIT:
        reasons.append(f"impossible for one eye: magnified by {least:.2f} to {most:.2f}")
    return reasons


def _doubtful(evidence: Evidence) -> list[str]:
    """Return the reasons for doubt about a transform that is not clearly wrong."""
    reasons = []
    agreeing, chance = evidence.agreeing, evidence.by_chance
    if agreeing < max(MULTIPLES[1] * chance, AGREEING[1]):
        reasons.append(
            f"little in common ({agreeing} keypoints agree, {chance:.0f} are expected by chance)"
        )
    if evidence.correlation < CORRELATIONS[1]:
        reasons.append(f"the images are hardly similar (correlation {evidence.correlation:.2f})")
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
