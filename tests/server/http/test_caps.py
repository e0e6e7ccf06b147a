"""Caps of JSON: depth and number of values, for bodies and for messages of sockets."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from novacron_core.errors import InvalidArgument
from novacron_server.http.decoding import MAX_DEPTH, MAX_VALUES, check_size
from tests.support.event_stream import open_stream
from tests.support.server import LiveServer


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"[" * 100_000, "values"),
        (b"[" * 9_000, "deeper"),
        (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "deeper"),
        (b'{"ids":[' + b"1," * 60_000 + b"1]}", "values"),
        (b"[]," * 50_000, "values"),
    ],
)
def test_more_than_a_request_has_is_refused(raw: bytes, why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        check_size(raw)


@pytest.mark.parametrize(
    "raw",
    [
        json.dumps({"ids": ["x" * 36] * 5000, "action": "start"}).encode(),
        json.dumps({"name": "[{" * 400 + "," * 20_000 + '"\\'}).encode(),
        b'"' + b"\\\\" * 50_000 + b"[" * 100 + b'"',
        b"[" * MAX_DEPTH,
    ],
)
def test_what_requests_have_is_admitted(raw: bytes) -> None:
    check_size(raw)
    assert len(raw.split(b",")) <= MAX_VALUES + 20_001


async def test_caps_are_answered_with_a_problem(server: LiveServer) -> None:
    http = httpx.AsyncClient(base_url=server.url, headers={"Authorization": server.admin.credentials.authorization})

    async def status(content: bytes) -> tuple[int, Any]:
        answer = await http.post("/api/vm/vms", content=content)
        return answer.status_code, answer.json()["detail"]

    assert (await status(b"[" * 9_000))[0] == 400
    assert "more than" in (await status(b'{"tags":{' + b'"a":"b",' * 20_000 + b'"c":"d"}}'))[1]
    for name, value in (("page_size", "1001"), ("page_size", "0"), ("page", str(10**30)), ("page", "-1")):
        assert (await http.get("/api/vm/vms", params={name: value})).status_code == 422
    async with open_stream(server) as stream:
        for text in ("[" * 2_000, '{"frame":"subscribe","x":' + "[" * 2_000, '{"frame":' * 300):
            await stream.socket.send(text)
            assert (await stream.until(lambda f: f["frame"] == "problem"))["problem"]["status"] == 400
        await stream.socket.send(json.dumps({"frame": "ping", "id": "still there"}))
        await stream.until(lambda f: f["frame"] == "pong")
    await http.aclose()
