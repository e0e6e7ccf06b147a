"""The background tasks of a server in `/health`."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.support.server import LiveServer
from tests.support.waiting import until


async def health_of(server: LiveServer) -> dict[str, Any]:
    async with httpx.AsyncClient() as client:
        health: dict[str, Any] = (await client.get(f"{server.admin.base_url}/health")).json()
        return health


async def test_server_reports_its_background_tasks(server: LiveServer) -> None:
    health = await health_of(server)
    background = health["checks"]["background"]
    names = {task["name"] for task in background["tasks"]}
    assert {"outbox reader", "event publisher", "reconciler", "scheduler", "metrics history"} <= names
    assert {task["status"] for task in background["tasks"]} == {"healthy"}
    assert background["status"] == "healthy"


async def test_failed_background_task_is_restarted_and_reported(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    broke = asyncio.Event()
    task = next(task for task in server.parts.background._tasks if task.name == "reconciler")
    task.pauses_s = (0.01, 0.01)

    async def break_once() -> None:
        if not broke.is_set():
            broke.set()
            raise AttributeError("planted")
        await asyncio.sleep(60)

    task.run = break_once

    async def restarted() -> bool | None:
        return True if task.restarts == 1 and task.running else None

    assert task.task is not None
    task.task.cancel()
    task.task = asyncio.create_task(task.supervise())
    await broke.wait()
    await until(restarted)
    health = await health_of(server)
    task = next(t for t in health["checks"]["background"]["tasks"] if t["name"] == "reconciler")
    assert (task["status"], task["restarts"]) == ("degraded", 1)
    assert health["status"] == "healthy", "the task was restarted, so the server works"
