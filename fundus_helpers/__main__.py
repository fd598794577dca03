"""The command line: ``fundus COMMAND ...``, or ``python -m fundus_helpers COMMAND ...``.

The functions below only read arguments and write results. Each function imports what it needs when
it is called, so that ``fundus --help`` answers at once.
"""

import argparse
import logging
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

log = logging.getLogger("fundus_helpers")
SCREEN = logging.StreamHandler()  # shows only the message, without time and level

EPILOG = """examples:
  fundus register 2019.jpg 2024.jpg registered   register two photographs; results in registered/
  fundus check data 007 L                        count the usable photographs of a left eye
  fundus summary results 007_L                   show the results of all notebooks for this eye

Use make to run notebooks on whole eyes and cohorts: see `make help`.
"""


def register(options: argparse.Namespace) -> int:
    """Register two photographs. Return 1 if the verdict is that the registration failed."""
    from fundus_helpers.results.pair import register_pair

    done, written = register_pair(options.fixed, options.moving, options.folder, options.method)
    summary = done.verdict.summary(done.factor)
    words = [summary["verdict"], *summary["reasons"]]
    if done.transform is not None:
        words.append(f"predicted error {summary['predicted_error_px']} px")
    names = ", ".join(path.name for path in written)
    sys.stdout.write(f"{'; '.join(words)}\nwritten into {options.folder}: {names}\n")
    return 0 if done.transform is not None else 1


def check(options: argparse.Namespace) -> int:
    """Say how many photographs of an eye can be used, or raise an error if they are too few."""
    from fundus_helpers.loading.eye_error import EyeError
    from fundus_helpers.loading.visits.eyes import list_eye, too_few

    eye = options.patient, options.laterality
    listing = list_eye(options.data, *eye)
    visits = listing.visits
    if visits["used"].sum() < options.fewest:
        raise EyeError(too_few(visits, *eye, options.fewest))
    count = f"{visits['used'].sum()} of {len(visits)} files can be used, judged by their names"
    told = [f"{row.file}: {row.reason or row.note}" for row in visits.itertuples() if not row.used]
    told += listing.remarks
    told += [f"{row.file}: {row.note}" for row in visits.itertuples() if row.used and row.note]
    lines = "\n  ".join([f"{options.patient} {options.laterality}: {count}", *told])
    sys.stderr.write(f"{lines}\n")
    return 0


def visits(options: argparse.Namespace) -> int:
    """Write a first table of visits for a person to correct."""
    from fundus_helpers.loading.visits.first_table import write_visit_table

    path, rows, doubtful = write_visit_table(options.data)
    sys.stdout.write(
        f"{path}: {rows} photographs, {doubtful} rows with a question mark\n"
        "Correct these rows in a spreadsheet and save the table as CSV. Rows with a question mark "
        "are left out. From now on the table decides, and names count no more.\n"
    )
    return 0


def atrophy(options: argparse.Namespace) -> int:
    """Run notebook 12 on one eye, and say what it found. Return 1 if nothing could be measured."""
    import fundus_helpers
    from fundus_helpers.atrophy import tell_growth
    from fundus_helpers.loading.visits.folder import refuse_patient
    from fundus_helpers.results.notebooks import ATROPHY_NOTEBOOK

    if why := refuse_patient(options.patient):
        raise ValueError(why)
    notebooks = Path(fundus_helpers.__file__).resolve().parent.parent / "notebooks"
    eye = f"{options.patient}_{options.laterality}"
    given = {
        "data": options.data.resolve(),
        "patient": options.patient,
        "laterality": options.laterality,
        "results": options.results.resolve(),
        "ellipse": options.ellipse,
        "fovea": options.fovea,
        "first_free": options.first_free,
        "mm_per_pixel": options.mm_per_pixel,
        "template_visit": options.template,
        "size": options.size,
    }
    options.notebook = notebooks / f"{ATROPHY_NOTEBOOK}.ipynb"
    if not options.notebook.is_file():
        raise FileNotFoundError(
            f"the notebook {options.notebook.name} is not installed: run this in a clone of the "
            "project, in the environment that `make install` has made"
        )
    options.executed = options.results / eye / ATROPHY_NOTEBOOK / options.notebook.name
    options.parameters = [f"{name}={value}" for name, value in given.items()]
    if status := run(options):
        return status
    words, measured = tell_growth(options.executed.parent)
    sys.stdout.write(f"{words}\n")
    return 0 if measured else 1


def summary(options: argparse.Namespace) -> int:
    """Show a table with the results of every notebook for every eye."""
    from fundus_helpers.results.report import tell_results

    _need_results(options.results)
    sys.stdout.write(f"\n{tell_results(options.results, options.eyes)}\n")
    return 0


def report(options: argparse.Namespace) -> int:
    """Write the report of one eye."""
    from fundus_helpers.results.report import write_eye_report

    write_eye_report(options.page)
    return 0


def stack(options: argparse.Namespace) -> int:
    """Write all registered photographs of an eye into one file for ImageJ."""
    from fundus_helpers.results.report import write_stack

    sys.stdout.write(f"{write_stack(options.folder)}\n")
    return 0


