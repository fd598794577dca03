"""Outlines of atrophy are read from the files of any usual program, and written for them."""

import base64
import io
import json
import os
import zipfile

import numpy as np
import pytest
import tifffile
from PIL import Image
from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi, roiwrite

from fundus_helpers.atrophy.outline_formats.pieces import find_pieces
from fundus_helpers.atrophy.outlines import (
    OUTLINE_FORMATS,
    read_outlines,
    write_outlines,
)
from fundus_helpers.loading.eye_error import EyeError
from fundus_helpers.loading.photographs import photograph_size

EYE = "eye_2019-05-28_L"
PHOTOGRAPH = f"{EYE}.tif"
SIZE = (90, 60)  # width, height


def lesion(size=SIZE):
    """Make a lesion with a hole, foci, parts at the border, and pixels that touch at corners."""
    mask = np.zeros(size[::-1], bool)
    mask[10:40, 20:60] = True
    mask[20:30, 30:45] = False
    mask[24:26, 36:40] = True
    mask[0:5, 80:90] = True
    mask[50, 5] = mask[51, 6] = mask[59, 0] = True
    mask[39, 60:70] = mask[40, 69] = True
    return mask


def rectangle(left, top, right, bottom):
    """Return the mask of whole pixels, from a corner to the other."""
    mask = np.zeros(SIZE[::-1], bool)
    mask[top:bottom, left:right] = True
    return mask


@pytest.fixture
def folder(tmp_path):
    """Make a folder with an empty file for the photograph."""
    (tmp_path / PHOTOGRAPH).touch()
    return tmp_path


def read_one(folder, size=SIZE):
    """Return the mask of the photograph, None if there is none, and the remarks."""
    outlines, remarks = read_outlines(folder, {PHOTOGRAPH: size})
    return (outlines[PHOTOGRAPH].mask if outlines else None), remarks


def write_labelme(folder, *shapes, name=f"{EYE}_atrophy.json", size=SIZE, **more):
    """Write a file as LabelMe does; a shape is (label, type, points)."""
    shapes = [{"label": label, "shape_type": kind, "points": p} for label, kind, p in shapes]
    document = {"shapes": shapes, "imageWidth": size[0], "imageHeight": size[1], **more}
    (folder / name).write_text(json.dumps(document))


def coco(*segmentations, size=SIZE, file=PHOTOGRAPH, category="atrophy"):
    """Return a document of COCO with one photograph."""
    return {
        "images": [{"id": 7, "file_name": file, "width": size[0], "height": size[1]}],
        "annotations": [
            {"id": n, "image_id": 7, "category_id": 3, "segmentation": segmentation}
            for n, segmentation in enumerate(segmentations)
        ],
        "categories": [{"id": 3, "name": category}],
    }


def write_coco(folder, document, name="annotations.json"):
    (folder / name).write_text(json.dumps(document))


# What is written is read again.


@pytest.mark.parametrize("kind", OUTLINE_FORMATS)
def test_what_is_written_is_read_again_exactly(folder, kind):
    masks = {
        PHOTOGRAPH: lesion(),
        "b.png": np.ones((30, 40), bool),
        "c.dcm": np.eye(20, dtype=bool),
    }
    sizes = {file: mask.shape[::-1] for file, mask in masks.items()}
    for file in sizes:
        (folder / file).touch()
    write_outlines(folder, masks, [kind])
    outlines, remarks = read_outlines(folder, sizes)
    assert [*outlines] == [*sizes]
    for file, outline in outlines.items():
        assert (outline.file, outline.source) == (file, kind)
        assert outline.mask.dtype == bool and np.array_equal(outline.mask, masks[file])
    assert [r for r in remarks if "corners" not in r] == []


def test_masks_of_noise_are_read_again_exactly(folder):
    random = np.random.default_rng(0)
    for share in (0.2, 0.5, 0.8):
        mask = random.random(SIZE[::-1]) < share
        for kind in OUTLINE_FORMATS:
            written = write_outlines(folder, {PHOTOGRAPH: mask}, [kind])
            assert np.array_equal(read_one(folder)[0], mask)
            written[0].unlink()


