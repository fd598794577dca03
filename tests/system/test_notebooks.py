"""The notebooks keep their form, run on the demo eyes, and say what is true of them."""

import ast
import base64
import io
import json
import re
import shutil
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image
from small_project import lay_out, make_command
from small_project import run as run_command

from fundus_helpers.__main__ import main
from fundus_helpers.loading.demo_eye import make_demo_eye
from fundus_helpers.loading.visits import DEMO_PATIENTS
from fundus_helpers.results import reading
from fundus_helpers.results.notebooks import compares, known_parameters, registering_notebooks

PROJECT = Path(__file__).parents[2]
NOTEBOOKS = sorted(PROJECT.glob("notebooks/*.ipynb"))
REGISTERING = registering_notebooks(PROJECT / "notebooks")
COLUMNS = ["needs", "gives", "minutes", "previous", "next"]
PARAMETER = re.compile(r"[a-z_]+: (str|int|float|bool) = \S.*?  # \S.*")
# A study, and `plotting.best_and_worst`, write captions of their own.
FIGURE = re.compile(
    r"plotting\.(gallery|before_after|flows|draw_\w+|flicker_view)\(|plt\.(subplots|figure)\("
)
ERROR = "landmark_error_px"

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


def cells_of(path, kind=None):
    """Return the cells of a notebook, or those of one kind."""
    cells = nbformat.read(path, as_version=4).cells
    return [cell for cell in cells if kind in (None, cell.cell_type)]


def header_of(path):
    """Return the cells of the table in the first cell, by their column."""
    rows = [line for line in cells_of(path)[0].source.splitlines() if line.startswith("|")]
    names, _, values = ([cell.strip() for cell in row.strip("|").split("|")] for row in rows)
    return dict(zip(names, values, strict=True))


def test_programs_know_which_notebooks_register_and_which_one_compares():
    assert [name[:2] for name in REGISTERING] == ["03", "04", "05", "06", "07", "08", "09"]
    assert [path.stem[:2] for path in NOTEBOOKS if compares(path)] == ["11", "13"]


def test_there_are_notebooks_and_each_has_its_own_number():
    assert NOTEBOOKS
    assert all(re.fullmatch(r"\d\d_[a-z0-9_]+", path.stem) for path in NOTEBOOKS)
    numbers = [path.stem[:2] for path in NOTEBOOKS]
    assert numbers[0] == "01" and len(set(numbers)) == len(numbers)


@every_notebook
def test_notebook_is_valid_and_stored_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata  # their state holds photographs
    for cell in cells_of(path, "code"):
        assert cell.outputs == [] and cell.execution_count is None, cell.source


@every_notebook
def test_one_cell_holds_typed_and_explained_parameters(path):
    tagged = [cell for cell in cells_of(path) if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    lines = tagged[0].source.splitlines()
    assert [line for line in lines if not PARAMETER.fullmatch(line)] == []
    values = {}
    for node in ast.parse(tagged[0].source).body:
        values[node.target.id] = ast.literal_eval(node.value)
        assert type(values[node.target.id]).__name__ == node.annotation.id, node.target.id
    assert values["patient"] in DEMO_PATIENTS and values["laterality"] == "L"
    assert (values["data"], values["results"]) == ("../data", "../results")


@every_notebook
def test_code_cells_have_at_most_15_lines(path):
    long = [cell.source for cell in cells_of(path, "code") if len(cell.source.splitlines()) > 15]
    assert long == []


@every_notebook
def test_notebook_opens_with_title_question_and_table(path):
    title, question = cells_of(path)[0].source.split("\n\n")[:2]
    assert title.startswith("# ")
    assert re.sub("[ -]", "", title[2:].lower()) == path.stem.replace("_", "")
    assert re.fullmatch(r"\*\*[^*]+\?\*\*", question)
    header = header_of(path)
    assert list(header) == COLUMNS
    assert all(header.values())
    assert float(header["minutes"]) > 0


@every_notebook
def test_notebook_links_its_neighbours_where_they_exist(path):
    header, index = header_of(path), NOTEBOOKS.index(path)
    if index > 0:
        assert f"({NOTEBOOKS[index - 1].name})" in header["previous"]
    if index + 1 < len(NOTEBOOKS):
        assert f"({NOTEBOOKS[index + 1].name})" in header["next"]


@every_notebook
def test_relative_links_point_to_files(path):
    text = "\n".join(cell.source for cell in cells_of(path, "markdown"))
    links = re.findall(r"\]\(([^)\s#]+)", text)
    local = [link for link in links if not re.match(r"https?://", link)]
    assert [link for link in local if not (path.parent / link).exists()] == []


@every_notebook
def test_notebook_imports_at_most_twelve_names_of_ours(path):
    names = []
    for cell in cells_of(path, "code"):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Import):
                names += [a.name for a in node.names if a.name.startswith("fundus_helpers")]
            elif isinstance(node, ast.ImportFrom) and node.module.startswith("fundus_helpers"):
                names += [alias.name for alias in node.names]
    assert "fundus_helpers" in names and len(names) <= 12


