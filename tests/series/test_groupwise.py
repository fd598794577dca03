"""A group of visits is registered to each other, in a frame in their middle."""

from itertools import combinations

import numpy as np
import pytest
import SimpleITK as sitk
from known_transforms import about_the_middle

from fundus_helpers import transforms
from fundus_helpers.loading.light import erode, normalise_illumination
from fundus_helpers.methods import elastix_run
from fundus_helpers.methods.knobs import read_knobs
from fundus_helpers.series.group_methods import ElastixStack, IteratedMean
from fundus_helpers.series.groupwise import Group, centred, elastix_stack, iterated_mean
from fundus_helpers.series.registering import Registration
from fundus_helpers.transforms.transform import RegistrationError

KINDS = {"iterated_mean": iterated_mean, "elastix_stack": elastix_stack}
QUIETLY = {"jobs": 1, "shown": False}
MATRICES = [
    about_the_middle(2, shift=(9, 4)),
    about_the_middle(-4, shift=(-5, 8)),
    about_the_middle(1, shift=(6, -12)),
    about_the_middle(5, shift=(10, 3)),
]


@pytest.fixture(scope="module")
def views(bend, aperture):
    """Return (true transforms from the retina to its photographs, photographs, masks, names)."""
    true, images = zip(
        *(bend(matrix, seed) for seed, matrix in enumerate(MATRICES, 10)), strict=True
    )
    return true, list(images), [aperture] * len(images), list("abcd")


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    """Return the name of either way."""
    return request.param


@pytest.fixture(scope="module")
def group(kind, views):
    """Return the photographs registered to each other."""
    return KINDS[kind](*views[1:], **QUIETLY)


def places(mask):
    """Return points (x, y) that are spread over the middle of a mask."""
    rows, columns = np.nonzero(erode(mask, 0.12))
    on_grid = (rows % 16 == 0) & (columns % 16 == 0)
    return np.column_stack([columns, rows])[on_grid].astype(float)


def pairwise_errors(true, group, mask):
    """Return how far, in the group's frame, two photographs lay what is one place on the retina."""
    seen = [transforms.map_points(transform, places(mask)) for transform in true]
    laid = [
        transforms.map_points_back(registration.transform, points)
        for registration, points in zip(group.registrations, seen, strict=True)
    ]
    return np.array([np.linalg.norm(a - b, axis=1) for a, b in combinations(laid, 2)])


def mean_displacement(group, mask):
    """Return the displacements of the middle of the frame, meant over the photographs."""
    done = [r.transform for r in group.registrations if r.transform is not None]
    return np.mean([transforms.map_points(t, places(mask)) for t in done], axis=0) - places(mask)


def test_all_pairs_lie_on_each_other(group, views, aperture):
    before = Group([Registration(n, transforms.identity(), "", 0.0) for n in "abcd"], None, None)
    assert pairwise_errors(views[0], before, aperture).mean() > 10
    errors = pairwise_errors(views[0], group, aperture)
    assert errors.shape[1] > 50 and errors.mean() < 0.3 and errors.max() < 1.2


def test_the_frame_lies_in_the_middle(group, aperture):
    moved = np.linalg.norm(mean_displacement(group, aperture), axis=1)
    assert moved.mean() < 0.05 and moved.max() < 0.1


def test_names_and_order_are_those_of_the_visits(group):
    assert [registration.visit for registration in group.registrations] == list("abcd")
    assert not any(registration.reason for registration in group.registrations)


def test_the_mean_is_sharp_and_its_mask_is_where_the_retina_is_seen(group, views, aperture):
    assert group.mean.dtype == np.float32 and group.mask.dtype == bool
    assert 0 <= group.mean.min() and group.mean.max() <= 1
    assert 0.85 < group.mask.sum() / aperture.sum() < 1.15
    alone = [normalise_illumination(image, aperture)[aperture].std() for image in views[1]]
    assert group.mean[group.mask].std() > 0.75 * np.mean(alone)  # the grain goes, the vessels stay


def test_nothing_folds(group):
    for registration in group.registrations:
        assert transforms.folding(registration.transform, group.mask) == 0


def test_the_same_visits_give_the_same_group_to_the_last_digit(kind, views):
    few = [part[:2] for part in views[1:]]
    knobs = {"iterations": 20} if kind == "elastix_stack" else {}
    first, second = (KINDS[kind](*few, **QUIETLY, **knobs) for _ in range(2))
    assert np.array_equal(first.mean, second.mean)
    for one, two in zip(first.registrations, second.registrations, strict=True):
        points = [transforms.map_points(r.transform, [[30, 40], [128, 99]]) for r in (one, two)]
        assert np.array_equal(*points)


def test_a_visit_that_fails_has_a_reason_and_does_not_stop_the_others(kind, views, aperture):
    true, images, masks, names = (list(part) for part in views)
    images[1] = np.random.default_rng(0).random(aperture.shape, dtype=np.float32) * aperture
    images[3] = np.zeros_like(images[3])
    group = KINDS[kind](images, masks, names, **QUIETLY)
    failed = [registration.transform is None for registration in group.registrations]
    assert failed == [False, True, False, True]
    reasons = [registration.reason for registration in group.registrations]
    assert reasons[0] == reasons[2] == ""
    assert "correlat" in reasons[1] and "moving image is black" in reasons[3]
    done = Group([group.registrations[i] for i in (0, 2)], group.mean, group.mask)
    assert pairwise_errors([true[0], true[2]], done, aperture).mean() < 0.3
    assert np.linalg.norm(mean_displacement(group, aperture), axis=1).max() < 0.3


