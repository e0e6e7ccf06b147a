"""Recovery of operations after a crash, when it is refused for a while or the host is gone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from novacron_core import errors
from novacron_core.api import access, vms
from novacron_core.api.operations import Operation, OperationState, Target
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Role
from novacron_server.hosts import repository as hosts
from novacron_server.operations import recovery, repository, retries
from tests.support.requests import create_vm, succeeded, vm_request
from tests.support.server import LiveServer


class RefusingOperations:
    """A runner whose recovery of one operation is refused with these reasons before it succeeds."""

    def __init__(self, *reasons: str) -> None:
        self.reasons = list(reasons)
        self.recovered: list[Any] = []

    async def unended(self) -> list[Any]:
        return [SimpleNamespace(host_id=None, operation=SimpleNamespace(id="op-1"))]

    async def recover(self, stored: Any) -> None:
        if self.reasons:
            raise errors.Conflict(self.reasons.pop(0))
        self.recovered.append(stored)


async def test_recovery_is_retried_and_each_reason_is_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def record_pause(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", record_pause)
    operations = RefusingOperations(*["busy"] * 6, "locked", "locked")
    with capture_logs() as logs:
        await recovery.recover_all(operations, SimpleNamespace())  # type: ignore[arg-type]
    assert len(operations.recovered) == 1
    assert [line["reason"] for line in logs] == ["busy", "locked"]
    assert pauses == sorted(pauses)
    assert pauses[-1] == pauses[-2] <= 5.0


@pytest.mark.parametrize("kind", ["vm.create", "vm.delete", "volume.create", "volume.attach", "volume.move"])
async def test_operation_on_a_host_that_is_no_longer_configured_is_ended(server: LiveServer, kind: str) -> None:
    now, database = datetime.now(UTC), server.parts.database
    user = (await server.admin.call(access.VALIDATE)).user
    principal = Principal(user.id, user.username, Role.ADMINISTRATOR, "default", "", now)
    host = await database.run(lambda c: hosts.get_or_create(c, "qemu+ssh://gone/system"))
    unended = Operation(
        id=str(uuid4()),
        kind=kind,
        target=Target(type=kind.partition(".")[0], id=str(uuid4()), name="half"),
        state=OperationState.RUNNING,
        created_at=now,
        tenant="default",
    )
    fields: dict[str, Any] = {
        "host_id": host.id,
        "principal": principal,
        "request": {},
        "steps": {},
        "idempotency_key": "",
        "request_hash": "",
    }
    assert await database.run(lambda c: repository.add(c, unended, **fields))
    async with asyncio.timeout(10):
        await recovery.recover_all(server.parts.operations, server.parts.inventory)
    ended = await server.ended(unended)
    assert ended.state is OperationState.INTERRUPTED


async def test_end_that_is_refused_is_written_later_and_is_not_a_failure_of_the_work(
    server: LiveServer, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the database answers: the guest was paused, and an operation without an end would lock its VM for good."""
    vm = await create_vm(server)
    monkeypatch.setattr(retries, "_DATABASE_RETRY_S", 0.05)
    real, refusals = repository.save, [errors.Internal("rejected (XX000)"), ValueError("odd"), errors.Internal("again")]

    async def save(connection: Any, operation: Operation) -> bool:
        if operation.state.ended and refusals:
            raise refusals.pop(0)
        return await real(connection, operation)

    monkeypatch.setattr(repository, "save", save)
    ended = await server.ended(await server.admin.call(vms.PAUSE, vm_id=vm.id))
    assert (ended.state, refusals) == (OperationState.SUCCEEDED, [])
    await succeeded(server, await server.admin.call(vms.RESUME, vm_id=vm.id))


@pytest.mark.parametrize(
    ("start", "completed", "found"),
    [(False, True, "the VM is complete and stopped"), (True, False, "the VM is complete, but stopped: start it")],
)
async def test_failed_creation_says_whether_the_vm_is_what_was_requested(
    server: LiveServer, image: str, monkeypatch: pytest.MonkeyPatch, start: bool, completed: bool, found: str
) -> None:
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.create:defined=error")
    ended = await server.ended(await server.admin.call(vms.CREATE, body=vm_request(start=start)))
    assert (ended.state, ended.completed) == (OperationState.FAILED, completed)
    assert ended.problem is not None
    assert found in ended.problem.detail
    stored = await server.parts.database.run(lambda c: repository.get(c, ended.id))
    assert stored is not None
    assert stored.operation.completed is completed
