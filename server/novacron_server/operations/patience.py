"""Work on the database that must be done, however long the database is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from novacron_core import errors

_log = structlog.get_logger()
_ASK_EVERY_S = 1.0
T = TypeVar("T")


async def patiently(what: str, work: Callable[[], Awaitable[T]]) -> T:
    """Do `work`, again and again while the database is away. Raises everything else that it raises."""
    while True:
        try:
            return await work()
        except errors.DatabaseUnavailable as e:
            _log.warning("waiting for the database", what=what, reason=e.detail)
        await asyncio.sleep(_ASK_EVERY_S)
