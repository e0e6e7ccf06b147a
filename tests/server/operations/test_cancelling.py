"""Cancelling at the worst moment: what was done stays done, what is cleared away is cleared away to its end."""

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


def reached(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when a request to cancel has come to the runner."""
    came, real = asyncio.Event(), server.parts.operations.get

    async def get(*arguments: Any) -> Any:
        answer = await real(*arguments)
        asyncio.get_running_loop().call_soon(came.set)
        return answer

    monkeypatch.setattr(server.parts.operations, "get", get)
    return came


class Slow:
    """Stands before a coroutine function: holds each call until it is let go, and counts those that came through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, thing: object, name: str) -> None:
        self.began, self.go, self.through = asyncio.Event(), asyncio.Event(), 0
        self._real = getattr(thing, name)
        monkeypatch.setattr(thing, name, self)

    async def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.began.set()
        await self.go.wait()
        answer = await self._real(*arguments, **named)
        self.through += 1
        return answer


async def expect_refusal(server: LiveServer, monkeypatch: pytest.MonkeyPatch, operation: Operation, held: Slow) -> None:
    """Cancelling while `held` is under way is refused."""
    await held.began.wait()
    came = reached(server, monkeypatch)
    asking = asyncio.create_task(cancel(server, operation))
    await came.wait()
    held.go.set()
    with pytest.raises(errors.Conflict):
        await asking


async def test_who_cancels_twice_does_not_cancel_the_clearing_away(
    server: LiveServer, pools: dict[str, Pool], image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.create:volumes=pause")
    clearing = Slow(monkeypatch, server.parts.operations.procedures["vm.create"], "delete_volumes")
    operation = await server.admin.call(vms.CREATE, body=vm_request())

    async def has_made() -> bool | None:
        host = next(iter(server.parts.inventory._syncs.values())).host
        return True if [v for v in await host.storage.read_volumes() if v.name.startswith("web-01")] else None

    await until(has_made)
    first = asyncio.create_task(cancel(server, operation))
    await clearing.began.wait()
    came = reached(server, monkeypatch)
    second = asyncio.create_task(cancel(server, operation))
    await came.wait()
    clearing.go.set()
    answers = await asyncio.gather(first, second)
    assert {answer.state for answer in answers} == {OperationState.CANCELLED}
    assert clearing.through == 1
    assert (await server.ended(operation)).state is OperationState.CANCELLED
    await server.no_rows()
    assert await has_made() is None


async def test_a_failure_that_is_being_cleared_away_cannot_be_cancelled(
    server: LiveServer, pools: dict[str, Pool], image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.create:uploaded=error")
    clearing = Slow(monkeypatch, server.parts.operations.procedures["vm.create"], "delete_volumes")
    operation = await server.admin.call(vms.CREATE, body=vm_request())
    await expect_refusal(server, monkeypatch, operation, clearing)
    assert clearing.through == 1
    ended = await server.ended(operation)
    assert ended.state is OperationState.FAILED
    await server.no_rows()


async def test_what_is_done_cannot_be_cancelled_while_its_end_is_written(
    server: LiveServer, pools: dict[str, Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    await succeeded(server, await server.admin.call(volumes.CREATE, body=VolumeCreate(name="data", size_bytes=MIB)))
    page = await server.admin.call(volumes.LIST)
    volume = next(v for v in page.items if v.name == "data")
    ending = Slow(monkeypatch, server.parts.operations, "_save_end")
    operation = await server.admin.call(volumes.CLONE, body=VolumeClone(name="copy"), volume_id=volume.id)
    await expect_refusal(server, monkeypatch, operation, ending)
    assert (await server.ended(operation)).state is OperationState.SUCCEEDED
    names = {v.name for v in (await server.admin.call(volumes.LIST)).items}
    assert names == {"data", "copy"}


async def test_a_vm_that_is_whole_cannot_be_cancelled_any_more(
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