@every_notebook
def test_the_article_is_named_where_it_is_spoken_of(path):
    text = "\n".join(cell.source for cell in cells_of(path, "markdown"))
    assert "O'Neill" in text or "article" not in text


@every_notebook
def test_notebook_ends_with_save_and_what_we_found(path):
    text = "\n".join(cell.source for cell in cells_of(path, "markdown"))
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings[-2:] == ["Save", "What we found"]


@every_notebook
def test_every_figure_has_a_caption(path):
    cells, bare = cells_of(path), []
    for cell, after in zip(cells, [*cells[1:], None], strict=True):
        if cell.cell_type != "code" or not FIGURE.search(cell.source):
            continue
        inside = re.search(r"caption=|with_caption\(", cell.source)
        below = (
            after and after.cell_type == "markdown" and re.match(r"\*[^*\s][^*]+\*", after.source)
        )
        if not inside and not below:
            bare.append(cell.source)
    assert bare == []


@every_notebook
def test_notebook_installs_nothing_fetches_nothing_and_stays_in_its_folder(path):
    code = "\n".join(cell.source for cell in cells_of(path, "code"))
    forbidden = r"https?://|\bpip\b|\bapt(-get)?\b|\bconda\b|chdir|%cd|sys\.path|requests|urllib|wget|curl|^\s*[!%]"
    assert re.findall(forbidden, code, re.MULTILINE) == []


def test_a_notebook_of_a_method_has_its_sliders_by_one_call():
    tuned = {}
    for notebook in NOTEBOOKS:
        code = "\n".join(cell.source for cell in cells_of(notebook, "code"))
        assert not re.search(r"ipywidgets|interact|observe\(", code), notebook.name
        tuned[notebook.stem[:2]] = len(re.findall(r"fh\.tune\(", code))
        declared = re.search(r"^tuned: str = \"{}\"", code, re.MULTILINE)
        assert bool(tuned[notebook.stem[:2]]) == bool(declared), notebook.name
    assert {tuned[number] for number in ("03", "04", "05", "06", "08", "09")} == {1}


def test_readme_lists_every_notebook():
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    rows = [line for line in readme.splitlines() if line.startswith("|")]
    for path in NOTEBOOKS:
        assert sum(f"(notebooks/{path.name})" in row for row in rows) == 1, path.name
    linked = set(re.findall(r"\(notebooks/([^)]+)\)", readme))
    assert linked <= {path.name for path in NOTEBOOKS}


# From here on the notebooks run, on small eyes of other names: the demo patients' own names stand
# for eyes of 768 pixels.


def run(folder, patient, paths, **given):
    """Run copies of notebooks for one patient; return the folder of the results."""
    copies = folder / "notebooks"
    copies.mkdir(exist_ok=True)
    given |= {"data": "../data", "results": "../results", "patient": patient}
    with pytest.MonkeyPatch.context() as patch:
        # The kernel's history stays here.
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        for path in paths:
            shutil.copy(path, copies)
            known = known_parameters(path)
            executed = folder / "results" / f"{patient}_L" / path.stem / path.name
            words = [f"{key}={value}" for key, value in given.items() if key in known]
            assert main(["run", str(copies / path.name), str(executed), *words]) == 0
    return folder / "results" / f"{patient}_L"


