"""The verdict on a registration: whether to accept it, why not, and its predicted error."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import SimpleITK as sitk

from fundus_helpers import transforms
from fundus_helpers.loading.light import field_of_view
from fundus_helpers.methods.cache import sharing
from fundus_helpers.methods.pair import (
    LEAST_OVERLAP,
    SCALE_LIMIT,
    Pair,
    prepare_pair,
    small_overlap_factor,
)
from fundus_helpers.methods.start import far_turn, turned_back
from fundus_helpers.metrics.evidence import BOUND, SIZE, Evidence, gather, look_at_vessels
from fundus_helpers.metrics.faults import Examined
from fundus_helpers.metrics.placing import error_by_hand
from fundus_helpers.transforms.transform import RegistrationError

ACCEPTED, DOUBTFUL, FAILED = "accepted", "doubtful", "failed"
# A person has placed points in both photographs, and the transform agrees with them. What the
# images alone would say is told, too, but does not decide.
BY_HAND = "accepted, by hand"
USABLE = ACCEPTED, BY_HAND  # verdicts of transforms that can be used
RANKS = FAILED, DOUBTFUL, ACCEPTED  # from bad to good

# A registration with less than the first value is wrong; with less than the second it is doubtful.
# 50 pairs of two different eyes of FIRE, coarsely aligned, had at most 2.4 times as many agreeing
# keypoints as by chance. Registered by six methods, such pairs had a correlation of at most 0.44.
# Pairs of one eye had at least 3.2 times as many keypoints, and 0.50.
MULTIPLES = 2.0, 2.6  # agreeing keypoints divided by those that agree by chance
AGREEING = 15, 40
CORRELATIONS = 0.25, 0.45
# Where the images are not alike, their vessels are compared, bright or dark. Both the correlation
# of the pictures of the vessels and that of their directions must reach these values; more in a
# small overlap. Photographs of two different eyes had at most 0.22, angiograms and colour
# photographs of one eye at least 0.38.
VESSELS = 0.2, 0.3
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


@sharing()
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
    sides, masks = (fixed, moving), (fixed_mask, moving_mask)
    try:
        pair = prepare_pair(*sides, *masks, size=SIZE)
    except RegistrationError as error:
        return Verdict(FAILED, (str(error),))
    more = {"failure": failure, "doubts": doubts, "by_hand": by_hand}
    verdict = _judge_pair(transform, Examined(*sides, pair), backward=backward, **more)
    if by_hand is not None:  # the points told how far the photograph is turned
        return verdict
    return _judge_turned(verdict, transform, sides, masks, backward, doubts)


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
    sides, masks = (fixed, moving), (fixed_mask, moving_mask)
    examined = Examined(*sides, pair)
    verdicts = [
        _judge_pair(transform, examined, failure=failure, by_hand=points)
        for transform, failure, points in zip(found, failures, by_hand, strict=True)
    ]
    return [
        verdict if points is not None else _judge_turned(verdict, transform, sides, masks)
        for verdict, transform, points in zip(verdicts, found, by_hand, strict=True)
    ]


def _judge_turned(
    verdict: Verdict,
    transform: sitk.Transform | None,
    images: tuple[np.ndarray, np.ndarray],
    masks: tuple[np.ndarray | None, np.ndarray | None],
    backward: sitk.Transform | None = None,
    doubts: Sequence[str] = (),
) -> Verdict:
    """Judge again where one photograph is much turned or magnified: turn it back first.

    Keypoints are compared with their directions and sizes, so that those of a turned photograph
    would not agree.
    """
    if transform is None or verdict.status in USABLE:
        return verdict
    fixed, moving = images
    turn = far_turn(transform, np.shape(fixed), np.shape(moving))
    if turn is None:
        return verdict
    mask = field_of_view(moving) if masks[1] is None else np.asarray(masks[1], bool)
    moving, mask = turned_back(np.asarray(moving, np.float32), mask, turn, np.shape(fixed))
    try:
        pair = prepare_pair(fixed, moving, masks[0], mask, size=SIZE)
    except RegistrationError:  # hardly anything of it is in the frame of the fixed photograph
        return verdict
    left = transforms.compose(transform, turn.GetInverse())
    back = None if backward is None else transforms.compose(turn, backward)
    judged = _judge_pair(left, Examined(fixed, moving, pair), backward=back, doubts=doubts)
    better = RANKS.index(judged.status) > RANKS.index(verdict.status)
    return judged if better else verdict


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
    evidence = _more_convincing(evidence, small, pair)
    error = cv2.resize(evidence.predicted_error / factors[0], np.shape(examined.images[0])[::-1])
    if by_hand is not None and not _impossible(evidence):
        return _by_hand(transform, examined, evidence, error, by_hand)
    if wrong := _wrong(evidence):
        return replace(
            _failed(examined, [*wrong, *doubts]), predicted_error=error, evidence=evidence
        )
    reasons = [
        *examined.compressed(small),
        *_doubtful(evidence),
        *examined.poor_photographs(failed=False),
        *doubts,
    ]
    reasons += examined.burned_in if reasons else []
    return Verdict(DOUBTFUL if reasons else ACCEPTED, tuple(reasons), error, evidence)


def _more_convincing(evidence: Evidence, transform: sitk.Transform, pair: Pair) -> Evidence:
    """Return the evidence of the vessels where it convinces and that of the images does not."""
    if _impossible(evidence) or not (_unlike(evidence, 0) or _unlike(evidence, 1)):
        return evidence
    vessels = look_at_vessels(evidence, transform, pair)
    better = any(_unlike(evidence, level) and not _unlike(vessels, level) for level in (0, 1))
    return vessels if better else evidence


def _failed(examined: Examined, numbers: list[str]) -> Verdict:
    """Return the verdict on a failure: first what is wrong in plain words, then the numbers."""
    plain = [*examined.poor_photographs(failed=True), *examined.compressed(), *examined.mirrored]
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
    return [*_impossible(evidence), *_unlike(evidence, 0)]


def _unlike(evidence: Evidence, level: int) -> list[str]:
    """Say what photographs have too little in common: to be one retina (0), to be certain (1)."""
    if evidence.look_at == "vessels":
        least = VESSELS[level] * small_overlap_factor(evidence.overlap) ** 2
        seen = min(evidence.correlation, evidence.directions)
        said = "not the same vessels", "the vessels are hardly similar"
        return [f"{said[level]} (correlation {seen:.2f})"] if seen < least else []
    reasons, (agreeing, chance) = [], (evidence.agreeing, evidence.by_chance)
    if agreeing < max(MULTIPLES[level] * chance, AGREEING[level]):
        said = "another eye, or another place", "little in common"
        reasons.append(
            f"{said[level]} ({agreeing} keypoints agree, {chance:.0f} are expected by chance)"
        )
    if evidence.correlation < CORRELATIONS[level]:
        said = "not the same vessels", "the images are hardly similar"
        reasons.append(f"{said[level]} (correlation {evidence.correlation:.2f})")
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
    reasons = _unlike(evidence, 1)
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
