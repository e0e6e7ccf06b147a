"""Crashes a running VM of the simulated fleet every few minutes; nobody repairs it, so that somebody can."""

from __future__ import annotations

import asyncio
import random

import structlog

from novacron_core import errors
from novacron_core.api.vms import State
from novacron_server.inventory.inventory import Inventory

_log = structlog.get_logger()
_FIRST_S, _SHORTEST_S, _LONGEST_S = 75.0, 150.0, 330.0
_MOST_SHARE = 0.05
"""The share of the fleet that is off by crashes at most: a demo that was left alone is still a fleet."""


class SimulatedCrashes:
    """Call `run` once. `first_s` is how long after that the first VM crashes."""

    def __init__(self, inventory: Inventory, *, first_s: float = _FIRST_S) -> None:
        self._inventory = inventory
        self._first_s = first_s
        self._chance = random.Random(7)  # noqa: S311 - no secret
        self._crashed: set[tuple[str, str]] = set()

    async def run(self) -> None:
        pause_s = self._first_s
        while True:
            await asyncio.sleep(pause_s)
            pause_s = self._chance.uniform(_SHORTEST_S, _LONGEST_S)
            try:
                await self._crash_one()
            except errors.NovaCronError as e:  # stopped or deleted at this moment: another one is next
                _log.info("no VM was crashed", reason=e.detail)

    async def _crash_one(self) -> None:
        vms = {(vm.host, vm.id): vm for vm in self._inventory.state.vms()}
        running = {key for key, vm in vms.items() if vm.state is State.RUNNING}
        self._crashed = (self._crashed & vms.keys()) - running
        if not running or len(self._crashed) >= max(1, int(_MOST_SHARE * len(vms))):
            return
        host_id, vm_id = key = self._chance.choice(sorted(running))
        self._crashed.add(key)  # also if the crash fails: the VM is running then, and is not counted next time
        await self._inventory.host(host_id).crash(vm_id)
        await self._inventory.refresh_vm(host_id, vm_id)
