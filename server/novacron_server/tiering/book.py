"""How hot each volume is, from the counters of the disks that running VMs have on them.

What was seen counts, and nothing else: of an interval that nobody watched (the server or the host was away, QEMU gave no
counters, a counter began anew) a volume keeps its heat. One that no running VM uses cools, as long as its host is read.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from novacron_core.rules.tiering import heat as rules
from novacron_core.rules.tiering.heat import Heat, Rates
from novacron_core.values.sizes import KIB
from novacron_server.hypervisor.statistics.counters import DiskCounters, DomainCounters, Reading
from novacron_server.inventory.rows import VolumeRow
from novacron_server.inventory.storage_state import StorageState
from novacron_server.tiering.clock import HeatClock
from novacron_server.tiering.latencies import TierLatencies

HOUR_S, DAY_S = 3600, 86_400
GAP_S = 900.0
"""A host that was not read for longer was not watched meanwhile."""
_LONGEST_S = float(DAY_S)
"""What was done in a longer interval counts for its last day: today's and yesterday's hours are at hand."""
SEQUENTIAL_BYTES = 128 * KIB
"""A reading whose requests are this large in the mean looks sequential: a backup, a scan, a copy."""
MEASURES = ("operations", "weighted", "bytes", "took_s", "observed_s")


class Day:
    """The hours of one day (UTC, as days since 1970) of a volume: 24 sums of each measure."""

    __slots__ = ("day", "tier", *MEASURES)

    def __init__(self, day: int, tier: str) -> None:
        self.day, self.tier = day, tier
        for name in MEASURES:
            setattr(self, name, array("d", bytes(8 * 24)))

    def measure(self, name: str) -> array[float]:
        """The sums of one of MEASURES, by hour."""
        found: array[float] = getattr(self, name)
        return found


@dataclass(slots=True)
class KnownHeat:
    """What is known of a volume. `reads`, `writes` and the bytes are sums of what was seen. Of its readings with requests
    (`active`), `sequential` looked sequential. `above`: in how many evaluations running it was above the line of a faster
    tier. `attached`: a running VM has it. `days` are those not stored yet, today and yesterday."""

    host_id: str
    heat: Heat
    reads: float = 0.0
    writes: float = 0.0
    read_bytes: float = 0.0
    written_bytes: float = 0.0
    active: int = 0
    sequential: int = 0
    above: int = 0
    attached: bool = False
    base: DiskCounters | None = None
    run: int = 0
    days: dict[int, Day] = field(default_factory=dict)


class HeatBook:
    """One per server, used from its asyncio loop. `record` is called with each reading of a host's disks; `changed` are the
    ids of the volumes that are not stored as they are here."""

    def __init__(self, storage: StorageState, clock: HeatClock) -> None:
        self._storage, self.clock = storage, clock
        self.volumes: dict[str, KnownHeat] = {}
        self.watched: dict[str, float] = {}
        """Until when each host's disks were read."""
        self.latencies = TierLatencies()
        self.changed: set[str] = set()
        self._attached: dict[str, set[str]] = {}

    # -- reading ---------------------------------------------------------------------------------------------------

    def as_of(self, known: KnownHeat) -> float:
        """Until when a volume was watched."""
        return known.heat.at if known.attached else max(known.heat.at, self.watched.get(known.host_id, 0.0))

    def heat(self, known: KnownHeat) -> Heat:
        """The heat of a volume at `as_of`."""
        return rules.observed(known.heat, self.as_of(known))

    def rates(self, known: KnownHeat) -> Rates:
        """The averages of a volume at `as_of`."""
        return self.heat_and_rates(known)[1]

    def heat_and_rates(self, known: KnownHeat) -> tuple[Heat, Rates]:
        """Both, computed together."""
        heat = self.heat(known)
        return heat, rules.rates(heat, heat.at)

    # -- recording -------------------------------------------------------------------------------------------------

    def record(self, read: tuple[str, Reading]) -> None:
        """Record a reading of a host's disks, given as (host id, reading)."""
        host_id, reading = read
        now = self.clock.at(reading.at)
        self._watch(host_id, now)
        domains = {counters.uuid: counters for counters in reading.domains}
        attached: set[str] = set()
        for row, tier, vm_id, target in self._storage.disks_on(host_id):
            domain = domains.get(vm_id)
            if domain is None or row.id in attached:
                continue
            at = self.clock.at(domain.at)
            known = self._known(row, at)
            if domain.disks is None:  # QEMU is busy with a job: the next reading covers this interval too
                attached.add(row.id)
                known.attached = True
            elif (disk := next((disk for disk in domain.disks if disk.target == target), None)) is not None:
                attached.add(row.id)
                self._record(row.id, known, tier or "", domain, disk, at)
        for volume_id in self._attached.get(host_id, set()) - attached:
            self._let_go(volume_id, now)
        self._attached[host_id] = attached

    def know(self, rows: Iterable[VolumeRow]) -> None:
        """Begin to watch the volumes that were not known yet, of hosts that are read, and forget those without a row."""
        kept = {row.id: row for row in rows}
        for volume_id in self.volumes.keys() - kept.keys():
            del self.volumes[volume_id]
            self.changed.discard(volume_id)
        for volume_id in kept.keys() - self.volumes.keys():
            if (watched := self.watched.get(kept[volume_id].host_id)) is not None:
                self._known(kept[volume_id], watched)

    def shift(self, seconds: float) -> None:
        """Shift all times: the clock was set."""
        for known in self.volumes.values():
            at, accessed_at = known.heat.at + seconds, known.heat.accessed_at
            accessed_at = None if accessed_at is None else min(accessed_at, at)
            known.heat = msgspec.structs.replace(known.heat, at=at, accessed_at=accessed_at)
        self.watched = {host_id: at + seconds for host_id, at in self.watched.items()}
        self.changed |= self.volumes.keys()

    def _watch(self, host_id: str, now: float) -> None:
        """Note that a host is read now. After a gap, what its volumes did meanwhile is not known."""
        before = self.watched.get(host_id)
        if before is not None and now - before > GAP_S * self.clock.speed:
            for volume_id, known in self.volumes.items():
                if known.host_id == host_id and not known.attached:
                    cooled = rules.observed(known.heat, before)
                    known.heat = rules.unobserved(cooled, now)
                    self.changed.add(volume_id)
        self.watched[host_id] = max(now, before or now)

    def _known(self, row: VolumeRow, now: float) -> KnownHeat:
        known = self.volumes.get(row.id)
        if known is None:
            known = self.volumes[row.id] = KnownHeat(row.host_id, Heat(at=now))
            self.changed.add(row.id)
        return known

    def _record(
        self, volume_id: str, known: KnownHeat, tier: str, domain: DomainCounters, disk: DiskCounters, now: float
    ) -> None:
        before, same_run = known.base, known.run == domain.run
        known.base, known.run = disk, domain.run
        self.changed.add(volume_id)
        if not known.attached:  # until now no VM used it
            known.heat = rules.unobserved(rules.observed(known.heat, self.as_of(known)), now)
            known.attached = True
        elif before is None or not same_run or not _follows(before, disk):
            known.heat = rules.unobserved(known.heat, now)
        else:
            self._add(known, tier, before, disk, now)

    def _add(self, known: KnownHeat, tier: str, before: DiskCounters, disk: DiskCounters, now: float) -> None:
        """Add what a disk did since its reading before."""
        begin, speed = known.heat.at, self.clock.speed
        if now <= begin:
            return
        reads, writes = (disk.reads - before.reads) * speed, (disk.writes - before.writes) * speed
        read_bytes = (disk.read_bytes - before.read_bytes) * speed
        written_bytes = (disk.written_bytes - before.written_bytes) * speed
        operations, size = reads + writes, read_bytes + written_bytes
        known.heat = rules.observed(known.heat, now, operations, size)
        known.reads, known.writes = known.reads + reads, known.writes + writes
        known.read_bytes, known.written_bytes = known.read_bytes + read_bytes, known.written_bytes + written_bytes
        took_s = 0.0
        if operations > 0:
            known.active += 1
            known.sequential += size / operations >= SEQUENTIAL_BYTES
            if disk.took_ns is not None and before.took_ns is not None and disk.took_ns >= before.took_ns:
                took_s = (disk.took_ns - before.took_ns) * speed / 1e9
                if tier:
                    self.latencies.add(known.host_id, tier, took_s / operations * 1000, now)
        _spread(known, tier, begin, now, (operations, rules.weighted(operations, size), size, took_s))

    def _let_go(self, volume_id: str, now: float) -> None:
        """No running VM has the volume any more. What it did since the last reading is not known."""
        known = self.volumes.get(volume_id)
        if known is not None:
            known.heat = rules.unobserved(known.heat, now)
            known.attached, known.base = False, None
            self.changed.add(volume_id)


def _follows(before: DiskCounters, now: DiskCounters) -> bool:
    """Whether no counter began anew between two readings of a run."""
    return (
        now.reads >= before.reads
        and now.writes >= before.writes
        and now.read_bytes >= before.read_bytes
        and now.written_bytes >= before.written_bytes
    )


def _spread(known: KnownHeat, tier: str, begin: float, end: float, sums: tuple[float, float, float, float]) -> None:
    """Add sums to the hours of an interval, to each its share."""
    at = max(begin, end - _LONGEST_S)
    whole = end - at
    while at < end:
        hour = int(at // HOUR_S)
        until = min(end, float((hour + 1) * HOUR_S))
        day = known.days.get(hour // 24)
        if day is None:
            day = known.days[hour // 24] = Day(hour // 24, tier)
        day.tier = tier
        share = (until - at) / whole
        for name, value in zip(MEASURES, (*sums, whole), strict=True):
            day.measure(name)[hour % 24] += value * share
        at = until
