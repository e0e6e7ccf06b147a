"""The SQL of scheduled jobs."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_server.database.rows import as_struct
from novacron_server.database.tables import jobs as t


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `jobs`. `missed` counts due times that passed without a run; `owner` runs it now, until `lease_until`."""

    name: str
    due_at: datetime
    runs: int
    missed: int
    failures: int
    owner: str | None
    lease_until: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    last_error: str


async def add_missing(connection: AsyncConnection, name: str, due_at: datetime) -> None:
    """Insert a row for a job that has none, due at `due_at`."""
    await connection.execute(insert(t).values(name=name, due_at=due_at).on_conflict_do_nothing())


async def all_rows(connection: AsyncConnection) -> list[JobRow]:
    """Every job, in order of due time."""
    return [as_struct(row, JobRow) for row in await connection.execute(select(t).order_by(t.c.due_at, t.c.name))]


async def claim(
    connection: AsyncConnection, name: str, owner: str, now: datetime, lease_until: datetime
) -> JobRow | None:
    """Lease a due job to this owner. None if the job is not due, or another owner's lease is valid."""
    free = or_(t.c.owner.is_(None), t.c.lease_until < now)
    values = {"owner": owner, "lease_until": lease_until, "started_at": now}
    where = (t.c.name == name, t.c.due_at <= now, free)
    row = (await connection.execute(update(t).where(*where).values(values).returning(t))).first()
    return as_struct(row, JobRow) if row else None


async def extend(connection: AsyncConnection, name: str, owner: str, lease_until: datetime) -> bool:
    """Renew the lease of a running job. False if another owner has it by now."""
    where = (t.c.name == name, t.c.owner == owner)
    result = await connection.execute(update(t).where(*where).values(lease_until=lease_until).returning(t.c.name))
    return result.first() is not None


async def finish(
    connection: AsyncConnection, name: str, owner: str, *, due_at: datetime, now: datetime, missed: int, error: str
) -> None:
    """Write the end of a run and the next due time. Writes nothing if the owner has lost its lease."""
    values = {
        "owner": None,
        "lease_until": None,
        "finished_at": now,
        "due_at": due_at,
        "runs": t.c.runs + 1,
        "missed": t.c.missed + missed,
        "failures": func.coalesce(t.c.failures, 0) + 1 if error else 0,
        "last_error": error,
    }
    await connection.execute(update(t).where(t.c.name == name, t.c.owner == owner).values(values))
