"""A leftover copy is removed when its pool is back, even if that happens during an attempt to remove it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from novacron_core import errors
from novacron_core.api.operations import Operation, OperationState, Target
from novacron_server.inventory.operation_files import OperationFiles
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
    """A host with one pool, and its inventory, which lags behind. `before_read` is called before each storage read."""

    def __init__(self) -> None:
        self.active = self.shown_active = False
        self.files = {"off"}
        self.refusal = ""
        self.before_read: Callable[[], None] = lambda: None
        self.storage_read: Signal[str] = Signal()
        self.storage = self.disks = self
        self.volume_rows: dict[Any, Any] = {}
        self.operation_files = OperationFiles()
        self.state = SimpleNamespace(storage=self)

    def host(self, _: str) -> StubHost:
        return self

    def pools_on(self, _: str) -> dict[str, Any]:
        return {"small": SimpleNamespace(active=self.shown_active)}

    async def users(self, *_: Any, **__: Any) -> list[str]:
        return []

    async def delete_volume(self, _: str, name: str, **__: Any) -> None:
        if not self.active:
            raise errors.Conflict("pool small is not active")
        self.files.discard(name)

    async def refresh_volumes(self, host_id: str) -> None:
        self.before_read()
        self.read_storage(host_id)

    def read_storage(self, host_id: str = "h") -> None:
        self.shown_active = self.active
        self.storage_read.emit(host_id)

    async def run(self, *_: Any, **__: Any) -> None:
        """A database that accepts every write."""


async def fail_to_remove(host: StubHost) -> LeftoverCopies:
    """Fail to remove a copy while the inventory still shows its pool as active."""
    found = LeftoverCopies(host, host)  # type: ignore[arg-type]
    assert "NovaCron retries" in await found.discard(MOVE)
    host.shown_active = True
    return found


async def test_leftover_is_not_removed_while_another_server_has_the_database() -> None:
    host = StubHost()
    leftovers = await fail_to_remove(host)
    host.active, host.refusal = True, "another server has this database"
    host.read_storage()
    assert not leftovers._tasks
    host.refusal = ""
    host.read_storage()
    await wait_until_removed(host)
    await leftovers.close()


async def wait_until_removed(host: StubHost) -> None:
    async with asyncio.timeout(5):
        while host.files:
            await asyncio.sleep(0.01)


async def test_leftover_is_removed_when_the_pool_comes_back_during_an_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftover_copies, "PAUSES_S", (0.01,))
    host = StubHost()
    leftovers = await fail_to_remove(host)
    host.before_read = lambda: setattr(host, "active", True)
    host.storage_read.emit("h")
    await wait_until_removed(host)
    await leftovers.close()


async def test_leftover_in_an_inactive_pool_waits_for_a_read_that_shows_it_active(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leftover_copies, "PAUSES_S", (0.01,))
    host = StubHost()
    leftovers = await fail_to_remove(host)
    host.read_storage()
    await asyncio.sleep(0.05)
    assert not leftovers._tasks
    host.active = True
    host.read_storage()
    await wait_until_removed(host)
    await leftovers.close()
