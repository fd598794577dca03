"""Every knob of every method says which values it accepts, and the method refuses all others."""

import inspect
import re
from dataclasses import replace
from functools import partial
from typing import Annotated, Literal

import numpy as np
import pytest
import SimpleITK as sitk
from annotated_types import Interval
from docstring_parser import parse
from known_transforms import about_the_middle

from fundus_helpers.methods import METHODS, elastix, optical_flow, rigid
from fundus_helpers.methods.keypoints import registration as keypoints
from fundus_helpers.methods.knobs import (
    ActsIf,
    ImageUnit,
    Knob,
    check_names,
    checked,
    read_knobs,
)
from fundus_helpers.methods.learned import registration as by_networks
from fundus_helpers.methods.networks.spatial_transformer import SpatialTransformer
from fundus_helpers.methods.networks.voxelmorph import VoxelMorph
from fundus_helpers.series.group_methods import ElastixStack, IteratedMean
from fundus_helpers.transforms.transform import RegistrationError

EVERY_KNOB = [(name, knob) for name in METHODS for knob in read_knobs(METHODS[name]).values()]
# Methods that differ in what they are made with share the ends of their ranges.
ONE_OF_EACH = ("affine", "elastix_bspline", "keypoints")
ENDS = [(n, knob) for n, knob in EVERY_KNOB if n in ONE_OF_EACH or n.startswith("optical_flow")]
NUMBERS = [(name, knob) for name, knob in EVERY_KNOB if knob.least is not None]
FEW = {"iterations": 5, "bspline_iterations": 5, "samples": 1000, "warps": 1, "count": 500}
# Functions with a docstring, and objects that are called like them.
DOCUMENTED = {
    "rigid": rigid.register,
    "tvl1": optical_flow.tvl1,
    "ilk": optical_flow.ilk,
    "dis": optical_flow.dis,
    "elastix": elastix.register,
    "keypoints": keypoints.register,
    "spatial_transformer": by_networks.spatial_transformer,
    "voxelmorph": by_networks.voxelmorph,
    "trained spatial transformer": SpatialTransformer(None, 96),
    "trained VoxelMorph": VoxelMorph(None, None),
    "iterated_mean": IteratedMean([], []),
    "elastix_stack": ElastixStack([], []),
}


def ids(pairs):
    return [f"{name}-{knob.name}" for name, knob in pairs]


def number(least, most, default, unit=""):
    return Knob("knob", default, least, most, (), unit, "Turns something.")


def documented(knob):
    """Return what a docstring says in place of a type."""
    if knob.choices:
        return "{" + ", ".join(f'"{choice}"' for choice in knob.choices) + "}"
    if knob.least is None:
        return "bool"
    kind = type(knob.default).__name__
    return f"{kind} in [{knob.least}, {knob.most}] {knob.unit}".strip()


@pytest.mark.parametrize("name, knob", EVERY_KNOB, ids=ids(EVERY_KNOB))
def test_every_knob_is_explained_and_accepts_its_default(name, knob):
    assert len(knob.explanation.split()) >= 3 and not knob.explanation.startswith("See ")
    assert isinstance(knob.default, bool) or knob.choices or knob.least < knob.most
    knob.check(knob.default)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_docstring_says_what_the_annotations_accept(name):
    method = DOCUMENTED[name]
    function = method if inspect.isroutine(method) else type(method).__call__
    knobs, seen = read_knobs(method), set()
    for entry in parse(function.__doc__).params:
        for argument in set(entry.arg_name.split(", ")) & set(knobs):
            knob = knobs[argument]
            if entry.type_name:
                assert entry.type_name == documented(knob), argument
            else:
                other = read_knobs(DOCUMENTED[entry.description.removeprefix("See `")[:-2]])
                assert replace(other[argument], default=knob.default) == knob
            seen.add(argument)
    assert seen == set(knobs)


def test_every_method_is_among_those_whose_docstrings_are_compared():
    methods = [m.func if isinstance(m, partial) else m for m in METHODS.values()]
    assert all(method in DOCUMENTED.values() for method in methods)


@pytest.mark.parametrize("name, knob", ENDS, ids=ids(ENDS))
def test_a_method_takes_what_its_docstring_accepts(name, knob, retina, retina_again):
    moving = retina_again(about_the_middle(1, shift=(3, -2)))
    values = knob.choices or ((knob.least, knob.most) if knob.least is not None else (True, False))
    for value in values:
        quick = {key: few for key, few in FEW.items() if key in read_knobs(METHODS[name])}
        try:
            found = METHODS[name](retina, moving, **(quick | {knob.name: value}))
        except RegistrationError:  # an honest refusal of the result, not of the knob
            continue
        assert isinstance(found, sitk.Transform)


