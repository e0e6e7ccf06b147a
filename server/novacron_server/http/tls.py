"""Accepts TLS connections within the bounds of `protocol.Connections`.

The event loop's own TLS server counts no connection before its handshake is complete, and waits a minute for that:
strangers could take all descriptors.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

import structlog

from novacron_server.http.protocol import BoundedHttpProtocol, Connection, Connections
from novacron_server.tasks import cancel_tasks

_log = structlog.get_logger()
_RETRY_S = 0.5
"""Pause after a refused accept(2): there may be no descriptor left."""

CreateHttp = Callable[[Connection], BoundedHttpProtocol]
"""A new HTTP protocol for a connection that was counted in this way until its handshake was complete."""


def create_context(cert: Path, key: Path) -> ssl.SSLContext:
    """The server's side of TLS: 1.2 and 1.3. Raises OSError for files that `listening.check_certificate` refuses."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    return context


class TlsListener:
    """Does the handshake of every new connection, and then hands it to the HTTP protocol."""

    def __init__(self, connections: Connections, context: ssl.SSLContext) -> None:
        self._connections = connections
        self._context = context
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, sockets: Iterable[socket.socket], create_http: CreateHttp, failed: Callable[[], None]) -> None:
        """Accept connections until `close`. `failed` is called if that ends for another reason."""
        for listening in sockets:
            listening.setblocking(False)
            task = self._spawn(self._accept(listening, create_http), "TLS listener")
            task.add_done_callback(lambda task: None if task.cancelled() else failed())

    async def close(self) -> None:
        """Accept no more, and end the handshakes that are not complete."""
        await cancel_tasks(list(self._tasks))

    async def _accept(self, listening: socket.socket, create_http: CreateHttp) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(listening)
            except OSError as e:
                _log.warning("a connection could not be accepted", reason=e.strerror)
                await asyncio.sleep(_RETRY_S)
                continue
            if self._connections.admits(address[0]):
                self._begin(accepted, address[0], create_http)
            else:
                accepted.close()

    def _begin(self, accepted: socket.socket, address: str, create_http: CreateHttp) -> None:
        handshake = _Handshake()
        task = self._spawn(self._shake_hands(accepted, handshake, create_http), "TLS handshake")
        handshake.abort = task.cancel
        task.add_done_callback(lambda _: self._connections.end(handshake))
        # A task that is cancelled before it begins does not close its socket.
        task.add_done_callback(lambda _: None if handshake.began else accepted.close())
        self._connections.begin(handshake, address)

    async def _shake_hands(self, accepted: socket.socket, handshake: _Handshake, create_http: CreateHttp) -> None:
        handshake.began = True
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                lambda: create_http(handshake),
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=self._connections.head_s,
            )
        except OSError:  # also what ssl raises; a client that fails or goes away is no fault of the server
            accepted.close()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class _Handshake:
    """A connection in its handshake, as `Connections` counts it. `abort` ends it."""

    began = False
    abort: Callable[[], object]

    @property
    def transport(self) -> _Handshake:
        return self