def pdf(options: argparse.Namespace) -> int:
    """Print the report of an eye to a PDF beside it."""
    from fundus_helpers.results.report import write_pdf

    sys.stdout.write(f"{write_pdf(options.page)}\n")
    return 0


def cohort(options: argparse.Namespace) -> int:
    """Write the report and the tables of a cohort, and list what failed."""
    from fundus_helpers.results.cohort import report_name, tell_unfinished, write_cohort_report

    _need_results(options.results)
    table = write_cohort_report(options.data, options.results, options.part)
    page = options.results / f"{report_name(options.part)}.html"
    sys.stdout.write(f"\n{tell_unfinished(table)}\nreport: {page}\n")
    return 0


def plan(options: argparse.Namespace) -> int:
    """Say what a cohort would run. Snakemake's summary is read from standard input."""
    from fundus_helpers.runs import plan

    to_run = plan.pending([] if sys.stdin.isatty() else sys.stdin)
    seconds, runs = plan.seconds_of("notebooks", options.results, to_run)
    stated = "the times that the notebooks state for the demo eye at 768 px"
    source = f"{runs} earlier runs" if runs else stated
    visits = plan.plan_eyes(options.data, options.part)
    sys.stdout.write(
        f"{plan.tell(visits, to_run, seconds, options.jobs)}, estimated from {source}\n"
    )
    return 0


def pseudonyms(options: argparse.Namespace) -> int:
    """Make the folder of links, print the pseudonym of a patient, or check a results folder."""
    from fundus_helpers.runs import pseudonyms

    pseudonyms.check_results(options.results, pseudonymous=options.what != "plain")
    if options.what == "plain":
        return 0
    key = pseudonyms.read_key(pseudonyms.key_path(), away_from=(options.data, options.results))
    if options.what == "name":
        sys.stdout.write(pseudonyms.pseudonym(key, options.patient) + "\n")
        return 0
    patients = pseudonyms.make_view(options.data, options.view, key)
    sys.stderr.write(f"{len(patients)} patients under pseudonyms\n")
    return 0


def benchmark(options: argparse.Namespace) -> int:
    """Run methods on the pairs of a folder and print a table of their results."""
    from fundus_helpers.loading.pair_table import read_any_pairs
    from fundus_helpers.methods import METHODS
    from fundus_helpers.runs import fire_benchmark, peers

    pairs = read_any_pairs(options.folder, with_wrong=True)
    methods = options.methods or [*METHODS, *peers.installed()]
    table = fire_benchmark.run_benchmark(pairs, methods, options.out, jobs=options.jobs)
    formatted = fire_benchmark.tabulate(table).to_string(float_format="{:.3f}".format)
    sys.stdout.write(formatted + f"\n\nresults of every pair: {options.out}\n")
    return 0


def run(options: argparse.Namespace) -> int:
    """Run one notebook without opening it. Return 1 if a cell fails, and 2 if it cannot start."""
    from papermill.exceptions import PapermillExecutionError

    from fundus_helpers.runs.headless import run_notebook
    from fundus_helpers.runs.left import about_how_long, how_much_is_left

    logging.getLogger("papermill").setLevel(logging.WARNING)
    given = dict(item.partition("=")[::2] for item in options.parameters)
    what = f"{given.get('patient', '')} {given.get('laterality', '')} {options.notebook.stem}"
    # If a scheduler, for example, ends this process, the kernel ends too, and no incomplete file
    # stays.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(f"ENDED  {what}: by a signal"))
    log.info("begun  %s%s", what, about_how_long(options.notebook, options.executed))
    start = time.perf_counter()
    try:
        run_notebook(options.notebook, options.executed, given)
    except PapermillExecutionError as error:
        log.error("FAILED %s: %s: %s", what, error.ename, error.evalue)
        return 1
    except (ValueError, OSError) as error:
        log.error("FAILED %s: %s", what, error)
        return 2
    log.info("done   %s in %.0f s%s", what, time.perf_counter() - start, how_much_is_left())
    return 0


def _need_results(folder: Path) -> None:
    if not folder.is_dir():
        raise FileNotFoundError(f"no results in {folder.name!r}: nothing has been run yet")


