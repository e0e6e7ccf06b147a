"""Keeps the sizes in the rows of volumes, which quotas count, at what libvirt reports."""

from __future__ import annotations

from functools import partial

from novacron_server.database.transactions import Database
from novacron_server.inventory.inventory import Inventory
from novacron_server.volumes import repository

_BATCH = 1000


class VolumeSizes:
    """A volume of an earlier version has no size in its row, one that was not grown after all a wrong one, and one that
    was resized outside NovaCron an old one."""

    def __init__(self, database: Database, inventory: Inventory) -> None:
        self._database = database
        self._inventory = inventory
        self._stored: dict[str, int] = {}

    async def store(self, host_id: str) -> None:
        """Store the sizes of a host's volumes that have changed. Raises DatabaseUnavailable."""
        state = self._inventory.state
        changed = {}
        for volume in state.storage.volumes():
            if volume.host != host_id or volume.unmanaged:
                continue
            if state.operation_on(volume) is not None:
                self._stored.pop(volume.id, None)  # to be looked at again when it has ended
            elif self._stored.get(volume.id) != volume.size_bytes:
                changed[volume.id] = volume.size_bytes
        ids = list(changed)
        for begin in range(0, len(ids), _BATCH):
            batch = {volume_id: changed[volume_id] for volume_id in ids[begin : begin + _BATCH]}
            await self._database.run(partial(repository.write_sizes, sizes=batch))
            self._stored.update(batch)
        for volume_id in self._stored.keys() - {row.id for row in state.storage.volume_rows.values()}:
            del self._stored[volume_id]
