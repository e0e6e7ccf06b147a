"""One server process: its data directory, its database, its listening socket, and an orderly shutdown."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import msgspec
import structlog
import uvicorn

from novacron_core import errors
from novacron_core.local_server import LOCK, RunningServer, read_running_server
from novacron_server.database.embedded.postgres import EmbeddedPostgres
from novacron_server.demo.seeding import seed
from novacron_server.http.middleware import Middleware
from novacron_server.http.protocol import BoundedHttpProtocol, Connection, Connections
from novacron_server.http.tls import Certificate, TlsListener
from novacron_server.http.websocket.protocol import WebSocketProtocol
from novacron_server.hypervisor.connection.daemons import start_daemons
from novacron_server.hypervisor.connection.uris import check_uri, choose_uri
from novacron_server.lock_file import open_lock
from novacron_server.runtime import descriptors, logs
from novacron_server.runtime.listening import listen
from novacron_server.runtime.memory import keep_what_has_started
from novacron_server.runtime.routes import create_app
from novacron_server.runtime.settings import Settings
from novacron_server.runtime.wiring import Parts, open_parts

_log = structlog.get_logger()
_SWEEP_S = 0.1
_INTERRUPTED = 130
"""The exit code after Ctrl+C, as shells have it."""


async def run(settings: Settings) -> int:
    """Serve until a signal stops the server. Returns the exit code."""
    logs.set_up()
    descriptors.raise_limit()
    try:
        for uri in settings.hypervisors:
            check_uri(uri)
        with _DataDirLock(settings.data_dir):
            interrupted = await _serve(settings)
    except (errors.NovaCronError, OSError) as e:
        print(f"novacron serve: {e}", file=sys.stderr, flush=True)
        return 1
    return _INTERRUPTED if interrupted else 0


async def _serve(settings: Settings) -> bool:
    """Returns whether Ctrl+C stopped it."""
    listening = listen(settings.host, settings.port)
    async with _database(settings) as (owner_url, app_url, hypervisors):
        embedded = settings.database_url is None
        if settings.simulated_vms:
            hypervisors = await seed(settings.data_dir, owner_url, app_url, settings.simulated_vms)
        async with open_parts(settings, owner_url, app_url, embedded=embedded, hypervisors=hypervisors) as parts:
            certificate = _certificate(settings)
            app = create_app(parts, certificate)
            server = create_http_server(settings, app, certificate)
            url = f"{settings.url}:{listening.getsockname()[1]}"
            _write_running(settings.data_dir, url)
            idle = asyncio.create_task(_stop_when_idle(settings, parts, app, server), name="idle")
            announce = asyncio.create_task(_announce(server, url), name="announce")
            try:
                await server.serve(sockets=[listening])
            finally:
                idle.cancel()
                announce.cancel()
                (settings.data_dir / "server.json").unlink(missing_ok=True)
    return signal.SIGINT in server.captured


class HttpServer(uvicorn.Server):
    """uvicorn's server, which accepts TLS connections by `tls`, and at its end also closes connections that were
    accepted while it was closing the others."""

    def __init__(self, config: uvicorn.Config, tls: TlsListener | None = None) -> None:
        super().__init__(config)
        self._tls = tls
        self.captured: list[int] = []
        """The signals that stopped it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Like uvicorn's, but the signals are not raised again: that would cancel the orderly stop of all other parts."""
        with super().capture_signals():
            try:
                yield
            finally:
                self.captured, self._captured_signals = self._captured_signals, []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets if self._tls is None else [])
        if self._tls is not None:
            self._tls.start(sockets or [], self._create_http, self._stop)

    def _create_http(self, handshake: Connection) -> BoundedHttpProtocol:
        create: Callable[..., Any] = self.config.http_protocol_class
        protocol: BoundedHttpProtocol = create(
            handshake=handshake, config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    def _stop(self) -> None:
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        told = set(self.server_state.connections)  # uvicorn tells these, before it first waits
        if self._tls is not None:
            await self._tls.close()
        sweeping = asyncio.create_task(self._close_late_connections(told), name="late connections")
        try:
            await super().shutdown(sockets)
        finally:
            sweeping.cancel()

    async def _close_late_connections(self, told: set[Any]) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            late = self.server_state.connections - told
            for connection in late:
                connection.shutdown()
            told |= late


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[tuple[str, str, list[str]]]:
    """(owner URL, application URL, libvirt URIs): prepares the database and libvirt in parallel."""
    finding = asyncio.create_task(asyncio.to_thread(_find_hypervisors, settings))
    if settings.database_url is not None:
        owner = settings.database_owner_url or settings.database_url
        yield owner, settings.database_url, await finding
        return
    async with _embedded(settings) as postgres:
        yield postgres.owner_url, postgres.app_url, await finding


def _embedded(settings: Settings) -> EmbeddedPostgres:
    """That of a demo is in its data directory with all that belongs to it, and nobody needs its data after a crash."""
    if settings.simulated_vms:
        return EmbeddedPostgres(settings.data_dir, settings.data_dir / "run", durable=False)
    return EmbeddedPostgres(settings.data_dir)


def _find_hypervisors(settings: Settings) -> list[str]:
    if settings.hypervisors or settings.simulated_vms:
        return list(settings.hypervisors)
    for sentence in start_daemons():
        _log.info(sentence)
    uri = choose_uri()
    _log.info("chose a hypervisor", uri=uri)
    return [uri]


def _certificate(settings: Settings) -> Certificate | None:
    return Certificate(settings.tls_cert, settings.tls_key) if settings.tls_cert and settings.tls_key else None


def create_http_server(settings: Settings, app: object, certificate: Certificate | None = None) -> HttpServer:
    connections = Connections(
        settings.unfinished_connections,
        settings.idle_connections,
        total=descriptors.connection_limit(),
        peers=settings.proxies,
    )
    certificate = certificate or _certificate(settings)
    tls = TlsListener(connections, certificate) if certificate else None
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # an ASGI callable
        loop="none",
        http=partial(BoundedHttpProtocol, connections),  # type: ignore[arg-type]
        ws=WebSocketProtocol,
        ws_ping_interval=None,  # WebSocketProtocol sends its own pings
        ws_per_message_deflate=False,
        ws_max_size=64 * 1024,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,  # clients measure ages by it: their clocks may be wrong
        proxy_headers=bool(settings.behind_proxy),
        forwarded_allow_ips=[str(network) for network in settings.proxies] or None,
        timeout_graceful_shutdown=5,
    )
    return HttpServer(config, tls)