def test_all_formats_together_agree(folder):
    written = write_outlines(folder, {PHOTOGRAPH: lesion()}, OUTLINE_FORMATS)
    assert [path.name for path in written] == [
        f"{EYE}_atrophy.png",
        f"{EYE}_atrophy.zip",
        f"{EYE}_atrophy.json",
        "atrophy_coco.json",
    ]
    outlines, remarks = read_outlines(folder, {PHOTOGRAPH: SIZE})
    assert outlines[PHOTOGRAPH].source == "mask image" and remarks == []


@pytest.mark.parametrize("kind", OUTLINE_FORMATS)
def test_an_empty_outline_says_that_there_is_no_atrophy(folder, kind):
    nothing = np.zeros(SIZE[::-1], bool)
    write_outlines(folder, {PHOTOGRAPH: nothing}, [kind])
    outlines, (remark,) = read_outlines(folder, {PHOTOGRAPH: SIZE})
    assert outlines[PHOTOGRAPH].mask.shape == nothing.shape
    assert not outlines[PHOTOGRAPH].mask.any()
    assert remark.endswith(f"is empty: no atrophy in {PHOTOGRAPH!r}")


def test_the_same_masks_give_the_same_bytes(tmp_path):
    for name in "ab":
        write_outlines(tmp_path / name, {PHOTOGRAPH: lesion()}, OUTLINE_FORMATS)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_mask_image_is_black_and_white(tmp_path):
    (path,) = write_outlines(tmp_path, {f"right/{PHOTOGRAPH}": lesion()})
    assert path.name == f"right_{EYE}_atrophy.png"
    assert np.array_equal(np.asarray(Image.open(path)), lesion() * np.uint8(255))


def test_files_of_one_photograph_do_not_overwrite_those_of_another(folder):
    (folder / f"{EYE}.png").touch()
    masks = {PHOTOGRAPH: lesion(), f"{EYE}.png": ~lesion()}
    write_outlines(folder, masks, ["ImageJ ROI"])
    outlines, remarks = read_outlines(folder, dict.fromkeys(masks, SIZE))
    assert remarks == []
    assert all(np.array_equal(outlines[file].mask, mask) for file, mask in masks.items())


def test_what_cannot_be_written_is_named(tmp_path):
    with pytest.raises(EyeError, match="format 'SVG' is not one of mask image, ImageJ ROI"):
        write_outlines(tmp_path, {PHOTOGRAPH: lesion()}, ["SVG"])
    with pytest.raises(EyeError, match=rf"mask of '{EYE}.tif' has shape .* give a bool array"):
        write_outlines(tmp_path, {PHOTOGRAPH: lesion().astype(np.uint8)})
    assert not any(tmp_path.iterdir())


def test_pieces_have_their_area_and_holes():
    pieces = find_pieces(lesion())
    assert sum(piece.area for piece in pieces) == lesion().sum()
    assert [len(piece.holes) for piece in pieces if piece.area > 100] == [1]


# Mask images.


@pytest.mark.parametrize("ending", ["_atrophy.png", "_atrophy.tif", "_atrophy.bmp", "_ATROPHY.PNG"])
@pytest.mark.parametrize("kind", ["0/1", "0/255", "RGB", "palette", "1 bit", "RGBA"])
def test_mask_images_of_every_kind_are_read(folder, ending, kind):
    mask = lesion()
    if kind == "RGBA" and ending.endswith("bmp"):
        pytest.skip("this kind of BMP cannot be written")
    image = {
        "0/1": lambda: Image.fromarray(mask.astype(np.uint8)),
        "0/255": lambda: Image.fromarray(mask * np.uint8(255)),
        "RGB": lambda: Image.fromarray(mask[..., None] * np.array([200, 0, 0], np.uint8)),
        "1 bit": lambda: Image.fromarray(mask),
        "RGBA": lambda: Image.fromarray(mask[..., None] * np.array([9, 0, 0, 255], np.uint8)),
        "palette": lambda: Image.fromarray(mask.astype(np.uint8)),
    }[kind]()
    if kind == "palette":
        image.putpalette([0, 0, 0, 128, 0, 0])
    image.save(folder / f"{EYE}{ending}")
    found, remarks = read_one(folder)
    assert np.array_equal(found, mask) and remarks == []


