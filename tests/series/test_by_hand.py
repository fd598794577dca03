"""A visit that failed is registered from points that a person has placed, and its outcome says so.

The demo's blink, which shows no vessel, and photographs spoiled by blur, darkness and glare until
`keypoints` gives up. Three points are each 3 px off; that is more than a careful hand errs.
"""

from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest

from fundus_helpers import transforms
from fundus_helpers.loading.demo_eye import make_demo_eye, read_truth
from fundus_helpers.loading.eye import load_eye
from fundus_helpers.loading.painted.geometry import from_anatomy, to_anatomy
from fundus_helpers.loading.tables.placed_points import PlacedPoint, save_points
from fundus_helpers.methods.keypoints import register
from fundus_helpers.methods.keypoints.vessel_alignment import align_vessels
from fundus_helpers.methods.pair import prepare_pair
from fundus_helpers.methods.points import from_points
from fundus_helpers.metrics.verdict import BY_HAND, DOUBTFUL, FAILED, judge
from fundus_helpers.series.registering import placed_points
from fundus_helpers.study import Study
from fundus_helpers.transforms.transform import RegistrationError
from fundus_helpers.transforms.warping import warp

PATIENTS = "demo_colour", "demo_autofluorescence"
OFF = 3.0  # px of 768
BLINK = "2018-07-12"


def blurred(image, rng, sigma):
    return cv2.GaussianBlur(image, (0, 0), sigma) + rng.normal(0, 0.02, image.shape)


def darkened(image, rng):
    return np.round(255 * (0.04 * image + rng.normal(0, 0.01, image.shape))) / 255


def glaring(image, rng):
    y, x = np.indices(image.shape) / max(image.shape) - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    glare = 0.9 * np.exp(-((x - 0.15 * np.cos(angle)) ** 2 + (y - 0.15 * np.sin(angle)) ** 2) / 0.4)
    noise = rng.normal(0, 0.06, image.shape)
    return cv2.GaussianBlur(image, (0, 0), 5) * (1 - glare) + 1.05 * glare + noise


