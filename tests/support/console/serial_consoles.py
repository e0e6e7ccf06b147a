"""The other end of the console tab: a console of the server that says what a test wants, and notes what is asked of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from novacron_core.api import consoles as api
from novacron_core.client import consoles as client
from novacron_core.client.consoles import ConsoleOutput


class SerialEnd:
    """Replaces the client of the console that is opened next. `typed` is what reached it."""

    def __init__(self) -> None:
        self.typed = b""
        self.asked: list[Any] = []
        self.opened = 0
        self.writes: bool | None = None
        self.at = 0
        self.waiting = 0
        self.accepts = True
        self._updates: asyncio.Queue[Any] = asyncio.Queue()

    def __call__(self, _client: Any, _vm_id: str, *, write: bool = True) -> SerialEnd:
        self.opened += 1
        self.writes = write
        return self

    async def updates(self) -> AsyncIterator[Any]:
        while True:
            update = await self._updates.get()
            if isinstance(update, Exception):
                raise update
            yield update

    def say(self, *updates: Any) -> None:
        for update in updates:
            self._updates.put_nowait(update)

    def hello(self, state: api.LineState = api.LineState.OPEN, *, writer: api.Writer | None = None, end: int = 0,
              **more: Any) -> None:  # fmt: skip
        self.say(
            api.ConsoleHello(
                protocol=1, version="1", vm="v", stream="s", at=self.at, end=end, follower="me", state=state,
                writer=writer, **more,
            )
        )  # fmt: skip

    def output(self, data: bytes) -> None:
        self.at += len(data)
        self.say(ConsoleOutput(data, self.at))

    def type(self, data: bytes) -> bool:
        if self.accepts:
            self.typed += data
        return self.accepts

    def stop_typing(self) -> int:
        dropped, self.waiting = self.waiting, 0
        return dropped

    def confirm(self, at: int) -> None:
        pass

    def take(self, from_: str = "") -> None:
        self.asked.append(("take", from_))

    def release(self) -> None:
        self.asked.append("release")

    def force(self) -> None:
        self.asked.append("force")


ME = api.Writer(name="olga", follower="me")
BOB = api.Writer(name="bob", follower="his")


@pytest.fixture
def serial(monkeypatch: pytest.MonkeyPatch) -> SerialEnd:
    end = SerialEnd()
    monkeypatch.setattr(client, "ConsoleClient", end)
    return end
