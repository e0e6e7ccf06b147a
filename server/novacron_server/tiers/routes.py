"""Pools and tiers over HTTP."""

from __future__ import annotations

from novacron_core.api import pools, tiers, volumes
from novacron_core.api.base import ListQuery, Nothing, Page
from novacron_core.api.operations import Operation
from novacron_server.http.call import Call, Served, serve
from novacron_server.http.paging import page_of
from novacron_server.inventory.inventory import Inventory
from novacron_server.tiers.moves import Moves
from novacron_server.tiers.service import Tiers


def routes(service: Tiers, moves: Moves, inventory: Inventory) -> list[Served]:
    @serve(pools.LIST)
    async def list_pools(call: Call[ListQuery, Nothing]) -> Page[pools.Pool]:
        found = inventory.pools(call.principal)
        return page_of(found, call.query, text=lambda pool: f"{pool.name} {pool.type} {pool.tier or ''} {pool.path}")

    @serve(pools.SET_TIER)
    async def set_tier(call: Call[Nothing, pools.PoolTier]) -> Operation:
        return await service.set_tier(call.principal, call.path["pool_id"], call.body, call.idempotency_key)

    @serve(tiers.LIST)
    async def list_tiers(call: Call[ListQuery, Nothing]) -> Page[tiers.Tier]:
        # Fastest first unless another order is asked for.
        found = inventory.tiers(call.principal)
        if call.query.sort:
            return page_of(found, call.query, text=lambda tier: tier.name)
        named = [tier for tier in found if call.query.q.lower() in tier.name]
        return Page(items=named, total=len(named), page=1, page_size=call.query.page_size)

    @serve(volumes.MOVE)
    async def move(call: Call[Nothing, volumes.VolumeMove]) -> Operation:
        return await moves.move(call.principal, call.path["volume_id"], call.body, call.idempotency_key)

    return [list_pools, set_tier, list_tiers, move]
