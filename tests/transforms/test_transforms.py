"""Transforms map fixed points (x, y) to moving points, and everything follows from that."""

import numpy as np
import pytest
import SimpleITK as sitk

from fundus_helpers import transforms
from fundus_helpers.files import written_beside
from fundus_helpers.loading.demo_eye import read_truth, true_transform

AFFINE = [[1.05, -0.1, 4.0], [0.08, 0.97, -7.0]]
SHAPE = 90, 120
ROWS, COLUMNS = np.indices(SHAPE)
POINTS = np.random.default_rng(0).uniform((15, 15), (105, 75), (40, 2))


def bumps(height=4.0):
    """Return a smooth displacement field of SHAPE that does not fold."""
    dx = np.sin(ROWS / 25) * np.cos(COLUMNS / 30)
    dy = np.cos(ROWS / 30) * np.sin(COLUMNS / 20)
    return height * np.dstack([dx, dy])


def affine():
    """Return a linear transform."""
    return transforms.from_matrix(AFFINE)


def smooth():
    """Return a transform that is not linear."""
    return transforms.from_displacement(bumps())


def both():
    """Return a linear transform and then one that is not."""
    return transforms.compose(transforms.from_matrix([[1, 0, 2], [0, 1, -1]]), smooth())


MAKERS = pytest.mark.parametrize("make", [affine, smooth, both])


def dot_at(x, y, shape=SHAPE):
    """Return an image of a soft dot."""
    rows, columns = np.indices(shape)
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8).astype(np.float32)


def where(image):
    """Return where the dot is: (x, y)."""
    rows, columns = np.indices(image.shape)
    return np.array([(columns * image).sum(), (rows * image).sum()]) / image.sum()


def test_identity_leaves_every_point():
    assert np.array_equal(transforms.map_points(transforms.identity(), POINTS), POINTS)


def test_a_matrix_maps_x_and_y_in_that_order():
    mapped = transforms.map_points(transforms.from_matrix([[2, 0, 5], [0, 3, 7]]), [[10, 20]])
    assert mapped.tolist() == [[25, 67]]
    assert np.allclose(transforms.to_matrix(affine()), AFFINE)


def test_only_a_linear_transform_has_a_matrix():
    with pytest.raises(ValueError, match="not linear"):
        transforms.to_matrix(smooth())


def test_no_points_map_to_no_points():
    assert transforms.map_points(affine(), np.empty((0, 2))).shape == (0, 2)
    assert transforms.map_points_back(smooth(), np.empty((0, 2))).shape == (0, 2)


@MAKERS
def test_points_mapped_there_and_back_are_the_same(make):
    there = transforms.map_points(make(), POINTS)
    assert np.abs(there - POINTS).max() > 1
    assert np.abs(transforms.map_points_back(make(), there) - POINTS).max() < 1e-5


def test_a_large_rotation_has_its_way_back_too():
    turn = transforms.from_matrix([[0.1, -0.995, 98], [0.995, 0.1, -19]])  # about the middle
    transform = transforms.compose(turn, smooth())
    inner = POINTS[np.abs(POINTS - [59.5, 44.5]).max(axis=1) < 30]
    there = transforms.map_points(transform, inner)
    assert np.abs(transforms.map_points_back(transform, there) - inner).max() < 1e-5


def test_a_point_that_nothing_maps_to_has_no_way_back():
    flat = transforms.from_displacement(np.dstack([20 - COLUMNS, 0 * ROWS]))  # all x become 20
    back = transforms.map_points_back(flat, [[60, 40]])
    assert np.isnan(back).all()


def test_a_displacement_field_is_what_it_was_made_of():
    assert np.allclose(transforms.displacement(smooth(), SHAPE), bumps())
    shift = transforms.displacement(transforms.from_matrix([[1, 0, 3], [0, 1, -2]]), (4, 5))
    assert shift.shape == (4, 5, 2) and np.allclose(shift, [3, -2])


def test_the_transform_given_first_is_applied_first():
    shift = transforms.from_matrix([[1, 0, 10], [0, 1, 0]])
    double = transforms.from_matrix([[2, 0, 0], [0, 2, 0]])
    assert transforms.map_points(transforms.compose(shift, double), [[1, 1]]).tolist() == [[22, 2]]
    assert transforms.map_points(transforms.compose(double, shift), [[1, 1]]).tolist() == [[12, 2]]


def test_the_order_holds_for_transforms_that_are_not_linear():
    for chain in ([affine(), smooth()], [smooth(), affine()], [smooth(), both(), affine()]):
        expected = POINTS
        for transform in chain:
            expected = transforms.map_points(transform, expected)
        assert np.allclose(transforms.map_points(transforms.compose(*chain), POINTS), expected)


