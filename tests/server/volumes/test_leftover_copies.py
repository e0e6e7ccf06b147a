"""A leftover copy is removed when its pool is back, even if that happens during an attempt to remove it."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from novacron_core import errors
from novacron_core.api.operations import Operation, OperationState, Target
from novacron_server.hypervisor.host_storage import HostStorage
from novacron_server.hypervisor.specs import VolumeSpec
from novacron_server.inventory.operation_files import OperationFiles
from novacron_server.inventory.signal import Signal
from novacron_server.operations.journal import Journal
from novacron_server.volumes import leftover_copies
from novacron_server.volumes.copy import CopyRecord, CopySteps, create_recorded, discard
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


async def test_leftover_that_cannot_be_looked_at_keeps_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(leftover_copies, "PAUSES_S", (0.01,))
    host, refused = StubHost(), set[str]()

    async def discard(_: Any, copy: CopyRecord) -> None:
        if copy.name in ("stale", "odd"):
            refused.add(copy.name)
            raise errors.Conflict("cannot examine stale: Stale file handle") if copy.name == "stale" else OSError("odd")
        host.files.discard(copy.name)

    leftovers = LeftoverCopies(host, host)  # type: ignore[arg-type]
    for name in ("stale", "odd", "off"):
        operation = msgspec.structs.replace(MOVE.operation, id=name)
        copy = CopySteps(copy=msgspec.structs.replace(COPY, name=name))
        leftovers._add(replace(MOVE, operation=operation, steps=copy))
    monkeypatch.setattr(leftover_copies, "discard", discard)
    host.active = True
    host.read_storage()
    await wait_until_removed(host)
    task = leftovers._tasks["h"]
    await asyncio.sleep(0.1)
    assert not task.done(), "it goes on trying"
    assert refused == {"stale", "odd"}
    assert capsys.readouterr().out.count("Traceback") == 1
    await leftovers.close()


@pytest.mark.parametrize("readable", [True, False])
async def test_file_may_be_there_when_its_pool_went_away_during_its_creation(readable: bool) -> None:
    """libvirt has made the file, and then refuses to tell of it."""
    written: list[dict[str, Any]] = []

    async def refuse(*_: Any, **__: Any) -> Any:
        raise errors.Conflict("storage pool 'small' is not active")

    async def read(*_: Any) -> Any:
        return None if readable else await refuse()

    async def write_ahead(**steps: Any) -> None:
        written.append(steps)

    host: Any = SimpleNamespace(storage=SimpleNamespace(create_volume=refuse, read_volume=read))
    context: Any = SimpleNamespace(write_ahead=write_ahead)
    with pytest.raises(errors.Conflict, match="not active"):
        await create_recorded(context, host, VolumeSpec(pool="small", name="off", size_bytes=1 << 20))
    assert written == ([{"copy": None}] if readable else [])


@pytest.mark.parametrize(("number", "is_kept"), [(errno.ESTALE, True), (errno.EIO, True), (errno.ENOENT, False)])
async def test_copy_whose_file_cannot_be_looked_at_is_not_deleted(
    monkeypatch: pytest.MonkeyPatch, number: int, is_kept: bool
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    supervisor: Any = SimpleNamespace(
        uri="qemu:///system", transfers=SimpleNamespace(size=2), copies=SimpleNamespace(size=8)
    )
    host = StubHost()
    host.active = True
    host.examine = HostStorage(supervisor).examine  # type: ignore[attr-defined]
    copy = msgspec.structs.replace(COPY, inode=7)
    monkeypatch.setattr(Path, "stat", refuse)
    if is_kept:
        with pytest.raises(errors.Conflict, match=f"cannot examine off: {os.strerror(number)}"):
            await discard(host, copy)  # type: ignore[arg-type]
    else:
        await discard(host, copy)  # type: ignore[arg-type]
    assert host.files == {"off"}
