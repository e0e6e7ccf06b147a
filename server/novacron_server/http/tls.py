"""Accepts TLS connections within the bounds of `protocol.Connections`.

The event loop's own TLS server counts no connection before its handshake is complete, and waits a minute for that:
strangers could take all descriptors.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import stat
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

import structlog

from novacron_server.http.protocol import BoundedHttpProtocol, Connection, Connections
from novacron_server.tasks import cancel_tasks

_log = structlog.get_logger()
RELOAD_S = 1.0
_RETRY_S = 0.5
"""Pause after a refused accept(2): there may be no descriptor left."""

CreateHttp = Callable[[Connection], BoundedHttpProtocol]
"""A new HTTP protocol for a connection that was counted in this way until its handshake was complete."""


def create_context(cert: Path, key: Path) -> ssl.SSLContext:
    """The server's side of TLS: 1.2 and 1.3. Raises OSError for files that `listening.check_certificate` refuses."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key, password=_no_passphrase)
    return context


def _no_passphrase() -> str:
    raise OSError(0, "the key is encrypted: give one without a passphrase")


class Certificate:
    """The TLS context of the certificate files, which is made anew when they change: new connections get the new
    certificate, and open ones keep theirs. Files that cannot be used are told in `problem`, and change nothing."""

    def __init__(self, cert: Path, key: Path) -> None:
        self._files = (cert, key)
        self._seen = self._stamps()
        self.context = create_context(cert, key)
        self.problem = ""

    async def watch(self) -> None:
        """Look at the files every second, as long as the server runs."""
        while True:
            await asyncio.sleep(RELOAD_S)
            try:
                await self.look()
            except Exception:  # noqa: BLE001 - a fault must not end the watching
                _log.exception("the certificate could not be looked at")

    async def look(self) -> None:
        """Load the files if they have changed since they were looked at last."""
        stamps = await asyncio.to_thread(self._stamps)
        if stamps == self._seen:
            return
        self._seen = stamps
        try:
            self.context = await asyncio.to_thread(_create_private, *self._files)
        except (
            OSError
        ) as e:  # also what ssl raises; a key that does not belong to the certificate yet comes a moment later
            self.problem = f"the new certificate cannot be used, the one before it still is: {_reason(e)}"
            _log.error("certificate not loaded", cert=str(self._files[0]), reason=_reason(e))
            return
        self.problem = ""
        _log.info("certificate loaded", cert=str(self._files[0]))

    def _stamps(self) -> tuple[object, ...]:
        """What changes with the files, also with what a link points to."""
        return tuple(_stamp(path) for path in self._files)


def _create_private(cert: Path, key: Path) -> ssl.SSLContext:
    """As at the start, where a key that everybody can read is refused too."""
    if key.stat().st_mode & stat.S_IROTH:
        raise OSError(0, "the key can be read by every user of this machine: chmod 600 it")
    return create_context(cert, key)


def _stamp(path: Path) -> object:
    try:
        found = path.stat()
    except OSError as e:
        return e.errno
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _reason(e: OSError) -> str:
    """Why a file cannot be used, without what is in it."""
    return str(getattr(e, "reason", "") or e.strerror or type(e).__name__)


class TlsListener:
    """Does the handshake of every new connection, and then hands it to the HTTP protocol."""

    def __init__(self, connections: Connections, certificate: Certificate) -> None:
        self._connections = connections
        self._certificate = certificate
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, sockets: Iterable[socket.socket], create_http: CreateHttp, failed: Callable[[], None]) -> None:
        """Accept connections until `close`. `failed` is called if that ends for another reason."""
        for listening in sockets:
            listening.setblocking(False)
            task = self._spawn(self._accept(listening, create_http), "TLS listener")
            task.add_done_callback(lambda task: None if task.cancelled() else failed())
        self._spawn(self._certificate.watch(), "TLS certificate")

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
                ssl=self._certificate.context,
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
