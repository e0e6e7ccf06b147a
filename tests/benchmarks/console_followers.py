"""Many followers of one console, in one task: clients that read as fast as they can, and keep nothing but the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import psutil

from novacron_core.api import consoles
from novacron_core.client.rest import fill
from tests.support.processes import Running

_PING, _PONG, _BINARY = 9, 10, 2
_LOOK_S = 0.05
_LAST_S = 10.0
_TAIL_BYTES = 256


class Followers:
    """`peak_bytes` is the largest memory of the server meanwhile; `complete` how many saw the end of the output."""

    def __init__(self, server: Running, vm_id: str) -> None:
        self._server, self._vm_id = server, vm_id
        self.peak_bytes = self.complete = 0

    async def follow(self, count: int, printing: Callable[[], None], process: psutil.Process) -> None:
        """Open them one after the other, and watch the server's memory until the guest has printed and all have that."""
        opened = [await self._open() for _ in range(count)]
        watching = asyncio.create_task(self._watch(process))
        await asyncio.sleep(1.0)  # what was printed before has come
        for follower in opened:
            follower.tail = b""
        try:
            await asyncio.to_thread(printing)
            for _ in range(int(_LAST_S / _LOOK_S)):
                self.complete = sum(b"-END" in follower.tail for follower in opened)
                if self.complete == count:
                    break
                await asyncio.sleep(_LOOK_S)
        finally:
            watching.cancel()
            for follower in opened:
                follower.transport.abort()

    async def _watch(self, process: psutil.Process) -> None:
        while True:
            self.peak_bytes = max(self.peak_bytes, process.memory_info().rss)
            await asyncio.sleep(_LOOK_S)

    async def _open(self) -> _Follower:
        host, port = self._server.url.removeprefix("http://").split(":")
        path = fill(consoles.CONSOLE.path, {"vm_id": self._vm_id})
        request = (
            f"GET {path}?write=false HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: Bearer {self._server.token}\r\n\r\n"
        )
        loop = asyncio.get_running_loop()
        _, follower = await loop.create_connection(lambda: _Follower(request.encode()), host, int(port))
        await follower.ready
        return follower


class _Follower(asyncio.Protocol):
    """One client, by hand: two hundred of a library's would take longer to read a frame than the server to send it."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._bytes = bytearray()
        self.tail = b""
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        if not self.ready.done():
            answer, end, rest = bytes(self._bytes).partition(b"\r\n\r\n")
            if not end:
                return
            if not answer.startswith(b"HTTP/1.1 101"):
                self.ready.set_exception(RuntimeError(answer.decode(errors="replace")))
                return
            self._bytes = bytearray(rest)
            self.ready.set_result(None)
        while self._take_frame():
            pass

    def _take_frame(self) -> bool:
        """Take the next whole frame. A server's are not masked."""
        held = self._bytes
        if len(held) < 2:
            return False
        start, size = 2, held[1]
        if size >= 126:
            start = 4 if size == 126 else 10
            if len(held) < start:
                return False
            size = int.from_bytes(held[2:start], "big")
        if len(held) < start + size:
            return False
        opcode = held[0] & 0x0F
        if opcode == _PING:
            self.transport.write(bytes((0x80 | _PONG, 0x80 | size, 0, 0, 0, 0)) + held[start : start + size])
        elif opcode == _BINARY:
            self.tail = (self.tail + bytes(held[max(start, start + size - _TAIL_BYTES) : start + size]))[-_TAIL_BYTES:]
        del held[: start + size]
        return True
