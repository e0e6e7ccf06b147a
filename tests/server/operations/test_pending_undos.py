"""An undo that fails is repeated until it succeeds, and nothing else touches its targets meanwhile."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from novacron_core import errors
from novacron_core.api import operations, vms
from novacron_core.api.operations import OperationState
from novacron_server.operations import recovery
from tests.support.requests import create_vm, three_pools, vm_request
from tests.support.server import LiveServer


class Failing:
    """Replaces a coroutine function: raises `error` until it is None."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, target: object, name: str, error: Exception) -> None:
        self.error: Exception | None = error
        self._real = getattr(target, name)
        monkeypatch.setattr(target, name, self)

    async def __call__(self, *arguments: Any, **named: Any) -> Any:
        if self.error:
            raise self.error
        return await self._real(*arguments, **named)


@pytest.mark.parametrize("error", [RuntimeError("a bug"), errors.Internal("cannot unlink the file")])
async def test_creation_whose_undo_fails_is_undone_later(
    server: LiveServer, image: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    await three_pools(server)
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.create:uploaded=error")
    operations = server.parts.operations
    undo = Failing(monkeypatch, operations.procedures["vm.create"], "delete_volumes", error)
    ended = await server.ended(await server.admin.call(vms.CREATE, body=vm_request()))
    assert ended.state is OperationState.FAILED
    monkeypatch.delenv("NOVACRON_FAILPOINTS")
    for _ in range(3):
        await operations.pending_undos.once()
        await server.parts.reconciler.once()
    rows = server.parts.inventory.state.rows.values()
    assert [row.name for row in rows] == ["web-01"], "its row reserves the name until its files are gone"
    undo.error = None
    await operations.pending_undos.once()
    await server.wait_until_no_rows()
    assert not await operations.pending_undos.all()
    await create_vm(server)


async def test_target_is_busy_while_it_is_undone(
    server: LiveServer, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm = await create_vm(server)
    operations, began, go = server.parts.operations, asyncio.Event(), asyncio.Event()
    procedure = operations.procedures["vm.create"]

    async def undo(_entry: Any) -> str:
        began.set()
        await go.wait()
        return ""

    monkeypatch.setattr(procedure, "undo", undo)
    creation = next(o for o in operations._inventory.operations() if o.kind == "vm.create")
    await operations.pending_undos.mark(creation.id)
    undoing = asyncio.create_task(operations.pending_undos.once())
    await began.wait()
    with pytest.raises(errors.Conflict, match="web-01 is busy: NovaCron is removing what a failed change left"):
        await server.admin.call(vms.PAUSE, vm_id=vm.id)
    go.set()
    await undoing
    await server.ended(await server.admin.call(vms.PAUSE, vm_id=vm.id))


async def test_undo_waits_for_the_operation_that_runs_on_its_target(
    server: LiveServer, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm = await create_vm(server)
    operations = server.parts.operations
    creation = next(o for o in operations._inventory.operations() if o.kind == "vm.create")
    await operations.pending_undos.mark(creation.id)
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.pause:began=pause")
    pausing = await server.admin.call(vms.PAUSE, vm_id=vm.id)
    await operations.pending_undos.once()
    assert [stored.operation.id for stored in await operations.pending_undos.all()] == [creation.id]
    assert (await server.vm("web-01")).operation_id == pausing.id


async def test_undo_does_not_wait_for_a_cancellation_elsewhere(
    server: LiveServer, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create_vm(server)
    runner, began, go, undone = server.parts.operations, asyncio.Event(), asyncio.Event(), list[str]()
    creation = next(o for o in runner._inventory.operations() if o.kind == "vm.create")
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.create:volumes=pause")
    cancelled = await server.admin.call(vms.CREATE, body=vm_request("web-02"))

    async def undo(entry: Any) -> str:
        if entry.operation.id == cancelled.id:
            began.set()
            await go.wait()
        undone.append(entry.operation.id)
        return ""

    monkeypatch.setattr(runner.procedures["vm.create"], "undo", undo)
    await runner.pending_undos.mark(creation.id)
    cancelling = asyncio.create_task(server.admin.call(operations.CANCEL, operation_id=cancelled.id))
    await began.wait()
    async with asyncio.timeout(30):
        await runner.pending_undos.once()
    assert undone == [creation.id]
    go.set()
    assert (await cancelling).state is OperationState.CANCELLED


class RefusedForGood:
    """A runner whose recovery of one operation is always refused."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.gave_up: list[str] = []

    async def unended(self) -> list[Any]:
        return [SimpleNamespace(host_id=None, operation=SimpleNamespace(id="op-1"))]

    async def recover(self, _stored: Any) -> None:
        raise self._error

    async def give_up_recovery(self, _stored: Any, why: str) -> None:
        self.gave_up.append(why)


@pytest.mark.parametrize("error", [errors.Conflict("the disk is stuck"), RuntimeError("the disk is stuck")])
async def test_recovery_that_is_refused_for_good_ends(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    sleep = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda _seconds: sleep(0))
    operations = RefusedForGood(error)
    await recovery.recover_all(operations, SimpleNamespace())  # type: ignore[arg-type]
    assert operations.gave_up == ["the disk is stuck"]
