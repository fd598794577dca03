"""elastix finds known transforms, and its transforms are those that transformix applies."""

import pickle
import tempfile

import numpy as np
import pytest
import SimpleITK as sitk
from known_transforms import about_the_middle, errors_in, landmark_error, largest_error

from fundus_helpers import transforms
from fundus_helpers.loading.light import erode
from fundus_helpers.methods import METHODS, elastix_run
from fundus_helpers.methods.elastix import ARTICLE_SETTINGS, register
from fundus_helpers.transforms.transform import RegistrationError

QUICK = {"iterations": 20, "samples": 500}


@pytest.fixture(scope="module")
def small_move(retina_again):
    """Return (matrix, moving image) of a small rotation and shift."""
    matrix = about_the_middle(1.5, shift=(3, -2))
    return matrix, retina_again(matrix)


@pytest.fixture(scope="module")
def splines(retina, bent):
    """Return what affine and B-splines find for the bent retina."""
    return METHODS["elastix_bspline"](retina, bent[1])


@pytest.mark.parametrize(
    "model, matrix",
    [
        ("rigid", about_the_middle(4, shift=(10.3, -6.8))),
        ("rigid", about_the_middle(-10, shift=(0.15 * 256, 0))),
        ("similarity", about_the_middle(4, 1.05, (10.3, -6.8))),
        ("similarity", about_the_middle(10, 0.95, (0, -0.15 * 256))),
        ("affine", about_the_middle(4, 1.05, (10.3, -6.8), 0.03)),
        ("affine", about_the_middle(2, 1.0, (0.15 * 256, 0), 0.02)),
    ],
)
def test_a_known_transform_is_found_under_another_light(
    retina, retina_again, aperture, model, matrix
):
    found = METHODS[f"elastix_{model}"](retina, retina_again(matrix))
    assert found.IsLinear()
    assert largest_error(transforms.identity(), matrix, aperture) > 8
    assert largest_error(found, matrix, aperture) < 0.5


def test_a_bent_retina_is_found_under_another_light(splines, bent, retina, aperture):
    common = transforms.overlap(aperture, aperture, bent[0])
    errors = errors_in(splines, bent[0], common)
    assert errors.mean() < 0.25 and errors.max() < 1.0
    affine = errors_in(METHODS["elastix_affine"](retina, bent[1]), bent[0], common)
    assert affine.mean() > 2 * errors.mean()


def test_splines_fold_nowhere(splines, aperture):
    assert transforms.folding(splines, np.ones_like(aperture)) == 0


@pytest.mark.parametrize("knobs", [{"bending_energy": 1e5}, {"grid_spacing": 700.0}])
def test_stiffer_splines_bend_less(splines, retina, bent, aperture, knobs):
    stages, inside = ("affine", "bspline"), erode(aperture, 0.05)
    stiff = register(retina, bent[1], stages=stages, bspline_iterations=50, **knobs)
    errors = [errors_in(found, bent[0], inside).mean() for found in (stiff, splines)]
    assert errors[0] > 2 * errors[1]


@pytest.mark.parametrize(
    "knobs",
    [
        {"metric": "mean_squares"},
        {"metric": "mutual_information"},
        {"initialisation": "identity"},
        {"resolutions": 1},
        {"stages": ("rigid", "affine")},
    ],
)
def test_other_knobs_find_a_small_rotation_and_shift_too(retina, small_move, aperture, knobs):
    matrix, moving = small_move
    assert largest_error(register(retina, moving, **knobs), matrix, aperture) < 0.6


# Agreement with transformix


@pytest.fixture
def spied(monkeypatch):
    """Return lists that fill with the images that elastix is given and the maps that it returns."""
    images, maps = [], []
    run, to_transforms = elastix_run.run, elastix_run.to_transforms

    def spied_run(*arguments, **knobs):
        images.extend(arguments[:2])
        return run(*arguments, **knobs)

    def spied_to_transforms(found):
        maps.append(found)
        return to_transforms(found)

    monkeypatch.setattr(elastix_run, "run", spied_run)
    monkeypatch.setattr(elastix_run, "to_transforms", spied_to_transforms)
    return images, maps


def transformix(moving, maps, ramp, folder):
    """Return what transformix makes of a ramp that lies where the moving image lies."""
    image = sitk.GetImageFromArray(ramp.astype(np.float32))
    image.CopyInformation(moving)
    for parameters in maps:
        parameters["ResampleInterpolator"] = ["FinalLinearInterpolator"]
        parameters["ResultImagePixelType"] = ["float"]
        parameters["DefaultPixelValue"] = ["-1000"]
    filter_ = sitk.TransformixImageFilter()
    filter_.SetTransformParameterMap(maps)
    filter_.SetMovingImage(image)
    filter_.SetOutputDirectory(str(folder))
    filter_.LogToConsoleOff()
    filter_.LogToFileOff()
    filter_.Execute()
    return sitk.GetArrayFromImage(filter_.GetResultImage())