def test_masks_of_16_bits_and_under_the_whole_name_of_the_photograph_are_read(folder):
    Image.fromarray(lesion() * np.uint16(300)).save(folder / f"{PHOTOGRAPH}_atrophy.png")
    found, remarks = read_one(folder)
    assert np.array_equal(found, lesion()) and remarks == []


def test_masks_that_imagej_shows_inverted_mean_what_imagej_means(folder):
    path = folder / f"{EYE}_atrophy.tif"
    description = "ImageJ=1.54f\nmin=0.0\nmax=255.0\n"
    white_is_zero = {"photometric": "miniswhite", "metadata": None, "description": description}
    tifffile.imwrite(path, lesion() * np.uint8(255), **white_is_zero)
    assert np.array_equal(read_one(folder)[0], lesion())
    path.unlink()
    image = Image.fromarray(lesion() * np.uint8(255))
    image.putpalette([value for value in range(255, -1, -1) for _ in range(3)])
    image.save(folder / f"{EYE}_atrophy.png")
    assert np.array_equal(read_one(folder)[0], lesion())


@pytest.mark.parametrize("bits", [1, 8])
def test_masks_of_other_programs_are_read_as_they_are_shown(folder, bits):
    path = folder / f"{EYE}_atrophy.tif"
    values = ~lesion() if bits == 1 else ~lesion() * np.uint8(255)
    tifffile.imwrite(path, values, photometric="miniswhite", metadata=None)
    assert np.array_equal(read_one(folder)[0], lesion())
    Image.fromarray(lesion()).save(path, compression="group4" if bits == 1 else "tiff_lzw")
    assert np.array_equal(read_one(folder)[0], lesion())


def test_an_inverted_mask_is_told(folder):
    mask = np.ones(SIZE[::-1], bool)
    mask[20:30, 20:30] = False
    write_outlines(folder, {PHOTOGRAPH: mask})
    assert "invert it if that is wrong" in read_one(folder)[1][0]


def test_a_photograph_is_no_mask(folder):
    random = np.random.default_rng(0)
    values = random.integers(0, 255, (*SIZE[::-1], 3), np.uint8)
    Image.fromarray(values).save(folder / f"{EYE}_atrophy.png")
    found, (remark,) = read_one(folder)
    assert found is None and "a picture, not a mask; save the outline alone" in remark


def test_a_mask_as_jpeg_is_refused(folder):
    Image.fromarray(lesion() * np.uint8(255)).save(folder / f"{EYE}_atrophy.jpg")
    assert read_one(folder) == (
        None,
        [f"{EYE}_atrophy.jpg: holds no exact mask; save it as PNG or TIFF"],
    )


# Places: (0, 0) is the corner of the first pixel in ImageJ, LabelMe and COCO

CORNERS = [(12, 7), (31, 7), (31, 20), (12, 20)]


@pytest.mark.parametrize("fraction", [-0.4, 0, 0.4])
def test_a_polygon_covers_the_pixels_whose_middle_is_inside(folder, fraction):
    points = np.array(CORNERS) + fraction
    for write in (
        lambda: roiwrite(folder / f"{EYE}_atrophy.roi", ImagejRoi.frompoints(points), mode="w"),
        lambda: write_labelme(folder, ("atrophy", "polygon", points.tolist())),
        lambda: write_coco(folder, coco([points.ravel().tolist()])),
    ):
        write()
        outlines, remarks = read_outlines(folder, {PHOTOGRAPH: SIZE})
        assert remarks == []
        assert np.array_equal(outlines[PHOTOGRAPH].mask, rectangle(12, 7, 31, 20))