# The arguments of every command in their order: (name or flag, settings).
PART = (
    "--part",
    {"default": "1/1", "metavar": "3/100", "help": "every 100th eye from the 3rd (default: all)"},
)
DATA = ("data", {"type": Path, "help": "folder with one folder per patient"})
RESULTS = ("results", {"type": Path, "help": "folder of all results"})
PAGE = ("page", {"type": Path, "help": "the report: <results>/<patient>_<L|R>/report.html"})
COMMANDS = {
    register: [
        ("fixed", {"type": Path, "help": "photograph that stays as it is"}),
        ("moving", {"type": Path, "help": "photograph that is brought onto the fixed one"}),
        ("folder", {"type": Path, "help": "folder for transform, photograph and verdict"}),
        ("--method", {"default": "keypoints", "help": "name of a method (default: keypoints)"}),
    ],
    check: [
        DATA,
        ("patient", {"help": "name of the patient's folder"}),
        ("laterality", {"help": "L (left) or R (right)"}),
        ("--fewest", {"type": int, "default": 2, "help": "photographs needed (default: 2)"}),
    ],
    visits: [DATA],
    atrophy: [
        DATA,
        ("patient", {"help": "name of the patient's folder"}),
        ("laterality", {"choices": ("L", "R"), "help": "L (left) or R (right)"}),
        RESULTS,
        ("--ellipse", {"default": "", "help": '"x y a b angle" of the template: all is inside'}),
        ("--fovea", {"default": "", "help": '"x y", in pixels of the template\'s photograph'}),
        ("--first-free", {"action": "store_true", "help": "the first visit has no atrophy"}),
        ("--mm-per-pixel", {"type": float, "default": 0.0, "help": "of the template's photograph"}),
        ("--template", {"default": "first", "help": "first, last, or the name of a visit"}),
        ("--size", {"type": int, "default": 768, "help": "longer side of the images, in pixels"}),
    ],
    summary: [RESULTS, ("eyes", {"nargs": "*", "help": "names like 007_L; default: every eye"})],
    report: [PAGE],
    stack: [("folder", {"type": Path, "help": "results of the eye: <results>/<patient>_<L|R>"})],
    pdf: [PAGE],
    cohort: [DATA, RESULTS, PART],
    plan: [
        DATA,
        RESULTS,
        PART,
        ("--jobs", {"type": int, "default": 1, "help": "notebooks that run at the same time"}),
    ],
    pseudonyms: [],
    benchmark: [
        ("folder", {"type": Path, "help": "folder of FIRE, or with pairs.csv"}),
        ("out", {"type": Path, "help": "CSV file of the results; those in it are kept"}),
        (
            "--methods",
            {
                "nargs": "*",
                "default": [],
                "help": "names (default: all methods and installed peers)",
            },
        ),
        ("--jobs", {"type": int, "default": -1, "help": "processes (default: one per core)"}),
    ],
    run: [
        ("notebook", {"type": Path, "help": "notebook to run"}),
        ("executed", {"type": Path, "help": "path for the executed notebook with its outputs"}),
        ("parameters", {"nargs": "*", "metavar": "name=value", "help": "parameters to change"}),
    ],
}
HELP = {
    register: "register two photographs of an eye and judge the result",
    check: "count the usable photographs of an eye, judged by the names of the files",
    visits: "write a first table of visits (visits.csv) from names, folders and headers",
    atrophy: (
        "follow the atrophy of one eye: areas, growth, the onset map and outlines in the folder "
        "12_atrophy of its results (runs notebook 12, like `make atrophy`)"
    ),
    summary: "show the results of every notebook for all or some eyes",
    report: "write the report of one eye from the results of its notebooks (used by make)",
    stack: "write registered.tif: all registered photographs in order of their dates, for ImageJ",
    pdf: "print the report of one eye to a PDF beside it (needs Chromium, Chrome or Edge)",
    cohort: "write the report and the tables of all eyes (used by make)",
    plan: (
        "say what a cohort would run, what is left out and why, and how long it would take "
        "(called by `make cohort-dry`; reads Snakemake's summary from standard input)"
    ),
    pseudonyms: "replace the names of patients by pseudonyms",
    benchmark: "test methods and other programs (peers) on FIRE or other pairs",
    run: "run one notebook without opening it (used by make)",
}
PSEUDONYMS = {
    "view": (
        "make a folder of links to the photographs, named by pseudonyms (used by make)",
        ("data", "view", "results"),
    ),
    "name": ("print the pseudonym of one patient", ("patient", "data", "results")),
    "plain": (
        "check that results contain no pseudonyms, before a run without them (used by make)",
        ("results",),
    ),
}


PLACES = {
    "data": "folder with one folder per patient",
    "view": "folder for the links",
    "results": "folder of all results",
    "patient": "name of the patient's folder",
}


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fundus",
        description="Register photographs of the retina, visit after visit.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for function, arguments in COMMANDS.items():
        words = HELP[function]
        made = commands.add_parser(function.__name__, help=words, description=_sentence(words))
        made.set_defaults(function=function)
        for name, settings in arguments:
            made.add_argument(name, **settings)
        if function is pseudonyms:
            kinds = made.add_subparsers(required=True, metavar="WHAT", dest="what")
            for kind, (explained, names) in PSEUDONYMS.items():
                inner = kinds.add_parser(kind, help=explained, description=_sentence(explained))
                for name in names:
                    inner.add_argument(name, help=PLACES[name])
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        None means the arguments of the process.

    Returns
    -------
    int
        0 for success; 1 if a registration or a notebook failed; 2 if the command could not start.
        The reason is written to standard error.
    """
    SCREEN.stream = sys.stderr
    log.setLevel(logging.INFO)
    log.addHandler(SCREEN)
    options = _parser().parse_args(arguments)
    try:
        return options.function(options)
    except (ValueError, OSError) as error:
        log.error("%s", error)
        return 2


if __name__ == "__main__":
    sys.exit(main())
