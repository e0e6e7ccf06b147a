"""A thousand listeners on the event stream at ten events a second: nothing missing, nothing twice, soon, in little memory;
and twenty that never read, closed. NOVACRON_BENCH_SECONDS shortens the two minutes.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import time
from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar, cast

import httpx
import psutil
import uvloop

from tests.benchmarks.figure import Figure, percentile
from tests.support.processes import Running, server

CLIENTS = 1000
STALLED = 20
EVENTS_PER_CHANGE = 5
CHANGES_PER_S = 2.0
OPENING_AT_ONCE = 50
_PING, _PONG = 9, 10


def measure() -> Iterator[Figure]:
    seconds = float(os.environ.get("NOVACRON_BENCH_SECONDS", "120"))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    with (
        server("--hypervisor", "test:///default", "--sockets-per-session", "5000") as ours,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        yield from runner.run(_run(ours, seconds))


async def _run(ours: Running, seconds: float) -> list[Figure]:
    gate = asyncio.Semaphore(OPENING_AT_ONCE)
    listeners = await asyncio.gather(*(_open(ours, gate) for _ in range(CLIENTS)))
    for stalled in [await _open(ours, gate) for _ in range(STALLED)]:
        stalled.transport.pause_reading()
    stalled_at = time.monotonic()
    for listener in listeners:
        listener.seqs.clear()
    closing = asyncio.create_task(_until_closed(ours, stalled_at))
    await _changes(ours, seconds)
    await asyncio.sleep(1.0)  # what was told last is on its way
    memory = psutil.Process(ours.pid).memory_info().rss / 2**20
    return _figures(listeners, memory, await closing, seconds)


def _figures(listeners: list[Listener], memory: float, closed_s: float, seconds: float) -> list[Figure]:
    told = max(len(listener.seqs) for listener in listeners)
    missing = sum(told - len(set(listener.seqs)) for listener in listeners)
    doubled = sum(len(listener.seqs) - len(set(listener.seqs)) for listener in listeners)
    delays = [delay * 1000 for listener in listeners for delay in listener.delays]
    name = f"{CLIENTS} listeners, {told / seconds:.0f} events/s"
    return [
        Figure(f"{name}: missing of {told * CLIENTS}", missing, "events", 0, absolute=True),
        Figure(f"{name}: doubled", doubled, "events", 0, absolute=True),
        Figure(f"{name}: p99", percentile(delays, 99), "ms", 250, absolute=True),
        Figure(f"{name}: p50", percentile(delays, 50), "ms", 250, absolute=True),
        Figure(f"{name}: the server's memory", memory, "MiB", 300, absolute=True),
        Figure(f"{STALLED} stalled listeners closed after", closed_s, "s", 10, absolute=True),
    ]


class Listener(asyncio.Protocol):
    """One client: the numbers it heard, and how old each event was when its bytes came.

    By hand, because a thousand of them share a process: a library's client takes longer to read a frame than the
    server takes to send it, and the figure would be the benchmark's.
    """

    told_at: ClassVar[dict[int, float]] = {}

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._bytes = b""
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.seqs: list[int] = []
        self.delays: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.time()
        self._bytes += data
        if not self.ready.done() and self._bytes.startswith(b"HTTP/1.1"):
            answer, end, self._bytes = self._bytes.partition(b"\r\n\r\n")
            if not end:
                self._bytes = answer
                return
            assert answer.startswith(b"HTTP/1.1 101"), answer
        while (frame := self._frame()) is not None:
            self._take(*frame, now)

    def _frame(self) -> tuple[int, bytes] | None:
        """The next whole frame: its opcode and payload. A server's are not masked."""
        held = self._bytes
        if len(held) < 2:
            return None
        start, size = 2, held[1]
        if size >= 126:
            start = 4 if size == 126 else 10
            size = int.from_bytes(held[2:start], "big")
        if len(held) < start + size:
            return None
        self._bytes = held[start + size :]
        return held[0] & 0x0F, held[start : start + size]

    def _take(self, opcode: int, text: bytes, now: float) -> None:
        if opcode == _PING:
            self.transport.write(bytes((0x80 | _PONG, 0x80 | len(text), 0, 0, 0, 0)) + text)
        elif text.startswith(b'{"frame":"event","seq":'):
            seq = int(text[23 : text.index(b",", 23)])
            if seq not in self.told_at:
                self.told_at[seq] = datetime.fromisoformat(json.loads(text)["time"]).timestamp()
            self.seqs.append(seq)
            self.delays.append(now - self.told_at[seq])
        elif not self.ready.done() and b'"last":true' in text:
            self.ready.set_result(None)


async def _open(ours: Running, gate: asyncio.Semaphore) -> Listener:
    host, port = ours.url.removeprefix("http://").split(":")
    request = (
        f"GET /ws/events/v1 HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: Bearer {ours.token}\r\n\r\n"
    )
    async with gate:
        loop = asyncio.get_running_loop()
        _, listener = await loop.create_connection(lambda: Listener(request.encode()), host, int(port))
        await listener.ready
        return listener


async def _changes(ours: Running, seconds: float) -> None:
    """A VM is paused and resumed, twice a second: five events each."""
    headers = {"Authorization": f"Bearer {ours.token}"}
    async with httpx.AsyncClient(base_url=ours.url, headers=headers, timeout=30) as http:
        vm_id = (await http.get("/api/vm/vms")).json()["items"][0]["id"]
        began, count = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            await http.post(f"/api/vm/vms/{vm_id}/{('pause', 'resume')[count % 2]}")
            count += 1
            await asyncio.sleep(max(0.0, began + count / CHANGES_PER_S - time.monotonic()))


async def _until_closed(ours: Running, began: float) -> float:
    """Seconds until the server holds no socket but those that read."""
    process = psutil.Process(ours.pid)
    port = int(ours.url.rsplit(":", 1)[1])
    while time.monotonic() - began < 60:
        connections = await asyncio.to_thread(process.net_connections, "tcp")
        held = sum(c.status == psutil.CONN_ESTABLISHED and c.laddr.port == port for c in connections)
        if held <= CLIENTS + 1:  # and the one that makes the changes
            return time.monotonic() - began
        await asyncio.sleep(0.2)
    return float("inf")
