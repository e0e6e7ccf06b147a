"""The HTTP routes of console logs."""

from __future__ import annotations

from novacron_core.api import console_logs as api
from novacron_core.api.base import Nothing
from novacron_core.api.operations import Operation
from novacron_server.console_logs.service import ConsoleLogs
from novacron_server.http.call import Call, Served, serve


def routes(logs: ConsoleLogs) -> list[Served]:
    @serve(api.READ)
    async def read(call: Call[api.ConsoleLogQuery, Nothing]) -> api.ConsoleLog:
        return await logs.read(call.principal, call.path["vm_id"], call.query)

    @serve(api.SET_UP)
    async def set_up(call: Call[Nothing, Nothing]) -> Operation:
        return await logs.set_up(call.principal, call.path["vm_id"], call.idempotency_key)

    return [read, set_up]
