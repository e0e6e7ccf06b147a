"""Transactions end within their budget: retried where that is safe, otherwise refused with the reason."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_core.errors import Conflict, DatabaseUnavailable, Internal
from novacron_server.database.embedded import stale_processes
from novacron_server.database.embedded.postgres import EmbeddedPostgres
from novacron_server.database.transactions import Database
from tests.support.database_budget import LONG_BUDGET_S
from tests.support.fair_clock import fair_now

PROMISE_S = 2.5


@pytest.fixture
async def owner(owner_url: str) -> AsyncIterator[Database]:
    made = Database(owner_url)
    await made.run(lambda conn: conn.exec_driver_sql("CREATE TABLE t (n int PRIMARY KEY, v int DEFAULT 0)"))
    yield made
    await made.close()


async def execute(database: Database, sql: str) -> None:
    await database.run(lambda conn: conn.exec_driver_sql(sql))


async def numbers(database: Database) -> list[int]:
    async def read(conn: AsyncConnection) -> list[int]:
        return list((await conn.execute(text("SELECT n FROM t ORDER BY n"))).scalars())

    return await database.run(read, read_only=True)


async def test_transaction_commits_completely_or_not_at_all(owner: Database) -> None:
    async def fail_halfway(conn: AsyncConnection) -> None:
        await conn.execute(text("INSERT INTO t VALUES (2)"))
        raise LookupError

    await execute(owner, "INSERT INTO t VALUES (1)")
    with pytest.raises(LookupError):
        await owner.run(fail_halfway)
    assert await numbers(owner) == [1]


async def test_read_only_transaction_writes_nothing_and_does_not_affect_later_ones(owner: Database) -> None:
    with pytest.raises(Internal):
        await owner.run(lambda conn: conn.execute(text("INSERT INTO t VALUES (1)")), read_only=True)
    await execute(owner, "INSERT INTO t VALUES (3)")
    assert await numbers(owner) == [3]


async def test_errors_are_translated_and_contain_no_row(owner: Database) -> None:
    await execute(owner, "INSERT INTO t VALUES (4711)")
    with pytest.raises(Conflict) as refused:
        await execute(owner, "INSERT INTO t VALUES (4711)")
    assert "4711" not in str(refused.value)
    with pytest.raises(Internal):
        await execute(owner, "SELECT * FROM nowhere")


async def test_error_of_the_work_is_passed_on(owner: Database) -> None:
    runs: list[int] = []

    async def work(conn: AsyncConnection) -> None:
        runs.append(1)
        raise FileNotFoundError

    with pytest.raises(FileNotFoundError):
        await owner.run(work)
    assert len(runs) == 1


async def test_deadlock_is_retried(owner: Database) -> None:
    await execute(owner, "INSERT INTO t VALUES (1), (2)")
    both = asyncio.Barrier(2)
    runs: list[int] = []

    def lock_both(first: int, second: int) -> object:
        async def work(conn: AsyncConnection) -> None:
            runs.append(first)
            await conn.execute(text("UPDATE t SET v = v + 1 WHERE n = :n"), {"n": first})
            if runs.count(first) == 1:
                await both.wait()
            await conn.execute(text("UPDATE t SET v = v + 1 WHERE n = :n"), {"n": second})

        return owner.run(work, timeout_s=10)

    await asyncio.gather(lock_both(1, 2), lock_both(2, 1))  # type: ignore[call-overload]
    assert len(runs) == 3
    total = await owner.run(lambda conn: conn.execute(text("SELECT sum(v) FROM t")))
    assert total.scalar_one() == 4


async def test_lost_connections_are_replaced(owner: Database, owner_url: str) -> None:
    await asyncio.gather(*(owner.ping() for _ in range(10)))
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as other:
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND datname = current_database()"
        )
    await execute(owner, "INSERT INTO t VALUES (1)")
    assert await numbers(owner) == [1]


async def test_commit_with_unknown_outcome_is_never_retried(owner: Database, owner_url: str) -> None:
    await execute(
        owner,
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(30); RETURN NULL; END $$;"
        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION slow()",
    )
    runs: list[int] = []

    async def work(conn: AsyncConnection) -> None:
        runs.append(1)
        await conn.execute(text("INSERT INTO t VALUES (1)"))

    async def kill_during_commit() -> None:
        async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as other:
            sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'COMMIT' AND state = 'active'"
            async with asyncio.timeout(10):
                while (await other.execute(sql)).rowcount == 0:
                    await asyncio.sleep(0.01)

    change = asyncio.create_task(owner.run(work))
    await kill_during_commit()
    with pytest.raises(DatabaseUnavailable, match="check whether it was made"):
        await change
    assert len(runs) == 1


async def test_cancelled_caller_leaves_nothing_behind(owner: Database) -> None:
    reached = asyncio.Event()

    async def work(conn: AsyncConnection) -> None:
        await conn.execute(text("INSERT INTO t VALUES (1)"))
        reached.set()
        await conn.execute(text("SELECT pg_sleep(30)"))

    change = asyncio.create_task(owner.run(work))
    await reached.wait()
    began = fair_now()
    change.cancel()
    with pytest.raises(asyncio.CancelledError):
        await change
    assert fair_now() - began < 1
    assert await numbers(owner) == []


async def test_long_statement_ends_in_time(owner: Database) -> None:
    began = fair_now()
    with pytest.raises(DatabaseUnavailable) as refused:
        await execute(owner, "SELECT pg_sleep(30)")
    assert fair_now() - began < PROMISE_S
    assert refused.value.retry_after_s


async def test_suspended_process_still_gets_the_answer(owner: Database) -> None:
    """A process suspended (SIGSTOP, a starved machine) for longer than the budget still gets PostgreSQL's answer."""

    async def work(conn: AsyncConnection) -> int:
        asyncio.get_running_loop().call_later(0.05, time.sleep, owner.budget_s + 1.0)
        await conn.execute(text("SELECT pg_sleep(0.2)"))
        return int((await conn.execute(text("SELECT 1 FROM pg_sleep(0.05)"))).scalar_one())

    assert await owner.run(work) == 1