def test_a_rectangle_from_corner_to_corner_covers_the_whole_photograph(folder):
    width, height = SIZE
    region = ImagejRoi(roitype=ROI_TYPE.RECT, right=width, bottom=height)
    for write, name in (
        (lambda: region.tofile(folder / f"{EYE}_atrophy.roi"), f"{EYE}_atrophy.roi"),
        (
            lambda: write_labelme(folder, ("atrophy", "rectangle", [(width, height), (0, 0)])),
            f"{EYE}_atrophy.json",
        ),
        (  # LabelMe's own mouse does not go further
            lambda: write_labelme(
                folder, ("atrophy", "rectangle", [(0, 0), (width - 1, height - 1)])
            ),
            f"{EYE}_atrophy.json",
        ),
        (
            lambda: write_coco(
                folder, coco([[0, 0, width, 0, width, height, 0, height]]), "a.json"
            ),
            "a.json",
        ),
    ):
        write()
        found, remarks = read_one(folder)
        assert found.all() and remarks == []
        (folder / name).unlink()


def test_the_area_of_circles_and_ovals_is_right(folder):
    middle, radius = np.array([40.3, 29.6]), 21.7
    angles = np.linspace(0, 2 * np.pi, 500)
    points = middle + radius * np.column_stack([np.cos(angles), np.sin(angles)])
    oval = ImagejRoi(roitype=ROI_TYPE.OVAL, options=ROI_OPTIONS.SUB_PIXEL_RESOLUTION)
    oval.xd, oval.yd = middle - radius
    oval.widthd = oval.heightd = 2 * radius
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    true = np.hypot(columns - middle[0], rows - middle[1]) < radius
    assert true.sum() == pytest.approx(np.pi * radius**2, rel=0.005)
    for name, write in {
        f"{EYE}_atrophy.roi": lambda path: oval.tofile(path),
        f"{EYE}_atrophy.json": lambda path: write_labelme(
            folder, ("atrophy", "circle", [middle.tolist(), points[77].tolist()])
        ),
        f"{EYE}_atrophy.zip": lambda path: roiwrite(path, [ImagejRoi.frompoints(points)]),
    }.items():
        write(folder / name)
        found, _ = read_one(folder)
        assert (found != true).sum() <= 4
        (folder / name).unlink()


# ImageJ


def test_several_regions_of_imagej_are_joined_and_lines_are_told(folder):
    regions = [
        ImagejRoi(roitype=ROI_TYPE.RECT, left=1, top=2, right=11, bottom=12),
        ImagejRoi.frompoints(np.array(CORNERS)),
        ImagejRoi(roitype=ROI_TYPE.LINE, x1=1, y1=1, x2=50, y2=50),
    ]
    roiwrite(folder / f"{EYE}_atrophy.zip", regions, name=["a", "b", "c"])
    found, remarks = read_one(folder)
    assert np.array_equal(found, rectangle(1, 2, 11, 12) | rectangle(12, 7, 31, 20))
    assert remarks == [
        f"{EYE}_atrophy.zip: 1 of its regions are lines, points or texts and enclose nothing"
    ]


@pytest.mark.parametrize("turn", [1, -1])
def test_a_composite_of_imagej_has_holes_whatever_their_direction(folder, turn):
    outer, hole = CORNERS, [(15, 10), (20, 10), (20, 15), (15, 15)][::turn]
    path = [n for ring in (outer, hole) for n in (*(0, *ring[0]), *lines(ring[1:]), 4)]
    save_composite(folder, path)
    found, remarks = read_one(folder)
    assert remarks == []
    assert np.array_equal(found, rectangle(12, 7, 31, 20) & ~rectangle(15, 10, 20, 15))


def lines(points):
    return [n for point in points for n in (1, *point)]


