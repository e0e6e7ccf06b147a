"""How hot a disk is: two decayed averages of its operations, as a value that cools by itself.

An average `a` of half-life `T` is `a·d + r·(1 - d)` after an interval with the rate `r`, with `d = 2^(-interval/T)`: the
same result however the interval is divided. It begins at 0, and is divided by the weight that it has been given so far,
`1 - 2^(-observed/T)`, so that it is a mean of what was seen from the first hour on.
"""

from __future__ import annotations

import math

import msgspec

from novacron_core.values.sizes import KIB

DAY_S = 86_400.0
FAST_S = DAY_S
"""Half-life of the average that follows the work of the day."""
SLOW_S = 7 * DAY_S
"""Half-life of the one that follows the week: a weekend does not cool a disk of working days."""
SMALL_BYTES = 64 * KIB
"""An operation of at most this size counts as one; of a larger one only the part, so that a backup or a scan, which a slow
tier serves well, does not make a disk hot."""

ROLES = ("", "disk")
"""The roles of volumes that heat and advice are about. QEMU reads a kernel and an initrd itself, and a backing file through
the disk above it: no disk counts that, and they stay with their VM."""


class Heat(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The heat of a disk at the time `at` (seconds since 1970). `fast` and `slow` are sums in weighted operations per
    second, of which `rates` makes averages. `observed_s` is how long it was watched, without gaps."""

    at: float
    fast: float = 0.0
    slow: float = 0.0
    observed_s: float = 0.0
    accessed_at: float | None = None
    """When the last interval with operations ended; None: never seen."""


class Rates(msgspec.Struct, frozen=True, gc=False):
    """Averages in weighted operations per second. 0 for a disk that was not observed yet."""

    fast: float
    slow: float


def weighted(operations: float, size_bytes: float) -> float:
    """Operations that moved so many bytes together, weighted by their mean size."""
    if operations <= 0:
        return 0.0
    return operations * min(1.0, SMALL_BYTES * operations / size_bytes) if size_bytes > 0 else operations


def observed(heat: Heat, now: float, operations: float = 0.0, size_bytes: float = 0.0) -> Heat:
    """The heat after an interval up to `now` in which the disk was watched and did these operations. A clock that was set
    back observes nothing."""
    interval = now - heat.at
    if interval <= 0:
        return heat
    rate = weighted(operations, size_bytes) / interval
    return Heat(
        at=now,
        fast=_after(heat.fast, interval, FAST_S, rate),
        slow=_after(heat.slow, interval, SLOW_S, rate),
        observed_s=heat.observed_s + interval,
        accessed_at=now if operations > 0 else heat.accessed_at,
    )


def unobserved(heat: Heat, now: float) -> Heat:
    """The heat after an interval in which nobody looked: it neither rises nor cools."""
    return msgspec.structs.replace(heat, at=max(heat.at, now))


def rates(heat: Heat, now: float) -> Rates:
    """The averages at `now`, as of a disk that did nothing since it was last observed."""
    heat = observed(heat, now)
    return Rates(_mean(heat.fast, heat.observed_s, FAST_S), _mean(heat.slow, heat.observed_s, SLOW_S))


def _after(value: float, interval: float, half_life: float, rate: float) -> float:
    part = _part(interval, half_life)
    return value * (1.0 - part) + rate * part


def _mean(value: float, observed_s: float, half_life: float) -> float:
    return value / _part(observed_s, half_life) if observed_s > 0 else 0.0


def _part(interval: float, half_life: float) -> float:
    """1 - 2^(-interval/half_life), exact also for short intervals."""
    return -math.expm1(-interval / half_life * math.log(2))