# As strong as needed for `keypoints` to give up.
SPOILERS = {
    "blur of 10 px": partial(blurred, sigma=10),
    "blur of 12 px": partial(blurred, sigma=12),
    "darkness": darkened,
    "glare": glaring,
}
CASES = [
    *(
        ("demo_colour", spoiler, visit)
        for spoiler in SPOILERS
        if "12" not in spoiler
        for visit in (3, 7, 11)
    ),
    *(("demo_autofluorescence", "blur of 12 px", visit) for visit in (4, 9)),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("by_hand")
    for patient in PATIENTS:
        make_demo_eye(folder, patient)
    return folder


@pytest.fixture(scope="module")
def eyes(data):
    return {patient: load_eye(data, patient, "L", shown=False) for patient in PATIENTS}


def true_map(eye, fixed, moving, points):
    """Map points exactly between two visits, the blink among them."""
    truth, files = read_truth(eye.folder), eye.used["file"]
    geometry = {visit["file"]: visit["geometry"] for visit in truth["visits"]}
    anatomy = to_anatomy(geometry[files[fixed]], truth["size"], points)
    return from_anatomy(geometry[files[moving]], truth["size"], anatomy)


def placed(eye, visit, seed=0):
    """Return three landmarks far apart, as a hand places them, and all landmarks with the truth."""
    other = next(i for i in (1, 2) if i != visit)
    points = eye.landmarks_between(0, other)[0]
    true, rng = true_map(eye, 0, visit, points), np.random.default_rng(seed)
    while True:
        chosen = rng.choice(len(points), 3, replace=False)
        a, b, c = points[chosen]
        if abs(np.linalg.det([b - a, c - a])) > 40_000:
            break
    angles = rng.uniform(0, 2 * np.pi, 3)
    off = OFF * np.column_stack([np.cos(angles), np.sin(angles)])
    return (points[chosen], true[chosen] + off), (points, true)


def mean_error(transform, known):
    points, true = known
    return np.linalg.norm(transforms.map_points(transform, points) - true, axis=1).mean()


@pytest.mark.parametrize("patient, spoiler, visit", CASES)
def test_a_spoiled_visit_is_registered_from_three_points(eyes, patient, spoiler, visit):
    eye = eyes[patient]
    rng, image, mask = np.random.default_rng(visit), eye.images[visit], eye.masks[visit]
    spoiled = np.where(mask, SPOILERS[spoiler](image, rng), 0)
    images = eye.images[0], np.clip(spoiled, 0, 1).astype(np.float32)
    masks = {"fixed_mask": eye.masks[0], "moving_mask": mask}
    with pytest.raises(RegistrationError, match="no common vessels"):
        register(*images, **masks)
    hand, known = placed(eye, visit)
    start = from_points(*hand, image.shape, image.shape)
    found = register(*images, **masks, start=start)
    assert mean_error(found, known) < 3.0
    verdict = judge(found, *images, **masks, by_hand=hand)
    assert verdict.status == BY_HAND
    assert verdict.reasons[0] == "registered from 3 points placed by hand"


def test_blurred_vessels_are_aligned_where_the_photographs_hardly_overlap(eyes):
    """The overlap is not at the same place of both photographs."""
    image, shift = eyes["demo_colour"].images[0], np.array([300, 200])
    true = transforms.from_matrix(np.column_stack([np.eye(2), shift]))
    moved, rng = warp(image, transforms.invert(true, image.shape)), np.random.default_rng(0)
    blurred = [
        cv2.GaussianBlur(each, (0, 0), 6) + rng.normal(0, 0.02, image.shape).astype(np.float32)
        for each in (image, moved)
    ]
    pair = prepare_pair(*(np.clip(each, 0, 1) for each in blurred), size=max(image.shape))
    start = transforms.from_matrix(np.column_stack([np.eye(2), shift + (4, -3)]))
    found = align_vessels(pair, start)
    common = transforms.overlap(pair.fixed_mask, pair.moving_mask, true)
    points = np.argwhere(common)[::997, ::-1]
    assert mean_error(found, (points, points + shift)) < 0.5


def blink_of(eye):
    return next(i for i, name in enumerate(eye.names) if BLINK in name)


def save_by_hand(eye, visit, use="registering", off=(0, 0)):
    (fixed, moving), known = placed(eye, visit)
    points = [PlacedPoint(*p, *q, use, "HS") for p, q in zip(fixed, moving + off, strict=True)]
    files = eye.used["file"]
    save_points(eye.folder, files, files[0], files[visit], points)
    return known


@pytest.fixture
def own(data, tmp_path):
    """Return a folder with an eye of its own: the first three visits and the blink."""
    eye = make_demo_eye(tmp_path, "demo_colour")
    photographs = sorted(eye.glob("*.png"))
    for photograph in photographs[3:]:
        if BLINK not in photograph.name:
            photograph.unlink()
    (eye / "excluded.csv").unlink()
    return tmp_path


def study_of(own):
    return Study(own, "demo_colour", "L", results=own / "results", jobs=1)


def test_the_hopeless_visit_of_the_demo_is_accepted_by_hand_and_every_table_says_so(own):
    study = study_of(own)
    blink = blink_of(study.eye)
    study.register("keypoints")
    before = study.table()
    assert before.set_index("visit").loc[study.eye.names[blink], "verdict"] == FAILED
    known = save_by_hand(study.eye, blink)
    study = study_of(own)
    found = study.register("keypoints")
    assert mean_error(found[blink].transform, known) < 5  # no vessel is seen: the points alone
    rows = study.table().set_index("visit")
    row = rows.loc[study.eye.names[blink]]
    assert row["verdict"] == BY_HAND
    assert row["reasons"][0] == "registered from 3 points placed by hand"
    assert study.verdicts().loc["keypoints", [BY_HAND, "failed"]].tolist() == [1, 0]
    others = [name for name in rows.index if name != study.eye.names[blink]]
    columns = ["verdict", "landmark_error_px", "predicted_error_px", "ncc"]
    same = before.set_index("visit").loc[others, columns]
    assert rows.loc[others, columns].equals(same)  # to the last digit
    assert study.judge("keypoints")[blink].status == BY_HAND


def test_points_placed_with_another_visit_than_the_template_are_carried_to_it(own):
    """The page of the app shows the first visit, and the run may choose another template."""
    study = study_of(own)
    blink = blink_of(study.eye)
    known = save_by_hand(study.eye, blink)
    other = Study(
        own, "demo_colour", "L", results=own / "results", jobs=1, template=study.eye.names[1]
    )
    found = other.register("keypoints")[blink]
    between = other.register_visit("keypoints", 0).transform  # from the template to the first visit
    assert found.reason == "" and len(found.points[0]) == 3
    carried = transforms.map_points(transforms.invert(between, other.eye.images[0].shape), known[0])
    assert mean_error(found.transform, (carried, known[1])) < 5  # no vessel is seen
    assert other.judge("keypoints")[blink].status == BY_HAND


def test_points_for_judging_only_never_register_and_points_for_registering_never_judge(own):
    eye = study_of(own).eye
    blink = blink_of(eye)
    save_by_hand(eye, blink, "judging")
    study = study_of(own)
    assert study.register("keypoints")[blink].reason
    assert len(study.eye.landmarks_between(0, blink)[0]) == 3
    save_by_hand(eye, blink)
    again = study_of(own)
    assert len(again.eye.landmarks_between(0, blink)[0]) == 0
    again.register("keypoints")
    measured = again.measured("keypoints").loc[eye.names[blink]]
    assert np.isnan(measured["landmark_error_px"])


def test_points_that_the_vessels_contradict_are_doubtful_and_impossible_ones_fail(eyes):
    eye = eyes["demo_colour"]
    hand, _ = placed(eye, 3)
    wrong = hand[0], hand[1] + (60, 0)
    images, masks = (
        (eye.images[0], eye.images[3]),
        dict(fixed_mask=eye.masks[0], moving_mask=eye.masks[3]),
    )
    true = register(*images, **masks)
    verdict = judge(true, *images, **masks, by_hand=wrong)
    assert verdict.status == DOUBTFUL and "misses by" in verdict.reasons[0]
    mirrored = transforms.from_matrix([[-1, 0, 767], [0, 1, 0]])
    points = hand[0], transforms.map_points(mirrored, hand[0])
    assert judge(mirrored, *images, **masks, by_hand=points).status == FAILED


def test_one_point_is_too_few_and_registers_as_before(eyes):
    eye = eyes["demo_colour"]
    files = eye.used["file"]
    row = dict(fixed_file=files[0], moving_file=files[1], fixed_x=9.0, fixed_y=9.0)
    row |= dict(moving_x=9.0, moving_y=9.0, use="registering")
    one = replace(eye, landmarks=eye.landmarks.iloc[:0].assign(use="").reindex(columns=[*row]))
    one.landmarks.loc[0] = row
    assert placed_points(one, 0, 1) is None
