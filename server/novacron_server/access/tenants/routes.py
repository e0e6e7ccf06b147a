"""The HTTP routes for tenants."""

from __future__ import annotations

from novacron_core.api import tenants as api
from novacron_core.api.base import ListQuery, Nothing, Page
from novacron_server.access.tenants.service import Tenants
from novacron_server.http.call import Call, Served, serve

EmptyCall = Call[Nothing, Nothing]


def routes(tenants: Tenants) -> list[Served]:
    @serve(api.LIST)
    async def list_tenants(call: Call[ListQuery, Nothing]) -> Page[api.Tenant]:
        return await tenants.page(call.principal, call.query)

    @serve(api.GET)
    async def get(call: EmptyCall) -> api.Tenant:
        return await tenants.get(call.principal, call.path["tenant"])

    @serve(api.CREATE)
    async def create(call: Call[Nothing, api.TenantCreate]) -> api.Tenant:
        return await tenants.create(call.principal, call.body)

    @serve(api.CHANGE)
    async def change(call: Call[Nothing, api.TenantChange]) -> api.Tenant:
        return await tenants.change(call.principal, call.path["tenant"], call.body)

    @serve(api.DELETE)
    async def delete(call: EmptyCall) -> Nothing:
        await tenants.delete(call.principal, call.path["tenant"])
        return Nothing()

    return [list_tenants, get, create, change, delete]
