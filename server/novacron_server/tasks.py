"""Repeats work in asyncio tasks, and cancels them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import structlog

from novacron_core import errors

_log = structlog.get_logger()


async def repeat(every_s: float, what: str, work: Callable[[], Awaitable[object]]) -> None:
    """Do `work` every `every_s` seconds until cancelled; the first time after `every_s`. `what` is for the log."""
    while True:
        await asyncio.sleep(every_s)
        await try_to(what, work)


async def try_to(what: str, work: Callable[[], Awaitable[object]]) -> None:
    """Do `work` that a later pass repeats if it fails. Raises only unknown errors."""
    try:
        await work()
    except errors.NovaCronError as e:
        _log.warning("postponed until the next pass", what=what, reason=e.detail)


async def cancel_tasks(tasks: Iterable[asyncio.Future[Any] | None]) -> None:
    """Cancel all tasks and wait until they have ended, ignoring their results. None: a task that was not started."""
    started = [task for task in tasks if task is not None]
    for task in started:
        task.cancel()
    await asyncio.gather(*started, return_exceptions=True)
