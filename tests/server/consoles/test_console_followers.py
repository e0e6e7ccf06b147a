"""Many followers of one console: slow ones, some that read nothing, hostile ones, and those whose right ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
from typing import Any

import psutil
import pytest

from novacron_core.api import consoles as api
from novacron_core.api import vms
from novacron_core.api.events import CLOSE_UNAUTHENTICATED
from novacron_core.client import Client, Disconnected
from novacron_core.client.consoles import ConsoleClient, ConsoleOutput
from novacron_server.consoles import service
from novacron_server.consoles.console import SharedConsole
from novacron_server.consoles.follower import ConsoleFollower
from tests.support.accounts import PASSWORD
from tests.support.consoles import Watcher, console_hello, raw_console, watching
from tests.support.server import LiveServer
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio
MIB = 1 << 20


async def shared(server: LiveServer, vm: vms.VM) -> SharedConsole:
    async def found() -> SharedConsole | None:
        return server.parts.consoles.live._open.get((vm.host, vm.id))

    return await until(found)


async def wait(holds: Any, timeout_s: float = 30) -> None:
    async def probe() -> bool | None:
        return True if holds() else None

    await until(probe, timeout_s)


async def sessions(server: LiveServer, count: int) -> list[Client]:
    """Sessions of one account: each may have 32 sockets."""
    made = []
    for _ in range(count):
        client = Client(server.url)
        await client.sign_in("ann", PASSWORD)
        made.append(client)
    return made


class Bytes:
    """A follower that keeps what it gets, byte for byte. `pause_s`: how long it takes for each piece."""

    def __init__(self, client: Client, vm_id: str, *, pause_s: float = 0.0) -> None:
        self.console = ConsoleClient(client, vm_id, write=False)
        self.data, self.skipped, self.ready = bytearray(), 0, False
        self._pause_s = pause_s
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async for update in self.console.updates():
            if isinstance(update, ConsoleOutput):
                self.data += update.data
                await asyncio.sleep(self._pause_s)
                self.console.confirm(update.at)
            elif isinstance(update, api.ConsoleSkipped):
                self.skipped += update.bytes
            elif isinstance(update, api.ConsoleHello):
                self.ready = True
            assert not isinstance(update, Disconnected)

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})


async def test_fifty_followers_see_the_same_and_none_notices_those_that_do_not_read(server: LiveServer) -> None:
    vm = await server.vm("test")
    clients = await sessions(server, 3)
    fast = [Bytes(clients[n % 2], vm.id) for n in range(47)]
    slow, leaves = Bytes(clients[2], vm.id, pause_s=0.2), Bytes(clients[2], vm.id)
    kernel = socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])))
    kernel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    async with raw_console(server, vm, "write=false", client=clients[2], sock=kernel, max_queue=1) as deaf:
        await console_hello(deaf)
        deaf.transport.pause_reading()
        await wait(lambda: all(each.ready for each in (*fast, slow, leaves)))
        console, sent = await shared(server, vm), bytearray()
        assert len(console.followers) == 50
        before = psutil.Process().memory_info().rss
        for number in range(640):
            piece = os.urandom(3000) + b"\x1b[2J\x1b]0;%d\x07\x00\xff\x9b" % number
            sent += piece
            console._received(piece, 0)
            await asyncio.sleep(0.005)
            if number == 300:
                await leaves.end()
        await wait(lambda: all(len(each.data) == len(sent) for each in fast), 60)
        assert all(bytes(each.data) == bytes(sent) and each.skipped == 0 for each in fast)
        await wait(lambda: len(slow.data) + slow.skipped == len(sent), 60)
        assert bytes(slow.data).endswith(bytes(sent[-4096:]))
        grown = psutil.Process().memory_info().rss - before
        assert grown < 50 * len(sent) + 60 * MIB, grown  # each of the fifty keeps its own copy, in this process
        await wait(lambda: len(console.followers) == 48, 30)  # the deaf one was closed
    for each in (*fast, slow):
        await each.end()
    for client in clients:
        await client.close()


async def test_follower_beyond_the_last_place_is_told_why(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_FOLLOWERS", 3)
    vm = await server.vm("test")
    async with contextlib.AsyncExitStack() as stack:
        watchers = [await stack.enter_async_context(watching(server.admin, vm.id)) for _ in range(3)]
        for each in watchers:
            await each.in_state(api.LineState.NONE)
        late = await stack.enter_async_context(watching(server.admin, vm.id))

        def reasons() -> list[str]:
            return [frame.reason for frame in late.frames if isinstance(frame, Disconnected)]

        await wait(reasons)
        assert "3 clients follow this console already" in reasons()[0]
        watchers[0].task.cancel()
        await late.in_state(api.LineState.NONE)


async def test_flood_of_20_mb_is_skipped_to_its_tail_and_every_byte_is_accounted_for(server: LiveServer) -> None:
    vm = await server.vm("test")
    slow, fast = Bytes(server.admin, vm.id, pause_s=0.05), Bytes(server.admin, vm.id)
    await wait(lambda: slow.ready and fast.ready)
    console, rng, printed, before = await shared(server, vm), random.Random(1), 0, psutil.Process().memory_info().rss
    while printed < 20_000_000:
        piece, dropped = rng.randbytes(60_000), 7 if rng.random() < 0.1 else 0
        console._received(piece, dropped)
        printed += len(piece) + dropped
        await asyncio.sleep(0)
    console._received(b"the end", 0)
    printed += 7
    for each in (slow, fast):
        await wait(lambda each=each: len(each.data) + each.skipped == printed)
        assert each.data.endswith(b"the end")
        assert each.console._at == printed
        await each.end()
    assert slow.skipped > 10_000_000
    assert psutil.Process().memory_info().rss - before < 60 * MIB


async def test_renewed_token_continues_without_a_gap(server: LiveServer) -> None:
    """The server closes a socket whose token is not valid any more; the client renews it and goes on where it was."""
    vm = await server.vm("test")
    seen: Watcher
    async with watching(server.admin, vm.id) as seen:
        await seen.in_state(api.LineState.NONE)
        console, expected = await shared(server, vm), ""
        for number in range(300):
            line = f"{number:06}\n"
            expected += line
            console._received(line.encode(), 0)
            if number % 60 == 30:
                follower: ConsoleFollower
                for follower in list(console.followers.values()):
                    follower.close(CLOSE_UNAUTHENTICATED)
            await asyncio.sleep(0.01)
        await wait(lambda: len(seen.text) >= len(expected))
        assert seen.text == expected
        assert sum(isinstance(frame, Disconnected) for frame in seen.frames) >= 4
