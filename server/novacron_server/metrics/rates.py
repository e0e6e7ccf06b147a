"""Computes rates from counters. Pure: takes two readings, returns a value per second, or None if there is none.

No rate is computed across a reset (another run of the guest, a counter that decreased), nor over an interval that is
too short to be accurate or too long to represent the present. Intervals come from a monotonic clock.
"""

from __future__ import annotations

import msgspec

from novacron_server.hypervisor.statistics.counters import DiskCounters, DomainCounters, HostCounters, NICCounters

SHORTEST_S = 0.5
LONGEST_S = 180.0
_SLACK = 1.1
"""By what factor a CPU rate may exceed the host's capacity before it is discarded: the interval is not exact."""


class DiskRate(msgspec.Struct, frozen=True, gc=False):
    """A disk's bytes and requests per second."""

    read_bytes_s: float
    write_bytes_s: float
    reads_s: float
    writes_s: float


class NICRate(msgspec.Struct, frozen=True, gc=False):
    """Bytes per second, seen from the guest."""

    received_bytes_s: float
    sent_bytes_s: float


def per_second(before: int | None, now: int | None, seconds: float) -> float | None:
    """The rate between two counters; None if one is missing or it decreased."""
    if before is None or now is None or now < before:
        return None
    return (now - before) / seconds


def interval(before: DomainCounters | None, now: DomainCounters) -> float | None:
    """Seconds between two readings of the same run of a guest; None if no rate may be computed from them."""
    if before is None or before.run != now.run:
        return None
    seconds = now.at - before.at
    return seconds if SHORTEST_S <= seconds <= LONGEST_S else None


def cpu_cores(before: DomainCounters, now: DomainCounters, seconds: float, host_cpus: int | None) -> float | None:
    """How many of the host's cores the guest used. None if that exceeds the host's number of cores."""
    spent = per_second(before.cpu_ns, now.cpu_ns, seconds)
    if spent is None:
        return None
    cores = spent / 1e9
    return None if host_cpus and cores > host_cpus * _SLACK else cores


def disk_rates(
    before: tuple[DiskCounters, ...] | None, now: tuple[DiskCounters, ...] | None, seconds: float
) -> dict[str, DiskRate]:
    """Rates by target. A disk that was just attached or replaced has none yet."""
    earlier = {disk.target: disk for disk in before or ()}
    found = ((disk.target, _disk_rate(earlier.get(disk.target), disk, seconds)) for disk in now or ())
    return {target: rate for target, rate in found if rate is not None}


def _disk_rate(before: DiskCounters | None, now: DiskCounters, seconds: float) -> DiskRate | None:
    if (
        before is None
        or now.read_bytes < before.read_bytes
        or now.written_bytes < before.written_bytes
        or now.reads < before.reads
        or now.writes < before.writes
    ):
        return None
    return DiskRate(
        (now.read_bytes - before.read_bytes) / seconds,
        (now.written_bytes - before.written_bytes) / seconds,
        (now.reads - before.reads) / seconds,
        (now.writes - before.writes) / seconds,
    )


def net_rate(
    before: tuple[NICCounters, ...] | None, now: tuple[NICCounters, ...] | None, seconds: float
) -> NICRate | None:
    """The sum over the interfaces that have a rate; None if none has."""
    earlier = {nic.name: nic for nic in before or ()}
    received = sent = 0
    found = False
    for nic in now or ():
        old = earlier.get(nic.name)
        if old is None or nic.received_bytes < old.received_bytes or nic.sent_bytes < old.sent_bytes:
            continue
        received += nic.received_bytes - old.received_bytes
        sent += nic.sent_bytes - old.sent_bytes
        found = True
    return NICRate(received / seconds, sent / seconds) if found else None


def host_busy(before: HostCounters | None, now: HostCounters) -> float | None:
    """The share (0 to 1) of the host's CPU time that was busy; None if its counters did not change."""
    if before is None or None in (before.busy_ns, before.idle_ns, now.busy_ns, now.idle_ns):
        return None
    busy = (now.busy_ns or 0) - (before.busy_ns or 0)
    idle = (now.idle_ns or 0) - (before.idle_ns or 0)
    return busy / (busy + idle) if busy >= 0 and idle >= 0 and busy + idle > 0 else None
