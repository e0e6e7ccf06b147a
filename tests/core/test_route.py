"""The route to a server: calls, the event stream and the look at a certificate go the same way, and say what failed on
it."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from novacron_core import PROTOCOL, errors
from novacron_core.api import events
from novacron_core.api.health import INFO, ServerInfo
from novacron_core.client import Client, Connected, Credentials, Disconnected, certificates, stream
from novacron_core.client.route import is_loopback, route_to
from tests.support.certificates import Authority, self_signed
from tests.support.proxies import http_proxy, listen, socks_proxy

FAR = "far.example"
CANARY = "canary-s3cret"
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxy_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.8.9.10", "127.1", "0x7f.1", "localhost", "LOCALHOST", "a.localhost", "::1", "::ffff:127.0.0.1"],
)
def test_own_addresses_are_never_reached_through_a_proxy(host: str) -> None:
    assert is_loopback(host)
    url = f"http://[{host}]:1" if ":" in host else f"http://{host}:1"
    assert route_to(url, dict.fromkeys(VARIABLES[:3], "http://p:1")).proxy == ""


@pytest.mark.parametrize("host", ["10.0.0.1", "128.0.0.1", "localhost.example", "127.0.0.1.example", "fe80::1", "1.2"])
def test_other_addresses_are_not_taken_for_own_ones(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("url", "environ", "proxy"),
    [
        ("http://a", {"HTTP_PROXY": "http://p:1"}, "http://p:1"),
        ("http://a", {"http_proxy": "http://low:1", "HTTP_PROXY": "http://up:1"}, "http://low:1"),
        ("http://a", {"http_proxy": "", "HTTP_PROXY": "http://up:1"}, ""),
        ("https://a", {"HTTP_PROXY": "http://p:1"}, ""),
        ("https://a", {"HTTPS_PROXY": "p:3128", "ALL_PROXY": "http://q:1"}, "http://p:3128"),
        ("https://a", {"ALL_PROXY": "http://q"}, "http://q:80"),
        ("https://a", {"HTTPS_PROXY": "https://q"}, "https://q:443"),
        ("https://a", {"HTTPS_PROXY": "http://[fd00::1]:8/"}, "http://[fd00::1]:8"),
        ("https://a", {"HTTPS_PROXY": "http://u@p:1"}, "http://u:@p:1"),
        ("https://a", {"HTTPS_PROXY": "http://u:p%40w@p:1"}, "http://u:p%40w@p:1"),
        ("http://a", {"SOCKS_PROXY": "socks5://p:1"}, ""),
        *(
            (url, {"HTTPS_PROXY": "http://p:1", "NO_PROXY": excepted}, proxy)
            for url, excepted, proxy in [
                ("https://kvm.lab.example", "*", ""),
                ("https://kvm.lab.example", "lab.example", ""),
                ("https://kvm.lab.example", ".lab.example, other", ""),
                ("https://kvm.lab.example", "*.lab.example", ""),
                ("https://kvm.lab.example:8090", "lab.example:8090", ""),
                ("https://kvm.lab.example:8091", "lab.example:8090", "http://p:1"),
                ("https://collab.example", "lab.example", "http://p:1"),
                ("https://10.1.2.3", "10.0.0.0/8", ""),
                ("https://11.1.2.3", "10.0.0.0/8", "http://p:1"),
                ("https://[fd00::5]:8090", "[fd00::5]:8090", ""),
                ("https://[fd00::5]:8090", "fd00::/16", ""),
                ("https://kvm.example", "", "http://p:1"),
            ]
        ),
    ],
)
def test_environment_decides_for_other_servers(url: str, environ: dict[str, str], proxy: str) -> None:
    assert route_to(url, environ).proxy == proxy


@pytest.mark.parametrize(
    "value",
    [
        f"ftp://u:{CANARY}@p",
        f"ftp://u:{CANARY}@p:21",
        f"socks4://u:{CANARY}@p:9050",
        f"http://u:{CANARY}",
        f"u:{CANARY}",
        "http://",
        f"http://p:1\n{CANARY}",
        f"http://é:{CANARY}@p",
    ],
)
def test_variable_that_names_no_proxy_is_refused_without_quoting_it(value: str) -> None:
    with pytest.raises(errors.InvalidSetting, match="HTTPS_PROXY is not the address of a proxy") as refused:
        route_to("https://a", {"HTTPS_PROXY": value})
    assert CANARY not in refused.value.detail


def test_missing_socks_library_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(errors.ServerUnreachable, match=r"socks5://p:1080 .*pip install 'novacron\[socks\]'") as refused:
        route_to("https://a", {"ALL_PROXY": f"socks5://u:{CANARY}@p"})
    assert CANARY not in refused.value.detail


# -- a server that both the calls and the stream understand --------------------------------------------------------


@asynccontextmanager
async def server(tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Answers `GET /api/info`, and the event stream with a hello. Yields its port."""

    async def handle(socket: ServerConnection) -> None:
        hello = events.Hello(protocol=PROTOCOL, version="9", session="s", server_time=datetime.now(UTC))
        await socket.send(msgspec.json.encode(hello).decode())
        await socket.wait_closed()

    def answer(_: ServerConnection, request: Request) -> Response | None:
        if request.path != INFO.path:
            return None
        info = ServerInfo(
            name="NovaCron", version="9", protocol=PROTOCOL, description="", endpoints=[], documentation="",
            setup_required=False, registration="closed",
        )  # fmt: skip
        body = msgspec.json.encode(info)
        headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(body))})
        return Response(HTTPStatus.OK, "OK", headers, body)

    async with serve(handle, "127.0.0.1", 0, ssl=tls, process_request=answer) as running:
        yield next(iter(running.sockets)).getsockname()[1]


