"""What a stranger can make the server hold before sign-in: heads and bodies have a size, a time and a number."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import psutil
import pytest
import uvicorn
from structlog.testing import capture_logs

from novacron_server.http import protocol
from novacron_server.http.protocol import BoundedHttpProtocol, Connections
from novacron_server.runtime import descriptors
from tests.support.event_stream import open_stream
from tests.support.server import LiveServer
from tests.support.waiting import until

HOST = b"Host: localhost\r\n"


@asynccontextmanager
async def connection(server: LiveServer) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    url = httpx.URL(server.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], Any]:
    """Status, headers and the problem document of a response that closes the connection."""
    async with asyncio.timeout(20):
        raw = await reader.read()
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, json.loads(body)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /livez HTTP/1.1\r\n" + HOST + b"X-A: aaaaa\r\n" * 200_000, 431),
        (b"GET /livez HTTP/1.1\r\n" + HOST + b"X-A: " + b"a" * 2_000_000, 431),
        (b"GET /livez HTTP/1.1\r\n" + HOST + b"X-A: a\r\n" * 200 + b"\r\n", 431),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Bad Header\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
        (b"GET /livez HTTP/1.1\r\n\r\n", 400),
    ],
)
async def test_head_over_its_bounds_is_refused_with_a_problem(
    server: LiveServer, request_bytes: bytes, status: int
) -> None:
    before = psutil.Process().memory_info().rss
    with capture_logs() as logs:
        async with connection(server) as (reader, writer):
            writer.write(request_bytes)
            found, headers, problem = await answer(reader)
    assert (found, problem["status"]) == (status, status)
    lines = [line for line in logs if line["event"] == "request"]
    assert [(line["status"], line["request_id"]) for line in lines] == [(status, headers["x-request-id"])]
    assert headers["content-type"] == "application/problem+json"
    assert problem["request_id"] == headers["x-request-id"]
    assert {"x-content-type-options", "cache-control", "content-security-policy"} <= headers.keys()
    assert psutil.Process().memory_info().rss - before < 20 * 1024**2


@pytest.mark.parametrize(
    "second",
    [b"GET / HTTP/1.1\r\nX-A: " + b"a" * 90_000, b"GET / HTTP/1.1\r\n" + b"X-A: a\r\n" * 200, b"garbage\r\n\r\n"],
)
@pytest.mark.parametrize("requests", [1, 3])
async def test_requests_before_a_refused_one_are_answered_first(
    server: LiveServer, second: bytes, requests: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with connection(server) as (reader, writer):
        writer.write((b"GET /api/info HTTP/1.1\r\n" + HOST + b"\r\n") * requests + second)
        async with asyncio.timeout(20):
            raw = await reader.read()
    assert raw.count(b"HTTP/1.1 200 OK") == requests
    assert raw.count(b"HTTP/1.1 4") == 1
    assert raw.index(b"HTTP/1.1 4") > raw.rindex(b"HTTP/1.1 200")
    assert not [record for record in caplog.records if record.exc_info], "no traceback that a stranger can repeat"


async def test_bad_body_ends_its_request_without_a_traceback(
    server: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    head = (
        b"POST /auth/login HTTP/1.1\r\n"
        + HOST
        + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    async with connection(server) as (reader, writer):
        writer.write(head + b'5\r\n{"use\r\nnonsense\r\n')
        status, _, _ = await answer(reader)
    assert status == 400
    async with httpx.AsyncClient(base_url=server.url) as http:
        assert (await http.get("/livez")).status_code == 200
    assert not [record for record in caplog.records if record.exc_info]


async def test_large_body_and_many_requests_on_one_connection_still_work(server: LiveServer) -> None:
    async with httpx.AsyncClient(base_url=server.url) as http:
        for _ in range(30):
            assert (await http.get("/livez")).status_code == 200
        body = json.dumps({"username": "x" * 500_000, "password": "y"}).encode()
        refused = await http.post("/auth/login", content=body, headers={"Content-Type": "application/json"})
        assert refused.status_code in (413, 422)
        assert (await http.get("/livez")).status_code == 200


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Connections.__init__

    def init(self: Connections, *_: object, **__: object) -> None:
        real(self, 5, 5, head_s=0.4, body_s=0.4)

    monkeypatch.setattr(Connections, "__init__", init)


async def closed(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(20):
        return await reader.read()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1\r\nHost", b"HTTP/1.1 408"),
        (b"POST /auth/login HTTP/1.1\r\n" + HOST + b"Content-Length: 900\r\n\r\n{", b""),
        (b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n\r\n", b"HTTP/1.1 200"),
        (b"GET /livez HTTP/1.1\r\n" + HOST + b"Content-Length: 90000000\r\n\r\n{", b"HTTP/1.1 413"),
        (b"POST /auth/login HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", b""),
    ],
)
async def test_silent_head_or_body_ends(short: None, server: LiveServer, sent: bytes, status: bytes) -> None:
    async with connection(server) as (reader, writer):
        writer.write(sent)
        assert (await closed(reader)).startswith(status)


async def test_idle_sockets_of_one_address_do_not_keep_the_owner_out(short: None, server: LiveServer) -> None:
    async with httpx.AsyncClient(base_url=server.url) as owner:
        assert (await owner.get("/livez")).status_code == 200
        idle = [
            await asyncio.open_connection(httpx.URL(server.url).host, httpx.URL(server.url).port) for _ in range(12)
        ]
        await asyncio.gather(*(closed(reader) for reader, _ in idle[:7]), return_exceptions=True)
        assert (await owner.get("/livez")).status_code == 200
        for _, writer in idle:
            writer.close()


async def test_rest_of_a_body_that_was_answered_does_not_hold_the_connection(short: None, server: LiveServer) -> None:
    async with connection(server) as (reader, writer):
        writer.write(b"POST /nope HTTP/1.1\r\n" + HOST + b"Content-Length: 900000000\r\n\r\n{")
        assert (await reader.readline()).startswith(b"HTTP/1.1 404")
        dripped = 0
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(b"x")
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await reader.read()
                dripped += 1
                assert dripped < 100, "each byte gives it more time"


@pytest.mark.parametrize("more", [b"G", b"POST /nope HTTP/1.1\r\n" + HOST + b"Content-Length: 900000000\r\n\r\n{"])
async def test_connections_that_send_part_of_a_request_count_as_idle_once_answered(
    monkeypatch: pytest.MonkeyPatch, server: LiveServer, more: bytes
) -> None:
    url, limit = httpx.URL(server.url), 5
    for found in gc.get_objects():  # so that no time is over meanwhile
        if isinstance(found, Connections):
            for name, value in {"idle_per_address": limit, "head_s": 600, "body_s": 600}.items():
                monkeypatch.setattr(found, name, value)
        elif isinstance(found, uvicorn.Config):
            monkeypatch.setattr(found, "timeout_keep_alive", 600)
    opened = []
    for _ in range(3 * limit):
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n" + more)
        opened.append((reader, writer))
        with contextlib.suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
    gone = await asyncio.gather(*(closed(reader) for reader, _ in opened[: 2 * limit]), return_exceptions=True)
    assert not [each for each in gone if isinstance(each, TimeoutError)], "they are closed before their time is over"
    for _, writer in opened:
        writer.close()


async def test_a_thousand_idle_sockets_of_one_address_leave_the_owner_served(server: LiveServer) -> None:
    """Silent ones, and ones that have sent a request: both are closed above their number, the oldest first."""
    url = httpx.URL(server.url)
    request = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"
    async with httpx.AsyncClient(base_url=server.url) as owner:
        opened = []
        for number in range(1000):
            reader, writer = await asyncio.open_connection(url.host, url.port)
            if number % 2:
                writer.write(request)
                with contextlib.suppress(ConnectionError):
                    await reader.readuntil(b"\r\n\r\n")
            opened.append((reader, writer))
            if number % 100 == 0:
                assert (await owner.get("/livez")).status_code == 200
        assert (await owner.get("/livez")).status_code == 200
        first_silent, first_idle = opened[0][0], opened[1][0]
        await asyncio.gather(closed(first_silent), closed(first_idle), return_exceptions=True)
        for _, writer in opened:
            writer.close()


class FakeTransport:
    aborted = False

    def abort(self) -> None:
        self.aborted = True


class FakeConnection:
    def __init__(self) -> None:
        self.transport = FakeTransport()

    @property
    def aborted(self) -> bool:
        return self.transport.aborted


def test_the_oldest_waiting_connection_of_an_address_goes_first() -> None:
    limits: Any = Connections(2, 1)
    first, second, third, fourth, elsewhere = connections = [FakeConnection() for _ in range(5)]
    limits.begin(first, "a")
    limits.begin(elsewhere, "b")
    limits.begin(second, "a")
    limits.serve(first)
    limits.begin(third, "a")
    assert not any(connection.aborted for connection in connections)
    limits.begin(fourth, "a")
    assert [connection.aborted for connection in connections] == [False, True, False, False, False]
    limits.rest(first, "a")
    limits.serve(third)
    assert not first.aborted
    limits.rest(third, "a")
    assert [connection.aborted for connection in connections] == [True, True, False, False, False]


def test_a_new_connection_takes_the_place_of_one_that_waits_or_is_refused() -> None:
    limits: Any = Connections(total=2)
    served, idle, fresh, late = (FakeConnection() for _ in range(4))
    limits.begin(served, "a")
    limits.begin(idle, "b")
    limits.serve(served)
    limits.serve(idle)
    limits.rest(idle, "b")
    limits.begin(fresh, "c")
    assert (served.aborted, idle.aborted, fresh.aborted) == (False, True, False)
    limits.end(idle)
    limits.serve(fresh)
    limits.begin(late, "d")
    assert (served.aborted, fresh.aborted, late.aborted) == (False, False, True)


async def test_ended_web_sockets_and_requests_leave_nothing_counted(server: LiveServer) -> None:
    limits = counted(server)
    async with open_stream(server):
        assert len(limits._open) >= 1
    async with httpx.AsyncClient(base_url=server.url) as http:
        await http.get("/livez")
    await server.admin.close()

    async def none_left() -> bool | None:
        return True if not limits._open and not limits._idle._all and not limits._unfinished._all else None

    await until(none_left)


def counted(server: LiveServer) -> Connections:
    """The bounds of the running server in this process."""
    import gc

    found = [thing for thing in gc.get_objects() if type(thing) is Connections and thing._open]
    assert len(found) == 1
    return found[0]


def test_descriptors_are_left_for_the_database_and_libvirt(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [(1024, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda kind: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda kind, new: limits.append(new))
    descriptors.raise_limit()
    assert limits[-1] == (4096, 4096)
    assert descriptors.connection_limit() == 4096 - 256
    limits.append((200, 200))
    descriptors.raise_limit()
    assert descriptors.connection_limit() == 100


def test_bounds_are_those_that_the_refusals_name() -> None:
    assert str(protocol.MAX_HEADERS) in protocol._DETAIL[431]
    assert issubclass(BoundedHttpProtocol, asyncio.Protocol)
