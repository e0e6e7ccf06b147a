"""What may be done to pools, and by whom."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from novacron_core import errors
from novacron_core.api.operations import Operation, Target
from novacron_core.api.pools import Pool, PoolTier
from novacron_core.rules.pool_actions import why_not_in_a_tier
from novacron_core.rules.visibility import Principal
from novacron_server.database.transactions import Connection
from novacron_server.inventory.change_events import pool_refreshed
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.rows import PoolRow
from novacron_server.operations.context import OperationContext
from novacron_server.operations.failpoints import failpoint
from novacron_server.operations.request import OperationRequest
from novacron_server.operations.runner import Operations
from novacron_server.outbox.records import EventDraft
from novacron_server.pools import repository

_KIND = "pool.set-tier"


class Pools:
    """The service of pools."""

    def __init__(self, inventory: Inventory, operations: Operations) -> None:
        self._inventory = inventory
        self._operations = operations

    async def set_tier(self, principal: Principal, pool_id: str, body: PoolTier, key: str) -> Operation:
        """Give a pool to a tier, or take it out. Raises NotFound, Conflict with the reason, HostUnavailable."""
        words = {"pool": pool_id, **msgspec.to_builtins(body)}
        if before := await self._operations.repeated(principal, key, _KIND, words):
            return before
        pool = self._pool(principal, pool_id)
        self._inventory.require_host_up(pool.host)
        if refused := why_not_in_a_tier(pool.name, pool.type, managed=pool.managed):
            raise errors.Conflict(refused)
        facts = self._inventory.state.storage.pool_facts(pool.host, pool.name)
        if facts is None:
            raise errors.NotFound("there is no such pool")
        row = PoolRow(
            host_id=pool.host, uuid=facts.uuid, name=pool.name, tier=body.tier or "hot", created_at=datetime.now(UTC)
        )

        async def rows(connection: Connection, _operation: Operation) -> list[EventDraft]:
            if body.tier is None:
                await repository.remove(connection, row.host_id, row.uuid)
            else:
                await repository.put(connection, row)
            told = pool_refreshed(pool)
            return [msgspec.structs.replace(told, row=msgspec.to_builtins(row), gone=body.tier is None)]

        async def work(run: OperationContext) -> None:
            await failpoint("pool.set-tier:began")
            await self._inventory.until_folded(run.id)  # what is read before that would be compared by the old row
            await self._inventory.refresh_volumes(pool.host)

        request = OperationRequest(
            kind=_KIND,
            target=Target(type="pool", id=pool.id, name=pool.name),
            host_id=pool.host,
            tenant=None,  # the house's: administrators see it
            principal=principal,
            body=words,
            idempotency_key=key,
        )
        return await self._operations.start(request, work, rows)

    def _pool(self, principal: Principal, pool_id: str) -> Pool:
        for pool in self._inventory.pools(principal):
            if pool.id == pool_id:
                return pool
        raise errors.NotFound("there is no such pool")
