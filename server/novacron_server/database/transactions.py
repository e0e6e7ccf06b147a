"""The way into PostgreSQL: a bounded pool, and one transaction at a time that always ends within its budget."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec
import psycopg
from psycopg.types.json import set_json_dumps, set_json_loads
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from novacron_core.errors import DatabaseUnavailable
from novacron_server.database import faults
from novacron_server.database.server_lock import ServerLock

T = TypeVar("T")
Connection: TypeAlias = AsyncConnection
"""What a unit of work is given. Services pass it on to repositories; only those know what to do with it."""
Kind = Literal["embedded", "external"]

CONNECT_S = 1.5
POOL_WAIT_S = 1.0
ATTEMPTS = 5
_GRACE_S = 0.15
_LATE_S = 0.1
"""A timer that fires later than this says that this process stood still, not the database."""
_LATE_GRACE_S = 1.0

DATABASE_BUDGET_S = 2.2
"""A change fails within 2.5 s while the database is down or hung (promise G11); the rest is left for the answer."""


class _Held:
    """What one transaction holds, so that somebody outside can cut its connection."""

    def __init__(self) -> None:
        self.connection: psycopg.AsyncConnection[Any] | None = None
        self.committing = False

    def cut(self) -> None:
        """Shut the socket: whoever waits on it wakes with an error. Cancelling alone would wait for the server."""
        if self.connection is None or self.connection.closed:
            return
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self.connection.fileno())) as ours:
            ours.shutdown(socket.SHUT_RDWR)


class Database:
    """Transactions on one PostgreSQL. `url` is any libpq URL; nothing is connected until the first use."""

    def __init__(
        self,
        url: str,
        *,
        kind: Kind = "external",
        connections: int = 16,
        budget_s: float = DATABASE_BUDGET_S,
    ) -> None:
        self.kind: Kind = kind
        self._url = _plain(url)
        self.budget_s = budget_s
        self.server_lock: ServerLock | None = None
        self._strays: set[asyncio.Task[Any]] = set()
        self._engine = create_async_engine(
            "postgresql+psycopg://",
            async_creator=self._connect,
            pool_size=connections,
            max_overflow=0,  # a connection above the pool would be made for one transaction, which costs ten of them
            pool_timeout=min(POOL_WAIT_S, budget_s),
            pool_use_lifo=True,
        )

    async def run(
        self,
        work: Callable[[AsyncConnection], Awaitable[T]],
        *,
        read_only: bool = False,
        timeout_s: float | None = None,
    ) -> T:
        """Run `work` in one transaction and commit it; any error rolls back.

        `work` is run again (so it must do nothing but SQL) after a deadlock, a serialization failure or a lost
        connection, up to ATTEMPTS times and within the budget; never when a COMMIT's outcome is unknown.
        `timeout_s` is for maintenance that may take longer than the usual budget.
        Raises DatabaseUnavailable with `retry_after_s`; Conflict for a row that is there already.
        """
        until = time.monotonic() + (timeout_s or self.budget_s)
        for attempt in range(1, ATTEMPTS + 1):
            held = _Held()
            try:
                if self.server_lock is not None and not read_only:
                    await self.server_lock.admit(until)
                return await self._bounded(work, held, until, read_only, timeout_s)
            except (*faults.Fault, faults.Expired) as exc:
                if (
                    held.committing
                    and not read_only
                    and (isinstance(exc, faults.Expired) or faults.lost_connection(exc))
                ):
                    raise faults.unknown_outcome() from exc
                pause_s = random.uniform(0.01, 0.03) * 2**attempt  # noqa: S311 - spreads rivals, keeps no secret
                last = attempt == ATTEMPTS or time.monotonic() + pause_s > until
                if last or not faults.worth_another_try(exc):
                    raise faults.translate(exc) from exc
            await asyncio.sleep(pause_s)
        raise AssertionError("unreachable")

    async def ping(self) -> float:
        """Milliseconds of one question and answer. Raises DatabaseUnavailable."""
        started = time.perf_counter()
        await self.run(_select_one, read_only=True, timeout_s=min(self.budget_s, 2.0))
        return (time.perf_counter() - started) * 1000

    async def take_server_lock(self) -> ServerLock:
        """From here on only while no other server works with this database. Raises Conflict naming the one that does."""
        server_lock = ServerLock(self.session)
        try:
            await server_lock.take()
        except BaseException:
            await server_lock.close()
            raise
        self.server_lock = server_lock
        return server_lock

    @property
    def refusal(self) -> str:
        """Why changes are refused though the database answers: another server has it. Empty otherwise."""
        return self.server_lock.refusal if self.server_lock is not None else ""

    async def session(self, application: str, **more: Any) -> psycopg.AsyncConnection[Any]:
        """A connection of one's own outside the pool, in autocommit: for LISTEN, NOTIFY and session locks.

        Raises DatabaseUnavailable.
        """
        try:
            return await self._connect(autocommit=True, application_name=application, **more)
        except faults.Fault as exc:
            raise faults.translate(exc) from exc

    async def close(self) -> None:
        """Close every idle connection; those in use close when their transaction ends. Never waits on the server."""
        for task in list(self._strays):
            task.cancel()
        await self._engine.dispose()

    async def _connect(self, **more: Any) -> psycopg.AsyncConnection[Any]:
        limits = f"-c statement_timeout={int(self.budget_s * 1000)} -c idle_in_transaction_session_timeout=10000"
        arguments: dict[str, Any] = {"application_name": "novacron", "options": limits} | more
        try:
            async with asyncio.timeout(min(CONNECT_S, self.budget_s)):
                conn = await psycopg.AsyncConnection.connect(self._url, **arguments)
        except TimeoutError as exc:
            raise psycopg.OperationalError("connecting took too long") from exc
        set_json_dumps(_to_json, conn)
        set_json_loads(msgspec.json.decode, conn)
        return conn

    async def _bounded(
        self,
        work: Callable[[AsyncConnection], Awaitable[T]],
        held: _Held,
        until: float,
        read_only: bool,
        timeout_s: float | None,
    ) -> T:
        """Run the transaction as a task of its own, which can be left behind when the server hangs."""
        task = asyncio.create_task(self._transaction(work, held, read_only, timeout_s))
        try:
            await wait(task, until)
        except asyncio.CancelledError:
            await self._abandon(task, held, gently=True)
            raise
        if not task.done():
            await self._abandon(task, held)
            if not task.done() or task.cancelled() or task.exception() is not None:
                raise faults.Expired
        return task.result()

    async def _transaction(
        self, work: Callable[[AsyncConnection], Awaitable[T]], held: _Held, read_only: bool, timeout_s: float | None
    ) -> T:
        async with self._engine.connect() as conn:
            held.connection = (await conn.get_raw_connection()).driver_connection
            if read_only:
                await conn.execution_options(postgresql_readonly=True)
            if timeout_s is not None and timeout_s > self.budget_s:
                await conn.execute(text(f"SET LOCAL statement_timeout = {int(timeout_s * 1000)}"))
            result = await work(conn)
            held.committing = True
            await conn.commit()
            held.connection = None  # it is another's from here on
            return result

    async def _abandon(self, task: asyncio.Task[Any], held: _Held, *, gently: bool = False) -> None:
        """End a transaction that nobody waits for any more: ask first (a healthy server rolls back), then cut."""
        if gently or held.connection is None:
            task.cancel()
            await asyncio.wait({task}, timeout=_GRACE_S)
        if not task.done():
            held.cut()
            await asyncio.wait({task}, timeout=_GRACE_S)
        if not task.done():
            task.cancel()
            self._strays.add(task)
            task.add_done_callback(self._strays.discard)
        task.add_done_callback(_look_at)


def _plain(url: str) -> str:
    """A libpq URL; SQLAlchemy's spelling of it is understood too. Raises DatabaseUnavailable for what is none."""
    for spelling in ("postgresql+psycopg://", "postgres://"):
        if url.startswith(spelling):
            url = "postgresql://" + url.removeprefix(spelling)
    try:
        psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        raise DatabaseUnavailable("the database URL is not one that PostgreSQL understands") from None
    return url


def _look_at(task: asyncio.Task[Any]) -> None:
    """Take the error of a task nobody waits for, so that asyncio does not print it."""
    if not task.cancelled():
        task.exception()


def _to_json(value: object) -> str:
    """PostgreSQL's jsonb cannot hold NUL, and text from outside must never make a row impossible to write."""
    return msgspec.json.encode(value).decode().replace("\\u0000", "\\ufffd")


async def wait(answer: asyncio.Future[Any], until: float) -> None:
    """Wait for an answer until `until` (time.monotonic); a little longer where this process itself stood still."""
    await asyncio.wait({answer}, timeout=max(0.0, until - time.monotonic()))
    late_s = time.monotonic() - until
    if not answer.done() and late_s > _LATE_S:
        await asyncio.wait({answer}, timeout=min(late_s, _LATE_GRACE_S))  # it may lie there unread


async def _select_one(conn: AsyncConnection) -> None:
    await conn.execute(text("SELECT 1"))
