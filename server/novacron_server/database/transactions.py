"""Access to PostgreSQL: a bounded connection pool, and transactions that always end within their time budget."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, TypeAlias, TypeVar

import psycopg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from novacron_core.errors import DatabaseUnavailable
from novacron_core.rules.visibility import Principal
from novacron_server.database import faults
from novacron_server.database.connector import DEDICATED, POOL, Connector
from novacron_server.database.server_lock import ServerLock
from novacron_server.database.turns import Turns
from novacron_server.places import Places

T = TypeVar("T")
Connection: TypeAlias = AsyncConnection
"""The argument of a unit of work. Services only pass it on; repositories execute SQL on it."""
Kind = Literal["embedded", "external"]

POOL_WAIT_S = 1.0
SEARCHES = 6
"""Connections for reads whose cost their reader decides; of a tenant half of them."""
PING_S = 2.0
"""What a ping may take in addition to the time for a connection: health is asked by probes that do not wait long."""
ATTEMPTS = 5
_GRACE_S = 0.15
_LATE_S = 0.1
"""A timer that fires later than this shows that this process was stalled, not the database."""
_LATE_GRACE_S = 1.0

DATABASE_BUDGET_S = 2.2
"""A change must fail within 2.5 s while the database is down or hangs (promise G11); the rest is for the response."""


class _Held:
    """The connection of one transaction, so that another task can cut it."""

    def __init__(self) -> None:
        self.connection: psycopg.AsyncConnection[Any] | None = None
        self.committing = False

    def cut(self) -> None:
        """Shut down the socket, so that tasks waiting on it fail. Cancelling alone would wait for the server."""
        if self.connection is None or self.connection.closed:
            return
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self.connection.fileno())) as duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)


class Database:
    """Transactions on one PostgreSQL database. `url` is any libpq URL; the first use opens the first connection.

    `schema` is the schema of the tables and `search_path` finds it; without them, PostgreSQL's settings decide.
    """

    def __init__(
        self,
        url: str,
        *,
        kind: Kind = "external",
        connections: int = POOL,
        budget_s: float = DATABASE_BUDGET_S,
        schema: str = "",
        search_path: str = "",
    ) -> None:
        self.kind: Kind = kind
        self._connector = Connector(url, budget_s=budget_s, search_path=search_path, needed=connections + DEDICATED)
        self._schema = schema
        self.budget_s = budget_s
        self.server_lock: ServerLock | None = None
        self._abandoned: set[asyncio.Task[Any]] = set()
        at_once = max(1, connections // 2)
        self.long_reads = Places(at_once, max(1, at_once * 3 // 4))
        """Of the connections, those that reads may hold whose cost their readers decide: the rest is for everything else."""
        self._searches = Turns(SEARCHES, SEARCHES // 2, within=self.long_reads)
        self._engine = create_async_engine(
            "postgresql+psycopg://",
            async_creator=self._connector.open,
            pool_size=connections,
            max_overflow=0,  # opening a connection above the pool for one transaction costs as much as ten transactions
            pool_timeout=min(max(POOL_WAIT_S, budget_s / 2), budget_s),
            pool_use_lifo=True,
        )

    def search(self, principal: Principal) -> AbstractAsyncContextManager[None]:
        """A turn for a read whose cost the reader decides, as that of a search: however many there are, they leave
        connections to everything else. Raises RateLimited on entering it, when others take too long."""
        return self._searches.of(principal, 2 * self.budget_s, "other searches are running: try again in a few seconds")

    async def run(
        self,
        work: Callable[[AsyncConnection], Awaitable[T]],
        *,
        read_only: bool = False,
        timeout_s: float | None = None,
    ) -> T:
        """Run `work` in one transaction and commit it; any error rolls back.

        `work` is run again (so it must do nothing but SQL) after a deadlock, a serialization failure or a lost
        connection, up to ATTEMPTS times and within the budget; never when the outcome of a COMMIT is unknown.
        `timeout_s` replaces the usual budget, for maintenance that may take longer.
        Raises DatabaseUnavailable with `retry_after_s`; Conflict for a row that already exists.
        """
        until = time.monotonic() + (timeout_s or self.budget_s)
        for attempt in range(1, ATTEMPTS + 1):
            held = _Held()
            try:
                if self.server_lock is not None and not read_only:
                    await self.server_lock.admit(until)
                return await self._run_bounded(work, held, until, read_only, timeout_s)
            except (*faults.Fault, faults.Expired) as exc:
                if (
                    held.committing
                    and not read_only
                    and (isinstance(exc, faults.Expired) or faults.lost_connection(exc))
                ):
                    raise faults.unknown_outcome() from exc
                pause_s = random.uniform(0.01, 0.03) * 2**attempt  # noqa: S311 - jitter, not a secret
                last = attempt == ATTEMPTS or time.monotonic() + pause_s > until
                if last or not faults.is_retryable(exc):
                    raise faults.translate(exc, read_only=read_only) from exc
            await asyncio.sleep(pause_s)
        raise AssertionError("unreachable")

    async def ping(self) -> float:
        """The round-trip time of one query in milliseconds. Raises DatabaseUnavailable, also for a database that takes
        no changes."""
        started = time.perf_counter()
        timeout_s = min(self.budget_s, PING_S + self._connector.last_open_s)
        await self.run(_check_writable, read_only=True, timeout_s=timeout_s)
        return (time.perf_counter() - started) * 1000

    async def take_server_lock(self) -> ServerLock:
        """Allow changes only while no other server uses this database. Raises Conflict naming the server that does."""
        server_lock = ServerLock(self.session, self._schema, application=self._connector.application_name)
        try:
            await server_lock.take()
        except BaseException:
            await server_lock.close()
            raise
        self.server_lock = server_lock
        return server_lock

    @property
    def refusal(self) -> str:
        """Why changes are refused although the database is up: another server has it. Empty otherwise."""
        return self.server_lock.refusal if self.server_lock is not None else ""

    async def session(
        self, application: str, *, settings: Mapping[str, str] | None = None, **more: Any
    ) -> psycopg.AsyncConnection[Any]:
        """Open a dedicated connection outside the pool, in autocommit: for LISTEN, NOTIFY and session locks.

        `settings` are PostgreSQL's, `more` libpq's parameters. Raises DatabaseUnavailable.
        """
        try:
            return await self._connector.open(autocommit=True, application=application, settings=settings, **more)
        except faults.Fault as exc:
            raise faults.at_start(exc) from exc

    async def close(self) -> None:
        """Close every idle connection; those in use close when their transaction ends. Never waits for the database."""
        for task in list(self._abandoned):
            task.cancel()
        await self._engine.dispose()

    async def _run_bounded(
        self,
        work: Callable[[AsyncConnection], Awaitable[T]],
        held: _Held,
        until: float,
        read_only: bool,
        timeout_s: float | None,
    ) -> T:
        """Run the transaction in its own task, which can be abandoned when the database hangs."""
        task = asyncio.create_task(self._transaction(work, held, read_only, timeout_s))
        try:
            await wait(task, until)
        except asyncio.CancelledError:
            await self._abandon(task, held, cancel_first=True)
            raise
        if not task.done():
            await self._abandon(task, held)
            if not task.done() or task.cancelled() or task.exception() is not None:
                raise faults.Expired(timeout_s or self.budget_s)
        return task.result()

    async def _transaction(
        self, work: Callable[[AsyncConnection], Awaitable[T]], held: _Held, read_only: bool, timeout_s: float | None
    ) -> T:
        async with self._engine.connect() as conn:
            held.connection = (await conn.get_raw_connection()).driver_connection
            assert held.connection is not None
            # None: as the database has it. READ WRITE would override an operator's default_transaction_read_only.
            await held.connection.set_read_only(True if read_only else None)
            if timeout_s is not None and timeout_s > self.budget_s:
                await conn.execute(text(f"SET LOCAL statement_timeout = {int(timeout_s * 1000)}"))
            result = await work(conn)
            held.committing = True
            await conn.commit()
            held.connection = None  # it goes back to the pool and may be used by another transaction
            return result

    async def _abandon(self, task: asyncio.Task[Any], held: _Held, *, cancel_first: bool = False) -> None:
        """End a transaction whose caller no longer waits.

        With `cancel_first` it is cancelled, so that a healthy database rolls back, before its connection is cut.
        """
        if cancel_first or held.connection is None:
            task.cancel()
            await asyncio.wait({task}, timeout=_GRACE_S)
        if not task.done():
            held.cut()
            await asyncio.wait({task}, timeout=_GRACE_S)
        if not task.done():
            task.cancel()
            self._abandoned.add(task)
            task.add_done_callback(self._abandoned.discard)
        task.add_done_callback(_retrieve_exception)


def _retrieve_exception(task: asyncio.Task[Any]) -> None:
    """Retrieve the exception of an abandoned task, so that asyncio does not log it."""
    if not task.cancelled():
        task.exception()


async def wait(answer: asyncio.Future[Any], until: float) -> None:
    """Wait for an answer until `until` (time.monotonic); a little longer when this process itself was stalled."""
    await asyncio.wait({answer}, timeout=max(0.0, until - time.monotonic()))
    late_s = time.monotonic() - until
    if not answer.done() and late_s > _LATE_S:
        # The answer may have arrived without being processed yet.
        await asyncio.wait({answer}, timeout=min(late_s, _LATE_GRACE_S))


async def _check_writable(conn: AsyncConnection) -> None:
    found = await conn.execute(
        text("SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean")
    )
    if found.scalar_one():
        raise DatabaseUnavailable(faults.READ_ONLY, retry_after_s=faults.RETRY_AFTER_S)
