"""The WebSocket gateway: admission, frames, limits and the ends of sessions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
import structlog
import uvicorn
from litestar import Litestar
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from novacron_core import errors
from novacron_core.api.base import Nothing
from novacron_core.api.endpoint import endpoint
from novacron_core.api.events import CLOSE_UNAUTHENTICATED, StreamQuery
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Permission, Role
from novacron_server.http.websocket import protocol as websocket_protocol
from novacron_server.http.websocket.gateway import Admitted, WebSocketGateway
from novacron_server.http.websocket.inbox import POLICY_VIOLATION, TOO_BIG, UNSUPPORTED_DATA, Inbox, InboxLimits
from novacron_server.http.websocket.protocol import FRAMES_PER_MINUTE, WebSocketProtocol

pytestmark = pytest.mark.asyncio
ECHO = endpoint(
    "GET /ws/echo/{name}", Nothing, Permission.VM_CHANGE, query=StreamQuery, kind="socket", summary="For this test"
)
GOOD = {"Authorization": "Bearer good"}


def principal(role: Role, lives_s: float = 60) -> Principal:
    return Principal("u", "ann", role, "red", "s", datetime.now(UTC) + timedelta(seconds=lives_s))


class EchoServer:
    """A server with one socket that echoes binary frames."""

    def __init__(self, lives_s: float = 60) -> None:
        self.revoked = False
        self.role = Role.OPERATOR
        self.seen: list[Admitted[StreamQuery]] = []
        self.gateway = WebSocketGateway(
            self.authenticate,
            self.redeem_ticket,
            origins=frozenset({"https://console.example"}),
            check_s=0.05,
            per_session=3,
        )
        self.lives_s = lives_s

    async def authenticate(self, token: str, address: str) -> Principal:
        if self.revoked or token not in ("good", "viewer"):
            raise errors.Unauthenticated("this token is not valid")
        return principal(self.role if token == "good" else Role.VIEWER, self.lives_s)

    async def redeem_ticket(self, ticket: str) -> Principal:
        if ticket != "once":
            raise errors.Unauthenticated("this ticket is not valid")
        return principal(Role.OPERATOR)

    async def serve(self, client: Admitted[StreamQuery]) -> None:
        self.seen.append(client)
        inbox = Inbox(client.socket, InboxLimits(messages_per_minute=5, max_bytes=64), "binary")

        async def echo() -> None:
            while True:
                await client.socket.send_data(await inbox.receive(), mode="binary")

        close_code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        await self.gateway.run(client, close_code, lambda: 0, {"echo": echo()})


@asynccontextmanager
async def serving(echo_server: EchoServer) -> AsyncIterator[str]:
    app = Litestar(
        route_handlers=[echo_server.gateway.handler(ECHO, echo_server.serve)], openapi_config=None, logging_config=None
    )
    config = uvicorn.Config(app, port=0, ws=WebSocketProtocol, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:
            await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"ws://127.0.0.1:{port}/ws/echo/web-01"
    server.should_exit = True
    await task


async def closed(socket: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed) as ended:
        async with asyncio.timeout(5):
            while True:
                await socket.recv()
    return ended.value.rcvd.code if ended.value.rcvd else None


async def test_binary_frames_are_echoed_and_the_path_is_decoded() -> None:
    echo_server = EchoServer()
    async with serving(echo_server) as url, connect(url, additional_headers=GOOD) as socket:
        await socket.send(b"\x00\xff\x1b[2J")
        assert await socket.recv() == b"\x00\xff\x1b[2J"
        assert echo_server.seen[0].path == {"name": "web-01"}


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({}, ""),
        ({"Authorization": "Bearer bad"}, ""),
        ({"Authorization": "Bearer viewer"}, ""),
        ({}, "?ticket=used"),
        ({}, "?token=good"),
        (GOOD, "?unknown=1"),
        (GOOD | {"Origin": "https://evil.example"}, ""),
        ({"Origin": "https://evil.example"}, "?ticket=once"),
        (GOOD | {"Origin": "null"}, ""),
    ],
)
async def test_unauthorized_client_is_refused_in_the_handshake(headers: dict[str, str], query: str) -> None:
    echo_server = EchoServer()
    async with serving(echo_server) as url:
        with pytest.raises(InvalidStatus) as refused:
            await connect(url + query, additional_headers=headers)
        unknown = query in ("?unknown=1", "?token=good")
        assert refused.value.response.status_code == (422 if unknown else 403)
    assert echo_server.seen == []


@pytest.mark.parametrize(
    ("headers", "query"),
    [(GOOD | {"Origin": "https://console.example"}, ""), ({"Origin": "https://CONSOLE.example"}, "?ticket=once")],
)
async def test_page_of_an_allowed_origin_is_admitted(headers: dict[str, str], query: str) -> None:
    echo_server = EchoServer()
    async with serving(echo_server) as url, connect(url + query, additional_headers=headers) as socket:
        await socket.send(b"x")
        assert await socket.recv() == b"x"


@pytest.mark.parametrize(
    ("messages", "code"),
    [([b"x" * 65], TOO_BIG), (["text"], UNSUPPORTED_DATA), ([b"x"] * 6, POLICY_VIOLATION)],
)
async def test_client_that_exceeds_a_limit_is_closed_with_its_code(messages: list[bytes | str], code: int) -> None:
    async with serving(EchoServer()) as url, connect(url, additional_headers=GOOD) as socket:
        for message in messages:
            await socket.send(message)
        assert await closed(socket) == code


async def test_revoked_or_expired_token_closes_the_socket() -> None:
    echo_server = EchoServer()
    async with serving(echo_server) as url, connect(url, additional_headers=GOOD) as socket:
        echo_server.revoked = True
        assert await closed(socket) == CLOSE_UNAUTHENTICATED
    async with serving(EchoServer(lives_s=0.3)) as url, connect(url, additional_headers=GOOD) as socket:
        assert await closed(socket) == CLOSE_UNAUTHENTICATED


async def test_token_of_other_rights_closes_the_socket() -> None:
    echo_server = EchoServer()
    async with serving(echo_server) as url, connect(url, additional_headers=GOOD) as socket:
        await socket.send(b"x")
        assert await socket.recv() == b"x"
        echo_server.role = Role.VIEWER
        assert await closed(socket) == CLOSE_UNAUTHENTICATED


@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG, Opcode.CONT])
async def test_flood_of_other_frames_closes_the_socket(opcode: Opcode) -> None:
    async with serving(EchoServer()) as url, connect(url, additional_headers=GOOD) as socket:
        if opcode is Opcode.CONT:
            socket.transport.write(Frame(Opcode.BINARY, b"", fin=False).serialize(mask=True))
        frame = Frame(opcode, b"" if opcode is Opcode.CONT else b"x" * 125, fin=opcode is not Opcode.CONT)
        socket.transport.write(frame.serialize(mask=True) * (FRAMES_PER_MINUTE + 1))
        assert await closed(socket) == POLICY_VIOLATION


async def test_pings_of_a_client_that_reads_are_answered_and_ours_are_not_counted() -> None:
    async with serving(EchoServer()) as url, connect(url, additional_headers=GOOD) as socket:
        for _ in range(20):
            async with asyncio.timeout(5):
                await (await socket.ping())
        await socket.send(b"x")
        assert await socket.recv() == b"x"


async def test_answers_to_pings_that_nobody_reads_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_protocol, "FRAMES_PER_MINUTE", 10**6)
    monkeypatch.setattr(websocket_protocol, "MAX_BUFFERED_BYTES", 100_000)
    echo_server = EchoServer()
    async with serving(echo_server) as url, connect(url, additional_headers=GOOD) as socket:
        socket.transport.pause_reading()
        ping = Frame(Opcode.PING, b"x" * 125).serialize(mask=True) * 100

        async def flood() -> None:
            while not socket.transport.is_closing():
                socket.transport.write(ping)
                await asyncio.sleep(0)
                connection = echo_server.seen[0].protocol
                assert connection is not None
                if connection.disconnected:
                    return
                assert connection.transport.get_write_buffer_size() < 400_000

        async with asyncio.timeout(60):
            await flood()
        socket.transport.abort()


async def test_text_that_is_not_utf_8_closes_the_socket_with_one_line(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(EchoServer()) as url, connect(url, additional_headers=GOOD) as socket:
        with structlog.testing.capture_logs() as lines:
            socket.transport.write(Frame(Opcode.TEXT, b"\xff").serialize(mask=True) * 3)
            assert await closed(socket) == 1007
    assert [line["code"] for line in lines] == [1007]
    assert not [record for record in caplog.records if record.exc_info], "no traceback that a client can repeat"


class LateServer(EchoServer):
    """Answers a socket that it has closed."""

    async def serve(self, client: Admitted[StreamQuery]) -> None:
        assert client.protocol is not None
        client.protocol.hang_up(1001)
        for _ in range(2):
            await client.socket.send_data(b"late", mode="binary")


async def test_answer_to_a_socket_that_was_closed_meanwhile_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(LateServer()) as url, connect(url, additional_headers=GOOD) as socket:
        assert await closed(socket) == 1001
    assert not [record for record in caplog.records if record.exc_info]


async def test_sockets_of_a_session_are_bounded() -> None:
    async with serving(EchoServer()) as url, contextlib.AsyncExitStack() as opened:
        first = await opened.enter_async_context(connect(url, additional_headers=GOOD))
        for _ in range(2):
            await opened.enter_async_context(connect(url, additional_headers=GOOD))
        with pytest.raises(InvalidStatus):
            await connect(url, additional_headers=GOOD)
        await first.close()
        async with asyncio.timeout(10):
            while True:
                try:
                    socket = await connect(url, additional_headers=GOOD)
                except InvalidStatus:
                    await asyncio.sleep(0.05)
                else:
                    await socket.close()
                    return
