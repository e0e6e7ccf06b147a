"""A cache of the live sessions: a request needs no query, and a session that ended is rejected within 2 seconds."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog

from novacron_core.errors import DatabaseUnavailable, Unauthenticated
from novacron_core.rules.visibility import Principal
from novacron_server.access import repository
from novacron_server.access.repository import StoredSession
from novacron_server.access.tokens import Claims
from novacron_server.database.transactions import Connection, Database

CHECK_S = 1.0
"""How often all cached sessions are compared with the database."""
CHECK_BUDGET_S = 0.5
"""A check that takes longer counts as failed, well before FRESH_S is over. Otherwise a request would wait for a hanging
database here and again for its own work, and its refusal would come too late (promise G11)."""
FRESH_S = 2.0
MAX_SESSIONS = 10_000
_ENDED = "Your session has ended. Sign in again."
_log = structlog.get_logger(__name__)

Find = Callable[[Connection, list[str]], Awaitable[list[StoredSession]]]


class SessionCache:
    """The last known state of each session that was used.

    While the database is down, a cached session stays valid until its access token expires (15 minutes at most): reads
    continue from memory (promise G11), and changes are impossible anyway. An unknown session is rejected.
    """

    def __init__(
        self, database: Database, on_end: Callable[[str], None], find: Find = repository.find_sessions
    ) -> None:
        """`find` reads the sessions, or other things like them, with given ids."""
        self._database = database
        self._on_end = on_end
        self._find = find
        self._cached: OrderedDict[str, tuple[StoredSession, float]] = OrderedDict()
        self._database_down = False

    async def principal(self, claims: Claims) -> Principal:
        """The user of a verified token, as of now. Raises Unauthenticated; DatabaseUnavailable for an unknown session."""
        session = await self.session(claims.sid)
        user, epoch = session.account.user, session.account.epoch
        if (user.id, epoch, user.role, user.tenant) != (claims.user_id, claims.epoch, claims.role, claims.tenant):
            raise Unauthenticated(_ENDED)
        return principal_of(session, min(claims.expires_at, session.expires_at))

    async def session(self, session_id: str) -> StoredSession:
        """A live session. Raises Unauthenticated; DatabaseUnavailable for an unknown session."""
        session, checked_at = self._cached.get(session_id, (None, 0.0))
        if session is None or (time.monotonic() - checked_at > FRESH_S and not self._database_down):
            session = await self._query(session_id, session)
        if not session.live(datetime.now(UTC)):
            raise Unauthenticated(_ENDED)
        return session

    def known(self, session_id: str) -> StoredSession | None:
        """The last known state of a session that was used and has not ended since."""
        return self._cached.get(session_id, (None, 0.0))[0]

    def end(self, session_id: str) -> None:
        """Drop a session that ended, or whose tokens did, and notify `on_end`."""
        self.forget(session_id)
        self._on_end(session_id)

    def forget(self, session_id: str) -> None:
        """Read the session again on its next use."""
        self._cached.pop(session_id, None)

    async def check(self) -> None:
        """Compare every cached session with the database, and end those that ended. A lost database raises nothing."""
        ids = list(self._cached)
        if not ids:
            self._database_down = False
            return
        queried_at = time.monotonic()
        try:
            found = await self._database.run(
                lambda conn: self._find(conn, ids), read_only=True, timeout_s=CHECK_BUDGET_S
            )
        except DatabaseUnavailable:
            self._database_down = True
            return
        self._database_down = False
        now = {session.id: session for session in found}
        for session_id in ids:
            self._compare(session_id, now.get(session_id), queried_at)

    def _compare(self, session_id: str, now: StoredSession | None, queried_at: float) -> None:
        before, checked_at = self._cached.get(session_id, (None, 0.0))
        if before is None or checked_at > queried_at:
            return
        if now is None or not now.live(datetime.now(UTC)) or _rights(now) != _rights(before):
            self.end(session_id)
        else:
            self._cached[session_id] = (now, queried_at)

    async def _query(self, session_id: str, before: StoredSession | None) -> StoredSession:
        queried_at = time.monotonic()
        try:
            found = await self._database.run(lambda conn: self._find(conn, [session_id]), read_only=True)
        except DatabaseUnavailable:
            if before is None:
                raise
            self._database_down = True
            return before
        self._database_down = False
        now = found[0] if found else None
        self._compare(session_id, now, queried_at)
        if now is None:
            raise Unauthenticated(_ENDED)
        if now.live(datetime.now(UTC)):
            self._store(now, queried_at)
        return now

    def _store(self, session: StoredSession, queried_at: float) -> None:
        self._cached[session.id] = (session, queried_at)
        self._cached.move_to_end(session.id)
        if len(self._cached) > MAX_SESSIONS:
            self._cached.popitem(last=False)


def principal_of(session: StoredSession, expires_at: datetime) -> Principal:
    """The user of a session, as it is now."""
    user = session.account.user
    return Principal(
        user_id=user.id,
        username=user.username,
        role=user.role,
        tenant=user.tenant,
        session_id=session.id,
        expires_at=expires_at,
        scope=session.scope,
        token=session.token_name,
        vm_filter=session.vm_filter,
    )


def _rights(session: StoredSession) -> tuple[object, ...]:
    """What ends the tokens and sockets of a session when it changes."""
    return (
        session.account.epoch,
        session.account.user.role,
        session.account.user.tenant,
        session.scope,
        session.vm_filter,
    )