async def test_maintenance_has_a_longer_timeout(owner_url: str) -> None:
    hasty = Database(owner_url, budget_s=0.3)
    await hasty.run(lambda conn: conn.exec_driver_sql("SELECT pg_sleep(0.5)"), timeout_s=10)
    with pytest.raises(DatabaseUnavailable):
        await execute(hasty, "SELECT pg_sleep(0.5)")
    await hasty.close()


async def test_pool_never_exceeds_its_size(owner_url: str) -> None:
    database = Database(owner_url, budget_s=LONG_BUDGET_S)  # a busy machine takes its time for the last of them
    peak = 0

    async def work(conn: AsyncConnection) -> None:
        nonlocal peak
        count = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        peak = max(peak, (await conn.execute(count)).scalar_one())

    await asyncio.gather(*(database.run(work) for _ in range(300)))
    await database.close()
    assert 1 < peak <= 50


async def test_invalid_url_is_refused() -> None:
    with pytest.raises(DatabaseUnavailable, match="URL"):
        Database("mysql://x")


async def test_unreachable_database_is_unavailable() -> None:
    database = Database("postgresql://nobody@/none?host=/var/tmp/novacron-no-such-directory")
    began = fair_now()
    with pytest.raises(DatabaseUnavailable) as refused:
        await database.ping()
    assert fair_now() - began < PROMISE_S
    assert refused.value.retry_after_s


@contextmanager
def suspended(cluster: Path) -> Iterator[None]:
    """Suspend every process of a PostgreSQL with SIGSTOP: it accepts connections and never responds."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    held = [pid for pid in pids if stale_processes.works_in(pid, cluster)]
    for pid in held:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in held:
            os.kill(pid, signal.SIGCONT)


async def test_hung_postgresql_fails_everything_in_time_and_recovers(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir, data_dir / "r", durable=False) as pg:
        database = Database(pg.owner_url)
        await execute(database, "CREATE TABLE t (n int PRIMARY KEY)")
        await asyncio.gather(*(database.ping() for _ in range(10)))
        slowest_beat = 0.0

        async def beat() -> None:
            nonlocal slowest_beat
            while True:
                began = fair_now()
                await asyncio.sleep(0.01)
                slowest_beat = max(slowest_beat, fair_now() - began)

        async def change(n: int) -> float:
            began = fair_now()
            with pytest.raises(DatabaseUnavailable) as refused:
                await execute(database, f"INSERT INTO t VALUES ({n})")
            assert refused.value.retry_after_s
            return fair_now() - began

        heart = asyncio.create_task(beat())
        with suspended(data_dir / "postgres"):
            took = await asyncio.gather(*(change(n) for n in range(70)))
            assert not database._abandoned, "connections were left hanging"
        heart.cancel()
        assert max(took) < PROMISE_S
        assert slowest_beat < 0.5, "the loop was blocked"
        async with asyncio.timeout(10):
            while True:
                try:
                    await database.ping()
                    break
                except DatabaseUnavailable:
                    await asyncio.sleep(0.05)
        await execute(database, "INSERT INTO t VALUES (1000)")
        await database.close()


async def test_restarted_postgresql_is_used_again(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir, data_dir / "r", durable=False) as pg:
        database = Database(pg.app_url)
        await asyncio.gather(*(database.ping() for _ in range(5)))
    with pytest.raises(DatabaseUnavailable):
        await database.ping()
    async with EmbeddedPostgres(data_dir, data_dir / "r", durable=False):
        assert await database.ping() > 0
    await database.close()