@pytest.mark.parametrize("name, knob", NUMBERS, ids=ids(NUMBERS))
def test_a_method_refuses_what_its_docstring_does_not_accept(name, knob, retina):
    for value in (knob.least - 1, knob.most + 1, float("nan")):
        with pytest.raises(ValueError, match=f"^{knob.name} .* is not in the range"):
            METHODS[name](retina, retina, **{knob.name: value})


@pytest.mark.parametrize("name, knob", EVERY_KNOB, ids=ids(EVERY_KNOB))
def test_a_method_refuses_values_of_another_type(name, knob, retina):
    if knob.choices:
        wrong, accepted = (None, 1, True, ("a",)), "is not one of"
    elif knob.least is None:
        wrong, accepted = (None, "no", 0, 1.0), "is not True or False"
    else:
        whole = isinstance(knob.default, int)
        wrong, accepted = (None, str(knob.default), True, [knob.default]), "is not a number from"
        wrong = (*wrong, knob.least + 0.5) if whole else wrong
        accepted = "is not a whole number from" if whole else accepted
    for value in wrong:
        with pytest.raises(ValueError, match=f"^{knob.name} {re.escape(repr(value))} {accepted}"):
            METHODS[name](retina, retina, **{knob.name: value})


def test_integers_are_numbers_and_types_of_numpy_are_accepted():
    for value in (3, np.int64(3), np.float32(2.5)):
        number(0, 10, 6.0).check(value)
    number(0, 10, 6).check(np.int16(3))
    with pytest.raises(ValueError, match=r"knob 3\.0 is not a whole number from 0 to 10"):
        number(0, 10, 6).check(3.0)
    switch = Knob("knob", True, None, None, (), "", "Turns something.")
    switch.check(np.bool_(False))


def test_an_integer_may_be_the_default_of_a_float_knob():
    def method(fixed, moving, *, strength: Annotated[float, Interval(ge=0, le=2)] = 1):
        """Do.

        Parameters
        ----------
        strength : float
            How much.
        """

    knob = read_knobs(method)["strength"]
    knob.check(0.5)
    assert repr(knob.default) == "1.0" and 0.5 in knob.stops(0.5)


@pytest.mark.parametrize("name", [*METHODS, *DOCUMENTED])
def test_a_mistyped_knob_is_named_with_those_there_are(name):
    method = METHODS[name] if name in METHODS else DOCUMENTED[name]
    knobs = read_knobs(method)
    check_names(method, knobs)
    for wrong in ("smoothnes", "fixed", "moving_mask"):
        with pytest.raises(ValueError, match=f"no knob {wrong!r}; there are") as error:
            check_names(method, {**dict.fromkeys(knobs), wrong: 3})
        assert all(repr(knob) in str(error.value) for knob in knobs)


def test_a_plain_function_has_its_arguments_as_knobs_and_one_with_all_names_has_any():
    def images_by_place(*images, factor=1, fixed_mask=None, moving_mask=None):
        return images

    check_names(images_by_place, {"factor": 2})
    check_names(partial(images_by_place, factor=3), {"factor": 2})
    with pytest.raises(ValueError, match=r"no knob 'factr'; there are \['factor'\]"):
        check_names(images_by_place, {"factr": 2})
    check_names(lambda fixed, moving, **knobs: fixed, {"anything": 2})


@pytest.mark.parametrize("name, knob", NUMBERS, ids=ids(NUMBERS))
def test_a_slider_reaches_both_ends_and_stops_at_the_default(name, knob):
    stops = knob.stops()
    assert stops[0] == knob.least and stops[-1] == knob.most and knob.default in stops
    assert stops == sorted(set(stops)) and len(stops) <= 100
    assert {type(stop) for stop in stops[1:-1]} == {type(knob.default)}


def test_what_a_method_is_made_with_is_no_knob():
    assert "model" not in read_knobs(METHODS["affine"])
    assert "stages" not in read_knobs(METHODS["elastix_bspline"])


def test_a_knob_that_does_nothing_beside_what_is_given_is_none():
    splines = {"bspline_iterations", "grid_spacing", "bending_energy"}
    assert splines <= set(read_knobs(METHODS["elastix_bspline"]))
    for name in ("rigid", "similarity", "affine"):
        assert splines.isdisjoint(read_knobs(METHODS[f"elastix_{name}"]))
    stiffness = read_knobs(METHODS["keypoints"])["stiffness"]
    assert stiffness.acts({"follow_vessels": True}) and stiffness.acts({})
    assert not stiffness.acts({"follow_vessels": False})


def test_an_object_that_is_called_like_a_method_has_its_knobs():
    class Method:
        @checked
        def __call__(
            self, fixed, moving, *, strength: Annotated[float, Interval(ge=0, le=2)] = 1.0
        ):
            """Do.

            Parameters
            ----------
            strength : float
                How much.
            """

    assert read_knobs(Method())["strength"].most == 2
    with pytest.raises(ValueError, match="strength 3 is not in the range 0 to 2"):
        Method()(1, 2, strength=3)


