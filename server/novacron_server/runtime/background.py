"""Supervises background tasks: one that fails is logged, restarted, and reported in `/health` (G13).

Every part that runs as long as the server does is added here in the order of starting, and stopped in reverse order.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog
from msgspec.structs import replace

from novacron_core.api.health import BackgroundCheck, TaskCheck
from novacron_server.inventory.signal import Signal
from novacron_server.tasks import cancel_tasks

_log = structlog.get_logger()
FIRST_PAUSE_S, MAX_PAUSE_S = 0.5, 60.0
HEALTHY_AFTER_S = 60.0
"""A task that has run this long since its last failure counts as healthy again."""
Run = Callable[[], Awaitable[object]]
"""A coroutine function that runs until cancelled. Returning or raising an exception is a failure."""


@dataclass(slots=True)
class _Task:
    name: str
    run: Run
    pauses_s: tuple[float, float]
    failed: Signal[None]
    task: asyncio.Task[None] | None = None
    restarts: int = 0
    running: bool = False
    failed_at: datetime | None = None
    failed_time: float = float("-inf")
    """By time.monotonic: the clock may be set while the server runs."""
    logged: set[str] = field(default_factory=set)

    async def supervise(self) -> None:
        pause_s, max_pause_s = self.pauses_s
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            self.running = True
            try:
                await self.run()
                self._failed(RuntimeError("it ended by itself"))
            except Exception as e:  # noqa: BLE001 - a task is restarted after any exception
                self._failed(e)
            finally:
                self.running = False
            if loop.time() - began > HEALTHY_AFTER_S:
                pause_s = self.pauses_s[0]
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret
            pause_s = min(2 * pause_s, max_pause_s)
            self.restarts += 1

    def _failed(self, error: Exception) -> None:
        """Log the failure: with a traceback the first time this error occurs, afterwards in one line."""
        self.failed_at, self.failed_time = datetime.now(UTC), time.monotonic()
        kind = f"{type(error).__name__}: {error}"
        known = kind in self.logged
        if len(self.logged) < 100:
            self.logged.add(kind)
        _log.error("background task failed", task=self.name, reason=kind, exc_info=None if known else error)
        self.failed.emit(None)

    def check(self) -> TaskCheck:
        recent = time.monotonic() - self.failed_time < HEALTHY_AFTER_S
        status = "healthy" if self.running and not recent else "degraded" if self.running else "restarting"
        return TaskCheck(name=self.name, status=status, restarts=self.restarts, failed_at=self.failed_at)


class Background:
    """Takes tasks (`add`) and cleanup callbacks (`on_stop`) in starting order; `stop` handles them in reverse."""

    def __init__(self, *, first_pause_s: float = FIRST_PAUSE_S, max_pause_s: float = MAX_PAUSE_S) -> None:
        self._pauses_s = first_pause_s, max_pause_s
        self.failed: Signal[None] = Signal()
        """Emitted whenever a task has failed."""
        self._tasks: list[_Task] = []
        self._stops: list[_Task | Run] = []

    def add(self, name: str, run: Run) -> None:
        """Start a task that runs until the server stops."""
        task = _Task(name, run, self._pauses_s, self.failed)
        self._tasks.append(task)
        self._stops.append(task)
        task.task = asyncio.create_task(task.supervise(), name=name)

    def on_stop(self, close: Run) -> None:
        """Register a callback for when the server stops."""
        self._stops.append(close)

    async def stop(self) -> None:
        """Stop everything, the newest first. An error is logged and does not keep the others from stopping."""
        while self._stops:
            stopping = self._stops.pop()
            if isinstance(stopping, _Task):
                await cancel_tasks([stopping.task])
                continue
            try:
                await stopping()
            except Exception as e:  # noqa: BLE001 - the others must be stopped too
                _log.error("stopping failed", exc_info=e)

    def check(self) -> BackgroundCheck:
        """The status of the tasks, for `/health`."""
        check = BackgroundCheck(tasks=[task.check() for task in self._tasks])
        return replace(check, status="degraded") if check.failing else check
