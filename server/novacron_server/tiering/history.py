"""A volume's hours as curves. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from novacron_core.api.tiering import HeatHistory, VolumeHeat
from novacron_server.tiering import repository
from novacron_server.tiering.book import HOUR_S, MEASURES, Day
from novacron_server.tiering.rounding import significant


class StoredDay(msgspec.Struct, frozen=True, gc=False):
    """The hours of a day (days since 1970): the sums of each of MEASURES."""

    day: int
    sums: Mapping[str, Sequence[float]]


def stored(row: Any) -> StoredDay:
    """A row of the database. Raises TypeError, ValueError for what cannot be."""
    return StoredDay(repository.day_of(row.day), {name: hourly(getattr(row, name)) for name in MEASURES})


def hourly(values: Sequence[float | None]) -> list[float]:
    """The 24 values of a day; one that is missing is 0. Raises TypeError, ValueError for what cannot be."""
    found = [float(value or 0.0) for value in (*values, *[0.0] * 24)[:24]]
    if not all(math.isfinite(value) and value >= 0 for value in found):
        raise ValueError("an hour is not finite, or negative")
    return found


def stored_now(day: Day) -> StoredDay:
    """A day that is not stored yet, or not as it is now."""
    return StoredDay(day.day, {name: list(day.measure(name)) for name in MEASURES})


def history(now: VolumeHeat, days: Sequence[StoredDay], start: datetime, end: datetime, points: int) -> HeatHistory:
    """The curves from `start` to `end`, in at most `points` steps of whole hours."""
    last = math.floor(end.timestamp() / HOUR_S) + 1
    hours = last - math.floor(start.timestamp() / HOUR_S)
    step = math.ceil(hours / points)
    count = math.ceil(hours / step)
    first = last - count * step
    steps = [[0.0] * len(MEASURES) for _ in range(count)]
    by_hour = [[0.0, 0.0] for _ in range(24)]
    weighted, observed = MEASURES.index("weighted"), MEASURES.index("observed_s")
    for day in days:
        for hour, sums in enumerate(zip(*(day.sums[name] for name in MEASURES), strict=True)):
            if not sums[observed]:
                continue
            by_hour[hour][0] += sums[weighted]
            by_hour[hour][1] += sums[observed]
            at = (day.day * 24 + hour - first) // step
            if 0 <= at < count:
                steps[at] = [before + more for before, more in zip(steps[at], sums, strict=True)]
    return HeatHistory(
        now=now,
        start=datetime.fromtimestamp(first * HOUR_S, UTC),
        step_s=step * HOUR_S,
        operations_s=[_rate(each[0], each[observed]) for each in steps],
        weighted_s=[_rate(each[1], each[observed]) for each in steps],
        bytes_s=[_rate(each[2], each[observed]) for each in steps],
        latency_ms=[_rate(each[3] * 1000, each[0]) for each in steps],
        hours=[_rate(*each) for each in by_hour],
    )


def _rate(amount: float, seconds: float) -> float | None:
    return significant(amount / seconds, 4) if seconds > 0 else None
