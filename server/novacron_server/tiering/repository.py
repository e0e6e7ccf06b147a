"""The SQL of heat."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Column, Double, Row, Select, cast, delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_server.database.heat_tables import heat_watches, tier_latencies, volume_heat, volume_heat_days

StoredRow = Row[Any]
_EPOCH = date(1970, 1, 1)

_WRITE_HEAT = text("""
INSERT INTO volume_heat
SELECT n.* FROM jsonb_populate_recordset(NULL::volume_heat, CAST(:rows AS jsonb)) AS n
JOIN volumes ON volumes.id = n.volume_id
ON CONFLICT (volume_id) DO UPDATE SET at = excluded.at, fast = excluded.fast, slow = excluded.slow,
observed_s = excluded.observed_s, accessed_at = excluded.accessed_at, reads = excluded.reads, writes = excluded.writes,
read_bytes = excluded.read_bytes, written_bytes = excluded.written_bytes, active = excluded.active,
sequential = excluded.sequential, above = excluded.above
""")
_WRITE_DAYS = text("""
INSERT INTO volume_heat_days
SELECT n.* FROM jsonb_populate_recordset(NULL::volume_heat_days, CAST(:rows AS jsonb)) AS n
JOIN volumes ON volumes.id = n.volume_id
ON CONFLICT (volume_id, day) DO UPDATE SET tier = excluded.tier, operations = excluded.operations,
weighted = excluded.weighted, bytes = excluded.bytes, took_s = excluded.took_s, observed_s = excluded.observed_s
""")
_WRITE_LATENCIES = text("""
INSERT INTO tier_latencies
SELECT n.* FROM jsonb_populate_recordset(NULL::tier_latencies, CAST(:rows AS jsonb)) AS n
ON CONFLICT (host_id, tier, hour) DO UPDATE SET counts = excluded.counts
""")
_WRITE_WATCHES = text("""
INSERT INTO heat_watches
SELECT n.* FROM jsonb_populate_recordset(NULL::heat_watches, CAST(:rows AS jsonb)) AS n
ON CONFLICT (host_id) DO UPDATE SET at = excluded.at
""")


async def write(connection: AsyncConnection, *, heat: str, days: str, latencies: str, watches: str) -> None:
    """Store rows, given as JSON lists of objects with the columns of their table. Volumes that are gone are left out."""
    for statement, rows in (
        (_WRITE_HEAT, heat),
        (_WRITE_DAYS, days),
        (_WRITE_LATENCIES, latencies),
        (_WRITE_WATCHES, watches),
    ):
        if rows != "[]":
            await connection.execute(statement, {"rows": rows})


def _seconds(column: Column[Any]) -> Any:
    """A time as seconds since 1970: a float can be infinite, and a time of Python cannot."""
    return cast(func.extract("epoch", column), Double).label(column.name)


async def all_heat(connection: AsyncConnection) -> Sequence[StoredRow]:
    """All rows of `volume_heat`, with their times in seconds since 1970."""
    t = volume_heat
    others = [column for column in t.c if column.name not in ("at", "accessed_at")]
    query: Select[Any] = select(*others, _seconds(t.c.at), _seconds(t.c.accessed_at))
    found: Sequence[StoredRow] = (await connection.execute(query)).all()
    return found


async def days_between(connection: AsyncConnection, first: int, last: int) -> Sequence[StoredRow]:
    """The rows of `volume_heat_days` from a day to another (days since 1970)."""
    days = volume_heat_days.c.day.between(date_of(first), date_of(last))
    return (await connection.execute(select(volume_heat_days).where(days))).all()


async def days_of(connection: AsyncConnection, volume_id: str, since: datetime) -> Sequence[StoredRow]:
    """The days of a volume, oldest first."""
    days = volume_heat_days.c.day.between(since.astimezone(UTC).date(), date.max.replace(year=2200))
    own = (volume_heat_days.c.volume_id == volume_id, days)
    return (await connection.execute(select(volume_heat_days).where(*own).order_by(volume_heat_days.c.day))).all()


async def latencies_since(connection: AsyncConnection, since: datetime) -> list[tuple[str, str, int, list[int]]]:
    """(host id, tier, hour in seconds since 1970, counts)."""
    until = since + timedelta(days=3)
    found = await connection.execute(select(tier_latencies).where(tier_latencies.c.hour.between(since, until)))
    return [(str(row.host_id), row.tier, int(row.hour.timestamp()), list(row.counts)) for row in found]


async def watches(connection: AsyncConnection) -> Mapping[str, float]:
    """Host id → until when its disks were read."""
    found = await connection.execute(select(heat_watches.c.host_id, _seconds(heat_watches.c.at)))
    return {str(row.host_id): row.at for row in found if math.isfinite(row.at)}


async def drop_expired(connection: AsyncConnection, now: datetime, kept: timedelta) -> int:
    """Delete the days of volumes that are older than `kept`, and latencies that no day needs. Returns how many days."""
    await connection.execute(delete(tier_latencies).where(tier_latencies.c.hour < now - timedelta(days=2)))
    gone = delete(volume_heat_days).where(volume_heat_days.c.day < (now - kept).astimezone(UTC).date())
    return (await connection.execute(gone)).rowcount


def date_of(day: int) -> date:
    """The date of a day given as days since 1970."""
    return _EPOCH + timedelta(days=day)


def day_of(value: date) -> int:
    """Days since 1970."""
    return (value - _EPOCH).days