async def first_update(client: Client) -> object:
    async with asyncio.timeout(20):
        return await anext(stream(client))


async def failures_of(url: str) -> list[str]:
    """The sentences of a call, of the stream and, for https, of the look at the certificate."""
    async with Client(url, Credentials("token")) as client:
        with pytest.raises(errors.ServerUnreachable) as refused:
            await client.call(INFO)
        update = await first_update(client)
    assert isinstance(update, Disconnected)
    found = [refused.value.detail, update.reason]
    if certificates.is_tls(url):
        with pytest.raises(errors.ServerUnreachable) as unseen:
            await certificates.fetch_certificate(url)
        found.append(unseen.value.detail)
    return found


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """An authority that this system trusts."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.cert))
    return authority


@pytest.mark.parametrize("kind", ["http", "socks"])
async def test_calls_stream_and_certificate_use_the_same_proxy(
    kind: str, trusted: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "socks":
        pytest.importorskip("socksio")
        pytest.importorskip("python_socks")
    made = trusted.issue("far", [FAR])
    async with (
        server(made.server_context()) as port,
        http_proxy(port, user=f"u:{CANARY}") if kind == "http" else socks_proxy(port) as proxy,
    ):
        address = f"127.0.0.1:{proxy.port}"
        monkeypatch.setenv("HTTPS_PROXY", f"http://u:{CANARY}@{address}" if kind == "http" else f"socks5://{address}")
        url = f"https://{FAR}:8090"
        seen = await certificates.fetch_certificate(url)
        assert (seen.fingerprint, seen.distrust, seen.vouched) == (made.fingerprint, "", True)
        looks = len(proxy.asked)
        async with Client(url, Credentials("token")) as client:
            assert (await client.call(INFO)).name == "NovaCron"
            assert len(proxy.asked) == looks + 1
            assert isinstance(await first_update(client), Connected)
            assert len(proxy.asked) == looks + 2
    assert set(proxy.asked) == {f"{FAR}:8090"}


async def test_proxy_that_speaks_tls_is_used_and_its_certificate_is_told_apart(
    trusted: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, of_proxy = trusted.issue("far", [FAR]), trusted.issue("proxy", ["127.0.0.1"])
    url = f"https://{FAR}:8090"
    async with server(made.server_context()) as port:
        async with http_proxy(port, tls=of_proxy.server_context()) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"https://127.0.0.1:{proxy.port}")
            assert (await certificates.fetch_certificate(url)).fingerprint == made.fingerprint
            async with Client(url, Credentials("token"), certificate=made.fingerprint) as client:
                assert (await client.call(INFO)).name == "NovaCron"
                assert isinstance(await first_update(client), Connected)
            async with Client(url, Credentials("token"), certificate="AB" * 32) as client:
                with pytest.raises(errors.UntrustedServer, match=f"the certificate of {url} has changed"):
                    await client.call(INFO)
        async with http_proxy(port, tls=self_signed(tmp_path, "bad").server_context()) as proxy:
            address = f"https://127.0.0.1:{proxy.port}"
            monkeypatch.setenv("HTTPS_PROXY", address)
            async with Client(url, Credentials("token")) as client:
                for attempt in (client.call(INFO), first_update(client), certificates.fetch_certificate(url)):
                    with pytest.raises(errors.UntrustedServer, match=f"of the proxy {address} is not trusted: self-"):
                        await attempt


async def test_plain_http_goes_through_the_proxy_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with server() as port, http_proxy(port) as proxy:
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{proxy.port}")
        async with Client(f"http://{FAR}:8090", Credentials("token")) as client:
            assert (await client.call(INFO)).name == "NovaCron"
            assert isinstance(await first_update(client), Connected)
    assert [urlsplit(asked).netloc or asked for asked in proxy.asked] == [f"{FAR}:8090", f"{FAR}:8090"]


async def test_local_server_is_reached_directly_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES[:3], "socks_proxy"):
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
    async with server() as port:
        for host in ("127.0.0.1", "localhost"):
            async with Client(f"http://{host}:{port}", Credentials("token")) as client:
                assert (await client.call(INFO)).name == "NovaCron"
                assert isinstance(await first_update(client), Connected)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_proxy_that_refuses_connections_is_named_and_not_the_server(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{scheme.upper()}_PROXY", f"http://u:{CANARY}@127.0.0.1:9")
    for sentence in await failures_of(f"{scheme}://{FAR}:8090"):
        assert sentence.startswith("the proxy http://127.0.0.1:9 refused the connection")
        assert f"{scheme.upper()}_PROXY" in sentence
        assert FAR not in sentence
        assert CANARY not in sentence


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("403 Forbidden", f"refused to connect to {FAR}:8090 (403)"),
        ("502 Bad Gateway", f"cannot reach {FAR}:8090 (502)"),
        ("407 Proxy Authentication Required", "asks for a user name and password"),
    ],
)
async def test_proxy_that_refuses_the_server_says_so(status: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with http_proxy(9, refuse=status) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://u:{CANARY}@127.0.0.1:{proxy.port}")
        for sentence in await failures_of(f"https://{FAR}:8090"):
            assert sentence.startswith(f"the proxy http://127.0.0.1:{proxy.port} {said}")
            assert CANARY not in sentence


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("403 Forbidden", "refused the request (403)"),
        ("407 Proxy Authentication Required", "asks for a user name and password: give them in HTTP_PROXY"),
        ("502 Bad Gateway", "cannot reach the server (502)"),
        ("503 Service Unavailable", "is unavailable (503)"),
    ],
)
async def test_page_of_a_proxy_on_the_way_names_that_proxy(
    status: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with http_proxy(9, refuse=status) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://u:{CANARY}@127.0.0.1:{proxy.port}")
        async with Client(f"http://{FAR}:8090") as client:
            with pytest.raises(errors.NovaCronError) as refused:
                await client.call(INFO)
    assert refused.value.detail.startswith(f"the proxy http://127.0.0.1:{proxy.port} {said}")
    assert CANARY not in refused.value.detail


async def test_socks_proxy_that_cannot_reach_the_server_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("socksio")
    pytest.importorskip("python_socks")
    async with socks_proxy(9, reachable=False) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"socks5h://127.0.0.1:{proxy.port}")
        for sentence in await failures_of(f"https://{FAR}:8090"):
            assert sentence.startswith(f"the proxy socks5h://127.0.0.1:{proxy.port} cannot reach {FAR}:8090")


async def test_something_else_at_the_port_of_a_proxy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("socksio")
    pytest.importorskip("python_socks")

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"SSH-2.0-OpenSSH_9.9\r\n")
        await writer.drain()

    async with listen(handle) as port:
        for scheme in ("http", "socks5"):
            monkeypatch.setenv("ALL_PROXY", f"{scheme}://127.0.0.1:{port}")
            for sentence in await failures_of(f"https://{FAR}:8090"):
                assert sentence.startswith(f"the proxy {scheme}://127.0.0.1:{port}"), sentence


async def test_name_that_cannot_be_resolved_is_named() -> None:
    for sentence in await failures_of("https://no-such-host.invalid:8090"):
        assert sentence.endswith("the name no-such-host.invalid cannot be resolved")


def test_environment_is_read_when_a_client_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "HTTPS_PROXY", "http://p:1")
    assert Client("https://a").route.proxy == "http://p:1"
