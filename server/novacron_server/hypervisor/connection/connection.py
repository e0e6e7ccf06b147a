"""One libvirt connection. It counts the calls in progress, so that it is never closed during a call."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import libvirt
import structlog

from novacron_server.hypervisor.connection import events
from novacron_server.hypervisor.connection.uris import dial_address
from novacron_server.hypervisor.faults import is_lost, plain

_log = structlog.get_logger(__name__)
T = TypeVar("T")


class ConnectionLost(Exception):
    """A call failed because its connection was lost; the message gives the cause."""


class LibvirtConnection:
    """Closing a connection during a call frees it and crashes the process, so the last call to end closes it.

    Only one thread may make calls on a connection to a real host: with two, libvirt's client before 10.3 uses freed
    stack memory (CVE-2024-4418; observed with 9.0 as a crash when a host hangs).
    """

    def __init__(self, uri: str, keepalive_s: int, keepalive_count: int) -> None:
        """Open the connection. Blocks, forever if the host hangs. Raises libvirtError."""
        events.start()
        self.connection = libvirt.open(dial_address(uri))
        self._lock = threading.Lock()
        self._calls = 0
        self._closing = False
        self.cleanups: list[Callable[[], object]] = []
        try:
            self.connection.setKeepAlive(keepalive_s, keepalive_count)
        except libvirt.libvirtError:
            _log.debug("no keepalive on this connection", uri=uri)  # the simulator has no network connection

    def run(self, work: Callable[[Any], T]) -> T:
        """Make a call. Raises ConnectionLost, libvirtError, and what `work` raises."""
        with self._lock:
            if self._closing:
                raise ConnectionLost("the connection was closed")
            self._calls += 1
        try:
            return work(self.connection)
        except BaseException as error:
            let_go(error)
            if isinstance(error, libvirt.libvirtError) and is_lost(error, self.connection):
                raise ConnectionLost(plain(str(error))) from error
            raise
        finally:
            self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._calls -= 1
            last = self._closing and not self._calls
        if last:
            self._close()

    def close(self) -> None:
        """Close now, or when the call in progress ends. Blocks at most until keepalive drops a host that hangs."""
        with self._lock:
            first, self._closing = not self._closing, True
            free = not self._calls
        if first and free:
            self._close()

    def _close(self) -> None:
        for cleanup in self.cleanups:  # otherwise libvirt keeps the connection's resources, including a descriptor
            with suppress(libvirt.libvirtError):  # a lost host cannot be called
                cleanup()
        self.cleanups = []
        try:
            if kept_by := self.connection.close():
                _log.debug("a closed connection is still in use", kept_by=kept_by)
        except libvirt.libvirtError as error:
            _log.debug("closing a connection failed", error=plain(str(error)))


def let_go(error: BaseException) -> None:
    """Clear the variables of the calls that an error has ended, or it holds libvirt's objects as long as somebody holds the
    error, and they hold their connection, closed or not."""
    seen: set[int] = set()
    errors: list[BaseException | None] = [error]
    while errors:
        if (each := errors.pop()) is not None and id(each) not in seen:
            seen.add(id(each))
            traceback.clear_frames(each.__traceback__)
            errors += [each.__cause__, each.__context__]
