"""Our three pools on every host: made where they are missing, after each look at a host's storage."""

from __future__ import annotations

import asyncio

import structlog

from novacron_core import errors
from novacron_core.api.hosts import HostStatus
from novacron_core.values.tiers import TIERS
from novacron_server.inventory.change_events import tier_refreshed
from novacron_server.inventory.inventory import Inventory
from novacron_server.pools.managed import ManagedPools

_log = structlog.get_logger()


class ManagedPoolUpkeep:
    """A pool that exists and is off is left alone: somebody switched it off, and perhaps unmounted its disk."""

    def __init__(self, inventory: Inventory, managed_pools: ManagedPools) -> None:
        self._inventory = inventory
        self._managed_pools = managed_pools
        self._making: dict[str, asyncio.Task[None]] = {}
        inventory.storage_read.listen(self.looked)

    def looked(self, host_id: str) -> None:
        """A host's storage was read: make what is missing there. What fails is tried again after the next look."""
        if self._missing(host_id) and host_id not in self._making:
            task = asyncio.create_task(self._make(host_id), name="making pools")
            self._making[host_id] = task
            task.add_done_callback(lambda _: self._making.pop(host_id, None))

    async def close(self) -> None:
        tasks = list(self._making.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _missing(self, host_id: str) -> list[str]:
        there = self._inventory.state.storage.pools_on(host_id)
        host = self._inventory.host(host_id)
        return [tier for tier in TIERS if self._managed_pools.pool(host, tier).name not in there]

    async def _make(self, host_id: str) -> None:
        host = self._inventory.host(host_id)
        storage = self._inventory.state.storage
        for tier in self._missing(host_id):
            if host.status is not HostStatus.UP:
                return
            before = storage.notes.pop((host_id, tier), "")
            try:
                await host.storage.ensure_pool(self._managed_pools.pool(host, tier))
            except errors.NovaCronError as e:
                storage.notes[host_id, tier] = note = f"{host.name}: {e.detail}"
                if note != before:
                    _log.warning("a pool could not be made", host=host.name, tier=tier, reason=e.detail)
                    self._inventory.publisher.publish(tier_refreshed(tier))
        await self._refresh(host_id)

    async def _refresh(self, host_id: str) -> None:
        try:
            await self._inventory.refresh_volumes(host_id)
        except errors.NovaCronError as e:
            _log.warning("the new pools are not seen yet", reason=e.detail)
