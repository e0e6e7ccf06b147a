"""The HTTP routes of stored events."""

from __future__ import annotations

from novacron_core.api import stored_events as api
from novacron_core.api.base import Nothing, Page
from novacron_server.events.service import Events
from novacron_server.http.call import Call, Served, serve


def routes(events: Events) -> list[Served]:
    @serve(api.LIST)
    async def list_events(call: Call[api.EventQuery, Nothing]) -> Page[api.StoredEvent]:
        return await events.page(call.principal, call.query)

    return [list_events]
