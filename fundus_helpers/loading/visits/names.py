"""What the names of files and folders say of a photograph: its date, its time and its eye."""

import datetime
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fundus_helpers.loading.eye_error import EyeError
from fundus_helpers.loading.visits.dates import (
    EARLIEST,
    FoundDate,
    find_dates,
    look_at_date,
)

# The name of a visit's file without its ending, for example: anything_2019-05-28_L
PATTERN = r".+_(?P<date>[^_]+)_(?P<laterality>[LR])"
LATERALITIES = ("L", "R")

# Words for an eye. Those of `_PLAIN_WORDS` mean nothing else; the others are told where they are
# read, because they may also be a part of a person's name.
_PLAIN_WORDS = {
    **dict.fromkeys(("l", "os", "left", "lefteye"), "L"),
    **dict.fromkeys(("r", "od", "right", "righteye"), "R"),
}
_OTHER_WORDS = {
    **dict.fromkeys(
        ("sin", "sinister", "sinistra", "sinistro", "sx", "links", "linkes", "左", "左眼"), "L"
    ),
    **dict.fromkeys(
        ("gauche", "og", "izquierdo", "izquierda", "izq", "oi", "esquerdo", "oe", "lefte"), "L"
    ),
    **dict.fromkeys(("dex", "dext", "dexter", "dextra", "destro", "dx", "rechts", "rechtes"), "R"),
    **dict.fromkeys(("droit", "droite", "derecho", "derecha", "direito", "右", "右眼"), "R"),
}
# Hyphens and dashes of typesetting, which programs write where people mean a hyphen.
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212"), "-")
_ABBREVIATED = re.compile(r"(?<![^\W\d_])(o)\.? ?([sdu])\.(?![^\W\d_])", re.IGNORECASE)  # O.S.
_CAPITALS = {"LE": "L", "RE": "R"}  # as words in small letters they mean too much else
_BOTH = {"ou", "both", "binocular", "beide", "odos", "osod", "lr", "rl"}
# Words of subfolders that may hold photographs, apart from dates and words for an eye.
# Words, without a plural s, of folders that hold something else, whatever else their names say.
_NO_PHOTOGRAPHS = set(
    "mask label annotation segmentation segmented truth groundtruth result registered overlay "
    "outline old backup trash thumbnail".split()
)
_FOLDER_WORDS = re.compile(
    r"(?:visit|visite|baseline|follow-?up|fu|v|m|month|monat|year|jahr|y|t|day|tag|week|exam|session"
    r"|photos?|photographs?|images?|pictures?|bilder|fotos?|fundus|retina|dicom|dcm|oct|colou?r|cfp"
    r"|faf|af|autofluorescence|ir|infrared|redfree|red-free|topcon|heidelberg|zeiss|canon|nidek"
    r"|optos|eye|auge|originals?|raw|export|study|series|st|se)?[-_ .]?[\d.]*",
    re.IGNORECASE,
)
MODALITIES = {
    **dict.fromkeys(("colour", "color", "cfp", "rgb"), "colour"),
    **dict.fromkeys(("faf", "af", "autofluorescence", "bluaf"), "autofluorescence"),
    **dict.fromkeys(("ir", "infrared"), "infrared"),
    **dict.fromkeys(("redfree", "red-free", "rf"), "red-free"),
    **dict.fromkeys(("fa", "ffa", "icg", "icga", "angiography"), "angiography"),
}


@dataclass(frozen=True)
class Name:
    """What a name says.

    Attributes
    ----------
    date : date or None
    time : time or None
    laterality : {"L", "R", ""}
    problem : str
        Why the name cannot be read, although it says something; empty if there is no reason.
    note : str
        What a person should look at, although the name can be read.
    """

    date: datetime.date | None = None
    time: datetime.time | None = None
    laterality: str = ""
    problem: str = ""
    note: str = ""


def read_name(stem: str, folders: Sequence[str] = (), *, pattern: str = PATTERN) -> Name:
    """Read the date, the time and the eye from the name of a file.

    A name like ``anything_2019-05-28_L`` is read by this rule alone. In any other name the parts
    may stand in any order, and folders may say what the name does not.

    Parameters
    ----------
    stem : str
        Name of the file without its ending.
    folders : sequence of str
        The folders between the patient's folder and the file, the outer one first.
    pattern : str
        Another rule: see `loading.list_visits`. If it is given, no other name is read.

    Raises
    ------
    EyeError
        If the pattern cannot be used.

    Examples
    --------
    >>> read_name("Roe_OS_20190528")
    Name(date=datetime.date(2019, 5, 28), time=None, laterality='L', problem='', note='')
    >>> read_name("IMG_0001", ["28.05.2019", "right eye"]).laterality
    'R'
    """
    stem = unicodedata.normalize("NFC", stem).translate(_DASHES)
    if pattern != PATTERN:
        return _by_pattern(stem, folders, pattern)
    found = re.fullmatch(PATTERN, stem)
    if found and re.fullmatch(r"\d{4}-\d{1,2}-\d{1,2}", found["date"]):
        look = look_at_date(found["date"])
        own = Name(look.date, None, found["laterality"], _in_name(look.problem))
    else:
        own = _by_words(stem)
        if found and own.date is None and not own.problem:
            problem = f"{found['date']!r} in the name is not a date (YYYY-MM-DD)"
            own = Name(None, None, found["laterality"], problem)
    return _with_folders(own, folders)


