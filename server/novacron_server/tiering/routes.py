"""The HTTP routes of heat."""

from __future__ import annotations

import msgspec

from novacron_core.api import tiering as api
from novacron_core.api.base import ListQuery, Nothing, Page
from novacron_server.http.call import Call, Served, serve
from novacron_server.http.paging import page_of
from novacron_server.tiering.service import HeatService


def routes(heat: HeatService) -> list[Served]:
    @serve(api.LIST)
    async def list_heat(call: Call[ListQuery, Nothing]) -> Page[api.VolumeHeat]:
        query = msgspec.structs.replace(call.query, sort=call.query.sort or "-heat")
        return page_of(heat.list(call.principal, call.query.q), query)

    @serve(api.OF_VOLUME)
    async def of_volume(call: Call[api.HeatQuery, Nothing]) -> api.HeatHistory:
        return await heat.of_volume(call.principal, call.path["volume_id"], call.query)

    return [list_heat, of_volume]
