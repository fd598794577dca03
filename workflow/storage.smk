"""Fetch photographs from object storage and put results there, with Snakemake's storage plugin.

Between the two, eyes are run as always. docs/cluster.md gives the commands.
"""

from pathlib import Path

# Snakemake reads 007 as a number. Here, names are text as they were given.
TEXTS = {key: str(value) for key, value in config.items()}
TEXTS |= dict(entry.partition("=")[::2] for entry in workflow.config_settings.config_args or [])
DATA, RESULTS = (TEXTS.get(name, name) for name in ("data", "results"))
STORE = TEXTS["store"].rstrip("/")  # for example s3://retina/study
PATIENTS = [patient for patient in TEXTS.get("patients", "").split(",") if patient]
EYES = [path.parent.name for path in sorted(Path(RESULTS).glob("*/report.html"))]


rule fetch:
    input:
        [f"{DATA}/{patient}" for patient in PATIENTS],


rule keep:
    input:
        [storage(f"{STORE}/results/{eye}.tar") for eye in EYES],


rule patient:
    input:
        storage(f"{STORE}/data/{{patient}}"),
    output:
        directory(f"{DATA}/{{patient}}"),
    shell:
        "cp --recursive --preserve=timestamps {input:q} {output:q}"


rule eye:
    input:
        f"{RESULTS}/{{eye}}/report.html",
    output:
        storage(f"{STORE}/results/{{eye}}.tar"),
    shell:
        "tar --create --file {output:q} --directory {RESULTS:q} {wildcards.eye:q}"
