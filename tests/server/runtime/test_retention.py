"""Retention deletes old rows and keeps newer ones (G8)."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from novacron_core.api import operations, vms
from novacron_server.database import guarded_clock
from novacron_server.database.guarded_clock import GuardedClock
from novacron_server.database.transactions import Database
from novacron_server.runtime import retention
from novacron_server.runtime.retention import EVENTS_KEPT, OPERATIONS_KEPT, delete_expired
from novacron_server.runtime.scheduler.scheduler import Scheduler
from tests.support.server import LiveServer
from tests.support.waiting import until


async def test_expired_rows_are_deleted_and_operations_kept_for_thirty_days(server: LiveServer) -> None:
    vm = await server.vm("test")
    operation = await server.ended(await server.admin.call(vms.PAUSE, vm_id=vm.id))
    now = datetime.now(UTC)
    assert timedelta(days=30) <= OPERATIONS_KEPT
    assert await delete_expired(server.parts.database, now) == (0, 0)
    assert (await server.admin.call(operations.GET, operation_id=operation.id)).state == "succeeded"
    _, ended = await delete_expired(server.parts.database, now + OPERATIONS_KEPT + timedelta(days=1))
    assert ended == 1
    assert (await server.admin.call(operations.LIST)).total == 0
    assert timedelta(days=30) <= EVENTS_KEPT


async def test_clock_set_ahead_deletes_nothing(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    vm = await server.vm("test")
    await server.ended(await server.admin.call(vms.PAUSE, vm_id=vm.id))
    ahead, rounds = [timedelta(0)], []

    class ShiftedClock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + ahead[0]

    monkeypatch.setattr(guarded_clock, "datetime", ShiftedClock)
    real = retention.delete_expired

    async def delete_counting(database: Database, now: datetime) -> tuple[int, int]:
        rounds.append(await real(database, now))
        ahead[0] = timedelta(days=400)
        return rounds[-1]

    monkeypatch.setattr(retention, "delete_expired", delete_counting)
    job = dataclasses.replace(
        retention.retention_job(server.parts.database), name="test", every=timedelta(seconds=0.01)
    )
    scheduler = Scheduler(server.parts.database, [job], GuardedClock().now)
    running = asyncio.create_task(scheduler.run())

    async def three() -> bool | None:
        return True if len(rounds) > 2 else None

    await until(three)
    running.cancel()
    assert rounds[:3] == [(0, 0)] * 3


async def test_server_schedules_retention(server: LiveServer) -> None:
    async def ran() -> bool | None:
        rows = {row.name: row for row in await server.parts.scheduler.rows()}
        return True if rows.get("server.retention") and rows["server.retention"].runs else None

    await until(ran)
