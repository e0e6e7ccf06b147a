"""One open serial console of a domain: its bytes go to and from libvirt's event thread, which never waits for anybody.

libvirt calls back in its event thread when bytes have come, or when there is room for more. What came is handed to the
loop in one piece, however many pieces it were, so that a guest that floods costs a busy loop memory within a bound only.
Opening and releasing are calls to the host, and made in a worker thread. Source: virsh's console, libvirt-stream.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import libvirt
import structlog

from novacron_core.errors import Conflict, NotFound, Unsupported
from novacron_server.hypervisor.connection.supervisor import schedule
from novacron_server.hypervisor.faults import code_of, plain, translate

_log = structlog.get_logger(__name__)
_PIECE_BYTES = 64 * 1024
_MAX_PENDING_BYTES = 1024 * 1024
"""What may wait for the loop; beyond it the oldest bytes are dropped, and counted."""
MAX_TYPED_BYTES = 32 * 1024
"""What may wait for the guest to read it."""
_READABLE = libvirt.VIR_STREAM_EVENT_READABLE
_WRITABLE = libvirt.VIR_STREAM_EVENT_WRITABLE
_ENDS = libvirt.VIR_STREAM_EVENT_ERROR | libvirt.VIR_STREAM_EVENT_HANGUP
_NOW_NOTHING = -2


class ConsoleHeld(Conflict):
    """Another program has the console."""


class ConsoleOff(Conflict):
    """The VM does not run."""


class NoConsole(Unsupported):
    """The VM has no serial port that libvirt can open."""


class SerialConsole:
    """A console from its opening to its release. `on_output(data, dropped)` and `on_end(reason)` are called in the loop;
    `on_end` once, also when the connection to the host is lost, but not after `release`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_output: Callable[[bytes, int], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._on_output, self._on_end = on_output, on_end
        self._lock = threading.Lock()
        self._stream: Any = None
        self._pending = bytearray()
        self._dropped = 0
        self._typed = bytearray()
        self._room = asyncio.Event()
        self._ended = self._released = False

    # -- in a worker thread ----------------------------------------------------------------------------------------

    def open(self, connection: Any, uuid: str, *, force: bool) -> None:
        """Open the first serial port, with `force` also if another program has it. Raises ConsoleHeld, ConsoleOff,
        NoConsole, NotFound, libvirtError."""
        stream = connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
        try:
            flags = libvirt.VIR_DOMAIN_CONSOLE_FORCE if force else 0
            connection.lookupByUUIDString(uuid).openConsole(None, stream, flags)
        except libvirt.libvirtError as error:
            raise _refusal(error) from error
        with self._lock:
            self._stream = stream
            abandoned = self._released
        if abandoned:
            self.release()
            return
        stream.eventAddCallback(_READABLE | _ENDS, self._event, None)

    def release(self) -> None:
        """Give the console back: without this, libvirt refuses the next one who opens it. May be repeated."""
        with self._lock:
            stream, self._stream, self._released = self._stream, None, True
            self._typed.clear()
        if stream is None:
            return
        with suppress(libvirt.libvirtError):  # not registered any more
            stream.eventRemoveCallback()
        with suppress(libvirt.libvirtError):  # the connection is lost, or libvirt has ended it
            stream.abort()

    # -- in the event thread ---------------------------------------------------------------------------------------

    def _event(self, stream: Any, events: int, _: object) -> None:
        try:
            reason = self._receive(stream) if events & _READABLE else None
            if reason is None and events & _WRITABLE:
                self._send(stream)
            if reason is None and events & _ENDS:
                reason = "the host has closed the console"
        except libvirt.libvirtError as error:
            reason = plain(str(error))
        except Exception as error:  # noqa: BLE001 - libvirt's thread serves every host: nothing may end it
            _log.exception("a serial console failed")
            reason = f"internal error: {error}"
        if reason is not None:
            with suppress(libvirt.libvirtError):
                stream.eventRemoveCallback()
            schedule(self._loop, self.end, reason)

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
                schedule(self._loop, self._deliver)

    def _send(self, stream: Any) -> None:
        with self._lock:
            while self._typed:
                taken = stream.send(bytes(self._typed[:_PIECE_BYTES]))
                if taken < 1:
                    break
                del self._typed[:taken]
            if not self._typed:
                stream.eventUpdateCallback(_READABLE | _ENDS)
        schedule(self._loop, self._room.set)

    # -- in the loop's thread --------------------------------------------------------------------------------------

    def _deliver(self) -> None:
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
        self._room.set()
        if not self._released:
            self._deliver()
            self._on_end(reason)

    async def write(self, data: bytes) -> bool:
        """Type this; waits until the guest has read enough of what was typed before. False when the console has ended
        before everything was taken over."""
        at = 0
        while at < len(data):
            with self._lock:
                if self._stream is None or self._ended:
                    return False
                piece = data[at : at + MAX_TYPED_BYTES - len(self._typed)]
                self._room.clear()
                if piece:
                    self._typed += piece
                    self._stream.eventUpdateCallback(_READABLE | _WRITABLE | _ENDS)
            at += len(piece)
            if at < len(data):
                await self._room.wait()
        return True


def _refusal(error: Any) -> Exception:
    """The error to raise for a console that libvirt does not open. Source: libvirt 9.0, qemuDomainOpenConsole."""
    code, text = code_of(error), str(error)
    if code == libvirt.VIR_ERR_NO_DOMAIN:
        return NotFound("VM not found on this host")
    if "Active console session exists" in text:
        return ConsoleHeld("another program, such as virsh console, has the serial console of this VM")
    if code == libvirt.VIR_ERR_OPERATION_INVALID:
        return ConsoleOff("the VM does not run")
    if code == libvirt.VIR_ERR_NO_SUPPORT:
        return NoConsole("a simulated VM has no serial console")
    if "cannot find" in text and ("console" in text or "character device" in text):
        return NoConsole("the VM has no serial port")
    if "not using a PTY" in text:
        return NoConsole("the serial port of the VM goes to a file or network address, not to libvirt")
    return error if isinstance(error, Exception) else translate(error)
