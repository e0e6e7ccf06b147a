"""The HTTP routes of quotas."""

from __future__ import annotations

from novacron_core import errors
from novacron_core.api import quotas as api
from novacron_core.api.base import Nothing
from novacron_core.rules.visibility import may_see_all
from novacron_server.database.transactions import Database
from novacron_server.http.call import Call, Served, serve
from novacron_server.quotas import repository


def routes(database: Database) -> list[Served]:
    @serve(api.GET)
    async def get_quota(call: Call[api.QuotaQuery, Nothing]) -> api.Quota:
        tenant = call.query.tenant or call.principal.tenant
        found = None
        if may_see_all(call.principal, tenant):
            found = await database.run(lambda c: repository.quota(c, tenant), read_only=True)
        if found is None:
            raise errors.NotFound("tenant not found")
        return found

    return [get_quota]
