"""Dates as people and cameras write them, alone or inside the name of a file."""

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass

# The first years of digital retinal cameras; an earlier date is told, it may be a date of birth.
EARLIEST = datetime.date(1980, 1, 1)

_MONTHS = {
    word: number
    for number, words in enumerate(
        (
            "jan january januar januari janvier enero gennaio janeiro",
            "feb february februar februari février fevrier fév febrero febbraio fevereiro",
            "mar march mär märz maerz maart mrt mars marzo março",
            "apr april avril avr abril abr aprile",
            "may mai mei mayo maggio maio",
            "jun june juni juin junio giugno giu junho",
            "jul july juli juillet juil julio luglio lug julho",
            "aug august augustus août aout agosto",
            "sep sept september septembre septiembre settembre setembro",
            "oct october okt oktober octobre octubre ottobre ott outubro",
            "nov november novembre noviembre novembro",
            "dec december dez dezember décembre diciembre dic dicembre dezembro",
        ),
        start=1,
    )
    for word in words.split()
}
_MONTH = rf"(?<![^\W\d_])(?P<word>{'|'.join(sorted(_MONTHS, key=len, reverse=True))})"
_HOUR, _MINUTE = r"(?P<hour>[01]\d|2[0-3])", r"(?P<minute>[0-5]\d)"
_SECOND = r"(?P<second>[0-5]\d)(?:[.,]\d{1,6})?"
_ZONE = r"(?:Z|[+-]\d{2}:?\d{2})?(?!\d)"
# The forms of a time that follows a date. Four digits alone are a time only after a T.
_CLOCKS = [
    re.compile(clock, re.IGNORECASE)
    for clock in (
        rf"[T _-]{_HOUR}{_MINUTE}{_SECOND}{_ZONE}",
        rf" +(?P<twelve>\d{{1,2}}):{_MINUTE}(?::{_SECOND})? ?(?P<half>[ap])\.?m\.?(?!\w)",
        rf"(?:T| +|_|-){_HOUR}[-:.h]{_MINUTE}(?:[-:.m]{_SECOND})?{_ZONE}",
        rf"T{_HOUR}{_MINUTE}{_ZONE}",
        rf"{_HOUR}{_MINUTE}(?:{_SECOND})?{_ZONE}",
    )
]
_YEAR = r"(?P<year>(?:19|20)\d{2})"
# The forms of a date, in the order in which they are looked for. Between `_` or spaces, day and
# month have two digits, because a single digit is more often a number of its own.
_FORMS = (
    r"(?P<year>\d{4})(?P<between>[-./])(?P<month>\d{1,2})(?P=between)(?P<day>\d{1,2})",
    r"(?P<year>\d{4})(?P<between>[_ ])(?P<month>\d{2})(?P=between)(?P<day>\d{2})",
    r"(?P<year>\d{4}) ?年 ?(?P<month>\d{1,2}) ?月 ?(?P<day>\d{1,2}) ?日",
    rf"{_YEAR}[-_. ]?{_MONTH}[-_. ]?(?P<day>\d{{1,2}})",
    rf"(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[-_. ]*(?:de )?{_MONTH}(?: de)?[-_., ]*{_YEAR}",
    rf"{_MONTH}[-_. ]*(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[-_., ]+{_YEAR}",
    rf"{_YEAR}(?P<month>0[1-9]|1[0-2])(?P<day>0[1-9]|[12]\d|3[01])",
    rf"(?P<first>\d{{1,2}})(?P<between>[-./])(?P<second_number>\d{{1,2}})(?P=between){_YEAR}",
    rf"(?P<first>\d{{2}})(?P<between>[_ ])(?P<second_number>\d{{2}})(?P=between){_YEAR}",
    r"(?P<first>\d{1,2})(?P<between>[-./])(?P<second_number>\d{1,2})(?P=between)(?P<short>\d{2})",
)
_PATTERNS = [re.compile(rf"(?<!\d){form}", re.IGNORECASE) for form in _FORMS]
_COMPACT = _PATTERNS[6]  # a time may follow it without anything between


@dataclass(frozen=True)
class FoundDate:
    """A date that stands in a text.

    Attributes
    ----------
    text : str
        The part of the text that was read.
    start, end : int
        Where this part begins and ends.
    date : date or None
        None if the part looks like a date and cannot be read as one; `problem` says why.
    time : time or None
    problem : str
    """

    text: str
    start: int
    end: int
    date: datetime.date | None
    time: datetime.time | None
    problem: str


def find_dates(text: str, order: str = "") -> list[FoundDate]:
    """Find every date in a text, in the order in which they stand there.

    A number is a date only if it has eight digits and begins with a year (20190528), so the number
    of a patient or of an image is seldom taken for one.

    Parameters
    ----------
    text : str
    order : {"", "day", "month"}
        Which number comes first in dates like 03/04/2019. If it is not known, such a date has a
        `problem`. With dots (03.04.2019) the day comes first, as it is everywhere written.

    Examples
    --------
    >>> [str(found.date) for found in find_dates("Roe_OS_20190528_101500 of 3.6.2020")]
    ['2019-05-28', '2020-06-03']
    """
    found: list[FoundDate] = []
    left = text
    for pattern in _PATTERNS:
        for match in pattern.finditer(left):
            clocks = _CLOCKS if pattern is _COMPACT else _CLOCKS[:-1]
            clock = next(filter(None, (each.match(left, match.end()) for each in clocks)), None)
            digits_go_on = clock is None and re.match(r"\d|(?:\.\d+){2}", left[match.end() :])
            if digits_go_on or re.search(r"(?:\d+\.){3}$", left[: match.start()]):
                continue  # part of a longer number
            one = _read(match, clock, order)
            if one is not None:
                found.append(one)
                left = f"{left[: one.start]}{'|' * (one.end - one.start)}{left[one.end :]}"
    return sorted(found, key=lambda one: one.start)


