"""Volumes over HTTP."""

from __future__ import annotations

from novacron_core.api import volumes as api
from novacron_core.api.base import ListQuery, Nothing, Page
from novacron_server.http.call import Call, Served, serve
from novacron_server.http.paging import page_of
from novacron_server.inventory.inventory import Inventory


def routes(inventory: Inventory) -> list[Served]:
    @serve(api.LIST)
    async def list_volumes(call: Call[ListQuery, Nothing]) -> Page[api.Volume]:
        volumes = inventory.volumes(call.principal)
        return page_of(volumes, call.query, text=lambda volume: f"{volume.name} {volume.pool} {volume.tier or ''}")

    @serve(api.GET)
    async def get_volume(call: Call[Nothing, Nothing]) -> api.Volume:
        return inventory.volume(call.principal, call.path["volume_id"])

    return [list_volumes, get_volume]
