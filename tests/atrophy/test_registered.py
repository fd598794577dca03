"""Which visits are used, and what happens to those that another method could not register."""

from dataclasses import replace

import numpy as np
import pytest

from fundus_helpers import transforms
from fundus_helpers.atrophy.registered import registered_visits
from fundus_helpers.metrics.verdict import Verdict
from fundus_helpers.study import Study

MOVED = transforms.from_matrix([[1, 0, 4.0], [0, 1, 0]])


@pytest.fixture(scope="module")
def study(demo, tmp_path_factory):
    """Return a study whose first four visits have a transform; the first is the template."""
    study = Study(demo, "demo_colour", "L", size=96, results=tmp_path_factory.mktemp("r"), jobs=1)
    moves = [MOVED if 0 < i < 4 else None for i in range(len(study.eye.names))]
    study.add("moved", moves)
    return study


def verdicts_of(study, *statuses):
    """Return verdicts: these for the visits after the template, and none for all others."""
    error = np.full(study.fixed.shape, 0.5, np.float32)
    given = [Verdict(status, ("why",), error) for status in statuses]
    return [None, *given, *[None] * (len(study.eye.names) - 1 - len(given))]


def test_accepted_visits_are_used_also_by_hand_and_every_other_one_has_its_reason(study):
    verdicts = verdicts_of(study, "accepted", "doubtful", "accepted, by hand")
    visits = registered_visits(study, "moved", verdicts=verdicts)
    names = study.eye.names
    assert visits.names == (names[0], names[1], names[3])
    assert visits.left_out[names[2]] == "its registration is doubtful: why"
    assert visits.left_out[names[4]] == "not registered"
    assert {*visits.left_out} == {*visits.dates_left_out} == {names[2], *names[4:]}
    looked_at = [each and replace(each, status="accepted") for each in verdicts]
    assert names[2] in registered_visits(study, "moved", verdicts=looked_at).names


def test_an_accepted_visit_without_a_transform_is_left_out_and_told(study):
    verdicts = verdicts_of(study, *["accepted"] * 4)
    visits = registered_visits(study, "moved", verdicts=verdicts)
    told = visits.left_out[study.eye.names[4]]
    assert told == "not registered: the method gave no transform"


def test_a_visit_that_another_method_could_not_register_is_left_out(study):
    visits = registered_visits(study, "moved", verdicts=verdicts_of(study, *["accepted"] * 3))
    still = transforms.identity()
    other = visits.laid_by(study.eye, [still, None, still, MOVED])
    kept = [0, 2, 3]
    assert other.names == tuple(visits.names[i] for i in kept)
    assert other.dates == tuple(visits.dates[i] for i in kept)
    assert other.positions == tuple(visits.positions[i] for i in kept)
    assert other.left_out[visits.names[1]] == "not registered"
    assert other.dates_left_out[visits.names[1]] == visits.dates[1]
    assert len(other.images) == len(other.masks) == len(other.transforms) == 3
    np.testing.assert_array_equal(other.images[1], study.eye.images[visits.positions[2]])
    np.testing.assert_array_equal(other.images[2], visits.images[3])
    np.testing.assert_array_equal(other.errors, visits.errors[kept])


def test_the_template_cannot_be_left_out(study):
    visits = registered_visits(study, "moved", verdicts=verdicts_of(study, "accepted"))
    with pytest.raises(ValueError, match="has no transform; give the identity"):
        visits.laid_by(study.eye, [None, MOVED])
