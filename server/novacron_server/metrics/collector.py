"""Reads every host's counters: each host and group on its own schedule, in separate threads.

At most one read per group is in progress on a host, so a host that hangs blocks two threads and delays no other host.
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
"""The maximum share of the time that a host may be busy with reads of one group."""
MEMORY_PERIOD_S = 5
_FIRST_RATE_S = 1.0
"""A rate needs two readings: the second follows soon after the first, so that rates are shown early."""
_STATUS_POLL_S = 0.5
_MAX_PERIOD_TASKS = 10


class Collector:
    """Reads all hosts into `latest`. Call `run` once."""

    def __init__(
        self, inventory: Inventory, latest: LatestSamples, *, quick_s: float = QUICK_S, disks_s: float = DISKS_S
    ) -> None:
        self._inventory = inventory
        self._latest = latest
        self._periods: dict[Group, float] = {"quick": quick_s, "disks": disks_s}
        self._requested: dict[str, set[tuple[str, int]]] = {}
        self._period_tasks: set[asyncio.Task[None]] = set()

    def tasks(self) -> list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]]:
        """The background tasks, one per host and group, as (name, coroutine function) pairs."""
        groups: tuple[Group, ...] = ("quick", "disks")
        return [
            (f"{group} metrics of host {host.host_id}", partial(self._poll, host, group))
            for host in self._inventory.connections()
            for group in groups
        ]

    async def _poll(self, host: LibvirtHost, group: Group) -> None:
        interval = PollingInterval(self._periods[group], share=SHARE)
        loop = asyncio.get_running_loop()
        await asyncio.sleep(interval.initial_delay_s())
        rounds = 0
        while True:
            if host.status is not HostStatus.UP:
                rounds = 0
                await asyncio.sleep(_STATUS_POLL_S)
                continue
            began = loop.time()
            if await self._read(host, group, interval):
                rounds += 1
            period_s = min(_FIRST_RATE_S, interval.period_s) if rounds == 1 else interval.period_s
            # Measured from start to start, but always with a pause between two reads.
            await asyncio.sleep(max(interval.period_s / 10, began + period_s - loop.time()))

    async def _read(self, host: LibvirtHost, group: Group, interval: PollingInterval) -> bool:
        stats = self._latest.round(host.host_id, group)
        try:
            reading = await host.read_counters(group)
            await self._record(host, reading, interval)
        except errors.NovaCronError as e:
            interval.record_failure()
            stats.failed += 1
            _log.warning("cannot read a host's statistics", host=host.name, group=group, reason=e.detail)
            return False
        except (TypeError, ValueError, KeyError, ArithmeticError) as e:
            interval.record_failure()
            stats.failed += 1
            _log.warning("a host's statistics are invalid", host=host.name, group=group, exc_info=e)
            return False
        stats.took_s, stats.period_s, stats.done = reading.took_s, interval.period_s, stats.done + 1
        return True

    async def _record(self, host: LibvirtHost, reading: Reading, interval: PollingInterval) -> None:
        interval.record(reading.took_s)
        known = self._inventory.state.known
        found = ((counters.uuid, known.get((host.host_id, counters.uuid))) for counters in reading.domains)
        facts = {uuid: held.facts for uuid, held in found if held is not None}
        cpus = host.facts.cpus if host.facts else None
        await self._latest.record(host.host_id, reading, facts, cpus, interval.period_s)
        if reading.group == "quick":
            self._enable_memory_statistics(host, reading, facts)

    def _enable_memory_statistics(self, host: LibvirtHost, reading: Reading, facts: dict[str, DomainFacts]) -> None:
        """Enable polling of the balloon driver for managed VMs that do not have it enabled."""
        rows = self._inventory.state.rows
        runs = {(counters.uuid, counters.run) for counters in reading.domains}
        requested = self._requested[host.host_id] = self._requested.get(host.host_id, set()) & runs
        for uuid, run in runs - requested:
            held = facts.get(uuid)
            if held is None or held.memory_period_s != 0 or (host.host_id, uuid) not in rows:
                continue
            if len(self._period_tasks) >= _MAX_PERIOD_TASKS:
                return
            requested.add((uuid, run))
            task = asyncio.create_task(self._set_period(host, uuid), name="memory period")
            self._period_tasks.add(task)
            task.add_done_callback(self._period_tasks.discard)

    async def _set_period(self, host: LibvirtHost, vm_id: str) -> None:
        try:
            await host.set_memory_period(vm_id, MEMORY_PERIOD_S)
        except errors.NovaCronError as e:
            _log.info("cannot enable memory statistics of a VM", vm=vm_id, reason=e.detail)
            return
        with suppress(errors.NovaCronError):  # the host was lost: everything is read again when it is back
            await self._inventory.refresh_vm(host.host_id, vm_id)
