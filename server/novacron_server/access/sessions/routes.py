"""The HTTP routes of sessions."""

from __future__ import annotations

from novacron_core.api import sessions as api
from novacron_core.api.base import ListQuery, Nothing, Page
from novacron_server.access.ids import id_in
from novacron_server.access.sessions.service import Sessions
from novacron_server.http.call import Call, Served, serve

_Listing = Call[ListQuery, Nothing]
_Plain = Call[Nothing, Nothing]


def routes(sessions: Sessions) -> list[Served]:
    @serve(api.LIST)
    async def own(call: _Listing) -> Page[api.AccountSession]:
        return await sessions.own(call.principal, call.query)

    @serve(api.END)
    async def end(call: _Plain) -> Nothing:
        await sessions.end_own(call.principal, id_in(call.path, "session_id"))
        return Nothing()

    @serve(api.LIST_OF_USER)
    async def of_user(call: _Listing) -> Page[api.AccountSession]:
        return await sessions.of_user(call.principal, id_in(call.path, "user_id"), call.query)

    @serve(api.END_OF_USER)
    async def end_of_user(call: _Plain) -> Nothing:
        user_id, session_id = id_in(call.path, "user_id", "session"), id_in(call.path, "session_id")
        await sessions.end_of_user(call.principal, user_id, session_id)
        return Nothing()

    return [own, end, of_user, end_of_user]
