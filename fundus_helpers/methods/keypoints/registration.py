"""Registration by keypoints of the retina, refined by its vessels.

Keypoints (`matching`) give a homography in the radially corrected plane (`homography`). A smooth
displacement then follows the vessels only (`following`), so that changes of the retina are kept.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Literal

import numpy as np
import SimpleITK as sitk
from annotated_types import Interval

from fundus_helpers import transforms
from fundus_helpers.loading.light import field_of_view
from fundus_helpers.loading.values import resize
from fundus_helpers.methods.cache import remembered
from fundus_helpers.methods.homography.matches import Matches
from fundus_helpers.methods.homography.radial import RADIAL_CONSTANT, RadialHomography
from fundus_helpers.methods.keypoints import following, matching
from fundus_helpers.methods.keypoints.features import Keypoints, find_keypoints
from fundus_helpers.methods.keypoints.line_homography import (
    LEAST_LINE_CORRELATION,
    find_line_homography,
    line_agreement,
    line_keypoints,
)
from fundus_helpers.methods.keypoints.matching import ENOUGH_MATCHES
from fundus_helpers.methods.keypoints.moved_field import follow_moved
from fundus_helpers.methods.keypoints.vessel_alignment import align_vessels
from fundus_helpers.methods.keypoints.vessels import vessel_strength
from fundus_helpers.methods.keypoints.wide_search import find_turn
from fundus_helpers.methods.knobs import ActsIf, ImageUnit, checked
from fundus_helpers.methods.pair import LEAST_CORRELATION, Pair, check_result, prepare_pair
from fundus_helpers.methods.start import coarse_alignment, turned_back
from fundus_helpers.transforms.transform import RegistrationError

# If fewer matches agree on the images, the keypoints of their vessels are used too, and then
# ENOUGH_MATCHES must agree.
SURE_MATCHES = 50

# The number of guided matches, divided by the number that a shifted model has by chance, is at most
# 1.5 between unrelated eyes, and at least 3.6 between true pairs.
ABOVE_CHANCE = 2.0

# A coarse alignment is accurate to a few percent of the width, 40 px of 728.
WIDE_RADII = (0.055, *matching.RADII)


@checked
def register(
    fixed: np.ndarray,
    moving: np.ndarray,
    *,
    fixed_mask: np.ndarray | None = None,
    moving_mask: np.ndarray | None = None,
    start: sitk.Transform | None = None,
    look_at: Literal["either", "images", "vessels"] = "either",
    radial_constant: Annotated[float, Interval(ge=-0.1, le=0.5)] = RADIAL_CONSTANT,
    fit_constant: bool = True,
    follow_vessels: bool = True,
    changing: np.ndarray | None = None,
    protect: Annotated[bool, ActsIf("follow_vessels")] = True,
    stiffness: Annotated[float, Interval(ge=0.001, le=100), ActsIf("follow_vessels")] = 0.25,
    change_level: Annotated[float, Interval(ge=0.001, le=1), ActsIf("protect")] = 0.04,
    count: Annotated[int, Interval(ge=100, le=20_000)] = 2000,
    size: Annotated[int, Interval(ge=128, le=4096), ImageUnit("px")] = 728,
) -> sitk.Transform:
    """Register two photographs of a retina by their keypoints, then by their vessels.

    Parameters
    ----------
    fixed, moving : float ndarray in [0, 1], shape (height, width)
    fixed_mask, moving_mask : bool ndarray, optional
        True inside the field of view; None: found by `loading.field_of_view`.
    start : sitk.Transform, optional
        A transform that is nearly right, for example from points placed by hand
        (`methods.points.from_points`). It is refined by matches near the places that it predicts,
        or else by the vessels as a whole. Where no vessels can be seen, it is the result.
    look_at : {"either", "images", "vessels"}
        What is registered: the photographs, or pictures of their vessels, bright or dark.
        ``either``: the photographs, or their vessels if nothing common is found in the photographs.
        ``vessels`` is for photographs of two modalities.
    radial_constant : float in [-0.1, 0.5]
        Radial distortion constant of the camera (`homography.estimate_radial_constant`). Its unit
        of length is half the longer side of the image. 0: a plain homography.
    fit_constant : bool
        Fit the radial constant to the keypoints of each pair, so that photographs of another camera
        and cropped ones are registered, too. False: use `radial_constant` as it is.
    follow_vessels : bool
        Correct the homography by a smooth displacement. Parts of the retina that were moved
        farther, for example by surgery, are followed too. False: the homography alone.
    changing : bool ndarray, shape (height, width) of the fixed image, optional
        True where the retina may have changed, for example at a lesion and around it. There the
        displacement is interpolated from the surroundings. Visible differences are left out in any
        case.
    protect : bool
        Follow the vessels only. False: the displacement also follows the border of a lesion and
        hides its growth, and moved parts are not followed. Use False only to show this effect. Used
        only with `follow_vessels`.
    stiffness : float in [0.001, 100]
        A larger value makes the displacement smoother. It then follows the vessels less closely.
        Used only with `follow_vessels`.
    change_level : float in [0.001, 1]
        Difference of the evenly lit images that counts as a change; 0.17 is one local standard
        deviation. A smaller value protects fainter changes, and fewer vessels are followed. Used
        only with `protect`.
    count : int in [100, 20000]
        Number of keypoints in each image. More keypoints give more matches in poor images, and are
        slower.
    size : int in [128, 4096] px
        Images are resized to this longer side first. A larger size is slower and hardly more
        accurate.

    Returns
    -------
    sitk.Transform
        Maps points (x, y) of the fixed image, in pixels, to points of the moving image. It is a
        displacement field on the fixed image, followed by a linear transform, which also applies
        outside of the image. The same input gives the same transform.

    Raises
    ------
    ValueError
        For images, masks or knobs that are not as described.
    RegistrationError
        If an image shows nothing, if too few keypoints agree, or if the result is not plausible.
    """
    if not isinstance(start, sitk.Transform | None):
        raise ValueError(
            f"start={start!r} is no transform; give None, or for example the result of "
            "methods.points.from_points"
        )
    if changing is not None and np.shape(changing) != np.shape(fixed):
        raise ValueError(f"changing has shape {np.shape(changing)}, fixed {np.shape(fixed)}")
    knobs = {"protect": protect, "stiffness": stiffness, "change_level": change_level}
    finish = partial(_finished, follow_vessels=follow_vessels, **knobs)
    how = {"radial_constant": radial_constant, "fit_constant": fit_constant, "count": count}
    once = partial(_register, changing=changing, finish=finish, look_at=look_at, size=size, **how)
    masks = fixed_mask, moving_mask
    if start is not None:
        return once(fixed, moving, *masks, start=start)
    pair = prepare_pair(fixed, moving, *masks, size=size)
    try:
        return once(fixed, moving, *masks, pair=pair)
    except RegistrationError as error:
        failure = error
    try:
        return _register_turned(fixed, moving, *masks, pair=pair, once=once, count=count)
    except RegistrationError as error:
        raise failure from error  # what is said about the ordinary search says more


def _register(
    fixed: np.ndarray,
    moving: np.ndarray,
    fixed_mask: np.ndarray | None,
    moving_mask: np.ndarray | None,
    *,
    finish: Callable[..., sitk.Transform],
    look_at: str,
    size: int,
    changing: np.ndarray | None,
    start: sitk.Transform | None = None,
    pair: Pair | None = None,
    **how: float,
) -> sitk.Transform:
    """Register images that are turned by at most 30 degrees and magnified by at most 1.5."""
    if pair is None:
        pair = prepare_pair(fixed, moving, fixed_mask, moving_mask, size=size)
    if changing is not None:
        changing = _at_size(np.asarray(changing), pair.fixed.shape)
    finish = partial(finish, changing=changing)
    factors = _factors(fixed, moving, pair)
    if start is None:
        transform = _searched(pair, look_at, finish, **how)
    else:
        start = transforms.rescale(start, *(1 / factor for factor in factors))
        transform = _started(pair, start, look_at, finish, **how)
    return transforms.rescale(transform, *factors)


def _register_turned(
    fixed: np.ndarray,
    moving: np.ndarray,
    fixed_mask: np.ndarray | None,
    moving_mask: np.ndarray | None,
    *,
    pair: Pair,
    once: Callable[..., sitk.Transform],
    count: int,
) -> sitk.Transform:
    """Register images that are turned and magnified by anything: turn one back, then register."""
    factors = _factors(fixed, moving, pair)
    turn = transforms.rescale(find_turn(pair, count=count), *factors)
    moving = np.asarray(moving, np.float32)
    moving_mask = field_of_view(moving) if moving_mask is None else np.asarray(moving_mask, bool)
    back, back_mask = turned_back(moving, moving_mask, turn, np.shape(fixed))
    return transforms.compose(once(fixed, back, fixed_mask, back_mask), turn)


def _factors(fixed: np.ndarray, moving: np.ndarray, pair: Pair) -> list[float]:
    return [
        max(np.shape(image)) / max(small.shape)
        for image, small in ((fixed, pair.fixed), (moving, pair.moving))
    ]


def _searched(
    pair: Pair, look_at: str, finish: Callable[..., sitk.Transform], **how: float
) -> sitk.Transform:
    """Register the images or their vessels; with ``either``, the vessels if the images fail."""
    if look_at != "vessels":
        try:
            return finish(find_homography(pair, **how)[0], pair)
        except RegistrationError as error:
            if look_at == "images":
                raise
            failure = error
    try:
        return finish(find_line_homography(pair, **how)[0], pair.vessels())
    except RegistrationError as error:
        if look_at == "vessels":
            raise
        raise failure from error  # what is said about the photographs says more


def _finished(
    mapping: Callable[[np.ndarray], np.ndarray],
    pair: Pair,
    *,
    follow_vessels: bool,
    least_correlation: float = LEAST_CORRELATION,
    **knobs: object,
) -> sitk.Transform:
    """Follow the vessels from a homography, and refuse what is not plausible."""
    if follow_vessels:
        mapping = _refined(mapping, pair, **knobs)
    transform = transforms.from_function(mapping, pair.fixed.shape)
    check_result(transform, pair, least_correlation=least_correlation)
    return transform


def _at_size(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return resize(mask.astype(np.float32), max(shape)) > 0


@remembered
def find_homography(
    pair: Pair,
    *,
    radial_constant: float = RADIAL_CONSTANT,
    fit_constant: bool = True,
    count: int = 2000,
) -> tuple[RadialHomography, Matches]:
    """Find the homography of two evenly lit images, and the matches that support it.

    The keypoints of the images are matched first. If too few agree, the keypoints of their vessels
    are added. If there are still too few, all keypoints are matched again near the positions that
    a coarse alignment predicts.

    Parameters
    ----------
    pair : Pair
        Result of `methods.pair.prepare_pair`, about 728 px wide.
    radial_constant, fit_constant, count
        See `register`.

    Returns
    -------
    model : RadialHomography
        In pixels of the pair.
    matches : Matches
        Matches that are close to the model; `model.residuals` gives their distances.
        `homography.estimate_radial_constant` can use the matches.

    Raises
    ------
    RegistrationError
        If too few keypoints agree, or if they agree on a homography that is not plausible.
    """
    fixed: list[Keypoints] = []
    moving: list[Keypoints] = []
    most, camera = 0, {"radial_constant": radial_constant, "fit_constant": fit_constant}
    for images, enough in zip(_maps(pair), (SURE_MATCHES, ENOUGH_MATCHES), strict=True):
        fixed.append(find_keypoints(images[0], pair.fixed_mask, count=count))
        moving.append(find_keypoints(images[1], pair.moving_mask, count=count))
        found, agreeing = matching.match(fixed, moving, enough, **camera)
        if found is not None:
            return found
        most = max(most, agreeing)
    start = partial(transforms.map_points, coarse_alignment(pair))
    model, matches = matching.refine(start, fixed, moving, radii=WIDE_RADII, **camera)
    by_chance = matching.chance_matches(model, fixed, moving)
    if len(matches) < max(ABOVE_CHANCE * by_chance, ENOUGH_MATCHES) or not matching.is_plausible(
        model
    ):
        raise RegistrationError(
            "no common vessels were found: another eye, too small an overlap, or a mirrored image "
            f"({most} keypoints agree, {ENOUGH_MATCHES} are needed; around a coarse alignment "
            f"{len(matches)}, and {by_chance:.0f} are expected by chance)"
        )
    return model, matches


def _started(
    pair: Pair,
    start: sitk.Transform,
    look_at: str,
    finish: Callable[..., sitk.Transform],
    **how: float,
) -> sitk.Transform:
    """Refine a start on the images or their vessels; with ``either``, on the first that is seen."""
    # A person has seen that it is the same place.
    finish = partial(finish, least_correlation=-1.0)
    looks = ("images", "vessels") if look_at == "either" else (look_at,)
    compared = {look: pair if look == "images" else pair.vessels() for look in looks}
    for look in looks:
        if model := _near_start(pair, start, look, **how):
            return finish(model, compared[look])
    for each in compared.values():
        aligned = align_vessels(each, transforms.linear_part(start, pair.fixed.shape))
        if aligned is not None:
            return finish(partial(_mapped, aligned), each)
    return finish(partial(_mapped, start), pair, follow_vessels=False)


def _mapped(transform: sitk.Transform, points: np.ndarray) -> np.ndarray:
    return transforms.map_points(transform, np.reshape(points, (-1, 2))).reshape(np.shape(points))


def _near_start(
    pair: Pair, start: sitk.Transform, look_at: str, count: int, **camera: float
) -> RadialHomography | None:
    """Refine a start by matches near the places that it predicts; None if too few agree."""
    if look_at == "vessels":
        fixed, moving = line_keypoints(pair, count)
    else:
        masks = pair.fixed_mask, pair.moving_mask
        fixed, moving = (
            [find_keypoints(image, mask, count=count) for image in images]
            for images, mask in zip(zip(*_maps(pair), strict=True), masks, strict=True)
        )
    # A person may have found that the photograph is turned, however far.
    turn = transforms.turn_of(transforms.to_matrix(transforms.linear_part(start, pair.fixed.shape)))
    moving = [keypoints.turned(turn) for keypoints in moving]
    try:
        model, matches = matching.refine(partial(_mapped, start), fixed, moving, **camera)
    except RegistrationError:  # then the vessels as a whole are aligned
        return None
    by_chance = matching.chance_matches(model, fixed, moving)
    if len(matches) < max(ABOVE_CHANCE * by_chance, ENOUGH_MATCHES):
        return None
    alike = look_at == "images" or line_agreement(model, pair.vessels()) >= LEAST_LINE_CORRELATION
    return model if alike and matching.is_plausible(model) else None


def _maps(pair: Pair) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the pairs of images in which keypoints are detected: the images, then their vessels."""
    yield pair.fixed, pair.moving
    both = (pair.fixed, pair.fixed_mask), (pair.moving, pair.moving_mask)
    fixed, moving = (vessel_strength(*image, edge_penalty=1.0) for image in both)
    yield tuple(
        np.minimum(strength / max(np.quantile(strength, 0.99), 1e-6), 1)
        for strength in (fixed, moving)
    )