def test_a_linear_transform_is_inverted_exactly():
    there = transforms.map_points(affine(), POINTS)
    inverse = transforms.invert(affine(), SHAPE)
    assert np.abs(transforms.map_points(inverse, there) - POINTS).max() < 1e-9


@pytest.mark.parametrize("matrix", [np.eye(2, 3), AFFINE])
def test_a_smooth_transform_is_inverted_to_a_twentieth_of_a_pixel(matrix):
    transform = transforms.compose(smooth(), transforms.from_matrix(matrix))
    inverse = transforms.invert(transform, SHAPE)
    inner = POINTS[(POINTS > 30).all(axis=1) & (POINTS[:, 0] < 90) & (POINTS[:, 1] < 60)]
    back = transforms.map_points(inverse, transforms.map_points(transform, inner))
    assert len(inner) > 5 and np.abs(back - inner).max() < 0.05


@pytest.mark.parametrize("spacing", [1, 2, 4])
@pytest.mark.parametrize("matrix", [np.eye(2, 3), AFFINE])
def test_a_smooth_transform_is_inverted_quickly_as_exactly(matrix, spacing):
    transform = transforms.compose(smooth(), transforms.from_matrix(matrix))
    inverse = transforms.invert_smooth(transform, SHAPE, spacing=spacing)
    inner = POINTS[(POINTS > 30).all(axis=1) & (POINTS[:, 0] < 90) & (POINTS[:, 1] < 60)]
    back = transforms.map_points(inverse, transforms.map_points(transform, inner))
    assert len(inner) > 5 and np.abs(back - inner).max() < 0.05


def test_a_linear_transform_is_inverted_exactly_by_the_quick_way_too():
    there = transforms.map_points(affine(), POINTS)
    inverse = transforms.invert_smooth(affine(), SHAPE)
    assert np.abs(transforms.map_points(inverse, there) - POINTS).max() < 1e-9


def test_the_quick_inverse_of_a_painted_visit_is_within_a_twentieth_of_a_pixel(demo):
    truth = read_truth(demo / "demo_atrophy")
    usable = [visit["file"] for visit in truth["visits"] if visit["usable"]]
    transform = true_transform(truth, usable[0], usable[-1])
    back = transforms.invert_smooth(transform, (192, 192))
    seen = np.random.default_rng(0).uniform(5, 187, (300, 2))
    there = transforms.map_points(transform, seen)
    inside = ((there >= 5) & (there <= 187)).all(axis=1)
    assert inside.sum() > 200
    assert np.abs(transforms.map_points(back, there) - seen)[inside].max() < 0.05


def test_corners_are_held_when_points_are_rescaled():
    assert transforms.rescale_points([[-0.5, -0.5]], 3.7).tolist() == [[-0.5, -0.5]]
    assert transforms.rescale_points([[9.5, 19.5]], 0.5).tolist() == [[4.5, 9.5]]


@MAKERS
def test_a_transform_found_at_half_size_holds_at_full_size(make):
    full = transforms.rescale(make(), 2)
    mapped = transforms.map_points(full, transforms.rescale_points(POINTS, 2))
    assert np.allclose(mapped, transforms.rescale_points(transforms.map_points(make(), POINTS), 2))


def test_fixed_and_moving_images_may_be_rescaled_differently():
    full = transforms.rescale(affine(), 2, 3)
    mapped = transforms.map_points(full, transforms.rescale_points(POINTS, 2))
    expected = transforms.rescale_points(transforms.map_points(affine(), POINTS), 3)
    assert np.allclose(mapped, expected)


def test_the_jacobian_of_a_scaling_is_its_area():
    scaling = transforms.from_matrix([[1.5, 0.2, 0], [0.1, 0.8, 0]])
    jacobian = transforms.jacobian_determinant(scaling, (6, 9))
    assert jacobian.shape == (6, 9) and np.allclose(jacobian, 1.5 * 0.8 - 0.2 * 0.1)


def test_a_field_that_turns_back_folds_and_the_identity_does_not():
    everywhere = np.ones(SHAPE, bool)
    assert transforms.folding(transforms.identity(), everywhere) == 0
    assert transforms.folding(smooth(), everywhere) == 0
    # From x = 40 to 79 the points run backwards.
    turned = np.where((COLUMNS >= 40) & (COLUMNS < 80), -2.0 * (COLUMNS - 40), 0)
    turned[:, 80:] = turned[:, 79:80]
    folded = transforms.from_displacement(np.dstack([turned, 0 * turned]))
    assert transforms.folding(folded, everywhere) == pytest.approx(1 / 3, abs=0.02)
    assert transforms.folding(folded, COLUMNS < 35) == 0


