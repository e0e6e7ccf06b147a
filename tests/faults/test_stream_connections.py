"""Event stream connections that fail: clients that never read, lost networks, slow networks, expired tokens."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from novacron_core.api import events, vms
from novacron_core.api.operations import Target
from novacron_core.rules.visibility import SHARED
from novacron_server.access import tokens
from novacron_server.outbox.records import EventDraft
from tests.support.event_stream import Stream, open_stream
from tests.support.fair_clock import fair_now
from tests.support.server import ServerWithDatabase
from tests.support.waiting import until


async def _publish(server: ServerWithDatabase, per_s: float, size: int = 1000) -> None:
    """Publish shared events until cancelled."""
    number = 0
    while True:
        number += 1
        target = Target(type="system", id=str(number), name="x")
        draft = EventDraft(type="system.tick", source="test", target=target, tenant=SHARED, note="n" * size)
        server.parts.inventory.publisher.publish(draft)
        await asyncio.sleep(1 / per_s)


@contextlib.asynccontextmanager
async def publishing(server: ServerWithDatabase, per_s: float, size: int = 1000) -> AsyncIterator[None]:
    task = asyncio.create_task(_publish(server, per_s, size))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _open_raw(server: ServerWithDatabase, receive_buffer: int) -> socket.socket:
    """Open a WebSocket by hand and never read from it."""
    host, port = server.url.removeprefix("http://").split(":")
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    raw.connect((host, int(port)))
    raw.sendall(
        f"GET /ws/events/v1 HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: Bearer {server.admin.credentials.token}\r\n\r\n".encode()
    )
    return raw


async def _wait_for_listeners(server: ServerWithDatabase, count: int, timeout_s: float) -> float:
    began = fair_now()

    async def seen() -> bool | None:
        return True if server.parts.hub.listeners == count else None

    await until(seen, timeout_s)
    return fair_now() - began


async def _read_rest(raw: socket.socket) -> bytes:
    """Read everything that is left until the end of the connection."""
    raw.settimeout(5)

    def read() -> bytes:
        data = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := raw.recv(1 << 16):
                data += piece
        return data

    return await asyncio.to_thread(read)


@pytest.mark.parametrize(("receive_buffer", "per_s", "size"), [(1 << 20, 10, 500), (4096, 60, 20_000)])
async def test_client_that_never_reads_is_closed_with_4008(
    server: ServerWithDatabase, receive_buffer: int, per_s: int, size: int
) -> None:
    """With space in its receive buffer, and with all buffers full. The benchmark `stream` measures how fast."""
    raws = [_open_raw(server, receive_buffer) for _ in range(20)]
    await _wait_for_listeners(server, 20, 5)
    async with publishing(server, per_s, size), open_stream(server) as reader:
        # A client that does read must not be disconnected with them.
        reading = asyncio.create_task(_keep_reading(reader))
        await _wait_for_listeners(server, 1, 40)
        assert not reading.done()
        reading.cancel()
    ends = [await _read_rest(raw) for raw in raws]
    assert all(end.endswith(b"\x88\x02" + (4008).to_bytes(2, "big")) for end in ends)
    connections = len([s for s in ends if s])
    assert connections == 20
    for raw in raws:
        raw.close()


async def _keep_reading(reader: Stream) -> None:
    while True:
        await reader.event("system.tick")


@pytest.mark.long
async def test_slow_connection_is_not_closed_as_dead(server: ServerWithDatabase) -> None:
    """More events than the connection can carry, for longer than a dead one is tolerated."""
    async with _slow_relay(server, bytes_per_s=20_000) as url, publishing(server, 20, 2000):
        headers = {"Authorization": f"Bearer {server.admin.credentials.token}"}
        async with connect(url, additional_headers=headers, compression=None, ping_interval=None) as client:
            began = fair_now()
            while fair_now() - began < 10:
                await client.recv()
            assert server.parts.hub.listeners == 1


@contextlib.asynccontextmanager
async def _slow_relay(server: ServerWithDatabase, bytes_per_s: int) -> AsyncIterator[str]:
    """A relay with small buffers that limits the rate to the client."""
    host, port = server.url.removeprefix("http://").split(":")

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect((host, int(port)))
        server_reader, server_writer = await asyncio.open_connection(sock=raw, limit=2048)
        up = asyncio.create_task(_copy(reader, server_writer, 0))
        await _copy(server_reader, writer, 1024 / bytes_per_s)
        up.cancel()

    relaying = await asyncio.start_server(relay, "127.0.0.1", 0)
    yield f"ws://127.0.0.1:{relaying.sockets[0].getsockname()[1]}/ws/events/v1"
    relaying.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pause_s: float) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1024):
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(pause_s)


async def test_lost_idle_peer_is_detected_by_the_heartbeat(
    server: ServerWithDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.parts.stream, "_heartbeat_s", 1.0)
    raw = _open_raw(server, 1 << 20)
    await _wait_for_listeners(server, 1, 5)
    assert await _wait_for_listeners(server, 0, 15) < 15
    raw.close()
    assert events.HEARTBEAT_S + 2 * 2.0 + 4.0 < events.SILENCE_S


async def test_expired_token_closes_in_time_and_a_new_one_resumes_without_a_gap(
    server: ServerWithDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as short:
        short.setattr(tokens, "LIFETIME", timedelta(seconds=3))
        await server.admin.refresh()
    expiring = server.admin.credentials.token
    signed_at = time.time()
    await server.admin.refresh()
    seen: list[int] = []
    async with publishing(server, 20):
        async with open_stream(server, token=expiring) as stream:
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    seen += [f["seq"] for f in [await stream.until(lambda f: True)] if f["frame"] == "event"]
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == events.CLOSE_UNAUTHENTICATED
            assert time.time() - signed_at < 3 + 2
        async with open_stream(server, f"?after={seen[-1]}") as again:
            for _ in range(5):
                seen.append((await again.event("system.tick"))["seq"])
    assert seen == list(range(seen[0], seen[0] + len(seen)))


async def test_unknown_number_gets_the_whole_inventory_again(
    server: ServerWithDatabase,
) -> None:
    headers = {"Authorization": f"Bearer {server.admin.credentials.token}"}
    address = server.url.replace("http", "ws") + "/ws/events/v1?after=999999"
    async with connect(address, additional_headers=headers) as client:
        kinds = [(await client.recv())[:24] for _ in range(3)]
    assert ["hello" in str(kinds[0]), "gone" in str(kinds[1]), "inventory" in str(kinds[2])] == [True] * 3
    assert (await server.admin.call(vms.LIST)).total == 1
