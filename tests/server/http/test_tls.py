"""Connections in their TLS handshake have the same bounds as those that wait for a head."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
import uvloop

from novacron_server.http.protocol import BoundedHttpProtocol, Connections
from novacron_server.http.tls import Certificate, TlsListener
from novacron_server.runtime.server import HttpServer, create_http_server
from novacron_server.runtime.settings import Settings
from tests.support.certificates import self_signed
from tests.support.waiting import until

REQUEST = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass
class TlsServer:
    port: int
    connections: Connections
    trusting: ssl.SSLContext

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    def owner(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=f"https://127.0.0.1:{self.port}", verify=self.trusting, trust_env=False)


Serving = Callable[..., AbstractAsyncContextManager[TlsServer]]
LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def serving(request: pytest.FixtureRequest, tmp_path: Path) -> Serving:
    """Serves until the end of a block, on an event loop of its own in another thread."""

    @asynccontextmanager
    async def serve(**bounds: Any) -> AsyncIterator[TlsServer]:
        certificate = self_signed(tmp_path, "server")
        connections = Connections(**bounds)
        tls = TlsListener(connections, Certificate(certificate.cert, certificate.key))
        http = partial(BoundedHttpProtocol, connections)
        config = uvicorn.Config(app, loop="none", http=http, lifespan="off", log_config=None)  # type: ignore[arg-type]
        listening = socket.create_server(("127.0.0.1", 0))
        server = HttpServer(config, tls)

        def run() -> None:
            with asyncio.Runner(loop_factory=request.param) as runner:
                runner.run(server.serve(sockets=[listening]))

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield TlsServer(
                listening.getsockname()[1], connections, ssl.create_default_context(cafile=str(certificate.cert))
            )
        finally:
            server.should_exit = True
            await asyncio.to_thread(thread.join, 20)
            assert not thread.is_alive()

    return serve


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": scope["scheme"].encode()})


async def nothing_open(server: TlsServer) -> bool | None:
    return True if not server.connections.open_count else None


async def ended(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(20):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


async def test_request_is_answered_over_tls(serving: Serving) -> None:
    async with serving() as server, server.owner() as owner:
        for _ in range(2):
            assert (await owner.get("/livez")).text == "https"


async def test_request_that_comes_with_the_end_of_the_handshake_is_answered(serving: Serving) -> None:
    async with serving() as server:
        received, to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = server.trusting.wrap_bio(received, to_send, server_hostname="127.0.0.1")
        reader, writer = await server.connect()
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                writer.write(to_send.read())
                received.write(await reader.read(65536))
        client.write(REQUEST)
        writer.write(to_send.read())  # the last flight of the handshake and the request, in one segment
        answer = b""
        async with asyncio.timeout(20):
            while not answer.endswith(b"https"):
                received.write(await reader.read(65536))
                try:
                    answer += client.read(65536)
                except ssl.SSLWantReadError:
                    continue
        assert answer.startswith(b"HTTP/1.1 200")
        writer.close()


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01", REQUEST], ids=["silent", "half", "plain"])
async def test_handshake_that_does_not_come_ends(serving: Serving, sent: bytes) -> None:
    async with serving(head_s=0.3) as server:
        reader, writer = await server.connect()
        writer.write(sent)
        await ended(reader)
        writer.close()
        await until(lambda: nothing_open(server))


async def test_client_that_leaves_in_its_handshake_leaves_nothing(serving: Serving) -> None:
    async with serving() as server:
        _, writer = await server.connect()

        async def counted() -> bool | None:
            return True if server.connections.open_count else None

        await until(counted)
        writer.transport.abort()
        await until(lambda: nothing_open(server))
        async with server.owner() as owner:
            assert (await owner.get("/livez")).status_code == 200


async def test_silent_handshakes_of_one_address_do_not_keep_the_owner_out(serving: Serving) -> None:
    async with serving(per_address=20, total=30) as server:
        silent = [await server.connect() for _ in range(100)]
        async with server.owner() as owner:
            assert (await owner.get("/livez")).status_code == 200
        await asyncio.gather(*(ended(reader) for reader, _ in silent[:70]))
        assert server.connections.open_count <= 30
        for _, writer in silent:
            writer.close()


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
async def test_who_is_not_the_proxy_gets_no_answer(tmp_path: Path, over_tls: bool) -> None:
    settings = Settings(tmp_path, behind_proxy="192.0.2.7")
    if over_tls:
        certificate = self_signed(tmp_path, "server")
        settings = replace(settings, tls_cert=certificate.cert, tls_key=certificate.key)
    listening = socket.create_server(("127.0.0.1", 0))
    server = create_http_server(settings, with_lifespan)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    await until(lambda: started(server))
    reader, writer = await asyncio.open_connection(*listening.getsockname())
    writer.write(REQUEST)
    assert await ended(reader) == b""
    writer.close()
    server.should_exit = True
    await task


async def started(server: HttpServer) -> bool | None:
    return True if server.started else None


async def with_lifespan(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "lifespan":
        await app(scope, receive, send)
        return
    for event in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{event}.complete"})


async def test_new_certificate_is_used_for_new_connections(serving: Serving, tmp_path: Path) -> None:
    async with serving() as server:
        old = ssl.create_default_context(cafile=str(tmp_path / "server.pem"))
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=old)
        new = self_signed(tmp_path, "server")  # in the same files
        trusting_new = ssl.create_default_context(cafile=str(new.cert))

        async def answers() -> bool | None:
            async with httpx.AsyncClient(verify=trusting_new, trust_env=False) as client:
                try:
                    return (await client.get(f"https://127.0.0.1:{server.port}/livez")).status_code == 200
                except httpx.ConnectError:
                    return None

        assert await until(answers)
        writer.write(REQUEST)  # the connection with the old certificate goes on
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
        with pytest.raises(httpx.ConnectError):
            async with server.owner() as owner:
                await owner.get("/livez")


async def test_certificate_that_cannot_be_used_leaves_the_one_before(tmp_path: Path) -> None:
    files = self_signed(tmp_path, "server")
    certificate = Certificate(files.cert, files.key)
    first, right = certificate.context, files.key.read_bytes()
    other = self_signed(tmp_path, "other")
    for broken in (b"", b"not PEM", other.key.read_bytes(), right[: len(right) // 2]):
        files.key.write_bytes(broken)
        await certificate.look()
        assert certificate.context is first and "cannot be used" in certificate.problem
        assert "PRIVATE" not in certificate.problem
    files.key.unlink()
    await certificate.look()
    assert certificate.context is first and certificate.problem
    files.key.write_bytes(right)
    files.key.chmod(0o644)
    await certificate.look()
    assert certificate.context is first and "chmod 600" in certificate.problem
    files.key.chmod(0o600)
    await certificate.look()
    assert certificate.context is not first and certificate.problem == ""
