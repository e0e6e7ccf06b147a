"""The load of a simulated fleet: counters that rise as those of busy guests do, for `novacron demo` alone.

libvirt's test driver invents counters that never change. A host that is told to simulate load gets these instead; no
other host ever does (LibvirtHost refuses the flag for other URIs), and their source is the simulator, as the API says.
"""

from __future__ import annotations

import math
import random
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import libvirt
import msgspec

from novacron_server.hypervisor.faults import code_of
from novacron_server.hypervisor.statistics.counters import (
    DiskCounters,
    DomainCounters,
    Group,
    HostCounters,
    NICCounters,
    Reading,
)
from novacron_server.hypervisor.statistics.reader import Devices, clock

DAY_S = 1200.0
"""A day of the fleet, with its busy and quiet hours: short enough to be seen."""
_KIB, _MIB = 1024, 1024**2
_HOST_SHARE = 0.015
"""What the host itself needs, as a share of its CPUs."""
_MOST_SHARE = 0.97
"""What the VMs of a host get at most, as a share of its CPUs; a busy host is never without a little idle time."""
_HOST_BYTES = 3 * 1024**3
_READ_BYTES, _WRITE_BYTES = 24 * _KIB, 12 * _KIB
"""Bytes of a request."""
_REQUEST_NS = 900_000
"""How long a request takes."""


class Wave(msgspec.Struct, frozen=True):
    """A rate that changes smoothly and is never negative: `level` plus sines of (height, period in s, phase), the sum of
    whose heights is below it, plus a burst of `burst` once in `every_s`, `burst_s` long, `later_s` into it."""

    level: float
    sines: tuple[tuple[float, float, float], ...]
    burst: float
    every_s: float
    burst_s: float
    later_s: float

    def total(self, at: float) -> float:
        """The integral of the rate from a fixed moment on: what a counter shows at `at`, in s."""
        sines = sum(
            height * period / math.tau * -math.cos(math.tau * at / period + phase)
            for height, period, phase in self.sines
        )
        whole, into = divmod(at + self.later_s, self.every_s)
        x = min(into, self.burst_s)
        begun = (x - self.burst_s / math.tau * math.sin(math.tau * x / self.burst_s)) / 2
        return self.level * at + sines + self.burst * (whole * self.burst_s / 2 + begun)


class Load(msgspec.Struct, frozen=True):
    """The load of one VM. `cpu` is the share of its vCPUs; the others are in bytes per second. `memory` and
    `memory_swing` are shares of its memory."""

    cpu: Wave
    read: Wave
    written: Wave
    received: Wave
    sent: Wave
    memory: float
    memory_swing: float


@lru_cache(maxsize=4096)
def load_of(uuid: str) -> Load:
    """The load of the VM with this UUID: always the same, in every process."""
    chance = random.Random(UUID(uuid).int)  # noqa: S311 - no secret
    busy = chance.choices((0.65, 0.3, 0.12, 0.02), (1, 4, 6, 4))[0] * chance.uniform(0.7, 1.3)
    phase = chance.gauss(0.0, 0.5)  # most are busy at the same hours
    disk, net = chance.lognormvariate(0.0, 1.0), chance.lognormvariate(0.0, 1.0)
    return Load(
        cpu=_wave(chance, busy, phase, most=1.0),
        read=_wave(chance, busy * disk * 6 * _MIB, phase),
        written=_wave(chance, busy * disk * 4 * _MIB, phase),
        received=_wave(chance, busy * net * 3 * _MIB, phase),
        sent=_wave(chance, busy * net * 5 * _MIB, phase),
        memory=chance.uniform(0.25, 0.85),
        memory_swing=chance.uniform(0.01, 0.1),
    )


def _wave(chance: random.Random, level: float, phase: float, most: float = math.inf) -> Wave:
    """`most` is what the rate never exceeds."""
    level = min(level, most / 1.9)
    shares = ((0.35, DAY_S, phase), *((0.12, chance.uniform(15, 240), chance.uniform(0, math.tau)) for _ in range(4)))
    every_s = chance.uniform(0.3, 1.2) * DAY_S
    room = most - level * (1 + sum(share for share, _, _ in shares))
    return Wave(
        level=level,
        sines=tuple((level * share, period, at) for share, period, at in shares),
        burst=max(0.0, min(level * chance.uniform(0.5, 6.0), room)),
        every_s=every_s,
        burst_s=chance.uniform(30, 120),
        later_s=chance.uniform(0, every_s),
    )


class _Run(msgspec.Struct):
    """One run of a VM: it began at `began` by the clock of the load, and has really run for `ran_s` since, without the
    time that it was paused. `wanted_ns` and `spent_ns` are the CPU time that its load asks for, and that its host has had
    for it."""

    run: int
    seen: float
    began: float
    ran_s: float = 0.0
    wanted_ns: int = 0
    spent_ns: int = 0


