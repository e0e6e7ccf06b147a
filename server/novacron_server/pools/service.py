"""Checks and submits changes of pools."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from novacron_core import errors
from novacron_core.api.operations import Operation, Target
from novacron_core.api.pools import Pool, PoolTier
from novacron_core.rules.pool_actions import why_not_in_a_tier
from novacron_core.rules.visibility import Principal
from novacron_core.values.operation_kinds import OperationKind
from novacron_server.database.transactions import Connection
from novacron_server.inventory.change_events import pool_refreshed
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.rows import PoolRow
from novacron_server.operations.runner import Operations
from novacron_server.operations.submission import Submission
from novacron_server.outbox.records import EventDraft
from novacron_server.pools import repository
from novacron_server.pools.procedures.set_tier import SetTierSteps


class Pools:
    """The service for pools."""

    def __init__(self, inventory: Inventory, operations: Operations) -> None:
        self._inventory = inventory
        self._operations = operations

    async def set_tier(self, principal: Principal, pool_id: str, body: PoolTier, key: str) -> Operation:
        """Assign a pool to a tier, or remove it from its tier. Raises NotFound, Conflict, HostUnavailable."""
        request = {"pool": pool_id, **msgspec.to_builtins(body)}

        async def decide() -> Submission[SetTierSteps]:
            pool = self._pool(principal, pool_id)
            self._inventory.require_host_up(pool.host)
            if refused := why_not_in_a_tier(pool.name, pool.type, managed=pool.managed):
                raise errors.Conflict(refused)
            same = self._inventory.state.storage.same_directory(pool.host, pool.name)
            if body.tier and (tiered := next((other for other in same if other.tier), None)):
                raise errors.Conflict(
                    f"{pool.name} is the directory of {tiered.name}, which is in tier {tiered.tier}:"
                    " its files would be counted twice"
                )
            facts = self._inventory.state.storage.pool_facts(pool.host, pool.name)
            if facts is None:
                raise errors.NotFound("pool not found")
            row = PoolRow(
                host_id=pool.host,
                uuid=facts.uuid,
                name=pool.name,
                tier=body.tier or "hot",
                created_at=datetime.now(UTC),
            )
            return Submission(
                target=Target(type="pool", id=pool.id, name=pool.name),
                host_id=pool.host,
                tenant=None,  # pools belong to no tenant: administrators see the operation
                steps=SetTierSteps(),
                rows=lambda connection, _operation: _write_row(connection, pool, row, removed=body.tier is None),
            )

        return await self._operations.submit(OperationKind.POOL_SET_TIER, principal, key, request, decide)

    def _pool(self, principal: Principal, pool_id: str) -> Pool:
        seen = any(pool.id == pool_id for pool in self._inventory.pools(principal))
        pool = self._inventory.state.storage.pool(pool_id) if seen else None
        if pool is None:
            raise errors.NotFound("pool not found")
        return pool


async def _write_row(connection: Connection, pool: Pool, row: PoolRow, *, removed: bool) -> list[EventDraft]:
    if removed:
        await repository.remove(connection, row.host_id, row.uuid)
    else:
        await repository.put(connection, row)
    event = pool_refreshed(pool)
    return [msgspec.structs.replace(event, row=msgspec.to_builtins(row), gone=removed)]
