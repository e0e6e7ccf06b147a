"""One open serial console of a domain, on a connection of its own.

libvirt calls back in its event thread when bytes have come. What came is handed to the loop in one piece, however many
pieces it were, so that a guest that floods costs a busy loop memory within a bound only, and no more often than every
GATHER_S, so that it costs little time.

**Typing blocks.** A stream's `send` is never short: libvirtd takes a few messages that a guest has not read, and then reads
nothing more from that connection, no keepalive either, and `send` waits, also on a non-blocking stream. So typing has a
thread of its own, a call after each piece waits until libvirtd has read it, and no other console shares the connection: a
guest that does not read loses only its own console, when libvirtd closes it after STUCK_S. Sources: libvirt 9.0
(virnetserverclient.c, virnetclient.c), measured.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import libvirt
import structlog

from novacron_core.errors import Conflict, HostUnavailable, NotFound, Unsupported
from novacron_server.hypervisor.connection.connection import ConnectionLost, LibvirtConnection
from novacron_server.hypervisor.connection.streams import CallingStream
from novacron_server.hypervisor.connection.supervisor import schedule
from novacron_server.hypervisor.faults import code_of, plain

_log = structlog.get_logger(__name__)
_PIECE_BYTES = 64 * 1024
_MAX_PENDING_BYTES = 1024 * 1024
"""What may wait for the loop; beyond it the oldest bytes are dropped, and counted."""
GATHER_S = 0.01
"""How long output waits that follows other output. A guest prints a few bytes at a time, and to hand on, send and take them
costs as much as a thousand. The first after a pause, such as the echo of a key, does not wait."""
TYPED_PIECE_BYTES = 1024
"""Typed at once. libvirtd holds five of them; another writer's keys come after those."""
KEEPALIVE = (5, 5)
"""Seconds, and how often. A lost host is noticed sooner by its other connections."""
STUCK_S = 30.0
"""How long a guest may read nothing of what is typed. It is libvirtd's own keepalive (keepalive_interval, _count)."""
_READABLE = libvirt.VIR_STREAM_EVENT_READABLE
_ENDS = libvirt.VIR_STREAM_EVENT_ERROR | libvirt.VIR_STREAM_EVENT_HANGUP
_NOW_NOTHING = -2
_STUCK = "the guest does not read what is typed"


class ConsoleHeld(Conflict):
    """Another program has the console."""


class ConsoleOff(Conflict):
    """The VM does not run."""


class NoConsole(Unsupported):
    """The VM has no serial port that libvirt can open."""


@dataclass(frozen=True, slots=True)
class _Piece:
    data: bytes
    done: asyncio.Future[bool]


