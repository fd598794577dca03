"""Every numbered notebook for every eye: one rule, run in the order the notebooks need each other.

`make demo`, `make eye` and `make cohort` call this. A run is whole when its metrics.json is there;
the executed notebook is its log, so that it is kept, traceback and all, when it fails.
"""

import os
from functools import cache
from itertools import product
from pathlib import Path

from fundus_helpers.notebooks import COMPARISON, REGISTERING, known_parameters
from fundus_helpers.provenance import code_version
from fundus_helpers.tuned import tuned_parameter, tuned_path
from fundus_helpers.visits import EyeError, cohort_eyes, list_visits

DATA = str(config.get("data", "data"))
RESULTS = os.path.normpath(str(config.get("results", "results")))
EVERY = {path.stem: path for path in sorted(Path("notebooks").glob("[0-9][0-9]_*.ipynb"))}
KNOWN = {name: known_parameters(path) for name, path in EVERY.items()}
# Whose metrics.json a notebook reads: every one that takes a template may ask 02 for it, and the
# comparison compares what there is.
TEMPLATE = "02_template_selection"
NEEDS = {
    name: [TEMPLATE]
    for name, known in KNOWN.items()
    if "template_visit" in known and name != TEMPLATE
}


def chosen(given):
    """The notebooks of a run, by number or name, and those they need; none given: every one."""
    words = [f"{word:0>2}" for word in str(given).split()]
    names = {name for name in EVERY if not words or name in words or name[:2] in words}
    if unknown := [word for word in words if not any(word in (n, n[:2]) for n in EVERY)]:
        raise WorkflowError(f"no notebook {unknown}; there are {[*EVERY]}")
    return sorted(names.union(*(NEEDS.get(name, []) for name in names)))


NOTEBOOKS = chosen(config.get("notebooks", ""))
NEEDS[COMPARISON] = [name for name in NOTEBOOKS if name in REGISTERING]

# What is given on the command line (--config size=512) goes to every notebook that knows it.
OF_THE_RUN = ("data", "results", "notebooks", "part")
GIVEN = {key: str(value) for key, value in config.items() if key not in OF_THE_RUN}
if unknown := [key for key in GIVEN if not any(key in known for known in KNOWN.values())]:
    accepted = sorted(set().union(*KNOWN.values()))
    raise WorkflowError(f"no notebook has a parameter {unknown}; there are {accepted}")
# Notebooks run in their own folder.
GIVEN["data"] = os.path.relpath(DATA, "notebooks")
GIVEN["results"] = os.path.relpath(RESULTS, "notebooks")


wildcard_constraints:
    patient="[^/]+",
    laterality="[^/_]+",
    notebook="|".join(EVERY),


@cache
def eye_files(patient, laterality):
    folder = Path(DATA, patient)
    try:
        files = list_visits(DATA, patient, laterality)["file"]
    except EyeError:  # the notebook will say why
        return []
    return [str(folder / file) for file in files] + [*map(str, sorted(folder.glob("*.csv")))]


def photographs(wildcards):
    """The files of the eye: one more, one less or one changed runs it again, and no other."""
    return eye_files(wildcards.patient, wildcards.laterality)


def stamps(wildcards):
    """Sizes and times of the photographs: one replaced by an older file is a change, too."""
    found = [os.stat(path) for path in photographs(wildcards)]
    return [f"{each.st_size} {each.st_mtime:.0f}" for each in found]


def metrics_files(wildcards, notebooks):
    eye = f"{RESULTS}/{wildcards.patient}_{wildcards.laterality}"
    return [f"{eye}/{notebook}/metrics.json" for notebook in notebooks]


def known_to(notebook, named):
    """What a notebook knows of named parameters, in words for it."""
    return sorted(f"{key}={value}" for key, value in named.items() if key in KNOWN[notebook])


def parameters(wildcards):
    """What the notebook knows of the eye, of what the sliders saved, and of the command line."""
    eye = wildcards.patient, wildcards.laterality
    named = dict(zip(("patient", "laterality"), eye))
    named |= tuned_parameter(tuned_path(RESULTS, *eye), GIVEN) | GIVEN
    return known_to(wildcards.notebook, named)


# Bounds of a notebook, with a margin over what nine photographs of 2912 px took; a second attempt
# (profiles/slurm) has twice as much.
def memory(wildcards, input, attempt):
    return attempt * (3000 + 50 * len(input))  # MB


def minutes(wildcards, input, attempt):
    return attempt * (30 + 2 * len(input))


@cache
def eyes(part="1/1"):
    """Found when asked for: a job on a cluster is about one eye, and reads this file too."""
    return cohort_eyes(DATA, part) if os.path.isdir(DATA) else []


@cache
def left_by_methods():
    """What methods have left of the eyes so far."""
    each = product(eyes(), NEEDS[COMPARISON])
    files = (f"{RESULTS}/{patient}_{side}/{name}/metrics.json" for (patient, side), name in each)
    return [path for path in files if os.path.exists(path)]


onstart:
    # Limited to so many jobs a second, Snakemake 9.27 looks at all jobs once more every second for
    # each that has ended: after some hundred a core does nothing else. JOBS is limit enough.
    workflow.scheduler.job_rate_limiter = None


# A change of the helpers runs again what used them.
CODE = code_version()
# Nothing half-written stays, not even of a notebook whose process was killed.
RUN_NOTEBOOK = (
    "python -m fundus_helpers.warm_start run fundus_helpers.headless "
    "{input.notebook:q} {log:q} {params.given:q}"
    " || (find \"$(dirname {log:q})\" -name '.part-*' -delete; exit 1)"
)


rule cohort:
    input:
        lambda wildcards: [
            f"{RESULTS}/{patient}_{laterality}/report.html"
            for patient, laterality in eyes(str(config.get("part", "1/1")))
        ],


# Asked for after the cohort and with no other rule allowed, so that an eye that failed keeps no
# other from being compared, and nothing is registered for it.
rule compared:
    input:
        lambda wildcards: (
            f"{RESULTS}/cohort/{COMPARISON}/metrics.json"
            if COMPARISON in EVERY and left_by_methods()
            else []
        ),


rule comparison:
    input:
        lambda wildcards: left_by_methods(),
        notebook=f"notebooks/{COMPARISON}.ipynb",
    output:
        f"{RESULTS}/cohort/{COMPARISON}/metrics.json",
    log:
        f"{RESULTS}/cohort/{COMPARISON}/{COMPARISON}.ipynb",
    params:
        given=lambda wildcards: known_to(COMPARISON, GIVEN | {"cohort": "True"}),
        code=CODE,
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (3000 + len(input) // 10),
        runtime=lambda wildcards, attempt: 60 * attempt,  # minutes
    shell:
        RUN_NOTEBOOK


rule report:
    input:
        lambda wildcards: metrics_files(wildcards, NOTEBOOKS),
    output:
        f"{RESULTS}/{{patient}}_{{laterality}}/report.html",
    priority: 1  # an eye is finished before another is begun
    resources:
        mem_mb=2000,
        runtime=10,
    shell:
        "python -m fundus_helpers.warm_start run fundus_helpers.report eye {output:q}"


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
        files=stamps,
        code=CODE,
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
        "LOKY_MAX_CPU_COUNT={threads} " + RUN_NOTEBOOK