def read_laterality(text: str) -> str:
    """Read a word for an eye (L, R, OS, OD, left, right in any case); empty if it is none.

    Examples
    --------
    >>> read_laterality("OS"), read_laterality("right"), read_laterality("OU")
    ('L', 'R', '')
    """
    if text.strip().upper() in _CAPITALS:
        return _CAPITALS[text.strip().upper()]
    sides, _, both = _sides(text)
    return sides.pop() if len(sides) == 1 and not both else ""


def says_both_eyes(text: str) -> bool:
    """Whether a text means both eyes at once, like OU."""
    sides, _, both = _sides(text)
    return bool(both) or len(sides) == 2


def is_folder_of_photographs(name: str) -> bool:
    """Whether a folder below a patient's may hold photographs: it says a date, an eye or a visit.

    Photographs in other folders (masks, old, truth) are told and left out.
    """
    words = re.findall(r"[^\W\d_]+", name.lower())
    if any(word.removesuffix("s") in _NO_PHOTOGRAPHS for word in words):
        return False
    if any(found.date for found in find_dates(name)) or _FOLDER_WORDS.fullmatch(name.strip()):
        return True
    sides, _, both = _sides(name)
    return bool(sides or both)


def is_no_patient(name: str) -> bool:
    """Whether a folder in the place of a patient's is named by nothing but a date or an eye."""
    look = look_at_date(name)
    words = re.findall(r"[^\W_]+", name.lower())
    eyes = {*_PLAIN_WORDS, *_BOTH} - {"l", "r"} | {"eye", "eyes"}
    return bool(look and look.date) or bool(words and set(words) <= eyes)


def read_modality(stem: str, folders: Sequence[str] = ()) -> str:
    """Read the modality from the name of a file, then from its folders; empty if none says it.

    Words of two letters (AF, IR) count in folders only: in the name of a file they may be initials.

    Examples
    --------
    >>> read_modality("Roe_2019-05-28_L_FAF"), read_modality("IMG_1", ["2019-05-28", "IR"])
    ('autofluorescence', 'infrared')
    """
    for shortest, name in ((3, stem), *((2, folder) for folder in reversed(folders))):
        for word in re.findall(r"[a-z]+(?:-free)?", name.lower()):
            if word in MODALITIES and len(word) >= shortest:
                return MODALITIES[word]
    return ""


def laterality_of_patient_folder(name: str) -> str:
    """Read the eye from the name of a patient's folder, from unmistakable words only."""
    words = {word for word in re.findall(r"[a-z]+", name.lower()) if len(word) > 1}
    sides = {_PLAIN_WORDS[word] for word in words if word in _PLAIN_WORDS}
    return sides.pop() if len(sides) == 1 else ""


def fitting_pattern(stems: Sequence[str]) -> str:
    r"""Find a pattern that reads all of some names that `read_name` cannot; empty if none does.

    Parameters
    ----------
    stems : sequence of str
        Names of files without their endings.

    Examples
    --------
    >>> fitting_pattern(["pL190528x", "pR190611x"])
    ''
    >>> fitting_pattern(["scanL2019-05-28b", "scanR2019-06-11b"])
    '.*?(?P<laterality>OD|OS|[LR]).*?(?P<date>\\d{4}-\\d\\d-\\d\\d).*'
    """
    eye = "(?P<laterality>OD|OS|[LR])"
    dates = (r"\d{4}-\d\d-\d\d", r"\d{4}_\d\d_\d\d", r"(?:19|20)\d{6}", r"\d\d\.\d\d\.\d{4}")
    for date in (f"(?P<date>{form})" for form in dates):
        for candidate in (f".*?{eye}.*?{date}.*", f".*?{date}.*?{eye}.*"):
            names = [_by_pattern(stem, (), candidate) for stem in stems]
            if names and all(name.date and name.laterality for name in names):
                return candidate
    return ""


