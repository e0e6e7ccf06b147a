"""What was read last of managed VMs: they are shown as unknown until their host has been read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from novacron_server.database.transactions import Connection, Database
from novacron_server.hypervisor.facts import DomainFacts
from novacron_server.inventory.compose import KnownDomain
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.last_facts import LastFacts
from novacron_server.inventory.state import Key
from novacron_server.vms import repository

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class LastVMFacts(LastFacts[Key, DomainFacts]):
    what = "VMs"
    facts = DomainFacts

    def __init__(self, database: Database, inventory: Inventory) -> None:
        super().__init__(database)
        self._state = inventory.state

    async def load(self, connection: Connection) -> None:
        """Show the VMs of hosts that have not been read yet."""
        stored = await repository.last_facts(connection)
        read_at = {(host_id, vm_id): moment for host_id, vm_id, _, moment in stored}
        for key, facts in self._read([((host_id, vm_id), raw) for host_id, vm_id, raw, _ in stored]).items():
            self._state.remember(key, KnownDomain(facts, read_at[key], None, remembered=True))

    def current(self) -> Mapping[Key, DomainFacts]:
        return {key: known.facts for key, known in self._state.known.items() if key in self._state.rows}

    async def write(self, connection: Connection, raw_by_key: Mapping[Key, dict[str, Any]]) -> None:
        await repository.write_last_facts(connection, raw_by_key, self._read_at())

    def _is_gone(self, key: Key) -> bool:
        return key not in self._state.rows

    def _read_at(self) -> dict[str, datetime]:
        """When each host was read last: when the newest of its VMs was."""
        newest: dict[str, datetime] = {}
        for (host_id, _), known in self._state.known.items():
            newest[host_id] = max(newest.get(host_id, _LONG_AGO), known.seen_at or _LONG_AGO)
        return newest
