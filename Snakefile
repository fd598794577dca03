"""Every numbered notebook for every eye: one rule, run in the order the notebooks need each other.

`make demo`, `make eye` and `make cohort` call this. A run is whole when its metrics.json is there;
the executed notebook is its log, so that it is kept, traceback and all, when it fails.
"""

import os
from pathlib import Path

from fundus_helpers.demo_eye import PATIENTS as DEMO_PATIENTS
from fundus_helpers.headless import known_parameters
from fundus_helpers.images import SUFFIXES
from fundus_helpers.results import code_version
from fundus_helpers.tuned import tuned_parameter, tuned_path
from fundus_helpers.visits import find_eyes

DATA = str(config.get("data", "data"))
RESULTS = str(config.get("results", "results"))
NOTEBOOKS = {path.stem: path for path in sorted(Path("notebooks").glob("[0-9][0-9]_*.ipynb"))}
KNOWN = {name: known_parameters(path) for name, path in NOTEBOOKS.items()}
# Whose metrics.json a notebook reads: every one that takes a template may ask 02 for it.
TEMPLATE = "02_template_selection"
NEEDS = {
    name: [TEMPLATE]
    for name, known in KNOWN.items()
    if "template_visit" in known and name != TEMPLATE
}

# What is given on the command line (--config size=512) goes to every notebook that knows it.
GIVEN = {key: str(value) for key, value in config.items() if key not in ("data", "results")}
if unknown := [key for key in GIVEN if not any(key in known for known in KNOWN.values())]:
    accepted = sorted(set().union(*KNOWN.values()))
    raise WorkflowError(f"no notebook has a parameter {unknown}; there are {accepted}")
# Notebooks run in their own folder.
GIVEN["data"] = os.path.relpath(DATA, "notebooks")
GIVEN["results"] = os.path.relpath(RESULTS, "notebooks")


wildcard_constraints:
    patient="[^/]+",
    laterality="[^/_]+",
    notebook="|".join(NOTEBOOKS),


def photographs(wildcards):
    """The files of the eye's folder: one more, one less or one changed runs the eye again."""
    folder = Path(DATA, wildcards.patient)
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    visible = [path for path in files if not path.name.startswith(".")]
    return [str(path) for path in visible if path.suffix.lower() in (*SUFFIXES, ".csv")]


def metrics_files(wildcards, notebooks):
    eye = f"{RESULTS}/{wildcards.patient}_{wildcards.laterality}"
    return [f"{eye}/{notebook}/metrics.json" for notebook in notebooks]


def parameters(wildcards):
    """What the notebook knows of the eye, of what the sliders saved, and of the command line."""
    known, eye = KNOWN[wildcards.notebook], (wildcards.patient, wildcards.laterality)
    named = dict(zip(("patient", "laterality"), eye))
    named |= tuned_parameter(tuned_path(RESULTS, *eye), GIVEN) | GIVEN
    return [f"{key}={value}" for key, value in named.items() if key in known]


# Bounds of a notebook, with a margin over what nine photographs of 2912 px took; a second attempt
# (profiles/slurm) has twice as much.
def memory(wildcards, input, attempt):
    return attempt * (3000 + 50 * len(input))  # MB


def minutes(wildcards, input, attempt):
    return attempt * (30 + 2 * len(input))


rule cohort:
    input:
        [
            f"{RESULTS}/{patient}_{laterality}/report.html"
            for patient, laterality in (find_eyes(DATA) if Path(DATA).is_dir() else [])
            if patient not in DEMO_PATIENTS
        ],


rule report:
    input:
        lambda wildcards: metrics_files(wildcards, NOTEBOOKS),
    output:
        f"{RESULTS}/{{patient}}_{{laterality}}/report.html",
    resources:
        mem_mb=2000,
        runtime=10,
    shell:
        "python -m fundus_helpers.report eye {output:q}"


rule notebook:
    input:
        lambda wildcards: metrics_files(wildcards, NEEDS.get(wildcards.notebook, [])),
        photographs,
        notebook="notebooks/{notebook}.ipynb",
    output:
        f"{RESULTS}/{{patient}}_{{laterality}}/{{notebook}}/metrics.json",
    log:
        f"{RESULTS}/{{patient}}_{{laterality}}/{{notebook}}/{{notebook}}.ipynb",
    params:
        given=parameters,
        code=code_version(),  # a change of the helpers runs again what used them
    benchmark:
        f"{RESULTS}/{{patient}}_{{laterality}}/{{notebook}}/benchmark.tsv"
    # Most of a notebook runs on one core, so that many notebooks at a time are the faster way.
    threads: int(os.environ.get("THREADS", 1))
    resources:
        mem_mb=memory,
        runtime=minutes,
    # Snakemake itself tells BLAS and OpenMP, which torch follows; these ask by other names.
    shell:
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS={threads} OPENCV_FOR_THREADS_NUM={threads} "
        "LOKY_MAX_CPU_COUNT={threads} "
        "python -m fundus_helpers.headless {input.notebook:q} {log:q} {params.given:q}"
