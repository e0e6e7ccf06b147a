"""Retries work that must be done, however long the database or a host is down."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog

from novacron_core import errors
from novacron_server.operations.context import OperationContext

_log = structlog.get_logger()
_DATABASE_RETRY_S = 1.0
_HOST_RETRY_S = 2.0
T = TypeVar("T")


async def retry_while_database_down(what: str, work: Callable[[], Awaitable[T]]) -> T:
    """Retry `work` while the database is down. `what` is for the log. Raises every other error of `work`."""
    while True:
        try:
            return await work()
        except errors.DatabaseUnavailable as e:
            _log.warning("waiting for the database", what=what, reason=e.detail)
        await asyncio.sleep(_DATABASE_RETRY_S)


async def retry_while_host_down(context: OperationContext[Any], work: Callable[[], Awaitable[T]]) -> T:
    """Retry `work`, the undo of a failed operation, while its host is down. Meanwhile the operation keeps its locks.
    Raises every other error of `work`."""
    while True:
        try:
            return await work()
        except errors.HostUnavailable as e:
            _log.warning("undo waits for the host", operation=context.id, reason=e.detail)
            await context.report_step("failed: cleanup waits until the host is back")
        await asyncio.sleep(_HOST_RETRY_S)
