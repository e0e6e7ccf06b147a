"""Ensures that only one server works with a database: it holds a session lock, which ends with its process.

A second server on the same data would mark operations that the first is running as `interrupted`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from uuid import uuid4

import psycopg
import structlog

from novacron_core.errors import Conflict, DatabaseUnavailable, NovaCronError
from novacron_server.database import faults

KEY = 0x6E6F7673  # "novs"; the second half of the lock's key is the schema, and advisory locks are per database
TAKE_S = 5.0
"""How long to wait for a server that is shutting down."""
_RETRY_STEP_S = 0.2
_MAX_RETRY_S = 1.0
_SCHEMA_KEY = "hashtext(coalesce(nullif(%s, ''), current_schema(), ''))"
_TRY_LOCK = f"SELECT pg_try_advisory_lock(%s, {_SCHEMA_KEY})"
_HOLDER = f"""
SELECT a.application_name, a.pid, host(a.client_addr), to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_database d ON d.oid = l.database
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND d.datname = current_database() AND l.classid = %s
AND l.objid::bigint = {_SCHEMA_KEY}::bigint & 4294967295"""  # noqa: S608 - constants of this file
# A session whose machine is gone must not keep the lock forever: PostgreSQL ends it after 20 s. This side gives up after
# 8 s, so that a server notices the loss before another one can get the lock.
_CLIENT_SETTINGS = {"keepalives_idle": 2, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 8000}
_SERVER_SETTINGS = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "20000",
}

Session: TypeAlias = psycopg.AsyncConnection[Any]


class ServerLock:
    """`take` it at the start, `mark` it once the tables exist, run `keep` while the server runs; `close` releases it.

    `admit` is called before every transaction that changes something. `refusal` is the reason why changes are refused
    while another server has the lock, else empty.
    """

    def __init__(
        self, open_session: Callable[..., Awaitable[Session]], schema: str = "", *, application: str = ""
    ) -> None:
        """`schema` is the one of the tables, default: the session's; `application` is the name that the URL gives."""
        self._open_session = open_session
        self._key = (KEY, schema)
        self._application = application
        self._mark = str(uuid4())
        self._session: Session | None = None
        self._held = asyncio.Event()
        self._why_not = ""
        """Why a lost lock could not be regained yet."""
        self.refusal = ""

    async def take(self, timeout_s: float = TAKE_S) -> None:
        """Acquire the lock. Raises Conflict naming the server that has it, DatabaseUnavailable."""
        until = time.monotonic() + timeout_s
        while holder := await self._try_lock():
            if time.monotonic() > until:
                raise Conflict(f"{holder}; only one server may use a database")
            await asyncio.sleep(_RETRY_STEP_S)
        self._held.set()

    async def mark(self) -> None:
        """Store this server as the holder: a server that regains the lock sees from it whether another one had it."""
        if self._session is None:
            raise DatabaseUnavailable("the database cannot be reached", retry_after_s=faults.RETRY_AFTER_S)
        try:
            await self._session.execute(
                "INSERT INTO settings (key, value) VALUES ('server', to_jsonb(%s::text))"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (self._mark,),
            )
        except faults.Fault as e:
            raise faults.translate(e) from e

    async def admit(self, until: float) -> None:
        """Return when a change may start: immediately, or once a lost lock is regained.

        Raises DatabaseUnavailable: immediately when another server has the lock, else at `until` (time.monotonic).
        """
        expired = False
        if not self._held.is_set() and not self.refusal:
            try:
                async with asyncio.timeout(max(0.0, until - time.monotonic())):
                    await self._held.wait()
            except TimeoutError:
                expired = True
        if self.refusal:
            raise DatabaseUnavailable(self.refusal, retry_after_s=faults.RETRY_AFTER_S)
        if expired and self._why_not:
            raise DatabaseUnavailable(self._why_not, retry_after_s=faults.RETRY_AFTER_S)
        if expired:
            raise faults.translate(faults.Expired())

    async def keep(self, stop: Callable[[], Awaitable[None]], resume: Callable[[], Awaitable[None]]) -> None:
        """Regain the lock whenever it was lost. Cancel to stop.

        `stop` is awaited when another server has it, because that server recovers the operations started here;
        `resume` is awaited when this server has regained it after that.
        """
        log = structlog.get_logger()
        while True:
            if self._held.is_set():  # else this task has failed while it regained the lock, and was started again
                await self._until_lost()
                self._held.clear()
                await self.close()
                log.warning("lost the database lock")
            replaced = await self._regain(stop)
            self._held.set()
            log.warning("regained the database lock", another_had_it=replaced)
            if replaced:
                await resume()

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _until_lost(self) -> None:
        if self._session is None:
            return
        try:
            async for _ in self._session.notifies():
                pass
        except (psycopg.Error, OSError):
            return

    async def _regain(self, stop: Callable[[], Awaitable[None]]) -> bool:
        """Retry until the lock is held again. Returns whether another server had it in between."""
        pause_s, replaced, self._why_not = 0.0, False, ""
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s + _RETRY_STEP_S, _MAX_RETRY_S)
            try:
                holder = await self._try_lock()
                if (holder or not await self._is_marked()) and not replaced:
                    self.refusal = f"{holder or 'another server used this database'}; this server refuses changes"
                    structlog.get_logger().error("another server has the database", reason=self.refusal)
                    replaced = True
                    await stop()
                if not holder:
                    await self.mark()
                    self.refusal = ""
                    return replaced
            except (NovaCronError, *faults.Fault) as e:
                if (reason := str(faults.translate(e) if isinstance(e, faults.Fault) else e)) != self._why_not:
                    self._why_not = reason
                    structlog.get_logger().warning("retrying the database lock", reason=reason)

    async def _is_marked(self) -> bool:
        if self._session is None:
            return False
        found = await (await self._session.execute("SELECT value FROM settings WHERE key = 'server'")).fetchone()
        return found is not None and found[0] == self._mark

    async def _try_lock(self) -> str:
        """Empty when this server has the lock now, else a sentence with the holder. The session stays open for a retry."""
        if self._session is None or self._session.closed:
            name = _application_name(self._application)
            # As a parameter, so that it replaces the URL's name: it must tell which server has the lock.
            session = await self._open_session(
                name, settings=_SERVER_SETTINGS, application_name=name, **_CLIENT_SETTINGS
            )
            self._session = session
            if session.info.server_version >= 140000:
                await session.execute("SET idle_session_timeout = 0")
        try:
            found = await (await self._session.execute(_TRY_LOCK, self._key)).fetchone()
            if found is not None and found[0]:
                return ""
            return _describe_holder(await (await self._session.execute(_HOLDER, self._key)).fetchone())
        except faults.Fault as e:
            raise faults.translate(e) from e


def _application_name(given: str) -> str:
    """The name of this server in pg_stat_activity, which keeps 63 bytes: with the name that its URL gives, if any."""
    own = f"novacron on {socket.gethostname()[:32]}, process {os.getpid()}"
    return f"{given[: 60 - len(own)]}: {own}" if given else own


def _describe_holder(row: tuple[str, int, str | None, str | None] | None) -> str:
    if row is None:
        return "another server used this database a moment ago"
    name, pid, address, since = row
    origin = f" from {address}" if address else ""
    return f"another server has this database: {name} (PostgreSQL session {pid}{origin}, since {since} UTC)"