QUICK = "size=192 epochs=4 field_epochs=8 article_size=256"
# Of the demo eye: six visits that lie well apart, and the two that are spoilt.
VISITS = (
    "2016-03-14 2016-08-29 2017-09-18 2018-07-12 2019-04-08 2020-02-03 2021-08-16 2022-03-21"
).split()


@pytest.fixture(scope="module")
def executed(tmp_path_factory, environment):
    """Run all notebooks on a small demo eye in colour, as `make eye` does."""
    painted = make_demo_eye(tmp_path_factory.mktemp("painted"), "demo_colour", size=192)
    photographs = [painted / f"demo_colour_{date}_L.png" for date in VISITS]
    names = [path.stem for path in NOTEBOOKS]
    folder = tmp_path_factory.mktemp("colour")
    tables = [painted / name for name in ("landmarks.csv", "excluded.csv")]
    lay_out(folder, [*photographs, *tables], ["small"], names)
    command = make_command("eye", "ALL=1", "PATIENT=small", "JOBS=2", f"WITH={QUICK}")
    ran = run_command(folder, environment, *command)
    assert ran.returncode == 0, ran.stdout
    return folder / "results" / "small_L"


@pytest.fixture(scope="module")
def executed_grey(tmp_path_factory):
    """Run notebooks 01 and 03 on four visits of a small demo eye in autofluorescence."""
    folder = tmp_path_factory.mktemp("grey")
    made = make_demo_eye(folder / "data", "demo_autofluorescence", size=192)
    eye = made.rename(folder / "data" / "small")
    for photograph in sorted(eye.glob("*.png"))[4:]:
        photograph.unlink()
    paths = [path for path in NOTEBOOKS if path.stem[:2] in ("01", "03")]
    return run(folder, "small", paths, size="192", template_visit="first")


def outputs_of(results):
    """Return (notebook's name, output) for every output of every executed notebook."""
    paths = sorted(results.glob("*/*.ipynb"))
    assert paths
    return [
        (path.stem, output)
        for path in paths
        for cell in cells_of(path, "code")
        for output in cell.outputs
    ]


def mean_errors(results, notebook):
    """Return the mean landmark errors before and after, over the visits that have landmarks."""
    metrics = json.loads((results / notebook / "metrics.json").read_text())
    errors = []
    for when in ("before", "after"):
        values = [row[ERROR] for row in metrics[when].values() if row[ERROR] is not None]
        assert values
        errors.append(np.mean(values))
    return errors


def findings_of(results, notebook):
    """Return what one notebook alone found out."""
    return json.loads((results / notebook / "metrics.json").read_text())["findings"]


def strings_in(value):
    """Return every string in what a JSON file holds, keys included."""
    if isinstance(value, dict):
        return [*value, *(s for item in value.values() for s in strings_in(item))]
    if isinstance(value, list):
        return [s for item in value for s in strings_in(item)]
    return [value] if isinstance(value, str) else []


@pytest.fixture(scope="module")
def compared(executed, tmp_path_factory):
    """Run notebook 11 over six eyes: one eye's outcomes, the errors of each 1.2 times the last."""
    folder = tmp_path_factory.mktemp("cohort")
    for i in range(6):
        (folder / "data" / f"p{i}").mkdir(parents=True)
        (folder / "data" / f"p{i}" / "x_2020-01-01_L.png").touch()
        for path in executed.glob("*/metrics.json"):
            metrics = json.loads(path.read_text()) | {"patient": f"p{i}"}
            for row in metrics.get("outcomes", []):
                for key in ("predicted_error_px", "landmark_error_px", "landmark_error_before_px"):
                    row[key] = row[key] and row[key] * 1.2**i
            copy = folder / "results" / f"p{i}_L" / path.parent.name / path.name
            copy.parent.mkdir(parents=True)
            copy.write_text(json.dumps(metrics))
    paths = [path for path in NOTEBOOKS if path.stem[:2] == "11"]
    run(folder, "nobody", paths, cohort="True")
    return folder / "results" / "cohort" / "11_compare_methods"


