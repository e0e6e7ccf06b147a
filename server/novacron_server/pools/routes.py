"""The HTTP routes of pools."""

from __future__ import annotations

from novacron_core.api import pools
from novacron_core.api.base import ListQuery, Nothing, Page
from novacron_core.api.operations import Operation
from novacron_server.http.call import Call, Served, serve
from novacron_server.http.paging import page_of
from novacron_server.inventory.inventory import Inventory
from novacron_server.pools.service import Pools


def routes(service: Pools, inventory: Inventory) -> list[Served]:
    @serve(pools.LIST)
    async def list_pools(call: Call[ListQuery, Nothing]) -> Page[pools.Pool]:
        found = inventory.pools(call.principal)
        return page_of(found, call.query, text=lambda pool: f"{pool.name} {pool.type} {pool.tier or ''} {pool.path}")

    @serve(pools.SET_TIER)
    async def set_tier(call: Call[Nothing, pools.PoolTier]) -> Operation:
        return await service.set_tier(call.principal, call.path["pool_id"], call.body, call.idempotency_key)

    return [list_pools, set_tier]
