"""What the header of a photograph says of its making: DICOM, or the EXIF data of other files."""

import datetime
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID

from fundus_helpers.loading.formats.dicom import load_dicom, silent, spacing_of
from fundus_helpers.loading.formats.kinds import kind_of, told
from fundus_helpers.loading.formats.pictures import (
    PLUGINS,
    exif_of_png,
    exif_of_webp,
    opened_by_pillow,
    orientation_in,
)

_DATES = (
    *(("AcquisitionDateTime", ""), ("AcquisitionDate", "AcquisitionTime")),
    *(("ContentDate", "ContentTime"), ("SeriesDate", "SeriesTime"), ("StudyDate", "StudyTime")),
)
_SIDES = {"L": "L", "LEFT": "L", "OS": "L", "R": "R", "RIGHT": "R", "OD": "R"}
# What kind of photograph it is, by words; the first that is found counts.
_MODALITIES = (
    ("OCT", r"\boct\b|tomograph|optical coherence"),
    ("autofluorescence", r"auto[- ]?fluor|\bb?g?faf\b|\b(blue|green)?[- ]?af\b"),
    ("angiography", r"angiogra|fluorescein|indocyanine|\bicga?\b|\bffa\b|\bfa\b"),
    ("infrared", r"infra[- ]?red|\b(n?ir|near[- ]ir)\b"),
    ("red-free", r"red[- ]?free|green (optical )?filter"),
    ("multicolour", r"multi[- ]?colou?r"),
    ("colour", r"\b(true )?colou?r\b|\bcfp\b|\brgb\b"),
)
_CODES = (
    *("AcquisitionDeviceTypeCodeSequence", "IlluminationTypeCodeSequence"),
    *("LightPathFilterTypeStackCodeSequence", "ImagePathFilterTypeStackCodeSequence"),
    *("ChannelDescriptionCodeSequence", "ProcedureCodeSequence", "RequestedProcedureCodeSequence"),
)
_WORDS = ("SeriesDescription", "ProtocolName", "AcquisitionProtocolDescription", "ImageType")
# Tags of EXIF: when it was taken or digitised, and by what.
_EXIF, _TAKEN, _DIGITISED, _MAKE, _MODEL = 0x8769, 0x9003, 0x9004, 0x010F, 0x0110


@dataclass(frozen=True)
class PhotographHeader:
    """What a header says; None where it does not say it.

    Attributes
    ----------
    date : datetime.date or None
        When the photograph was taken.
    time : datetime.time or None
        The time of day, if the same entry or its companion gives it.
    laterality : {"L", "R"} or None
        The left or the right eye.
    mm_per_pixel : float or None
        Mean of the height and the width of a pixel.
    modality : str or None
        ``colour``, ``multicolour``, ``autofluorescence``, ``angiography``, ``infrared``,
        ``red-free`` or ``OCT``.
    camera : str or None
        Manufacturer and model.
    patient_key : str or None
        SHA-256 of the patient's identifier: only to compare files, never to be shown.
    note : str
        What was done to the photograph because of its header, in plain words, or empty.
    """

    date: datetime.date | None = None
    time: datetime.time | None = None
    laterality: str | None = None
    mm_per_pixel: float | None = None
    modality: str | None = None
    camera: str | None = None
    patient_key: str | None = None
    note: str = ""


def read_header(path: Path | str) -> PhotographHeader:
    """Read what the header of a photograph says of its making.

    Parameters
    ----------
    path : path
        Any file that `loading.read_photograph` reads: DICOM, also without preamble; of other files
        the EXIF data. No pixel is read. Entries that are damaged or empty are None.

    Returns
    -------
    PhotographHeader

    Raises
    ------
    UnusableImageError
        If the file is missing, damaged or of a kind that is not read.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from fundus_helpers.loading.header import read_header
    >>> exif = Image.Exif()
    >>> exif.get_ifd(0x8769)[0x9003] = "2019:05:28 10:15:00"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "IMG_0001.JPG")
    ...     Image.new("RGB", (60, 40)).save(file, exif=exif)
    ...     read_header(file).date
    datetime.date(2019, 5, 28)
    """
    path = Path(path)
    kind = told(path, lambda: kind_of(path))
    if kind == "DICOM":
        return told(path, lambda: _dicom_header(load_dicom(path, pixels=False)), kind)
    if kind not in (*PLUGINS, "WebP"):
        return PhotographHeader()
    return told(path, lambda: _exif_header(path, kind), kind)