@every_notebook
def test_every_notebook_leaves_its_metrics_and_where_they_come_from(executed, path):
    metrics = json.loads((executed / path.stem / "metrics.json").read_text())
    assert (metrics["patient"], metrics["laterality"]) == ("small", "L")
    assert metrics["provenance"]["parameters"]["size"] == 192
    reasons = {row["file"]: row["reason"] for row in metrics["left_out"]}
    assert reasons["demo_colour_2020-02-03_L.png"].startswith("excluded: another camera")


@pytest.mark.parametrize("notebook", REGISTERING)
def test_a_notebook_that_registers_tells_what_became_of_every_visit(executed, notebook):
    metrics = json.loads((executed / notebook / "metrics.json").read_text())
    visits, told = {row["visit"] for row in metrics["outcomes"]}, {}
    for row in metrics["outcomes"]:
        told.setdefault(row["method"], set()).add(row["visit"])
        assert row["verdict"] in ("accepted", "doubtful", "failed")
        assert (row["verdict"] == "accepted") == (row["reasons"] == [])
        assert row["template"] not in visits
        assert (row["ncc"] is None) == bool(row["failure"])
    rare = {name: len(each) for name, each in told.items() if each != visits}
    assert all(name.startswith("article's elastix") for name in rare)  # three visits, to save time
    assert {path.stem for path in (executed / notebook / "registered").iterdir()} - visits
    for name in ("before.jpg", "after.jpg", "flicker.gif"):
        with Image.open(executed / notebook / name) as picture:
            assert max(picture.size) == 192
    assert (executed / "08_groupwise" / "mean.png").exists()


def test_the_article_s_settings_are_told_under_their_own_names(executed):
    told = reading.read_outcomes(executed.parent, [executed.name])
    named = {name for name in told["method"] if name.startswith("article's")}
    stages = {f"article's elastix_{stage}" for stage in ("rigid", "affine", "bspline")}
    assert named == stages | {"article's rigid", "article's TV-L1", "article's network"}
    accepted = told[told["method"].isin(named)]["verdict"] == "accepted"
    assert accepted.mean() < 0.2
    assert (told[told["method"] == "keypoints"]["verdict"] == "accepted").mean() > 0.8


def test_rigid_registration_leaves_less_than_a_quarter_of_the_landmark_error(executed):
    before, after = mean_errors(executed, "03_rigid")
    assert before > 5
    assert after < before / 4


def test_a_flow_leaves_less_than_the_best_linear_transform(executed):
    before, after = mean_errors(executed, "04_optical_flow")
    assert after < before / 10
    assert after < mean_errors(executed, "03_rigid")[1]


def test_splines_leave_less_than_an_eighth_though_a_lesion_grows(executed):
    before, after = mean_errors(executed, "05_simple_elastix")
    assert after < before / 8


def test_a_group_agrees_better_than_its_visits_did(executed):
    methods = findings_of(executed, "08_groupwise")["methods"]
    error = {name: row["pairwise_landmark_error_px"] for name, row in methods.items()}
    assert error["nothing done"] > 5
    assert max(error["iterated_mean"], error["elastix_stack"]) < error["nothing done"] / 10
    assert methods["iterated_mean"]["folding"] == 0


def test_rigid_registration_does_so_in_autofluorescence_too(executed_grey):
    before, after = mean_errors(executed_grey, "03_rigid")
    assert before > 5
    assert after < before / 4


