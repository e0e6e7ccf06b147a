"""A failed background task is logged, restarted and reported, and everything stops in order (G13)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from novacron_server.runtime import background as module
from novacron_server.runtime.background import Background

pytestmark = pytest.mark.asyncio


async def until(true: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.005)


async def test_failed_task_is_logged_with_a_traceback_once_and_restarted() -> None:
    background, begun = Background(first_pause_s=0.001, max_pause_s=0.002), 0

    async def run() -> None:
        nonlocal begun
        begun += 1
        if begun < 4:
            raise ValueError("not a number")
        await asyncio.sleep(60)

    with capture_logs() as logs:
        background.add("counter", run)
        await until(lambda: begun == 4)
    failures = [line for line in logs if line["event"] == "background task failed"]
    assert [line["reason"] for line in failures] == ["ValueError: not a number"] * 3
    assert [line["exc_info"] is None for line in failures] == [False, True, True]
    (task,) = background.check().tasks
    assert (task.name, task.status, task.restarts) == ("counter", "degraded", 3)
    assert task.failed_at is not None
    assert background.check().status == "degraded"
    await background.stop()


async def test_task_that_returns_counts_as_failed() -> None:
    background, begun = Background(first_pause_s=0.001, max_pause_s=0.002), 0

    async def run() -> None:
        nonlocal begun
        begun += 1

    background.add("short", run)
    await until(lambda: begun > 2)
    assert background.check().tasks[0].restarts >= 1
    await background.stop()


async def test_task_waiting_for_its_restart_is_reported_as_restarting(monkeypatch: pytest.MonkeyPatch) -> None:
    background, failed = Background(first_pause_s=30, max_pause_s=30), asyncio.Event()

    async def run() -> None:
        failed.set()
        raise OSError("no space left on device")

    background.add("writer", run)
    await failed.wait()
    await asyncio.sleep(0)
    assert background.check().tasks[0].status == "restarting"
    await background.stop()


async def test_task_is_healthy_again_some_time_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEALTHY_AFTER_S", 0.05)
    background, begun = Background(first_pause_s=0.001, max_pause_s=0.001), 0

    async def run() -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            raise ValueError
        await asyncio.sleep(60)

    background.add("once", run)
    await until(lambda: begun == 2)
    await asyncio.sleep(0.1)
    assert background.check().status == "healthy"
    assert background.check().tasks[0].restarts == 1
    await background.stop()


async def test_everything_stops_in_reverse_order_despite_errors() -> None:
    background, stopped = Background(), []

    def task(name: str) -> Any:
        async def run() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                stopped.append(name)

        return run

    async def close() -> None:
        stopped.append("close")
        raise RuntimeError("it was closed already")

    background.add("first", task("first"))
    background.on_stop(close)
    background.add("last", task("last"))
    await asyncio.sleep(0.01)
    with capture_logs() as logs:
        await background.stop()
    assert stopped == ["last", "close", "first"]
    assert [line["event"] for line in logs] == ["stopping failed"]