class SimulatedLoad:
    """The counters of one simulated host. `read` may be called by several threads.

    A counter is a function of the VM's UUID and of how long it has run; what is kept here is only that time. Of the CPU
    time that this gives, the VMs of a host get no more than it has: all together less, if they ask for more.
    """

    def __init__(self, *, wall_clock: Callable[[], float] = time.time, clock: Callable[[], float] = clock) -> None:
        self._wall_clock = wall_clock
        self._clock = clock
        self._runs: dict[str, _Run] = {}
        self._host = HostCounters(clock(), 0, 0)
        self._lock = threading.Lock()

    def read(self, connection: Any, group: Group, devices: Devices) -> Reading:
        """The counters of all running VMs, like `reader.read`. Raises libvirtError."""
        began = self._clock()
        active = connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
        with self._lock:
            found = [self._read_one(domain, group, devices) for domain in active]
            domains = [counters for counters in found if counters is not None]
            host = None
            if group == "quick":
                domains, host = self._share_cpus(connection, domains)
        at = self._clock()
        return Reading(group=group, time=datetime.now(UTC), at=at, took_s=at - began, domains=domains, host=host)

    def _read_one(self, domain: Any, group: Group, devices: Devices) -> DomainCounters | None:
        try:
            uuid, run = str(domain.UUIDString()), domain.ID()
            state, _, given_kib, vcpus, _ = domain.info()
        except libvirt.libvirtError as error:
            if code_of(error) == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise
        now, ran = self._clock(), self._advance(uuid, run, runs=state == libvirt.VIR_DOMAIN_RUNNING)
        targets, macs = devices.get(uuid, ((), ()))
        if group == "disks":
            return DomainCounters(uuid, run, now, disks=disks(uuid, ran.began, ran.ran_s, targets) or None)
        return quick(DomainCounters(uuid, run, now), ran.began, ran.ran_s, given_kib * _KIB, vcpus, macs)

    def _advance(self, uuid: str, run: int, *, runs: bool) -> _Run:
        """Count the time since the last look, if the VM runs."""
        now, known = self._clock(), self._runs.get(uuid)
        if known is None or known.run != run:
            known = self._runs[uuid] = _Run(run, now, self._wall_clock())
        known.ran_s += now - known.seen if runs else 0.0
        known.seen = now
        return known

    def _share_cpus(self, connection: Any, domains: list[DomainCounters]) -> tuple[list[DomainCounters], HostCounters]:
        """The VMs with the CPU time that they have had, and the host with what it and they have spent since the last
        read."""
        _, memory_mib, cpus = connection.getInfo()[:3]
        before, now = self._host, self._clock()
        capacity = int((now - before.at) * cpus * 1e9)
        own = int(capacity * _HOST_SHARE)
        wanted = {vm.uuid: max(0, (vm.cpu_ns or 0) - self._runs[vm.uuid].wanted_ns) for vm in domains}
        part = min(1.0, capacity * _MOST_SHARE / total_wanted) if (total_wanted := sum(wanted.values())) else 1.0
        spent, shared = 0, []
        for vm in domains:
            run = self._runs[vm.uuid]
            had = int(wanted[vm.uuid] * part)
            run.wanted_ns, run.spent_ns, spent = vm.cpu_ns or 0, run.spent_ns + had, spent + had
            shared.append(msgspec.structs.replace(vm, cpu_ns=run.spent_ns))
        busy = min(capacity, spent + own)
        used = _HOST_BYTES + sum((vm.memory_seen_bytes or 0) - (vm.memory_available_bytes or 0) for vm in domains)
        total = memory_mib * _MIB
        self._host = HostCounters(
            now, (before.busy_ns or 0) + busy, (before.idle_ns or 0) + capacity - busy, total, min(used, total)
        )
        return shared, self._host


def quick(
    counters: DomainCounters, began: float, ran_s: float, given: int, vcpus: int, macs: tuple[str, ...]
) -> DomainCounters:
    """The counters of CPU, memory and network of a VM that has run for `ran_s` since `began`. Pure."""
    load, at = load_of(counters.uuid), began + ran_s
    seen = int(given * 0.97)
    share = load.memory + load.memory_swing * math.sin(math.tau * at / DAY_S)
    first = _since(load.received, began, at), _since(load.sent, began, at)
    return msgspec.structs.replace(
        counters,
        cpu_ns=int(_since(load.cpu, began, at) * vcpus * 1e9),
        memory_given_bytes=given,
        memory_seen_bytes=seen,
        memory_available_bytes=int(seen * (1 - share)),
        memory_updated=1 + int(ran_s),
        nics=tuple(NICCounters(mac, *(int(value / (number + 1)) for value in first)) for number, mac in enumerate(macs))
        or None,
    )


def disks(uuid: str, began: float, ran_s: float, targets: tuple[str, ...]) -> tuple[DiskCounters, ...]:
    """The counters of the disks of a VM that has run for `ran_s` since `began`: the first has most of the load. Pure."""
    load, at = load_of(uuid), began + ran_s
    read, written = _since(load.read, began, at), _since(load.written, began, at)
    return tuple(_disk(target, read / number, written / number) for number, target in enumerate(targets, 1))


def _disk(target: str, read: float, written: float) -> DiskCounters:
    reads, writes = int(read / _READ_BYTES), int(written / _WRITE_BYTES)
    return DiskCounters(target, int(read), reads, int(written), writes, (reads + writes) * _REQUEST_NS)


def _since(wave: Wave, began: float, at: float) -> float:
    return max(0.0, wave.total(at) - wave.total(began))


def crash(connection: Any, uuid: str) -> None:
    """Make a VM of the simulator crash: it is off then, and libvirt says why. Raises libvirtError."""
    with tempfile.TemporaryDirectory(prefix="novacron-dump-") as directory:
        connection.lookupByUUIDString(uuid).coreDump(f"{directory}/dump", libvirt.VIR_DUMP_CRASH)
