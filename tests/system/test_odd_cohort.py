"""A cohort with every fault that files, names and tables really have: each stops only itself."""

import os
import shutil
import struct
import time
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import odd_files
import pandas as pd
import pytest
from PIL import Image
from skimage.io import imread
from small_project import NOTEBOOKS, lay_out, make_command, run

from fundus_helpers.loading.demo_eye import make_demo_eye
from fundus_helpers.loading.visits.folder import printable

DATES = ("2019-05-28", "2020-06-02", "2021-07-15")


def bomb(path):
    """Write the header of a picture of 60000 x 60000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)


def cut(path):
    """Cut a file short."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def convert(folder, suffix, **options):
    """Replace the photographs of a folder by the same ones of another kind."""
    for path in folder.glob("*.png"):
        Image.open(path).convert("RGB").save(path.with_suffix(suffix), **options)
        path.unlink()


def as_grey(folder, change):
    """Replace the photographs of a folder by changed grey ones of 16 bits."""
    for path in folder.glob("*.png"):
        Image.fromarray(change(imread(path)[..., 1].astype(np.uint16))).save(path)


def rename(folder, *names):
    """Give the photographs of a folder other names."""
    for path, name in zip(sorted(folder.glob("*.png")), names, strict=True):
        path.rename(folder / name)


def turned(folder):
    """Save a photograph on its side, with the tag that turns it back."""
    path = min(folder.glob("*.png"))
    tag = Image.Exif()
    tag[0x0112] = 6  # turn by 90 degrees clockwise
    Image.open(path).transpose(Image.Transpose.ROTATE_90).save(path, exif=tag)


def one_bit(path):
    Image.fromarray(imread(path)[..., 1] > 99).save(path)


def without_rows(path):
    """Write a DICOM file that does not say how many rows it has."""
    odd_files.dicom(path, odd_files.GREY, Rows=None)


def unknown_syntax(path):
    odd_files.dicom(path, odd_files.GREY)
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.9.9.9\0"))


def ahead(folder):
    """Let a photograph be of tomorrow."""
    os.utime(min(folder.glob("*.png")), (time.time() + 86400,) * 2)


def landmarks(folder, text, encoding="utf-8"):
    (folder / "landmarks.csv").write_text(text, encoding=encoding)


FIRST, SECOND = (f"eye_{date}_L.png" for date in DATES[:2])
HEAD = "fixed_file;moving_file;fixed_x;fixed_y;moving_x;moving_y;comment\n"
MORE = f"eye_{'2022-01-01'}_L"  # a photograph more, which is the bad one
# Patients who have two good photographs at least, whatever else lies there.
HEALTHY = {
    "007": lambda folder: None,
    "1e5": ahead,
    "Jane Roe": turned,
    "it's [a] $x & ü": lambda folder: bomb(folder / f"{MORE}.png"),
    "-dash": lambda folder: (folder / f"{MORE}.png").write_text("no picture"),
    "linked": lambda folder: (folder / f"{MORE}.png").symlink_to("nowhere"),
    "braces": lambda folder: shutil.copy(folder / FIRST, folder / "eye {x}_2022-01-01_L.png"),
    "tab": lambda folder: shutil.copy(folder / FIRST, folder / "eye\t_2022-01-01_L.png"),
    "bytes": lambda folder: shutil.copy(
        folder / FIRST, folder / os.fsdecode(b"eye\xff_2022-01-01_L.png")
    ),
    "pipe": lambda folder: os.mkfifo(folder / f"{MORE}.png"),
    "one folder": lambda folder: (folder / f"{MORE}.png").mkdir(),
    "cut": lambda folder: cut(folder / f"eye_{DATES[2]}_L.png"),
    "one bit": lambda folder: one_bit(folder / f"eye_{DATES[2]}_L.png"),
    "rows": lambda folder: without_rows(folder / f"{MORE}.dcm"),
    "syntax": lambda folder: unknown_syntax(folder / f"{MORE}.dcm"),
    "twelve bits": lambda folder: as_grey(folder, lambda grey: grey << 4),
    "jpegs": lambda folder: convert(folder, ".jfif", format="jpeg", quality=95),
    "webp": lambda folder: convert(folder, ".webp", lossless=True),
    "semicolons": lambda folder: landmarks(
        folder, f"{HEAD}{FIRST};{SECOND};48,5;40;48,5;40;x\n{FIRST};gone.png;1;2;3;4;y\n", "utf-16"
    ),
    "no landmarks": lambda folder: landmarks(folder, ""),
    "copies": lambda folder: (
        shutil.copytree(folder, folder / "@eaDir")
        and shutil.copy(folder / FIRST, folder / f"Copy of {FIRST}")
    ),
    "other names": lambda folder: rename(
        folder, "Roe_OS_20190528.png", "Roe-left 28.05.2020.png", "x_l_2021-05-28T101500.png"
    ),
    "excluded": lambda folder: (folder / "excluded.csv").write_text(f"file;reason\n{FIRST};blink"),
}


