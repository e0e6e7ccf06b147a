"""Keeps one host connected: opens the connection, monitors it, reopens it; and makes calls, each with a deadline.

While the host is down every call is refused at once. A single thread opens connections, so two open() calls never hang
at the same time, and each kind of call has its own threads, so that a slow VM start never delays inventory reads.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

import libvirt
import msgspec
import structlog

from novacron_core.api.hosts import HostStatus
from novacron_core.errors import Conflict, HostUnavailable, Internal, NovaCronError
from novacron_core.rules.host_reasons import public_reason
from novacron_server.hypervisor import faults
from novacron_server.hypervisor.connection import events
from novacron_server.hypervisor.connection.connection import ConnectionLost
from novacron_server.hypervisor.connection.session import HostSession, R
from novacron_server.hypervisor.connection.thread_lanes import ThreadLane

_log = structlog.get_logger(__name__)
T = TypeVar("T")


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Timeouts for a host, in seconds. Keepalive detects a dead connection after about interval * (count + 1)."""

    open_s: float = 5.0
    first_attempt_s: float = 30.0
    read_s: float = 10.0
    listing_s: float = 30.0
    change_s: float = 60.0
    stall_s: float = 30.0
    flush_s: float = 600.0
    statistics_s: float = 30.0
    heartbeat_s: float = 5.0
    keepalive_s: int = 1
    keepalive_count: int = 3
    backoff_first_s: float = 0.5
    backoff_max_s: float = 15.0