@pytest.mark.parametrize(
    "stages",
    [
        ("rigid",),
        ("similarity",),
        ("affine",),
        ("bspline",),
        ("affine", "bspline"),
        ("rigid", "affine", "bspline"),
    ],
)
@pytest.mark.parametrize("initialisation", ["identity", "cross_correlation"])
def test_the_transform_is_the_one_that_transformix_applies(
    retina, bend, spied, stages, initialisation, tmp_path
):
    degrees, shift = (1, (2, -1)) if initialisation == "identity" else (7, (14, -9))
    moving = bend(about_the_middle(degrees, shift=shift), seed=5)[1][:, :240]
    knobs = {"initialisation": initialisation, "bspline_iterations": 20, **QUICK}
    found = register(retina, moving, stages=stages, **knobs)
    images, maps = spied
    assert len(maps) == len(stages)
    rows, columns = np.indices(moving.shape)
    x, y = (transformix(images[1], maps, ramp, tmp_path) for ramp in (columns, rows))
    ours = transforms.displacement(found, retina.shape) + np.dstack(
        np.indices(retina.shape, dtype=float)[::-1]
    )
    # Beyond the middle of the outermost pixels a ramp does not rise.
    seen = (x > 0) & (y > 0) & (x < 239 - 1e-3) & (y < 255 - 1e-3)
    assert seen.mean() > 0.8
    assert np.abs(ours - np.dstack([x, y]))[seen].max() < 0.01


def test_a_transform_that_itk_has_no_like_of_is_refused():
    with pytest.raises(ValueError, match="SplineKernelTransform is not one of .*AffineTransform"):
        elastix_run.to_transforms(
            {"Transform": ["SplineKernelTransform"], "TransformParameters": ["0"]}
        )


# Seeds


def test_the_seed_decides_to_the_last_digit_and_hardly_matters(retina, bent, aperture):
    first, again, other = (register(retina, bent[1], seed=seed) for seed in (1, 1, 2))
    points = np.argwhere(aperture)[::29, ::-1]
    mapped = [transforms.map_points(found, points) for found in (first, again, other)]
    assert np.array_equal(mapped[0], mapped[1])
    assert 0 < np.linalg.norm(mapped[2] - mapped[0], axis=1).max() < 0.5


# What is left behind


@pytest.fixture
def clean_desk(tmp_path, monkeypatch):
    """Return an empty current folder and an empty folder of temporary files."""
    here, temporary = tmp_path / "here", tmp_path / "temporary"
    here.mkdir()
    temporary.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    return here, temporary


@pytest.mark.parametrize("stages", [("affine",), ("affine", "bspline")])
def test_nothing_is_left_behind_and_nothing_is_said(retina, small_move, clean_desk, capfd, stages):
    register(retina, small_move[1], stages=stages, bspline_iterations=5, **QUICK)
    assert [list(folder.iterdir()) for folder in clean_desk] == [[], []]
    assert capfd.readouterr() == ("", "")


def test_a_failure_leaves_nothing_behind_and_says_nothing_but_its_error(retina, clean_desk, capfd):
    with pytest.raises(elastix_run.ElastixError):
        register(retina, retina, parameters={"Metric": "NoSuch"})
    assert [list(folder.iterdir()) for folder in clean_desk] == [[], []]
    assert capfd.readouterr() == ("", "")


def test_what_is_said_after_elastix_is_heard(retina, small_move, capfd):
    register(retina, small_move[1], **QUICK)
    print("after")
    assert capfd.readouterr().out == "after\n"