def read_date(text: str, order: str = "") -> datetime.date | None:
    """Read a text that is a date and nothing else, like 2019-05-28; None if it is not.

    See `find_dates` for `order`, and for the forms that are understood.

    Examples
    --------
    >>> read_date("28 May 2019")
    datetime.date(2019, 5, 28)
    >>> read_date("03/04/2019") is None
    True
    """
    found = look_at_date(text, order)
    return found and found.date


def look_at_date(text: str, order: str = "") -> FoundDate | None:
    """Read a text that is a date and nothing else; see `find_dates` for `order`.

    None if the text does not even look like a date.
    """
    text = re.sub(r"^'|(?<=\d\d\d\d)\.0$|\.$", "", text.strip())  # as spreadsheets and pandas add
    found = find_dates(text, order)
    whole = len(found) == 1 and (found[0].start, found[0].end) == (0, len(text))
    return found[0] if whole else None


def read_time(text: str) -> datetime.time | None:
    """Read a time of the day like 10:15, 10:15:30 or 101530; None if the text is not one.

    Examples
    --------
    >>> read_time("10:15")
    datetime.time(10, 15)
    """
    form = (
        r"T?(?P<hour>\d{1,2})[:.h]?(?P<minute>\d{2})(?:[:.m]?(?P<second>\d{2})(?:[.,]\d+)?)?s?"
        r"(?: ?(?P<half>[ap])\.?m\.?)?"
    )
    match = re.fullmatch(form, text.strip(), re.IGNORECASE)
    return _time_of(match) if match else None


def order_of_dates(texts: Iterator[str] | list[str]) -> str:
    """Find out from the dates of one column which number comes first in 03/04/2019.

    One date like 28/05/2019 tells it for the whole column, because one program wrote it.

    Parameters
    ----------
    texts : iterable of str

    Returns
    -------
    {"", "day", "month"}
        Empty if no date tells it, or if two dates contradict each other.

    Examples
    --------
    >>> order_of_dates(["03/04/2019", "5/28/2019"])
    'month'
    """
    orders = set()
    for text in texts:
        match = re.match(r"(\d{1,2})([-/_ ])(\d{1,2})\2(?:19|20)\d{2}(?!\d)", text.strip())
        if match and max(first := int(match[1]), int(match[3])) > 12:
            orders.add("day" if first > 12 else "month")
    return orders.pop() if len(orders) == 1 else ""


def doubt_of_date(date: datetime.date, today: datetime.date | None = None) -> str:
    """Say why a date is hardly that of a visit: it lies before 1980, or after `today`."""
    if date < EARLIEST:
        return f"the date lies before {EARLIEST.year}"
    if date > (today or datetime.date.today()):
        return "the date lies in the future"
    return ""


def _read(match: re.Match[str], clock: re.Match[str] | None, order: str) -> FoundDate | None:
    parts = {key: value for key, value in match.groupdict().items() if value is not None}
    text, problem, date = match[0], "", None
    if "short" in parts:
        if not _possible(parts):
            return None
        problem = f"the year of {text!r} has two digits"
    elif "first" in parts:
        date, problem = _in_order(parts, text, order)
    else:
        month = int(parts["month"]) if "month" in parts else _MONTHS[parts["word"].lower()]
        date = _made(int(parts["year"]), month, int(parts["day"]))
    if date is None and not problem:
        problem = f"{text!r} is not a date (YYYY-MM-DD)"
    time = _time_of(clock) if clock else None
    end = (clock or match).end()
    return FoundDate(match.string[match.start() : end], match.start(), end, date, time, problem)


def _time_of(clock: re.Match[str]) -> datetime.time | None:
    """Return the time of a match, also of twelve hours (1:15 PM); None if there is none such."""
    parts = clock.groupdict()
    hour, half = int(parts.get("twelve") or parts["hour"]), (parts.get("half") or "").lower()
    if half:
        hour = hour % 12 + 12 * (half == "p") if 1 <= hour <= 12 else 24
    try:
        return datetime.time(hour, int(parts["minute"]), int(parts.get("second") or 0))
    except ValueError:
        return None


def _in_order(parts: dict[str, str], text: str, order: str) -> tuple[datetime.date | None, str]:
    year, first, second = (int(parts[key]) for key in ("year", "first", "second_number"))
    by_day, by_month = _made(year, second, first), _made(year, first, second)
    if by_day is None or by_month is None or by_day == by_month:
        return by_day or by_month, ""
    if parts["between"] == "." or order == "day":
        return by_day, ""
    if order == "month":
        return by_month, ""
    return None, f"{text!r} may be {by_day} or {by_month}"


def _possible(parts: dict[str, str]) -> bool:
    numbers = sorted((int(parts["first"]), int(parts["second_number"])))
    return 1 <= numbers[0] <= 12 and numbers[1] <= 31


def _made(year: int, month: int, day: int) -> datetime.date | None:
    try:
        return datetime.date(year, month, day)
    except ValueError:
        return None
