"""Samples in the database: packing, minutes, partitions and outages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from novacron_core import errors
from novacron_server.database.transactions import Database
from novacron_server.metrics import copy_rows, repository
from novacron_server.metrics.copy_rows import FLEET
from novacron_server.metrics.history_writer import HistoryWriter
from novacron_server.metrics.write_queue import Chunk, WriteQueue
from tests.support.fair_clock import fair_now
from tests.support.metrics import NOW

S = timedelta(seconds=1)


async def fetch(url: str, query: str, *values: Any) -> list[tuple[Any, ...]]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        return await (await connection.execute(query, values)).fetchall()


async def test_packed_samples_are_read_back(history: HistoryWriter, database_url: str) -> None:
    numbers = (0.5, None, 3.0 * 2**40, 0.0, None, 6.25, 7.0, None, 9.0, 1e12)
    subject = uuid4().bytes
    time = NOW + timedelta(microseconds=123456)
    for row in (numbers, (None,) * 10):
        history.waiting.add(Chunk(time, 1, copy_rows.row(copy_rows.microseconds(time), subject, row)))
    await history.write()
    found = await fetch(database_url, "SELECT * FROM samples ORDER BY cpu_cores NULLS LAST")
    assert found[0][:2] == (time, UUID(bytes=subject))
    assert found[0][2:] == pytest.approx(numbers)
    assert found[1][2:] == (None,) * 10
    assert (history.written, history.waiting.rows, history.waiting.bytes) == (2, 0, 0)


async def test_minutes_have_average_and_extremes_and_are_rolled_up_once(
    history: HistoryWriter, add: Callable[..., None], database_url: str
) -> None:
    minute = NOW.replace(second=0) - timedelta(minutes=5)
    for second, percent in ((0, 10.0), (20, 40.0), (40, None), (60, 70.0)):
        add(FLEET, minute + second * S, percent, 100.0)
    await history.write()
    for _ in range(2):
        history.rolled_to = None
        await history.roll_up(NOW)
    rows = await fetch(
        database_url,
        "SELECT time, cpu_percent, cpu_percent_most, cpu_percent_least, memory_used_bytes, disk_reads_s FROM sample_minutes ORDER BY time",
    )
    assert rows == [(minute, 25.0, 40.0, 10.0, 100.0, None), (minute + 60 * S, 70.0, 70.0, 70.0, 100.0, None)]
    assert history.rolled_to == (NOW - 10 * S).replace(second=0)


async def test_minute_with_queued_samples_is_not_rolled_up(
    history: HistoryWriter, add: Callable[..., None], database_url: str
) -> None:
    begin = NOW.replace(second=0) - timedelta(minutes=10)
    add(FLEET, begin, 1.0)
    await history.write()
    add(FLEET, begin + timedelta(minutes=3, seconds=5), 2.0)
    await history.roll_up(NOW)
    assert history.rolled_to == begin + timedelta(minutes=3)
    await history.write()
    await history.roll_up(NOW)
    assert len(await fetch(database_url, "SELECT 1 FROM sample_minutes")) == 2


async def test_roll_up_continues_after_a_restart(
    history: HistoryWriter, add: Callable[..., None], database: Database, database_url: str
) -> None:
    begin = NOW.replace(second=0) - timedelta(minutes=30)
    for number in range(30):
        add(FLEET, begin + timedelta(minutes=number), float(number))
    await history.write()
    await history.roll_up(NOW - timedelta(minutes=20))
    before = history.rolled_to
    history.rolled_to = None
    assert await database.run(lambda c: history._roll_up_start(c, NOW), read_only=True) == before
    await history.roll_up(NOW)
    rows = await fetch(database_url, "SELECT cpu_percent FROM sample_minutes ORDER BY time")
    assert [row[0] for row in rows] == [float(number) for number in range(len(rows))]
    assert len(rows) >= 29


async def partitions(url: str) -> set[str]:
    query = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent IN ('samples'::regclass, 'sample_minutes'::regclass)"
    return {row[0] for row in await fetch(url, query)}


async def test_partitions_are_created_ahead_and_dropped_when_old(
    history: HistoryWriter, database: Database, database_url: str
) -> None:
    at = datetime(2026, 3, 1, 22, 15, tzinfo=UTC)
    await history.make_partitions(at)
    made = {"samples_2026030122", "samples_2026030123", "samples_2026030200", "samples_2026030201"}
    made |= {"sample_minutes_20260301", "sample_minutes_20260302"}
    assert (await partitions(database_url), history.problem) == (made, "")
    assert await history.drop_expired(at + timedelta(hours=24, minutes=44)) == 0
    assert await history.drop_expired(at + timedelta(hours=24, minutes=45)) == 1
    assert await partitions(database_url) == made - {"samples_2026030122"}
    assert await history.drop_expired(at + timedelta(days=15)) == 4
    assert await partitions(database_url) == {"sample_minutes_20260302"}


async def test_application_role_can_only_insert_samples(
    history: HistoryWriter, add: Callable[..., None], database_url: str
) -> None:
    add(FLEET, NOW, 1.0)
    await history.write()
    for statement in (
        "DELETE FROM samples",
        "UPDATE samples SET cpu_cores = 1",
        "DROP TABLE samples",
        "TRUNCATE sample_minutes",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await fetch(database_url, statement)


async def test_failure_to_create_partitions_is_reported_and_retried(
    history: HistoryWriter, add: Callable[..., None], owner_url: str
) -> None:
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as owner:
        await owner.execute("ALTER FUNCTION make_sample_partitions RENAME TO gone")
        await history.make_partitions(NOW)
        assert "cannot create partitions" in history.problem
        add(FLEET, NOW, 1.0)
        with pytest.raises(errors.NovaCronError):
            await history.write()
        assert history.waiting.rows == 1
        await owner.execute("ALTER FUNCTION gone RENAME TO make_sample_partitions")
    await history.make_partitions(NOW)
    assert history.problem == ""
    await history.write()
    assert history.waiting.rows == 0


async def test_sample_with_an_implausible_time_is_dropped(
    history: HistoryWriter, add: Callable[..., None], database_url: str
) -> None:
    for time in (datetime(1999, 12, 31, tzinfo=UTC), NOW, NOW + timedelta(days=400)):
        add(FLEET, time, 1.0)
    await history.write()
    assert (history.written, history.waiting.lost, history.waiting.rows) == (1, 2, 0)
    assert len(await fetch(database_url, "SELECT 1 FROM samples")) == 1


async def test_samples_are_queued_within_limits_during_an_outage(
    history: HistoryWriter, add: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*_: Any, **__: Any) -> Any:
        raise errors.DatabaseUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "run", unavailable)
        for number in range(20):
            add(FLEET, NOW - (20 - number) * S, float(number))
        with pytest.raises(errors.DatabaseUnavailable):
            await history.write()
        assert history.waiting.rows == 20
    await history.write()
    assert (history.written, history.waiting.rows, history.waiting.lost) == (20, 0, 0)


def test_full_queue_drops_the_oldest_samples() -> None:
    waiting = WriteQueue(max_bytes=100)
    chunks = [Chunk(NOW + number * S, 2, bytes(30)) for number in range(5)]
    for chunk in chunks:
        waiting.add(chunk)
    assert (waiting.rows, waiting.bytes, waiting.lost) == (6, 90, 4)
    under_way = waiting.peek(50)
    assert under_way == chunks[2:3]
    assert waiting.peek(60) == chunks[2:4]
    waiting.add(Chunk(NOW, 2, bytes(30)))  # the chunk being written is dropped meanwhile
    waiting.remove_written(under_way)
    assert waiting.rows == 6
    waiting.add(Chunk(NOW, 1, bytes(1000)))
    assert (waiting.rows, waiting.bytes) == (0, 0)


async def test_partition_maintenance_never_waits_long_for_a_reader(
    history: HistoryWriter, add: Callable[..., None], database: Database, database_url: str
) -> None:
    """During a long read of an old partition, dropping it gives up at its lock timeout and is retried later."""
    await history.make_partitions(NOW - timedelta(days=2))
    async with await psycopg.AsyncConnection.connect(database_url) as reader:
        await reader.execute("SELECT * FROM samples")
        began = fair_now()
        with pytest.raises(errors.DatabaseUnavailable):
            await history.drop_expired(NOW)
        assert fair_now() - began < 10
        await history.make_partitions(NOW)
        assert history.problem == "", "partitions are attached while readers run"
    assert await history.drop_expired(NOW) > 0


async def test_copy_is_one_transaction(database: Database, history: HistoryWriter) -> None:
    """An invalid row rolls back its whole chunk, and nothing else."""
    await history.make_partitions(NOW)
    good = copy_rows.row(copy_rows.microseconds(NOW), FLEET, (None,) * 10)
    bad = copy_rows.row(copy_rows.microseconds(NOW - timedelta(days=300)), FLEET, (None,) * 10)

    async def work(connection: Any) -> None:
        await repository.copy(connection, [good, bad])

    with pytest.raises(errors.Internal):
        await database.run(work)
    assert await database.run(lambda connection: repository.first_sample(connection, FLEET)) is None


async def test_dropped_partitions_are_created_again(
    history: HistoryWriter, add: Callable[..., None], database_url: str, owner_url: str
) -> None:
    """A clock set forward and back, or an outage longer than the retention, drops partitions that are still needed."""
    add(FLEET, NOW, 1.0)
    await history.write()
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as owner:
        await owner.execute("SELECT drop_sample_partitions(%s, %s)", (NOW + timedelta(days=2), NOW))
    add(FLEET, NOW + S, 2.0)
    with pytest.raises(errors.NovaCronError):
        await history.write()
    await history.write()
    assert history.waiting.rows == 0
    assert await fetch(database_url, "SELECT cpu_percent FROM samples") == [(2.0,)]


async def test_roll_up_survives_a_clock_set_forward_and_back(
    history: HistoryWriter, add: Callable[..., None], database_url: str
) -> None:
    minute = NOW.replace(second=0) - timedelta(minutes=3)
    add(FLEET, minute, 1.0)
    await history.write()
    ahead = NOW + timedelta(hours=20)
    add(FLEET, ahead - timedelta(minutes=5), 9.0)
    await history.write()
    await history.roll_up(ahead)
    add(FLEET, minute + timedelta(minutes=1), 2.0)
    await history.write()
    for restarted in (False, True):
        history.rolled_to = None if restarted else history.rolled_to
        await history.roll_up(NOW)
        assert history.rolled_to == (NOW - 10 * S).replace(second=0)
    rows = await fetch(database_url, "SELECT cpu_percent FROM sample_minutes ORDER BY time")
    assert rows == [(1.0,), (2.0,), (9.0,)]


async def test_after_a_long_outage_only_retained_samples_are_rolled_up(
    history: HistoryWriter, add: Callable[..., None], database: Database, database_url: str
) -> None:
    long_ago = NOW - timedelta(days=9)
    await history.make_partitions(long_ago)
    row = copy_rows.row(copy_rows.microseconds(long_ago), FLEET, (None,) * 10)
    await database.run(lambda connection: repository.copy(connection, [row]))
    await history.roll_up(long_ago + timedelta(minutes=5))
    history.rolled_to = None
    await history.roll_up(NOW)
    assert history.rolled_to == (NOW - 10 * S).replace(second=0)
    hours = [name for name in await partitions(database_url) if name.startswith("samples_")]
    assert len(hours) < 35, "otherwise a year without samples creates more tables than can be dropped at once"