class ConnectionSupervisor(Generic[R]):
    """The connection to one host. Everything except the lanes' calls runs in the asyncio loop's thread."""

    def __init__(
        self,
        uri: str,
        timing: Timing,
        make_reader: Callable[[], R],
        *,
        on_status: Callable[[], None],
        on_event: Callable[[events.Kind, str | None], None],
        on_connect: Callable[[HostSession[R], Any], None],
    ) -> None:
        """`on_connect` is called in a worker thread with each new connection, before the host counts as up."""
        self.uri = uri
        self.timing = timing
        self._make_reader = make_reader
        self.status = HostStatus.DOWN
        self.detail = "not connected yet"
        self.seen_at: datetime | None = None
        self.latency_ms: float | None = None
        self.session: HostSession[R] | None = None
        self._on_status, self._on_event, self._on_connect = on_status, on_event, on_connect
        self._opener = ThreadLane(f"{uri} open", 1)
        self.reads = ThreadLane(f"{uri} read", 2)
        self.storage = ThreadLane(f"{uri} storage", 2)
        self.listings = ThreadLane(f"{uri} listing", 4)
        self.changes = ThreadLane(f"{uri} change", 4)
        self.agents = ThreadLane(f"{uri} agent", 4)
        self.transfers = ThreadLane(f"{uri} transfer", 4)
        self.copies = ThreadLane(f"{uri} copy", 8)
        self.statistics = ThreadLane(f"{uri} statistics", 2)
        self.consoles = ThreadLane(f"{uri} console", 2)
        self._task: asyncio.Task[None] | None = None
        self._attempted = asyncio.Event()
        self._closed = False

    async def open(self) -> None:
        """Start connecting; returns after the first attempt, or when that takes too long.

        Raises HostUnavailable after `close`: a closed supervisor cannot be reopened.
        """
        if self._closed:
            raise HostUnavailable("the connection to the host was closed")
        if self._task is None:
            self._set_status(HostStatus.CONNECTING, "connecting")
            self._task = asyncio.create_task(self._keep_connected(), name=f"connection {self.uri}")
        try:
            async with asyncio.timeout(self.timing.first_attempt_s):
                await self._attempted.wait()
        except TimeoutError:
            _log.warning("still waiting for the first connection attempt", uri=self.uri)

    async def close(self) -> None:
        """Close the connection. Waits only a few seconds for a host that hangs."""
        self._closed = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        session, self.session = self.session, None
        if session is not None:
            session.lose("closed")
            await self._wait_for(self._opener.submit(session.close), 3.0)
        calls = (self.reads, self.storage, self.listings, self.changes)
        for lane in (self._opener, *calls, self.agents, self.transfers, self.copies, self.statistics, self.consoles):
            lane.stop()
        self._set_status(HostStatus.DOWN, "closed")

    async def call(
        self, lane: ThreadLane, work: Callable[[Any], T], *, what: str = "", deadline_s: float | None = None
    ) -> T:
        """Make a blocking call in a thread of `lane`.

        Raises HostUnavailable if the host is down, is lost during the call, or does not respond by the deadline (the
        call may still take effect then, and the message says so); else the error that `faults` maps libvirt's to.
        """
        session = self.require()
        future = lane.submit(lambda: session.run(work))
        waiter = asyncio.wrap_future(future)
        waiter.add_done_callback(mark_retrieved)
        try:
            outcomes: set[asyncio.Future[Any]] = {waiter, session.lost}
            await asyncio.wait(outcomes, timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            future.cancel()
            raise
        if waiter.done() and not waiter.cancelled():
            return self._result(session, waiter, what)
        raise self._abandon(session, lane, future, what, deadline_s or 0.0)

    def require(self) -> HostSession[R]:
        """The current session. Raises HostUnavailable if there is none."""
        if self.session is None:
            raise HostUnavailable(self._why_down(), retry_after_s=5)
        return self.session

    def _result(self, session: HostSession[R], waiter: asyncio.Future[T], what: str) -> T:
        try:
            result = waiter.result()
        except ConnectionLost as error:
            session.lose(str(error))
            subject, why = f"cannot {what}: " if what else "", public_reason(str(error))
            raise HostUnavailable(f"{subject}lost the connection to the host ({why})", retry_after_s=5) from error
        except libvirt.libvirtError as error:
            self.seen_at = datetime.now(UTC)
            raise faults.translate(error, what) from error
        except NovaCronError:
            raise
        except OSError as error:  # of a file, not of libvirt
            why = f"{Path(error.filename).name}: {error.strerror}" if error.filename else error.strerror or str(error)
            raise Conflict(f"cannot {what}: {why}" if what else why) from error
        except Exception as error:  # a value of libvirt's that the binding or we cannot read: never a silent death
            _log.error("unexpected answer of libvirt", host=self.uri, what=what, exc_info=error)
            why = "libvirt answered with something that cannot be read; see the server's log"
            raise Internal(f"cannot {what}: {why}" if what else why) from error
        self.seen_at = datetime.now(UTC)
        return result

    def _abandon(
        self, session: HostSession[R], lane: ThreadLane, future: Future[Any], what: str, deadline_s: float
    ) -> HostUnavailable:
        subject = f"cannot {what}: " if what else ""
        # Also when this call has only queued: nobody may be left who waits for the calls that hang.
        if lane is self.reads and not session.lost.done() and lane.hangs(deadline_s / 2):
            session.lose("calls to libvirt hang")
        if future.cancel():
            if session.lost.done():
                return HostUnavailable(f"{subject}lost the connection to the host", retry_after_s=5)
            return HostUnavailable(f"{subject}the host is busy with {lane.running} other calls", retry_after_s=5)
        caveat = "; the change may still take effect" if lane in (self.changes, self.transfers, self.copies) else ""
        why = "lost the connection to the host" if session.lost.done() else "the host did not respond in time"
        return HostUnavailable(f"{subject}{why}{caveat}", retry_after_s=5)

    async def _keep_connected(self) -> None:
        attempt = 0
        while True:
            try:
                if (session := await self._connect()) is not None:
                    began = time.monotonic()
                    await self._monitor(session)
                    # A connection that breaks soon after opening counts as a failed attempt: the backoff applies.
                    attempt = 0 if time.monotonic() - began > self.timing.backoff_max_s else attempt
            except Exception as error:  # noqa: BLE001 - only this task reconnects the host, so no error may end it
                await self._drop(error)
            await asyncio.sleep(self._backoff_s(attempt))
            attempt += 1

    async def _drop(self, error: Exception) -> None:
        """Close the connection after an unexpected error, and show it in the host's status."""
        _log.error("keeping the host connected failed", uri=self.uri, exc_info=error)
        session, self.session = self.session, None
        why = f"internal error: {type(error).__name__}: {error}"
        if session is not None:
            session.lose(why)
            await self._retire(session)
        self._set_down(why)

    def _backoff_s(self, attempt: int) -> float:
        limit: float = min(self.timing.backoff_max_s, self.timing.backoff_first_s * 2.0 ** min(attempt, 10))
        return limit * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret

    async def _connect(self) -> HostSession[R] | None:
        timing = self.timing
        session = HostSession(
            self.uri,
            self._make_reader(),
            asyncio.get_running_loop(),
            timing.keepalive_s,
            timing.keepalive_count,
        )
        future = self._opener.submit(lambda: self._open(session))
        waiter = asyncio.wrap_future(future)
        try:
            done, _ = await asyncio.wait({waiter}, timeout=self.timing.open_s)
            if not done and session.first is None:  # it hangs; there is no other attempt until it returns
                self._set_down("no response")
            await waiter
        except (libvirt.libvirtError, ConnectionLost) as error:
            self._set_down(faults.plain(str(error)))
            await self._retire(session)
            return None
        except asyncio.CancelledError:
            future.add_done_callback(lambda _: session.close())
            raise
        except Exception:
            await self._retire(session)
            raise
        if self.reads.running >= self.reads.size:
            self._set_down(f"{self.reads.running} earlier calls still hang")
            await self._retire(session)
            return None
        if session.lost.done():
            self._set_down(session.lost.result())
            await self._retire(session)
            return None
        self.session = session
        self._set_status(HostStatus.UP, "")
        return session

    def _open(self, session: HostSession[R]) -> None:
        loop = session.lost.get_loop()
        began = time.monotonic()
        connection = session.open()
        self.latency_ms = (time.monotonic() - began) * 1000
        connection.cleanups = events.listen(
            connection.connection,
            lambda kind, uuid: self._event_received(loop, session, kind, uuid),
            lambda reason: schedule(loop, session.lose, reason),
        )
        connection.run(lambda virt_connection: self._on_connect(session, virt_connection))
        self.seen_at = datetime.now(UTC)

    def _event_received(
        self, loop: asyncio.AbstractEventLoop, session: HostSession[R], kind: events.Kind, uuid: str | None
    ) -> None:
        """Runs in the event thread."""
        if kind in ("domain", "reboot") and uuid:
            session.reader.invalidate(uuid)
        schedule(loop, self._on_event, kind, uuid)

    async def _monitor(self, session: HostSession[R]) -> None:
        """Return when the connection is lost. Sends heartbeats, to detect failures that keepalive misses."""
        while not session.lost.done():
            await asyncio.wait({session.lost}, timeout=self.timing.heartbeat_s)
            # A call in progress serves as a heartbeat, and has its own deadline.
            if not session.lost.done() and not self.reads.running:
                await self._send_heartbeat(session)
        self.session = None
        self._set_down(session.lost.result())
        await self._retire(session)

    async def _send_heartbeat(self, session: HostSession[R]) -> None:
        began = time.monotonic()
        try:
            await self.call(
                self.reads, lambda connection: connection.getLibVersion(), deadline_s=self.timing.heartbeat_s
            )
        except HostUnavailable as error:
            session.lose(error.detail)
            return
        self.latency_ms = (time.monotonic() - began) * 1000

    async def _retire(self, session: HostSession[R]) -> None:
        # In the opener's thread: if closing hangs, the next open() must wait for it.
        await self._wait_for(self._opener.submit(session.close), self.timing.open_s)

    async def _wait_for(self, future: Future[None], deadline_s: float) -> None:
        await asyncio.wait({asyncio.wrap_future(future)}, timeout=deadline_s)

    def _set_down(self, why: str) -> None:
        self._set_status(HostStatus.DOWN, why)

    def _why_down(self) -> str:
        """For everybody who may change something there: administrators read the whole reason at the host."""
        if self.status is HostStatus.CONNECTING:
            return "connecting to the host"
        return f"the host is down: {public_reason(self.detail)}"

    def _set_status(self, status: HostStatus, detail: str) -> None:
        if status is not HostStatus.CONNECTING:
            self._attempted.set()
        if (status, detail) == (self.status, self.detail):
            return
        self.status, self.detail = status, detail
        log = _log.warning if status is HostStatus.DOWN and not self._closed else _log.info
        log("host status", uri=self.uri, status=status.value, detail=detail)
        self._on_status()


def schedule(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *arguments: object) -> None:
    """Schedule a callback in the loop from another thread."""
    try:
        loop.call_soon_threadsafe(callback, *arguments)
    except RuntimeError:
        return  # the loop is closed: nothing is left to notify


def mark_retrieved(waiter: asyncio.Future[Any]) -> None:
    """Mark an abandoned call's exception as retrieved, so that asyncio does not log it later."""
    if not waiter.cancelled():
        waiter.exception()
