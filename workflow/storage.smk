"""Fetch photographs from object storage and put results there, with Snakemake's storage plugin.

Between the two, eyes are run as always. docs/cluster.md gives the commands.
"""

from pathlib import Path

DATA, RESULTS = (str(config.get(name, name)) for name in ("data", "results"))
STORE = str(config["store"]).rstrip("/")  # for example s3://retina/study
# Snakemake reads 007 as a number. Several names, or one name with a comma after it, stay text.
PATIENTS = config.get("patients", "")
if not isinstance(PATIENTS, str):
    raise WorkflowError(f"patients={PATIENTS} was read as a number: write a comma behind the name")
PATIENTS = [patient for patient in PATIENTS.split(",") if patient]
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
