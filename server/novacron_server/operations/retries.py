"""Work that must be done, however long the database or a host is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog

from novacron_core import errors
from novacron_server.operations.context import OperationContext

_log = structlog.get_logger()
_ASK_EVERY_S = 1.0
_ASK_HOST_EVERY_S = 2.0
T = TypeVar("T")


async def retry_while_database_down(what: str, work: Callable[[], Awaitable[T]]) -> T:
    """Do `work`, again and again while the database is away. Raises everything else that it raises."""
    while True:
        try:
            return await work()
        except errors.DatabaseUnavailable as e:
            _log.warning("waiting for the database", what=what, reason=e.detail)
        await asyncio.sleep(_ASK_EVERY_S)


async def retry_while_host_down(context: OperationContext[Any], work: Callable[[], Awaitable[T]]) -> T:
    """Do the clearing away of an operation that failed, when its host is there. Meanwhile the operation holds what it
    had begun to change. Raises everything else that it raises."""
    while True:
        try:
            return await work()
        except errors.HostUnavailable as e:
            _log.warning("clearing away waits for the host", operation=context.id, reason=e.detail)
            await context.report_step("failed: cleanup waits until the host is back")
        await asyncio.sleep(_ASK_HOST_EVERY_S)