@MAKERS
@pytest.mark.parametrize("suffix", [".tfm", ".h5"])
def test_a_saved_transform_is_read_back_as_it_was(tmp_path, make, suffix):
    path = transforms.save(make(), tmp_path / f"a{suffix}")
    again = transforms.load(path)
    assert (
        np.abs(transforms.map_points(again, POINTS) - transforms.map_points(make(), POINTS)).max()
        < 1e-9
    )
    assert [file.name for file in tmp_path.iterdir()] == [f"a{suffix}"]


def test_a_composite_for_the_full_size_is_saved_too(tmp_path):
    full = transforms.rescale(both(), 2)
    again = transforms.load(transforms.save(full, tmp_path / "a.h5"))
    assert np.allclose(transforms.map_points(again, POINTS), transforms.map_points(full, POINTS))


def test_a_transform_is_saved_as_tfm_or_h5_only(tmp_path):
    with pytest.raises(ValueError, match=r"a\.txt.*\.tfm or \.h5"):
        transforms.save(affine(), tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make, ending", [(affine, ".tfm"), (smooth, ".h5"), (both, ".h5")])
def test_the_kind_of_a_transform_gives_its_file_the_ending(tmp_path, make, ending):
    path = transforms.save_by_kind(make(), tmp_path / "a.b_2019-05-28_L")
    assert path == tmp_path / f"a.b_2019-05-28_L{ending}"
    again = transforms.map_points(transforms.load(path), POINTS)
    assert np.abs(again - transforms.map_points(make(), POINTS)).max() < 1e-9


@pytest.mark.parametrize("name", ["garbage.tfm", "garbage.h5", "missing.tfm", "empty.tfm"])
def test_what_is_no_transform_is_refused_by_its_name(tmp_path, name):
    if not name.startswith("missing"):
        (tmp_path / name).write_text("" if name.startswith("empty") else "no transform")
    with pytest.raises(ValueError, match=f"{name}: not a transform"):
        transforms.load(tmp_path / name)


def test_a_transform_of_three_dimensions_is_refused(tmp_path):
    sitk.WriteTransform(sitk.AffineTransform(3), str(tmp_path / "a.tfm"))
    with pytest.raises(ValueError, match="a.tfm: maps 3-D points"):
        transforms.load(tmp_path / "a.tfm")


@MAKERS
def test_what_the_transform_points_at_is_what_the_warped_image_shows(make):
    x, y = transforms.map_points(make(), [[70, 40]])[0]
    warped = transforms.warp(dot_at(x, y), make())
    assert np.abs(where(warped) - [70, 40]).max() < 0.3


def test_a_shift_moves_a_wide_image_the_other_way():
    # Fixed point (x, y) shows what the moving image has at (x + 30, y - 10).
    warped = transforms.warp(dot_at(80, 40), transforms.from_matrix([[1, 0, 30], [0, 1, -10]]))
    assert np.allclose(where(warped), [50, 50], atol=0.1)


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_warping_keeps_values_bit_depth_and_channels(interpolation, dtype, channels):
    top = 1 if dtype == np.float32 else np.iinfo(dtype).max
    image = (np.random.default_rng(0).random((30, 50, *channels)) * top).astype(dtype)
    shift = transforms.from_matrix([[1, 0, 3], [0, 1, 2]])
    warped = transforms.warp(image, shift, (20, 40), interpolation=interpolation)
    assert warped.dtype == dtype and warped.shape == (20, 40, *channels)
    tolerance = 1e-4 if dtype == np.float32 else 1
    assert np.abs(warped.astype(float) - image[2:22, 3:43]).max() <= tolerance


def test_nearest_keeps_labels_and_cubic_keeps_thin_lines_better_than_linear():
    line = np.where(COLUMNS == 60, 1, 0).astype(np.float32)
    shift = transforms.from_matrix([[1, 0, 0.4], [0, 1, 0]])
    nearest, linear, cubic = (
        transforms.warp(line, shift, interpolation=name) for name in ("nearest", "linear", "cubic")
    )
    assert set(np.unique(nearest)) == {0, 1}
    assert linear.max() == pytest.approx(0.6) and cubic.max() > 0.65


def test_where_the_moving_image_shows_nothing_there_is_the_fill():
    shift = transforms.from_matrix([[1, 0, 10], [0, 1, 0]])
    warped = transforms.warp(np.ones(SHAPE, np.float32), shift, fill=0.25)
    assert (warped[:, :110] == 1).all() and (warped[:, 110:] == 0.25).all()


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_a_quick_warp_shows_the_same_as_an_exact_one(interpolation):
    image = dot_at(70, 40)
    exact = transforms.warp(image, smooth(), interpolation=interpolation)
    places = bumps() + transforms.pixel_grid(SHAPE)
    assert np.abs(transforms.remap(image, places, interpolation=interpolation) - exact).max() < 0.02
    assert np.array_equal(transforms.follow(image, bumps()), transforms.remap(image, places))


def test_beyond_the_edge_a_quick_warp_has_the_fill_or_the_nearest_pixel():
    image = np.array([[1, 2], [3, 4]], np.float32)
    beyond = np.array([[[5.0, 0.0], [-5.0, 1.0]]])
    assert transforms.remap(image, beyond).tolist() == [[0, 0]]
    assert transforms.remap(image, beyond, fill=0.5).tolist() == [[0.5, 0.5]]
    assert transforms.remap(image, beyond, fill=None).tolist() == [[2, 3]]
    colour = np.dstack([image] * 3)
    assert transforms.remap(colour, beyond, fill=0.5).tolist() == [[[0.5] * 3] * 2]
    assert transforms.remap(image[..., None], beyond).shape == (1, 2, 1)
    with pytest.raises(ValueError, match="'nearest' is not one of"):
        transforms.remap(image, beyond, interpolation="nearest")


@pytest.mark.parametrize("shape", [(4, 2), (2,), (3, 4, 3)])
def test_points_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="rows, columns, 2"):
        transforms.remap(np.zeros((5, 6), np.float32), np.zeros(shape))


