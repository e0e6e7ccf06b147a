"""The SQL of metrics over time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, literal, select, text, union_all
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_server.database.tables import METRICS, METRICS_WITH_LEAST, sample_minutes, samples
from novacron_server.metrics import packing

_COPY = f"COPY samples (time, subject, {', '.join(METRICS)}) FROM STDIN (FORMAT BINARY)"


async def make_partitions(connection: AsyncConnection, earliest: datetime, latest: datetime) -> int:
    """Those that are missing for this span, at most ten days. Returns how many were made."""
    return int((await connection.execute(select(func.make_sample_partitions(earliest, latest)))).scalar_one())


async def drop_partitions(connection: AsyncConnection, samples_before: datetime, minutes_before: datetime) -> int:
    """Those that ended before. Returns how many went."""
    dropped = select(func.drop_sample_partitions(samples_before, minutes_before))
    return int((await connection.execute(dropped)).scalar_one())


async def copy(connection: AsyncConnection, packed: Iterable[bytes]) -> None:
    """Rows that `packing.row` made. Their partitions must be there."""
    # Samples are worth less than a wait for the disk: the last half second may be lost in a power cut.
    await connection.execute(text("SET LOCAL synchronous_commit = off"))
    driver: Any = (await connection.get_raw_connection()).driver_connection
    async with driver.cursor() as cursor, cursor.copy(_COPY) as sink:
        await sink.write(b"".join((packing.HEADER, *packed, packing.TRAILER)))


async def first_sample(connection: AsyncConnection, subject: UUID) -> datetime | None:
    """When the oldest sample that is still kept of a subject was taken."""
    first = select(func.min(samples.c.time)).where(_of(samples, subject))
    return _time((await connection.execute(first)).scalar_one())


async def last_minute(connection: AsyncConnection, subject: UUID) -> datetime | None:
    """The last minute that is rolled up."""
    last = select(func.max(sample_minutes.c.time)).where(_of(sample_minutes, subject))
    return _time((await connection.execute(last)).scalar_one())


async def roll_up(connection: AsyncConnection, begin: datetime, end: datetime) -> None:
    """Every whole minute between two minutes, for all subjects. Doing it twice does no harm."""
    minute = func.date_trunc("minute", samples.c.time)
    columns = [samples.c[name] for name in METRICS]
    rolled = (
        select(
            minute,
            samples.c.subject,
            *(func.avg(column) for column in columns),
            *(func.max(column) for column in columns),
            *(func.min(samples.c[name]) for name in METRICS_WITH_LEAST),
        )
        .where(samples.c.time >= begin, samples.c.time < end)
        .group_by(minute, samples.c.subject)
    )
    into = insert(sample_minutes).from_select([column.name for column in sample_minutes.columns], rolled)
    await connection.execute(into.on_conflict_do_nothing())


async def slots(
    connection: AsyncConnection,
    subject: UUID,
    metrics: Sequence[str],
    start: datetime,
    end: datetime,
    step_s: float,
    rolled_to: datetime | None,
) -> list[tuple[Any, ...]]:
    """One row for each step that has samples: its number, its first and last time, then average, most and least of
    each metric. With `rolled_to`, minutes before it and samples from it on; without, samples alone.
    """
    parts = [_raw(subject, metrics, start if rolled_to is None else max(start, rolled_to), end)]
    if rolled_to is not None and rolled_to > start:
        parts.append(_minutes(subject, metrics, start, min(end, rolled_to)))
    rows = union_all(*parts).subquery()
    slot = func.floor(func.extract("epoch", rows.c.time - start) / step_s)
    numbers: list[ColumnElement[Any]] = []
    for name in metrics:
        numbers += (func.avg(rows.c[name]), func.max(rows.c[f"{name}_most"]), func.min(rows.c[f"{name}_least"]))
    found = await connection.execute(
        select(slot, func.min(rows.c.time), func.max(rows.c.time), *numbers).group_by(slot).order_by(slot)
    )
    return [tuple(row) for row in found]


def _raw(subject: UUID, metrics: Sequence[str], begin: datetime, end: datetime) -> Select[Any]:
    t = samples.c
    numbers = [
        column
        for name in metrics
        for column in (t[name], t[name].label(f"{name}_most"), t[name].label(f"{name}_least"))
    ]
    return select(t.time, *numbers).where(_of(samples, subject), t.time >= begin, t.time < end)


def _minutes(subject: UUID, metrics: Sequence[str], begin: datetime, end: datetime) -> Select[Any]:
    t = sample_minutes.c
    numbers: list[ColumnElement[Any]] = []
    for name in metrics:
        least = t[f"{name}_least"] if name in METRICS_WITH_LEAST else literal(None).label(f"{name}_least")
        numbers += (t[name], t[f"{name}_most"], least)
    return select(t.time, *numbers).where(_of(sample_minutes, subject), t.time >= begin, t.time < end)


def _time(value: Any) -> datetime | None:
    return value if isinstance(value, datetime) else None


def _of(table: Any, subject: UUID) -> ColumnElement[bool]:
    found: ColumnElement[bool] = table.c.subject == str(subject)
    return found
