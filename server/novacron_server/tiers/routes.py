"""The HTTP routes of tiers."""

from __future__ import annotations

from novacron_core.api import tiers
from novacron_core.api.base import ListQuery, Nothing, Page
from novacron_server.http.call import Call, Served, serve
from novacron_server.http.paging import page_of
from novacron_server.inventory.inventory import Inventory


def routes(inventory: Inventory) -> list[Served]:
    @serve(tiers.LIST)
    async def list_tiers(call: Call[ListQuery, Nothing]) -> Page[tiers.Tier]:
        # Fastest first, unless the query asks for another order.
        found = inventory.tiers(call.principal)
        if call.query.sort:
            return page_of(found, call.query, text=lambda tier: tier.name)
        named = [tier for tier in found if call.query.q.lower() in tier.name]
        return Page(items=named, total=len(named), page=1, page_size=call.query.page_size)

    return [list_tiers]
