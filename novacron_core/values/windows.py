"""Times of the week at which something is allowed: `22:00-06:00`, `sat,sun 00:00-24:00; mon-fri 20:00-05:30`."""

from __future__ import annotations

import re
from datetime import datetime

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES = 24 * 60
_WEEK_MINUTES = 7 * _DAY_MINUTES
_PART = re.compile(r"(?:(?P<days>[a-z,\- ]+?) +)?(?P<begin>\d{1,2}:\d{2}) *- *(?P<end>\d{1,2}:\d{2})")
FORM = "22:00-06:00, or sat,sun 00:00-24:00; mon-fri 20:00-05:30"


def parse_windows(text: str) -> list[tuple[int, int]]:
    """The windows as (first minute of the week, length in minutes); empty for an empty text. One that ends before it begins
    ends on the next day. Raises ValueError with a sentence for what is no window."""
    found = []
    if text.strip() and not text.strip("; "):
        raise ValueError(f"{text.strip()!r} is no window: write {FORM}")
    for part in filter(None, (each.strip() for each in text.lower().split(";"))):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is no window: write {FORM}")
        begin, end = _minute(match["begin"]), _minute(match["end"])
        if begin in (_DAY_MINUTES, end):
            raise ValueError(f"{part!r} is no window: it never begins, or never ends")
        length = (end - begin) % _DAY_MINUTES or _DAY_MINUTES
        found += [(day * _DAY_MINUTES + begin, length) for day in _days(match["days"])]
    return found


def is_open(windows: list[tuple[int, int]], at: datetime) -> bool:
    """Whether a time, in the time zone of the windows, is in one of them. Without windows it always is."""
    minute = at.weekday() * _DAY_MINUTES + at.hour * 60 + at.minute
    return not windows or any((minute - begin) % _WEEK_MINUTES < length for begin, length in windows)


def _minute(text: str) -> int:
    hour, _, minute = text.partition(":")
    found = int(hour) * 60 + int(minute)
    if int(minute) > 59 or found > _DAY_MINUTES:
        raise ValueError(f"{text} is no time of a day")
    return found


def _days(text: str | None) -> list[int]:
    if not text:
        return list(range(7))
    found = set[int]()
    for part in text.split(","):
        first, dash, last = (each.strip() for each in part.partition("-"))
        if first not in _DAYS or (dash and last not in _DAYS):
            raise ValueError(f"{part.strip()!r} is no day: write {', '.join(_DAYS)}, or mon-fri")
        begin = _DAYS.index(first)
        found |= {(begin + day) % 7 for day in range(((_DAYS.index(last) - begin) % 7 if dash else 0) + 1)}
    return sorted(found)
