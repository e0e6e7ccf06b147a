"""What was read last of managed volumes: they are shown with the time of that reading until their host is read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from novacron_server.database.transactions import Connection, Database
from novacron_server.hypervisor.facts import VolumeFacts
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.last_facts import LastFacts
from novacron_server.volumes import repository

_NOISE_BYTES = 64 << 20
"""A guest that writes changes these numbers all the time."""


class LastVolumeFacts(LastFacts[str, VolumeFacts]):
    """By volume id."""

    what = "volumes"
    facts = VolumeFacts

    def __init__(self, database: Database, inventory: Inventory) -> None:
        super().__init__(database)
        self._storage = inventory.state.storage

    async def load(self, connection: Connection) -> None:
        """Show the volumes of hosts that have not been read yet."""
        stored = await repository.last_facts(connection)
        facts_by_id = self._read([(volume_id, raw) for volume_id, _, raw, _ in stored])
        by_host: dict[str, tuple[datetime | None, list[VolumeFacts]]] = {}
        for volume_id, host_id, _, read_at in stored:
            if volume_id in facts_by_id:
                by_host.setdefault(host_id, (read_at, []))[1].append(facts_by_id[volume_id])
        for host_id, (read_at, facts) in by_host.items():
            self._storage.remember(host_id, facts, read_at)

    def current(self) -> Mapping[str, VolumeFacts]:
        return self._storage.managed_facts()

    async def write(self, connection: Connection, raw_by_key: Mapping[str, dict[str, Any]]) -> None:
        await repository.write_last_facts(connection, raw_by_key)

    def differs(self, stored: VolumeFacts, now: VolumeFacts) -> bool:
        numbers = ("allocated_bytes", "file_bytes", "modified_ns")
        same = all(getattr(stored, name) == getattr(now, name) for name in now.__struct_fields__ if name not in numbers)
        return not same or abs(stored.allocated_bytes - now.allocated_bytes) > _NOISE_BYTES

    def _is_gone(self, key: str) -> bool:
        return not self._storage.has_row(key)
