"""The HTTP routes of API tokens."""

from __future__ import annotations

from novacron_core.api import api_tokens as api
from novacron_core.api.base import ListQuery, Nothing, Page
from novacron_server.access.api_tokens.service import ApiTokens
from novacron_server.access.ids import id_in
from novacron_server.http.call import Call, Served, serve

_Listing = Call[ListQuery, Nothing]
_Plain = Call[Nothing, Nothing]


def routes(tokens: ApiTokens) -> list[Served]:
    @serve(api.LIST)
    async def own(call: _Listing) -> Page[api.ApiToken]:
        return await tokens.own(call.principal, call.query)

    @serve(api.CREATE)
    async def create(call: Call[Nothing, api.CreateApiToken]) -> api.CreatedApiToken:
        return await tokens.create(call.principal, call.body)

    @serve(api.REVOKE)
    async def revoke(call: _Plain) -> Nothing:
        await tokens.revoke_own(call.principal, id_in(call.path, "token_id"))
        return Nothing()

    @serve(api.LIST_ALL)
    async def everybody(call: _Listing) -> Page[api.ApiToken]:
        return await tokens.everybody(call.principal, call.query)

    @serve(api.REVOKE_ANY)
    async def revoke_any(call: _Plain) -> Nothing:
        await tokens.revoke_any(call.principal, id_in(call.path, "token_id"))
        return Nothing()

    return [own, create, revoke, everybody, revoke_any]
