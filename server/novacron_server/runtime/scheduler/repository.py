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
    """A row for a job that has none, due then."""
    await connection.execute(insert(t).values(name=name, due_at=due_at).on_conflict_do_nothing())


async def all_rows(connection: AsyncConnection) -> list[JobRow]:
    """Every job, the next one first."""
    return [as_struct(row, JobRow) for row in await connection.execute(select(t).order_by(t.c.due_at, t.c.name))]


async def claim(
    connection: AsyncConnection, name: str, owner: str, now: datetime, lease_until: datetime
) -> JobRow | None:
    """Take a job that is due, for this owner alone; None when it is not due, or another owner runs it."""
    free = or_(t.c.owner.is_(None), t.c.lease_until < now)
    values = {"owner": owner, "lease_until": lease_until, "started_at": now}
    where = (t.c.name == name, t.c.due_at <= now, free)
    row = (await connection.execute(update(t).where(*where).values(values).returning(t))).first()
    return as_struct(row, JobRow) if row else None


async def extend(connection: AsyncConnection, name: str, owner: str, lease_until: datetime) -> bool:
    """Keep a job that still runs. False when another owner has it by now."""
    where = (t.c.name == name, t.c.owner == owner)
    result = await connection.execute(update(t).where(*where).values(lease_until=lease_until).returning(t.c.name))
    return result.first() is not None


async def finish(
    connection: AsyncConnection, name: str, owner: str, *, due_at: datetime, now: datetime, missed: int, error: str
) -> None:
    """Write the end of a run and when the job is due again. An owner that lost its lease writes nothing."""
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
