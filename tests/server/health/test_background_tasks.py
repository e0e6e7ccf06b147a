"""The background tasks of a server in `/health`."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from novacron_server.runtime.background import _Task
from tests.support.event_stream import open_stream
from tests.support.requests import create_vm, three_pools
from tests.support.server import LiveServer
from tests.support.waiting import until


def signed_in(server: LiveServer) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.admin.credentials.token}"}


async def health_of(server: LiveServer) -> dict[str, Any]:
    async with httpx.AsyncClient(headers=signed_in(server)) as client:
        health: dict[str, Any] = (await client.get(f"{server.admin.base_url}/health")).json()
        return health


async def test_server_reports_its_background_tasks(server: LiveServer) -> None:
    health = await health_of(server)
    background = health["checks"]["background"]
    names = {task["name"] for task in background["tasks"]}
    assert {"outbox reader", "event publisher", "reconciler", "scheduler", "metrics history"} <= names
    assert {task["status"] for task in background["tasks"]} == {"healthy"}
    assert background["status"] == "healthy"


async def break_once(task: _Task) -> None:
    """Make a running task fail now, as by an error that nobody foresaw; when it is restarted it works again."""
    real, failed = task.run, [False]

    async def fail_first() -> object:
        if not failed[0]:
            failed[0] = True
            raise AttributeError(f"planted in {task.name}")
        return await real()

    task.run, task.pauses_s = fail_first, (0.01, 0.01)
    assert task.task is not None
    task.task.cancel()
    await asyncio.wait({task.task})
    task.task = asyncio.create_task(task.supervise())


async def test_every_background_task_that_fails_is_restarted_and_reported(server: LiveServer, image: str) -> None:
    background = server.parts.background
    await three_pools(server)
    async with open_stream(server) as stream:
        for task in background._tasks:
            await break_once(task)

        async def restarted() -> bool | None:
            return True if all(task.restarts == 1 and task.running for task in background._tasks) else None

        await until(restarted)
        names = [task.name for task in background._tasks]
        assert len(names) > 8

        await stream.until(lambda frame: set(frame.get("degraded", ())) == set(names))
        health = await health_of(server)
        assert health["status"] == "degraded"
        checks = {
            check["name"]: (check["status"], check["restarts"]) for check in health["checks"]["background"]["tasks"]
        }
        assert checks == dict.fromkeys(names, ("degraded", 1))
        async with httpx.AsyncClient(headers=signed_in(server)) as client:
            ready = await client.get(f"{server.admin.base_url}/readyz")
        assert (ready.status_code, set(ready.json()["degraded"])) == (200, set(names))
        vm = await create_vm(server)  # everything works again: operations, events, inventory
        await stream.until(lambda frame: frame.get("target", {}).get("id") == vm.id)
