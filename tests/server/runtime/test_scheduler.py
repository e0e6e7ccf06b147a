"""Scheduled jobs outlive the server: due times, missed runs and failures are stored, and one server runs each job."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from novacron_core import errors
from novacron_server.database.transactions import Database
from novacron_server.runtime.scheduler import scheduler as module
from novacron_server.runtime.scheduler.scheduler import FIRST_RETRY, Job, Missed, Scheduler

pytestmark = pytest.mark.asyncio
BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Clock:
    def __init__(self) -> None:
        self.time = BEGAN

    def __call__(self) -> datetime:
        return self.time

    def move(self, by: timedelta) -> None:
        self.time += by


class Runs:
    """A job that records when it ran."""

    def __init__(self, error: Exception | None = None) -> None:
        self.at: list[datetime] = []
        self.error = error

    async def __call__(self, now: datetime) -> None:
        self.at.append(now)
        if self.error:
            raise self.error


async def create_scheduler(database: Database, job: Job, clock: Clock) -> Scheduler:
    scheduler = Scheduler(database, [job], clock)
    await scheduler._register()
    return scheduler


async def row(scheduler: Scheduler, name: str = "test.job") -> Any:
    return next(row for row in await scheduler.rows() if row.name == name)


async def test_job_runs_when_due_and_does_not_drift(database: Database) -> None:
    clock, runs = Clock(), Runs()
    scheduler = await create_scheduler(database, Job("test.job", HOUR, runs), clock)
    assert await scheduler.run_due() == pytest.approx(3600)
    assert runs.at == [BEGAN]
    clock.move(timedelta(minutes=59))
    await scheduler.run_due()
    assert len(runs.at) == 1
    clock.move(timedelta(minutes=1, seconds=7))
    await scheduler.run_due()
    assert runs.at == [BEGAN, BEGAN + HOUR + timedelta(seconds=7)]
    assert (await row(scheduler)).due_at == BEGAN + 2 * HOUR, "one late run does not shift later due times"


async def test_missed_job_runs_once_and_its_missed_runs_are_counted(database: Database) -> None:
    clock, runs = Clock(), Runs()
    job = Job("test.job", HOUR, runs)
    await (await create_scheduler(database, job, clock)).run_due()
    clock.move(timedelta(hours=5, minutes=30))
    later = await create_scheduler(database, job, clock)
    await later.run_due()
    assert len(runs.at) == 2
    found = await row(later)
    assert (found.runs, found.missed, found.due_at) == (2, 4, BEGAN + 6 * HOUR)


async def test_skipping_job_waits_for_its_next_due_time(database: Database) -> None:
    clock, runs = Clock(), Runs()
    scheduler = await create_scheduler(database, Job("test.job", HOUR, runs, Missed.SKIP), clock)
    await scheduler.run_due()
    clock.move(timedelta(hours=3, minutes=1))
    await scheduler.run_due()
    assert runs.at == [BEGAN]
    assert (await row(scheduler)).due_at == BEGAN + 4 * HOUR
    clock.move(timedelta(minutes=59))
    await scheduler.run_due()
    assert len(runs.at) == 2


@pytest.mark.parametrize("error", [errors.Conflict("busy"), ZeroDivisionError("planted")])
async def test_failed_job_is_retried_early_and_does_not_stop_others(database: Database, error: Exception) -> None:
    clock, bad, good = Clock(), Runs(error), Runs()
    scheduler = Scheduler(database, [Job("test.bad", HOUR, bad), Job("test.good", HOUR, good)], clock)
    await scheduler._register()
    await scheduler.run_due()
    assert (len(bad.at), len(good.at)) == (1, 1)
    found = await row(scheduler, "test.bad")
    assert (found.failures, found.due_at) == (1, BEGAN + FIRST_RETRY)
    assert str(error) in found.last_error
    clock.move(FIRST_RETRY)
    bad.error = None
    await scheduler.run_due()
    found = await row(scheduler, "test.bad")
    assert (found.failures, found.last_error, found.runs) == (0, "", 2)


async def test_two_servers_run_a_job_once(database: Database) -> None:
    clock, runs = Clock(), Runs()
    job = Job("test.job", HOUR, runs)
    pair = [await create_scheduler(database, job, clock) for _ in range(2)]
    await asyncio.gather(*(scheduler.run_due() for scheduler in pair))
    assert len(runs.at) == 1


async def test_job_of_a_killed_server_is_taken_over_after_its_lease(database: Database) -> None:
    clock, going = Clock(), asyncio.Event()

    async def hang(_: datetime) -> None:
        going.set()
        await asyncio.sleep(3600)

    killed = asyncio.create_task((await create_scheduler(database, Job("test.job", HOUR, hang), clock)).run_due())
    await going.wait()
    killed.cancel()
    await asyncio.gather(killed, return_exceptions=True)
    runs = Runs()
    other = await create_scheduler(database, Job("test.job", HOUR, runs), clock)
    await other.run_due()
    assert runs.at == [], "another server may still be running it"
    clock.move(module.LEASE + timedelta(seconds=1))
    await other.run_due()
    assert len(runs.at) == 1


async def test_scheduler_waits_for_the_database_and_wakes_on_request(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, runs = Clock(), Runs()
    scheduler = Scheduler(database, [Job("test.job", HOUR, runs)], clock)
    real, away = database.run, [True, True]

    async def run(*arguments: Any, **named: Any) -> Any:
        if away:
            away.pop()
            raise errors.DatabaseUnavailable("away")
        return await real(*arguments, **named)

    monkeypatch.setattr(database, "run", run)
    monkeypatch.setattr(module, "MAX_PAUSE_S", 0.02)
    task = asyncio.create_task(scheduler.run())
    async with asyncio.timeout(10):
        while not runs.at:
            await asyncio.sleep(0.01)
    clock.move(HOUR)
    scheduler.wake()
    async with asyncio.timeout(10):
        while len(runs.at) < 2:
            await asyncio.sleep(0.01)
    task.cancel()


async def test_jobs_with_the_same_name_are_refused(database: Database) -> None:
    job = Job("test.job", HOUR, Runs())
    with pytest.raises(ValueError, match="two jobs"):
        Scheduler(database, [job, job], Clock())
