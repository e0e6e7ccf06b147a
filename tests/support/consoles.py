"""A guest with a shell on its serial console, and a follower of a console that remembers what it saw."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from novacron_core import errors
from novacron_core.api import consoles as api
from novacron_core.api import vms
from novacron_core.client import Client, Disconnected
from novacron_core.client.consoles import ConsoleClient, ConsoleOutput
from novacron_core.client.sockets import socket_url
from tests.support.server import LiveServer
from tests.support.waiting import until

SHELL = """
hostname tiny
cd /
export PS1='tiny# '
while :; do setsid -c sh -i </dev/ttyS0 >/dev/ttyS0 2>&1; done
"""
"""An init that gives a root shell on the serial console, again and again."""


class Watcher:
    """Follows a console in a task. `text` is everything that was printed, `frames` what was told."""

    def __init__(self, client: Client, vm_id: str, *, write: bool = True, confirms: bool = True) -> None:
        self.console = ConsoleClient(client, vm_id, write=write)
        self.text = ""
        self.frames: list[object] = []
        self.error: errors.NovaCronError | None = None
        self._confirms = confirms
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            async for update in self.console.updates():
                if isinstance(update, ConsoleOutput):
                    self.text += update.data.decode(errors="replace")
                    if self._confirms:
                        self.console.confirm(update.at)
                else:
                    self.frames.append(update)
        except errors.NovaCronError as e:
            self.error = e

    @property
    def state(self) -> api.LineState | None:
        """The last known state of the line; None while disconnected."""
        for frame in reversed(self.frames):
            if isinstance(frame, api.ConsoleHello | api.ConsoleLine):
                return frame.state
            if isinstance(frame, Disconnected):
                return None
        return None

    @property
    def writer(self) -> str:
        """The name of who types now, empty for nobody."""
        for frame in reversed(self.frames):
            if isinstance(frame, api.ConsoleHello | api.ConsoleWriter):
                return frame.writer.name if frame.writer else ""
        return ""

    @property
    def writer_id(self) -> str:
        """The follower that types now."""
        for frame in reversed(self.frames):
            if isinstance(frame, api.ConsoleHello | api.ConsoleWriter):
                return frame.writer.follower if frame.writer else ""
        return ""

    @property
    def problems(self) -> list[str]:
        return [frame.problem.detail for frame in self.frames if isinstance(frame, api.ConsoleProblem)]

    async def in_state(self, state: api.LineState, timeout_s: float = 60) -> None:
        async def reached() -> bool | None:
            assert self.error is None, self.error
            return True if self.state is state else None

        try:
            await until(reached, timeout_s)
        except AssertionError as e:
            raise AssertionError(f"not {state} but {self.state}; the last that was told: {self.frames[-8:]}") from e

    async def see(self, text: str, timeout_s: float = 120) -> None:
        """Wait until this was printed."""

        async def seen() -> bool | None:
            assert self.error is None, self.error
            return True if text in self.text else None

        await until(seen, timeout_s)

    async def prompt(self, timeout_s: float = 180) -> None:
        """Wait until the shell answers: what it said before anybody listened is lost, so it is asked again."""

        async def answered() -> bool | None:
            assert self.error is None, self.error
            if "ready-42" in self.text:
                return True
            self.console.type(b"echo ready-$((40+2))\n")
            await asyncio.sleep(1)
            return None

        await until(answered, timeout_s)


@asynccontextmanager
async def watching(client: Client, vm_id: str, *, write: bool = True, confirms: bool = True) -> AsyncIterator[Watcher]:
    watcher = Watcher(client, vm_id, write=write, confirms=confirms)
    try:
        yield watcher
    finally:
        watcher.task.cancel()
        await asyncio.wait({watcher.task})


@asynccontextmanager
async def raw_console(server: LiveServer, vm: vms.VM, query: str = "", client: Client | None = None, **more: Any) -> AsyncIterator[
    ClientConnection
]:  # fmt: skip
    """A socket without a client of ours behind it."""
    url = socket_url(server.url, api.CONSOLE.path.replace("{vm_id}", vm.id), query)
    headers = {"Authorization": (client or server.admin).credentials.authorization}
    async with connect(url, additional_headers=headers, compression=None, **more) as opened:
        yield opened


async def console_hello(opened: ClientConnection) -> api.ConsoleHello:
    hello = api.decode_console_frame(await opened.recv())
    assert isinstance(hello, api.ConsoleHello)
    return hello


async def console_close_code(opened: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            await asyncio.wait_for(opened.recv(), 20)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code
