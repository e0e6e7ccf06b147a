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
_MAX_RETRY_S = 30.0
T = TypeVar("T")


async def retry_while_database_down(what: str, work: Callable[[], Awaitable[T]]) -> T:
    """Retry `work` while the database is down. `what` is for the log. Raises every other error of `work`."""
    while True:
        try:
            return await work()
        except errors.DatabaseUnavailable as e:
            _log.warning("waiting for the database", what=what, reason=e.detail)
        await asyncio.sleep(_DATABASE_RETRY_S)


async def retry_until_done(what: str, work: Callable[[], Awaitable[T]]) -> T:
    """Retry `work`, which must be done, whatever it raises. Every new error is logged. `what` is for the log."""
    pause_s, logged = _DATABASE_RETRY_S, ""
    while True:
        try:
            return await work()
        except Exception as e:  # noqa: BLE001 - an operation without an end would hold its locks for good
            if (reason := str(e)) != logged:
                logged = reason
                known = isinstance(e, errors.NovaCronError)
                _log.error("not done yet", what=what, reason=reason, exc_info=None if known else e)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _MAX_RETRY_S)


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
