"""Metrics over HTTP."""

from __future__ import annotations

from novacron_core.api import metrics as api
from novacron_core.api.base import Nothing, Page
from novacron_server.http.call import Call, Served, serve
from novacron_server.metrics.measuring import Measuring


def routes(measuring: Measuring) -> list[Served]:
    metrics = measuring.metrics

    @serve(api.NOW)
    async def now(call: Call[Nothing, Nothing]) -> api.Now:
        return metrics.now(call.principal)

    @serve(api.TOP)
    async def top(call: Call[api.TopQuery, Nothing]) -> Page[api.VMNow]:
        return metrics.top(call.principal, call.query)

    @serve(api.HISTORY)
    async def history(call: Call[api.HistoryQuery, Nothing]) -> api.History:
        return await measuring.past.of(call.principal, call.query)

    @serve(api.OF_VM)
    async def of_vm(call: Call[api.RangeQuery, Nothing]) -> api.History:
        return await measuring.past.of_vm(call.principal, call.path["vm_id"], call.query)

    return [now, top, history, of_vm]
