"""Deletes old rows: events after 30 days, ended operations after 90 (the promise is at least 30)."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import structlog

from novacron_core import errors
from novacron_server.database.guarded_clock import GuardedClock
from novacron_server.database.transactions import Connection, Database
from novacron_server.operations.repository import delete_ended_before
from novacron_server.outbox.repository import prune

EVENTS_KEPT = timedelta(days=30)
OPERATIONS_KEPT = timedelta(days=90)
_EVERY_S = 6 * 3600.0
_log = structlog.get_logger()


async def run_retention(database: Database) -> None:
    """Delete expired rows every 6 hours. Cancel to stop."""
    clock = GuardedClock()
    while True:
        try:
            await delete_expired(database, clock.now())
        except errors.NovaCronError as e:
            _log.warning("could not delete old rows; retrying later", reason=e.detail)
        await asyncio.sleep(_EVERY_S)


async def delete_expired(database: Database, now: datetime) -> tuple[int, int]:
    """Delete what has expired at `now`; returns the number of deleted events and operations."""

    async def work(connection: Connection) -> tuple[int, int]:
        events = await prune(connection, now - EVENTS_KEPT)
        return events, await delete_ended_before(connection, now - OPERATIONS_KEPT)

    return await database.run(work)
