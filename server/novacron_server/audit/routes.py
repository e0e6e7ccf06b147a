"""The HTTP routes of the audit log."""

from __future__ import annotations

from novacron_core.api import audit as api
from novacron_core.api.base import Nothing, Page
from novacron_server.audit.service import Audit
from novacron_server.http.call import Call, Reply, Served, serve


def routes(audit: Audit) -> list[Served]:
    @serve(api.LIST)
    async def list_entries(call: Call[api.AuditQuery, Nothing]) -> Page[api.AuditEntry]:
        return await audit.page(call.principal, call.query)

    @serve(api.VERIFY)
    async def verify(call: Call[api.ChainQuery, Nothing]) -> api.AuditCheck:
        return await audit.verify(call.principal, call.query)

    @serve(api.EXPORT)
    async def export(call: Call[api.ChainQuery, Nothing]) -> Reply[bytes]:
        lines = await audit.export(call.principal, call.query)
        return Reply(lines, headers=(("content-type", "application/x-ndjson"),))

    return [list_entries, verify, export]
