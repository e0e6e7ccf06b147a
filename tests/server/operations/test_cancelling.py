"""Cancels operations at the worst moments: finished work stays, and an undo is never interrupted."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from novacron_core import errors
from novacron_core.api import operations, vms, volumes
from novacron_core.api.operations import Operation, OperationState
from novacron_core.api.pools import Pool
from novacron_core.api.volumes import VolumeClone, VolumeCreate
from tests.support.requests import succeeded, three_pools, vm_request
from tests.support.server import LiveServer
from tests.support.waiting import until

MIB = 1 << 20


@pytest.fixture
async def pools(server: LiveServer) -> dict[str, Pool]:
    return await three_pools(server)


async def cancel(server: LiveServer, operation: Operation) -> Operation:
    return await server.admin.call(operations.CANCEL, operation_id=operation.id)


def watch_cancel_requests(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """An event that is set when a request to cancel has reached the runner."""
    arrived, real = asyncio.Event(), server.parts.operations.get

    async def get(*arguments: Any) -> Any:
        answer = await real(*arguments)
        asyncio.get_running_loop().call_soon(arrived.set)
        return answer

    monkeypatch.setattr(server.parts.operations, "get", get)
    return arrived


class BlockedCall:
    """Replaces a coroutine function: blocks each call until `go` is set, and counts the completed calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, target: object, name: str) -> None:
        self.began, self.go, self.completed = asyncio.Event(), asyncio.Event(), 0
        self._real = getattr(target, name)
        monkeypatch.setattr(target, name, self)

    async def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.began.set()
        await self.go.wait()
        answer = await self._real(*arguments, **named)
        self.completed += 1
        return answer


async def expect_refusal(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch, operation: Operation, blocked: BlockedCall
) -> None:
    """Expect that cancelling is refused while the call to `blocked` is in progress."""
    await blocked.began.wait()
    arrived = watch_cancel_requests(server, monkeypatch)
    asking = asyncio.create_task(cancel(server, operation))
    await arrived.wait()
    blocked.go.set()
    with pytest.raises(errors.Conflict):
        await asking


async def test_second_cancel_does_not_interrupt_the_undo(
    server: LiveServer, pools: dict[str, Pool], image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.create:volumes=pause")
    undo = BlockedCall(monkeypatch, server.parts.operations.procedures["vm.create"], "delete_volumes")
    operation = await server.admin.call(vms.CREATE, body=vm_request())

    async def has_volumes() -> bool | None:
        host = next(iter(server.parts.inventory._syncs.values())).host
        return True if [v for v in await host.storage.read_volumes() if v.name.startswith("web-01")] else None

    await until(has_volumes)
    first = asyncio.create_task(cancel(server, operation))
    await undo.began.wait()
    arrived = watch_cancel_requests(server, monkeypatch)
    second = asyncio.create_task(cancel(server, operation))
    await arrived.wait()
    undo.go.set()
    answers = await asyncio.gather(first, second)
    assert {answer.state for answer in answers} == {OperationState.CANCELLED}
    assert undo.completed == 1
    assert (await server.ended(operation)).state is OperationState.CANCELLED
    await server.wait_until_no_rows()
    assert await has_volumes() is None


async def test_failed_operation_cannot_be_cancelled_during_its_undo(
    server: LiveServer, pools: dict[str, Pool], image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.create:uploaded=error")
    undo = BlockedCall(monkeypatch, server.parts.operations.procedures["vm.create"], "delete_volumes")
    operation = await server.admin.call(vms.CREATE, body=vm_request())
    await expect_refusal(server, monkeypatch, operation, undo)
    ended = await server.ended(operation)
    assert undo.completed == 1
    assert ended.state is OperationState.FAILED
    await server.wait_until_no_rows()


async def test_finished_operation_cannot_be_cancelled_while_its_end_is_saved(
    server: LiveServer, pools: dict[str, Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    await succeeded(server, await server.admin.call(volumes.CREATE, body=VolumeCreate(name="data", size_bytes=MIB)))
    page = await server.admin.call(volumes.LIST)
    volume = next(v for v in page.items if v.name == "data")
    ending = BlockedCall(monkeypatch, server.parts.operations, "_save_end")
    operation = await server.admin.call(volumes.CLONE, body=VolumeClone(name="copy"), volume_id=volume.id)
    await expect_refusal(server, monkeypatch, operation, ending)
    assert (await server.ended(operation)).state is OperationState.SUCCEEDED
    names = {v.name for v in (await server.admin.call(volumes.LIST)).items}
    assert names == {"data", "copy"}


async def test_creation_cannot_be_cancelled_once_the_vm_is_defined(
    server: LiveServer, pools: dict[str, Pool], image: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.create:defined=pause")
    monkeypatch.setenv("NOVACRON_FAILPOINT_RELEASE", str(tmp_path / "go"))
    operation = await server.admin.call(vms.CREATE, body=vm_request())
    host = next(iter(server.parts.inventory._syncs.values())).host

    async def defined() -> bool | None:
        return True if await host.read_domain(operation.target.id) else None

    await until(defined)
    with pytest.raises(errors.Conflict, match="cannot be cancelled"):
        await cancel(server, operation)
    (tmp_path / "go").touch()
    await succeeded(server, operation)