def test_the_log_is_kept_where_it_is_asked_for(retina, small_move, clean_desk, tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    parameters = {"MaximumNumberOfIterations": 7}
    register(retina, small_move[1], parameters=parameters, log_folder=str(logs), **QUICK)
    assert [path.name for path in logs.iterdir()] == ["elastix.log"]
    assert "(MaximumNumberOfIterations 7)" in (logs / "elastix.log").read_text()
    assert [list(folder.iterdir()) for folder in clean_desk] == [[], []]


# Errors


@pytest.mark.parametrize(
    "parameters, reason",
    [
        ({"Metric": "NoSuch"}, "The following component could not be created: NoSuch"),
        ({"ImageSampler": "NoSampler"}, "The following component could not be created: NoSampler"),
        ({"NumberOfSpatialSamples": "many"}, "Casting .* parameter .NumberOfSpatialSamples."),
        ({"RequiredRatioOfValidSamples": 2.0}, ".*Too many samples map outside moving image"),
    ],
)
def test_when_elastix_gives_up_its_reason_is_told_and_its_log_is_kept(
    retina, tmp_path, parameters, reason
):
    with pytest.raises(elastix_run.ElastixError, match=f"^elastix gave up: {reason}") as caught:
        register(retina, retina, parameters=parameters, log_folder=str(tmp_path))
    error = caught.value
    assert isinstance(error, RegistrationError) and "\n" not in str(error)
    assert str(error).removeprefix("elastix gave up: ") in error.log
    assert (tmp_path / "elastix.log").read_text(errors="replace") == error.log
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error) and str(copy) == str(error) and copy.log == error.log


@pytest.mark.parametrize(
    "knob, value, accepted",
    [
        ("resolutions", 0, "1 to 8"),
        ("resolutions", 9, "1 to 8"),
        ("iterations", 0, "1 to 2000"),
        ("bspline_iterations", 0, "1 to 2000"),
        ("samples", 0, "64 to 20000"),
        ("samples", 65537, "64 to 20000"),
        ("grid_spacing", 3.0, "4 to 768"),
        ("grid_spacing", float("nan"), "4 to 768"),
        ("bending_energy", -1.0, "0 to 100000"),
    ],
)
def test_a_knob_out_of_range_is_named_with_what_is_accepted(retina, knob, value, accepted):
    with pytest.raises(ValueError, match=f"^{knob} {value} is not in the range {accepted}$"):
        register(retina, retina, **{knob: value})


@pytest.mark.parametrize(
    "knobs, message",
    [
        ({"stages": ("affine", "magic")}, "stage 'magic' is not one of .*'rigid'"),
        ({"stages": ()}, r"stage \(\) is not one of .*'rigid'"),
        ({"metric": "magic"}, "metric 'magic' is not one of .*'correlation'"),
        ({"initialisation": "magic"}, "initialisation 'magic' is not one of .*'identity'"),
    ],
)
def test_an_unknown_value_of_a_knob_is_named(retina, knobs, message):
    with pytest.raises(ValueError, match=message):
        register(retina, retina, **knobs)


def test_views_that_do_not_meet_at_the_start_are_refused(retina, aperture):
    left, right = aperture.copy(), aperture.copy()
    left[:, 110:] = right[:, :140] = False
    with pytest.raises(RegistrationError, match="do not overlap"):
        register(retina, retina, fixed_mask=left, moving_mask=right, initialisation="identity")


# Masks


@pytest.fixture(scope="module")
def dirty(retina, small_move):
    """Return (where there is dirt on the lens, which stays when the eye moves; both images)."""
    hidden = np.zeros(retina.shape, bool)
    hidden[88:168, 88:168] = True
    dirt = np.random.default_rng(0).random(retina.shape, dtype=np.float32)
    return hidden, [np.where(hidden, dirt, image) for image in (retina, small_move[1])]


@pytest.mark.parametrize(
    "knobs",
    [{"stages": ("rigid",), "normalise": False}, {"stages": ("affine", "bspline"), **QUICK}],
    ids=["rigid", "bspline"],
)
def test_what_a_mask_hides_is_not_looked_at(dirty, small_move, aperture, knobs):
    hidden, images = dirty
    true = transforms.from_matrix(small_move[0])

    def error_where_it_is_dirty(**hide):
        masks = {f"{side}_mask": aperture & ~hide.get(side, False) for side in ("fixed", "moving")}
        found = register(*images, **masks, initialisation="identity", **knobs)
        return errors_in(found, true, hidden).mean()

    assert error_where_it_is_dirty() > 3  # the dirt pulls it to where nothing moves
    assert error_where_it_is_dirty(fixed=hidden) < 1.5  # the moved rim of the dirt still shows
    assert error_where_it_is_dirty(moving=hidden) < 1.5
    assert error_where_it_is_dirty(fixed=hidden, moving=hidden) < 0.8


def test_the_article_s_settings_are_far_worse(eye):
    everything, visits = np.ones_like(eye.masks), [2, 6, 9]
    article = landmark_error(eye, METHODS["elastix_affine"], everything, visits, **ARTICLE_SETTINGS)
    ours = landmark_error(eye, METHODS["elastix_affine"], eye.masks, visits)
    assert ours < 0.8 and article > 3 * ours
