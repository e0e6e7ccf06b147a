"""How fast the disks of each tier answer: the latencies of a day's readings, counted by size.

One reading of a disk is one latency, the mean of its requests since the reading before. Percentiles that QEMU could give
would change the guest's devices.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import accumulate
from statistics import median

HOUR_S = 3600
HOURS = 24
RECENT_MINUTES = 5
"""For how many minutes a tier is watched before it is called slow, or well again."""
_FEW = 10
"""So many readings make a percentile: of fewer, the slowest one alone would be it."""
_HOURS_KNOWN = 5
"""And so many hours what is usual."""
_FIRST_MS = 0.01
_PER_DECADE = 24
BUCKETS = 7 * _PER_DECADE
"""From 0.01 ms to 100 s, each 10 % wider than the one before."""
Key = tuple[str, str]
"""Host id and tier."""


class TierLatencies:
    """`hours` holds the counts of each host, tier and hour (a multiple of HOUR_S), `changed` those not stored yet. The last
    minutes are not stored."""

    def __init__(self) -> None:
        self.hours: dict[Key, dict[int, list[int]]] = {}
        self.changed: set[tuple[str, str, int]] = set()
        self._minutes: dict[Key, dict[int, list[int]]] = {}

    def add(self, host_id: str, tier: str, ms: float, at: float) -> None:
        """Count a reading of a disk."""
        hour = int(at // HOUR_S) * HOUR_S
        hours = self.hours.setdefault((host_id, tier), {})
        counts = hours.get(hour)
        if counts is None:
            counts = hours[hour] = [0] * BUCKETS
            for old in [old for old in hours if old <= hour - (HOURS + 1) * HOUR_S]:
                del hours[old]
        bucket, minute = _bucket(ms), int(at // 60)
        counts[bucket] += 1
        minutes = self._minutes.setdefault((host_id, tier), {})
        if minute not in minutes:
            minutes[minute] = [0] * BUCKETS
            for old in [old for old in minutes if old <= minute - RECENT_MINUTES]:
                del minutes[old]
        minutes[minute][bucket] += 1
        self.changed.add((host_id, tier, hour))

    def load(self, rows: Iterable[tuple[str, str, int, list[int]]]) -> None:
        """Take over what an earlier server has counted: (host id, tier, hour, counts)."""
        for host_id, tier, hour, counts in rows:
            if len(counts) == BUCKETS and all(isinstance(count, int) and count >= 0 for count in counts):
                self.hours.setdefault((host_id, tier), {})[hour] = list(counts)

    def percentiles(self, host_id: str, tier: str, now: float) -> tuple[float, float] | None:
        """The median and the 90th percentile of the last day, in milliseconds; None when no disk was read."""
        since = now - HOURS * HOUR_S
        hours = self.hours.get((host_id, tier), {})
        counts = [sum(each) for each in zip(*(hours[hour] for hour in hours if hour > since - HOUR_S), strict=True)]
        total = sum(counts)
        return (_quantile(counts, total * 0.5), _quantile(counts, total * 0.9)) if total else None

    def recent_p90(self, host_id: str, tier: str, now: float) -> float | None:
        """The 90th percentile of the last minutes, in milliseconds; None when few disks were read."""
        minutes = self._minutes.get((host_id, tier), {})
        since = int(now // 60) - RECENT_MINUTES
        last = int(now // 60)  # of a clock that was set back, what is later is not of the last minutes
        counts = [sum(each) for each in zip(*(minutes[at] for at in minutes if since < at <= last), strict=True)]
        total = sum(counts)
        return _quantile(counts, total * 0.9) if total >= _FEW else None

    def usual_p90(self, host_id: str, tier: str, now: float) -> float | None:
        """The median of the 90th percentiles of the hours of the last day but this one; None when few are known."""
        this, hours = int(now // HOUR_S) * HOUR_S, self.hours.get((host_id, tier), {})
        known = [hours[hour] for hour in hours if this - HOURS * HOUR_S <= hour < this]
        found = [_quantile(counts, total * 0.9) for counts in known if (total := sum(counts)) >= _FEW]
        return median(found) if len(found) >= _HOURS_KNOWN else None


def _bucket(ms: float) -> int:
    if ms <= _FIRST_MS:
        return 0
    return min(BUCKETS - 1, int(math.log10(ms / _FIRST_MS) * _PER_DECADE))


def _quantile(counts: list[int], rank: float) -> float:
    """The middle of the bucket that the rank falls into."""
    at = next(at for at, passed in enumerate(accumulate(counts)) if passed >= rank)
    return float(_FIRST_MS * 10 ** ((at + 0.5) / _PER_DECADE))
