"""Random requests and bytes: no answer of 5xx, none that the contract does not declare, and the server lives on.

The long forms are for `make torture`. A failure names its seed, which makes the same requests again.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from contextlib import suppress
from random import Random, SystemRandom
from typing import Any

import httpx
import msgspec
import pytest
from litestar.status_codes import HTTP_101_SWITCHING_PROTOCOLS

from novacron_core.api import events as api
from novacron_core.api import vms
from novacron_core.api.endpoint import Endpoint
from novacron_core.api.problem import Problem
from novacron_core.api.vms import VMQuery
from novacron_core.values.roles import Role
from novacron_server.runtime.routes import served
from tests.support.api_tokens import create
from tests.support.event_stream import open_stream
from tests.support.fuzzing import Maker, malformed_http, odd_frame, request_of
from tests.support.images import add_image
from tests.support.server import LiveServer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1800)]
LONG = pytest.mark.long
SEED = int(os.environ.get("NOVACRON_FUZZ_SEED") or SystemRandom().randrange(2**32))
_STATUS = re.compile(rb"^HTTP/1\.[01] (\d{3}) ", re.MULTILINE)
_LEFT_OUT = ("POST /auth/logout", "GET /metrics", "GET /api/admin/audit/export")
"""What ends the fuzzing, and what is no JSON."""


async def nothing_has_failed(server: LiveServer, captured: pytest.CaptureFixture[str]) -> None:
    log = captured.readouterr().out
    assert "/ws/events/v1" in log or "/livez" in log or "/api/vm/vms" in log, "the log is not where this test looks"
    assert "Traceback" not in log and "a socket failed" not in log, log[max(0, log.find("Traceback") - 1500) :][:5000]
    check = server.parts.background.check()
    assert (check.status, [task.name for task in check.tasks if task.restarts]) == ("healthy", [])
    assert (await server.admin.call(vms.LIST, query=VMQuery())).items
    async with open_stream(server) as stream:
        await stream.socket.send(json.dumps({"frame": "ping", "id": "alive"}))
        await stream.until(lambda f: f["frame"] == "pong")


@pytest.mark.parametrize("cases", [150, pytest.param(6000, marks=LONG)])
async def test_requests_by_the_document(
    shared_server: LiveServer, capfd: pytest.CaptureFixture[str], cases: int
) -> None:
    server, random = shared_server, Random(SEED)
    add_image(server.data_dir)
    async with httpx.AsyncClient(base_url=server.url) as http:
        document = (await http.get("/openapi.json")).json()
    rows = {row.endpoint.key: row.endpoint for row in served(server.parts)}
    operations = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if f"{method.upper()} {path}" not in _LEFT_OUT
    ]
    maker = Maker(random, document, await _known(server))
    tokens = ["", "garbage", (await create(server.admin, f"fuzz-{cases}")).token, server.admin.credentials.token or ""]
    tokens.append((await server.member(f"fuzz-{cases}", Role.OPERATOR)).credentials.token or "")
    wrong, done = [], 0
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        for number in range(cases):
            path, method, operation = operations[number % len(operations)]
            url, body, headers = request_of(maker, path, operation)
            if token := random.choice(tokens):
                headers["Authorization"] = f"Bearer {token}"
            try:
                answer = await http.request(method.upper(), url, content=body, headers=headers)
            except httpx.InvalidURL:
                continue
            done += answer.status_code < 300
            if why := undeclared(rows[f"{method.upper()} {path}"], answer):
                wrong.append((why, method, url[:300], body and body[:300], answer.text[:300]))
    assert not wrong, f"NOVACRON_FUZZ_SEED={SEED}: " + "\n".join(map(str, wrong[:20]))
    assert done > cases / 20, "most requests are refused before they reach anything"
    await nothing_has_failed(server, capfd)


async def _known(server: LiveServer) -> dict[str, list[str]]:
    vm = await server.vm("test")
    names = ["test", "web-01", "missing"]
    return {
        "vm_id": [vm.id], "vm": [vm.id], "ids": [vm.id], "host": [vm.host], "host_id": [vm.host], "subject": [f"vm:{vm.id}", "fleet"],
        "name": names, "username": ["ann", "nobody"], "image": ["empty"], "tenant": ["default"], "role": ["viewer"],
        "user_id": [server.admin.credentials.user.id] if server.admin.credentials.user else ["x"], "tier": ["hot", "cold"],
    }  # fmt: skip


def undeclared(endpoint: Endpoint[Any, Any, Any], answer: httpx.Response) -> str:
    """What is wrong with an answer, empty if it is one that the document foretells."""
    if answer.status_code >= 500:
        return f"status {answer.status_code}"
    if answer.status_code == endpoint.status:
        if endpoint.kind == "bytes" or answer.status_code == 204:
            return ""
        try:
            msgspec.json.decode(answer.content, type=endpoint.returns)
        except msgspec.ValidationError as e:
            return f"not its type: {e}"
        return ""
    if answer.status_code < 400 or answer.headers["content-type"] != "application/problem+json":
        return f"undeclared status {answer.status_code}"
    problem = msgspec.json.decode(answer.content, type=Problem)
    return "" if problem.status == answer.status_code else f"the problem says {problem.status}"


@pytest.mark.parametrize("cases", [60, pytest.param(1200, marks=LONG)])
async def test_malformed_http(shared_server: LiveServer, capfd: pytest.CaptureFixture[str], cases: int) -> None:
    random, url = Random(SEED), httpx.URL(shared_server.url)
    token = (await create(shared_server.admin, f"raw-{cases}", read_only=True)).token
    wrong = []
    for _ in range(cases):
        sent = malformed_http(random, token)
        statuses = [int(each) for each in _STATUS.findall(await _exchange(url, sent))]
        if any(status >= 500 or status not in _DECLARED for status in statuses):
            wrong.append((statuses, sent[:300]))
    assert _STATUS.findall(await _exchange(url, b"\0\r\n\r\n")) == [b"400"], "what is no HTTP gets an answer"
    assert not wrong, f"NOVACRON_FUZZ_SEED={SEED}: " + "\n".join(map(str, wrong[:20]))
    await nothing_has_failed(shared_server, capfd)


_DECLARED = {
    100,
    101,
    200,
    201,
    202,
    204,
    400,
    401,
    403,
    404,
    405,
    408,
    409,
    412,
    413,
    414,
    415,
    422,
    426,
    428,
    429,
    431,
}


async def _exchange(url: httpx.URL, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(url.host, url.port)
    received = b""
    try:
        with suppress(TimeoutError, ConnectionError):
            writer.write(sent)
            writer.write_eof()
            async with asyncio.timeout(0.5):
                while chunk := await reader.read(65536):
                    received += chunk
    finally:
        writer.close()
    return received


@pytest.mark.parametrize("cases", [40, pytest.param(1000, marks=LONG)])
async def test_malformed_frames(shared_server: LiveServer, capfd: pytest.CaptureFixture[str], cases: int) -> None:
    """Each socket gets frames until the server closes it: by a rule of the protocol, never for an error of its own."""
    server, random, url = shared_server, Random(SEED), httpx.URL(shared_server.url)
    sent, codes = 0, set()
    while sent < cases:
        reader, writer = await asyncio.open_connection(url.host, url.port)
        head = (
            f"GET /ws/events/v1 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            f"Authorization: Bearer {server.admin.credentials.token}\r\n\r\n"
        )
        writer.write(head.encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        assert int(answer.split()[1]) == HTTP_101_SWITCHING_PROTOCOLS, answer
        right = random.random() < 0.5  # one that breaks a rule ends the socket before others are looked at
        with suppress(ConnectionError):
            for _ in range(random.randrange(1, 12)):
                writer.write(odd_frame(random, right=right))
                sent += 1
            await writer.drain()
        codes |= await _close_codes(reader)
        writer.close()
    assert not codes & {1011, 1006}, f"NOVACRON_FUZZ_SEED={SEED}: {codes}"
    assert codes - {0} <= {1000, 1002, 1003, 1007, 1008, 1009, api.CLOSE_LAGGED, api.CLOSE_UNAUTHENTICATED}, codes
    await nothing_has_failed(server, capfd)


async def _close_codes(reader: asyncio.StreamReader) -> set[int]:
    """The code with which the server closes the socket; empty if it does not within a moment, or without a code."""
    with suppress(TimeoutError, ConnectionError, asyncio.IncompleteReadError):
        async with asyncio.timeout(0.5):
            while True:
                first, second = await reader.readexactly(2)
                length = second & 0x7F
                if length >= 126:
                    length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8), "big")
                payload = await reader.readexactly(length)
                if first & 0x0F == 8:
                    return {int.from_bytes(payload[:2], "big")}
    return set()