def test_a_reference_to_another_function_is_followed():
    tvl1, dis = (read_knobs(METHODS[f"optical_flow_{name}"]) for name in ("tvl1", "dis"))
    assert dis["smoothness"] == tvl1["smoothness"]


def test_pixels_and_levels_mean_the_same_in_a_smaller_image():
    assert number(1, 60, 12, "px").at_scale(12, 0.5) == 6
    assert number(1, 60, 12, "px").at_scale(1, 0.25) == 1  # never below what is accepted
    assert number(0.05, 20, 1.0, "px").at_scale(3.0, 1 / 3) == pytest.approx(1.0)
    assert number(64, 20_000, 2048, "points").at_scale(2048, 0.5) == 1024
    assert number(0, 4, 0, "levels").at_scale(3, 0.5) == 2
    assert number(0, 50, 6.0).at_scale(6.0, 0.5) == 6.0


def test_wide_ranges_are_laid_out_in_ratios():
    stops = np.array(number(0.01, 100, 1.0).stops())
    assert (stops[1:] / stops[:-1]).max() < 1.5
    assert number(0, 100_000, 10.0).stops()[:2] == [0, pytest.approx(0.33)]
    assert number(0, 50, 6.0).stops(6.5)[5:9] == [5, 6, 6.5, 7]


def test_a_knob_without_a_range_is_named():
    def method(fixed, moving, *, strength: float = 1.0):
        """Do.

        Parameters
        ----------
        strength : float
            How much.
        """

    with pytest.raises(ValueError, match="method: knob 'strength' is annotated as float.*range"):
        read_knobs(method)


@pytest.mark.parametrize(
    "annotation",
    [
        int,
        str,
        Annotated[float, Interval(ge=0)],
        Annotated[float, Interval(gt=0, le=2)],
        Annotated[float, ImageUnit("px")],
        Annotated[str, Interval(ge=0, le=2)],
    ],
)
def test_a_number_without_both_ends_and_a_word_without_choices_are_refused(annotation):
    def method(fixed, moving, *, strength: annotation = 1):
        """Do.

        Parameters
        ----------
        strength : number
            How much.
        """

    with pytest.raises(ValueError, match="knob 'strength' is annotated as .*range"):
        read_knobs(method)


def test_a_knob_that_the_docstring_does_not_explain_is_named():
    def method(fixed, moving, *, strength: Annotated[float, Interval(ge=0, le=2)] = 1.0):
        """Do."""

    with pytest.raises(ValueError, match="method: knob 'strength' .* explained as ''"):
        read_knobs(method)


def test_annotations_say_all_about_a_knob_but_its_explanation():
    def method(
        fixed,
        moving,
        *,
        stages: tuple[str, ...] = ("affine",),
        metric: Annotated[Literal["one", "other"], ActsIf("smooth")] = "one",
        smooth: bool = True,
        radius: Annotated[
            int, Interval(ge=1, le=60), ImageUnit("px"), ActsIf("stages", holds="bspline")
        ] = 12,
    ):
        """Do.

        Parameters
        ----------
        metric, smooth, radius
            Says nothing of what is accepted.
        """

    said, on_smooth = "Says nothing of what is accepted.", ActsIf("smooth")
    on_splines = ActsIf("stages", holds="bspline")
    assert read_knobs(method) == {
        "metric": Knob("metric", "one", None, None, ("one", "other"), "", said, on_smooth),
        "smooth": Knob("smooth", True, None, None, (), "", said),
        "radius": Knob("radius", 12, 1, 60, (), "px", said, on_splines),
    }
    assert "radius" not in read_knobs(partial(method, stages=("affine",)))
    assert "radius" in read_knobs(partial(method, stages=("affine", "bspline")))


def test_a_condition_on_an_argument_that_does_not_exist_is_named():
    def method(fixed, moving, *, smooth: Annotated[bool, ActsIf("stage")] = True):
        """Do.

        Parameters
        ----------
        smooth : bool
            Whether to smooth.
        """

    with pytest.raises(ValueError, match="method: knob 'smooth'.*stage"):
        read_knobs(method)


def test_an_unknown_unit_is_named():
    with pytest.raises(ValueError, match="unit 'mm' is not one of .*'px'"):
        ImageUnit("mm")


def test_a_checked_method_refuses_before_it_works():
    @checked
    def method(fixed, moving, *, strength: Annotated[float, Interval(ge=0, le=2)] = 1.0):
        """Do.

        Parameters
        ----------
        strength : float
            How much.
        """
        return fixed + moving + strength

    assert method(1, 2, strength=0.5) == 3.5
    with pytest.raises(ValueError, match="strength 3 is not in the range 0 to 2"):
        method(1, 2, strength=3)
