"""The HTTP routes of hosts."""

from __future__ import annotations

from novacron_core import errors
from novacron_core.api import hosts as api
from novacron_core.api.base import ListQuery, Nothing, Page
from novacron_server.http.call import Call, Served, serve
from novacron_server.http.paging import page_of
from novacron_server.inventory.inventory import Inventory


def routes(inventory: Inventory) -> list[Served]:
    @serve(api.LIST)
    async def list_hosts(call: Call[ListQuery, Nothing]) -> Page[api.Host]:
        return page_of(inventory.hosts(call.principal), call.query, text=lambda host: f"{host.name} {host.uri}")

    @serve(api.GET)
    async def get_host(call: Call[Nothing, Nothing]) -> api.Host:
        for host in inventory.hosts(call.principal):
            if host.id == call.path["host_id"]:
                return host
        raise errors.NotFound("host not found")

    return [list_hosts, get_host]
