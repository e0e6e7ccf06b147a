"""Ages in human-readable form."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

CLOCK_TOLERANCE_S = 2.0
"""Clocks that differ by at most this much are considered equal."""
MAX_CLOCK_ERROR = timedelta(days=36525)
"""No clock is wrong by more than a century: one that has lost its battery says 1970, at worst 1900."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(?:[0-9]{1,6}(?:\.[0-9]{1,3})?[smhdw])+", re.IGNORECASE)
_PART = re.compile(r"([0-9.]+)([a-z])")
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")


def parse_duration(text: str) -> float:
    """`90s`, `15m`, `8h`, `1h30m`, `3d`, `2w` in seconds. Raises ValueError with a sentence for the operator."""
    if not _DURATION.fullmatch(text):
        raise ValueError("enter a number and a unit of s, m, h, d or w, like 8h or 3d")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text.lower()))


def parse_moment(text: str, now: datetime, zone: tzinfo | None = None) -> datetime:
    """The time that a text means to somebody in `zone` (None: this machine's): `22:00` the last time it was that late,
    `2h` so long ago, a date (`2026-11-26`) or a time of RFC 3339.

    Raises ValueError with a sentence for the operator.
    """
    try:
        if clock := _CLOCK.fullmatch(text):
            hour, minute, second = (int(part or 0) for part in clock.groups())
            here = now.astimezone(zone).replace(hour=hour, minute=minute, second=second, microsecond=0, tzinfo=None)
            today = _placed(here, zone)
            return today if today <= now else _placed(here - timedelta(days=1), zone)
        if _DURATION.fullmatch(text):
            return now - timedelta(seconds=parse_duration(text))
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else _placed(moment, zone)
        moment.astimezone(UTC)
    except (ValueError, OverflowError) as e:
        raise ValueError("enter a time like 22:00, 2h, 2026-11-26 or 2026-11-26T22:00") from e
    return moment


def _placed(local: datetime, zone: tzinfo | None) -> datetime:
    """A time of a clock on the wall, in its zone as it was then: with or without daylight saving."""
    return local.replace(tzinfo=zone) if zone else local.astimezone()


def moment_text(at: datetime) -> str:
    """A point in time in this machine's zone, which is named: `2026-11-30 03:51 UTC`."""
    here = at.astimezone()
    return f"{here:%Y-%m-%d %H:%M} {here.tzname() or ''}".rstrip()


def age_text(seconds: float | None) -> str:
    """An age in at most two units: `5s`, `3m`, `2h10m`, `4d3h`. None gives a dash; a negative age counts as 0."""
    if seconds is None:
        return "–"
    total = max(0, int(seconds))
    days, rest = divmod(total, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, secs = divmod(rest, 60)
    if days:
        return f"{days}d{hours}h" if days < 10 and hours else f"{days}d"
    if hours:
        return f"{hours}h{minutes}m" if hours < 10 and minutes else f"{hours}h"
    if minutes:
        return f"{minutes}m"
    return f"{secs}s"


def age_s(since: datetime | None, now: datetime) -> float | None:
    """Seconds from `since` to `now`, both timezone-aware; None gives None."""
    return None if since is None else (now - since).total_seconds()


def duration_words(seconds: float) -> str:
    """A duration for a sentence, in its largest unit: `3 s`, `10 min`, `2 h`, `5 days`."""
    for unit, name in ((86400, "day"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            count = round(seconds / unit)
            return f"{count} {name}{'s' if name == 'day' and count != 1 else ''}"
    return f"{round(seconds)} s"
