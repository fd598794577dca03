"""Scales: millimetres per pixel, how they were obtained, and how uncertain they are."""

import pytest

from fundus_helpers.atrophy.scale import (
    Scale,
    best_scale,
    scale_from_disc,
    scale_from_field,
    scale_from_fovea,
    scale_from_header,
    scale_given,
)


def test_areas_are_twice_as_uncertain_as_lengths():
    scale = Scale(0.01, 0.03, "DICOM header")
    assert scale.length_mm(100) == pytest.approx(1)
    assert scale.area_mm2(10_000) == pytest.approx(1)
    assert scale.area_uncertainty == pytest.approx(0.06)


@pytest.mark.parametrize(
    ("scale", "mm_per_pixel", "uncertainty", "source"),
    [
        (scale_from_header(0.0113), 0.0113, 0.03, "DICOM header"),
        (scale_given(0.0113, source="table of visits"), 0.0113, 0.03, "table of visits"),
        (scale_from_disc(150), 0.012, 0.11, "optic disc of 1.8 mm"),
        (scale_from_fovea(400), 0.0119, 0.0714, "distance from disc to fovea of 4.76 mm"),
        (scale_from_field(30, 768), 0.0116, 0.058, "field of view of 30 degrees"),
    ],
)
def test_every_scale_says_how_it_was_obtained_and_how_uncertain_it_is(
    scale, mm_per_pixel, uncertainty, source
):
    assert scale.mm_per_pixel == pytest.approx(mm_per_pixel, rel=1e-6)
    assert scale.uncertainty == pytest.approx(uncertainty, rel=0.01)
    assert scale.source == source
    assert source in str(scale) and "uncertain by" in str(scale)


def test_without_a_scale_there_is_none_and_no_millimetre_is_assumed():
    assert scale_from_header(None) is None
    assert best_scale([]) is None and best_scale([None, None]) is None


def test_a_photograph_reduced_to_half_has_pixels_of_twice_the_size():
    whole = scale_from_disc(300)
    half = whole.scaled(2)
    assert half.mm_per_pixel == pytest.approx(scale_from_disc(150).mm_per_pixel)
    assert half.area_mm2(1000) == pytest.approx(whole.area_mm2(4000))
    assert half.own_eye and half.source == whole.source
    with pytest.raises(ValueError, match="must be above 0"):
        whole.scaled(0)


def test_axial_length_changes_lengths_by_four_and_a_half_percent_a_millimetre():
    average = scale_from_field(30, 768)
    same, longer = average.with_axial_length(24), average.with_axial_length(25)
    assert same.mm_per_pixel == pytest.approx(average.mm_per_pixel)
    assert longer.mm_per_pixel / average.mm_per_pixel == pytest.approx(1.045, abs=0.0005)
    assert longer.uncertainty == pytest.approx(0.03) and average.uncertainty > 0.05
    assert "axial length of 25 mm" in longer.source
    assert scale_from_field(30, 768, axial_length_mm=25) == longer


def test_axial_length_never_makes_a_scale_more_certain_than_the_camera():
    assert scale_given(0.01, uncertainty=0.02).with_axial_length(25).uncertainty == 0.02
    assert scale_given(0.01, uncertainty=0.051).with_axial_length(25).uncertainty == 0.03
    assert scale_given(0.01, uncertainty=0.13).with_axial_length(25).uncertainty == pytest.approx(
        0.12
    )


@pytest.mark.parametrize(
    "scale",
    [scale_from_disc(150), scale_from_fovea(400), scale_from_field(30, 768, axial_length_mm=25)],
)
def test_axial_length_is_never_put_on_top_of_what_was_measured_on_this_eye(scale):
    with pytest.raises(ValueError, match="was measured on this eye and has its size already"):
        scale.with_axial_length(25)
    with pytest.raises(ValueError, match="measured on this eye"):
        scale.scaled(2).with_axial_length(25)


def test_the_least_uncertain_scale_is_the_best():
    scales = scale_from_disc(150), scale_from_field(30, 768), scale_from_header(0.0115)
    assert best_scale(scales).source == "DICOM header"
    assert best_scale(scales[:2]).source == "field of view of 30 degrees"
    assert best_scale([scale_given(0.01), scale_given(0.0101, source="other")]).source == "given"


def test_scales_that_contradict_each_other_are_refused_and_told():
    header, twice = scale_from_header(0.0116), scale_from_disc(150).scaled(2)
    with pytest.raises(ValueError, match="contradict") as told:
        best_scale([header, twice])
    for word in ("0.0116", "DICOM header", "0.024", "optic disc of 1.8 mm", "107 %", "34 %"):
        assert word in str(told.value)
    with pytest.raises(ValueError, match="leave out the one that is wrong"):
        best_scale([scale_given(0.010), scale_given(0.012, source="table of visits")])


def test_contradictions_are_found_in_any_order_and_beside_a_better_scale():
    scales = [scale_from_header(0.0116), scale_from_disc(70), scale_from_fovea(410)]
    for order in (scales, scales[::-1]):
        with pytest.raises(ValueError, match="contradict"):
            best_scale(order)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: scale_given(11.6), "11.6 micrometres are 0.0116"),
        (lambda: scale_given(float("nan")), "cannot be the scale"),
        (lambda: scale_given(-0.01), "cannot be the scale"),
        (lambda: scale_given(0.01, uncertainty=3), "give 0.03 for 3 %"),
        (lambda: scale_from_disc(0), "the diameter of the optic disc must be above 0"),
        (lambda: scale_from_fovea(float("inf")), "to the fovea must be above 0"),
        (lambda: scale_from_field(200, 768), "has no one scale"),
        (lambda: scale_from_field(30, -1), "the width of the field of view must be above 0"),
        (lambda: scale_from_field(30, 768, axial_length_mm=2.4), "24 is common"),
    ],
)
def test_impossible_scales_are_refused_in_words(make, words):
    with pytest.raises(ValueError, match=words):
        make()