def test_a_mask_covers_a_point_if_it_covers_half_of_the_pixel_there():
    mask = np.zeros((5, 6), bool)
    mask[:, 2:] = True
    points = np.stack(np.meshgrid([-1, 1.4, 1.5, 5, 5.6], [2.0]), axis=2)
    assert transforms.remap_mask(mask, points).tolist() == [[False, False, True, True, False]]
    grid = transforms.pixel_grid(mask.shape) + [1, 0]
    moved = transforms.from_matrix([[1, 0, 1], [0, 1, 0]])
    assert np.array_equal(transforms.remap_mask(mask, grid), transforms.warp_mask(mask, moved))


@MAKERS
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_large_photograph_is_warped_in_strips_as_exactly(make, dtype):
    shape, transform = (1800, 2400), transforms.rescale(make(), 20)
    rows, columns = np.indices(shape, np.float32)
    moving = 120 + 100 * np.stack([np.sin(rows / 9), np.cos(columns / 7), np.sin(rows / 30)], 2)
    moving = moving.astype(dtype)
    quick = transforms.warp_photograph(moving, transform, shape)
    exact = transforms.warp(moving, transform, shape, interpolation="cubic")
    assert quick.dtype == dtype and quick.shape == exact.shape
    off = np.abs(quick.astype(float) - exact).max(axis=2)
    shown = transforms.warp_mask(np.ones(shape, bool), transform)
    assert off[shown].mean() < 1 and np.quantile(off[shown], 0.999) <= 2  # rounded, cut off
    assert np.abs(exact.astype(float) - moving).max(axis=2)[shown].mean() > 20
    assert (~shown).any() and np.mean(quick[~shown] > 0) < 0.01  # the edge itself


def test_another_interpolation_is_refused():
    with pytest.raises(ValueError, match="'sinc'.*nearest.*linear.*cubic"):
        transforms.warp(dot_at(5, 5), transforms.identity(), interpolation="sinc")


def test_a_mask_moves_with_its_image():
    mask = np.zeros(SHAPE, bool)
    mask[20:40, 50:90] = True
    warped = transforms.warp_mask(
        mask, transforms.from_matrix([[1, 0, 30.2], [0, 1, 10]]), (60, 70)
    )
    assert warped.dtype == bool and warped.shape == (60, 70)
    assert warped[10:30, 20:60].all() and warped.sum() == 20 * 40


def test_the_overlap_is_what_both_masks_show():
    fixed, moving = np.zeros((30, 40), bool), np.zeros(SHAPE, bool)
    fixed[:, :20] = True
    moving[15:, :] = True
    shift = transforms.from_matrix([[1, 0, -5], [0, 1, 10]])
    common = transforms.overlap(fixed, moving, shift)
    assert common.shape == (30, 40)
    assert common[5:, 5:20].all() and common.sum() == 25 * 15


def test_a_file_that_could_not_be_finished_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="disk full"), written_beside(path) as part:
        part.write_text("half of the n")
        assert path.read_text() == "old"
        raise OSError("disk full")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_finished_file_replaces_the_old_one_at_the_end(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with written_beside(path) as part:
        assert part.parent == path.parent and part.name.startswith(".")
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]
