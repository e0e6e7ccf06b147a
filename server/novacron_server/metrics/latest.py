"""The newest numbers of all hosts, in memory: what is shown now, streamed, summed and written to the history."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from novacron_core.api.samples import VMSample
from novacron_server.hypervisor.facts import DomainFacts
from novacron_server.hypervisor.statistics.counters import Group, Reading
from novacron_server.hypervisor.statistics.reader import clock
from novacron_server.metrics.meter import HostMeter, VMMeter

_STALE_PERIODS = 3.0
_STALE_S = 20.0


@dataclass(slots=True)
class Round:
    """How the rounds of one kind go on one host."""

    took_s: float = 0.0
    period_s: float = 0.0
    done: int = 0
    failed: int = 0


class LatestSamples:
    """Written by the collector. `on_round` is called with a host's id after each round of its CPU, memory and network."""

    def __init__(self) -> None:
        self.hosts: dict[str, HostMeter] = {}
        self.rounds: dict[tuple[str, Group], Round] = {}
        self.on_round: list[Callable[[str], None]] = []

    def host(self, host_id: str) -> HostMeter:
        """The host's meter, empty at first."""
        return self.hosts.setdefault(host_id, HostMeter())

    def round(self, host_id: str, group: Group) -> Round:
        return self.rounds.setdefault((host_id, group), Round())

    async def take(
        self, host_id: str, reading: Reading, facts: Mapping[str, DomainFacts], cpus: int | None, period_s: float
    ) -> None:
        """A host was read."""
        await asyncio.to_thread(self.host(host_id).take, reading, facts, cpus, period_s)
        if reading.group == "quick":
            for told in self.on_round:
                told(host_id)

    def meter(self, host_id: str, vm_id: str) -> VMMeter | None:
        """A VM's meter while its numbers are fresh; None when it does not run, or its host was not read lately."""
        host = self.hosts.get(host_id)
        return host.vms.get(vm_id) if host is not None and self.fresh(host) else None

    def sample(self, host_id: str, vm_id: str) -> VMSample | None:
        """A VM's newest numbers while they are fresh."""
        meter = self.meter(host_id, vm_id)
        return meter.sample if meter and meter.counters else None

    @staticmethod
    def fresh(host: HostMeter) -> bool:
        """Whether the host was read lately: what is older is no number of now."""
        return clock() - host.at <= max(_STALE_S, _STALE_PERIODS * host.period_s)
