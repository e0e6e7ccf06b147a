"""What a crash left, and a host or VM that does not let it be settled for a while."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from structlog.testing import capture_logs

from novacron_core import errors
from novacron_server.operations import settling


class Refusing:
    """Operations of which one is refused a few times, with the reasons given, before it is settled."""

    def __init__(self, *reasons: str) -> None:
        self.reasons = list(reasons)
        self.settled: list[Any] = []

    async def unended(self) -> list[Any]:
        return [SimpleNamespace(host_id=None, operation=SimpleNamespace(id="op-1"))]

    async def settle(self, stored: Any) -> None:
        if self.reasons:
            raise errors.Conflict(self.reasons.pop(0))
        self.settled.append(stored)


async def test_it_is_tried_until_it_goes_and_each_reason_is_said_once(monkeypatch) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def quick(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(settling.asyncio, "sleep", quick)
    operations = Refusing(*["busy"] * 6, "locked", "locked")
    with capture_logs() as logs:
        await settling.settle_all(operations, SimpleNamespace())  # type: ignore[arg-type]
    assert len(operations.settled) == 1
    assert [line["reason"] for line in logs] == ["busy", "locked"]
    assert pauses == sorted(pauses)
    assert pauses[-1] == pauses[-2] <= 5.0
