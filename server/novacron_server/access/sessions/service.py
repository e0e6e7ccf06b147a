"""Lists sessions and ends them, one's own and, for who looks after people, those of others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta

import msgspec

from novacron_core.api.access import User
from novacron_core.api.base import ListQuery, Page
from novacron_core.api.events import Priority
from novacron_core.api.sessions import AccountSession
from novacron_core.errors import NotFound
from novacron_core.rules.visibility import Principal
from novacron_server.access import repository as accounts
from novacron_server.access.accounts import account_event
from novacron_server.access.people.rights import USER_NOT_FOUND, refuse_own_token, seen_tenant
from novacron_server.access.sessions import repository
from novacron_server.database.transactions import Connection, Database
from novacron_server.http.paging import page_of
from novacron_server.outbox.repository import append

_NO_SESSION = "session not found"


class Sessions:
    """`ended` gets the ids of ended sessions, after each commit with events."""

    def __init__(self, database: Database, *, idle: timedelta, ended: Callable[[Iterable[str]], None]) -> None:
        self._database = database
        self._idle = idle
        self._ended = ended

    async def own(self, caller: Principal, query: ListQuery) -> Page[AccountSession]:
        """The caller's sessions; for a token, those in its tenant. Raises ValidationFailed, DatabaseUnavailable."""
        return await self._page(caller, caller.user_id, caller.tenant if caller.token else None, query)

    async def of_user(self, caller: Principal, user_id: str, query: ListQuery) -> Page[AccountSession]:
        """The sessions of a user, as far as the caller may see them. Raises NotFound, also for a foreign user."""
        tenant = seen_tenant(caller)
        await self._database.run(lambda conn: _visible(conn, user_id, tenant), read_only=True)
        return await self._page(caller, user_id, tenant, query)

    async def end_own(self, caller: Principal, session_id: str) -> None:
        """End one of the caller's sessions, with its tokens and sockets. Raises NotFound."""
        await self._end_one(caller, caller.user_id, session_id, None)

    async def end_of_user(self, caller: Principal, user_id: str, session_id: str) -> None:
        """End a user's session, with its tokens and sockets. Raises NotFound, also for a foreign user; Forbidden for an API
        token of this user, which does not change the access of its own."""
        refuse_own_token(caller, user_id)
        await self._end_one(caller, user_id, session_id, seen_tenant(caller))

    async def _page(
        self, caller: Principal, user_id: str, tenant: str | None, query: ListQuery
    ) -> Page[AccountSession]:
        found = await self._database.run(
            lambda conn: repository.live_sessions(conn, user_id, self._idle, tenant), read_only=True
        )
        marked = [msgspec.structs.replace(each, current=each.id == caller.session_id) for each in found]
        return page_of(marked, query, text=_text, default_sort="created_at")

    async def _end_one(self, caller: Principal, user_id: str, session_id: str, tenant: str | None) -> None:
        async def work(conn: Connection) -> None:
            user = await _visible(conn, user_id, tenant, missing=_NO_SESSION)
            live = await repository.live_sessions(conn, user_id, self._idle, tenant)
            if session_id not in {each.id for each in live} or not await accounts.revoke_session(conn, session_id):
                raise NotFound(_NO_SESSION)
            note = "a session was ended"
            await append(
                conn,
                [account_event(user, "access.signed_out", by=caller.username, note=note, priority=Priority.NORMAL)],
            )

        await self._database.run(work)
        self._ended([session_id])


async def _visible(conn: Connection, user_id: str, tenant: str | None, missing: str = USER_NOT_FOUND) -> User:
    """The user, when it is a member of the tenant. Raises NotFound."""
    account = await accounts.find_account(conn, user_id, tenant=tenant)
    if account is None:
        raise NotFound(missing)
    if tenant is not None and tenant not in {each.tenant for each in await accounts.memberships_of(conn, user_id)}:
        raise NotFound(missing)  # also for an administrator, who may be in every tenant
    return account.user


def _text(session: AccountSession) -> str:
    return f"{session.address} {session.user_agent} {session.tenant} {session.id}"
