"""What is left of a copy removed when its pool is back, whenever in the clearing of before that is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from novacron_core import errors
from novacron_core.api.operations import Operation, OperationState, Target
from novacron_server.inventory.signal import Signal
from novacron_server.operations.journal import Journal
from novacron_server.volumes import leftover_copies
from novacron_server.volumes.copy import CopyRecord, CopySteps
from novacron_server.volumes.leftover_copies import LeftoverCopies

pytestmark = pytest.mark.asyncio
NOW = datetime(2026, 1, 1, tzinfo=UTC)
COPY = CopyRecord(pool="small", name="off", path="/nowhere/off")
MOVE = Journal(
    operation=Operation(
        id="1", kind="volume.move", target=Target("volume", "v", "off"), state=OperationState.FAILED, created_at=NOW
    ),
    host_id="h",
    request={},
    steps=CopySteps(copy=COPY),
)


class StubHost:
    """A host with one pool, and the picture of it, which lags behind. `coming` happens when all is read again."""

    def __init__(self) -> None:
        self.on = self.seen_on = False
        self.files = {"off"}
        self.refusal = ""
        self.coming: Callable[[], None] = lambda: None
        self.storage_read: Signal[str] = Signal()
        self.storage = self.disks = self
        self.volume_rows: dict[Any, Any] = {}
        self.state = SimpleNamespace(storage=self)

    def host(self, _: str) -> StubHost:
        return self

    def pools_on(self, _: str) -> dict[str, Any]:
        return {"small": SimpleNamespace(active=self.seen_on)}

    async def users(self, *_: Any, **__: Any) -> list[str]:
        return []

    async def delete_volume(self, _: str, name: str) -> None:
        if not self.on:
            raise errors.Conflict("pool small is not active")
        self.files.discard(name)

    async def refresh_volumes(self, host_id: str) -> None:
        self.coming()
        self.look(host_id)

    def look(self, host_id: str = "h") -> None:
        self.seen_on = self.on
        self.storage_read.emit(host_id)

    async def run(self, *_: Any, **__: Any) -> None:
        """A database that takes every mark."""


async def left(host: StubHost) -> LeftoverCopies:
    """A copy that could not be taken away, with the pool still on in the picture."""
    found = LeftoverCopies(host, host)  # type: ignore[arg-type]
    assert "removed when its pool is back" in await found.discard(MOVE)
    host.seen_on = True
    return found


async def test_what_is_left_is_left_to_the_server_that_has_the_database() -> None:
    host = StubHost()
    waiting = await left(host)
    host.on, host.refusal = True, "another server has this database"
    host.look()
    assert not waiting._tasks
    host.refusal = ""
    host.look()
    await gone(host)
    await waiting.close()


async def gone(host: StubHost) -> None:
    async with asyncio.timeout(5):
        while host.files:
            await asyncio.sleep(0.01)


async def test_a_pool_that_comes_back_during_a_vain_try_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftover_copies, "PAUSES_S", (0.01,))
    host = StubHost()
    waiting = await left(host)
    host.coming = lambda: setattr(host, "on", True)
    host.storage_read.emit("h")
    await gone(host)
    await waiting.close()


async def test_a_pool_that_is_off_is_left_alone_until_a_look_shows_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftover_copies, "PAUSES_S", (0.01,))
    host = StubHost()
    waiting = await left(host)
    host.look()
    await asyncio.sleep(0.05)
    assert not waiting._tasks
    host.on = True
    host.look()
    await gone(host)
    await waiting.close()
