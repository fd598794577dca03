"""The page for a colleague: every eye of the data folder, no code, this machine only."""

import json
import shutil
from pathlib import Path

import nbformat
import pytest

from fundus_helpers.loading.visits import DEMO_PATIENTS
from fundus_helpers.panels.app import App
from fundus_helpers.results.notebooks import known_parameters

FOLDER = Path(__file__).parents[2] / "app"


@pytest.fixture
def data(demo, tmp_path):
    """Return a folder with both demo eyes, and one eye of a single photograph."""
    folder = tmp_path / "data"
    shutil.copytree(demo, folder)
    alone = folder / "alone"
    alone.mkdir()
    shutil.copy(sorted((folder / "demo_colour").glob("*.png"))[0], alone)
    return folder


def words_of(app):
    return app.widget.children[1].children[0].value


def test_every_eye_of_the_data_folder_can_be_chosen_and_gets_its_sliders(data, tmp_path):
    app = App(data, tmp_path / "results")
    assert {patient for _, (patient, _) in app.eye.options} == {"alone", *DEMO_PATIENTS}
    app.eye.value = ("demo_colour", "L")
    app.finish()
    assert "fundus-done" in app.tuner.panel.status.value
    app.tuner.panel.save.click()
    app.finish()
    assert (tmp_path / "results" / "demo_colour_L" / "tuned.json").exists()


def test_the_recommended_method_comes_first_and_a_chosen_one_stays_for_the_next_eye(data, tmp_path):
    app = App(data, tmp_path)
    app.eye.value = ("demo_colour", "L")
    app.finish()
    assert app.tuner.panel.method.value == "keypoints"
    app.tuner.panel.method.value = "affine"
    app.eye.value = ("demo_autofluorescence", "L")
    app.finish()
    assert app.tuner.panel.method.value == "affine"


def test_an_eye_that_cannot_be_loaded_is_said_in_words(data, tmp_path):
    app = App(data, tmp_path)
    app.eye.value = ("alone", "L")
    app.finish()
    assert "1 usable photograph, 2 are needed" in words_of(app)


def test_an_error_is_said_in_words_and_fails_a_test(data, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr("fundus_helpers.panels.app.load_eye", broken)
    app = App(data, tmp_path)
    with pytest.raises(RuntimeError, match="on fire"):
        app.finish()
    assert "RuntimeError: the disk is on fire" in words_of(app)


def test_folders_come_from_the_environment(data, tmp_path, monkeypatch):
    monkeypatch.setenv("FUNDUS_DATA", str(data))
    monkeypatch.setenv("FUNDUS_RESULTS", str(tmp_path / "there"))
    app = App()
    app.finish()
    assert app.eye.options


def test_the_page_is_one_call_stored_without_outputs():
    notebook = nbformat.read(FOLDER / "sliders.ipynb", as_version=4)
    load, parameters, call = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert load.source == "from fundus_helpers.panels.app import App"
    assert call.source == "App(data, results)"
    assert known_parameters(FOLDER / "sliders.ipynb") == {"data": "str", "results": "str"}
    assert [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])] == [
        parameters
    ]
    for cell in (load, parameters, call):
        assert cell.outputs == [] and cell.execution_count is None


def test_the_page_is_served_to_this_machine_only_with_a_token_and_fetches_nothing():
    settings = json.loads((FOLDER / "voila.json").read_text())
    assert settings["Voila"]["ip"] == "127.0.0.1" and settings["Voila"]["auto_token"] is True
    assert settings["VoilaConfiguration"]["strip_sources"] is True
    assert settings["VoilaConfiguration"]["file_allowlist"] == []
    policy = settings["Voila"]["tornado_settings"]["headers"]["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "http" not in policy and "*" not in policy
