"""Answers of a proxy in front of the server, of a captive network, of another server: told as such, with what to do."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from novacron_core import errors
from novacron_core.api import access, images
from novacron_core.api.health import INFO
from novacron_core.api.images import ImageQuery
from novacron_core.client import Client, Credentials, Disconnected, rest, stream
from tests.support.certificates import Authority, self_signed
from tests.support.proxies import canned, listen, page

CANARY = "canary-s3cret"


async def of_call(url: str, endpoint: object = INFO) -> errors.NovaCronError:
    async with Client(url, Credentials("token", refresh_token="refresh")) as client:
        with pytest.raises(errors.NovaCronError) as refused:
            await client.call(endpoint)  # type: ignore[arg-type]
        assert client.credentials.refresh_token == "refresh", "the session is kept"
    return refused.value


async def of_stream(url: str) -> str:
    async with Client(url, Credentials("token")) as client, asyncio.timeout(20):
        update = await anext(stream(client))
    assert isinstance(update, Disconnected)
    return update.reason


REDIRECTS = [
    ("Location: https://new.example:8443/api/info", "redirects to https://new.example:8443 "),
    ("Location: https://new.example/prefix/api/info?x=1", "redirects to https://new.example/prefix "),
    ("Location: https://new.example/", "redirects to https://new.example "),
    (f"Location: https://portal.example/login?next={CANARY}", "redirects to https://portal.example/login .* sign-in"),
    (f"Location: https://ann:{CANARY}@new.example/api/info", "redirects to https://new.example "),
    ("Location: http://[::", "without valid HTTP"),
    ("X: y", "leads nowhere"),
]


@pytest.mark.parametrize(("header", "said"), REDIRECTS)
async def test_redirect_tells_the_new_address(header: str, said: str) -> None:
    async with canned(page("301 Moved", header)) as port:
        error = await of_call(f"http://127.0.0.1:{port}")
    assert isinstance(error, errors.ServerUnreachable)
    assert re.search(said, f"{error.detail} "), error.detail
    assert CANARY not in error.detail


HOSTILE = ["\x9d52;c;cHduZWQ=\x9c", "\x9b2J", "\u202eelpmaxe", "\x85", "\u200b"]


@pytest.mark.parametrize("text", HOSTILE)
async def test_redirect_steers_no_terminal(text: str) -> None:
    """Headers are read as UTF-8 of a call and as Latin-1 of the stream."""
    for header in (f"Location: http://evil.example/{text}x", f"Location: http://{text}evil.example/api/info"):
        async with canned(page("302 Found", header)) as port:
            url = f"http://127.0.0.1:{port}"
            for said in ((await of_call(url)).detail, await of_stream(url)):
                assert said.isprintable(), ascii(said)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"])
async def test_every_kind_of_redirect_is_told(status: str) -> None:
    async with canned(page(status, "Location: https://new.example/auth/logout")) as port:
        assert "redirects to https://new.example " in (await of_call(f"http://127.0.0.1:{port}", access.LOGOUT)).detail


async def test_stream_follows_no_redirect_and_tells_the_new_address() -> None:
    async with canned(page("301 Moved", "Location: http://127.0.0.1:9/ws/events/v1")) as port:
        assert "redirects to http://127.0.0.1:9 " in await of_stream(f"http://127.0.0.1:{port}")


PAGES = [
    ("400 Bad", "The plain HTTP request was sent to HTTPS port", errors.ServerUnreachable, "uses TLS: give https://"),
    ("401 Unauthorized", "", errors.ServerUnreachable, "sign-in of its own"),
    ("403 Forbidden", "", errors.Forbidden, "not NovaCron: ask its administrator"),
    ("404 Not Found", "", errors.ServerUnreachable, "there is no NovaCron server at"),
    ("413 Too Large", "", errors.TooLarge, "client_max_body_size"),
    ("429 Too Many", "", errors.RateLimited, "too many"),
    ("502 Bad Gateway", "", errors.ServerUnreachable, "cannot reach the server"),
    ("503 Unavailable", "", errors.ServerUnreachable, "is unavailable"),
    ("504 Timeout", "", errors.ServerUnreachable, "cannot reach the server"),
    ("200 OK", "", errors.ServerUnreachable, "a web page instead of NovaCron's data"),
    ("418 Teapot", "", errors.ServerUnreachable, "is not a NovaCron server"),
]


@pytest.mark.parametrize(("status", "text", "kind", "said"), PAGES)
async def test_page_of_a_proxy_is_told_as_such(
    status: str, text: str, kind: type[errors.NovaCronError], said: str
) -> None:
    async with canned(page(status, "Retry-After: 7", text=f"<html>{text}</html>")) as port:
        url = f"http://127.0.0.1:{port}"
        error = await of_call(url)
        assert type(error) is kind
        assert said in error.detail
        assert url in error.detail
        assert said in await of_stream(url)
        if kind is errors.RateLimited:
            assert error.retry_after_s == 7


@pytest.mark.parametrize("status", ["401 No", "403 No"])
async def test_refusal_of_the_stream_without_a_text_is_novacrons_own(status: str) -> None:
    """It ends the session; one of a proxy, with any text, does not."""
    async with canned(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()) as port:
        with pytest.raises(errors.Unauthenticated):
            await of_stream(f"http://127.0.0.1:{port}")
    async with canned(f"HTTP/1.1 {status}\r\nContent-Length: 6\r\n\r\nblock!".encode()) as port:
        assert "a proxy in front of" in await of_stream(f"http://127.0.0.1:{port}")


async def test_page_for_a_call_without_an_answer_is_no_success() -> None:
    async with canned(page("200 OK")) as port:
        error = await of_call(f"http://127.0.0.1:{port}", access.LOGOUT)
    assert isinstance(error, errors.ServerUnreachable)


async def test_empty_answer_and_other_json_are_not_taken_for_data() -> None:
    for text, kind in (("", errors.ServerUnreachable), ('{"ok": true}', errors.IncompatibleServer)):
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}"
        async with canned(head.encode()) as port:
            assert type(await of_call(f"http://127.0.0.1:{port}")) is kind


DEEP = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
DATES = ["Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 2026", "\x9b"]


@pytest.mark.parametrize("status", ["200 OK", "400 Bad", "401 No", "404 No", "503 No"])
async def test_answer_that_is_nested_too_deeply_is_not_novacrons(status: str) -> None:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(DEEP)}\r\n\r\n"
    async with canned(head.encode() + DEEP) as port:
        await of_call(f"http://127.0.0.1:{port}")
        await of_stream(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize("date", DATES)
async def test_date_that_no_clock_can_have_is_ignored(date: str) -> None:
    async with canned(page("200 OK", f"Date: {date}")) as port, Client(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(errors.ServerUnreachable):
            await client.call(INFO)
        assert abs(client.now() - datetime.now(UTC)) < timedelta(minutes=1)


async def test_upload_that_a_proxy_refuses_names_its_limit() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"x" * 1000

    async with canned(page("413 Request Entity Too Large")) as port, Client(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(errors.TooLarge, match=r"a proxy in front of .* \(nginx: client_max_body_size\)"):
            await client.upload(images.PUT, pieces(), 1000, query=ImageQuery(format="raw"), name="x")


async def test_upload_that_is_broken_off_names_the_likely_limit() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * 1_000_000

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(100_000)

    async with listen(cut) as port, Client(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(errors.ServerUnreachable, match=r"nginx: client_max_body_size"):
            await client.upload(images.PUT, pieces(), 64_000_000, query=ImageQuery(format="raw"), name="x")
    async with Client("http://127.0.0.1:9") as client:
        with pytest.raises(errors.ServerUnreachable, match=r"connection refused$"):
            await client.upload(images.PUT, pieces(), 64_000_000, query=ImageQuery(format="raw"), name="x")


async def test_path_that_leads_nowhere_is_the_fault_of_the_url() -> None:
    async with canned(page("404 Not Found")) as port:
        error = await of_call(f"http://127.0.0.1:{port}/api")
    assert isinstance(error, errors.InvalidSetting)
    assert f"http://127.0.0.1:{port}/api" in error.detail


async def test_plain_http_at_a_tls_port_and_the_other_way_round(tmp_path: Path) -> None:
    made = self_signed(tmp_path, "one")
    async with canned(b"", made.server_context()) as port:
        for sentence in (
            (await of_call(f"http://127.0.0.1:{port}")).detail,
            await of_stream(f"http://127.0.0.1:{port}"),
        ):
            assert sentence == f"http://127.0.0.1:{port} uses TLS: give https://127.0.0.1:{port}"
    async with canned(page("400 Bad Request")) as port:
        url = f"https://127.0.0.1:{port}"
        for sentence in ((await of_call(url)).detail, await of_stream(url)):
            assert sentence.startswith(f"{url} does not speak TLS: use http://127.0.0.1:{port}")


async def test_server_that_demands_a_certificate_of_the_client_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.cert))
    context = authority.issue("server", ["127.0.0.1"]).server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.cert)
    async with canned(page("200 OK"), context) as port:
        url = f"https://127.0.0.1:{port}"
        for sentence in ((await of_call(url)).detail, await of_stream(url)):
            assert url in sentence
            assert "demands a certificate from the client, which NovaCron cannot give" in sentence


async def test_server_that_closes_without_an_answer_is_told_as_that() -> None:
    async with canned(b"") as port:
        for sentence in (
            (await of_call(f"http://127.0.0.1:{port}")).detail,
            await of_stream(f"http://127.0.0.1:{port}"),
        ):
            assert "closed the connection or answered without valid HTTP" in sentence


async def test_connection_that_is_reset_is_lost_and_not_refused() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with listen(reset) as port:
        url = f"http://127.0.0.1:{port}"
        assert (await of_call(url, access.LOGOUT)).detail == f"the connection to {url} was lost"
        assert url in await of_stream(url)


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b" " * 65536


async def dripping() -> AsyncIterator[bytes]:
    while True:
        await asyncio.sleep(0.02)
        yield b" "


@pytest.mark.parametrize(
    ("response", "says"),
    [
        (lambda: httpx.Response(200, content=endless()), "sends an answer without end"),
        (lambda: httpx.Response(200, content=dripping()), "did not complete its answer within"),
        (lambda: httpx.Response(204), "instead of NovaCron's data"),
        (
            lambda: httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=Plain(b"no gzip")),
            "instead of NovaCron's data",
        ),
    ],
)
async def test_answer_without_end_or_sense_is_refused(
    response: Callable[[], httpx.Response], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "_MAX_ANSWER_BYTES", 1 << 20)
    monkeypatch.setattr(rest, "_ANSWER_S", 0.3)
    async with Client("http://a", transport=httpx.MockTransport(lambda _: response())) as client:
        with pytest.raises(errors.ServerUnreachable, match=says):
            await client.call(INFO)


class Plain(httpx.AsyncByteStream):
    """A body as it is."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body
