"""A server whose collector is fed: the simulator's counters never change their pace, so readings are made up here and go
in where the collector's do (`Board.take`). Everything behind that is the server as it is.

FED_EVERY_S is from round to round; FED_LOG gets a line for each round: time.monotonic() at the hand-over, and the CPU
percentage of the first VM by name.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from novacron_core.api.vms import State
from novacron_server.hypervisor.facts import DomainFacts
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.hypervisor.statistics.counters import (
    DiskCounters,
    DomainCounters,
    Group,
    HostCounters,
    NICCounters,
    Reading,
)
from novacron_server.hypervisor.statistics.reader import clock
from novacron_server.inventory.inventory import Inventory
from novacron_server.metrics import pipeline
from novacron_server.metrics.latest import LatestSamples
from novacron_server.stream import samples

EVERY_S = float(os.environ.get("FED_EVERY_S", "5"))
GIB = 1 << 30


class _Guest:
    """Counters that go on at a pace that wanders."""

    def __init__(self, number: int) -> None:
        self._chance = random.Random(number)
        self.busy = self._chance.random()
        self.cpu_s = self.bytes = 0.0
        self.used = self._chance.random()

    def go_on(self, seconds: float, vcpus: int, busy: float | None = None) -> None:
        """`busy` is the share of its vCPUs that it uses from now on; without, a little more or less than before."""
        wandered = min(1.0, max(0.0, self.busy + self._chance.uniform(-0.1, 0.1)))
        self.busy = wandered if busy is None else busy
        self.used = min(1.0, max(0.1, self.used + self._chance.uniform(-0.02, 0.02)))
        self.cpu_s += self.busy * vcpus * seconds
        self.bytes += self.busy * 5e6 * seconds

    def counters(self, facts: DomainFacts, at: float, group: Group) -> DomainCounters:
        total = int(self.bytes)
        if group == "disks":
            return DomainCounters(
                facts.uuid, 1, at, disks=(DiskCounters("vda", total, total >> 14, total, total >> 14),)
            )
        free = int((1 - self.used) * GIB)
        nics = (NICCounters("vnet0", total // 3, total // 5),)
        return DomainCounters(facts.uuid, 1, at, int(self.cpu_s * 1e9), GIB, GIB, free, int(at), nics)


class Feeder:
    """Stands where the collector does."""

    def __init__(self, inventory: Inventory, board: LatestSamples) -> None:
        self._inventory, self._board = inventory, board
        self._guests: dict[str, _Guest] = {}
        self._rounds = 0

    def tasks(self) -> list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]]:
        """What must run as long as the server does, as of the collector."""
        return [("feeder", self.run)]

    async def run(self) -> None:
        """Feed for ever. Cancel to stop."""
        (host,) = self._inventory.connections()
        before, chance = clock(), random.Random(0)
        while True:
            await asyncio.sleep(EVERY_S * chance.uniform(0.9, 1.1))
            at, self._rounds = clock(), self._rounds + 1
            await self._feed(host, at, at - before)
            before = at

    async def _feed(self, host: LibvirtHost, at: float, seconds: float) -> None:
        known = self._inventory.state.known.items()
        facts = {uuid: held.facts for (_, uuid), held in known if held.facts.state == State.RUNNING}
        first = min(facts.values(), key=lambda one: one.name, default=None)
        percent = 10 + self._rounds * 7 % 80  # another one each time
        for number, (uuid, one) in enumerate(facts.items()):
            guest = self._guests.setdefault(uuid, _Guest(number))
            guest.go_on(seconds, one.vcpus, percent / 100 if one is first else None)
        groups: tuple[Group, ...] = ("disks", "quick") if self._rounds % 3 == 0 else ("quick",)
        for group in groups:
            domains = [self._guests[uuid].counters(one, at, group) for uuid, one in facts.items()]
            machine = HostCounters(at, int(at * 4e8), int(at * 6e8), 64 * GIB, 20 * GIB)
            reading = Reading(group=group, time=datetime.now(UTC), at=at, took_s=0.01, domains=domains, host=machine)
            handed = time.monotonic()
            await self._board.record(host.host_id, reading, facts, 64, EVERY_S)
        if first is not None:
            with open(os.environ["FED_LOG"], "a") as log:
                log.write(f"{handed} {percent}\n")


if __name__ == "__main__":
    setattr(pipeline, "Collector", Feeder)
    samples._EARLY = min(samples._EARLY, EVERY_S / 10)  # a round sooner than is asked for goes out all the same
    from novacron_server.__main__ import app

    app(prog_name="fed server")
