"""The line to one host: opened, kept alive, reopened for ever; and the calls made over it, each with a deadline.

While the line is down every call is refused at once. There is one thread that opens, so two open() never hang
together, and calls of different kinds have threads of their own, so a slow start never delays the picture.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import libvirt
import msgspec
import structlog

from novacron_core.api.hosts import HostStatus
from novacron_core.errors import HostUnavailable
from novacron_server.hypervisor import faults
from novacron_server.hypervisor.connection import events
from novacron_server.hypervisor.connection.connection import ConnectionLost
from novacron_server.hypervisor.connection.session import HostSession, R
from novacron_server.hypervisor.connection.thread_lanes import ThreadLane

_log = structlog.get_logger(__name__)
T = TypeVar("T")


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """How patient we are with a host, in seconds. Keepalive notices a dead line after about interval * (count + 1)."""

    open_s: float = 5.0
    first_look_s: float = 30.0
    read_s: float = 10.0
    change_s: float = 60.0
    stall_s: float = 30.0
    statistics_s: float = 30.0
    heartbeat_s: float = 5.0
    keepalive_s: int = 1
    keepalive_count: int = 3
    backoff_first_s: float = 0.5
    backoff_most_s: float = 15.0


class ConnectionSupervisor(Generic[R]):
    """The line to one host. Everything but the lanes' calls runs in the asyncio loop's thread."""

    def __init__(
        self,
        uri: str,
        timing: Timing,
        make_reader: Callable[[], R],
        *,
        on_status: Callable[[], None],
        on_event: Callable[[events.Kind, str | None], None],
        on_arrival: Callable[[HostSession[R], Any], None],
    ) -> None:
        """`on_arrival` is called in a worker thread with each new connection, before it counts as up."""
        self.uri = uri
        self.timing = timing
        self._make_reader = make_reader
        self.status = HostStatus.DOWN
        self.detail = "not connected yet"
        self.seen_at: datetime | None = None
        self.latency_ms: float | None = None
        self.session: HostSession[R] | None = None
        self._on_status, self._on_event, self._on_arrival = on_status, on_event, on_arrival
        self._opener = ThreadLane(f"{uri} open", 1)
        self.reads = ThreadLane(f"{uri} read", 2)
        self.storage = ThreadLane(f"{uri} storage", 2)
        self.changes = ThreadLane(f"{uri} change", 4)
        self.transfers = ThreadLane(f"{uri} transfer", 2)
        self.statistics = ThreadLane(f"{uri} statistics", 2)
        self._sync: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._closed = False

    async def open(self) -> None:
        """Starts keeping the line; returns after the first attempt, or when it has taken too long.

        Raises HostUnavailable after `close`: a closed line stays closed.
        """
        if self._closed:
            raise HostUnavailable("the host was closed")
        if self._sync is None:
            self._set_status(HostStatus.CONNECTING, "connecting")
            self._sync = asyncio.create_task(self._keep(), name=f"keep {self.uri}")
        try:
            async with asyncio.timeout(self.timing.first_look_s):
                await self._tried.wait()
        except TimeoutError:
            _log.warning("the first attempt to connect takes long", uri=self.uri)

    async def close(self) -> None:
        """Ends the line. Never waits long for a host that hangs."""
        self._closed = True
        sync, self._sync = self._sync, None
        if sync is not None:
            sync.cancel()
            await asyncio.wait({sync})
        session, self.session = self.session, None
        if session is not None:
            session.lose("closed")
            await self._settle(self._opener.submit(session.close), 3.0)
        for lane in (self._opener, self.reads, self.storage, self.changes, self.transfers, self.statistics):
            lane.stop()
        self._set_status(HostStatus.DOWN, "closed")

    async def call(
        self, lane: ThreadLane, work: Callable[[Any], T], *, what: str = "", deadline_s: float | None = None
    ) -> T:
        """Makes a blocking call in a thread of `lane`.

        Raises HostUnavailable when the line is down or is lost meanwhile, or nothing came by the deadline (the call
        may still take effect then, and the sentence says so); else what `faults` makes of libvirt's refusal.
        """
        session = self.require()
        future = lane.submit(lambda: session.run(work))
        waiter = asyncio.wrap_future(future)
        waiter.add_done_callback(retrieve)
        try:
            either: set[asyncio.Future[Any]] = {waiter, session.lost}
            await asyncio.wait(either, timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            future.cancel()
            raise
        if waiter.done() and not waiter.cancelled():
            return self._result(session, waiter, what)
        raise self._give_up(session, lane, future, what)

    def require(self) -> HostSession[R]:
        """The open connection. Raises HostUnavailable while there is none."""
        if self.session is None:
            raise HostUnavailable(self._down_sentence(), retry_after_s=5)
        return self.session

    def _result(self, session: HostSession[R], waiter: asyncio.Future[T], what: str) -> T:
        try:
            result = waiter.result()
        except ConnectionLost as error:
            session.lose(str(error))
            subject = f"cannot {what}: " if what else ""
            raise HostUnavailable(f"{subject}the host was lost ({error})", retry_after_s=5) from error
        except libvirt.libvirtError as error:
            self.seen_at = datetime.now(UTC)
            raise faults.translate(error, what) from error
        self.seen_at = datetime.now(UTC)
        return result

    def _give_up(self, session: HostSession[R], lane: ThreadLane, future: Future[Any], what: str) -> HostUnavailable:
        subject = f"cannot {what}: " if what else ""
        if future.cancel():
            if session.lost.done():
                return HostUnavailable(f"{subject}the host was lost", retry_after_s=5)
            return HostUnavailable(f"{subject}the host is busy with {lane.running} other calls", retry_after_s=5)
        if lane is self.reads and lane.running >= lane.size:
            session.lose("its calls hang")
        may = "; it may still happen" if lane in (self.changes, self.transfers) else ""
        why = "the host was lost meanwhile" if session.lost.done() else "the host did not answer in time"
        return HostUnavailable(f"{subject}{why}{may}", retry_after_s=5)

    async def _keep(self) -> None:
        attempt = 0
        while True:
            session = await self._dial()
            if session is not None:
                arrived = time.monotonic()
                await self._watch(session)
                # A line that breaks at once again counts as a failed attempt, else it would be redialled in a whirl.
                attempt = 0 if time.monotonic() - arrived > self.timing.backoff_most_s else attempt
            await asyncio.sleep(self._backoff_s(attempt))
            attempt += 1

    def _backoff_s(self, attempt: int) -> float:
        limit: float = min(self.timing.backoff_most_s, self.timing.backoff_first_s * 2.0 ** min(attempt, 10))
        return limit * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret

    async def _dial(self) -> HostSession[R] | None:
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
            if not done and session.first is None:  # it hangs; nothing is tried until it comes back
                self._down("it does not answer")
            await waiter
        except (libvirt.libvirtError, ConnectionLost) as error:
            self._down(faults.plain(str(error)))
            await self._retire(session)
            return None
        except asyncio.CancelledError:
            future.add_done_callback(lambda _: session.close())
            raise
        if self.reads.running >= self.reads.size:
            self._down(f"{self.reads.running} earlier calls still hang")
            await self._retire(session)
            return None
        if session.lost.done():
            self._down(session.lost.result())
            await self._retire(session)
            return None
        self.session = session
        self._set_status(HostStatus.UP, "")
        return session

    def _open(self, session: HostSession[R]) -> None:
        loop = session.lost.get_loop()
        began = time.monotonic()
        wire = session.open()
        self.latency_ms = (time.monotonic() - began) * 1000
        wire.farewells = events.listen(
            wire.connection,
            lambda kind, uuid: self._seen(loop, session, kind, uuid),
            lambda reason: soon(loop, session.lose, reason),
        )
        wire.run(lambda connection: self._on_arrival(session, connection))
        self.seen_at = datetime.now(UTC)

    def _seen(
        self, loop: asyncio.AbstractEventLoop, session: HostSession[R], kind: events.Kind, uuid: str | None
    ) -> None:
        """In the event thread."""
        if kind == "domain" and uuid:
            session.reader.forget(uuid)
        soon(loop, self._on_event, kind, uuid)

    async def _watch(self, session: HostSession[R]) -> None:
        """Until the connection is lost. Asks now and then, for what keepalive does not see."""
        while not session.lost.done():
            await asyncio.wait({session.lost}, timeout=self.timing.heartbeat_s)
            # A call that is being made is as good as a heartbeat, and has its own deadline.
            if not session.lost.done() and not self.reads.running:
                await self._beat(session)
        self.session = None
        self._down(session.lost.result())
        await self._retire(session)

    async def _beat(self, session: HostSession[R]) -> None:
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
        # In the opener's thread: if closing hangs, opening waits for it, as it must.
        await self._settle(self._opener.submit(session.close), self.timing.open_s)

    async def _settle(self, future: Future[None], deadline_s: float) -> None:
        await asyncio.wait({asyncio.wrap_future(future)}, timeout=deadline_s)

    def _down(self, why: str) -> None:
        self._set_status(HostStatus.DOWN, why)

    def _down_sentence(self) -> str:
        return (
            "the host is being connected to"
            if self.status is HostStatus.CONNECTING
            else f"the host is down: {self.detail}"
        )

    def _set_status(self, status: HostStatus, detail: str) -> None:
        if status is not HostStatus.CONNECTING:
            self._tried.set()
        if (status, detail) == (self.status, self.detail):
            return
        self.status, self.detail = status, detail
        log = _log.warning if status is HostStatus.DOWN and not self._closed else _log.info
        log("host status", uri=self.uri, status=status.value, detail=detail)
        self._on_status()


def soon(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *arguments: object) -> None:
    """Has the loop call something, from another thread."""
    try:
        loop.call_soon_threadsafe(callback, *arguments)
    except RuntimeError:
        return  # the loop is closed: nobody is left to be told


def retrieve(waiter: asyncio.Future[Any]) -> None:
    """Marks an abandoned call's error as seen; asyncio would complain about it much later."""
    if not waiter.cancelled():
        waiter.exception()
