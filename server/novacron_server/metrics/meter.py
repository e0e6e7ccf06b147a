"""Computes the latest samples of one host and its running VMs from readings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from threading import Lock

from novacron_core.api.samples import HostSample, VMSample
from novacron_server.hypervisor.facts import DomainFacts
from novacron_server.hypervisor.statistics.counters import DomainCounters, HostCounters, Reading
from novacron_server.metrics import rates
from novacron_server.metrics.rates import DiskRate, NICRate

MEMORY_STALE_S = 120.0
"""If a guest reports no new memory statistics for this long, its used memory becomes unknown."""
NO_BALLOON = "no memory balloon device"
NOT_POLLED = "balloon driver is not polled"
NO_REPORT = "balloon driver reports nothing"
SILENT = "balloon driver stopped reporting"


class VMMeter:
    """One running VM: its last counters, and the rates computed from the last two readings."""

    __slots__ = (
        "_memory_updated", "counters", "cpu_cores", "cpu_percent", "disk_at", "disk_counters", "disks", "memory_at",
        "memory_note", "memory_used_bytes", "net", "sample",
    )  # fmt: skip

    def __init__(self) -> None:
        self.counters: DomainCounters | None = None
        self.disk_counters: DomainCounters | None = None
        self.cpu_cores: float | None = None
        self.cpu_percent: float | None = None
        self.memory_used_bytes: int | None = None
        self._memory_updated: int | None = None
        self.memory_at = 0.0
        self.memory_note = ""
        self.net: NICRate | None = None
        self.disks: dict[str, DiskRate] = {}
        self.disk_at: float | None = None
        self.sample = VMSample()

    def record_quick(self, now: DomainCounters, facts: DomainFacts | None, host_cpus: int | None) -> None:
        """Record a reading of CPU, memory and network."""
        before = self.counters
        seconds = rates.interval(before, now)
        if before is not None and before.run != now.run:
            self._forget_run()
        if before is not None and seconds is not None:
            self.cpu_cores = rates.cpu_cores(before, now, seconds, host_cpus)
            self.net = rates.net_rate(before.nics, now.nics, seconds)
        else:
            self.cpu_cores = self.net = None
        vcpus = facts.vcpus if facts else 0
        self.cpu_percent = self.cpu_cores / vcpus * 100 if vcpus and self.cpu_cores is not None else None
        self._record_memory(before, now, facts)
        self.counters = now

    def _forget_run(self) -> None:
        self.disk_counters = self.disk_at = None
        self.disks = {}

    def _record_memory(self, before: DomainCounters | None, now: DomainCounters, facts: DomainFacts | None) -> None:
        """A guest that is busy with a job reports no memory statistics: the last value is kept and its age grows."""
        updated, seen, available = now.memory_updated, now.memory_seen_bytes, now.memory_available_bytes
        another_run = before is None or before.run != now.run
        if updated is None or seen is None or available is None:
            if self.memory_used_bytes is None or another_run:
                self.memory_used_bytes = self._memory_updated = None
                period = facts.memory_period_s if facts else None
                self.memory_note = NO_BALLOON if facts and period is None else NO_REPORT if period else NOT_POLLED
                return
        else:
            if another_run or self._memory_updated != updated:
                self.memory_at = now.at
            self._memory_updated = updated
            self.memory_used_bytes = max(0, seen - available)
        silent = now.at - self.memory_at > MEMORY_STALE_S
        self.memory_used_bytes = None if silent else self.memory_used_bytes
        self.memory_note = SILENT if silent else ""

    def record_disks(self, now: DomainCounters) -> None:
        """Record a reading of disks. A guest busy with a job reports none: the next rate covers the longer interval."""
        before = self.disk_counters
        if now.disks is None and before is not None and before.run == now.run:
            return
        seconds = rates.interval(before, now)
        self.disks = rates.disk_rates(before.disks, now.disks, seconds) if before is not None and seconds else {}
        self.disk_at = now.at if self.disks else None
        self.disk_counters = now

    def update_sample(self) -> VMSample:
        """Compute the current sample; its time is that of the last quick reading."""
        counters = self.counters
        at = counters.at if counters else 0.0
        if self.disk_at is not None and at - self.disk_at > rates.LONGEST_S:
            self.disks, self.disk_at = {}, None
        disks = list(self.disks.values())
        self.sample = VMSample(
            cpu_cores=rounded(self.cpu_cores, 3),
            cpu_percent=rounded(self.cpu_percent, 1),
            memory_used_bytes=self.memory_used_bytes,
            memory_given_bytes=counters.memory_given_bytes if counters else None,
            disk_read_bytes_s=round(sum(disk.read_bytes_s for disk in disks)) if disks else None,
            disk_write_bytes_s=round(sum(disk.write_bytes_s for disk in disks)) if disks else None,
            disk_reads_s=round(sum(disk.reads_s for disk in disks), 1) if disks else None,
            disk_writes_s=round(sum(disk.writes_s for disk in disks), 1) if disks else None,
            net_received_bytes_s=round(self.net.received_bytes_s) if self.net else None,
            net_sent_bytes_s=round(self.net.sent_bytes_s) if self.net else None,
            disk_age_s=round(max(0.0, at - self.disk_at), 1) if self.disk_at is not None else None,
            memory_age_s=round(at - self.memory_at, 1) if self.memory_used_bytes is not None else None,
            memory_note=self.memory_note,
        )
        return self.sample


class HostMeter:
    """One host. `vms` maps the ids of its running VMs to meters; `time` and `at` are when they were last read, None and
    0: never.

    `record` runs in a worker thread, because a large host has many VMs; `vms` is replaced as a whole, never modified.
    """

    def __init__(self) -> None:
        self.vms: dict[str, VMMeter] = {}
        self._meters: dict[str, VMMeter] = {}
        self._lock = Lock()
        self.time: datetime | None = None
        self.at = 0.0
        self.period_s = 0.0
        self.counters: HostCounters | None = None
        self.sample = HostSample()

    def record(
        self, reading: Reading, facts: Mapping[str, DomainFacts], host_cpus: int | None, period_s: float
    ) -> None:
        """Record one reading. `facts` are the domains' facts, as far as known."""
        with self._lock:
            self._record(reading, facts, host_cpus, period_s)

    def _record(
        self, reading: Reading, facts: Mapping[str, DomainFacts], host_cpus: int | None, period_s: float
    ) -> None:
        if reading.group == "disks":
            for counters in reading.domains:
                self._meters.setdefault(counters.uuid, VMMeter()).record_disks(counters)
            return
        before, now = self._meters, dict[str, VMMeter]()
        for counters in reading.domains:
            meter = now[counters.uuid] = before.get(counters.uuid) or VMMeter()
            meter.record_quick(counters, facts.get(counters.uuid), host_cpus)
            meter.update_sample()
        self._meters, self.vms = now, dict(now)
        self.time, self.at, self.period_s = reading.time, reading.at, period_s
        if reading.host is not None:
            self._record_host(reading.host, host_cpus)

    def _record_host(self, now: HostCounters, cpus: int | None) -> None:
        busy = rates.host_busy(self.counters, now)
        self.counters = now
        self.sample = HostSample(
            cpu_cores=rounded(busy * cpus, 3) if busy is not None and cpus else None,
            cpu_percent=rounded(busy * 100 if busy is not None else None, 1),
            memory_used_bytes=now.memory_used_bytes,
            memory_bytes=now.memory_bytes,
            period_s=round(self.period_s, 1),
        )


def rounded(value: float | None, digits: int) -> float | None:
    """A value rounded for display and the API; None stays None."""
    return None if value is None else round(value, digits)