def save_composite(folder, path):
    region = ImagejRoi(roitype=ROI_TYPE.RECT, right=90, bottom=60, shape_roi_size=len(path))
    region.multi_coordinates = np.array(path, np.float32)
    region.tofile(folder / f"{EYE}_atrophy.roi")


def test_curves_of_a_composite_are_followed(folder):
    bend = 20 * 4 / 3 * (np.sqrt(2) - 1)  # of a quarter of a circle of radius 20
    x, y = 40.3, 29.6
    path = [
        *(0, x + 20, y),
        *(3, x + 20, y + bend, x + bend, y + 20, x, y + 20),
        *(3, x - bend, y + 20, x - 20, y + bend, x - 20, y),
        *(3, x - 20, y - bend, x - bend, y - 20, x, y - 20),
        *(3, x + bend, y - 20, x + 20, y - bend, x + 20, y, 4),
    ]
    save_composite(folder, path)
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    assert (read_one(folder)[0] != (np.hypot(columns - x, rows - y) < 20)).sum() <= 2


def test_rounded_corners_are_cut(folder):
    region = ImagejRoi(roitype=ROI_TYPE.RECT, left=10, top=10, right=60, bottom=50)
    region.rounded_rect_arc_size = 20
    region.tofile(folder / f"{EYE}_atrophy.roi")
    assert read_one(folder)[0].sum() == pytest.approx(2000 - (4 - np.pi) * 100, abs=8)


def test_what_encloses_nothing_or_is_a_spline_is_refused(folder):
    path = folder / f"{EYE}_atrophy.roi"
    ImagejRoi(roitype=ROI_TYPE.LINE, x1=1, y1=1, x2=50, y2=50).tofile(path)
    assert read_one(folder)[1] == [
        f"{path.name}: holds lines, points or texts only; draw an outline that encloses an area"
    ]
    region = ImagejRoi.frompoints(np.array(CORNERS))
    region.options |= ROI_OPTIONS.SPLINE_FIT
    region.tofile(path)
    assert "Interpolate in ImageJ and save it again" in read_one(folder)[1][0]


def test_another_zip_file_is_refused(folder):
    with zipfile.ZipFile(folder / f"{EYE}_atrophy.zip", "w") as packed:
        packed.writestr("notes.txt", "many words")
    assert "holds no region of ImageJ" in read_one(folder)[1][0]


# LabelMe and COCO

HERE = ("atrophy", "polygon", CORNERS)


@pytest.mark.parametrize("label", ["atrophy", "Geographic_Atrophy", "GA", "macular atrophy"])
def test_labels_that_say_atrophy_are_taken_and_no_others(folder, label):
    other = [(40, 40), (50, 40), (50, 50)]
    shapes = [
        (label, "polygon", CORNERS),
        ("disc", "polygon", other),
        ("fovea", "point", other[:1]),
    ]
    write_labelme(folder, *shapes, name=f"{EYE}.json")
    found, remarks = read_one(folder)
    assert np.array_equal(found, rectangle(12, 7, 31, 20)) and remarks == []


def test_a_single_label_is_taken_and_said_unless_it_names_something_else(folder):
    write_labelme(folder, ("lesion", "polygon", CORNERS))
    found, remarks = read_one(folder)
    assert np.array_equal(found, rectangle(12, 7, 31, 20))
    assert remarks == [f"{EYE}_atrophy.json: its only label, 'lesion', is taken for atrophy"]
    for labels in (["optic disc"], ["no atrophy"], ["peripapillary atrophy"], ["1", "2"]):
        write_labelme(folder, *((label, "polygon", CORNERS) for label in labels))
        found, remarks = read_one(folder)
        assert found is None and remarks == [
            f"{EYE}_atrophy.json: no label says atrophy, but {', '.join(map(repr, labels))}; give "
            "the outlines the label 'atrophy'"
        ]


