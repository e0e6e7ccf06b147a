"""Keeps the boot times of managed VMs in the database, and shows them again after a restart of the server."""

from __future__ import annotations

import asyncio
from datetime import datetime

from novacron_core import errors
from novacron_server.database.transactions import Connection, Database
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.state import Key
from novacron_server.tasks import try_to
from novacron_server.vms import repository

EVERY_S = 1.0
"""Many guests may start at once: their times are stored together."""
Boot = tuple[datetime, str]
"""When the guest was started or restarted last, and the run in which it was (`LibvirtHost.read_runs`)."""


class BootTimes:
    """`run` is a background task; `load` is called once, before it.

    A stored time is shown only while the run lasts in which it was seen: a guest that was started again while no server
    looked has another one.
    """

    def __init__(self, database: Database, inventory: Inventory) -> None:
        self._database = database
        self._inventory = inventory
        self._stored: dict[Key, Boot] = {}
        self._loaded: set[Key] = set()
        self._changed: set[Key] = set()
        self._wake = asyncio.Event()
        inventory.domain_read.listen(self._look)

    async def load(self, connection: Connection) -> None:
        """Read what earlier servers have stored."""
        self._stored = await repository.boot_times(connection)
        self._loaded = set(self._stored)

    def _look(self, key: Key) -> None:
        state, boot = self._inventory.state, self._stored.get(key)
        now = known.booted_at if (known := state.known.get(key)) else None
        if boot is None and key not in state.rows:
            return  # an unmanaged VM has no row to keep it in
        if key in self._loaded or now != (boot[0] if boot else None):
            self._changed.add(key)
            self._wake.set()

    async def run(self) -> None:
        """Store and show until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await try_to("storing boot times", self.store)
            if self._changed:
                self._wake.set()
            await asyncio.sleep(EVERY_S)

    async def store(self) -> None:
        """Show the times of earlier servers that still hold, and store the changed ones. Raises DatabaseUnavailable."""
        state, keys = self._inventory.state, set(self._changed)
        runs = await self._runs(keys)
        found: dict[Key, Boot | None] = {}
        for key in keys:
            known, boot, run = state.known.get(key), self._stored.get(key), runs.get(key)
            now = known.booted_at if known else None
            if now is None and key in self._loaded and boot is not None and boot[1] == run:
                self._inventory.restore_boot_time(key, now := boot[0])
            found[key] = (now, run) if now is not None and run is not None else None
        written = {key: boot for key, boot in found.items() if boot != self._stored.get(key) and key in state.rows}
        if written:
            await self._database.run(lambda c: repository.write_boot_times(c, written))
        for key, boot in found.items():
            if boot is None or key not in state.rows:
                self._stored.pop(key, None)
            else:
                self._stored[key] = boot
        self._loaded -= keys
        self._changed -= {key for key in keys if self._is_stored(key)}

    def _is_stored(self, key: Key) -> bool:
        """Whether nothing newer was read meanwhile."""
        known, boot = self._inventory.state.known.get(key), self._stored.get(key)
        return boot is None or (known is not None and known.booted_at == boot[0])

    async def _runs(self, keys: set[Key]) -> dict[Key, str]:
        """The current run of each of these VMs that runs, was not started again meanwhile, and whose host responds."""
        state, found = self._inventory.state, {}
        for host_id in {host_id for host_id, _ in keys}:
            before = {vm_id: known.facts for key_host, vm_id in keys
                      if key_host == host_id and (known := state.known.get((host_id, vm_id)))}  # fmt: skip
            try:
                runs = await self._inventory.host(host_id).read_runs(before.values())
            except errors.NovaCronError:
                continue
            for vm_id, run in runs.items():
                known = state.known.get((host_id, vm_id))
                if known is not None and known.facts.run_id == before[vm_id].run_id:
                    found[host_id, vm_id] = run
        return found