def test_one_visit_alone_is_no_group(kind, views):
    images = [views[1][0], 0 * views[1][0]]
    with pytest.raises(RegistrationError, match="no two visits .*b: .*moving image is black"):
        KINDS[kind](images, views[2][:2], ["a", "b"], **QUIETLY)


def test_it_hardly_matters_which_visit_is_the_first_mean(kind, group, views, aperture):
    other = KINDS[kind](*views[1:], reference=2, **QUIETLY)
    assert pairwise_errors(views[0], other, aperture).mean() < 0.3
    for mine, others in zip(group.registrations, other.registrations, strict=True):
        points = [transforms.map_points(r.transform, places(aperture)) for r in (mine, others)]
        assert np.linalg.norm(np.subtract(*points), axis=1).mean() < 0.15


def test_no_round_is_refused(views):
    with pytest.raises(ValueError, match="rounds 0 is not in the range 1"):
        iterated_mean(*views[1:], rounds=0, **QUIETLY)


def test_knobs_reach_the_method(views):
    with pytest.raises(RegistrationError, match="smoothness -1 is not in the range"):
        iterated_mean(*views[1:], smoothness=-1, **QUIETLY)


def test_centring_leaves_what_lies_between_visits_as_it_is(views, aperture):
    found = [Registration(n, t, "", 0.0) for n, t in zip("abcd", views[0], strict=True)]
    found.append(Registration("e", None, "blink", 0.0))
    moved = centred(found, aperture.shape)
    assert moved[4] == found[4]
    group = Group(moved[:4], None, None)
    assert pairwise_errors(views[0], group, aperture).max() < 0.05
    assert np.linalg.norm(mean_displacement(group, aperture), axis=1).max() < 0.05


def test_the_splines_of_a_stack_are_those_that_transformix_applies(views, monkeypatch, tmp_path):
    stacks, maps = [], []
    run, to_transforms = elastix_run.run, elastix_run.to_transforms
    monkeypatch.setattr(
        elastix_run, "to_transforms", lambda found: maps.append(found) or to_transforms(found)
    )

    def spied_run(*arguments, **knobs):
        found = run(*arguments, **knobs)
        stacks.append((arguments[0], found))
        return found

    monkeypatch.setattr(elastix_run, "run", spied_run)
    elastix_stack(*(part[:3] for part in views[1:]), iterations=30, **QUIETLY)
    ((stack, splines), parameters) = stacks[-1], maps[-1]
    assert parameters["Transform"] == ("BSplineStackTransform",) and len(splines) == 3
    parameters["ResampleInterpolator"] = ["FinalLinearInterpolator"]
    parameters["ResultImagePixelType"] = ["float"]
    filter_ = sitk.TransformixImageFilter()
    filter_.SetTransformParameterMap(parameters)
    filter_.SetOutputDirectory(str(tmp_path))
    filter_.LogToConsoleOff()
    filter_.LogToFileOff()
    ramps = np.broadcast_to(np.indices((256, 256), np.float32)[:, None], (2, 3, 256, 256))
    mapped = []
    for ramp in ramps[::-1]:
        image = sitk.GetImageFromArray(np.ascontiguousarray(ramp))
        image.CopyInformation(stack)
        filter_.SetMovingImage(image)
        filter_.Execute()
        mapped.append(sitk.GetArrayFromImage(filter_.GetResultImage()))
    for i, spline in enumerate(splines):
        ours = transforms.displacement(spline, (256, 256))
        theirs = np.dstack([each[i] for each in mapped]) - np.dstack(ramps[::-1, i])
        inner = np.s_[20:-20, 20:-20]
        assert np.abs(ours[inner]).max() > 0.5
        assert np.abs(ours - theirs)[inner].max() < 0.01


# As methods of two visits

METHODS_OF = {"iterated_mean": IteratedMean, "elastix_stack": ElastixStack}


def test_two_visits_are_registered_by_way_of_their_group(kind, views):
    true, images, masks, _ = views
    found = METHODS_OF[kind](images, masks)(*images[:2], fixed_mask=masks[0], moving_mask=masks[1])
    on_retina = places(masks[0])
    expected = transforms.map_points(true[1], on_retina)
    at = transforms.map_points(found, transforms.map_points(true[0], on_retina))
    assert np.linalg.norm(at - expected, axis=1).mean() < 1.0


def test_all_visits_of_a_group_are_registered_to_the_template_at_once(kind, views):
    true, images, masks, names = views
    masks_of = {"template_mask": masks[0], "masks": masks[1:]}
    found = METHODS_OF[kind](images, masks).registrations(
        images[0], images[1:], names[1:], **masks_of, jobs=1, **read_defaults(kind)
    )
    on_retina = places(masks[0])
    for i, one in enumerate(found, 1):
        at = transforms.map_points(one.transform, transforms.map_points(true[0], on_retina))
        expected = transforms.map_points(true[i], on_retina)
        assert one.visit == names[i]
        assert np.linalg.norm(at - expected, axis=1).mean() < 1.0
    assert i == len(images) - 1


def read_defaults(kind):
    """Return the knobs of a group as its sliders stand at first."""
    return {n: knob.default for n, knob in read_knobs(METHODS_OF[kind]([], [])).items()}


def test_a_visit_joins_its_own_group_once(views):
    _, images, masks, _ = views
    method = IteratedMean(images, masks, company=len(images))
    assert len(list(method._joining(*images[:2]))) == len(images) - 2


def test_a_visit_that_a_group_refuses_is_named(views, aperture):
    _, images, masks, _ = views
    black = np.zeros_like(images[0])
    with pytest.raises(RegistrationError, match="moving image: .*black"):
        IteratedMean(images, masks)(images[0], black, fixed_mask=aperture, moving_mask=aperture)
