"""Reads every host's counters for ever: each host and group on its own schedule, in threads of their own.

At most one round of a group is under way on a host, so a host that hangs holds two threads and slows nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

import structlog

from novacron_core import errors
from novacron_core.api.hosts import HostStatus
from novacron_server.hypervisor.facts import DomainFacts
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.hypervisor.statistics.counters import Group, Reading
from novacron_server.inventory.inventory import Inventory
from novacron_server.metrics.latest import LatestSamples
from novacron_server.metrics.polling import PollingInterval

_log = structlog.get_logger()
QUICK_S = 5.0
DISKS_S = 15.0
SHARE = 0.25
"""Of the time that a host may be busy with one kind of round."""
MEMORY_PERIOD_S = 5
_FIRST_RATE_S = 1.0
"""A rate needs two readings: the second comes soon, so that there is something to see."""
_LOOK_S = 0.5
_PERIODS_AT_ONCE = 10


class Collector:
    """Fills the board. `run` until cancelled."""

    def __init__(
        self, inventory: Inventory, board: LatestSamples, *, quick_s: float = QUICK_S, disks_s: float = DISKS_S
    ) -> None:
        self._inventory = inventory
        self._board = board
        self._periods: dict[Group, float] = {"quick": quick_s, "disks": disks_s}
        self._asked: dict[str, set[tuple[str, int]]] = {}
        self._asking: set[asyncio.Task[None]] = set()

    def tasks(self) -> list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]]:
        """What must run as long as the server does, by name: each host and group for itself."""
        groups: tuple[Group, ...] = ("quick", "disks")
        return [
            (f"{group} metrics of {host.uri}", partial(self._follow, host, group))
            for host in self._inventory.connections()
            for group in groups
        ]

    async def _follow(self, host: LibvirtHost, group: Group) -> None:
        pace = PollingInterval(self._periods[group], share=SHARE)
        loop = asyncio.get_running_loop()
        await asyncio.sleep(pace.first_s())
        rounds = 0
        while True:
            if host.status is not HostStatus.UP:
                rounds = 0
                await asyncio.sleep(_LOOK_S)
                continue
            began = loop.time()
            if await self._round(host, group, pace):
                rounds += 1
            period_s = min(_FIRST_RATE_S, pace.period_s) if rounds == 1 else pace.period_s
            # From beginning to beginning, but never without a breath between two rounds.
            await asyncio.sleep(max(pace.period_s / 10, began + period_s - loop.time()))

    async def _round(self, host: LibvirtHost, group: Group, pace: PollingInterval) -> bool:
        kept = self._board.round(host.host_id, group)
        try:
            reading = await host.read_counters(group)
            await self._take(host, reading, pace)
        except errors.NovaCronError as e:
            pace.failed()
            kept.failed += 1
            _log.warning("a host's statistics were not read", host=host.name, group=group, reason=e.detail)
            return False
        except (TypeError, ValueError, KeyError, ArithmeticError) as e:
            pace.failed()
            kept.failed += 1
            _log.warning("a host's statistics make no sense", host=host.name, group=group, exc_info=e)
            return False
        kept.took_s, kept.period_s, kept.done = reading.took_s, pace.period_s, kept.done + 1
        return True

    async def _take(self, host: LibvirtHost, reading: Reading, pace: PollingInterval) -> None:
        pace.took(reading.took_s)
        known = self._inventory.state.known
        found = ((counters.uuid, known.get((host.host_id, counters.uuid))) for counters in reading.domains)
        facts = {uuid: held.facts for uuid, held in found if held is not None}
        cpus = host.facts.cpus if host.facts else None
        await self._board.take(host.host_id, reading, facts, cpus, pace.period_s)
        if reading.group == "quick":
            self._watch_memory(host, reading, facts)

    def _watch_memory(self, host: LibvirtHost, reading: Reading, facts: dict[str, DomainFacts]) -> None:
        """VMs of ours whose balloon drivers are not asked for their numbers are asked from now on."""
        rows = self._inventory.state.rows
        runs = {(counters.uuid, counters.run) for counters in reading.domains}
        asked = self._asked[host.host_id] = self._asked.get(host.host_id, set()) & runs
        for uuid, run in runs - asked:
            held = facts.get(uuid)
            if held is None or held.memory_period_s != 0 or (host.host_id, uuid) not in rows:
                continue
            if len(self._asking) >= _PERIODS_AT_ONCE:
                return
            asked.add((uuid, run))
            task = asyncio.create_task(self._set_period(host, uuid), name="memory period")
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _set_period(self, host: LibvirtHost, vm_id: str) -> None:
        try:
            await host.set_memory_period(vm_id, MEMORY_PERIOD_S)
        except errors.NovaCronError as e:
            _log.info("a VM's memory cannot be watched", vm=vm_id, reason=e.detail)
            return
        with suppress(errors.NovaCronError):  # its host went: it is read anew when it is back
            await self._inventory.refresh_vm(host.host_id, vm_id)