def test_keypoints_leave_little_and_know_how_little(executed):
    before, after = mean_errors(executed, "09_retinal_keypoints")
    assert after < before / 10
    verdicts = findings_of(executed, "09_retinal_keypoints")["verdicts"]
    rows = [row for row in verdicts.values() if row[ERROR] is not None]
    assert sum(row["verdict"] == "accepted" for row in rows) > 0.8 * len(rows)
    ratios = [row["predicted_error_px"] / row[ERROR] for row in rows]
    assert 0.5 < np.median(ratios) < 2
    failed = [row for row in verdicts.values() if row["verdict"] == "failed"]
    assert failed and all("keypoints agree" in row["reasons"] for row in failed)


def test_the_benchmark_runs_on_an_eye_s_own_landmarks(executed):
    metrics = findings_of(executed, "10_fire_benchmark")
    assert metrics["pairs"] == 3
    assert metrics["methods"]["keypoints"]["pooled"] > 0.95
    rows = (executed / "10_fire_benchmark" / "benchmark.csv").read_text().splitlines()
    assert len(rows) == 1 + 3 * len(metrics["methods"])


def test_the_comparison_has_every_outcome_and_calls_nobody_better_on_one_eye(executed):
    folder = executed / "11_compare_methods"
    metrics = findings_of(executed, folder.name)
    told = reading.read_outcomes(executed.parent, [executed.name])
    assert len((folder / "outcomes.csv").read_text().splitlines()) == 1 + len(told)
    assert set(metrics["methods"]) == set(told["method"]) and metrics["not_run"] == {}
    choice = metrics["methods"][metrics["taken_without_landmarks"]]
    assert choice["accepted"] == max(row["accepted"] for row in metrics["methods"].values())
    assert choice["landmark_error_px"] < metrics["medians"]["nothing done"]["median"] / 10
    assert [*metrics["in_words"]] == ["every visit", "visits that both registered"]
    for said in metrics["in_words"].values():
        assert len(said) == 8
        assert all("nobody is called better (1 eye: 6 are" in sentence for sentence in said)


def test_a_cohort_is_compared_over_its_eyes_with_intervals(executed, compared):
    alone = findings_of(executed, "11_compare_methods")
    assert json.loads((compared / "metrics.json").read_text())["patient"] is None
    metrics = findings_of(compared.parent, compared.name)
    assert metrics["eyes"] == 6
    for name, row in metrics["medians"].items():
        one = alone["medians"][name]["median"]
        assert row["eyes"] == 6
        assert one <= row["low"] <= row["median"] <= row["high"] <= one * 1.2**5 * 1.001
    for name, row in metrics["comparisons"].items():
        assert row["ratio"] == pytest.approx(alone["comparisons"][name]["ratio"])
        assert row["better on"] in (0, 6)  # the same eye six times
        assert (row["high"] < 0) == (row["better on"] == 6)
    said = [s for each in metrics["in_words"].values() for s in each if "VoxelMorph" in s]
    said = [sentence for sentence in said if "from nothing" not in sentence]
    assert len(said) == 4 and all("is better than" in sentence for sentence in said)


