"""Proxies in front of a test's PostgreSQL: a slow one, and poolers that refuse or ignore options or share sessions.

Each listens on a Unix socket in its own directory; `url` is a URL through it.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import psycopg

Options = Literal["pass", "refuse", "ignore"]
FAKE_PID = 999_999


class Proxy:
    """Forwards connections. `options` says what happens to libpq's startup options; `delay_s` precedes each connection."""

    def __init__(self, folder: Path, target: Path, *, options: Options = "pass", delay_s: float = 0.0) -> None:
        self._folder = folder
        self._target = target / ".s.PGSQL.5432"
        self._options = options
        self._delay_s = delay_s

    def url(self, url: str) -> str:
        """The URL of a Unix socket, with the directory of this proxy."""
        start, _, rest = url.partition("host=")
        _, separator, more = rest.partition("&")
        return f"{start}host={quote(str(self._folder), safe='')}{separator}{more}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Proxy]:
        self._folder.mkdir(parents=True, exist_ok=True)
        server = await asyncio.start_unix_server(self._serve, self._folder / ".s.PGSQL.5432")
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await asyncio.sleep(self._delay_s)
            startup = await read_startup(reader)
            if "options" in startup and self._options == "refuse":
                writer.write(error("08P01", "unsupported startup parameter: options"))
                await writer.drain()
            else:
                if self._options != "pass":
                    startup.pop("options", None)
                far_reader, far_writer = await asyncio.open_unix_connection(self._target)
                far_writer.write(pack_startup(startup))
                await asyncio.gather(pump(reader, far_writer), self._answer(far_reader, writer))
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Like a pooler, tell another process number than PostgreSQL's."""
        while self._options != "pass":
            kind, body = await read_message(reader)
            if kind == b"K":
                body = struct.pack("!i", FAKE_PID) + body[4:]
            writer.write(pack(kind, body))
            if kind == b"Z":
                break
        await pump(reader, writer)


class TransactionPooler(Proxy):
    """A pooler in transaction mode: every transaction may run in another session of PostgreSQL, and sessions are shared.

    It admits everybody; `url` opens the sessions behind it.
    """

    def __init__(self, folder: Path, url: str, *, sessions: int) -> None:
        super().__init__(folder, folder)
        self._backends = [psycopg.connect(url, autocommit=True) for _ in range(sessions)]
        self._free: asyncio.LifoQueue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.LifoQueue()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Proxy]:
        for backend in self._backends:
            self._free.put_nowait(await asyncio.open_unix_connection(sock=backend_socket(backend)))
        async with super().running():
            yield self
        for backend in self._backends:
            backend.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await read_startup(reader)
            writer.write(pack(b"R", struct.pack("!i", 0)))
            for name, value in {"server_encoding": "UTF8", "client_encoding": "UTF8", "server_version": "15.1"}.items():
                writer.write(pack(b"S", f"{name}\0{value}\0".encode()))
            writer.write(pack(b"K", struct.pack("!ii", FAKE_PID, 1)) + pack(b"Z", b"I"))
            while True:
                kind, body = await read_message(reader)
                if kind == b"X":
                    break
                await self._transaction((kind, body), reader, writer)
        writer.close()

    async def _transaction(
        self, first: tuple[bytes, bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        far = await self._free.get()
        try:
            message, idle = first, False
            while not idle:
                far[1].write(pack(*message))
                if message[0] in (b"Q", b"S"):  # a query, or the sync at the end of one
                    status = b""
                    while not status:
                        kind, body = await read_message(far[0])
                        writer.write(pack(kind, body))
                        status = body if kind == b"Z" else b""
                    idle = status == b"I"
                if not idle:
                    message = await read_message(reader)
        finally:
            self._free.put_nowait(far)


def backend_socket(connection: psycopg.Connection) -> object:
    import os
    import socket

    return socket.socket(fileno=os.dup(connection.fileno()))


async def read_startup(reader: asyncio.StreamReader) -> dict[str, str]:
    (length,) = struct.unpack("!i", await reader.readexactly(4))
    words = (await reader.readexactly(length - 4))[4:].rstrip(b"\0").split(b"\0")
    return {words[i].decode(): words[i + 1].decode() for i in range(0, len(words) - 1, 2)}


def pack_startup(parameters: dict[str, str]) -> bytes:
    body = struct.pack("!i", 196608)
    body += b"".join(f"{name}\0{value}\0".encode() for name, value in parameters.items()) + b"\0"
    return struct.pack("!i", len(body) + 4) + body


async def read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    kind, length = struct.unpack("!ci", await reader.readexactly(5))
    return kind, await reader.readexactly(length - 4)


def pack(kind: bytes, body: bytes) -> bytes:
    return struct.pack("!ci", kind, len(body) + 4) + body


def error(code: str, message: str) -> bytes:
    fields = {"S": "FATAL", "V": "FATAL", "C": code, "M": message}
    return pack(b"E", b"".join(f"{key}{value}\0".encode() for key, value in fields.items()) + b"\0")


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
