"""What a crash left, and a host or VM that does not let it be settled for a while."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from novacron_core import errors
from novacron_core.api import access
from novacron_core.api.operations import Operation, OperationState, Target
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Role
from novacron_server.hosts import repository as hosts
from novacron_server.operations import recovery, repository
from tests.support.server import LiveServer


class Refusing:
    """Operations of which one is refused a few times, with the reasons given, before it is settled."""

    def __init__(self, *reasons: str) -> None:
        self.reasons = list(reasons)
        self.settled: list[Any] = []

    async def unended(self) -> list[Any]:
        return [SimpleNamespace(host_id=None, operation=SimpleNamespace(id="op-1"))]

    async def recover(self, stored: Any) -> None:
        if self.reasons:
            raise errors.Conflict(self.reasons.pop(0))
        self.settled.append(stored)


async def test_it_is_tried_until_it_goes_and_each_reason_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def quick(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", quick)
    operations = Refusing(*["busy"] * 6, "locked", "locked")
    with capture_logs() as logs:
        await recovery.recover_all(operations, SimpleNamespace())  # type: ignore[arg-type]
    assert len(operations.settled) == 1
    assert [line["reason"] for line in logs] == ["busy", "locked"]
    assert pauses == sorted(pauses)
    assert pauses[-1] == pauses[-2] <= 5.0


@pytest.mark.parametrize("kind", ["vm.create", "vm.delete", "volume.create", "volume.attach", "volume.move"])
async def test_what_ran_on_a_host_that_is_no_longer_configured_is_ended(server: LiveServer, kind: str) -> None:
    now, database = datetime.now(UTC), server.parts.database
    user = (await server.admin.call(access.VALIDATE)).user
    who = Principal(user.id, user.username, Role.ADMINISTRATOR, "default", "", now)
    host = await database.run(lambda c: hosts.get_or_create(c, "qemu+ssh://gone/system"))
    left = Operation(
        id=str(uuid4()),
        kind=kind,
        target=Target(type=kind.partition(".")[0], id=str(uuid4()), name="half"),
        state=OperationState.RUNNING,
        created_at=now,
        tenant="default",
    )
    more: dict[str, Any] = {
        "host_id": host.id,
        "principal": who,
        "request": {},
        "steps": {},
        "idempotency_key": "",
        "request_hash": "",
    }
    assert await database.run(lambda c: repository.add(c, left, **more))
    async with asyncio.timeout(10):
        await recovery.recover_all(server.parts.operations, server.parts.inventory)
    ended = await server.ended(left)
    assert ended.state is OperationState.INTERRUPTED