def _refined(
    model: RadialHomography, pair: Pair, **knobs: object
) -> Callable[[np.ndarray], np.ndarray]:
    """Add the displacement that aligns the vessels to a homography."""
    places = _everywhere(model, pair.fixed.shape)
    warped = transforms.remap(pair.moving, places, interpolation="cubic", fill=None)
    mask = pair.fixed_mask & transforms.remap_mask(pair.moving_mask, places)
    dense = partial(following.follow_vessels, **knobs)
    field = dense(pair.fixed, warped, mask)
    if knobs["protect"] and pair.look_at == "images":
        mask = mask if knobs["changing"] is None else mask & ~knobs["changing"]
        field = follow_moved(pair.fixed, warped, mask, field, dense)

    def mapping(points: np.ndarray) -> np.ndarray:
        return model(points + transforms.remap(field, points, fill=None))

    return mapping


def _everywhere(model: RadialHomography, shape: tuple[int, int]) -> np.ndarray:
    """Map every pixel to (x, y), float32, by interpolation between every eighth pixel."""
    spacing = 8
    rows, columns = (np.arange(0, n + spacing, spacing) for n in shape)
    nodes = model(np.stack(np.meshgrid(columns, rows), axis=2))
    return transforms.between_nodes(nodes, spacing, shape)
