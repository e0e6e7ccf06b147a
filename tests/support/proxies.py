"""Proxies and servers that answer like others than NovaCron. All listen on 127.0.0.1; the proxies connect whatever host
they are asked for to one port, so that tests can use names of servers elsewhere."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Proxy:
    """A proxy that runs. `asked` are the targets (`host:port`) and forwarded URLs, in order."""

    port: int = 0
    asked: list[str] = field(default_factory=list)


@asynccontextmanager
async def listen(handle: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A TCP server; yields its port."""

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            await handle(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(run, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def canned(answer: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that answers every request with these bytes, and closes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1 << 16)
        writer.write(answer)
        await writer.drain()
        writer.write_eof() if writer.can_write_eof() else None
        await reader.read()

    async with listen(handle, tls) as port:
        yield port


def page(status: str, *headers: str, text: str = "<html><body>nginx</body></html>") -> bytes:
    """An HTTP answer with a web page."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: text/html", f"Content-Length: {len(text)}", *headers, "", text]
    return "\r\n".join(lines).encode()


@asynccontextmanager
async def http_proxy(
    target_port: int, *, user: str = "", refuse: str = "", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Proxy]:
    """An HTTP proxy. `user` is the `name:password` that it wants; `refuse` the status line of its only answer."""
    proxy = Proxy()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, asked, _ = head.split("\r\n")[0].split(" ")
        proxy.asked.append(asked)
        expected = f"proxy-authorization: basic {base64.b64encode(user.encode()).decode()}".lower()
        if user and expected not in head.lower():
            writer.write(page("407 Proxy Authentication Required"))
        elif refuse:
            writer.write(page(refuse))
        elif method == "CONNECT":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await _relay(reader, writer, target_port)
            return
        else:
            path = "/" + asked.split("/", 3)[3]
            rest = head.split("\r\n", 1)[1]
            await _relay(reader, writer, target_port, f"{method} {path} HTTP/1.1\r\n{rest}".encode())
            return
        await writer.drain()

    async with listen(handle, tls) as port:
        proxy.port = port
        yield proxy


@asynccontextmanager
async def socks_proxy(target_port: int, *, reachable: bool = True) -> AsyncIterator[Proxy]:
    """A SOCKS5 proxy without passwords (RFC 1928), for host names only."""
    proxy = Proxy()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, methods = await reader.readexactly(2)
        await reader.readexactly(methods)
        writer.write(b"\x05\x00")
        _, _, _, kind = await reader.readexactly(4)
        assert kind == 3, "the proxy resolves the name"
        name = await reader.readexactly((await reader.readexactly(1))[0])
        port = int.from_bytes(await reader.readexactly(2), "big")
        proxy.asked.append(f"{name.decode()}:{port}")
        writer.write(b"\x05" + (b"\x00" if reachable else b"\x04") + b"\x00\x01" + bytes(6))
        await writer.drain()
        if reachable:
            await _relay(reader, writer, target_port)

    async with listen(handle) as port:
        proxy.port = port
        yield proxy


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, first: bytes = b"") -> None:
    inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
    inner_writer.write(first)
    pumps = [
        asyncio.create_task(_pump(reader, inner_writer)),
        asyncio.create_task(_pump(inner_reader, writer)),
    ]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        inner_writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
