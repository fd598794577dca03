"""Registration on the retina's own landmarks: keypoints first, then the vessels between them.

A homography in the radially corrected plane (`radial`), found from keypoints (`matching`), then a
smooth displacement that follows the vessels only (`dense`), so that what changed stays changed.
"""

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import SimpleITK as sitk

from fundus_helpers import transforms
from fundus_helpers.loading.photographs import resize
from fundus_helpers.methods.cache import remembered
from fundus_helpers.methods.keypoints import following, matching
from fundus_helpers.methods.keypoints.features import Keypoints, find_keypoints
from fundus_helpers.methods.keypoints.matches import Matches
from fundus_helpers.methods.keypoints.radial import RADIAL_CONSTANT, RadialHomography
from fundus_helpers.methods.keypoints.vessels import vessel_strength
from fundus_helpers.methods.knobs import checked
from fundus_helpers.methods.pair import Pair, check_result, prepare_pair
from fundus_helpers.methods.start import coarse_alignment
from fundus_helpers.transforms.transform import RegistrationError

# Of unrelated eyes, up to 9 matches agree on some homography; of true pairs of FIRE, 25 and more.
# With fewer than the first number, keypoints of the vessels are looked for as well.
SURE_MATCHES, ENOUGH_MATCHES = 50, 15


# Guided matches, in multiples of what a shifted model has by chance: unrelated eyes 1.5, true
# pairs 3.6 and more.
ABOVE_CHANCE = 2.0


# A coarse alignment is right to a few percent of the width: 40 px of 728.
WIDE_RADII = (0.055, *matching.RADII)


SCALE_LIMIT = 1.5


@checked
def register(
    fixed: np.ndarray,
    moving: np.ndarray,
    *,
    fixed_mask: np.ndarray | None = None,
    moving_mask: np.ndarray | None = None,
    radial_constant: float = RADIAL_CONSTANT,
    follow_vessels: bool = True,
    changing: np.ndarray | None = None,
    protect: bool = True,
    stiffness: float = 0.1,
    change_level: float = 0.04,
    count: int = 2000,
    size: int = 728,
) -> sitk.Transform:
    """Register two photographs of a retina on their keypoints, then on their vessels.

    Parameters
    ----------
    fixed, moving : float ndarray in [0, 1], shape (height, width)
    fixed_mask, moving_mask : bool ndarray, optional
        True inside the field of view; None: found by `loading.field_of_view`.
    radial_constant : float in [-0.1, 0.5]
        Of the camera (`keypoints.estimate_radial_constant`), with respect to half the longer side
        of the image. 0 leaves a plain homography.
    follow_vessels : bool
        Let a smooth displacement take up what the homography leaves. False: the homography alone.
    changing : bool ndarray, shape (height, width) of the fixed image, optional
        True where the retina may have changed, as a lesion and its surroundings: not followed,
        the displacement is filled in from around. What is seen to differ is left out anyway.
    protect : bool, if follow_vessels
        False follows the border of a lesion, and everything else, too: a warning, not a setting
        to use.
    stiffness : float in [0.001, 100], if follow_vessels
        More keeps the displacement smoother, and follows the vessels less closely.
    change_level : float in [0.001, 1], if protect
        Difference in the evenly lit images (0.17 is one local standard deviation) that counts as
        a change. Less protects fainter changes, and follows fewer vessels.
    count : int in [100, 20000]
        Keypoints of each image. More finds more matches in poor images, and is slower.
    size : int in [128, 4096] px
        Images are brought to this longer side first. Larger is slower, and hardly more accurate.

    Returns
    -------
    sitk.Transform
        Maps points (x, y) of the fixed image, in pixels, to points of the moving image: a
        displacement field on the fixed image, then a linear transform, which goes on outside.
        The same input gives the same transform.

    Raises
    ------
    ValueError
        For images or masks that are not as described.
    RegistrationError
        If an image shows nothing, too few keypoints agree, or the result cannot be true.
    """
    pair = prepare_pair(fixed, moving, fixed_mask, moving_mask, size=size)
    if changing is not None:
        if np.shape(changing) != np.shape(fixed):
            raise ValueError(f"changing has shape {np.shape(changing)}, fixed {np.shape(fixed)}")
        changing = _at_size(np.asarray(changing), pair.fixed.shape)
    mapping, _ = find_homography(pair, radial_constant=radial_constant, count=count)
    if follow_vessels:
        knobs = {"protect": protect, "stiffness": stiffness, "change_level": change_level}
        mapping = _refined(mapping, pair, changing=changing, **knobs)
    transform = transforms.from_function(mapping, pair.fixed.shape)
    check_result(transform, pair)
    factors = (
        max(np.shape(image)) / max(small.shape)
        for image, small in ((fixed, pair.fixed), (moving, pair.moving))
    )
    return transforms.rescale(transform, *factors)


