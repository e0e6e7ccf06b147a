"""The live sessions in memory, so that a request costs no query, and one that ended is found out within 2 seconds."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from novacron_core.errors import DatabaseUnavailable, Unauthenticated
from novacron_core.rules.visibility import Principal
from novacron_server.access import repository
from novacron_server.access.repository import StoredSession
from novacron_server.access.tokens import Claims
from novacron_server.database.transactions import Database

CHECK_S = 1.0
"""How often all held sessions are compared with the database."""
CHECK_BUDGET_S = 0.5
"""A check that takes longer counts as none, well before FRESH_S is over: else a request would first wait here for a
database that hangs and then once more for its own work, and its refusal would come too late (promise G11)."""
FRESH_S = 2.0
MAX_SESSIONS = 10_000
_ENDED = "the session has ended: sign in again"
_log = structlog.get_logger(__name__)


class SessionCache:
    """What the database last said of each session that was seen.

    While the database cannot be asked, a session seen before is believed until its token runs out (15 minutes at
    most): reads go on from memory (promise G11), and nothing can be changed anyway. One that was never seen is not.
    """

    def __init__(self, database: Database, on_end: Callable[[str], None]) -> None:
        self._database = database
        self._on_end = on_end
        self._held: OrderedDict[str, tuple[StoredSession, float]] = OrderedDict()
        self._database_away = False

    async def principal(self, claims: Claims) -> Principal:
        """Who a verified token stands for now. Raises Unauthenticated, or DatabaseUnavailable for one not seen before."""
        session, checked_at = self._held.get(claims.sid, (None, 0.0))
        if session is None or (time.monotonic() - checked_at > FRESH_S and not self._database_away):
            session = await self._ask(claims.sid, session)
        account = session.account
        if not session.live(datetime.now(UTC)) or account.user.id != claims.user_id or account.epoch != claims.epoch:
            raise Unauthenticated(_ENDED)
        user = account.user
        return Principal(
            user_id=user.id,
            username=user.username,
            role=user.role,
            tenant=user.tenant,
            session_id=session.id,
            expires_at=min(claims.expires_at, session.expires_at),
        )

    def end(self, session_id: str) -> None:
        """It ended or its tokens did: forget it, and tell those who serve it."""
        self._held.pop(session_id, None)
        self._on_end(session_id)

    async def check(self) -> None:
        """Compare every held session with the database, and end those that ended. Raises nothing for a lost one."""
        ids = list(self._held)
        if not ids:
            self._database_away = False
            return
        asked_at = time.monotonic()
        try:
            found = await self._database.run(
                lambda conn: repository.sessions(conn, ids), read_only=True, timeout_s=CHECK_BUDGET_S
            )
        except DatabaseUnavailable:
            self._database_away = True
            return
        self._database_away = False
        now = {session.id: session for session in found}
        for session_id in ids:
            self._compare(session_id, now.get(session_id), asked_at)

    def _compare(self, session_id: str, now: StoredSession | None, asked_at: float) -> None:
        before, checked_at = self._held.get(session_id, (None, 0.0))
        if before is None or checked_at > asked_at:
            return
        if now is None or not now.live(datetime.now(UTC)) or now.account.epoch != before.account.epoch:
            self.end(session_id)
        else:
            self._held[session_id] = (now, asked_at)

    async def _ask(self, session_id: str, before: StoredSession | None) -> StoredSession:
        asked_at = time.monotonic()
        try:
            found = await self._database.run(lambda conn: repository.sessions(conn, [session_id]), read_only=True)
        except DatabaseUnavailable:
            if before is None:
                raise
            self._database_away = True
            return before
        self._database_away = False
        now = found[0] if found else None
        self._compare(session_id, now, asked_at)
        if now is None:
            raise Unauthenticated(_ENDED)
        if now.live(datetime.now(UTC)):
            self._hold(now, asked_at)
        return now

    def _hold(self, session: StoredSession, asked_at: float) -> None:
        self._held[session.id] = (session, asked_at)
        self._held.move_to_end(session.id)
        if len(self._held) > MAX_SESSIONS:
            self._held.popitem(last=False)
