"""Retention: events are kept for 30 days, ended operations for 90 (G8 promises at least 30), the audit log for a year,
the hours of volumes for 90 days, decisions about their moves for 400."""

from __future__ import annotations

from datetime import datetime, timedelta

from novacron_server.audit.service import Audit
from novacron_server.database.transactions import Connection, Database
from novacron_server.operations.repository import delete_ended_before
from novacron_server.outbox.repository import prune
from novacron_server.runtime.scheduler.scheduler import Job
from novacron_server.tiering import repository as tiering_repository
from novacron_server.tiering.automatic_moves import repository as decisions

EVENTS_KEPT = timedelta(days=30)
OPERATIONS_KEPT = timedelta(days=90)
DECISIONS_KEPT = timedelta(days=400)
EVERY = timedelta(hours=6)


async def delete_expired(database: Database, now: datetime) -> tuple[int, int]:
    """Delete expired rows once. Returns the numbers of deleted events and operations."""

    async def work(connection: Connection) -> tuple[int, int]:
        events = await prune(connection, now - EVENTS_KEPT)
        return events, await delete_ended_before(connection, now - OPERATIONS_KEPT)

    return await database.run(work)


def retention_job(database: Database) -> Job:
    """A job that deletes expired rows every six hours."""

    async def run(now: datetime) -> None:
        await delete_expired(database, now)

    return Job("server.retention", EVERY, run)


def heat_retention_job(database: Database, kept: timedelta) -> Job:
    """A job that deletes the hours of volumes that are older than `kept`, and old decisions, every six hours."""

    async def run(now: datetime) -> None:
        await database.run(lambda connection: tiering_repository.drop_expired(connection, now, kept))
        await database.run(lambda connection: decisions.drop_before(connection, now - DECISIONS_KEPT))

    return Job("heat.retention", EVERY, run)


def audit_verification_job(audit: Audit) -> Job:
    """A job that verifies the audit log once a day: nobody may ask for months."""

    async def run(now: datetime) -> None:
        await audit.verify_all()

    return Job("audit.verification", timedelta(days=1), run)


def audit_retention_job(audit: Audit, kept: timedelta) -> Job:
    """A job that prunes the audit log every six hours."""

    async def run(now: datetime) -> None:
        await audit.prune(now - kept)

    return Job("audit.retention", EVERY, run)
