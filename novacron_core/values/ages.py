"""Ages in human-readable form."""

from __future__ import annotations

from datetime import datetime, timedelta

CLOCK_TOLERANCE_S = 2.0
"""Clocks that differ by at most this much are considered equal."""
MAX_CLOCK_ERROR = timedelta(days=36525)
"""No clock is wrong by more than a century: one that has lost its battery says 1970, at worst 1900."""


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
