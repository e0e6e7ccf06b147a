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

import httpx
import psutil
import uvloop
from websockets.asyncio.client import ClientConnection, connect

from tests.benchmarks.figure import Figure, percentile
from tests.benchmarks.servers import Running, server

CLIENTS = 1000
STALLED = 20
EVENTS_PER_CHANGE = 5
CHANGES_PER_S = 2.0
OPENING_AT_ONCE = 50


def measure() -> Iterator[Figure]:
    seconds = float(os.environ.get("NOVACRON_BENCH_SECONDS", "120"))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    with (
        server("--hypervisor", "test:///default") as ours,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        yield from runner.run(_run(ours, seconds))


async def _run(ours: Running, seconds: float) -> list[Figure]:
    gate = asyncio.Semaphore(OPENING_AT_ONCE)
    clients = await asyncio.gather(*(_open(ours, gate) for _ in range(CLIENTS)))
    stalled = [await _open(ours, gate) for _ in range(STALLED)]
    for client in stalled:
        client.transport.pause_reading()
    stalled_at = time.monotonic()
    listeners = [Listener(client) for client in clients]
    tasks = [asyncio.create_task(listener.run()) for listener in listeners]
    closing = asyncio.create_task(_until_closed(ours, stalled_at))
    await _changes(ours, seconds)
    await asyncio.sleep(1.0)  # what was told last is on its way
    memory = psutil.Process(ours.pid).memory_info().rss / 2**20
    for task in tasks:
        task.cancel()
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


class Listener:
    """One client: the numbers it heard, and how old each event was."""

    def __init__(self, client: ClientConnection) -> None:
        self._client = client
        self.seqs: list[int] = []
        self.delays: list[float] = []

    async def run(self) -> None:
        while True:
            raw = await self._client.recv(decode=False)
            now = time.time()
            if raw.startswith(b'{"frame":"event"'):
                head = raw[: raw.index(b',"tenant"')] + b"}"
                event = json.loads(head)
                self.seqs.append(event["seq"])
                self.delays.append(now - datetime.fromisoformat(event["time"]).timestamp())


async def _open(ours: Running, gate: asyncio.Semaphore) -> ClientConnection:
    headers = {"Authorization": f"Bearer {ours.token}"}
    url = ours.url.replace("http", "ws") + "/ws/events/v1"
    async with gate:
        client = await connect(url, additional_headers=headers, compression=None, ping_interval=None, max_queue=64)
        while b'"last":true' not in await client.recv(decode=False):
            pass
        return client


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