def _by_pattern(stem: str, folders: Sequence[str], pattern: str) -> Name:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise EyeError(f"PATTERN {pattern!r} is not a regular expression: {error}") from error
    if not {"date", "laterality"} & {*compiled.groupindex}:
        raise EyeError(
            f"PATTERN {pattern!r} has no group for the date or the eye; write for example "
            r"(?P<laterality>[LR])-(?P<date>\d{4}-\d{2}-\d{2})"
        )
    found = compiled.fullmatch(stem) or compiled.fullmatch("/".join([*folders, stem]))
    if not found:
        return Name(
            problem="the name does not fit PATTERN; change PATTERN so that it fits this name, too"
        )
    groups: Mapping[str, str | None] = found.groupdict()
    problem, look = "", None
    if groups.get("date") is not None:
        look = look_at_date(groups["date"])
        if look is None or look.date is None:
            problem = _in_name(look.problem if look else f"{groups['date']!r} is not a date")
    laterality = read_laterality(groups.get("laterality") or "")
    if groups.get("laterality") and not laterality:
        problem = problem or f"{groups['laterality']!r} in the name is no eye (L or R)"
    time = look and look.time
    own = Name(look and look.date, time, laterality, problem)
    return _with_folders(own, folders if not (own.date and laterality) else ())


def _by_words(stem: str) -> Name:
    dates = find_dates(stem)
    left = stem
    for one in dates:
        left = f"{left[: one.start]}{'|' * (one.end - one.start)}{left[one.end :]}"
    chosen, problem, note = _one_date(dates)
    sides, words, both = _sides(left)
    if both or len(sides) == 2:
        said = repr(both) if both else " and ".join(map(repr, words))
        return Name(
            chosen and chosen.date, None, "", f"the name says both eyes ({said}); an eye is L or R"
        )
    laterality = next(iter(sides), "")
    odd = [word for word in words if word.lower() not in _PLAIN_WORDS]
    if odd and laterality:
        note = _joined(note, f"eye {laterality} read from {odd[0]!r} in the name")
    return Name(chosen and chosen.date, chosen and chosen.time, laterality, _in_name(problem), note)


def _one_date(dates: list[FoundDate]) -> tuple[FoundDate | None, str, str]:
    """Choose the date of the visit among those in a name; return it, a problem and a note."""
    good = [one for one in dates if one.date]
    if len({one.date for one in good}) > 1:
        good = [one for one in good if EARLIEST <= one.date <= datetime.date.today()]
        if len({one.date for one in good}) != 1:
            several = " and ".join(repr(one.text) for one in dates if one.date)
            return None, f"several dates, {several},", ""
        return good[0], "", "another date in the name is not taken for that of the visit"
    if good:
        return good[0], "", ""
    return None, next((one.problem for one in dates), ""), ""


def _with_folders(own: Name, folders: Sequence[str]) -> Name:
    """Take from the folders, the innermost first, what the name itself does not say."""
    date, time, laterality, note, problem = (
        own.date,
        own.time,
        own.laterality,
        own.note,
        own.problem,
    )
    for folder in reversed(folders):
        said = _by_words(folder)
        if said.laterality and laterality and said.laterality != laterality:
            problem = problem or (
                f"the name says eye {laterality}, the folder {folder!r} says {said.laterality}"
            )
        if said.date and date and said.date != date:
            note = _joined(note, f"the folder {folder!r} says another date")
        if said.date and not date and not problem:
            date, time = said.date, time or said.time
        laterality = laterality or said.laterality
    if date is None and not problem:  # one folder each for the year, the month and the day
        nested = find_dates("/".join(folders))
        date = nested[0].date if len(nested) == 1 else None
    return Name(date, time, laterality, problem, note)


def _sides(text: str) -> tuple[set[str], list[str], str]:
    """Return the eyes that a text names, the words that name them, and a word for both eyes."""
    sides, words = set(), []
    text = _ABBREVIATED.sub(r"\1\2 ", text)
    for match in re.finditer(r"[^\W\d_]+", text):
        for word, whole in _split(match[0]):
            before, after = text[: match.start()][-1:], text[match.end() :][:1]
            alone = whole and not (before.isdigit() or after.isdigit())
            if whole and word.lower() in _BOTH:
                return sides, words, word
            side = _PLAIN_WORDS.get(word.lower()) or _OTHER_WORDS.get(word.lower())
            if len(word) == 1 or word.lower() in _OTHER_WORDS:
                side = side if alone else None
            if side is None and alone:
                side = _CAPITALS.get(word)
            if side:
                sides.add(side)
                words.append(word)
    return sides, words, ""


def _split(word: str) -> list[tuple[str, bool]]:
    """Split a word at its inner capitals (LeftEye, FundusOD); True marks a whole word."""
    inner = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", word)
    if len(inner) < 2 or word.lower() in _PLAIN_WORDS:
        return [(word, True)]
    return [(part, False) for part in inner if len(part) > 1]


def _in_name(problem: str) -> str:
    """Put the words "in the name" behind the quoted part of a problem."""
    return re.sub(r"^((?:the year of )?'[^']*'|several dates, .*,)", r"\1 in the name", problem)


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)
