"""Stores what was read last of managed VMs, so that a server that starts while a host hangs can show them as unknown."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
import structlog

from novacron_server.database.transactions import Connection, Database
from novacron_server.hypervisor.facts import DomainFacts
from novacron_server.inventory.compose import KnownDomain
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.state import Key
from novacron_server.tasks import repeat, try_to
from novacron_server.vms import repository

_log = structlog.get_logger()
EVERY_S = 60.0
_LAST_CHANCE_S = 2.0
_BATCH = 500


class LastFacts:
    """`run` is a background task; `load` is called once, before it."""

    def __init__(self, database: Database, inventory: Inventory) -> None:
        self._database = database
        self._inventory = inventory
        self._stored: dict[Key, DomainFacts] = {}

    async def load(self, connection: Connection) -> None:
        """Show the VMs of hosts that have not been read yet. Facts of another version that cannot be read are left out."""
        for host_id, vm_id, raw, read_at in await repository.last_facts(connection):
            try:
                facts = msgspec.convert(raw, DomainFacts)
            except msgspec.ValidationError as e:
                _log.warning("unreadable last facts", vm=vm_id, reason=str(e))
                continue
            key = (host_id, vm_id)
            self._stored[key] = facts
            self._inventory.state.remember(key, KnownDomain(facts, read_at, None, remembered=True))

    async def run(self) -> None:
        """Store what changed every minute until cancelled, and once more at the end."""
        try:
            await repeat(EVERY_S, "storing last facts", self.store)
        finally:
            with suppress(TimeoutError):  # the server is stopping: a database that is down must not hold it
                async with asyncio.timeout(_LAST_CHANCE_S):
                    await try_to("storing last facts", self.store)

    async def store(self) -> None:
        """Store the facts that differ from the stored ones. Raises DatabaseUnavailable."""
        state = self._inventory.state
        changed = {
            key: known.facts
            for key, known in state.known.items()
            if key in state.rows and self._stored.get(key) != known.facts
        }
        read_at, keys = self._read_at(), list(changed)
        for begin in range(0, len(keys) or 1, _BATCH):  # the first time these are all VMs: too many for one budget
            batch = {key: changed[key] for key in keys[begin : begin + _BATCH]}
            raw: dict[Key, dict[str, Any]] = {key: msgspec.to_builtins(facts) for key, facts in batch.items()}
            await self._database.run(partial(repository.write_last_facts, facts_by_key=raw, read_at=read_at))
            self._stored.update(batch)
        for key in self._stored.keys() - state.rows.keys():
            del self._stored[key]

    def _read_at(self) -> dict[str, datetime]:
        """When each host was read last: when the newest of its VMs was."""
        newest: dict[str, datetime] = {}
        for (host_id, _), known in self._inventory.state.known.items():
            newest[host_id] = max(newest.get(host_id, _LONG_AGO), known.seen_at or _LONG_AGO)
        return newest


_LONG_AGO = datetime.min.replace(tzinfo=UTC)
