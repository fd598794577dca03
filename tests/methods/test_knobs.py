"""Every knob of every method says what it accepts, once, and is held to it."""

import numpy as np
import pytest
import SimpleITK as sitk
from known_transforms import about_the_middle

from fundus_helpers.methods import METHODS
from fundus_helpers.methods.knobs import Knob, checked, read_knobs
from fundus_helpers.transforms.transform import RegistrationError

EVERY_KNOB = [(name, knob) for name in METHODS for knob in read_knobs(METHODS[name]).values()]
# Methods that differ in what they are made with share the ends of their ranges.
ONE_OF_EACH = ("affine", "elastix_bspline", "keypoints")
ENDS = [(n, knob) for n, knob in EVERY_KNOB if n in ONE_OF_EACH or n.startswith("optical_flow")]
NUMBERS = [(name, knob) for name, knob in EVERY_KNOB if knob.least is not None]
FEW = {"iterations": 5, "bspline_iterations": 5, "samples": 1000, "warps": 1, "count": 500}


def ids(pairs):
    return [f"{name}-{knob.name}" for name, knob in pairs]


def number(least, most, default, unit=""):
    return Knob("knob", default, least, most, (), unit, "Turns something.")


@pytest.mark.parametrize("name, knob", EVERY_KNOB, ids=ids(EVERY_KNOB))
def test_every_knob_is_explained_and_accepts_its_default(name, knob):
    assert len(knob.explanation.split()) >= 3 and not knob.explanation.startswith("See ")
    assert isinstance(knob.default, bool) or knob.choices or knob.least < knob.most
    knob.check(knob.default)


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
        def __call__(self, fixed, moving, *, strength: float = 1.0):
            """Do.

            Parameters
            ----------
            strength : float in [0, 2]
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

    with pytest.raises(ValueError, match="method: knob 'strength' is described as 'float'.*range"):
        read_knobs(method)


def test_a_checked_method_refuses_before_it_works():
    @checked
    def method(fixed, moving, *, strength: float = 1.0):
        """Do.

        Parameters
        ----------
        strength : float in [0, 2]
            How much.
        """
        return fixed + moving + strength

    assert method(1, 2, strength=0.5) == 3.5
    with pytest.raises(ValueError, match="strength 3 is not in the range 0 to 2"):
        method(1, 2, strength=3)
