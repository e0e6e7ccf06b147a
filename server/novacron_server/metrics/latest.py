"""The latest samples of all hosts, in memory: the source of current values, streams, totals and the history."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from novacron_core.api.samples import VMSample
from novacron_server.hypervisor.facts import DomainFacts
from novacron_server.hypervisor.statistics.counters import Group, Reading
from novacron_server.hypervisor.statistics.reader import clock
from novacron_server.inventory.signal import Signal
from novacron_server.metrics.meter import HostMeter, VMMeter

_STALE_PERIODS = 3.0
_STALE_S = 20.0


@dataclass(slots=True)
class Round:
    """Statistics on the reads of one group on one host: last duration and interval, successes and failures."""

    took_s: float = 0.0
    period_s: float = 0.0
    done: int = 0
    failed: int = 0


class LatestSamples:
    """Written by the collector. `responds` says whether a host responds now: what was read of one that does not is no
    current value, however new it is. `read` emits a host's id after each read of CPU, memory and network, `disks_read` a
    host's id and what was read of its disks."""

    def __init__(self, responds: Callable[[str], bool] = lambda _: True) -> None:
        self._responds = responds
        self.read: Signal[str] = Signal()
        self.disks_read: Signal[tuple[str, Reading]] = Signal()
        self.hosts: dict[str, HostMeter] = {}
        self.rounds: dict[tuple[str, Group], Round] = {}

    def host(self, host_id: str) -> HostMeter:
        """The host's meter, initially empty."""
        return self.hosts.setdefault(host_id, HostMeter())

    def round(self, host_id: str, group: Group) -> Round:
        return self.rounds.setdefault((host_id, group), Round())

    async def record(
        self, host_id: str, reading: Reading, facts: Mapping[str, DomainFacts], cpus: int | None, period_s: float
    ) -> None:
        """Store one reading of a host."""
        await asyncio.to_thread(self.host(host_id).record, reading, facts, cpus, period_s)
        if reading.group == "quick":
            self.read.emit(host_id)
        else:
            self.disks_read.emit((host_id, reading))

    def meter(self, host_id: str, vm_id: str) -> VMMeter | None:
        """A VM's meter if its values are current; None if it is not running, or its host was not read recently or
        does not respond."""
        host = self.hosts.get(host_id)
        current = host is not None and self.fresh(host) and self._responds(host_id)
        return host.vms.get(vm_id) if host is not None and current else None

    def sample(self, host_id: str, vm_id: str) -> VMSample | None:
        """A VM's latest sample if it is current."""
        meter = self.meter(host_id, vm_id)
        return meter.sample if meter and meter.counters else None

    @staticmethod
    def fresh(host: HostMeter) -> bool:
        """Whether the host was read recently enough for its values to be current."""
        return clock() - host.at <= max(_STALE_S, _STALE_PERIODS * host.period_s)