class SerialConsole:
    """A console from its opening to its release. `on_output(data, dropped)` and `on_end(reason)` are called in the loop;
    `on_end` once, also when the connection to the host is lost, but not after `release`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        uuid: str,
        on_output: Callable[[bytes, int], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self.uuid = uuid
        self._on_output, self._on_end = on_output, on_end
        self._lock = threading.Lock()
        self._connection: LibvirtConnection | None = None
        self._stream: Any = None
        self._pending = bytearray()
        self._dropped = 0
        self._delivered_at = float("-inf")
        self._typing = asyncio.Lock()
        self._pieces: queue.SimpleQueue[_Piece | None] = queue.SimpleQueue()
        self._typist: threading.Thread | None = None
        self._waits: asyncio.Future[bool] | None = None
        self._waits_since = 0.0
        self._may_be_open = self._ended = self._released = False
        self.given_back: Future[None] = Future()
        """Done when it was released and libvirt lets somebody else open it: later than `release`, while a piece is typed."""
        self.forget_host: Callable[[], object] = lambda: None
        """What the host's session keeps of this console is removed by it."""

    # -- in a worker thread ----------------------------------------------------------------------------------------

    def open(self, connect: Callable[[], LibvirtConnection], *, force: bool) -> None:
        """Open the first serial port, with `force` also if another program has it. Raises ConsoleHeld, ConsoleOff,
        NoConsole, NotFound, HostUnavailable, libvirtError."""
        self._may_be_open = True
        try:
            self._open(connect, force=force)
        except BaseException:
            self._may_be_open = False
            raise
        finally:
            with self._lock:
                abandoned = self._released
            if abandoned:
                self.release()

    def _open(self, connect: Callable[[], LibvirtConnection], *, force: bool) -> None:
        connection = connect()
        try:
            stream = connection.run(lambda virt: self._open_stream(virt, connection.cleanups, force))
        except BaseException as error:
            connection.close()
            if isinstance(error, ConnectionLost):  # this one alone: whether the host is down, others tell
                raise HostUnavailable("lost the connection to the host") from error
            raise
        with self._lock:
            self._connection, self._stream = connection, stream

    def _open_stream(self, virt: Any, cleanups: list[Callable[[], object]], force: bool) -> Any:
        calling = CallingStream(virt)
        cleanups.append(calling.free)
        try:
            flags = libvirt.VIR_DOMAIN_CONSOLE_FORCE if force else 0
            virt.lookupByUUIDString(self.uuid).openConsole(None, calling.stream, flags)
        except libvirt.libvirtError as error:
            raise _refusal(error) from error
        virt.registerCloseCallback(self._closed, None)
        cleanups.append(virt.unregisterCloseCallback)
        calling.listen(_READABLE | _ENDS, self._event)
        cleanups.append(self._was_given_back)
        return calling.stream

    def release(self) -> None:
        """Give the console back: without this, libvirt refuses the next one who opens it. May be repeated. While a piece is
        being typed, that thread does it afterwards."""
        with self._lock:
            connection, self._connection = self._connection, None
            self._stream, self._released = None, True
            is_open = self._may_be_open
            self._pieces.put(None)
        if connection is not None:
            connection.close()
        elif not is_open:
            self._was_given_back()

    def _was_given_back(self) -> None:
        with suppress(InvalidStateError):  # it was already
            self.given_back.set_result(None)

    # -- in the event thread ---------------------------------------------------------------------------------------

    def _event(self, stream: Any, events: int) -> None:
        try:
            reason = self._receive(stream) if events & _READABLE else None
            if reason is None and events & _ENDS:
                reason = "the host has closed the console"
        except libvirt.libvirtError as error:
            reason = plain(str(error))
        except Exception as error:  # noqa: BLE001 - libvirt's thread serves every host: nothing may end it
            _log.exception("a serial console failed")
            reason = f"internal error: {error}"
        if reason is not None:
            with suppress(libvirt.libvirtError):
                stream.eventUpdateCallback(0)
            schedule(self._loop, self.end, reason)

    def _closed(self, _connection: Any, _reason: int, _: object) -> None:
        stuck = self._waits is not None and self._loop.time() - self._waits_since > STUCK_S / 2
        schedule(self._loop, self.end, _STUCK if stuck else "lost the connection to the host")

    def _receive(self, stream: Any) -> str | None:
        """Take what has come. Returns why the console has ended, None if it has not."""
        while True:
            data = stream.recv(_PIECE_BYTES)
            if data == _NOW_NOTHING:
                return None
            if not data:
                return "the VM has closed its console"
            with self._lock:
                first = not self._pending and not self._dropped
                self._pending += data
                if (over := len(self._pending) - _MAX_PENDING_BYTES) > 0:
                    del self._pending[:over]
                    self._dropped += over
            if first:
                schedule(self._loop, self._plan_delivery)

    # -- in the thread that types ----------------------------------------------------------------------------------

    def _type(self) -> None:
        while (piece := self._pieces.get()) is not None:
            with self._lock:
                connection, stream = self._connection, self._stream
            typed = connection is not None and self._send(connection, stream, piece.data)
            schedule(self._loop, _settle, piece.done, typed)

    def _send(self, connection: LibvirtConnection, stream: Any, data: bytes) -> bool:
        def send(virt: Any) -> None:
            rest = data
            while rest:
                taken = stream.send(rest)
                rest = rest[max(taken, 0) :]
            virt.getLibVersion()  # answered when libvirtd has read what was sent

        try:
            connection.run(send)
        except (libvirt.libvirtError, ConnectionLost) as error:
            if isinstance(error, ConnectionLost):
                self._closed(None, 0, None)
            else:
                schedule(self._loop, self.end, plain(str(error)))
            return False
        return True

    # -- in the loop's thread --------------------------------------------------------------------------------------

    def _plan_delivery(self) -> None:
        wait_s = self._delivered_at + GATHER_S - self._loop.time()
        if wait_s > 0:
            self._loop.call_later(wait_s, self._deliver)
        else:
            self._deliver()

    def _deliver(self) -> None:
        self._delivered_at = self._loop.time()
        with self._lock:
            data, self._pending = bytes(self._pending), bytearray()
            dropped, self._dropped = self._dropped, 0
        if not self._released:
            self._on_output(data, dropped)

    def end(self, reason: str) -> None:
        """The console has ended for this reason. The first one counts."""
        if self._ended:
            return
        self._ended = True
        if self._waits is not None:
            _settle(self._waits, False)
        if not self._released:
            self._deliver()
            self._on_end(reason)

    async def write(self, data: bytes, may_go_on: Callable[[], bool]) -> int:
        """Type this, as fast as the guest reads it. Returns how many bytes were typed: fewer when the console has ended,
        or `may_go_on` returned False, which is asked before each piece."""
        for at in range(0, len(data), TYPED_PIECE_BYTES):
            async with self._typing:  # first come, first served
                if not may_go_on() or not await self._type_piece(data[at : at + TYPED_PIECE_BYTES]):
                    return at
        return len(data)

    async def _type_piece(self, data: bytes) -> bool:
        self._waits, self._waits_since = self._loop.create_future(), self._loop.time()
        with self._lock:
            if self._ended or self._released:
                return False
            self._pieces.put(_Piece(data, self._waits))
        if self._typist is None:
            self._typist = threading.Thread(target=self._type, name="console typist", daemon=True)
            self._typist.start()
        try:
            return await self._waits
        finally:
            self._waits = None


def _settle(future: asyncio.Future[bool], result: bool) -> None:
    if not future.done():
        future.set_result(result)


def _refusal(error: Exception) -> Exception:
    """The error to raise for a console that libvirt does not open. Source: libvirt 9.0, qemuDomainOpenConsole."""
    code, text = code_of(error), str(error)
    if code == libvirt.VIR_ERR_NO_DOMAIN:
        return NotFound("VM not found on this host")
    if "Active console session exists" in text:
        return ConsoleHeld("another program, such as virsh console, has the serial console of this VM")
    if code == libvirt.VIR_ERR_OPERATION_INVALID:
        return ConsoleOff("the VM does not run")
    if "cannot find" in text and ("console" in text or "character device" in text):
        return NoConsole("the VM has no serial port")
    if "not using a PTY" in text:
        return NoConsole("the serial port of the VM goes to a file or network address, not to libvirt")
    return error
