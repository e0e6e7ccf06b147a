"""Creates the three managed pools on every host that lacks them, after each read of a host's storage."""

from __future__ import annotations

import asyncio
from contextvars import Context

import structlog

from novacron_core import errors
from novacron_core.api.hosts import HostStatus
from novacron_core.values.tiers import TIERS
from novacron_server.inventory.change_events import tier_refreshed
from novacron_server.inventory.inventory import Inventory
from novacron_server.pools.managed import ManagedPools

_log = structlog.get_logger()


class ManagedPoolUpkeep:
    """An inactive pool is left alone: an operator has stopped it, and may have unmounted its disk."""

    def __init__(self, inventory: Inventory, managed_pools: ManagedPools) -> None:
        self._inventory = inventory
        self._managed_pools = managed_pools
        self._creating: dict[str, asyncio.Task[None]] = {}
        inventory.storage_read.listen(self._on_storage_read)

    def _on_storage_read(self, host_id: str) -> None:
        """A host's storage was read: create its missing pools. A failure is retried after the next read."""
        if self._missing(host_id) and host_id not in self._creating:
            task = asyncio.create_task(self._create(host_id), name="creating pools", context=Context())
            self._creating[host_id] = task
            task.add_done_callback(lambda _: self._creating.pop(host_id, None))

    async def close(self) -> None:
        tasks = list(self._creating.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _missing(self, host_id: str) -> list[str]:
        pools = self._inventory.state.storage.pools_on(host_id)
        host = self._inventory.host(host_id)
        return [tier for tier in TIERS if self._managed_pools.pool(host, tier).name not in pools]

    async def _create(self, host_id: str) -> None:
        host = self._inventory.host(host_id)
        storage = self._inventory.state.storage
        for tier in self._missing(host_id):
            if host.status is not HostStatus.UP:
                return
            previous = storage.notes.pop((host_id, tier), "")
            try:
                await host.storage.ensure_pool(self._managed_pools.pool(host, tier))
            except errors.NovaCronError as e:
                storage.notes[host_id, tier] = note = f"{host.name}: {e.detail}"
                if note != previous:
                    _log.warning("a pool could not be created", host=host.name, tier=tier, reason=e.detail)
                    self._inventory.publisher.publish(tier_refreshed(tier))
        await self._refresh(host_id)

    async def _refresh(self, host_id: str) -> None:
        try:
            await self._inventory.refresh_volumes(host_id)
        except errors.NovaCronError as e:
            _log.warning("the new pools could not be read yet", reason=e.detail)
