"""The client of the event stream, with a real WebSocket server that misbehaves on purpose."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame, Opcode

from novacron_core import PROTOCOL, errors
from novacron_core.api import events
from novacron_core.api.operations import Target
from novacron_core.client import Client, Connected, Credentials, Disconnected, connection, stream
from novacron_core.client.sockets import socket_url
from novacron_core.client.stream import Update

Script = Callable[[ServerConnection, str], Awaitable[None]]


@asynccontextmanager
async def server(script: Script) -> AsyncIterator[Client]:
    async def handle(socket: ServerConnection) -> None:
        assert socket.request is not None
        await script(socket, socket.request.path)

    async with serve(handle, "127.0.0.1", 0) as running:
        port = next(iter(running.sockets)).getsockname()[1]
        async with Client(f"http://127.0.0.1:{port}", Credentials("token")) as client:
            yield client


async def send(socket: ServerConnection, *frames: Any) -> None:
    for frame in frames:
        await socket.send(msgspec.json.encode(frame).decode())


def hello(protocol: int = PROTOCOL) -> events.Hello:
    return events.Hello(protocol=protocol, version="9", session="s", server_time=datetime.now(UTC))


def event(seq: int) -> events.Event:
    target = Target(type="vm", id="1")
    return events.Event(seq=seq, id=str(seq), type="vm.updated", source="h", target=target, time=datetime.now(UTC))


async def take(client: Client, until: Callable[[list[Update]], bool]) -> list[Update]:
    seen: list[Update] = []
    async with asyncio.timeout(10):
        async for update in stream(client):
            seen.append(update)
            if until(seen):
                return seen
    raise AssertionError("the stream ended")


async def test_client_reconnects_and_resumes_after_its_last_event() -> None:
    paths: list[str] = []

    async def script(socket: ServerConnection, path: str) -> None:
        paths.append(path)
        await send(socket, hello())
        if len(paths) == 1:
            await send(socket, events.InventoryFrame(seq=6, part=0, last=True), event(7))
            await asyncio.sleep(0.05)
            socket.transport.abort()
        else:
            await send(socket, event(8))
            await socket.wait_closed()

    async with server(script) as client:
        seen = await take(client, lambda seen: any(isinstance(u, events.Event) and u.seq == 8 for u in seen))
    assert paths == ["/ws/events/v1", "/ws/events/v1?after=7"]
    assert [type(update).__name__ for update in seen] == [
        "Connected",
        "InventoryFrame",
        "Event",
        "Disconnected",
        "Connected",
        "Event",
    ]


async def test_gone_resets_the_number() -> None:
    paths: list[str] = []

    async def script(socket: ServerConnection, path: str) -> None:
        paths.append(path)
        await send(socket, hello(), event(3))
        if len(paths) == 2:
            await send(socket, events.GoneFrame(after=3))
        if len(paths) == 3:
            await send(socket, event(99))
            await socket.wait_closed()
        await asyncio.sleep(0.05)

    async with server(script) as client:
        await take(client, lambda seen: any(isinstance(u, events.Event) and u.seq == 99 for u in seen))
    assert paths[:3] == ["/ws/events/v1", "/ws/events/v1?after=3", "/ws/events/v1"]


async def test_partial_inventory_is_discarded() -> None:
    paths: list[str] = []

    async def script(socket: ServerConnection, path: str) -> None:
        paths.append(path)
        await send(socket, hello(), events.InventoryFrame(seq=5, part=0, last=len(paths) > 1))
        if len(paths) > 1:
            await socket.wait_closed()

    async with server(script) as client:
        await take(client, lambda seen: isinstance(seen[-1], events.InventoryFrame) and seen[-1].last)
    assert paths == ["/ws/events/v1", "/ws/events/v1"]


async def test_other_protocol_version_is_refused_naming_both() -> None:
    async def script(socket: ServerConnection, path: str) -> None:
        await send(socket, hello(protocol=PROTOCOL + 1))
        await socket.wait_closed()

    async with server(script) as client:
        with pytest.raises(errors.IncompatibleServer, match=f"protocol {PROTOCOL + 1}.*uses {PROTOCOL}"):
            await take(client, lambda seen: False)


async def test_unknown_frames_of_a_newer_server_are_ignored() -> None:
    async def script(socket: ServerConnection, path: str) -> None:
        await send(socket, hello(), {"frame": "weather", "sunny": True}, event(1))
        await socket.wait_closed()

    async with server(script) as client:
        seen = await take(client, lambda seen: isinstance(seen[-1], events.Event))
    assert [type(update).__name__ for update in seen] == ["Connected", "Event"]


NAIVE = '{"frame":"heartbeat","seq":1,"server_time":"2026-01-01T00:00:00"}'
DEEP = '{"frame":"event","value":' + "[" * 100_000 + "]" * 100_000 + "}"


@pytest.mark.parametrize("text", ["{", "[]", '{"frame":"event"}', "\x00", NAIVE, DEEP], ids=range(6))
async def test_invalid_frame_is_an_error_and_not_a_crash(text: str) -> None:
    async def script(socket: ServerConnection, path: str) -> None:
        await send(socket, hello())
        await socket.send(text)
        await socket.wait_closed()

    async with server(script) as client:
        with pytest.raises(errors.IncompatibleServer):
            await take(client, lambda seen: False)


async def test_unreachable_server_is_retried_with_backoff() -> None:
    async with Client("http://127.0.0.1:9", Credentials("token")) as client:
        seen = await take(client, lambda seen: len(seen) == 3)
    assert all(isinstance(update, Disconnected) and "cannot connect" in update.reason for update in seen)
    waits = [update.retry_s for update in seen if isinstance(update, Disconnected)]
    assert waits[0] < waits[1] < waits[2]


class Renewed(Credentials):
    """Credentials whose first renewal fails."""

    def __init__(self, failure: Exception) -> None:
        super().__init__(refresh_token="refresh")
        self._failures = [failure]

    async def renew(self, exchange: object) -> None:
        if self._failures:
            raise self._failures.pop()
        self.token = "token"


PASSING = [
    (errors.DatabaseUnavailable("the database is down"), "the database is down"),
    (errors.RateLimited("too many requests"), "too many requests"),
    (errors.Conflict("another novacron process is using the session"), "another novacron process"),
    (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
]


@pytest.mark.parametrize(("failure", "said"), PASSING)
async def test_renewal_that_fails_for_now_is_retried(failure: Exception, said: str) -> None:
    async def script(socket: ServerConnection, path: str) -> None:
        await send(socket, hello())
        await socket.wait_closed()

    async with server(script) as client:
        client.credentials = Renewed(failure)
        seen = await take(client, lambda seen: isinstance(seen[-1], Connected))
    assert isinstance(seen[0], Disconnected)
    assert said in seen[0].reason
    assert len(seen) == 2


async def test_ended_session_ends_the_stream() -> None:
    async with Client("http://127.0.0.1:9", Renewed(errors.Unauthenticated("over"))) as client:
        with pytest.raises(errors.Unauthenticated):
            await take(client, lambda seen: False)


async def test_live_is_reported_before_any_frame() -> None:
    async def script(socket: ServerConnection, path: str) -> None:
        await send(socket, hello(), event(1))
        await socket.wait_closed()

    async with server(script) as client:
        seen = await take(client, lambda seen: len(seen) == 2)
    assert isinstance(seen[0], Connected)


def test_stream_url() -> None:
    assert socket_url("https://a:1/x/", "/ws/events/v1", "after=5") == "wss://a:1/x/ws/events/v1?after=5"
    assert socket_url("http://[::1]:8", "/ws/events/v1") == "ws://[::1]:8/ws/events/v1"


async def test_silent_server_is_detected_by_a_ping(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cut cable: nothing arrives, not even the answer to a ping."""
    monkeypatch.setattr(connection, "PING_AFTER_S", 0.2)
    monkeypatch.setattr(connection, "GIVE_UP_AFTER_S", 0.6)

    over = asyncio.Event()

    async def script(socket: ServerConnection, path: str) -> None:
        await send(socket, hello(), event(1))
        socket.transport.pause_reading()
        await over.wait()
        socket.transport.abort()

    async with server(script) as client:
        seen = await take(client, lambda seen: isinstance(seen[-1], Disconnected))
        over.set()
    last = seen[-1]
    assert isinstance(last, Disconnected)
    assert last.reason.startswith("no data from the server")


async def test_idle_connection_and_one_with_a_slow_frame_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PING_AFTER_S", 0.2)
    monkeypatch.setattr(connection, "GIVE_UP_AFTER_S", 2.0)

    over = asyncio.Event()

    async def script(socket: ServerConnection, path: str) -> None:
        await send(socket, hello())
        await asyncio.sleep(2.5)  # idle: pings are answered
        text = msgspec.json.encode(events.InventoryFrame(seq=5, part=0, last=True))
        frame = Frame(Opcode.TEXT, text).serialize(mask=False)
        socket.transport.pause_reading()  # busy: the pong comes after the frame
        for at in range(0, len(frame), 16):
            socket.transport.write(frame[at : at + 16])
            await asyncio.sleep(0.4)
        await over.wait()
        socket.transport.abort()

    async with server(script) as client:
        seen = await take(client, lambda seen: isinstance(seen[-1], events.InventoryFrame))
        over.set()
    assert [type(update).__name__ for update in seen] == ["Connected", "InventoryFrame"]