def test_masks_inside_labelme_are_read(folder):
    file = io.BytesIO()
    Image.fromarray(lesion()[5:45, 10:75]).save(file, "PNG")
    shape = {"label": "atrophy", "shape_type": "mask", "points": [[10, 5], [74, 44]]}
    shape["mask"] = base64.b64encode(file.getvalue()).decode()
    document = {"shapes": [shape], "imageWidth": SIZE[0], "imageHeight": SIZE[1]}
    (folder / f"{EYE}.json").write_text(json.dumps(document))
    found, remarks = read_one(folder)
    assert np.array_equal(found, lesion() & rectangle(10, 5, 75, 45)) and remarks == []


def test_a_file_of_labelme_that_was_drawn_on_another_photograph_is_refused(folder):
    (folder / "b.png").touch()
    write_labelme(folder, HERE, imagePath="..\\photos\\b.png")
    outlines, (remark,) = read_outlines(folder, {PHOTOGRAPH: SIZE, "b.png": SIZE})
    assert outlines == {}
    assert remark == (
        f"{EYE}_atrophy.json: is of '{PHOTOGRAPH}' by its name, but was drawn on 'b.png'; rename "
        "it, or correct its imagePath"
    )


def test_runs_of_coco_are_read_packed_or_not(folder):
    mask = np.zeros((12, 20), bool)
    mask[2:9, 3:15] = True
    mask[4:7, 6:9] = False
    flat = mask.T.ravel()
    changes = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *changes, flat.size]).tolist()
    for counts in (runs, "V1750000KN020N020N0250000000000j1"):  # packed by pycocotools
        write_coco(folder, coco({"counts": counts, "size": [12, 20]}, size=(20, 12)))
        found, remarks = read_one(folder, (20, 12))
        assert np.array_equal(found, mask) and remarks == []


def test_one_coco_file_holds_the_outlines_of_many_photographs(folder):
    masks = {PHOTOGRAPH: lesion(), "right/b.png": ~lesion()}
    (folder / "right").mkdir()
    (folder / "right" / "b.png").touch()
    document = coco([[1, 1, 9, 1, 9, 9]], category="lesion")
    document["images"] += [
        {"id": 8, "file_name": "right/b.png", "width": 90, "height": 60},
        {"id": 9, "file_name": "gone.png", "width": 90, "height": 60},
    ]
    write_coco(folder, document)
    outlines, remarks = read_outlines(folder, dict.fromkeys(masks, SIZE))
    assert [*outlines] == [PHOTOGRAPH]
    assert remarks == [
        "annotations.json: no photograph 'gone.png' lies here; rename it",
        "annotations.json: has no annotation of atrophy in 'right/b.png', so nothing is known; to "
        "say that there is none, add an empty mask image",
        "annotations.json: its only label, 'lesion', is taken for atrophy",
    ]


def test_a_box_of_coco_is_no_outline(folder):
    write_coco(folder, coco([]))
    found, (remark,) = read_one(folder)
    assert found is None and remark == (
        f"annotations.json ({PHOTOGRAPH}): has a box without an outline; export it with "
        "segmentations"
    )


def test_other_json_files_are_left_aside(folder):
    (folder / "truth.json").write_text('{"visits": []}')
    (folder / f"{EYE}.json").write_text('{"camera": "any"}')
    assert read_one(folder) == (None, [])
    (folder / f"{EYE}_atrophy.json").write_text('{"camera": "any"}')
    assert "is neither LabelMe (with shapes) nor COCO" in read_one(folder)[1][0]


# What does not fit


def test_an_outline_of_another_size_is_refused_with_both_sizes(folder):
    words = (
        "is for 45 x 30 px, but the photograph has 90 x 60 px; draw or export it on this "
        "photograph at its full size, not cropped or scaled"
    )
    Image.fromarray(np.ones((30, 45), np.uint8)).save(folder / f"{EYE}_atrophy.png")
    write_labelme(folder, HERE, size=(45, 30))
    write_coco(folder, coco([[1, 1, 9, 1, 9, 9]], size=(45, 30)))
    found, remarks = read_one(folder)
    assert found is None and [remark.split(": ", 1)[1] for remark in remarks] == [words] * 3


