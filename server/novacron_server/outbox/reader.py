"""Reads the outbox, in which events are committed together with their changes, and delivers each once, in order.

A writer calls `append` last in its transaction and `OutboxReader.wake` after the commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any

import structlog

from novacron_core.errors import DatabaseUnavailable
from novacron_server.database.transactions import Database
from novacron_server.outbox.notify import Notifier
from novacron_server.outbox.records import EventRecord
from novacron_server.outbox.repository import last_seq, read_after
from novacron_server.tasks import cancel_tasks

BATCH = 1000
POLL_S = 1.0
_log = structlog.get_logger(__name__)


class OutboxHole(RuntimeError):
    """A sequence number is missing. The counter's lock prevents that, so the table was modified from outside."""


class OutboxReader:
    """Reads the events after number `after` and passes them to `on_records` in batches.

    Start it with start() or `async with`. If the database is lost, it waits until it is back; `healthy` is False until
    then. A hole, or an error of `on_records`, ends the reader: `failure` contains it, wait() raises it, and no event is
    ever skipped. `on_health` is called when the database is lost (False) and when it is back (True).
    """

    def __init__(
        self,
        database: Database,
        after: int,
        on_records: Callable[[list[EventRecord]], Awaitable[None] | None],
        *,
        poll_s: float = POLL_S,
        on_health: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._on_health = on_health
        self._database = database
        self._on_records = on_records
        self._poll_s = poll_s
        self._wake_event = asyncio.Event()
        self._running: list[asyncio.Task[None]] = []
        # An embedded database has only one server: there are no others to notify.
        self._notifier = Notifier(database, self._wake_event.set) if database.kind == "external" else None
        self.last_seq = after
        self.healthy = True
        self.failure: BaseException | None = None

    async def __aenter__(self) -> OutboxReader:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    def wake(self) -> None:
        """There are new events: call this after each local commit. Several calls may cause a single read."""
        self._wake_event.set()
        if self._notifier is not None:
            self._notifier.send()

    def tasks(self) -> list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]]:
        """The background tasks of the reader, as (name, coroutine function) pairs."""
        tasks: list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]] = [("outbox reader", self.run)]
        return [*tasks, ("outbox notifier", self._notifier.run)] if self._notifier else tasks

    def start(self) -> None:
        """Run the tasks unsupervised, for as long as the context is open."""
        self._running = [asyncio.create_task(run(), name=name) for name, run in self.tasks()]

    async def close(self) -> None:
        """Stop reading. Raises nothing; a failure stays in `failure`."""
        await cancel_tasks(self._running)

    async def wait(self) -> None:
        """Wait until the reader ends. Raises the error that ended it; none after close()."""
        if self._running:
            await asyncio.shield(self._running[0])

    async def run(self) -> None:
        """Read until cancelled. Raises OutboxHole, and any unexpected error."""
        try:
            await self._read_loop()
        except asyncio.CancelledError:
            raise
        except BaseException as exc:
            self.failure, self.healthy = exc, False
            _log.critical("event_stream_stopped", last_seq=self.last_seq, reason=str(exc), exc_info=exc)
            raise

    async def _read_loop(self) -> None:
        pause_s = 0.05
        while True:
            self._wake_event.clear()
            try:
                if not self.healthy:
                    await self._check_not_restored()
                await self._drain()
                self._set_healthy(healthy=True)
                pause_s = 0.05
            except DatabaseUnavailable as exc:
                if self.healthy:
                    _log.warning("event_stream_waits_for_database", last_seq=self.last_seq, reason=exc.detail)
                self._set_healthy(healthy=False)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, 2.0)
                continue
            await self._wait_for_wake()

    def _set_healthy(self, *, healthy: bool) -> None:
        changed, self.healthy = healthy is not self.healthy, healthy
        if changed:
            self._on_health(healthy)

    async def _wait_for_wake(self) -> None:
        try:
            async with asyncio.timeout(self._poll_s):
                await self._wake_event.wait()
        except TimeoutError:
            return

    async def _drain(self) -> None:
        while True:
            after = self.last_seq
            batch = await self._database.run(lambda conn, a=after: read_after(conn, a, BATCH), read_only=True)  # type: ignore[misc]
            if batch:
                await self._deliver(batch)
            if len(batch) < BATCH:
                return

    async def _deliver(self, batch: list[EventRecord]) -> None:
        for expected, record in enumerate(batch, self.last_seq + 1):
            if record.seq != expected:
                raise OutboxHole(f"event {expected} is missing: {record.seq} follows {expected - 1}")
        result = self._on_records(batch)
        if result is not None:
            await result
        self.last_seq = batch[-1].seq

    async def _check_not_restored(self) -> None:
        """Raise OutboxHole if an older database was restored: it would assign sequence numbers a second time."""
        newest = await self._database.run(last_seq, read_only=True)
        if newest < self.last_seq:
            raise OutboxHole(
                f"the database was restored: its last event is {newest}, but {self.last_seq} was read before"
            )
