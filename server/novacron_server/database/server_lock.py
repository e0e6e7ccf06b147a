"""One server for one database: who has the seat may change things, by a session lock that ends with its process.

A second server on the same data would settle as `interrupted` what the first is doing right now.
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

from novacron_core.errors import Conflict, DatabaseUnavailable
from novacron_server.database import faults

KEY = 0x6E6F7673  # "novs"; the second half of the lock's key is the schema, and PostgreSQL keeps locks by database
TAKE_S = 5.0
"""How long to wait for a server that is just leaving."""
_ASK_EVERY_S = 0.2
_ASK_AT_MOST_S = 1.0
_MINE = "pg_try_advisory_lock(%s, hashtext(coalesce(current_schema(), '')))"
_WHO = """
SELECT a.application_name, a.pid, host(a.client_addr), to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_database d ON d.oid = l.database
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND d.datname = current_database() AND l.classid = %s
AND l.objid::bigint = hashtext(coalesce(current_schema(), ''))::bigint & 4294967295"""
# A session whose machine is gone must not keep the seat for ever: PostgreSQL gives it up after 20 s. This side does so
# after 8, so that a server knows it before another one can have it.
_THIS_SIDE = {"keepalives_idle": 2, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 8000}
_OTHER_SIDE = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "20000",
}

Session: TypeAlias = psycopg.AsyncConnection[Any]


class ServerLock:
    """`take` it at the start, `mark` it when the tables are there, and `keep` it for ever; `close` gives it up.

    `admit` is asked before every transaction that changes something. `refusal` is the reason while another server has it.
    """

    def __init__(self, open_session: Callable[..., Awaitable[Session]]) -> None:
        self._open_session = open_session
        self._mark = str(uuid4())
        self._session: Session | None = None
        self._held = asyncio.Event()
        self.refusal = ""

    async def take(self, timeout_s: float = TAKE_S) -> None:
        """Raises Conflict saying who has it, DatabaseUnavailable."""
        until = time.monotonic() + timeout_s
        while who := await self._try():
            if time.monotonic() > until:
                raise Conflict(f"{who}; one server alone may work with a database")
            await asyncio.sleep(_ASK_EVERY_S)
        self._held.set()

    async def mark(self) -> None:
        """Write down who has it: whoever gets it back learns from that whether another one had it meanwhile."""
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
        """Let a change pass, at once or when a lost seat is had again. Raises DatabaseUnavailable, at once where
        another server has it, else at `until` (time.monotonic)."""
        late = False
        if not self._held.is_set() and not self.refusal:
            try:
                async with asyncio.timeout(max(0.0, until - time.monotonic())):
                    await self._held.wait()
            except TimeoutError:
                late = True
        if self.refusal:
            raise DatabaseUnavailable(self.refusal, retry_after_s=faults.RETRY_AFTER_S)
        if late:
            raise faults.translate(faults.Expired())

    async def keep(self, stop: Callable[[], Awaitable[None]], go_on: Callable[[], Awaitable[None]]) -> None:
        """Have it again whenever it was lost. `stop` is awaited when another server has it, for that one settles what
        was begun here; `go_on` when it is ours again after that. Cancel to stop."""
        while True:
            await self._until_lost()
            self._held.clear()
            await self.close()
            log = structlog.get_logger()
            log.warning("the lock on the database was lost")
            replaced = await self._again(stop)
            self._held.set()
            log.warning("the lock on the database is held again", another_had_it=replaced)
            if replaced:
                await go_on()

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

    async def _again(self, stop: Callable[[], Awaitable[None]]) -> bool:
        """Whether another server had it meanwhile."""
        pause_s, replaced = 0.0, False
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s + _ASK_EVERY_S, _ASK_AT_MOST_S)
            try:
                who = await self._try()
                if (who or not await self._is_marked()) and not replaced:
                    self.refusal = f"{who or 'another server had this database'}; changes are refused here"
                    structlog.get_logger().error("another server has the database", reason=self.refusal)
                    replaced = True
                    await stop()
                if not who:
                    await self.mark()
                    self.refusal = ""
                    return replaced
            except (DatabaseUnavailable, *faults.Fault) as e:
                structlog.get_logger().debug("the lock on the database waits", reason=str(e))

    async def _is_marked(self) -> bool:
        if self._session is None:
            return False
        found = await (await self._session.execute("SELECT value FROM settings WHERE key = 'server'")).fetchone()
        return found is not None and found[0] == self._mark

    async def _try(self) -> str:
        """Empty when it is ours now, else who has it. A session that did not get it is kept to ask again."""
        if self._session is None or self._session.closed:
            self._session = await self._open_session(_name(), **_THIS_SIDE)
            await _settle_in(self._session)
        try:
            found = await (await self._session.execute(f"SELECT {_MINE}", (KEY,))).fetchone()
            if found is not None and found[0]:
                return ""
            return _sentence(await (await self._session.execute(_WHO, (KEY,))).fetchone())
        except faults.Fault as e:
            raise faults.translate(e) from e


async def _settle_in(session: Session) -> None:
    wanted = {**_OTHER_SIDE, **({"idle_session_timeout": "0"} if session.info.server_version >= 140000 else {})}
    for name, value in wanted.items():
        await session.execute("SELECT set_config(%s, %s, false)", (name, value))


def _name() -> str:
    """What others read about us in pg_stat_activity, which keeps 63 letters."""
    return f"novacron on {socket.gethostname()[:32]}, process {os.getpid()}"


def _sentence(row: tuple[str, int, str | None, str | None] | None) -> str:
    if row is None:
        return "another server had this database a moment ago"
    name, pid, address, since = row
    where = f" from {address}" if address else ""
    return f"another server has this database: {name} (PostgreSQL's session {pid}{where}, since {since} UTC)"
