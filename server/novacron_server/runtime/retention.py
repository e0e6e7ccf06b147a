"""Retention: events are kept for 30 days, ended operations for 90 (at least 30 are promised)."""

from __future__ import annotations

from datetime import datetime, timedelta

from novacron_server.database.transactions import Connection, Database
from novacron_server.operations.repository import delete_ended_before
from novacron_server.outbox.repository import prune
from novacron_server.runtime.scheduler.scheduler import Job

EVENTS_KEPT = timedelta(days=30)
OPERATIONS_KEPT = timedelta(days=90)
EVERY = timedelta(hours=6)


async def delete_expired(database: Database, now: datetime) -> tuple[int, int]:
    """One run; returns how many events and operations were deleted."""

    async def work(connection: Connection) -> tuple[int, int]:
        events = await prune(connection, now - EVENTS_KEPT)
        return events, await delete_ended_before(connection, now - OPERATIONS_KEPT)

    return await database.run(work)


def retention_job(database: Database) -> Job:
    """Deletes what has expired, a few times a day."""

    async def run(now: datetime) -> None:
        await delete_expired(database, now)

    return Job("server.retention", EVERY, run)