async def _announce(server: uvicorn.Server, url: str) -> None:
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.005)
    keep_what_has_started()
    print(f"listening on {url}", flush=True)


async def _stop_when_idle(settings: Settings, parts: Parts, app: Middleware, server: uvicorn.Server) -> None:
    """Stop a bundled server when it has had no request or console for a while; never while an operation runs."""
    if not settings.bundled:
        return
    used_at = time.monotonic()
    while time.monotonic() - used_at < settings.idle_stop_s:
        await asyncio.sleep(0.5)
        in_use = parts.hub.listeners or parts.operations.busy or parts.inventory.state.running()
        used_at = time.monotonic() if in_use else max(used_at, app.last_request_at)
    _log.info("no console connected; stopping", idle_s=settings.idle_stop_s)
    server.should_exit = True


class _DataDirLock:
    """Creates the data directory if needed, and locks it for this process."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> None:
        self._data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        lock = open_lock(self._data_dir / LOCK)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            lock.close()
            running = read_running_server(self._data_dir)
            where = f"at {running.url}" if running else "and is starting"
            raise errors.Conflict(f"another server is already using {self._data_dir} {where}") from e
        self._lock = lock
        (self._data_dir / "server.json").unlink(missing_ok=True)  # of a server that crashed

    def __exit__(self, *_: object) -> None:
        if self._lock:
            self._lock.close()


def _write_running(data_dir: Path, url: str) -> None:
    path = data_dir / "server.json"
    new = path.with_suffix(".new")
    new.touch(mode=0o644)
    new.write_bytes(msgspec.json.encode(RunningServer(url=url, pid=os.getpid())))
    new.rename(path)