def test_outlines_are_in_the_frame_in_which_the_photograph_is_shown(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", SIZE, "brown").save(folder / f"{EYE}.jpg", exif=exif)
    (folder / PHOTOGRAPH).unlink()
    sizes = {f"{EYE}.jpg": photograph_size(folder / f"{EYE}.jpg")}
    assert sizes[f"{EYE}.jpg"] == SIZE[::-1]
    write_labelme(folder, HERE)
    outlines, (remark,) = read_outlines(folder, sizes)
    assert outlines == {}
    assert remark == (
        f"{EYE}_atrophy.json: is for 90 x 60 px, but the photograph has 60 x 90 px: it is turned "
        "by 90 degrees, as programs show a photograph that do not obey its orientation tag; draw "
        "it on the photograph as it is shown here, or turn it like it"
    )
    (folder / f"{EYE}_atrophy.json").unlink()
    image = Image.fromarray(lesion() * np.uint8(255))
    image.save(folder / f"{EYE}_atrophy.png", exif=exif)
    outlines, remarks = read_outlines(folder, sizes)
    assert remarks == []
    assert np.array_equal(outlines[f"{EYE}.jpg"].mask, np.rot90(lesion(), -1))


def test_an_outline_without_its_photograph_is_told_but_not_one_of_the_other_eye(folder):
    (folder / "other_2019-05-28_R.tif").touch()
    write_outlines(folder, {"other_2019-05-28_R.tif": lesion(), "gone.png": lesion()})
    write_labelme(folder, HERE, name="other_2019-05-28_R.json")
    found, (remark,) = read_one(folder)
    assert found is None and remark == (
        "gone_atrophy.png: no photograph 'gone' lies beside it; name it like the photograph, with "
        "_atrophy before its ending"
    )


def test_a_name_that_fits_two_photographs_is_refused(folder):
    (folder / f"{EYE}.png").touch()
    write_outlines(folder, {PHOTOGRAPH: lesion()})
    outlines, (remark,) = read_outlines(folder, {PHOTOGRAPH: SIZE, f"{EYE}.png": SIZE})
    assert outlines == {}
    assert remark.endswith(f"name it like {PHOTOGRAPH}_atrophy.png")


def test_two_outlines_that_contradict_each_other_are_both_refused(folder):
    write_outlines(folder, {PHOTOGRAPH: lesion()}, ["mask image"])
    write_outlines(folder, {PHOTOGRAPH: rectangle(12, 7, 31, 20)}, ["ImageJ ROI"])
    found, (remark,) = read_one(folder)
    assert found is None
    assert remark.startswith(f"{EYE}_atrophy.png and {EYE}_atrophy.zip: contradict each other")
    assert remark.endswith("so none is used; remove all but one")


def test_two_outlines_that_agree_nearly_are_told(folder):
    nearly = lesion()
    nearly[50, 5] = False
    write_outlines(folder, {PHOTOGRAPH: lesion()}, ["mask image"])
    write_outlines(folder, {PHOTOGRAPH: nearly}, ["LabelMe"])
    found, (remark,) = read_one(folder)
    assert np.array_equal(found, lesion()) and "nearly the same" in remark


def test_an_outline_that_says_nothing_contradicts_one_that_says_something(folder):
    write_outlines(folder, {PHOTOGRAPH: np.zeros_like(lesion())}, ["mask image"])
    write_outlines(folder, {PHOTOGRAPH: lesion()}, ["LabelMe"])
    found, remarks = read_one(folder)
    assert found is None and "contradict each other" in remarks[-1]


def test_what_lies_outside_is_cut_off_and_told(folder):
    write_labelme(folder, ("atrophy", "polygon", [(80, 50), (300, 50), (300, 300), (80, 300)]))
    found, remarks = read_one(folder)
    assert np.array_equal(found, rectangle(80, 50, 90, 60))
    assert remarks == [f"{EYE}_atrophy.json: a part lies outside the photograph and is cut off"]
    write_labelme(folder, ("atrophy", "polygon", [(200, 50), (300, 50), (300, 300)]))
    found, remarks = read_one(folder)
    assert found is None and "lies outside the photograph (90 x 60 px)" in remarks[0]


def test_a_click_that_encloses_nothing_does_not_say_that_there_is_no_atrophy(folder):
    write_labelme(folder, ("atrophy", "polygon", [(8, 5), (8.1, 5), (8.1, 5.1)]))
    found, (remark,) = read_one(folder)
    assert found is None and "encloses no pixel" in remark


def test_everything_that_a_crossing_outline_goes_around_is_counted(folder):
    twice = [*CORNERS, CORNERS[0], (31, 7), (31, 14), (12, 14)]  # once around, and half again
    write_labelme(folder, ("atrophy", "polygon", twice))
    found, remarks = read_one(folder)
    assert np.array_equal(found, rectangle(12, 7, 31, 20))
    assert remarks == [
        f"{EYE}_atrophy.json: an outline crosses itself; everything that it goes around is counted"
    ]


def test_one_bad_file_never_stops_the_others(folder):
    (folder / f"{EYE}_atrophy.png").write_bytes(b"no image")
    (folder / f"{EYE}_atrophy.roi").mkdir()
    (folder / "b_atrophy.zip").write_bytes(b"PK\3\4 and no more")
    (folder / "c.json").write_text("{")
    os.symlink("nowhere", folder / f"{EYE}_atrophy.tif")
    write_outlines(folder, {PHOTOGRAPH: lesion()}, ["LabelMe"])
    for name in ("b.png", "c.png"):
        (folder / name).touch()
    outlines, remarks = read_outlines(folder, dict.fromkeys([PHOTOGRAPH, "b.png", "c.png"], SIZE))
    assert [*outlines] == [PHOTOGRAPH]
    assert [remark.split(": ")[0] for remark in remarks] == [
        "b_atrophy.zip",
        "c.json",
        f"{EYE}_atrophy.png",
        f"{EYE}_atrophy.tif",
    ]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(EyeError, match="folder 'nowhere' does not exist"):
        read_outlines(tmp_path / "nowhere", {PHOTOGRAPH: SIZE})


@pytest.mark.parametrize("kind", [*OUTLINE_FORMATS, "TIFF", "BMP", "ROI"])
def test_cut_and_flipped_files_become_remarks(folder, kind):
    written = kind if kind in OUTLINE_FORMATS else "mask image"
    (path,) = write_outlines(folder, {PHOTOGRAPH: lesion()}, [written])
    if kind in ("TIFF", "BMP"):
        path = path.rename(path.with_suffix(f".{kind.lower()}"))
        Image.fromarray(lesion() * np.uint8(255)).save(path, kind)
    elif kind == "ROI":
        path.unlink()
        path = path.with_suffix(".roi")
        ImagejRoi.frompoints(np.array(CORNERS, float)).tofile(path)
    good, random, whole = path.read_bytes(), np.random.default_rng(0), read_one(folder)[0]
    for number in range(100):
        data = bytearray(good)
        if number % 2:
            del data[random.integers(len(data) * 9 // 10) :]
        else:
            for place in random.integers(len(data), size=random.integers(1, 9)):
                data[place] ^= 1 << random.integers(8)
        path.write_bytes(data)
        found, remarks = read_one(folder)
        if number % 2:  # behind the points of a region there are its colours and its name
            assert remarks or (kind == "ROI" and np.array_equal(found, whole))
            assert found is None or np.array_equal(found, whole), "half an outline was used"
        elif found is None:
            assert remarks
        else:
            assert found.shape == SIZE[::-1] and found.dtype == bool
        assert all(remark.startswith((path.name, "atrophy_coco")) for remark in remarks)
