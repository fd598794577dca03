"""What is kept names no folder of the machine it was made on."""

import sys
from pathlib import Path

from fundus_helpers.runs.headless import without_places


def test_folders_become_words_wherever_they_stand(tmp_path):
    study = tmp_path / "jane.roe" / "study"
    folder = tmp_path / "project" / "notebooks"
    kept = {"cell": [f"read {study}/007/a.png", {"deep": f"'{study}'"}], "number": 3}
    told = without_places(kept, {"data": study}, folder)
    assert told == {"cell": ["read <data>/007/a.png", {"deep": "'<data>'"}], "number": 3}


def test_a_folder_given_as_a_relative_path_is_found_both_ways(tmp_path):
    folder = tmp_path / "project" / "notebooks"
    texts = ["../../study/007", f"{tmp_path}/study/007", "../../studying"]
    told = without_places(texts, {"data": "../../study"}, folder)
    assert told == ["<data>/007", "<data>/007", "../../studying"]


def test_what_lies_in_the_project_keeps_its_relative_path(tmp_path):
    folder = tmp_path / "project" / "notebooks"
    texts = ["../data/007", f"{tmp_path}/project/data/007"]
    told = without_places(texts, {"data": "../data"}, folder)
    assert told == ["../data/007", "<project>/data/007"]


def test_home_and_python_have_their_words(tmp_path):
    texts = [f"{Path.home()}/x", f"{sys.prefix}/lib/numpy", "/homely", f"x{Path.home()}"]
    told = without_places(texts, {}, tmp_path / "project" / "notebooks")
    assert told == ["<home>/x", "<python>/lib/numpy", "/homely", f"x{Path.home()}"]


def test_pictures_stay_as_they_are(tmp_path):
    picture = {"image/png": f"iVBOR+{Path.home()}+", "text/plain": f"{Path.home()}"}
    told = without_places(picture, {}, tmp_path / "project" / "notebooks")
    assert told == picture | {"text/plain": "<home>"}