def _at_size(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return resize(mask.astype(np.float32), max(shape)) > 0


@remembered
def find_homography(
    pair: Pair, *, radial_constant: float = RADIAL_CONSTANT, count: int = 2000
) -> tuple[RadialHomography, Matches]:
    """Find the homography of two evenly lit images, and the matches it rests on.

    Keypoints of the images; if too few agree, keypoints of their vessels too; if still too few,
    all of these near where a coarse alignment expects them.

    Parameters
    ----------
    pair : Pair
        Of `methods.prepare_pair`, about 728 px wide.
    radial_constant : float
        See `keypoints.to_plane`.
    count : int
        Keypoints of each image.

    Returns
    -------
    model : RadialHomography
        In pixels of the pair.
    matches : Matches
        Near the model. `model.residuals` says how near; feed them to
        `keypoints.estimate_radial_constant`.

    Raises
    ------
    RegistrationError
        If too few keypoints agree, or only on something that no fundus camera does.
    """
    fixed: list[Keypoints] = []
    moving: list[Keypoints] = []
    most = 0
    for images, enough in zip(_maps(pair), (SURE_MATCHES, ENOUGH_MATCHES), strict=True):
        fixed.append(find_keypoints(images[0], pair.fixed_mask, count=count))
        moving.append(find_keypoints(images[1], pair.moving_mask, count=count))
        both = zip(fixed, moving, strict=True)
        matches = matching.join([matching.mutual_matches(*keypoints) for keypoints in both])
        model, agreeing = matching.robust_homography(matches, radial_constant)
        most = max(most, agreeing)
        if agreeing >= enough and _is_plausible(model):
            model, matches = matching.refine(model, fixed, moving, radial_constant)
            if _is_plausible(model):
                return model, matches
    start = coarse_alignment(pair)
    matrix = transforms.to_matrix(start)
    model, matches = matching.refine(
        lambda points: points @ matrix[:, :2].T + matrix[:, 2],
        fixed,
        moving,
        radial_constant,
        WIDE_RADII,
    )
    by_chance = matching.chance_matches(model, fixed, moving)
    if len(matches) < max(ABOVE_CHANCE * by_chance, ENOUGH_MATCHES) or not _is_plausible(model):
        raise RegistrationError(
            f"{most} keypoints agree, {ENOUGH_MATCHES} are needed; around a coarse alignment "
            f"{len(matches)}, where {by_chance:.0f} do by chance: too little in common, another "
            "eye, or a mirrored image"
        )
    return model, matches


def _maps(pair: Pair) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Make the images in which keypoints are sought, one pair after the other as needed."""
    yield pair.fixed, pair.moving
    both = (pair.fixed, pair.fixed_mask), (pair.moving, pair.moving_mask)
    fixed, moving = (vessel_strength(*image, edge_penalty=1.0) for image in both)
    yield tuple(
        np.minimum(strength / max(np.quantile(strength, 0.99), 1e-6), 1)
        for strength in (fixed, moving)
    )


def _is_plausible(model: RadialHomography) -> bool:
    """Whether no part of the image is mirrored or magnified beyond any camera."""
    height, width = model.fixed_shape
    step = max(height, width) / 8
    rows, columns = (np.linspace(step, n - step, 5) for n in (height, width))
    places = np.stack(np.meshgrid(columns, rows), axis=2).reshape(-1, 1, 2)
    origin, x, y = np.moveaxis(model(places + step / 2 * np.array([[0, 0], [1, 0], [0, 1]])), 1, 0)
    # Of images brought to one size, whatever theirs was.
    unit = max(model.fixed_shape) / max(model.moving_shape) / (step / 2)
    jacobians = np.stack([x - origin, y - origin], axis=2) * unit
    scales = np.linalg.svd(jacobians, compute_uv=False)
    within = scales.max() < SCALE_LIMIT and scales.min() > 1 / SCALE_LIMIT
    return bool(within and np.linalg.det(jacobians).min() > 0)


def _refined(
    model: RadialHomography, pair: Pair, **knobs: object
) -> Callable[[np.ndarray], np.ndarray]:
    """Add to a homography the displacement that lays the vessels on each other."""
    places = _everywhere(model, pair.fixed.shape)
    border = cv2.BORDER_REPLICATE
    warped = cv2.remap(pair.moving, *places, cv2.INTER_CUBIC, borderMode=border)
    seen = cv2.remap(pair.moving_mask.astype(np.float32), *places, cv2.INTER_LINEAR) >= 0.5
    field = following.follow_vessels(pair.fixed, warped, pair.fixed_mask & seen, **knobs)

    def mapping(points: np.ndarray) -> np.ndarray:
        x, y = cv2.split(points.astype(np.float32))
        return model(points + cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=border))

    return mapping


def _everywhere(model: RadialHomography, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Map every pixel, interpolated from every eighth: x and y, float32, of that shape."""
    spacing = 8
    rows, columns = (np.arange(0, n + spacing, spacing) for n in shape)
    nodes = model(np.stack(np.meshgrid(columns, rows), axis=2)).astype(np.float32)
    back = np.array([[1 / spacing, 0, 0], [0, 1 / spacing, 0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.split(cv2.warpAffine(nodes, back, shape[::-1], flags=flags))