@silent()
def _dicom_header(dataset: Dataset) -> PhotographHeader:
    date, time = _date_and_time(dataset)
    spacing = spacing_of(dataset)
    identifier = _text(dataset, "PatientID")
    key = hashlib.sha256(identifier.encode("utf-8", "replace")).hexdigest() if identifier else None
    return PhotographHeader(
        date=date,
        time=time,
        laterality=_laterality(dataset),
        mm_per_pixel=sum(spacing) / 2 if spacing else None,
        modality=_modality(dataset),
        camera=_camera(_text(dataset, "Manufacturer"), _text(dataset, "ManufacturerModelName")),
        patient_key=key,
    )


def _text(dataset: Dataset, keyword: str) -> str:
    """Return an element as text, empty if it is missing, empty or damaged."""
    try:
        value = dataset.get(keyword)
    except Exception:  # pydicom converts the value here, and damaged ones raise anything
        return ""
    values = value if isinstance(value, MultiValue | list) else [value]
    return " ".join(str(each) for each in values if each is not None).strip(" \0")


def _date_and_time(dataset: Dataset) -> tuple[datetime.date | None, datetime.time | None]:
    for day, clock in _DATES:
        text = _text(dataset, day)
        digits = re.match(r"(\d{4})[.-]?(\d\d)[.-]?(\d\d)(.*)", text)
        if not digits:
            continue
        try:
            date = datetime.date(*map(int, digits.groups()[:3]))
        except ValueError:
            continue
        return date, _time(digits[4] if clock == "" else _text(dataset, clock))
    return None, None


def _time(text: str) -> datetime.time | None:
    found = re.match(r"\s*(\d\d):?(\d\d)?:?(\d\d)?", text)
    numbers = [int(number or 0) for number in found.groups()] if found else [99]
    try:
        return datetime.time(*numbers)
    except ValueError:
        return None


def _laterality(dataset: Dataset) -> str | None:
    for source in _with_frames(dataset):
        for keyword in ("ImageLaterality", "Laterality", "FrameLaterality"):
            side = _SIDES.get(_text(source, keyword).upper())
            if side:
                return side
    return None


def _with_frames(dataset: Dataset) -> Iterator[Dataset]:
    """Yield the header, then the anatomy that the frames of enhanced DICOM carry."""
    yield dataset
    for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in (dataset.get(name) or [])[:1]:
            yield from (group.get("FrameAnatomySequence") or [])[:1]


def _modality(dataset: Dataset) -> str | None:
    words = [UID(_text(dataset, "SOPClassUID")).name, *(_text(dataset, name) for name in _WORDS)]
    for name in _CODES:
        words += [_text(item, "CodeMeaning") for item in dataset.get(name) or []]
    modality = _modality_in(" ".join(words))
    if modality is None and _text(dataset, "Modality") in ("OPT", "OCT"):
        return "OCT"
    if modality is None and _text(dataset, "Modality") == "OP":
        return "colour" if _text(dataset, "SamplesPerPixel") == "3" else None
    return modality


def _modality_in(words: str) -> str | None:
    text = words.lower().replace("_", " ")
    return next((name for name, pattern in _MODALITIES if re.search(pattern, text)), None)


def _camera(make: str, model: str) -> str | None:
    # Models often begin with their maker's name.
    whole = model if model.lower().startswith(make.lower()) else f"{make} {model}"
    return " ".join(whole.split()) or None


def _exif_header(path: Path, kind: str) -> PhotographHeader:
    if kind in ("WebP", "PNG"):
        exif = exif_of_webp(path) if kind == "WebP" else exif_of_png(path)
        return _header_of_exif(exif, exif.get_ifd(_EXIF))
    with opened_by_pillow(path, PLUGINS[kind]) as image:
        exif = image.getexif()
        return _header_of_exif(exif, exif.get_ifd(_EXIF))


def _header_of_exif(exif: Image.Exif, inner: Mapping[int, object]) -> PhotographHeader:
    text = str(inner.get(_TAKEN) or inner.get(_DIGITISED) or exif.get(_TAKEN) or "")
    make, model = (str(exif.get(tag) or "").strip(" \0") for tag in (_MAKE, _MODEL))
    orientation = orientation_in(exif)
    found = re.match(r"(\d{4})[:.-](\d\d)[:.-](\d\d)[ T]?(.*)", text)
    note = f"turned by its orientation tag ({orientation})" if orientation > 1 else ""
    try:
        date = datetime.date(*map(int, found.groups()[:3])) if found else None
    except ValueError:
        date = None
    time = _time(found[4]) if date else None
    return PhotographHeader(date, time, camera=_camera(make, model), note=note)