def only_first(folder):
    """Leave one photograph."""
    for path in sorted(folder.glob("*.png"))[1:]:
        path.unlink()


def blacken(folder):
    for path in folder.glob("*.png"):
        Image.fromarray(np.zeros_like(imread(path))).save(path)


def empty(folder):
    for path in folder.glob("*.png"):
        path.unlink()


def spoil(folder):
    for path in folder.glob("*.png"):
        cut(path)


# Patients of whom nothing can be registered, and words of the reason.
FAULTY = {
    "single": (only_first, "2 are needed"),
    "dark": (blacken, "black"),
    "spoilt": (spoil, "2 are needed"),
    "nameless": (
        lambda folder: rename(folder, "IMG_0001.png", "IMG_0002.png", "IMG_0003.png"),
        "visits.csv",
    ),
    "nothing": (empty, "no photograph"),
    "{x}": (lambda folder: None, "{ or }"),
    "tab\tand\nline": (lambda folder: None, "control character"),
    os.fsdecode(b"M\xfcller"): (lambda folder: None, "UTF-8"),
}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory, environment):
    """Run template selection on a cohort of healthy and faulty patients."""
    demo = make_demo_eye(tmp_path_factory.mktemp("demo"), size=96)
    photographs = sorted(demo.glob("*.png"))[: len(DATES)]
    folder = lay_out(tmp_path_factory.mktemp("o"), [], [*HEALTHY, *FAULTY], NOTEBOOKS[:1])
    data = folder / "data"
    faults = HEALTHY | {name: fault for name, (fault, _) in FAULTY.items()}
    for patient, fault in faults.items():
        for path, date in zip(photographs, DATES, strict=True):
            shutil.copy(path, data / patient / f"eye_{date}_L.png")
        fault(data / patient)
    (data / "nowhere").symlink_to("gone")
    (data / "elsewhere").symlink_to(data / "007")
    (data / "lost_2019-05-28_L.png").write_bytes(photographs[0].read_bytes())
    settings = [f"NOTEBOOKS={NOTEBOOKS[0][:2]}", "JOBS=2", "WITH=size=96"]
    planned = run(folder, environment, *make_command("cohort-dry", *settings))
    ran = run(folder, environment, *make_command("cohort", *settings))
    table = pd.read_csv(folder / "results" / "cohort.csv", dtype={"patient": str})
    again = run(folder, environment, *make_command("cohort", *settings))
    return SimpleNamespace(
        planned=planned, ran=ran, again=again, table=table, results=folder / "results"
    )


def test_exactly_the_healthy_are_done(cohort):
    done = cohort.table[cohort.table["state"] == "done"]
    assert {*done["patient"]} == {*HEALTHY}
    for patient in HEALTHY:
        assert (cohort.results / f"{patient}_L" / "report.html").exists()
        assert (cohort.results / f"{patient}_L" / NOTEBOOKS[0] / "metrics.json").exists()


@pytest.mark.parametrize("patient", [*FAULTY, "nowhere", "elsewhere"], ids=ascii)
def test_every_fault_is_told_with_a_reason(cohort, patient):
    words = FAULTY[patient][1] if patient in FAULTY else "link"
    rows = cohort.table[cohort.table["patient"] == printable(patient)]
    assert len(rows) and (rows["state"] != "done").all()
    assert rows["reason"].str.contains(words, regex=False).all(), rows["reason"].tolist()
    assert not (cohort.results / f"{patient}_L" / "report.html").exists()


def test_the_run_says_that_some_failed_and_tells_each_at_the_end(cohort):
    assert cohort.ran.returncode != 0
    assert "Traceback" not in cohort.ran.stdout
    told = [line for line in cohort.ran.stdout.splitlines() if "FAILED" in line]
    for patient in ("single", "dark", "spoilt"):
        assert any(line.startswith(f"{patient}_L") for line in told)


def test_the_plan_counts_all_and_names_what_is_left_out(cohort):
    assert cohort.planned.returncode == 0, cohort.planned.stdout
    for words in ("{ or }", "UTF-8", "leads nowhere"):
        assert words in cohort.planned.stdout


def test_the_next_run_tries_only_what_failed(cohort):
    tried = [line for line in cohort.again.stdout.splitlines() if line.startswith("done ")]
    assert tried == [] and cohort.again.returncode != 0
    assert cohort.again.stdout.count("lies ahead") == 1


def test_what_was_left_out_of_a_healthy_eye_is_told(cohort):
    left_out = cohort.table.groupby("patient")["left_out"].sum()
    for patient in ("-dash", "cut", "one bit", "linked", "braces", "tab", "bytes", "rows"):
        assert left_out[patient] == 1, patient
    assert Path(cohort.results / "cohort.html").exists()