def test_an_eye_without_landmarks_on_which_everything_fails_is_told_as_well(
    executed, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("hard")
    shutil.copytree(executed.parents[1] / "data", folder / "data")
    (folder / "data" / "small" / "landmarks.csv").unlink()
    path = executed / "03_rigid" / "metrics.json"
    metrics = json.loads(path.read_text())
    unknown = dict.fromkeys(("predicted_error_px", "landmark_error_px", "landmark_error_before_px"))
    for row in metrics["outcomes"]:
        row |= unknown | {"verdict": "failed", "reasons": ["too dark"], "failure": "too dark"}
    copy = folder / "results" / "small_L" / "03_rigid" / path.name
    copy.parent.mkdir(parents=True)
    copy.write_text(json.dumps(metrics))
    left = run(folder, "small", [path for path in NOTEBOOKS if path.stem[:2] == "11"], size="192")
    told = findings_of(left, "11_compare_methods")
    assert told["hardest"] is None and told["medians"]["affine"]["eyes"] == 0
    assert {row["failed"] for row in told["methods"].values()} == {len(VISITS) - 2}


def test_a_comparison_without_any_outcome_says_what_to_run(executed, tmp_path, caplog):
    (path,) = (path for path in NOTEBOOKS if path.stem[:2] == "11")
    data = executed.parents[1] / "data"
    words = [f"data={data}", "patient=small", f"results={tmp_path}"]
    with pytest.MonkeyPatch.context() as patch, caplog.at_level("ERROR"):
        patch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
        patch.setenv("TQDM_DISABLE", "1")
        assert main(["run", str(path), str(tmp_path / "run.ipynb"), *words]) == 1
    assert "no outcomes of small_L: run a notebook that registers visits (03_rigid" in caplog.text


@pytest.mark.parametrize("notebook", ["06_spatial_transformer", "07_kmeans_clustering"])
def test_networks_leave_less_than_a_third_of_the_landmark_error(executed, notebook):
    before, after = mean_errors(executed, notebook)
    assert before > 5
    assert after < before / 3


def test_the_article_s_network_leaves_the_landmark_error_as_it_is(executed):
    metrics = json.loads((executed / "06_spatial_transformer" / "metrics.json").read_text())
    tables = {"before": metrics["before"]} | metrics["findings"]
    errors = {
        when: np.mean([row[ERROR] for row in tables[when].values() if row[ERROR] is not None])
        for when in ("before", "after_affine", "after_article")
    }
    assert errors["after_article"] > 0.8 * errors["before"] > 2 * errors["after_affine"]


def test_voxelmorph_does_not_fold(executed):
    metrics = json.loads((executed / "06_spatial_transformer" / "metrics.json").read_text())
    folding = [row["folding"] for row in metrics["after"].values()]
    assert max(share for share in folding if share is not None) < 1e-4


@pytest.mark.parametrize("notebook", ["03_rigid", "06_spatial_transformer", "07_kmeans_clustering"])
def test_a_notebook_takes_the_template_that_notebook_02_selected(executed, notebook):
    chosen, used = (
        json.loads((executed / name / "metrics.json").read_text())["template"]
        for name in ("02_template_selection", notebook)
    )
    assert chosen == used


def pictures_in(output):
    """Return the pictures of an output, those inside its HTML too, as base64."""
    data = output.get("data", {})
    inside = re.findall(r"data:image/(?:png|gif);base64,([\w+/=]+)", data.get("text/html", ""))
    return [data[kind] for kind in ("image/png", "image/gif") if kind in data] + inside


@pytest.mark.parametrize("eye", ["executed", "executed_grey"])
def test_every_figure_shows_something(eye, request):
    results, counts = request.getfixturevalue(eye), {}
    for name, output in outputs_of(results):
        for encoded in pictures_in(output):
            picture = Image.open(io.BytesIO(base64.b64decode(encoded)))
            pixels = np.asarray(picture.convert("L"), float)
            assert min(pixels.shape) >= 100 and pixels.std() > 5, name
            counts[name] = counts.get(name, 0) + 1
    assert set(counts) == {path.parent.name for path in results.glob("*/*.ipynb")}
    assert min(counts.values()) >= 3


@pytest.mark.parametrize("eye", ["executed", "executed_grey"])
def test_metrics_tell_no_path_of_this_machine(eye, request):
    results = request.getfixturevalue(eye)
    for path in results.glob("*/metrics.json"):
        told = strings_in(json.loads(path.read_text()))
        private = (str(results.parents[1]), str(Path.home()), "../")
        assert [s for s in told if s.startswith("/") or any(p in s for p in private)] == []


@pytest.mark.parametrize("eye", ["executed", "executed_grey"])
def test_stored_outputs_hold_no_warnings_and_no_error(eye, request):
    outputs = outputs_of(request.getfixturevalue(eye))
    spilled = [(name, o.text) for name, o in outputs if o.get("name") == "stderr"]
    assert spilled == []
    assert [name for name, output in outputs if output.output_type == "error"] == []


def test_stored_outputs_hold_no_progress_bars(executed):
    bars = [
        (name, output.data.get("text/plain"))
        for name, output in outputs_of(executed)
        if any("widget" in kind for kind in output.get("data", {}))
    ]
    assert bars == []
