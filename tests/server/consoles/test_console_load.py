"""A real guest's console that is opened again and again, and one that prints as fast as the line is."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from novacron_core.api import consoles as api
from novacron_core.api.vms import VM
from novacron_core.client.consoles import ConsoleOutput
from tests.support.consoles import SHELL, Watcher, console_hello, raw_console, watching
from tests.support.storage import StorageServer
from tests.support.waiting import until
from tests.support.writing_guest import add_image, started

pytestmark = [pytest.mark.qemu, pytest.mark.asyncio(loop_scope="module")]


FDS = 2
"""Of a connection: its socket, and what wakes the thread that waits for an answer."""
SLACK = {"descriptors": 4}
"""Connections to PostgreSQL and of HTTP, which are kept."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guest(storage: StorageServer) -> AsyncIterator[VM]:
    await asyncio.to_thread(add_image, storage.server.data_dir / "images", "shell", SHELL)
    yield await started(storage, "tiny", "shell")


def held(storage: StorageServer, host: str) -> dict[str, int]:
    """What the server, which is this process, and libvirtd hold, without the connections of the lanes' threads: those are
    opened as they are needed, and stay."""
    libvirtd = storage.daemon._process
    session = storage.server.parts.inventory.require_host_up(host)._supervisor.session
    assert libvirtd is not None
    assert session is not None
    lanes = len(session._by_thread)
    return {
        "threads": sum(not thread.name.startswith((session.uri, "asyncio_")) for thread in threading.enumerate()),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())) - lanes * FDS,
        "connections": sum(1 for each in psutil.Process(libvirtd.pid).net_connections("unix") if each.laddr) - lanes,
        "consoles": len(storage.server.parts.consoles.live._open),
    }


async def open_and_close(storage: StorageServer, guest: VM, number: int) -> None:
    """Some leave before the line is open, some as soon as it is, some after they have typed."""
    async with raw_console(storage.server, guest) as opened:
        hello = await console_hello(opened)
        if number % 3 == 0:
            return
        state = hello.state
        while state is not api.LineState.OPEN:
            raw = await asyncio.wait_for(opened.recv(), 30)
            if isinstance(raw, str) and isinstance(frame := api.decode_console_frame(raw), api.ConsoleLine):
                state = frame.state
        if number % 3 == 1:
            return
        await opened.send(b"echo number-%d\r" % number)
        printed = b""
        while b"number-%d" % number not in printed:
            raw = await asyncio.wait_for(opened.recv(), 30)
            printed += raw if isinstance(raw, bytes) else b""


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What is held in a cycle of references stays until it is found."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("opens", [pytest.param(20, marks=pytest.mark.slow), pytest.param(100, marks=pytest.mark.long)])
async def test_opens_and_closes_leave_nothing_behind(
    storage: StorageServer, guest: VM, monkeypatch: pytest.MonkeyPatch, opens: int
) -> None:
    live = storage.server.parts.consoles.live
    async with watching(storage.admin, guest.id) as ann:
        await ann.prompt()
    live._end((guest.host, guest.id))
    monkeypatch.setattr(live, "_linger_s", 0.0)
    for number in range(6):  # kept HTTP connections stay
        await open_and_close(storage, guest, number)

    async def at_rest() -> dict[str, int] | None:
        await asyncio.sleep(0.5)
        now = held(storage, guest.host)
        return now if not now["consoles"] and not live._closing else None

    before = await until(at_rest)
    for number in range(opens):
        await open_and_close(storage, guest, number)
    now: dict[str, int] = {}

    async def as_before() -> bool | None:
        nonlocal now
        now = held(storage, guest.host)
        return True if all(now[what] <= before[what] + SLACK.get(what, 0) for what in before) else None

    try:
        await until(as_before, 10)
    except AssertionError as e:
        raise AssertionError(f"{before} before, {now} after {opens} opens") from e


class SlowReader(Watcher):
    """Reads 10 KB in a second, as a slow line does."""

    async def _run(self) -> None:
        async for update in self.console.updates():
            if isinstance(update, ConsoleOutput):
                self.text += update.data.decode(errors="replace")
                await asyncio.sleep(len(update.data) / 10_000)
                self.console.confirm(update.at)
            else:
                self.frames.append(update)


@pytest.mark.long
@pytest.mark.parametrize(
    "flood", [b"yes 0123456789abcdef0123456789abcdef", b"cat /dev/zero | tr '\\000' x | fold -w 79"]
)
async def test_flood_is_stopped_by_ctrl_c_within_seconds_also_beside_a_slow_reader(
    storage: StorageServer, guest: VM, flood: bytes
) -> None:
    slow = SlowReader(storage.admin, guest.id, write=False)
    try:
        async with watching(storage.admin, guest.id) as ann:
            await ann.prompt()
            began_at, began = ann.console._at, time.monotonic()
            ann.console.type(flood + b"\r")
            await asyncio.sleep(4.0)
            rate = (ann.console._at - began_at) / (time.monotonic() - began)
            assert rate > 5_000, "the guest prints as fast as the line is"
            ann.console.type(b"\x03")
            stopped_at = time.monotonic()
            ann.console.type(b"echo back-$((6*7))\r")
            await ann.see("back-42", 10)
            assert time.monotonic() - stopped_at < 10

            async def caught_up() -> bool | None:
                return True if "back-42" in slow.text else None

            await until(caught_up, 30)
            missing = sum(frame.bytes for frame in slow.frames if isinstance(frame, api.ConsoleSkipped))
            assert missing < slow.console._at
    finally:
        slow.task.cancel()
        await asyncio.wait({slow.task})
